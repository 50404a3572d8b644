/** Ends what has been open for too long: at every begin and commit, and by a timer when there are none. */
import { VarveError } from '../errors.ts'
import type { ActiveList } from './active.ts'
import { SAFE, type Txn, UPDATE } from './transaction.ts'

/** Whose transactions are too old. */
export interface Ageing {
  /** All that is open. */
  readonly lists: readonly ActiveList[]
  readonly counters: { expired: number }
  terminate(txn: Txn, reason: VarveError): boolean
}

/** Longest ages in ms; Infinity if there is no limit. */
export interface AgeOptions {
  readonly now: () => number
  readonly maxTransactionAgeMs: number
  readonly maxSnapshotAgeMs: number
}

const SHORTEST_CHECK_MS = 10
/** What a timer can hold. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

export class AgeLimits {
  private readonly engine: Ageing
  private readonly options: AgeOptions
  private readonly timer: ReturnType<typeof setInterval>
  private nextCheckMs = -Infinity

  constructor(engine: Ageing, options: AgeOptions) {
    this.engine = engine
    this.options = options
    const shortest = Math.min(options.maxTransactionAgeMs, options.maxSnapshotAgeMs)
    this.timer = watch(new WeakRef(this), Math.min(Math.max(shortest / 2, SHORTEST_CHECK_MS), LONGEST_TIMER_MS))
  }

  /** null where ages have no limit. */
  static of(engine: Ageing, options: AgeOptions): AgeLimits | null {
    const isLimited = options.maxTransactionAgeMs !== Infinity || options.maxSnapshotAgeMs !== Infinity
    return isLimited ? new AgeLimits(engine, options) : null
  }

  /** Ends what is older than the limits. Looks at all that is open, but no more often than every few ms. */
  enforce(): void {
    const { now, maxTransactionAgeMs, maxSnapshotAgeMs } = this.options
    const nowMs = now()
    if (nowMs < this.nextCheckMs) return
    this.nextCheckMs = nowMs + SHORTEST_CHECK_MS
    const { engine } = this
    for (const list of engine.lists) {
      for (let txn = list.first; txn !== null;) {
        const next: Txn | null = txn.next
        const limit = txn.mode === UPDATE ? maxTransactionAgeMs : maxSnapshotAgeMs
        if (nowMs - txn.startedAt > limit) {
          engine.counters.expired++
          const what = txn.mode === SAFE ? 'snapshot' : `transaction ${txn.id}`
          const remedy = txn.mode === SAFE ? 'take another one' : 'run it again'
          const message = `${what} has been open for more than the limit of ${limit} ms; ${remedy}`
          engine.terminate(txn, new VarveError('SNAPSHOT_TOO_OLD', message))
        }
        txn = next
      }
    }
  }

  stop(): void {
    clearInterval(this.timer)
  }
}

/** Holds the limits, and with them the engine, weakly: a forgotten database is collected. */
function watch(limits: WeakRef<AgeLimits>, everyMs: number): ReturnType<typeof setInterval> {
  const timer = setInterval(() => {
    const alive = limits.deref()
    if (alive === undefined) clearInterval(timer)
    else alive.enforce()
  }, everyMs)
  return timer.unref()
}
