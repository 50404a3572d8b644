/**
 * A run in memory: the newest write of every key in a stretch of the log. Recovery replays the tail of the log into one,
 * which is then the newest source of the cold tier; a checkpoint replays sealed segments into one and writes it out sorted.
 *
 * It is filled first and read afterwards: point reads work at any time, an order is made by the first scan, and writing
 * after that makes the next scan sort anew. It keeps copies of all it is given.
 *
 * Cost: a write is one hash, one probe of an open-addressing table and a copy, about 0.3 us; a find likewise; the first
 * scan sorts, about 0.5 us an entry at 10^6. Bytes per entry: key and newest value, 48 in columns (8 more if anything
 * expires), 5 to 11 in the table;
 * values that grew leave their earlier places behind, so keys and values together take at most the bytes of the log.
 *
 * I1  At most one entry for a stored key, that of its newest write; a removal is an entry too, a tombstone.
 * I2  The table is at most 3/4 full, so every probe ends; its order of places depends on a seed that no writer of keys knows.
 * I3  `order`, once made, lists every entry in ascending order of stored keys, and is dropped by the next new key.
 * I4  `leasts` has, of every 256 entries, an instant that is not later than the first at which one of them expires.
 */
import { VarveError } from '../errors.ts'
import type { RecordSink, TableDefinition } from '../wal/index.ts'
import { Arena, copyBytes } from './arena.ts'
import { compareBytesAt } from './compare.ts'
import { BlockExpiries } from './expiries.ts'
import { type HashSeed, hashStoredKey } from './hash.ts'
import { KeySort } from './sort.ts'
import type { Source, SourceCursor } from './source.ts'
import { TABLE_BYTES, writeTable } from './stored-key.ts'

/** By how much a stretch of log changes a table. */
export interface TableDelta {
  entries: number
  bytes: number
}

const NOTHING = new Uint8Array(0)
const NO_INSTANTS = new Float64Array(0)
const FIRST_CAPACITY = 256
const MAX_TABLE_ID = 0xffff_ffff

/** Entries that a sweep looks at together, in the order in which their keys were first written: 2^8. */
const GROUP_BITS = 8

/** Moves of the sort between two pauses: about 0.1 ms. */
const SORT_STEP = 10_000

export class MemoryRun implements RecordSink, Source {
  /** The commit that was replayed last, and its time; 0 if none was. */
  lastSequence = 0
  timeMs = 0
  /** The first commit that was replayed; 0 if none was. */
  firstSequence = 0
  /** Entries, tombstones included. */
  entries = 0
  tombstones = 0
  /** What became of the sizes of tables, summed over all records. */
  readonly deltas: Map<number, TableDelta> = new Map()
  /** Tables defined in this stretch of the log, in its order. */
  readonly definitions: TableDefinition[] = []
  // The entry found last.
  sequence = 0
  size = 0
  expiresAt = 0
  tombstone = false
  private found = -1
  // Columns, one place for each entry.
  readonly arena: Arena = new Arena()
  keyChunk: Uint32Array
  keyAt: Uint32Array
  keyLength: Uint32Array
  valueChunk: Uint32Array
  valueAt: Uint32Array
  /** Length of the value plus one; 0 for a tombstone. */
  valueMark: Uint32Array
  sequences: Float64Array
  sizes: Float64Array
  /** In ms since 1970, 0: never; null as long as nothing that expires was written. */
  instants: Float64Array | null = null
  private leasts: Float64Array = NO_INSTANTS
  /** Made of `leasts` when it is first asked for. */
  private blockExpiries: BlockExpiries | null = null
  /** How many entries expire. */
  expiring = 0
  private hashes: Int32Array
  /** Number of an entry plus one, or 0; linear probing. */
  private slots: Int32Array
  private order: Uint32Array | null = null
  private readonly tables: Set<number> = new Set()
  private lastTable = -1
  private scratch: Uint8Array = new Uint8Array(FIRST_CAPACITY)
  readonly hashSeed: HashSeed
  readonly path: string = 'the tail of the log'
  /** Commits up to this one are passed over. */
  private readonly after: number
  private isPassed = false

  /**
   * @param hashSeed that of the runs, so that one hash serves all sources
   * @param after commits up to this one are passed over: runs hold them
   * @param expected how many entries there may be: saves growing, and is no limit
   */
  constructor(hashSeed: HashSeed, after = 0, expected = 0) {
    this.hashSeed = hashSeed
    this.after = after
    let capacity = FIRST_CAPACITY
    while (capacity < expected) capacity *= 2
    this.keyChunk = new Uint32Array(capacity)
    this.keyAt = new Uint32Array(capacity)
    this.keyLength = new Uint32Array(capacity)
    this.valueChunk = new Uint32Array(capacity)
    this.valueAt = new Uint32Array(capacity)
    this.valueMark = new Uint32Array(capacity)
    this.sequences = new Float64Array(capacity)
    this.sizes = new Float64Array(capacity)
    this.hashes = new Int32Array(capacity)
    this.slots = new Int32Array(capacity * 2)
  }

  /** Estimated bytes in memory. */
  get bytes(): number {
    const columns = this.keyChunk.length * (this.instants === null ? 44 : 52)
    return this.arena.bytes + columns + this.slots.length * 4 + (this.order?.length ?? 0) * 4
  }

  commit(sequence: number, timeMs: number): void {
    this.isPassed = sequence <= this.after
    if (this.isPassed) return
    if (this.firstSequence === 0) this.firstSequence = sequence
    this.lastSequence = sequence
    this.timeMs = timeMs
  }

  put(table: number, key: Uint8Array, size: number, value: Uint8Array, expiresAt = 0): void {
    if (this.isPassed) return
    const id = this.entryOf(table, key)
    const mark = this.valueMark[id] as number
    if (mark === 0) this.tombstones--
    if (mark <= value.length) {
      this.arena.reserve(value.length)
      this.arena.take(value.length)
      this.valueChunk[id] = this.arena.chunk
      this.valueAt[id] = this.arena.at
    }
    copyBytes(value, this.arena.chunks[this.valueChunk[id] as number] as Uint8Array, this.valueAt[id] as number)
    this.valueMark[id] = value.length + 1
    this.sequences[id] = this.lastSequence
    this.sizes[id] = size
    if (expiresAt !== 0 || this.instants !== null) this.expire(id, expiresAt)
  }

  remove(table: number, key: Uint8Array): void {
    if (this.isPassed) return
    const id = this.entryOf(table, key)
    if (this.valueMark[id] !== 0) this.tombstones++
    this.valueMark[id] = 0
    this.sequences[id] = this.lastSequence
    this.sizes[id] = 0
    if (this.instants !== null) this.expire(id, 0)
  }

  resized(table: number, entries: number, bytes: number): void {
    if (this.isPassed) return
    const delta = this.deltas.get(table)
    if (delta === undefined) {
      this.deltas.set(table, { entries, bytes })
    } else {
      delta.entries += entries
      delta.bytes += bytes
    }
  }

  define(table: TableDefinition): void {
    this.definitions.push(table)
  }

  find(key: Uint8Array, length: number, hashHigh: number, _hashLow: number): boolean {
    if (this.entries === 0) return false
    const id = this.lookUp(hashHigh | 0, key, length)
    if (id < 0) return false
    this.found = id
    this.sequence = this.sequences[id] as number
    this.size = this.sizes[id] as number
    this.expiresAt = this.instants === null ? 0 : (this.instants[id] as number)
    this.tombstone = this.valueMark[id] === 0
    return true
  }

  get value(): Uint8Array {
    return this.valueOf(this.found)
  }

  get valueBytes(): Uint8Array {
    return this.valueBytesOf(this.found)
  }

  get valueStart(): number {
    return this.valueStartOf(this.found)
  }

  get valueEnd(): number {
    return this.valueEndOf(this.found)
  }

  /** The encoded value of an entry: a view, true until the entry is written again; empty for a tombstone. */
  valueOf(id: number): Uint8Array {
    return this.valueBytesOf(id).subarray(this.valueStartOf(id), this.valueEndOf(id))
  }

  /** Where the encoded value of an entry lies. */
  valueBytesOf(id: number): Uint8Array {
    return (this.valueMark[id] as number) <= 1
      ? NOTHING
      : (this.arena.chunks[this.valueChunk[id] as number] as Uint8Array)
  }

  valueStartOf(id: number): number {
    return (this.valueMark[id] as number) <= 1 ? 0 : (this.valueAt[id] as number)
  }

  valueEndOf(id: number): number {
    const mark = this.valueMark[id] as number
    return mark <= 1 ? 0 : (this.valueAt[id] as number) + mark - 1
  }

  has(table: number): boolean {
    return this.tables.has(table)
  }

  cursor(): MemoryCursor {
    return new MemoryCursor(this, this.sorted())
  }

  /** Of each 256 entries, in the order in which their keys were first written; what is written makes it anew. */
  get expiries(): BlockExpiries | null {
    if (this.expiring === 0) return null
    this.blockExpiries ??= new BlockExpiries(this.leasts.slice(0, ((this.entries - 1) >>> GROUP_BITS) + 1))
    return this.blockExpiries
  }

  walk(block: number): MemoryCursor {
    const first = block << GROUP_BITS
    const length = Math.min(this.entries - first, 1 << GROUP_BITS)
    return new MemoryCursor(
      this,
      Uint32Array.from({ length }, (_, i) => first + i),
    )
  }

  /** The numbers of all entries in ascending order of their stored keys. */
  sorted(): Uint32Array {
    if (this.order === null) {
      const sort = this.sort()
      while (!sort.step(Infinity)) continue
      this.order = sort.order
    }
    return this.order
  }

  /** As {@link sorted}, but lets others run now and then. */
  async sortInSteps(pause: () => void | Promise<void>): Promise<Uint32Array> {
    const sort = this.sort()
    while (!sort.step(SORT_STEP)) await pause()
    this.order = sort.order
    return this.order
  }

  private sort(): KeySort {
    const { arena, keyChunk, keyAt, keyLength } = this
    return new KeySort({ chunks: arena.chunks, chunkOf: keyChunk, startOf: keyAt, lengthOf: keyLength }, this.entries)
  }

  /** Sets when an entry expires; 0: never. */
  private expire(id: number, expiresAt: number): void {
    if (this.instants === null) {
      this.instants = new Float64Array(this.keyAt.length)
      this.leasts = new Float64Array(groupsOf(this.keyAt.length)).fill(Infinity)
    }
    const { instants, leasts } = this
    this.expiring += (expiresAt === 0 ? 0 : 1) - (instants[id] === 0 ? 0 : 1)
    instants[id] = expiresAt
    this.blockExpiries = null
    if (expiresAt === 0) return
    const group = id >>> GROUP_BITS
    if (expiresAt < (leasts[group] as number)) leasts[group] = expiresAt
  }

  /** The entry of a key, made if need be. */
  private entryOf(table: number, key: Uint8Array): number {
    const length = TABLE_BYTES + key.length
    if (length > this.scratch.length) this.scratch = new Uint8Array(length * 2)
    const { scratch } = this
    writeTable(table, scratch)
    copyBytes(key, scratch, TABLE_BYTES)
    const hash = hashStoredKey(scratch, length, this.hashSeed) | 0
    const known = this.lookUp(hash, scratch, length)
    if (known >= 0) return known
    if (table !== this.lastTable) {
      if (table > MAX_TABLE_ID)
        throw new VarveError('CORRUPTION', `the log writes to table ${table}, and there is none`)
      this.lastTable = table
      this.tables.add(table)
    }
    return this.add(hash, scratch, length)
  }

  /** A new entry is a tombstone, and counted as one. */
  private add(hash: number, stored: Uint8Array, length: number): number {
    const { arena } = this
    const chunk = arena.reserve(length)
    arena.take(length)
    for (let i = 0; i < length; i++) chunk[arena.at + i] = stored[i] as number
    const id = this.entries
    if (id === this.keyAt.length) this.grow()
    this.entries = id + 1
    this.tombstones++
    this.order = null
    this.keyChunk[id] = arena.chunk
    this.keyAt[id] = arena.at
    this.keyLength[id] = length
    this.hashes[id] = hash
    this.place(id, hash)
    return id
  }

  private place(id: number, hash: number): void {
    const { slots } = this
    const mask = slots.length - 1
    let slot = hash & mask
    while (slots[slot] !== 0) slot = (slot + 1) & mask
    slots[slot] = id + 1
  }

  private lookUp(hash: number, key: Uint8Array, length: number): number {
    const { slots, hashes } = this
    const mask = slots.length - 1
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const id = (slots[slot] as number) - 1
      if (id < 0) return -1
      if (hashes[id] === hash && this.holds(id, key, length)) return id
    }
  }

  private holds(id: number, key: Uint8Array, length: number): boolean {
    if (this.keyLength[id] !== length) return false
    const chunk = this.arena.chunks[this.keyChunk[id] as number] as Uint8Array
    const at = this.keyAt[id] as number
    for (let i = 0; i < length; i++) if (chunk[at + i] !== key[i]) return false
    return true
  }

  private grow(): void {
    const capacity = this.keyAt.length * 2
    this.keyChunk = grown(this.keyChunk, new Uint32Array(capacity))
    this.keyAt = grown(this.keyAt, new Uint32Array(capacity))
    this.keyLength = grown(this.keyLength, new Uint32Array(capacity))
    this.valueChunk = grown(this.valueChunk, new Uint32Array(capacity))
    this.valueAt = grown(this.valueAt, new Uint32Array(capacity))
    this.valueMark = grown(this.valueMark, new Uint32Array(capacity))
    this.sequences = grown(this.sequences, new Float64Array(capacity))
    this.sizes = grown(this.sizes, new Float64Array(capacity))
    this.hashes = grown(this.hashes, new Int32Array(capacity))
    if (this.instants !== null) {
      this.instants = grown(this.instants, new Float64Array(capacity))
      this.leasts = grown(this.leasts, new Float64Array(groupsOf(capacity)).fill(Infinity))
    }
    this.slots = new Int32Array(capacity * 2)
    for (let id = 0; id < this.entries; id++) this.place(id, this.hashes[id] as number)
  }
}

function groupsOf(entries: number): number {
  return Math.ceil(entries / (1 << GROUP_BITS))
}

function grown<Column extends Uint32Array | Int32Array | Float64Array>(column: Column, target: Column): Column {
  target.set(column)
  return target
}

/** A place in the order of a memory run, which must not be written meanwhile. */
export class MemoryCursor implements SourceCursor {
  key: Uint8Array = new Uint8Array(FIRST_CAPACITY)
  keyLength = 0
  sequence = 0
  size = 0
  expiresAt = 0
  tombstone = false
  private readonly run: MemoryRun
  private readonly order: Uint32Array
  private at = -1
  private id = -1

  constructor(run: MemoryRun, order: Uint32Array) {
    this.run = run
    this.order = order
  }

  get value(): Uint8Array {
    return this.run.valueOf(this.id)
  }

  get valueBytes(): Uint8Array {
    return this.run.valueBytesOf(this.id)
  }

  get valueStart(): number {
    return this.run.valueStartOf(this.id)
  }

  get valueEnd(): number {
    return this.run.valueEndOf(this.id)
  }

  seek(key: Uint8Array, length: number, inclusive: boolean): boolean {
    return this.moveTo(this.rank(key, length, inclusive ? 0 : 1))
  }

  seekBack(key: Uint8Array, length: number, inclusive: boolean): boolean {
    return this.moveTo(this.rank(key, length, inclusive ? 1 : 0) - 1)
  }

  first(): boolean {
    return this.moveTo(0)
  }

  next(): boolean {
    return this.moveTo(this.at + 1)
  }

  prev(): boolean {
    return this.moveTo(this.at - 1)
  }

  /** How many entries lie below `key`, or with `above` 1: at it or below. */
  private rank(key: Uint8Array, length: number, above: number): number {
    const { order, run } = this
    let low = 0
    let high = order.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const id = order[middle] as number
      const chunk = run.arena.chunks[run.keyChunk[id] as number] as Uint8Array
      const side = compareBytesAt(chunk, run.keyAt[id] as number, run.keyLength[id] as number, key, length)
      if (side < above) low = middle + 1
      else high = middle
    }
    return low
  }

  private moveTo(at: number): boolean {
    const { order, run } = this
    if (at < 0 || at >= order.length) return false
    const id = order[at] as number
    const chunk = run.arena.chunks[run.keyChunk[id] as number] as Uint8Array
    const start = run.keyAt[id] as number
    const length = run.keyLength[id] as number
    if (length > this.key.length) this.key = new Uint8Array(length * 2)
    for (let i = 0; i < length; i++) this.key[i] = chunk[start + i] as number
    this.keyLength = length
    this.at = at
    this.id = id
    this.sequence = run.sequences[id] as number
    this.size = run.sizes[id] as number
    this.expiresAt = run.instants === null ? 0 : (run.instants[id] as number)
    this.tombstone = run.valueMark[id] === 0
    return true
  }
}
