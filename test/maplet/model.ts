/** What the tests of the core share: an owner that knows its keys, as the database does, and small segments. */
import { type KeyMatcher, MapletCore, type MapletOptions } from '../../src/maplet/core.ts'
import { type Layout, MAPLET_LAYOUT } from '../../src/maplet/format.ts'
import { hashKey, hashLow } from '../../src/maplet/hash.ts'
import type { Key } from '../../src/keys/index.ts'

/** Segments of 256 to 512 slots: some hundred entries split, shrink and join them. */
export const SMALL: Layout = MAPLET_LAYOUT.withMaxSlots(512)

/** Entries by number, and a core that finds the numbers by key. */
export class Owner implements KeyMatcher {
  readonly keys: (Key | undefined)[] = []
  readonly core: MapletCore
  readonly free: number[] = []
  /** How often the core asked for a comparison. */
  comparisons = 0

  constructor(options: MapletOptions = {}, layout: Layout = SMALL) {
    this.core = new MapletCore(this, options, layout)
  }

  matches(value: number, key: Key): boolean {
    this.comparisons++
    return this.keys[value] === key
  }

  keyOf(value: number): Key {
    const key = this.keys[value]
    if (key === undefined) throw new Error(`entry ${value} is free`)
    return key
  }

  find(key: Key): number {
    const high = hashKey(key, this.core)
    return this.core.find(high, hashLow, key)
  }

  /** Adds an entry for the key, whether or not there is one. */
  add(key: Key): number {
    const value = this.free.pop() ?? this.keys.length
    this.keys[value] = key
    const high = hashKey(key, this.core)
    try {
      if (!this.core.insert(high, hashLow, value)) throw new Error('refused')
    } catch (error) {
      this.release(value)
      throw error
    }
    return value
  }

  /** Takes the entry of that number out. */
  remove(value: number): boolean {
    const high = hashKey(this.keyOf(value), this.core)
    if (!this.core.remove(high, hashLow, value)) return false
    this.release(value)
    return true
  }

  private release(value: number): void {
    this.keys[value] = undefined
    this.free.push(value)
  }
}

/** As {@link Owner}, but without the means to say what key an entry has. */
export class Strangers implements KeyMatcher {
  readonly keys: Key[] = []

  matches(value: number, key: Key): boolean {
    return this.keys[value] === key
  }
}
