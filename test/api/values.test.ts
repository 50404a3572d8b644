/** Values: private, immutable, faithful; refused where they cannot be. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { codecs, type Handle, type Reader, table } from '../../src/index.ts'
import { fcParameters } from '../support/random.ts'
import { structuredValue } from '../support/values.ts'
import { failure, open } from './fixtures.ts'

/** Everything that hands out the value of one key. */
function readings(handle: Handle<string, unknown>): unknown[] {
  const read = (reader: Reader<string, unknown>): unknown[] => [
    reader.get('k'),
    reader.getMany(['k'])[0],
    [...reader.values()][0],
    [...reader.entries()][0]?.[1],
  ]
  const tx = handle.begin()
  const entry = tx.entry('k').value
  const inside = [...read(tx), entry, tx.getOrInsert('k', 0), tx.update('k', (value) => value), tx.swap('k', 0)]
  tx.rollback()
  return [...read(handle), ...inside]
}

/** Tries to change everything that can be reached from a value. */
function vandalise(value: unknown, seen: Set<unknown> = new Set()): void {
  if (typeof value !== 'object' || value === null || seen.has(value)) return
  seen.add(value)
  if (value instanceof Map) {
    for (const [key, inner] of [...value]) {
      vandalise(key, seen)
      vandalise(inner, seen)
    }
    value.clear()
    value.set('vandal', 1)
  } else if (value instanceof Set) {
    for (const inner of [...value]) vandalise(inner, seen)
    value.clear()
  } else if (value instanceof Date) value.setTime(666)
  else if (value instanceof ArrayBuffer) new Uint8Array(value).fill(0x66)
  else if (ArrayBuffer.isView(value)) new Uint8Array(value.buffer, value.byteOffset, value.byteLength).fill(0x66)
  else {
    for (const name of Reflect.ownKeys(value)) {
      if (name === 'length') continue
      vandalise((value as Record<PropertyKey, unknown>)[name], seen)
      Reflect.set(value, name, 'vandal')
      Reflect.deleteProperty(value, name)
    }
    Reflect.set(value, 'vandal', 1)
    if (Array.isArray(value)) Reflect.set(value, 'length', 0)
  }
}

const samples: Record<string, () => unknown> = {
  'plain object': () => ({ a: 1, deep: { b: [1, 2, { c: 3 }] } }),
  'empty object': () => ({}),
  array: () => [1, [2, [3]], 'x'],
  'empty array': () => [],
  'object without prototype': () => Object.assign(Object.create(null) as object, { a: { b: 1 } }),
  Map: () =>
    new Map<unknown, unknown>([
      ['a', 1],
      [{ key: 1 }, new Map([['b', [1]]])],
    ]),
  Set: () => new Set<unknown>([1, { a: 1 }, new Set(['x'])]),
  Date: () => new Date(12_345),
  'typed array': () => Float64Array.of(1.5, 2.5),
  'view into a larger buffer': () => new Uint8Array([0, 1, 2, 3, 4]).subarray(1, 3),
  Buffer: () => Buffer.from('abc'),
  ArrayBuffer: () => Uint8Array.of(1, 2, 3).buffer,
  DataView: () => new DataView(Uint8Array.of(1, 2, 3).buffer, 1),
  'everything mixed': () => ({
    map: new Map([['list', [new Date(1), { set: new Set([Uint8Array.of(1)]) }]]]),
    list: [{ bytes: Buffer.from('x') }, [new Map([[1n, null]])]],
    plain: { stays: 'frozen', deep: [{ at: new Date(2) }] },
  }),
}

describe('what was put in may be changed afterwards: nothing committed or pending changes', () => {
  it.each(Object.keys(samples))('%s', async (name) => {
    const make = samples[name] as () => unknown
    const handle = open<string, unknown>().handle()
    const writers: ((value: unknown) => Promise<unknown>)[] = [
      (value) => handle.set('k', value),
      (value) => handle.swap('k', value),
      (value) => handle.update('k', () => value),
      (value) => handle.getOrInsert('k', value),
      (value) => handle.compareAndSet('k', undefined, value),
      (value) => handle.entry('k').orInsertComputed(() => value),
    ]
    for (const write of writers) {
      await handle.delete('k')
      const value = make()
      const written = write(value)
      vandalise(value)
      await written
      expect(handle.get('k')).toEqual(make())
    }
    await handle.transaction((tx) => {
      const value = make()
      tx.set('k', value)
      vandalise(value)
      expect(tx.get('k')).toEqual(make())
      const given = make()
      tx.compareAndSet('k', given, given)
      vandalise(given)
    })
    expect(handle.get('k')).toEqual(make())
  })
})

describe('what came out may be tampered with: nothing committed changes, and nobody else sees it', () => {
  it.each(Object.keys(samples))('%s', async (name) => {
    const make = samples[name] as () => unknown
    const db = open<string, unknown>()
    const handle = db.handle()
    await handle.set('k', make())
    for (const value of readings(handle)) {
      expect(value).toEqual(make())
      vandalise(value)
    }
    for (const value of readings(handle)) expect(value).toEqual(make())
    using snapshot = db.snapshot()
    vandalise(snapshot.get('k'))
    expect(snapshot.get('k')).toEqual(make())
    expect(await handle.compareAndSet('k', make(), 'same')).toBe(true)
  })

  it('arbitrary values', async () => {
    const handle = open<string, unknown>().handle()
    await fc.assert(
      fc.asyncProperty(structuredValue, async (value) => {
        await handle.set('k', value)
        const first = handle.get('k')
        expect(first).toEqual(value)
        vandalise(first)
        expect(handle.get('k')).toEqual(value)
      }),
      fcParameters(60),
    )
  })
})

describe('structured values', () => {
  it('without parts that cannot be frozen are handed out as they are, deep-frozen', async () => {
    const handle = open<string, { deep: { list: number[] } }>().handle()
    await handle.set('k', { deep: { list: [1] } })
    const [first, second] = [handle.get('k'), handle.get('k')]
    expect(first).toBe(second)
    expect(Object.isFrozen(first?.deep.list)).toBe(true)
    expect(() => first?.deep.list.push(2)).toThrow(TypeError)
  })

  it('with such parts are made afresh for each read, the rest of them still frozen', async () => {
    const handle = open<string, { at: Date; deep: { list: number[] } }>().handle()
    await handle.set('k', { at: new Date(1), deep: { list: [1] } })
    const [first, second] = [handle.get('k'), handle.get('k')]
    expect(first?.at).not.toBe(second?.at)
    expect(Object.isFrozen(first)).toBe(true)
    expect(() => first?.deep.list.push(2)).toThrow(TypeError)
  })

  it('are taken as they are when they are set: getters are read once', async () => {
    const handle = open<string, unknown>().handle()
    let reads = 0
    const value = {
      get n(): number {
        return ++reads
      },
    }
    await handle.set('k', value)
    expect(handle.get('k')).toEqual({ n: 1 })
    expect(reads).toBe(1)
  })

  it('change no prototype: __proto__ is a name like others', async () => {
    const handle = open<string, unknown>().handle()
    const nasty = JSON.parse(
      '{"__proto__": {"polluted": true}, "constructor": {"prototype": {"polluted": true}}}',
    ) as object
    await handle.set('k', nasty)
    const read = handle.get('k') as object
    expect(Object.keys(read)).toEqual(['__proto__', 'constructor'])
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype)
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
  })
})

describe('a refused value', () => {
  class Point {
    x = 1
  }
  const cyclic: Record<string, unknown> = { name: 'loop' }
  cyclic['self'] = { inner: cyclic }
  const refused: readonly { what: string; value: unknown; path: string }[] = [
    { what: 'a function', value: { handlers: [{ click: () => 1 }] }, path: 'value.handlers[0].click' },
    { what: 'a symbol', value: [1, [Symbol('s')]], path: 'value[1][0]' },
    { what: 'a symbol as key', value: { a: { [Symbol('s')]: 1 } }, path: 'value.a' },
    { what: 'an instance of a class', value: { at: new Point() }, path: 'value.at' },
    { what: 'a RegExp', value: { 'odd name': /x/ }, path: 'value["odd name"]' },
    { what: 'an Error', value: { error: new Error('x') }, path: 'value.error' },
    { what: 'a promise', value: { later: Promise.resolve(1) }, path: 'value.later' },
    { what: 'a function in a Map', value: { m: new Map([['a', () => 1]]) }, path: 'value.m' },
    { what: 'a WeakMap', value: new WeakMap(), path: 'value' },
    { what: 'undefined', value: undefined, path: 'value' },
    { what: 'a cycle', value: cyclic, path: 'value' },
  ]

  it.each(refused)('$what: the message names path, table and key, never the value', async ({ value, path }) => {
    const things = table<string>('things')
    const db = open()
    const handle = db.handle(things)
    const error = await failure(() => handle.set('the key', value))
    expect(error.code).toBe('INVALID_VALUE')
    for (const word of [path, "'things'", '"the key"']) expect(error.message).toContain(word)
    expect(error.message).not.toContain('loop')
    const inside = await failure(() => handle.transaction((tx) => tx.set('the key', value)))
    expect(inside.message).toBe(error.message)
    expect(db.sequence).toBe(0)
  })

  it('leaves what was there', async () => {
    const handle = open<string, unknown>().handle()
    await handle.set('k', 1)
    await handle.set('k', () => 2).catch(() => {})
    expect(handle.get('k')).toBe(1)
  })
})

describe('other codecs', () => {
  it('bytes copies in and out', async () => {
    const handle = open<string, Uint8Array>({ value: codecs.bytes() }).handle()
    const given = Uint8Array.of(1, 2, 3)
    const written = handle.set('k', given)
    given.fill(9)
    await written
    const read = handle.get('k') as Uint8Array
    expect(read).toEqual(Uint8Array.of(1, 2, 3))
    read.fill(9)
    expect(handle.get('k')).toEqual(Uint8Array.of(1, 2, 3))
    expect(handle.get('k')).not.toBe(handle.get('k'))
    await handle.set('b', Buffer.from('xy'))
    expect(Object.getPrototypeOf(handle.get('b'))).toBe(Uint8Array.prototype)
  })

  it('bytesView copies in, and hands out the one stored array: the documented opt-in', async () => {
    const handle = open<string, Uint8Array>({ value: codecs.bytesView() }).handle()
    const given = Uint8Array.of(1, 2, 3)
    await handle.set('k', given)
    given.fill(9)
    expect(handle.get('k')).toEqual(Uint8Array.of(1, 2, 3))
    expect(handle.get('k')).toBe(handle.get('k'))
  })

  it.each([
    { codec: codecs.string(), good: ['', 'x', '\ud800', '\ufeffx'], bad: [1, null, {}, undefined] },
    { codec: codecs.boolean(), good: [true, false], bad: [0, 'true', null] },
    { codec: codecs.float64(), good: [0, 1.5, Number.NaN, Infinity, -0], bad: ['1', 1n, null] },
    { codec: codecs.float32(), good: [0, 1.5, Infinity], bad: ['1', 1e300, 1n] },
    { codec: codecs.int32(), good: [0, -(2 ** 31), 2 ** 31 - 1], bad: [0.5, 2 ** 31, Number.NaN, 1n, '1'] },
    { codec: codecs.uint32(), good: [0, 2 ** 32 - 1], bad: [-1, 2 ** 32, 0.5] },
    { codec: codecs.bigint64(), good: [0n, -(2n ** 63n), 2n ** 63n - 1n], bad: [1, 2n ** 63n] },
    { codec: codecs.biguint64(), good: [0n, 2n ** 64n - 1n], bad: [-1n, 2n ** 64n, 1] },
    { codec: codecs.bytes(), good: [new Uint8Array(), Uint8Array.of(255)], bad: ['x', [1], new Uint16Array(1)] },
  ])('$codec.name takes what it is for, exactly, and nothing else', async ({ codec, good, bad }) => {
    const typed = table<string>('typed', { value: codec })
    const handle = open().handle(typed)
    for (const value of good) {
      await handle.set('k', value)
      expect(handle.get('k')).toEqual(value)
    }
    const last = good.at(-1)
    for (const value of bad) {
      const error = await failure(() => handle.set('k', value))
      expect(error.code).toBe('INVALID_VALUE')
      expect(error.message).toMatch(/typed.*"k"/)
    }
    expect(handle.get('k')).toEqual(last)
  })
})
