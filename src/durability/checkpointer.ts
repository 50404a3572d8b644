/**
 * When sealed log becomes a run, and when runs become one.
 *
 * The work itself is done elsewhere (a worker thread, as a rule): here is decided that it is due, and what is done with
 * its result. Checkpoints run one at a time, so do merges; one of each may be under way together, because a checkpoint
 * only adds a newest run and a merge only replaces neighbours, and each change of the manifest starts from the newest.
 *
 * K1  A checkpoint takes all segments that are sealed when it starts; only what is sealed after that makes the next one due:
 *     so much of it, or, while commits wait for a segment, any at all, for nothing more will be sealed until some are given back.
 *     `sequence` and the first segment of the manifest move in one replacement, after the run was synced, renamed and its
 *     directory synced.
 * K2  Segments are given back, and runs removed, only after the manifest that does not list them is durable.
 * K3  A failure changes nothing: no run is listed, no segment given back, what was written of the run is removed. It is
 *     tried again after 1 s, 2 s, 4 s and so on up to a minute, or as soon as somebody asks. The replacement of the manifest
 *     can poison (R3 of root.ts).
 *     Only log that cannot be read back, found so twice in a row, poisons as well: a reopening could not read it either, so
 *     nothing more may be acknowledged into it.
 * K4  After `close` has begun nothing new starts; whoever waits for something that did not come to run is told `CLOSED`.
 */
import { join } from 'node:path'
import { VarveError, databaseClosed } from '../errors.ts'
import {
  type Background,
  type Manifest,
  type RunReader,
  type RunSummary,
  planMerge,
  runFileName,
} from '../runs/index.ts'
import { type OwnDirectory, ioError } from '../storage/index.ts'
import type { LogWriter, SealedSegment } from '../wal/index.ts'
import { mergedTables } from './catalogue.ts'
import { Lane } from './lane.ts'
import type { BackgroundStats, CheckpointReport } from './options.ts'
import type { Root } from './root.ts'
import type { Sources } from './sources.ts'

const FIRST_RETRY_MS = 1000
const LAST_RETRY_MS = 60_000
/** How often a rotation that does not come about is looked after. */
const STUCK_INTERVAL_MS = 20
const STUCK_MS = 2000
/** After so long a checkpoint that holds up `close` is cancelled: the log has it all. */
const CLOSE_PATIENCE_MS = 60_000
/** Sessions that log a little each leave a segment each; more than this are made into a run at open. */
const MANY_SEGMENTS = 4

export interface CheckpointerParts {
  readonly storage: OwnDirectory
  /** Token of the lock. */
  readonly lock: string
  readonly directory: string
  readonly databaseId: Uint8Array
  readonly falsePositiveRate: number
  /** Sealed log that makes a checkpoint due. */
  readonly checkpointBytes: number
  readonly root: Root
  readonly sources: Sources
  readonly background: Background
  readonly log: LogWriter
  readonly now: () => number
  readonly report: (report: CheckpointReport) => void
}

export class Checkpointer {
  readonly #parts: CheckpointerParts
  readonly #checkpoints: Lane = new Lane()
  readonly #merges: Lane = new Lane()
  readonly checkpoints: Tally = new Tally()
  readonly merges: Tally = new Tally()
  /** A checkpoint that nobody asked for waits in the queue. */
  #queued = false
  /** The newest segment that the checkpoint under way takes; 0 if there is none. */
  #covering = 0
  #closing = false

  constructor(parts: CheckpointerParts) {
    this.#parts = parts
  }

  /** To be called once the database is open: what earlier sessions left undone. */
  start(): void {
    const { log } = this.#parts
    if (log.sealedSegments.length > MANY_SEGMENTS) this.#startCheckpoint()
    this.startIfDue()
    this.#startMerge()
  }

  /** To be called when a segment has been sealed, and when commits begin to wait for one (K1). */
  startIfDue(): void {
    const { log, checkpointBytes } = this.#parts
    const left = this.#uncovered().filter(({ number }) => number > this.#covering)
    const isDue = left.reduce((sum, { bytes }) => sum + bytes, 0) >= checkpointBytes
    if (isDue || (log.crowded && left.length > 0)) this.#startCheckpoint()
  }

  /** Makes everything that has been appended part of a run. Throws why it could not: nothing is lost then. */
  async checkpoint(): Promise<void> {
    this.#refuseIfClosing()
    // Where commits wait for segments, what is sealed must give back some first.
    if (this.#parts.log.crowded) await this.#coverNow()
    await this.#rotate()
    await this.#coverNow()
    this.#startMerge()
  }

  /** A checkpoint, and then one run without tombstones; what is not needed any more is gone, unless somebody reads it. */
  async compact(): Promise<void> {
    await this.checkpoint()
    await this.#enqueue(this.#merges, async () => {
      const inputs = this.#parts.root.value.runs
      const [only] = inputs
      if (inputs.length > 1 || (only !== undefined && only.tombstones > 0)) await this.#merge(inputs)
    })
    // Whoever measures the directory afterwards finds what is needed, and no more.
    await this.#parts.log.trim()
    await this.#parts.sources.settled()
  }

  /** Runs `work` while no checkpoint is under way, so that no segment is given back. */
  async withoutCheckpoints<T>(work: () => Promise<T>): Promise<T> {
    return this.#enqueue(this.#checkpoints, work)
  }

  /** Stops merges, lets a checkpoint finish, and makes a last one if `last`. Settles always and never rejects. */
  async close(last: boolean): Promise<void> {
    this.#closing = true
    this.checkpoints.stop()
    this.merges.stop()
    const { background } = this.#parts
    background.cancel('merge')
    const impatience = setTimeout(() => background.cancel(), CLOSE_PATIENCE_MS)
    try {
      await this.#merges.onIdle()
      await this.#checkpoints.onIdle()
      if (!last) return
      // What fails has been reported, or is only that there is no segment to go on in; the log has it all.
      if (this.#parts.log.crowded) await this.#coverSealed().catch(() => undefined)
      await this.#rotate().catch(() => undefined)
      await this.#coverSealed().catch(() => undefined)
    } finally {
      clearTimeout(impatience)
    }
  }

  /**
   * Seals what was appended. The log waits for a segment to go on in as long as it takes; here that ends when one could
   * not be made, or nothing moves, because whoever asked wants to know.
   */
  async #rotate(): Promise<void> {
    const { log } = this.#parts
    const { creationFailures } = log.stats()
    let timer: NodeJS.Timeout | undefined
    const stuck = new Promise<never>((_resolve, reject) => {
      let { settled } = log
      let idleMs = 0
      timer = setInterval(() => {
        const { creationFailures: failures, creationError } = log.stats()
        idleMs = log.crowded && log.settled === settled ? idleMs + STUCK_INTERVAL_MS : 0
        settled = log.settled
        if (failures > creationFailures) reject(ioError('make', 'a segment of the log', creationError))
        else if (idleMs > STUCK_MS) reject(new VarveError('IO', 'the log has no segment to go on in'))
      }, STUCK_INTERVAL_MS)
    })
    try {
      await Promise.race([log.rotate(), stuck])
    } finally {
      clearInterval(timer)
    }
  }

  /** Whether nothing is to be started any more. */
  get #idles(): boolean {
    return this.#closing || this.#parts.log.poisoned !== null
  }

  #refuseIfClosing(): void {
    if (this.#closing) throw databaseClosed()
  }

  /** Queues `work`; K4. */
  async #enqueue<T>(lane: Lane, work: () => Promise<T>): Promise<T> {
    this.#refuseIfClosing()
    return lane.add(async () => {
      this.#refuseIfClosing()
      return work()
    })
  }

  /** Has a checkpoint made in the background, unless one waits already or an earlier failure asks for patience. */
  #startCheckpoint(): void {
    if (this.#idles || this.#queued || this.checkpoints.waiting) return
    this.#queued = true
    void this.#enqueue(this.#checkpoints, async () => {
      this.#queued = false
      await this.#coverSealed()
    }).then(
      () => this.#startMerge(),
      () => this.checkpoints.retry(() => this.#startCheckpoint()),
    )
  }

  #startMerge(): void {
    if (this.#idles || !this.#merges.isIdle || this.merges.waiting) return
    if (planMerge(this.#parts.root.value.runs) === null) return
    void this.#enqueue(this.#merges, async () => {
      // What the queue waited for may have changed what is due.
      const plan = planMerge(this.#parts.root.value.runs)
      if (plan !== null) await this.#merge(plan.inputs)
    }).then(
      () => this.#startMerge(),
      () => this.merges.retry(() => this.#startMerge()),
    )
  }

  /** Sealed segments that could not be given back are sealed still, and may be gone: the manifest says what has been covered. */
  #uncovered(): SealedSegment[] {
    const { log, root } = this.#parts
    const { first } = root.value.segments
    return log.sealedSegments.filter(({ number }) => number >= first)
  }

  /** For who asked. If it fails, what it was to take may be due all the same, and no other was made due beside it. */
  async #coverNow(): Promise<void> {
    try {
      await this.#enqueue(this.#checkpoints, async () => this.#coverSealed())
    } catch (error) {
      this.checkpoints.retry(() => this.startIfDue())
      throw error
    }
  }

  /** One checkpoint of all that is sealed (K1). */
  async #coverSealed(): Promise<void> {
    const segments = this.#uncovered()
    const newest = segments.at(-1)
    if (newest === undefined) return
    this.#covering = newest.number
    try {
      await this.#cover(segments, newest)
    } finally {
      this.#covering = 0
    }
    // What came due while an earlier failure was being waited out was left to that attempt, which this success has called off.
    this.startIfDue()
  }

  async #cover(segments: readonly SealedSegment[], newest: SealedSegment): Promise<void> {
    const { log, lock, root, sources, background, databaseId, falsePositiveRate } = this.#parts
    await this.#measured('checkpoint', this.checkpoints, async (run) => {
      const result = await background.checkpoint({
        databaseId,
        lock,
        segments,
        run,
        afterSequence: root.value.sequence,
        falsePositiveRate,
        dropTombstones: root.value.runs.length === 0,
      })
      const opened = result.run === null ? [] : [await sources.open(result.run)]
      await this.#replace(opened, (manifest) => ({
        ...manifest,
        sequence: Math.max(manifest.sequence, result.lastSequence),
        timeMs: Math.max(manifest.timeMs, result.timeMs),
        segments: { first: newest.number + 1, last: manifest.segments.last },
        runs: result.run === null ? manifest.runs : [result.run, ...manifest.runs],
        tables: mergedTables(this.#parts.directory, manifest.tables, result.tables),
      }))
      return result.run
    })
    // The manifest that does not list them is durable. What cannot be recycled takes room until the next open, no more.
    await log.release(newest.number).catch(() => undefined)
  }

  /** Replaces neighbouring runs by one (K2). */
  async #merge(inputs: readonly RunSummary[]): Promise<void> {
    const { lock, root, background, sources, databaseId, falsePositiveRate } = this.#parts
    await this.#measured('merge', this.merges, async (run) => {
      const dropTombstones = inputs.at(-1)?.number === root.value.runs.at(-1)?.number
      const result = await background.merge({ databaseId, lock, inputs, run, dropTombstones, falsePositiveRate })
      const opened = result === null ? [] : [await sources.open(result)]
      await this.#replace(opened, (manifest) => ({ ...manifest, runs: withMerged(manifest.runs, inputs, result) }))
      return result
    })
  }

  /** Replaces the manifest and publishes its runs; `opened` are closed again if that fails. */
  async #replace(opened: readonly RunReader[], change: (value: Manifest) => Manifest): Promise<void> {
    const { root, sources } = this.#parts
    try {
      await root.replace(change, (manifest) => sources.publish(manifest))
    } catch (error) {
      for (const reader of opened) await sources.discard(reader).catch(() => undefined)
      throw error
    }
  }

  /** Runs one piece of work under a new run number, counts and reports it, and clears away after a failure (K3). */
  async #measured(
    kind: CheckpointReport['kind'],
    tally: Tally,
    work: (run: number) => Promise<RunSummary | null>,
  ): Promise<void> {
    const { root, now, report } = this.#parts
    const startMs = now()
    const run = root.takeRunNumber()
    let bytes = 0
    let error: VarveError | null = null
    try {
      await this.#parts.storage.check()
      const result = await work(run)
      bytes = result?.bytes ?? 0
      tally.succeeded(bytes, now() - startMs)
    } catch (cause) {
      error = ioError(`write ${kind} run`, runFileName(run), cause)
      if (error.code !== 'POISONED') await this.#removeRun(run)
      if (error.code !== 'ABORTED') tally.hasFailed(error)
      if (kind === 'checkpoint' && error.code === 'CORRUPTION' && tally.failuresInARow > 1) this.#giveUp(error)
      throw error
    } finally {
      report({ kind, sequence: root.value.sequence, error, bytes, durationMs: now() - startMs })
    }
  }

  /** See K3. */
  #giveUp(cause: VarveError): void {
    const message = `the log can no longer be read back, so that nothing more may be added to it: ${cause.message}`
    this.#parts.log.poison(new VarveError('POISONED', message, { cause }))
  }

  /** Removes what a failed job left of a run: on a full disk its bytes are what the next attempt needs. */
  async #removeRun(run: number): Promise<void> {
    const { storage, directory } = this.#parts
    const name = runFileName(run)
    try {
      for (const entry of await storage.list(directory)) {
        if (entry.kind === 'file' && (entry.name === name || entry.name.startsWith(`${name}.tmp-`))) {
          await storage.remove(join(directory, entry.name))
        }
      }
      await storage.syncDirectory(directory)
    } catch {
      // The next open removes it.
    }
  }
}

/** `runs` with `inputs`, which are neighbours in it, replaced by `output`. */
function withMerged(
  runs: readonly RunSummary[],
  inputs: readonly RunSummary[],
  output: RunSummary | null,
): RunSummary[] {
  const at = runs.findIndex(({ number }) => number === inputs[0]?.number)
  const found = runs.slice(at, at + inputs.length)
  if (at < 0 || found.length !== inputs.length || found.some(({ id }, index) => id !== inputs[index]?.id)) {
    throw new Error('varve invariant violated: the inputs of a merge are not neighbours in the manifest any more')
  }
  return [...runs.slice(0, at), ...(output === null ? [] : [output]), ...runs.slice(at + inputs.length)]
}

/** Counts one kind of work, and spaces attempts after failures (K3). */
class Tally {
  #done = 0
  #failed = 0
  #bytes = 0
  #longestMs = 0
  #error: VarveError | null = null
  failuresInARow = 0
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  /** Whether a failed attempt is waiting to be made again. */
  get waiting(): boolean {
    return this.#timer !== undefined
  }

  succeeded(bytes: number, durationMs: number): void {
    this.#done++
    this.#bytes += bytes
    this.#longestMs = Math.max(this.#longestMs, durationMs)
    this.#error = null
    this.failuresInARow = 0
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  hasFailed(error: VarveError): void {
    this.#failed++
    this.#error = error
    this.failuresInARow++
  }

  retry(attempt: () => void): void {
    if (this.#stopped || this.#timer !== undefined) return
    const delayMs = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.max(0, this.failuresInARow - 1))
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      attempt()
    }, delayMs).unref()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  stats(): BackgroundStats {
    return {
      done: this.#done,
      failed: this.#failed,
      bytes: this.#bytes,
      longestMs: this.#longestMs,
      error: this.#error,
    }
  }
}
