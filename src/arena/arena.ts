/**
 * Memory for byte strings outside of the JavaScript heap, so that any number of them costs the garbage collector nothing.
 *
 * A value lies in a *place* of the next size class (size-classes.ts); places of one class lie side by side in *blocks*, which
 * grow from 4 to 256 KiB as the class does. A value beyond the largest class is a block by itself. A *handle* says block and
 * place in 31 bits, so it is a small integer to V8: it fits into a slot and is no object.
 *
 *   handle = block << 15 | place          65,536 blocks of up to 32,768 places: 16 GiB
 *
 * Cost: 2 bytes per value beside its place (4 above 64 KiB); put and free are O(1). The idea of size classes with a free list
 * each is Bonwick's ("The slab allocator", 1994).
 *
 * It is not told who holds a handle. Compaction therefore asks: {@link beginCompaction} chooses the blocks to be emptied, the
 * owner shows every handle to {@link relocate} and keeps what that returns, and {@link endCompaction} ends it. In between
 * anything may be put and freed.
 *
 * I1  A place is free or holds the value of exactly one handle that was put and not freed.
 * I2  Places do not overlap; each begins at a multiple of 8 and is at least as long as its value.
 * I3  A handle names the same bytes until it is freed or relocated. `epoch` is another number after each of these.
 * I4  `count`, `usedBytes` and `reservedBytes` are what a walk over all blocks would give.
 * I5  A class has at most one empty block: one that becomes empty goes if there are free places elsewhere.
 */
import { VarveError } from '../errors.ts'
import { Block } from './block.ts'
import { classOf, MAX_PLACE_BYTES, PLACE_ALIGNMENT, placeBytes, SIZE_CLASSES } from './size-classes.ts'

const PLACE_BITS = 15
const PLACE_MASK = (1 << PLACE_BITS) - 1
const MAX_BLOCKS = 1 << 16
const FIRST_BLOCK_BYTES = 4096
const MAX_BLOCK_BYTES = 256 * 1024
/** Blocks that what is expected should fill at most, until they are as large as they get. */
const EXPECTED_BLOCKS = 16
const LENGTH_BYTES = 2
/** A value by itself: its length, and about what V8 keeps of a buffer. */
const LARGE_OVERHEAD_BYTES = 512
const OWN_CLASS = -1

/** Estimated bytes that a value of so many bytes takes in an arena, its share of unused room in its place included. */
export function arenaBytes(length: number): number {
  if (length > MAX_PLACE_BYTES) return length + LARGE_OVERHEAD_BYTES
  return placeBytes(classOf(length)) + LENGTH_BYTES
}

export class Arena {
  /** I3. */
  epoch = 0
  /** Where what {@link seek} found last begins in its block, and its length, in bytes. */
  foundStart = 0
  foundLength = 0
  #count = 0
  #usedBytes = 0
  #reservedBytes = 0
  /** What `arenaBytes` says of the values held, summed. */
  #placedBytes = 0
  readonly #blocks: (Block | null)[] = []
  /** Numbers of blocks that are gone. */
  readonly #freeIds: number[] = []
  readonly #classes: SizeClass[] = []
  readonly #firstBytes: number

  /** @param expectedBytes how much is going to be put, if that is known: larger blocks from the start. A hint, no limit. */
  constructor(expectedBytes = 0) {
    this.#firstBytes = Math.min(
      Math.max(Math.floor(expectedBytes / EXPECTED_BLOCKS), FIRST_BLOCK_BYTES),
      MAX_BLOCK_BYTES,
    )
    for (let i = 0; i < SIZE_CLASSES; i++) this.#classes.push(new SizeClass(i))
  }

  /** Values held. */
  get count(): number {
    return this.#count
  }

  /** Their lengths, summed. */
  get usedBytes(): number {
    return this.#usedBytes
  }

  /** What is taken from the system for values, their lengths, and room for more. */
  get reservedBytes(): number {
    return this.#reservedBytes
  }

  /** What is reserved beyond what {@link arenaBytes} says of the values held: free places. */
  get roomBytes(): number {
    return Math.max(this.#reservedBytes - this.#placedBytes, 0)
  }

  /** The share of what is reserved that holds no value, from 0 to 1; 0 if nothing is. */
  get fragmentation(): number {
    return this.#reservedBytes === 0 ? 0 : 1 - this.#usedBytes / this.#reservedBytes
  }

  /**
   * Puts a copy of the bytes from `start` to `end` exclusive.
   * @throws VarveError `MEMORY_LIMIT` if the system has no more memory, or all handles are taken; nothing has changed then.
   */
  put(bytes: Uint8Array, start: number, end: number): number {
    const handle = this.allocate(end - start)
    this.bytesOf(handle).set(bytes.subarray(start, end), this.startOf(handle))
    return handle
  }

  /**
   * Takes a place for a value of so many bytes, for the caller to write there: see {@link bytesOf} and {@link startOf}.
   * @throws VarveError `MEMORY_LIMIT`, as {@link put}.
   */
  allocate(length: number): number {
    const block = length > MAX_PLACE_BYTES ? this.#addLarge(length) : this.#blockFor(classOf(length))
    const place = block.take(length)
    this.#count++
    this.#usedBytes += length
    this.#placedBytes += arenaBytes(length)
    return (block.id << PLACE_BITS) | place
  }

  /** Gives up a value. Throws if there is none of that handle: it was freed already, or never put. */
  free(handle: number): void {
    const block = this.#held(handle)
    const place = handle & PLACE_MASK
    this.epoch++
    const length = block.lengthAt(place)
    this.#count--
    this.#usedBytes -= length
    this.#placedBytes -= arenaBytes(length)
    block.give(place)
    if (block.sizeClass === OWN_CLASS) this.#remove(block)
    else this.#tidy(block)
  }

  /** Length of a value, in bytes. Throws if there is none of that handle. */
  lengthOf(handle: number): number {
    return this.#held(handle).lengthAt(handle & PLACE_MASK)
  }

  /** The memory that a value lies in, among others. Not to be kept: what is there changes. */
  bytesOf(handle: number): Uint8Array<ArrayBuffer> {
    return this.blockOf(handle).bytes
  }

  /** Where in {@link bytesOf} a value begins: a multiple of 8. */
  startOf(handle: number): number {
    return (handle & PLACE_MASK) * this.blockOf(handle).placeBytes
  }

  /** The block that a value lies in. */
  blockOf(handle: number): Block {
    return this.#blocks[handle >>> PLACE_BITS] as Block
  }

  /** The bytes of a value, in an array of their own. Throws if there is none of that handle. */
  copyOut(handle: number): Uint8Array<ArrayBuffer> {
    const length = this.lengthOf(handle)
    const start = this.startOf(handle)
    return this.bytesOf(handle).slice(start, start + length)
  }

  /**
   * Finds a value in one step: returns the block that it lies in, and notes {@link foundStart} and {@link foundLength}.
   * Throws if there is none of that handle.
   */
  seek(handle: number): Block {
    const block = this.#held(handle)
    const place = handle & PLACE_MASK
    this.foundStart = place * block.placeBytes
    this.foundLength = block.lengthAt(place)
    return block
  }

  /** Whether a handle names a value. */
  holds(handle: number): boolean {
    const block = handle >= 0 ? (this.#blocks[handle >>> PLACE_BITS] ?? null) : null
    return block !== null && block.holds(handle & PLACE_MASK)
  }

  // --- compaction ---------------------------------------------------------------------------------------------------------

  /**
   * Chooses the blocks to be emptied: of each class the emptiest, as many as have room in the others. Returns how many values
   * lie in them; with 0 there is nothing to do.
   */
  beginCompaction(): number {
    this.endCompaction()
    let values = 0
    for (const block of this.#leavers()) {
      const own = this.#classes[block.sizeClass] as SizeClass
      own.places -= block.capacity
      own.live -= block.live
      block.isLeaving = true
      values += block.live
      if (block.live === 0) this.#remove(block)
    }
    return values
  }

  #leavers(): Block[] {
    const byClass = new Map<number, Block[]>()
    for (const block of this.#blocks) {
      if (block === null || block.sizeClass === OWN_CLASS) continue
      const blocks = byClass.get(block.sizeClass)
      if (blocks === undefined) byClass.set(block.sizeClass, [block])
      else blocks.push(block)
    }
    const leavers: Block[] = []
    for (const [sizeClass, blocks] of byClass) {
      const own = this.#classes[sizeClass] as SizeClass
      let room = own.places - own.live
      // Among blocks that are about as full, the largest go first: they give back most for the same number of moves.
      blocks.sort((a, b) => eighths(a) - eighths(b) || b.capacity - a.capacity)
      for (const block of blocks) {
        // Its own room goes with it, and what it holds takes room elsewhere: so much is the whole of its capacity.
        if (room < block.capacity) continue
        room -= block.capacity
        leavers.push(block)
      }
    }
    return leavers
  }

  /**
   * What a handle is from now on: another one if its value lay in a block that is being emptied, else the same.
   * @throws VarveError `MEMORY_LIMIT`, as {@link put}; the value stays where it is then.
   */
  relocate(handle: number): number {
    const block = this.#held(handle)
    if (!block.isLeaving) return handle
    const start = this.startOf(handle)
    const moved = this.put(block.bytes, start, start + block.lengthAt(handle & PLACE_MASK))
    this.free(handle)
    return moved
  }

  /** Blocks that have not become empty take values again. */
  endCompaction(): void {
    for (const block of this.#blocks) {
      if (block === null || !block.isLeaving) continue
      const own = this.#classes[block.sizeClass] as SizeClass
      block.isLeaving = false
      own.places += block.capacity
      own.live += block.live
      if (block.hasRoom) own.list(block)
    }
  }

  // --- blocks -------------------------------------------------------------------------------------------------------------

  #held(handle: number): Block {
    const block = this.#blocks[handle >>> PLACE_BITS]
    if (handle < 0 || block === undefined || block === null || !block.holds(handle & PLACE_MASK)) {
      throw new Error('varve invariant violated: a value was freed twice, or read after it was freed')
    }
    return block
  }

  /** A block with a free place, which is counted as taken. */
  #blockFor(sizeClass: number): Block {
    const own = this.#classes[sizeClass] as SizeClass
    let block = own.unlistFull()
    if (block === undefined) {
      block = this.#add(sizeClass, own.placeBytes, own.nextCapacity(this.#firstBytes))
      own.places += block.capacity
      own.list(block)
    }
    own.live++
    return block
  }

  #addLarge(length: number): Block {
    return this.#add(OWN_CLASS, Math.ceil(length / PLACE_ALIGNMENT) * PLACE_ALIGNMENT, 1)
  }

  #add(sizeClass: number, bytes: number, capacity: number): Block {
    const id = this.#freeIds.at(-1) ?? this.#blocks.length
    if (id >= MAX_BLOCKS) throw outOfMemory('values of this table take all that it can address outside of the heap', {})
    let block: Block
    try {
      block = new Block(id, sizeClass, bytes, capacity)
    } catch (cause) {
      throw outOfMemory('the system gives no more memory for values', { cause })
    }
    if (this.#freeIds.length > 0) this.#freeIds.pop()
    this.#blocks[id] = block
    this.#reservedBytes += block.reservedBytes
    return block
  }

  /** After a place of it became free: what is empty goes, unless it has the only room of its class (I5). */
  #tidy(block: Block): void {
    if (block.isLeaving) {
      if (block.live === 0) this.#remove(block)
      return
    }
    const own = this.#classes[block.sizeClass] as SizeClass
    own.live--
    if (block.live === 0 && own.places - own.live > block.capacity) {
      own.places -= block.capacity
      this.#remove(block)
    } else own.list(block)
  }

  #remove(block: Block): void {
    block.isGone = true
    this.#blocks[block.id] = null
    this.#freeIds.push(block.id)
    this.#reservedBytes -= block.reservedBytes
  }

  /** Throws on the first violated invariant. Walks everything. */
  check(): void {
    let count = 0
    let used = 0
    let reserved = 0
    const empty = new Set<number>()
    for (const block of this.#blocks) {
      if (block === null) continue
      block.check()
      count += block.live
      reserved += block.reservedBytes
      for (let place = 0; place < block.capacity; place++) if (block.holds(place)) used += block.lengthAt(place)
      if (block.sizeClass === OWN_CLASS || block.isLeaving) continue
      if (block.live === 0 && empty.has(block.sizeClass))
        throw new Error(`I5: class ${block.sizeClass} has empty blocks`)
      if (block.live === 0) empty.add(block.sizeClass)
      if (block.hasRoom && !block.isListed) throw new Error(`I1: the room of block ${block.id} is lost`)
    }
    if (count !== this.#count || used !== this.#usedBytes || reserved !== this.#reservedBytes) {
      throw new Error(`I4: ${count} values of ${used} bytes in ${reserved} are there; counted are others`)
    }
  }
}

/** How full a block is, in eighths. */
function eighths({ live, capacity }: Block): number {
  return Math.floor((live * 8) / capacity)
}

/** What an arena knows of one size class. Blocks that are being emptied do not count. */
class SizeClass {
  readonly placeBytes: number
  /** In all blocks, and those that hold a value. */
  places = 0
  live = 0
  readonly #listed: Block[] = []

  constructor(sizeClass: number) {
    this.placeBytes = placeBytes(sizeClass)
  }

  list(block: Block): void {
    if (block.isListed) return
    block.isListed = true
    this.#listed.push(block)
  }

  /** The first listed block with room; those before it are struck off. */
  unlistFull(): Block | undefined {
    for (;;) {
      const block = this.#listed.at(-1)
      if (block === undefined || (block.hasRoom && !block.isGone && !block.isLeaving)) return block
      this.#listed.pop()
      block.isListed = false
    }
  }

  /** Places of the next block: about as many as there are, so that small tables stay small. */
  nextCapacity(firstBytes: number): number {
    const bytes = Math.min(Math.max(this.places * this.placeBytes, firstBytes), MAX_BLOCK_BYTES)
    return Math.max(Math.floor(bytes / this.placeBytes), 1)
  }
}

function outOfMemory(problem: string, details: { readonly cause?: unknown }): VarveError {
  return new VarveError('MEMORY_LIMIT', `${problem}; the commit was refused and has changed nothing`, details)
}
