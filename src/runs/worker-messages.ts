/** What the thread of the application and the worker thread say to each other. */
import { ERROR_CODES, type ErrorCode, VarveError } from '../errors.ts'
import type { JobKind } from './background.ts'
import type { CheckpointJob } from './checkpoint.ts'
import type { MergeJob } from './merge.ts'

/** A job for the worker; `flag` holds one word, which becomes 1 when the job is cancelled. */
export interface JobMessage {
  readonly id: number
  readonly kind: JobKind
  readonly directory: string
  readonly job: CheckpointJob | MergeJob
  readonly flag: Int32Array
}

/** The worker is ready for jobs; or a job has ended. */
export type WorkerMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'done'; readonly id: number; readonly result: unknown }
  | { readonly type: 'failed'; readonly id: number; readonly error: PackedError }

/** An error as plain data: structured cloning keeps neither class nor code. */
export interface PackedError {
  /** Code of a VarveError; null for any other error. */
  readonly code: ErrorCode | null
  readonly message: string
  /** The operating system's name of the failure, such as ENOSPC. */
  readonly errno: string | null
  readonly cause: PackedError | null
}

/** Causes beyond this depth are left out. */
const MAX_CAUSES = 4

export function packError(error: unknown, depth = 0): PackedError {
  if (!(error instanceof Error)) return { code: null, message: String(error), errno: null, cause: null }
  const errno: unknown = 'code' in error ? error.code : undefined
  return {
    code: error instanceof VarveError ? error.code : null,
    message: error.message,
    errno: typeof errno === 'string' && !(error instanceof VarveError) ? errno : null,
    cause: error.cause === undefined || depth === MAX_CAUSES ? null : packError(error.cause, depth + 1),
  }
}

export function unpackError({ code, message, errno, cause }: PackedError): Error {
  const details = cause === null ? {} : { cause: unpackError(cause) }
  if (code !== null && Object.hasOwn(ERROR_CODES, code)) return new VarveError(code, message, details)
  const error = new Error(message, details)
  return errno === null ? error : Object.assign(error, { code: errno })
}
