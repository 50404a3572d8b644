/**
 * The index of a run: where each block begins, what separates it from the one before, and the first bucket of each maplet
 * page. It is read whole on first use, is searched as it stands, and stays in memory while the run is open: about 30
 * bytes per block and 8 per page, at most some 4 MB (writer.ts says how many blocks there are).
 *
 *     rows           (blocks + 1) * 12    offset of the block in the file u48, start of its separator u48; the last
 *                                         row holds where the blocks and the separators end
 *     first buckets  pages * 4            u32
 *     separators                          bytes, one behind the other
 *
 * X1  A separator is the shortest prefix of the first key of its block that is greater than the last key of the block before;
 *     that of the first block is empty. So a key lies in the last block whose separator is not behind it, or nowhere.
 * X2  Blocks lie one behind the other from offset 0 on, separators from the start of theirs. What a row says is held against
 *     that when it is used, as the first read after opening would have to wait for all of them.
 */
import { crc32 } from 'node:zlib'
import { BLOCK_HEADER_BYTES } from './block.ts'
import { compareBytesAt, enlarged } from './compare.ts'
import { type Footer, expiriesAt } from './footer.ts'
import { type MapletPage, PAGE_BYTES } from './maplet-pages.ts'
import { PART_INDEX, corruption, partSeed, readUint48, writeUint32, writeUint48 } from './format.ts'

const ROW_BYTES = 12

/** Collects the rows while a run is written. */
export class IndexBuilder {
  readonly #offsets: number[] = []
  readonly #starts: number[] = []
  #separators: Uint8Array = new Uint8Array(4096)
  #used = 0

  get blocks(): number {
    return this.#offsets.length
  }

  /** A block begins at `offset`; its separator is the first `length` bytes of `key`. */
  add(offset: number, key: Uint8Array, length: number): void {
    this.#offsets.push(offset)
    this.#starts.push(this.#used)
    const end = this.#used + length
    if (end > this.#separators.length) this.#separators = enlarged(this.#separators, this.#used, end)
    this.#separators.set(key.subarray(0, length), this.#used)
    this.#used = end
  }

  /** The section. The blocks end at `blocksEnd`. */
  finish(blocksEnd: number, firstBuckets: readonly number[]): Uint8Array {
    const blocks = this.#offsets.length
    const bucketsAt = (blocks + 1) * ROW_BYTES
    const separatorsAt = bucketsAt + firstBuckets.length * 4
    const section = new Uint8Array(separatorsAt + this.#used)
    for (let i = 0; i <= blocks; i++) {
      writeUint48(section, i * ROW_BYTES, this.#offsets[i] ?? blocksEnd)
      writeUint48(section, i * ROW_BYTES + 6, this.#starts[i] ?? this.#used)
    }
    for (let i = 0; i < firstBuckets.length; i++) writeUint32(section, bucketsAt + i * 4, firstBuckets[i] as number)
    section.set(this.#separators.subarray(0, this.#used), separatorsAt)
    return section
  }
}

/** The checksum of the section, which is kept in the footer. */
export function indexCrc(section: Uint8Array, runSeed: number): number {
  return crc32(section, partSeed(runSeed, PART_INDEX, 0))
}

/** Bytes of the section of a run. */
export function indexBytes(footer: Footer): number {
  return expiriesAt(footer) - footer.indexAt
}

/** The index of an open run. Immutable. */
export class RunIndex {
  readonly blocks: number
  /** The first bucket of each maplet page. */
  readonly firstBuckets: Uint32Array

  readonly #footer: Footer
  readonly #path: string
  readonly #section: Uint8Array
  /** Where in the section the separators begin. */
  readonly #separatorsAt: number

  /** @throws CORRUPTION unless `section` is the index that the footer describes. */
  constructor(section: Uint8Array, footer: Footer, runSeed: number, path: string) {
    const { blocks, pages, indexAt } = footer
    const bucketsAt = (blocks + 1) * ROW_BYTES
    const separatorsAt = bucketsAt + pages * 4
    if (section.length < separatorsAt) throw corruption(path, indexAt, 'the index is too short')
    if (indexCrc(section, runSeed) !== footer.indexCrc) {
      throw corruption(path, indexAt, 'the checksum of the index does not match')
    }
    this.blocks = blocks
    this.#footer = footer
    this.#path = path
    this.#section = section
    this.#separatorsAt = separatorsAt
    if (this.offsetOf(0) !== 0 || this.#separatorStart(0) !== 0) throw this.#damage(0)
    if (this.offsetOf(blocks) !== footer.pagesAt || separatorsAt + this.#separatorStart(blocks) !== section.length) {
      throw corruption(path, indexAt + blocks * ROW_BYTES, 'the index does not end where it should')
    }
    const firstBuckets = new Uint32Array(pages)
    // The first read after opening waits for this, and no code of it has been compiled yet: built-in calls are fast even then.
    const view = new DataView(section.buffer, section.byteOffset, section.byteLength)
    for (let i = 0; i < pages; i++) {
      firstBuckets[i] = view.getUint32(bucketsAt + i * 4, true)
      const isSound = i === 0 ? firstBuckets[0] === 0 : (firstBuckets[i] as number) > (firstBuckets[i - 1] as number)
      if (!isSound) throw corruption(path, indexAt + bucketsAt + i * 4, 'the first buckets of the pages do not ascend')
    }
    this.firstBuckets = firstBuckets
  }

  get memoryBytes(): number {
    return this.#section.length + this.firstBuckets.length * 4
  }

  /** Where a block begins; of their number, where they end. */
  offsetOf(block: number): number {
    return readUint48(this.#section, block * ROW_BYTES)
  }

  /**
   * Bytes of a block.
   *
   * @throws CORRUPTION if no block between the one before and the maplet pages can have so many
   */
  lengthOf(block: number): number {
    const offset = this.offsetOf(block)
    const end = this.offsetOf(block + 1)
    if (!(end - offset > BLOCK_HEADER_BYTES && end <= this.#footer.pagesAt)) throw this.#damage(block + 1)
    return end - offset
  }

  /** The block in which a key lies if it is in the run at all. */
  blockOf(key: Uint8Array, length: number): number {
    let low = 0
    let high = this.blocks - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (this.compareSeparator(middle, key, length) <= 0) low = middle
      else high = middle - 1
    }
    return low
  }

  /** The page of a bucket. Buckets spread evenly over pages, so the first guess is close. */
  pageOf(bucket: number, buckets: number): number {
    const { firstBuckets } = this
    let page = Math.floor((bucket * firstBuckets.length) / buckets)
    while ((firstBuckets[page] as number) > bucket) page--
    while (page + 1 < firstBuckets.length && (firstBuckets[page + 1] as number) <= bucket) page++
    return page
  }

  /**
   * @throws CORRUPTION unless the page holds all buckets from the one that is noted here to the one before that of the
   * next page.
   */
  checkPage(page: MapletPage, number: number): void {
    const { firstBuckets } = this
    const { shape, pagesAt } = this.#footer
    const end = number + 1 < firstBuckets.length ? firstBuckets[number + 1] : shape.buckets
    if (page.firstBucket !== firstBuckets[number] || page.firstBucket + page.buckets !== end) {
      const what = `maplet page ${number} and the index disagree about its buckets`
      throw corruption(this.#path, pagesAt + number * PAGE_BYTES, what)
    }
  }

  /** The sign of memcmp(separator of the block, key). */
  compareSeparator(block: number, key: Uint8Array, length: number): number {
    const start = this.#separatorStart(block)
    const end = this.#separatorStart(block + 1)
    if (!(start <= end && this.#separatorsAt + end <= this.#section.length)) throw this.#damage(block + 1)
    return compareBytesAt(this.#section, this.#separatorsAt + start, end - start, key, length)
  }

  /** The bytes of a separator. */
  separator(block: number): Uint8Array {
    const start = this.#separatorsAt + this.#separatorStart(block)
    return this.#section.subarray(start, this.#separatorsAt + this.#separatorStart(block + 1))
  }

  /** @throws CORRUPTION unless X2 holds. Takes all rows' time. */
  check(): void {
    for (let i = 0; i < this.blocks; i++) {
      this.lengthOf(i)
      if (this.#separatorStart(i) > this.#separatorStart(i + 1)) throw this.#damage(i + 1)
    }
  }

  #separatorStart(block: number): number {
    return readUint48(this.#section, block * ROW_BYTES + 6)
  }

  #damage(row: number): Error {
    const what = `row ${row} of the index contradicts the one before`
    return corruption(this.#path, this.#footer.indexAt + row * ROW_BYTES, what)
  }
}
