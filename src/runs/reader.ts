/**
 * Reads a finished run. Opening reads its footer and, if entries expire, when they do; the index is read on first use and kept, maplet pages and blocks come
 * through the cache that all runs share.
 *
 * A lookup takes one page and, almost only if the key is there, one block: about 1 us if both are cached, a fifth of that
 * for an absent key. It is synchronous; what is not cached is read on the calling thread, a page of 4 KiB or a block of 4 to
 * 32 KiB at a time.
 *
 * R1  Whatever the bytes of the file are, a call gives what was written or throws CORRUPTION (or IO), and allocates no more than
 *     the size of the file. Bytes are decoded after their checksum was found right. (Whoever forges checksums as well can make
 *     keys disappear or take on other values, but not more.)
 * R2  What `value` returned stays valid after eviction and after `close`; `valueBytes` only until the next lookup in any reader
 *     that shares the cache.
 *
 * Not for use by several threads; each opens its own. A reader must not be used once `close()` was called.
 */
import { join } from 'node:path'
import { VarveError } from '../errors.ts'
import { type Storage, type StorageFile, isMissing } from '../storage/storage.ts'
import { Block } from './block.ts'
import { type BlockCache, type SlotTable, emptySlots } from './cache.ts'
import { BlockEntries } from './entries.ts'
import { BlockExpiries, type Expiries, decodeExpiries, expiriesBytes } from './expiries.ts'
import { FOOTER_BYTES, type Footer, decodeFooter, expiriesAt, idBytes } from './footer.ts'
import { MISSING, PART_BLOCK, type RunSummary, corruption, partSeed, runFileName, runSeedOf } from './format.ts'
import type { HashSeed } from './hash.ts'
import { RunIndex, indexBytes } from './index-section.ts'
import { MapletPage, PAGE_BYTES, type PageShape, bucketOf, fingerprintOf } from './maplet-pages.ts'
import { type BlockSource, RunCursor, RunScan } from './scan.ts'
import { type RunProblem, verifyRun } from './verify.ts'

export class RunReader implements BlockSource {
  readonly path: string
  readonly summary: RunSummary
  /** What keys are hashed with for `find`. */
  readonly hashSeed: HashSeed
  readonly blocks: number

  /** Of the entry that `find` found last. */
  sequence = 0
  size = 0
  expiresAt = 0
  tombstone = false

  /** How many entries expire, and where they are. */
  readonly expiring: number
  readonly expiries: BlockExpiries | null

  /** Lookups so far, and blocks that they looked into in vain. */
  lookups = 0
  falsePositives = 0

  readonly #file: StorageFile
  readonly #footer: Footer
  readonly #shape: PageShape
  readonly #runSeed: number
  readonly #cache: BlockCache
  readonly #entry: BlockLookup = new BlockLookup()
  #index: RunIndex | null = null
  #blockSlots: SlotTable = emptySlots(0)
  #pageSlots: SlotTable = emptySlots(0)
  #isClosed = false

  private constructor(file: StorageFile, footer: Footer, expiries: Expiries | null, cache: BlockCache) {
    this.path = file.path
    this.summary = footer.summary
    this.hashSeed = footer.hashSeed
    this.blocks = footer.blocks
    this.expiring = expiries === null ? 0 : expiries.entries
    this.expiries = expiries === null ? null : new BlockExpiries(expiries.leasts)
    this.#file = file
    this.#footer = footer
    this.#shape = footer.shape
    this.#runSeed = runSeedOf(idBytes(footer.summary.id))
    this.#cache = cache
  }

  /**
   * Opens the run that the manifest lists, reading its footer and when its entries expire.
   *
   * @throws CORRUPTION if it is missing, damaged, of another size, another run, or of a later version; IO if it cannot be read
   */
  static async open(storage: Storage, directory: string, summary: RunSummary, cache: BlockCache): Promise<RunReader> {
    const path = join(directory, runFileName(summary.number))
    const file = await storage.open(path, 'read').catch((error: unknown) => {
      throw isMissing(error) ? corruption(path, 0, MISSING, error) : error
    })
    try {
      const bytes = await file.size()
      if (bytes !== summary.bytes || bytes < FOOTER_BYTES) {
        throw corruption(path, Math.min(bytes, summary.bytes), `it has ${bytes} bytes, not ${summary.bytes}`)
      }
      const footer = new Uint8Array(FOOTER_BYTES)
      const count = await file.read(footer, bytes - FOOTER_BYTES)
      if (count !== FOOTER_BYTES) throw corruption(path, bytes - FOOTER_BYTES + count, 'it has become shorter')
      const decoded = decodeFooter(footer, path, summary)
      return new RunReader(file, decoded, decoded.hasExpiries ? await readExpiries(file, decoded) : null, cache)
    } catch (error) {
      await file.close().catch(() => undefined)
      throw error
    }
  }

  /**
   * Looks for a stored key whose hash under `hashSeed` is given. If it is there, its fields are those of this reader until
   * the next call; a tombstone counts as there.
   */
  find(key: Uint8Array, length: number, hashHigh: number, hashLow: number): boolean {
    this.lookups++
    if (this.blocks === 0) return false
    const shape = this.#shape
    const { index } = this
    const bucket = bucketOf(hashHigh, shape)
    const page = this.page(index.pageOf(bucket, shape.buckets))
    const fingerprint = fingerprintOf(hashLow, shape)
    const start = page.start(bucket)
    if (start < 0) return this.#findIn(index.blockOf(key, length), key, length)
    const end = page.end(bucket)
    let tried = -1
    for (let cell = page.match(fingerprint, start, end); cell >= 0; cell = page.match(fingerprint, cell + 1, end)) {
      const block = page.blockAt(cell)
      if (block === tried) continue
      tried = block
      if (block >= this.blocks)
        throw this.#pageDamage(page, `its cell ${cell} names block ${block}, which there is not`)
      if (this.#findIn(block, key, length)) return true
      this.falsePositives++
    }
    return false
  }

  /** The value that `find` found, a copy; empty for a tombstone. */
  get value(): Uint8Array {
    return this.#entry.value.slice()
  }

  /** Where the value lies that `find` found. R2. */
  get valueBytes(): Uint8Array {
    return this.#entry.valueBytes
  }

  get valueStart(): number {
    return this.#entry.valueStart
  }

  get valueEnd(): number {
    return this.#entry.valueEnd
  }

  get valueLength(): number {
    return this.#entry.valueLength
  }

  /** Whether the run has any entry of a table, tombstones included. Answers from the footer if that is enough. */
  has(table: number): boolean {
    const { firstTable, lastTable } = this.#footer
    if (this.blocks === 0 || table < firstTable || table > lastTable) return false
    if (table === firstTable || table === lastTable) return true
    const prefix = Uint8Array.of(table >>> 24, table >>> 16, table >>> 8, table)
    const cursor = this.cursor()
    return cursor.seek(prefix, 4, true) && prefix.every((byte, i) => cursor.key[i] === byte)
  }

  /** The entries of a block, from before the first. */
  walk(block: number): BlockWalk {
    return new BlockWalk(this.block(block))
  }

  /** A cursor that stands before the first entry. */
  cursor(): RunCursor {
    return new RunCursor(this)
  }

  /** All entries in order, past the cache. */
  scan(): RunScan {
    return new RunScan(this.#file, this.index, this.#runSeed)
  }

  /**
   * Reads every byte of the file and checks all that can be checked without knowing what values mean. Damage is reported, not
   * thrown; what is thrown is IO.
   *
   * @param progress called, and awaited, with the number of bytes checked so far, about every 32 KiB
   */
  verify(progress?: (bytes: number) => void | Promise<void>): Promise<RunProblem[]> {
    return verifyRun(this.#file, this.#footer, this.#runSeed, progress)
  }

  /** Closes the file and gives back what of it is cached. A second call does nothing. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#cache.blocks.drop(this.#blockSlots)
    this.#cache.pages.drop(this.#pageSlots)
    await this.#file.close()
  }

  /** Bytes of memory that this reader holds beside the cache. */
  get memoryBytes(): number {
    const expiries = this.expiries === null ? 0 : this.blocks * 16
    return (this.#index?.memoryBytes ?? 0) + (this.#blockSlots.length + this.#pageSlots.length) * 4 + expiries
  }

  get index(): RunIndex {
    return this.#index ?? this.#loadIndex()
  }

  block(number: number): Block {
    return this.#block(number, true)
  }

  cached(number: number): Block | null {
    const slot = this.#blockSlots[number] as number
    return slot >= 0 ? (this.#cache.blocks.hit(slot) as Block) : null
  }

  read(number: number, length: number): Uint8Array {
    return this.#read(this.index.offsetOf(number), new Uint8Array(length))
  }

  check(bytes: Uint8Array, number: number): Block {
    // What is kept must not keep the blocks beside it.
    const isKept = this.#cache.hasRoom(bytes.length)
    const block = new Block(
      isKept ? bytes.slice() : bytes,
      number,
      this.#runSeed,
      this.path,
      this.index.offsetOf(number),
    )
    if (isKept) this.#cache.insert(block, this.#cache.blocks, this.#blockSlots, number)
    else this.#cache.misses++
    return block
  }

  /** The maplet page of that number, from the cache or from the file. */
  page(number: number): MapletPage {
    const slot = this.#pageSlots[number] as number
    if (slot >= 0) return this.#cache.pages.hit(slot) as MapletPage
    const { index } = this
    const offset = this.#footer.pagesAt + number * PAGE_BYTES
    const bytes = this.#read(offset, new Uint8Array(PAGE_BYTES))
    const page = new MapletPage(bytes, number, this.#footer.shape, this.#runSeed, this.path, offset)
    index.checkPage(page, number)
    this.#cache.insert(page, this.#cache.pages, this.#pageSlots, number)
    return page
  }

  /** The block of that number; unless it `lasts`, its bytes may lie where those of the next one will. */
  #block(number: number, lasts: boolean): Block {
    const { index } = this
    const slot = this.#blockSlots[number] as number
    if (slot >= 0) return this.#cache.blocks.hit(slot) as Block
    const offset = index.offsetOf(number)
    const length = index.lengthOf(number)
    const isKept = this.#cache.admits(length, partSeed(this.#runSeed, PART_BLOCK, number))
    const bytes = isKept || lasts ? new Uint8Array(length) : this.#cache.scratch(length)
    const block = new Block(this.#read(offset, bytes), number, this.#runSeed, this.path, offset)
    if (isKept) this.#cache.insert(block, this.#cache.blocks, this.#blockSlots, number)
    else this.#cache.misses++
    return block
  }

  #findIn(block: number, key: Uint8Array, length: number): boolean {
    const entry = this.#entry
    if (!entry.find(this.#block(block, false), key, length)) return false
    this.sequence = entry.sequence
    this.size = entry.size
    this.expiresAt = entry.expiresAt
    this.tombstone = entry.tombstone
    return true
  }

  #loadIndex(): RunIndex {
    const bytes = this.#read(this.#footer.indexAt, new Uint8Array(indexBytes(this.#footer)))
    const index = new RunIndex(bytes, this.#footer, this.#runSeed, this.path)
    this.#blockSlots = emptySlots(this.#footer.blocks)
    this.#pageSlots = emptySlots(this.#footer.pages)
    this.#index = index
    return index
  }

  /** Fills `bytes` from the file, and returns them. */
  #read(offset: number, bytes: Uint8Array): Uint8Array {
    if (this.#isClosed) throw new VarveError('CLOSED', `${this.path} was closed`)
    const count = this.#file.readSync(bytes, offset)
    if (count !== bytes.length) throw corruption(this.path, offset + count, 'it has become shorter')
    return bytes
  }

  #pageDamage(page: MapletPage, what: string): VarveError {
    const number = this.index.pageOf(page.firstBucket, this.#footer.shape.buckets)
    return corruption(this.path, this.#footer.pagesAt + number * PAGE_BYTES, `${what} (maplet page ${number})`)
  }
}

/** What a run says of when its entries expire. */
async function readExpiries(file: StorageFile, footer: Footer): Promise<Expiries> {
  const { summary, blocks, expiriesCrc } = footer
  const offset = expiriesAt(footer)
  const part = new Uint8Array(expiriesBytes(blocks))
  const count = await file.read(part, offset)
  if (count !== part.length) throw corruption(file.path, offset + count, 'it has become shorter')
  const mostEntries = summary.entries - summary.tombstones
  return decodeExpiries(part, expiriesCrc, mostEntries, runSeedOf(idBytes(summary.id)), file.path, offset)
}

/** Goes over the entries of one block. */
class BlockWalk extends BlockEntries {
  constructor(block: Block) {
    super()
    this.enter(block)
  }

  next(): boolean {
    return this.nextInBlock()
  }
}

/** Looks a key up in one block. */
class BlockLookup extends BlockEntries {
  find(block: Block, key: Uint8Array, length: number): boolean {
    if (this.block !== block) this.enter(block)
    return this.findInBlock(key, length)
  }
}
