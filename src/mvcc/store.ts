/**
 * One table in memory: entries in columns, found by key through the maplet and in order through the
 * skiplist. It knows versions and snapshots, but nothing of transactions.
 *
 * Of a table with a base (base.ts), memory holds what this session has read or written and not let go; the rest is cold. A
 * point read that finds nothing here asks the base and keeps what it gets, so everybody else meets it as an entry like any
 * other.
 *
 *   key ──maplet──> entry id ──> columns (chunk.ts)
 *   key order ──skiplist leaf──> entry id
 *
 * Cost: 28 bytes of columns per entry (chunks of 4096, so growth moves nothing), about 10 in the maplet and 26 in the
 * index, besides key and value; where the columns have words of keys (keys/words.ts), 14 in the index. A point read is one
 * hash, one or two cache lines of the maplet, one chunk.
 *
 * I1  An entry id is either free or names a key that is in the maplet and in the index, exactly once in each.
 * I2  The head's sequence is above every sequence in its chain.
 * I3  `size` counts the live keys, `bytes` sums their sizes; `coldSize` and `coldBytes` are the share of those that have no
 *     entry here.
 * I4  A leaf's stamp is not below the sequence of any of its heads that was written while a snapshot was open.
 * I5  An entry's head is never older than what the base says of its key. An entry that is loaded has the sequence it was
 *     written at, and needs no chain: whoever does not see it sees nothing there.
 * I6  An entry is among the deadlines exactly if its newest version is a value that expires, by its expiry or later.
 * I7  Of no key in the interval of a `complete` leaf does any state of the base that somebody may read have a value, expired or
 *     not, unless the key has an entry: so in there memory says all. What comes to lie in the base later comes from entries, what
 *     is let go ends it, and a tombstone leaves only when every state of the base knows of the deletion.
 */
import { Arena } from '../arena/index.ts'
import { codecs, type Resident, residentOf } from '../codecs/index.ts'
import { VarveError } from '../errors.ts'
import { DeadlineHeap, type EvictionPolicy } from '../eviction/index.ts'
import { compareKeys, formatKey, type Key, KeyMap, releaseKey, type WordForm, wordFormOf } from '../keys/index.ts'
import { type MergeOperator, MapletCore, type MapletOptions, hashKey, hashLow } from '../maplet/core.ts'
import { identityOf } from '../maplet/merges.ts'
import { KIND_MIXED, type Leaf, OrderedIndex } from '../skiplist/core.ts'
import type { Base, BasePart, BaseTable } from './base.ts'
import { CHUNK_BITS, CHUNK_MASK, type Chunk } from './chunk.ts'
import { ColumnKeys } from './column-keys.ts'
import { checkComplete } from './complete.ts'
import type { Node } from './node.ts'
import { offHeapOf, type OffHeap } from './off-heap.ts'
import { Places } from './places.ts'
import type { RangeMark } from './predicates.ts'
import { ENTRY_BYTES, hashOf, POLICY_BYTES, Residency, SLOTS_BYTES, VERSION_BYTES } from './residency.ts'
import { SizeHistory } from './size-history.ts'
import { sizeOfKey, WORDS_BYTES } from './size.ts'
import type { SnapshotSet } from './snapshots.ts'
import { checkStore } from './store-check.ts'
import { EVICTED, Meta, type Version } from './version.ts'
import type { WatchIndex } from './watch-index.ts'
import { KEYED, type Operands, type Pending, SEEDED, UNHASHED } from './write-set.ts'

/** How operands of merges wait in a write set: private copies, like values. */
export const operandForm: Resident<unknown> = residentOf(codecs.structured())

/** Everything about a table that the engine needs to know. */
export interface TableSpec {
  readonly name: string
  /** What the log calls it; without a log, anything. */
  readonly id: number
  /** The name of its key codec; null or none: it takes any key. */
  readonly key?: string | null
  readonly resident: Resident<unknown>
  readonly merge: MergeOperator<unknown, unknown> | undefined
  readonly sizeOf: ((key: unknown, value: unknown) => number) | undefined
  readonly maplet: MapletOptions
  /** How many bytes of values are expected: a hint for memory outside of the heap. */
  readonly expectedBytes?: number
  /** How long what is written without a time to live lives, ms. Default Infinity: for ever. */
  readonly ttlMs?: number
}

const MOST_SIZE = 2 ** 32 - 1
/** What the order of keys takes for an entry, bytes; and where the index has no keys of its own. */
const INDEX_ENTRY_BYTES = 26
const KEYLESS_INDEX_ENTRY_BYTES = 14

export class TableStore {
  spec: TableSpec
  /** Where values are if not on the JavaScript heap; null if they are on it. */
  offHeap: OffHeap | null
  /** Where keys without an entry may be; null if nowhere. */
  readonly base: BaseTable | null
  /** Of all tables of the engine. */
  readonly chunks: Chunk[]
  readonly residency: Residency
  /** How the columns have the words of keys, and the index none; null: both refer to keys. */
  readonly wordForm: WordForm | null
  /** What an entry and an old version count for beside their size: nothing where `sizeOf` says all. */
  readonly entryBytes: number
  readonly versionBytes: number
  private readonly indexEntryBytes: number
  /** Whether any entry was ever given an expiry: until then no read looks for one. */
  expiring = false
  /** Entries of all tables that expire. I6. */
  readonly deadlines: DeadlineHeap
  /** Whether the base had nothing of the table at first, so that it need not be asked while nothing has been let go. */
  private readonly isBaseEmpty: boolean
  readonly index: OrderedIndex<Key, number>
  readonly maplet: MapletCore
  /** Whether merges of this table commute, so that they do not conflict with each other. */
  commutative: boolean
  /** Whether every stored form that was ever admitted may be handed out as it is. */
  allDirect = true
  /** Committed range reads that still matter, checked by writers. */
  rangeMarks: RangeMark[] = []
  /** Committed point reads of absent keys that still matter. */
  readonly absentReaders: KeyMap<Node[]> = new KeyMap()
  /** Who watches keys and ranges of this table; null: nobody. */
  watchers: WatchIndex | null = null
  /** Newest range or absent reader whose node was summarised away; covers the whole table. */
  coverStamp = 0
  /** The last sweep that filtered `rangeMarks`. */
  rangeSweep = 0
  /** I3. */
  size: number
  bytes: number
  coldSize: number
  coldBytes: number
  /** `size` and `bytes` as of the last commit that the log was told of. */
  loggedSize: number
  loggedBytes: number
  /** Versions in chains. */
  versions = 0
  /** Reads of a value by its key that found it in memory; counted only where a policy is told of them. */
  hits = 0
  /** The hash of the key that was sought last. */
  soughtHash = 0
  private soughtLow = 0
  /** That key, if it was read and has no entry: until there is a new one it has none. */
  private absentKey: Key | undefined = undefined
  /** Whether eviction has ever emptied a version: until then no read looks for one. */
  hasLost = false
  private readonly timeMs: () => number
  private readonly policy: EvictionPolicy | null
  /** Which places in the columns are this table's. */
  readonly places: Places
  readonly sizes: SizeHistory = new SizeHistory()

  /**
   * @param chunks the columns of all tables
   * @param timeMs what the time is, ms since the epoch; asked only where something may expire
   * @param residency of all tables, too
   * @param deadlines likewise
   */
  constructor(
    spec: TableSpec,
    base: BasePart | null,
    chunks: Chunk[],
    timeMs: () => number,
    residency: Residency = new Residency(),
    deadlines: DeadlineHeap = new DeadlineHeap(),
  ) {
    this.deadlines = deadlines
    this.residency = residency
    this.policy = residency.policy
    this.wordForm = wordFormOf(spec.key)
    this.indexEntryBytes = this.wordForm === null ? INDEX_ENTRY_BYTES : KEYLESS_INDEX_ENTRY_BYTES
    const entryBytes = ENTRY_BYTES - INDEX_ENTRY_BYTES + this.indexEntryBytes
    this.entryBytes = spec.sizeOf === undefined ? entryBytes + (residency.policy === null ? 0 : POLICY_BYTES) : 0
    this.versionBytes = spec.sizeOf === undefined ? VERSION_BYTES : 0
    this.offHeap = offHeapOf(spec.resident, new Arena(spec.expectedBytes))
    this.spec = this.offHeap === null ? spec : { ...spec, resident: this.offHeap }
    if (this.offHeap !== null) this.allDirect = false
    this.timeMs = timeMs
    this.chunks = chunks
    this.places = new Places(this, chunks)
    this.base = base === null ? null : base.table
    this.isBaseEmpty = base === null || base.empty
    this.size = this.coldSize = this.loggedSize = base === null ? 0 : base.size
    this.bytes = this.coldBytes = this.loggedBytes = base === null ? 0 : base.bytes
    this.commutative = spec.merge?.commutative === true
    const noteLeaf = (id: number, leaf: Leaf<Key, number>): void => {
      ;(this.chunks[id >>> CHUNK_BITS] as Chunk).setLeaf(id & CHUNK_MASK, leaf.id)
    }
    const source = this.wordForm === null ? null : new ColumnKeys(chunks, this.wordForm)
    this.index = new OrderedIndex<Key, number>(compareKeys, noteLeaf, source)
    this.index.first.complete = this.isBaseEmpty
    this.maplet = new MapletCore(this, spec.maplet)
  }

  /** Takes the definition of the application for one that was put together from names. Stored forms are the same in both. */
  redefine(spec: TableSpec): void {
    if (this.offHeap !== null) this.offHeap = offHeapOf(spec.resident, this.offHeap.arena)
    this.spec = this.offHeap === null ? spec : { ...spec, resident: this.offHeap }
    this.commutative = spec.merge?.commutative === true
  }

  /**
   * Entry id of a key, or -1. What is cold is loaded.
   * @throws VarveError `IO`, `CORRUPTION`, `CODEC_MISMATCH` from loading.
   */
  find(key: Key): number {
    const high = hashKey(key, this.maplet)
    const low = hashLow
    const id = this.maplet.find(high, low, key)
    return id >= 0 || this.base === null ? id : this.load(this.base, key, high, low)
  }

  /** As {@link findResident}, for a write: what it hashes is kept until the next write seeks. */
  seek(key: Key): number {
    if (key === this.absentKey) return -1
    this.absentKey = undefined
    this.soughtHash = hashKey(key, this.maplet)
    this.soughtLow = hashLow
    return this.maplet.find(this.soughtHash, this.soughtLow, key)
  }

  /** As {@link find}, for a write of a transaction: what it hashes is kept there for {@link createFor}. */
  findFor(pending: Pending): number {
    const id = this.seek(pending.key)
    pending.high = this.soughtHash
    pending.low = this.soughtLow
    pending.hashing = this.maplet.keyed ? KEYED : SEEDED
    return id >= 0 || this.base === null ? id : this.load(this.base, pending.key, pending.high, pending.low)
  }

  /** What {@link Residency.wrote} is told, for a write of an entry. */
  hashFor({ high, hashing }: Pending, id: number): number {
    return hashing === UNHASHED ? hashOf(this, id) : high
  }

  /** As {@link find}, for who wants the value: that is an access, and the policy is told. */
  read(key: Key): number {
    const high = hashKey(key, this.maplet)
    const low = hashLow
    const id = this.maplet.find(high, low, key)
    if (id < 0) return this.miss(key, high, low)
    if (this.policy !== null && this.headOf(id) !== undefined) {
      this.policy.access(id)
      this.hits++
    }
    return id
  }

  private miss(key: Key, high: number, low: number): number {
    const { counters } = this.residency
    counters.misses++
    if (this.base === null) {
      // Who reads in vain often writes next.
      this.absentKey = key
      this.soughtHash = high
      this.soughtLow = low
      return -1
    }
    const id = this.load(this.base, key, high, low)
    if (id >= 0) counters.coldReads++
    return id
  }

  /** The value that the base has under a key now, in a stored form. What is asked for again within a while is loaded. */
  private glance(key: Key, high: number, low: number): unknown {
    const { base, residency } = this
    if (base === null || (this.isBaseEmpty && this.coldSize === 0)) {
      this.miss(key, high, low)
      return undefined
    }
    residency.counters.misses++
    if (!base.find(key)) return undefined
    residency.counters.coldReads++
    const { expiresAt } = base
    const isKept = residency.admits(base.size + this.entryBytes, high)
    const stored = isKept ? this.headOf(this.loadFound(base, key, high, low)) : base.stored(this, key)
    return hasExpired(expiresAt, expiresAt === 0 ? 0 : this.timeMs()) ? undefined : stored
  }

  /** Where scans must look besides memory; null if everything is in memory. */
  get scannedBase(): BaseTable | null {
    return this.isBaseEmpty && this.coldSize === 0 ? null : this.base
  }

  /** Entry id of a key that is in memory, or -1. */
  findResident(key: Key): number {
    const high = hashKey(key, this.maplet)
    return this.maplet.find(high, hashLow, key)
  }

  /** Makes an entry of what the base has under a key; -1 if that is nothing. I5. */
  private load(base: BaseTable, key: Key, high: number, low: number): number {
    if ((this.isBaseEmpty && this.coldSize === 0) || !base.find(key)) return -1
    return this.loadFound(base, key, high, low)
  }

  /** The same for what the base has just found. */
  private loadFound(base: BaseTable, key: Key, high: number, low: number): number {
    const { sequence, size, expiresAt } = base
    const stored = base.stored(this, key)
    const value = this.offHeap === null || stored === EVICTED ? stored : this.offHeap.place(stored)
    // Before there is an entry: a policy might choose the newcomer.
    this.residency.roomMaker?.makeRoom(size + this.entryBytes)
    const id = this.enter(key, high, low)
    const chunk = this.chunks[id >>> CHUNK_BITS] as Chunk
    const i = id & CHUNK_MASK
    chunk.setValue(i, value)
    chunk.setSequence(i, sequence)
    chunk.setSize(i, size)
    this.residency.loaded(this, id, high, sequence, size, expiresAt)
    if (expiresAt !== 0) this.setExpiry(id, expiresAt)
    // What was let go may be newer than a snapshot that scans the leaf (I4).
    const leafId = chunk.leafAt(i)
    if ((this.index.stamps[leafId] as number) < sequence) this.index.stamps[leafId] = sequence
    this.coldSize--
    this.coldBytes -= size
    return id
  }

  /** Lets an entry go that the base has as it is here. Nothing may refer to it any more. */
  letGo(id: number): void {
    this.coldSize++
    const chunk = this.chunks[id >>> CHUNK_BITS] as Chunk
    this.coldBytes += chunk.sizeAt(id & CHUNK_MASK)
    ;(this.index.leaves[chunk.leafAt(id & CHUNK_MASK)] as Leaf<Key, number>).complete = false
    this.unlink(id)
  }

  /** The stored form of a value from disk, which lies from `start` to `end` of bytes that are not kept. */
  decode(bytes: Uint8Array, start: number, end: number, key: Key): unknown {
    const { resident } = this.spec
    try {
      if (resident.decodeAt !== undefined) return this.noteForm(resident.decodeAt(bytes, start, end))
      return this.noteForm(resident.decode(bytes.subarray(start, end)))
    } catch (error) {
      throw this.placed(error, key)
    }
  }

  /** For the maplet: does this candidate hold that very key? */
  matches(id: number, key: Key): boolean {
    const chunk = this.chunks[id >>> CHUNK_BITS] as Chunk
    if (chunk.words !== null) return chunk.hasWordsOf(id & CHUNK_MASK, key)
    const stored = chunk.keyAt(id & CHUNK_MASK)
    return stored === key || (typeof key === 'object' && typeof stored === 'object' && compareKeys(stored, key) === 0)
  }

  keyOf(id: number): Key {
    return (this.chunks[id >>> CHUNK_BITS] as Chunk).keyAt(id & CHUNK_MASK)
  }

  /** Whether an entry id of this table, which may have been given up since, is that of a key. */
  holds(id: number, key: Key): boolean {
    return (this.chunks[id >>> CHUNK_BITS] as Chunk).holds(id & CHUNK_MASK, key)
  }

  sequenceOf(id: number): number {
    return (this.chunks[id >>> CHUNK_BITS] as Chunk).sequenceAt(id & CHUNK_MASK)
  }

  headOf(id: number): unknown {
    return (this.chunks[id >>> CHUNK_BITS] as Chunk).valueAt(id & CHUNK_MASK)
  }

  /** What an entry's newest version counts for beside {@link entryBytes}. */
  sizeOf(id: number): number {
    return (this.chunks[id >>> CHUNK_BITS] as Chunk).sizeAt(id & CHUNK_MASK)
  }

  /** When an entry's newest version expires, ms since the epoch; 0: never. */
  expiryOf(id: number): number {
    return (this.chunks[id >>> CHUNK_BITS] as Chunk).expiryAt(id & CHUNK_MASK)
  }

  /** What an entry's newest version counts for, see residency.ts. */
  chargeOf(id: number): number {
    return (this.chunks[id >>> CHUNK_BITS] as Chunk).sizeAt(id & CHUNK_MASK) + this.entryBytes
  }

  setExpiry(id: number, expiresAt: number): void {
    ;(this.chunks[id >>> CHUNK_BITS] as Chunk).setExpiry(id & CHUNK_MASK, expiresAt)
    if (expiresAt === 0) this.deadlines.remove(id)
    else {
      this.expiring = true
      this.deadlines.set(id, expiresAt)
    }
  }

  /** Queues an entry by its own deadline, if it is one that has a value which expires. */
  queueExpiry(id: number): void {
    const chunk = this.chunks[id >>> CHUNK_BITS] as Chunk
    const expiresAt = chunk.expiryAt(id & CHUNK_MASK)
    if (expiresAt !== 0 && chunk.valueAt(id & CHUNK_MASK) !== undefined) this.deadlines.set(id, expiresAt)
  }

  /**
   * Takes away a value that has expired for everybody, as commit `sequence`. Returns whether that left a tombstone, as it does
   * above a base. The tombstone keeps the sequence of the value, for that is since when readers have seen nothing there: who wrote
   * the value made the absence. What the log calls the deletion stands where the expiry was; see {@link deletionOf}.
   */
  sweep(id: number, sequence: number, snapshots: SnapshotSet): boolean {
    const chunk = this.chunks[id >>> CHUNK_BITS] as Chunk
    const i = id & CHUNK_MASK
    const size = chunk.sizeAt(i)
    this.resize(sequence, -1, -size, snapshots)
    if (this.base === null) {
      this.unlink(id)
      return false
    }
    this.deadlines.remove(id)
    this.discard(chunk.valueAt(i))
    const own = chunk.sequenceAt(i)
    this.residency.wrote(this, id, 0, own, size, true, own, 0, false, 0)
    chunk.setValue(i, undefined)
    chunk.setSize(i, 0)
    chunk.setExpiry(i, sequence)
    return true
  }

  /** The commit that left the tombstone which an entry is: what lies below hides its key from there on. */
  deletionOf(id: number): number {
    const swept = this.expiryOf(id)
    return swept === 0 ? this.sequenceOf(id) : swept
  }

  /** Whether an entry's newest version is a value that has not expired at `instant`. */
  isLive(id: number, instant: number): boolean {
    const chunk = this.chunks[id >>> CHUNK_BITS] as Chunk
    const i = id & CHUNK_MASK
    return chunk.valueAt(i) !== undefined && !hasExpired(chunk.expiryAt(i), instant)
  }

  /** A stored form that stays valid when the version it belongs to goes: for whoever keeps it beyond the commit that ends it. */
  detach(stored: unknown): unknown {
    return this.offHeap === null ? stored : this.offHeap.detach(stored)
  }

  /** Gives up the stored form of a version that goes, in a table with values outside of the heap. */
  discard(stored: unknown): void {
    if (this.offHeap !== null) this.offHeap.discard(stored)
  }

  metaOf(id: number): Meta | undefined {
    return (this.chunks[id >>> CHUNK_BITS] as Chunk).metaAt(id & CHUNK_MASK)
  }

  needMeta(id: number): Meta {
    const chunk = this.chunks[id >>> CHUNK_BITS] as Chunk
    const known = chunk.metaAt(id & CHUNK_MASK)
    if (known !== undefined) return known
    const meta = new Meta(this, id)
    chunk.setMeta(id & CHUNK_MASK, meta)
    return meta
  }

  /** The newest committed value of a key that is live now, or undefined. */
  get(key: Key): unknown {
    // As read(), with one look at the value.
    const high = hashKey(key, this.maplet)
    const low = hashLow
    const id = this.maplet.find(high, low, key)
    if (id < 0) return this.glance(key, high, low)
    const chunk = this.chunks[id >>> CHUNK_BITS] as Chunk
    const value = chunk.valueAt(id & CHUNK_MASK)
    if (this.policy !== null && value !== undefined) {
      this.policy.access(id)
      this.hits++
    }
    if (this.expiring) {
      const expiresAt = chunk.expiryAt(id & CHUNK_MASK)
      if (expiresAt !== 0 && expiresAt <= this.timeMs()) return undefined
    }
    return value
  }

  /** The value of an entry that the snapshot at `sequence` sees and that is live at `instant`, or undefined. */
  liveAt(id: number, sequence: number, instant: number): unknown {
    const chunk = this.chunks[id >>> CHUNK_BITS] as Chunk
    const i = id & CHUNK_MASK
    if (chunk.sequenceAt(i) <= sequence) return hasExpired(chunk.expiryAt(i), instant) ? undefined : chunk.valueAt(i)
    const version = this.versionAt(id, sequence)
    return version === null || hasExpired(version.expiresAt, instant) ? undefined : version.value
  }

  /** When what the snapshot at `sequence` sees of an entry expires; 0: never. */
  expiryAt(id: number, sequence: number): number {
    const chunk = this.chunks[id >>> CHUNK_BITS] as Chunk
    const i = id & CHUNK_MASK
    if (chunk.sequenceAt(i) <= sequence) return chunk.expiryAt(i)
    return this.versionAt(id, sequence)?.expiresAt ?? 0
  }

  /** The commit that wrote what the snapshot at `sequence` sees of an entry; 0 if that is nothing. */
  sequenceSeen(id: number, sequence: number): number {
    const head = this.sequenceOf(id)
    return head <= sequence ? head : (this.versionAt(id, sequence)?.sequence ?? 0)
  }

  /** What the value counts for that the snapshot at `sequence` sees of an entry, bytes. */
  sizeSeen(id: number, sequence: number): number {
    const chunk = this.chunks[id >>> CHUNK_BITS] as Chunk
    const i = id & CHUNK_MASK
    return chunk.sequenceAt(i) <= sequence ? chunk.sizeAt(i) : (this.versionAt(id, sequence)?.size ?? 0)
  }

  /** The value of an entry that the snapshot at `sequence` sees, expired or not, or undefined. */
  valueAt(id: number, sequence: number): unknown {
    const chunk = this.chunks[id >>> CHUNK_BITS] as Chunk
    const i = id & CHUNK_MASK
    if (chunk.sequenceAt(i) <= sequence) return chunk.valueAt(i)
    const version = this.versionAt(id, sequence)
    return version === null ? undefined : version.value
  }

  /** The chained version that the snapshot at `sequence` sees, given that it does not see the head. */
  versionAt(id: number, sequence: number): Version | null {
    const meta = this.metaOf(id)
    let version = meta === undefined ? null : meta.older
    while (version !== null && version.sequence > sequence) version = version.older
    return version
  }

  /** Makes an entry for a key that has none, with an undefined head of sequence 0. */
  create(key: Key): number {
    const high = hashKey(key, this.maplet)
    return this.enter(key, high, hashLow)
  }

  /** As {@link create}, for a write that {@link findFor} has found no entry for. */
  createFor(pending: Pending): number {
    // An insert in between may have switched the hash.
    if (pending.hashing !== (this.maplet.keyed ? KEYED : SEEDED)) return this.create(pending.key)
    return this.enter(pending.key, pending.high, pending.low)
  }

  /** The same right after {@link seek}. */
  createSought(key: Key): number {
    return this.enter(key, this.soughtHash, this.soughtLow)
  }

  private enter(key: Key, high: number, low: number): number {
    this.absentKey = undefined
    // Free places are blank, but for what is known of watchers.
    const id = this.places.take()
    const chunk = this.chunks[id >>> CHUNK_BITS] as Chunk
    const i = id & CHUNK_MASK
    chunk.setKey(i, key)
    chunk.setUnwatched(i, 0)
    this.residency.used += this.entryBytes
    this.maplet.insert(high, low, id)
    chunk.setLeaf(i, this.index.insert(key, id).id)
    return id
  }

  /** Takes an entry out of index and maplet and frees its id. Nothing may refer to it any more. */
  unlink(id: number): void {
    const chunk = this.chunks[id >>> CHUNK_BITS] as Chunk
    const i = id & CHUNK_MASK
    const key = chunk.keyAt(i)
    const high = hashKey(key, this.maplet)
    this.maplet.remove(high, hashLow, id)
    this.index.removeFrom(chunk.leafAt(i), id)
    if (this.expiring) this.deadlines.remove(id)
    if (this.offHeap !== null) this.offHeap.discard(chunk.valueAt(i))
    this.residency.left(this, id, chunk.sequenceAt(i), chunk.sizeAt(i), chunk.valueAt(i) !== undefined)
    chunk.setSize(i, 0)
    chunk.clearKey(i)
    chunk.setValue(i, undefined)
    chunk.setMeta(i, undefined)
    chunk.setSequence(i, 0)
    chunk.setExpiry(i, 0)
    this.places.give(id)
  }

  /** Whether an entry is one that {@link move} may move: it has a value and no history. */
  isMovable(id: number): boolean {
    const chunk = this.chunks[id >>> CHUNK_BITS] as Chunk
    const i = id & CHUNK_MASK
    return !chunk.isFree(i) && chunk.valueAt(i) !== undefined && chunk.metaAt(i) === undefined
  }

  /** Gives an entry another id, which nobody may remember. */
  move(id: number): void {
    const to = this.places.take()
    const source = this.chunks[id >>> CHUNK_BITS] as Chunk
    const target = this.chunks[to >>> CHUNK_BITS] as Chunk
    const key = source.keyAt(id & CHUNK_MASK)
    const high = hashKey(key, this.maplet)
    this.maplet.replace(high, hashLow, id, to)
    const leaf = this.index.seekLeaf(key)
    const at = this.index.locate(leaf, key)
    target.take(to & CHUNK_MASK, source, id & CHUNK_MASK)
    leaf.values[at] = to
    if (this.expiring && this.deadlines.remove(id)) this.queueExpiry(to)
    this.places.give(id)
  }

  /** Stamps the leaf that holds an entry with the commit that changed it (I4). */
  stampLeaf(id: number, sequence: number): void {
    const leafId = (this.chunks[id >>> CHUNK_BITS] as Chunk).leafAt(id & CHUNK_MASK)
    this.index.stamps[leafId] = sequence
  }

  /** Records a change of size at a commit. */
  resize(sequence: number, sizeDelta: number, bytesDelta: number, snapshots: SnapshotSet): void {
    this.sizes.before(sequence, this.size, this.bytes, snapshots)
    this.size += sizeDelta
    this.bytes += bytesDelta
  }

  /** Live keys and bytes as the snapshot at `sequence` sees them. */
  sizeAt(sequence: number): { size: number; bytes: number } {
    return this.sizes.at(sequence) ?? { size: this.size, bytes: this.bytes }
  }

  /**
   * The stored form of a key after applying operands to a stored form (undefined: to the operator's identity). Runs user code.
   * @throws VarveError `INVALID_ARGUMENT` without an operator, `INVALID_VALUE` if the codec refuses the result.
   */
  applyMerge(key: Key, current: unknown, operands: Operands): unknown {
    const { merge, resident } = this.spec
    if (merge === undefined) throw this.withoutOperator()
    if (current === EVICTED) throw this.lost(key)
    try {
      let value = current === undefined ? privateIdentity(merge) : resident.release(current)
      for (const operand of operands.toArray()) value = merge.merge(value, operandForm.release(operand))
      return this.admit(value)
    } catch (error) {
      throw this.placed(error, key)
    }
  }

  /** The private stored form of a value. Throws `INVALID_VALUE`. */
  admit(value: unknown): unknown {
    const { resident } = this.spec
    return this.noteForm(resident.admit(value))
  }

  /** From now on a value may be {@link EVICTED}. */
  noteLost(): void {
    this.hasLost = true
    this.allDirect = false
  }

  /** What whoever reads the value is told of a key of a fork that was evicted where that was forked from. */
  lost(key: Key): VarveError {
    const place = `${this.spec.name}[${formatKey(key)}]`
    const message = `the value of ${place} was evicted in the database that was forked: it can be overwritten here; fork anew to read`
    return new VarveError('SNAPSHOT_TOO_OLD', message, { retryable: false })
  }

  /** A stored form of another store of the same codec, as one of this table's own. */
  take(stored: unknown, owner: TableStore): unknown {
    return this.noteForm(owner.detach(stored))
  }

  private noteForm(stored: unknown): unknown {
    const { resident } = this.spec
    if (this.allDirect && !resident.direct && resident.handsOut?.(stored) !== true) this.allDirect = false
    return stored
  }

  withoutOperator(): VarveError {
    return new VarveError(
      'INVALID_ARGUMENT',
      `table '${this.spec.name}' has no merge operator; give it one when it is defined`,
    )
  }

  /** Adds table and key to what a codec says; anything else is somebody else's error and stays as it is. */
  placed(error: unknown, key: Key): unknown {
    if (!(error instanceof VarveError) || (error.code !== 'INVALID_VALUE' && error.code !== 'CODEC_MISMATCH'))
      return error
    const details = error.cause === undefined ? {} : { cause: error.cause }
    return new VarveError(error.code, `${error.message} (table '${this.spec.name}', key ${formatKey(key)})`, details)
  }

  /** Bytes that a key takes in memory. */
  sizeOfKey(key: Key): number {
    return this.wordForm !== null && this.wordForm.split(key) ? WORDS_BYTES : sizeOfKey(key)
  }

  /** Bytes that an entry counts for: those of its key and its stored value, or what the table's `sizeOf` says. */
  sizeOfEntry(key: Key, stored: unknown): number {
    const { sizeOf, resident } = this.spec
    if (sizeOf === undefined) return this.sizeOfKey(key) + resident.sizeOf(stored)
    const size = sizeOf(releaseKey(key), resident.release(stored))
    if (Number.isFinite(size) && size >= 0 && Math.ceil(size) <= MOST_SIZE) return Math.ceil(size)
    throw new VarveError(
      'INVALID_ARGUMENT',
      `sizeOf of table '${this.spec.name}' must return a number of bytes from 0 to ${MOST_SIZE}`,
    )
  }

  /** Throws `CAPACITY_EXCEEDED` if `count` more keys would not fit; nothing has changed then. */
  admitNew(count: number): void {
    if (!this.maplet.wouldExceed(count)) return
    const message = `table '${this.spec.name}' holds ${this.entries} keys and maplet.autoResize is off: ${count} more exceed its capacity`
    throw new VarveError('CAPACITY_EXCEEDED', message)
  }

  /** Whether all keys are strings, or numbers, or bigints, which are handed out as they are. */
  get plainKeys(): boolean {
    return this.index.kind !== KIND_MIXED
  }

  /** Entries that exist, tombstones included. */
  get entries(): number {
    return this.places.used
  }

  /** Throws on the first violated invariant. Walks everything. */
  check(clock: number, snapshots: SnapshotSet, base: Base | null = null): void {
    checkStore(this, clock, snapshots)
    if (base !== null && this.base !== null) checkComplete(this, this.base, base)
  }

  /** Estimated bytes of the index. */
  get indexBytes(): number {
    return this.index.size * this.indexEntryBytes
  }

  /** Estimated bytes of the columns, index and maplet: what the table costs beyond keys and values. */
  overheadBytes(): number {
    const room = this.offHeap === null ? 0 : this.offHeap.arena.roomBytes
    const columns = this.places.bytes - this.entries * SLOTS_BYTES
    return columns + this.maplet.bytes + this.indexBytes + this.versions * VERSION_BYTES + room
  }
}

/** An identity that is an object is handed out as a frozen copy, so that no operator can change it for everybody. */
function privateIdentity(merge: MergeOperator<unknown, unknown>): unknown {
  const identity = identityOf(merge)
  return typeof identity === 'object' && identity !== null ? operandForm.release(operandForm.admit(identity)) : identity
}

/** Whether something that expires at `expiresAt` (0: never) is gone at `instant`, both ms since the epoch. */
export function hasExpired(expiresAt: number, instant: number): boolean {
  return expiresAt !== 0 && expiresAt <= instant
}
