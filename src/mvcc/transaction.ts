/**
 * A transaction inside the engine: one snapshot, what was read at it, and private writes, table by table.
 *
 * Reads are synchronous and never wait; nothing shared changes before {@link Engine.commit}. What is recorded here is all
 * that the certifier needs: entry ids of values read, entry ids whose existence was read, absent keys, consumed ranges.
 *
 * I1  `snapshot` is open in the engine's snapshot set from begin to end, so every version it sees stays readable.
 * I2  A present key that was read keeps its entry id while the transaction is active (its version is pinned); absent keys
 *     are recorded by key, because their entries may come and go.
 * I3  An untracked transaction (safe reader, snapshot isolation) records no reads.
 */
import { type Key, compareKeys, formatKey } from '../keys/index.ts'
import type { Bounds } from '../keys/index.ts'
import { VarveError } from '../errors.ts'
import type { ActiveList } from './active.ts'
import type { BaseHold } from './base.ts'
import { CHUNK_BITS, CHUNK_MASK, type Chunk } from './chunk.ts'
import { Conflict } from './conflict.ts'
import { ScanCursor } from './cursor.ts'
import type { Engine } from './engine.ts'
import type { Favour } from './favour.ts'
import { RangeRead, type ReadLevel } from './predicates.ts'
import type { SnapshotSlot } from './snapshots.ts'
import { hasExpired, type TableStore } from './store.ts'
import { EVICTED } from './version.ts'
import {
  DELETE,
  expiryAfter,
  KEEP,
  MERGE,
  NONE,
  Operands,
  type Pending,
  type PendingKind,
  SET,
  type Undo,
  WriteSet,
} from './write-set.ts'

/** Stands for "none yet", so that what reads nothing allocates nothing. Never changed. */
const NO_READS: number[] = []

/** Reads looked at to find the entry of a write. */
const RECALLED = 4

/** How a transaction takes part in certification. */
export const UPDATE = 0
/** Read-only on the newest state: tracked while updates are in flight. */
export const READER = 1
/** Read-only on a safe or explicit snapshot: untracked. */
export const SAFE = 2
export type TxnMode = typeof UPDATE | typeof READER | typeof SAFE

export const ACTIVE = 0
export const COMMITTED = 1
export const ABORTED = 2
/** Inside its commit, while merge operators run: whoever uses it now is one of them. */
export const PREPARING = 3
export type TxnState = typeof ACTIVE | typeof COMMITTED | typeof ABORTED | typeof PREPARING

/** A point inside a transaction to roll back to. */
export interface SavepointMark {
  readonly id: number
  readonly undoLength: number
}

export class Txn {
  readonly engine: Engine
  readonly id: number
  readonly mode: TxnMode
  readonly serializable: boolean
  readonly snapshot: number
  slot: SnapshotSlot | null
  state: TxnState = ACTIVE
  /** Why it ended, when somebody else ended it (close, age, leak). */
  endedBy: VarveError | null = null
  /** Set when it asked for a value that eviction has taken away: what it was told, and why it is worth another run. */
  outdated: { readonly error: VarveError; readonly conflict: Conflict } | null = null
  readonly views: TableView[] = []
  /** The engine's list that it is in, and its neighbours there. */
  list: ActiveList | null = null
  previous: Txn | null = null
  next: Txn | null = null
  /** Set while this attempt is favoured against starvation. */
  favour: Favour | null = null
  /** Called once when it ends, however it ends. */
  onEnd: (() => void) | null = null
  /** Begun by the callback of a favoured transaction, which waits for it: no favour may hold it up. */
  nested = false
  /** Runs without interleaving (one tick), so it can neither wait for a favoured transaction nor be told to retry. */
  readonly synchronous: boolean
  /** ms on the engine's monotonic clock at begin, if ages are limited or measured; else 0. */
  readonly startedAt: number
  /** Sequence of its own commit, if it wrote anything; else 0. */
  committedAt = 0
  /** What it scans in the base stays there until it ends; null while it has scanned nothing there. */
  hold: BaseHold | null = null
  /**
   * The instant it sees, ms since the epoch: what expires at or before it is not there. -Infinity until somebody asks, where
   * nothing that it can see expires.
   */
  instant: number
  /** The newest safe snapshot when it began: what a tracked reader saw at or below it can be forgotten. */
  readonly safeAtBegin: number
  private undo: Undo[] | null = null
  private savepoints: SavepointMark[] | null = null
  private savepointCount = 0

  constructor(
    engine: Engine,
    id: number,
    mode: TxnMode,
    serializable: boolean,
    synchronous: boolean,
    slot: SnapshotSlot,
    startedAt: number,
    safeAtBegin: number,
    instant: number,
  ) {
    this.engine = engine
    this.id = id
    this.mode = mode
    this.serializable = serializable
    this.synchronous = synchronous
    this.slot = slot
    this.snapshot = slot.sequence
    this.startedAt = startedAt
    this.safeAtBegin = safeAtBegin
    this.instant = instant
  }

  /** The instant it sees, from now on at the latest. */
  fixInstant(): number {
    if (this.instant === -Infinity) this.instant = this.engine.timeMs()
    return this.instant
  }

  /** What reading a value throws that eviction has taken away. */
  tooOld(store: TableStore, key: Key): VarveError {
    if (this.engine.options.base?.isFixed === true) return store.lost(key)
    const table = store.spec.name
    const conflict = new Conflict('evicted', this.id, [{ from: this.id, to: -1, kind: 'rw', table, key }])
    const message =
      `the value of ${table}[${formatKey(key)}] as of commit ${this.snapshot} was evicted, and old versions ` +
      'go with their key; read it on a newer snapshot, or run the transaction again'
    this.outdated = { error: new VarveError('SNAPSHOT_TOO_OLD', message), conflict }
    return this.outdated.error
  }

  /** The view of one table, made on first use. */
  view(store: TableStore): TableView {
    const views = this.views
    for (let i = 0; i < views.length; i++) if ((views[i] as TableView).store === store) return views[i] as TableView
    const view = new TableView(this, store)
    views.push(view)
    return view
  }

  /** Everything it has read or written was committed at or below this sequence. */
  get extent(): number {
    return Math.max(this.snapshot, this.committedAt)
  }

  /** Whether any write is pending. */
  get hasWrites(): boolean {
    for (const view of this.views) {
      if (view.writes === null) continue
      for (const pending of view.writes.list) if (pending.kind !== NONE) return true
    }
    return false
  }

  savepoint(): SavepointMark {
    this.undo ??= []
    const mark: SavepointMark = { id: ++this.savepointCount, undoLength: this.undo.length }
    ;(this.savepoints ??= []).push(mark)
    return mark
  }

  /** Discards the writes made since the savepoint; what was read stays tracked. Later savepoints cease to exist. */
  rollbackTo(mark: SavepointMark): boolean {
    const at = this.savepoints?.indexOf(mark) ?? -1
    if (at < 0) return false
    const undo = this.undo as Undo[]
    while (undo.length > mark.undoLength) {
      const { pending, kind, value, size, expiresAt } = undo.pop() as Undo
      pending.kind = kind
      pending.value = value
      pending.size = size
      pending.expiresAt = expiresAt
    }
    ;(this.savepoints as SavepointMark[]).length = at + 1
    return true
  }

  logUndo(set: WriteSet, pending: Pending): void {
    if (this.undo !== null) {
      const { kind, value, size, expiresAt } = pending
      this.undo.push({ set, pending, kind, value, size, expiresAt })
    }
  }
}

/** A transaction's reads and writes of one table. */
export class TableView {
  readonly txn: Txn
  readonly store: TableStore
  private readonly snapshot: number
  /** I3. */
  readonly tracked: boolean
  /** Whether what it reads is pinned in memory for as long as it is active. */
  private readonly pins: boolean
  /** Entry ids whose value was read. */
  reads: number[] = NO_READS
  /** Entry ids of which only existence was read. */
  existenceReads: number[] = NO_READS
  absent: Key[] | null = null
  ranges: RangeRead[] | null = null
  writes: WriteSet | null = null

  constructor(txn: Txn, store: TableStore) {
    this.txn = txn
    this.store = store
    this.snapshot = txn.snapshot
    this.tracked = txn.serializable && txn.mode !== SAFE
    this.pins = this.tracked && store.residency.pins
  }

  /** The value the transaction sees, or undefined. */
  get(key: Key): unknown {
    if (this.writes !== null) {
      const pending = this.writes.find(key)
      if (pending !== undefined && pending.kind !== NONE) return this.ownValue(pending)
    }
    return this.committed(key)
  }

  /** When what the transaction sees under a key expires, ms since the epoch; 0: never; undefined: there is nothing. Reads existence. */
  expiry(key: Key): number | undefined {
    const own = this.writes?.find(key)
    if (own === undefined || own.kind === NONE) return this.hasCommitted(key) ? this.keptExpiry(key) : undefined
    if (!this.isOwnLive(own)) return undefined
    if (own.expiresAt === KEEP) this.hasCommitted(key)
    return this.keptExpiry(key)
  }

  /** The expiry that a write keeps: that of the value there, else the table's default. For those who have read the key. */
  keptExpiry(key: Key): number {
    const { store } = this
    const own = this.writes?.find(key)
    if (own !== undefined && own.kind !== NONE) {
      if (!this.isOwnLive(own)) return this.defaultExpiry()
      if (own.expiresAt !== KEEP) return own.expiresAt
    }
    if (!store.expiring && (store.spec.ttlMs ?? Infinity) === Infinity) return 0
    const id = store.find(key)
    if (id < 0 || store.liveAt(id, this.snapshot, this.txn.instant) === undefined) return this.defaultExpiry()
    return store.expiryAt(id, this.snapshot)
  }

  /** When something expires that is written without a time to live. */
  defaultExpiry(): number {
    const { ttlMs = Infinity } = this.store.spec
    return ttlMs === Infinity ? 0 : expiryAfter(this.txn.fixInstant(), ttlMs)
  }

  /** Gives what is under a key another expiry, ms since the epoch; 0: never. False if there is nothing. Reads the value. */
  touch(key: Key, expiresAt: number): boolean {
    const { store } = this
    const stored = this.get(key)
    if (stored === undefined) return false
    const own = this.writes?.find(key)
    if (own !== undefined && own.kind === SET) this.set(key, own.value, own.size, expiresAt)
    else if (own !== undefined && own.kind !== NONE) this.set(key, stored, store.sizeOfEntry(key, stored), expiresAt)
    else this.set(key, store.detach(stored), store.sizeSeen(store.find(key), this.snapshot), expiresAt)
    return true
  }

  /** The value in the snapshot; recorded as read. */
  private committed(key: Key): unknown {
    const store = this.store
    const id = store.read(key)
    if (id < 0) {
      if (this.tracked) this.noteAbsent(key)
      return undefined
    }
    const chunk = store.chunks[id >>> CHUNK_BITS] as Chunk
    const i = id & CHUNK_MASK
    // If nothing has committed since the snapshot every head is visible, and its sequence is a cache miss not taken.
    const value = store.expiring
      ? store.liveAt(id, this.snapshot, this.txn.instant)
      : this.txn.engine.clock === this.snapshot || chunk.sequenceAt(i) <= this.snapshot
        ? chunk.valueAt(i)
        : store.valueAt(id, this.snapshot)
    if (store.hasLost && value === EVICTED) throw this.txn.tooOld(store, key)
    if (this.tracked) {
      if (value === undefined) this.noteAbsent(key)
      else this.noteRead(id)
    }
    return value
  }

  /** Whether the transaction sees the key; reads existence only. */
  has(key: Key): boolean {
    if (this.writes !== null) {
      const pending = this.writes.find(key)
      if (pending !== undefined && pending.kind !== NONE) return this.isOwnLive(pending)
    }
    return this.hasCommitted(key)
  }

  private hasCommitted(key: Key): boolean {
    const store = this.store
    const id = store.find(key)
    const present = id >= 0 && store.liveAt(id, this.snapshot, this.txn.instant) !== undefined
    if (this.tracked) {
      if (present) this.noteExistence(id)
      else this.noteAbsent(key)
    }
    return present
  }

  /** `expiresAt`: ms since the epoch; 0: never. */
  set(key: Key, value: unknown, size: number, expiresAt = 0): void {
    const writes = (this.writes ??= new WriteSet())
    const pending = writes.need(key)
    if (pending.entry < 0) this.recall(pending)
    this.assign(writes, pending, SET, value, size, expiresAt)
  }

  /** Most writes are of keys that were just read: their entry need not be looked for again. The commit checks it. */
  private recall(pending: Pending): void {
    const reads = this.reads
    const from = reads.length - 1
    const to = Math.max(0, from - RECALLED)
    for (let i = from; i >= to; i--) {
      const id = reads[i] as number
      if (this.store.holds(id, pending.key)) {
        pending.entry = id
        return
      }
    }
  }

  /** Deletes a key the transaction sees; returns whether it did. Reads existence. */
  delete(key: Key): boolean {
    if (!this.has(key)) return false
    this.remove(key)
    return true
  }

  /** Deletes without looking; for callers that have read the key already. */
  remove(key: Key): void {
    const writes = (this.writes ??= new WriteSet())
    this.assign(writes, writes.need(key), DELETE, undefined, 0, 0)
  }

  /**
   * Queues an operand; reads nothing. On top of an own write it is applied at once.
   * @param expiresAt ms since the epoch; 0: never; {@link KEEP}: as before
   */
  merge(key: Key, operand: unknown, expiresAt: number = KEEP): void {
    const writes = (this.writes ??= new WriteSet())
    const pending = writes.need(key)
    if (pending.kind === SET || pending.kind === DELETE) {
      const before = pending.kind === SET && this.isOwnLive(pending) ? pending.value : undefined
      const kept = before === undefined ? this.defaultExpiry() : pending.expiresAt
      const merged = this.store.applyMerge(pending.key, before, new Operands(operand, null))
      const size = this.store.sizeOfEntry(pending.key, merged)
      this.assign(writes, pending, SET, merged, size, expiresAt === KEEP ? kept : expiresAt)
      return
    }
    const earlier = pending.kind === MERGE ? (pending.value as Operands) : null
    const expiry = earlier !== null && expiresAt === KEEP ? pending.expiresAt : expiresAt
    this.assign(writes, pending, MERGE, new Operands(operand, earlier), 0, expiry)
  }

  /** Takes over a write that was prepared outside. */
  adopt(pending: Pending): void {
    ;(this.writes ??= new WriteSet()).list.push(pending)
  }

  private assign(
    writes: WriteSet,
    pending: Pending,
    kind: PendingKind,
    value: unknown,
    size: number,
    expiresAt: number,
  ): void {
    this.txn.logUndo(writes, pending)
    if (pending.kind === NONE) writes.version++
    pending.kind = kind
    pending.value = value
    pending.size = size
    pending.expiresAt = expiresAt
  }

  /** Whether a pending write leaves a value that has not expired at the transaction's instant. */
  isOwnLive(pending: Pending): boolean {
    return pending.kind !== DELETE && !hasExpired(Math.max(pending.expiresAt, 0), this.txn.instant)
  }

  /** What the transaction sees of a key it has a pending write for; merging reads the committed value below. */
  ownValue(pending: Pending): unknown {
    if (!this.isOwnLive(pending)) return undefined
    if (pending.kind === SET) return pending.value
    return this.store.applyMerge(pending.key, this.committed(pending.key), pending.value as Operands)
  }

  /** A cursor over the keys the transaction sees within bounds; what it consumes is tracked. */
  scan(bounds: Bounds, level: ReadLevel): ScanCursor {
    let range: RangeRead | null = null
    if (this.tracked && !bounds.empty) {
      range = new RangeRead(this.store, level, bounds.lower, bounds.lowerOpen, bounds.upper, bounds.upperOpen)
      ;(this.ranges ??= []).push(range)
    }
    const { instant } = this.txn
    return new ScanCursor(this.store, this, this.txn, this.snapshot, instant, bounds, range, level)
  }

  /** Keys and bytes as the transaction sees them: the snapshot's plus what the own writes change. O(own writes). */
  ownSize(): { size: number; bytes: number } {
    let { size, bytes } = this.store.sizeAt(this.snapshot)
    if (this.writes === null) return { size, bytes }
    for (const pending of this.writes.list) {
      if (pending.kind === NONE) continue
      const id = this.store.find(pending.key)
      const before = id < 0 ? undefined : this.store.valueAt(id, this.snapshot)
      if (before !== undefined) {
        size--
        bytes -= this.store.sizeSeen(id, this.snapshot)
      }
      if (pending.kind === DELETE) continue
      size++
      if (pending.kind === SET) bytes += pending.size
      else if (before === EVICTED) throw this.txn.tooOld(this.store, pending.key)
      else
        bytes += this.store.sizeOfEntry(
          pending.key,
          this.store.applyMerge(pending.key, before, pending.value as Operands),
        )
    }
    return { size, bytes }
  }

  noteRead(id: number): void {
    const reads = this.reads
    if (reads === NO_READS) {
      // Most transactions read a handful of keys; an array that grows from nothing makes room for 17 at the first.
      this.reads = [id]
    } else if (reads[reads.length - 1] !== id) reads.push(id)
    else return
    if (this.pins) this.pin(id)
  }

  private pin(id: number): void {
    const pins = (this.store.chunks[id >>> CHUNK_BITS] as Chunk).pins as Uint32Array
    pins[id & CHUNK_MASK] = (pins[id & CHUNK_MASK] as number) + 1
  }

  /** Gives up the pins of everything it has read: the transaction ends. */
  unpin(): void {
    if (!this.pins) return
    this.unpinAll(this.reads)
    this.unpinAll(this.existenceReads)
  }

  private unpinAll(ids: readonly number[]): void {
    const { chunks } = this.store
    for (let n = 0; n < ids.length; n++) {
      const id = ids[n] as number
      const pins = (chunks[id >>> CHUNK_BITS] as Chunk).pins as Uint32Array
      pins[id & CHUNK_MASK] = (pins[id & CHUNK_MASK] as number) - 1
    }
  }

  noteExistence(id: number): void {
    if (this.existenceReads === NO_READS) this.existenceReads = [id]
    else this.existenceReads.push(id)
    if (this.pins) this.pin(id)
  }

  noteAbsent(key: Key): void {
    if (this.absent === null) this.absent = [key]
    else this.absent.push(key)
  }

  /** Whether a commit that writes `key` (entry `id`, -1: none) would change what this view has read or means to write. */
  touches(key: Key, id: number): boolean {
    const pending = this.writes?.find(key)
    if (pending !== undefined && pending.kind !== NONE) return true
    if (id >= 0 && (this.reads.includes(id) || this.existenceReads.includes(id))) return true
    if (this.absent !== null && this.absent.some((absent) => compareKeys(absent, key) === 0)) return true
    return this.ranges !== null && this.ranges.some((range) => range.covers(key))
  }
}
