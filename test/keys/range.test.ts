import { describe, expect, it } from 'vitest'

import { VarveError } from '../../src/errors.ts'
import {
  ALL,
  boundsOfKey,
  boundsOverlap,
  compareKeys,
  encodeKey,
  formatKey,
  inBounds,
  type Key,
  resolveRange,
} from '../../src/keys/index.ts'

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)

function refusal(range: unknown, code = 'INVALID_ARGUMENT'): string {
  try {
    resolveRange(range)
  } catch (error) {
    expect(error).toBeInstanceOf(VarveError)
    expect((error as VarveError).code).toBe(code)
    return (error as VarveError).message
  }
  throw new Error('the range was accepted')
}

describe('resolveRange', () => {
  it('takes nothing, an empty object and undefined properties for all keys', () => {
    expect(resolveRange(undefined)).toBe(ALL)
    expect(resolveRange({})).toStrictEqual(ALL)
    const undefineds = { gt: undefined, gte: undefined, lt: undefined, lte: undefined, prefix: undefined }
    expect(resolveRange({ ...undefineds, reverse: undefined, limit: undefined })).toStrictEqual(ALL)
    expect(resolveRange(Object.create(null))).toStrictEqual(ALL)
    expect(ALL).toStrictEqual({
      lower: undefined,
      lowerOpen: false,
      upper: undefined,
      upperOpen: false,
      reverse: false,
      limit: Infinity,
      empty: false,
    })
  })

  it('tells the four bounds, direction and limit apart', () => {
    expect(resolveRange({ gt: 1, lte: 2 })).toStrictEqual({ ...ALL, lower: 1, lowerOpen: true, upper: 2 })
    expect(resolveRange({ gte: 1, lt: 2 })).toStrictEqual({ ...ALL, lower: 1, upper: 2, upperOpen: true })
    expect(resolveRange({ reverse: true, limit: 5 })).toStrictEqual({ ...ALL, reverse: true, limit: 5 })
    expect(resolveRange({ limit: Infinity })).toStrictEqual(ALL)
  })

  it('normalises and copies the bounds (I3)', () => {
    expect(Object.is(resolveRange({ gte: -0 }).lower, 0)).toBe(true)
    const given = bytes(1)
    const { lower } = resolveRange({ gte: given })
    given[0] = 9
    expect(lower).toStrictEqual(bytes(1))
  })

  it('marks as empty what crosses, what meets in an excluded key, and a limit of 0 (I2)', () => {
    for (const range of [
      { gt: 2, lt: 1 },
      { gte: 2, lte: 1 },
      { gt: 1, lt: 1 },
      { gte: 1, lt: 1 },
      { gt: 1, lte: 1 },
      { gte: 'a', lte: 5 },
      { limit: 0 },
      { prefix: 'a', lt: 'a' },
      { prefix: 'a', gte: 'b' },
      { prefix: 'a', gt: 5, lte: 6 },
    ]) {
      expect(resolveRange(range).empty, `range ${JSON.stringify(range)}`).toBe(true)
    }
    for (const range of [
      { gte: 1, lte: 1 },
      { gt: 1, lt: 2 },
      { gte: 5, lte: 'a' },
      { prefix: 'a', gte: 'a', lte: 'a' },
    ]) {
      expect(resolveRange(range).empty, `range ${JSON.stringify(range)}`).toBe(false)
    }
  })

  it.each<[Key, Key, Key]>([
    ['ab', 'ab', 'ac'],
    ['a\uffff', 'a\uffff', 'b'],
    ['a\ud7ff', 'a\ud7ff', 'a\ud800'],
    ['\uffff\uffff', '\uffff\uffff', bytes()],
    ['', '', bytes()],
    [bytes(0x61, 0xff, 0xff), bytes(0x61, 0xff, 0xff), bytes(0x62)],
    [bytes(0), bytes(0), bytes(1)],
    [bytes(0xff), bytes(0xff), []],
    [bytes(), bytes(), []],
  ])('makes an interval of a prefix, case %#', (prefix, lower, upper) => {
    expect(resolveRange({ prefix })).toStrictEqual({ ...ALL, lower, upper, upperOpen: true })
  })

  it.each<[Key, Key[], Key[]]>([
    ['a', ['a', 'a\0', 'a\uffff\uffff', 'a\ud800'], ['', '`\uffff', 'b', '\u00e4', bytes(0x61), ['a']]],
    ['', ['', '\0', '\uffff\uffff\uffff'], [Infinity, bytes(), []]],
    ['\uffff', ['\uffff', '\uffff\0', '\uffff\uffff'], ['\ufffe\uffff', bytes(), []]],
    [bytes(0xff), [bytes(0xff), bytes(0xff, 0xff)], [bytes(0xfe, 0xff), '\uffff', []]],
    [bytes(), [bytes(), bytes(0xff)], ['\uffff', []]],
    [['a'], [['a'], ['a', 1], ['a', ['z']], ['a', bytes(0xff), []]], [[], ['a\0'], ['ab'], ['b'], [['a']], 'a']],
    [[], [[], [false], [[[]]], ['z', 1]], [bytes(0xff), 'z', true]],
    [
      ['a', []],
      [
        ['a', []],
        ['a', [], 1],
      ],
      [['a'], ['a', [false]], ['a', [], 1].slice(0, 1)],
    ],
    [[1], [[1], [1, 'x']], [[1n], [1n, 'x'], [2]]],
  ])('finds by a prefix what starts with it, case %#', (prefix, inside, outside) => {
    const bounds = resolveRange({ prefix })
    for (const key of inside) expect(inBounds(key, bounds), `key ${formatKey(key)}`).toBe(true)
    for (const key of outside) expect(inBounds(key, bounds), `key ${formatKey(key)}`).toBe(false)
  })

  it('intersects a prefix with bounds', () => {
    const of = (range: object): unknown[] => {
      const { lower, lowerOpen, upper, upperOpen } = resolveRange(range)
      return [lower, lowerOpen, upper, upperOpen]
    }
    expect(of({ prefix: 'a', gt: 'a' })).toEqual(['a', true, 'b', true])
    expect(of({ prefix: 'a', gte: 'a5', lte: 'a7' })).toEqual(['a5', false, 'a7', false])
    expect(of({ prefix: 'a', gt: '0', lt: 'c' })).toEqual(['a', false, 'b', true])
    expect(of({ prefix: 'a', lte: 'b' })).toEqual(['a', false, 'b', true])
    expect(inBounds(['a', 5], resolveRange({ prefix: ['a'], gte: ['a', 5], reverse: true, limit: 1 }))).toBe(true)
    expect(inBounds(['a', 4], resolveRange({ prefix: ['a'], gte: ['a', 5] }))).toBe(false)
  })

  it('refuses as a range what is no plain object', () => {
    for (const range of [
      null,
      'a',
      5,
      5n,
      true,
      [],
      ['a'],
      bytes(1),
      new DataView(new ArrayBuffer(1)),
      (): void => {},
    ]) {
      expect(refusal(range)).toContain('a range is')
    }
  })

  it.each<[object, string]>([
    [{ gt: 1, gte: 1 }, 'both gt and gte'],
    [{ lt: 1, lte: 1 }, 'both lt and lte'],
    [{ limit: -1 }, 'limit is -1'],
    [{ limit: 1.5 }, 'limit is 1.5'],
    [{ limit: Number.NaN }, 'limit is NaN'],
    [{ limit: -Infinity }, 'limit is -Infinity'],
    [{ limit: '5' }, 'limit is a string'],
    [{ limit: 5n }, 'limit is a bigint'],
    [{ limit: null }, 'limit is null'],
    [{ reverse: 1 }, 'reverse is a number'],
    [{ reverse: null }, 'reverse is null'],
    [{ prefix: 5 }, 'prefix is a number'],
    [{ prefix: 5n }, 'prefix is a bigint'],
    [{ prefix: true }, 'prefix is a boolean'],
    [{ prefix: null }, 'prefix is null'],
    [{ start: 'a' }, 'unknown property "start"'],
    [JSON.parse('{"__proto__": {"gt": 1}}') as object, 'unknown property "__proto__"'],
  ])('refuses %o: %s', (range, reason) => {
    expect(refusal(range)).toContain(reason)
  })

  it('names everything that is wrong in one error', () => {
    const message = refusal({ gt: 1, gte: 1, lt: 1, lte: 1, prefix: 5, reverse: 'yes', limit: -1, start: 1, end: 2 })
    for (const part of ['both gt and gte', 'both lt and lte', 'prefix', 'reverse', 'limit', '"start"', '"end"']) {
      expect(message).toContain(part)
    }
  })

  it('refuses bounds that are no keys with INVALID_KEY, naming which', () => {
    for (const property of ['gt', 'gte', 'lt', 'lte']) {
      expect(refusal({ [property]: Number.NaN }, 'INVALID_KEY')).toContain(`range.${property} is NaN`)
      expect(refusal({ [property]: ['a', null] }, 'INVALID_KEY')).toContain(`range.${property}[1] is null`)
    }
    expect(refusal({ prefix: ['a', Number.NaN] }, 'INVALID_KEY')).toContain('range.prefix[1] is NaN')
    expect(refusal({ prefix: new Date(0) }, 'INVALID_KEY')).toContain('range.prefix is an object (Date)')
  })

  it('does not take inherited junk for a property', () => {
    expect(resolveRange(Object.create({ start: 1 }))).toStrictEqual(ALL)
  })
})

describe('bounds', () => {
  it('of a key hold that key alone', () => {
    const bounds = boundsOfKey('a')
    expect([inBounds('a', bounds), inBounds('a\0', bounds), inBounds('', bounds)]).toEqual([true, false, false])
  })

  it('with a limit of 0 hold nothing', () => {
    expect(inBounds('a', resolveRange({ limit: 0 }))).toBe(false)
    expect(inBounds('a', resolveRange({ limit: 1 }))).toBe(true)
  })

  it.each<[object, object, boolean]>([
    [{}, {}, true],
    [{ gte: 1, lte: 2 }, { gte: 2, lte: 3 }, true],
    [{ gte: 1, lt: 2 }, { gte: 2, lte: 3 }, false],
    [{ gte: 1, lte: 2 }, { gt: 2, lte: 3 }, false],
    [{ gte: 1, lte: 9 }, { gte: 4, lte: 5 }, true],
    [{ lt: 5 }, { gt: 5 }, false],
    [{ lt: 5 }, { lt: 1 }, true],
    [{ prefix: 'a' }, { prefix: 'ab' }, true],
    [{ prefix: 'a' }, { prefix: 'b' }, false],
    [{ prefix: '' }, { prefix: [] }, false],
    [{}, { limit: 0 }, false],
    [{}, { gt: 2, lt: 1 }, false],
  ])('%j and %j overlap: %s', (a, b, overlap) => {
    expect(boundsOverlap(resolveRange(a), resolveRange(b))).toBe(overlap)
    expect(boundsOverlap(resolveRange(b), resolveRange(a))).toBe(overlap)
  })

  it('encode as they compare, KEY_MAX included', () => {
    const { upper } = resolveRange({ prefix: ['a'] })
    expect(compareKeys(upper!, ['a', ['z']])).toBeGreaterThan(0)
    expect(Buffer.compare(encodeKey(upper!), encodeKey(['a', ['z']]))).toBe(1)
  })
})
