/** Short byte strings as strings, where a call into the runtime would take most of the time. */

/** What Node's buffers can do on any Uint8Array; not part of the declared types. */
interface Slicing {
  readonly latin1Slice: (this: Uint8Array, start: number, end: number) => string
  readonly utf8Slice: (this: Uint8Array, start: number, end: number) => string
}

const { latin1Slice, utf8Slice } = Buffer.prototype as unknown as Slicing

/** Bytes behind the end read as undefined, and never are. */
const fromCodes = String.fromCharCode as (...codes: readonly (number | undefined)[]) => string

/** Up to this length a string is made of its characters: in 15 to 50 ns, where a call of the runtime takes 40 to 65. */
const SHORT_LENGTH = 24
/** Codes of characters, for each length. */
const CODES: readonly number[][] = Array.from({ length: SHORT_LENGTH + 1 }, (_, length) => new Array<number>(length).fill(0))

/**
 * Bytes as a string of the same length, one character U+0000 to U+00FF for each byte, `start` to `end` exclusive. Shares
 * nothing with the bytes, and is flat.
 */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  const length = end - start
  if (length > SHORT_LENGTH) return latin1Slice.call(bytes, start, end)
  if (length <= 8) return upTo8(bytes, start, length)
  // Twelve characters are the most that V8 joins by copying.
  if (length <= 12) return upTo8(bytes, start, 8) + upTo8(bytes, start + 8, length - 8)
  const codes = CODES[length] as number[]
  for (let i = 0; i < length; i++) codes[i] = bytes[start + i] as number
  return fromCodes(...codes)
}

function upTo8(b: Uint8Array, i: number, length: number): string {
  switch (length) {
    case 0:
      return ''
    case 1:
      return fromCodes(b[i])
    case 2:
      return fromCodes(b[i], b[i + 1])
    case 3:
      return fromCodes(b[i], b[i + 1], b[i + 2])
    case 4:
      return fromCodes(b[i], b[i + 1], b[i + 2], b[i + 3])
    case 5:
      return fromCodes(b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4])
    case 6:
      return fromCodes(b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5])
    case 7:
      return fromCodes(b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6])
    default:
      return fromCodes(b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7])
  }
}

/** Bytes as UTF-8; U+FFFD stands for what is none. A byte order mark stays. */
export function utf8(bytes: Uint8Array, start: number, end: number): string {
  return utf8Slice.call(bytes, start, end)
}
