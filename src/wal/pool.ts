/**
 * The files of the log: which exist, which are spare, and how more are made.
 *
 *   first ... sealed ... | being written | spare ... last
 *
 * A segment is zero-filled before it is used, so that writing to it changes no metadata and a full disk shows here, where
 * it can be waited out, and not at a commit. Spares are made in the background until there are `poolSize`. Segments that
 * a checkpoint has freed are used again rather than filled anew: as many are kept as one checkpoint frees, beside the
 * `poolSize`, so that under steady load no zeros are written at all; with the load the pool shrinks again.
 *
 * I1  Every file from `first` to `last` exists, is listed in the manifest, and is durable under its name.
 * I2  A file is listed after it was made durable and before it is used; it is taken off the list before it is touched for
 *     any other end.
 * I3  There are at most `maxSegments` files, except that a rotation asked for by name may add to them: a checkpoint that
 *     would free segments must not wait for them.
 * I4  Making a segment may fail and is tried again, later and later; it does no harm to what is there. Only the caller
 *     of `take` waits for it.
 */

import { Mutex } from 'async-mutex'

import { VarveError, databaseClosed } from '../errors.ts'
import { ioError, isMissing, type Storage, type StorageFile } from '../storage/storage.ts'
import { FRAME_BYTES } from './frame.ts'
import { MAX_SEGMENT, encodeHeader, segmentPath, spareHeader } from './segment.ts'

/**
 * Zeros are written in pieces of this size. The page cache may keep what one call has written as one folio (Linux 6.16, ext4),
 * and counts all of it as written whenever a part of it is: a piece is what a small group of commits is rounded up to.
 */
const FILL_BYTES = 16 << 10

/** Zeros are synced after so many: no sync of commits finds much of them before it. A multiple of the above. */
const FILL_SYNC_BYTES = 1 << 20

const FIRST_RETRY_MS = 50
const LAST_RETRY_MS = 5_000

export interface SpareSegment {
  readonly number: number
  readonly fileBytes: number
}

/** A spare that has been opened to be started. */
export interface TakenSegment extends SpareSegment {
  readonly file: StorageFile
}

export interface PoolConfig {
  readonly databaseId: Uint8Array
  readonly seed: number
  readonly segmentBytes: number
  readonly poolSize: number
  readonly maxSegments: number
  /** Whether segments are written durably, call by call. */
  readonly synced: boolean
  readonly reserve: (first: number, last: number) => Promise<void>
  /** See {@link LogHooks.retire}. */
  readonly retire: (segment: number) => Promise<boolean>
}

export class SegmentPool {
  readonly #storage: Storage
  readonly #directory: string
  readonly #config: PoolConfig
  /** Whatever changes files or their list runs alone. */
  readonly #mutex: Mutex
  #first: number
  #last: number
  #spares: SpareSegment[]
  /** Made and durable but not listed yet: the list could not be changed. */
  #unlisted: SpareSegment | null
  #stopped: boolean
  #isFilling: boolean
  /** Whether so much is written in this session that spares are worth their zeros. */
  #isActive: boolean
  /** A rotation by name may exceed the bound once. */
  #forced: boolean
  #wake: (() => void) | null
  #retryMs: number
  /** Why the last attempt to take a segment failed, if it did. */
  #attemptError: VarveError | null

  /** Somebody waits for a segment that cannot be had yet. */
  stalled: boolean
  /** Why, if it is not the bound that is waited for. */
  obstacle: VarveError | null
  failures: number
  error: unknown
  /** Called when `stalled` or `obstacle` has changed. */
  onStall: () => void
  /** Called when the directory or a spare is gone: nothing written to the log would be found again. */
  onLost: (error: unknown) => void

  constructor(
    storage: Storage,
    directory: string,
    config: PoolConfig,
    first: number,
    last: number,
    spares: SpareSegment[],
  ) {
    this.#storage = storage
    this.#directory = directory
    this.#config = config
    this.#mutex = new Mutex()
    this.#first = first
    this.#last = last
    this.#spares = spares
    this.#unlisted = null
    this.#stopped = false
    this.#isFilling = false
    this.#forced = false
    this.#wake = null
    this.#retryMs = FIRST_RETRY_MS
    this.#attemptError = null
    this.stalled = false
    this.failures = 0
    this.error = undefined
    this.obstacle = null
    this.onStall = nothing
    this.onLost = nothing
    this.#isActive = false
  }

  get spareCount(): number {
    return this.#spares.length
  }

  /** The next segment, open; waits until there is one. Rejects only after `stop`. */
  async take(): Promise<TakenSegment> {
    try {
      for (;;) {
        const taken = await this.#mutex.runExclusive(() => this.#tryTake())
        if (taken !== null) {
          this.#forced = false
          return taken
        }
        if (this.#stopped) throw databaseClosed()
        this.#setStalled(true, this.#attemptError)
        await this.#change()
      }
    } finally {
      this.#setStalled(false, null)
    }
  }

  /** Lets the rotation under way, or the next, exceed the bound. */
  force(): void {
    this.#forced = true
    this.#wakeUp()
  }

  /** From now on spares are kept ready. */
  start(): void {
    if (this.#isActive) return
    this.#isActive = true
    this.fill()
  }

  /** Whoever waits for a segment because none could be made tries again now. */
  retry(): void {
    this.#wakeUp()
  }

  /** Makes spares in the background until there are enough, once that was started. */
  fill(): void {
    if (this.#isFilling || this.#stopped || !this.#isActive) return
    this.#isFilling = true
    void this.#fill().finally(() => {
      this.#isFilling = false
    })
  }

  /**
   * Gives up the segments up to `through`, of which the manifest knows nothing any more; makes spares of them, or removes
   * them, as far as that succeeds. Rejects only if the list could not be changed: then nothing was touched.
   */
  async release(through: number): Promise<void> {
    await this.#mutex.runExclusive(async () => {
      if (this.#stopped || through < this.#first) return
      await this.#config.reserve(through + 1, this.#last)
      const from = this.#first
      this.#first = through + 1
      const keep = this.#config.poolSize + this.#first - from
      try {
        for (let number = from; number <= through; number++) await this.#reuse(number, keep)
        await this.#storage.syncDirectory(this.#directory)
        await this.#trim(keep)
      } catch (error) {
        this.#failed(error)
      }
    })
    this.#wakeUp()
    this.fill()
  }

  /** Ends waiting and making; resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#wakeUp()
    await this.#mutex.runExclusive(nothing)
  }

  /** Gives back what was kept for a load that has ended. A failure leaves more spares than are needed. */
  async shrink(): Promise<void> {
    await this.#mutex.runExclusive(() => this.#trim(this.#config.poolSize)).catch(nothing)
  }

  /** Makes a segment of `fileBytes` now, at opening, when there is no spare. */
  async make(fileBytes: number): Promise<void> {
    await this.#mutex.runExclusive(() => this.#make(fileBytes))
  }

  /** The next spare, open, at opening; there must be one. */
  async open(): Promise<TakenSegment> {
    const spare = this.#spares[0] as SpareSegment
    const path = segmentPath(this.#directory, spare.number)
    const file = await this.#storage.open(path, 'write', { synced: this.#config.synced })
    this.#spares.shift()
    return { ...spare, file }
  }

  async #tryTake(): Promise<TakenSegment | null> {
    this.#attemptError = null
    if (this.#stopped) return null
    try {
      if (this.#spares.length === 0) {
        if (!this.#forced && this.#last - this.#first + 1 >= this.#config.maxSegments) return null
        await this.#make(this.#config.segmentBytes)
      }
      const taken = await this.open()
      this.#retryMs = FIRST_RETRY_MS
      return taken
    } catch (error) {
      this.#failed(error)
      this.#attemptError = ioError('make or open a segment in', this.#directory, error)
      return null
    }
  }

  async #fill(): Promise<void> {
    const { poolSize, maxSegments, segmentBytes } = this.#config
    while (!this.#stopped && this.#spares.length < poolSize && this.#last - this.#first + 1 < maxSegments) {
      const made = await this.#mutex.runExclusive(async () => {
        if (this.#stopped || this.#spares.length >= poolSize) return true
        try {
          await this.#make(segmentBytes)
          return true
        } catch (error) {
          this.#failed(error)
          return false
        }
      })
      if (made) this.#wakeUp()
      else await this.#pause()
    }
  }

  /** Makes a new spare, or lists the one that could not be listed before. Call with the mutex. */
  async #make(fileBytes: number): Promise<void> {
    if (this.#unlisted === null) {
      const number = this.#last + 1
      if (number > MAX_SEGMENT) throw new VarveError('CAPACITY_EXCEEDED', 'the log has used up its segment numbers')
      const path = segmentPath(this.#directory, number)
      await this.#storage.remove(path)
      try {
        await this.#writeZeros(path, number, fileBytes)
        await this.#storage.syncDirectory(this.#directory)
      } catch (error) {
        await this.#storage.remove(path).catch(nothing)
        throw error
      }
      this.#unlisted = { number, fileBytes }
    }
    await this.#list()
  }

  async #list(): Promise<void> {
    const spare = this.#unlisted as SpareSegment
    // Whether a failure leaves it listed is not known, so the file stays either way.
    await this.#config.reserve(this.#first, spare.number)
    this.#unlisted = null
    this.#last = spare.number
    this.#spares.push(spare)
  }

  async #writeZeros(path: string, number: number, fileBytes: number): Promise<void> {
    const { databaseId, seed } = this.#config
    const file = await this.#storage.open(path, 'create')
    try {
      const zeros = new Uint8Array(Math.min(FILL_BYTES, fileBytes))
      for (let at = 0; at < fileBytes; at += zeros.length) {
        if (this.#stopped) throw databaseClosed()
        const piece = Math.min(zeros.length, fileBytes - at)
        await file.write(zeros.subarray(0, piece), at)
        if ((at + piece) % FILL_SYNC_BYTES === 0 || at + piece === fileBytes) await file.sync()
      }
      // Last: a file that was cut short while it was being made has no header, and passes for what it is, a leftover.
      await file.write(encodeHeader(spareHeader(number, fileBytes), databaseId, seed), 0)
      await file.sync()
    } finally {
      await file.close()
    }
  }

  /** Makes a spare of a segment that is not listed any more, or removes it. Call with the mutex. */
  async #reuse(number: number, keep: number): Promise<void> {
    if (await this.#config.retire(number)) return
    const from = segmentPath(this.#directory, number)
    const hasRoom = this.#last - this.#first + 1 < this.#config.maxSegments && this.#last < MAX_SEGMENT
    const isWanted = hasRoom && this.#spares.length < keep && this.#unlisted === null
    try {
      if (!isWanted || !(await this.#rewind(from, this.#last + 1))) {
        await this.#storage.remove(from)
        return
      }
      await this.#storage.rename(from, segmentPath(this.#directory, this.#last + 1))
      await this.#storage.syncDirectory(this.#directory)
      this.#unlisted = { number: this.#last + 1, fileBytes: this.#config.segmentBytes }
      await this.#list()
    } catch (error) {
      this.#failed(error)
      // What is left under the old name is not listed; the next opening removes it if this does not.
      await this.#storage.remove(from).catch(nothing)
    }
  }

  /** Removes spares beyond so many, the last first. Call with the mutex. */
  async #trim(keep: number): Promise<void> {
    const excess = this.#spares.length - keep
    if (excess <= 0 || this.#unlisted !== null) return
    await this.#config.reserve(this.#first, this.#last - excess)
    this.#last -= excess
    for (const { number } of this.#spares.splice(keep)) {
      await this.#storage.remove(segmentPath(this.#directory, number))
    }
    await this.#storage.syncDirectory(this.#directory)
  }

  /** Writes the header of a spare over that of a used segment; false if the file has not the size of one. */
  async #rewind(path: string, number: number): Promise<boolean> {
    const { segmentBytes, databaseId, seed } = this.#config
    const file = await this.#storage.open(path, 'write')
    try {
      const fileBytes = await file.size()
      if (fileBytes < segmentBytes) return false
      if (fileBytes > segmentBytes) await file.truncate(segmentBytes)
      await file.write(encodeHeader(spareHeader(number, segmentBytes), databaseId, seed), 0)
      await file.sync()
      return true
    } finally {
      await file.close()
    }
  }

  #failed(error: unknown): void {
    if (this.#stopped) return
    this.failures++
    this.error = error
    if (isMissing(error)) this.onLost(error)
  }

  #setStalled(stalled: boolean, obstacle: VarveError | null): void {
    if (this.stalled === stalled && this.obstacle === obstacle) return
    this.stalled = stalled
    this.obstacle = obstacle
    this.onStall()
  }

  /** Resolves when something may have changed: a spare, a release, a force, the end; or after a while. */
  async #change(): Promise<void> {
    // Somebody waits for this timer, so it keeps the process alive.
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => this.#wakeUp(), this.#nextRetryMs())
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  async #pause(): Promise<void> {
    await new Promise<void>((resolve) => {
      setTimeout(resolve, this.#nextRetryMs()).unref()
    })
  }

  #nextRetryMs(): number {
    const retryMs = this.#retryMs
    this.#retryMs = Math.min(2 * retryMs, LAST_RETRY_MS)
    return retryMs
  }

  #wakeUp(): void {
    const wake = this.#wake
    this.#wake = null
    wake?.()
  }
}

/** Rounded down to whole frames. */
export function wholeFrames(bytes: number): number {
  return Math.floor(bytes / FRAME_BYTES) * FRAME_BYTES
}

function nothing(): void {}
