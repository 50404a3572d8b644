/** What the log says when it takes no more. */

import { VarveError } from '../errors.ts'

/** The log has failed, by this cause: the outcome of what was waiting is open. */
export function poisoning(cause: unknown): VarveError {
  if (cause instanceof VarveError && cause.code === 'POISONED') return cause
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new VarveError(
    'POISONED',
    `the log could not be written: ${reason}. Nothing more is acknowledged; whether commits that were waiting are ` +
      'kept is unknown until the database is reopened',
    { cause },
  )
}

/** A promise that is rejected, and that nobody need wait for. */
export function rejected(error: VarveError): Promise<void> {
  const promise = Promise.reject(error)
  promise.catch(() => {})
  return promise
}
