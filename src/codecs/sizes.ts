/**
 * Estimates of memory, in bytes, for a V8 without pointer compression (Node): measured, not promised. They leave out
 * what values share, such as the hidden class with the names of properties.
 */

/** A reference in a column, an array or an object. */
export const SLOT_BYTES = 8
/** A double in a box of its own. Integers of 32 bits live in their slot. */
const DOUBLE_BYTES = 16
const STRING_HEADER_BYTES = 16
const OBJECT_HEADER_BYTES = 24
const ARRAY_HEADER_BYTES = 32
const LIST_HEADER_BYTES = 16
const BIGINT_HEADER_BYTES = 16
/** A Uint8Array with an ArrayBuffer of its own, besides the bytes themselves: 185 on the heap, the rest outside. */
export const BUFFER_BYTES = 320
/** Properties that an object as made by `compactCopy` holds in itself; with more it has a list beside it. */
export const PROPERTIES_INSIDE = 16
/** Properties of `{}` that live in the object, where the list takes the rest. */
const PROPERTIES_INSIDE_LITERAL = 4
/** With more properties than this an object is a hash table. */
const PROPERTIES_LISTED = 132
const HASHED_PROPERTY_BYTES = 64

function rounded(bytes: number): number {
  return Math.ceil(bytes / 8) * 8
}

/**
 * A string. Whether it takes one or two bytes per character cannot be asked, so three characters are looked at: exact
 * for text of one script, half or double for a rare mix.
 */
export function stringBytes(text: string): number {
  const { length } = text
  if (length === 0) return 0
  // V8 has one string for each character of Latin-1.
  if (length === 1 && text.charCodeAt(0) <= 0xff) return 0
  const wide = (text.charCodeAt(0) | text.charCodeAt(length >>> 1) | text.charCodeAt(length - 1)) > 0xff
  return STRING_HEADER_BYTES + rounded(wide ? length * 2 : length)
}

/** A bigint. */
export function bigintBytes(value: bigint): number {
  if (BigInt.asIntN(64, value) === value) return BIGINT_HEADER_BYTES + 8
  return BIGINT_HEADER_BYTES + rounded(value.toString(16).length / 2)
}

/** A number, besides its slot. */
export function numberBytes(value: number): number {
  return (value | 0) === value ? 0 : DOUBLE_BYTES
}

/** An object of `count` properties with their slots. */
export function objectBytes(count: number): number {
  if (count <= PROPERTIES_INSIDE) return OBJECT_HEADER_BYTES + count * SLOT_BYTES
  if (count > PROPERTIES_LISTED) return OBJECT_HEADER_BYTES + count * HASHED_PROPERTY_BYTES
  const listed = Math.ceil((count - PROPERTIES_INSIDE_LITERAL) / 3) * 3
  return OBJECT_HEADER_BYTES + LIST_HEADER_BYTES + (PROPERTIES_INSIDE_LITERAL + listed) * SLOT_BYTES
}

/** An array of `length` elements with their slots. */
export function arrayBytes(length: number): number {
  return ARRAY_HEADER_BYTES + (length === 0 ? 0 : LIST_HEADER_BYTES + length * SLOT_BYTES)
}

/** A part of a stored form with so many fields of its own. */
export function partBytes(fields: number): number {
  return OBJECT_HEADER_BYTES + (1 + fields) * SLOT_BYTES
}

/** The part that stands for a Date. */
export const DATE_PART_BYTES: number = OBJECT_HEADER_BYTES + 2 * SLOT_BYTES + DOUBLE_BYTES

/** What `weigh` says of objects and arrays. */
export const COMPOSITE = -1
/** What `weigh` says of functions and symbols. */
export const REFUSED = -2

/** Memory of a primitive besides its slot, or `COMPOSITE` or `REFUSED`. */
export function weigh(value: unknown): number {
  switch (typeof value) {
    case 'string':
      return stringBytes(value)
    case 'number':
      return numberBytes(value)
    case 'bigint':
      return bigintBytes(value)
    case 'boolean':
    case 'undefined':
      return 0
    case 'object':
      return value === null ? 0 : COMPOSITE
    default:
      return REFUSED
  }
}
