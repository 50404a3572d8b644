/**
 * How long something took, again and again: a histogram of fixed size with four buckets to a power of two, so that a
 * percentile is right to about a fifth. Counts halve when one is full, so old times fade.
 */

const BUCKETS_PER_OCTAVE = 4
const BUCKETS = 128
const FULL = 1 << 20

export class LatencyHistogram {
  readonly #counts: Uint32Array
  #total: number
  /** Calls recorded, faded ones included. */
  count = 0

  constructor() {
    this.#counts = new Uint32Array(BUCKETS)
    this.#total = 0
  }

  record(ms: number): void {
    this.count++
    const us = Math.max(1, ms * 1000)
    const bucket = Math.min(BUCKETS - 1, Math.floor(Math.log2(us) * BUCKETS_PER_OCTAVE))
    const count = (this.#counts[bucket] as number) + 1
    this.#counts[bucket] = count
    this.#total++
    if (count >= FULL) this.#halve()
  }

  /** The time that a share of all calls did not exceed, in milliseconds; 0 before the first. */
  percentileMs(share: number): number {
    let left = Math.ceil(this.#total * share)
    if (left === 0) return 0
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      left -= this.#counts[bucket] as number
      if (left <= 0) return 2 ** ((bucket + 0.5) / BUCKETS_PER_OCTAVE) / 1000
    }
    return 0
  }

  #halve(): void {
    this.#total = 0
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      this.#counts[bucket] = (this.#counts[bucket] as number) >>> 1
      this.#total += this.#counts[bucket] as number
    }
  }
}

/** Calls of which one is timed: looking at the clock twice costs about as much as a short commit in memory. */
const SAMPLED_OF = 16

/** Latencies of which one in 16 is measured, the first among them. */
export class SampledLatency {
  readonly histogram: LatencyHistogram = new LatencyHistogram()
  readonly #now: () => number
  #calls = 0

  /** @param now monotonic ms */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Calls, timed or not. */
  get calls(): number {
    return this.#calls
  }

  /** When the call began, if it is one to be timed; else NaN. */
  start(): number {
    return this.#calls++ % SAMPLED_OF === 0 ? this.#now() : Number.NaN
  }

  /** It is over. */
  end(startedMs: number): void {
    if (!Number.isNaN(startedMs)) this.histogram.record(this.#now() - startedMs)
  }
}
