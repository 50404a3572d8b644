/**
 * Key codecs: which keys a table takes.
 *
 * They narrow, in the types and at run time; they convert nothing. A key that passes a codec is the key that passes
 * without one, in the same place of the same order, with the same bytes: so a table may be read without its codec, and a
 * codec costs a check of type. A table may hold in another form what only such keys can be (words.ts); nobody sees that.
 *
 * I1  The name of a codec is stored with its table and compared when the table is opened again. Equal names mean equal
 *     sets of keys; names are never changed.
 */

import { VarveError } from '../errors.ts'
import { admitKey } from './admit.ts'
import { formatKey } from './format.ts'
import type { Key } from './key.ts'
import { equalKeys } from './order.ts'

/** Narrows the keys of a table to K. */
export interface KeyCodec<K> {
  /** Stored with the table: another name at the next opening is an error. */
  readonly name: string
  /**
   * Returns the value as a key, private and normalised, or throws `INVALID_KEY`. The key returned must equal the one
   * given: a codec chooses among keys, it does not convert them.
   */
  admit(key: unknown): K
}

/** The key codecs; each takes only keys of its own type, with no conversion between them. */
export interface KeyCodecs {
  /** Strings. */
  string(): KeyCodec<string>
  /** Bigints from 0n to 2n ** 64n - 1n. A number is refused even if it is whole: 1 and 1n are two keys. */
  u64(): KeyCodec<bigint>
  /** Bigints from -(2n ** 63n) to 2n ** 63n - 1n. A number is refused even if it is whole. */
  i64(): KeyCodec<bigint>
  /** Numbers, infinities included, NaN excluded. */
  float64(): KeyCodec<number>
  /** Uint8Arrays; Buffers are copied into one. */
  bytes(): KeyCodec<Uint8Array>
  /**
   * Tuples with exactly one element for each codec, in their order: `keys.tuple(keys.string(), keys.float64())` takes
   * `['alice', 5]`.
   *
   * @throws VarveError `INVALID_ARGUMENT` if an argument is not a key codec.
   */
  tuple<K extends readonly Key[]>(...elements: { readonly [I in keyof K]: KeyCodec<K[I]> }): KeyCodec<Readonly<K>>
}

abstract class NarrowingKeyCodec<K extends Key> implements KeyCodec<K> {
  abstract readonly name: string

  /** Whether an admitted key is one of this codec. */
  abstract takes(key: Key): key is K

  /** Why an admitted key that stands at `path` is not one of this codec. */
  abstract explain(key: Key, path: string): string

  admit(key: unknown): K {
    const admitted = admitKey(key)
    if (this.takes(admitted)) return admitted
    throw new VarveError('INVALID_KEY', this.explain(admitted, 'key'))
  }
}

/** The keys of one type that a test lets through. */
class ScalarKeyCodec<K extends Key> extends NarrowingKeyCodec<K> {
  readonly name: string
  readonly takes: (key: Key) => key is K
  /** What it takes, in words: "a string". */
  readonly wanted: string

  constructor(name: string, wanted: string, takes: (key: Key) => key is K) {
    super()
    this.name = name
    this.wanted = wanted
    this.takes = takes
  }

  explain(key: Key, path: string): string {
    return `${path} is ${formatKey(key)}, but the key codec ${this.name} takes ${this.wanted}`
  }
}

class TupleKeyCodec<K extends readonly Key[]> extends NarrowingKeyCodec<K> {
  readonly name: string
  readonly elements: readonly KeyCodec<Key>[]

  constructor(elements: readonly KeyCodec<Key>[]) {
    super()
    this.name = `tuple(${elements.map((element) => element.name).join(',')})`
    this.elements = elements
  }

  takes(key: Key): key is K {
    const { elements } = this
    if (!Array.isArray(key) || key.length !== elements.length) return false
    for (let i = 0; i < elements.length; i++) {
      if (!takesElement(elements[i] as KeyCodec<Key>, key[i] as Key)) return false
    }
    return true
  }

  explain(key: Key, path: string): string {
    const { elements } = this
    if (!Array.isArray(key)) return `${path} is ${formatKey(key)}, but the key codec ${this.name} takes a tuple`
    if (key.length !== elements.length) {
      return `${path} has ${key.length} elements, but the key codec ${this.name} takes ${elements.length}`
    }
    const at = elements.findIndex((element, i) => !takesElement(element, key[i] as Key))
    return explainElement(elements[at] as KeyCodec<Key>, key[at] as Key, `${path}[${at}]`)
  }
}

/** A codec of the user's own inside a tuple is asked through its public face; what it throws goes to the caller. */
function takesElement(codec: KeyCodec<Key>, element: Key): boolean {
  return codec instanceof NarrowingKeyCodec ? codec.takes(element) : equalKeys(codec.admit(element), element)
}

function explainElement(codec: KeyCodec<Key>, element: Key, path: string): string {
  if (codec instanceof NarrowingKeyCodec) return codec.explain(element, path)
  return `${path} is ${formatKey(element)}, but the key codec ${codec.name} gives another key for it: it must not convert`
}

const STRING = new ScalarKeyCodec('string', 'a string', (key): key is string => typeof key === 'string')

const U64 = new ScalarKeyCodec(
  'u64',
  'a bigint from 0n to 2n ** 64n - 1n',
  (key): key is bigint => typeof key === 'bigint' && BigInt.asUintN(64, key) === key,
)

const I64 = new ScalarKeyCodec(
  'i64',
  'a bigint from -(2n ** 63n) to 2n ** 63n - 1n',
  (key): key is bigint => typeof key === 'bigint' && BigInt.asIntN(64, key) === key,
)

const FLOAT64 = new ScalarKeyCodec('float64', 'a number', (key): key is number => typeof key === 'number')

const BYTES = new ScalarKeyCodec('bytes', 'a Uint8Array', (key): key is Uint8Array => key instanceof Uint8Array)

function tuple<K extends readonly Key[]>(
  ...elements: { readonly [I in keyof K]: KeyCodec<K[I]> }
): KeyCodec<Readonly<K>> {
  const codecs: readonly KeyCodec<Key>[] = elements
  codecs.forEach((codec, i) => {
    if (!isKeyCodec(codec)) throw new VarveError('INVALID_ARGUMENT', `argument ${i} of keys.tuple is not a key codec`)
  })
  return new TupleKeyCodec<Readonly<K>>(codecs)
}

function isKeyCodec(codec: unknown): boolean {
  if (typeof codec !== 'object' || codec === null) return false
  return 'name' in codec && typeof codec.name === 'string' && 'admit' in codec && typeof codec.admit === 'function'
}

/**
 * Codecs that narrow the keys of a table: `table('users', { key: keys.u64() })`. Without one a table takes any key.
 */
export const keys: KeyCodecs = Object.freeze({
  string: () => STRING,
  u64: () => U64,
  i64: () => I64,
  float64: () => FLOAT64,
  bytes: () => BYTES,
  tuple,
})
