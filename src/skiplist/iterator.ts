/**
 * Iterators of the public list: a cursor, an end and a count.
 *
 * Cost: O(log n) for the first step, O(1) for each further one unless the list has changed around it. To look at a key is
 * a cache miss, so keys are handed on unseen: an end is compared once per leaf until the leaf that holds it, and whether
 * keys may be mutable is asked of the index.
 */

import { Cursor } from './cursor.ts'
import { KIND_MIXED } from './kind.ts'
import type { Leaf } from './leaf.ts'
import type { OrderedIndex } from './ordered-index.ts'
import type { Scan } from './range.ts'

/** Walks one scan over an index; subclasses say what of each entry is handed out. */
abstract class ScanIterator<K, V, T> implements IterableIterator<T> {
  protected readonly cursor: Cursor<K, V>
  protected readonly index: OrderedIndex<K, V>
  private readonly compare: (a: K, b: K) => number
  private readonly scan: Scan<K>
  private left: number
  /** The leaf, at this version, whose far edge has been compared with the end of the scan. */
  private judged: Leaf<K, V> | null = null
  private judgedVersion = 0
  private judgedInside = false

  constructor(index: OrderedIndex<K, V>, scan: Scan<K>) {
    this.cursor = new Cursor(index)
    this.index = index
    this.compare = index.compare
    this.scan = scan
    this.left = scan.limit
    const { from, fromInclusive, reverse } = scan
    if (!reverse) {
      if (from !== undefined) this.cursor.seek(from, fromInclusive)
    } else if (from === undefined) {
      this.cursor.seekLast()
    } else {
      this.cursor.seekReverse(from, fromInclusive)
    }
  }

  next(): IteratorResult<T, undefined> {
    const { cursor, scan } = this
    if (this.left > 0) {
      const moved = scan.reverse ? cursor.prev() : cursor.next()
      if (moved && (scan.to === undefined || this.isInside(scan.to))) {
        this.left--
        return { done: false, value: this.current() }
      }
      this.left = 0
    }
    return { done: true, value: undefined }
  }

  [Symbol.iterator](): this {
    return this
  }

  protected abstract current(): T

  private isInside(to: K): boolean {
    const { leaf, key } = this.cursor
    if (leaf !== this.judged || leaf.version !== this.judgedVersion) {
      this.judged = leaf
      this.judgedVersion = leaf.version
      this.judgedInside = this.isBefore(leaf.keys[this.scan.reverse ? 0 : leaf.keys.length - 1] as K, to)
    }
    return this.judgedInside || this.isBefore(key, to)
  }

  private isBefore(key: K, to: K): boolean {
    const order = this.compare(key, to)
    return order === 0 ? this.scan.toInclusive : order < 0 !== this.scan.reverse
  }
}

/** Hands out what `release` makes of each key, and its value. */
export class EntryIterator<K, V> extends ScanIterator<K, V, [K, V]> {
  private readonly release: (key: K) => K

  constructor(index: OrderedIndex<K, V>, scan: Scan<K>, release: (key: K) => K) {
    super(index, scan)
    this.release = release
  }

  protected override current(): [K, V] {
    const { key, value } = this.cursor
    return [this.index.kind === KIND_MIXED ? this.release(key) : key, value]
  }
}

/** Hands out what `release` makes of each key. */
export class KeyIterator<K, V> extends ScanIterator<K, V, K> {
  private readonly release: (key: K) => K

  constructor(index: OrderedIndex<K, V>, scan: Scan<K>, release: (key: K) => K) {
    super(index, scan)
    this.release = release
  }

  protected override current(): K {
    const { key } = this.cursor
    return this.index.kind === KIND_MIXED ? this.release(key) : key
  }
}

/** Hands out each value. */
export class ValueIterator<K, V> extends ScanIterator<K, V, V> {
  protected override current(): V {
    return this.cursor.value
  }
}
