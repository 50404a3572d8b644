/** The rule of snapshot isolation: a key set or deleted by a transaction must not have been written since its snapshot. */
import { Conflict, type ConflictStep } from './conflict.ts'
import type { Graph } from './graph.ts'
import type { TableStore } from './store.ts'
import type { Txn } from './transaction.ts'
import { MERGE, NONE, type Pending } from './write-set.ts'

/** The conflict over the first key that somebody else has written, or null. The entries of all writes have been found. */
export function firstCommitterWins(txn: Txn, graph: Graph): Conflict | null {
  for (const { store, writes } of txn.views) {
    if (writes === null) continue
    for (const pending of writes.list) {
      if (pending.kind === NONE || pending.kind === MERGE || pending.entry < 0) continue
      const head = store.sequenceOf(pending.entry)
      if (head > txn.snapshot) {
        const other = graph.nodeAt(head)?.txnId ?? -1
        return new Conflict('overwritten', txn.id, steps(txn.id, other, store, pending))
      }
    }
  }
  return null
}

function steps(id: number, other: number, store: TableStore, { key }: Pending): ConflictStep[] {
  const where = { table: store.spec.name, key }
  return [
    { from: id, to: other, kind: 'ww', ...where },
    { from: other, to: id, kind: 'ww', ...where },
  ]
}
