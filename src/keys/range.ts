/**
 * Ranges of keys: what the caller writes, and the one interval it means.
 *
 * A prefix is an interval too, because the order puts everything that starts with it side by side:
 *
 * | prefix            | from (included) | to (excluded)                                                           |
 * |-------------------|-----------------|-------------------------------------------------------------------------|
 * | `'ab'`            | `'ab'`          | `'ac'`: the last code unit that is not FFFF, plus one, the rest dropped |
 * | `''`, `'\uffff'`  | itself          | the lowest bytes: the end of all strings                                |
 * | bytes `61 ff`     | `61 ff`         | `62`: likewise, with FF                                                 |
 * | bytes ``, `ff`    | itself          | the lowest tuple, `[]`: the end of all bytes                            |
 * | `['a']`           | `['a']`         | `['a', KEY_MAX]`                                                        |
 *
 * I1  A key is in the interval exactly if it satisfies every condition of the range.
 * I2  `empty` is set if the bounds cross or meet in an excluded key, or if the limit is 0; it is never set wrongly. An
 *     interval that no key happens to lie in, such as that between 1 and 1n, need not be marked.
 * I3  Bounds have one shape (one hidden class), share nothing with the caller, and are never changed once made.
 */

import { VarveError } from '../errors.ts'
import { admitKeyAs } from './admit.ts'
import { describeType } from './format.ts'
import type { Key } from './key.ts'
import { KEY_MAX, compareKeys } from './order.ts'

/**
 * Which keys to read, in which direction, and how many. Every property may be left out, or be undefined; a key is in the
 * range if it satisfies all that are given. A range whose bounds cross is empty.
 */
export interface Range<K> {
  /** Keys greater than this. Not together with `gte`. */
  gt?: K | undefined
  /** Keys greater than this, or it itself. Not together with `gt`. */
  gte?: K | undefined
  /** Keys less than this. Not together with `lte`. */
  lt?: K | undefined
  /** Keys less than this, or it itself. Not together with `lt`. */
  lte?: K | undefined
  /**
   * Strings that start with this string, bytes that start with these bytes, or tuples whose first elements are these.
   * Elements of a tuple match as a whole: `['a']` finds `['a', 1]`, not `['ab', 1]`. Keys of another kind than the prefix
   * are not in the range.
   */
  prefix?: KeyPrefix<K> | undefined
  /** From the greatest key to the least. Default false. */
  reverse?: boolean | undefined
  /** At most this many keys, counted in the direction of reading: a whole number from 0, or Infinity, the default. */
  limit?: number | undefined
}

/** What may stand as a prefix of keys of type K: a string, bytes, or the leading elements of a tuple. */
export type KeyPrefix<K> = unknown extends K
  ? K
  : K extends string
    ? string
    : K extends Uint8Array
      ? Uint8Array
      : K extends readonly unknown[]
        ? LeadingElements<K>
        : never

type LeadingElements<T extends readonly unknown[]> = T extends readonly [infer First, ...infer Rest]
  ? readonly [] | readonly [First, ...LeadingElements<Rest>]
  : Readonly<T>

/**
 * A range after checking: one interval of keys, a direction and a limit. Bounds may hold KEY_MAX, so they may be compared
 * and encoded but never stored or handed out as keys.
 */
export interface Bounds {
  /** The lower end; undefined if there is none. */
  readonly lower: Key | undefined
  /** Whether the lower end itself is outside. */
  readonly lowerOpen: boolean
  /** The upper end; undefined if there is none. */
  readonly upper: Key | undefined
  /** Whether the upper end itself is outside. */
  readonly upperOpen: boolean
  readonly reverse: boolean
  /** How many keys at most; Infinity if all. */
  readonly limit: number
  /** Nothing can be in it: there is no need to look. */
  readonly empty: boolean
}

/** Every place where bounds are made: keeps their shape one. */
function makeBounds(
  lower: Key | undefined,
  lowerOpen: boolean,
  upper: Key | undefined,
  upperOpen: boolean,
  reverse: boolean,
  limit: number,
): Bounds {
  const empty = limit === 0 || isCrossed(lower, lowerOpen, upper, upperOpen)
  return { lower, lowerOpen, upper, upperOpen, reverse, limit, empty }
}

/** Every key, from the least to the greatest: what a range that is left out means. */
export const ALL: Bounds = makeBounds(undefined, false, undefined, false, false, Infinity)

/** Only this key. */
export function boundsOfKey(key: Key): Bounds {
  return makeBounds(key, false, key, false, false, Infinity)
}

/** A range as it came, before anything is known about it. */
type GivenRange = { readonly [property in keyof Range<unknown>]: unknown }

/**
 * The interval that a caller's range means; its keys are admitted (checked and copied).
 *
 * @throws VarveError `INVALID_ARGUMENT` if it is not an object, or has unknown properties, bounds that exclude each
 * other's form (`gt` with `gte`), or a prefix, direction or limit of the wrong type: one error that names all of them.
 * `INVALID_KEY` if a bound is not a key.
 */
export function resolveRange(range: unknown): Bounds {
  if (range === undefined) return ALL
  if (!isRecord(range)) {
    throw new VarveError('INVALID_ARGUMENT', `a range is ${describeType(range)}. ${WHAT_A_RANGE_IS}`)
  }
  const given: GivenRange = range
  const problems = problemsOf(given)
  if (problems !== undefined) {
    throw new VarveError('INVALID_ARGUMENT', `a range is not valid: ${problems.join('; ')}. ${WHAT_A_RANGE_IS}`)
  }
  return intervalOf(given)
}

const WHAT_A_RANGE_IS =
  'Pass an object with any of gt or gte, lt or lte, prefix, reverse and limit, or nothing for all keys'

function isRecord(range: unknown): range is object {
  return typeof range === 'object' && range !== null && !Array.isArray(range) && !ArrayBuffer.isView(range)
}

function intervalOf(given: GivenRange): Bounds {
  const { gt, gte, lt, lte, prefix, reverse, limit } = given
  let lower: Key | undefined
  if (gt !== undefined) lower = admitKeyAs(gt, 'range.gt')
  else if (gte !== undefined) lower = admitKeyAs(gte, 'range.gte')
  let upper: Key | undefined
  if (lt !== undefined) upper = admitKeyAs(lt, 'range.lt')
  else if (lte !== undefined) upper = admitKeyAs(lte, 'range.lte')
  let lowerOpen = gt !== undefined
  let upperOpen = lt !== undefined

  if (prefix !== undefined) {
    const start = admitKeyAs(prefix, 'range.prefix')
    const end = endOfPrefix(start)
    if (lower === undefined || compareKeys(lower, start) < 0) {
      lower = start
      lowerOpen = false
    }
    if (upper === undefined || compareKeys(upper, end) >= 0) {
      upper = end
      upperOpen = true
    }
  }
  return makeBounds(
    lower,
    lowerOpen,
    upper,
    upperOpen,
    reverse === true,
    limit === undefined ? Infinity : (limit as number),
  )
}

/** What is wrong with a range apart from its keys; undefined if nothing is. */
function problemsOf(given: GivenRange): string[] | undefined {
  const { gt, gte, lt, lte, prefix, reverse, limit } = given
  let problems: string[] | undefined
  for (const property in given) {
    if (!isRangeProperty(property) && Object.hasOwn(given, property)) {
      problems = [...(problems ?? []), `unknown property ${JSON.stringify(property)}`]
    }
  }
  if (gt !== undefined && gte !== undefined) problems = [...(problems ?? []), 'both gt and gte are given']
  if (lt !== undefined && lte !== undefined) problems = [...(problems ?? []), 'both lt and lte are given']
  if (!mayBePrefix(prefix)) {
    problems = [...(problems ?? []), `prefix is ${describeType(prefix)}, not a string, a Uint8Array or a tuple`]
  }
  if (reverse !== undefined && typeof reverse !== 'boolean') {
    problems = [...(problems ?? []), `reverse is ${describeType(reverse)}, not a boolean`]
  }
  if (limit !== undefined && !isLimit(limit)) {
    const found = typeof limit === 'number' ? String(limit) : describeType(limit)
    problems = [...(problems ?? []), `limit is ${found}, not a whole number from 0 or Infinity`]
  }
  return problems
}

function isRangeProperty(property: string): boolean {
  switch (property) {
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte':
    case 'prefix':
    case 'reverse':
    case 'limit':
      return true
    default:
      return false
  }
}

/** Objects are left to the admission of keys, which says more precisely what is wrong with them. */
function mayBePrefix(prefix: unknown): boolean {
  return prefix === undefined || typeof prefix === 'string' || (typeof prefix === 'object' && prefix !== null)
}

function isLimit(limit: unknown): boolean {
  return typeof limit === 'number' && limit >= 0 && (Number.isInteger(limit) || limit === Infinity)
}

/** The least bound above every key that starts with `prefix`; see the table at the top. */
function endOfPrefix(prefix: Key): Key {
  if (typeof prefix === 'string') return endOfStrings(prefix)
  if (Array.isArray(prefix)) return Object.freeze([...(prefix as readonly Key[]), KEY_MAX])
  return endOfBytes(prefix as Uint8Array)
}

function endOfStrings(prefix: string): Key {
  let end = prefix.length
  while (end > 0 && prefix.charCodeAt(end - 1) === 0xffff) end--
  if (end === 0) return LOWEST_BYTES
  return prefix.slice(0, end - 1) + String.fromCharCode(prefix.charCodeAt(end - 1) + 1)
}

function endOfBytes(prefix: Uint8Array): Key {
  let end = prefix.length
  while (end > 0 && prefix[end - 1] === 0xff) end--
  if (end === 0) return LOWEST_TUPLE
  const bytes = prefix.slice(0, end)
  bytes[end - 1] = (bytes[end - 1] as number) + 1
  return bytes
}

/** The first key after all strings, and the first after all bytes. */
const LOWEST_BYTES: Key = new Uint8Array(0)
const LOWEST_TUPLE: Key = Object.freeze([])

function isCrossed(lower: Key | undefined, lowerOpen: boolean, upper: Key | undefined, upperOpen: boolean): boolean {
  if (lower === undefined || upper === undefined) return false
  const order = compareKeys(lower, upper)
  return order > 0 || (order === 0 && (lowerOpen || upperOpen))
}

/** Whether a key lies in the interval. The limit does not count here, save that a limit of 0 holds nothing. */
export function inBounds(key: Key, bounds: Bounds): boolean {
  return !bounds.empty && isAboveLower(key, bounds) && isBelowUpper(key, bounds)
}

/** Whether a key is on the right side of the lower end, which bounds without one grant to every key. */
export function isAboveLower(key: Key, bounds: Bounds): boolean {
  if (bounds.lower === undefined) return true
  const order = compareKeys(key, bounds.lower)
  return order > 0 || (order === 0 && !bounds.lowerOpen)
}

/** Whether a key is on the right side of the upper end, which bounds without one grant to every key. */
export function isBelowUpper(key: Key, bounds: Bounds): boolean {
  if (bounds.upper === undefined) return true
  const order = compareKeys(key, bounds.upper)
  return order < 0 || (order === 0 && !bounds.upperOpen)
}

/**
 * Whether two intervals have a key in common, as far as their ends tell: true for two that share only a gap in which no
 * key exists. Directions and limits other than 0 do not count.
 */
export function boundsOverlap(a: Bounds, b: Bounds): boolean {
  if (a.empty || b.empty) return false
  return (
    !isCrossed(a.lower, a.lowerOpen, b.upper, b.upperOpen) && !isCrossed(b.lower, b.lowerOpen, a.upper, a.upperOpen)
  )
}

/** What is left of bounds behind a key within them, in their direction. */
export function boundsBeyond(bounds: Bounds, key: Key): Bounds {
  return bounds.reverse ? { ...bounds, upper: key, upperOpen: true } : { ...bounds, lower: key, lowerOpen: true }
}
