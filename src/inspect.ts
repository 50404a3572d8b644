/** What is known of entries without touching them. */
import { type Bounds, type Key } from './keys/index.ts'
import type { TableCore } from './table-core.ts'

/** One entry, as {@link Handle.inspect} shows it. */
export interface EntryInfo<K> {
  /** Private to the caller. */
  readonly key: K
  /** Bytes that key and value count for: what `sizeOf` says, or an estimate of their memory. */
  readonly sizeBytes: number
  /** Whether it is in memory; else it is on disk only. */
  readonly resident: boolean
  /** Reads and writes since it came into memory, if the eviction policy counts them, up to what it counts. */
  readonly accesses: number | undefined
  /** When it was used last, ms since the epoch; undefined: no policy of this version keeps it. */
  readonly lastAccess: number | undefined
  /** ms since the epoch; undefined: never. */
  readonly expiresAt: number | undefined
}

/** The entries of a range as of now, in key order; loads nothing, counts as no access, and is tracked by nobody. */
export function* inspect<K, V>(core: TableCore<K, V>, bounds: Bounds): Generator<EntryInfo<K>, undefined, undefined> {
  const { store, state } = core
  const { engine } = state
  const txn = engine.beginSnapshot()
  try {
    const cursor = txn.view(store).scan(bounds, 'existence')
    while (cursor.next()) {
      const { key, size, expiresAt } = cursor
      yield {
        key: core.releaseKey(key),
        sizeBytes: size,
        resident: !cursor.isForeign,
        accesses: accessesOf(core, key),
        lastAccess: undefined,
        expiresAt: expiresAt === 0 ? undefined : expiresAt,
      }
      if (state.closed !== null) throw state.closed
      if (txn.endedBy !== null) throw txn.endedBy
    }
  } finally {
    engine.rollback(txn)
  }
  return undefined
}

function accessesOf<K, V>({ store }: TableCore<K, V>, key: Key): number | undefined {
  const id = store.findResident(key)
  if (id < 0 || store.headOf(id) === undefined) return undefined
  return store.residency.policy?.accesses(id)
}
