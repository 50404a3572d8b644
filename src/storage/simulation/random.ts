/** The seeded generator behind everything a simulated disk leaves to chance: sfc32 (Chris Doty-Humphrey, PractRand). */

/** A sequence of numbers that is the same for the same seed. */
export class SeededRandom {
  private a: number
  private b: number
  private c = 0x9e3779b9
  private counter = 1

  constructor(seed: number, stream = 0) {
    this.a = seed | 0
    this.b = (Math.floor(seed / 2 ** 32) ^ stream) | 0
    for (let i = 0; i < 12; i++) this.uint32()
  }

  /** An integer in [0, 2^32). */
  uint32(): number {
    const result = (this.a + this.b + this.counter) | 0
    this.counter = (this.counter + 1) | 0
    this.a = this.b ^ (this.b >>> 9)
    this.b = (this.c + (this.c << 3)) | 0
    this.c = ((this.c << 21) | (this.c >>> 11)) + result
    return result >>> 0
  }

  /** An integer in [0, limit), for a limit below 2^53. */
  int(limit: number): number {
    return Math.floor((this.uint32() / 2 ** 32) * limit)
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.uint32() < probability * 2 ** 32
  }

  /** One of the items. */
  pick<T>(items: readonly [T, ...T[]]): T {
    return items[this.int(items.length)] as T
  }

  /** Shuffles in place and returns the same array. */
  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.int(i + 1)
      const held = items[i] as T
      items[i] = items[j] as T
      items[j] = held
    }
    return items
  }
}
