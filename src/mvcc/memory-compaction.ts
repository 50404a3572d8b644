/**
 * Giving back memory outside of the heap that few values lie in: their values move together, a stretch of entries at a time.
 *
 * Anything may be read and committed between two stretches. What is committed meanwhile goes to places that stay, so one walk
 * over the entries meets every value that has to move, or whoever freed it.
 */
import type { Engine } from './engine.ts'
import type { OffHeap } from './off-heap.ts'
import type { TableStore } from './store.ts'

const SLICE_MS = 1

/** Compacts the arenas of all tables, in slices of about a millisecond; resolves to how many bytes were given back. */
export async function compactMemory(engine: Engine, now: () => number): Promise<number> {
  let bytes = 0
  for (const store of engine.stores) if (store.offHeap !== null) bytes += await compactStore(store, store.offHeap, now)
  return bytes
}

async function compactStore(store: TableStore, { arena }: OffHeap, now: () => number): Promise<number> {
  // Not in the tick of the call: an iterator may be under way that has no snapshot yet.
  await nextTurn()
  const before = arena.reservedBytes
  if (arena.beginCompaction() > 0) {
    try {
      let until = now() + SLICE_MS
      // What is allocated meanwhile is not in the way; it is put where it may stay.
      for (let at = 0, end = store.chunks.length; at < end; at++) {
        if (store.chunks[at]?.store !== store) continue
        relocateChunk(store, at)
        if (now() < until) continue
        await nextTurn()
        until = now() + SLICE_MS
      }
    } finally {
      arena.endCompaction()
    }
  }
  return Math.max(before - arena.reservedBytes, 0)
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Moves the values of 4096 entries, newest and older versions, out of places that are to be given back. */
function relocateChunk(store: TableStore, at: number): void {
  const chunk = store.chunks[at]
  const { offHeap } = store
  if (chunk === undefined || offHeap === null) return
  for (let i = 0; i < chunk.capacity; i++) {
    const value = chunk.valueAt(i)
    if (typeof value === 'number') chunk.setValue(i, offHeap.arena.relocate(value))
    for (let version = chunk.metaAt(i)?.older ?? null; version !== null; version = version.older) {
      if (typeof version.value === 'number') version.value = offHeap.arena.relocate(version.value)
    }
  }
}
