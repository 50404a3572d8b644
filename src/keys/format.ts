/**
 * Keys as text for error messages: short whatever the key, and unambiguous about its type. Not an encoding.
 */

import type { Key } from './key.ts'
import { KEY_MAX } from './order.ts'

/** Characters of a string, bytes of a Uint8Array, elements of a tuple: what is shown before the ellipsis. */
const SHOWN_CHARACTERS = 64
const SHOWN_BYTES = 16
const SHOWN_ELEMENTS = 8
const SHOWN_DEPTH = 4

/** Bigints beyond this are shown by their size: decimal digits of a large one are slow to make and useless to read. */
const SHOWN_BITS = 256

/**
 * A key as a reader of an error message wants it: `"alice"`, `1`, `1n`, `true`, `bytes(3) 0x0a0b0c`, `["alice", 1]`.
 * Long keys are cut, with their full length beside them.
 */
export function formatKey(key: Key): string {
  return formatNested(key, 0)
}

function formatNested(key: Key, depth: number): string {
  switch (typeof key) {
    case 'string':
      return formatString(key)
    case 'number':
    case 'boolean':
      return String(key)
    case 'bigint':
      return BigInt.asIntN(SHOWN_BITS, key) === key
        ? `${key}n`
        : `a ${key < 0n ? 'negative ' : ''}bigint of over ${SHOWN_BITS} bits`
    default:
      if (key === KEY_MAX) return 'the end'
      return Array.isArray(key) ? formatTuple(key, depth) : formatBytes(key as Uint8Array)
  }
}

function formatString(key: string): string {
  if (key.length <= SHOWN_CHARACTERS) return JSON.stringify(key)
  return `${JSON.stringify(key.slice(0, SHOWN_CHARACTERS))}… (${key.length} characters)`
}

function formatBytes(key: Uint8Array): string {
  const shown = Array.from(key.subarray(0, SHOWN_BYTES), (byte) => byte.toString(16).padStart(2, '0')).join('')
  return `bytes(${key.length}) 0x${shown}${key.length > SHOWN_BYTES ? '…' : ''}`
}

function formatTuple(key: readonly Key[], depth: number): string {
  if (depth === SHOWN_DEPTH) return key.length === 0 ? '[]' : '[…]'
  const shown = key.slice(0, SHOWN_ELEMENTS).map((element) => formatNested(element, depth + 1))
  if (key.length > SHOWN_ELEMENTS) shown.push(`… ${key.length} elements`)
  return `[${shown.join(', ')}]`
}

/** What an arbitrary value is, in words that say its type and never its content: `a symbol`, `a Float64Array`. */
export function describeType(value: unknown): string {
  switch (typeof value) {
    case 'undefined':
      return 'undefined'
    case 'number':
      return Number.isNaN(value) ? 'NaN' : 'a number'
    case 'object':
      return value === null ? 'null' : `an object (${Object.prototype.toString.call(value).slice(8, -1)})`
    default:
      return `a ${typeof value}`
  }
}
