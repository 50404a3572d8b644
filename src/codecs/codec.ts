/**
 * What a value codec is, and how the engine keeps the values of one in memory.
 *
 * A codec has two faces. The public one turns a value into bytes and back; anybody can write one. The other, the
 * resident, says what stands in the version columns while a value is in memory, so that a read need not decode and often
 * need not copy. The built-in codecs bring a resident of their own; for all others the encoded bytes are resident.
 *
 * I1  Private: a stored form shares nothing mutable with what was admitted or with anything that was released, whatever
 *     becomes of either. The one exception is `bytesView`, which hands out what it stores and says so.
 * I2  Faithful: what `admit` accepts, `release` gives back deep-equal, directly as well as by way of `encode` and
 *     `decode`. What cannot be carried so is refused by `admit`.
 * I3  Alone: the bytes of a value can be decoded without any other bytes, in any order, after any failure.
 * I4  Bytes of any origin decode to a value or throw `CODEC_MISMATCH`. They run no code, change no prototype and take
 *     no more memory than a fixed multiple of their length.
 * I5  Equal values met in the same order give equal bytes.
 *
 * Residents throw `VarveError` with a message that begins with what is wrong inside the value; the caller adds the table
 * and the key.
 */

/**
 * Turns the values of a table into bytes and back. The built-in ones are in `codecs`; any object of this shape will do.
 *
 * A codec must be a pure function of its argument: `decode(encode(value))` equals `value`, at any time, in any process.
 * It may throw: from `encode` this refuses the value with `INVALID_VALUE`, from `decode` it becomes `CODEC_MISMATCH`.
 */
export interface ValueCodec<V> {
  /** Stable name, kept with the data: opening the table later with a codec of another name is an error. */
  readonly name: string
  /** The bytes of a value. They are copied before the call that stores them returns; the array may be used again. */
  encode(value: V): Uint8Array
  /** The value of bytes that `encode` gave. The bytes are the codec's own: a fresh copy for each call. */
  decode(bytes: Uint8Array): V
}

/** How values of one codec live in memory. Stored forms are opaque to everybody else. */
export interface Resident<V> {
  /** The public face. */
  readonly codec: ValueCodec<V>
  /** Whether stored forms may be handed out as they are, so that `release` need not be called at all. */
  readonly direct: boolean
  /**
   * Whether this stored form may be handed out as it is, for codecs of which most may. While all forms of a table may,
   * reads need not look at them.
   */
  handsOut?(stored: unknown): boolean
  /**
   * Checks a value and returns its private stored form; {@link lastSize} is then the size of it.
   * @throws VarveError `INVALID_VALUE`, naming the path inside the value.
   */
  admit(value: unknown): unknown
  /**
   * What a read hands out for a stored form.
   * @throws VarveError `CODEC_MISMATCH` if a codec of the user's own throws.
   */
  release(stored: unknown): V
  /**
   * Estimated bytes of memory that a stored form takes: heap, external memory, and the 8 bytes of the slot that refers
   * to it. The same figure as `lastSize` gives right after `admit`, which is the cheaper way to learn it.
   */
  sizeOf(stored: unknown): number
  /** The bytes of a stored form, in an array that nothing else refers to. */
  encode(stored: unknown): Uint8Array
  /**
   * The stored form of bytes that `encode` gave; {@link lastSize} is then the size of it. Keeps no reference to `bytes`.
   * @throws VarveError `CODEC_MISMATCH`.
   */
  decode(bytes: Uint8Array): unknown
  /** The same for the bytes from `start` to `end` exclusive, which must be there: for codecs that need no view of them. */
  decodeAt?(bytes: Uint8Array, start: number, end: number): unknown
  /**
   * What a read hands out for the bytes that `encode` gives, which lie at `start`, a multiple of 8, of memory that others
   * write to later; `words` is the same memory, and what lies up to the next multiple of 8 may be read too. Codecs that have
   * this have octets as their stored forms, and their values may live outside of the heap.
   */
  releaseFrom?(bytes: Uint8Array, words: Int32Array, start: number, length: number): V
}

/**
 * Size of the stored form that the latest call of any resident's `admit` or `decode` returned, in bytes as `sizeOf`
 * counts them. It is found on the way through the value, so that nothing walks it twice; read it before anything else
 * runs. After a call that threw it means nothing.
 */
export let lastSize = 0

/** For residents: what {@link lastSize} is to be. Returns it. */
export function noteSize(bytes: number): number {
  lastSize = bytes
  return bytes
}

/** Names that only built-in codecs may have. They are stored with the data and never change. */
export const BUILT_IN_NAMES = [
  'structured',
  'string',
  'bytes',
  'bytesView',
  'boolean',
  'float32',
  'float64',
  'int8',
  'int16',
  'int32',
  'uint8',
  'uint16',
  'uint32',
  'bigint64',
  'biguint64',
] as const

/** The name of a built-in codec; that of a struct says its schema. */
export type BuiltInName = (typeof BUILT_IN_NAMES)[number] | `struct:${string}`

/** The public face of a built-in codec; the work is its resident's. */
export class BuiltInCodec<V> implements ValueCodec<V> {
  readonly name: BuiltInName
  readonly resident: Resident<V>

  constructor(name: BuiltInName, resident: Resident<V>) {
    this.name = name
    this.resident = resident
  }

  encode(value: V): Uint8Array {
    return this.resident.encode(this.resident.admit(value))
  }

  decode(bytes: Uint8Array): V {
    return this.resident.release(this.resident.decode(bytes))
  }
}
