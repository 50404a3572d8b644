/**
 * Checks a whole run file: every checksum, every count, the order of keys, and that index and maplet say of every key where it
 * is. What it cannot see is whether a value is the one that was meant.
 *
 * It reads past the cache, one block at a time, and holds maplet pages in a cache of its own. Damage does not end it: it goes on
 * with the next part, so one pass reports all of it, up to {@link MOST_PROBLEMS}.
 */
import type { StorageFile } from '../storage/storage.ts'
import { Block } from './block.ts'
import { BlockCache, type SlotTable, emptySlots } from './cache.ts'
import { commonPrefix, compareBytes, enlarged } from './compare.ts'
import { BlockEntries } from './entries.ts'
import { type Expiries, decodeExpiries, expiriesBytes } from './expiries.ts'
import { FOOTER_BYTES, type Footer, decodeFooter, expiriesAt } from './footer.ts'
import { DamageError, corruption } from './format.ts'
import { hashLow, hashStoredKey } from './hash.ts'
import { RunIndex, indexBytes } from './index-section.ts'
import { MapletPage, PAGE_BYTES, bucketOf, fingerprintOf } from './maplet-pages.ts'

/** One thing that is wrong with a file. */
export interface RunProblem {
  readonly file: string
  /** Where in the file it begins. */
  readonly offset: number
  readonly message: string
}

/** After so many problems of one file the rest is not looked at. */
const MOST_PROBLEMS = 100

/** Memory for maplet pages: those of about 10^7 entries. */
const PAGES_BYTES: number = 48 * 2 ** 20

/** Everything that is wrong with an open run; see the head of this file. Throws IO, nothing else. */
export async function verifyRun(
  file: StorageFile,
  footer: Footer,
  runSeed: number,
  progress?: (bytes: number) => void | Promise<void>,
): Promise<RunProblem[]> {
  return new Verification(file, footer, runSeed, progress).run()
}

/** Thrown to end a verification that has found enough. */
class EnoughProblems extends Error {}

class Verification {
  readonly #file: StorageFile
  readonly #footer: Footer
  readonly #runSeed: number
  readonly #progress: ((bytes: number) => void | Promise<void>) | undefined
  readonly #problems: RunProblem[] = []
  readonly #cache: BlockCache = new BlockCache(PAGES_BYTES)
  readonly #pageSlots: SlotTable
  readonly #badPages = new Set<number>()
  readonly #entry = new CheckedEntries()
  #checked = 0
  #lastKey: Uint8Array = new Uint8Array(256)
  #lastKeyLength = 0
  #firstTable = 0
  #entries = 0
  #expiring = 0
  /** What the file says of when entries expire; null if it says nothing, or nothing that can be read. */
  #expiries: Expiries | null = null
  #tombstones = 0
  #unlisted = 0
  #cells = 0
  #firstSequence = Number.POSITIVE_INFINITY
  #lastSequence = 0

  constructor(
    file: StorageFile,
    footer: Footer,
    runSeed: number,
    progress: ((bytes: number) => void | Promise<void>) | undefined,
  ) {
    this.#file = file
    this.#footer = footer
    this.#runSeed = runSeed
    this.#progress = progress
    this.#pageSlots = emptySlots(footer.pages)
  }

  async run(): Promise<RunProblem[]> {
    try {
      await this.#checkFooter()
      if (this.#footer.hasExpiries) await this.#collecting(() => this.#readExpiries())
      const index = await this.#collecting(() => this.#readIndex())
      if (index === undefined) return this.#problems
      await this.#checkPages(index)
      let isComplete = true
      for (let from = 0; from < this.#footer.blocks;) {
        let end = from + 1
        let length = index.lengthOf(from)
        while (end < index.blocks && length + index.lengthOf(end) <= PIECE_BYTES) length += index.lengthOf(end++)
        if (!(await this.#checkPiece(index, from, end, length))) isComplete = false
        from = end
        await this.#progress?.(this.#checked)
      }
      if (isComplete) this.#checkCounts()
    } catch (error) {
      if (!(error instanceof EnoughProblems)) throw error
    }
    return this.#problems
  }

  /** The answer of a check, or undefined if it found damage, which is noted. */
  async #collecting<T>(check: () => Promise<T>): Promise<T | undefined> {
    try {
      return await check()
    } catch (error) {
      if (!(error instanceof DamageError)) throw error
      this.#note(error.offset, error.what)
      return undefined
    }
  }

  #note(offset: number, message: string): void {
    this.#problems.push({ file: this.#file.path, offset, message })
    if (this.#problems.length >= MOST_PROBLEMS) throw new EnoughProblems()
  }

  async #checkFooter(): Promise<void> {
    await this.#collecting(async () => {
      const { path } = this.#file
      const { summary } = this.#footer
      const size = await this.#file.size()
      if (size !== summary.bytes) {
        throw corruption(path, Math.min(size, summary.bytes), `it has ${size} bytes, not ${summary.bytes}`)
      }
      decodeFooter(await this.#read(summary.bytes - FOOTER_BYTES, FOOTER_BYTES), path, summary)
    })
  }

  async #readIndex(): Promise<RunIndex> {
    const section = await this.#read(this.#footer.indexAt, indexBytes(this.#footer))
    const index = new RunIndex(section, this.#footer, this.#runSeed, this.#file.path)
    index.check()
    return index
  }

  async #readExpiries(): Promise<void> {
    const { blocks, summary, expiriesCrc } = this.#footer
    const at = expiriesAt(this.#footer)
    const part = await this.#read(at, expiriesBytes(blocks))
    const mostEntries = summary.entries - summary.tombstones
    this.#expiries = decodeExpiries(part, expiriesCrc, mostEntries, this.#runSeed, this.#file.path, at)
  }

  async #checkPages(index: RunIndex): Promise<void> {
    for (let number = 0; number < this.#footer.pages; number++) {
      const isSound = await this.#collecting(async () => {
        const page = this.#decodePage(await this.#read(this.#pageOffset(number), PAGE_BYTES), index, number)
        page.check(this.#footer.blocks, this.#file.path, this.#pageOffset(number))
        this.#cells += page.cells
        this.#cache.insert(page, this.#cache.pages, this.#pageSlots, number)
        return true
      })
      if (isSound === undefined) this.#badPages.add(number)
      if (number % 8 === 7) await this.#progress?.(this.#checked)
    }
  }

  /** Checks the blocks from one to another, which lie in so many bytes; whether all of them are sound. */
  async #checkPiece(index: RunIndex, from: number, end: number, length: number): Promise<boolean> {
    const start = index.offsetOf(from)
    const piece = await this.#collecting(() => this.#read(start, length))
    if (piece === undefined) return false
    let areSound = true
    for (let number = from; number < end; number++) {
      const at = index.offsetOf(number) - start
      const bytes = piece.subarray(at, at + index.lengthOf(number))
      if ((await this.#collecting(() => this.#checkBlock(index, number, bytes))) === undefined) areSound = false
    }
    return areSound
  }

  async #checkBlock(index: RunIndex, number: number, bytes: Uint8Array): Promise<true> {
    const { path } = this.#file
    const offset = index.offsetOf(number)
    const entry = this.#entry
    entry.open(new Block(bytes, number, this.#runSeed, path, offset))
    let least = Infinity
    for (let isFirst = true; entry.move(); isFirst = false) {
      if (isFirst) this.#checkSeparator(index, number)
      this.#checkEntry(index, number)
      if (entry.expiresAt === 0) continue
      this.#expiring++
      if (entry.expiresAt < least) least = entry.expiresAt
    }
    if (!entry.isAtEnd) throw corruption(path, offset, `block ${number} has bytes behind its last entry`)
    if (this.#expiries !== null && this.#expiries.leasts[number] !== least) {
      this.#note(expiriesAt(this.#footer), `it does not say when the first entry of block ${number} expires`)
    }
    return true
  }

  /** X1, for the first entry of a block. */
  #checkSeparator(index: RunIndex, number: number): void {
    // After damage the key before may not be known.
    if (this.#problems.length > 0) return
    const { key, keyLength } = this.#entry
    const shared = commonPrefix(key, keyLength, this.#lastKey, this.#lastKeyLength)
    const separator = index.separator(number)
    if (compareBytes(separator, separator.length, key, number === 0 ? 0 : shared + 1) === 0) return
    this.#note(this.#footer.indexAt, `the index does not separate block ${number} from the one before`)
  }

  #checkEntry(index: RunIndex, number: number): void {
    const { path } = this.#file
    const entry = this.#entry
    const { key, keyLength, sequence } = entry
    const { summary, firstTable, lastTable } = this.#footer
    if (this.#entries > 0 && compareBytes(this.#lastKey, this.#lastKeyLength, key, keyLength) >= 0) {
      throw corruption(path, entry.offset, `a key of block ${number} is not greater than the one before`)
    }
    const table = tableOf(key, keyLength)
    if (!(table >= firstTable && table <= lastTable)) {
      throw corruption(path, entry.offset, `table ${table} is not among those that the footer names`)
    }
    if (sequence < summary.firstSequence || sequence > summary.lastSequence) {
      throw corruption(path, entry.offset, `sequence ${sequence} is not among those that the footer names`)
    }
    if (keyLength > this.#lastKey.length) this.#lastKey = enlarged(this.#lastKey, 0, keyLength)
    this.#lastKey.set(key.subarray(0, keyLength))
    this.#lastKeyLength = keyLength
    if (this.#entries === 0) this.#firstTable = table
    this.#entries++
    if (entry.tombstone) this.#tombstones++
    if (sequence < this.#firstSequence) this.#firstSequence = sequence
    if (sequence > this.#lastSequence) this.#lastSequence = sequence
    this.#checkMaplet(index, number)
  }

  /** M2, for one entry. */
  #checkMaplet(index: RunIndex, block: number): void {
    const { shape, hashSeed } = this.#footer
    const { key, keyLength, offset } = this.#entry
    const high = hashStoredKey(key, keyLength, hashSeed)
    const bucket = bucketOf(high, shape)
    const fingerprint = fingerprintOf(hashLow, shape)
    const number = index.pageOf(bucket, shape.buckets)
    if (this.#badPages.has(number)) return
    const page = this.#page(index, number)
    const start = page.start(bucket)
    if (start < 0) {
      this.#unlisted++
      return
    }
    const end = page.end(bucket)
    let cell = page.match(fingerprint, start, end)
    while (cell >= 0 && page.blockAt(cell) !== block) cell = page.match(fingerprint, cell + 1, end)
    if (cell < 0) this.#note(offset, `the maplet does not know that a key lies in block ${block}`)
  }

  #checkCounts(): void {
    const { summary, firstTable, lastTable } = this.#footer
    const counted = {
      entries: this.#entries,
      tombstones: this.#tombstones,
      firstSequence: this.#entries === 0 ? 0 : this.#firstSequence,
      lastSequence: this.#lastSequence,
    }
    for (const name of ['entries', 'tombstones', 'firstSequence', 'lastSequence'] as const) {
      if (counted[name] === summary[name]) continue
      this.#note(summary.bytes - FOOTER_BYTES, `the footer says ${name} ${summary[name]}, the entries ${counted[name]}`)
    }
    const expiring = this.#footer.hasExpiries ? this.#expiries?.entries : 0
    if (expiring !== undefined && expiring !== this.#expiring) {
      this.#note(expiriesAt(this.#footer), `it says that ${expiring} entries expire, and ${this.#expiring} do`)
    }
    const tables = this.#entries === 0 ? [0, 0] : [this.#firstTable, tableOf(this.#lastKey, this.#lastKeyLength)]
    if (tables[0] !== firstTable || tables[1] !== lastTable) {
      const where = `from table ${firstTable} to ${lastTable}`
      this.#note(summary.bytes - FOOTER_BYTES, `the footer says ${where}, the entries from ${tables.join(' to ')}`)
    }
    if (this.#badPages.size === 0 && this.#cells + this.#unlisted !== this.#entries) {
      this.#note(this.#footer.pagesAt, `the maplet has ${this.#cells} cells for ${this.#entries} entries`)
    }
  }

  /** A page that has been found sound before. On this thread: it is rarely not cached, and a block is checked in one go. */
  #page(index: RunIndex, number: number): MapletPage {
    const slot = this.#pageSlots[number] as number
    if (slot >= 0) return this.#cache.pages.hit(slot) as MapletPage
    const bytes = new Uint8Array(PAGE_BYTES)
    const count = this.#file.readSync(bytes, this.#pageOffset(number))
    if (count !== PAGE_BYTES) throw corruption(this.#file.path, this.#pageOffset(number) + count, SHORTER)
    const page = this.#decodePage(bytes, index, number)
    this.#cache.insert(page, this.#cache.pages, this.#pageSlots, number)
    return page
  }

  #decodePage(bytes: Uint8Array, index: RunIndex, number: number): MapletPage {
    const { path } = this.#file
    const page = new MapletPage(bytes, number, this.#footer.shape, this.#runSeed, path, this.#pageOffset(number))
    index.checkPage(page, number)
    return page
  }

  #pageOffset(number: number): number {
    return this.#footer.pagesAt + number * PAGE_BYTES
  }

  async #read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length)
    const count = await this.#file.read(bytes, offset)
    if (count !== length) throw corruption(this.#file.path, offset + count, SHORTER)
    this.#checked += length
    return bytes
  }
}

/** What is read at once, unless one block is longer. */
const PIECE_BYTES: number = 32 * 1024

const SHORTER = 'it has become shorter'

function tableOf(key: Uint8Array, length: number): number {
  if (length < 4) return -1
  return (
    (((key[0] as number) << 24) | ((key[1] as number) << 16) | ((key[2] as number) << 8) | (key[3] as number)) >>> 0
  )
}

/** Moves over the entries of a block and sees that its restarts and its end are where they should be. */
class CheckedEntries extends BlockEntries {
  open(block: Block): void {
    this.enter(block)
  }

  move(): boolean {
    this.checkRestart()
    return this.nextInBlock()
  }

  /** B3. */
  get isAtEnd(): boolean {
    return this.entryEnd === (this.block as Block).end
  }

  /** Where in the file the entry ends. */
  get offset(): number {
    return (this.block as Block).offset + this.entryEnd
  }
}
