/** Time on a machine that is shared. */

import { openSync, readSync } from 'node:fs'

const buffer = Buffer.alloc(64)
let file = -1
try {
  file = openSync('/proc/thread-self/schedstat')
} catch {
  // Nobody tells: nothing is subtracted.
}

/** Whether waits for a processor can be told from work. */
export const tellsWaits = file >= 0

/**
 * How long this thread has been ready to run without being given a processor, ms, as far as the system tells (Linux): what
 * other processes take. 0 on an idle machine, and where the system does not tell.
 */
function waitedMs() {
  if (file < 0) return 0
  const text = buffer.latin1Slice(0, readSync(file, buffer, 0, 64, 0))
  return Number(text.split(' ', 2)[1]) / 1e6
}

/** More attempts than this to read both at one moment are not made. */
const ATTEMPTS = 5

/**
 * The clock and those waits at one moment. The end of a system call is where a processor is lost most often, so what is read
 * one after the other may have a wait between that only one of them knows.
 *
 * @returns {{ now: number, waited: number }}
 */
export function clockMs() {
  let waited = waitedMs()
  for (let attempt = 1; ; attempt++) {
    const now = performance.now()
    const after = waitedMs()
    if (after === waited || attempt === ATTEMPTS) return { now, waited: after }
    waited = after
  }
}

/** The clock less those waits, ms. */
export function runningMs() {
  const { now, waited } = clockMs()
  return now - waited
}
