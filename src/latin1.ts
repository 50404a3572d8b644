/** Short byte strings as strings, where a call into the runtime would take most of the time. */

/** What Node's buffers can do on any Uint8Array; not part of the declared types. */
interface Slicing {
  readonly latin1Slice: (this: Uint8Array, start: number, end: number) => string
  readonly utf8Slice: (this: Uint8Array, start: number, end: number) => string
  readonly latin1Write: (this: Uint8Array, text: string, at: number, length: number) => number
}

const { latin1Slice, latin1Write, utf8Slice } = Buffer.prototype as unknown as Slicing

/** Up to this length a string is made of its characters: in 10 to 30 ns, where a call of the runtime takes 40 to 60. */
const SHORT_LENGTH = 16

/**
 * Bytes as a string of the same length, one character U+0000 to U+00FF for each byte, `start` to `end` exclusive. Shares
 * nothing with the bytes, and is flat.
 */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  const length = end - start
  if (length > SHORT_LENGTH) return latin1Slice.call(bytes, start, end)
  return length > 8 ? upTo16(bytes, start, length - 8) : upTo8(bytes, start, length)
}

/** Bytes behind the end read as undefined, and never are. */
const of = String.fromCharCode as (...codes: readonly (number | undefined)[]) => string

function upTo8(b: Uint8Array, i: number, length: number): string {
  switch (length) {
    case 0:
      return ''
    case 1:
      return of(b[i])
    case 2:
      return of(b[i], b[i + 1])
    case 3:
      return of(b[i], b[i + 1], b[i + 2])
    case 4:
      return of(b[i], b[i + 1], b[i + 2], b[i + 3])
    case 5:
      return of(b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4])
    case 6:
      return of(b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5])
    case 7:
      return of(b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6])
    default:
      return of(b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7])
  }
}

/** Eight characters and `more`. */
function upTo16(b: Uint8Array, start: number, more: number): string {
  const [s, t, u, v] = [b[start], b[start + 1], b[start + 2], b[start + 3]]
  const [w, x, y, z] = [b[start + 4], b[start + 5], b[start + 6], b[start + 7]]
  const i = start + 8
  switch (more) {
    case 1:
      return of(s, t, u, v, w, x, y, z, b[i])
    case 2:
      return of(s, t, u, v, w, x, y, z, b[i], b[i + 1])
    case 3:
      return of(s, t, u, v, w, x, y, z, b[i], b[i + 1], b[i + 2])
    case 4:
      return of(s, t, u, v, w, x, y, z, b[i], b[i + 1], b[i + 2], b[i + 3])
    case 5:
      return of(s, t, u, v, w, x, y, z, b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4])
    case 6:
      return of(s, t, u, v, w, x, y, z, b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5])
    case 7:
      return of(s, t, u, v, w, x, y, z, b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6])
    default:
      return of(s, t, u, v, w, x, y, z, b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7])
  }
}

/** Bytes as UTF-8; U+FFFD stands for what is none. A byte order mark stays. */
export function utf8(bytes: Uint8Array, start: number, end: number): string {
  return utf8Slice.call(bytes, start, end)
}

/** The characters of a string, U+0000 to U+00FF all of them, as the bytes of an array that is as long. */
export function writeLatin1(text: string, target: Uint8Array): void {
  latin1Write.call(target, text, 0, text.length)
}
