/** The public list: what it promises beside what the index below it holds. */
import { describe, expect, it } from 'vitest'
import { type Key, SkipList, type SkipListOptions, type SkipListRange, VarveError } from '../../src/skiplist/index.ts'

function codeOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof VarveError) return `${error.code}: ${error.message}`
    throw error
  }
  return 'nothing thrown'
}

const numbered = (count: number): SkipList<number, string> =>
  new SkipList({ entries: Array.from({ length: count }, (_, i): [number, string] => [i, `v${i}`]) })

describe('SkipList as a Map', () => {
  it('gets, sets, deletes, counts and clears', () => {
    const list = new SkipList<string, number>()
    expect(list.set('b', 1).set('a', 2).set('b', 3)).toBe(list)
    expect([list.size, list.get('a'), list.get('b'), list.get('c')]).toEqual([2, 2, 3, undefined])
    expect([list.has('a'), list.has('c'), list.delete('a'), list.delete('a'), list.size]).toEqual([
      true,
      false,
      true,
      false,
      1,
    ])
    list.clear()
    expect([list.size, [...list], list.first(), list.last()]).toEqual([0, [], undefined, undefined])
    expect(Object.prototype.toString.call(list)).toBe('[object SkipList]')
  })

  it('tells an undefined value from an absent key by has()', () => {
    const list = new SkipList<string, undefined>().set('a', undefined)
    expect([list.has('a'), list.get('a'), list.has('b')]).toEqual([true, undefined, false])
  })

  it('calls forEach as Map does', () => {
    const list = numbered(3)
    const self = {}
    const calls: unknown[] = []
    list.forEach(function (this: unknown, ...args) {
      calls.push([this, ...args])
    }, self)
    expect(calls).toEqual([0, 1, 2].map((i) => [self, `v${i}`, i, list]))
  })

  it('loads entries, the later of equal keys winning', () => {
    const list = new SkipList({
      entries: new Map([
        ['b', 1],
        ['a', 2],
      ]),
    })
    expect([...list]).toEqual([
      ['a', 2],
      ['b', 1],
    ])
    expect([
      ...new SkipList({
        entries: [
          [1, 'x'],
          [1, 'y'],
        ] as const,
      }),
    ]).toEqual([[1, 'y']])
    expect(() => list.check()).not.toThrow()
  })
})

describe('keys of a SkipList', () => {
  it('stand in the order of the database', () => {
    const keys: Key[] = [
      false,
      true,
      -1n,
      0,
      0n,
      0.5,
      1,
      Infinity,
      '',
      'a',
      'b',
      new Uint8Array([1]),
      [],
      ['a'],
      ['a', 1],
    ]
    const list = new SkipList<Key, number>()
    for (const [i, key] of [...keys.entries()].reverse()) list.set(key, i)
    expect([...list.keys()]).toEqual(keys)
    expect([...list.values()]).toEqual(keys.map((_, i) => i))
    list.check()
  })

  it('are refused if they have no place in it', () => {
    const list = new SkipList<Key, number>()
    const bad = [NaN, undefined, null, {}, Symbol('s'), [NaN], [undefined], new Date(0)] as unknown as Key[]
    for (const key of bad) {
      for (const action of [
        () => list.set(key, 1),
        () => list.get(key),
        () => list.has(key),
        () => list.delete(key),
        () => list.floor(key),
      ]) {
        expect(codeOf(action)).toMatch(/^INVALID_KEY: /)
      }
    }
    for (const key of bad) {
      if (key !== undefined) expect(codeOf(() => list.entries({ gt: key }))).toMatch(/^INVALID_KEY: /)
    }
    expect(list.size).toBe(0)
  })

  it('have one zero', () => {
    const list = new SkipList<number, string>().set(-0, 'zero')
    expect(list.get(0)).toBe('zero')
    expect(Object.is(list.first()?.[0], 0)).toBe(true)
  })

  it('cannot be disturbed from outside', () => {
    const bytes = Uint8Array.of(1, 2)
    const tuple = ['a', Uint8Array.of(3)]
    const list = new SkipList<Key, number>().set(bytes, 1).set(tuple, 2).set(Uint8Array.of(5), 3)
    bytes[0] = 9
    tuple[0] = 'z'
    ;(tuple[1] as Uint8Array)[0] = 9
    for (const key of [...list.keys(), ...[...list].map(([key]) => key), list.first()![0], list.last()![0]]) {
      if (key instanceof Uint8Array) key[0] = 7
      else if (Array.isArray(key)) (key[1] as Uint8Array)[0] = 7
    }
    expect([...list.keys()]).toEqual([Uint8Array.of(1, 2), Uint8Array.of(5), ['a', Uint8Array.of(3)]])
    expect(list.get(Uint8Array.of(1, 2))).toBe(1)
    expect(list.get(['a', Uint8Array.of(3)])).toBe(2)
    list.check()
  })

  it('are anything but undefined and NaN with a comparator, by reference', () => {
    const byDay = new SkipList<Date, string>({ compare: (a, b) => a.getTime() - b.getTime() })
    const [monday, tuesday] = [new Date('2024-01-01'), new Date('2024-01-02')]
    byDay.set(tuesday, 'Tuesday').set(monday, 'Monday').set(new Date('2024-01-02'), 'tuesday')
    expect([...byDay.values()]).toEqual(['Monday', 'tuesday'])
    expect(byDay.last()?.[0]).toBe(tuesday)
    expect(byDay.get(new Date(tuesday))).toBe('tuesday')
    const nulls = new SkipList<null, number>({ compare: () => 0 }).set(null, 1)
    expect([...nulls.keys()]).toEqual([null])
    for (const key of [undefined, NaN]) {
      expect(codeOf(() => byDay.set(key as never, ''))).toMatch(/^INVALID_KEY: the key is (undefined|NaN)/)
    }
    const descending = new SkipList<number, number>({ compare: (a, b) => b - a })
    for (let i = 0; i < 1000; i++) descending.set((i * 7) % 1000, i)
    expect([...descending.keys({ gt: 5, lte: 2 })]).toEqual([4, 3, 2])
    descending.check()
  })
})

describe('neighbours', () => {
  it('lower, floor, ceiling and higher, across blocks and at the ends', () => {
    const list = new SkipList<number, number>({
      entries: Array.from({ length: 500 }, (_, i): [number, number] => [2 * i, i]),
    })
    for (let key = -1; key <= 1000; key++) {
      const at = (found: number): [number, number] | undefined =>
        found < 0 || found > 998 ? undefined : [found, found / 2]
      const odd = key & 1
      expect(list.lower(key)).toEqual(at(Math.min(odd ? key - 1 : key - 2, 998)))
      expect(list.floor(key)).toEqual(at(Math.min(odd ? key - 1 : key, 998)))
      expect(list.ceiling(key)).toEqual(at(Math.max(odd ? key + 1 : key, 0)))
      expect(list.higher(key)).toEqual(at(Math.max(odd ? key + 1 : key + 2, 0)))
    }
    expect([list.first(), list.last()]).toEqual([
      [0, 0],
      [998, 499],
    ])
  })

  it('are none in an empty list', () => {
    const list = new SkipList<number, number>()
    expect([list.lower(1), list.floor(1), list.ceiling(1), list.higher(1)]).toEqual(Array(4).fill(undefined))
  })
})

describe('ranges', () => {
  const keysOf = (range: SkipListRange<number>): number[] => [...numbered(1000).keys(range)]

  it('take bounds, a direction and a limit', () => {
    expect(keysOf({ gt: 5, lt: 8 })).toEqual([6, 7])
    expect(keysOf({ gte: 5, lte: 8 })).toEqual([5, 6, 7, 8])
    expect(keysOf({ gte: 5, lte: 8, reverse: true })).toEqual([8, 7, 6, 5])
    expect(keysOf({ gt: 5, lt: 8, reverse: true })).toEqual([7, 6])
    expect(keysOf({ gt: 997 })).toEqual([998, 999])
    expect(keysOf({ lt: 2 })).toEqual([0, 1])
    expect(keysOf({ reverse: true, limit: 2 })).toEqual([999, 998])
    expect(keysOf({ gte: 60, limit: 10 })).toEqual(Array.from({ length: 10 }, (_, i) => 60 + i))
    expect(keysOf({ gte: 2.5, lte: 3.5 })).toEqual([3])
    expect(keysOf({ limit: 0 })).toEqual([])
    expect(keysOf({ limit: Infinity })).toHaveLength(1000)
    expect(keysOf({ gt: 1, lte: undefined })).toHaveLength(998)
  })

  it('are empty if their bounds cross', () => {
    for (const range of [
      { gt: 5, lt: 5 },
      { gte: 6, lte: 5 },
      { gt: 5, lte: 5 },
      { gte: 5, lt: 5 },
      { gt: 900, lt: 3 },
    ]) {
      expect(keysOf(range)).toEqual([])
      expect(keysOf({ ...range, reverse: true })).toEqual([])
    }
  })

  it('are refused with everything wrong in one error', () => {
    const list = numbered(3)
    const bad = { gt: 1, gte: 1, lt: 1, lte: 1, reverse: 'yes', limit: -1, from: 1, Limit: 2 } as never
    expect(codeOf(() => list.entries(bad))).toBe(
      'INVALID_ARGUMENT: invalid range: unknown property "from"; unknown property "Limit"; both gt and gte are given; ' +
        'both lt and lte are given; reverse is not a boolean; limit is not a whole number from 0 or Infinity',
    )
    for (const range of [null, 5, 'a', [], () => 1]) {
      expect(codeOf(() => list.keys(range as never))).toMatch(/^INVALID_ARGUMENT: /)
    }
    for (const limit of [1.5, NaN, '1', -Infinity, 2 ** 60]) {
      expect(codeOf(() => list.values({ limit: limit as never }))).toMatch(/^INVALID_ARGUMENT: /)
    }
  })
})

describe('options', () => {
  it('are refused with everything wrong in one error', () => {
    const bad = { compare: 'a', entries: 5, comparator: () => 0 } as unknown as SkipListOptions<Key, unknown>
    expect(codeOf(() => new SkipList(bad))).toBe(
      'INVALID_OPTIONS: invalid options of SkipList: unknown option "comparator"; compare is not a function; ' +
        'entries is not iterable',
    )
    for (const options of [null, [], 'a', 5, () => 1]) {
      expect(codeOf(() => new SkipList(options as never))).toMatch(/^INVALID_OPTIONS: .* must be an object/)
    }
    expect(codeOf(() => new SkipList({ entries: [['a', 1], 'b'] as never }))).toMatch(/entries\[1\]/)
    expect(codeOf(() => new SkipList({ entries: null as never }))).toMatch(/entries is not iterable/)
  })
})

describe('iterators', () => {
  it('see what is inserted and removed ahead of them, and not what is behind', () => {
    const list = numbered(10)
    const seen: number[] = []
    for (const [key] of list) {
      seen.push(key)
      if (key === 3) {
        list.delete(5)
        list.delete(1)
        list.set(2.5, 'behind').set(6.5, 'ahead')
      }
      if (key === 7) list.delete(7)
    }
    expect(seen).toEqual([0, 1, 2, 3, 4, 6, 6.5, 7, 8, 9])
  })

  it('can empty the list they go over, and be endless', () => {
    const list = numbered(1000)
    for (const key of list.keys({ reverse: true })) list.delete(key)
    expect(list.size).toBe(0)
    list.set(0, '')
    for (const key of list.keys()) if (key < 5000) list.set(key + 1, '').delete(key)
    expect([...list.keys()]).toEqual([5000])
    list.check()
  })

  it('do not give again what is removed and put back', () => {
    const list = numbered(5)
    const seen: number[] = []
    for (const key of list.keys()) {
      seen.push(key)
      list.delete(key)
      list.set(key, 'again')
    }
    expect(seen).toEqual([0, 1, 2, 3, 4])
  })

  it('stay ended, and are not ended by leaving a loop', () => {
    const list = numbered(4)
    const iterator = list.keys()
    for (const key of iterator) if (key === 1) break
    expect([...iterator]).toEqual([2, 3])
    list.set(9, '')
    expect(iterator.next()).toEqual({ done: true, value: undefined })
  })

  it('keep to their bounds while those move into other blocks', () => {
    const list = new SkipList<string, number>()
    for (let i = 0; i < 200; i += 2) list.set(`k${1000 + i}`, i)
    const seen: string[] = []
    for (const key of list.keys({ gte: 'k1010', lt: 'k1190' })) {
      seen.push(key)
      for (let i = 1; i < 200 && seen.length === 20; i += 2) list.set(`k${1000 + i}`, i)
    }
    expect(seen[0]).toBe('k1010')
    expect(seen.at(-1)).toBe('k1189')
    expect(seen).toHaveLength(20 + (1189 - 1048))
  })

  it('keep to their bounds when keys beyond them come into the block they are in', () => {
    for (const reverse of [false, true]) {
      const list = numbered(5)
      const iterator = list.keys({ gte: 0, lte: 4, reverse })
      iterator.next()
      list.set(9, '').set(-9, '').set(2.5, '')
      expect([...iterator]).toEqual(reverse ? [3, 2.5, 2, 1, 0] : [1, 2, 2.5, 3, 4])
    }
  })

  it('go on after clear() with what comes later in their direction', () => {
    const list = numbered(100)
    const iterator = list.keys({ gte: 50 })
    iterator.next()
    list.clear()
    list.set(10, '').set(60, '')
    expect([...iterator]).toEqual([60])
  })
})
