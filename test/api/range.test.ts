/** Ranges: every bound, prefix, direction and limit, on handles, on transactions with writes of their own, on snapshots. */
import { describe, expect, it } from 'vitest'

import { type Database, type Key, type Range, type Reader, table, type VarveError } from '../../src/index.ts'
import { open, thrown, withEntries } from './fixtures.ts'

const letters = ['a', 'b', 'c', 'd', 'e'] as const

interface Viewer {
  readonly name: string
  /** A reader that sees exactly the letters. */
  make(): Promise<Reader<string, number>>
}

const viewers: readonly Viewer[] = [
  { name: 'a handle', make: () => withEntries({ a: 0, b: 1, c: 2, d: 3, e: 4 }) },
  {
    name: 'a transaction that reads',
    make: async () => (await withEntries({ a: 0, b: 1, c: 2, d: 3, e: 4 })).begin(),
  },
  {
    name: 'a transaction that has written half of it, and deleted what was between',
    make: async () => {
      const handle = await withEntries({ a: 0, aa: 9, c: 9, cc: 9, e: 4 })
      const tx = handle.begin()
      for (const gone of ['aa', 'cc']) tx.delete(gone)
      for (const [key, value] of [['b', 1] as const, ['c', 2] as const, ['d', 3] as const]) tx.set(key, value)
      const savepoint = tx.savepoint()
      tx.set('bb', 9)
      tx.delete('e')
      tx.rollbackTo(savepoint)
      return tx
    },
  },
  {
    name: 'a transaction that has written everything',
    make: async () => {
      const tx = open().handle().begin()
      for (const [i, key] of [...letters].reverse().entries()) tx.set(key, 4 - i)
      return tx
    },
  },
  {
    name: 'a snapshot below later changes',
    make: async () => {
      const db = open()
      const handle = db.handle()
      for (const [i, key] of letters.entries()) await handle.set(key, i)
      const snapshot = db.snapshot()
      await handle.set('bb', 9)
      await handle.set('c', 9)
      await handle.delete('d')
      await handle.delete('a')
      await handle.clear()
      return snapshot
    },
  },
]

const cases: readonly (readonly [Range<string>, string])[] = [
  [{}, 'abcde'],
  [{ gt: 'b' }, 'cde'],
  [{ gte: 'b' }, 'bcde'],
  [{ lt: 'd' }, 'abc'],
  [{ lte: 'd' }, 'abcd'],
  [{ gt: 'a', lt: 'e' }, 'bcd'],
  [{ gte: 'a', lte: 'e' }, 'abcde'],
  [{ gt: 'bb', lt: 'dd' }, 'cd'],
  [{ gte: 'bb', lte: 'dd' }, 'cd'],
  [{ gt: '', lte: '\uffff' }, 'abcde'],
  [{ gte: 'c', lte: 'c' }, 'c'],
  [{ gt: 'c', lte: 'c' }, ''],
  [{ gte: 'c', lt: 'c' }, ''],
  [{ gt: 'd', lt: 'b' }, ''],
  [{ gte: 'e', lte: 'a' }, ''],
  [{ gt: 'e' }, ''],
  [{ lt: 'a' }, ''],
  [{ reverse: true }, 'edcba'],
  [{ reverse: false }, 'abcde'],
  [{ gt: 'a', lte: 'd', reverse: true }, 'dcb'],
  [{ limit: 2 }, 'ab'],
  [{ limit: 2, reverse: true }, 'ed'],
  [{ limit: 0 }, ''],
  [{ limit: Infinity }, 'abcde'],
  [{ gte: 'b', limit: 2 }, 'bc'],
  [{ lt: 'd', limit: 2, reverse: true }, 'cb'],
  [{ prefix: 'c' }, 'c'],
  [{ prefix: 'cc' }, ''],
  [{ prefix: '' }, 'abcde'],
  [{ prefix: 'c', gt: 'c' }, ''],
  [{ prefix: '', gt: 'b', limit: 2, reverse: true }, 'ed'],
  [{ gt: undefined, lte: undefined, prefix: undefined, reverse: undefined, limit: undefined }, 'abcde'],
]

describe.each(viewers)('$name', ({ make }) => {
  it.each(cases.map(([range, expected]) => ({ range, expected })))(
    '$range gives $expected',
    async ({ range, expected }) => {
      const reader = await make()
      const keys = expected.split('')
      const values = keys.map((key) => letters.indexOf(key as 'a'))
      expect([...reader.keys(range)]).toEqual(keys)
      expect([...reader.values(range)]).toEqual(values)
      expect([...reader.entries(range)]).toEqual(keys.map((key, i) => [key, values[i]]))
      expect(reader.count(range)).toBe(keys.length)
      const streamed: [string, number][] = []
      for await (const entry of reader.stream(range)) streamed.push(entry)
      expect(streamed).toEqual([...reader.entries(range)])
    },
  )

  it('knows its size', async () => {
    const reader = await make()
    expect(reader.size).toBe(5)
    expect(reader.count()).toBe(5)
  })
})

describe('prefixes', () => {
  const things: Key[] = [
    'a',
    'ab',
    'abc',
    'ac',
    'b',
    'a\uffff',
    'a\uffff\uffffz',
    Uint8Array.of(1),
    Uint8Array.of(1, 2),
    Uint8Array.of(1, 255),
    Uint8Array.of(2),
    Uint8Array.of(255, 255),
    ['a'],
    ['a', 1],
    ['a', 1, 'x'],
    ['a', 2n],
    ['ab'],
    ['b', 1],
    [['a'], 1],
    [['a', 1], 1],
    1,
    1n,
    true,
  ]
  const filled = async (): Promise<Database<Key, number>> => {
    const db = open<Key>()
    for (const key of things) await db.handle().set(key, 0)
    return db
  }
  const found = async (prefix: Key): Promise<Key[]> => [...(await filled()).handle().keys({ prefix: prefix as never })]

  it('of strings', async () => {
    expect(await found('a')).toEqual(['a', 'ab', 'abc', 'ac', 'a\uffff', 'a\uffff\uffffz'])
    expect(await found('ab')).toEqual(['ab', 'abc'])
    expect(await found('a\uffff')).toEqual(['a\uffff', 'a\uffff\uffffz'])
    expect(await found('\uffff')).toEqual([])
    expect(await found('')).toHaveLength(7)
  })

  it('of bytes', async () => {
    expect(await found(Uint8Array.of(1))).toEqual([Uint8Array.of(1), Uint8Array.of(1, 2), Uint8Array.of(1, 255)])
    expect(await found(Uint8Array.of(1, 255))).toEqual([Uint8Array.of(1, 255)])
    expect(await found(Uint8Array.of(255))).toEqual([Uint8Array.of(255, 255)])
    expect(await found(new Uint8Array())).toHaveLength(5)
  })

  it('of tuples: whole elements, not parts of them', async () => {
    expect(await found(['a'])).toEqual([['a'], ['a', 1], ['a', 1, 'x'], ['a', 2n]])
    expect(await found(['a', 1])).toEqual([
      ['a', 1],
      ['a', 1, 'x'],
    ])
    expect(await found([['a']])).toEqual([[['a'], 1]])
    expect(await found([])).toHaveLength(8)
    expect(await found(['a', 1, 'x', 2])).toEqual([])
  })

  it('go together with bounds, direction and limit', async () => {
    const handle = (await filled()).handle()
    expect([...handle.keys({ prefix: ['a'], gt: ['a'], reverse: true, limit: 2 })]).toEqual([
      ['a', 2n],
      ['a', 1, 'x'],
    ])
    expect(handle.count({ prefix: 'a', lt: 'ac' })).toBe(3)
  })

  it('work in a transaction over its own writes too', async () => {
    const db = await filled()
    await db.handle().transaction((tx) => {
      tx.delete(['a', 1])
      tx.set(['a', 3], 1)
      expect([...tx.keys({ prefix: ['a'] })]).toEqual([['a'], ['a', 1, 'x'], ['a', 2n], ['a', 3]])
    })
  })
})

describe('a range that is none', () => {
  it('is refused, with everything that is wrong with it', () => {
    const handle = open().handle()
    const call = (range: unknown) => (): unknown => handle.keys(range as Range<string>)
    for (const wrong of [5, 'a', null, ['a'], new Uint8Array(2)]) expect(thrown(call(wrong))).toBe('INVALID_ARGUMENT')
    for (const wrong of [
      { from: 'a' },
      { gt: 'a', gte: 'a' },
      { limit: -1 },
      { limit: 1.5 },
      { reverse: 1 },
      { prefix: 3 },
    ]) {
      expect([wrong, thrown(call(wrong))]).toEqual([wrong, 'INVALID_ARGUMENT'])
    }
    expect(thrown(call({ gt: Number.NaN }))).toBe('INVALID_KEY')
    expect(thrown(call({ lte: {} }))).toBe('INVALID_KEY')
    let message = ''
    try {
      handle.count({ from: 1, lt: 'a', lte: 'b', limit: -1 } as never)
    } catch (error) {
      ;({ message } = error as VarveError)
    }
    for (const word of ['from', 'lte', 'limit']) expect(message).toContain(word)
  })

  it('is refused by every reader and by count and stream', async () => {
    const db = open()
    const wrong = { from: 'a' } as never
    using snapshot = db.snapshot()
    const readers: Reader<string, number>[] = [db.handle(), db.handle().begin(), snapshot.table(table('t'))]
    for (const reader of readers) {
      for (const method of ['entries', 'keys', 'values', 'count', 'stream'] as const) {
        expect(thrown(() => reader[method](wrong))).toBe('INVALID_ARGUMENT')
      }
    }
  })

  it('leaves nothing open', () => {
    const db = open()
    db.handle().begin()
    expect(thrown(() => db.handle().entries({ limit: -1 }))).toBe('INVALID_ARGUMENT')
    expect(thrown(() => db.handle().count({ limit: -1 }))).toBe('INVALID_ARGUMENT')
    expect(db.stats().transactions.open).toBe(1)
  })
})

describe('many keys', () => {
  it('come in order over hundreds of leaves, from any place to any other', async () => {
    const db = open<number>()
    await db.handle().transaction((tx) => {
      for (let i = 0; i < 20_000; i++) tx.set((i * 7919) % 20_000, i)
    })
    const handle = db.handle()
    expect([...handle.keys()]).toEqual(Array.from({ length: 20_000 }, (_, i) => i))
    expect([...handle.keys({ gte: 12_345, limit: 3 })]).toEqual([12_345, 12_346, 12_347])
    expect([...handle.keys({ lt: 12_345, reverse: true, limit: 3 })]).toEqual([12_344, 12_343, 12_342])
    expect(handle.count({ gt: 63, lte: 10_063 })).toBe(10_000)
  })
})
