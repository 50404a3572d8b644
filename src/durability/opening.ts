/**
 * Opening a directory: what is read and judged, in which order, before anything is written.
 *
 * D1  Until everything was read and judged, nothing is written: a refused open leaves every byte as it was.
 * D2  The first write of a session is the manifest with the next epoch, unless it is a new database: then the manifest
 *     itself is the first file, before any segment. It also makes durable whatever names were found, so that from then on
 *     what it does not list may be removed.
 * D3  Temporary files belong to no manifest, neither the one found nor one that a power loss may bring back: they go
 *     before the first write, whose room they may be taking.
 * D4  Segments or runs without a manifest are never the work of a crash, and are refused.
 */
import { join } from 'node:path'
import { VarveError, invariant } from '../errors.ts'
import {
  BlockCache,
  type Manifest,
  MemoryRun,
  type RunReader,
  hashSeedOf,
  readManifest,
  runFileName,
} from '../runs/index.ts'
import { type DirectoryEntry, type Storage, isMissing } from '../storage/index.ts'
import { type LogConfig, type LogStart, type LogWriter, openLog, segmentName } from '../wal/index.ts'
import { Archive, removePast } from './archive.ts'
import { type Inventory, syncAncestors, takeInventory } from './files.ts'
import type { DirectoryOptions } from './options.ts'
import { Root } from './root.ts'
import { openRuns } from './sources.ts'

const DEFAULT_CACHE_BYTES = 32 * 1024 * 1024
const LEAST_CHECKPOINT_BYTES = 64 * 1024 * 1024
/** Log that may wait for a checkpoint before commits do, in checkpoints. */
const MOST_CHECKPOINTS_WAITING = 4
const MAX_QUEUE_BYTES = 32 * 1024 * 1024
const IDLE_MARKER_MS = 250

/** What was found, and is open. */
export interface Opened {
  readonly root: Root
  readonly readers: readonly RunReader[]
  /** What the log holds beyond the runs. */
  readonly tail: MemoryRun
  readonly cache: BlockCache
  readonly databaseId: Uint8Array
}

export interface OpenedForWriting extends Opened {
  readonly log: LogWriter
  /** What is kept of the past; null: nothing. */
  readonly archive: Archive | null
}

/** What the log calls while the parts that answer are still being put together. */
export interface Callbacks {
  /** See `LogHooks`. */
  readonly sealed: () => void
  readonly stalled: () => void
  /** Which of two manifests is on disk is not known. */
  readonly uncertain: (error: VarveError) => void
  readonly poisoned: (error: VarveError) => void
}

/** How much sealed log makes a checkpoint due. */
export function checkpointBytesOf({ checkpointBytes, wal }: DirectoryOptions): number {
  return checkpointBytes ?? Math.max(LEAST_CHECKPOINT_BYTES, wal.segmentBytes)
}

function logConfig(options: DirectoryOptions): LogConfig {
  const { segmentBytes, poolSize } = options.wal
  return {
    durability: options.durability,
    segmentBytes,
    poolSize,
    maxPoolSegments: Math.ceil((MOST_CHECKPOINTS_WAITING * checkpointBytesOf(options)) / segmentBytes) + poolSize + 1,
    maxQueueBytes: MAX_QUEUE_BYTES,
    flush: options.flush,
    idleMarkerMs: IDLE_MARKER_MS,
  }
}

/** Opens for writing; the caller holds the lock. Throws `CORRUPTION` or `IO`. */
export async function openForWriting(
  options: DirectoryOptions,
  path: string,
  callbacks: Callbacks,
): Promise<OpenedForWriting> {
  const { storage } = options
  const [names, manifest] = await Promise.allSettled([storage.list(path), readManifest(storage, path)])
  // What is wrong with the names says more than what came of reading one of them.
  const entries = settled(names)
  const inventory = takeInventory(path, entries)
  const found = settled(manifest)
  if (found === null) refuseOrphans(path, inventory)
  const root = new Root(storage, path, found ?? newManifest(options), callbacks.uncertain)
  const session = new Session(storage, path, root, inventory)
  const opening = openingOf(options, root)
  // Runs and log are opened side by side; but nothing is written before the runs have been found right (D1).
  const runs = openRuns(storage, path, root.value.runs, opening.cache)
  runs.catch(() => undefined)
  try {
    if (found === null) {
      await syncAncestors(storage, path)
      await session.reserve(root.value.segments.first, root.value.segments.last)
    }
    const { retain } = options.wal
    const archive =
      retain === undefined
        ? null
        : new Archive(storage, path, retain, root.value.segments.first, () => root.value.timeMs)
    await archive?.find(entries)
    const hooks = {
      reserve: async (first: number, last: number): Promise<void> => {
        await runs
        await session.reserve(first, last)
      },
      retire: async (segment: number): Promise<boolean> => archive !== null && archive.retire(segment),
      sealed: callbacks.sealed,
      stalled: callbacks.stalled,
      poisoned: callbacks.poisoned,
      now: options.now,
    }
    const start = logStart(root.value, opening.databaseId, session.epoch, false)
    const log = await openLog(storage, path, start, logConfig(options), hooks, opening.tail)
    invariant(
      log !== null && root.value.epoch === session.epoch,
      'a log that is written belongs to an epoch of its own',
    )
    root.durable = (): number => log.synced
    await (archive === null ? removePast(storage, path, entries) : archive.trim())
    return { ...opening, readers: await runs, log, archive }
  } catch (error) {
    for (const reader of await runs.catch(() => [])) await reader.close().catch(() => undefined)
    throw error
  }
}

/**
 * Opens for reading only: takes no lock, writes nothing. Throws `LOCKED` if somebody has the directory open for writing,
 * also if that began meanwhile; `INVALID_OPTIONS` if there is no database.
 */
export async function openForReading(options: DirectoryOptions, path: string): Promise<Opened> {
  const { storage } = options
  let entries: DirectoryEntry[]
  try {
    entries = await storage.list(path)
  } catch (cause) {
    if (!isMissing(cause)) throw cause
    entries = []
  }
  const inventory = takeInventory(path, entries)
  if (entries.length > 0) await storage.probeLock(path)
  const found = await readManifest(storage, path)
  if (found === null) {
    refuseOrphans(path, inventory)
    throw new VarveError(
      'INVALID_OPTIONS',
      `there is no database in ${path}: open it once without readOnly to make one, or check the path`,
    )
  }
  const root = new Root(storage, path, found, () => undefined)
  let opened: Opened | undefined
  try {
    const opening = openingOf(options, root)
    opened = { ...opening, readers: await openRuns(storage, path, found.runs, opening.cache) }
    const hooks = {
      reserve: async (): Promise<void> => invariant(false, 'a log that is only read reserves nothing'),
      sealed: (): void => undefined,
      poisoned: (): void => undefined,
      now: options.now,
    }
    const start = logStart(found, opened.databaseId, found.epoch + 1, true)
    await openLog(storage, path, start, logConfig(options), hooks, opened.tail)
    await refuseIfWritten(storage, path, found)
    return opened
  } catch (error) {
    for (const reader of opened?.readers ?? []) await reader.close().catch(() => undefined)
    // What looks like damage may be the work of somebody who began to write meanwhile.
    await refuseIfWritten(storage, path, found)
    throw error
  }
}

async function refuseIfWritten(storage: Storage, path: string, found: Manifest): Promise<void> {
  await storage.probeLock(path)
  const now = await readManifest(storage, path)
  if (now?.databaseId === found.databaseId && now.epoch === found.epoch && now.sequence === found.sequence) return
  throw new VarveError('LOCKED', `${path} was written to while it was being opened for reading: try again`)
}

function settled<T>(result: PromiseSettledResult<T>): T {
  if (result.status === 'rejected') throw result.reason
  return result.value
}

/** What there is before any file has been opened. */
function openingOf(options: DirectoryOptions, root: Root): Omit<Opened, 'readers'> {
  const databaseId = Uint8Array.from(Buffer.from(root.value.databaseId, 'hex'))
  const cache = new BlockCache(options.cacheBytes ?? DEFAULT_CACHE_BYTES)
  return { root, cache, databaseId, tail: new MemoryRun(hashSeedOf(databaseId), root.value.sequence) }
}

function logStart(manifest: Manifest, databaseId: Uint8Array, epoch: number, readOnly: boolean): LogStart {
  const { segments, sequence, logged } = manifest
  return { databaseId, epoch, firstSegment: segments.first, lastSegment: segments.last, sequence, logged, readOnly }
}

function newManifest({ random, falsePositiveRate }: DirectoryOptions): Manifest {
  const databaseId = new Uint8Array(16)
  random(databaseId)
  return {
    databaseId: Buffer.from(databaseId).toString('hex'),
    epoch: 0,
    sequence: 0,
    logged: 0,
    timeMs: 0,
    segments: { first: 1, last: 0 },
    nextRun: 1,
    runs: [],
    tables: [],
    falsePositiveRate,
  }
}

/** D4. */
function refuseOrphans(path: string, { segments, runs }: Inventory): void {
  const [segment] = segments
  const [run] = runs
  if (segment === undefined && run === undefined) return
  const name = segment === undefined ? runFileName(run as number) : segmentName(segment)
  throw new VarveError(
    'CORRUPTION',
    `${join(path, 'manifest')} is missing, but ${name} is there: either the manifest was removed, which must then be ` +
      'restored, or this is a backup that has not finished, which may be deleted',
  )
}

/** One opening for writing: its epoch, and what it clears away. */
class Session {
  readonly epoch: number
  readonly #storage: Storage
  readonly #path: string
  readonly #root: Root
  readonly #inventory: Inventory
  #begun = false

  constructor(storage: Storage, path: string, root: Root, inventory: Inventory) {
    this.#storage = storage
    this.#path = path
    this.#root = root
    this.#inventory = inventory
    this.epoch = root.value.epoch + 1
  }

  /** Has the manifest list the segments from `first` to `last`, under the epoch of this session (D2, D3). */
  async reserve(first: number, last: number): Promise<void> {
    const begins = !this.#begun
    this.#begun = true
    if (begins) await this.#remove(this.#inventory.temporary)
    await this.#root.replace((manifest) => {
      const { epoch, segments } = manifest
      // A checkpoint may have moved on meanwhile; what it gave up is never listed again.
      const from = Math.max(first, segments.first)
      if (epoch === this.epoch && segments.first === from && segments.last === last) return null
      return { ...manifest, epoch: this.epoch, segments: { first: from, last } }
    })
    if (!begins) return
    const listed = new Set(this.#root.value.runs.map(({ number }) => number))
    const orphans = this.#inventory.runs.filter((number) => !listed.has(number))
    await this.#remove(orphans.map((number) => runFileName(number)))
  }

  /** A leftover that cannot be removed takes room, no more: the next open tries again. */
  async #remove(names: readonly string[]): Promise<void> {
    if (names.length === 0) return
    try {
      for (const name of names) await this.#storage.remove(join(this.#path, name))
      await this.#storage.syncDirectory(this.#path)
    } catch {
      // As above.
    }
  }
}
