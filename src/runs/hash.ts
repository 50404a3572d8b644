/**
 * The hash of stored keys: HalfSipHash-1-3 with 64 bits of output (Aumasson and Bernstein, "SipHash: a fast short-input
 * PRF", 2012, and its reference implementation), over the bytes of the key.
 *
 * It is keyed with 64 random bits of the database, which are kept in the footers of its runs, so that a key is hashed
 * once however many runs are asked. Nobody without the seed is known to find keys that collide; whoever can read the
 * files can find some, and gains long buckets, never wrong answers. The rounds are those of the maplet's keyed hash.
 *
 * The upper half is returned; the lower is left in {@link hashLow}, to be read before the next key is hashed.
 */

import { halfSipHash, hashLow as lowHalf } from '../maplet/hash.ts'

/** The secret of a database: two unsigned 32-bit numbers. */
export interface HashSeed {
  readonly key0: number
  readonly key1: number
}

/** The lower half of the hash that was computed last, unsigned. */
export let hashLow = 0

/** Keys of up to a kilobyte are spelled here. */
const SHORT = new Int32Array(256)

/** The upper half of the hash of the first `length` bytes, unsigned; the lower one is in {@link hashLow}. */
export function hashStoredKey(bytes: Uint8Array, length: number, seed: HashSeed): number {
  const count = length >>> 2
  const words = count <= SHORT.length ? SHORT : new Int32Array(count)
  for (let i = 0, at = 0; i < count; i++, at += 4) {
    words[i] =
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)
  }
  const high = halfSipHash(words, count, lastWord(bytes, count * 4, length), seed)
  hashLow = lowHalf >>> 0
  return high >>> 0
}

/** The length modulo 256 and the bytes that fill no word. */
function lastWord(bytes: Uint8Array, from: number, length: number): number {
  let word = length << 24
  for (let i = from; i < length; i++) word |= (bytes[i] as number) << ((i - from) * 8)
  return word
}
