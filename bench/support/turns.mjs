/** How long the event loop is held up. */

import { PerformanceObserver } from 'node:perf_hooks'

import { waitedMs } from './clock.mjs'

/** A turn in which nothing was done counts only if it took this long: else the idle ones would outvote the others. */
const IDLE_MS = 0.5

/** The next turn of the event loop. */
export const turn = () => new Promise((resolve) => setImmediate(resolve))

/**
 * Lengths of the turns of the event loop, as the clock has them and less the time in which there was no processor for this
 * thread; and the longest (of the latter) in which each kind of thing was done.
 */
export class Turns {
  /** @type {Map<string, number>} */
  longest = new Map()
  /** @type {number[]} */
  #lengths = []
  /** @type {number[]} */
  #running = []
  #last = performance.now()
  #waited = waitedMs()
  /** @type {Set<string>} */
  #done = new Set()

  /** @param {string} kind what this turn did, among others */
  did(kind) {
    this.#done.add(kind)
  }

  async end() {
    const isIdle = this.#done.size === 0
    await turn()
    const now = performance.now()
    const waited = waitedMs()
    const length = now - this.#last
    const running = Math.max(0, length - (waited - this.#waited))
    this.#last = now
    this.#waited = waited
    if (isIdle && running < IDLE_MS) return
    this.#lengths.push(length)
    this.#running.push(running)
    for (const kind of this.#done) if (running > (this.longest.get(kind) ?? 0)) this.longest.set(kind, running)
    this.#done.clear()
  }

  /** @param {number} share */
  quantile(share) {
    return quantile(this.#lengths, share)
  }

  /** @param {number} share */
  quantileRunning(share) {
    return quantile(this.#running, share)
  }
}

/**
 * @param {readonly number[]} lengths
 * @param {number} share
 */
function quantile(lengths, share) {
  const sorted = Float64Array.from(lengths).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
}

/** Watches the garbage collector; what it returns stops watching and gives its longest pause, ms. */
export function watchCollector() {
  let longest = 0
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) longest = Math.max(longest, duration)
  })
  observer.observe({ entryTypes: ['gc'] })
  return async () => {
    await turn()
    observer.disconnect()
    return longest
  }
}
