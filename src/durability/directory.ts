/**
 * An open database directory: its log, its runs, its catalogue, and the order in which they are opened, changed and
 * closed. docs/durability.md goes through every step and what a crash after it leaves.
 *
 * It knows nothing of transactions: whoever commits appends to `log`, whoever reads asks `tier`.
 *
 * I1  What was acknowledged is in the log or in runs of the manifest that is on disk, at any time.
 * I2  One process has the directory open for writing, and nobody for reading meanwhile. Who finds that the directory is not
 *     the one it locked changes nothing in it any more, and is poisoned.
 * I3  `close` settles, whatever fails; the lock is the last thing it gives back.
 */
import { join, resolve } from 'node:path'
import { joinedCodecName } from '../codecs/index.ts'
import { VarveError, databaseClosed } from '../errors.ts'
import { type Manifest, type Background, type ColdTier, workerBackground } from '../runs/index.ts'
import { type DirectoryLock, OwnDirectory } from '../storage/index.ts'
import {
  type LinkedSegment,
  linkPast,
  type LogWriter,
  type PastCommit,
  type PastSegment,
  readPastPiece,
  segmentName,
} from '../wal/index.ts'
import type { Archive } from './archive.ts'
import { writeBackup } from './backup.ts'
import { Catalogue } from './catalogue.ts'
import { Checkpointer } from './checkpointer.ts'
import { type Callbacks, type Opened, checkpointBytesOf, openForReading, openForWriting } from './opening.ts'
import type { CatalogueEntry, CheckpointReport, DirectoryOptions, DirectoryStats, VerifyReport } from './options.ts'
import type { ProgressListener } from './progress.ts'
import type { Root } from './root.ts'
import { Sources } from './sources.ts'
import { verifyFiles } from './verify.ts'

const DEFAULT_TAIL_BYTES = 256 * 1024
/** What a reader of the files sees of commits through the tier: none. */
const FILES_ONLY = -1

/** What a directory opened for writing has, and one opened for reading has not. */
interface Writing {
  readonly lock: DirectoryLock
  readonly log: LogWriter
  readonly background: Background
  readonly checkpointer: Checkpointer
  readonly archive: Archive | null
}

export class Directory {
  /** Where commits are appended; null if opened read-only. */
  readonly log: LogWriter | null
  /** Everything on disk, the log that was replayed at open included. */
  readonly tier: ColdTier
  /** The newest commit found at open; 0 if there was none. */
  readonly sequence: number
  /** When it was logged: ms since the epoch by the clock of then; 0 if nothing ever was. */
  readonly timeMs: number
  readonly #options: DirectoryOptions
  readonly #path: string
  readonly #root: Root
  readonly #sources: Sources
  readonly #databaseId: Uint8Array
  readonly #catalogue: Catalogue
  readonly #writing: Writing | null
  /** Walks under way: backups and verifications. */
  readonly #walks: Set<Promise<unknown>> = new Set()
  #closing: Promise<void> | null = null

  private constructor(
    options: DirectoryOptions,
    path: string,
    opened: Opened,
    sources: Sources,
    writing: Writing | null,
  ) {
    const { root, tail } = opened
    this.#options = options
    this.#path = path
    this.#root = root
    this.#sources = sources
    this.#databaseId = opened.databaseId
    this.#writing = writing
    this.log = writing?.log ?? null
    this.tier = sources.tier
    this.sequence = Math.max(root.value.sequence, tail.lastSequence)
    this.timeMs = Math.max(root.value.timeMs, tail.timeMs)
    this.#catalogue = new Catalogue(path, root.value.tables)
    for (const definition of tail.definitions) this.#catalogue.define(definition)
    for (const [id, { entries, bytes }] of tail.deltas) this.#catalogue.resize({ id, entries, bytes })
  }

  /**
   * Opens a database directory; a new database is made where there is none, unless `readOnly`.
   *
   * @throws {VarveError} `LOCKED`: somebody has it open. `CORRUPTION`: its files are not what they should be; nothing has
   *   been changed then. `IO`. `INVALID_OPTIONS`: `readOnly`, and there is no database.
   */
  static async open(options: DirectoryOptions): Promise<Directory> {
    const path = resolve(options.path)
    if (options.readOnly) {
      const opened = await openForReading(options, path)
      const sources = sourcesOf(options, path, opened)
      try {
        return new Directory(options, path, opened, sources, null)
      } catch (error) {
        await sources.close()
        throw error
      }
    }
    await options.storage.makeDirectory(path)
    const lock = await options.storage.lock(path)
    try {
      return await Directory.#openLocked(options, path, lock)
    } catch (error) {
      await options.background?.close().catch(() => undefined)
      await lock.release().catch(() => undefined)
      throw beneath(error)
    }
  }

  static async #openLocked(given: DirectoryOptions, path: string, lock: DirectoryLock): Promise<Directory> {
    // What is called back exists only once everything has been opened; until then there is nothing to tell it.
    const parts: { log?: LogWriter; checkpointer?: Checkpointer; loss?: VarveError } = {}
    const storage = new OwnDirectory(given.storage, path, lock.token, (error) => {
      parts.loss = lostDirectory(error)
      parts.log?.poison(parts.loss)
    })
    const options = { ...given, storage }
    const callbacks: Callbacks = {
      sealed: () => parts.checkpointer?.startIfDue(),
      stalled: () => parts.checkpointer?.startIfDue(),
      uncertain: (error) => parts.log?.poison(error),
      poisoned: (error) => options.hooks.poisoned(error),
    }
    const opened = await openForWriting(options, path, callbacks)
    const { log, archive } = opened
    parts.log = log
    // The log makes segments in the background already; what failed before it could be told is told now.
    if (opened.root.failure !== null) log.poison(opened.root.failure)
    if (parts.loss !== undefined) log.poison(parts.loss)
    const sources = sourcesOf(options, path, opened)
    const background = options.background ?? workerBackground(path)
    const checkpointer = new Checkpointer({
      storage,
      lock: lock.token,
      directory: path,
      databaseId: opened.databaseId,
      falsePositiveRate: options.falsePositiveRate,
      checkpointBytes: checkpointBytesOf(options),
      root: opened.root,
      sources,
      background,
      log,
      now: options.now,
      report: (report) => announce(options, report),
    })
    parts.checkpointer = checkpointer
    try {
      const directory = new Directory(options, path, opened, sources, { lock, log, background, checkpointer, archive })
      checkpointer.start()
      return directory
    } catch (error) {
      await log.close().catch(() => undefined)
      await sources.close()
      throw error
    }
  }

  /** The identity of the database: 32 hexadecimal digits, the same as long as the directory lives. */
  get databaseId(): string {
    return this.#root.value.databaseId
  }

  /** Which opening for writing this is; read-only, the last there was. */
  get epoch(): number {
    return this.#root.value.epoch
  }

  /** The catalogue, in the order of ids, with sizes as of `sequence`. */
  tables(): CatalogueEntry[] {
    return this.#catalogue.entries()
  }

  /**
   * The id of a table, which is logged if it is new or its schema has grown, before any commit that uses it. The caller has
   * seen to it that an old one has these codecs, or such as go with them. Throws `READ_ONLY` if it is new and the directory
   * was opened read-only.
   */
  define(name: string, key: string | null, value: string): number {
    const known = this.#catalogue.find(name)
    if (known !== undefined) {
      const { id } = known
      const joined = joinedCodecName(known.value, value)
      if (this.log === null || joined === undefined || joined === known.value) return id
      const longer = { id, name, key, value: joined }
      this.log.define(longer)
      this.#catalogue.define(longer)
      return id
    }
    if (this.log === null) {
      throw new VarveError('READ_ONLY', `there is no table '${name}' in ${this.#path}, and it is opened read-only`)
    }
    const definition = { id: this.#catalogue.nextId, name, key, value }
    this.log.define(definition)
    this.#catalogue.define(definition)
    return definition.id
  }

  /** Resolves when everything appended so far is on disk. Throws `POISONED`. */
  async flush(): Promise<void> {
    await this.log?.flush()
  }

  /** Makes everything appended so far part of a run, so that reopening replays nothing of it. */
  async checkpoint(): Promise<void> {
    await this.#ofWriting('a checkpoint').checkpointer.checkpoint()
  }

  /** A checkpoint, and then one run in place of all, without what was deleted or overwritten. */
  async compact(): Promise<void> {
    await this.#ofWriting('compaction').checkpointer.compact()
  }

  /**
   * Copies the database into a directory that is missing or empty, as of a moment after this call; writing goes on.
   *
   * @throws {VarveError} `INVALID_ARGUMENT` if the target is not empty; `CORRUPTION` if a run is damaged; `IO`; `CLOSED`.
   */
  async backup(target: string, onProgress?: ProgressListener): Promise<void> {
    await this.#walk(async (check) => {
      if (this.#writing !== null) await this.#writing.checkpointer.checkpoint()
      else if (this.sequence > this.#root.value.sequence) {
        throw new VarveError(
          'READ_ONLY',
          `the newest commits of ${this.#path} are in its log only, and a read-only opening cannot move them: ` +
            'make the backup from an opening for writing',
        )
      }
      const { manifest, version } = await this.#root.hold((value) => ({
        manifest: value,
        version: this.tier.acquire(FILES_ONLY),
      }))
      try {
        const { storage, random } = this.#options
        await writeBackup({ storage, source: this.#path, target: resolve(target), manifest, random, onProgress, check })
      } finally {
        this.tier.release(version)
      }
    })
  }

  /** Whether commits of the past can be read: `wal.retain`. */
  get retains(): boolean {
    return this.#writing !== null && this.#writing.archive !== null
  }

  /**
   * The commits behind `after` up to `through`, in order and in pieces, waiting until they are durable. Files are open only while
   * a piece is read, and closing waits for that.
   *
   * @throws {VarveError} `SNAPSHOT_TOO_OLD` if what is kept does not reach back so far; `CORRUPTION`, `IO`, `CLOSED`.
   */
  async *readPast(after: number, through: number): AsyncGenerator<readonly PastCommit[], void, undefined> {
    const { log } = this.#ofWriting('reading what the log has kept')
    if (log.synced < through) await log.flush()
    const { durableEnd } = log
    const { storage } = this.#options
    const files = (number: number): PastSegment | undefined => this.#pastFile(number)
    const chain = await this.#walk(async () => linkPast(storage, this.#databaseId, durableEnd.segment, files))
    let at = chain.findLastIndex(({ header }) => header.lastSequence <= after)
    let sequence = after
    if (at < 0) throw tooOld(after, chain[0]?.header.lastSequence ?? log.synced)
    for (; at < chain.length && sequence < through; at++) {
      const { number } = chain[at] as LinkedSegment
      const end = chain[at + 1]?.header.predecessorEnd ?? durableEnd.frame
      for (let from = 1; from < end && sequence < through;) {
        const piece = await this.#walk(async () =>
          readPastPiece(storage, this.#databaseId, number, files, from, end, sequence),
        )
        if (piece === null) throw tooOld(sequence, sequence)
        from = piece.next
        const commits = piece.commits.filter((commit) => commit.sequence <= through)
        const last = commits.at(-1)
        if (last === undefined) continue
        if (commits[0]?.sequence !== sequence + 1) throw tooOld(sequence, (commits[0] as PastCommit).sequence - 1)
        sequence = last.sequence
        yield commits
      }
    }
  }

  /**
   * The file that holds a segment of the past as of now. One that the manifest has just ceased to list bears its old name until
   * it is kept.
   */
  #pastFile(number: number): PastSegment | undefined {
    const { archive } = this.#ofWriting('reading what the log has kept')
    const kept = (archive as Archive).segments.find((segment) => segment.number === number)
    if (kept !== undefined || number < (archive as Archive).firstListed) return kept
    return { number, path: join(this.#path, segmentName(number)) }
  }

  /** Reads every byte of every file and checks it. Finds damage and lists it; throws only if that cannot be done. */
  async verify(onProgress?: ProgressListener): Promise<VerifyReport> {
    return this.#walk(async (check) =>
      verifyFiles({
        storage: this.#options.storage,
        path: this.#path,
        databaseId: this.#databaseId,
        root: this.#root,
        sources: this.#sources,
        log: this.log,
        checkpointer: this.#writing?.checkpointer ?? null,
        onProgress,
        check,
      }),
    )
  }

  /** Estimated bytes in memory: cached blocks, indexes of runs, the replayed tail of the log, what waits to be written to it. */
  get memoryBytes(): number {
    return this.#sources.memoryBytes + (this.log?.stats().queuedBytes ?? 0)
  }

  /** Figures; cheap. */
  stats(): DirectoryStats {
    const { runs, sequence } = this.#root.value
    const { cache } = this.#sources
    const { lookups, falsePositives } = this.#sources.lookups
    const total = { count: runs.length, bytes: 0, entries: 0, tombstones: 0 }
    for (const run of runs) {
      total.bytes += run.bytes
      total.entries += run.entries
      total.tombstones += run.tombstones
    }
    return {
      log: this.log?.stats() ?? null,
      runs: {
        ...total,
        lookups,
        falsePositives,
        measuredFalsePositiveRate: lookups === 0 ? 0 : falsePositives / lookups,
      },
      checkpoints: this.#writing?.checkpointer.checkpoints.stats() ?? NO_WORK,
      merges: this.#writing?.checkpointer.merges.stats() ?? NO_WORK,
      cache: { hits: cache.hits, misses: cache.misses, bytes: cache.bytes },
      coveredSequence: sequence,
    }
  }

  /**
   * Makes everything durable, gives everything back, the lock last. Settles always (I3); a second call gives the promise
   * of the first. Rejects, after all that, if something that was acknowledged may not be on disk and nobody was told before.
   *
   * @param timeMs ms since 1970, below which the time of the next session is not to begin; 0 if that does not matter
   */
  async close(timeMs = 0): Promise<void> {
    this.#closing ??= this.#close(timeMs)
    return this.#closing
  }

  async #close(timeMs: number): Promise<void> {
    const known = this.log?.poisoned ?? null
    await Promise.allSettled(this.#walks)
    const failures: unknown[] = []
    if (this.#writing !== null) failures.push(...(await this.#closeLog(this.#writing, known, timeMs)))
    await this.#sources.close()
    await this.#writing?.background.close().catch(() => undefined)
    try {
      await this.#writing?.lock.release()
    } catch (error) {
      failures.push(error)
    }
    if (failures.length > 0) throw failures[0]
  }

  /**
   * What went wrong, unless it was known before. There is no flush before the checkpoint: it could wait for ever for a segment
   * that cannot be made, while closing the log makes do with the segment that is there.
   */
  async #closeLog({ log, checkpointer }: Writing, known: VarveError | null, timeMs: number): Promise<unknown[]> {
    const failures: unknown[] = []
    const uncoveredBytes = log.sealedBytes + log.activeBytes
    const last = log.poisoned === null && uncoveredBytes > (this.#options.tailBytes ?? DEFAULT_TAIL_BYTES)
    await checkpointer.close(last)
    try {
      await log.close()
    } catch (error) {
      failures.push(error)
    }
    if (log.poisoned === null) await this.#noteEnd(log, timeMs)
    // Poisoned on the way here, by the last checkpoint for one: what `relaxed` had not synced may be lost, and nobody was told.
    else if (failures.length === 0) failures.push(log.poisoned)
    return known === null ? failures : []
  }

  /**
   * Has the manifest say what the time is, and where the log ends, so that the next opening misses what somebody has cut off or put back from an older
   * copy. Nothing is lost if that cannot be written: the log is whole without it.
   */
  async #noteEnd(log: LogWriter, timeMs: number): Promise<void> {
    const change = (value: Manifest): Manifest | null => {
      if (log.synced <= value.logged && timeMs <= value.timeMs) return null
      return { ...value, timeMs: Math.max(value.timeMs, timeMs) }
    }
    await this.#root.replace(change).catch(() => undefined)
  }

  #ofWriting(what: string): Writing {
    if (this.#closing !== null) throw databaseClosed()
    if (this.#writing !== null) return this.#writing
    throw new VarveError('READ_ONLY', `${what} writes to ${this.#path}, which is opened read-only`)
  }

  /** Runs a long walk that `close` ends and waits for. */
  async #walk<T>(work: (check: () => void) => Promise<T>): Promise<T> {
    const check = (): void => {
      if (this.#closing !== null) throw databaseClosed()
    }
    check()
    const walk = work(check)
    this.#walks.add(walk)
    try {
      return await walk
    } finally {
      this.#walks.delete(walk)
    }
  }
}

const NO_WORK = Object.freeze({ done: 0, failed: 0, bytes: 0, longestMs: 0, error: null })

function sourcesOf({ storage }: DirectoryOptions, path: string, opened: Opened): Sources {
  const { cache, root, readers, tail } = opened
  return new Sources(storage, path, cache, root.value, readers, tail)
}

function tooOld(after: number, oldest: number): VarveError {
  const what =
    oldest > after
      ? `commits ${after + 1} to ${oldest} are not kept any more: the oldest cursor to go on from is that of commit ${oldest}`
      : `the commits behind ${after} were removed while they were read`
  return new VarveError('SNAPSHOT_TOO_OLD', `${what}; start again from a snapshot, or have wal.retain keep more`)
}

function lostDirectory(cause: VarveError): VarveError {
  return new VarveError('POISONED', `${cause.message}; what was committed to the old directory is where that is now`, {
    cause,
  })
}

/** While nothing is open there is nothing to poison: it is the failure beneath that tells what to do. */
function beneath(error: unknown): unknown {
  let origin = error
  while (origin instanceof VarveError && origin.code === 'POISONED' && origin.cause !== undefined) origin = origin.cause
  return origin
}

/** Tells a listener; what it throws surfaces as an uncaught error and disturbs nothing here. */
function announce({ hooks }: DirectoryOptions, report: CheckpointReport): void {
  try {
    hooks.checkpointed(report)
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
