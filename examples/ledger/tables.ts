/**
 * What the ledger keeps: four typed tables of one database. A transaction may read and write them all, and either all of
 * it is there afterwards or nothing.
 */
import { codecs, keys, merges, table, type Table } from 'varve'
import type { Cents } from './money.ts'

/** A customer's account. */
export interface Account {
  readonly balance: Cents
  /** How many entries made that balance. */
  readonly entries: number
}

/** One movement of money, as the journal has it. */
export interface Movement {
  /** Number of the movement; no two have the same. */
  readonly id: number
  /** Day of the movement, `1993-01-31`. */
  readonly day: string
  /** The customer's account. */
  readonly account: string
  /** From the customer's view: a credit is positive. */
  readonly cents: Cents
  readonly kind: string
}

/** Entries of one account lie side by side, by day: `entries({ prefix: ['2378'] })` is a statement of account. */
export type EntryKey = readonly [account: string, day: string, movement: number]

/** `['day', '1993-01-31']`, `['kind', 'interest']`, `['balance', 'bank']`. */
export type TotalKey = readonly [what: 'day' | 'kind' | 'balance', of: string]

/** Balances of the customers, by account. */
export const accounts: Table<string, Account> = table('accounts')

/** The journal: every movement posted, by its number. */
export const movements: Table<number, Movement> = table('movements', { key: keys.float64() })

/** Two entries for each movement: one in the customer's account, one with the opposite sign in the bank's. */
export const entries: Table<EntryKey, Cents> = table('entries', {
  key: keys.tuple(keys.string(), keys.string(), keys.float64()),
  value: codecs.float64(),
})

/** Sums that everybody adds to and nobody reads meanwhile: merging a number into one conflicts with no other merge. */
export const totals: Table<TotalKey, Cents> = table('totals', { value: codecs.float64(), merge: merges.sum })

/** The bank's counter-account, the other side of every movement. Its balance is one of the totals. */
export const BANK = 'bank'
