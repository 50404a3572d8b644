/** Pending writes of a transaction in key order, for its scans. */
import { type Bounds, compareKeys, type Key } from '../keys/index.ts'
import type { Leaf } from '../skiplist/core.ts'
import { NONE, type Pending, type WriteSet } from './write-set.ts'

type SortedWrites = ReturnType<WriteSet['sorted']>

/** The first write within bounds, in the direction of the scan; behind `key` if the scan has `started`. null: there is none. */
export function ownBeyond(writes: WriteSet, bounds: Bounds, started: boolean, key: Key): Pending | null {
  const { lower, lowerOpen, upper, upperOpen, reverse } = bounds
  const sorted = writes.sorted()
  if (reverse) return ownBelow(sorted, started ? key : upper, started || upperOpen, lower, lowerOpen)
  return ownAbove(sorted, started ? key : lower, started || lowerOpen, upper, upperOpen)
}

function ownAbove(
  sorted: SortedWrites,
  from: Key | undefined,
  open: boolean,
  upper: Key | undefined,
  upperOpen: boolean,
): Pending | null {
  let leaf: Leaf<Key, Pending> | null = from === undefined ? sorted.first : sorted.seekLeaf(from)
  let at = from === undefined ? 0 : sorted.lowerBound(leaf, from)
  for (; leaf !== null; leaf = leaf.next, at = 0) {
    for (; at < leaf.keys.length; at++) {
      const pending = leaf.values[at] as Pending
      if (from !== undefined && open && compareKeys(pending.key, from) === 0) continue
      if (upper !== undefined) {
        const order = compareKeys(pending.key, upper)
        if (order > 0 || (order === 0 && upperOpen)) return null
      }
      if (pending.kind !== NONE) return pending
    }
  }
  return null
}

function ownBelow(
  sorted: SortedWrites,
  from: Key | undefined,
  open: boolean,
  lower: Key | undefined,
  lowerOpen: boolean,
): Pending | null {
  let leaf: Leaf<Key, Pending> | null = from === undefined ? sorted.last : sorted.seekLeaf(from)
  let at = leaf.keys.length - 1
  if (from !== undefined) {
    at = sorted.lowerBound(leaf, from)
    if (at === leaf.keys.length || open || compareKeys(leaf.keys[at] as Key, from) !== 0) at--
  }
  while (leaf !== null) {
    for (; at >= 0; at--) {
      const pending = leaf.values[at] as Pending
      if (lower !== undefined) {
        const order = compareKeys(pending.key, lower)
        if (order < 0 || (order === 0 && lowerOpen)) return null
      }
      if (pending.kind !== NONE) return pending
    }
    leaf = leaf.prev
    if (leaf !== null) at = leaf.keys.length - 1
  }
  return null
}
