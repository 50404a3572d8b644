/**
 * Sealed segments of the log become one run: the newest write of every key in them, in order.
 *
 * Memory: a {@link MemoryRun} of the segments, whose keys and values take no more than the segments do, plus some 60 bytes
 * for each key in it; then what the writer needs. So it is bounded by the log that is covered, not by the database.
 *
 * The run is durable when this returns. It is no part of the database before the manifest lists it, and nothing that is
 * part of it is changed; so it may fail, or be cancelled, at any point.
 */
import { ownStorage } from '../storage/own-directory.ts'
import type { Storage } from '../storage/storage.ts'
import { type SealedSegment, type TableDefinition, readSegments } from '../wal/index.ts'
import { type JobControl, Pacer } from './control.ts'
import type { RunSummary } from './format.ts'
import { MemoryRun } from './memory-run.ts'
import { hashSeedOf } from './stored-key.ts'
import { RunWriter } from './writer.ts'

/** What is to become a run. */
export interface CheckpointJob {
  readonly databaseId: Uint8Array
  /** Token of the lock under which the run is written; without one nobody can take the directory away. */
  readonly lock?: string
  /** In the order of the log. */
  readonly segments: readonly SealedSegment[]
  /** The number of the run. */
  readonly run: number
  /** Commits up to this one are in runs already. */
  readonly afterSequence: number
  readonly falsePositiveRate: number
  /** There is no older run, so nothing for a tombstone to hide. */
  readonly dropTombstones: boolean
}

/** What a stretch of log does to the catalogue. */
export interface TableChanges {
  readonly definitions: readonly TableDefinition[]
  /** By how much tables changed their size. */
  readonly deltas: readonly { readonly id: number; readonly entries: number; readonly bytes: number }[]
}

/** What a checkpoint made. */
export interface CheckpointResult {
  /** Null if nothing is left of the segments: no commits, or only tombstones that were dropped. */
  readonly run: RunSummary | null
  readonly tables: TableChanges
  /** The last commit in the segments, and its time; `afterSequence` and 0 if there was none. */
  readonly lastSequence: number
  readonly timeMs: number
}

/** How much log an entry takes, for a first guess of how many there are. */
const GUESSED_ENTRY_BYTES = 128
const MAX_GUESS = 1 << 20

/** Work that reading a piece of log between two reports is, in portions. */
const PIECE_PORTIONS = 16

/**
 * Makes a run of sealed segments.
 *
 * @throws VarveError `ABORTED` if it was cancelled, `CORRUPTION` if the log is damaged, `IO` if the file system fails: there
 * is no run then.
 */
export async function checkpoint(
  storage: Storage,
  directory: string,
  job: CheckpointJob,
  control: JobControl,
): Promise<CheckpointResult> {
  const pacer = new Pacer(control)
  const logBytes = job.segments.reduce((sum, segment) => sum + segment.bytes, 0)
  const expected = Math.min(MAX_GUESS, Math.ceil(logBytes / GUESSED_ENTRY_BYTES))
  const collected = new MemoryRun(hashSeedOf(job.databaseId), job.afterSequence, expected)
  await pacer.now()
  await readSegments(storage, directory, job.databaseId, job.segments, collected, () => pacer.now(PIECE_PORTIONS))
  await collected.sortInSteps(() => pacer.now())
  return {
    run: await write(storage, directory, job, collected, pacer),
    tables: {
      definitions: collected.definitions,
      deltas: [...collected.deltas].map(([id, { entries, bytes }]) => ({ id, entries, bytes })),
    },
    lastSequence: Math.max(job.afterSequence, collected.lastSequence),
    timeMs: collected.timeMs,
  }
}

async function write(
  storage: Storage,
  directory: string,
  job: CheckpointJob,
  collected: MemoryRun,
  pacer: Pacer,
): Promise<RunSummary | null> {
  const { dropTombstones, falsePositiveRate, databaseId } = job
  if (collected.entries === (dropTombstones ? collected.tombstones : 0)) return null
  const expectedBytes = collected.arena.bytes
  const options = { hashSeed: hashSeedOf(databaseId), falsePositiveRate, expectedBytes }
  const writer = await RunWriter.create(ownStorage(storage, directory, job.lock), directory, job.run, options)
  try {
    const cursor = collected.cursor()
    for (let isThere = cursor.first(); isThere; isThere = cursor.next()) {
      if (cursor.tombstone && dropTombstones) continue
      const { key, keyLength, sequence, size, expiresAt } = cursor
      const written = writer.add(key, sequence, size, cursor.tombstone ? null : cursor.value, keyLength, expiresAt)
      if (written !== undefined) await written
      const pause = pacer.tick()
      if (pause !== undefined) await pause
    }
    return await writer.finish(() => pacer.now())
  } catch (error) {
    await writer.abort()
    throw error
  }
}
