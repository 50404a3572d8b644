/** The public ordered map. */

import { VarveError } from '../errors.ts'
import { admitKey, compareKeys, type Key, releaseKey } from '../keys/index.ts'
import { EntryIterator, KeyIterator, ValueIterator } from './iterator.ts'
import type { Leaf } from './leaf.ts'
import { OrderedIndex } from './ordered-index.ts'
import { resolveScan, type SkipListRange } from './range.ts'

/** Options of a {@link SkipList}. */
export interface SkipListOptions<K, V> {
  /**
   * A total order: negative, 0 or positive as `a` sorts before, with or after `b`. Keys for which it gives 0 are one key.
   * It must be consistent, and must not call the list.
   *
   * Default: the order of the database, in which booleans sort before numbers and bigints, then strings (by UTF-16 code
   * unit), bytes and tuples (arrays of keys).
   */
  compare?: ((a: K, b: K) => number) | undefined
  /** What the list holds to begin with, as for `Map`. Later entries replace earlier ones. Fastest in ascending order. */
  entries?: Iterable<readonly [K, V]> | undefined
}

/**
 * An ordered map with the methods of `Map`, ranges, and iterators that survive inserts and removals between their steps.
 *
 * It is a blocked skiplist: keys and values stand in blocks of up to 64, below a few levels of fat index nodes; it takes
 * about 26 bytes per entry beside keys and values. `get`, `set` and `delete` take O(log n), a step of an iterator O(1).
 * It is not a snapshot store and has no transactions: it is the index the database is built on, by itself.
 *
 * Without `compare`, keys are those of the database: strings, numbers, bigints, booleans, `Uint8Array`s and arrays of
 * such. They are checked when they come in (`INVALID_KEY` for NaN, undefined and everything else), -0 becomes 0, and
 * bytes and arrays are copied in and out, so nothing a caller does can disturb the order. With `compare`, any key but
 * undefined and NaN is taken as it is, by reference: do not change what its order depends on.
 *
 * After the B-skiplist of Luo et al. (ICPP 2025), with cached key prefixes after the prefix B-trees of Bayer and Unterauer
 * (1977).
 *
 * @throws VarveError `INVALID_OPTIONS` from the constructor, naming everything wrong with the options.
 */
export class SkipList<K = Key, V = unknown> implements Iterable<[K, V]> {
  readonly #index: OrderedIndex<K, V>
  readonly #admit: (key: K) => K
  readonly #release: (key: K) => K

  constructor(options: SkipListOptions<K, V> = {}) {
    checkOptions(options)
    const { compare, entries } = options
    if (compare === undefined) {
      this.#index = new OrderedIndex<K, V>(compareKeys as unknown as (a: K, b: K) => number)
      this.#admit = admitKey as unknown as (key: K) => K
      this.#release = releaseKey as unknown as (key: K) => K
    } else {
      this.#index = new OrderedIndex<K, V>(compare)
      this.#admit = admitForeign
      this.#release = asIs
    }
    if (entries !== undefined) this.#load(entries)
  }

  /** Number of entries. */
  get size(): number {
    return this.#index.size
  }

  /** The value of `key`, or undefined. */
  get(key: K): V | undefined {
    return this.#index.get(this.#admit(key))
  }

  /** Whether `key` is in the list. */
  has(key: K): boolean {
    const index = this.#index
    const wanted = this.#admit(key)
    return index.locate(index.seekLeaf(wanted), wanted) >= 0
  }

  /**
   * Inserts `key`, or gives it another value if it is there. Iterators see the change if they have not passed it.
   *
   * @throws VarveError `INVALID_KEY`.
   */
  set(key: K, value: V): this {
    const index = this.#index
    const admitted = this.#admit(key)
    if (index.belongsAtTail(admitted)) {
      index.insertAt(index.last, index.last.keys.length, admitted, value)
      return this
    }
    const leaf = index.seekLeaf(admitted)
    const at = index.locate(leaf, admitted)
    if (at >= 0) leaf.values[at] = value
    else index.insertAt(leaf, ~at, admitted, value)
    return this
  }

  /** Removes `key`; whether it was there. */
  delete(key: K): boolean {
    return this.#index.remove(this.#admit(key))
  }

  /** Removes everything. Iterators go on with whatever is inserted later in the direction they go. */
  clear(): void {
    this.#index.clear()
  }

  /** The entry with the least key, or undefined if the list is empty. */
  first(): [K, V] | undefined {
    return this.#entryAt(this.#index.first, 0)
  }

  /** The entry with the greatest key, or undefined if the list is empty. */
  last(): [K, V] | undefined {
    const { last } = this.#index
    return this.#entryAt(last, last.keys.length - 1)
  }

  /** The entry with the greatest key < `key`, or undefined. */
  lower(key: K): [K, V] | undefined {
    return this.#nearest(key, -1, -1)
  }

  /** The entry with the greatest key <= `key`, or undefined. */
  floor(key: K): [K, V] | undefined {
    return this.#nearest(key, -1, 0)
  }

  /** The entry with the least key >= `key`, or undefined. */
  ceiling(key: K): [K, V] | undefined {
    return this.#nearest(key, 0, 0)
  }

  /** The entry with the least key > `key`, or undefined. */
  higher(key: K): [K, V] | undefined {
    return this.#nearest(key, 0, 1)
  }

  /**
   * The entries of a range in order, lazily.
   *
   * The list may change at any time between two steps: each step gives the nearest entry beyond the last one given, in
   * the list as it is then. So an entry that stays in the list is given exactly once, one that comes or goes ahead of the
   * iterator is given or not accordingly, and the removal of the entry last given moves nothing. `limit` counts what is
   * given. Once it has ended, an iterator stays ended; leaving a `for` loop does not end it.
   *
   * @throws VarveError `INVALID_ARGUMENT` naming everything wrong with the range, `INVALID_KEY` for a bad bound.
   */
  entries(range?: SkipListRange<K>): IterableIterator<[K, V]> {
    return new EntryIterator(this.#index, resolveScan(range, this.#admit), this.#release)
  }

  /** The keys of a range in order, lazily; see {@link SkipList.entries}. */
  keys(range?: SkipListRange<K>): IterableIterator<K> {
    return new KeyIterator(this.#index, resolveScan(range, this.#admit), this.#release)
  }

  /** The values of a range in the order of their keys, lazily; see {@link SkipList.entries}. */
  values(range?: SkipListRange<K>): IterableIterator<V> {
    return new ValueIterator(this.#index, resolveScan(range, this.#admit))
  }

  /** All entries in order; see {@link SkipList.entries}. */
  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.entries()
  }

  /** Calls `callback` for each entry in order, as `Map` does; it may change the list, see {@link SkipList.entries}. */
  forEach(callback: (value: V, key: K, list: this) => void, thisArg?: unknown): void {
    for (const [key, value] of this) callback.call(thisArg, value, key, this)
  }

  /**
   * Walks the whole structure and throws an `Error` if any of its invariants is broken: a bug of this class, or a
   * comparator that is no order. O(n); for tests.
   */
  check(): void {
    this.#index.check()
  }

  /** `SkipList`, in `Object.prototype.toString`. */
  get [Symbol.toStringTag](): string {
    return 'SkipList'
  }

  #load(entries: Iterable<readonly [K, V]>): void {
    let position = 0
    for (const entry of entries) {
      if (!Array.isArray(entry)) {
        throw new VarveError(
          'INVALID_OPTIONS',
          `invalid options of SkipList: entries[${position}] is no [key, value] pair`,
        )
      }
      this.set(entry[0], entry[1])
      position++
    }
  }

  /** The entry beside the place of `key`: so many places after it if it is there, or after the least key above it. */
  #nearest(key: K, ifAbsent: number, ifPresent: number): [K, V] | undefined {
    const index = this.#index
    const wanted = this.#admit(key)
    const leaf = index.seekLeaf(wanted)
    const found = index.locate(leaf, wanted)
    const at = found >= 0 ? found + ifPresent : ~found + ifAbsent
    if (at < 0) return leaf.prev === null ? undefined : this.#entryAt(leaf.prev, leaf.prev.keys.length - 1)
    if (at === leaf.keys.length) return leaf.next === null ? undefined : this.#entryAt(leaf.next, 0)
    return this.#entryAt(leaf, at)
  }

  #entryAt(leaf: Leaf<K, V>, at: number): [K, V] | undefined {
    if (at < 0 || at >= leaf.keys.length) return undefined
    return [this.#release(leaf.keys[at] as K), leaf.values[at] as V]
  }
}

/** With a comparator of the caller's, only what no comparator can place is refused. */
function admitForeign<K>(key: K): K {
  if (key === undefined || Number.isNaN(key)) {
    throw new VarveError('INVALID_KEY', `the key is ${String(key)}, which has no place in an order`)
  }
  return key
}

function asIs<K>(key: K): K {
  return key
}

function isIterable(value: unknown): boolean {
  return value !== null && typeof (value as Partial<Iterable<unknown>>)[Symbol.iterator] === 'function'
}

function checkOptions(options: unknown): void {
  const problems: string[] = []
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    problems.push('they must be an object such as { compare, entries }')
  } else {
    for (const name of Object.keys(options)) {
      if (name !== 'compare' && name !== 'entries') problems.push(`unknown option ${JSON.stringify(name)}`)
    }
    const { compare, entries } = options as SkipListOptions<unknown, unknown>
    if (compare !== undefined && typeof compare !== 'function') problems.push('compare is not a function')
    if (entries !== undefined && !isIterable(entries)) {
      problems.push('entries is not iterable')
    }
  }
  if (problems.length > 0) {
    throw new VarveError('INVALID_OPTIONS', `invalid options of SkipList: ${problems.join('; ')}`)
  }
}
