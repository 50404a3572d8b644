/** Many clients that post one journal together, all in this process, each one movement at a time. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Database, Key } from 'varve'
import { post, trialBalance } from './posting.ts'
import { accounts, type Movement } from './tables.ts'

/** How often all balances are added up while the clients are at work. */
const SPOT_CHECK_INTERVAL_MS = 100

export interface Work {
  readonly journal: readonly Movement[]
  readonly clients: number
  /** Ends the work early; what has been begun is finished. */
  readonly stop?: AbortSignal
  /** Called for each movement whose commit has been acknowledged. */
  readonly onPosted?: (movement: Movement, done: number) => void
}

export interface Outcome {
  /** The movements whose transactions have committed. */
  readonly posted: readonly Movement[]
  readonly wallMs: number
  /** Of each transaction from its begin to its commit, retries included; ascending. */
  readonly latenciesMs: Float64Array
  readonly commits: number
  readonly conflicts: number
  readonly retries: number
  /** How often all balances were added up meanwhile, and how often that did not come to zero. */
  readonly spotChecks: { readonly done: number; readonly failed: number }
}

/** Posts the journal. Rejects with the first error of any client, which ends the work of all. */
export async function postJournal(db: Database<Key, unknown>, work: Work): Promise<Outcome> {
  const { journal, clients, stop, onPosted } = work
  const ledger = db.handle(accounts)
  const posted: Movement[] = []
  const latenciesMs = new Float64Array(journal.length)
  let next = 0

  const client = async (): Promise<void> => {
    for (;;) {
      const movement = stop?.aborted === true ? undefined : journal[next++]
      if (movement === undefined) return
      const begunAtMs = performance.now()
      // However busy an account is, every movement is posted in the end.
      await ledger.transaction((tx) => post(tx, movement, () => nextTurn()), { retries: Infinity })
      latenciesMs[posted.length] = performance.now() - begunAtMs
      posted.push(movement)
      onPosted?.(movement, posted.length)
    }
  }

  // A read-only transaction on a safe snapshot sees all accounts as of one moment, and costs the clients nothing.
  const spotChecks = { done: 0, failed: 0 }
  const inspector = setInterval(() => {
    spotChecks.done++
    if (ledger.transactionSync(trialBalance, { readOnly: 'safe' }) !== 0) spotChecks.failed++
  }, SPOT_CHECK_INTERVAL_MS)

  const before = db.stats().transactions
  const begunAtMs = performance.now()
  try {
    await Promise.all(Array.from({ length: clients }, client))
  } finally {
    next = journal.length
    clearInterval(inspector)
  }
  const wallMs = performance.now() - begunAtMs
  const after = db.stats().transactions
  return {
    posted,
    wallMs,
    latenciesMs: latenciesMs.subarray(0, posted.length).sort(),
    commits: after.commits - before.commits,
    conflicts: after.conflicts - before.conflicts,
    retries: after.retries - before.retries,
    spotChecks,
  }
}
