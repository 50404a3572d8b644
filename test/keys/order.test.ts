import { describe, expect, it } from 'vitest'

import { compareBytes, compareKeys, encodeKey, equalKeys, type Key, KEY_MAX } from '../../src/keys/index.ts'

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)

/** Every key of these before the one after it. */
const ASCENDING: readonly Key[] = [
  false,
  true,
  -Infinity,
  -(2n ** 5000n),
  -(2n ** 2040n),
  -(2n ** 2040n) + 1n,
  -(2n ** 1024n) - 1n,
  -(2n ** 1024n),
  -(2n ** 1024n) + 1n,
  -BigInt(Number.MAX_VALUE) - 1n,
  -Number.MAX_VALUE,
  -BigInt(Number.MAX_VALUE),
  -BigInt(Number.MAX_VALUE) + 1n,
  -(2n ** 64n),
  -(2n ** 53n) - 2n - 1n,
  -(2 ** 53) - 2,
  -(2n ** 53n) - 2n,
  -(2n ** 53n) - 1n,
  -(2 ** 53),
  -(2n ** 53n),
  -2n,
  -1.5,
  -1,
  -1n,
  -0.5,
  -Number.MIN_VALUE,
  0,
  0n,
  Number.MIN_VALUE,
  2.225073858507201e-308,
  2.2250738585072014e-308,
  0.1,
  1 - Number.EPSILON / 2,
  1,
  1n,
  1 + Number.EPSILON,
  2 ** 53 - 1,
  2n ** 53n - 1n,
  2 ** 53,
  2n ** 53n,
  2n ** 53n + 1n,
  2 ** 53 + 2,
  2n ** 53n + 2n,
  2n ** 53n + 3n,
  2n ** 63n - 1n,
  2 ** 63,
  2n ** 63n,
  2n ** 64n - 1n,
  2 ** 64,
  2n ** 64n,
  2n ** 64n + 255n,
  2n ** 64n + 256n,
  Number.MAX_VALUE,
  BigInt(Number.MAX_VALUE),
  BigInt(Number.MAX_VALUE) + 1n,
  2n ** 1024n - 1n,
  2n ** 1024n,
  2n ** 2040n,
  2n ** 5000n,
  Infinity,
  '',
  '\0',
  '\0\0',
  '\0\u0001',
  '\u0001',
  '\u0001\0',
  '\u0002',
  'a',
  'a\0',
  'a\u0001',
  'aa',
  'b',
  '\u007f',
  '\u0080',
  '\u07ff',
  '\u0800',
  '\ud7ff',
  '\ud800',
  '\ud83d',
  '\ud83d\ude00',
  '\udc00',
  '\ude00\ud83d',
  '\ue000',
  '\uffff',
  '\uffff\uffff',
  bytes(),
  bytes(0),
  bytes(0, 0),
  bytes(0, 1),
  bytes(1),
  bytes(1, 0),
  bytes(2),
  bytes(0x7f),
  bytes(0xff),
  bytes(0xff, 0xff),
  [],
  [false],
  [1],
  [1, 5],
  [1n],
  [1n, 0],
  [''],
  ['', ''],
  ['\0'],
  ['a'],
  ['a', []],
  ['a', KEY_MAX],
  ['a\0'],
  ['b', 'a'],
  [bytes()],
  [bytes(), 'x'],
  [bytes(0)],
  [[]],
  [[], 1],
  [[false]],
  [['a'], 'b'],
  [['a', 'b']],
  [KEY_MAX],
  KEY_MAX,
]

describe('the order of keys', () => {
  it('is the documented one, for every pair of the list, both ways round (I1, I2, I3)', () => {
    for (const [i, a] of ASCENDING.entries()) {
      for (const [j, b] of ASCENDING.entries()) {
        expect(Math.sign(compareKeys(a, b)), `${i} against ${j}`).toBe(Math.sign(i - j))
        expect(equalKeys(a, b), `${i} equals ${j}`).toBe(i === j)
      }
    }
  })

  it('is the order of the encodings under memcmp', () => {
    for (const [i, a] of ASCENDING.entries()) {
      for (const [j, b] of ASCENDING.entries()) {
        expect(Math.sign(compareBytes(encodeKey(a), encodeKey(b))), `${i} against ${j}`).toBe(Math.sign(i - j))
      }
    }
  })

  it('calls keys equal that are different objects', () => {
    expect(compareKeys(bytes(1, 2), bytes(1, 2))).toBe(0)
    expect(compareKeys(['a', [1n, bytes(3)]], ['a', [1n, bytes(3)]])).toBe(0)
    expect(equalKeys(['a', [1n, bytes(3)]], ['a', [1n, bytes(3)]])).toBe(true)
    expect(equalKeys(2n ** 70n, 2n ** 70n)).toBe(true)
    expect(equalKeys(1, 1n)).toBe(false)
    expect(equalKeys('1', 1)).toBe(false)
  })

  it('has no other end: KEY_MAX equals only itself', () => {
    expect(compareKeys(KEY_MAX, KEY_MAX)).toBe(0)
    expect(compareKeys([KEY_MAX], [KEY_MAX])).toBe(0)
    expect(compareKeys(['a', KEY_MAX], ['a', KEY_MAX, 1])).toBeLessThan(0)
    expect(Object.isFrozen(KEY_MAX)).toBe(true)
  })
})
