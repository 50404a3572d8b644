/**
 * The reader of plain values against the way that knows all cases: the library, with a pass over its result. Invariants of
 * src/codecs/read.ts.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { lastSize } from '../../src/codecs/codec.ts'
import { codecs, residentOf } from '../../src/codecs/index.ts'
import { copyIn } from '../../src/codecs/copy.ts'
import { residentBytes } from '../../src/codecs/measure.ts'
import { UNREAD, readPlain } from '../../src/codecs/read.ts'
import { decodeStored, encodeStored } from '../../src/codecs/wire.ts'
import { VarveError } from '../../src/errors.ts'
import { fcParameters } from '../support/random.ts'
import { sameValue, structuredValue } from '../support/values.ts'

/** Whether all that is frozen in one of two values that are the same is so in the other. */
function sameFreeze(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || a === null) return true
  const others = Object.values(b as object)
  return Object.isFrozen(a) === Object.isFrozen(b) && Object.values(a).every((inner, i) => sameFreeze(inner, others[i]))
}

/** What the other way makes of bytes: a stored form, or UNREAD if it refuses them. */
function reference(bytes: Uint8Array): unknown {
  try {
    return decodeStored(bytes)
  } catch (error) {
    expect(error).toBeInstanceOf(VarveError)
    return UNREAD
  }
}

/** Reads bytes that lie amid others, and says whether the result is UNREAD or what it has to be (I1). */
function agrees(bytes: Uint8Array, around: Uint8Array): boolean {
  const block = Buffer.concat([around, bytes, around])
  const read = readPlain(new Uint8Array(block), around.length, around.length + bytes.length)
  const size = lastSize
  if (read === UNREAD) return true
  const wanted = reference(bytes)
  return sameValue(read, wanted) && sameFreeze(read, wanted) && size === residentBytes(wanted)
}

const around = fc.uint8Array({ maxLength: 12 })

/** A length as it may stand in the bytes, mostly right. */
const lengthError: fc.Arbitrary<number> = fc.oneof(
  { weight: 12, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.constantFrom(-1, 1, 2, 15, 300, 70_000) },
)

function header(length: number, fix: number, most: number, wide: readonly number[], form: number): Buffer {
  if (form === 0 && length <= most) return Buffer.of(fix | length)
  const sizes = wide.length === 3 ? [1, 2, 4] : [2, 4]
  const at = Math.min(form, wide.length - 1)
  const bytes = Buffer.alloc(5)
  bytes[0] = wide[at]!
  const size = sizes[at]!
  if (length >= 2 ** (size * 8)) return header(length, fix, most, wide, form + 1)
  bytes.writeUIntBE(length, 1, size)
  return bytes.subarray(0, 1 + size)
}

const form = fc.integer({ min: 0, max: 2 })

const text: fc.Arbitrary<Buffer> = fc
  .tuple(
    fc.oneof(
      fc.string({ maxLength: 20 }).map((string) => Buffer.from(string)),
      fc.string({ unit: 'binary', maxLength: 90 }).map((string) => Buffer.from(string)),
      fc.constantFrom('\ufeff', '\ufeffa', '\ufffd', 'ab', '1', 'é').map((string) => Buffer.from(string)),
      fc.constant(Buffer.from(`\ufeff${'x'.repeat(80)}`)),
      fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes)),
    ),
    form,
    lengthError,
  )
  .map(([bytes, wide, error]) =>
    Buffer.concat([header(Math.max(0, bytes.length + error), 0xa0, 31, [0xd9, 0xda, 0xdb], wide), bytes]),
  )

const scalar: fc.Arbitrary<Buffer> = fc.oneof(
  fc.integer({ min: 0, max: 255 }).map((byte) => Buffer.of(byte)),
  fc
    .tuple(
      fc.constantFrom(0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd1, 0xd2, 0xd3),
      fc.uint8Array({ size: 'small' }),
    )
    .map(([token, payload]) => {
      const length = [4, 8, 1, 2, 4, 8, 1, 2, 4, 8][token - 0xca]!
      return Buffer.concat([Buffer.of(token), Buffer.from(payload), Buffer.alloc(length)]).subarray(0, 1 + length)
    }),
  fc
    .constantFrom('c0', 'c2', 'c3', 'cb8000000000000000', 'cb7ff8000000000000', '92c100', '92c101', 'c40101')
    .map((hex) => Buffer.from(hex, 'hex')),
)

const binary: fc.Arbitrary<Buffer> = fc
  .tuple(fc.integer({ min: 0, max: 15 }), fc.uint8Array({ maxLength: 70 }), form, lengthError)
  .map(([kind, content, wide, error]) => {
    const length = Math.max(0, content.length + error)
    return Buffer.concat([Buffer.of(0x94, 0xc1, 10, kind), header(length, 0, -1, [0xc4, 0xc5, 0xc6], wide), content])
  })

const name: fc.Arbitrary<Buffer> = fc
  .oneof(
    { weight: 8, arbitrary: fc.constantFrom('a', 'b', 'id', 'owner', '0', '7', 'ö', '') },
    { weight: 1, arbitrary: fc.constantFrom('__proto__', 'constructor', 'toString', '__proto_') },
  )
  .chain((string) =>
    form.map((wide) => {
      const bytes = Buffer.from(string)
      return Buffer.concat([header(bytes.length, 0xa0, 31, [0xd9, 0xda, 0xdb], wide), bytes])
    }),
  )

/** Bytes that look like MessagePack and are mostly well-formed. */
const message: fc.Arbitrary<Buffer> = fc.letrec<{ message: Buffer }>((tie) => ({
  message: fc.oneof(
    { depthSize: 'small' },
    scalar,
    text,
    binary,
    fc
      .tuple(fc.array(tie('message'), { maxLength: 18 }), form, lengthError)
      .map(([items, wide, error]) =>
        Buffer.concat([header(Math.max(0, items.length + error), 0x90, 15, [0xdc, 0xdd], wide), ...items]),
      ),
    fc
      .tuple(fc.array(fc.tuple(fc.oneof(name, text, scalar), tie('message')), { maxLength: 5 }), form, lengthError)
      .map(([entries, wide, error]) =>
        Buffer.concat([header(Math.max(0, entries.length + error), 0x80, 15, [0xde, 0xdf], wide), ...entries.flat(1)]),
      ),
  ),
})).message

describe('the reader of plain values', () => {
  it('gives what the other way gives, or nothing, for all values (I1)', () => {
    fc.assert(
      fc.property(structuredValue, around, (value, near) => agrees(encodeStored(copyIn(value)), near)),
      fcParameters(1500),
    )
  })

  it('is one of two ways, of which the resident takes the right one, wherever the bytes lie (codec I2)', () => {
    const resident = residentOf(codecs.structured())
    fc.assert(
      fc.property(structuredValue, around, (value, near) => {
        const stored = resident.admit(value)
        const size = lastSize
        const bytes = resident.encode(stored)
        const block = Uint8Array.of(...near, ...bytes, ...near)
        const decoded = resident.decodeAt!(block, near.length, near.length + bytes.length)
        return lastSize === size && sameValue(resident.release(decoded), value)
      }),
      fcParameters(800),
    )
  })

  it('gives what the other way gives, or nothing, for bytes that look right (I1, I2)', () => {
    let all = 0
    let read = 0
    fc.assert(
      fc.property(message, around, (bytes, near) => {
        all++
        if (readPlain(bytes, 0, bytes.length) !== UNREAD) read++
        return agrees(bytes, near)
      }),
      fcParameters(6000),
    )
    expect(read).toBeGreaterThan(all / 10)
  })

  it('gives what the other way gives, or nothing, for values with bytes changed, cut and inserted (I1, I2)', () => {
    fc.assert(
      fc.property(
        structuredValue,
        fc.nat(),
        fc.nat(),
        fc.integer({ min: 0, max: 255 }),
        around,
        (value, at, kind, byte, near) => {
          const bytes = Buffer.from(encodeStored(copyIn(value)))
          const place = at % (bytes.length + 1)
          if (kind % 3 === 0) bytes[place % bytes.length] = byte
          else if (kind % 3 === 1) return agrees(bytes.subarray(0, place), near)
          else return agrees(Buffer.concat([bytes.subarray(0, place), Buffer.of(byte), bytes.subarray(place)]), near)
          return agrees(bytes, near)
        },
      ),
      fcParameters(3000),
    )
  })
})
