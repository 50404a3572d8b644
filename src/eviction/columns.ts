/** How the columns of this room grow: by doubling, so that numbers up to 10^7 cost amortised O(1) each. */

/** Entries for which there is room from the start. */
export const INITIAL_IDS = 64

/** The length to which a column of this length grows, so that `index` lies within it. */
export function grownLength(length: number, index: number): number {
  let grown = Math.max(length, INITIAL_IDS)
  while (grown <= index) grown *= 2
  return grown
}

/** A longer copy of a column of 32-bit integers; what is new holds `fill`. */
export function grownInt32(column: Int32Array, length: number, fill: number): Int32Array {
  const grown = new Int32Array(length)
  grown.set(column)
  if (fill !== 0) grown.fill(fill, column.length)
  return grown
}

/** A longer copy of a column of unsigned 32-bit integers; what is new holds 0. */
export function grownUint32(column: Uint32Array, length: number): Uint32Array {
  const grown = new Uint32Array(length)
  grown.set(column)
  return grown
}
