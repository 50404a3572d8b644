import { runInNewContext } from 'node:vm'

import { describe, expect, it, vi } from 'vitest'

import { VarveError } from '../../src/errors.ts'
import { admitKey, admitKeyAs, encodedLength, type Key, KEY_MAX, releaseKey } from '../../src/keys/index.ts'
import { MAX_KEY_BYTES, MAX_KEY_DEPTH } from '../../src/limits.ts'

function refusal(key: unknown): string {
  try {
    admitKey(key)
  } catch (error) {
    expect(error).toBeInstanceOf(VarveError)
    expect((error as VarveError).code).toBe('INVALID_KEY')
    return (error as VarveError).message
  }
  throw new Error('the key was admitted')
}

function nested(depth: number): unknown {
  let key: unknown[] = []
  for (let i = 1; i < depth; i++) key = [key]
  return key
}

describe('admitKey', () => {
  it.each(['', 'a', '__proto__', 'constructor', '\0', '\ud800', 'x'.repeat(30_000)])(
    'returns strings as they are',
    (key) => {
      expect(admitKey(key)).toBe(key)
    },
  )

  it.each([0, 1, -1.5, Infinity, -Infinity, 2 ** 60, Number.MIN_VALUE, 0n, -(2n ** 2000n), true, false])(
    'returns %s as it is',
    (key) => {
      expect(admitKey(key)).toBe(key)
    },
  )

  it('makes 0 of -0, in tuples too', () => {
    expect(Object.is(admitKey(-0), 0)).toBe(true)
    expect(Object.is((admitKey([[-0]]) as readonly (readonly Key[])[])[0]![0], 0)).toBe(true)
  })

  it.each([
    ['undefined', undefined],
    ['null', null],
    ['NaN', Number.NaN],
    ['a symbol', Symbol('s')],
    ['a function', (): void => {}],
    ['an object (Object)', {}],
    ['an object (Object)', Object.create(null)],
    ['an object (Date)', new Date(0)],
    ['an object (String)', new String('a')],
    ['an object (Promise)', Promise.resolve('a')],
    ['an object (Map)', new Map()],
    ['an object (Uint8ClampedArray)', new Uint8ClampedArray(1)],
    ['an object (Int8Array)', new Int8Array(1)],
    ['an object (Float64Array)', new Float64Array(1)],
    ['an object (DataView)', new DataView(new ArrayBuffer(1))],
    ['an object (ArrayBuffer)', new ArrayBuffer(1)],
    ['an object (Object)', KEY_MAX],
    ['an object (Object)', { length: 1, 0: 'a' }],
  ])('refuses %s, alone and inside a tuple, and says where', (what, key) => {
    expect(refusal(key)).toContain(`key is ${what};`)
    expect(refusal(['a', [key]])).toContain(`key[1][0] is ${what};`)
  })

  it('names the value as its caller does', () => {
    expect(() => admitKeyAs([1, null], 'range.gt')).toThrow('range.gt[1] is null')
    expect(admitKeyAs('a', 'range.gt')).toBe('a')
    expect(Object.is(admitKeyAs(-0, 'range.gt'), 0)).toBe(true)
  })

  it('refuses a sparse array at its first hole', () => {
    // oxlint-disable-next-line no-sparse-arrays
    expect(refusal(['a', , 'b'])).toContain('key[1] is missing')
    expect(refusal(new Array(2 ** 32 - 1))).toContain('key[0] is missing')
    expect(refusal(['a', undefined])).toContain('key[1] is undefined')
  })

  it('copies bytes to a plain private Uint8Array, whatever they are a view of (I1)', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(2))
    const foreign = runInNewContext('new Uint8Array([1, 2])') as Uint8Array
    for (const bytes of [
      Uint8Array.of(1, 2),
      Buffer.from([1, 2]),
      new Uint8Array([9, 1, 2, 9]).subarray(1, 3),
      shared,
      foreign,
    ]) {
      bytes.set([1, 2])
      const key = admitKey(bytes) as Uint8Array
      bytes.fill(0)
      expect(key.constructor).toBe(Uint8Array)
      expect(key).toStrictEqual(Uint8Array.of(1, 2))
      expect(key.buffer.byteLength).toBe(2)
    }
  })

  it('copies and freezes tuples, all the way down (I1)', () => {
    const bytes = Uint8Array.of(1)
    const inner = ['b', bytes]
    const outer: unknown[] = ['a', inner]
    const key = admitKey(outer) as readonly Key[]
    outer.push('more')
    inner[0] = 'changed'
    bytes[0] = 9
    expect(key).toStrictEqual(['a', ['b', Uint8Array.of(1)]])
    expect(Object.isFrozen(key)).toBe(true)
    expect(Object.isFrozen(key[1])).toBe(true)
    expect(() => (key as Key[]).push('x')).toThrow(TypeError)
  })

  it('reads an array once, even one that changes its answers', () => {
    let reads = 0
    const shifting = new Proxy(['a'], {
      get: (target, property, receiver) =>
        property === '0' && ++reads > 1 ? null : Reflect.get(target, property, receiver),
    })
    expect(admitKey(shifting)).toStrictEqual(['a'])
    expect(reads).toBe(1)
  })

  it('is not deceived by bytes that lie about their length', () => {
    const liar = new Uint8Array(MAX_KEY_BYTES * 2)
    Object.defineProperty(liar, 'length', { value: 0 })
    expect(refusal(liar)).toContain('too long')
  })

  it('refuses bytes whose buffer was transferred away', () => {
    const bytes = Uint8Array.of(1, 2)
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
    expect(refusal(['a', bytes])).toContain('key[1] is a Uint8Array whose buffer is detached')
  })

  it('takes arrays of another realm and of a subclass', () => {
    class Pair extends Array<string> {}
    expect(admitKey(Pair.of('a', 'b'))).toStrictEqual(['a', 'b'])
    expect(admitKey(runInNewContext('["a", "b"]'))).toStrictEqual(['a', 'b'])
  })
})

describe('the limits of keys', () => {
  it('depth: MAX_KEY_DEPTH is admitted, one more is not', () => {
    expect(() => admitKey(nested(MAX_KEY_DEPTH))).not.toThrow()
    expect(refusal(nested(MAX_KEY_DEPTH + 1))).toContain(`more than ${MAX_KEY_DEPTH} tuples deep`)
  })

  it('cyclic tuples are refused', () => {
    const cycle: unknown[] = []
    cycle.push('a', cycle)
    expect(refusal(cycle)).toContain('cyclic')
  })

  it('a tuple that repeats itself exponentially is refused soon (I3)', () => {
    let shared: unknown[] = ['a']
    for (let i = 1; i < MAX_KEY_DEPTH; i++) shared = [shared, shared]
    expect(refusal(shared)).toContain('too long')
  })

  it.each<[string, (size: number) => Key]>([
    ['ASCII', (size) => 'a'.repeat(size - 2)],
    ['two bytes to a unit', (size) => 'é'.repeat((size - 3) / 2) + 'a'],
    ['three bytes to a unit', (size) => '\ud800'.repeat(Math.floor((size - 2) / 3)) + 'a'.repeat((size - 2) % 3)],
    ['NUL', (size) => '\0'.repeat((size - 3) / 2) + 'a'],
    ['bytes', (size) => new Uint8Array(size - 2).fill(7)],
    ['bytes with escapes', (size) => new Uint8Array((size - 3) / 2 + 1).fill(7, 0, 1)],
    ['a tuple of one string', (size) => ['a'.repeat(size - 4)]],
    ['a tuple of bytes and strings', (size) => [new Uint8Array(1000), 1n, 'a'.repeat(size - 2016)]],
    ['a tuple of booleans', (size) => new Array<boolean>(size - 2).fill(true)],
    ['a bigint', (size) => 2n ** BigInt(8 * (size - 15)) - 1n],
    ['a negative bigint', (size) => -(2n ** BigInt(8 * (size - 15))) + 1n],
  ])('size, %s: MAX_KEY_BYTES is admitted, more is not', (_, keyOfSize) => {
    const longest = keyOfSize(MAX_KEY_BYTES)
    expect(encodedLength(longest)).toBe(MAX_KEY_BYTES)
    expect(admitKey(longest)).toStrictEqual(longest)
    const longer = keyOfSize(MAX_KEY_BYTES + 2)
    expect(encodedLength(longer)).toBeGreaterThan(MAX_KEY_BYTES)
    expect(refusal(longer)).toBe(`key is too long: encoded, a key may take ${MAX_KEY_BYTES} bytes`)
  })

  it('refuses giants without reading them (I3)', () => {
    expect(refusal('\ud800'.repeat(2 ** 28))).toContain('too long')
    const digits = vi.spyOn(BigInt.prototype, 'toString')
    expect(refusal(1n << 100_000_000n)).toContain('too long')
    expect(digits).not.toHaveBeenCalled()
    digits.mockRestore()
    expect(refusal(new Uint8Array(2 ** 30))).toContain('too long')
    expect(refusal(new Array(10_000_000).fill(1))).toContain('too long')
  })
})

describe('releaseKey', () => {
  it.each(['a', 1, 1n, true])('returns %s as it is', (key) => {
    expect(releaseKey(key)).toBe(key)
  })

  it('hands out a frozen tuple without bytes itself', () => {
    const key = admitKey(['a', [1n, []]])
    expect(releaseKey(key)).toBe(key)
  })

  it('copies bytes, alone and inside tuples (I2)', () => {
    const alone = admitKey(Uint8Array.of(1))
    const released = releaseKey(alone) as Uint8Array
    released[0] = 9
    expect(alone).toStrictEqual(Uint8Array.of(1))

    const tuple = admitKey(['a', ['b', Uint8Array.of(1)], ['c']])
    const copy = releaseKey(tuple) as readonly Key[]
    expect(copy).toStrictEqual(tuple)
    ;(copy as readonly (readonly Uint8Array[])[])[1]![1]![0] = 9
    expect(tuple).toStrictEqual(['a', ['b', Uint8Array.of(1)], ['c']])
    expect(Object.isFrozen(copy) && Object.isFrozen(copy[1])).toBe(true)
  })
})
