/**
 * Several neighbouring runs become one: of every key the newest entry.
 *
 * Tombstones stay, because they may hide entries of older runs, unless the oldest of all runs is among the inputs and the
 * caller says so. What has expired stays too, until something newer hides it: tables are counted by what is deleted.
 *
 * Memory: two pieces of 1 MiB for each input, and what the writer needs. The inputs are not changed. The run is durable when
 * this returns, and no part of the database before the manifest lists it.
 */
import { ownStorage } from '../storage/own-directory.ts'
import type { Storage } from '../storage/storage.ts'
import { BlockCache } from './cache.ts'
import { type JobControl, Pacer } from './control.ts'
import type { RunSummary } from './format.ts'
import { MergeOrder } from './merge-order.ts'
import { RunReader } from './reader.ts'
import type { RunScan } from './scan.ts'
import { hashSeedOf } from './stored-key.ts'
import { RunWriter } from './writer.ts'

/** What is to become one run. */
export interface MergeJob {
  readonly databaseId: Uint8Array
  /** Token of the lock under which the run is written; without one nobody can take the directory away. */
  readonly lock?: string
  /** Neighbours in the manifest, newest first. */
  readonly inputs: readonly RunSummary[]
  /** The number of the new run. */
  readonly run: number
  /** The oldest of all runs is among the inputs. */
  readonly dropTombstones: boolean
  readonly falsePositiveRate: number
}

/** Merges read past the cache; only an index or a page may come through it. */
const CACHE_BYTES = 1 << 16

/**
 * Makes one run of several; null if no entry is left.
 *
 * @throws VarveError `ABORTED` if it was cancelled, `CORRUPTION` if an input is damaged, `IO` if the file system fails:
 * there is no run then.
 */
export async function mergeRuns(
  storage: Storage,
  directory: string,
  job: MergeJob,
  control: JobControl,
): Promise<RunSummary | null> {
  const pacer = new Pacer(control)
  await pacer.now()
  const cache = new BlockCache(CACHE_BYTES)
  const readers: RunReader[] = []
  let writer: RunWriter | null = null
  try {
    for (const summary of job.inputs) readers.push(await RunReader.open(storage, directory, summary, cache))
    const options = {
      hashSeed: hashSeedOf(job.databaseId),
      falsePositiveRate: job.falsePositiveRate,
      expectedBytes: job.inputs.reduce((sum, { bytes }) => sum + bytes, 0),
    }
    writer = await RunWriter.create(ownStorage(storage, directory, job.lock), directory, job.run, options)
    await copy(readers, writer, job.dropTombstones, pacer)
    if (writer.entries > 0) return await writer.finish(() => pacer.now())
    await writer.abort()
    return null
  } catch (error) {
    await writer?.abort()
    throw error
  } finally {
    for (const reader of readers) await reader.close().catch(() => {})
  }
}

async function copy(
  readers: readonly RunReader[],
  writer: RunWriter,
  dropTombstones: boolean,
  pacer: Pacer,
): Promise<void> {
  const order = new MergeOrder<RunScan>(false)
  for (let age = 0; age < readers.length; age++) {
    const scan = (readers[age] as RunReader).scan()
    if ((await scan.load()) && scan.next()) order.add(scan, age)
    await pacer.now()
  }
  while (order.cursors.length > 0) {
    const head = order.cursors[0] as RunScan
    if (!head.tombstone || !dropTombstones) {
      const value = head.tombstone ? null : head.value
      const written = writer.add(head.key, head.sequence, head.size, value, head.keyLength, head.expiresAt)
      if (written !== undefined) await written
    }
    while (order.isTied) {
      const moved = advance(order, 1)
      if (moved !== undefined) await moved
    }
    const moved = advance(order, 0)
    if (moved !== undefined) await moved
    const pause = pacer.tick()
    if (pause !== undefined) await pause
  }
}

/** Moves the scan at `place` to its next entry; a promise if that must be read first. */
function advance(order: MergeOrder<RunScan>, place: number): void | Promise<void> {
  const scan = order.cursors[place] as RunScan
  if (!scan.next()) return advanceByLoading(order, place, scan)
  order.moved(place)
}

async function advanceByLoading(order: MergeOrder<RunScan>, place: number, scan: RunScan): Promise<void> {
  if ((await scan.load()) && scan.next()) order.moved(place)
  else order.drop(place)
}
