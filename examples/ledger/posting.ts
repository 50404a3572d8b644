/** Posting one movement: the transaction that everything else here is about. */
import type { Transaction } from 'varve'
import type { Cents } from './money.ts'
import { type Account, BANK, entries, type Movement, movements, totals } from './tables.ts'

const NEW_ACCOUNT: Account = { balance: 0, entries: 0 }

/**
 * Moves the money between a customer and the bank, in two entries that sum to zero.
 *
 * It awaits `approval` halfway, as a client does that asks another service. Nobody waits for it: others post meanwhile, to
 * the same account too. If what this transaction has read no longer holds when it commits, it does not commit, and
 * `transaction()` runs it again. So there are no locks here, and the code may read, think and write as if it were alone.
 */
export async function post(
  tx: Transaction<string, Account>,
  movement: Movement,
  approval: () => Promise<unknown>,
): Promise<void> {
  const { id, account, day, cents, kind } = movement

  // That the movement is absent is something read, like any value: two that post it at once cannot both succeed.
  const journal = tx.table(movements)
  if (journal.has(id)) throw new Error(`movement ${id} has been posted before`)
  journal.set(id, movement)

  // Read, wait, write: of two clients that do so with one account at the same time, one has to run again.
  const { balance, entries: count } = tx.get(account) ?? NEW_ACCOUNT
  await approval()
  tx.set(account, { balance: balance + cents, entries: count + 1 })

  const ledger = tx.table(entries)
  ledger.set([account, day, id], cents)
  ledger.set([BANK, day, id], -cents)

  // Every movement changes the bank's balance. Read and written like the customer's, it would let one client through at a
  // time; merges are added up at the commit, read nothing, and never conflict with each other.
  const sums = tx.table(totals)
  sums.merge(['balance', BANK], -cents)
  sums.merge(['day', day], cents)
  sums.merge(['kind', kind], cents)
}

/** What all accounts together hold. Money only moves, so it is zero in every consistent state of the ledger. */
export function trialBalance(tx: Transaction<string, Account>): Cents {
  let sum = tx.table(totals).get(['balance', BANK]) ?? 0
  for (const account of tx.values()) sum += account.balance
  return sum
}
