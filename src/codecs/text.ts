/**
 * Strings as bytes: UTF-8 where the string is well-formed, WTF-8 where it is not (Simon Sapin, "The WTF-8 encoding"):
 * a lone surrogate takes three bytes, as if it were a character. Any string survives, and any bytes stand for at most
 * one string: a pair of surrogates written as two characters is refused, as are overlong forms.
 */

import { isUtf8 } from 'node:buffer'

/** The String method of ES2024, which Node 20 has and the language target does not yet declare. */
interface WellFormedString {
  isWellFormed(): boolean
}

const UTF8 = new TextEncoder()
const UNITS_PER_CALL = 4096

/** Whether a string has no lone surrogate, so that it is text that UTF-8 can carry. */
export function isWellFormed(text: string): boolean {
  return (text as unknown as WellFormedString).isWellFormed()
}

/** The bytes of a string, in an array of their own. */
export function encodeText(text: string): Uint8Array<ArrayBuffer> {
  return isWellFormed(text) ? UTF8.encode(text) : encodeIllFormed(text)
}

function encodeIllFormed(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length * 3)
  let at = 0
  for (let i = 0; i < text.length; i++) {
    const point = text.codePointAt(i) as number
    if (point < 0x80) {
      bytes[at++] = point
      continue
    }
    if (point < 0x800) bytes[at++] = 0xc0 | (point >> 6)
    else {
      if (point < 0x10000) bytes[at++] = 0xe0 | (point >> 12)
      else {
        bytes[at++] = 0xf0 | (point >> 18)
        bytes[at++] = 0x80 | ((point >> 12) & 0x3f)
        i++
      }
      bytes[at++] = 0x80 | ((point >> 6) & 0x3f)
    }
    bytes[at++] = 0x80 | (point & 0x3f)
  }
  return bytes.slice(0, at)
}

/** The string of such bytes, or undefined if they are of no string. */
export function decodeText(bytes: Uint8Array): string | undefined {
  if (isUtf8(bytes)) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  return decodeIllFormed(bytes)
}

function decodeIllFormed(bytes: Uint8Array): string | undefined {
  let text = ''
  let units: number[] = []
  let last = 0
  for (let at = 0; at < bytes.length;) {
    const length = sequenceLength(bytes[at] as number)
    const point = pointAt(bytes, at, length)
    if (point < 0 || (isHigh(last) && isLow(point))) return undefined
    if (point >= 0x10000) units.push(0xd800 + ((point - 0x10000) >> 10), 0xdc00 + (point & 0x3ff))
    else units.push(point)
    if (units.length >= UNITS_PER_CALL) {
      text += String.fromCharCode(...units)
      units = []
    }
    last = point
    at += length
  }
  return text + String.fromCharCode(...units)
}

function isHigh(point: number): boolean {
  return point >= 0xd800 && point < 0xdc00
}

function isLow(point: number): boolean {
  return point >= 0xdc00 && point < 0xe000
}

/** Length of the sequence that begins with this byte, 0 if none does. */
function sequenceLength(first: number): number {
  if (first < 0x80) return 1
  if (first < 0xc2) return 0
  if (first < 0xe0) return 2
  if (first < 0xf0) return 3
  return first < 0xf5 ? 4 : 0
}

const SMALLEST = [0, 0, 0x80, 0x800, 0x10000]
const LEAD_BITS = [0, 0x7f, 0x1f, 0x0f, 0x07]

/** The code point of a sequence of that length, surrogates included, or -1. */
function pointAt(bytes: Uint8Array, at: number, length: number): number {
  if (length === 0 || at + length > bytes.length) return -1
  let point = (bytes[at] as number) & (LEAD_BITS[length] as number)
  for (let i = at + 1; i < at + length; i++) {
    const byte = bytes[i] as number
    if ((byte & 0xc0) !== 0x80) return -1
    point = (point << 6) | (byte & 0x3f)
  }
  return point < (SMALLEST[length] as number) || point > 0x10ffff ? -1 : point
}
