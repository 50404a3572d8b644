/**
 * The hash of stored keys: HalfSipHash-1-3 with 64 bits of output (Aumasson and Bernstein, "SipHash: a fast short-input
 * PRF", 2012, and its reference implementation), over the bytes of the key.
 *
 * It is keyed with 64 random bits of the database, which are kept in the footers of its runs, so that a key is hashed
 * once however many runs are asked. Nobody without the seed is known to find keys that collide; whoever can read the
 * files can find some, and gains long buckets, never wrong answers. About 50 ns for a key of 24 bytes.
 *
 * The upper half is returned; the lower is left in {@link hashLow}, to be read before the next key is hashed.
 */

/** The secret of a database: two unsigned 32-bit numbers. */
export interface HashSeed {
  readonly key0: number
  readonly key1: number
}

/** The lower half of the hash that was computed last, unsigned. */
export let hashLow = 0

/** The upper half of the hash of the first `length` bytes, unsigned; the lower one is in {@link hashLow}. */
export function hashStoredKey(bytes: Uint8Array, length: number, seed: HashSeed): number {
  let v0 = seed.key0 | 0
  let v1 = (seed.key1 | 0) ^ 0xee
  let v2 = 0x6c79_6765 ^ seed.key0
  let v3 = 0x7465_6462 ^ seed.key1
  const whole = length & ~3
  for (let i = 0; i <= whole; i += 4) {
    const word =
      i < whole
        ? (bytes[i] as number) |
          ((bytes[i + 1] as number) << 8) |
          ((bytes[i + 2] as number) << 16) |
          ((bytes[i + 3] as number) << 24)
        : lastWord(bytes, whole, length)
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
  hashLow = (v1 ^ v3) >>> 0
  return high >>> 0
}

/** The length modulo 256 and the bytes that fill no word. */
function lastWord(bytes: Uint8Array, from: number, length: number): number {
  let word = length << 24
  for (let i = from; i < length; i++) word |= (bytes[i] as number) << ((i - from) * 8)
  return word
}
