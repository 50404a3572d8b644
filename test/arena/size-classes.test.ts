/** Size classes: which class a length has, and how much of its place it leaves unused. */
import { describe, expect, it } from 'vitest'
import { classOf, MAX_PLACE_BYTES, placeBytes, SIZE_CLASSES } from '../../src/arena/size-classes.ts'

describe('size classes', () => {
  it('grow from 8 bytes to 128 KiB, each a multiple of 8', () => {
    const sizes = Array.from({ length: SIZE_CLASSES }, (_, sizeClass) => placeBytes(sizeClass))
    expect(sizes.slice(0, 3)).toEqual([8, 16, 24])
    expect(sizes.at(-1)).toBe(MAX_PLACE_BYTES)
    for (const [i, size] of sizes.entries()) {
      expect(size % 8).toBe(0)
      if (i > 0) expect(size).toBeGreaterThan(sizes[i - 1] as number)
      expect(classOf(size)).toBe(i)
    }
  })

  it('give every length the smallest place that holds it, of which at most an eighth or 7 bytes stay unused', () => {
    const wrong: number[] = []
    for (let length = 1; length <= MAX_PLACE_BYTES; length++) {
      const sizeClass = classOf(length)
      const size = placeBytes(sizeClass)
      const before = sizeClass === 0 ? 0 : placeBytes(sizeClass - 1)
      if (size < length || before >= length || size - length > Math.max(7, size / 8)) wrong.push(length)
    }
    expect(wrong).toEqual([])
    expect(classOf(0)).toBe(0)
  })
})
