/** Taking places outside of the heap for what a commit writes: before it is certified, because this may fail. */
import type { Txn } from './transaction.ts'
import { MERGE, NONE, type Pending, SET } from './write-set.ts'

/**
 * Places the values of all pending writes of tables that keep them outside of the heap.
 * @throws VarveError `MEMORY_LIMIT`; no place is taken then.
 */
export function placeWrites({ views }: Txn): void {
  try {
    for (const { store, writes } of views) {
      const { offHeap } = store
      if (offHeap === null || writes === null) continue
      for (const pending of writes.list) {
        if (pending.kind === SET || pending.kind === MERGE) pending.place = offHeap.place(valueOf(pending))
      }
    }
  } catch (error) {
    unplaceWrites(views)
    throw error
  }
}

function valueOf(pending: Pending): unknown {
  return pending.kind === MERGE ? pending.merged : pending.value
}

/** Gives the places up again: the commit was refused. */
export function unplaceWrites(views: Txn['views']): void {
  for (const { store, writes } of views) {
    if (store.offHeap === null || writes === null) continue
    for (const pending of writes.list) {
      if (pending.kind === NONE || pending.place < 0) continue
      store.discard(pending.place)
      pending.place = -1
    }
  }
}
