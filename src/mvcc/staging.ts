/** How the writes of a commit get into the record of the log. */
import type { LogWriter } from '../wal/index.ts'
import type { TableStore } from './store.ts'
import { DELETE, NONE, type Pending, SET } from './write-set.ts'

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
