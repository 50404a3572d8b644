/**
 * Keys of 64 bits as two words: how tables keep them whose key codec is `u64` or `i64`.
 *
 * A bigint takes 24 bytes of the heap and the reference to it 8; as words it takes 8, and is made anew for whoever wants it.
 *
 * W1  Words, the upper one before the lower, both signed, sort as the keys do that they stand for. (Signed, they are small
 *     integers, and nothing is allocated for them.)
 * W2  A form has words for exactly the keys of the codec that it belongs to, each its own.
 */
import type { Key } from './key.ts'

/** The words that {@link WordForm.split} found last, to be read before the next key is split. */
export let wordLow = 0
export let wordHigh = 0

const unsigned = new BigUint64Array(1)
const signed = new BigInt64Array(unsigned.buffer)
const halves = new Int32Array(unsigned.buffer)
unsigned[0] = 1n
const LOW = halves[0] === 1 ? 0 : 1
const HIGH = 1 - LOW

/** What tells the order of signed integers from that of unsigned ones. */
const SIGN = 0x8000_0000 | 0

/** How keys of one codec are split into words. */
export class WordForm {
  private readonly isSigned: boolean

  constructor(isSigned: boolean) {
    this.isSigned = isSigned
  }

  /** Leaves the words of a key in {@link wordLow} and {@link wordHigh}; false if it has none in this form. */
  split(key: Key): boolean {
    if (typeof key !== 'bigint') return false
    unsigned[0] = key
    wordLow = (halves[LOW] as number) ^ SIGN
    if (this.isSigned) {
      wordHigh = halves[HIGH] as number
      return signed[0] === key
    }
    wordHigh = (halves[HIGH] as number) ^ SIGN
    return unsigned[0] === key
  }

  /** The key of two words. */
  join(low: number, high: number): bigint {
    halves[LOW] = low ^ SIGN
    if (this.isSigned) {
      halves[HIGH] = high
      return signed[0] as bigint
    }
    halves[HIGH] = high ^ SIGN
    return unsigned[0] as bigint
  }
}

const U64 = new WordForm(false)
const I64 = new WordForm(true)

/** The form for the keys of a codec; null where keys stay as they are. Anybody may use such a name: {@link WordForm.split} tells. */
export function wordFormOf(codecName: string | null | undefined): WordForm | null {
  if (codecName === 'u64') return U64
  return codecName === 'i64' ? I64 : null
}
