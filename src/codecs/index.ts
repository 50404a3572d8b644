/** What other rooms use of codecs: the public ones, the interface, and the resident of each. */

import { BYTES, BYTES_VIEW, STRING } from './bytes.ts'
import { VarveError } from '../errors.ts'
import { BUILT_IN_NAMES, type ValueCodec } from './codec.ts'
import { BIGINT64, BIGUINT64, BOOLEAN, FLOAT32, FLOAT64, INT16, INT32, INT8, UINT16, UINT32, UINT8 } from './scalars.ts'
import { structCodec, structCodecNamed } from './struct.ts'
import type { StructCodec, StructSchema, StructValue } from './struct-types.ts'
import { STRUCTURED } from './structured.ts'

export { type Resident, type ValueCodec, lastSize, noteSize } from './codec.ts'
export { type Octets, stow, writeOctets } from './octets.ts'
export { isValueCodec, residentOf } from './resident.ts'
export { joinedCodecName } from './struct-schema.ts'
export type {
  OptionalStruct,
  StructArray,
  StructCodec,
  StructField,
  StructFieldName,
  StructScalar,
  StructSchema,
  StructValue,
} from './struct-types.ts'
export { SLOT_BYTES, bigintBytes, numberBytes, stringBytes } from './sizes.ts'

/** The built-in value codecs. */
export interface ValueCodecs {
  /**
   * Any nest of plain data; what a table uses unless it is given another codec.
   *
   * Carried faithfully: null, booleans, numbers (NaN, infinities and -0 too), bigints of any size, strings (ill-formed
   * ones too), plain objects, objects without a prototype, arrays, Map, Set, Date (invalid ones too), typed arrays,
   * ArrayBuffer, DataView, Buffer; `undefined` anywhere inside, but not on its own. A getter is stored as what it
   * returns, a Proxy as what it shows, and an object that occurs twice is stored twice. Typed arrays come back over a
   * buffer of their own, without properties that were added to them. `toJSON` is not called.
   *
   * Refused with `INVALID_VALUE` and the path inside the value: functions, symbols (as values and as keys), instances of
   * classes (RegExp, Error and Promise among them), properties that are not enumerable, holes in arrays, properties of
   * arrays beside their elements, cycles, more than 500 levels of nesting.
   *
   * A value is copied when it is stored. What reads hand out is deep-frozen, and the same object each time: no decoding,
   * no copy. If it holds a Map, Set, Date or binary data, which cannot be frozen, it is made afresh for each read, its
   * plain objects and arrays still frozen. Storing a small object takes about 150 ns. An array of many fractions takes
   * three times its memory once frozen; a Float64Array does not.
   *
   * The bytes are MessagePack (by the library msgpackr).
   *
   * @typeParam V what the table holds; a statement about the data, not a check.
   */
  structured<V = unknown>(): ValueCodec<V>
  /** Strings. The bytes are UTF-8; lone surrogates survive, as WTF-8. */
  string(): ValueCodec<string>
  /** Bytes. Uint8Arrays and Buffers are copied in; each read hands out a Uint8Array of its own. */
  bytes(): ValueCodec<Uint8Array>
  /**
   * Bytes without a copy on reading. Uint8Arrays and Buffers are copied in; all reads of one version hand out the same
   * Uint8Array, which is the one stored. Whoever writes to it, or transfers its buffer, changes committed data behind
   * the back of every transaction. For large values that are only read; otherwise use `bytes`.
   */
  bytesView(): ValueCodec<Uint8Array>
  /** true and false, one byte. */
  boolean(): ValueCodec<boolean>
  /**
   * Numbers rounded to 32 bits when they are stored, 4 bytes; reads give the rounded number. NaN, infinities and -0 are
   * kept; a finite number beyond the range is refused.
   */
  float32(): ValueCodec<number>
  /** Numbers, 8 bytes; NaN, infinities and -0 are kept. */
  float64(): ValueCodec<number>
  /** Whole numbers from -128 to 127, 1 byte. As in all integer codecs, -0 is stored as 0. */
  int8(): ValueCodec<number>
  /** Whole numbers from -32,768 to 32,767, 2 bytes. */
  int16(): ValueCodec<number>
  /** Whole numbers from -2,147,483,648 to 2,147,483,647, 4 bytes. */
  int32(): ValueCodec<number>
  /** Whole numbers from 0 to 255, 1 byte. */
  uint8(): ValueCodec<number>
  /** Whole numbers from 0 to 65,535, 2 bytes. */
  uint16(): ValueCodec<number>
  /** Whole numbers from 0 to 4,294,967,295, 4 bytes. */
  uint32(): ValueCodec<number>
  /** Bigints from -(2n ** 63n) to 2n ** 63n - 1n, 8 bytes. */
  bigint64(): ValueCodec<bigint>
  /** Bigints from 0n to 2n ** 64n - 1n, 8 bytes. */
  biguint64(): ValueCodec<bigint>
  /**
   * Objects of fixed fields, kept as their bytes outside of the JavaScript heap and read field by field:
   * `codecs.struct({ id: 'u32', name: 'string', scores: 'f64[]', email: 'string?' })`.
   *
   * Fields are numbers of a width (`u8` to `i32`, `f32`, `f64`; `u64` and `i64` as bigints), `bool`, `string`, `bytes`, arrays
   * of these, and structs: an object of fields or another struct codec. A `?` makes a field optional;
   * `codec.optional()` does so for a struct.
   *
   * Plain objects are taken, also `{ ...read, balance: 1 }` and what was read itself. What lacks a field, has one that the
   * schema does not have, or a value that does not fit, is refused. Reads hand out views: fields are decoded when they are
   * asked for, in about 20 ns for a number, and arrays are read where they lie. Views refuse to be changed; fields of type
   * bytes give a copy each time. A view stands for the moment it was read; one that is kept for long may keep 4 KiB.
   *
   * Later versions of a program may add optional fields at the end: they read old values without them, and programs without
   * them read what was written with them. No other change is possible: opening the table with it is refused.
   *
   * @throws VarveError `INVALID_ARGUMENT`, naming the field.
   */
  struct<const S extends StructSchema>(schema: S): StructCodec<StructValue<S>>
}

/**
 * Codecs for the values of a table: `table('counters', { value: codecs.int32() })`. What a codec does not carry is
 * refused by the call that would store it, with `INVALID_VALUE`. Any object with `name`, `encode` and `decode` is a codec
 * too; its values are kept encoded and decoded at every read.
 */
export const codecs: ValueCodecs = Object.freeze({
  structured: <V>() => STRUCTURED as ValueCodec<V>,
  string: () => STRING,
  bytes: () => BYTES,
  bytesView: () => BYTES_VIEW,
  boolean: () => BOOLEAN,
  float32: () => FLOAT32,
  float64: () => FLOAT64,
  int8: () => INT8,
  int16: () => INT16,
  int32: () => INT32,
  uint8: () => UINT8,
  uint16: () => UINT16,
  uint32: () => UINT32,
  bigint64: () => BIGINT64,
  biguint64: () => BIGUINT64,
  struct: structCodec,
})

/**
 * The codec of a name, for data whose table nobody has defined yet. Of one that is not built in it can carry values from place to
 * place, encoded as they are, and that is all: it takes none and shows none.
 */
export function codecNamed(name: string): ValueCodec<unknown> {
  if ((BUILT_IN_NAMES as readonly string[]).includes(name)) return codecs[name as 'structured']()
  const refuse = (): never => {
    throw new VarveError('CODEC_MISMATCH', `values of codec '${name}' can be read only where that codec is given`)
  }
  return structCodecNamed(name) ?? { name, encode: refuse, decode: refuse }
}
