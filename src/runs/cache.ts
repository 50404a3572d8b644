/**
 * The block cache: decoded blocks and maplet pages of all runs, bounded in bytes, evicted by CLOCK with one bit (Corbato,
 * "A paging experiment with the Multics system", 1968).
 *
 * It is not a map: each reader keeps, per part of its file, the slot in which the part is cached, or -1. So a hit is two
 * array reads and one store, and nothing is hashed or allocated.
 *
 * C1  `bytes` is the sum of the sizes of what is cached, and after every `insert` at most `maxBytes`.
 * C2  A slot that is in use is named by exactly one entry of one owner's table, and by none once it is free.
 * C3  What was handed out stays valid after its eviction: parts are immutable and freed by the garbage collector.
 *
 * A part enters unmarked, and a hit marks it: it then survives one turn of the hand. O(1) amortised: each step of the hand
 * clears a mark that a hit has set, or evicts. Costs 21 bytes per slot beside the parts themselves.
 *
 * Once it is full, a block is kept only when it is read a second time within a while (the doorkeeper of door.ts): cold reads of
 * keys that nobody asks for again would push out the maplet pages, which every cold read needs. What is not kept can be read
 * into one buffer, again and again. Long walks, which read ahead, fill what room there is and push out nothing.
 */
import { Door } from '../eviction/door.ts'

/** What a cache holds: anything of a known size. */
export interface CachedPart {
  /** What it takes in memory, in bytes. */
  readonly memoryBytes: number
}

/** What a block takes beside its bytes. */
export const BLOCK_OBJECT_BYTES = 160

/** A door has a place for each two kilobytes of the cache: for about twice the blocks that it has room for. */
const BYTES_PER_PLACE = 2048

/** What is longer gets a buffer of its own, which does not stay. */
const MOST_SCRATCH_BYTES: number = 1 << 16

/** What a slot takes beside its part. */
const SLOT_BYTES = 21

/** For each part of a file the slot in which it is cached, or -1. */
export type SlotTable = Int32Array

/** The slots of so many parts, none of which is cached. */
export function emptySlots(parts: number): SlotTable {
  return new Int32Array(parts).fill(-1)
}

/** Shared by all readers of a database. See the head of this file. */
export class BlockCache {
  /** Most bytes that are kept. */
  readonly maxBytes: number
  /** Bytes kept now. */
  bytes = 0
  /** Parts kept now. */
  parts = 0
  /** How often a part was found here, and how often it had to be read from a file. */
  hits = 0
  misses = 0
  evictions = 0

  readonly #door: Door
  #scratch: Uint8Array = new Uint8Array(0)
  readonly #parts: (CachedPart | null)[] = []
  readonly #owners: (SlotTable | null)[] = []
  readonly #places: number[] = []
  readonly #free: number[] = []
  #marks: Uint8Array = new Uint8Array(64)
  #hand = 0

  /** @param maxBytes a part larger than an eighth of it is never kept. */
  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
    this.#door = new Door(maxBytes / BYTES_PER_PLACE)
  }

  /** Bytes that it takes beside the parts. */
  get overheadBytes(): number {
    return this.#door.overheadBytes + this.#scratch.length + this.#parts.length * SLOT_BYTES
  }

  /** Whether a block of so many bytes is to be kept, which is about to be read; `hash` is its own among all blocks. */
  admits(bytes: number, hash: number): boolean {
    return this.hasRoom(bytes) || this.#door.knock(hash)
  }

  /** Whether a block of so many bytes would push out nothing. */
  hasRoom(bytes: number): boolean {
    return this.bytes + bytes + BLOCK_OBJECT_BYTES <= this.maxBytes
  }

  /** Where a block of so many bytes is to be read that is not kept; what was there is lost. */
  scratch(length: number): Uint8Array {
    if (length > MOST_SCRATCH_BYTES) return new Uint8Array(length)
    if (length > this.#scratch.length) this.#scratch = new Uint8Array(length)
    return this.#scratch.subarray(0, length)
  }

  /** The part in a slot that an owner's table names; counts a hit. */
  hit(slot: number): CachedPart {
    this.hits++
    this.#marks[slot] = 1
    return this.#parts[slot] as CachedPart
  }

  /** Takes a part that was read from a file, as number `place` of its owner; counts a miss. It may decline to keep it. */
  insert(part: CachedPart, owner: SlotTable, place: number): void {
    this.misses++
    if (part.memoryBytes > this.maxBytes / 8 || owner[place] !== -1) return
    this.bytes += part.memoryBytes
    while (this.bytes > this.maxBytes) this.#evictOne()
    const slot = this.#free.pop() ?? this.#parts.length
    if (slot >= this.#marks.length) {
      const marks = new Uint8Array(this.#marks.length * 2)
      marks.set(this.#marks)
      this.#marks = marks
    }
    this.#parts[slot] = part
    this.#owners[slot] = owner
    this.#places[slot] = place
    this.#marks[slot] = 0
    owner[place] = slot
    this.parts++
  }

  /** Forgets everything of one owner. */
  drop(owner: SlotTable): void {
    for (let place = 0; place < owner.length; place++) {
      const slot = owner[place] as number
      if (slot >= 0) this.#release(slot)
    }
  }

  /** Advances the hand to the next part without a mark. Some part is cached: what was just added alone fits. */
  #evictOne(): void {
    for (;;) {
      const slot = this.#hand
      this.#hand = slot + 1 < this.#parts.length ? slot + 1 : 0
      if (this.#parts[slot] === null) continue
      if (this.#marks[slot] === 1) {
        this.#marks[slot] = 0
        continue
      }
      this.evictions++
      this.#release(slot)
      return
    }
  }

  #release(slot: number): void {
    const owner = this.#owners[slot] as SlotTable
    owner[this.#places[slot] as number] = -1
    this.bytes -= (this.#parts[slot] as CachedPart).memoryBytes
    this.#parts[slot] = null
    this.#owners[slot] = null
    this.#free.push(slot)
    this.parts--
  }
}
