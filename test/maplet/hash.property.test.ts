import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { admitKey, compareKeys, type Key } from '../../src/keys/index.ts'
import { hashKeyed, hashLow, HashSeed, hashSeeded } from '../../src/maplet/hash.ts'
import { spellKey, words } from '../../src/maplet/key-words.ts'
import { callerKey, keyPair } from '../support/keys.ts'
import { fcParameters } from '../support/random.ts'

const seed = HashSeed.fromNumber(11)

/** Where the number of words changes. */
const edge = fc
  .constantFrom(32n, 63n, 64n, 96n)
  .chain((bits) => fc.constantFrom(2n ** bits - 1n, 2n ** bits, -(2n ** bits)))

function spelling(key: Key): string {
  const count = spellKey(key)
  return words.subarray(0, count).join()
}

describe('the words of keys', () => {
  it('are the same for equal keys, and for no others', () => {
    fc.assert(
      fc.property(keyPair, ([a, b]) => {
        expect(spelling(a) === spelling(b)).toBe(compareKeys(a, b) === 0)
      }),
      fcParameters(1000),
    )
  })

  it('of one key are never the beginning of those of another', () => {
    fc.assert(
      fc.property(keyPair, ([a, b]) => {
        fc.pre(compareKeys(a, b) !== 0)
        expect(`${spelling(b)},`.startsWith(`${spelling(a)},`)).toBe(false)
      }),
      fcParameters(1000),
    )
  })
})

describe('the words of a bigint', () => {
  it('are its kind, their number and its magnitude by 32 bits', () => {
    fc.assert(
      fc.property(fc.oneof(fc.bigInt(), fc.bigInt({ min: -(2n ** 66n), max: 2n ** 66n }), edge), (key) => {
        const magnitude = key < 0n ? -key : key
        const expected: number[] = []
        for (let rest = magnitude; rest > 0n || expected.length === 0; rest >>= 32n)
          expected.push(Number(BigInt.asIntN(32, rest)))
        expect(spelling(key)).toBe([key < 0n ? 5 : 4, expected.length, ...expected].join())
      }),
      fcParameters(500),
    )
  })
})

describe.each([
  ['seeded', hashSeeded],
  ['keyed', hashKeyed],
] as const)('the %s hash', (_name, hash) => {
  const both = (key: Key): [number, number] => [hash(key, seed), hashLow]

  it('is the same for equal keys, as the caller wrote them or as they are held', () => {
    fc.assert(
      fc.property(callerKey, (key) => {
        expect(both(key)).toEqual(both(admitKey(key)))
        expect(both(key)).toEqual(both(structuredClone<Key>(key)))
      }),
      fcParameters(500),
    )
  })

  it('differs for keys that differ', () => {
    fc.assert(
      fc.property(keyPair, ([a, b]) => {
        fc.pre(compareKeys(a, b) !== 0)
        expect(both(a)).not.toEqual(both(b))
      }),
      fcParameters(1000),
    )
  })
})
