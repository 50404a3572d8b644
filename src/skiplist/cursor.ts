/**
 * A position in an ordered index that survives whatever happens to the index between two steps.
 *
 * It is not a snapshot: each step goes to the nearest key on its side in the index as it is then. While the leaf under
 * it is unchanged a step costs an array access; after a change to that leaf the next step finds its place anew, by the
 * key it stands at. Nothing is allocated, per step or per seek.
 *
 * A cursor stands at a key, before a key, after a key, or at either end. From there, where x is that key:
 *
 *   at x       next(): lowest key > x     prev(): highest key < x     whether or not x is still there
 *   before x   next(): lowest key >= x    prev(): highest key < x
 *   after x    next(): lowest key > x     prev(): highest key <= x
 *
 * C1  While `version` is that of `leaf`, the leaf is alive and x lies in its interval; `ahead` is the index there of what
 *     next() gives, and prev() gives what is two before it (at x, and x is there) or one before it. An index beyond the
 *     leaf means the nearest entry of the neighbour, which is right whatever happens there: a key of another interval
 *     lies on the same side of x for good.
 */

import type { Leaf } from './leaf.ts'
import type { OrderedIndex } from './ordered-index.ts'

const AT = 0
/** At a key that has gone. */
const GONE = 1
const BEFORE = 2
const AFTER = 3
const START = 4
const END = 5

/** A forward and reverse cursor over one index. Make one per scan, or keep one and seek. */
export class Cursor<K, V> {
  /** The key stood at, once a step has returned true. */
  key: K
  /** Its value when that step was made. */
  value: V
  /** The leaf it was in at that time. */
  leaf: Leaf<K, V>
  private readonly index: OrderedIndex<K, V>
  private version: number
  private ahead = 0
  private side = START

  /** Starts before the first key. */
  constructor(index: OrderedIndex<K, V>) {
    this.index = index
    this.key = undefined as K
    this.value = undefined as V
    this.leaf = index.first
    this.version = this.leaf.version
  }

  /** Goes where next() gives the lowest key >= `key`, or > `key` if not inclusive. */
  seek(key: K, inclusive: boolean): void {
    this.key = key
    this.side = inclusive ? BEFORE : AFTER
    this.place()
  }

  /** Goes where prev() gives the highest key <= `key`, or < `key` if not inclusive. */
  seekReverse(key: K, inclusive: boolean): void {
    this.key = key
    this.side = inclusive ? AFTER : BEFORE
    this.place()
  }

  /** Goes before the first key. */
  seekFirst(): void {
    this.side = START
    this.place()
  }

  /** Goes after the last key. */
  seekLast(): void {
    this.side = END
    this.place()
  }

  /** Steps forward; false, without moving, if there is nothing ahead. */
  next(): boolean {
    const { leaf, ahead } = this
    if (leaf.version === this.version && ahead < leaf.keys.length) {
      this.key = leaf.keys[ahead] as K
      this.value = leaf.values[ahead] as V
      this.ahead = ahead + 1
      this.side = AT
      return true
    }
    const next = this.peekLeaf()
    return next !== null && this.standAt(next, next === this.leaf ? this.ahead : 0)
  }

  /** Steps back; false, without moving, if there is nothing behind. */
  prev(): boolean {
    if (this.leaf.version !== this.version) this.place()
    const behind = this.side === AT ? this.ahead - 2 : this.ahead - 1
    if (behind >= 0) return this.standAt(this.leaf, behind)
    const { prev } = this.leaf
    return prev !== null && this.standAt(prev, prev.keys.length - 1)
  }

  /** The leaf of the key that next() would give, or null. Together with skipLeaf() it passes over leaves unread. */
  peekLeaf(): Leaf<K, V> | null {
    if (this.leaf.version !== this.version) this.place()
    return this.ahead < this.leaf.keys.length ? this.leaf : this.leaf.next
  }

  /** Steps forward to the last key of peekLeaf(); false, without moving, if that is null. */
  skipLeaf(): boolean {
    const leaf = this.peekLeaf()
    return leaf !== null && this.standAt(leaf, leaf.keys.length - 1)
  }

  private standAt(leaf: Leaf<K, V>, index: number): true {
    this.key = leaf.keys[index] as K
    this.value = leaf.values[index] as V
    this.leaf = leaf
    this.version = leaf.version
    this.ahead = index + 1
    this.side = AT
    return true
  }

  /** Establishes C1 from `side` and `key`. */
  private place(): void {
    if (this.side === START) {
      this.leaf = this.index.first
      this.ahead = 0
    } else if (this.side === END) {
      this.leaf = this.index.last
      this.ahead = this.leaf.keys.length
    } else {
      this.leaf = this.index.seekLeaf(this.key)
      const found = this.index.locate(this.leaf, this.key)
      if (this.side <= GONE) this.side = found < 0 ? GONE : AT
      if (found < 0) this.ahead = ~found
      else this.ahead = this.side === BEFORE ? found : found + 1
    }
    this.version = this.leaf.version
  }
}
