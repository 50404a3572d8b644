/** What the codec `structured` takes, what it refuses and how it says so, and what it hands out. */
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'

import { codecs, residentOf } from '../../src/codecs/index.ts'
import { VarveError } from '../../src/errors.ts'
import { MAX_VALUE_DEPTH } from '../../src/limits.ts'
import { objectOf, sameValue } from '../support/values.ts'

const resident = residentOf(codecs.structured())

/** The value as a read gives it, which must be the same by way of bytes. */
function stored(value: unknown): unknown {
  const admitted = resident.admit(value)
  const released = resident.release(admitted)
  expect(sameValue(resident.release(resident.decode(resident.encode(admitted))), released)).toBe(true)
  return released
}

/** The message with which a value is refused. */
function refusal(value: unknown): string {
  try {
    resident.admit(value)
  } catch (error) {
    expect(error).toBeInstanceOf(VarveError)
    expect((error as VarveError).code).toBe('INVALID_VALUE')
    return (error as VarveError).message
  }
  throw new Error('the value was accepted')
}

/** Runs with properties of a shared prototype changed. */
function whilePrototypeHas<T>(prototype: object, changes: Record<string, PropertyDescriptor>, fn: () => T): T {
  const before = Object.keys(changes).map((name) => [name, Object.getOwnPropertyDescriptor(prototype, name)] as const)
  for (const [name, change] of Object.entries(changes)) {
    Object.defineProperty(prototype, name, { configurable: true, ...change })
  }
  try {
    return fn()
  } finally {
    for (const [name, descriptor] of before) {
      if (descriptor) Object.defineProperty(prototype, name, descriptor)
      else Reflect.deleteProperty(prototype, name)
    }
  }
}

function nest(levels: number, wrap: (inner: unknown) => unknown, innermost: unknown): unknown {
  let value = innermost
  for (let i = 0; i < levels; i++) value = wrap(value)
  return value
}

describe('plain values', () => {
  it('come back frozen at every level, as the same object each time (I1)', () => {
    const value = { name: 'a', list: [{ x: 1 }, [2]], nested: { deep: { y: null } } }
    const admitted = resident.admit(value)
    const read = resident.release(admitted) as typeof value
    expect(read).toBe(resident.release(admitted))
    expect(read).toEqual(value)
    for (const part of [read, read.list, read.list[0], read.list[1], read.nested, read.nested.deep]) {
      expect(Object.isFrozen(part)).toBe(true)
    }
    expect(Object.isFrozen(value) || Object.isFrozen(value.list)).toBe(false)
  })

  it('are copied even if they are frozen already', () => {
    const inner = { x: 1 }
    const value = Object.freeze({ inner })
    const admitted = resident.admit(value)
    inner.x = 2
    expect(resident.release(admitted)).toEqual({ inner: { x: 1 } })
  })

  it.each([
    ['-0', -0],
    ['NaN', Number.NaN],
    ['null', null],
    ['a bigint of 1000 bits', -(2n ** 1000n)],
    ['lone surrogates', 'a\ud800b\udc00'],
    ['a long string with a byte order mark', `\ufeff${'x'.repeat(100)}`],
    ['undefined inside', { a: undefined, b: [undefined] }],
    ['names with a meaning elsewhere', { constructor: 1, toJSON: 2, hasOwnProperty: 3, valueOf: 4 }],
    ['names that are numbers', { 10: 'a', 2: 'b', x: 'c' }],
    ['a name with a lone surrogate', { 'a\udfff': { '\ufeff': 1 } }],
    ['no properties', {}],
    ['no elements', []],
    ['300 properties', Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`p${i}`, i]))],
    ['70,000 properties', Object.fromEntries(Array.from({ length: 70_000 }, (_, i) => [`p${i}`, i]))],
    ['70,000 elements', Array.from({ length: 70_000 }, (_, i) => i / 3)],
    ['a string of 1 MB', 'é'.repeat(500_000)],
  ])('survive: %s', (_, value) => {
    expect(sameValue(stored(value), value)).toBe(true)
  })

  it('keep a property named __proto__ as a property, whatever it holds', () => {
    for (const inner of [{ polluted: true }, null, 1, Object.freeze({ id: 1 }), new Map([[1, 2]])]) {
      const value = objectOf(
        [
          ['__proto__', inner],
          ['id', new Date(5)],
        ],
        Object.prototype,
      )
      const read = stored(value) as object
      expect(sameValue(read, value)).toBe(true)
      expect(Object.getPrototypeOf(read)).toBe(Object.prototype)
      expect(Object.hasOwn(read, '__proto__')).toBe(true)
    }
    const parsed: unknown = JSON.parse('{"__proto__":{"polluted":true},"list":[{"__proto__":1}]}')
    expect(sameValue(stored(parsed), parsed)).toBe(true)
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
  })

  it('keep a missing prototype', () => {
    const value = objectOf(
      [
        ['x', 1],
        ['inner', objectOf([['__proto__', 2]], null)],
      ],
      null,
    )
    const read = stored(value) as { inner: object }
    expect(Object.getPrototypeOf(read)).toBeNull()
    expect(Object.getPrototypeOf(read.inner)).toBeNull()
    expect(Object.isFrozen(read)).toBe(true)
    expect(sameValue(read, value)).toBe(true)
  })

  it('survive where Object.prototype is read-only and has enumerable properties', () => {
    const value = { toString: 2, constructor: { valueOf: [3] }, at: new Date(1), other: { toString: 1 } }
    const changes = {
      toString: { writable: false },
      constructor: { writable: false },
      valueOf: { writable: false },
      inherited: { value: () => 0, enumerable: true },
    }
    const reads = whilePrototypeHas(Object.prototype, changes, () => {
      const admitted = resident.admit(value)
      return [resident.release(admitted), resident.release(resident.decode(resident.encode(admitted)))]
    })
    expect(reads.map((read) => sameValue(read, value))).toEqual([true, true])
  })

  it('survive in memory where Object.prototype has a setter', () => {
    const value = { x: 1, inner: { x: [3] }, at: new Date(1) }
    const changes = { x: { set: () => {}, get: () => 'inherited' } }
    const read = whilePrototypeHas(Object.prototype, changes, () => resident.release(resident.admit(value)))
    expect(sameValue(read, value)).toBe(true)
  })

  it('take what a getter returns, and only once', () => {
    let calls = 0
    const value = {
      get price() {
        calls++
        return calls
      },
    }
    expect(stored(value)).toEqual({ price: 1 })
    expect(calls).toBe(1)
  })

  it('never call toJSON', () => {
    const value = { toJSON: 'a property', date: new Date(0), inner: { toJSON: null } }
    const changes = { toJSON: { value: () => 'called', writable: true } }
    const read = whilePrototypeHas(Date.prototype, changes, () =>
      whilePrototypeHas(Object.prototype, changes, () =>
        resident.release(resident.decode(codecs.structured().encode(value))),
      ),
    )
    expect(sameValue(read, value)).toBe(true)
  })

  it('may be a Proxy: stored is what it shows', () => {
    const target = { x: 1, list: [1, 2] }
    const value = new Proxy(target, {
      get: (object, name) => (name === 'list' ? new Proxy(object.list, {}) : Reflect.get(object, name)),
    })
    expect(stored(value)).toEqual({ x: 1, list: [1, 2] })
  })

  it('may come from another realm', () => {
    const value: unknown = runInNewContext(
      '({ list: [1, { x: 2 }], map: new Map([[1, new Set([2])]]), at: new Date(7), bytes: new Uint8Array([1, 2]) })',
    )
    expect(
      sameValue(stored(value), {
        list: [1, { x: 2 }],
        map: new Map([[1, new Set([2])]]),
        at: new Date(7),
        bytes: new Uint8Array([1, 2]),
      }),
    ).toBe(true)
    expect(refusal(runInNewContext('({ error: new Error("x") })'))).toContain('value.error is an instance of Error')
  })

  it('store twice what occurs twice', () => {
    const shared = { x: 1 }
    const read = stored({ a: shared, b: shared }) as { a: object; b: object }
    expect(read).toEqual({ a: { x: 1 }, b: { x: 1 } })
  })
})

describe('what cannot be frozen', () => {
  it('is made afresh for each read, with what is plain shared', () => {
    const value = {
      at: new Date(1),
      tags: new Set(['a']),
      plain: { x: [1] },
      list: [new Map([[{ k: 1 }, { v: 2 }]]), 5],
    }
    const admitted = resident.admit(value)
    const first = resident.release(admitted) as typeof value
    const second = resident.release(admitted) as typeof value
    expect(sameValue(first, value)).toBe(true)
    expect(first).not.toBe(second)
    expect(first.at).not.toBe(second.at)
    expect(first.tags).not.toBe(second.tags)
    expect(first.list).not.toBe(second.list)
    expect(first.plain).toBe(second.plain)
    for (const part of [first, first.plain, first.plain.x, first.list]) expect(Object.isFrozen(part)).toBe(true)
  })

  it('is the same value as it was after every change to a read', () => {
    const value = { at: new Date(1), map: new Map([['a', new Uint8Array([1])]]) }
    const admitted = resident.admit(value)
    const read = resident.release(admitted) as typeof value
    read.at.setTime(9)
    read.map.get('a')?.fill(9)
    read.map.set('b', new Uint8Array())
    value.at.setTime(8)
    value.map.clear()
    expect(resident.release(admitted)).toEqual({ at: new Date(1), map: new Map([['a', new Uint8Array([1])]]) })
  })

  it('includes binary data of every kind, each over a buffer of its own', () => {
    const buffer = Uint8Array.from({ length: 32 }, (_, i) => i).buffer
    const value = [
      new Uint8Array(buffer, 3, 5),
      new Float64Array(buffer, 8, 2),
      new BigUint64Array(buffer, 16, 1),
      new DataView(buffer, 1, 3),
      buffer,
      Buffer.from(buffer, 2, 4),
      new Uint8ClampedArray(0),
      new Uint8Array(5000).fill(7),
    ]
    const read = stored(value) as readonly ArrayBufferView[]
    expect(sameValue(read, value)).toBe(true)
    expect(read[0]?.buffer.byteLength).toBe(5)
    expect(Buffer.isBuffer(read[5])).toBe(true)
  })

  it('keeps the bits of a NaN in a typed array', () => {
    const value = new Float64Array(new BigUint64Array([0x7ff8_dead_beef_0001n]).buffer)
    const read = resident.release(resident.decode(resident.encode(resident.admit(value)))) as Float64Array
    expect(new BigUint64Array(read.buffer)[0]).toBe(0x7ff8_dead_beef_0001n)
  })

  it('may be what a Map has as keys, and what it has as order', () => {
    const value = new Map<unknown, unknown>([
      [new Date(2), 1],
      [-0, 2],
      [Number.NaN, 3],
      [{ a: 1 }, 4],
      [{ a: 1 }, 5],
      [undefined, 6],
    ])
    expect(sameValue(stored(value), value)).toBe(true)
  })
})

describe('refused with its path', () => {
  class Point {
    x = 1
  }
  class Tags extends Map<string, number> {}
  const holed = [1, 2, 3]
  Reflect.deleteProperty(holed, 1)
  const extra = Object.assign([1, 2], { total: 3 })
  const balanced = Object.assign([1, undefined, 3], { total: 3 })
  Reflect.deleteProperty(balanced, 1)
  const hidden = Object.defineProperty({ x: 1 }, 'secret', { value: 1, enumerable: false })
  const detached = new Uint8Array(8)
  structuredClone(detached, { transfer: [detached.buffer] })
  const mapWithExtra = Object.assign(new Map(), { extra: 1 })

  it.each<[string, unknown, string]>([
    ['undefined at the top', undefined, 'value is undefined'],
    ['a function at the top', () => 1, 'value is a function'],
    ['a symbol at the top', Symbol('s'), 'value is a symbol'],
    ['a function', { items: [1, 2, 3, { price: () => 1 }] }, 'value.items[3].price is a function'],
    ['a method', { a: { run() {} } }, 'value.a.run is a function'],
    ['a symbol', { a: [Symbol.iterator] }, 'value.a[0] is a symbol'],
    ['a symbol as key', { a: { [Symbol('k')]: 1 } }, 'value.a has a symbol among its properties'],
    ['a symbol as key of an array', [Object.assign([1], { [Symbol('k')]: 1 })], 'value[0] has a symbol among'],
    [
      'a symbol as key without prototype',
      Object.assign(Object.create(null), { [Symbol('k')]: 1 }),
      'value has a symbol',
    ],
    ['a class instance', { point: new Point() }, 'value.point is an instance of Point'],
    [
      'an unnamed class',
      {
        it: new (class {
          x = 1
        })(),
      },
      'value.it is an instance of an unnamed class',
    ],
    ['a subclass of Map', { tags: new Tags() }, 'value.tags is an instance of Tags'],
    ['a class that calls itself Map', new { Map: class extends Map {} }.Map(), 'value is an instance of Map'],
    ['a subclass of Array', [new (class List extends Array {})()], 'value[0] is an instance of List'],
    ['a subclass of Date', [new (class Day extends Date {})()], 'value[0] is an instance of Day'],
    ['a subclass of Uint8Array', [new (class Key extends Uint8Array {})()], 'value[0] is an instance of Key'],
    ['an inherited object', Object.create({ x: 1 }), 'value is an object with a prototype of its own'],
    ['something that poses as a Map', Object.create(Map.prototype), 'value is an instance of Map'],
    ['a boxed string', { s: Object('s') }, 'value.s is an instance of String'],
    ['a RegExp', { match: /x/ }, 'value.match is an instance of RegExp'],
    ['an Error', { error: new TypeError('x') }, 'value.error is an instance of TypeError'],
    ['a Promise', { later: Promise.resolve(1) }, 'value.later is an instance of Promise'],
    ['a WeakMap', { cache: new WeakMap() }, 'value.cache is an instance of WeakMap'],
    ['a generator', { g: (function* () {})() }, 'value.g is an object with a prototype of its own'],
    ['shared memory', { shared: new SharedArrayBuffer(8) }, 'value.shared is an instance of SharedArrayBuffer'],
    ['a buffer that was transferred', { bytes: detached }, 'value.bytes has lost its buffer'],
    ['a hole', { list: [[], holed] }, 'value.list[1][1] is a hole'],
    ['a sparse array', { list: Object.assign([], { length: 2 ** 32 - 1 }) }, 'value.list[0] is a hole'],
    ['a property of an array', { list: extra }, 'value.list.total is a property of an array'],
    ['a hole made up for by a property', { list: balanced }, 'value.list[1] is a hole'],
    ['a match of a RegExp', /b/.exec('abc'), 'value.index is a property of an array'],
    ['a property that is not enumerable', { a: hidden }, 'value.a.secret is not enumerable'],
    ['a property of a Map', { map: mapWithExtra }, 'value.map is an instance of Map with properties of its own'],
    ['in a value of a Map', new Map([['k', { f: () => 1 }]]), 'value.<value 0>.f is a function'],
    [
      'in a key of a Map',
      {
        m: new Map<unknown, unknown>([
          [1, 1],
          [[() => 1], 1],
        ]),
      },
      'value.m.<key 1>[0] is a function',
    ],
    ['in a Set', { s: new Set([1, Symbol('s')]) }, 'value.s.<member 1> is a symbol'],
    ['beneath a name that is no identifier', { 'a b': { 'c"': () => 1 } }, 'value["a b"]["c\\""] is a function'],
    [
      'arguments of a function',
      (function (..._: unknown[]) {
        return arguments
      })(1),
      'value has a symbol',
    ],
    ['a namespace', { math: Math }, 'value.math has a symbol'],
  ])('%s', (_, value, message) => {
    expect(refusal(value)).toContain(message)
  })

  it('a cycle, naming where it closes', () => {
    const value: Record<string, unknown> = { name: 'a', children: [] }
    value['children'] = [{ parent: value }]
    expect(refusal({ root: value })).toContain('value.root.children[0].parent is value.root again')
    const map = new Map<string, unknown>()
    map.set('a', 1).set('self', { map })
    expect(refusal(map)).toContain('value.<value 1>.map is value again')
    const set = new Set<unknown>([1])
    set.add([set])
    expect(refusal([set])).toContain('value[0].<member 1>[0] is value[0] again')
    const keyed = new Map<unknown, unknown>()
    keyed.set([keyed], 1)
    expect(refusal(keyed)).toContain('value.<key 0>[0] is value again')
  })

  it('what is too deep, and nothing less deep', () => {
    for (const wrap of [
      (inner: unknown) => [inner],
      (inner: unknown) => ({ a: inner }),
      (inner: unknown) => new Map([[1, inner]]),
    ]) {
      for (const innermost of [undefined, -0, 2n ** 70n, '\ud800', new Date(1)]) {
        const levels = MAX_VALUE_DEPTH - (innermost instanceof Date ? 1 : 0)
        stored(nest(levels, wrap, innermost))
        expect(refusal(nest(levels + 1, wrap, innermost))).toContain(`more than ${MAX_VALUE_DEPTH} levels deep`)
      }
    }
    expect(refusal(nest(100_000, (inner) => [inner], 1)).length).toBeLessThan(600)
  })

  it('a getter that throws, with its error as the cause', () => {
    const cause = new Error('no')
    const value = {
      a: {
        get broken(): number {
          throw cause
        },
      },
    }
    expect(refusal(value)).toContain('value.a could not be read')
    expect(() => resident.admit(value)).toThrow(expect.objectContaining({ cause }))
    const proxy = new Proxy([], {
      getPrototypeOf: () => {
        throw cause
      },
    })
    expect(() => resident.admit([proxy])).toThrow(expect.objectContaining({ code: 'INVALID_VALUE', cause }))
  })

  it('without any data in the message', () => {
    const secret = 'hunter2-hunter2'
    for (const value of [
      { password: secret, f: () => secret },
      new Map([[secret, () => 1]]),
      new Set([secret, Symbol(secret)]),
      { a: Symbol(secret) },
    ]) {
      expect(refusal(value)).not.toContain('hunter2')
    }
  })

  it('and nothing of it disturbs what is stored next', () => {
    const before = resident.sizeOf(resident.admit({ a: { b: new Date(1) } }))
    refusal({ a: [{ b: () => 1 }], c: 'x'.repeat(1000) })
    expect(resident.sizeOf(resident.admit({ a: { b: new Date(1) } }))).toBe(before)
  })

  it('unless a getter stores values of its own meanwhile', () => {
    const inner = {
      get x() {
        resident.admit({ a: [1, 2, 3] })
        return 1
      },
    }
    const value = { first: { y: 'abc' }, inner, last: new Date(1) }
    const size = resident.sizeOf(resident.admit(value))
    expect(size).toBe(resident.sizeOf(resident.admit({ first: { y: 'abc' }, inner: { x: 1 }, last: new Date(1) })))
  })
})
