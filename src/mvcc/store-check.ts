/** The walk behind I1 to I4 and I6 of store.ts, P1 and P2 of places.ts, and the counts that a table keeps. */
import { formatKey, type Key } from '../keys/index.ts'
import type { Leaf } from '../skiplist/core.ts'
import { CHUNK_BITS, CHUNK_MASK, type Chunk } from './chunk.ts'
import type { SnapshotSet } from './snapshots.ts'
import type { TableStore } from './store.ts'

/** Throws on the first violated invariant. */
export function checkStore(store: TableStore, clock: number, snapshots: SnapshotSet): void {
  store.index.check()
  store.maplet.check()
  store.places.check()
  let entries = 0
  let live = 0
  let bytes = 0
  let versions = 0
  for (let leaf: Leaf<Key, number> | null = store.index.first; leaf !== null; leaf = leaf.next) {
    for (const id of leaf.values) {
      entries++
      versions += checkEntry(store, id, leaf, clock, snapshots)
      if (store.headOf(id) === undefined) continue
      live++
      bytes += (store.chunks[id >>> CHUNK_BITS] as Chunk).sizeAt(id & CHUNK_MASK)
    }
  }
  if (entries !== store.entries) throw new Error(`I1: ${entries} entries in the index, ${store.entries} in the columns`)
  const [size, sizeBytes] = [store.size - store.coldSize, store.bytes - store.coldBytes]
  if (live !== size || bytes !== sizeBytes)
    throw new Error(`I3: ${live} live keys of ${bytes} bytes, but ${size} of ${sizeBytes} are counted`)
  if (store.offHeap !== null) store.offHeap.check(storedForms(store))
  if (versions !== store.versions) throw new Error(`${versions} chained versions, but ${store.versions} are counted`)
}

/** Of every version, head or chained. */
function* storedForms(store: TableStore): Generator {
  for (let leaf: Leaf<Key, number> | null = store.index.first; leaf !== null; leaf = leaf.next) {
    for (const id of leaf.values) {
      yield store.headOf(id)
      for (let version = store.metaOf(id)?.older ?? null; version !== null; version = version.older) yield version.value
    }
  }
}

/** Returns how many versions are chained to the entry. */
function checkEntry(
  store: TableStore,
  id: number,
  leaf: Leaf<Key, number>,
  clock: number,
  snapshots: SnapshotSet,
): number {
  const key = store.keyOf(id)
  const place = `key ${formatKey(key)}`
  if (store.findResident(key) !== id) throw new Error(`I1: ${place} is not found by its hash`)
  const chunk = store.chunks[id >>> CHUNK_BITS] as Chunk
  if (chunk.leafAt(id & CHUNK_MASK) !== leaf.id) throw new Error(`I1: ${place} does not know its leaf`)
  const expires = store.headOf(id) !== undefined && store.expiryOf(id) !== 0
  if (store.deadlines.has(id) !== expires)
    throw new Error(`I6: ${place} is queued, but does not expire, or the reverse`)
  const head = store.sequenceOf(id)
  if (head > clock || (head <= 0 && store.headOf(id) !== undefined))
    throw new Error(`${place}: its head is of commit ${head}, the clock is at ${clock}`)
  let versions = 0
  let above = head
  for (let version = store.metaOf(id)?.older ?? null; version !== null; version = version.older) {
    versions++
    if (version.sequence >= above || version.end > above)
      throw new Error(`I2: ${place}: chain out of order at ${version.sequence}`)
    if (version.older !== null && version.older.newer !== version)
      throw new Error(`${place}: chain is not linked both ways`)
    above = version.sequence
  }
  const stamp = store.index.stamps[leaf.id] as number
  const pinned = snapshots.newest()
  if (pinned >= 0 && head > pinned && stamp < head && versions > 0)
    throw new Error(`I4: ${place}: leaf stamp ${stamp} is below ${head}`)
  return versions
}
