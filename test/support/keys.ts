/**
 * Arbitrary keys for property tests, biased to where orders and encodings break: lone surrogates, NUL, U+FFFF, adjacent
 * doubles, the neighbours of 2^53 as number and bigint, bigints beyond every double, tuples that are prefixes of one
 * another. Small alphabets make equal keys and shared prefixes likely.
 */

import fc from 'fast-check'

import { admitKey, type Key, releaseKey } from '../../src/keys/index.ts'

const NASTY_UNITS = [
  0x00, 0x01, 0x02, 0x61, 0x62, 0x7e, 0x7f, 0x80, 0xff, 0x7fe, 0x7ff, 0x800, 0xd7ff, 0xd800, 0xdbff, 0xdc00, 0xdfff,
  0xe000, 0xfffd, 0xfffe, 0xffff,
]

function stringOf(units: fc.Arbitrary<number>, maxLength: number): fc.Arbitrary<string> {
  return fc.array(units, { maxLength }).map((codes) => String.fromCharCode(...codes))
}

/** Any sequence of code units, well-formed or not. */
export const stringKey: fc.Arbitrary<string> = fc.oneof(
  stringOf(fc.constantFrom(...NASTY_UNITS), 6),
  stringOf(fc.integer({ min: 0, max: 0xffff }), 6),
  stringOf(fc.constantFrom(0x61, 0x62), 4),
  fc.string({ unit: 'binary', maxLength: 8 }),
  fc.constantFrom(
    '',
    '\0',
    '\0\0',
    'a\0',
    '\uffff',
    '\uffff\uffff',
    'a\uffff',
    '\ud83d\ude00',
    '\ude00\ud83d',
    '__proto__',
  ),
)

export const bytesKey: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 8 }),
  fc.array(fc.constantFrom(0, 1, 2, 0x7f, 0x80, 0xfe, 0xff), { maxLength: 5 }).map((bytes) => Uint8Array.from(bytes)),
)

const TWO_53 = 2 ** 53

/** Numbers but NaN; -0 is among them, as callers may write it. */
const numberKey: fc.Arbitrary<number> = fc.oneof(
  fc.double({ noNaN: true }),
  fc.integer({ min: -3, max: 3 }),
  fc.integer({ min: -4, max: 4 }).map((n) => TWO_53 + n),
  fc.integer({ min: -4, max: 4 }).map((n) => n - TWO_53),
  fc.nat({ max: 1100 }).map((exponent) => 2 ** exponent),
  fc.constantFrom(
    -0,
    0.1,
    0.1 + Number.EPSILON / 8,
    1 + Number.EPSILON,
    1 - Number.EPSILON / 2,
    Number.MIN_VALUE,
    -Number.MIN_VALUE,
    2.2250738585072014e-308,
    2.225073858507201e-308,
    Number.MAX_VALUE,
    -Number.MAX_VALUE,
    1.7976931348623155e308,
    Infinity,
    -Infinity,
  ),
)

/** Bigints of any size, many of them next to a double. */
const bigintKey: fc.Arbitrary<bigint> = fc.oneof(
  fc.bigInt({ min: -3n, max: 3n }),
  fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }),
  fc.bigInt({ min: -(2n ** 1100n), max: 2n ** 1100n }),
  fc
    .tuple(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.bigInt({ min: -3n, max: 3n }))
    .map(([near, offset]) => BigInt(Math.trunc(near)) + offset),
  fc
    .tuple(
      fc.constantFrom(53n, 54n, 63n, 64n, 127n, 128n, 512n, 1023n, 1024n, 2032n, 2040n, 2048n),
      fc.bigInt({ min: -2n, max: 2n }),
      fc.boolean(),
    )
    .map(([exponent, offset, negative]) => (negative ? -(2n ** exponent) : 2n ** exponent) + offset),
)

/** A number and a bigint that are equal or next to each other, in either order. */
const besideKey: fc.Arbitrary<number | bigint> = fc
  .tuple(numberKey, fc.bigInt({ min: -1n, max: 1n }))
  .map(([near, offset]) => (Number.isInteger(near) ? BigInt(near) + offset : near))

const scalarKey: fc.Arbitrary<Key> = fc.oneof(stringKey, numberKey, bigintKey, besideKey, bytesKey, fc.boolean())

const { nested } = fc.letrec<{ nested: Key; tuple: readonly Key[] }>((tie) => ({
  nested: fc.oneof({ maxDepth: 4, depthSize: 'small', withCrossShrink: true }, scalarKey, tie('tuple')),
  tuple: fc.array(tie('nested'), { maxLength: 4 }),
}))

/** Any key as a caller may write it: mutable arrays, -0. */
export const callerKey: fc.Arbitrary<Key> = fc.oneof(
  { weight: 3, arbitrary: scalarKey },
  { weight: 2, arbitrary: nested },
  // Few distinct elements: prefixes of one another, and equal tuples.
  { weight: 1, arbitrary: fc.array(fc.constantFrom<Key>('', 'a', 'a\0', 1, 1n, true, ''), { maxLength: 4 }) },
)

/** Any key as the database holds it: admitted, so frozen, private and without -0. */
export const key: fc.Arbitrary<Key> = callerKey.map((value) => admitKey(value))

/** Two keys, often equal, adjacent, or one the prefix of the other. */
export const keyPair: fc.Arbitrary<[Key, Key]> = fc.oneof(
  fc.tuple(key, key),
  fc.tuple(numberKey, besideKey).map(([a, b]): [Key, Key] => [admitKey(a), admitKey(b)]),
  fc.tuple(bigintKey, bigintKey),
  fc.tuple(stringKey, stringKey),
  fc.tuple(key, key).map(([a, b]): [Key, Key] => [a, extended(a, b)]),
  numberKey.filter(Number.isInteger).map((n): [Key, Key] => [admitKey(n), BigInt(n)]),
)

/** A key that starts with `start` where its kind has prefixes; else an equal key. */
function extended(start: Key, end: Key): Key {
  if (typeof start === 'string') return start + (typeof end === 'string' ? end : '\0')
  if (start instanceof Uint8Array) return Uint8Array.of(...start, ...(end instanceof Uint8Array ? end : [0]))
  if (Array.isArray(start)) return admitKey([...(start as readonly Key[]), end])
  return releaseKey(start)
}
