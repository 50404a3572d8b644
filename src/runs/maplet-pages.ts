/**
 * The maplet of a run on disk: hash of a key -> number of the block that it lies in, in pages that are read one at a time. A
 * lookup reads one page; for an absent key it then says "nowhere" except with probability `falsePositiveRate`.
 *
 * It is static: built once, when all keys are known, and never changed. Hence not a quotient filter with room to grow, but its
 * packed form: the upper half of the hash says the bucket, of which there are as many as eighths of the entries; of
 * the lower half the upper bits are the fingerprint. The cells of all buckets stand in order, in pages that are full.
 *
 *      0  crc            u32  of [4, 4096), seeded: partSeed(run, PART_PAGE, number)
 *      4  number         u32  of the page, from 0
 *      8  first bucket   u32
 *     12  buckets        u16
 *     14  cells          u16
 *     16  starts         u16  for each bucket, the number of its first cell; + 8000h if the bucket is unlisted
 *      .  fingerprints        of all cells, `fingerprintBits` each, lowest bit first
 *      .  blocks              of all cells, `blockBits` each, lowest bit first, from the next whole byte on
 *      .  zeros               to the end, four bytes at least
 *
 * M1  Bucket of a hash: floor(high * buckets / 2^32), in doubles. Fingerprint: the uppermost bits of low.
 * M2  For each entry of the run its bucket has a cell with its fingerprint and its block, or is unlisted. Cells of a bucket ascend
 *     by block.
 * M3  A bucket of more than 255 entries is unlisted: it has no cells and says "look in the index". Under a keyed hash that
 *     never happens; if it does, an answer is slower, not wrong.
 * M4  Pages hold consecutive buckets, each bucket lies in one page, and their first buckets are in the index.
 *
 * Bits per entry: 2 for the starts, log2(8 / rate) rounded up, and those of a block number: 3 bytes for 10^6 entries of 117
 * bytes at 1 %. Building takes 8 bytes per entry while keys come in, and twice that at the end, about 100 ns per entry in all.
 * Rejected: a ribbon or xor table of fingerprint and block (1.5 bits less, but three places and a third more to build);
 * buckets by quotient with two metadata bits (needs select, slow in JavaScript).
 */
import { crc32 } from 'node:zlib'
import { invariant } from '../errors.ts'
import type { CachedPart } from './cache.ts'
import { PART_PAGE, corruption, partSeed, readUint16, readUint32, writeUint16, writeUint32 } from './format.ts'

/** Size of a page in bytes. */
export const PAGE_BYTES = 4096

const PAGE_HEADER_BYTES = 16
/** At the end of a page, so that four bytes can be read at any cell. */
const PAGE_SLACK_BYTES = 4
const UNLISTED = 0x8000
const MOST_CELLS_OF_BUCKET = 255

/** Entries per bucket, on average. */
const BUCKET_LOAD = 8

/** How the pages of one run are laid out. */
export interface PageShape {
  /** Of the whole run. */
  readonly buckets: number
  /** 4 to 24. */
  readonly fingerprintBits: number
  /** 1 to 24. */
  readonly blockBits: number
}

/** Widest cell field: with a shift of up to 7 bits it must lie within four bytes. */
const MOST_FIELD_BITS = 24

/** Most blocks that a run can have. */
const MAX_BLOCKS: number = 2 ** MOST_FIELD_BITS

/** The shape for so many entries in so many blocks. The rate is kept down to 5e-7. */
function pageShape(entries: number, blocks: number, falsePositiveRate: number): PageShape {
  const fingerprintBits = Math.ceil(Math.log2(BUCKET_LOAD / falsePositiveRate))
  return {
    buckets: Math.ceil(entries / BUCKET_LOAD),
    fingerprintBits: Math.min(MOST_FIELD_BITS, Math.max(4, fingerprintBits)),
    blockBits: blocks < 2 ? 1 : Math.ceil(Math.log2(blocks)),
  }
}

/** Whether numbers that come from a file can be those of a shape. */
export function isPageShape({ fingerprintBits, blockBits }: PageShape): boolean {
  return fingerprintBits >= 4 && fingerprintBits <= MOST_FIELD_BITS && blockBits >= 1 && blockBits <= MOST_FIELD_BITS
}

/** M1. */
export function bucketOf(high: number, shape: PageShape): number {
  return Math.floor((high * shape.buckets) / 2 ** 32)
}

/** M1. */
export function fingerprintOf(low: number, shape: PageShape): number {
  return low >>> (32 - shape.fingerprintBits)
}

/** Bytes of a page that so many buckets and cells take. */
function bytesOf(buckets: number, cells: number, shape: PageShape): number {
  return (
    PAGE_HEADER_BYTES +
    buckets * 2 +
    Math.ceil((cells * shape.fingerprintBits) / 8) +
    Math.ceil((cells * shape.blockBits) / 8) +
    PAGE_SLACK_BYTES
  )
}

/** A page that was read and whose frame is sound. Immutable. */
export class MapletPage implements CachedPart {
  readonly bytes: Uint8Array
  readonly firstBucket: number
  readonly buckets: number
  readonly cells: number
  readonly memoryBytes: number = PAGE_BYTES + 160

  readonly #view: DataView
  readonly #fingerprintBits: number
  readonly #blockBits: number
  readonly #fingerprints: number
  readonly #blocks: number

  /** @throws CORRUPTION unless `bytes` are exactly the page of that number of that run. */
  constructor(bytes: Uint8Array, number: number, shape: PageShape, runSeed: number, path: string, offset: number) {
    if (readUint32(bytes, 0) !== crc32(bytes.subarray(4), partSeed(runSeed, PART_PAGE, number))) {
      throw corruption(path, offset, `the checksum of maplet page ${number} does not match`)
    }
    const firstBucket = readUint32(bytes, 8)
    const buckets = readUint16(bytes, 12)
    const cells = readUint16(bytes, 14)
    const sound =
      readUint32(bytes, 4) === number &&
      buckets > 0 &&
      firstBucket + buckets <= shape.buckets &&
      cells < UNLISTED &&
      bytesOf(buckets, cells, shape) <= PAGE_BYTES
    if (!sound) throw corruption(path, offset, `the header of maplet page ${number} contradicts itself`)
    this.bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.firstBucket = firstBucket
    this.buckets = buckets
    this.cells = cells
    this.#fingerprintBits = shape.fingerprintBits
    this.#blockBits = shape.blockBits
    this.#fingerprints = PAGE_HEADER_BYTES + buckets * 2
    this.#blocks = this.#fingerprints + Math.ceil((cells * shape.fingerprintBits) / 8)
  }

  /** @throws CORRUPTION unless starts ascend, cells name blocks that there are, and the rest is zero. Takes all cells' time. */
  check(blocks: number, path: string, offset: number): void {
    const { bytes } = this
    let isSound = (readUint16(bytes, PAGE_HEADER_BYTES) & ~UNLISTED) === 0
    for (let bucket = this.firstBucket; bucket < this.firstBucket + this.buckets; bucket++) {
      const start = readUint16(bytes, PAGE_HEADER_BYTES + (bucket - this.firstBucket) * 2)
      const count = this.end(bucket) - (start & ~UNLISTED)
      if (count < 0 || (start >= UNLISTED && count > 0)) isSound = false
    }
    for (let cell = 0; cell < this.cells; cell++) if (this.blockAt(cell) >= blocks) isSound = false
    for (let at = this.#blocks + Math.ceil((this.cells * this.#blockBits) / 8); at < PAGE_BYTES; at++) {
      if (bytes[at] !== 0) isSound = false
    }
    if (!isSound) throw corruption(path, offset, 'a maplet page contradicts itself')
  }

  /** Number of the first cell of a bucket, counted from the first of the page; -1 if the bucket is unlisted. */
  start(bucket: number): number {
    const start = readUint16(this.bytes, PAGE_HEADER_BYTES + (bucket - this.firstBucket) * 2)
    return start >= UNLISTED ? -1 : start
  }

  /** Number of the cell behind the last of a bucket. */
  end(bucket: number): number {
    const next = bucket - this.firstBucket + 1
    const end = next < this.buckets ? readUint16(this.bytes, PAGE_HEADER_BYTES + next * 2) & ~UNLISTED : this.cells
    return end < this.cells ? end : this.cells
  }

  /** The first cell in [from, end) with that fingerprint, or -1. */
  match(fingerprint: number, from: number, end: number): number {
    const view = this.#view
    const bits = this.#fingerprintBits
    const mask = (1 << bits) - 1
    let bit = this.#fingerprints * 8 + from * bits
    for (let cell = from; cell < end; cell++, bit += bits) {
      if (((view.getInt32(bit >>> 3, true) >>> (bit & 7)) & mask) === fingerprint) return cell
    }
    return -1
  }

  /** The block of a cell: an unsigned number that need not be one of a block of the run, if the page is forged. */
  blockAt(cell: number): number {
    const bit = this.#blocks * 8 + cell * this.#blockBits
    return (readUint32(this.bytes, bit >>> 3) >>> (bit & 7)) & ((1 << this.#blockBits) - 1)
  }
}

/** Hashes are kept in pieces of this many entries. */
const CHUNK = 1 << 16

/** Collects the hashes of a run in the order of its keys, then makes the pages. */
export class MapletBuilder {
  /** Numbers of the first buckets of all pages, once they are made. */
  readonly firstBuckets: number[] = []
  shape: PageShape = { buckets: 0, fingerprintBits: 4, blockBits: 1 }

  readonly #highs: Uint32Array[] = []
  readonly #lows: Uint32Array[] = []
  /** For each block the number of entries up to its end. */
  readonly #blockEnds: number[] = []
  #entries = 0

  add(high: number, low: number): void {
    const at = this.#entries % CHUNK
    if (at === 0) {
      this.#highs.push(new Uint32Array(CHUNK))
      this.#lows.push(new Uint32Array(CHUNK))
    }
    ;(this.#highs[this.#highs.length - 1] as Uint32Array)[at] = high
    ;(this.#lows[this.#lows.length - 1] as Uint32Array)[at] = low
    this.#entries++
  }

  /** All entries since the last call lie in the next block. */
  endBlock(): void {
    this.#blockEnds.push(this.#entries)
  }

  /**
   * Hands the pages to `write`, in order; each is good until the next.
   *
   * @param pause called, and awaited, about every 65,536 entries
   */
  async finish(
    falsePositiveRate: number,
    runSeed: number,
    write: (page: Uint8Array) => void | Promise<void>,
    pause?: () => void | Promise<void>,
  ): Promise<void> {
    const blocks = this.#blockEnds.length
    invariant(blocks <= MAX_BLOCKS, 'a run has at most 2^24 blocks')
    const shape = pageShape(this.#entries, blocks, falsePositiveRate)
    this.shape = shape
    const starts = await this.#countBuckets(shape, pause)
    const cells = await this.#scatter(shape, starts, pause)
    let bucket = 0
    while (bucket < shape.buckets) {
      const page = new PageBuilder(shape, bucket)
      while (bucket < shape.buckets && page.take(starts[bucket] as number, starts[bucket + 1] as number)) bucket++
      invariant(bucket > page.firstBucket, 'any bucket fits into a page')
      this.firstBuckets.push(page.firstBucket)
      const waiting = write(page.finish(this.firstBuckets.length - 1, runSeed, starts, cells))
      if (waiting !== undefined) await waiting
      if (this.firstBuckets.length % 64 === 0) await pause?.()
    }
  }

  /** For each bucket the number of cells before it, with one more for the total. */
  async #countBuckets(shape: PageShape, pause?: () => void | Promise<void>): Promise<Uint32Array> {
    const starts = new Uint32Array(shape.buckets + 1)
    for (let chunk = 0; chunk < this.#highs.length; chunk++) {
      const highs = this.#highs[chunk] as Uint32Array
      const count = Math.min(CHUNK, this.#entries - chunk * CHUNK)
      for (let i = 0; i < count; i++) {
        const bucket = bucketOf(highs[i] as number, shape)
        starts[bucket + 1] = (starts[bucket + 1] as number) + 1
      }
      await pause?.()
    }
    for (let i = 0; i < shape.buckets; i++) starts[i + 1] = (starts[i + 1] as number) + (starts[i] as number)
    return starts
  }

  /** The entries in the order of their buckets: a counting sort, which keeps the order of blocks within a bucket. */
  async #scatter(shape: PageShape, starts: Uint32Array, pause?: () => void | Promise<void>): Promise<Cells> {
    const next = starts.slice()
    const fingerprints = new Uint32Array(this.#entries)
    const blocks = new Uint32Array(this.#entries)
    let block = 0
    for (let chunk = 0; chunk < this.#highs.length; chunk++) {
      const highs = this.#highs[chunk] as Uint32Array
      const lows = this.#lows[chunk] as Uint32Array
      const count = Math.min(CHUNK, this.#entries - chunk * CHUNK)
      for (let i = 0; i < count; i++) {
        while (chunk * CHUNK + i >= (this.#blockEnds[block] as number)) block++
        const bucket = bucketOf(highs[i] as number, shape)
        const to = next[bucket] as number
        next[bucket] = to + 1
        fingerprints[to] = fingerprintOf(lows[i] as number, shape)
        blocks[to] = block
      }
      await pause?.()
    }
    return { fingerprints, blocks }
  }
}

/** All cells of a run, in the order of their buckets. */
interface Cells {
  readonly fingerprints: Uint32Array
  readonly blocks: Uint32Array
}

/** One page: first it is found out which buckets go in, then it is written. */
class PageBuilder {
  readonly firstBucket: number
  readonly #shape: PageShape
  #buckets = 0
  #cells = 0

  constructor(shape: PageShape, firstBucket: number) {
    this.#shape = shape
    this.firstBucket = firstBucket
  }

  /** Takes the next bucket, whose entries are [start, end), if there is room. The first one always fits. */
  take(start: number, end: number): boolean {
    const cells = end - start > MOST_CELLS_OF_BUCKET ? 0 : end - start
    if (bytesOf(this.#buckets + 1, this.#cells + cells, this.#shape) > PAGE_BYTES) return false
    this.#buckets++
    this.#cells += cells
    return true
  }

  finish(number: number, runSeed: number, starts: Uint32Array, cells: Cells): Uint8Array {
    const page = new Uint8Array(PAGE_BYTES)
    writeUint32(page, 4, number)
    writeUint32(page, 8, this.firstBucket)
    writeUint16(page, 12, this.#buckets)
    writeUint16(page, 14, this.#cells)
    const { fingerprintBits, blockBits } = this.#shape
    const fingerprints = PAGE_HEADER_BYTES + this.#buckets * 2
    const blocks = fingerprints + Math.ceil((this.#cells * fingerprintBits) / 8)
    let cell = 0
    for (let i = 0; i < this.#buckets; i++) {
      const start = starts[this.firstBucket + i] as number
      const end = starts[this.firstBucket + i + 1] as number
      const isUnlisted = end - start > MOST_CELLS_OF_BUCKET
      writeUint16(page, PAGE_HEADER_BYTES + i * 2, isUnlisted ? cell | UNLISTED : cell)
      if (isUnlisted) continue
      for (let j = start; j < end; j++, cell++) {
        putBits(page, fingerprints * 8 + cell * fingerprintBits, cells.fingerprints[j] as number)
        putBits(page, blocks * 8 + cell * blockBits, cells.blocks[j] as number)
      }
    }
    writeUint32(page, 0, crc32(page.subarray(4), partSeed(runSeed, PART_PAGE, number)))
    return page
  }
}

/** Adds the bits of a number of at most 24 bits to bytes that are still zero there. */
function putBits(bytes: Uint8Array, bit: number, value: number): void {
  const at = bit >>> 3
  const word = (value << (bit & 7)) >>> 0
  bytes[at] = (bytes[at] as number) | word
  if (word > 0xff) bytes[at + 1] = (bytes[at + 1] as number) | (word >>> 8)
  if (word > 0xffff) bytes[at + 2] = (bytes[at + 2] as number) | (word >>> 16)
  if (word > 0xff_ffff) bytes[at + 3] = (bytes[at + 3] as number) | (word >>> 24)
}
