import { describe, expect, it } from 'vitest'
import { hashKeyed, hashLow, HashSeed, hashSeeded, resolveSeed } from '../../src/maplet/hash.ts'
import { Random } from '../support/random.ts'
import { collidingStrings } from './colliding-strings.ts'

const seed = HashSeed.fromNumber(7)

const functions = { seeded: hashSeeded, keyed: hashKeyed }

/** 64 bits as an array of 0 and 1. */
function bitsOf(hash: (key: string, seed: HashSeed) => number, key: string, by: HashSeed = seed): number[] {
  const halves = [hash(key, by), hashLow]
  return halves.flatMap((half) => Array.from({ length: 32 }, (_, i) => (half >>> i) & 1))
}

function randomKey(random: Random, length: number): string {
  return Array.from({ length }, () => String.fromCharCode(97 + random.int(26))).join('')
}

describe.each(Object.entries(functions))('the %s hash', (_name, hash) => {
  it.each([1, 7, 8, 9, 16, 20, 24, 25, 40])('lets each code unit of %d move each bit half of the time', (length) => {
    const random = new Random(`avalanche ${length}`)
    const rounds = 400
    const moved = Array.from({ length: 64 }, () => 0)
    for (let round = 0; round < rounds; round++) {
      const key = randomKey(random, length)
      const at = random.int(length)
      const flipped =
        key.slice(0, at) + String.fromCharCode(key.charCodeAt(at) ^ (1 << random.int(16))) + key.slice(at + 1)
      const before = bitsOf(hash, key)
      for (const [bit, after] of bitsOf(hash, flipped).entries()) if (after !== before[bit]) moved[bit]!++
    }
    // Six standard deviations around the half.
    for (const count of moved) expect(Math.abs(count - rounds / 2)).toBeLessThan(6 * Math.sqrt(rounds / 4))
  })

  it('spreads counted keys evenly over its upper bits', () => {
    const places = new Uint32Array(1 << 12)
    const keys = 1 << 17
    for (let i = 0; i < keys; i++) places[hash(`user:${i}`, seed) >>> 20]!++
    const mean = keys / places.length
    const chiSquare = places.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0)
    // 4095 degrees of freedom: mean 4095, standard deviation 90.
    expect(Math.abs(chiSquare - (places.length - 1))).toBeLessThan(6 * Math.sqrt(2 * places.length))
  })

  it('has halves that do not follow from each other', () => {
    const byHigh = new Map<number, number>()
    let twins = 0
    for (let i = 0; i < 100_000; i++) {
      const high = hash(`k${i}`, seed) >>> 14
      if (byHigh.get(high) === hashLow >>> 14) twins++
      byHigh.set(high, hashLow >>> 14)
    }
    expect(twins).toBe(0)
  })

  it('depends on the seed', () => {
    const other = HashSeed.fromNumber(8)
    let equal = 0
    for (let i = 0; i < 100; i++) {
      const bits = bitsOf(hash, `key ${i}`, other)
      equal += bitsOf(hash, `key ${i}`).filter((bit, at) => bit === bits[at]).length
    }
    expect(Math.abs(equal - 3200)).toBeLessThan(240)
  })

  it('tells strings from their words and from other kinds', () => {
    const keys = [
      '',
      '\0',
      '\0\0',
      'a',
      'a\0',
      '\u0001',
      1,
      1n,
      true,
      false,
      0,
      0n,
      [],
      [''],
      [[]],
      ['', ''],
      new Uint8Array(0),
      Uint8Array.of(0),
    ]
    const hashes = keys.map((key) => `${hash(key, seed)} ${hashLow}`)
    expect(new Set(hashes).size).toBe(keys.length)
  })

  it('takes strings of any length', () => {
    const long = 'x'.repeat(40_000)
    expect(hash(long, seed)).not.toBe(hash(`${long}x`, seed))
    expect(hash(long, seed)).toBe(hash('x'.repeat(40_000), seed))
    expect(hash([long], seed)).not.toBe(hash([`${long}x`], seed))
  })
})

describe('seeds', () => {
  it('are random by default', () => {
    const [one, two] = [resolveSeed(undefined), resolveSeed(undefined)]
    expect(one.equals(two)).toBe(false)
  })

  it('survive being written as bytes', () => {
    const random = resolveSeed(undefined)
    expect(resolveSeed(random.toBytes()).equals(random)).toBe(true)
    expect(random.toBytes()).toHaveLength(16)
  })

  it('give all four words from a number, large and negative ones too', () => {
    const seeds = [0, 1, -1, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER].map((number) => HashSeed.fromNumber(number))
    expect(new Set(seeds.flatMap(({ a, b, key0, key1 }) => [a, b, key0, key1])).size).toBe(4 * seeds.length)
  })

  it.each([Number.NaN, 1.5, new Uint8Array(15)])('of another form are refused', (bad) => {
    expect(() => resolveSeed(bad)).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }))
  })
})

describe('strings made to collide under a known seed', () => {
  it('collide in all 64 bits of the seeded hash, under that seed, and not in the keyed one', () => {
    const strings = collidingStrings(256, 8, seed)
    const distinct = (hash: typeof hashSeeded, by: HashSeed): number =>
      new Set(strings.map((text) => `${hash(text, by)} ${hashLow}`)).size
    expect(new Set(strings).size).toBe(256)
    expect(distinct(hashSeeded, seed)).toBe(1)
    expect(distinct(hashSeeded, HashSeed.fromNumber(8))).toBeGreaterThan(250)
    expect(distinct(hashKeyed, seed)).toBe(256)
  })
})
