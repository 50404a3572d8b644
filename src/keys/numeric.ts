/**
 * Where numbers and bigints meet: the arithmetic beneath their common encoding.
 *
 * Every finite or infinite value v is written as the largest double that is not above it, its floor, and what remains.
 * For a number nothing remains; for a bigint the remainder is a non-negative integer. Floors keep the order of values,
 * and among values with one floor the remainder does.
 */

const scratch = new DataView(new ArrayBuffer(8))

/**
 * The largest double that is not above `value`. For a value above every finite double that is `Number.MAX_VALUE`, for
 * one below every finite double `-Infinity`.
 */
export function floorToDouble(value: bigint): number {
  const nearest = Number(value)
  if (Number.isSafeInteger(nearest)) return nearest
  if (nearest === Infinity) return Number.MAX_VALUE
  if (nearest === -Infinity || BigInt(nearest) <= value) return nearest
  return nextBelow(nearest)
}

/** The double next below `x`, for finite `x` other than 0. Below `-Number.MAX_VALUE` comes `-Infinity`. */
function nextBelow(x: number): number {
  scratch.setFloat64(0, x)
  scratch.setBigUint64(0, scratch.getBigUint64(0) + (x > 0 ? -1n : 1n))
  return scratch.getFloat64(0)
}

/** How many bytes the magnitude of a positive bigint takes. */
export function magnitudeBytes(value: bigint): number {
  return (value.toString(16).length + 1) >>> 1
}

/**
 * Writes a double so that memcmp orders it by value: the sign bit flipped for what is not negative, every bit flipped
 * for what is. -0 is written as 0. Eight bytes.
 */
export function writeDouble(x: number, target: Uint8Array, offset: number): void {
  scratch.setFloat64(0, x + 0)
  let high = scratch.getInt32(0)
  let low = scratch.getInt32(4)
  if (high < 0) {
    high = ~high
    low = ~low
  } else {
    high ^= SIGN
  }
  writeUint32(high, target, offset)
  writeUint32(low, target, offset + 4)
}

const SIGN = -0x8000_0000

/** Reads what {@link writeDouble} wrote; other bytes may give NaN or -0, which the caller refuses. */
export function readDouble(source: Uint8Array, offset: number): number {
  let high = readUint32(source, offset) | 0
  let low = readUint32(source, offset + 4) | 0
  if (high < 0) {
    high ^= SIGN
  } else {
    high = ~high
    low = ~low
  }
  scratch.setInt32(0, high)
  scratch.setInt32(4, low)
  return scratch.getFloat64(0)
}

/** Four bytes, most significant first. */
export function writeUint32(value: number, target: Uint8Array, offset: number): void {
  target[offset] = value >>> 24
  target[offset + 1] = value >>> 16
  target[offset + 2] = value >>> 8
  target[offset + 3] = value
}

/** Four bytes, most significant first; the caller has checked that they are there. */
export function readUint32(source: Uint8Array, offset: number): number {
  return (
    (((source[offset] as number) << 24) |
      ((source[offset + 1] as number) << 16) |
      ((source[offset + 2] as number) << 8) |
      (source[offset + 3] as number)) >>>
    0
  )
}
