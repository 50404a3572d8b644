/** What is done with the writes of a commit before it is certified: their entries are found, and they go into the record of the log. */
import type { Key } from '../keys/index.ts'
import type { LogWriter } from '../wal/index.ts'
import { CHUNK_BITS, CHUNK_MASK } from './chunk.ts'
import type { TableStore } from './store.ts'
import type { Txn } from './transaction.ts'
import { DELETE, NONE, type Pending, SET } from './write-set.ts'

/** A write that stands for itself, in its table. */
export interface BlindWrite {
  readonly store: TableStore
  readonly pending: Pending
}

/** Finds the entries of all pending writes, where they are not those that were thought of. What is cold is loaded. */
export function findEntries({ views }: Txn): void {
  for (const { store, writes } of views) {
    if (writes === null) continue
    for (const pending of writes.list) {
      if (pending.kind === NONE) continue
      if (pending.entry < 0 || !isEntryOf(store, pending.entry, pending.key)) pending.entry = store.findFor(pending)
    }
  }
}

/** Whether an entry id, which may have been given up since, is that of a key. */
function isEntryOf(store: TableStore, id: number, key: Key): boolean {
  const chunk = store.chunks[id >>> CHUNK_BITS]
  return chunk !== undefined && chunk.store === store && chunk.holds(id & CHUNK_MASK, key)
}

/** One write into the record being built; what deletes nothing leaves none. */
export function stageOne(log: LogWriter, store: TableStore, pending: Pending): void {
  if (pending.kind === NONE || pending.idle) return
  const { id, resident } = store.spec
  if (pending.kind === DELETE) log.remove(id, pending.key)
  else if (pending.kind === SET)
    log.put(id, pending.key, resident.encode(pending.value), pending.size, pending.expiresAt)
  else log.put(id, pending.key, resident.encode(pending.merged), pending.mergedSize, pending.expiresAt)
}

/** Tells the record being built how the sizes of a table have changed since the last one. */
export function appendSizes(log: LogWriter, store: TableStore): void {
  const { size, bytes, loggedSize, loggedBytes } = store
  if (size === loggedSize && bytes === loggedBytes) return
  log.resized(store.spec.id, size - loggedSize, bytes - loggedBytes)
  store.loggedSize = size
  store.loggedBytes = bytes
}
