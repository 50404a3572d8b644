/**
 * `flock(2)`, where there is one: a lock that the kernel keeps for an open file and drops when that file is closed, also
 * by the death of the process. Node has no call for it; the optional dependency `fs-ext` brings one. Everything works
 * without it, so whatever keeps it from loading (not installed, not built, built for another Node, `--no-addons`) only
 * means that there is none.
 *
 * In worker threads there is none either: fs-ext 2.1.1 keeps handles of one V8 isolate in static variables, and once a
 * second thread has loaded it, garbage collection may abort the process ("Check failed", "Fatal error").
 */
import { createRequire } from 'node:module'
import { isMainThread } from 'node:worker_threads'

/** What came of asking. `unsupported`: the file system, or the platform, has no such locks; nothing is known. */
export type FlockOutcome = 'locked' | 'busy' | 'unsupported'

/** Asks, without waiting, for a lock on an open file: exclusive, or shared with others who ask for a shared one. */
export type Flock = (fd: number, mode: 'exclusive' | 'shared') => FlockOutcome

/** What says that somebody else has it; other failures say that there is no answer to be had. */
const BUSY: ReadonlySet<unknown> = new Set(['EAGAIN', 'EWOULDBLOCK', 'EACCES', 'EBUSY'])

/** The `flock` of fs-ext, or null. */
export async function loadFlock(): Promise<Flock | null> {
  if (!isMainThread) return null
  try {
    // Not by import: for a module that is CommonJS anyway that takes the first opening several times as long.
    const { flockSync } = createRequire(import.meta.url)('fs-ext') as typeof import('fs-ext').default
    if (typeof flockSync !== 'function') return null
    return (fd, mode) => {
      try {
        flockSync(fd, mode === 'exclusive' ? 'exnb' : 'shnb')
        return 'locked'
      } catch (error) {
        return error instanceof Error && 'code' in error && BUSY.has(error.code) ? 'busy' : 'unsupported'
      }
    }
  } catch {
    return null
  }
}
