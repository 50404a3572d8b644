/**
 * Write skew: what snapshot isolation lets through, and serializability does not.
 *
 * A customer has two accounts of 100 each, either of which may be overdrawn as long as the two together are not below zero.
 * Two withdrawals of 150 come in at once, one from each account. Either alone keeps the rule. Both look at both accounts, find
 * 200, and write to different accounts, so neither overwrites the other; but together they break the rule, which no order of
 * one after the other could have done. Under snapshot isolation both commit. A serializable database lets one of them commit;
 * the other runs again, finds 50, and declines.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Database, type Isolation, type Reader, table, type Table, type Transaction } from 'varve'
import type { Cents } from './money.ts'

type AccountKey = readonly [customer: number, account: 'current' | 'savings']

const balances: Table<AccountKey, Cents> = table('balances')
const OPENING_BALANCE: Cents = 100_00
const WITHDRAWAL: Cents = 150_00

export interface WriteSkew {
  readonly rounds: number
  /** Rounds after which a customer's two accounts were below zero together. */
  readonly broken: number
  /** Commits that the database refused. */
  readonly refused: number
}

/** Lets two withdrawals of one customer meet, once for each of `rounds` customers. */
export async function tryWriteSkew(isolation: Isolation, rounds: number): Promise<WriteSkew> {
  await using db = await Database.open({ isolation })
  const handle = db.handle(balances)
  let broken = 0
  for (let customer = 0; customer < rounds; customer++) {
    await handle.set([customer, 'current'], OPENING_BALANCE)
    await handle.set([customer, 'savings'], OPENING_BALANCE)
    await Promise.all([
      handle.transaction((tx) => withdraw(tx, [customer, 'current'])),
      handle.transaction((tx) => withdraw(tx, [customer, 'savings'])),
    ])
    if (together(handle, customer) < 0) broken++
  }
  return { rounds, broken, refused: db.stats().transactions.conflicts }
}

/** Withdraws if the rule allows it, as far as this transaction can see. */
async function withdraw(tx: Transaction<AccountKey, Cents>, from: AccountKey): Promise<boolean> {
  const available = together(tx, from[0])
  await nextTurn()
  if (available < WITHDRAWAL) return false
  tx.update(from, (balance = 0) => balance - WITHDRAWAL)
  return true
}

function together(reader: Reader<AccountKey, Cents>, customer: number): Cents {
  let sum = 0
  for (const cents of reader.values({ prefix: [customer] })) sum += cents
  return sum
}
