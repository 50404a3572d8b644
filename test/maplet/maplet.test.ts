import { describe, expect, it } from 'vitest'
import { Filter, Maplet, type MergeOperator, merges } from '../../src/maplet/index.ts'

const failure = (code: string, message: string | RegExp): unknown =>
  expect.objectContaining({
    code,
    message: typeof message === 'string' ? expect.stringContaining(message) : expect.stringMatching(message),
  })

describe('a maplet without merge', () => {
  it('holds every value under a key; get gives the newest', () => {
    const maplet = new Maplet<string>({ seed: 1 })
    maplet.insert('a', 'one')
    maplet.insert('a', 'two')
    maplet.insert('b', 'three')
    expect([maplet.get('a'), maplet.getAll('a'), maplet.get('c'), maplet.getAll('c')]).toEqual([
      'two',
      ['one', 'two'],
      undefined,
      [],
    ])
    expect([maplet.has('a'), maplet.has('c'), maplet.size]).toEqual([true, false, 3])
    expect(maplet.delete('a')).toBe(true)
    expect([maplet.get('a'), maplet.size]).toEqual(['one', 2])
    expect(maplet.delete('a', 'two')).toBe(false)
    expect(maplet.delete('a', 'one')).toBe(true)
    expect(maplet.delete('a')).toBe(false)
    maplet.check()
  })

  it('takes every kind of key, and equal keys for one', () => {
    const maplet = new Maplet({ seed: 1 })
    const keys = ['', 'a', 0, 1, 1n, true, Uint8Array.of(1, 2), ['a', [1, 2n]], []]
    for (const [i, key] of keys.entries()) maplet.insert(key, i)
    expect([maplet.get(-0), maplet.get(Buffer.from([1, 2])), maplet.get(['a', [1, 2n]]), maplet.get(1n)]).toEqual([
      2, 6, 7, 4,
    ])
    expect(() => maplet.insert(Number.NaN, 1)).toThrow(failure('INVALID_KEY', 'NaN'))
    expect(() => maplet.get({} as never)).toThrow(failure('INVALID_KEY', 'key'))
  })

  it.each([0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1])('holds %d in its slots', (value) => {
    const maplet = new Maplet({ seed: 1 })
    maplet.insert('a', value)
    expect(maplet.get('a')).toBe(value)
    expect(maplet.stats().valuesAside).toBe(0)
    expect(maplet.delete('a', value)).toBe(true)
  })

  it.each([-1, -0, 0.5, 2 ** 32, Number.NaN, Infinity, 1n, '1', null, undefined, { a: 1 }])(
    'holds %s aside, and from then on all values',
    (value) => {
      const maplet = new Maplet<unknown>({ seed: 1 })
      for (let i = 0; i < 1000; i++) maplet.insert(i, i)
      maplet.insert('a', value)
      expect(maplet.get('a')).toBe(value)
      expect(maplet.stats().valuesAside).toBe(1001)
      maplet.insert('b', 7)
      for (let i = 0; i < 1000; i++) expect(maplet.get(i)).toBe(i)
      maplet.check()
      for (let i = 0; i < 1000; i += 2) expect(maplet.delete(i, i)).toBe(true)
      expect(maplet.stats().valuesAside).toBe(502)
      for (let i = 0; i < 1000; i += 2) maplet.insert(i, `new ${i}`)
      expect(maplet.get(10)).toBe('new 10')
      maplet.check()
      maplet.clear()
      expect(maplet.stats()).toMatchObject({ entries: 0, valuesAside: 0 })
    },
  )

  it('keeps more values under one key than stand near one home', () => {
    const maplet = new Maplet({ seed: 1 })
    for (let i = 0; i < 2000; i++) maplet.insert(i, i)
    for (let i = 0; i < 1000; i++) maplet.insert('much', i)
    expect(maplet.getAll('much')).toEqual(Array.from({ length: 1000 }, (_, i) => i))
    expect(maplet.get('much')).toBe(999)
    for (let i = 999; i >= 0; i--) {
      expect(maplet.get('much')).toBe(i)
      expect(maplet.delete('much')).toBe(true)
    }
    expect(maplet.has('much')).toBe(false)
    for (let i = 0; i < 2000; i++) expect(maplet.get(i)).toBe(i)
    maplet.check()
  })

  it('iterates fingerprints and values, each entry once', () => {
    const maplet = new Maplet({ seed: 1 })
    for (let i = 0; i < 30_000; i++) maplet.insert(i, i)
    const entries = [...maplet]
    expect(new Set(entries.map(([, value]) => value)).size).toBe(30_000)
    expect(new Set(entries.map(([fingerprint]) => fingerprint)).size).toBeGreaterThan(29_990)
    expect(entries.every(([fingerprint]) => Number.isSafeInteger(fingerprint) && fingerprint >= 0)).toBe(true)
    const again = new Maplet({ seed: maplet.seed })
    for (let i = 29_999; i >= 0; i--) again.insert(i, i)
    const same = new Map([...again].map(([fingerprint, value]) => [value, fingerprint]))
    // The same key has the same first 31 bits, and the unknown ones are 0.
    const first = (fingerprint: number): number => Math.floor(fingerprint / 2 ** 24)
    for (const [fingerprint, value] of entries) expect(first(fingerprint)).toBe(first(same.get(value)!))
  })

  it('notices when it is changed during iteration', () => {
    const maplet = new Maplet({ seed: 1 })
    for (let i = 0; i < 10; i++) maplet.insert(i, i)
    const iterator = maplet.entries()
    iterator.next()
    maplet.insert(10, 10)
    expect(() => iterator.next()).toThrow(failure('INVALID_ARGUMENT', 'changed'))
    const filter = new Filter({ seed: 1 })
    filter.insert(1)
    filter.insert(2)
    const fingerprints = filter.fingerprints()
    fingerprints.next()
    filter.delete(1)
    expect(() => fingerprints.next()).toThrow(failure('INVALID_ARGUMENT', 'changed'))
  })
})

describe('a maplet with merge', () => {
  it('counts', () => {
    const visits = new Maplet({ merge: merges.sum, seed: 1 })
    for (let i = 0; i < 10_000; i++) visits.insert(i % 100, 1)
    expect(visits.size).toBe(100)
    for (let i = 0; i < 100; i++) expect(visits.get(i)).toBe(100)
    expect(visits.stats().valuesAside).toBe(0)
    visits.insert(5, -101)
    expect([visits.get(5), visits.get(6), visits.stats().valuesAside]).toEqual([-1, 100, 100])
    visits.check()
  })

  it('counts on below and above 32 bits', () => {
    const totals = new Maplet({ merge: merges.sum, seed: 1 })
    for (let i = 0; i < 100; i++) totals.insert(i, 2 ** 31)
    totals.insert(7, 2 ** 31)
    totals.insert(7, 2 ** 31)
    for (let i = 0; i < 100; i++) expect(totals.get(i)).toBe(i === 7 ? 3 * 2 ** 31 : 2 ** 31)
    totals.check()
  })

  it.each([
    ['min', merges.min, [5, 3, 9], 3],
    ['max', merges.max, [5, 3, 9], 9],
    ['replace', merges.replace, [5, 3, 9], 9],
    ['or', merges.or, [5, 3, 8], 15],
    ['and', merges.and, [7, 3, 11], 3],
  ] as const)('keeps the %s', (_name, merge, values, expected) => {
    const maplet = new Maplet<number>({ merge, seed: 1 })
    for (let i = 0; i < 3000; i++) for (const value of values) maplet.insert(i, value)
    expect(maplet.size).toBe(3000)
    for (let i = 0; i < 3000; i++) expect(maplet.get(i)).toBe(expected)
  })

  it('unites sets, and does not touch those it was given', () => {
    const tags = new Maplet<Set<string>>({ merge: merges.union, seed: 1 })
    const mine = new Set(['a'])
    tags.insert('k', mine)
    tags.insert('k', new Set(['b']))
    expect([tags.get('k'), mine]).toEqual([new Set(['a', 'b']), new Set(['a'])])
  })

  it('takes a custom operator, whose identity may be a function', () => {
    const longest: MergeOperator<string[]> = { identity: () => [], merge: (a, b) => (b.length > a.length ? b : a) }
    const maplet = new Maplet({ merge: longest, seed: 1 })
    maplet.insert('k', ['a'])
    maplet.insert('k', ['b', 'c'])
    maplet.insert('k', ['d'])
    expect(maplet.get('k')).toEqual(['b', 'c'])
    expect(maplet.delete('k')).toBe(true)
    expect(maplet.get('k')).toBeUndefined()
  })

  it('is as it was when the operator throws', () => {
    const totals = new Maplet<number>({ merge: merges.sum, seed: 1 })
    totals.insert('k', 1)
    expect(() => totals.insert('k', 'x' as never)).toThrow(failure('INVALID_VALUE', 'sum'))
    expect(() => totals.insert('l', 'x' as never)).toThrow(failure('INVALID_VALUE', 'sum'))
    expect([totals.get('k'), totals.has('l'), totals.size]).toEqual([1, false, 1])
    totals.check()
  })
})

describe('merging maplets', () => {
  it('gives the entries of both and leaves them alone', () => {
    const one = new Maplet({ seed: 1 })
    const two = new Maplet({ seed: one.seed })
    for (let i = 0; i < 20_000; i++) one.insert(i, i)
    for (let i = 15_000; i < 60_000; i++) two.insert(i, i + 1)
    const both = one.merge(two)
    both.check()
    expect([both.size, one.size, two.size]).toEqual([65_000, 20_000, 45_000])
    expect([both.getAll(5), both.getAll(15_000).sort((p, q) => p - q), both.getAll(59_999)]).toEqual([
      [5],
      [15_000, 15_001],
      [60_000],
    ])
    both.insert('new', 1)
    expect([one.has('new'), two.has('new')]).toEqual([false, false])
    one.check()
    two.check()
  })

  it('merges values with the operator, in order, and takes counters back into the slots', () => {
    const one = new Maplet({ merge: merges.sum, seed: 1 })
    const two = new Maplet({ merge: merges.sum, seed: one.seed })
    for (let i = 0; i < 20_000; i++) one.insert(i, 1)
    for (let i = 10_000; i < 60_000; i++) two.insert(i, 2)
    const both = one.merge(two)
    both.check()
    expect(both.size).toBe(60_000)
    for (let i = 0; i < 60_000; i += 11) expect(both.get(i)).toBe(i < 10_000 ? 1 : i < 20_000 ? 3 : 2)
    expect(both.stats().valuesAside).toBe(0)
    expect(both.bytes / both.size).toBeLessThan(11)
    const words = (text: string): Maplet<string> => {
      const maplet = new Maplet<string>({ merge: merges.concat, seed: 1 })
      maplet.insert('k', text)
      return maplet
    }
    expect(words('a').merge(words('b')).get('k')).toBe('ab')
  })

  it('brings together values inline and aside', () => {
    const one = new Maplet<number | string>({ seed: 1 })
    const two = new Maplet<number | string>({ seed: 1 })
    for (let i = 0; i < 1000; i++) {
      one.insert(i, i)
      two.insert(i, `${i}`)
    }
    expect(one.merge(two).getAll(7)).toEqual([7, '7'])
    expect(two.merge(one).getAll(7)).toEqual(['7', 7])
    two.merge(one).check()
    expect(one.merge(two).stats().valuesAside).toBe(2000)
  })

  it('is refused between different ones', () => {
    const one = new Maplet({ seed: 1 })
    expect(() => one.merge(new Maplet({ seed: 2 }))).toThrow(failure('INVALID_ARGUMENT', 'seed'))
    expect(() => one.merge(new Maplet({ seed: 1, hash: 'keyed' }))).toThrow(failure('INVALID_ARGUMENT', 'hash'))
    expect(() => one.merge(new Maplet({ seed: 1, merge: merges.sum }))).toThrow(failure('INVALID_ARGUMENT', 'operator'))
    expect(() => new Filter({ seed: 1 }).merge(new Filter({ seed: 1, falsePositiveRate: 0.001 }))).toThrow(
      failure('INVALID_ARGUMENT', 'rates'),
    )
  })

  it('respects the capacity of the first', () => {
    const one = new Maplet({ seed: 1, capacity: 100, autoResize: false })
    const two = new Maplet({ seed: 1 })
    for (let i = 0; i < 60; i++) {
      one.insert(i, i)
      two.insert(100 + i, i)
    }
    expect(() => one.merge(two)).toThrow(failure('CAPACITY_EXCEEDED', '120'))
    for (let i = 0; i < 30; i++) two.delete(100 + i)
    const both = one.merge(two)
    expect(both.size).toBe(90)
    for (let i = 0; i < 10; i++) both.insert(`more ${i}`, i)
    expect(() => both.insert('one more', 1)).toThrow(failure('CAPACITY_EXCEEDED', '100'))
  })
})

describe('options', () => {
  it('without growth: what does not fit changes nothing', () => {
    for (const maplet of [
      new Maplet({ seed: 1, capacity: 3, autoResize: false }),
      new Maplet<unknown>({ seed: 1, capacity: 3, autoResize: false }),
    ]) {
      for (const key of ['a', 'b', 'c']) maplet.insert(key, key === 'a' ? 1 : 2)
      expect(() => maplet.insert('d', 3)).toThrow(failure('CAPACITY_EXCEEDED', 'capacity is 3'))
      expect(() => maplet.insert('d', -1)).toThrow(failure('CAPACITY_EXCEEDED', 'capacity is 3'))
      maplet.check()
      expect([maplet.size, maplet.get('a'), maplet.has('d')]).toEqual([3, 1, false])
      maplet.delete('b')
      maplet.insert('d', 4)
      expect([maplet.get('d'), maplet.stats().capacity]).toEqual([4, 3])
    }
    const filter = new Filter({ seed: 1, capacity: 2, autoResize: false })
    filter.insert(1)
    filter.insert(1)
    expect(() => filter.insert(1)).toThrow(failure('CAPACITY_EXCEEDED', 'capacity is 2'))
    expect(filter.size).toBe(2)
    filter.check()
  })

  it('are all named in one error', () => {
    const bad = { capacty: 1, falsePositiveRate: 1e-9, hash: 'sip', merge: 5, autoResize: 1 } as never
    expect(() => new Maplet(bad)).toThrow(
      failure('INVALID_OPTIONS', /capacty.*falsePositiveRate 1e-9.*0\.0001.*autoResize.*hash.*merge/),
    )
    expect(() => new Filter(bad)).toThrow(failure('INVALID_OPTIONS', /capacty.*merge is unknown.*falsePositiveRate/))
    expect(() => new Maplet({ seed: 0.5 })).toThrow(failure('INVALID_OPTIONS', 'seed'))
  })
})

describe('a filter', () => {
  it('has what was inserted, as often as it was', () => {
    const filter = new Filter({ seed: 1 })
    filter.insert('a')
    filter.insert('a')
    filter.insert(['b', 1])
    expect([filter.has('a'), filter.has(['b', 1]), filter.has('c'), filter.size]).toEqual([true, true, false, 3])
    expect([filter.delete('a'), filter.has('a'), filter.delete('a'), filter.has('a'), filter.delete('a')]).toEqual([
      true,
      true,
      true,
      false,
      false,
    ])
    expect([...filter.fingerprints()]).toHaveLength(1)
    filter.check()
  })

  it('merges with another', () => {
    for (const falsePositiveRate of [undefined, 0.001]) {
      const one = new Filter({ seed: 1, falsePositiveRate })
      const two = new Filter({ seed: one.seed, falsePositiveRate })
      for (let i = 0; i < 30_000; i++) (i % 10 === 0 ? one : two).insert(i)
      const both = one.merge(two)
      both.check()
      expect([both.size, one.size, two.size]).toEqual([30_000, 3000, 27_000])
      for (let i = 0; i < 30_000; i++) expect(both.has(i)).toBe(true)
      expect(both.stats().measuredFalsePositiveRate).toBeLessThan(falsePositiveRate ?? 0.01)
      for (let i = 0; i < 30_000; i++) expect(both.delete(i)).toBe(true)
      expect(both.size).toBe(0)
      both.merge(one).check()
    }
  })
})
