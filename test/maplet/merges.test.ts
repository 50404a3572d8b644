import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type MergeOperator, merges } from '../../src/maplet/index.ts'
import { identityOf } from '../../src/maplet/merges.ts'
import { fcParameters } from '../support/random.ts'

type Loose = MergeOperator<unknown>

const vector = fc.array(fc.integer({ min: -1000, max: 1000 }), { maxLength: 4 })

/** Operands of each operator, one kind at a time; sums are of integers, so that they are exact. */
const operands: readonly (readonly [keyof typeof merges, string, fc.Arbitrary<unknown>])[] = [
  ['sum', 'numbers', fc.integer()],
  ['sum', 'bigints', fc.bigInt()],
  ['min', 'numbers', fc.double()],
  ['min', 'bigints', fc.bigInt()],
  ['max', 'numbers', fc.double()],
  ['max', 'bigints', fc.bigInt()],
  ['union', 'sets', fc.array(fc.nat(9)).map((elements) => new Set(elements))],
  ['replace', 'anything', fc.anything()],
  ['or', 'booleans', fc.boolean()],
  ['or', 'bigints', fc.bigInt()],
  ['or', 'unsigned integers', fc.nat(2 ** 32 - 1)],
  ['and', 'booleans', fc.boolean()],
  ['and', 'bigints', fc.bigInt()],
  ['and', 'unsigned integers', fc.nat(2 ** 32 - 1)],
  ['addVectors', 'arrays', vector],
  ['addVectors', 'Float64Arrays', vector.map((elements) => Float64Array.from(elements))],
  ['concat', 'strings', fc.string()],
  ['concat', 'arrays', fc.array(fc.nat())],
  ['concat', 'bytes', fc.uint8Array()],
]

describe.each(operands)('merges.%s of %s', (name, _kind, operand) => {
  const operator = merges[name] as Loose
  const fold = (values: readonly unknown[], from: unknown = identityOf(operator)): unknown =>
    values.reduce((current, value) => operator.merge(current, value), from)

  it('starts from its identity', () => {
    fc.assert(
      fc.property(operand, (value) => {
        expect(fold([value])).toEqual(value)
      }),
      fcParameters(50),
    )
  })

  it('associates', () => {
    fc.assert(
      fc.property(operand, operand, operand, (a, b, c) => {
        expect(operator.merge(operator.merge(a, b), c)).toEqual(operator.merge(a, operator.merge(b, c)))
      }),
      fcParameters(50),
    )
  })

  it('commutes if it says so', () => {
    const differ = (a: unknown, b: unknown): boolean => {
      try {
        expect(operator.merge(a, b)).toEqual(operator.merge(b, a))
        return false
      } catch {
        return true
      }
    }
    const pairs = fc.sample(fc.tuple(operand, operand), { numRuns: 100, seed: 1 })
    expect(pairs.some(([a, b]) => differ(a, b))).toBe(operator.commutative !== true)
  })

  it('changes neither of its arguments', () => {
    fc.assert(
      fc.property(fc.array(operand, { minLength: 2, maxLength: 4 }), (values) => {
        const copies = values.map(copyOf)
        fold(values)
        expect(values).toEqual(copies)
      }),
      fcParameters(30),
    )
  })
})

function copyOf(value: unknown): unknown {
  if (value instanceof Set) return new Set(value)
  if (Array.isArray(value)) return [...(value as unknown[])]
  return value instanceof Float64Array || value instanceof Uint8Array ? value.slice() : value
}

describe('merges', () => {
  it('append elements, arrays among them', () => {
    const { append } = merges
    const empty = identityOf(append as MergeOperator<unknown[], never>)
    expect(append.merge(append.merge(empty, 1), [2])).toEqual([1, [2]])
    expect(append.commutative).toBe(false)
    expect(identityOf(append as MergeOperator<unknown[], never>)).not.toBe(empty)
  })

  it('add elements of any iterable to a set, but not the characters of a string', () => {
    expect(merges.union.merge(new Set([1]), [1, 2])).toEqual(new Set([1, 2]))
    expect(() => merges.union.merge(new Set(['a']), 'bc' as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_VALUE' }),
    )
  })

  it('add vectors of different lengths', () => {
    expect(merges.addVectors.merge([1, 2, 3], [10])).toEqual([11, 2, 3])
    expect(merges.addVectors.merge(Float64Array.of(1), Float64Array.of(1, 2))).toEqual(Float64Array.of(2, 2))
  })

  it.each([
    ['sum', 1, 1n],
    ['sum', 1, '1'],
    ['sum', '1', 1],
    ['sum', 1n, 1],
    ['sum', 0, null],
    ['min', 1, 1n],
    ['max', 'a', 'b'],
    ['or', true, 1],
    ['or', 1, -1],
    ['and', 1, 0.5],
    ['and', 1n, true],
    ['union', [1], [2]],
    ['union', new Set(), 1],
    ['addVectors', [1], ['a']],
    ['addVectors', [1], Float64Array.of(1)],
    ['concat', 'a', ['b']],
    ['concat', ['b'], 'a'],
    ['concat', 1, 2],
    ['append', 'a', 'b'],
  ] as const)('.%s refuse to mix %o and %o, without saying what they are', (name, current, operand) => {
    const operator = merges[name] as Loose
    expect(() => operator.merge(current, operand)).toThrow(
      expect.objectContaining({
        code: 'INVALID_VALUE',
        message: expect.stringMatching(new RegExp(`^merges\\.${name} takes [\\w, -]+$`)),
      }),
    )
  })

  it('cannot be changed', () => {
    expect(Object.isFrozen(merges)).toBe(true)
    expect(Object.values(merges).every((operator) => Object.isFrozen(operator))).toBe(true)
  })
})
