/** The static side of struct codecs: what a schema may say, and the type of the values that it describes. */
import type { ValueCodec } from './codec.ts'

/** Numbers of a width in bits (`u`nsigned, `i`nteger, `f`loating; 64-bit integers are bigints), booleans, text, bytes. */
export type StructScalar =
  | 'u8'
  | 'i8'
  | 'u16'
  | 'i16'
  | 'u32'
  | 'i32'
  | 'u64'
  | 'i64'
  | 'f32'
  | 'f64'
  | 'bool'
  | 'string'
  | 'bytes'

/** A field as text: a scalar, `[]` behind it for an array of them, `?` at the end for one that may be absent. */
export type StructFieldName = StructScalar | `${StructScalar}[]` | `${StructScalar}?` | `${StructScalar}[]?`

/** One field: text, the fields of a struct inside, or the codec of one, `codec.optional()` if it may be absent. */
export type StructField = StructFieldName | StructSchema | StructCodec<unknown> | OptionalStruct<unknown>

/** The fields of a struct, in the order in which they are laid out. */
export interface StructSchema {
  readonly [name: string]: StructField
}

/** A struct inside another that may be absent; see {@link StructCodec.optional}. */
export interface OptionalStruct<V> {
  /** The codec of the struct. */
  readonly struct: StructCodec<V>
}

/** The codec that `codecs.struct` makes. */
export interface StructCodec<V> extends ValueCodec<V> {
  /** For use as a field of another schema: a struct that may be absent. */
  optional(): OptionalStruct<V>
  /**
   * A plain copy of a value, through and through: objects, arrays, Uint8Arrays, which the caller may change.
   * @throws VarveError `INVALID_VALUE` if it is none of this codec.
   */
  toObject(value: V): V
}

/**
 * An array field. Arrays and typed arrays are taken; what reads hand out is read in place, is an array to `Array.isArray`,
 * and refuses to be changed.
 */
export interface StructArray<T> extends Iterable<T> {
  /** How many elements there are. */
  readonly length: number
  /** The element at an index; undefined outside. */
  readonly [index: number]: T
  /** The same; a negative index counts from the end. */
  at(index: number): T | undefined
  /** Whether an element is there, NaN included. */
  includes(element: T): boolean
  /** Index of the first element that is strictly equal, or -1. */
  indexOf(element: T): number
  /** The elements as text with a separator between. */
  join(separator?: string): string
  /** Calls a function with each element and its index. */
  forEach(fn: (element: T, index: number) => void): void
  /** Whether a function says so of every element. */
  every(fn: (element: T, index: number) => boolean): boolean
  /** Whether a function says so of some element. */
  some(fn: (element: T, index: number) => boolean): boolean
}

type ScalarValue<S> = S extends 'u64' | 'i64'
  ? bigint
  : S extends 'bool'
    ? boolean
    : S extends 'string'
      ? string
      : S extends 'bytes'
        ? Uint8Array
        : number

type FieldValue<F> =
  F extends OptionalStruct<infer V>
    ? V
    : F extends StructCodec<infer V>
      ? V
      : F extends `${infer Required}?`
        ? FieldValue<Required>
        : F extends `${infer Element}[]`
          ? StructArray<ScalarValue<Element>>
          : F extends string
            ? ScalarValue<F>
            : StructValue<F>

type OptionalNames<S> = {
  [K in keyof S]: S[K] extends `${string}?` | OptionalStruct<unknown> ? K : never
}[keyof S]

type Flat<T> = { readonly [K in keyof T]: T[K] }

/** The values that a schema describes. */
export type StructValue<S> = Flat<
  { [K in Exclude<keyof S, OptionalNames<S>>]: FieldValue<S[K]> } & {
    [K in OptionalNames<S>]?: FieldValue<S[K]> | undefined
  }
>
