/**
 * One table in memory: entries in struct-of-arrays columns, found by key through the maplet and in order through the
 * skiplist. It knows versions and snapshots, but nothing of transactions.
 *
 *   key ──maplet──> entry id ──> chunk[id >> 12] { key, value, sequence, size, leaf id, meta }[id & 4095]
 *   key order ──skiplist leaf──> entry id
 *
 * Cost: 40 bytes of columns per entry (chunks of 4096, so growth moves nothing), about 10 in the maplet and 26 in the
 * index, besides key and value. A point read is one hash, one or two cache lines of the maplet, one chunk.
 *
 * I1  An entry id is either free or names a key that is in the maplet and in the index, exactly once in each.
 * I2  The head's sequence is above every sequence in its chain.
 * I3  `size` counts the entries whose head is a value; `bytes` sums their sizes.
 * I4  A leaf's stamp is not below the sequence of any of its heads that was written while a snapshot was open.
 */
import { codecs, type Resident, residentOf } from '../codecs/index.ts'
import { VarveError } from '../errors.ts'
import { compareKeys, formatKey, type Key, KeyMap, releaseKey } from '../keys/index.ts'
import { type MergeOperator, MapletCore, type MapletOptions, hashKey, hashLow } from '../maplet/core.ts'
import { identityOf } from '../maplet/merges.ts'
import { type Leaf, OrderedIndex } from '../skiplist/core.ts'
import type { Node } from './node.ts'
import type { RangeMark } from './predicates.ts'
import { sizeOfKey } from './size.ts'
import type { SnapshotSet } from './snapshots.ts'
import { ABSENT, Meta, type Version } from './version.ts'
import type { Operands } from './write-set.ts'

export const CHUNK_BITS = 12
export const CHUNK_SIZE: number = 1 << CHUNK_BITS
export const CHUNK_MASK: number = CHUNK_SIZE - 1
const FIRST_CHUNK_CAPACITY = 16

/** Columns of up to 4096 entries. The first chunk of a table starts small and doubles, so that small tables stay small. */
export class Chunk {
  keys: Key[]
  values: unknown[]
  metas: (Meta | undefined)[]
  sequences: Float64Array
  sizes: Uint32Array
  leaves: Uint32Array
  capacity: number

  constructor(capacity: number) {
    this.capacity = capacity
    this.keys = new Array<Key>(capacity).fill('')
    this.values = new Array<unknown>(capacity).fill(ABSENT)
    this.metas = new Array<Meta | undefined>(capacity).fill(undefined)
    this.sequences = new Float64Array(capacity)
    this.sizes = new Uint32Array(capacity)
    this.leaves = new Uint32Array(capacity)
  }

  grow(): void {
    const bigger = new Chunk(Math.min(this.capacity * 4, CHUNK_SIZE))
    for (let i = 0; i < this.capacity; i++) {
      bigger.keys[i] = this.keys[i] as Key
      bigger.values[i] = this.values[i]
      bigger.metas[i] = this.metas[i]
    }
    bigger.sequences.set(this.sequences)
    bigger.sizes.set(this.sizes)
    bigger.leaves.set(this.leaves)
    this.capacity = bigger.capacity
    this.keys = bigger.keys
    this.values = bigger.values
    this.metas = bigger.metas
    this.sequences = bigger.sequences
    this.sizes = bigger.sizes
    this.leaves = bigger.leaves
  }
}

/** How operands of merges wait in a write set: private copies, like values. */
export const operandForm: Resident<unknown> = residentOf(codecs.structured())

/** Everything about a table that the engine needs to know. */
export interface TableSpec {
  readonly name: string
  readonly resident: Resident<unknown>
  readonly merge: MergeOperator<unknown, unknown> | undefined
  readonly sizeOf: ((key: unknown, value: unknown) => number) | undefined
  readonly maplet: MapletOptions
}

/** Size of a table as of one commit; kept for open snapshots like any other version. */
interface SizeVersion {
  readonly sequence: number
  readonly size: number
  readonly bytes: number
}

export class TableStore {
  readonly spec: TableSpec
  readonly chunks: Chunk[] = []
  readonly index: OrderedIndex<Key, number>
  readonly maplet: MapletCore
  /** Whether merges of this table commute, so that they do not conflict with each other. */
  readonly commutative: boolean
  /** Committed range reads that still matter, checked by writers. */
  rangeMarks: RangeMark[] = []
  /** Committed point reads of absent keys that still matter. */
  readonly absentReaders: KeyMap<Node[]> = new KeyMap()
  /** Newest range or absent reader whose node was summarised away; covers the whole table. */
  coverStamp = 0
  /** The last sweep that filtered `rangeMarks`. */
  rangeSweep = 0
  /** I3. */
  size = 0
  bytes = 0
  /** Versions in chains. */
  versions = 0
  private allocated = 0
  private readonly free: number[] = []
  private sizeHistory: SizeVersion[] = []
  private sizeSequence = 0

  constructor(spec: TableSpec) {
    this.spec = spec
    this.commutative = spec.merge?.commutative === true
    this.index = new OrderedIndex<Key, number>(compareKeys, (id, leaf) => {
      ;(this.chunks[id >>> CHUNK_BITS] as Chunk).leaves[id & CHUNK_MASK] = leaf.id
    })
    this.maplet = new MapletCore(this, spec.maplet)
  }

  /** Entry id of a key, or -1. */
  find(key: Key): number {
    const high = hashKey(key, this.maplet)
    return this.maplet.find(high, hashLow, key)
  }

  /** For the maplet: does this candidate hold that very key? */
  matches(id: number, key: Key): boolean {
    const stored = (this.chunks[id >>> CHUNK_BITS] as Chunk).keys[id & CHUNK_MASK] as Key
    return stored === key || (typeof key === 'object' && typeof stored === 'object' && compareKeys(stored, key) === 0)
  }

  keyOf(id: number): Key {
    return (this.chunks[id >>> CHUNK_BITS] as Chunk).keys[id & CHUNK_MASK] as Key
  }

  sequenceOf(id: number): number {
    return (this.chunks[id >>> CHUNK_BITS] as Chunk).sequences[id & CHUNK_MASK] as number
  }

  headOf(id: number): unknown {
    return (this.chunks[id >>> CHUNK_BITS] as Chunk).values[id & CHUNK_MASK]
  }

  metaOf(id: number): Meta | undefined {
    return (this.chunks[id >>> CHUNK_BITS] as Chunk).metas[id & CHUNK_MASK]
  }

  needMeta(id: number): Meta {
    const chunk = this.chunks[id >>> CHUNK_BITS] as Chunk
    return (chunk.metas[id & CHUNK_MASK] ??= new Meta(this, id))
  }

  /** The newest committed value of a key, or ABSENT. */
  get(key: Key): unknown {
    const id = this.find(key)
    return id < 0 ? ABSENT : (this.chunks[id >>> CHUNK_BITS] as Chunk).values[id & CHUNK_MASK]
  }

  /** The value of an entry that the snapshot at `sequence` sees, or ABSENT. */
  valueAt(id: number, sequence: number): unknown {
    const chunk = this.chunks[id >>> CHUNK_BITS] as Chunk
    const i = id & CHUNK_MASK
    if ((chunk.sequences[i] as number) <= sequence) return chunk.values[i]
    const version = this.versionAt(id, sequence)
    return version === null ? ABSENT : version.value
  }

  /** The chained version that the snapshot at `sequence` sees, given that it does not see the head. */
  versionAt(id: number, sequence: number): Version | null {
    const meta = this.metaOf(id)
    let version = meta === undefined ? null : meta.older
    while (version !== null && version.sequence > sequence) version = version.older
    return version
  }

  /** Makes an entry for a key that has none, with an ABSENT head of sequence 0. */
  create(key: Key): number {
    const id = this.free.length > 0 ? (this.free.pop() as number) : this.allocate()
    const chunk = this.chunks[id >>> CHUNK_BITS] as Chunk
    const i = id & CHUNK_MASK
    const high = hashKey(key, this.maplet)
    chunk.keys[i] = key
    chunk.values[i] = ABSENT
    chunk.sequences[i] = 0
    chunk.sizes[i] = 0
    this.maplet.insert(high, hashLow, id)
    chunk.leaves[i] = this.index.insert(key, id).id
    return id
  }

  /** Takes an entry out of index and maplet and frees its id. Nothing may refer to it any more. */
  unlink(id: number): void {
    const chunk = this.chunks[id >>> CHUNK_BITS] as Chunk
    const i = id & CHUNK_MASK
    const key = chunk.keys[i] as Key
    const high = hashKey(key, this.maplet)
    this.maplet.remove(high, hashLow, id)
    this.index.remove(key)
    chunk.keys[i] = ''
    chunk.values[i] = ABSENT
    chunk.metas[i] = undefined
    chunk.sequences[i] = 0
    this.free.push(id)
  }

  /** Stamps the leaf that holds an entry with the commit that changed it (I4). */
  stampLeaf(id: number, sequence: number): void {
    const leafId = (this.chunks[id >>> CHUNK_BITS] as Chunk).leaves[id & CHUNK_MASK] as number
    const leaf = this.index.leaves[leafId] as Leaf<Key, number>
    leaf.stamp = sequence
  }

  /** Records a change of size at a commit; `pinned` is the newest open snapshot (-1: none). */
  resize(sequence: number, sizeDelta: number, bytesDelta: number, pinned: number): void {
    if (sequence !== this.sizeSequence) {
      if (pinned < 0) this.sizeHistory.length = 0
      else if (pinned >= this.sizeSequence) {
        this.sizeHistory.push({ sequence: this.sizeSequence, size: this.size, bytes: this.bytes })
      }
      this.sizeSequence = sequence
    }
    this.size += sizeDelta
    this.bytes += bytesDelta
  }

  /** Live keys and bytes as the snapshot at `sequence` sees them. */
  sizeAt(sequence: number): { size: number; bytes: number } {
    if (sequence >= this.sizeSequence) return { size: this.size, bytes: this.bytes }
    for (let i = this.sizeHistory.length - 1; i >= 0; i--) {
      const version = this.sizeHistory[i] as SizeVersion
      if (version.sequence <= sequence) return version
    }
    return { size: 0, bytes: 0 }
  }

  /** Forgets sizes that no open snapshot sees. */
  pruneSizes(oldestSnapshot: number): void {
    const history = this.sizeHistory
    if (history.length === 0) return
    if (oldestSnapshot >= this.sizeSequence) {
      history.length = 0
      return
    }
    let keepFrom = 0
    while (keepFrom + 1 < history.length && (history[keepFrom + 1] as SizeVersion).sequence <= oldestSnapshot)
      keepFrom++
    if (keepFrom > 0) history.splice(0, keepFrom)
  }

  /** The stored form after applying operands to a stored form (ABSENT: to the operator's identity). Runs user code. */
  applyMerge(current: unknown, operands: Operands): unknown {
    const { merge, resident } = this.spec
    if (merge === undefined)
      throw new VarveError(
        'INVALID_ARGUMENT',
        `table '${this.spec.name}' has no merge operator; give it one when it is defined`,
      )
    let value = current === ABSENT ? identityOf(merge) : resident.release(current)
    for (const operand of operands.toArray()) value = merge.merge(value, operandForm.release(operand))
    return resident.admit(value)
  }

  /** Bytes that an entry counts for: those of its key and its stored value, or what the table's `sizeOf` says. */
  sizeOfEntry(key: Key, stored: unknown): number {
    const { sizeOf, resident } = this.spec
    if (sizeOf === undefined) return sizeOfKey(key) + resident.sizeOf(stored)
    const size = sizeOf(releaseKey(key), resident.release(stored))
    if (Number.isFinite(size) && size >= 0) return size
    throw new VarveError('INVALID_ARGUMENT', `sizeOf of table '${this.spec.name}' did not return a number of bytes`)
  }

  /** Throws `CAPACITY_EXCEEDED` if `count` more keys would not fit; nothing has changed then. */
  admitNew(count: number): void {
    if (!this.maplet.wouldExceed(count)) return
    const message = `table '${this.spec.name}' holds ${this.entries} keys and maplet.autoResize is off: ${count} more exceed its capacity`
    throw new VarveError('CAPACITY_EXCEEDED', message)
  }

  private allocate(): number {
    const id = this.allocated++
    const at = id >>> CHUNK_BITS
    const chunk = this.chunks[at]
    if (chunk === undefined) this.chunks.push(new Chunk(at === 0 ? FIRST_CHUNK_CAPACITY : CHUNK_SIZE))
    else if ((id & CHUNK_MASK) >= chunk.capacity) chunk.grow()
    return id
  }

  /** Entries that exist, tombstones included. */
  get entries(): number {
    return this.allocated - this.free.length
  }

  /** Throws on the first violated invariant. Walks everything. */
  check(clock: number, snapshots: SnapshotSet): void {
    this.index.check()
    this.maplet.check()
    let entries = 0
    let live = 0
    let bytes = 0
    let versions = 0
    for (let leaf: Leaf<Key, number> | null = this.index.first; leaf !== null; leaf = leaf.next) {
      for (const id of leaf.values) {
        entries++
        versions += this.checkEntry(id, leaf, clock, snapshots)
        if (this.headOf(id) === ABSENT) continue
        live++
        bytes += (this.chunks[id >>> CHUNK_BITS] as Chunk).sizes[id & CHUNK_MASK] as number
      }
    }
    if (entries !== this.entries) throw new Error(`I1: ${entries} entries in the index, ${this.entries} in the columns`)
    if (live !== this.size || bytes !== this.bytes) {
      throw new Error(`I3: ${live} live keys of ${bytes} bytes, but ${this.size} of ${this.bytes} are counted`)
    }
    if (versions !== this.versions) throw new Error(`${versions} chained versions, but ${this.versions} are counted`)
  }

  private checkEntry(id: number, leaf: Leaf<Key, number>, clock: number, snapshots: SnapshotSet): number {
    const key = this.keyOf(id)
    const place = `key ${formatKey(key)}`
    if (this.find(key) !== id) throw new Error(`I1: ${place} is not found by its hash`)
    const chunk = this.chunks[id >>> CHUNK_BITS] as Chunk
    if (chunk.leaves[id & CHUNK_MASK] !== leaf.id) throw new Error(`I1: ${place} does not know its leaf`)
    const head = this.sequenceOf(id)
    if (head > clock || (head <= 0 && this.headOf(id) !== ABSENT))
      throw new Error(`${place}: its head is of commit ${head}, the clock is at ${clock}`)
    let versions = 0
    let above = head
    for (let version = this.metaOf(id)?.older ?? null; version !== null; version = version.older) {
      versions++
      if (version.sequence >= above || version.end > above)
        throw new Error(`I2: ${place}: chain out of order at ${version.sequence}`)
      if (version.end > above) throw new Error(`${place}: version ${version.sequence} overlaps its successor`)
      if (version.older !== null && version.older.newer !== version)
        throw new Error(`${place}: chain is not linked both ways`)
      above = version.sequence
    }
    const pinned = snapshots.newest()
    if (pinned >= 0 && head > pinned && leaf.stamp < head && versions > 0)
      throw new Error(`I4: ${place}: leaf stamp ${leaf.stamp} is below ${head}`)
    return versions
  }

  /** Estimated bytes of the columns, index and maplet: what the table costs beyond keys and values. */
  overheadBytes(): number {
    let columns = 0
    for (const chunk of this.chunks) columns += chunk.capacity * 40
    return columns + this.maplet.bytes + this.index.size * 26 + this.versions * 120
  }
}
