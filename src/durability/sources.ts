/**
 * The open runs behind the cold tier: which reader belongs to which run of the manifest, and until when the replayed tail
 * of the log is needed.
 */
import { join } from 'node:path'
import { invariant } from '../errors.ts'
import { type BlockCache, ColdTier, type Manifest, type MemoryRun, RunReader, type RunSummary } from '../runs/index.ts'
import { runFileName } from '../runs/index.ts'
import type { Storage } from '../storage/index.ts'

export class Sources {
  readonly tier: ColdTier
  readonly cache: BlockCache
  readonly #storage: Storage
  readonly #directory: string
  readonly #readers: Map<number, RunReader> = new Map()
  /** The tail, until runs cover it. */
  #tail: MemoryRun | null
  /** Numbers of runs that were published, are listed no more, and still have their file. */
  readonly #dead: Set<number> = new Set()
  /** What was asked of runs that are gone. */
  #pastLookups = 0
  #pastFalsePositives = 0
  /** Removals under way. */
  readonly #removals: Set<Promise<void>> = new Set()

  constructor(
    storage: Storage,
    directory: string,
    cache: BlockCache,
    manifest: Manifest,
    readers: readonly RunReader[],
    tail: MemoryRun,
  ) {
    this.#storage = storage
    this.#directory = directory
    this.cache = cache
    for (const reader of readers) this.#readers.set(reader.summary.number, reader)
    this.#tail = tail.lastSequence > manifest.sequence ? tail : null
    this.tier = new ColdTier(this.#tail, readers, this.#coveredBy(manifest), (run) => this.#remove(run.summary.number))
  }

  /** Opens a run that the manifest does not list yet. It is read from once a manifest that lists it is published. */
  async open(summary: RunSummary): Promise<RunReader> {
    const reader = await RunReader.open(this.#storage, this.#directory, summary, this.cache)
    this.#readers.set(summary.number, reader)
    return reader
  }

  /** Gives up a run that was opened and never listed. */
  async discard(reader: RunReader): Promise<void> {
    this.#readers.delete(reader.summary.number)
    await reader.close()
  }

  /** What is read from now on, newest first: the tail while it has anything that runs do not, and the runs listed. */
  publish(manifest: Manifest): void {
    if (this.#tail !== null && this.#tail.lastSequence <= manifest.sequence) this.#tail = null
    const listed = new Set(manifest.runs.map(({ number }) => number))
    for (const run of this.tier.current.runs) if (!listed.has(run.summary.number)) this.#dead.add(run.summary.number)
    this.tier.publish(this.readersOf(manifest), this.#tail, this.#coveredBy(manifest))
  }

  #coveredBy(manifest: Manifest): number {
    return Math.max(manifest.sequence, this.#tail?.lastSequence ?? 0)
  }

  /** Bytes in memory on behalf of what is on disk: the block cache, indexes of runs, the replayed tail of the log. */
  get memoryBytes(): number {
    let bytes = this.cache.bytes + this.cache.overheadBytes + (this.#tail?.bytes ?? 0)
    for (const reader of this.#readers.values()) bytes += reader.memoryBytes
    return bytes
  }

  /** How often runs were asked for a key, and how often their maplets named a block that does not have it. */
  get lookups(): { readonly lookups: number; readonly falsePositives: number } {
    let lookups = this.#pastLookups
    let falsePositives = this.#pastFalsePositives
    for (const reader of this.#readers.values()) {
      lookups += reader.lookups
      falsePositives += reader.falsePositives
    }
    return { lookups, falsePositives }
  }

  /** The readers of the runs that a manifest lists, newest first. */
  readersOf(manifest: Manifest): RunReader[] {
    return manifest.runs.map(({ number }) => {
      const reader = this.#readers.get(number)
      invariant(reader !== undefined, `run ${number} is listed but not open`)
      return reader
    })
  }

  /** Closes every run, and removes those that no manifest lists, whoever was still reading them. */
  async close(): Promise<void> {
    await this.tier.close()
    for (const number of this.#dead) this.#remove(number)
    await Promise.all(this.#removals)
  }

  /** Settles when the files of runs that are listed no more, and that nobody reads, are gone, or could not be removed. */
  async settled(): Promise<void> {
    await this.tier.settled()
    await Promise.all(this.#removals)
  }

  /**
   * Removes the file of a run that no manifest lists and nobody reads any more. A failure costs only room, until the next
   * open.
   */
  #remove(number: number): void {
    const reader = this.#readers.get(number)
    if (reader !== undefined) {
      this.#pastLookups += reader.lookups
      this.#pastFalsePositives += reader.falsePositives
    }
    this.#readers.delete(number)
    this.#dead.delete(number)
    const removal = this.#storage
      .remove(join(this.#directory, runFileName(number)))
      .then(async () => this.#storage.syncDirectory(this.#directory))
      .catch(() => undefined)
      .finally(() => this.#removals.delete(removal))
    this.#removals.add(removal)
  }
}

/** Opens the runs of a manifest, newest first; all at once, for each is a few calls that wait. Throws `CORRUPTION` or `IO`. */
export async function openRuns(
  storage: Storage,
  directory: string,
  runs: readonly RunSummary[],
  cache: BlockCache,
): Promise<RunReader[]> {
  const opened = await Promise.allSettled(runs.map(async (run) => RunReader.open(storage, directory, run, cache)))
  const readers = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const failed = opened.find((result) => result.status === 'rejected')
  if (failed === undefined) return readers
  for (const reader of readers) await reader.close().catch(() => undefined)
  throw failed.reason
}
