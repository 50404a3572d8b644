/** Moving over the entries of one run: {@link RunCursor} for readers, {@link RunScan} for merges. */
import type { StorageFile } from '../storage/storage.ts'
import { Block } from './block.ts'
import { compareBytes } from './compare.ts'
import { BlockEntries } from './entries.ts'
import { corruption } from './format.ts'
import type { RunIndex } from './index-section.ts'

/** Where a cursor gets blocks from: a reader. */
export interface BlockSource {
  readonly blocks: number
  readonly index: RunIndex
  /** The block of that number, from the cache or from the file. */
  block(number: number): Block
  /** The same if it is cached; null otherwise. */
  cached(number: number): Block | null
  /** What the file has where so many bytes of blocks begin. */
  read(number: number, length: number): Uint8Array
  /** The block of that number, of what the file has in its place; it is cached if there is room. */
  check(bytes: Uint8Array, number: number): Block
}

/** Blocks that are entered one after the other before more than the next is read. */
const STEPS_ALONE = 2
/** What is then read at once. */
const AHEAD_BYTES: number = 32 * 1024

/**
 * A position among the entries of a run; moves in both directions, synchronously, over cached blocks.
 *
 * A new cursor stands before the first entry. A move that returns false leaves it before the first or behind the last entry, from
 * where it can come back. It holds the block that it is on, whatever the cache does; it must not be used once its reader is closed.
 * Keys, all of one run, ascend by memcmp; tombstones are entries.
 */
export class RunCursor extends BlockEntries {
  readonly #source: BlockSource
  /** Number of the block that it is on; -1 before the first, their count behind the last. */
  #number = -1
  /** Blocks entered one after the other. */
  #steps = 0
  /** Blocks that were read together: which, the one behind the last of them, and their bytes. */
  #pieceFrom = 0
  #pieceEnd = 0
  #piece: Uint8Array = new Uint8Array(0)

  constructor(source: BlockSource) {
    super()
    this.#source = source
  }

  first(): boolean {
    this.#steps = 0
    return this.#enterForwards(0)
  }

  last(): boolean {
    this.#steps = 0
    return this.#enterBackwards(this.#source.blocks - 1)
  }

  next(): boolean {
    if (this.block !== null && this.nextInBlock()) return true
    return this.#enterForwards(this.#number + 1)
  }

  prev(): boolean {
    if (this.block !== null && this.prevInBlock()) return true
    return this.#enterBackwards(this.#number - 1)
  }

  /** Goes to the first entry at or behind a key; with `inclusive` false to the first behind it. */
  seek(key: Uint8Array, length: number, inclusive: boolean): boolean {
    const source = this.#source
    if (source.blocks === 0) return this.#enterForwards(0)
    this.#enter(source.index.blockOf(key, length))
    if (!this.seekInBlock(key, length)) return this.#enterForwards(this.#number + 1)
    return inclusive || compareBytes(this.key, this.keyLength, key, length) !== 0 || this.next()
  }

  /** Goes to the last entry at or before a key; with `inclusive` false to the last before it. */
  seekBack(key: Uint8Array, length: number, inclusive: boolean): boolean {
    if (!this.seek(key, length, true)) return this.last()
    return (inclusive && compareBytes(this.key, this.keyLength, key, length) === 0) || this.prev()
  }

  #enter(number: number): void {
    this.#steps = 0
    this.enter(this.#source.block(number))
    this.#number = number
  }

  /** Goes to the block beside the one that it is on, as a walk does that goes on: then several are read at once. */
  #step(number: number, isForwards: boolean): void {
    const source = this.#source
    const isAlone = ++this.#steps <= STEPS_ALONE
    this.enter(isAlone ? source.block(number) : (source.cached(number) ?? this.#ahead(number, isForwards)))
    this.#number = number
  }

  #ahead(number: number, isForwards: boolean): Block {
    const source = this.#source
    const { index } = source
    if (number < this.#pieceFrom || number >= this.#pieceEnd) {
      let from = number
      let end = number + 1
      let length = index.lengthOf(number)
      for (let more = 0; ; length += more) {
        const next = isForwards ? end : from - 1
        if (next < 0 || next === source.blocks) break
        more = index.lengthOf(next)
        if (length + more > AHEAD_BYTES) break
        if (isForwards) end++
        else from--
      }
      this.#piece = source.read(from, length)
      this.#pieceFrom = from
      this.#pieceEnd = end
    }
    const start = index.offsetOf(number) - index.offsetOf(this.#pieceFrom)
    return source.check(this.#piece.subarray(start, start + index.lengthOf(number)), number)
  }

  #enterForwards(number: number): boolean {
    const { blocks } = this.#source
    if (number >= blocks) {
      this.leave()
      this.#number = blocks
      return false
    }
    this.#step(number, true)
    return this.nextInBlock()
  }

  #enterBackwards(number: number): boolean {
    if (number < 0) {
      this.leave()
      this.#number = -1
      return false
    }
    this.#step(number, false)
    this.passInBlock()
    return this.prevInBlock()
  }
}

/** What a scan reads at once, unless one block is longer. */
const CHUNK_BYTES: number = 1 << 20

/**
 * All entries of a run in order, read in large pieces past the cache, one piece ahead: for merges.
 *
 * `next()` moves within what is in memory; when it returns false, `load()` fetches more, or says that there is none:
 *
 *     while (scan.next() || ((await scan.load()) && scan.next())) use(scan)
 *
 * Keys and values are views that are good until the next `load()`. Memory: two pieces of 1 MiB, or of one block.
 */
export class RunScan extends BlockEntries {
  readonly #file: StorageFile
  readonly #index: RunIndex
  readonly #runSeed: number
  /** Blocks in memory: from the next one to be entered to the one behind the last. */
  #number = 0
  #loadedEnd = 0
  #chunk: Uint8Array = new Uint8Array(0)
  #chunkAt = 0
  #spare: Uint8Array = new Uint8Array(0)
  #ahead: Promise<Piece> | null = null

  constructor(file: StorageFile, index: RunIndex, runSeed: number) {
    super()
    this.#file = file
    this.#index = index
    this.#runSeed = runSeed
  }

  /** To the next entry in memory. False: `load()` for more. */
  next(): boolean {
    if (this.block !== null && this.nextInBlock()) return true
    const number = this.#number
    if (number === this.#loadedEnd) return false
    const offset = this.#index.offsetOf(number)
    const start = offset - this.#chunkAt
    const bytes = this.#chunk.subarray(start, start + this.#index.lengthOf(number))
    this.enter(new Block(bytes, number, this.#runSeed, this.#file.path, offset))
    this.#number++
    return this.nextInBlock()
  }

  /** Fetches more entries, once `next()` has returned false. False: there are none. */
  async load(): Promise<boolean> {
    const { blocks } = this.#index
    if (this.#loadedEnd === blocks) return false
    const { bytes, end } = await (this.#ahead ?? this.#read(this.#loadedEnd))
    this.leave()
    this.#spare = this.#chunk
    this.#chunk = bytes
    this.#chunkAt = this.#index.offsetOf(this.#loadedEnd)
    this.#number = this.#loadedEnd
    this.#loadedEnd = end
    this.#ahead = end < blocks ? this.#read(end) : null
    // A failure is reported by the call that wants the piece; until then it must not count as unhandled.
    this.#ahead?.catch(() => undefined)
    return true
  }

  async #read(from: number): Promise<Piece> {
    const index = this.#index
    const start = index.offsetOf(from)
    let length = index.lengthOf(from)
    let end = from + 1
    for (; end < index.blocks && length + index.lengthOf(end) <= CHUNK_BYTES; end++) length += index.lengthOf(end)
    const buffer = this.#spare.length >= length ? this.#spare : new Uint8Array(Math.max(length, CHUNK_BYTES))
    const bytes = buffer.subarray(0, length)
    const count = await this.#file.read(bytes, start)
    if (count !== length) throw corruption(this.#file.path, start + count, 'it has become shorter')
    return { bytes: buffer, end }
  }
}

/** Blocks that were read: those up to `end`. */
interface Piece {
  readonly bytes: Uint8Array
  readonly end: number
}
