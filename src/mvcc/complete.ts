/** The walk behind I7 of store.ts: what the base has in the intervals of complete leaves. */
import { ALL, type Bounds, formatKey, type Key } from '../keys/index.ts'
import type { Leaf } from '../skiplist/core.ts'
import type { Base, BaseHold, BaseTable } from './base.ts'
import type { TableStore } from './store.ts'

/** Throws if a complete leaf lacks a key that the base has. Reads of the base no more than complete leaves and gaps beside them. */
export function checkComplete(store: TableStore, table: BaseTable, base: Base): void {
  // Nothing is let go meanwhile, so that it does not matter what the walk sees.
  const hold = base.acquire(0)
  try {
    for (let leaf: Leaf<Key, number> | null = store.index.first; leaf !== null; leaf = leaf.next) {
      if (!leaf.complete) continue
      const before = leaf.prev
      while (leaf.next !== null && leaf.next.complete) leaf = leaf.next
      checkBetween(store, table, hold, before, leaf.next)
    }
  } finally {
    base.release(hold)
  }
}

function checkBetween(
  store: TableStore,
  table: BaseTable,
  hold: BaseHold,
  before: Leaf<Key, number> | null,
  after: Leaf<Key, number> | null,
): void {
  const { index } = store
  const lower = before === null ? undefined : index.keyAt(before, before.values.length - 1)
  const upper = after === null ? undefined : index.keyAt(after, 0)
  const bounds: Bounds = { ...ALL, lower, lowerOpen: true, upper, upperOpen: true }
  const scan = table.scan(bounds, hold)
  while (scan.next()) {
    const { key } = scan
    if (store.findResident(key) < 0 && index.seekLeaf(key).complete)
      throw new Error(`I7: key ${formatKey(key)} has no entry, but its leaf is complete`)
  }
}
