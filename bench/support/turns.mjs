/** How long the event loop is held up. */

import { PerformanceObserver } from 'node:perf_hooks'

import { clockMs } from './clock.mjs'

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
  /** When each of them ended. */
  /** @type {number[]} */
  #ends = []
  #last = clockMs()
  /** @type {Set<string>} */
  #done = new Set()

  /** @param {string} kind what this turn did, among others */
  did(kind) {
    this.#done.add(kind)
  }

  async end() {
    const isIdle = this.#done.size === 0
    await turn()
    const clock = clockMs()
    const { now } = clock
    const length = now - this.#last.now
    const running = Math.max(0, length - (clock.waited - this.#last.waited))
    this.#last = clock
    if (isIdle) {
      if (running < IDLE_MS) return
      this.#done.add('nothing of the load')
    }
    this.#lengths.push(length)
    this.#running.push(running)
    this.#ends.push(now)
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

  /**
   * Without pauses of the garbage collector, too.
   *
   * @param {number} share
   * @param {readonly Pause[]} pauses in their order
   */
  quantileBesides(share, pauses) {
    let first = 0
    const besides = this.#running.map((running, i) => {
      const end = this.#ends[i]
      const start = end - this.#lengths[i]
      let paused = 0
      while (first < pauses.length && pauses[first].startMs + pauses[first].lengthMs <= start) first++
      for (let p = first; p < pauses.length && pauses[p].startMs < end; p++) paused += pauses[p].lengthMs
      return Math.max(0, running - paused)
    })
    return quantile(besides, share)
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

/**
 * A pause of the garbage collector.
 *
 * @typedef {object} Pause
 * @property {number} startMs
 * @property {number} lengthMs
 */

/** Watches the garbage collector; what it returns stops watching and gives its pauses. */
export function watchCollector() {
  /** @type {Pause[]} */
  const pauses = []
  const observer = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) pauses.push({ startMs: startTime, lengthMs: duration })
  })
  observer.observe({ entryTypes: ['gc'] })
  return async () => {
    await turn()
    observer.disconnect()
    return pauses.sort((a, b) => a.startMs - b.startMs)
  }
}

/** @param {readonly Pause[]} pauses */
export function longestOf(pauses) {
  return pauses.reduce((longest, { lengthMs }) => Math.max(longest, lengthMs), 0)
}
