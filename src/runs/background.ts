/**
 * Where checkpoints and merges run: on the thread that asks, a little at a time, or on a worker thread.
 *
 * Both do the same work with the same functions, and write the same runs but for the random ids in them. One job of each
 * kind may be under way at a time; a cancelled one leaves no file.
 */
import { databaseClosed } from '../errors.ts'
import type { Storage } from '../storage/storage.ts'
import { type CheckpointJob, type CheckpointResult, checkpoint } from './checkpoint.ts'
import type { JobControl } from './control.ts'
import type { RunSummary } from './format.ts'
import { type MergeJob, mergeRuns } from './merge.ts'

export type JobKind = 'checkpoint' | 'merge'

export interface Background {
  /** Makes a run of sealed segments; see `checkpoint`. */
  checkpoint(job: CheckpointJob): Promise<CheckpointResult>
  /** Makes one run of several; see `mergeRuns`. */
  merge(job: MergeJob): Promise<RunSummary | null>
  /** Jobs that are under way, all or those of one kind, reject with `ABORTED`, soon. Later ones run. */
  cancel(kind?: JobKind): void
  /** Cancels everything and settles when nothing runs any more. Never rejects; later jobs reject with `CLOSED`. */
  close(): Promise<void>
}

/**
 * How many portions of work make a slice, of about 2 ms. They are counted, not timed, so that a simulation does the same
 * every time.
 */
const SLICE_PORTIONS = 16

/** Does the work on this thread, in slices of about 2 ms; between them everything else has a turn. */
export function inlineBackground(storage: Storage, directory: string): Background {
  return new InlineBackground(storage, directory)
}

class InlineBackground implements Background {
  private readonly storage: Storage
  private readonly directory: string
  private readonly running: Set<Slices> = new Set()
  private readonly settled: Set<Promise<unknown>> = new Set()
  private isClosed = false

  constructor(storage: Storage, directory: string) {
    this.storage = storage
    this.directory = directory
  }

  checkpoint(job: CheckpointJob): Promise<CheckpointResult> {
    return this.run('checkpoint', (control) => checkpoint(this.storage, this.directory, job, control))
  }

  merge(job: MergeJob): Promise<RunSummary | null> {
    return this.run('merge', (control) => mergeRuns(this.storage, this.directory, job, control))
  }

  cancel(kind?: JobKind): void {
    for (const slices of this.running) if (kind === undefined || slices.kind === kind) slices.isCancelled = true
  }

  async close(): Promise<void> {
    this.isClosed = true
    this.cancel()
    await Promise.allSettled(this.settled)
  }

  private async run<Result>(kind: JobKind, work: (control: JobControl) => Promise<Result>): Promise<Result> {
    if (this.isClosed) throw databaseClosed()
    const slices = new Slices(kind)
    this.running.add(slices)
    const settled = work(slices)
    this.settled.add(settled)
    try {
      return await settled
    } finally {
      this.running.delete(slices)
      this.settled.delete(settled)
    }
  }
}

/** Ends a turn of the event loop whenever one has had its share. */
class Slices implements JobControl {
  readonly kind: JobKind
  isCancelled = false
  private portions = 0

  constructor(kind: JobKind) {
    this.kind = kind
  }

  cancelled(): boolean {
    return this.isCancelled
  }

  pause(portions: number): void | Promise<void> {
    this.portions += portions
    if (this.portions < SLICE_PORTIONS) return
    this.portions = 0
    return nextTurn()
  }
}

/** Settles in the next turn of the event loop, after what waits in this one. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
