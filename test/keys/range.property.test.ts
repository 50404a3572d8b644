import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { boundsOverlap, inBounds, isAboveLower, isBelowUpper, type Key, resolveRange } from '../../src/keys/index.ts'
import { bytesKey, key, keyPair, stringKey } from '../support/keys.ts'
import { fcParameters } from '../support/random.ts'
import { referenceCompare, referenceStartsWith } from './reference.ts'

type Condition = 'gt' | 'gte' | 'lt' | 'lte' | 'prefix'

/** A range as conditions: at most one for each end, perhaps a prefix. */
interface Conditions {
  lower?: ['gt' | 'gte', Key]
  upper?: ['lt' | 'lte', Key]
  prefix?: ['prefix', Key]
}

const prefixKey: fc.Arbitrary<Key> = fc.oneof(stringKey, bytesKey, key.filter(Array.isArray))

const conditions: fc.Arbitrary<Conditions> = fc.record(
  {
    lower: fc.tuple(fc.constantFrom('gt' as const, 'gte' as const), key),
    upper: fc.tuple(fc.constantFrom('lt' as const, 'lte' as const), key),
    prefix: fc.tuple(fc.constant('prefix' as const), prefixKey),
  },
  { requiredKeys: [] },
)

function holds(candidate: Key, [condition, bound]: [Condition, Key]): boolean {
  if (condition === 'prefix') return referenceStartsWith(candidate, bound)
  const order = referenceCompare(candidate, bound)
  if (condition === 'gt') return order > 0
  if (condition === 'gte') return order >= 0
  return condition === 'lt' ? order < 0 : order <= 0
}

const given = (range: Conditions): [Condition, Key][] => Object.values(range) as [Condition, Key][]

/** Keys of all sorts, those of the range itself, and what starts with its prefix. */
function candidates(range: Conditions, others: readonly Key[]): Key[] {
  const own = given(range).map(([, bound]) => bound)
  const start = range.prefix?.[1]
  const continued = others.map((other): Key => {
    if (typeof start === 'string') return start + (typeof other === 'string' ? other : '\uffff')
    if (start instanceof Uint8Array) return Uint8Array.of(...start, ...(other instanceof Uint8Array ? other : [0xff]))
    return start === undefined ? other : [...(start as readonly Key[]), other]
  })
  return [...others, ...own, ...continued]
}

describe('a range', () => {
  it('holds exactly the keys that satisfy all its conditions (I1, I2)', () => {
    fc.assert(
      fc.property(conditions, fc.array(key, { maxLength: 8 }), keyPair, (range, others, pair) => {
        const bounds = resolveRange(Object.fromEntries(given(range)))
        for (const candidate of candidates(range, [...others, ...pair])) {
          const expected = given(range).every((condition) => holds(candidate, condition))
          expect(inBounds(candidate, bounds)).toBe(expected)
          if (!bounds.empty) expect(isAboveLower(candidate, bounds) && isBelowUpper(candidate, bounds)).toBe(expected)
          if (bounds.empty) expect(expected).toBe(false)
        }
      }),
      fcParameters(3000),
    )
  })

  it('of a prefix holds exactly the keys of a set that start with it (I1)', () => {
    fc.assert(
      fc.property(prefixKey, fc.array(key, { maxLength: 20 }), (prefix, set) => {
        const bounds = resolveRange({ prefix })
        const all = candidates({ prefix: ['prefix', prefix] }, set)
        const found = all.filter((candidate) => inBounds(candidate, bounds))
        expect(found).toStrictEqual(all.filter((candidate) => referenceStartsWith(candidate, prefix)))
        expect(found.length).toBeGreaterThan(0)
      }),
      fcParameters(1000),
    )
  })

  it('overlaps another if a key lies in both', () => {
    let disjoint = 0
    fc.assert(
      fc.property(conditions, conditions, fc.array(key, { maxLength: 8 }), (one, two, others) => {
        const [a, b] = [resolveRange(Object.fromEntries(given(one))), resolveRange(Object.fromEntries(given(two)))]
        expect(boundsOverlap(a, b)).toBe(boundsOverlap(b, a))
        if (!boundsOverlap(a, b)) disjoint++
        const common = [...candidates(one, others), ...candidates(two, others)].some(
          (candidate) => inBounds(candidate, a) && inBounds(candidate, b),
        )
        if (common) expect(boundsOverlap(a, b)).toBe(true)
      }),
      fcParameters(1000),
    )
    expect(disjoint, 'some pairs must be disjoint').toBeGreaterThan(0)
  })
})
