import { Effect, STM, TRef } from 'effect'

import { makeKeys, makeValues, OPENING_BALANCE, planTransfers, STRINGS } from '../support/data.mjs'
import { compare, measure } from '../support/measure.mjs'
import { loadMap, loadSqliteAccounts, loadVarve } from '../support/stores.mjs'

/**
 * The whole of a transfer, two reads and two writes, for one client that awaits each before the next. Values are replaced,
 * never changed in place.
 */
async function transferInMap(map, payer, payee, amount) {
  const from = map.get(payer)
  const to = map.get(payee)
  map.set(payer, { id: from.id, owner: from.owner, balance: from.balance - amount })
  map.set(payee, { id: to.id, owner: to.owner, balance: to.balance + amount })
}

function transferInVarve(handle, payer, payee, amount) {
  return handle.transaction((tx) => {
    const from = tx.get(payer)
    const to = tx.get(payee)
    tx.set(payer, { id: from.id, owner: from.owner, balance: from.balance - amount })
    tx.set(payee, { id: to.id, owner: to.owner, balance: to.balance + amount })
  })
}

/** The same with a callback that is async, as one would write it if it had something to wait for. */
function transferInVarveAsync(handle, payer, payee, amount) {
  return handle.transaction(async (tx) => {
    const from = tx.get(payer)
    const to = tx.get(payee)
    tx.set(payer, { id: from.id, owner: from.owner, balance: from.balance - amount })
    tx.set(payee, { id: to.id, owner: to.owner, balance: to.balance + amount })
  })
}

function transferSyncInVarve(handle, payer, payee, amount) {
  handle.transactionSync((tx) => {
    const from = tx.get(payer)
    const to = tx.get(payee)
    tx.set(payer, { id: from.id, owner: from.owner, balance: from.balance - amount })
    tx.set(payee, { id: to.id, owner: to.owner, balance: to.balance + amount })
  })
}

async function transferInSqlite({ begin, commit, get, update }, payer, payee, amount) {
  begin.run()
  const from = get.get(payer)
  const to = get.get(payee)
  update.run(from.id, from.owner, from.balance - amount, payer)
  update.run(to.id, to.owner, to.balance + amount, payee)
  commit.run()
}

/** Software transactional memory: a Map of references, so that only the transfer itself is transactional. */
export function transferInEffect(refs, payer, payee, amount) {
  const payerRef = refs.get(payer)
  const payeeRef = refs.get(payee)
  return STM.flatMap(TRef.get(payerRef), (from) =>
    STM.flatMap(TRef.get(payeeRef), (to) =>
      STM.zipRight(
        TRef.set(payerRef, { id: from.id, owner: from.owner, balance: from.balance - amount }),
        TRef.set(payeeRef, { id: to.id, owner: to.owner, balance: to.balance + amount }),
      ),
    ),
  )
}

/** @param {Iterable<{ balance: number }>} accounts */
export function total(accounts) {
  let sum = 0
  for (const { balance } of accounts) sum += balance
  return sum
}

/** @type {import('./index.mjs').Workload} */
export const transfer = {
  name: 'transfer',
  group: 'in-memory',
  title: 'Transfer: 2 reads and 2 writes in one awaited transaction, one client',
  async run({ count, repetitions, notes }) {
    const keys = makeKeys(count, 1)
    const values = makeValues(count)
    const map = loadMap(keys, values)
    const { db, handle } = await loadVarve(keys, values)
    const sqlite = await loadSqliteAccounts(keys, values, notes)
    const tunedSqlite = sqlite && (await loadSqliteAccounts(keys, values, notes, 'WITHOUT ROWID'))
    const refs = loadMap(
      keys,
      values.map((value) => STM.commit(TRef.make(value))).map((made) => Effect.runSync(made)),
    )
    const conserved = (sum, name) => {
      if (sum !== count * OPENING_BALANCE) throw new Error(`${name} made or lost money: ${sum}`)
    }
    const operations = 200_000
    const slow = 20_000
    const race = (keysOf) => {
      const plan = (own) => (repetition) => planTransfers(keys, own, 100 + repetition, keysOf)
      const entries = [
        {
          name: 'Map, async function',
          setup: plan(operations),
          async run({ payers, payees, amounts }, operations) {
            for (let i = 0; i < operations; i++) await transferInMap(map, payers[i], payees[i], amounts[i])
            return operations
          },
          verify: () => conserved(total(map.values()), 'Map'),
        },
        {
          name: 'varve transaction',
          setup: plan(operations),
          async run({ payers, payees, amounts }, operations) {
            for (let i = 0; i < operations; i++) await transferInVarve(handle, payers[i], payees[i], amounts[i])
            return operations
          },
          verify: () => conserved(total(handle.values()), 'varve'),
        },
        {
          name: 'varve transaction, async callback',
          setup: plan(operations),
          async run({ payers, payees, amounts }, operations) {
            for (let i = 0; i < operations; i++) await transferInVarveAsync(handle, payers[i], payees[i], amounts[i])
            return operations
          },
          verify: () => conserved(total(handle.values()), 'varve'),
        },
        {
          name: 'varve transactionSync',
          setup: plan(operations),
          run({ payers, payees, amounts }, operations) {
            for (let i = 0; i < operations; i++) transferSyncInVarve(handle, payers[i], payees[i], amounts[i])
            return operations
          },
          verify: () => conserved(total(handle.values()), 'varve'),
        },
        sqlite && {
          name: 'better-sqlite3, in memory',
          operations: slow,
          setup: plan(slow),
          async run({ payers, payees, amounts }, operations) {
            for (let i = 0; i < operations; i++) await transferInSqlite(sqlite, payers[i], payees[i], amounts[i])
            return operations
          },
          verify: () => conserved(sqlite.total.get(), 'better-sqlite3'),
        },
        tunedSqlite && {
          name: 'better-sqlite3, WITHOUT ROWID',
          operations: slow,
          setup: plan(slow),
          async run({ payers, payees, amounts }, operations) {
            for (let i = 0; i < operations; i++) await transferInSqlite(tunedSqlite, payers[i], payees[i], amounts[i])
            return operations
          },
          verify: () => conserved(tunedSqlite.total.get(), 'better-sqlite3'),
        },
        {
          name: 'effect STM',
          operations: slow,
          setup: plan(slow),
          async run({ payers, payees, amounts }, operations) {
            for (let i = 0; i < operations; i++) {
              await Effect.runPromise(STM.commit(transferInEffect(refs, payers[i], payees[i], amounts[i])))
            }
            return operations
          },
        },
      ]
      return measure(entries, { repetitions, operations })
    }
    const against = (of) => [
      { of, against: 'Map, async function', target: 0.5 },
      { of, against: 'better-sqlite3, in memory', target: 3 },
      { of, against: 'better-sqlite3, WITHOUT ROWID', target: 3 },
      { of, against: 'effect STM' },
    ]
    const comparisons = [
      ...against('varve transaction'),
      { of: 'varve transaction, async callback', against: 'Map, async function' },
      { of: 'varve transactionSync', against: 'Map, async function' },
    ]
    const rows = []
    for (const [strings, keysOf] of STRINGS) {
      rows.push(...compare(`transfer, one client, ${strings}`, await race(keysOf), comparisons))
    }
    await db.close()
    return rows
  },
}
