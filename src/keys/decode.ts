/**
 * Bytes back to keys: the inverse of `encodeKey`, for bytes that may have been damaged or made up.
 *
 * I1  Any bytes give either the one key whose encoding they are, or `CORRUPTION`; nothing else is thrown.
 * I2  Memory: more than MAX_KEY_BYTES are refused unread, and what is allocated is a small multiple of the bytes that are
 *     there. No length in them is trusted: it is held against what is left before anything is made of it.
 * I3  Recursion ends at MAX_KEY_DEPTH.
 *
 * An encoding that is not the one `encodeKey` makes (an overlong code unit, a leading zero byte, a bigint above the
 * wrong floor, -0) is refused: two encodings of one key would be two places in a sorted file.
 */

import { VarveError } from '../errors.ts'
import { MAX_KEY_BYTES, MAX_KEY_DEPTH } from '../limits.ts'
import {
  ESCAPE,
  LONG_MAGNITUDE,
  NUMERIC_BIGINT,
  NUMERIC_NUMBER,
  NUMERIC_REMAINDER,
  TAG_BYTES,
  TAG_END,
  TAG_FALSE,
  TAG_NUMERIC,
  TAG_STRING,
  TAG_TRUE,
  TAG_TUPLE,
} from './encode.ts'
import type { Key } from './key.ts'
import { latin1 } from '../latin1.ts'
import { floorToDouble, readDouble, readUint32 } from './numeric.ts'

/**
 * The key whose encoding `source` is, from `start` to `end` exclusive. The key shares no memory with the bytes; tuples are
 * frozen.
 *
 * @throws VarveError `CORRUPTION` if that is not exactly one encoding, with the offset where it stops being one.
 */
export function decodeKey(source: Uint8Array, start = 0, end: number = source.length): Key {
  const isShort = end - start <= SHORT_KEY_BYTES
  if (isShort && source[start] === TAG_STRING && isPlainString(source, start + 1, end)) {
    return latin1(source, start + 1, end - 1)
  }
  return decodeAny(start === 0 && end === source.length ? source : source.subarray(start, end))
}

/** Up to this length a string is looked at before anything is made for reading it. */
const SHORT_KEY_BYTES = 256

/** Whether bytes are characters that take one byte each, and the end of a string. */
function isPlainString(bytes: Uint8Array, start: number, end: number): boolean {
  const last = end - 1
  for (let i = start; i < last; i++) {
    const byte = bytes[i] as number
    if (byte <= ESCAPE || byte >= 0x80) return false
  }
  return last >= start && bytes[last] === TAG_END
}

function decodeAny(bytes: Uint8Array): Key {
  const source = new Source(bytes)
  if (bytes.length > MAX_KEY_BYTES) throw source.corrupt(`it is longer than the ${MAX_KEY_BYTES} bytes a key may take`)
  const key = readKey(source, 0)
  if (source.offset !== bytes.length) throw source.corrupt('bytes follow the end of the key')
  return key
}

/** The bytes and how far they have been read. */
class Source {
  readonly bytes: Uint8Array
  offset: number

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.offset = 0
  }

  next(): number {
    const byte = this.bytes[this.offset]
    if (byte === undefined) throw this.corrupt('the key is cut short')
    this.offset++
    return byte
  }

  /** Moves over `count` bytes, which must be there, and returns where they start. */
  take(count: number): number {
    const start = this.offset
    if (count > this.bytes.length - start) throw this.corrupt('the key is cut short')
    this.offset = start + count
    return start
  }

  corrupt(what: string): VarveError {
    const { offset, bytes } = this
    return new VarveError('CORRUPTION', `a stored key is damaged: ${what} (byte ${offset} of ${bytes.length})`)
  }
}

function readKey(source: Source, depth: number): Key {
  const tag = source.next()
  switch (tag) {
    case TAG_STRING:
      return readString(source)
    case TAG_NUMERIC:
      return readNumeric(source)
    case TAG_BYTES:
      return readBytes(source)
    case TAG_TUPLE:
      return readTuple(source, depth + 1)
    case TAG_FALSE:
      return false
    case TAG_TRUE:
      return true
    default:
      throw source.corrupt(`no key starts with byte ${tag}`)
  }
}

function readTuple(source: Source, depth: number): readonly Key[] {
  if (depth > MAX_KEY_DEPTH) throw source.corrupt(`tuples are nested more than ${MAX_KEY_DEPTH} deep`)
  const tuple: Key[] = []
  while (source.bytes[source.offset] !== TAG_END) tuple.push(readKey(source, depth))
  source.offset++
  return Object.freeze(tuple)
}

function readString(source: Source): string {
  const { bytes, offset: start } = source
  let end = start
  while (isPlain(bytes[end])) end++
  if (bytes[end] !== TAG_END) return readWideString(source)
  source.offset = end + 1
  return latin1(bytes, start, end)
}

function isPlain(byte: number | undefined): boolean {
  return byte !== undefined && byte > ESCAPE && byte < 0x80
}

/** Code units gathered before they become part of the string: bounds the arguments of one call. */
const CHUNK_UNITS = 4096

function readWideString(source: Source): string {
  let units: number[] = []
  let text = ''
  for (let byte = source.next(); byte !== TAG_END; byte = source.next()) {
    units.push(readUnit(source, byte))
    if (units.length === CHUNK_UNITS) {
      text += String.fromCharCode(...units)
      units = []
    }
  }
  return text + String.fromCharCode(...units)
}

function readUnit(source: Source, first: number): number {
  if (first < 0x80) return first === ESCAPE ? readEscaped(source) : first
  if (first >= 0xc2 && first < 0xe0) return ((first & 0x1f) << 6) | readContinuation(source)
  if (first >= 0xe0 && first < 0xf0) {
    const unit = ((first & 0x0f) << 12) | (readContinuation(source) << 6) | readContinuation(source)
    if (unit >= 0x800) return unit
  }
  throw source.corrupt('a string holds a byte sequence that is no code unit')
}

function readContinuation(source: Source): number {
  const byte = source.next()
  if ((byte & 0xc0) !== 0x80) throw source.corrupt('a string holds a byte sequence that is no code unit')
  return byte & 0x3f
}

function readEscaped(source: Source): number {
  const byte = source.next()
  if (byte !== 1 && byte !== 2) throw source.corrupt(`byte ${byte} follows an escape`)
  return byte - 1
}

function readBytes(source: Source): Uint8Array {
  const { bytes, offset: start } = source
  let escapes = 0
  for (let byte = source.next(); byte !== TAG_END; byte = source.next()) {
    if (byte !== ESCAPE) continue
    readEscaped(source)
    escapes++
  }
  const key = new Uint8Array(source.offset - 1 - start - escapes)
  for (let from = start, to = 0; to < key.length; from++, to++) {
    const byte = bytes[from] as number
    key[to] = byte === ESCAPE ? (bytes[++from] as number) - 1 : byte
  }
  return key
}

function readNumeric(source: Source): number | bigint {
  const floor = readDouble(source.bytes, source.take(8))
  const kind = source.next()
  if (kind === NUMERIC_NUMBER) {
    if (Number.isNaN(floor) || Object.is(floor, -0)) throw source.corrupt('a number is NaN or -0')
    return floor
  }
  if (kind === NUMERIC_BIGINT) {
    if (!Number.isInteger(floor) || Object.is(floor, -0)) throw source.corrupt('a bigint equals no integer')
    return BigInt(floor)
  }
  if (kind === NUMERIC_REMAINDER) return readBigint(source, floor)
  throw source.corrupt(`byte ${kind} follows a number`)
}

/** A bigint that is no double. Where its floor is -Infinity, length and magnitude are written with every bit flipped. */
function readBigint(source: Source, floor: number): bigint {
  const below = floor === -Infinity
  if (!below && !Number.isInteger(floor)) throw source.corrupt('a bigint stands above a floor that is no integer')
  const flip = below ? 0xff : 0
  const magnitude = readMagnitude(source, flip)
  const value = below ? -magnitude : BigInt(floor) + magnitude
  if (magnitude === 0n || floorToDouble(value) !== floor) throw source.corrupt('a bigint stands above the wrong floor')
  return value
}

function readMagnitude(source: Source, flip: number): bigint {
  let length = source.next() ^ flip
  if (length === LONG_MAGNITUDE) {
    length = (readUint32(source.bytes, source.take(4)) ^ (flip === 0 ? 0 : -1)) >>> 0
    if (length < LONG_MAGNITUDE) throw source.corrupt('the length of a bigint takes more bytes than it needs')
  }
  const start = source.take(length)
  if (length === 0 || source.bytes[start] === flip) throw source.corrupt('a bigint starts with a zero byte')
  let hex = '0x'
  for (let i = start; i < start + length; i++) hex += HEX[(source.bytes[i] as number) ^ flip]
  return BigInt(hex)
}

/** Every byte as two hexadecimal digits. */
const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
