/**
 * Two bytes per entry that let a search inside a leaf leave key bodies alone: a leaf of a large index is cold, so each
 * string it compares costs a cache miss, six of them per search; hints leave one or two.
 *
 *   chunk 0   | leaf 0: 64 x u16 | leaf 1 | ... | leaf 255 |      32 KiB
 *   chunk 1   | leaf 256 ...
 *
 * A hint is `hintOf` of the key behind the units that all keys of the leaf's interval share. Those are known from the
 * interval's two bounds, not from the keys inside, so a key that is searched or inserted need not be compared with
 * them, and only a change of the bounds can change `skip`.
 *
 * H1  In an index of strings, hint i of a leaf is hintOf(keys[i], leaf.skip, leaf.wide).
 * H2  leaf.skip is at most the common length of the two bounds of the leaf's interval, 0 where a bound is missing.
 */

import { LEAF_MAX, type Leaf, locateString } from './leaf.ts'
import { compareHead, HINT_WIDE_UNITS, hintOf, wantsWide } from './prefix.ts'

/** Leaves per chunk, as a power of two; growth is by chunks, so that it never copies. */
const CHUNK_BITS = 8
const CHUNK_LEAVES = 1 << CHUNK_BITS
const CHUNK_MASK = CHUNK_LEAVES - 1

/** The hints of all leaves of one index, by leaf id. */
export class Hints {
  readonly chunks: Uint16Array[] = []

  /** Makes room for the leaf with this id. */
  reserve(id: number): void {
    while (this.chunks.length <= id >>> CHUNK_BITS) this.chunks.push(new Uint16Array(CHUNK_LEAVES * LEAF_MAX))
  }

  /** Gives the room back. */
  clear(): void {
    this.chunks.length = 0
  }

  /** The hint of one entry. */
  at(id: number, index: number): number {
    return (this.chunks[id >>> CHUNK_BITS] as Uint16Array)[(id & CHUNK_MASK) * LEAF_MAX + index] as number
  }

  /** Index of the first key >= `key` in any leaf, also one whose interval does not hold `key`. */
  lowerBound(leaf: Leaf<string, unknown>, key: string): number {
    if (leaf.keys.length === 0) return 0
    const side = compareHead(key, leaf.keys[0] as string, leaf.skip)
    if (side !== 0) return side < 0 ? 0 : leaf.keys.length
    const index = this.locate(leaf, key)
    return index < 0 ? ~index : index
  }

  /** The index of `key`, which lies in the leaf's interval, or `~i` where i is the place to insert it at. */
  locate(leaf: Leaf<string, unknown>, key: string): number {
    const chunk = this.chunks[leaf.id >>> CHUNK_BITS] as Uint16Array
    const base = (leaf.id & CHUNK_MASK) * LEAF_MAX
    const hint = hintOf(key, leaf.skip, leaf.wide)
    const { keys } = leaf
    const end = base + keys.length
    let low = base
    let high = end
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((chunk[middle] as number) < hint) low = middle + 1
      else high = middle
    }
    if (low === end || chunk[low] !== hint) return ~(low - base)
    const first = low
    high = end
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((chunk[middle] as number) <= hint) low = middle + 1
      else high = middle
    }
    return locateString(keys, key, first - base, low - base)
  }

  /** Notes that `key` has gone in at `index` of the leaf. */
  insert(leaf: Leaf<unknown, unknown>, index: number, key: string): void {
    if (!leaf.wide && wantsWide(key, leaf.skip, HINT_WIDE_UNITS)) {
      this.rebuild(leaf, leaf.skip)
      return
    }
    const chunk = this.chunks[leaf.id >>> CHUNK_BITS] as Uint16Array
    const base = (leaf.id & CHUNK_MASK) * LEAF_MAX
    for (let i = base + leaf.keys.length - 1; i > base + index; i--) chunk[i] = chunk[i - 1] as number
    chunk[base + index] = hintOf(key, leaf.skip, leaf.wide)
  }

  /** Notes that the key at `index` has gone. */
  remove(leaf: Leaf<unknown, unknown>, index: number): void {
    const chunk = this.chunks[leaf.id >>> CHUNK_BITS] as Uint16Array
    const base = (leaf.id & CHUNK_MASK) * LEAF_MAX
    const end = base + leaf.keys.length
    for (let i = base + index; i < end; i++) chunk[i] = chunk[i + 1] as number
  }

  /** Computes the hints of both halves of a split, whose keys share `leftSkip` and `rightSkip` units. */
  split(leaf: Leaf<unknown, unknown>, right: Leaf<unknown, unknown>, leftSkip: number, rightSkip: number): void {
    if (rightSkip > leaf.skip) {
      this.rebuild(right, rightSkip)
    } else {
      right.skip = leaf.skip
      right.wide = leaf.wide
      const source = this.chunks[leaf.id >>> CHUNK_BITS] as Uint16Array
      const from = (leaf.id & CHUNK_MASK) * LEAF_MAX + leaf.keys.length
      const target = this.chunks[right.id >>> CHUNK_BITS] as Uint16Array
      const to = (right.id & CHUNK_MASK) * LEAF_MAX
      for (let i = 0; i < right.keys.length; i++) target[to + i] = source[from + i] as number
    }
    if (leftSkip > leaf.skip) this.rebuild(leaf, leftSkip)
  }

  /** Computes all hints of a leaf anew, for an interval whose keys share `skip` units. */
  rebuild(leaf: Leaf<unknown, unknown>, skip: number): void {
    const keys = leaf.keys as string[]
    const chunk = this.chunks[leaf.id >>> CHUNK_BITS] as Uint16Array
    const base = (leaf.id & CHUNK_MASK) * LEAF_MAX
    let wide = false
    for (let i = 0; i < keys.length && !wide; i++) wide = wantsWide(keys[i] as string, skip, HINT_WIDE_UNITS)
    leaf.skip = skip
    leaf.wide = wide
    for (let i = 0; i < keys.length; i++) chunk[base + i] = hintOf(keys[i] as string, skip, wide)
  }
}
