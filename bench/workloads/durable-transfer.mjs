import { makeKeys, makeValues, OPENING_BALANCE, planTransfers } from '../support/data.mjs'
import { openLeanToy, openLevel, openLmdb, openSqlite, openToy, openVarve } from '../support/durable-stores.mjs'
import { compare, measure } from '../support/measure.mjs'
import { installedPeers } from '../support/peers.mjs'
import { freshPath, removePath } from '../support/scratch.mjs'
import { BATCH } from '../support/stores.mjs'

const ACCOUNTS = 100_000
const CLIENTS = [1, 16, 256]
const ROUND_MS = 700
const WARM_UP_MS = 300
/** Transfers of a plan, which starts over when it is through; a power of two. */
const PLANNED = 2 ** 17
/** Between two looks at the clock. */
const CLOCK_EVERY = 64

const VARVE = 'varve'
const TOY = 'toy'
const LEAN_TOY = 'toy for transfers only'

/**
 * Lets clients make transfers, each awaiting its own before the next, until the time is over.
 *
 * @param {(payer: string, payee: string, amount: number) => Promise<unknown>} transfer
 * @param {ReturnType<typeof planTransfers>} plan
 * @param {number} clients
 * @param {number} durationMs
 */
async function drive(transfer, { payers, payees, amounts }, clients, durationMs) {
  const deadline = performance.now() + durationMs
  let next = 0
  let done = 0
  let isOver = false
  const client = async () => {
    while (!isOver) {
      const i = next++ & (PLANNED - 1)
      await transfer(payers[i], payees[i], amounts[i])
      if (++done % CLOCK_EVERY === 0 && performance.now() > deadline) isOver = true
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  return done
}

/**
 * @param {readonly { name: string, open: (path: string) => any }[]} candidates
 * @param {readonly string[]} keys
 */
async function fill(candidates, keys) {
  const values = makeValues(keys.length)
  const stores = []
  for (const { name, open } of candidates) {
    const path = freshPath('transfers')
    const store = await open(path)
    for (let from = 0; from < keys.length; from += BATCH) {
      await store.insert(keys.slice(from, from + BATCH), values.slice(from, from + BATCH))
    }
    stores.push({ name, path, store })
  }
  return stores
}

async function close({ name, path, store }, expected) {
  let sum = 0
  for await (const [, { balance }] of store.entries?.() ?? store.stream()) sum += balance
  if (sum !== expected) throw new Error(`${name} made or lost money: ${sum}`)
  await store.close()
  removePath(path)
}

/**
 * @param {string} work
 * @param {import('./index.mjs').Context} context
 * @param {readonly { name: string, open: (path: string) => any }[]} candidates
 * @param {Record<number, number>} targets share of the toy's rate, by number of clients
 */
async function race(work, { count, repetitions }, candidates, targets) {
  const keys = makeKeys(Math.min(count, ACCOUNTS), 1)
  const stores = await fill(candidates, keys)
  const rows = []
  for (const clients of CLIENTS) {
    const entries = stores.map(({ name, store }) => ({
      name,
      setup: (repetition) => planTransfers(keys, PLANNED, 100 + repetition, (keys) => keys),
      run: (plan, operations) => drive(store.transfer, plan, clients, operations),
    }))
    // What `measure` calls operations is milliseconds here: the slowest is 100 times slower than the fastest.
    const series = await measure(entries, { repetitions, operations: ROUND_MS, warmUp: WARM_UP_MS })
    const peers = stores.map(({ name }) => name).filter((name) => ![VARVE, TOY, LEAN_TOY].includes(name))
    const toyTarget = targets[clients]
    const comparisons = [
      { of: VARVE, against: TOY, ...(toyTarget === undefined ? {} : { target: toyTarget }) },
      { of: VARVE, against: LEAN_TOY },
      ...peers.map((against) => ({ of: VARVE, against, ...(toyTarget === undefined ? {} : { target: 1 }) })),
    ]
    rows.push(...compare(`${work}, ${clients} client${clients === 1 ? '' : 's'}`, series, comparisons))
  }
  for (const entry of stores) await close(entry, keys.length * OPENING_BALANCE)
  return rows
}

/** @type {import('./index.mjs').Workload} */
export const transfersFull = {
  name: 'transfers-full',
  group: 'durable',
  title: 'Transfer: 2 reads and 2 writes in one transaction, acknowledged when on disk',
  async run(context) {
    const { sqlite, lmdb, level } = await installedPeers(context.notes)
    const candidates = [
      { name: TOY, open: (path) => openToy(path, true) },
      { name: LEAN_TOY, open: (path) => openLeanToy(path, true) },
      { name: VARVE, open: (path) => openVarve(path, { durability: 'full' }) },
      sqlite && { name: 'better-sqlite3', open: (path) => openSqlite(path, { isSynced: true }) },
      sqlite && {
        name: 'better-sqlite3, grouped',
        open: (path) => openSqlite(path, { isSynced: true, isGrouped: true }),
      },
      lmdb && { name: 'lmdb', open: (path) => openLmdb(path, { isSynced: true }) },
      level && { name: 'classic-level', open: (path) => openLevel(path, true) },
    ]
    return race('durable transfers', context, candidates.filter(Boolean), { 1: 0.9, 16: 0.8, 256: 0.6 })
  },
}

/** @type {import('./index.mjs').Workload} */
export const transfersRelaxed = {
  name: 'transfers-relaxed',
  group: 'durable',
  title: 'Transfer: 2 reads and 2 writes in one transaction, without waiting for the disk',
  async run(context) {
    const { sqlite, lmdb, level } = await installedPeers(context.notes)
    const candidates = [
      { name: TOY, open: (path) => openToy(path, false) },
      { name: LEAN_TOY, open: (path) => openLeanToy(path, false) },
      { name: VARVE, open: (path) => openVarve(path, { durability: 'relaxed' }) },
      sqlite && { name: 'better-sqlite3', open: (path) => openSqlite(path, { isSynced: false }) },
      lmdb && { name: 'lmdb', open: (path) => openLmdb(path, { isSynced: false }) },
      level && { name: 'classic-level', open: (path) => openLevel(path, false) },
    ]
    return race('relaxed transfers', context, candidates.filter(Boolean), { 256: 0.5 })
  },
}
