import { describe, expect, it } from 'vitest'
import { compareBytes } from '../../src/runs/compare.ts'
import { type HashSeed, hashLow, hashStoredKey } from '../../src/runs/hash.ts'
import { Random } from '../support/random.ts'

function hash(bytes: Uint8Array, seed: HashSeed): [number, number] {
  const high = hashStoredKey(bytes, bytes.length, seed)
  return [high, hashLow]
}

describe('hashStoredKey', () => {
  const seed = { key0: 0x0302_0100, key1: 0x0706_0504 }

  it('is fixed: it is in the files', () => {
    const bytes = Uint8Array.from({ length: 9 }, (_, i) => i)
    // From an implementation of its own, which with 2 and 4 rounds gives the test vector of the authors.
    expect([0, 1, 4, 7, 9].map((length) => hash(bytes.subarray(0, length), seed))).toEqual([
      [567321974, 720838691],
      [2373249159, 2536756079],
      [2698716395, 95325297],
      [170722620, 2414955698],
      [3210699197, 4131079105],
    ])
  })

  it('depends on every bit of the key, on its length and on every bit of the seed', () => {
    const random = new Random('hash')
    for (let length = 0; length < 20; length++) {
      const bytes = Uint8Array.from({ length }, () => random.int(256))
      const seen = new Set<string>([hash(bytes, seed).join()])
      let others = 0
      const other = (key: Uint8Array, seed: HashSeed): void => {
        others++
        const [high, low] = hash(key, seed)
        // Every half moves, but for one chance in 2^32.
        expect(high === hash(bytes, { key0: 0x0302_0100, key1: 0x0706_0504 })[0]).toBe(false)
        seen.add([high, low].join())
      }
      for (let bit = 0; bit < length * 8; bit++) {
        const changed = bytes.slice()
        changed[bit >> 3]! ^= 1 << (bit & 7)
        other(changed, seed)
      }
      other(Uint8Array.of(...bytes, 0), seed)
      for (let bit = 0; bit < 32; bit++) {
        other(bytes, { ...seed, key0: (seed.key0 ^ (1 << bit)) >>> 0 })
        other(bytes, { ...seed, key1: (seed.key1 ^ (1 << bit)) >>> 0 })
      }
      expect(seen.size).toBe(others + 1)
    }
  })

  it('looks only at the bytes of the key', () => {
    const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6)
    const longer = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9)
    expect(hashStoredKey(longer, 6, seed)).toBe(hashStoredKey(bytes, 6, seed))
  })

  it('spreads keys that differ little evenly, in both halves', () => {
    const buckets = 256
    for (const half of [0, 1] as const) {
      const counts = new Uint32Array(buckets)
      const total = 100_000
      const key = new Uint8Array(12)
      for (let i = 0; i < total; i++) {
        key[11] = i
        key[10] = i >> 8
        key[9] = i >> 16
        counts[hash(key, seed)[half] >>> 24]!++
      }
      const mean = total / buckets
      let chiSquared = 0
      for (const count of counts) chiSquared += (count - mean) ** 2 / mean
      // 255 degrees of freedom: mean 255, standard deviation 23.
      expect(chiSquared).toBeLessThan(255 + 5 * 23)
    }
  })
})

describe('compareBytes', () => {
  it('is memcmp, and a prefix comes first', () => {
    const random = new Random('compare')
    for (let i = 0; i < 2000; i++) {
      const a = Uint8Array.from({ length: random.int(6) }, () => random.int(3) * 127)
      const b = Uint8Array.from({ length: random.int(6) }, () => random.int(3) * 127)
      expect(Math.sign(compareBytes(a, a.length, b, b.length))).toBe(Buffer.compare(a, b))
    }
  })
})
