/**
 * Checkpoints and merges on a worker thread, so that the thread of the application spends no more on them than one
 * message to the worker and one from it.
 *
 * I1  One worker at most, started by the first job. It keeps the process alive only while a job is under way.
 * I2  Where no worker can be started (no permission, no threads, a bundle that left its file out, a file of that name that is
 *     something else), jobs run inline, for good.
 * I3  If the worker dies, every job under way rejects with `IO`, and the next one starts another worker.
 * I4  A job settles exactly once. After `close` has returned none is under way and there is no worker.
 */
import { Worker } from 'node:worker_threads'
import { VarveError, databaseClosed } from '../errors.ts'
import { NodeStorage } from '../storage/index.ts'
import { type Background, type JobKind, inlineBackground } from './background.ts'
import type { CheckpointJob, CheckpointResult } from './checkpoint.ts'
import { cancelledError } from './control.ts'
import type { RunSummary } from './format.ts'
import type { MergeJob } from './merge.ts'
import { type JobMessage, type WorkerMessage, unpackError } from './worker-messages.ts'

/** A worker that is not ready by then is not ours: in a bundle, whatever stands under the name. */
const READY_MS = 10_000

/**
 * Does the work for a directory on a worker thread, or inline where there can be none. The name of the file is one that no
 * application has by chance: next to a bundle that left it out, another file of the name would be started.
 */
export function workerBackground(directory: string): Background {
  return new WorkerBackground(directory, new URL('./varve-runs-worker.js', import.meta.url))
}

/** A job under way, as `cancel` and the worker's answers find it. */
interface Job {
  readonly kind: JobKind
  /** Becomes 1 when the job is cancelled; the worker sees it too. */
  readonly flag: Int32Array
  /** Set once the worker has it. */
  resolve: ((result: unknown) => void) | null
  reject: ((error: Error) => void) | null
}

export class WorkerBackground implements Background {
  /** How long `close` waits for cancelled jobs, which stop at once unless the disk hangs, before it ends the worker. */
  graceMs = 5000
  /** How long a worker may take to be ready. */
  readyMs: number = READY_MS
  /** Whether jobs run on the thread of the application, because no worker could be started. */
  isInline = false
  private readonly inline: Background
  private readonly directory: string
  private readonly module: URL
  private readonly jobs: Map<number, Job> = new Map()
  private readonly settled: Set<Promise<unknown>> = new Set()
  /** Null if none was started; holds null if none could be. */
  private worker: Promise<Worker | null> | null = null
  /** The worker, from when it is ready until it ends. */
  private live: Worker | null = null
  private nextId = 1
  private isClosed = false

  /** `module` is the file of the worker. */
  constructor(directory: string, module: URL) {
    this.inline = inlineBackground(new NodeStorage(), directory)
    this.directory = directory
    this.module = module
  }

  checkpoint(job: CheckpointJob): Promise<CheckpointResult> {
    return this.track('checkpoint', job, () => this.inline.checkpoint(job)) as Promise<CheckpointResult>
  }

  merge(job: MergeJob): Promise<RunSummary | null> {
    return this.track('merge', job, () => this.inline.merge(job)) as Promise<RunSummary | null>
  }

  cancel(kind?: JobKind): void {
    for (const job of this.jobs.values()) if (kind === undefined || job.kind === kind) Atomics.store(job.flag, 0, 1)
    this.inline.cancel(kind)
  }

  async close(): Promise<void> {
    this.isClosed = true
    this.cancel()
    await Promise.race([Promise.allSettled([this.inline.close(), ...this.settled]), after(this.graceMs)])
    const worker = await this.worker
    await worker?.terminate()
    await Promise.allSettled(this.settled)
  }

  private async track(
    kind: JobKind,
    given: CheckpointJob | MergeJob,
    inline: () => Promise<unknown>,
  ): Promise<unknown> {
    if (this.isClosed) throw databaseClosed()
    const id = this.nextId++
    const flag = new Int32Array(new SharedArrayBuffer(4))
    const job: Job = { kind, flag, resolve: null, reject: null }
    this.jobs.set(id, job)
    const settled = this.run(id, job, given, inline)
    this.settled.add(settled)
    try {
      return await settled
    } finally {
      this.settled.delete(settled)
      this.jobs.delete(id)
      if (this.jobs.size === 0) this.live?.unref()
    }
  }

  private async run(
    id: number,
    job: Job,
    given: CheckpointJob | MergeJob,
    inline: () => Promise<unknown>,
  ): Promise<unknown> {
    const worker = await this.ready()
    if (Atomics.load(job.flag, 0) !== 0) throw cancelledError()
    if (worker === null) {
      this.isInline = true
      return inline()
    }
    const message: JobMessage = { id, kind: job.kind, directory: this.directory, job: given, flag: job.flag }
    return new Promise((resolve, reject) => {
      job.resolve = resolve
      job.reject = reject
      worker.ref()
      worker.postMessage(message, [])
    })
  }

  /** The worker, alive; started if need be. */
  private async ready(): Promise<Worker | null> {
    for (;;) {
      this.worker ??= this.start()
      const worker = await this.worker
      // It may have died while this waited for its turn.
      if (worker === null || worker === this.live) return worker
    }
  }

  /** Settles when the worker is ready, with null if it cannot be. */
  private start(): Promise<Worker | null> {
    return new Promise((resolve) => {
      let worker: Worker
      try {
        // None of the application's loaders and hooks: the worker runs nothing of it.
        worker = new Worker(this.module, { name: 'varve', execArgv: [] })
      } catch {
        resolve(null)
        return
      }
      let isReady = false
      let failure: unknown
      const deadline = setTimeout(() => void worker.terminate(), this.readyMs).unref()
      worker.on('message', (message: WorkerMessage) => {
        if (message.type !== 'ready') {
          this.settle(message)
          return
        }
        isReady = true
        clearTimeout(deadline)
        this.live = worker
        resolve(worker)
      })
      worker.on('error', (error) => {
        failure = error
      })
      worker.on('exit', (code) => {
        clearTimeout(deadline)
        if (isReady) this.hasDied(code, failure)
        else resolve(null)
      })
    })
  }

  private settle(message: Exclude<WorkerMessage, { readonly type: 'ready' }>): void {
    const job = this.jobs.get(message.id)
    if (message.type === 'done') job?.resolve?.(message.result)
    else job?.reject?.(unpackError(message.error))
  }

  private hasDied(code: number, cause: unknown): void {
    this.worker = null
    this.live = null
    const how = cause instanceof Error ? cause.message : `exit code ${code}`
    for (const { reject, kind } of this.jobs.values()) {
      reject?.(new VarveError('IO', `the worker thread died during a ${kind} (${how}); nothing is lost`, { cause }))
    }
  }
}

/** Settles after some time, without keeping the process alive for it. */
function after(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref()
  })
}
