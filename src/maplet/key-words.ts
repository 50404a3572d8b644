/**
 * Keys that are not strings, spelled as 32-bit words for the hash functions.
 *
 * Two keys have the same words if and only if `compareKeys` calls them equal: each element starts with its kind, and
 * whatever has no fixed length says its length, so no spelling is the beginning of another.
 *
 * | key     | words                                                        |
 * |---------|--------------------------------------------------------------|
 * | boolean | FALSE or TRUE                                                |
 * | number  | NUMBER, the two halves of the double (-0 as 0)               |
 * | bigint  | BIGINT or NEGATIVE_BIGINT, count, magnitude by 32 bits       |
 * | string  | STRING, length, two code units a word                        |
 * | bytes   | BYTES, length, four bytes a word                             |
 * | tuple   | TUPLE, length, the words of each element                     |
 *
 * The words are left in one growing buffer of the module, to be read before the next call.
 */
import type { Key } from '../keys/key.ts'

const FALSE = 1
const TRUE = 2
const NUMBER = 3
const BIGINT = 4
const NEGATIVE_BIGINT = 5
const STRING = 6
const BYTES = 7
const TUPLE = 8

/** Beyond this a buffer that one huge key has needed is let go again. */
const LASTING_WORDS = 1 << 16

const double = new Float64Array(1)
const halves = new Int32Array(double.buffer)
const big = new BigUint64Array(double.buffer)
/** Which of the halves is the lower one. */
const LOW = new Int32Array(BigUint64Array.of(1n).buffer)[0] === 1 ? 0 : 1

/** What {@link spellKey} wrote last. */
export let words: Int32Array = new Int32Array(64)
let count = 0

/** Writes the words of a key to {@link words} and returns how many there are. */
export function spellKey(key: Key): number {
  count = 0
  if (words.length > LASTING_WORDS) words = new Int32Array(64)
  spell(key)
  return count
}

function spell(key: Key): void {
  if (typeof key === 'string') spellString(key)
  else if (typeof key === 'number') spellNumber(key)
  else if (typeof key === 'bigint') spellBigint(key)
  else if (typeof key === 'boolean') put(key ? TRUE : FALSE)
  else if (Array.isArray(key)) spellTuple(key as readonly Key[])
  else spellBytes(key as Uint8Array)
}

function put(word: number): void {
  if (count === words.length) makeRoom(1)
  words[count++] = word
}

function makeRoom(more: number): void {
  const larger = new Int32Array(Math.max(words.length * 2, count + more))
  larger.set(words)
  words = larger
}

function spellNumber(key: number): void {
  double[0] = key + 0
  put(NUMBER)
  put(halves[0] as number)
  put(halves[1] as number)
}

function spellString(key: string): void {
  const length = key.length
  const even = length & ~1
  if (count + (length >>> 1) + 3 > words.length) makeRoom((length >>> 1) + 3)
  const target = words
  let at = count
  target[at++] = STRING
  target[at++] = length
  for (let i = 0; i < even; i += 2) target[at++] = key.charCodeAt(i) | (key.charCodeAt(i + 1) << 16)
  if (even < length) target[at++] = key.charCodeAt(even)
  count = at
}

function spellBytes(key: Uint8Array): void {
  const length = key.length
  put(BYTES)
  put(length)
  const whole = length & ~3
  for (let i = 0; i < whole; i += 4) {
    put(
      (key[i] as number) |
        ((key[i + 1] as number) << 8) |
        ((key[i + 2] as number) << 16) |
        ((key[i + 3] as number) << 24),
    )
  }
  let rest = 0
  for (let i = length - 1; i >= whole; i--) rest = (rest << 8) | (key[i] as number)
  if (whole < length) put(rest)
}

function spellBigint(key: bigint): void {
  put(key < 0n ? NEGATIVE_BIGINT : BIGINT)
  const magnitude = key < 0n ? -key : key
  big[0] = magnitude
  if (big[0] === magnitude) {
    const high = halves[1 - LOW] as number
    const low = halves[LOW] as number
    put(high === 0 ? 1 : 2)
    put(low)
    if (high !== 0) put(high)
    return
  }
  // By way of hexadecimal digits: shifting a giant bigint word by word would take time in the square of its length.
  const digits = magnitude.toString(16)
  put((digits.length + 7) >>> 3)
  for (let end = digits.length; end > 0; end -= 8) {
    put(Number.parseInt(digits.slice(Math.max(0, end - 8), end), 16) | 0)
  }
}

function spellTuple(key: readonly Key[]): void {
  put(TUPLE)
  put(key.length)
  for (let i = 0; i < key.length; i++) spell(key[i] as Key)
}
