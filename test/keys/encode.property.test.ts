import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { VarveError } from '../../src/errors.ts'
import {
  compareBytes,
  compareKeys,
  decodeKey,
  encodedLength,
  encodeKey,
  KEY_MAX,
  writeKey,
} from '../../src/keys/index.ts'
import { key, keyPair } from '../support/keys.ts'
import { fcParameters } from '../support/random.ts'

describe('the encoding of keys', () => {
  it('sorts under memcmp as compareKeys does (encode I1)', () => {
    fc.assert(
      fc.property(keyPair, ([a, b]) => {
        expect(Math.sign(compareBytes(encodeKey(a), encodeKey(b)))).toBe(Math.sign(compareKeys(a, b)))
      }),
      fcParameters(5000),
    )
  })

  it('sorts bounds too, KEY_MAX alone and inside tuples (encode I1)', () => {
    fc.assert(
      fc.property(keyPair, fc.array(key, { maxLength: 2 }), ([a, b], more) => {
        const bounds = [KEY_MAX, [a, KEY_MAX], [KEY_MAX], [a, ...more], [b, KEY_MAX], b, [[a, KEY_MAX], b]]
        for (const x of bounds) {
          for (const y of bounds) {
            expect(Math.sign(compareBytes(encodeKey(x), encodeKey(y)))).toBe(Math.sign(compareKeys(x, y)))
          }
        }
      }),
      fcParameters(300),
    )
  })

  it('holds no encoding that starts with another (encode I2)', () => {
    fc.assert(
      fc.property(keyPair, ([a, b]) => {
        const [x, y] = [encodeKey(a), encodeKey(b)]
        if (compareKeys(a, b) !== 0) expect(compareBytes(x, y.subarray(0, x.length))).not.toBe(0)
      }),
      fcParameters(5000),
    )
  })

  it('gives back the very key (encode I3)', () => {
    fc.assert(
      fc.property(key, (original) => {
        const bytes = encodeKey(original)
        const decoded = decodeKey(bytes)
        expect(decoded).toStrictEqual(original)
        expect(encodedLength(original)).toBe(bytes.length)
        const target = new Uint8Array(bytes.length + 2)
        expect(writeKey(original, target, 1)).toBe(bytes.length + 1)
        expect(target.subarray(1, -1)).toStrictEqual(bytes)
        expect(decodeKey(target, 1, bytes.length + 1)).toStrictEqual(original)
      }),
      fcParameters(3000),
    )
  })
})

/** How to damage an encoding: a place in it, taken modulo its length, and what happens there. */
const damage = fc.record({
  at: fc.nat(),
  kind: fc.constantFrom('replace', 'flip', 'cut', 'insert', 'remove', 'join'),
  byte: fc.oneof(
    fc.constantFrom(0, 1, 2, 3, 0x10, 0x11, 0x20, 0x30, 0x40, 0x50, 0x7f, 0x80, 0xc0, 0xe0, 0xfe, 0xff),
    fc.integer({ min: 0, max: 255 }),
  ),
})

type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never

function damaged(bytes: Uint8Array, other: Uint8Array, { at, kind, byte }: Damage): Uint8Array {
  const place = bytes.length === 0 ? 0 : at % bytes.length
  const [before, after] = [bytes.subarray(0, place), bytes.subarray(place + 1)]
  switch (kind) {
    case 'replace':
      return Uint8Array.of(...before, byte, ...after)
    case 'flip':
      return Uint8Array.of(...before, (bytes[place] ?? 0) ^ (1 << (byte & 7)), ...after)
    case 'cut':
      return before
    case 'insert':
      return Uint8Array.of(...before, byte, ...bytes.subarray(place))
    case 'remove':
      return Uint8Array.of(...before, ...after)
    default:
      return Uint8Array.of(...before, ...other)
  }
}

/**
 * Whether the bytes, which lie amid others, were taken for a key; anything but that key's one encoding or CORRUPTION fails the
 * test.
 */
function accepts(bytes: Uint8Array): boolean {
  const block = Uint8Array.of(0x30, ...bytes, 0x61, 0x00)
  let decoded
  try {
    decoded = decodeKey(block, 1, bytes.length + 1)
  } catch (error) {
    if (!(error instanceof VarveError) || error.code !== 'CORRUPTION') throw error
    return false
  }
  expect(encodeKey(decoded)).toStrictEqual(Uint8Array.from(bytes))
  return true
}

describe('decodeKey on bytes that nobody encoded', () => {
  it('refuses them with CORRUPTION or finds the one key they encode: damaged keys (decode I1, encode I3)', () => {
    let refused = 0
    let accepted = 0
    fc.assert(
      fc.property(key, key, fc.array(damage, { minLength: 1, maxLength: 3 }), (a, b, damages) => {
        const other = encodeKey(b)
        const bytes = damages.reduce((before, each) => damaged(before, other, each), encodeKey(a))
        if (accepts(bytes)) accepted++
        else refused++
      }),
      fcParameters(10_000),
    )
    expect(Math.min(refused, accepted), 'both outcomes must be tried').toBeGreaterThan(0)
  })

  it('refuses them with CORRUPTION or finds the one key they encode: random bytes (decode I1)', () => {
    const tag = fc.constantFrom(0x00, 0x10, 0x11, 0x20, 0x30, 0x40, 0x50, 0xff)
    const bytes = fc.array(fc.oneof(tag, fc.integer({ min: 0, max: 255 })), { maxLength: 24 })
    fc.assert(
      fc.property(tag, bytes, (first, rest) => {
        accepts(Uint8Array.of(first, ...rest))
      }),
      fcParameters(5000),
    )
  })
})
