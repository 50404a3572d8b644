/** Definitions of tables for the pairs of key and value that are met most. */
import { codecs, type StructSchema, type StructValue } from './codecs/index.ts'
import { keys } from './keys/index.ts'
import type { TableOptions } from './options.ts'
import { type Table, table } from './table.ts'

/** What is left to say about a table whose codecs are given. */
export type MapOptions<K, V> = Omit<TableOptions<K, V>, 'key' | 'value'>

/** Options of a map whose values are bigints of 64 bits. */
type Counts<K> = MapOptions<K, bigint>

/**
 * Presets: `maps.u64String('names')` is `table('names', { key: keys.u64(), value: codecs.string() })`, and so on. The first
 * half of a name says the keys, the second the values: `u64` is bigints from 0n to 2n ** 64n - 1n, `string` text, `bytes`
 * Uint8Arrays, `struct` objects of the fields of a schema, `value` anything that `codecs.structured` takes. Values of bytes
 * and structs are kept outside of the JavaScript heap.
 *
 * All take the name of the table, then the schema if there is one, then the other options of {@link table}; they throw what
 * `table` and `codecs.struct` throw.
 */
export interface Maps {
  /** Bigints to text. */
  u64String(name: string, options?: MapOptions<bigint, string>): Table<bigint, string>
  /** Bigints to bigints. */
  u64U64(name: string, options?: Counts<bigint>): Table<bigint, bigint>
  /** Bigints to bytes. */
  u64Bytes(name: string, options?: MapOptions<bigint, Uint8Array>): Table<bigint, Uint8Array>
  /** Bigints to structs of a schema. */
  u64Struct<const S extends StructSchema>(
    name: string,
    schema: S,
    options?: MapOptions<bigint, StructValue<S>>,
  ): Table<bigint, StructValue<S>>
  /** Bigints to anything; say what with a type argument. */
  u64Value<V = unknown>(name: string, options?: MapOptions<bigint, V>): Table<bigint, V>
  /** Text to text. */
  stringString(name: string, options?: MapOptions<string, string>): Table<string, string>
  /** Text to bigints. */
  stringU64(name: string, options?: Counts<string>): Table<string, bigint>
  /** Text to numbers. */
  stringNumber(name: string, options?: MapOptions<string, number>): Table<string, number>
  /** Text to bytes. */
  stringBytes(name: string, options?: MapOptions<string, Uint8Array>): Table<string, Uint8Array>
  /** Text to structs of a schema. */
  stringStruct<const S extends StructSchema>(
    name: string,
    schema: S,
    options?: MapOptions<string, StructValue<S>>,
  ): Table<string, StructValue<S>>
  /** Text to anything; say what with a type argument. */
  stringValue<V = unknown>(name: string, options?: MapOptions<string, V>): Table<string, V>
  /** Bytes to text. */
  bytesString(name: string, options?: MapOptions<Uint8Array, string>): Table<Uint8Array, string>
  /** Bytes to bigints. */
  bytesU64(name: string, options?: Counts<Uint8Array>): Table<Uint8Array, bigint>
  /** Bytes to bytes. */
  bytesBytes(name: string, options?: MapOptions<Uint8Array, Uint8Array>): Table<Uint8Array, Uint8Array>
  /** Bytes to structs of a schema. */
  bytesStruct<const S extends StructSchema>(
    name: string,
    schema: S,
    options?: MapOptions<Uint8Array, StructValue<S>>,
  ): Table<Uint8Array, StructValue<S>>
}

const U64 = keys.u64()
const STRING = keys.string()
const BYTES = keys.bytes()

/** The presets. */
export const maps: Maps = Object.freeze({
  u64String: (name, options) => table(name, { ...options, key: U64, value: codecs.string() }),
  u64U64: (name, options) => table(name, { ...options, key: U64, value: codecs.biguint64() }),
  u64Bytes: (name, options) => table(name, { ...options, key: U64, value: codecs.bytes() }),
  u64Struct: (name, schema, options) => table(name, { ...options, key: U64, value: codecs.struct(schema) }),
  u64Value: <V>(name: string, options?: MapOptions<bigint, V>) =>
    table(name, { ...options, key: U64, value: codecs.structured<V>() }),
  stringString: (name, options) => table(name, { ...options, key: STRING, value: codecs.string() }),
  stringU64: (name, options) => table(name, { ...options, key: STRING, value: codecs.biguint64() }),
  stringNumber: (name, options) => table(name, { ...options, key: STRING, value: codecs.float64() }),
  stringBytes: (name, options) => table(name, { ...options, key: STRING, value: codecs.bytes() }),
  stringStruct: (name, schema, options) => table(name, { ...options, key: STRING, value: codecs.struct(schema) }),
  stringValue: <V>(name: string, options?: MapOptions<string, V>) =>
    table(name, { ...options, key: STRING, value: codecs.structured<V>() }),
  bytesString: (name, options) => table(name, { ...options, key: BYTES, value: codecs.string() }),
  bytesU64: (name, options) => table(name, { ...options, key: BYTES, value: codecs.biguint64() }),
  bytesBytes: (name, options) => table(name, { ...options, key: BYTES, value: codecs.bytes() }),
  bytesStruct: (name, schema, options) => table(name, { ...options, key: BYTES, value: codecs.struct(schema) }),
} satisfies Maps)
