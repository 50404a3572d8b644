/**
 * Comparison of keys in memory; `key.ts` defines the order.
 *
 * Cost: two strings or two numbers take one type check each beside the native comparison; nothing is allocated.
 * Callable on admitted keys and on bounds only: an unadmitted value (NaN, -0 as distinct from 0, an object) has no
 * defined place.
 *
 * I1  Total: for all keys exactly one of a < b, a = b, a > b holds; compareKeys(a, b) and compareKeys(b, a) have
 *     opposite signs, and the order is transitive, across kinds too.
 * I2  Exact: a number and a bigint are compared by their mathematical values, never by a rounded one.
 * I3  KEY_MAX is greater than every key, and a tuple that ends in it is greater than every tuple that starts with the
 *     elements before it.
 */

import type { Key } from './key.ts'

/**
 * A bound above every key. It is no key: it stands only in bounds, alone or as an element of a tuple, and never
 * reaches a table. Typed as a key so that bounds need no second type.
 */
export const KEY_MAX: Key = Object.freeze({ keyMax: true }) as unknown as Key

/** The sign of `a - b` in the order of keys: negative, 0 or positive. */
export function compareKeys(a: Key, b: Key): number {
  if (typeof a === 'string' && typeof b === 'string') return a < b ? -1 : a === b ? 0 : 1
  if (typeof a === 'number' && typeof b === 'number') return a < b ? -1 : a > b ? 1 : 0
  return compareMixed(a, b)
}

/** Whether two keys are the same key: quicker than `compareKeys(a, b) === 0`. */
export function equalKeys(a: Key, b: Key): boolean {
  if (typeof a !== 'object' || typeof b !== 'object') return a === b
  return compareMixed(a, b) === 0
}

function compareMixed(a: Key, b: Key): number {
  if (a === b) return 0 // two strings end here or in the ranks: their order is settled before this is called
  const rank = rankOf(a)
  const difference = rank - rankOf(b)
  if (difference !== 0) return difference
  switch (rank) {
    case RANK_BOOLEAN:
      return a === false ? -1 : 1
    case RANK_NUMERIC:
      return compareNumeric(a as number | bigint, b as number | bigint)
    case RANK_BYTES:
      return compareBytes(a as Uint8Array, b as Uint8Array)
    default:
      return compareTuples(a as readonly Key[], b as readonly Key[])
  }
}

const RANK_BOOLEAN = 1
const RANK_NUMERIC = 2
const RANK_STRING = 3
const RANK_BYTES = 4
const RANK_TUPLE = 5
const RANK_MAX = 6

function rankOf(key: Key): number {
  switch (typeof key) {
    case 'string':
      return RANK_STRING
    case 'number':
    case 'bigint':
      return RANK_NUMERIC
    case 'boolean':
      return RANK_BOOLEAN
    default:
      if (Array.isArray(key)) return RANK_TUPLE
      return key === KEY_MAX ? RANK_MAX : RANK_BYTES
  }
}

/** `<` between a number and a bigint is exact by the language's definition; only the tie needs a rule. */
function compareNumeric(a: number | bigint, b: number | bigint): number {
  if (a < b) return -1
  if (a > b) return 1
  return typeof a === typeof b ? 0 : typeof a === 'number' ? -1 : 1
}

/** memcmp, then the shorter first. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const common = Math.min(a.length, b.length)
  for (let i = 0; i < common; i++) {
    const difference = (a[i] as number) - (b[i] as number)
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

function compareTuples(a: readonly Key[], b: readonly Key[]): number {
  const common = Math.min(a.length, b.length)
  for (let i = 0; i < common; i++) {
    const order = compareKeys(a[i] as Key, b[i] as Key)
    if (order !== 0) return order
  }
  return a.length - b.length
}
