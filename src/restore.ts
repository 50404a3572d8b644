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
      // What begins ends what is too old.
      ensureOpen(state, reader, source)
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

/**
 * What differs between a table and the same table of the snapshot: the writes that undo it, in key order.
 *
 * Where both are one table, all of it in memory, only what has been written since the snapshot can differ, and leaves of the index
 * know the newest commit in them: they are walked instead of both sides.
 */
class Difference {
  readonly own: TableStore
  readonly writes: Pending[] = []
  private readonly other: TableStore | null
  private readonly reader: Txn
  private readonly source: Txn
  private readonly spec: TableStore['spec']
  /** Both sides; null where only changed leaves are walked. */
  private readonly here: ScanCursor | null
  private readonly there: ScanCursor | null
  /** The last key that has been walked past; undefined: none. */
  private passed: Key | undefined = undefined
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
    const isOne = own === other && own.base === null
    this.here = isOne ? null : reader.view(own).scan(ALL, 'existence')
    this.there = other === null || isOne ? null : source.view(other).scan(ALL, 'existence')
    this.hasHere = this.here !== null && this.here.next()
    this.hasThere = this.there !== null && this.there.next()
  }

  /** Whether stored forms may have been read by another definition of the table than it has now. */
  get isStale(): boolean {
    return this.own.spec !== this.spec
  }

  /** Goes on until `until` (monotonic ms); whether there is more. */
  step(until: number): boolean {
    return this.here === null ? this.stepChanged(until) : this.stepBoth(this.here, until)
  }

  /** Leaves may have come and gone since the last step, so it goes on by the key. What has come behind it is brought up to date. */
  private stepChanged(until: number): boolean {
    const { own, passed } = this
    const { index } = own
    const since = this.source.snapshot
    let leaf: TableStore['index']['first'] | null = passed === undefined ? index.first : index.seekLeaf(passed)
    let at = passed === undefined ? 0 : index.lowerBound(leaf, passed)
    if (passed !== undefined && at < leaf.values.length && compareKeys(index.keyAt(leaf, at), passed) === 0) at++
    for (let walked = 0; leaf !== null; leaf = leaf.next) {
      const { values } = leaf
      if ((index.stamps[leaf.id] as number) > since)
        for (; at < values.length; at++) {
          const id = values[at] as number
          if (own.sequenceOf(id) > since) this.note(own.keyOf(id), id)
        }
      at = 0
      if (values.length > 0) this.passed = index.keyAt(leaf, values.length - 1)
      walked += values.length
      if (walked < SLICE_KEYS) continue
      if (performance.now() >= until) return leaf.next !== null
      walked = 0
    }
    return false
  }

  private note(key: Key, id: number): void {
    const pending = new Pending(key)
    this.decide(pending, id, id)
    // What has expired need not be deleted.
    if (pending.kind === SET || (pending.kind === DELETE && this.own.isLive(id, this.reader.instant)))
      this.writes.push(pending)
  }

  private stepBoth(here: ScanCursor, until: number): boolean {
    const { there } = this
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
    this.assign(pending, stored, expiresAt, -1)
    this.writes.push(pending)
  }

  /** @param size what it counts for; -1: to be found out */
  private assign(pending: Pending, stored: unknown, expiresAt: number, size: number): void {
    const { own } = this
    if (stored === EVICTED) throw this.source.tooOld(this.other as TableStore, pending.key)
    pending.kind = SET
    pending.value = own.take(stored, this.other as TableStore)
    pending.size = size < 0 ? own.sizeOfEntry(pending.key, pending.value) : size
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
    const { own, other, writes } = this
    const key = own.keyOf(id)
    const at = this.placeOf(key)
    let pending = writes[at]
    if (pending === undefined || compareKeys(pending.key, key) !== 0) {
      pending = new Pending(key)
      writes.splice(at, 0, pending)
    }
    this.decide(pending, id, other?.find(key) ?? -1)
  }

  /** What there is to write so that an entry shows what the snapshot sees in one of the other side, or -1. */
  private decide(pending: Pending, id: number, there: number): void {
    const { own, other, source } = this
    const stored = there < 0 ? undefined : (other as TableStore).liveAt(there, source.snapshot, source.instant)
    const head = own.headOf(id)
    pending.entry = id
    if (stored === undefined) {
      pending.kind = head === undefined ? NONE : DELETE
      pending.value = undefined
      pending.size = 0
      pending.expiresAt = 0
      return
    }
    const expiresAt = (other as TableStore).expiryAt(there, source.snapshot)
    if (head !== undefined && this.isSame(head, own.expiryOf(id), stored, expiresAt)) {
      pending.kind = NONE
      return
    }
    const isKnown = own === other && own.spec.sizeOf === undefined
    this.assign(pending, stored, expiresAt, isKnown ? own.sizeSeen(there, source.snapshot) : -1)
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
    // Not as others begin, which could end the source for its age.
    const reader = engine.beginAt(engine.clock)
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
