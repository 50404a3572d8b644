/** Keys through the database: what is one key, what is two, what is none, and whose they are. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { codecs, type Key, keys, table } from '../../src/index.ts'
import { referenceCompare } from '../keys/reference.ts'
import { callerKey } from '../support/keys.ts'
import { fcParameters } from '../support/random.ts'
import { contents, failure, open, refusal, thrown } from './fixtures.ts'

describe('keys', () => {
  it('that are different are different, side by side in one order', async () => {
    const handle = open<Key>().handle()
    const distinct: Key[] = [
      false,
      true,
      -Infinity,
      -1,
      0,
      1,
      1n,
      1.5,
      2n,
      2 ** 53,
      2n ** 53n,
      2n ** 53n + 1n,
      Infinity,
      '',
      '\0',
      '0',
      '1',
      '__proto__',
      'a',
      'constructor',
      'é',
      'e\u0301',
      '\ud800',
      '\ud801',
      '\udc00',
      '\ufffd',
      new Uint8Array(),
      Uint8Array.of(0),
      Uint8Array.of(0x31),
      [],
      [false],
      [1],
      [1n],
      ['1'],
      ['1', []],
      [['1']],
    ]
    for (const [i, key] of distinct.entries()) await handle.set(key, i)
    expect(handle.size).toBe(distinct.length)
    for (const [i, key] of distinct.entries()) expect([key, handle.get(key)]).toEqual([key, i])
    expect([...handle.keys()]).toEqual(distinct.toSorted(referenceCompare))
    for (const key of distinct) expect(await handle.delete(key)).toBe(true)
    expect(handle.size).toBe(0)
  })

  it('that are equal are one, however they are written', async () => {
    const handle = open<Key>().handle()
    const pairs: [Key, Key][] = [
      [0, -0],
      [Uint8Array.of(1, 2), Buffer.from([1, 2])],
      [Uint8Array.of(1, 2), new Uint8Array([0, 1, 2]).subarray(1)],
      [
        ['a', 0],
        ['a', -0],
      ],
      [['a', [Uint8Array.of(1)]], Object.freeze(['a', [Buffer.from([1])]]) as Key],
    ]
    for (const [one, other] of pairs) {
      await handle.clear()
      await handle.set(one, 1)
      await handle.set(other, 2)
      expect(handle.size).toBe(1)
      expect([handle.get(one), handle.has(other)]).toEqual([2, true])
      await handle.transaction((tx) => {
        tx.set(one, 3)
        expect(tx.get(other)).toBe(3)
        expect(tx.delete(other)).toBe(true)
        expect(tx.has(one)).toBe(false)
      })
    }
    await handle.set(-0, 1)
    expect(Object.is([...handle.keys()][0], 0)).toBe(true)
  })

  it('called like the members of Object are keys like others', async () => {
    const handle = open<string, string>().handle()
    const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf', '__defineGetter__', 'prototype']
    for (const name of names) {
      expect(handle.get(name)).toBeUndefined()
      expect(handle.has(name)).toBe(false)
    }
    await handle.transaction((tx) => {
      for (const name of names) tx.set(name, name)
      for (const name of names) expect(tx.get(name)).toBe(name)
    })
    expect([...handle.keys()]).toEqual(names.toSorted())
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
  })

  it('of any kind behave the same in a map of the test and in the database', async () => {
    const compare = async (written: Key[]): Promise<void> => {
      const handle = open<Key>().handle()
      const model: [Key, number][] = []
      for (const [i, key] of written.entries()) {
        await handle.set(key, i)
        const at = model.findIndex(([other]) => referenceCompare(other, key) === 0)
        if (at >= 0) model.splice(at, 1)
        model.push([key, i])
      }
      model.sort(([a], [b]) => referenceCompare(a, b))
      expect([...handle.values()]).toEqual(model.map(([, i]) => i))
      for (const [key, i] of model) expect(handle.get(key)).toBe(i)
    }
    await fc.assert(fc.asyncProperty(fc.array(callerKey, { maxLength: 30 }), compare), fcParameters(40))
  })
})

describe('what is no key', () => {
  const wrong: unknown[] = [
    Number.NaN,
    null,
    undefined,
    {},
    Symbol('s'),
    () => 1,
    new Date(),
    new Map(),
    new Uint16Array(2),
    new ArrayBuffer(2),
    ['a', Number.NaN],
    ['a', undefined],
    ['a', { b: 1 }],
    // oxlint-disable-next-line no-sparse-arrays
    ['a', , 'b'],
    'x'.repeat(70_000),
  ]

  it.each(wrong.map((key) => ({ key })))('$key is refused everywhere with INVALID_KEY', async ({ key: given }) => {
    const db = open<Key>()
    const handle = db.handle()
    const key = given as Key
    for (const call of [
      () => handle.get(key),
      () => handle.has(key),
      () => handle.getMany([key]),
      () => handle.entry(key),
    ]) {
      expect(thrown(call)).toBe('INVALID_KEY')
    }
    for (const call of [
      () => handle.set(key, 1),
      () => handle.delete(key),
      () => handle.take(key),
      () => handle.swap(key, 1),
      () => handle.update(key, () => 1),
      () => handle.compareAndSet(key, undefined, 1),
      () => handle.getOrInsert(key, 1),
      () => handle.getOrInsertComputed(key, () => 1),
    ]) {
      expect(await refusal(call)).toBe('INVALID_KEY')
    }
    if (given !== undefined) expect(thrown(() => handle.keys({ gte: key }))).toBe('INVALID_KEY')
    const cyclic: unknown[] = []
    cyclic.push(cyclic)
    expect(thrown(() => handle.get(cyclic as Key))).toBe('INVALID_KEY')
    expect(db.sequence).toBe(0)
  })
})

describe('a key', () => {
  it('of bytes belongs to the database from the call on', async () => {
    const handle = open<Uint8Array>().handle()
    const key = Uint8Array.of(1)
    const written = handle.set(key, 1)
    key[0] = 2
    await written
    expect([...handle.keys()]).toEqual([Uint8Array.of(1)])
    await handle.transaction((tx) => {
      const own = Uint8Array.of(5)
      tx.set(own, 5)
      own[0] = 6
      expect(tx.get(Uint8Array.of(5))).toBe(5)
      expect(tx.has(own)).toBe(false)
      own[0] = 0
    })
    expect(contents(handle)).toEqual([
      [Uint8Array.of(1), 1],
      [Uint8Array.of(5), 5],
    ])
  })

  it('as a tuple likewise, however deep', async () => {
    const handle = open<Key>().handle()
    const inner = ['x']
    const bytes = Uint8Array.of(1)
    const key = ['a', inner, bytes] as const
    const written = handle.set(key, 1)
    inner[0] = 'y'
    bytes[0] = 2
    await written
    expect(handle.get(['a', ['x'], Uint8Array.of(1)])).toBe(1)
    expect(handle.has(key)).toBe(false)
  })

  it('of a bound belongs to the iterator', async () => {
    const handle = open<Uint8Array>().handle()
    for (let i = 0; i < 5; i++) await handle.set(Uint8Array.of(i), i)
    const bound = Uint8Array.of(3)
    const iterator = handle.values({ lt: bound })
    bound[0] = 255
    expect([...iterator]).toEqual([0, 1, 2])
  })

  it('that a scan gave out may be spoilt', async () => {
    const handle = open<Key>().handle()
    await handle.set(Uint8Array.of(1), 1)
    await handle.set(['a', Uint8Array.of(1)], 2)
    const [bytes, tuple] = [...handle.keys()] as [Uint8Array, readonly [string, Uint8Array]]
    bytes[0] = 9
    tuple[1][0] = 9
    expect(() => (tuple as unknown as unknown[]).push(1)).toThrow(TypeError)
    expect([...handle.keys()]).toEqual([Uint8Array.of(1), ['a', Uint8Array.of(1)]])
    for (const [key] of handle.entries()) if (key instanceof Uint8Array) key.fill(7)
    expect(handle.get(Uint8Array.of(1))).toBe(1)
  })

  it('is handed to a key codec of one’s own, and admitted again', async () => {
    const lent = Uint8Array.of(1)
    const careless = {
      name: 'careless',
      admit: (key: unknown): Uint8Array => {
        if (!(key instanceof Uint8Array)) throw new TypeError('bytes only')
        lent[0] = key[0] as number
        return lent
      },
    }
    const handle = open().handle(table<Uint8Array, number>('t', { key: careless }))
    await handle.set(Uint8Array.of(5), 5)
    await handle.set(Uint8Array.of(6), 6)
    lent[0] = 7
    expect(contents(handle)).toEqual([
      [Uint8Array.of(5), 5],
      [Uint8Array.of(6), 6],
    ])
    await expect(handle.set('x' as never, 1)).rejects.toThrow('bytes only')
  })
})

describe('key codecs', () => {
  it('narrow the keys of a table', async () => {
    const db = open()
    const cases = [
      { codec: keys.string(), good: ['', 'a'], bad: [1, 1n, true, ['a'], Uint8Array.of(1)] },
      { codec: keys.float64(), good: [0, -1.5, Infinity], bad: [Number.NaN, 1n, '1'] },
      { codec: keys.u64(), good: [0n, 2n ** 64n - 1n], bad: [-1n, 2n ** 64n, 1, '1'] },
      { codec: keys.i64(), good: [-(2n ** 63n), 2n ** 63n - 1n], bad: [2n ** 63n, 1] },
      { codec: keys.bytes(), good: [new Uint8Array(), Buffer.from('a')], bad: ['a', [1]] },
      { codec: keys.tuple(keys.string(), keys.float64()), good: [['a', 1]], bad: [['a'], ['a', 1, 2], ['a', 1n], 'a'] },
    ]
    for (const [i, { codec, good, bad }] of cases.entries()) {
      const handle = db.handle(table<Key, number>(`t${i}`, { key: codec, value: codecs.int32() }))
      for (const key of good) {
        await handle.set(key, 1)
        expect(handle.get(key)).toBe(1)
      }
      for (const key of bad as Key[]) {
        expect([`${codec.name} ${String(key)}`, thrown(() => handle.get(key))]).toEqual([
          `${codec.name} ${String(key)}`,
          'INVALID_KEY',
        ])
        expect(await refusal(() => handle.set(key, 1))).toBe('INVALID_KEY')
      }
      expect(handle.size).toBe(good.length)
    }
  })

  it('still take part of a tuple as a prefix', async () => {
    const handle = open().handle(table('t', { key: keys.tuple(keys.string(), keys.float64()), value: codecs.int32() }))
    await handle.set(['a', 1], 1)
    await handle.set(['a', 2], 2)
    await handle.set(['b', 1], 3)
    expect([...handle.values({ prefix: ['a'] })]).toEqual([1, 2])
    expect(handle.count({ gte: ['a', 2] })).toBe(2)
  })

  it('name the key in their refusal', async () => {
    const handle = open().handle(table('t', { key: keys.string() }))
    expect((await failure(() => handle.set(5 as never, 1))).message).toMatch(/5/)
  })
})
