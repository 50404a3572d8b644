import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { compareKeys, equalKeys, KEY_MAX } from '../../src/keys/index.ts'
import { key, keyPair } from '../support/keys.ts'
import { fcParameters } from '../support/random.ts'
import { referenceCompare } from './reference.ts'

describe('compareKeys', () => {
  it('agrees with the reference, whatever the kinds (I1, I2)', () => {
    fc.assert(
      fc.property(keyPair, ([a, b]) => {
        expect(Math.sign(compareKeys(a, b))).toBe(referenceCompare(a, b))
        expect(equalKeys(a, b)).toBe(referenceCompare(a, b) === 0)
      }),
      fcParameters(5000),
    )
  })

  it('is antisymmetric and reflexive (I1)', () => {
    fc.assert(
      fc.property(keyPair, ([a, b]) => {
        expect(Math.sign(compareKeys(a, b)) + Math.sign(compareKeys(b, a))).toBe(0)
        expect(compareKeys(a, a)).toBe(0)
      }),
      fcParameters(2000),
    )
  })

  it('is transitive (I1)', () => {
    fc.assert(
      fc.property(keyPair, key, ([a, b], c) => {
        const [low, middle, high] = [a, b, c].sort(compareKeys)
        expect(compareKeys(low!, middle!)).toBeLessThanOrEqual(0)
        expect(compareKeys(middle!, high!)).toBeLessThanOrEqual(0)
        expect(compareKeys(low!, high!)).toBeLessThanOrEqual(0)
      }),
      fcParameters(2000),
    )
  })

  it('puts KEY_MAX above every key and behind every continuation of a tuple (I3)', () => {
    fc.assert(
      fc.property(fc.array(key, { maxLength: 3 }), fc.array(key, { maxLength: 3 }), key, (start, more, other) => {
        expect(compareKeys(KEY_MAX, other)).toBeGreaterThan(0)
        expect(compareKeys(other, KEY_MAX)).toBeLessThan(0)
        expect(compareKeys([...start, KEY_MAX], [...start, ...more])).toBeGreaterThan(0)
        if (compareKeys(start, other) < 0 && Array.isArray(other) && compareKeys([...start, KEY_MAX], other) < 0) {
          expect(compareKeys(start, other.slice(0, start.length))).toBeLessThan(0)
        }
      }),
      fcParameters(1000),
    )
  })
})
