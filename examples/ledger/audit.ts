/**
 * The audit: everything in the ledger, added up again and held against the movements that are known to have been posted.
 *
 * All of it is read in one transaction, so it is the state of one moment, whatever goes on beside it.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Transaction } from 'varve'
import { type Cents, formatCents } from './money.ts'
import { type Account, BANK, entries, type Movement, movements, totals, type TotalKey } from './tables.ts'

export interface Audit {
  readonly accounts: number
  readonly entries: number
  readonly movements: number
  /** The sum of the two should be zero. */
  readonly customersHold: Cents
  readonly bankHolds: Cents
  /** Everything that is wrong, one sentence each. */
  readonly problems: readonly string[]
}

interface Sum {
  cents: Cents
  entries: number
}

/** Audits the ledger; `expected` are the movements that should be in it, each once. Run it in a read-only transaction. */
export function audit(tx: Transaction<string, Account>, expected: readonly Movement[]): Audit {
  const problems: string[] = []
  const sums = sumEntries(tx, problems)
  const customersHold = checkBalances(tx, sums, problems)
  const bankHolds = total(tx, ['balance', BANK])
  if (customersHold + bankHolds !== 0) {
    problems.push(
      `customers hold ${formatCents(customersHold)} and the bank ${formatCents(bankHolds)}: that is not zero together`,
    )
  }
  checkMovements(tx, expected, problems)
  checkTotals(tx, expected, problems)
  return {
    accounts: tx.count(),
    entries: tx.table(entries).count(),
    movements: tx.table(movements).count(),
    customersHold,
    bankHolds,
    problems,
  }
}

/** Adds up the entries of each account. An entry that its movement does not account for is wrong. */
function sumEntries(tx: Transaction<string, Account>, problems: string[]): Map<string, Sum> {
  const journal = tx.table(movements)
  const sums = new Map<string, Sum>()
  for (const [[account, day, id], cents] of tx.table(entries).entries()) {
    const sum = sums.get(account) ?? { cents: 0, entries: 0 }
    sum.cents += cents
    sum.entries++
    sums.set(account, sum)
    const movement = journal.get(id)
    const due = movement === undefined || movement.day !== day ? undefined : amountIn(account, movement)
    if (due === undefined) {
      problems.push(`account ${account} has an entry of ${day} for movement ${id}, which made none there`)
    } else if (due !== cents) {
      problems.push(`account ${account} has ${formatCents(cents)} for movement ${id}, not ${formatCents(due)}`)
    }
  }
  return sums
}

/** What a movement changes in an account; undefined if it does not touch it. */
function amountIn(account: string, movement: Movement): Cents | undefined {
  if (account === movement.account) return movement.cents
  return account === BANK ? -movement.cents : undefined
}

/** Every balance is the sum of its entries. Returns what the customers hold. */
function checkBalances(tx: Transaction<string, Account>, sums: Map<string, Sum>, problems: string[]): Cents {
  const check = (account: string, balance: Cents): void => {
    const cents = sums.get(account)?.cents ?? 0
    if (balance === cents) return
    problems.push(`account ${account} holds ${formatCents(balance)}, but its entries come to ${formatCents(cents)}`)
  }
  let hold = 0
  for (const [account, { balance, entries: count }] of tx.entries()) {
    hold += balance
    check(account, balance)
    const found = sums.get(account)?.entries ?? 0
    if (count !== found) problems.push(`account ${account} counts ${count} entries, but has ${found}`)
  }
  check(BANK, total(tx, ['balance', BANK]))
  for (const account of sums.keys()) {
    if (account !== BANK && !tx.has(account)) problems.push(`account ${account} has entries, but no balance`)
  }
  return hold
}

/** Every movement that should be there is, as it was, with both its entries; and there are no others. */
function checkMovements(tx: Transaction<string, Account>, expected: readonly Movement[], problems: string[]): void {
  const journal = tx.table(movements)
  const ids = new Set<number>()
  for (const movement of expected) {
    const { id, account, day, cents } = movement
    if (ids.has(id)) problems.push(`movement ${id} was posted twice`)
    ids.add(id)
    const found = journal.get(id)
    if (found === undefined) problems.push(`movement ${id} is missing`)
    else if (!isDeepStrictEqual(found, movement)) problems.push(`movement ${id} is not what was posted`)
    for (const side of [account, BANK]) {
      const due = side === BANK ? -cents : cents
      if (tx.table(entries).get([side, day, id]) === due) continue
      problems.push(`movement ${id} has no entry of ${formatCents(due)} in account ${side}`)
    }
  }
  for (const id of journal.keys()) if (!ids.has(id)) problems.push(`movement ${id} is there, but was never posted`)
}

/** The totals by day and by kind are what the movements come to. */
function checkTotals(tx: Transaction<string, Account>, expected: readonly Movement[], problems: string[]): void {
  const due = { day: new Map<string, Cents>(), kind: new Map<string, Cents>() }
  for (const { day, kind, cents } of expected) {
    due.day.set(day, (due.day.get(day) ?? 0) + cents)
    due.kind.set(kind, (due.kind.get(kind) ?? 0) + cents)
  }
  for (const what of ['day', 'kind'] as const) {
    for (const [of, cents] of due[what]) {
      const found = total(tx, [what, of])
      if (found === cents) continue
      problems.push(`the total of ${what} ${of} is ${formatCents(found)}, not ${formatCents(cents)}`)
    }
    for (const [, of] of tx.table(totals).keys({ prefix: [what] })) {
      if (!due[what].has(of)) problems.push(`there is a total of ${what} ${of}, but no movement`)
    }
  }
}

function total(tx: Transaction<string, Account>, key: TotalKey): Cents {
  return tx.table(totals).get(key) ?? 0
}
