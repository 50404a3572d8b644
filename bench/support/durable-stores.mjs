/**
 * Stores on disk with one interface, for small objects under string keys. What is not installed is left out by the caller
 * (peers.mjs, `available`).
 *
 * @typedef {object} Store
 * @property {(key: string) => any} get
 * @property {(payer: string, payee: string, amount: number) => Promise<unknown>} transfer settles when it is acknowledged
 * @property {(keys: string[], values: object[]) => unknown} insert one batch, before anything is timed
 * @property {() => Iterable<[string, any]>} [entries] all of them, values decoded
 * @property {() => AsyncIterable<[string, any]>} [stream] the same without holding up the event loop
 * @property {() => unknown} close
 */

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

import { Database } from '../../dist/index.js'
import { KeyLocks } from './peers.mjs'
import { LeanToy, Toy } from './toy.mjs'

/** Two reads and two writes in a transaction of varve, or of the toy that has the same interface. */
function transferIn(store) {
  return (payer, payee, amount) =>
    store.transaction((tx) => {
      const from = tx.get(payer)
      const to = tx.get(payee)
      tx.set(payer, { id: from.id, owner: from.owner, balance: from.balance - amount })
      tx.set(payee, { id: to.id, owner: to.owner, balance: to.balance + amount })
    })
}

/**
 * @param {string} path
 * @param {object} [options] of Database.open, on top of the path
 */
export async function openVarve(path, options) {
  const db = await Database.open({ path, ...options })
  const handle = db.handle()
  return {
    db,
    handle,
    get: (key) => handle.get(key),
    transfer: transferIn(handle),
    insert: (keys, values) =>
      handle.transaction((tx) => {
        for (let i = 0; i < keys.length; i++) tx.set(keys[i], values[i])
      }),
    entries: () => handle.entries(),
    stream: () => handle.stream(),
    close: () => db.close(),
  }
}

/**
 * @param {string} path
 * @param {boolean} isSynced
 */
export function openToy(path, isSynced) {
  mkdirSync(path, { recursive: true })
  const toy = new Toy(join(path, 'log'), isSynced)
  return { ...storeOfMap(toy), transfer: transferIn(toy) }
}

/**
 * @param {string} path
 * @param {boolean} isSynced
 */
export function openLeanToy(path, isSynced) {
  mkdirSync(path, { recursive: true })
  const toy = new LeanToy(join(path, 'log'), isSynced)
  return { ...storeOfMap(toy), transfer: (payer, payee, amount) => toy.transfer(payer, payee, amount) }
}

function storeOfMap(toy) {
  const { accounts } = toy
  return {
    get: (key) => accounts.get(key),
    insert(keys, values) {
      for (let i = 0; i < keys.length; i++) accounts.set(keys[i], values[i])
    },
    entries: () => accounts.entries(),
    close: () => toy.close(),
  }
}

/**
 * SQLite blocks the thread until a transaction is on disk, so transfers of one application can share a sync only if it
 * collects them itself: `isGrouped` gathers what the clients of one turn ask for into one transaction.
 *
 * @param {string} path
 * @param {{ isSynced: boolean, isGrouped?: boolean }} options not synced: WAL with synchronous NORMAL, which syncs at
 *   checkpoints only
 */
export async function openSqlite(path, { isSynced, isGrouped = false }) {
  const { default: Sqlite } = await import('better-sqlite3')
  mkdirSync(path, { recursive: true })
  const db = new Sqlite(join(path, 'data.sqlite'))
  db.pragma('journal_mode = WAL')
  db.pragma(`synchronous = ${isSynced ? 'FULL' : 'NORMAL'}`)
  db.exec(
    'CREATE TABLE IF NOT EXISTS accounts (key TEXT PRIMARY KEY, id INTEGER, owner TEXT, balance INTEGER) WITHOUT ROWID',
  )
  const insert = db.prepare('INSERT INTO accounts VALUES (?, ?, ?, ?)')
  const get = db.prepare('SELECT id, owner, balance FROM accounts WHERE key = ?')
  const update = db.prepare('UPDATE accounts SET id = ?, owner = ?, balance = ? WHERE key = ?')
  const all = db.prepare('SELECT key, id, owner, balance FROM accounts')
  const begin = db.prepare('BEGIN IMMEDIATE')
  const commit = db.prepare('COMMIT')
  const move = (payer, payee, amount) => {
    const from = get.get(payer)
    const to = get.get(payee)
    update.run(from.id, from.owner, from.balance - amount, payer)
    update.run(to.id, to.owner, to.balance + amount, payee)
  }
  let group = []
  const runGroup = () => {
    const transfers = group
    group = []
    begin.run()
    for (const { payer, payee, amount } of transfers) move(payer, payee, amount)
    commit.run()
    for (const { resolve } of transfers) resolve()
  }
  return {
    get: (key) => get.get(key),
    transfer: isGrouped
      ? (payer, payee, amount) =>
          new Promise((resolve) => {
            if (group.length === 0) setImmediate(runGroup)
            group.push({ payer, payee, amount, resolve })
          })
      : async (payer, payee, amount) => {
          begin.run()
          move(payer, payee, amount)
          commit.run()
        },
    insert(keys, values) {
      begin.run()
      for (let i = 0; i < keys.length; i++) insert.run(keys[i], values[i].id, values[i].owner, values[i].balance)
      commit.run()
    },
    *entries() {
      for (const { key, id, owner, balance } of all.iterate()) yield [key, { id, owner, balance }]
    },
    close: () => db.close(),
  }
}

/**
 * LMDB makes a commit visible before it is on disk and has a promise for each of the two; transfers await the latter.
 *
 * @param {string} path
 * @param {{ isSynced: boolean }} options not synced: never, unlike the others, which makes it a good deal faster
 */
export async function openLmdb(path, { isSynced }) {
  const { open } = await import('lmdb')
  const db = open({ path, ...(isSynced ? { separateFlushed: true } : { noSync: true }) })
  return {
    get: (key) => db.get(key),
    async transfer(payer, payee, amount) {
      const committed = db.transaction(() => {
        const from = db.get(payer)
        const to = db.get(payee)
        void db.put(payer, { id: from.id, owner: from.owner, balance: from.balance - amount })
        void db.put(payee, { id: to.id, owner: to.owner, balance: to.balance + amount })
      })
      await committed
      if (isSynced) await committed.flushed
    },
    insert: (keys, values) =>
      db.transactionSync(() => {
        for (let i = 0; i < keys.length; i++) db.putSync(keys[i], values[i])
      }),
    *entries() {
      for (const { key, value } of db.getRange()) yield [key, value]
    },
    close: () => db.close(),
  }
}

/**
 * LevelDB has batches but no transactions: whoever transfers holds locks on both accounts.
 *
 * @param {string} path
 * @param {boolean} isSynced
 */
export async function openLevel(path, isSynced) {
  const { ClassicLevel } = await import('classic-level')
  const db = new ClassicLevel(path, { valueEncoding: 'json' })
  await db.open()
  const locks = new KeyLocks()
  const options = { sync: isSynced }
  return {
    db,
    get: (key) => db.getSync(key),
    async transfer(payer, payee, amount) {
      const first = payer < payee ? payer : payee
      const second = payer < payee ? payee : payer
      const waitFirst = locks.acquire(first)
      if (waitFirst !== null) await waitFirst
      const waitSecond = locks.acquire(second)
      if (waitSecond !== null) await waitSecond
      const from = db.getSync(payer)
      const to = db.getSync(payee)
      await db.batch(
        [
          { type: 'put', key: payer, value: { id: from.id, owner: from.owner, balance: from.balance - amount } },
          { type: 'put', key: payee, value: { id: to.id, owner: to.owner, balance: to.balance + amount } },
        ],
        options,
      )
      locks.release(second)
      locks.release(first)
    },
    insert: (keys, values) => db.batch(keys.map((key, i) => ({ type: 'put', key, value: values[i] }))),
    stream: () => db.iterator(),
    close: () => db.close(),
  }
}
