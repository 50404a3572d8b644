/**
 * The short way from bytes to stored forms: one pass that checks the bytes, makes the stored form and adds up its size.
 *
 * It reads what `encodeStored` (wire.ts) writes for null, undefined, booleans, numbers, strings, Dates, binary data, arrays
 * and objects. Bytes that hold anything else, or that are damaged, it leaves to `decodeStored`, which knows all cases and words
 * all refusals. So it may give up whenever something is unusual; it must not accept what the other would not.
 *
 * Cost: 270 ns for an object of four properties with two strings, a third of what the library and a pass over its result
 * take. Of that freezing takes 20, the properties 40, each string of 15 to 40 characters 40 to 60.
 *
 * Names of properties repeat from value to value. They are kept in a tree, in which a path from the root is the names that
 * an object begins with: mostly a name is recognised by comparing its bytes with those of the one that came next before.
 *
 * I1  What is returned is what `decodeStored` gives for the same bytes: same values, prototypes, order of properties, and
 *     `noteSize` is told what `residentBytes` finds. Or it is `UNREAD`.
 * I2  Nothing beyond the end is part of a result, whatever the bytes say.
 * I3  Memory: lengths are held against what is left of all bytes, over all levels, before anything is made of them. The
 *     tree keeps at most NAME_BYTES of names, each counted as NAME_CHARGE_BYTES at least, and then starts anew.
 * I4  The names on a path of the tree are distinct, and none is inherited from Object.prototype.
 */

import { latin1, utf8 } from '../latin1.ts'
import { MAX_VALUE_DEPTH } from '../limits.ts'
import { noteSize } from './codec.ts'
import { octetsBytes, stowFrom } from './octets.ts'
import { ArrayPart, BINARY_KINDS, BinaryPart, DatePart, ObjectPart, Part } from './parts.ts'
import { INHERITED_NAMES, type Plain, emptyObject } from './plain.ts'
import { DATE_PART_BYTES, SLOT_BYTES, arrayBytes, numberBytes, objectBytes, partBytes, stringBytes } from './sizes.ts'
import { BINARY, DATE, NEGATIVE_ZERO, UNDEFINED } from './wire.ts'

/** Stands for bytes that are not read here. */
export const UNREAD: unique symbol = Symbol('unread')

const NOTHING = new Uint8Array(0)

/** What is being read, how far, and how far it goes. */
let source: Uint8Array = NOTHING
let at = 0
let end = 0
/** Size of what has been read so far. */
let bytes = 0
/** How many parts have been made so far. */
let parts = 0
/** Bytes that elements and properties not read yet may still take (I3). */
let budget = 0

/** The stored form of the bytes from `start` to `stop`; `lastSize` is then its size. */
export function readPlain(from: Uint8Array, start: number, stop: number): unknown {
  source = from
  at = start
  end = stop
  bytes = SLOT_BYTES
  budget = stop - start
  try {
    const stored = readValue(0)
    // Reading past the end is found out here; what was read there is not used.
    if (stored === UNREAD || stored === undefined || at !== stop) return UNREAD
    if (stored instanceof Part) stored.bytes = bytes
    noteSize(bytes)
    return stored
  } catch {
    // A property could not be assigned: somebody has changed Object.prototype.
    return UNREAD
  } finally {
    source = NOTHING
  }
}

function readValue(depth: number): unknown {
  const token = source[at++] as number
  if (token < 0x80) return token
  if (token < 0x90) return readObject(token & 0x0f, depth)
  if (token < 0xa0) return readArray(token & 0x0f, depth)
  if (token < 0xc0) return readText(token & 0x1f)
  if (token >= 0xe0) return token - 0x100
  return readTagged(token, depth)
}

function readTagged(token: number, depth: number): unknown {
  switch (token) {
    case 0xc0:
      return null
    case 0xc2:
      return false
    case 0xc3:
      return true
    case 0xcb:
      return weighed(readDouble())
    case 0xcc:
      return readUint8()
    case 0xcd:
      return readUint16()
    case 0xce:
      return weighed(readUint32())
    case 0xd0:
      return (readUint8() << 24) >> 24
    case 0xd1:
      return (readUint16() << 16) >> 16
    case 0xd2:
      return readUint32() | 0
    case 0xd9:
      return readText(readUint8())
    case 0xda:
      return readText(readUint16())
    case 0xdb:
      return readText(readUint32())
    case 0xdc:
      return readArray(readUint16(), depth)
    case 0xdd:
      return readArray(readUint32(), depth)
    case 0xde:
      return readObject(readUint16(), depth)
    case 0xdf:
      return readObject(readUint32(), depth)
    default:
      return UNREAD
  }
}

function readUint8(): number {
  return (source[at++] as number) | 0
}

function readUint16(): number {
  return (readUint8() << 8) | readUint8()
}

function readUint32(): number {
  return ((readUint16() << 16) | readUint16()) >>> 0
}

const double = new DataView(new ArrayBuffer(8))

function readDouble(): number {
  double.setUint32(0, readUint32())
  double.setUint32(4, readUint32())
  return double.getFloat64(0)
}

function weighed(value: number): number {
  bytes += numberBytes(value)
  return value
}

function readText(length: number): unknown {
  const text = textOf(length)
  if (text === undefined) return UNREAD
  bytes += stringBytes(text)
  return text
}

/** From this length on the runtime finds out faster than a loop whether text is ASCII. */
const LONG_TEXT_BYTES = 64
const REPLACEMENT = '\ufffd'
const BYTE_ORDER_MARK = 0xfeff

/**
 * The string of the next bytes. undefined if they are not there, or no UTF-8, or begin with a byte order mark; also if they hold
 * the character that stands for bytes that are no UTF-8.
 */
function textOf(length: number): string | undefined {
  const start = at
  const stop = start + length
  if (stop > end) return undefined
  at = stop
  if (length < LONG_TEXT_BYTES) {
    const from = source
    let all = 0
    for (let i = start; i < stop; i++) all |= from[i] as number
    if (all < 0x80) return latin1(from, start, stop)
  }
  const text = utf8(source, start, stop)
  return text.charCodeAt(0) === BYTE_ORDER_MARK || text.includes(REPLACEMENT) ? undefined : text
}

function readArray(length: number, depth: number): unknown {
  budget -= length
  if (budget < 0 || depth > MAX_VALUE_DEPTH) return UNREAD
  if (source[at] === ESCAPE) return readEscape(length)
  const items = new Array<unknown>(length)
  let indices: number[] | undefined
  for (let i = 0; i < length; i++) {
    const before = parts
    const item = readValue(depth + 1)
    if (item === UNREAD) return UNREAD
    items[i] = item
    if (parts !== before) (indices ??= []).push(i)
  }
  bytes += arrayBytes(length)
  if (indices === undefined) return Object.freeze(items)
  bytes += partBytes(2) + arrayBytes(indices.length)
  return new ArrayPart(items, indices.slice())
}

/** The byte that an escape begins with. */
const ESCAPE = 0xc1

/** What stands for undefined, -0, a Date or binary data, the most common of what is escaped. */
function readEscape(length: number): unknown {
  const tag = source[at + 1]
  at += 2
  if (length === 2) return tag === UNDEFINED ? undefined : tag === NEGATIVE_ZERO ? -0 : UNREAD
  if (length === 4 && tag === BINARY) return readBinary()
  if (length !== 3 || tag !== DATE) return UNREAD
  const total = bytes + DATE_PART_BYTES
  const time = readValue(MAX_VALUE_DEPTH + 1)
  if (typeof time !== 'number' || !Object.is(new Date(time).getTime(), time)) return UNREAD
  bytes = total
  parts++
  return new DatePart(time)
}

/** A kind, and bytes as MessagePack has them. */
function readBinary(): unknown {
  const kind = BINARY_KINDS[source[at++] as number]
  const token = source[at++] as number
  const length = token === 0xc4 ? readUint8() : token === 0xc5 ? readUint16() : token === 0xc6 ? readUint32() : Infinity
  const start = at
  const stop = start + length
  if (kind === undefined || stop > end || length % kind.elementBytes !== 0) return UNREAD
  at = stop
  const octets = stowFrom(source, start, stop)
  bytes += partBytes(2) + octetsBytes(octets)
  parts++
  return new BinaryPart(kind, octets)
}

function readObject(count: number, depth: number): unknown {
  budget -= count * 2
  if (budget < 0 || depth > MAX_VALUE_DEPTH) return UNREAD
  bytes += objectBytes(count)
  if (count > MOST_STEPS) return readLargeObject(count, depth)
  const object = emptyObject(count)
  let step: Step | undefined = root
  let names: string[] | undefined
  for (let i = 0; i < count; i++) {
    step = nextStep(step)
    if (step === undefined) return UNREAD
    const before = parts
    const inner = readValue(depth + 1)
    if (inner === UNREAD) return UNREAD
    object[step.name] = inner
    if (parts !== before) (names ??= []).push(step.name)
  }
  return names === undefined ? Object.freeze(object) : partOf(object, names)
}

function partOf(object: Plain, names: readonly string[]): Part {
  bytes += partBytes(2) + arrayBytes(names.length)
  return new ObjectPart(object, names.slice())
}

/** Objects of so many properties are often dictionaries, whose names would fill the tree. */
function readLargeObject(count: number, depth: number): unknown {
  const object: Plain = {}
  let names: string[] | undefined
  for (let i = 0; i < count; i++) {
    const name = nameOf()
    if (name === undefined) return UNREAD
    const before = parts
    const inner = readValue(depth + 1)
    if (inner === UNREAD) return UNREAD
    object[name] = inner
    if (parts !== before) (names ??= []).push(name)
  }
  if (Object.getOwnPropertyNames(object).length !== count) return UNREAD
  return names === undefined ? Object.freeze(object) : partOf(object, names)
}

/** The name of a property; undefined if there is none that could be given by assignment anywhere. */
function nameOf(): string | undefined {
  const token = source[at++] as number
  const name = token >= 0xa0 && token < 0xc0 ? textOf(token & 0x1f) : token === 0xd9 ? textOf(readUint8()) : undefined
  return name === undefined || INHERITED_NAMES.has(name) ? undefined : name
}

/** Objects of more properties are taken for dictionaries. */
const MOST_STEPS = 64
/** How much of names the tree keeps, as they are in bytes, and what the shortest counts for. */
const NAME_BYTES = 32_768
const NAME_CHARGE_BYTES = 16
/** How many names the tree keeps for one place. */
const MOST_CHOICES = 16

/** One name in the tree. */
class Step {
  readonly name: string
  readonly before: Step | undefined
  /** Where its bytes, with those of its length, lie in `nameBytes`. */
  readonly start: number
  readonly length: number
  /** What has come next. */
  next: Step[] = []

  constructor(name: string, before: Step | undefined, start: number, length: number) {
    this.name = name
    this.before = before
    this.start = start
    this.length = length
  }
}

const nameBytes = new Uint8Array(NAME_BYTES)
let nameBytesUsed = 0
let root = new Step('', undefined, 0, 0)

/** Reads a name that comes after others. */
function nextStep(step: Step): Step | undefined {
  const { next } = step
  for (let i = 0; i < next.length; i++) {
    const choice = next[i] as Step
    if (!isNext(choice)) continue
    at += choice.length
    if (i > 0) {
      next[i] = next[0] as Step
      next[0] = choice
    }
    return choice
  }
  return learnStep(step)
}

function isNext({ start, length }: Step): boolean {
  const from = source
  const here = at
  for (let i = 0; i < length; i++) if (nameBytes[start + i] !== from[here + i]) return false
  return true
}

function learnStep(before: Step): Step | undefined {
  const start = at
  const name = nameOf()
  if (name === undefined) return undefined
  for (let step: Step | undefined = before; step !== root && step !== undefined; step = step.before) {
    if (step.name === name) return undefined
  }
  const length = at - start
  if (nameBytesUsed + length > NAME_BYTES) {
    // Whoever is on a path of the old tree must not go on: the bytes of its names are overwritten from here on.
    root = new Step('', undefined, 0, 0)
    nameBytesUsed = 0
    return undefined
  }
  const step = new Step(name, before, nameBytesUsed, length)
  for (let i = 0; i < length; i++) nameBytes[nameBytesUsed + i] = source[start + i] as number
  nameBytesUsed += Math.max(length, NAME_CHARGE_BYTES)
  if (before.next.length === MOST_CHOICES) before.next = []
  before.next.push(step)
  return step
}
