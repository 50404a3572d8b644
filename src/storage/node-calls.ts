/**
 * Calls of `node:fs` with what Node leaves undone: interrupted ones are made again, in bounds, and the functions themselves
 * can be put in the place of others by tests.
 *
 * The callback forms are used: for one call they make one promise and no `FileHandle`, whose garbage collection would close
 * files behind our back.
 */
import * as fs from 'node:fs'

/** What is used of `node:fs`. */
export type FileCalls = Pick<
  typeof fs,
  | 'chmod'
  | 'close'
  | 'constants'
  | 'fchmod'
  | 'fdatasync'
  | 'fdatasyncSync'
  | 'fstat'
  | 'fsync'
  | 'ftruncate'
  | 'lstat'
  | 'mkdir'
  | 'open'
  | 'read'
  | 'readdir'
  | 'readSync'
  | 'rename'
  | 'rmdir'
  | 'stat'
  | 'unlink'
  | 'write'
  | 'writeSync'
>

/** The system beneath a `NodeStorage`. */
export interface NodeSystem {
  readonly calls: FileCalls
  /** As `process.platform`. */
  readonly platform: NodeJS.Platform
}

/** This process's system. */
export const thisSystem: NodeSystem = { calls: fs, platform: process.platform }

/** Standard input, output and error: whatever a library prints would land in the file. */
export const MAX_STANDARD_FD = 2

/** The callback of one call. */
export type Done<T> = (error: NodeJS.ErrnoException | null, value: T) => void

/** How often one call may be interrupted. Signals do not come that densely; what does is no signal. */
export const MAX_INTERRUPTIONS = 100

/** Interruptions after which a pause is made before the next attempt. */
const PATIENT_AFTER = 10

/** Whether a call has done nothing and may be made again at once. */
export function isInterruption(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'EINTR' || code === 'EAGAIN'
}

/** Goes on after an interruption: at once at first, later with pauses. */
export function pause(interruptions: number, next: () => void): void {
  if (interruptions > PATIENT_AFTER) setTimeout(next, 1)
  else next()
}

/** Makes an asynchronous call, again if it is interrupted. Rejects with the error of the system. */
export function call<T>(start: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    let interruptions = 0
    const attempt = (): void => {
      start((error, value) => {
        if (error === null) resolve(value)
        else if (isInterruption(error) && ++interruptions <= MAX_INTERRUPTIONS) pause(interruptions, attempt)
        else reject(error)
      })
    }
    attempt()
  })
}

/** Makes a synchronous call, again if it is interrupted. */
export function callSync<T>(run: () => T): T {
  for (let interruptions = 0; ; interruptions++) {
    try {
      return run()
    } catch (error) {
      if (!isInterruption(error) || interruptions >= MAX_INTERRUPTIONS) throw error
    }
  }
}
