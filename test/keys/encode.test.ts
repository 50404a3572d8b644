import { describe, expect, it } from 'vitest'

import { VarveError } from '../../src/errors.ts'
import { decodeKey, encodedLength, encodeKey, type Key, KEY_MAX, writeKey } from '../../src/keys/index.ts'
import { MAX_KEY_BYTES, MAX_KEY_DEPTH } from '../../src/limits.ts'

const hex = (key: Key): string => Buffer.from(encodeKey(key)).toString('hex')
const fromHex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'))

function corruption(bytes: Uint8Array): string {
  try {
    decodeKey(bytes)
  } catch (error) {
    expect(error).toBeInstanceOf(VarveError)
    expect((error as VarveError).code).toBe('CORRUPTION')
    return (error as VarveError).message
  }
  throw new Error('the bytes were accepted')
}

/** The file format: these bytes must never change. */
const LAYOUT: readonly (readonly [Key, string])[] = [
  [false, '10'],
  [true, '11'],
  [0, '20 8000000000000000 00'],
  [0n, '20 8000000000000000 01'],
  [1, '20 bff0000000000000 00'],
  [1n, '20 bff0000000000000 01'],
  [-1, '20 400fffffffffffff 00'],
  [-1n, '20 400fffffffffffff 01'],
  [Infinity, '20 fff0000000000000 00'],
  [-Infinity, '20 000fffffffffffff 00'],
  [Number.MIN_VALUE, '20 8000000000000001 00'],
  [2n ** 53n + 1n, '20 c340000000000000 02 01 01'],
  [-(2n ** 53n) - 1n, '20 3cbffffffffffffe 02 01 01'],
  [2n ** 64n - 1n, '20 c3efffffffffffff 02 02 07ff'],
  [BigInt(Number.MAX_VALUE) + 0x1234n, '20 ffefffffffffffff 02 02 1234'],
  [-(2n ** 1024n), `20 000fffffffffffff 02 7e fe${'ff'.repeat(128)}`],
  ['', '30 00'],
  ['a', '30 61 00'],
  ['\0\u0001\u0002', '30 0101 0102 02 00'],
  ['\u007f\u0080\u07ff\u0800\uffff', '30 7f c280 dfbf e0a080 efbfbf 00'],
  ['\ud83d\ude00', '30 eda0bd edb880 00'],
  [Uint8Array.of(), '40 00'],
  [Uint8Array.of(0, 1, 2, 255), '40 0101 0102 02 ff 00'],
  [[], '50 00'],
  [['a', [], true], '50 306100 5000 11 00'],
]

describe('encodeKey', () => {
  it.each(LAYOUT.map(([key, bytes]) => [bytes, key] as const))('has the documented layout: %s', (bytes, key) => {
    expect(hex(key)).toBe(bytes.replaceAll(' ', ''))
    expect(decodeKey(fromHex(bytes))).toStrictEqual(key)
    expect(encodedLength(key)).toBe(fromHex(bytes).length)
  })

  it('writes -0 as 0', () => {
    expect(hex(-0)).toBe(hex(0))
    expect(Object.is(decodeKey(encodeKey(-0)), 0)).toBe(true)
  })

  it('tells lone surrogates, their pair and the replacement character apart', () => {
    const keys = ['\ud83d', '\ude00', '\ud83d\ude00', '\ude00\ud83d', '\ufffd', '\ud83e']
    expect(new Set(keys.map(hex)).size).toBe(keys.length)
    for (const key of keys) expect(decodeKey(encodeKey(key))).toBe(key)
  })

  it('writes bigints of 254, 255 and more bytes above and below every double', () => {
    for (const bytes of [253n, 254n, 255n, 256n, 300n, 65_000n]) {
      for (const value of [256n ** bytes - 1n, 256n ** bytes, 256n ** (bytes - 1n) + 1n]) {
        expect(decodeKey(encodeKey(value))).toBe(value)
        expect(decodeKey(encodeKey(-value))).toBe(-value)
        expect(encodedLength(-value)).toBe(encodeKey(-value).length)
      }
    }
  })

  it('decodes long strings of one, two and three bytes to a unit', () => {
    for (const unit of ['a', '\0', 'é', '\ud800', '\uffff']) {
      for (const length of [4095, 4096, 4097, 20_000]) {
        const key = unit.repeat(length)
        expect(decodeKey(encodeKey(key))).toBe(key)
      }
    }
  })

  it('writes KEY_MAX for bounds, and nothing decodes it', () => {
    expect(hex(['a', KEY_MAX])).toBe('50306100ff00')
    expect(encodedLength(['a', KEY_MAX])).toBe(6)
    expect(corruption(encodeKey(KEY_MAX))).toContain('byte 255')
    expect(corruption(encodeKey([KEY_MAX]))).toContain('byte 255')
  })
})

describe('writeKey', () => {
  it('writes in the middle of a buffer and returns where the key ends', () => {
    const target = new Uint8Array(10).fill(0xaa)
    expect(writeKey(['a'], target, 2)).toBe(7)
    expect(Buffer.from(target).toString('hex')).toBe('aaaa5030610000aaaaaa')
  })

  it('throws if the key does not fit', () => {
    for (const key of ['abc', 1, 2n ** 70n + 1n, true, Uint8Array.of(1, 2), ['a']] satisfies Key[]) {
      const length = encodedLength(key)
      expect(writeKey(key, new Uint8Array(length), 0)).toBe(length)
      expect(() => writeKey(key, new Uint8Array(length - 1), 0)).toThrow(RangeError)
    }
  })
})

describe('decodeKey', () => {
  it.each([
    ['nothing', '', 'cut short'],
    ['an unknown tag', '07', 'byte 7'],
    ['an end of tuple alone', '00', 'byte 0'],
    ['a second key', '1011', 'follow the end'],
    ['a trailing byte', '30610000', 'follow the end'],
    ['a string without end', '3061', 'cut short'],
    ['a string that ends in an escape', '306101', 'cut short'],
    ['an escape of something else', '30010300', 'escape'],
    ['an escape of the terminator', '30010000', 'escape'],
    ['an unescaped continuation byte', '308000', 'no code unit'],
    ['an overlong unit of two bytes', '30c0af00', 'no code unit'],
    ['an overlong unit of two bytes, NUL', '30c08000', 'no code unit'],
    ['an overlong unit of two bytes, 41', '30c18100', 'no code unit'],
    ['an overlong unit of three bytes', '30e0828000', 'no code unit'],
    ['a unit of four bytes', '30f09f988000', 'no code unit'],
    ['a unit cut by the terminator', '30c200', 'no code unit'],
    ['a unit cut by the end', '30e0a0', 'cut short'],
    ['bytes without end', '4061', 'cut short'],
    ['bytes with an escape of something else', '40010500', 'escape'],
    ['a number of seven bytes', '20bff00000000000', 'cut short'],
    ['a number without what follows', '20bff0000000000000', 'cut short'],
    ['a number with an unknown kind', '20bff000000000000003', 'follows a number'],
    ['NaN', '20fff800000000000000', 'NaN'],
    ['negative NaN', '20000000000000000000', 'NaN'],
    ['-0', '207fffffffffffffff00', '-0'],
    ['-0n', '207fffffffffffffff01', 'no integer'],
    ['a bigint of a fraction', '20bff800000000000001', 'no integer'],
    ['an infinite bigint', '20fff000000000000001', 'no integer'],
    ['a negative infinite bigint', '20000fffffffffffff01', 'no integer'],
    ['a remainder above a fraction', '20bff8000000000000020101', 'no integer'],
    ['a remainder above infinity', '20fff0000000000000020101', 'no integer'],
    ['a remainder above NaN', '20fff8000000000000020101', 'no integer'],
    ['a remainder where the floor is exact', '20bff0000000000000020101', 'wrong floor'],
    ['a remainder that reaches the next double', '20c340000000000000020102', 'wrong floor'],
    ['a remainder of zero', '20c340000000000000020100', 'zero byte'],
    ['a remainder of no bytes', '20c3400000000000000200', 'zero byte'],
    ['a remainder with a leading zero', '20c34000000000000002020001', 'zero byte'],
    ['a long length for a short remainder', '20c34000000000000002ff0000000101', 'more bytes than it needs'],
    ['a remainder of 2^32 bytes', '20ffefffffffffffff02ffffffffff01', 'cut short'],
    ['a magnitude too small for its floor', '20000fffffffffffff02fefe', 'wrong floor'],
    ['a flipped length of 2^32', '20000fffffffffffff020000000000', 'cut short'],
    ['a tuple without end', '5010', 'cut short'],
    ['a tuple with a damaged element', '5030c000', 'no code unit'],
  ])('refuses %s', (_, bytes, reason) => {
    expect(corruption(fromHex(bytes))).toContain(reason)
  })

  it('says at which byte the damage is', () => {
    expect(corruption(fromHex('50 306100 07 00'))).toContain('byte 5 of 6')
  })

  it('ends the recursion at the depth limit (I3)', () => {
    const nested = (depth: number): Uint8Array => fromHex('50'.repeat(depth) + '00'.repeat(depth))
    expect(() => decodeKey(nested(MAX_KEY_DEPTH))).not.toThrow()
    expect(corruption(nested(MAX_KEY_DEPTH + 1))).toContain('nested')
    expect(corruption(new Uint8Array(MAX_KEY_BYTES).fill(0x50))).toContain('nested')
  })

  it('does not read what is longer than a key may be (I2)', () => {
    const long = new Uint8Array(MAX_KEY_BYTES + 1).fill(0x61)
    long[0] = 0x30
    long[MAX_KEY_BYTES] = 0
    expect(corruption(long)).toContain(`${MAX_KEY_BYTES}`)
    const longest = long.slice(1)
    longest[0] = 0x30
    expect(decodeKey(longest)).toBe('a'.repeat(MAX_KEY_BYTES - 2))
  })

  it('shares no memory with its input and freezes tuples', () => {
    const input = encodeKey([Uint8Array.of(5), 'a'])
    const key = decodeKey(input) as readonly Key[]
    input.fill(0)
    expect(key).toStrictEqual([Uint8Array.of(5), 'a'])
    expect(Object.isFrozen(key)).toBe(true)
  })

  it('reads a part of a larger buffer', () => {
    const key = ['é', 'abc', Uint8Array.of(7), 2n ** 70n + 3n]
    const buffer = Buffer.concat([Buffer.from('xx'), encodeKey(key), Buffer.from('yy')])
    expect(decodeKey(buffer.subarray(2, -2))).toStrictEqual(key)
  })
})
