/**
 * What takes away entries that have expired. Nobody sees them any more, so this is only about room: `get`, scans and the
 * certifier go by the instant of the reader, whether or not the sweeper runs.
 *
 * It finds them by deadline, in memory in a heap of entry ids, in the cold tier by the least expiry of each block, and never
 * looks at what has not expired. What it takes together is one commit: the sequence advances, the log has the deletions, sizes
 * shrink, the feed tells of it with the cause 'expire'. It needs no certification:
 *
 * S1  An entry is taken only if every open transaction whose snapshot has its version sees it as expired, so taking it changes
 *     nothing for anybody.
 * S2  And only if it has no history (chain, marks) and its sequence is at or below the horizon: then no edge of the dependency
 *     graph can have to pass through it, and it goes at once; above a base it leaves a tombstone that hides what is there.
 * S3  What cannot be taken yet gets a later deadline, which moves away as it goes on waiting: an entry that waits for long is
 *     looked at a number of times that grows with the logarithm of its wait. A vacuum looks at all of them.
 * S4  A slice lasts about a millisecond, and the next one comes by itself, also where nothing else happens. No timer keeps a
 *     process, or a forgotten database, alive.
 */
import type { DeadlineHeap } from '../eviction/index.ts'
import { nextTurn } from '../next-turn.ts'
import type { ColdTier, ExpiredEntry } from '../runs/index.ts'
import type { LogWriter } from '../wal/index.ts'
import type { ActiveList } from './active.ts'
import { CHUNK_BITS, type Chunk } from './chunk.ts'
import type { EngineDisk } from './engine.ts'
import type { Feed } from './feed.ts'
import type { GarbageQueue } from './garbage.ts'
import type { LazyReaders } from './lazy.ts'
import type { SnapshotSet } from './snapshots.ts'
import { appendSizes } from './staging.ts'
import type { TableStore } from './store.ts'
import { DELETE, Pending } from './write-set.ts'

/** What the sweeper needs of the engine. */
export interface Sweepable {
  clock: number
  readonly deadlines: DeadlineHeap
  readonly chunks: readonly Chunk[]
  readonly stores: readonly TableStore[]
  readonly snapshots: SnapshotSet
  readonly garbage: GarbageQueue
  readonly lists: readonly ActiveList[]
  readonly lazy: LazyReaders
  readonly feed: Feed | null
  readonly horizon: number
  timeMs(): number
  /** Called after each commit of the sweeper, which took away so many keys. */
  swept(sequence: number, keys: number): void
}

/** Most keys that one commit takes away, and most looks at entries for it. */
const BATCH_KEYS = 128
const BATCH_LOOKS = 1024
const SLICE_MS = 1
/** Between two slices that found something, so that what expires one by one goes in batches. */
const LEAST_SLEEP_MS = 10
/** First wait of an entry that cannot go yet. */
const LEAST_WAIT_MS = 100
/** What a timer can hold. */
const LONGEST_TIMER_MS = 2 ** 31 - 1
/** Cold entries remembered of tables that this session has not opened; more are found again at the next opening. */
const MOST_UNOPENED = 10_000

export class Sweeper {
  /** Keys taken away so far. */
  swept = 0
  private readonly engine: Sweepable
  private readonly tier: ColdTier | null
  private readonly log: LogWriter | null
  private readonly now: () => number
  /** Longest sleep while anything may expire, ms; 0: only {@link drain} sweeps. */
  private readonly intervalMs: number
  private timer: ReturnType<typeof setTimeout> | null = null
  private isStopped: boolean
  /** Ids of entries that wait (S3), and of some that do no longer. */
  private readonly waiting: Set<number> = new Set()
  private unopened: ExpiredEntry[] = []
  private readonly found: ExpiredEntry[] = []
  private readonly batch: number[] = []
  /** Snapshots of open transactions, ascending, and the earliest instant among those from there on. */
  private openSequences: number[] = []
  private openInstants: number[] = []

  /** `disk`: null in memory; without a log nothing may be written. */
  constructor(engine: Sweepable, disk: EngineDisk | null, now: () => number, intervalMs: number) {
    this.engine = engine
    this.tier = disk === null ? null : disk.tier
    this.log = disk === null ? null : disk.log
    this.isStopped = disk !== null && disk.log === null
    this.now = now
    this.intervalMs = Math.min(intervalMs, LONGEST_TIMER_MS)
  }

  /** Whether anything that is there expires. */
  get hasDeadlines(): boolean {
    return this.engine.deadlines.size > 0 || (this.tier !== null && this.tier.expiring > 0)
  }

  /** Sees to it that the sweeper wakes if anything may expire. Called after commits: the common case is one look. */
  arm(): void {
    if (this.timer !== null || this.intervalMs === 0 || this.isStopped) return
    const next = Math.min(this.engine.deadlines.firstAt, this.tier === null ? Infinity : this.tier.nextExpiry())
    if (next === Infinity) return
    // A clock of the application's own may leap, so it is asked every now and then however far away the deadline is.
    const sleepMs = Math.min(Math.max(next - this.engine.timeMs(), LEAST_SLEEP_MS), this.intervalMs)
    const weak = new WeakRef(this)
    this.timer = setTimeout(wake, sleepMs, weak).unref()
  }

  /** For the timer: one slice, then a sleep or the next slice. */
  slice(): void {
    this.timer = null
    if (this.isStopped) return
    let isMore = false
    try {
      isMore = this.work()
    } catch {
      // A block that cannot be read, or no memory for a record: what is in it stays expired, and whoever reads it is told.
    }
    // Not setImmediate: one that keeps no process alive wakes no event loop that waits.
    if (isMore) this.timer = setTimeout(wake, 0, new WeakRef(this)).unref()
    else this.arm()
  }

  /** Takes away everything that may go now, slice by slice. Throws what keeps it from it. */
  async drain(): Promise<void> {
    await this.recall()
    while (this.work()) await nextTurn()
  }

  stop(): void {
    this.isStopped = true
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
  }

  /** One slice; returns whether there is more to do at once. */
  private work(): boolean {
    const { engine } = this
    const until = this.now() + SLICE_MS
    // Who waits for a snapshot gets it now, so that it is among those that are looked at. Nobody begins during a slice.
    if (engine.lazy.size > 0) engine.lazy.promoteAll()
    this.lookAround()
    do {
      if (this.isStopped || this.mustWait) return false
      const timeMs = engine.timeMs()
      const looks = this.collect(timeMs)
      if (this.batch.length > 0) this.commit(timeMs)
      else if (looks === 0 && !this.warm(timeMs)) return false
    } while (this.now() < until)
    return true
  }

  /** Whether the log is not to be written now: too much waits for the disk, there is no room, or it is poisoned. */
  private get mustWait(): boolean {
    return this.log !== null && (this.log.poisoned !== null || this.log.obstacle !== null || this.log.crowded)
  }

  /** Fills the batch from the heap; returns how many entries were looked at. */
  private collect(timeMs: number): number {
    const { batch, engine } = this
    const { deadlines, horizon } = engine
    batch.length = 0
    let looks = 0
    while (batch.length < BATCH_KEYS && looks < BATCH_LOOKS && deadlines.firstAt <= timeMs) {
      const id = deadlines.first
      looks++
      deadlines.remove(id)
      if (this.isFree(id, horizon)) {
        batch.push(id)
        if (this.waiting.size > 0) this.waiting.delete(id)
      } else this.postpone(id, timeMs)
    }
    return looks
  }

  /** S3. */
  private postpone(id: number, timeMs: number): void {
    const expiresAt = this.storeOf(id).expiryOf(id)
    this.engine.deadlines.set(id, timeMs + Math.max(LEAST_WAIT_MS, timeMs - expiresAt))
    this.waiting.add(id)
  }

  /** Gives everything that waits its own deadline again. By now an id may mean another entry, or none: what it says counts. */
  private async recall(): Promise<void> {
    const { deadlines } = this.engine
    let until = this.now() + SLICE_MS
    for (const id of [...this.waiting]) {
      this.waiting.delete(id)
      if (deadlines.has(id)) this.storeOf(id).queueExpiry(id)
      if (this.now() < until) continue
      await nextTurn()
      until = this.now() + SLICE_MS
    }
  }

  private storeOf(id: number): TableStore {
    return (this.engine.chunks[id >>> CHUNK_BITS] as Chunk).store
  }

  /** S1 and S2. */
  private isFree(id: number, horizon: number): boolean {
    const store = this.storeOf(id)
    const sequence = store.sequenceOf(id)
    if (sequence > horizon || store.metaOf(id) !== undefined) return false
    return store.expiryOf(id) <= this.earliestInstant(sequence)
  }

  /** Notes which snapshots are open, and which instants they see. */
  private lookAround(): void {
    const open: { readonly snapshot: number; readonly instant: number }[] = []
    for (const list of this.engine.lists) for (let txn = list.first; txn !== null; txn = txn.next) open.push(txn)
    open.sort((a, b) => a.snapshot - b.snapshot)
    this.openSequences = open.map(({ snapshot }) => snapshot)
    this.openInstants = open.map(({ instant }) => instant)
    for (let i = open.length - 2; i >= 0; i--) {
      const next = this.openInstants[i + 1] as number
      if (next < (this.openInstants[i] as number)) this.openInstants[i] = next
    }
  }

  /** The earliest instant that anybody sees whose snapshot has the commit; Infinity if nobody's has. */
  private earliestInstant(sequence: number): number {
    const { openSequences } = this
    let low = 0
    let high = openSequences.length
    while (low < high) {
      const mid = (low + high) >>> 1
      if ((openSequences[mid] as number) < sequence) low = mid + 1
      else high = mid
    }
    return low === openSequences.length ? Infinity : (this.openInstants[low] as number)
  }

  /** Takes the batch away in one commit. */
  private commit(timeMs: number): void {
    const { engine, batch, log } = this
    if (log !== null) this.stage(log, timeMs)
    const sequence = ++engine.clock
    for (const id of batch) {
      const store = this.storeOf(id)
      if (engine.feed !== null) {
        const pending = new Pending(store.keyOf(id))
        pending.kind = DELETE
        pending.entry = id
        engine.feed.add(store, pending, timeMs)
      }
      if (store.sweep(id, sequence, engine.snapshots)) engine.garbage.addTombstone(store, id, sequence)
      else engine.garbage.counters.keys++
    }
    if (engine.feed !== null) engine.feed.record(sequence, timeMs, 'expire')
    if (log !== null) {
      for (const store of engine.stores) appendSizes(log, store)
      log.end(sequence)
    }
    this.swept += batch.length
    engine.swept(sequence, batch.length)
  }

  /** Encodes the deletions before anything changes. If that fails, everything waits as before. */
  private stage(log: LogWriter, timeMs: number): void {
    try {
      log.begin(timeMs)
      for (const id of this.batch) {
        const store = this.storeOf(id)
        log.remove(store.spec.id, store.keyOf(id), true)
      }
    } catch (error) {
      log.cancel()
      for (const id of this.batch) this.postpone(id, timeMs)
      throw error
    }
  }

  /** Loads what has expired in the next block of the cold tier, so that it is found in the heap; false if nothing has. */
  private warm(timeMs: number): boolean {
    const { tier, found } = this
    if (tier === null) return false
    found.length = 0
    if (this.unopened.length > 0) this.takeOpened()
    const isDue = tier.nextExpiry() <= timeMs
    const failures: unknown[] = []
    const attempt = (step: () => void): void => {
      try {
        step()
      } catch (error) {
        failures.push(error)
      }
    }
    // Each is given out once, so that one which cannot be read must not keep the others from being taken.
    if (isDue) attempt(() => tier.sweepCandidates(timeMs, 1, found))
    for (const entry of found) attempt(() => this.load(entry))
    if (failures.length > 0) throw failures[0]
    return isDue || found.length > 0
  }

  /** Moves what belongs to tables that have been opened since to what was found. */
  private takeOpened(): void {
    const { stores } = this.engine
    const isOpen = ({ table }: ExpiredEntry): boolean => stores.some((store) => store.spec.id === table)
    if (!this.unopened.some(isOpen)) return
    this.found.push(...this.unopened.filter(isOpen))
    this.unopened = this.unopened.filter((entry) => !isOpen(entry))
  }

  private load(entry: ExpiredEntry): void {
    const store = this.engine.stores.find(({ spec }) => spec.id === entry.table)
    if (store !== undefined) store.find(entry.key)
    else if (this.unopened.length < MOST_UNOPENED) this.unopened.push(entry)
  }
}

function wake(weak: WeakRef<Sweeper>): void {
  weak.deref()?.slice()
}
