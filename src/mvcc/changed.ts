/** What has been written since a snapshot that is still open. */
import type { Leaf } from '../skiplist/core.ts'
import type { Key } from '../keys/index.ts'
import type { TableStore } from './store.ts'

/**
 * The entries whose newest version is above `sequence`, at which somebody has had a snapshot open all the time. Looks at every
 * leaf, but only into those that have changed.
 */
export function changedSince(store: TableStore, sequence: number): number[] {
  const changed: number[] = []
  const { index } = store
  for (let leaf: Leaf<Key, number> | null = index.first; leaf !== null; leaf = leaf.next) {
    if ((index.stamps[leaf.id] as number) <= sequence) continue
    for (const id of leaf.values) if (store.sequenceOf(id) > sequence) changed.push(id)
  }
  return changed
}
