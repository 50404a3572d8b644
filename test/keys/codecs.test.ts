import { describe, expect, it } from 'vitest'

import { VarveError } from '../../src/errors.ts'
import { type Key, type KeyCodec, keys } from '../../src/keys/index.ts'

function refusal(codec: KeyCodec<unknown>, key: unknown): string {
  try {
    codec.admit(key)
  } catch (error) {
    expect(error).toBeInstanceOf(VarveError)
    expect((error as VarveError).code).toBe('INVALID_KEY')
    return (error as VarveError).message
  }
  throw new Error('the key was admitted')
}

const EVERY_KIND: readonly Key[] = ['a', 1, 1n, true, Uint8Array.of(1), ['a']]

describe('key codecs', () => {
  it.each<[string, KeyCodec<unknown>, Key[]]>([
    ['string', keys.string(), ['a']],
    ['u64', keys.u64(), [1n]],
    ['i64', keys.i64(), [1n]],
    ['float64', keys.float64(), [1]],
    ['bytes', keys.bytes(), [Uint8Array.of(1)]],
    ['tuple(string)', keys.tuple(keys.string()), [['a']]],
  ])('%s takes its own kind and no other', (name, codec, taken) => {
    expect(codec.name).toBe(name)
    for (const key of EVERY_KIND) {
      if (taken.some((each) => typeof each === typeof key && String(each) === String(key))) {
        expect(codec.admit(key)).toStrictEqual(key)
      } else {
        expect(refusal(codec, key)).toContain(`the key codec ${name} takes`)
      }
    }
  })

  it('take 64-bit integers to the last one', () => {
    const [u64, i64] = [keys.u64(), keys.i64()]
    for (const key of [0n, 2n ** 64n - 1n]) expect(u64.admit(key)).toBe(key)
    for (const key of [-1n, 2n ** 64n]) expect(refusal(u64, key)).toContain(`key is ${key}n`)
    for (const key of [-(2n ** 63n), 2n ** 63n - 1n]) expect(i64.admit(key)).toBe(key)
    for (const key of [-(2n ** 63n) - 1n, 2n ** 63n]) expect(refusal(i64, key)).toContain(`key is ${key}n`)
  })

  it('normalise and copy as every table does', () => {
    expect(Object.is(keys.float64().admit(-0), 0)).toBe(true)
    expect(keys.float64().admit(Infinity)).toBe(Infinity)
    expect(refusal(keys.float64(), Number.NaN)).toContain('key is NaN')
    const buffer = Buffer.from([1, 2])
    const key = keys.bytes().admit(buffer)
    buffer.fill(0)
    expect(key).toStrictEqual(Uint8Array.of(1, 2))
    expect(Object.isFrozen(keys.tuple(keys.string()).admit(['a']))).toBe(true)
  })

  it('compose into tuples whose names say it all', () => {
    const codec = keys.tuple(keys.string(), keys.float64(), keys.tuple(keys.u64(), keys.bytes()))
    expect(codec.name).toBe('tuple(string,float64,tuple(u64,bytes))')
    const key = ['a', 5, [7n, Uint8Array.of(1)]]
    expect(codec.admit(key)).toStrictEqual(key)
    expect(keys.tuple().name).toBe('tuple()')
    expect(keys.tuple().admit([])).toStrictEqual([])
  })

  it('say where in a tuple the wrong element is, what it is, and what belongs there', () => {
    const codec = keys.tuple(keys.string(), keys.tuple(keys.u64(), keys.float64()))
    expect(refusal(codec, ['a', [1n, 'x']])).toBe('key[1][1] is "x", but the key codec float64 takes a number')
    expect(refusal(codec, ['a', [1, 2]])).toBe(
      'key[1][0] is 1, but the key codec u64 takes a bigint from 0n to 2n ** 64n - 1n',
    )
    expect(refusal(codec, ['a', 'b'])).toBe('key[1] is "b", but the key codec tuple(u64,float64) takes a tuple')
    expect(refusal(codec, ['a'])).toBe('key has 1 elements, but the key codec tuple(string,tuple(u64,float64)) takes 2')
    expect(refusal(codec, ['a', [1n, 2], 3])).toContain('key has 3 elements')
    expect(refusal(codec, ['a', [1n, Number.NaN]])).toContain('key[1][1] is NaN')
  })

  it('take codecs of the user inside tuples, which choose but do not convert', () => {
    const even: KeyCodec<number> = {
      name: 'even',
      admit(key) {
        if (typeof key === 'number' && key % 2 === 0) return key
        throw new VarveError('INVALID_KEY', 'not an even number')
      },
    }
    const halved: KeyCodec<number> = { name: 'halved', admit: (key) => Number(key) / 2 }
    const codec = keys.tuple(keys.string(), even)
    expect(codec.name).toBe('tuple(string,even)')
    expect(codec.admit(['a', 2])).toStrictEqual(['a', 2])
    expect(refusal(codec, ['a', 3])).toBe('not an even number')
    expect(refusal(keys.tuple(halved), [2])).toContain('key[0] is 2, but the key codec halved gives another key')
    expect(keys.tuple(halved).admit([0])).toStrictEqual([0])
  })

  it('refuse to be made of anything else', () => {
    for (const wrong of [undefined, null, 'string', keys.string, {}, { name: 'x' }, { admit: (): string => 'a' }]) {
      const make = (): unknown => keys.tuple(keys.string(), wrong as KeyCodec<Key>)
      expect(make).toThrow('argument 1 of keys.tuple is not a key codec')
      expect(make).toThrow(VarveError)
    }
    expect(Object.isFrozen(keys)).toBe(true)
  })
})
