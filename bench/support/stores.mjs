/** Contestants filled with the same data. */

import { Database } from '../../dist/index.js'
import { BTree, loadSqlite, openLmdb } from './peers.mjs'

/** Writes per commit while loading, and in the workloads that write in batches. */
export const BATCH = 1000

/**
 * @param {readonly string[]} keys
 * @param {readonly object[]} values
 */
export async function loadVarve(keys, values) {
  const db = await Database.open()
  const handle = db.handle()
  for (let from = 0; from < keys.length; from += BATCH) {
    const to = Math.min(from + BATCH, keys.length)
    await handle.transaction((tx) => {
      for (let i = from; i < to; i++) tx.set(keys[i], values[i])
    })
  }
  return { db, handle }
}

/**
 * @template V
 * @param {readonly string[]} keys
 * @param {readonly V[]} values
 * @returns {Map<string, V>}
 */
export function loadMap(keys, values) {
  const map = new Map()
  for (let i = 0; i < keys.length; i++) map.set(keys[i], values[i])
  return map
}

/**
 * @param {readonly string[]} keys
 * @param {readonly object[]} values
 */
export function loadBTree(keys, values) {
  const tree = new BTree()
  for (let i = 0; i < keys.length; i++) tree.set(keys[i], values[i])
  return tree
}

/**
 * An in-memory SQLite with one table; null if better-sqlite3 is not installed.
 *
 * @param {readonly string[]} keys
 * @param {readonly { id: number, owner: string, balance: number }[]} values
 * @param {string[]} notes
 * @param {'' | 'WITHOUT ROWID'} [kind] a plain table, or one that is nothing but the index of its keys, which is faster here
 */
export async function loadSqliteAccounts(keys, values, notes, kind = '') {
  const Sqlite = await loadSqlite(notes)
  if (Sqlite === null) return null
  const db = new Sqlite(':memory:')
  db.exec(`CREATE TABLE accounts (key TEXT PRIMARY KEY, id INTEGER, owner TEXT, balance INTEGER) ${kind}`)
  const insert = db.prepare('INSERT INTO accounts VALUES (?, ?, ?, ?)')
  db.transaction(() => {
    for (let i = 0; i < keys.length; i++) insert.run(keys[i], values[i].id, values[i].owner, values[i].balance)
  })()
  return {
    db,
    get: db.prepare('SELECT id, owner, balance FROM accounts WHERE key = ?'),
    update: db.prepare('UPDATE accounts SET id = ?, owner = ?, balance = ? WHERE key = ?'),
    total: db.prepare('SELECT sum(balance) FROM accounts').pluck(),
    begin: db.prepare('BEGIN IMMEDIATE'),
    commit: db.prepare('COMMIT'),
  }
}

/**
 * @param {readonly string[]} keys
 * @param {readonly object[]} values
 * @param {string[]} notes
 */
export async function loadLmdb(keys, values, notes) {
  const store = await openLmdb(notes)
  if (store === null) return null
  for (let from = 0; from < keys.length; from += BATCH * 10) {
    store.db.transactionSync(() => {
      const to = Math.min(from + BATCH * 10, keys.length)
      for (let i = from; i < to; i++) store.db.putSync(keys[i], values[i])
    })
  }
  return store
}
