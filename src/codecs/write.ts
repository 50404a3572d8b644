/**
 * The short way from stored forms to bytes: small plain values in one pass.
 *
 * It writes null, booleans, numbers, strings, arrays and objects as `encodeStored` (wire.ts) does, byte for byte, and leaves
 * everything else to it: what has to be escaped, and what may not fit into a few kilobytes.
 *
 * Cost: half of the time of the other way, which walks the value once to see what has to be escaped, and once more in the
 * library.
 *
 * I1  What is returned is what `encodeStored` gives for the same stored form. Or it is undefined.
 * I2  What does not fit into the buffer is found out before anything is returned.
 * I3  Memory: at most MOST_NAMES names of properties are kept, none longer than LONGEST_NAME, and then forgotten.
 */

import { INHERITED_NAMES, type Plain } from './plain.ts'
import { isWellFormed } from './text.ts'

const BUFFER_BYTES = 4096
const buffer = new Uint8Array(BUFFER_BYTES)
const numbers = new DataView(buffer.buffer)
const texts = Buffer.from(buffer.buffer)
/** Where the next byte goes. */
let at = 0

/** The bytes of a stored form, in an array of their own. */
export function writePlain(stored: unknown): Uint8Array<ArrayBuffer> | undefined {
  at = 0
  return writeValue(stored) ? buffer.slice(0, at) : undefined
}

/** Whether the value could be written. */
function writeValue(value: unknown): boolean {
  // An object is checked for room by its contents, so here for its head and the largest number.
  if (at + 9 > BUFFER_BYTES) return false
  switch (typeof value) {
    case 'string':
      return writeText(value)
    case 'number':
      return writeNumber(value)
    case 'boolean':
      buffer[at++] = value ? 0xc3 : 0xc2
      return true
    case 'object':
      break
    default:
      return false
  }
  if (value === null) {
    buffer[at++] = 0xc0
    return true
  }
  const prototype = Object.getPrototypeOf(value) as object | null
  if (prototype === Object.prototype) return writeObject(value as Plain)
  return prototype === Array.prototype && writeArray(value as readonly unknown[])
}

function writeNumber(value: number): boolean {
  if (value >>> 0 === value) {
    if (value === 0 && Object.is(value, -0)) return false
    if (value < 0x80) buffer[at++] = value
    else if (value < 0x100) writeTagged(0xcc, value, 1)
    else if (value < 0x10000) writeTagged(0xcd, value, 2)
    else writeTagged(0xce, value, 4)
  } else if (value >> 0 === value) {
    if (value >= -0x20) buffer[at++] = value
    else if (value >= -0x80) writeTagged(0xd0, value, 1)
    else if (value >= -0x8000) writeTagged(0xd1, value, 2)
    else writeTagged(0xd2, value, 4)
  } else {
    buffer[at] = 0xcb
    numbers.setFloat64(at + 1, value)
    at += 9
  }
  return true
}

/** A token and a whole number of so many bytes, most significant first. */
function writeTagged(token: number, value: number, count: number): void {
  buffer[at++] = token
  for (let shift = (count - 1) * 8; shift >= 0; shift -= 8) buffer[at++] = value >> shift
}

const BYTE_ORDER_MARK = 0xfeff
/** Up to this length text is written by a loop, which stops at the first character that is not ASCII. */
const SHORT_LENGTH = 64

function writeText(text: string): boolean {
  const { length } = text
  if (at + 5 + length * 3 > BUFFER_BYTES) return false
  if (length <= SHORT_LENGTH) {
    let to = at + (length < 0x20 ? 1 : 2)
    let i = 0
    for (; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code >= 0x80) break
      buffer[to++] = code
    }
    if (i === length) {
      writeTextHead(length)
      at = to
      return true
    }
  }
  if (text.charCodeAt(0) === BYTE_ORDER_MARK || !isWellFormed(text)) return false
  writeTextHead(Buffer.byteLength(text))
  at += texts.write(text, at)
  return true
}

function writeTextHead(bytes: number): void {
  if (bytes < 0x20) buffer[at++] = 0xa0 | bytes
  else if (bytes < 0x100) writeTagged(0xd9, bytes, 1)
  else writeTagged(0xda, bytes, 2)
}

function writeArray(items: readonly unknown[]): boolean {
  const { length } = items
  if (length > BUFFER_BYTES) return false
  if (length < 0x10) buffer[at++] = 0x90 | length
  else writeTagged(0xdc, length, 2)
  for (let i = 0; i < length; i++) if (!writeValue(items[i])) return false
  return true
}

function writeObject(object: Plain): boolean {
  const keys = Object.keys(object)
  const { length } = keys
  if (length > BUFFER_BYTES) return false
  if (length < 0x10) buffer[at++] = 0x80 | length
  else writeTagged(0xde, length, 2)
  for (let i = 0; i < length; i++) {
    const name = keys[i] as string
    if (!writeName(name) || !writeValue(object[name])) return false
  }
  return true
}

const MOST_NAMES = 1024
const LONGEST_NAME = 32
/** Names that were written before, as bytes. */
const names: Map<string, Uint8Array> = new Map()

/** Names come again and again: each is checked and encoded once. */
function writeName(name: string): boolean {
  const known = names.get(name)
  if (known === undefined) return writeNewName(name)
  // Bytes beyond the buffer are lost, and the value that follows finds that there is no room.
  for (let i = 0; i < known.length; i++) buffer[at++] = known[i] as number
  return true
}

function writeNewName(name: string): boolean {
  const start = at
  if (INHERITED_NAMES.has(name) || !writeText(name)) return false
  if (name.length > LONGEST_NAME) return true
  if (names.size === MOST_NAMES) names.clear()
  names.set(name, buffer.slice(start, at))
  return true
}
