/**
 * Byte strings at rest: private, immutable and small.
 *
 * Up to 1024 bytes they are kept as a string of characters U+0000 to U+00FF, above as a Uint8Array of their own. V8
 * holds such a string in 16 bytes besides its content, where a Uint8Array takes 185 to 216 on the heap and as much again
 * outside it, and makes one in a quarter of the time; nobody can change a string. Reading makes a fresh array in either
 * form, in about the same time. Rejected: slices of a shared buffer, which keep the whole of it alive and show it to
 * whoever asks for `.buffer`.
 */

import { latin1, writeLatin1 } from '../latin1.ts'
import { BUFFER_BYTES, stringBytes } from './sizes.ts'

/** Bytes at rest; either form has the number of bytes as its `length`. */
export type Octets = string | Uint8Array

const MAX_STRING_LENGTH = 1024
/** Up to here a loop over the bytes beats the call into native code. */
const MAX_LOOP_LENGTH = 48
/** Up to here V8 keeps the bytes of an array within the heap, from where native code would first have to move them. */
const MAX_HEAP_LENGTH = 64

/** A private copy of the bytes. */
export function stow(bytes: Uint8Array): Octets {
  const { length } = bytes
  if (length > MAX_STRING_LENGTH) return copyOf(bytes)
  // Spread would iterate, at five times the cost.
  if (length <= MAX_LOOP_LENGTH) return String.fromCharCode.apply(undefined, bytes as unknown as number[])
  return Buffer.from(bytes.buffer, bytes.byteOffset, length).toString('latin1')
}

/** A private copy of the bytes from `start` to `end` exclusive. */
export function stowFrom(bytes: Uint8Array, start: number, end: number): Octets {
  return end - start > MAX_STRING_LENGTH ? copyOf(bytes.subarray(start, end)) : latin1(bytes, start, end)
}

/** A copy as a plain Uint8Array, whatever subclass came in. */
export function copyOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes)
}

/** The bytes in an array and a buffer of their own. */
export function fetch(octets: Octets): Uint8Array<ArrayBuffer> {
  if (typeof octets !== 'string') return copyOf(octets)
  const { length } = octets
  const bytes = new Uint8Array(length)
  if (length > MAX_HEAP_LENGTH) writeLatin1(octets, bytes)
  else for (let i = 0; i < length; i++) bytes[i] = octets.charCodeAt(i)
  return bytes
}

/** Writes the bytes into others, from `at` on. */
export function writeOctets(octets: Octets, target: Uint8Array, at: number): void {
  if (typeof octets !== 'string') target.set(octets, at)
  else for (let i = 0; i < octets.length; i++) target[at + i] = octets.charCodeAt(i)
}

/** Memory that they take, in bytes, besides the slot that refers to them. */
export function octetsBytes(octets: Octets): number {
  return typeof octets === 'string' ? stringBytes(octets) : BUFFER_BYTES + octets.length
}
