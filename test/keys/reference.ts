/** The order of keys once more, written for clarity alone: what the fast one is held against. */

import type { Key } from '../../src/keys/index.ts'

const RANKS = ['boolean', 'number', 'string', 'bytes', 'tuple']

function kindOf(key: Key): string {
  if (Array.isArray(key)) return 'tuple'
  if (key instanceof Uint8Array) return 'bytes'
  return typeof key === 'bigint' ? 'number' : typeof key
}

/** A finite double is a whole multiple of 2^-1074: as that multiple, every finite value is a bigint. */
function scaled(value: number | bigint): bigint {
  if (typeof value === 'bigint') return value << 1074n
  let mantissa = value
  let exponent = 0n
  while (!Number.isInteger(mantissa)) {
    mantissa *= 2
    exponent++
  }
  return BigInt(mantissa) << (1074n - exponent)
}

function referenceNumeric(a: number | bigint, b: number | bigint): number {
  const infinity = (value: number | bigint): number => (value === Infinity ? 1 : value === -Infinity ? -1 : 0)
  if (infinity(a) !== 0 || infinity(b) !== 0) return Math.sign(infinity(a) - infinity(b))
  const [x, y] = [scaled(a), scaled(b)]
  if (x !== y) return x < y ? -1 : 1
  return Number(typeof a === 'bigint') - Number(typeof b === 'bigint')
}

function referenceList<T>(a: readonly T[], b: readonly T[], compare: (x: T, y: T) => number): number {
  for (let i = 0; ; i++) {
    if (i === a.length || i === b.length) return Math.sign(a.length - b.length)
    const order = compare(a[i] as T, b[i] as T)
    if (order !== 0) return order
  }
}

const units = (text: string): number[] => Array.from({ length: text.length }, (_, i) => text.charCodeAt(i))
const difference = (x: number, y: number): number => Math.sign(x - y)

/** -1, 0 or 1. */
export function referenceCompare(a: Key, b: Key): number {
  const kind = kindOf(a)
  const ranks = Math.sign(RANKS.indexOf(kind) - RANKS.indexOf(kindOf(b)))
  if (ranks !== 0) return ranks
  switch (kind) {
    case 'boolean':
      return Number(a) - Number(b)
    case 'number':
      return referenceNumeric(a as number | bigint, b as number | bigint)
    case 'string':
      return referenceList(units(a as string), units(b as string), difference)
    case 'bytes':
      return referenceList([...(a as Uint8Array)], [...(b as Uint8Array)], difference)
    default:
      return referenceList(a as readonly Key[], b as readonly Key[], referenceCompare)
  }
}

/** Whether `key` starts with `prefix`, by the plain meaning of the words. */
export function referenceStartsWith(key: Key, prefix: Key): boolean {
  if (typeof prefix === 'string') return typeof key === 'string' && key.startsWith(prefix)
  if (kindOf(prefix) !== kindOf(key)) return false
  const start = prefix as ArrayLike<Key>
  const whole = key as ArrayLike<Key>
  if (whole.length < start.length) return false
  return Array.from(start).every((element, i) => referenceCompare(element, whole[i] as Key) === 0)
}
