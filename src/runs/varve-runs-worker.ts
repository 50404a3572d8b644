/** The worker thread that makes runs. It is started by `workerBackground`, and does what it is told until it is ended. */
import { parentPort } from 'node:worker_threads'
import { NodeStorage } from '../storage/index.ts'
import { nextTurn } from './background.ts'
import { type CheckpointJob, checkpoint } from './checkpoint.ts'
import type { JobControl } from './control.ts'
import { type MergeJob, mergeRuns } from './merge.ts'
import { type JobMessage, type WorkerMessage, packError } from './worker-messages.ts'

/** Two jobs may be under way: each lets the other have a turn after so many portions of about 0.1 ms. */
const SLICE_PORTIONS = 200

const port = parentPort
if (port === null) throw new Error('varve invariant violated: this module is started as a worker thread')

const storage = new NodeStorage()

function tell(message: WorkerMessage): void {
  port?.postMessage(message)
}

function controlOf(flag: Int32Array): JobControl {
  let done = 0
  return {
    cancelled: () => Atomics.load(flag, 0) !== 0,
    pause: (portions) => {
      done += portions
      if (done < SLICE_PORTIONS) return
      done = 0
      return nextTurn()
    },
  }
}

async function run({ id, kind, directory, job, flag }: JobMessage): Promise<void> {
  try {
    const result =
      kind === 'checkpoint'
        ? await checkpoint(storage, directory, job as CheckpointJob, controlOf(flag))
        : await mergeRuns(storage, directory, job as MergeJob, controlOf(flag))
    tell({ type: 'done', id, result })
  } catch (error) {
    tell({ type: 'failed', id, error: packError(error) })
  }
}

port.on('message', (message: JobMessage) => void run(message))
tell({ type: 'ready' })
