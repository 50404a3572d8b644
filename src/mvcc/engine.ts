/**
 * The engine: one commit clock over all tables, and the commit section.
 *
 * Everything runs on one thread and the commit section has no await in it, so it is atomic without a lock:
 *
 *   prepare   find entries, compute merged values        (may run user code: merge operators; may load from disk)
 *   stage     encode the record of the log
 *   place     values into memory outside of the heap     (whatever can fail has been done after it)
 *   certify   favour, first committer wins, serializability
 *   end       the transaction gives up its snapshot
 *   install   versions into the columns, at clock + 1
 *   append    the record to the log's buffer; to be on disk is somebody else's wait
 *   clean     what that made garbage, a bounded amount
 *   notify    listeners, in a microtask
 *
 * I1  `clock` is the sequence of the newest commit; every head in every table is at or below it.
 * I2  A tracked transaction is in `updates` or `readers` exactly while it is active.
 */
import { VarveError } from '../errors.ts'
import { DeadlineHeap } from '../eviction/index.ts'
import type { Bounds } from '../keys/index.ts'
import type { LogWriter } from '../wal/index.ts'
import { ActiveList } from './active.ts'
import { AgeLimits } from './ages.ts'
import { type Base, type BaseHold, type BasePart, type BaseTable, TierBase } from './base.ts'
import { Certifier } from './certifier.ts'
import { checkDeadlines, checkPins } from './check.ts'
import type { Chunk } from './chunk.ts'
import { Cleaner } from './cleaner.ts'
import { Conflict } from './conflict.ts'
import { ScanCursor } from './cursor.ts'
import { Feed, type FeedReader } from './feed.ts'
import type { EngineCounters, EngineDisk, EngineListener, EngineOptions } from './engine-options.ts'
import { Evictor } from './evictor.ts'
import { type Favour, FavourBoard } from './favour.ts'
import { firstCommitterWins } from './first-committer.ts'
import { GarbageQueue } from './garbage.ts'
import { Graph } from './graph.ts'
import { LazyReaders } from './lazy.ts'
import { compactColumns } from './column-compaction.ts'
import { compactMemory, RoomWatch } from './memory-compaction.ts'
import { install, installAlone } from './install.ts'
import type { Node } from './node.ts'
import type { OffHeap } from './off-heap.ts'
import { placeWrites, unplaceWrites } from './placing.ts'
import { Residency } from './residency.ts'
import { Retention } from './retention.ts'
import { SafePoint } from './safe-point.ts'
import { type SnapshotSlot, SnapshotSet } from './snapshots.ts'
import { appendSizes, type BlindWrite, findEntries, stageOne } from './staging.ts'
import { TableStore, type TableSpec } from './store.ts'
import { Sweeper } from './sweeper.ts'
import { ABORTED, ACTIVE, COMMITTED, PREPARING, READER, SAFE, Txn, type TxnMode, UPDATE } from './transaction.ts'
import { DELETE, expiryAfter, KEEP, MERGE, NONE, Operands, Pending, SET } from './write-set.ts'

export type { EngineCounters, EngineDisk, EngineListener, EngineOptions }

export class Engine {
  /** I1. */
  clock: number
  readonly options: EngineOptions
  readonly snapshots: SnapshotSet
  readonly graph: Graph
  readonly garbage: GarbageQueue
  readonly favours: FavourBoard = new FavourBoard()
  readonly lazy: LazyReaders = new LazyReaders()
  readonly stores: TableStore[] = []
  /** The columns of all tables: an entry id means one entry of the whole database. */
  readonly chunks: Chunk[] = []
  /** Entries that expire, by when. */
  readonly deadlines: DeadlineHeap = new DeadlineHeap()
  /** Active serializable updates and tracked readers (I2); updates at snapshot isolation; what only holds a snapshot. */
  readonly updates: ActiveList = new ActiveList()
  readonly readers: ActiveList = new ActiveList()
  readonly snapshotUpdates: ActiveList = new ActiveList()
  readonly untracked: ActiveList = new ActiveList()
  readonly counters: EngineCounters = {
    commits: 0,
    readOnlyCommits: 0,
    rollbacks: 0,
    conflicts: 0,
    writeConflicts: 0,
    graphFullConflicts: 0,
    readerConflicts: 0,
    expired: 0,
    leaked: 0,
  }
  listener: EngineListener | null = null
  /** What is in memory and how much of it there may be. */
  readonly residency: Residency
  private readonly evictor: Evictor
  private readonly room: RoomWatch
  /** Commits for those who watch; null while nobody does. */
  feed: Feed | null = null
  readonly lists: readonly ActiveList[] = [this.updates, this.readers, this.snapshotUpdates, this.untracked]
  /** Set while merge operators run. */
  private preparing = false
  private readonly ages: AgeLimits | null
  private readonly certifier: Certifier
  readonly base: Base | null
  private readonly log: LogWriter | null
  private readonly retention: Retention
  private nextTxnId = 1
  /** Whether some table keeps its values outside of the heap. */
  private hasOffHeap = false
  private readonly safe: SafePoint
  /** Set while memory is compacted. */
  private compacting: Promise<number> | null = null
  readonly cleaner: Cleaner
  readonly sweeper: Sweeper

  constructor(options: EngineOptions) {
    this.options = options
    this.snapshots = new SnapshotSet(options.now)
    this.base = options.disk === null ? (options.base ?? null) : new TierBase(options.disk.tier)
    this.log = options.disk === null ? null : options.disk.log
    const onDisk = options.disk === null ? null : options.disk.tier.current.coveredSequence
    this.residency = new Residency(options.memory ?? null, onDisk)
    this.evictor = new Evictor(this, this.residency, onDisk !== null)
    this.room = new RoomWatch(this, this.residency.limit)
    this.clock = options.firstSequence
    this.graph = new Graph(options.graphCap)
    this.certifier = new Certifier(this.graph)
    this.garbage = new GarbageQueue(this.snapshots, this.base)
    this.safe = new SafePoint(options.firstSequence, this.updates, this.snapshots, this.graph, this.garbage)
    this.retention = new Retention(this.graph, this.garbage)
    this.cleaner = new Cleaner(this, options.now, options.vacuumIntervalMs)
    this.ages = AgeLimits.of(this, options)
    this.sweeper = new Sweeper(this, options.disk, options.now, options.sweepIntervalMs ?? 0)
    this.sweeper.arm()
  }

  /** ms since the epoch; never goes back. */
  timeMs(): number {
    return this.options.timeMs()
  }

  /** The instant that a read of the newest state of a table sees; only where something may expire is the clock asked. */
  instantFor(store: TableStore): number {
    return store.expiring ? this.options.timeMs() : -Infinity
  }

  /** What the table lies on, if this engine stands on files. */
  tierTable(id: number): BaseTable {
    return (this.base as TierBase).table(id)
  }

  addTable(spec: TableSpec, base: BasePart | null): TableStore {
    const store = new TableStore(spec, base, this.chunks, this.options.timeMs, this.residency, this.deadlines)
    this.stores.push(store)
    if (store.offHeap !== null) this.hasOffHeap = true
    return store
  }

  // --- begin ------------------------------------------------------------------------------------------------------------

  /** A transaction that may write. */
  begin(serializable: boolean, synchronous: boolean): Txn {
    this.enter()
    const txn = this.start(UPDATE, serializable, synchronous, this.clock)
    if (serializable) this.safe.beforeUpdate(this.clock)
    ;(serializable ? this.updates : this.snapshotUpdates).add(txn)
    return txn
  }

  /**
   * A reader of the newest state. Tracked only while updates are in flight: with none, the newest state is a safe snapshot
   * and stays one.
   */
  beginReader(serializable: boolean, synchronous: boolean): Txn {
    this.enter()
    const tracked = serializable && this.updates.size > 0
    const txn = this.start(tracked ? READER : SAFE, serializable, synchronous, this.clock)
    ;(tracked ? this.readers : this.untracked).add(txn)
    return txn
  }

  /** A reader of the newest safe snapshot: untracked, never refused, costs writers nothing. */
  beginSafe(): Txn {
    this.enter()
    return this.startUntracked(this.safePoint)
  }

  /** A reader of the newest commit, in commit order and untracked: what snapshots and exports stand on. */
  beginSnapshot(): Txn {
    this.enter()
    return this.startUntracked(this.clock)
  }

  /** A reader at a snapshot that somebody holds open already, or at the newest commit; ends nothing that is too old. */
  beginAt(sequence: number): Txn {
    return this.startUntracked(sequence)
  }

  /** Ends a reader that is no transaction of the application's: nobody is told and nothing counted. */
  letGo(txn: Txn): void {
    if (txn.state !== ACTIVE) return
    this.finish(txn, ABORTED)
    this.settle(null)
  }

  /** As {@link beginSnapshot}, for a reader that has been waiting in {@link lazy} since `instant`; may run inside a commit. */
  beginWaiting(instant: number): Txn {
    const txn = this.startUntracked(this.clock)
    if (instant !== -Infinity) txn.instant = instant
    return txn
  }

  /** A cursor on the newest state for a reader that waits in {@link lazy}: it holds no snapshot yet. */
  scanNewest(store: TableStore, bounds: Bounds, level: 'value' | 'existence' = 'value'): ScanCursor {
    return new ScanCursor(store, null, null, this.clock, this.instantFor(store), bounds, null, level)
  }

  /** Keeps what the base says now readable until the transaction that asked ends. */
  holdBase(snapshot: number): BaseHold {
    return (this.base as Base).acquire(snapshot)
  }

  /** Which state of a disk lies below memory: another one once entries have come to lie there. */
  get baseState(): unknown {
    return this.base instanceof TierBase ? this.base.tier.current : null
  }

  /** More is on disk than before: garbage that has waited for it may go. */
  tierGrew(): void {
    if (this.options.disk !== null) this.residency.settle(this.options.disk.tier.current.coveredSequence)
    this.cleaner.tick()
    this.evictor.settle()
    this.sweeper.arm()
  }

  private startUntracked(sequence: number): Txn {
    const txn = this.start(SAFE, true, false, sequence)
    this.untracked.add(txn)
    return txn
  }

  private start(mode: TxnMode, serializable: boolean, synchronous: boolean, sequence: number): Txn {
    const slot = this.snapshots.acquire(sequence, synchronous)
    const startedAt = this.ages === null ? 0 : this.options.now()
    const instant = this.expires ? this.options.timeMs() : -Infinity
    return new Txn(this, this.nextTxnId++, mode, serializable, synchronous, slot, startedAt, this.safePoint, instant)
  }

  /** Comes first in whatever begins or commits: refuses to be entered from a merge operator, and ends what is too old. */
  private enter(): void {
    this.refuseReentry()
    if (this.ages !== null) this.ages.enforce()
  }

  /** Throws if a merge operator, which runs inside a commit, is calling. */
  refuseReentry(): void {
    if (!this.preparing) return
    throw new VarveError('INVALID_ARGUMENT', 'a merge operator used the database; operators must be pure functions')
  }

  /** Whether anything that a transaction may see can expire; what is on disk may before it is met. */
  private get expires(): boolean {
    return this.base !== null || this.deadlines.wasUsed
  }

  /** The newest safe snapshot that is still readable. */
  get safePoint(): number {
    return this.safe.at(this.clock)
  }

  /**
   * At or below it nothing can lie on a future cycle, not even on one through a tracked reader that is still active, and no
   * snapshot-level update has to see it as an overwrite: tombstones and stamps there may be forgotten.
   */
  get horizon(): number {
    const reader = this.readers.first
    const safe = reader === null ? this.safePoint : Math.min(this.safePoint, reader.safeAtBegin)
    return Math.min(safe, this.snapshotUpdates.oldestSnapshot)
  }

  /** Whether a serializable update is active, so that readers of the newest state must leave marks. */
  get hasUpdates(): boolean {
    return this.updates.size > 0
  }

  /** Whether anybody is active in whose way a commit could come. */
  private get hasTracked(): boolean {
    return this.updates.size + this.readers.size > 0
  }

  /** Whether a favour is granted, so that commits that may wait have to ask. */
  get hasFavours(): boolean {
    return this.favours.size > 0
  }

  /** Transactions, snapshots and readers that are active. */
  get openCount(): number {
    return this.updates.size + this.readers.size + this.snapshotUpdates.size + this.untracked.size
  }

  // --- commit -----------------------------------------------------------------------------------------------------------

  /** Commits an active transaction; on a conflict it is rolled back and the conflict returned. */
  commit(txn: Txn): Conflict | null {
    this.enter()
    if (txn.state !== ACTIVE) throw txn.endedBy ?? new Error('varve invariant violated: committed twice')
    const timeMs = this.log !== null || this.expires ? this.options.timeMs() : 0
    const writes = this.prepare(txn)
    if (writes === 0) return this.commitReader(txn)
    if (this.evictor.admit(txn)) findEntries(txn)
    if (this.log !== null) this.stage(this.log, txn, timeMs)
    if (this.hasOffHeap) this.place(txn)
    const conflict = this.certifyUpdate(txn)
    if (conflict instanceof Conflict) {
      this.log?.cancel()
      if (this.hasOffHeap) unplaceWrites(txn.views)
      this.refuse(txn, conflict)
      return conflict
    }
    if (this.lazy.size > 0) this.lazy.promoteAll()
    this.finish(txn, COMMITTED)
    const sequence = ++this.clock
    txn.committedAt = sequence
    for (const view of txn.views) {
      if (view.writes === null) continue
      for (const pending of view.writes.list) {
        if (pending.kind !== NONE) this.installOne(view.store, pending, sequence, conflict, timeMs)
      }
    }
    if (this.feed !== null) this.feed.record(sequence, timeMs, 'commit')
    if (this.log !== null) this.append(this.log, txn, sequence)
    this.counters.commits++
    this.settle(conflict)
    this.listener?.committed(sequence, writes)
    return null
  }

  /** Encodes a commit for the log before anything changes: this may fail for want of memory, what follows may not. */
  private stage(log: LogWriter, txn: Txn, timeMs: number): void {
    log.begin(timeMs)
    for (const { store, writes } of txn.views) {
      if (writes === null) continue
      for (const pending of writes.list) stageOne(log, store, pending)
    }
  }

  /** Takes places for values outside of the heap, which may fail too. */
  private place(txn: Txn): void {
    try {
      placeWrites(txn)
    } catch (error) {
      this.log?.cancel()
      throw error
    }
  }

  /** Closes the record of a commit that has been installed. */
  private append(log: LogWriter, txn: Txn, sequence: number): void {
    for (const { store, writes } of txn.views) if (writes !== null) appendSizes(log, store)
    log.end(sequence)
  }

  /**
   * One write as a transaction of its own, for autocommit: applied before the call returns, never refused (a single blind
   * write has no successors). Returns for DELETE whether there was something to delete.
   */
  writeOne(
    store: TableStore,
    key: Pending['key'],
    kind: typeof SET | typeof DELETE,
    value: unknown,
    size: number,
    ttlMs: number = Infinity,
  ): boolean {
    this.enter()
    const { log } = this
    if (kind === SET && log === null && this.isAlone(store) && this.setAlone(store, key, value, size, ttlMs))
      return true
    const pending = new Pending(key)
    pending.kind = kind
    pending.value = value
    pending.size = size
    pending.entry = store.findFor(pending)
    // Not before: what has just been loaded may be the first here that expires.
    const timeMs = log !== null || store.expiring || ttlMs !== Infinity ? this.options.timeMs() : 0
    pending.expiresAt = expiryAfter(timeMs, ttlMs)
    const present = pending.entry >= 0 && store.isLive(pending.entry, timeMs)
    if (kind === DELETE && !present) return false
    if (pending.entry < 0) this.admitNew(store, 1)
    if (this.evictor.admitOne(store, pending)) pending.entry = store.findResident(key)
    if (log !== null) {
      log.begin(timeMs)
      stageOne(log, store, pending)
    }
    if (store.offHeap !== null && kind === SET) this.placeOne(store.offHeap, pending)
    if (this.lazy.size > 0) this.lazy.promoteAll()
    const node = this.hasTracked ? this.certifyBlind([{ store, pending }], kind === DELETE) : null
    const feed = this.feed === null || this.feed.ignores(store, pending.entry) ? null : this.feed
    if (feed !== null) feed.add(store, pending, timeMs)
    this.put(store, pending, ++this.clock, node)
    if (feed !== null) feed.record(this.clock, timeMs, 'commit')
    if (log !== null) {
      appendSizes(log, store)
      log.end(this.clock)
    }
    this.counters.commits++
    this.settle(node)
    this.listener?.committed(this.clock, 1)
    return present
  }

  /** Whether all that a write of a table has to do is to put the newest state in place, but for watchers: nobody reads or waits. */
  private isAlone(store: TableStore): boolean {
    return this.snapshots.size === 0 && this.lazy.size === 0 && store.base === null && store.offHeap === null
  }

  /** {@link writeOne} of a value in that case; false, and nothing has changed, if the entry has a history or may be watched. */
  private setAlone(store: TableStore, key: Pending['key'], value: unknown, size: number, ttlMs: number): boolean {
    let id = store.seek(key)
    if (this.feed !== null && !this.feed.ignores(store, id)) return false
    if (id < 0) this.admitNew(store, 1)
    else if (store.metaOf(id) !== undefined) return false
    const expiresAt = ttlMs === Infinity ? 0 : expiryAfter(this.options.timeMs(), ttlMs)
    if (this.residency.limit !== Infinity) {
      const own = size + store.entryBytes
      if (this.evictor.admitGrowth(own, id < 0 ? own : size - store.sizeOf(id), id)) id = store.seek(key)
    }
    installAlone(store, key, id, value, size, expiresAt, ++this.clock, this.snapshots)
    this.counters.commits++
    this.settle(null)
    this.listener?.committed(this.clock, 1)
    return true
  }

  // --- eviction ---------------------------------------------------------------------------------------------------------

  /** Evicts a key because the application wants it gone; returns whether it went. */
  evict(store: TableStore, key: Pending['key']): boolean {
    this.enter()
    const id = store.findResident(key)
    if (id < 0 || store.headOf(id) === undefined) return false
    const went = this.evictor.evict(store, id)
    this.cleaner.tick()
    return went
  }

  /**
   * Certifies writes of the newest state that nothing can refuse: they have no successors.
   * @param readsExistence whether they tell somebody what was there
   * @returns null if nobody is active who could meet their trace
   */
  certifyBlind(writes: readonly BlindWrite[], readsExistence: boolean): Node | null {
    if (!this.hasTracked) return null
    const txn = this.start(UPDATE, true, true, this.clock)
    for (const { store, pending } of writes) {
      const view = txn.view(store)
      view.adopt(pending)
      if (readsExistence) view.noteExistence(pending.entry)
    }
    const node = this.certifier.certify(txn, this.clock + 1, false, true, false, this.safePoint) as Node
    this.finish(txn, COMMITTED)
    return node
  }

  private placeOne(offHeap: OffHeap, pending: Pending): void {
    try {
      pending.place = offHeap.place(pending.value)
    } catch (error) {
      this.log?.cancel()
      throw error
    }
  }

  /** Puts one write of a commit in place. */
  installOne(store: TableStore, pending: Pending, sequence: number, node: Node | null, timeMs: number): void {
    if (this.feed !== null) this.feed.add(store, pending, timeMs)
    this.put(store, pending, sequence, node)
  }

  private put(store: TableStore, pending: Pending, sequence: number, node: Node | null): void {
    const dead = install(store, pending, sequence, node, this.snapshots)
    if (dead) this.garbage.addTombstone(store, pending.entry, sequence)
  }

  /** Finds the entries of all pending writes and computes merged values; returns how many writes there are. */
  private prepare(txn: Txn): number {
    let writes = 0
    let merges = false
    // What is loaded here is pinned by nothing yet.
    const { residency } = this
    const { roomMaker } = residency
    residency.roomMaker = null
    try {
      findEntries(txn)
    } finally {
      residency.roomMaker = roomMaker
    }
    for (const view of txn.views) {
      if (view.writes === null) continue
      let created = 0
      for (const pending of view.writes.list) {
        if (pending.kind === NONE) continue
        pending.idle = pending.kind === DELETE && (pending.entry < 0 || view.store.headOf(pending.entry) === undefined)
        if (pending.entry < 0) created++
        if (pending.kind === MERGE) merges = true
        writes++
      }
      if (created > 0) this.admitNew(view.store, created)
    }
    if (merges) this.computeMerges(txn)
    return writes
  }

  /** Throws `CAPACITY_EXCEEDED` if so many more keys do not fit even after all garbage has gone. */
  private admitNew(store: TableStore, count: number): void {
    if (!store.maplet.wouldExceed(count)) return
    this.cleaner.drainNow()
    store.admitNew(count)
  }

  /** Applies merge operators, which are user code: nothing may be begun, written or ended from inside them. */
  private computeMerges(txn: Txn): void {
    this.preparing = true
    txn.state = PREPARING
    try {
      for (const view of txn.views) {
        if (view.writes === null) continue
        for (const pending of view.writes.list) {
          if (pending.kind !== MERGE) continue
          const isThere = pending.entry >= 0 && view.store.isLive(pending.entry, txn.fixInstant())
          const current = isThere ? view.store.headOf(pending.entry) : undefined
          if (pending.expiresAt === KEEP)
            pending.expiresAt = isThere ? view.store.expiryOf(pending.entry) : view.defaultExpiry()
          pending.merged = view.store.applyMerge(pending.key, current, pending.value as Operands)
          pending.mergedSize = view.store.sizeOfEntry(pending.key, pending.merged)
        }
      }
    } finally {
      this.preparing = false
      txn.state = ACTIVE
    }
  }

  private certifyUpdate(txn: Txn): Conflict | Node | null {
    if (this.favours.size > 0 && !txn.synchronous && !txn.nested) {
      const now = this.options.now()
      const favour = this.favours.against(txn, now)
      if (favour !== null) return new Conflict('favoured', txn.id, [], favour.ended(now))
    }
    const overtaken = this.clock > txn.snapshot
    if (!txn.serializable && overtaken) {
      const conflict = firstCommitterWins(txn, this.graph)
      if (conflict !== null) return conflict
    }
    const others = this.othersTracked(txn)
    return this.certifier.certify(txn, this.clock + 1, overtaken, others, false, this.safePoint)
  }

  private isTracked(txn: Txn): boolean {
    return txn.list === this.updates || txn.list === this.readers
  }

  private othersTracked(txn: Txn): boolean {
    return this.updates.size + this.readers.size - (this.isTracked(txn) ? 1 : 0) > 0
  }

  /** Ends a transaction that wrote nothing. */
  private commitReader(txn: Txn): Conflict | null {
    if (this.isTracked(txn) && (this.graph.floor !== Infinity || this.graph.summarisedMax > 0)) {
      const overtaken = this.clock > txn.snapshot
      const conflict = this.certifier.certify(
        txn,
        this.clock,
        overtaken,
        this.othersTracked(txn),
        true,
        txn.safeAtBegin,
      )
      if (conflict instanceof Conflict) {
        this.counters.readerConflicts++
        this.refuse(txn, conflict)
        return conflict
      }
    }
    this.finish(txn, COMMITTED)
    this.counters.readOnlyCommits++
    this.settle(null)
    return null
  }

  private refuse(txn: Txn, conflict: Conflict): void {
    this.counters.conflicts++
    if (conflict.overOneKey) this.counters.writeConflicts++
    if (conflict.reason === 'graph-full') this.counters.graphFullConflicts++
    this.finish(txn, ABORTED)
    this.settle(null)
    this.listener?.aborted(txn, conflict)
  }

  /** Rolls an active transaction back. */
  rollback(txn: Txn): void {
    if (txn.state !== ACTIVE) return
    this.finish(txn, ABORTED)
    this.counters.rollbacks++
    this.settle(null)
    this.listener?.aborted(txn, null)
  }

  /** Rolls back what user code has dropped without ending it. */
  abandon(txn: Txn): void {
    if (txn.state !== ACTIVE) return
    this.counters.leaked++
    this.rollback(txn)
  }

  /** Rolls back on behalf of somebody else: the next call on the transaction gets `reason`. */
  terminate(txn: Txn, reason: VarveError): boolean {
    if (txn.state !== ACTIVE) return false
    txn.endedBy = reason
    this.rollback(txn)
    return true
  }

  // --- end of a transaction -----------------------------------------------------------------------------------------------

  private finish(txn: Txn, state: typeof COMMITTED | typeof ABORTED): void {
    txn.state = state
    if (txn.onEnd !== null) txn.onEnd()
    if (txn.list === this.updates || txn.list === this.readers) this.untrack(txn)
    else txn.list?.remove(txn)
    if (this.residency.pins) for (const view of txn.views) view.unpin()
    const slot = txn.slot as SnapshotSlot
    txn.slot = null
    if (this.snapshots.release(slot)) this.garbage.takeSlot(slot)
    if (txn.hold !== null) {
      this.base?.release(txn.hold)
      txn.hold = null
    }
  }

  private untrack(txn: Txn): void {
    const wasOldestUpdate = txn === this.updates.first
    txn.list?.remove(txn)
    if (wasOldestUpdate) this.safe.oldestEnded(this.clock)
  }

  /** Bookkeeping after an end: readers that became safe, the graph, garbage. */
  private settle(node: Node | null): void {
    if (this.readers.size > 0) this.releaseSafeReaders()
    if (!this.hasTracked) this.retention.clear()
    else if (node !== null)
      this.retention.bound(this.horizon, Math.min(this.updates.oldestSnapshot, this.readers.oldestSnapshot))
    this.cleaner.tick()
    this.evictor.settle()
    if (this.hasOffHeap) this.room.look()
    if (this.deadlines.size > 0) this.sweeper.arm()
    // The safe point may have moved.
    if (this.feed !== null && this.feed.isAwaited) this.feed.moved()
  }

  /** A reader whose snapshot has become safe can lie on no cycle: it need not be tracked any longer. */
  private releaseSafeReaders(): void {
    const oldestUpdate = this.updates.oldestSnapshot
    for (let reader = this.readers.first; reader !== null;) {
      const next: Txn | null = reader.next
      if (reader.snapshot > oldestUpdate) return
      if (this.safe.isSafe(reader.snapshot)) {
        this.untrack(reader)
        this.untracked.add(reader)
      }
      reader = next
    }
  }

  /** The sweeper has committed. */
  swept(sequence: number, keys: number): void {
    this.cleaner.tick()
    this.listener?.committed(sequence, keys)
  }

  /** Works off all garbage that may go now, in slices of about a millisecond of the event loop. */
  async vacuum(): Promise<{ versions: number; keys: number }> {
    const { counters } = this.garbage
    const { versions, keys } = counters
    // Marks that say nothing any more would keep the sweeper from their keys.
    await this.cleaner.drain()
    await this.sweeper.drain()
    await this.cleaner.drain()
    const removed = { versions: counters.versions - versions, keys: counters.keys - keys }
    this.listener?.vacuumed(removed.versions, removed.keys)
    return removed
  }

  /** Whether anybody may remember ids of entries beyond the tick: then none may change. Works off the garbage, which does. */
  get remembersIds(): boolean {
    if (this.hasTracked || this.snapshotUpdates.size > 0 || this.residency.policy !== null) return true
    if (this.garbage.pending(this.horizon) > 0) this.garbage.drain(Infinity, this.horizon)
    return this.garbage.pending(this.horizon) > 0
  }

  /**
   * Moves entries, and values outside of the heap, together, and gives back the memory between; resolves to how many bytes of
   * values. Goes on beside commits.
   */
  compactMemory(): Promise<number> {
    this.compacting ??= this.compactAll().finally(() => {
      this.compacting = null
    })
    return this.compacting
  }

  /** Values are about to leave places outside of the heap, beside a commit. */
  roomShrinks(): void {
    if (this.hasOffHeap) this.room.lookSoon()
  }

  private async compactAll(): Promise<number> {
    await this.cleaner.drain()
    await compactColumns(this, this.options.now)
    return compactMemory(this, this.options.now)
  }

  // --- watching -----------------------------------------------------------------------------------------------------------

  /** The newest commit that no crash takes back; in memory, the newest. */
  get durable(): number {
    return this.log === null ? this.clock : this.log.synced
  }

  /** The feed, made for the first who watches. */
  openFeed(): Feed {
    this.feed ??= new Feed(this, this.options.feedBytes)
    return this.feed
  }

  /** Ends a reader; the feed goes with the last one. */
  closeFeed(feed: Feed, reader: FeedReader): void {
    feed.close(reader)
    if (feed.size === 0 && this.feed === feed) this.feed = null
  }

  // --- favour, age, close -------------------------------------------------------------------------------------------------

  grantFavour(leaseMs: number): Favour {
    return this.favours.grant(this.options.now(), leaseMs)
  }

  /** Ends every open transaction that may have read what is not on disk, given that everything up to `sequence` is. */
  terminateBeyond(sequence: number, reason: VarveError): void {
    for (const list of this.lists) {
      for (let txn = list.first; txn !== null;) {
        const next: Txn | null = txn.next
        if (txn.snapshot > sequence) this.terminate(txn, reason)
        txn = next
      }
    }
  }

  /** Ends every open transaction with `reason` and stops background work. */
  shutdown(reason: VarveError): void {
    for (const list of this.lists) {
      while (list.first !== null) this.terminate(list.first, reason)
    }
    this.cleaner.stop()
    this.sweeper.stop()
    this.ages?.stop()
  }

  /** What does not hold, one sentence each; empty if all is well. Walks everything. */
  check(): string[] {
    const problems: string[] = []
    const attempt = (place: string, step: () => void): void => {
      try {
        step()
      } catch (error) {
        problems.push(`${place}: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
    attempt('snapshots', () => this.snapshots.check())
    attempt('graph', () => this.graph.check())
    attempt('safe point', () => this.safe.check(this.clock))
    attempt('memory', () => this.residency.check(this.stores))
    if (this.residency.pins) attempt('pins', () => checkPins(this.lists, this.chunks))
    attempt('deadlines', () => checkDeadlines(this.deadlines, this.chunks))
    attempt('feed', () => this.feed?.check())
    for (const store of this.stores)
      attempt(`table '${store.spec.name}'`, () => store.check(this.clock, this.snapshots, this.base))
    return problems
  }
}
