/** Copying what one layer of a fork has of its own, so that a fork of it need not stand on that layer. */
import type { Leaf } from '../skiplist/core.ts'
import type { Key } from '../keys/index.ts'
import { CHUNK_BITS, CHUNK_MASK, type Chunk } from './chunk.ts'
import type { Engine } from './engine.ts'
import type { ForkLayer } from './fork-base.ts'
import { install } from './install.ts'
import type { TableStore } from './store.ts'
import { EVICTED } from './version.ts'
import { DELETE, Pending, SET } from './write-set.ts'

/** Stands for a value until it is taken away again; octets, where those are asked for. */
const EMPTY = ''

/** How many entries a layer has in memory: what copying it costs. */
export function entriesOf({ engine }: ForkLayer): number {
  let entries = 0
  for (const store of engine.stores) entries += store.entries
  return entries
}

/**
 * Puts into a table of a new engine what the same table of a layer shows and the layers below do not. Layers are copied from the
 * lowest up, before anybody reads.
 */
export function copyWrites(layer: ForkLayer, from: TableStore, engine: Engine, to: TableStore): void {
  const { snapshot } = layer.txn
  const floor = layer.engine.options.base?.floor ?? 0
  for (let leaf: Leaf<Key, number> | null = from.index.first; leaf !== null; leaf = leaf.next) {
    for (const id of leaf.values) {
      const isGone = from.headOf(id) === undefined && from.sequenceOf(id) <= snapshot
      const sequence = isGone ? from.deletionOf(id) : from.sequenceSeen(id, snapshot)
      if (sequence > floor) copyOne(from, id, snapshot, sequence, engine, to)
    }
  }
}

function copyOne(
  from: TableStore,
  id: number,
  snapshot: number,
  sequence: number,
  engine: Engine,
  to: TableStore,
): void {
  const pending = new Pending(from.keyOf(id))
  const stored = from.valueAt(id, snapshot)
  pending.entry = to.find(pending.key)
  if (stored === undefined) {
    if (pending.entry < 0) return
    pending.kind = DELETE
  } else {
    pending.kind = SET
    pending.value = stored === EVICTED ? EMPTY : to.take(stored, from)
    pending.size = from.sizeSeen(id, snapshot)
    pending.expiresAt = from.expiryAt(id, snapshot)
  }
  if (to.offHeap !== null && stored !== undefined) pending.place = to.offHeap.place(pending.value)
  if (stored === EVICTED) lose(to, pending, sequence, engine)
  else if (install(to, pending, sequence, null, engine.snapshots))
    engine.garbage.addTombstone(to, pending.entry, sequence)
}

/** Installs what was evicted in the layer: that there is something, but not what. */
function lose(to: TableStore, pending: Pending, sequence: number, engine: Engine): void {
  install(to, pending, sequence, null, engine.snapshots)
  const id = to.findResident(pending.key)
  to.discard(to.headOf(id))
  ;(to.chunks[id >>> CHUNK_BITS] as Chunk).setValue(id & CHUNK_MASK, EVICTED)
  to.noteLost()
}
