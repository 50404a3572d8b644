/**
 * Putting the state of a snapshot back, as one commit.
 *
 * Both sides are walked in key order, side by side and in slices of the event loop, and what differs is noted. Then, in one
 * section without an await: what has been committed meanwhile is looked up (leaves of the index know the newest commit in them),
 * the notes are brought up to date, and all is committed by a transaction that begins there.
 *
 * R1  After the commit every table shows what the snapshot shows, but for what has expired since.
 * R2  To the certifier the commit has read all of every table, at the moment of the commit, and written what differed.
 * R3  Whatever fails, fails before the commit, and nothing has changed then; but tables may have become known.
 */
import { conflictError } from './conflict-error.ts'
import { ALL, compareKeys, type Key } from './keys/index.ts'
import {
  ACTIVE,
  changedSince,
  type Conflict,
  DELETE,
  EVICTED,
  hasExpired,
  NONE,
  Pending,
  RangeRead,
  type ScanCursor,
  SET,
  type TableStore,
  Txn,
} from './mvcc/index.ts'
import { nextTurn } from './next-turn.ts'
import type { SnapshotSource } from './snapshot.ts'
import { isCrowded, waitForRoom } from './room.ts'
import { closedError, type DatabaseState, settled } from './table-core.ts'
import type { FoundTable, Tables } from './tables.ts'

/** Longest turn of the event loop while reading, ms; and keys between two looks at the clock. */
const SLICE_MS = 4
const SLICE_KEYS = 256

/** How often a refused commit is tried; refusals can only come of a full dependency graph. */
const ATTEMPTS = 10

/** Puts what a snapshot shows into a database. See {@link Database.restore}. */
export async function restore(state: DatabaseState, tables: Tables, source: SnapshotSource): Promise<void> {
  const pairs = pairUp(tables, source.tables)
  const { engine } = state
  for (let left = ATTEMPTS; ; left--) {
    const reader = engine.beginSnapshot()
    try {
      const differences = pairs.map(([own, other]) => new Difference(own, other, reader, source.txn))
      for (const difference of differences) {
        while (difference.step(performance.now() + SLICE_MS)) {
          await nextTurn()
          ensureOpen(state, reader, source)
        }
      }
      while (isCrowded(state)) {
        await waitForRoom(state)
        ensureOpen(state, reader, source)
      }
      // Stored forms may have been read by another definition of a table than it has now: then all is read again.
      if (differences.some((difference) => difference.isStale)) continue
      const outcome = commitAll(state, reader, differences)
      if (outcome instanceof Txn) {
        await settled(state, outcome.extent)
        return
      }
      if (left === 1) throw conflictError(outcome)
    } finally {
      engine.letGo(reader)
    }
  }
}

function ensureOpen(state: DatabaseState, reader: Txn, source: SnapshotSource): void {
  if (reader.state !== ACTIVE) throw closedError(reader, state)
  if (source.txn.state !== ACTIVE) throw closedError(source.txn, source.tables.state)
}

/** Tables of both sides: of the database, of the snapshot. All codecs are compared before any table is made. */
function pairUp(own: Tables, other: Tables): [TableStore, TableStore | null][] {
  const described = own.described()
  const theirs: FoundTable[] = []
  for (const found of other.described().values()) {
    if (described.has(found.name)) own.ensureSameCodecs(found)
    theirs.push(found)
  }
  const pairs: [TableStore, TableStore | null][] = []
  for (const found of theirs) {
    const source = other.named(found.name)?.store
    if (source !== undefined) pairs.push([own.adopt(found).store, source])
    described.delete(found.name)
  }
  for (const name of described.keys()) pairs.push([(own.named(name) as { store: TableStore }).store, null])
  return pairs
}

/** Certifies and installs everything in one section; the transaction that did, or why it was refused. */
function commitAll(state: DatabaseState, reader: Txn, differences: readonly Difference[]): Txn | Conflict {
  const { engine } = state
  for (const difference of differences) difference.update()
  // Otherwise every old version would be kept for it.
  engine.letGo(reader)
  const txn = engine.begin(true, true)
  try {
    for (const { own, writes } of differences) {
      const view = txn.view(own)
      const range = new RangeRead(own, 'value', undefined, false, undefined, false)
      range.consumed = true
      ;(view.ranges ??= []).push(range)
      for (const pending of writes) if (pending.kind !== NONE) view.adopt(pending)
    }
    return engine.commit(txn) ?? txn
  } catch (error) {
    engine.rollback(txn)
    throw error
  }
}

/** What differs between a table and the same table of the snapshot: the writes that undo it, in key order. */
class Difference {
  readonly own: TableStore
  readonly writes: Pending[] = []
  private readonly other: TableStore | null
  private readonly reader: Txn
  private readonly source: Txn
  private readonly spec: TableStore['spec']
  private readonly here: ScanCursor
  private readonly there: ScanCursor | null
  private hasHere: boolean
  private hasThere: boolean
  private readonly base: unknown

  constructor(own: TableStore, other: TableStore | null, reader: Txn, source: Txn) {
    this.own = own
    this.other = other
    this.reader = reader
    this.source = source
    this.spec = own.spec
    this.base = reader.engine.baseState
    this.here = reader.view(own).scan(ALL, 'existence')
    this.there = other === null ? null : source.view(other).scan(ALL, 'existence')
    this.hasHere = this.here.next()
    this.hasThere = this.there !== null && this.there.next()
  }

  /** Whether stored forms may have been read by another definition of the table than it has now. */
  get isStale(): boolean {
    return this.own.spec !== this.spec
  }

  /** Goes on until `until` (monotonic ms); whether there is more. */
  step(until: number): boolean {
    const { here, there } = this
    for (let steps = 1; this.hasHere || this.hasThere; steps++) {
      const order = !this.hasThere ? -1 : !this.hasHere ? 1 : compareKeys(here.key, (there as ScanCursor).key)
      if (order < 0) this.writes.push(deletionOf(here.key))
      else {
        const { key, expiresAt } = there as ScanCursor
        const stored = (there as ScanCursor).stored()
        if (order !== 0 || !this.isSame(here.stored(), here.expiresAt, stored, expiresAt))
          this.put(key, stored, expiresAt)
      }
      if (order <= 0) this.hasHere = here.next()
      if (order >= 0) this.hasThere = (there as ScanCursor).next()
      if (steps % SLICE_KEYS === 0 && performance.now() >= until) return true
    }
    return false
  }

  private put(key: Key, stored: unknown, expiresAt: number): void {
    const pending = new Pending(key)
    this.assign(pending, stored, expiresAt)
    this.writes.push(pending)
  }

  private assign(pending: Pending, stored: unknown, expiresAt: number): void {
    const { own } = this
    if (stored === EVICTED) throw this.source.tooOld(this.other as TableStore, pending.key)
    pending.kind = SET
    pending.value = own.take(stored, this.other as TableStore)
    pending.size = own.sizeOfEntry(pending.key, pending.value)
    pending.expiresAt = expiresAt
  }

  private isSame(own: unknown, ownExpiry: number, other: unknown, otherExpiry: number): boolean {
    if (ownExpiry !== otherExpiry || own === EVICTED || other === EVICTED) return false
    if (this.own === this.other && own === other) return true
    const there = (this.other as TableStore).spec.resident
    return Buffer.compare(this.own.spec.resident.encode(own), there.encode(other)) === 0
  }

  /** Brings the writes up to date with what has been committed since the reading, and leaves out what has expired. */
  update(): void {
    const { engine, snapshot } = this.reader
    if (engine.clock !== snapshot) {
      if (engine.baseState !== this.base) this.readAgain()
      else for (const id of changedSince(this.own, snapshot)) this.correct(id)
    }
    if (this.other === null) return
    const instant = engine.timeMs()
    for (const pending of this.writes) {
      if (pending.kind !== SET || !hasExpired(pending.expiresAt, instant)) continue
      pending.kind = DELETE
      pending.value = undefined
      pending.size = 0
      pending.expiresAt = 0
    }
  }

  /** Decides anew about a key whose entry has changed. */
  private correct(id: number): void {
    const { own, other, source, writes } = this
    const key = own.keyOf(id)
    const there = other?.find(key) ?? -1
    const stored = there < 0 ? undefined : (other as TableStore).liveAt(there, source.snapshot, source.instant)
    const at = this.placeOf(key)
    let pending = writes[at]
    if (pending === undefined || compareKeys(pending.key, key) !== 0) {
      pending = new Pending(key)
      writes.splice(at, 0, pending)
    }
    const head = own.headOf(id)
    if (stored === undefined) {
      pending.kind = head === undefined ? NONE : DELETE
      pending.value = undefined
      pending.size = 0
      pending.expiresAt = 0
      return
    }
    const expiresAt = (other as TableStore).expiryAt(there, source.snapshot)
    if (head !== undefined && this.isSame(head, own.expiryOf(id), stored, expiresAt)) pending.kind = NONE
    else this.assign(pending, stored, expiresAt)
  }

  /** Where a key stands, or would stand, among the writes. */
  private placeOf(key: Key): number {
    let low = 0
    let high = this.writes.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareKeys((this.writes[middle] as Pending).key, key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Where entries may have been written, put on disk and let go since, all is read again, at once. */
  private readAgain(): void {
    const { engine } = this.reader
    const reader = engine.beginSnapshot()
    try {
      const again = new Difference(this.own, this.other, reader, this.source)
      again.step(Infinity)
      this.writes.length = 0
      for (const pending of again.writes) this.writes.push(pending)
    } finally {
      engine.letGo(reader)
    }
  }
}

function deletionOf(key: Key): Pending {
  const pending = new Pending(key)
  pending.kind = DELETE
  return pending
}
