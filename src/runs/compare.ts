/** Byte strings in the order of memcmp: a string comes before those that it is a proper prefix of. */

/** Negative, 0 or positive, as the first `aLength` bytes of `a` come before, with or after the first `bLength` of `b`. */
export function compareBytes(a: Uint8Array, aLength: number, b: Uint8Array, bLength: number): number {
  const shared = aLength < bLength ? aLength : bLength
  for (let i = 0; i < shared; i++) {
    const difference = (a[i] as number) - (b[i] as number)
    if (difference !== 0) return difference
  }
  return aLength - bLength
}

/** As {@link compareBytes}, for bytes of `a` that begin at `aStart`. */
export function compareBytesAt(a: Uint8Array, aStart: number, aLength: number, b: Uint8Array, bLength: number): number {
  const shared = aLength < bLength ? aLength : bLength
  for (let i = 0; i < shared; i++) {
    const difference = (a[aStart + i] as number) - (b[i] as number)
    if (difference !== 0) return difference
  }
  return aLength - bLength
}

/** How many leading bytes two strings have in common. */
export function commonPrefix(a: Uint8Array, aLength: number, b: Uint8Array, bLength: number): number {
  const most = aLength < bLength ? aLength : bLength
  let i = 0
  while (i < most && a[i] === b[i]) i++
  return i
}

/** A copy with room for at least `bytes`, at least twice as large. */
export function enlarged(buffer: Uint8Array, used: number, bytes: number): Uint8Array {
  const larger = new Uint8Array(Math.max(bytes, buffer.length * 2))
  larger.set(buffer.subarray(0, used))
  return larger
}
