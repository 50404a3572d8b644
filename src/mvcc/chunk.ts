/**
 * The columns of entries: what a table keeps of each key, side by side, in chunks of 4096.
 *
 *   entry id ──> chunks[id >>> 12] { key, value; sequence, size, leaf id; history, expiry … }[id & 4095]
 *
 * All tables of a database take their chunks from one list, so an entry id means one entry of the whole database, and a chunk
 * knows its table. Growth moves nothing: chunks are added, and only the first of a table starts small.
 *
 * Of a table whose keys are of 64 bits the key is two words (keys/words.ts), and no object. What turns out to have no words, which
 * its codec is not to let through, makes its chunk one of references.
 *
 * Cost: 28 bytes an entry. What most entries say nothing in is a column that a chunk gets when the first of its entries does:
 * histories (8), expiries (8), upper halves of sequences (4), what is known of watchers (4).
 */
import { type Key, type WordForm, wordHigh, wordLow } from '../keys/index.ts'
import type { TableStore } from './store.ts'
import type { Meta } from './version.ts'

export const CHUNK_BITS = 12
export const CHUNK_SIZE: number = 1 << CHUNK_BITS
export const CHUNK_MASK: number = CHUNK_SIZE - 1
export const FIRST_CHUNK_CAPACITY = 16

/** Numbers per entry: the lower half of the sequence, size, leaf id. */
const NUMBERS = 3
/** In the place of a leaf's id: there is no entry here. Says so where keys are words. */
const NO_LEAF = 0xffff_ffff
const HALF: number = 2 ** 32

/** Up to 4096 entries. The first chunk of a table starts small and grows, so that small tables stay small. */
export class Chunk {
  /** Whose entries these are. */
  readonly store: TableStore
  /** Of each entry the value, and the key unless that is words. Side by side, so that a read finds them in one cache line. */
  references: unknown[]
  /** References per entry, as a power of two. */
  private shift: number
  /** Of each entry the lower and the upper word of the key; null: keys are references. Says nothing of a free place. */
  words: Int32Array | null
  numbers: Uint32Array
  /** Upper halves of sequences, which outgrow 32 bits. Made when the first entry here has one that is not 0. */
  private upper: Uint32Array | null = null
  /** Made when the first entry here is given one, and given back by {@link shed}. */
  private histories: (Meta | undefined)[] | null = null
  private historyCount = 0
  /** When entries expire, ms since the epoch, 0: never. Made when the first entry here is given an expiry. */
  expiries: Float64Array | null = null
  /** As of which version of the table's watchers an entry is known to concern none of them; 0: it was not asked. */
  unwatched: Uint32Array | null = null
  /** How many noted reads of active transactions keep an entry in memory; null where nothing else would take it away. */
  pins: Uint32Array | null
  capacity: number

  constructor(store: TableStore, capacity: number) {
    this.store = store
    this.pins = store.residency.pins ? new Uint32Array(capacity) : null
    this.capacity = capacity
    this.words = store.wordForm === null ? null : new Int32Array(capacity * 2)
    this.shift = this.words === null ? 1 : 0
    this.references = new Array<unknown>(capacity << this.shift).fill(undefined)
    this.numbers = new Uint32Array(capacity * NUMBERS)
    if (this.words !== null) for (let i = 0; i < capacity; i++) this.setLeaf(i, NO_LEAF)
  }

  /** The key of an entry. */
  keyAt(i: number): Key {
    const { words } = this
    if (words === null) return this.references[(i << 1) | 1] as Key
    return (this.store.wordForm as WordForm).join(words[i * 2] as number, words[i * 2 + 1] as number)
  }

  /** Whether there is no entry. */
  isFree(i: number): boolean {
    return this.words === null ? this.references[(i << 1) | 1] === undefined : this.leafAt(i) === NO_LEAF
  }

  /** Whether there is an entry, and of that very key: for bytes and tuples, that object. */
  holds(i: number, key: Key): boolean {
    if (this.words === null) return this.references[(i << 1) | 1] === key
    return this.leafAt(i) !== NO_LEAF && this.hasWordsOf(i, key)
  }

  /** Whether the words of an entry are those of a key. */
  hasWordsOf(i: number, key: Key): boolean {
    const words = this.words as Int32Array
    if (!(this.store.wordForm as WordForm).split(key)) return false
    return words[i * 2] === wordLow && words[i * 2 + 1] === wordHigh
  }

  /** Begins an entry, which is complete once it has a leaf. */
  setKey(i: number, key: Key): void {
    const { words } = this
    if (words === null) {
      this.references[(i << 1) | 1] = key
    } else if ((this.store.wordForm as WordForm).split(key)) {
      words[i * 2] = wordLow
      words[i * 2 + 1] = wordHigh
    } else {
      this.spell()
      this.setKey(i, key)
    }
  }

  /** Makes the place a free one. */
  clearKey(i: number): void {
    if (this.words === null) this.references[(i << 1) | 1] = undefined
    else this.setLeaf(i, NO_LEAF)
  }

  /** Makes references of the words. */
  private spell(): void {
    const references = new Array<unknown>(this.capacity * 2).fill(undefined)
    for (let i = 0; i < this.capacity; i++) {
      references[i << 1] = this.valueAt(i)
      if (!this.isFree(i)) references[(i << 1) | 1] = this.keyAt(i)
    }
    this.references = references
    this.shift = 1
    this.words = null
  }

  /** The newest value, or undefined. */
  valueAt(i: number): unknown {
    return this.references[i << this.shift]
  }

  setValue(i: number, value: unknown): void {
    this.references[i << this.shift] = value
  }

  metaAt(i: number): Meta | undefined {
    return this.histories === null ? undefined : this.histories[i]
  }

  setMeta(i: number, meta: Meta | undefined): void {
    if (this.histories === null) {
      if (meta === undefined) return
      this.histories = new Array<Meta | undefined>(this.capacity).fill(undefined)
    }
    if ((this.histories[i] === undefined) !== (meta === undefined)) this.historyCount += meta === undefined ? -1 : 1
    this.histories[i] = meta
  }

  /** Gives the column of histories back if no entry has one. */
  shed(): void {
    if (this.historyCount === 0) this.histories = null
  }

  /** Throws if the histories are not as many as are counted. */
  check(): void {
    let count = 0
    for (let i = 0; i < this.capacity; i++) if (this.metaAt(i) !== undefined) count++
    if (count !== this.historyCount)
      throw new Error(`${count} histories in a chunk, but ${this.historyCount} are counted`)
  }

  /** Sequence of the newest version. */
  sequenceAt(i: number): number {
    const lower = this.numbers[i * NUMBERS] as number
    return this.upper === null ? lower : (this.upper[i] as number) * HALF + lower
  }

  setSequence(i: number, sequence: number): void {
    this.numbers[i * NUMBERS] = sequence
    if (this.upper === null) {
      if (sequence < HALF) return
      this.upper = new Uint32Array(this.capacity)
    }
    this.upper[i] = sequence / HALF
  }

  sizeAt(i: number): number {
    return this.numbers[i * NUMBERS + 1] as number
  }

  setSize(i: number, size: number): void {
    this.numbers[i * NUMBERS + 1] = size
  }

  leafAt(i: number): number {
    return this.numbers[i * NUMBERS + 2] as number
  }

  setLeaf(i: number, leafId: number): void {
    this.numbers[i * NUMBERS + 2] = leafId
  }

  /** ms since the epoch; 0: never. */
  expiryAt(i: number): number {
    return this.expiries === null ? 0 : (this.expiries[i] as number)
  }

  setExpiry(i: number, expiresAt: number): void {
    if (this.expiries === null) {
      if (expiresAt === 0) return
      this.expiries = new Float64Array(this.capacity)
    }
    this.expiries[i] = expiresAt
  }

  unwatchedAt(i: number): number {
    return this.unwatched === null ? 0 : (this.unwatched[i] as number)
  }

  setUnwatched(i: number, version: number): void {
    if (this.unwatched === null) {
      if (version === 0) return
      this.unwatched = new Uint32Array(this.capacity)
    }
    this.unwatched[i] = version
  }

  /** Bytes of the columns. */
  get bytes(): number {
    // A key, whether reference or words; and a value.
    let each = 8 + 8 + 4 * NUMBERS
    if (this.upper !== null) each += 4
    if (this.histories !== null) each += 8
    if (this.expiries !== null) each += 8
    if (this.unwatched !== null) each += 4
    if (this.pins !== null) each += 4
    return this.capacity * each
  }

  /** Takes an entry over from a place of another chunk of the table, which is free then. It has no history. */
  take(i: number, source: Chunk, j: number): void {
    this.setKey(i, source.keyAt(j))
    this.setValue(i, source.valueAt(j))
    this.setMeta(i, undefined)
    this.setSequence(i, source.sequenceAt(j))
    this.setSize(i, source.sizeAt(j))
    this.setLeaf(i, source.leafAt(j))
    this.setExpiry(i, source.expiryAt(j))
    this.setUnwatched(i, 0)
    source.clearKey(j)
    source.setValue(j, undefined)
    source.setSequence(j, 0)
    source.setSize(j, 0)
    source.setExpiry(j, 0)
  }

  grow(): void {
    const bigger = new Chunk(this.store, Math.min(this.capacity * 4, CHUNK_SIZE))
    if (this.words !== null) (bigger.words as Int32Array).set(this.words)
    else if (bigger.words !== null) bigger.spell()
    for (let i = 0; i < this.references.length; i++) bigger.references[i] = this.references[i]
    bigger.numbers.set(this.numbers)
    if (this.upper !== null) {
      bigger.upper = new Uint32Array(bigger.capacity)
      bigger.upper.set(this.upper)
      this.upper = bigger.upper
    }
    if (this.histories !== null) {
      for (let i = 0; i < this.capacity; i++) bigger.setMeta(i, this.histories[i])
      this.histories = bigger.histories
    }
    if (this.expiries !== null) {
      bigger.expiries = new Float64Array(bigger.capacity)
      bigger.expiries.set(this.expiries)
      this.expiries = bigger.expiries
    }
    // It only saves asking.
    this.unwatched = null
    if (this.pins !== null) {
      ;(bigger.pins as Uint32Array).set(this.pins)
      this.pins = bigger.pins
    }
    this.capacity = bigger.capacity
    this.references = bigger.references
    this.words = bigger.words
    this.numbers = bigger.numbers
  }
}

/**
 * Puts the newest values of `count` entries into an array: those whose ids stand in `ids` from `at` on, in steps of `step`. Returns
 * whether all of them have one. Each is a cache miss, and as many of these overlap as iterations fit into what a processor has
 * under way: so nothing else is done here.
 */
export function gatherHeads(
  chunks: readonly Chunk[],
  ids: readonly number[],
  at: number,
  step: number,
  count: number,
  into: unknown[],
): boolean {
  // What a module exports is looked up, and checked, wherever it is named.
  const bits = CHUNK_BITS
  const mask = CHUNK_MASK
  let absent = 0
  for (let i = 0, from = at; i < count; i++, from += step) {
    const id = ids[from] as number
    const value = (chunks[id >>> bits] as Chunk).valueAt(id & mask)
    into[i] = value
    if (value === undefined) absent++
  }
  return absent === 0
}
