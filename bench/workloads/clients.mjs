import { Effect, STM, TRef } from 'effect'

import { makeKeys, makeValues, OPENING_BALANCE, planTransfers, STRINGS } from '../support/data.mjs'
import { compare, measure, settled } from '../support/measure.mjs'
import { KeyLocks, PromiseLocks } from '../support/peers.mjs'
import { loadMap, loadVarve } from '../support/stores.mjs'
import { total, transferInEffect } from './transfer.mjs'

const CLIENTS = 64
const HOT = 100

/** Two locks in ascending order, then the reads, a wait in which the other clients run, the writes. */
async function transferInMap(map, locks, payer, payee, amount) {
  const releaseFirst = await locks.acquire(payer < payee ? payer : payee)
  const releaseSecond = await locks.acquire(payer < payee ? payee : payer)
  const from = map.get(payer)
  const to = map.get(payee)
  await settled
  map.set(payer, { id: from.id, owner: from.owner, balance: from.balance - amount })
  map.set(payee, { id: to.id, owner: to.owner, balance: to.balance + amount })
  releaseSecond()
  releaseFirst()
}

async function transferInMapLean(map, locks, payer, payee, amount) {
  const first = payer < payee ? payer : payee
  const second = payer < payee ? payee : payer
  const waitFirst = locks.acquire(first)
  if (waitFirst !== null) await waitFirst
  const waitSecond = locks.acquire(second)
  if (waitSecond !== null) await waitSecond
  const from = map.get(payer)
  const to = map.get(payee)
  await settled
  map.set(payer, { id: from.id, owner: from.owner, balance: from.balance - amount })
  map.set(payee, { id: to.id, owner: to.owner, balance: to.balance + amount })
  locks.release(second)
  locks.release(first)
}

function transferInVarve(handle, payer, payee, amount) {
  return handle.transaction(async (tx) => {
    const from = tx.get(payer)
    const to = tx.get(payee)
    await settled
    tx.set(payer, { id: from.id, owner: from.owner, balance: from.balance - amount })
    tx.set(payee, { id: to.id, owner: to.owner, balance: to.balance + amount })
  })
}

/**
 * Runs all transfers of a plan, the clients taking them in turn: client c makes number c, c + 64, c + 128, ...
 *
 * @param {number} operations
 * @param {(i: number) => Promise<void>} one
 */
async function interleave(operations, one) {
  const client = async (first) => {
    for (let i = first; i < operations; i += CLIENTS) await one(i)
  }
  await Promise.all(Array.from({ length: CLIENTS }, (_, first) => client(first)))
  return operations
}

/**
 * @param {string} work
 * @param {import('./index.mjs').Context} context
 * @param {number | undefined} hot how many accounts are used; undefined: all
 */
async function race(work, { count, repetitions, notes }, hot) {
  const keys = makeKeys(count, 1)
  const values = makeValues(count)
  const used = hot === undefined ? keys : keys.slice(0, hot)
  const map = loadMap(keys, values)
  const locks = new PromiseLocks()
  const leanLocks = new KeyLocks()
  const { db, handle } = await loadVarve(keys, values)
  const refs = loadMap(
    used,
    values.slice(0, used.length).map((value) => Effect.runSync(STM.commit(TRef.make(value)))),
  )
  const conserved = (sum, name) => {
    if (sum !== count * OPENING_BALANCE) throw new Error(`${name} made or lost money: ${sum}`)
  }
  const operations = 200_000
  const slow = 5_000
  let exhausted = 0
  const patientTransfer = async (payer, payee, amount) => {
    for (;;) {
      try {
        await transferInVarve(handle, payer, payee, amount)
        return
      } catch (error) {
        if (error.code !== 'RETRIES_EXHAUSTED') throw error
        exhausted++
      }
    }
  }
  const contestants = (keysOf) => [
    {
      name: 'Map with locks by key',
      setup: (repetition) => planTransfers(used, operations, 100 + repetition, keysOf),
      run: ({ payers, payees, amounts }, operations) =>
        interleave(operations, (i) => transferInMap(map, locks, payers[i], payees[i], amounts[i])),
      verify: () => conserved(total(map.values()), 'Map'),
    },
    {
      name: 'Map with locks by key, lean',
      setup: (repetition) => planTransfers(used, operations, 100 + repetition, keysOf),
      run: ({ payers, payees, amounts }, operations) =>
        interleave(operations, (i) => transferInMapLean(map, leanLocks, payers[i], payees[i], amounts[i])),
      verify: () => conserved(total(map.values()), 'Map'),
    },
    {
      name: 'varve transaction',
      setup: (repetition) => planTransfers(used, operations, 100 + repetition, keysOf),
      run: ({ payers, payees, amounts }, operations) =>
        interleave(operations, (i) => patientTransfer(payers[i], payees[i], amounts[i])),
      verify: () => conserved(total(handle.values()), 'varve'),
    },
    {
      name: 'effect STM, fibers',
      operations: slow,
      setup: (repetition) => planTransfers(used, slow, 100 + repetition, keysOf),
      async run({ payers, payees, amounts }, operations) {
        const client = (first) =>
          Effect.gen(function* () {
            for (let i = first; i < operations; i += CLIENTS) {
              yield* STM.commit(transferInEffect(refs, payers[i], payees[i], amounts[i]))
              yield* Effect.yieldNow()
            }
          })
        const clients = Array.from({ length: CLIENTS }, (_, first) => client(first))
        await Effect.runPromise(Effect.all(clients, { concurrency: 'unbounded', discard: true }))
        return operations
      },
    },
  ]
  const rows = []
  for (const [strings, keysOf] of STRINGS) {
    const series = await measure(contestants(keysOf), { repetitions, operations })
    const comparisons = [
      { of: 'varve transaction', against: 'Map with locks by key', target: 0.5 },
      { of: 'varve transaction', against: 'Map with locks by key, lean', target: 0.5 },
      { of: 'varve transaction', against: 'effect STM, fibers' },
    ]
    rows.push(...compare(`${work}, ${strings}`, series, comparisons))
  }
  const { commits, conflicts, retries } = db.stats().transactions
  notes.push(
    `${work}: ${commits} commits, ${conflicts} conflicts, ${retries} retries; ${exhausted} times the retries ran out and the client asked again`,
  )
  await db.close()
  return rows
}

/** @type {import('./index.mjs').Workload} */
export const clients = {
  name: 'clients',
  group: 'in-memory',
  title: `Transfer, ${CLIENTS} clients that wait between reads and writes, over all accounts`,
  run: (context) => race(`transfer, ${CLIENTS} clients`, context, undefined),
}

/** @type {import('./index.mjs').Workload} */
export const hot = {
  name: 'hot',
  group: 'in-memory',
  title: `Transfer, ${CLIENTS} clients that wait between reads and writes, over ${HOT} accounts`,
  run: (context) => race(`transfer, ${CLIENTS} clients, ${HOT} hot accounts`, context, HOT),
}
