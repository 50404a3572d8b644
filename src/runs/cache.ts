/**
 * The block cache: decoded blocks and maplet pages of all runs, bounded in bytes, evicted by CLOCK with one bit (Corbato,
 * "A paging experiment with the Multics system", 1968).
 *
 * It is not a map: each reader keeps, per part of its file, the slot in which the part is cached, or -1. So a hit is two
 * array reads and one store, and nothing is hashed or allocated.
 *
 * C1  `bytes` is the sum of the sizes of what is cached, and after every `insert` at most `maxBytes`.
 * C2  A slot of a shelf that is in use is named by exactly one entry of one owner's table, and by none once it is free.
 * C3  What was handed out stays valid after its eviction: parts are immutable and freed by the garbage collector.
 * C4  Where there are more than `leastBlockBytes` of blocks, room for a page is made of blocks, and room for a block too.
 *
 * Pages and blocks stand on shelves of their own, each with a hand. A page serves a thousand keys wherever they lie, and every
 * cold read asks one page of each run; a block serves thirty that lie together. So pages come first, and blocks have what
 * pages leave, and a little in any case, for keys that are read in their order.
 *
 * A part enters unmarked, and a hit marks it: it then survives one turn of the hand. O(1) amortised: each step of the hand
 * clears a mark that a hit has set, or evicts. Costs 21 bytes per slot beside the parts themselves.
 *
 * Once it is full, a block is kept only when it is read a second time within a while (the doorkeeper of door.ts), and the while is
 * as long as blocks have room. What is not kept can be read into one buffer, again and again. Long walks, which read ahead,
 * fill what room there is and push out nothing.
 */
import { Door } from '../eviction/door.ts'

/** What a cache holds: anything of a known size. */
export interface CachedPart {
  /** What it takes in memory, in bytes. */
  readonly memoryBytes: number
}

/** What a block takes beside its bytes. */
export const BLOCK_OBJECT_BYTES = 160

/** A door has a place for each two kilobytes that blocks may have: for about twice as many as there is room for. */
const BYTES_PER_PLACE = 2048

/** What is longer gets a buffer of its own, which does not stay. */
const MOST_SCRATCH_BYTES: number = 1 << 16

/** The part of the cache that pages leave to blocks; of a small cache more, as far as this is worth eight of them. */
const LEAST_BLOCK_SHARE = 1 / 32
const LEAST_BLOCK_BYTES: number = 8 * 4096

/** What a slot takes beside its part. */
const SLOT_BYTES = 21

/** For each part of a file the slot in which it is cached, or -1. */
export type SlotTable = Int32Array

/** The slots of so many parts, none of which is cached. */
export function emptySlots(parts: number): SlotTable {
  return new Int32Array(parts).fill(-1)
}

/** The parts of one kind. The cache sees to their bytes. */
export class Shelf {
  /** Bytes kept now. */
  bytes = 0
  /** Parts kept now. */
  parts = 0
  /** How often a part was found here. */
  hits = 0
  evictions = 0

  readonly #parts: (CachedPart | null)[] = []
  readonly #owners: (SlotTable | null)[] = []
  readonly #places: number[] = []
  readonly #free: number[] = []
  #marks: Uint8Array = new Uint8Array(64)
  #hand = 0

  get overheadBytes(): number {
    return this.#parts.length * SLOT_BYTES
  }

  /** The part in a slot that an owner's table names; counts a hit. */
  hit(slot: number): CachedPart {
    this.hits++
    this.#marks[slot] = 1
    return this.#parts[slot] as CachedPart
  }

  /** Takes a part, as number `place` of its owner. */
  put(part: CachedPart, owner: SlotTable, place: number): void {
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
    this.bytes += part.memoryBytes
    this.parts++
  }

  /** Forgets everything of one owner. */
  drop(owner: SlotTable): void {
    for (let place = 0; place < owner.length; place++) {
      const slot = owner[place] as number
      if (slot >= 0) this.#release(slot)
    }
  }

  /** Advances the hand to the next part without a mark, which goes. There is some part. */
  evictOne(): void {
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

/** Shared by all readers of a database. See the head of this file. */
export class BlockCache {
  /** Most bytes that are kept. */
  readonly maxBytes: number
  readonly pages: Shelf = new Shelf()
  readonly blocks: Shelf = new Shelf()
  /** How often a part had to be read from a file. */
  misses = 0

  /** C4. */
  readonly #leastBlockBytes: number
  #door: Door
  /** Bytes of blocks that the door is for. */
  #guardedBytes: number
  #scratch: Uint8Array = new Uint8Array(0)

  /** @param maxBytes a part larger than an eighth of it is never kept. */
  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
    this.#leastBlockBytes = Math.max(maxBytes * LEAST_BLOCK_SHARE, Math.min(maxBytes / 4, LEAST_BLOCK_BYTES))
    this.#door = new Door(maxBytes / BYTES_PER_PLACE)
    this.#guardedBytes = maxBytes
  }

  /** Bytes kept now. */
  get bytes(): number {
    return this.pages.bytes + this.blocks.bytes
  }

  /** Parts kept now. */
  get parts(): number {
    return this.pages.parts + this.blocks.parts
  }

  /** How often a part was found here. */
  get hits(): number {
    return this.pages.hits + this.blocks.hits
  }

  get evictions(): number {
    return this.pages.evictions + this.blocks.evictions
  }

  /** Bytes that it takes beside the parts. */
  get overheadBytes(): number {
    const slots = this.pages.overheadBytes + this.blocks.overheadBytes
    return this.#door.overheadBytes + this.#scratch.length + slots
  }

  /** Whether a block of so many bytes is to be kept, which is about to be read; `hash` is its own among all blocks. */
  admits(bytes: number, hash: number): boolean {
    return this.hasRoom(bytes) || this.#door.knock(hash)
  }

  /** Whether a block of so many bytes would push out nothing. */
  hasRoom(bytes: number): boolean {
    return this.pages.bytes + this.blocks.bytes + bytes + BLOCK_OBJECT_BYTES <= this.maxBytes
  }

  /** Where a block of so many bytes is to be read that is not kept; what was there is lost. */
  scratch(length: number): Uint8Array {
    if (length > MOST_SCRATCH_BYTES) return new Uint8Array(length)
    if (length > this.#scratch.length) this.#scratch = new Uint8Array(length)
    return this.#scratch.subarray(0, length)
  }

  /**
   * Takes a part that was read from a file to its shelf, as number `place` of its owner; counts a miss. It may decline to
   * keep it.
   */
  insert(part: CachedPart, shelf: Shelf, owner: SlotTable, place: number): void {
    this.misses++
    const { memoryBytes } = part
    if (memoryBytes > this.maxBytes / 8 || owner[place] !== -1) return
    while (this.bytes + memoryBytes > this.maxBytes) this.#evictOne(shelf === this.blocks ? memoryBytes : 0)
    shelf.put(part, owner, place)
    if (shelf === this.pages) this.#fitDoor()
  }

  /**
   * Makes another door once the room for blocks has become a quarter, or four times as much: whoever knew more strangers than there
   * is room for would let in what is pushed out before it is asked for again.
   */
  #fitDoor(): void {
    const room = Math.max(this.maxBytes - this.pages.bytes, this.#leastBlockBytes)
    if (room * 4 > this.#guardedBytes && room < this.#guardedBytes * 4) return
    this.#door = new Door(room / BYTES_PER_PLACE)
    this.#guardedBytes = room
  }

  /** C4; `coming` bytes of a block are to be kept. Some part is cached: what is coming fits alone. */
  #evictOne(coming: number): void {
    const { pages, blocks } = this
    const isBlocksTurn = pages.parts === 0 || (blocks.parts > 0 && blocks.bytes + coming > this.#leastBlockBytes)
    if (isBlocksTurn) blocks.evictOne()
    else pages.evictOne()
  }
}
