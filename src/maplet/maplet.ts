/** `Maplet`: the maplet as a library, for any keys and any values. */
import { VarveError } from '../errors.ts'
import { admitKey, type Key } from '../keys/index.ts'
import { MAPLET_LAYOUT, refuseProblems, type Sizing, sizingProblems } from './format.ts'
import { Generations, type GenerationsStats } from './generations.ts'
import { entriesOf } from './inspect.ts'
import { identityOf, type MergeOperator } from './merges.ts'
import type { ValueMerge } from './reshape.ts'

/** Options of {@link Maplet}. All may be left out. */
export interface MapletOptions<V> extends Sizing {
  /** Entries to make room for at once; with `autoResize: false` the most it takes. Default 0: it grows from nothing. */
  readonly capacity?: number | undefined
  /**
   * Highest acceptable share of absent keys that are taken for present ones. Default 0.01. Slots are 8 bytes whatever it
   * is, so the actual share is far lower, 10^-5 or so; below 0.0001 nothing is promised, and refused.
   */
  readonly falsePositiveRate?: number | undefined
  /** Default true. With false, an insert beyond `capacity` fails with `CAPACITY_EXCEEDED` and changes nothing. */
  readonly autoResize?: boolean | undefined
  /**
   * Secret of the hash: 16 bytes, or an integer for reproducible layouts. Default: random. Maplets that are to be merged
   * must have the same: give one the {@link Maplet.seed} of the other.
   */
  readonly seed?: number | Uint8Array | undefined
  /** `keyed`: the hash that resists chosen keys from the start. Default `seeded`: four times faster, until they show. */
  readonly hash?: 'seeded' | 'keyed' | undefined
  /**
   * What becomes of a second value under one key. Without it, each insert adds an entry; with it, one entry holds all
   * values merged. It must take values as operands: `sum min max union replace or and addVectors concat`, not `append`.
   *
   * Keys that collide are merged without anybody noticing, so ask for `hash: 'keyed'` where strangers choose keys.
   */
  readonly merge?: MergeOperator<V> | undefined
}

/** State of a {@link Maplet}: see {@link Maplet.stats}. */
export interface MapletState extends GenerationsStats {
  /** Values that do not fit into 32 bits and are held as objects beside the slots; their memory is not in `bytes`. */
  readonly valuesAside: number
}

const DEFAULT_SAMPLES = 65_536

/**
 * A maplet: a filter that answers with values (Bender, Conway, Farach-Colton, Johnson, Pandey, "Time To Replace Your
 * Filter", 2025). It maps keys to values in 9 to 11 bytes an entry, because it holds no keys, only fingerprints of them.
 *
 * The price is a one-sided error: what is under a key is always found, but with a small probability (the false-positive
 * rate, some 10^-5) so is what is under another key. Whoever must be certain keeps the keys elsewhere and compares.
 *
 * - Without `merge` it is a multimap: `get` gives the newest value, `getAll` gives all of them.
 * - With `merge` it holds one value a key: that of all inserts merged, those of colliding keys included.
 *
 * Values that are unsigned 32-bit integers stand in the slots; at the first other one, all of them move to an array.
 *
 * ```ts
 * const visits = new Maplet({ merge: merges.sum })
 * visits.insert('/index', 1)
 * visits.insert('/index', 1)
 * visits.get('/index') // => 2
 * ```
 */
export class Maplet<V = number> {
  #options: MapletOptions<V>
  #entries: Generations
  /** Values by number, if the slots hold numbers of values; null while the slots hold the values themselves. */
  #aside: V[] | null = null
  /** Numbers of `#aside` that are free. */
  #free: number[] = []
  /** Counts changes, so that an iterator notices them. */
  #changes = 0

  /**
   * Takes {@link MapletOptions}.
   * @throws VarveError `INVALID_OPTIONS`, naming everything that is wrong.
   */
  constructor(options: MapletOptions<V> = {}) {
    refuseProblems('Maplet', problemsOf(options))
    this.#options = { ...options }
    const { capacity, autoResize, seed, hash } = options
    this.#entries = new Generations({ capacity, autoResize, seed, hash }, MAPLET_LAYOUT)
  }

  /** Entries: inserts less deletes, or with `merge` the keys inserted, colliding ones counted once. */
  get size(): number {
    return this.#entries.size
  }

  /** Bytes of memory of all slots and what is around them; not those of values held aside. */
  get bytes(): number {
    return this.#entries.bytes + (this.#aside === null ? 0 : this.#aside.length * 8)
  }

  /** The 16 bytes of its seed, for a maplet that is to be merged with it. They are a secret. */
  get seed(): Uint8Array {
    return this.#entries.newest.seed.toBytes()
  }

  /**
   * Adds a value under a key, or with `merge` merges it with the value that is there.
   * @throws VarveError `INVALID_KEY`; `CAPACITY_EXCEEDED` if it may not grow: then nothing has changed.
   */
  insert(key: Key, value: V): void {
    const admitted = admitKey(key)
    const { merge } = this.#options
    this.#changes++
    if (merge === undefined) {
      this.#add(admitted, value)
      return
    }
    const count = this.#entries.candidates(admitted)
    if (count === 0) {
      this.#add(admitted, merge.merge(identityOf(merge), value))
      return
    }
    const newest = this.#entries.found[count - 1] as number
    this.#store(admitted, newest, merge.merge(this.#valueOf(newest), value))
  }

  /** What is under a key: its newest value, or with `merge` its merged one. undefined if the key is absent for certain. */
  get(key: Key): V | undefined {
    const { merge } = this.#options
    const admitted = admitKey(key)
    const count = merge === undefined ? this.#entries.latest(admitted) : this.#entries.candidates(admitted)
    if (count === 0) return undefined
    const { found } = this.#entries
    if (merge === undefined || count === 1) return this.#valueOf(found[count - 1] as number)
    let value = this.#valueOf(found[0] as number)
    for (let i = 1; i < count; i++) value = merge.merge(value, this.#valueOf(found[i] as number))
    return value
  }

  /**
   * All values under a key, those of colliding keys among them, oldest first. Of values that came together by merging two
   * maplets, it is not told which is older.
   */
  getAll(key: Key): V[] {
    const count = this.#entries.candidates(admitKey(key))
    return Array.from(this.#entries.found.subarray(0, count), (stored) => this.#valueOf(stored))
  }

  /** Whether a key may be there. false is certain. */
  has(key: Key): boolean {
    return this.#entries.has(admitKey(key))
  }

  /**
   * Takes out the newest entry under a key, or the newest with that value (compared with `Object.is`). Whether there was one.
   *
   * Delete only what was inserted: the entry of a key that was not may be that of another. Without `merge`, deleting the
   * key and value of an insert never makes another key absent. With `merge`, colliding keys share an entry, so deleting
   * one of them deletes the others, at the false-positive rate.
   */
  delete(key: Key, value?: V): boolean {
    const admitted = admitKey(key)
    const count = value === undefined ? this.#entries.latest(admitted) : this.#entries.candidates(admitted)
    const { found } = this.#entries
    for (let i = count - 1; i >= 0; i--) {
      const stored = found[i] as number
      if (value !== undefined && !Object.is(this.#valueOf(stored), value)) continue
      this.#changes++
      this.#entries.remove(admitted, stored)
      this.#release(stored)
      return true
    }
    return false
  }

  /**
   * A new maplet with the entries of this one and of another, under the options of this one. Takes one pass over the
   * slots of both, without keys. With `merge`, values with the same fingerprint are merged, the other's as operand.
   *
   * @throws VarveError `INVALID_ARGUMENT` if the two differ in seed, hash or merge operator; `CAPACITY_EXCEEDED` if this
   * one may not grow and both together are too many.
   */
  merge(other: Maplet<V>): Maplet<V> {
    const operator = this.#options.merge
    if (operator !== other.#options.merge) {
      throw new VarveError('INVALID_ARGUMENT', 'maplets with different merge operators cannot be merged')
    }
    const result = new Maplet<V>({ ...this.#options, seed: this.seed, capacity: undefined, autoResize: undefined })
    const values = new Values(this.#view(), other.#view(), operator)
    result.#entries = this.#entries.merge(other.#entries, values)
    result.#options = this.#options
    result.#aside = values.aside
    result.#compact()
    return result
  }

  /**
   * All entries as [fingerprint, value], in no order that means anything. A fingerprint is an integer below 2^53: the
   * bits of the key's hash that the entry has, 31 and more, the first one highest, zeros behind them.
   *
   * @throws VarveError `INVALID_ARGUMENT` from the step after a change of the maplet.
   */
  *entries(): IterableIterator<[fingerprint: number, value: V]> {
    const changes = this.#changes
    for (const core of this.#entries.cores) {
      for (const { fingerprint, value } of entriesOf(core)) {
        yield [fingerprint, this.#valueOf(value)]
        if (changes === this.#changes) continue
        throw new VarveError(
          'INVALID_ARGUMENT',
          'the maplet was changed while its entries were read; collect them first',
        )
      }
    }
  }

  /** As {@link entries}. */
  [Symbol.iterator](): IterableIterator<[fingerprint: number, value: V]> {
    return this.entries()
  }

  /** Takes everything out. */
  clear(): void {
    this.#changes++
    this.#entries.clear()
    this.#aside = null
    this.#free = []
  }

  /**
   * Its state, with the false-positive rate that is to be expected from its fingerprints and the one measured by looking
   * up `samples` random hashes (default 65,536). Walks all entries.
   */
  stats(samples: number = DEFAULT_SAMPLES): MapletState {
    const valuesAside = this.#aside === null ? 0 : this.#aside.length - this.#free.length
    return { ...this.#entries.stats(samples), bytes: this.bytes, valuesAside }
  }

  /** Walks everything and throws an Error on the first invariant that does not hold: a bug, or damaged memory. */
  check(): void {
    this.#entries.check()
    const aside = this.#aside
    if (aside === null) return
    const used = new Set<number>(this.#free)
    for (const core of this.#entries.cores) {
      for (const { value } of entriesOf(core)) {
        if (value < 0 || value >= aside.length || used.has(value))
          throw new Error(`no value is number ${value}, or two are`)
        used.add(value)
      }
    }
    if (used.size !== aside.length) throw new Error(`${aside.length} values, but ${used.size} are used or free`)
  }

  #add(key: Key, value: V): void {
    if (this.#aside === null && isInline(value)) {
      this.#entries.insert(key, value)
      return
    }
    const number = this.#setAside(value)
    try {
      this.#entries.insert(key, number)
    } catch (error) {
      this.#release(number)
      throw error
    }
  }

  /** Puts another value in the place of a key's newest one, which is stored as `stored`. */
  #store(key: Key, stored: number, value: V): void {
    if (this.#aside === null && isInline(value)) {
      this.#entries.replace(key, stored, value)
      return
    }
    // If that changes what is stored in every slot, the newest value is found again by its key.
    const moved = this.#aside === null
    const aside = this.#moveAside()
    const number = moved ? (this.#entries.found[this.#entries.candidates(key) - 1] as number) : stored
    aside[number] = value
  }

  #valueOf(stored: number): V {
    return this.#aside === null ? ((stored >>> 0) as V) : (this.#aside[stored] as V)
  }

  /** The array of values aside; the first call sends all values there. */
  #moveAside(): V[] {
    if (this.#aside !== null) return this.#aside
    const aside: V[] = []
    for (const core of this.#entries.cores) core.mapValues((stored) => aside.push((stored >>> 0) as V) - 1)
    this.#aside = aside
    return aside
  }

  /** The number of a new value held aside. */
  #setAside(value: V): number {
    const aside = this.#moveAside()
    const number = this.#free.pop()
    if (number === undefined) return aside.push(value) - 1
    aside[number] = value
    return number
  }

  #release(stored: number): void {
    if (this.#aside === null) return
    this.#aside[stored] = undefined as V
    this.#free.push(stored)
  }

  #view(): View<V> {
    return { aside: this.#aside, valueOf: (stored) => this.#valueOf(stored) }
  }

  /** Takes values back into the slots if all fit there; else renumbers those held aside so that none is free. */
  #compact(): void {
    const before = this.#aside
    if (before === null) return
    const inline = before.every(isInline)
    const aside: V[] = []
    for (const core of this.#entries.cores) {
      core.mapValues((stored) => (inline ? Number(before[stored]) : aside.push(before[stored] as V) - 1))
    }
    this.#aside = inline ? null : aside
    this.#free = []
  }
}

interface View<V> {
  readonly aside: readonly V[] | null
  valueOf(stored: number): V
}

/**
 * Values on their way from two maplets into one: inline if they are so in both and are not merged; else into an array,
 * some of them more than once, for a segment that does not fit at first is built again.
 */
class Values<V> implements ValueMerge {
  readonly one: View<V>
  readonly two: View<V>
  readonly aside: V[] | null
  readonly both: ((merged: number, second: number) => number) | null

  constructor(one: View<V>, two: View<V>, operator: MergeOperator<V> | undefined) {
    this.one = one
    this.two = two
    const aside: V[] | null = one.aside === null && two.aside === null && operator === undefined ? null : []
    this.aside = aside
    this.both =
      operator === undefined || aside === null
        ? null
        : (merged, second) => aside.push(operator.merge(aside[merged] as V, two.valueOf(second))) - 1
  }

  first(value: number): number {
    return this.aside === null ? value : this.aside.push(this.one.valueOf(value)) - 1
  }

  second(value: number): number {
    return this.aside === null ? value : this.aside.push(this.two.valueOf(value)) - 1
  }
}

/** Whether a value can stand in a slot: -0 cannot, being another value than 0. */
function isInline<V>(value: V): value is V & number {
  return typeof value === 'number' && value >>> 0 === value && (value !== 0 || 1 / value > 0)
}

const KNOWN = ['capacity', 'falsePositiveRate', 'autoResize', 'seed', 'hash', 'merge']

function problemsOf<V>(options: MapletOptions<V>): string[] {
  const problems = Object.keys(options).flatMap((name) => (KNOWN.includes(name) ? [] : [`${name} is unknown`]))
  problems.push(...sizingProblems(options, MAPLET_LAYOUT.falsePositiveRate))
  const { hash, merge } = options
  if (hash !== undefined && hash !== 'seeded' && hash !== 'keyed') problems.push("hash must be 'seeded' or 'keyed'")
  if (merge !== undefined && (typeof merge !== 'object' || merge === null || typeof merge.merge !== 'function')) {
    problems.push('merge must be a merge operator')
  }
  return problems
}
