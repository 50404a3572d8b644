/**
 * Two hash functions from keys to 64 bits, as two 32-bit halves.
 *
 * - `hashSeeded`: two multiply-and-rotate lanes in the manner of murmur3 (Austin Appleby), both fed every word, two
 *   UTF-16 code units a word. About 27 ns for a string of 20 characters. Whoever knows the seed, and to a degree whoever
 *   does not, can find keys that collide.
 * - `hashKeyed`: HalfSipHash-1-3 with 64 bits of output (Aumasson and Bernstein, "SipHash: a fast short-input PRF",
 *   2012, and its reference implementation). About four times the time; nobody without the key is known to find collisions.
 *
 * Both are functions of the value of a key: equal keys (`compareKeys`) hash alike, whatever objects they are; 1 and 1n
 * are two keys.
 *
 * The upper half is returned; the lower is left in {@link hashLow}, to be read before the next key is hashed: returning
 * a pair would allocate, and a bigint would too.
 */
import { randomBytes } from 'node:crypto'
import { VarveError } from '../errors.ts'
import type { Key } from '../keys/key.ts'
import { spellKey, words } from './key-words.ts'

/** The lower half of the hash that was computed last. */
export let hashLow = 0

/** The secret of a maplet: 64 bits for each of the two hash functions. Maplets merge only if theirs is the same. */
export class HashSeed {
  readonly a: number
  readonly b: number
  readonly key0: number
  readonly key1: number

  constructor(a: number, b: number, key0: number, key1: number) {
    this.a = a | 0
    this.b = b | 0
    this.key0 = key0 | 0
    this.key1 = key1 | 0
  }

  /** 128 bits of the operating system's randomness. */
  static random(): HashSeed {
    return HashSeed.fromBytes(randomBytes(16))
  }

  /** From 16 bytes, all of which count. */
  static fromBytes(bytes: Uint8Array): HashSeed {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    return new HashSeed(view.getInt32(0), view.getInt32(4), view.getInt32(8), view.getInt32(12))
  }

  /** Spreads one number over the four words: for tests and for reproducible layouts, not for secrets. */
  static fromNumber(seed: number): HashSeed {
    const low = seed | 0
    const high = Math.floor(seed / 2 ** 32) | 0
    const word = (i: number): number => mix(mix(low ^ Math.imul(i, 0x9e37_79b9)) + Math.imul(high, 0x85eb_ca6b))
    return new HashSeed(word(1), word(2), word(3), word(4))
  }

  /** The 16 bytes that {@link fromBytes} takes. */
  toBytes(): Uint8Array {
    const bytes = new Uint8Array(16)
    const view = new DataView(bytes.buffer)
    view.setInt32(0, this.a)
    view.setInt32(4, this.b)
    view.setInt32(8, this.key0)
    view.setInt32(12, this.key1)
    return bytes
  }

  equals(other: HashSeed): boolean {
    return this.a === other.a && this.b === other.b && this.key0 === other.key0 && this.key1 === other.key1
  }
}

/** What callers may give as a seed: see {@link HashSeed}. */
export function resolveSeed(seed: number | Uint8Array | undefined): HashSeed {
  if (seed === undefined) return HashSeed.random()
  if (typeof seed === 'number' && Number.isSafeInteger(seed)) return HashSeed.fromNumber(seed)
  if (seed instanceof Uint8Array && seed.length === 16) return HashSeed.fromBytes(seed)
  throw new VarveError('INVALID_OPTIONS', 'seed must be a safe integer or a Uint8Array of 16 bytes')
}

/** Which of the two hash functions, and its seed. A maplet core is one. */
export interface Hashing {
  readonly keyed: boolean
  readonly seed: HashSeed
}

/** The upper half of a key's hash; the lower one is in {@link hashLow}. */
export function hashKey(key: Key, hashing: Hashing): number {
  return hashing.keyed ? hashKeyed(key, hashing.seed) : hashSeeded(key, hashing.seed)
}

const MULTIPLY_A = 0xcc9e_2d51 | 0
const MULTIPLY_B = 0x1b87_3593

/** Keeps strings apart from everything else, which is hashed by its words. */
const OTHER_KINDS = 0x6b65_7973

/** Code units that one turn of the loop over a string takes. */
const BLOCK = 8

/** The fast hash. Returns the upper half; the lower one is in {@link hashLow}. */
export function hashSeeded(key: Key, seed: HashSeed): number {
  return typeof key === 'string' ? hashString(key, seed.a, seed.b) : hashOther(key, seed.a ^ OTHER_KINDS, seed.b)
}

/**
 * Blocks of eight code units; the last one overlaps the one before it. So strings of 17 to 24 characters all take the
 * same path: a loop that ended with the odd characters one by one costs half as much again in mispredicted branches.
 */
function hashString(key: string, a: number, b: number): number {
  const length = key.length
  if (length < BLOCK) {
    for (let i = 0; i < length; i++) {
      const word = key.charCodeAt(i)
      a = Math.imul(a ^ word, MULTIPLY_A)
      a = (a << 15) | (a >>> 17)
      b = Math.imul(b ^ word, MULTIPLY_B)
      b = (b << 13) | (b >>> 19)
    }
    return finish(a, b, length)
  }
  const last = length - BLOCK
  for (let i = 0; ; i = i > last - BLOCK ? last : i + BLOCK) {
    const word0 = key.charCodeAt(i) | (key.charCodeAt(i + 1) << 16)
    const word1 = key.charCodeAt(i + 2) | (key.charCodeAt(i + 3) << 16)
    const word2 = key.charCodeAt(i + 4) | (key.charCodeAt(i + 5) << 16)
    const word3 = key.charCodeAt(i + 6) | (key.charCodeAt(i + 7) << 16)
    a = Math.imul(a ^ word0, MULTIPLY_A)
    a = Math.imul(((a << 15) | (a >>> 17)) ^ word1, MULTIPLY_A)
    a = Math.imul(((a << 15) | (a >>> 17)) ^ word2, MULTIPLY_A)
    a = Math.imul(((a << 15) | (a >>> 17)) ^ word3, MULTIPLY_A)
    a = (a << 15) | (a >>> 17)
    b = Math.imul(b ^ word0, MULTIPLY_B)
    b = Math.imul(((b << 13) | (b >>> 19)) ^ word1, MULTIPLY_B)
    b = Math.imul(((b << 13) | (b >>> 19)) ^ word2, MULTIPLY_B)
    b = Math.imul(((b << 13) | (b >>> 19)) ^ word3, MULTIPLY_B)
    b = (b << 13) | (b >>> 19)
    if (i === last) break
  }
  return finish(a, b, length)
}

function hashOther(key: Key, a: number, b: number): number {
  const count = spellKey(key)
  for (let i = 0; i < count; i++) {
    const word = words[i] as number
    a = Math.imul(a ^ word, MULTIPLY_A)
    a = (a << 15) | (a >>> 17)
    b = Math.imul(b ^ word, MULTIPLY_B)
    b = (b << 13) | (b >>> 19)
  }
  return finish(a, b, count)
}

/** Each half depends on every bit of both lanes, and no two states of the lanes end in the same 64 bits. */
function finish(a: number, b: number, length: number): number {
  a = ((a ^ length) + ((b << 16) | (b >>> 16))) | 0
  b ^= a
  hashLow = mix(b)
  return mix(a)
}

/** The finalizer of murmur3: a bijection of 32 bits in which every input bit moves every output bit. */
function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x85eb_ca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2_ae35)
  return x ^ (x >>> 16)
}

/** The keyed hash. Returns the upper half; the lower one is in {@link hashLow}. */
export function hashKeyed(key: Key, seed: HashSeed): number {
  if (typeof key === 'string') return hashKeyedString(key, seed)
  const count = spellKey(key)
  return halfSipHash(words, count, ~count, seed)
}

const shortString = new Int32Array(256)

/** Strings are spelled here, without the words that tell kinds apart: two rounds fewer. */
function hashKeyedString(key: string, seed: HashSeed): number {
  const length = key.length
  const count = (length + 1) >>> 1
  const target = count <= shortString.length ? shortString : new Int32Array(count)
  const even = length & ~1
  for (let i = 0; i < even; i += 2) target[i >>> 1] = key.charCodeAt(i) | (key.charCodeAt(i + 1) << 16)
  if (even < length) target[even >>> 1] = key.charCodeAt(even)
  return halfSipHash(target, count, length, seed)
}

/**
 * HalfSipHash-1-3 with 64 bits of output over `count` words and a last one, which says how long what is hashed is. Returns the
 * upper half, signed; the lower one is left in {@link hashLow}. Keys in memory end with a number of code units, or for all that
 * is not a string with the complement of a number of words; stored keys end as the authors have it.
 *
 * The round is written out twice: as a function it would have to keep its four words in memory.
 */
export function halfSipHash(
  source: Int32Array,
  count: number,
  last: number,
  seed: { readonly key0: number; readonly key1: number },
): number {
  let v0 = seed.key0
  let v1 = seed.key1 ^ 0xee
  let v2 = 0x6c79_6765 ^ seed.key0
  let v3 = 0x7465_6462 ^ seed.key1
  for (let i = 0; i <= count; i++) {
    const word = i < count ? (source[i] as number) : last
    v3 ^= word
    v0 = (v0 + v1) | 0
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
    v0 = (v0 << 16) | (v0 >>> 16)
    v2 = (v2 + v3) | 0
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
    v0 = (v0 + v3) | 0
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
    v2 = (v2 + v1) | 0
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
    v2 = (v2 << 16) | (v2 >>> 16)
    v0 ^= word
  }
  v2 ^= 0xee
  let high = 0
  for (let i = 0; i < 6; i++) {
    if (i === 3) {
      high = v1 ^ v3
      v1 ^= 0xdd
    }
    v0 = (v0 + v1) | 0
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
    v0 = (v0 << 16) | (v0 >>> 16)
    v2 = (v2 + v3) | 0
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
    v0 = (v0 + v3) | 0
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
    v2 = (v2 + v1) | 0
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
    v2 = (v2 << 16) | (v2 >>> 16)
  }
  hashLow = v1 ^ v3
  return high
}
