/**
 * When garbage is worked off: a bounded amount after each transaction, the rest in slices of about a millisecond.
 *
 * What may go is the queue's business (garbage.ts); this is only about time. Nothing here blocks the event loop for longer
 * than a slice, and no timer keeps a process alive.
 */
import { nextTurn } from '../next-turn.ts'
import type { GarbageQueue } from './garbage.ts'
import type { SnapshotSet } from './snapshots.ts'
import type { TableStore } from './store.ts'

/** What the cleaner needs of the engine. */
export interface Cleanable {
  readonly garbage: GarbageQueue
  readonly snapshots: SnapshotSet
  readonly stores: readonly TableStore[]
  readonly horizon: number
}

/** Items worked off right after a transaction. */
const INLINE_ITEMS = 64
/** Items between two looks at the clock, and how long a slice lasts. */
const SLICE_ITEMS = 256
const SLICE_MS = 1
/** More than this is worked off as soon as the event loop turns. */
const BACKLOG_ITEMS = 4096

export class Cleaner {
  private readonly engine: Cleanable
  private readonly now: () => number
  /** null: only {@link drain} cleans. */
  private readonly intervalMs: number | null
  private timer: ReturnType<typeof setTimeout> | null = null
  /** For the next turn of the event loop. Not setImmediate: one that keeps no process alive wakes no event loop that waits. */
  private scheduled: ReturnType<typeof setTimeout> | null = null

  constructor(engine: Cleanable, now: () => number, intervalMs: number | null) {
    this.engine = engine
    this.now = now
    this.intervalMs = intervalMs
  }

  /** After a transaction: works off a little, and sees to it that the rest is. */
  tick(): void {
    const { garbage } = this.engine
    if (this.intervalMs === null || garbage.isEmpty) return
    const { horizon } = this.engine
    if (garbage.pending(horizon) === 0) return
    garbage.drain(INLINE_ITEMS, horizon)
    const left = garbage.pending(horizon)
    if (left > BACKLOG_ITEMS) this.scheduled ??= setTimeout(() => this.slice(), 0).unref()
    else if (left > 0) this.timer ??= setTimeout(() => this.slice(), this.intervalMs).unref()
  }

  /** Works off garbage for about a millisecond and comes back if there is more. */
  private slice(): void {
    this.stop()
    if (this.work()) this.scheduled = setTimeout(() => this.slice(), 0).unref()
  }

  /** One slice; returns whether something is left. */
  private work(): boolean {
    const { garbage, snapshots, stores } = this.engine
    const until = this.now() + SLICE_MS
    while (garbage.drain(SLICE_ITEMS, this.engine.horizon) >= SLICE_ITEMS) if (this.now() >= until) return true
    for (const store of stores) {
      store.sizes.prune(snapshots)
      store.places.shed()
    }
    return false
  }

  /** Works off everything that may go now, slice by slice; resolves to how much went. */
  async drain(): Promise<{ versions: number; keys: number }> {
    const { counters } = this.engine.garbage
    const { versions, keys } = counters
    while (this.work()) await nextTurn()
    return { versions: counters.versions - versions, keys: counters.keys - keys }
  }

  /** Works off everything that may go now, at once: for when room is needed. */
  drainNow(): void {
    if (this.intervalMs !== null) this.engine.garbage.drain(Infinity, this.engine.horizon)
  }

  /** Cancels what is scheduled. */
  stop(): void {
    if (this.timer !== null) clearTimeout(this.timer)
    if (this.scheduled !== null) clearTimeout(this.scheduled)
    this.timer = null
    this.scheduled = null
  }
}
