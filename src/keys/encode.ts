/**
 * Keys as bytes: the order-preserving encoding. It is part of the file format and does not change between versions.
 *
 * | key            | bytes                                                                                       |
 * |----------------|---------------------------------------------------------------------------------------------|
 * | end of a tuple | `00`                                                                                        |
 * | false, true    | `10`, `11`                                                                                  |
 * | number         | `20` F `00`                                                                                 |
 * | bigint         | `20` F `01` if it equals F, else `20` F `02` L M                                            |
 * | string         | `30`, its code units, `00`                                                                  |
 * | bytes          | `40`, its bytes, `00`                                                                       |
 * | tuple          | `50`, its elements one after the other, `00`                                                |
 * | KEY_MAX        | `FF`; only in bounds, never in a file                                                       |
 *
 * F  The floor: the largest double that is not above the value, as 8 bytes, the sign bit flipped if it is clear, all
 *    bits flipped if it is set. `01` and `02` occur only where F is an integer, or -Infinity.
 * L M  What a bigint is above its floor: M its magnitude, most significant byte first, no leading zero byte; L its
 *    length in bytes, one byte `01` to `FE`, or `FF` and four bytes. Below every finite double the floor is -Infinity:
 *    L M are then those of the magnitude of the bigint itself, every bit flipped.
 * Code units  `0000` is `01 01`, `0001` is `01 02`; up to `007F` one byte, the unit itself; up to `07FF` two bytes and
 *    up to `FFFF` three, as in UTF-8. Each half of a surrogate pair stands for itself (so no UTF-8: that would sort astral
 *    characters above U+FFFF and could not write a lone surrogate).
 * Bytes  `00` is `01 01`, `01` is `01 02`, any other byte itself.
 *
 * Bytes per key: ASCII strings 2 + length, numbers 10, bigints to 2^53 10, to 2^64 up to 13, bytes 2 + length + the
 * count of 00 and 01 in it, tuples 2 + their elements.
 *
 * I1  Order: the sign of memcmp(encode(a), encode(b)) is that of compareKeys(a, b), KEY_MAX included.
 * I2  No encoding is a proper prefix of another; so encodings stand one after the other in a tuple without lengths.
 * I3  Round trip: decode(encode(key)) is key, and encode(decode(bytes)) is bytes wherever decode accepts them: each key
 *    has exactly one encoding.
 *
 * Rejected: the value's length before its bytes (does not sort), UTF-16BE (twice the bytes for ASCII), groups of eight
 * bytes with a count (an eighth longer for everything, where the escape costs one byte in 128).
 *
 * Callable on admitted keys and on bounds.
 */

import type { Key } from './key.ts'
import { floorToDouble, magnitudeBytes, writeDouble, writeUint32 } from './numeric.ts'
import { KEY_MAX } from './order.ts'

export const TAG_END = 0x00
export const TAG_FALSE = 0x10
export const TAG_TRUE = 0x11
export const TAG_NUMERIC = 0x20
export const TAG_STRING = 0x30
export const TAG_BYTES = 0x40
export const TAG_TUPLE = 0x50
const TAG_MAX = 0xff

/** What follows the floor of a numeric key. */
export const NUMERIC_NUMBER = 0x00
export const NUMERIC_BIGINT = 0x01
export const NUMERIC_REMAINDER = 0x02

/** In strings and bytes: the next byte, less one, is the unit (00 or 01). */
export const ESCAPE = 0x01

/** From this length in bytes on, the length of a remainder takes five bytes instead of one. */
export const LONG_MAGNITUDE = 0xff

/**
 * The key as bytes that memcmp sorts in the order of keys; `decodeKey` is the inverse.
 *
 * The idea of tagged, self-delimiting, sortable tuples is FoundationDB's tuple layer.
 */
export function encodeKey(key: Key): Uint8Array {
  if (typeof key === 'string') return encodeString(key)
  const target = new Uint8Array(encodedLength(key))
  writeElement(key, target, 0)
  return target
}

/**
 * Writes the encoding of `key` at `offset` and returns the offset behind it.
 *
 * @throws RangeError if the target ends before the key does; the target is then written to its end.
 */
export function writeKey(key: Key, target: Uint8Array, offset: number): number {
  const end = writeElement(key, target, offset)
  if (end > target.length) throw new RangeError(`a key ends at ${end}, beyond its target of ${target.length} bytes`)
  return end
}

/** The length of the encoding in bytes. Allocates only for bigints beyond 2^53. */
export function encodedLength(key: Key): number {
  switch (typeof key) {
    case 'string':
      return 2 + unitsLength(key)
    case 'number':
      return NUMERIC_BYTES
    case 'bigint':
      return NUMERIC_BYTES + remainderLength(key)
    case 'boolean':
      return 1
    default:
      if (Array.isArray(key)) return tupleLength(key)
      return key === KEY_MAX ? 1 : 2 + escapedLength(key as Uint8Array)
  }
}

/** Tag, floor and what follows it: a number whole, the fixed part of a bigint. */
const NUMERIC_BYTES = 10

/** One pass for ASCII, the common case: the length is known beforehand if no unit needs more than its own byte. */
function encodeString(key: string): Uint8Array {
  const length = key.length
  const target = new Uint8Array(length + 2)
  target[0] = TAG_STRING
  for (let i = 0; i < length; i++) {
    const unit = key.charCodeAt(i)
    if ((unit - 2) >>> 0 >= PLAIN_UNITS) return encodeWideString(key)
    target[i + 1] = unit
  }
  return target
}

/** The units 0002 to 007F stand for themselves: `unit - 2 >>> 0 < PLAIN_UNITS` asks for both ends in one comparison. */
const PLAIN_UNITS = 0x7e

function encodeWideString(key: string): Uint8Array {
  const target = new Uint8Array(2 + unitsLength(key))
  writeString(key, target, 0)
  return target
}

function writeElement(key: Key, target: Uint8Array, offset: number): number {
  switch (typeof key) {
    case 'string':
      return writeString(key, target, offset)
    case 'number':
      return writeFloor(key, NUMERIC_NUMBER, target, offset)
    case 'bigint':
      return writeBigint(key, target, offset)
    case 'boolean':
      target[offset] = key ? TAG_TRUE : TAG_FALSE
      return offset + 1
    default:
      if (Array.isArray(key)) return writeTuple(key, target, offset)
      if (key !== KEY_MAX) return writeBytes(key as Uint8Array, target, offset)
      target[offset] = TAG_MAX
      return offset + 1
  }
}

function writeString(key: string, target: Uint8Array, start: number): number {
  const length = key.length
  let offset = start
  target[offset++] = TAG_STRING
  for (let i = 0; i < length; i++) {
    const unit = key.charCodeAt(i)
    if (unit < 0x80) {
      if (unit > ESCAPE) {
        target[offset++] = unit
      } else {
        target[offset++] = ESCAPE
        target[offset++] = unit + 1
      }
    } else if (unit < 0x800) {
      target[offset++] = 0xc0 | (unit >> 6)
      target[offset++] = 0x80 | (unit & 0x3f)
    } else {
      target[offset++] = 0xe0 | (unit >> 12)
      target[offset++] = 0x80 | ((unit >> 6) & 0x3f)
      target[offset++] = 0x80 | (unit & 0x3f)
    }
  }
  target[offset++] = TAG_END
  return offset
}

function unitsLength(key: string): number {
  const length = key.length
  let bytes = length
  for (let i = 0; i < length; i++) {
    const unit = key.charCodeAt(i)
    if ((unit - 2) >>> 0 >= PLAIN_UNITS) bytes += unit < 0x800 ? 1 : 2
  }
  return bytes
}

function writeBytes(key: Uint8Array, target: Uint8Array, start: number): number {
  const length = key.length
  let offset = start
  target[offset++] = TAG_BYTES
  for (let i = 0; i < length; i++) {
    const byte = key[i] as number
    if (byte > ESCAPE) {
      target[offset++] = byte
    } else {
      target[offset++] = ESCAPE
      target[offset++] = byte + 1
    }
  }
  target[offset++] = TAG_END
  return offset
}

function escapedLength(key: Uint8Array): number {
  const length = key.length
  let bytes = length
  for (let i = 0; i < length; i++) if ((key[i] as number) <= ESCAPE) bytes++
  return bytes
}

function writeTuple(key: readonly Key[], target: Uint8Array, start: number): number {
  const length = key.length
  let offset = start
  target[offset++] = TAG_TUPLE
  for (let i = 0; i < length; i++) offset = writeElement(key[i] as Key, target, offset)
  target[offset++] = TAG_END
  return offset
}

function tupleLength(key: readonly Key[]): number {
  let bytes = 2
  for (let i = 0; i < key.length; i++) bytes += encodedLength(key[i] as Key)
  return bytes
}

function writeFloor(floor: number, kind: number, target: Uint8Array, offset: number): number {
  target[offset] = TAG_NUMERIC
  writeDouble(floor, target, offset + 1)
  target[offset + 9] = kind
  return offset + NUMERIC_BYTES
}

function writeBigint(key: bigint, target: Uint8Array, start: number): number {
  const floor = floorToDouble(key)
  const remainder = remainderOf(key, floor)
  if (remainder === NOTHING) return writeFloor(floor, NUMERIC_BIGINT, target, start)
  const offset = writeFloor(floor, NUMERIC_REMAINDER, target, start)
  const end = writeMagnitude(remainder, target, offset)
  if (floor === -Infinity) for (let i = offset; i < end; i++) target[i] = ~(target[i] as number)
  return end
}

function remainderLength(key: bigint): number {
  const remainder = remainderOf(key, floorToDouble(key))
  if (remainder === NOTHING) return 0
  const bytes = magnitudeBytes(remainder)
  return bytes + (bytes < LONG_MAGNITUDE ? 1 : 5)
}

const NOTHING = 0n

/** M of the layout: what `key` is above its floor; the whole magnitude where the floor is -Infinity. */
function remainderOf(key: bigint, floor: number): bigint {
  if (Number.isSafeInteger(floor)) return NOTHING // the common case, without arithmetic on bigints
  return floor === -Infinity ? -key : key - BigInt(floor)
}

function writeMagnitude(value: bigint, target: Uint8Array, start: number): number {
  const hex = value.toString(16)
  const bytes = (hex.length + 1) >>> 1
  let offset = start
  if (bytes < LONG_MAGNITUDE) {
    target[offset++] = bytes
  } else {
    target[offset++] = LONG_MAGNITUDE
    writeUint32(bytes, target, offset)
    offset += 4
  }
  let digit = 0
  if (hex.length % 2 === 1) target[offset++] = hexDigit(hex, digit++)
  for (; digit < hex.length; digit += 2) target[offset++] = (hexDigit(hex, digit) << 4) | hexDigit(hex, digit + 1)
  return offset
}

/** The value of one digit of `toString(16)`: 0-9 are 30 to 39, a-f are 61 to 66. */
function hexDigit(hex: string, index: number): number {
  const code = hex.charCodeAt(index)
  return (code & 0x0f) + (code > 0x39 ? 9 : 0)
}
