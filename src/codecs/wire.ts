/**
 * Structured values as bytes: plain MessagePack, with one escape for what MessagePack or the library cannot carry.
 *
 * null, booleans, numbers, well-formed strings, arrays and objects are written as MessagePack has them, so most values
 * can be read by any of its tools. Everything else is an array that begins with the byte 0xc1, which MessagePack never
 * uses, and a tag:
 *
 *   [0xc1, 0]                        undefined
 *   [0xc1, 1]                        -0
 *   [0xc1, 2 | 3, bytes]             a bigint of more than 64 bits: magnitude, big-endian; 3 if negative
 *   [0xc1, 4, bytes]                 a string that is ill-formed (as WTF-8) or begins with U+FEFF
 *   [0xc1, 5 | 6, k, v, k, v ...]    an object with a name of that kind or of a property of Object.prototype;
 *                                    6 one without prototype
 *   [0xc1, 7, k, v, k, v ...]        a Map
 *   [0xc1, 8, m, m ...]              a Set
 *   [0xc1, 9, ms]                    a Date
 *   [0xc1, 10, code, bytes]          binary data; codes in parts.ts
 *
 * So no extension type of MessagePack ever occurs, and bytes with one are refused: it would be a live object chosen by
 * whoever wrote the bytes. What the library does to plain values is avoided case by case: it writes -0 as 0, replaces
 * lone surrogates, drops a leading U+FEFF of long strings, renames `__proto__`, calls `toJSON`, and decodes by assignment,
 * which fails for `toString` once Object.prototype is frozen. Its records, which name the properties of like objects
 * once, are not used: they are for many objects in one message, slower for one, and go astray on a property `__keys__`.
 */

import { VarveError } from '../errors.ts'
import { MAX_VALUE_DEPTH } from '../limits.ts'
import msgpackr from 'msgpackr/index-no-eval'
import { measure } from './measure.ts'
import { fetch, stow } from './octets.ts'
import { ArrayPart, BINARY_KINDS, BinaryPart, DatePart, MapPart, ObjectPart, Part, SetPart } from './parts.ts'
import { INHERITED_NAMES, type Plain, compactCopy } from './plain.ts'
import { mismatch } from './refusal.ts'
import { SLOT_BYTES } from './sizes.ts'
import { decodeText, encodeText, isWellFormed } from './text.ts'

export const UNDEFINED = 0
export const NEGATIVE_ZERO = 1
const POSITIVE_BIGINT = 2
const NEGATIVE_BIGINT = 3
const TEXT = 4
const OBJECT = 5
const BARE_OBJECT = 6
const MAP = 7
const SET = 8
export const DATE = 9
export const BINARY = 10

const { C1, Packr, RESET_BUFFER_MODE } = msgpackr

const packr = new Packr({
  useRecords: false,
  mapsAsObjects: true,
  variableMapSize: true,
  structuredClone: false,
  moreTypes: false,
  useToJSON: false,
})

/** After a value of more bytes than this the library gets a small buffer again; it would keep the large one. */
const KEPT_BUFFER_BYTES = 65_536
const FIRST_BUFFER_BYTES = 8192
const BYTE_ORDER_MARK = 0xfeff
const WIRE_UNDEFINED: readonly unknown[] = [C1, UNDEFINED]
const WIRE_NEGATIVE_ZERO: readonly unknown[] = [C1, NEGATIVE_ZERO]

/** The bytes of a stored form. */
export function encodeStored(stored: unknown): Uint8Array<ArrayBuffer> {
  let packed: Uint8Array
  try {
    packed = packr.pack(toWire(stored), RESET_BUFFER_MODE)
  } catch (cause) {
    throw new VarveError('INVALID_VALUE', "value is too large for codec 'structured' to encode", { cause })
  }
  const bytes = new Uint8Array(packed)
  if (bytes.length > KEPT_BUFFER_BYTES) packr.useBuffer(Buffer.allocUnsafeSlow(FIRST_BUFFER_BYTES))
  return bytes
}

/** What the library is given for a stored form: the same object where it can be written as it is. */
function toWire(stored: unknown): unknown {
  switch (typeof stored) {
    case 'string':
      return wireText(stored)
    case 'number':
      return Object.is(stored, -0) ? WIRE_NEGATIVE_ZERO : stored
    case 'undefined':
      return WIRE_UNDEFINED
    case 'bigint':
      return wireBigint(stored)
    case 'object':
      if (stored === null) return null
      if (stored instanceof Part) return wirePart(stored)
      return Array.isArray(stored) ? wireArray(stored) : wireObject(stored as Plain)
    default:
      return stored
  }
}

function isPlainText(text: string): boolean {
  return text.charCodeAt(0) !== BYTE_ORDER_MARK && isWellFormed(text)
}

function wireText(text: string): unknown {
  return isPlainText(text) ? text : [C1, TEXT, encodeText(text)]
}

function wireBigint(value: bigint): unknown {
  if (BigInt.asIntN(64, value) === value) return value
  const digits = (value < 0n ? -value : value).toString(16)
  const bytes = new Uint8Array(Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex'))
  return [C1, value < 0n ? NEGATIVE_BIGINT : POSITIVE_BIGINT, bytes]
}

function wireArray(items: readonly unknown[]): readonly unknown[] {
  let wire: unknown[] | undefined
  for (let i = 0; i < items.length; i++) {
    const inner = toWire(items[i])
    if (!Object.is(inner, items[i])) (wire ??= items.slice())[i] = inner
  }
  return wire ?? items
}

function wireObject(object: Plain): unknown {
  const names = Object.keys(object)
  const bare = Object.getPrototypeOf(object) === null
  if (bare || names.some((name) => INHERITED_NAMES.has(name) || !isPlainText(name))) {
    const wire: unknown[] = [C1, bare ? BARE_OBJECT : OBJECT]
    for (const name of names) wire.push(wireText(name), toWire(object[name]))
    return wire
  }
  let wire: Plain | undefined
  for (const name of names) {
    const inner = toWire(object[name])
    if (!Object.is(inner, object[name])) (wire ??= { ...object })[name] = inner
  }
  return wire ?? object
}

function wirePart(part: Part): unknown {
  if (part instanceof ObjectPart) return wireObject(part.template)
  if (part instanceof ArrayPart) return wireArray(part.template)
  if (part instanceof MapPart) return [C1, MAP, ...wireArray(part.entries)]
  if (part instanceof SetPart) return [C1, SET, ...wireArray(part.members)]
  if (part instanceof DatePart) return [C1, DATE, part.time]
  const { kind, octets } = part as BinaryPart
  return [C1, BINARY, kind.code, fetch(octets)]
}

/**
 * The stored form of such bytes.
 * @throws VarveError `CODEC_MISMATCH`.
 */
export function decodeStored(bytes: Uint8Array): unknown {
  let wire: unknown
  try {
    // The library hangs a DataView on the array that it reads.
    wire = packr.unpack(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  } catch {
    // Not passed on as the cause: some of its messages show data.
    throw broken('they are damaged or no MessagePack')
  }
  const stored = fromWire(wire, 0)
  if (stored === undefined) throw broken('undefined is no value')
  if (stored instanceof Part) stored.bytes = SLOT_BYTES + measure(stored)
  return stored
}

function broken(problem: string): VarveError {
  return mismatch('structured', problem)
}

function fromWire(wire: unknown, depth: number): unknown {
  switch (typeof wire) {
    case 'string':
    case 'number':
    case 'boolean':
    case 'bigint':
      return wire
    case 'object':
      if (wire === null) return null
      // One level more than values have: the escape of a primitive is an array.
      if (depth > MAX_VALUE_DEPTH) throw broken(`they are more than ${MAX_VALUE_DEPTH} levels deep`)
      if (Array.isArray(wire)) return wire[0] === C1 ? fromEscape(wire, depth) : storedArray(wire, depth)
      if (Object.getPrototypeOf(wire) === Object.prototype) return storedObject(compactCopy(wire as Plain), depth)
      break
    default:
  }
  throw broken('they hold something that this codec never writes')
}

/** Takes over the array. */
function storedArray(items: unknown[], depth: number): unknown {
  const indices: number[] = []
  for (let i = 0; i < items.length; i++) {
    const inner = fromWire(items[i], depth + 1)
    items[i] = inner
    if (inner instanceof Part) indices.push(i)
  }
  return indices.length === 0 ? Object.freeze(items) : new ArrayPart(items, indices.slice())
}

/** Takes over the object. */
function storedObject(object: Plain, depth: number): unknown {
  const names: string[] = []
  for (const name of Object.keys(object)) {
    const inner = fromWire(object[name], depth + 1)
    object[name] = inner
    if (inner instanceof Part) names.push(name)
  }
  return names.length === 0 ? Object.freeze(object) : new ObjectPart(object, names.slice())
}

function fromEscape(wire: readonly unknown[], depth: number): unknown {
  const [, tag, content] = wire
  switch (tag) {
    case OBJECT:
    case BARE_OBJECT:
      return escapedObject(wire, depth)
    case MAP:
      if (wire.length % 2 !== 0) throw broken('a Map has a key without a value')
      return new MapPart(innerOf(wire, depth))
    case SET:
      return new SetPart(innerOf(wire, depth))
    default:
  }
  if (typeof tag !== 'number' || wire.length !== LENGTHS[tag]) throw broken('an escape has the wrong length')
  switch (tag) {
    case UNDEFINED:
      return undefined
    case NEGATIVE_ZERO:
      return -0
    case POSITIVE_BIGINT:
      return escapedBigint(content)
    case NEGATIVE_BIGINT:
      return -escapedBigint(content)
    case TEXT:
      return escapedText(content)
    case DATE:
      return escapedDate(content)
    default:
      return escapedBinary(content, wire[3])
  }
}

/** How long the escapes of fixed length are, by tag. */
const LENGTHS: Readonly<Record<number, number>> = {
  [UNDEFINED]: 2,
  [NEGATIVE_ZERO]: 2,
  [POSITIVE_BIGINT]: 3,
  [NEGATIVE_BIGINT]: 3,
  [TEXT]: 3,
  [DATE]: 3,
  [BINARY]: 4,
}

function innerOf(wire: readonly unknown[], depth: number): unknown[] {
  const inner = wire.slice(2)
  for (let i = 0; i < inner.length; i++) inner[i] = fromWire(inner[i], depth + 1)
  return inner
}

function escapedObject(wire: readonly unknown[], depth: number): unknown {
  const bare = wire[1] === BARE_OBJECT
  if (wire.length % 2 !== 0) throw broken('an object has a property without a value')
  const object = (bare ? { __proto__: null } : {}) as Plain
  for (let i = 2; i < wire.length; i += 2) {
    const name = fromWire(wire[i], depth + 1)
    if (typeof name !== 'string') throw broken('an object has a property without a name')
    Object.defineProperty(object, name, { value: wire[i + 1], configurable: true, enumerable: true, writable: true })
  }
  return storedObject(bare ? object : compactCopy(object), depth)
}

function bytesOf(content: unknown): Uint8Array {
  if (!(content instanceof Uint8Array)) throw broken('an escape lacks its bytes')
  return content
}

function escapedBigint(content: unknown): bigint {
  const digits = Buffer.from(bytesOf(content)).toString('hex')
  try {
    return BigInt(`0x${digits}`)
  } catch {
    throw broken('a bigint has no digits or too many')
  }
}

function escapedText(content: unknown): string {
  const text = decodeText(bytesOf(content))
  if (text === undefined) throw broken('a string is neither UTF-8 nor WTF-8')
  return text
}

function escapedDate(content: unknown): Part {
  if (typeof content !== 'number' || !Object.is(new Date(content).getTime(), content))
    throw broken('a Date has no time')
  return new DatePart(content)
}

function escapedBinary(code: unknown, content: unknown): Part {
  const kind = typeof code === 'number' ? BINARY_KINDS[code] : undefined
  const bytes = bytesOf(content)
  if (kind === undefined || bytes.length % kind.elementBytes !== 0) throw broken('binary data of an unknown kind')
  return new BinaryPart(kind, stow(bytes))
}
