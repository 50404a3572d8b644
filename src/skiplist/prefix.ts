/**
 * Strings as numbers that sort alike: the cache that lets upper levels search without touching key bodies, each of
 * which is a cache miss.
 *
 *   narrow   6 code units, 8 bits each    c0 c1 c2 c3 c4 c5    unit > 0xFF: it and the rest count as 0xFF
 *   wide     3 code units, 16 bits each   c0 c1 c2
 *
 * Both are 48 bits, exact in a double; past the end of the string units count as 0. Both maps are monotone over all
 * strings, a < b implies prefix(a) <= prefix(b), so a node may be narrow whatever key is searched in it; equal
 * prefixes decide nothing and the strings are compared. Wide merely tells more apart in scripts beyond Latin-1.
 */

/** Code units that a wide prefix and a wide hint cover: beyond Latin-1 among them is what makes wide worth it. */
export const PREFIX_WIDE_UNITS = 3
export const HINT_WIDE_UNITS = 1

const NARROW_UNITS = 6

const TWO_24 = 0x1000000
const TWO_32 = 0x100000000

/** The numeric prefix of `key` from unit `from` on. */
export function prefixOf(key: string, from: number, wide: boolean): number {
  const length = key.length
  const a = from < length ? key.charCodeAt(from) : 0
  const b = from + 1 < length ? key.charCodeAt(from + 1) : 0
  const c = from + 2 < length ? key.charCodeAt(from + 2) : 0
  if (wide) return a * TWO_32 + (b * 0x10000 + c)
  const d = from + 3 < length ? key.charCodeAt(from + 3) : 0
  const e = from + 4 < length ? key.charCodeAt(from + 4) : 0
  const f = from + 5 < length ? key.charCodeAt(from + 5) : 0
  if ((a | b | c | d | e | f) > 0xff) return saturated(key, from)
  return ((a << 16) | (b << 8) | c) * TWO_24 + ((d << 16) | (e << 8) | f)
}

function saturated(key: string, from: number): number {
  let value = 0
  let full = false
  for (let i = from; i < from + NARROW_UNITS; i++) {
    const unit = i < key.length ? key.charCodeAt(i) : 0
    if (unit > 0xff) full = true
    value = value * 0x100 + (full ? 0xff : unit)
  }
  return value
}

/**
 * A coarser monotone map, into 16 bits, for leaves. Wide: one unit. Narrow: three units in the mixed base 66, 66, 15.
 *
 * Letters and digits have classes of their own (LEADING), whatever lies between those groups shares one, and a shared
 * class ends the hint: behind units that may differ, further ones would sort by the wrong criterion. The last place
 * has no successor, so there a class may hold several units (LAST): ten for the digits, five for the rest.
 */
export function hintOf(key: string, from: number, wide: boolean): number {
  const length = key.length
  const a = from < length ? key.charCodeAt(from) : 0
  if (wide) return a
  const b = from + 1 < length ? key.charCodeAt(from + 1) : 0
  const c = from + 2 < length ? key.charCodeAt(from + 2) : 0
  const first = LEADING[a < 0xff ? a : 0xff] as number
  if (isShared(first)) return first * FIRST_WEIGHT
  const second = LEADING[b < 0xff ? b : 0xff] as number
  const head = first * FIRST_WEIGHT + second * LAST_CLASSES
  return isShared(second) ? head : head + (LAST[c < 0xff ? c : 0xff] as number)
}

const LEADING_CLASSES = 66
const LAST_CLASSES = 15
const FIRST_WEIGHT = LEADING_CLASSES * LAST_CLASSES

const LEADING: Uint8Array = Uint8Array.from({ length: 0x100 }, (_, unit) => {
  if (unit < 0x30) return 0
  if (unit <= 0x39) return 1 + unit - 0x30
  if (unit < 0x41) return 11
  if (unit <= 0x5a) return 12 + unit - 0x41
  if (unit < 0x61) return 38
  if (unit <= 0x7a) return 39 + unit - 0x61
  return 65
})

function isShared(leading: number): boolean {
  return leading === 0 || leading === 11 || leading === 38 || leading === 65
}

const LAST: Uint8Array = Uint8Array.from({ length: 0x100 }, (_, unit) => {
  if (unit < 0x30) return 0
  if (unit <= 0x39) return 1 + unit - 0x30
  if (unit < 0x4e) return 11
  if (unit < 0x61) return 12
  return unit < 0x6e ? 13 : 14
})

/** Whether a unit beyond Latin-1 is among the first `count` from `from` on: only then does wide tell more apart. */
export function wantsWide(key: string, from: number, count: number): boolean {
  const end = Math.min(key.length, from + count)
  for (let i = from; i < end; i++) if (key.charCodeAt(i) > 0xff) return true
  return false
}

/** Length of the common prefix of two strings, in code units. */
export function commonLength(a: string, b: string): number {
  const end = Math.min(a.length, b.length)
  let i = 0
  while (i < end && a.charCodeAt(i) === b.charCodeAt(i)) i++
  return i
}

/** How the first `length` units of `key` compare with those of `probe`, which has that many. */
export function compareHead(key: string, probe: string, length: number): number {
  for (let i = 0; i < length; i++) {
    if (i >= key.length) return -1
    const difference = key.charCodeAt(i) - probe.charCodeAt(i)
    if (difference !== 0) return difference
  }
  return 0
}
