/**
 * Writes a run: entries in ascending order of their stored keys go in, one at a time; a durable file comes out, or none.
 *
 * W1  The file is written under a temporary name, synced, closed, and only then given its name; the directory is synced after that.
 *     A file with the name of a run is complete.
 * W2  After a failure, and after `abort`, the file is removed if the file system lets us; what a crash leaves has a name
 *     that says so (`RUN_LEFTOVER_NAME`).
 *
 * Memory: a block, two pieces of output, about 35 bytes per block, and 8 bytes per entry for the maplet (24 at the end).
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { invariant } from '../errors.ts'
import type { Storage, StorageFile } from '../storage/storage.ts'
import { BlockBuilder, isStorable } from './block.ts'
import { encodeExpiries, expiriesCrc, isExpiry } from './expiries.ts'
import { FOOTER_BYTES, encodeFooter, hexadecimal } from './footer.ts'
import { ID_BYTES, type RunSummary, runFileName, runSeedOf } from './format.ts'
import { type HashSeed, hashLow, hashStoredKey } from './hash.ts'
import { IndexBuilder, indexCrc } from './index-section.ts'
import { MapletBuilder } from './maplet-pages.ts'
import { SequentialOutput } from './output.ts'
import { tableOf } from './stored-key.ts'

/** How a run is written. */
export interface RunWriterOptions {
  /** That of the database, so that a key is hashed once for all its runs. */
  readonly hashSeed: HashSeed
  /** Share of absent keys for which a lookup may read a block in vain; down to 5e-7. */
  readonly falsePositiveRate: number
  /** About how many bytes of entries will be written; how long blocks are depends on it. */
  readonly expectedBytes?: number
  /** Bytes of a block, at most, unless one entry needs more. Default: {@link blockBytesFor} what is expected. */
  readonly blockBytes?: number
  /** Source of the run's id. Default: that of the operating system. */
  readonly random?: (bytes: number) => Uint8Array
}

const LEAST_BLOCK_BYTES: number = 4 * 1024
const MOST_BLOCK_BYTES: number = 32 * 1024
/** As long as blocks need not be longer than the most. */
const MOST_BLOCKS: number = 2 ** 17

/**
 * How long blocks are in a run of so many bytes, at most. A cold read reads, checks and searches a block, so they are as short
 * as a page of memory; but the index, which has a row for each, is in memory, so they are longer in long runs.
 */
export function blockBytesFor(expectedBytes: number): number {
  return Math.min(MOST_BLOCK_BYTES, Math.max(LEAST_BLOCK_BYTES, Math.ceil(expectedBytes / MOST_BLOCKS)))
}

/** Every stored key begins with the number of its table. */
const TABLE_BYTES = 4

export class RunWriter {
  /** Entries added so far, tombstones included. */
  entries = 0
  tombstones = 0

  readonly #storage: Storage
  readonly #directory: string
  readonly #number: number
  readonly #id: Uint8Array
  readonly #runSeed: number
  readonly #hashSeed: HashSeed
  readonly #falsePositiveRate: number
  readonly #blockBytes: number
  readonly #file: StorageFile
  readonly #output: SequentialOutput
  readonly #block: BlockBuilder = new BlockBuilder()
  readonly #index: IndexBuilder = new IndexBuilder()
  readonly #maplet: MapletBuilder = new MapletBuilder()
  #firstSequence: number = Number.POSITIVE_INFINITY
  #lastSequence = 0
  #firstTable = 0
  /** Entries that expire; the least instant of the block under construction, and of each one before it. */
  #expiring = 0
  #least = Infinity
  readonly #leasts: number[] = []
  #isNamed = false
  #isDone = false

  private constructor(
    storage: Storage,
    directory: string,
    number: number,
    id: Uint8Array,
    file: StorageFile,
    options: RunWriterOptions,
  ) {
    this.#storage = storage
    this.#directory = directory
    this.#number = number
    this.#id = id
    this.#runSeed = runSeedOf(id)
    this.#hashSeed = options.hashSeed
    this.#falsePositiveRate = options.falsePositiveRate
    this.#blockBytes = options.blockBytes ?? blockBytesFor(options.expectedBytes ?? 0)
    this.#file = file
    this.#output = new SequentialOutput(file)
  }

  /** Begins run number `number`, which must not have been used before. Throws `IO` if its file cannot be created. */
  static async create(
    storage: Storage,
    directory: string,
    number: number,
    options: RunWriterOptions,
  ): Promise<RunWriter> {
    const id = (options.random ?? randomBytes)(ID_BYTES)
    const path = join(directory, leftoverName(number, id))
    const file = await storage.open(path, 'create').catch(async (error: unknown) => {
      // It may have come into being all the same; nobody else has this name.
      await storage.remove(path).catch(ignore)
      throw error
    })
    return new RunWriter(storage, directory, number, Uint8Array.from(id), file, options)
  }

  /** Bytes of the blocks that are complete. */
  get bytes(): number {
    return this.#output.position
  }

  /**
   * Adds an entry, whose key must be greater than that of the one before. Key and value are copied. After a failure only
   * `abort` is left to be called.
   *
   * @param size the accounting size, kept for readers
   * @param value null: a tombstone
   * @param expiresAt in ms since 1970; 0: never. Kept for readers, as nothing here knows what time it is
   * @returns a promise if it must wait for the disk; the next call must then wait for it, and so must changes of key and value
   */
  add(
    key: Uint8Array,
    sequence: number,
    size: number,
    value: Uint8Array | null,
    keyLength: number = key.length,
    expiresAt = 0,
  ): void | Promise<void> {
    invariant(isStorable(sequence) && isStorable(size), 'sequence and size of an entry are integers of 48 bits')
    const isLasting = expiresAt === 0 || (isExpiry(expiresAt) && value !== null)
    invariant(isLasting, 'only puts expire, at an instant that is finite and greater than 0')
    const block = this.#block
    if (block.overflows(keyLength, value === null ? 0 : value.length, expiresAt, this.#blockBytes)) {
      const waiting = this.#seal()
      if (waiting !== undefined) {
        return waiting.then(() => {
          block.reset()
          this.#append(key, keyLength, sequence, size, value, expiresAt)
        })
      }
      block.reset()
    }
    this.#append(key, keyLength, sequence, size, value, expiresAt)
  }

  /**
   * Completes the file and makes it durable. If it fails, the run does not exist.
   *
   * @param pause called and awaited now and then while the maplet is built, which takes about 100 ns per entry
   */
  async finish(pause?: () => void | Promise<void>): Promise<RunSummary> {
    invariant(!this.#isDone, 'a run is finished or aborted once')
    try {
      const summary = await this.#complete(pause)
      this.#isDone = true
      return summary
    } catch (error) {
      await this.abort()
      throw error
    }
  }

  /** Gives the run up and removes its file as far as that is possible. Never throws. */
  async abort(): Promise<void> {
    if (this.#isDone) return
    this.#isDone = true
    await this.#output.settle()
    await this.#file.close().catch(ignore)
    await this.#storage.remove(this.#leftoverPath).catch(ignore)
    if (this.#isNamed) await this.#storage.remove(join(this.#directory, runFileName(this.#number))).catch(ignore)
  }

  #append(
    key: Uint8Array,
    keyLength: number,
    sequence: number,
    size: number,
    value: Uint8Array | null,
    expiresAt: number,
  ): void {
    const block = this.#block
    const shared = block.sharedWith(key, keyLength)
    if (this.entries === 0) {
      invariant(keyLength >= TABLE_BYTES, 'a stored key begins with the number of its table')
      this.#firstTable = tableOf(key)
      this.#index.add(0, key, 0)
    } else {
      const isGreater =
        shared < keyLength &&
        (shared === block.lastKeyLength || (key[shared] as number) > (block.lastKey[shared] as number))
      invariant(isGreater, 'keys are added to a run in ascending order')
      if (block.entries === 0) this.#index.add(this.#output.position, key, shared + 1)
    }
    block.add(key, keyLength, shared, sequence, size, value, expiresAt)
    const high = hashStoredKey(key, keyLength, this.#hashSeed)
    this.#maplet.add(high, hashLow)
    this.entries++
    if (value === null) this.tombstones++
    if (expiresAt !== 0) {
      this.#expiring++
      if (expiresAt < this.#least) this.#least = expiresAt
    }
    if (sequence < this.#firstSequence) this.#firstSequence = sequence
    if (sequence > this.#lastSequence) this.#lastSequence = sequence
  }

  #seal(): void | Promise<void> {
    this.#maplet.endBlock()
    this.#leasts.push(this.#least)
    this.#least = Infinity
    return this.#output.append(this.#block.finish(this.#index.blocks - 1, this.#runSeed))
  }

  async #complete(pause?: () => void | Promise<void>): Promise<RunSummary> {
    const output = this.#output
    if (this.entries > 0) await this.#seal()
    const pagesAt = output.position
    await this.#maplet.finish(this.#falsePositiveRate, this.#runSeed, (page) => output.append(page), pause)
    const indexAt = output.position
    const index = this.#index.finish(pagesAt, this.#maplet.firstBuckets)
    await output.append(index)
    const expiries = this.#expiring === 0 ? null : encodeExpiries(this.#expiring, this.#leasts)
    if (expiries !== null) await output.append(expiries)
    const summary: RunSummary = {
      number: this.#number,
      id: hexadecimal(this.#id),
      bytes: output.position + FOOTER_BYTES,
      entries: this.entries,
      tombstones: this.tombstones,
      firstSequence: this.entries === 0 ? 0 : this.#firstSequence,
      lastSequence: this.#lastSequence,
    }
    await output.append(
      encodeFooter({
        summary,
        indexCrc: indexCrc(index, this.#runSeed),
        hasExpiries: expiries !== null,
        expiriesCrc: expiries === null ? 0 : expiriesCrc(expiries, this.#runSeed),
        pagesAt,
        indexAt,
        blocks: this.#index.blocks,
        pages: this.#maplet.firstBuckets.length,
        shape: this.#maplet.shape,
        hashSeed: this.#hashSeed,
        firstTable: this.#firstTable,
        lastTable: this.entries === 0 ? 0 : tableOf(this.#block.lastKey),
      }),
    )
    await output.drain()
    await this.#publish()
    return summary
  }

  /** W1. A rename that fails may have happened nevertheless. */
  async #publish(): Promise<void> {
    await this.#file.sync()
    await this.#file.close()
    this.#isNamed = true
    await this.#storage.rename(this.#leftoverPath, join(this.#directory, runFileName(this.#number)))
    await this.#storage.syncDirectory(this.#directory)
  }

  get #leftoverPath(): string {
    return join(this.#directory, leftoverName(this.#number, this.#id))
  }
}

/** The name under which a run is written: that of the run, and the first half of its id. */
function leftoverName(number: number, id: Uint8Array): string {
  return `${runFileName(number)}.tmp-${hexadecimal(id.subarray(0, 8))}`
}

function ignore(): void {}
