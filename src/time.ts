/**
 * The time of a database: what commits are stamped with and expiry is measured by. Never what orders anything.
 *
 * T1  It never goes back, whatever a clock does, and not behind what the last session has logged either.
 * T2  It is a time whatever a clock says.
 *
 * By default it follows the monotonic clock from the moment of opening, so that setting the system's clock expires nothing and
 * revives nothing. A clock of the application's own is followed, but for its steps back: there time waits for it.
 */

/** The last instant that a Date can name: a clock that says more, or less than 0, or nothing, is not believed. */
const LATEST_MS = 8.64e15

const isTime = (ms: number): boolean => ms >= 0 && ms <= LATEST_MS

/**
 * @param clock wall clock, ms since the epoch
 * @param own whether the application gave that clock, to be followed
 * @param now monotonic ms
 * @param lastMs the last time that is known of, ms since the epoch; 0 if none is
 */
export function timeOf(clock: () => number, own: boolean, now: () => number, lastMs: number): () => number {
  const first = clock()
  let last = Math.max(isTime(first) ? first : 0, lastMs)
  if (own) {
    return () => {
      const ms = clock()
      if (isTime(ms) && ms > last) last = Math.floor(ms)
      return last
    }
  }
  const startMs = last
  const startedAt = now()
  return () => {
    const ms = Math.floor(startMs + (now() - startedAt))
    if (ms > last) last = ms
    return last
  }
}
