/**
 * The sizes in which the arena gives out memory.
 *
 *   8, 16, 24 ... 128            every multiple of 8
 *   144, 160 ... 256, 288 ...    eight sizes per doubling, up to 128 KiB
 *
 * So of a value longer than 56 bytes at most an eighth of its place is unused, of a shorter one at most 7 bytes.
 */

/** Every place begins at a multiple of this. */
export const PLACE_ALIGNMENT = 8
/** Values beyond this have a buffer of their own. */
export const MAX_PLACE_BYTES: number = 128 * 1024
const LINEAR_BYTES = 128
const LINEAR_CLASSES: number = LINEAR_BYTES / PLACE_ALIGNMENT
const STEPS = 8
const STEP_BITS = 3

/** The class of values of so many bytes; of 0 bytes too. Meaningful up to {@link MAX_PLACE_BYTES}. */
export function classOf(length: number): number {
  if (length <= LINEAR_BYTES) return length === 0 ? 0 : (length - 1) >>> STEP_BITS
  // 128 < length <= 256 is the first doubling.
  const doubling = 24 - Math.clz32(length - 1)
  const step = ((length - 1) >>> (doubling + 4)) & (STEPS - 1)
  return LINEAR_CLASSES + (doubling << STEP_BITS) + step
}

/** How many bytes a place of a class has. */
export function placeBytes(sizeClass: number): number {
  if (sizeClass < LINEAR_CLASSES) return (sizeClass + 1) * PLACE_ALIGNMENT
  const doubling = (sizeClass - LINEAR_CLASSES) >>> STEP_BITS
  const step = (sizeClass - LINEAR_CLASSES) & (STEPS - 1)
  return (LINEAR_BYTES + (step + 1) * (LINEAR_BYTES / STEPS)) << doubling
}

/** How many classes there are. */
export const SIZE_CLASSES: number = classOf(MAX_PLACE_BYTES) + 1
