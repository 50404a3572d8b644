/**
 * Randomness for tests: everything random in the suite comes from one seed, so that every failure replays.
 *
 * VARVE_SEED   the seed, an unsigned 32-bit integer. Fixed by default, so that two runs of `npm test` do the same work;
 *              `npm run test:long` takes a fresh one.
 * VARVE_RUNS   multiplies the number of runs of every randomised test; fractions are fine. Default 1.
 *
 * A test makes its own generator (`new Random('name of what it drives')`) inside the test function, never at the top of
 * the file: then it replays the same whichever other tests run beside it. When a test of a file that imports this module
 * fails, test/support/replay.ts prints the command that repeats it.
 */

function fromEnvironment(name: string, fallback: number, isValid: (value: number) => boolean, wanted: string): number {
  const text = process.env[name]
  if (text === undefined || text === '') return fallback
  const value = Number(text)
  if (!isValid(value)) throw new Error(`${name} must be ${wanted}, not '${text}'`)
  return value
}

/** The seed of this run. */
export const seed: number = fromEnvironment(
  'VARVE_SEED',
  20_260,
  (value) => Number.isInteger(value) && value >= 0 && value < 2 ** 32,
  'an integer from 0 to 4294967295',
)

/** What the number of runs of every randomised test is multiplied by. */
export const multiplier: number = fromEnvironment(
  'VARVE_RUNS',
  1,
  (value) => value > 0 && value < Infinity,
  'a positive number',
)

/** How often a randomised test runs that runs `base` times by default; at least once. */
export function runs(base: number): number {
  return Math.max(1, Math.round(base * multiplier))
}

/** The parameters of `fc.assert` for a property that runs `base` times by default. */
export function fcParameters(base = 100): { seed: number; numRuns: number } {
  return { seed: seed | 0, numRuns: runs(base) }
}

/**
 * A small seeded generator: sfc32 (Chris Doty-Humphrey's PractRand), 128 bits of state, statistically sound, not secret.
 * Generators with different streams are independent for all a test can tell.
 */
export class Random {
  #a: number
  #b: number
  #c: number
  #counter = 1

  /** @param stream what this generator drives; a test that loops over seeds passes the seed of the round. */
  constructor(stream: string | number = 0, seedOfRun: number = seed) {
    this.#a = seedOfRun | 0
    this.#b = typeof stream === 'number' ? stream | 0 : hashOf(stream)
    this.#c = typeof stream === 'number' ? Math.floor(stream / 2 ** 32) | 0 : ~this.#b
    for (let i = 0; i < 16; i++) this.uint32()
  }

  /** An integer in [0, 2^32). */
  uint32(): number {
    const result = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + result
    return result >>> 0
  }

  /** A number in [0, 1) with 53 random bits; fits wherever `Math.random` does once bound. */
  next(): number {
    const high = this.uint32() >>> 5
    const low = this.uint32() >>> 6
    return (high * 2 ** 26 + low) / 2 ** 53
  }

  /** An integer in [0, limit). */
  int(limit: number): number {
    return Math.floor(this.next() * limit)
  }

  /** An integer in [low, high], both included. */
  between(low: number, high: number): number {
    return low + this.int(high - low + 1)
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.next() < probability
  }

  /** One of the items. */
  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new Error('cannot pick from nothing')
    return items[this.int(items.length)] as T
  }

  /** Shuffles in place (Fisher-Yates) and returns the same array. */
  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.int(i + 1)
      const held = items[i] as T
      items[i] = items[j] as T
      items[j] = held
    }
    return items
  }

  /** A new generator that continues independently of this one. */
  fork(): Random {
    return new Random(this.uint32(), this.uint32())
  }
}

/** FNV-1a, enough to tell streams apart by name. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash | 0
}
