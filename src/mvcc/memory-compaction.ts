/**
 * Giving back memory outside of the heap that few values lie in: their values move together, a stretch of entries at a time.
 *
 * Anything may be read and committed between two stretches. What is committed meanwhile goes to places that stay, so one walk
 * over the entries meets every value that has to move, or whoever freed it.
 */
import { nextTurn } from '../next-turn.ts'
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

/** The same at once, for where no turn of the event loop may come. Not while a handle is held that was read before. */
function compactAtOnce(store: TableStore, { arena }: OffHeap): void {
  if (arena.beginCompaction() > 0) {
    try {
      for (let at = 0, end = store.chunks.length; at < end; at++) {
        if (store.chunks[at]?.store === store) relocateChunk(store, at)
      }
    } finally {
      arena.endCompaction()
    }
  }
}

/** Free places among values that are not worth moving any, whatever the limit. */
const LEAST_ROOM_BYTES = 2 ** 18
/** Parts of the limit that free places may take: beyond the first they are given back by and by, beyond the second at once. */
const SOON_SHARE = 1 / 32
const AT_ONCE_SHARE = 1 / 16

/**
 * Keeps the free places among values outside of the heap within bounds, so that they do not pass the limit unseen: what is
 * evicted leaves holes all over the blocks.
 */
export class RoomWatch {
  private readonly engine: Engine
  private readonly soonBytes: number
  private readonly atOnceBytes: number
  private isCompacting = false
  private isLooking = false
  /** Free places that the last attempt has left: another is worth while only with as many more. */
  private leftBytes = 0

  /** @param limitBytes of memory; Infinity: none */
  constructor(engine: Engine, limitBytes: number) {
    this.engine = engine
    this.soonBytes = Math.max(limitBytes * SOON_SHARE, LEAST_ROOM_BYTES)
    this.atOnceBytes = Math.max(limitBytes * AT_ONCE_SHARE, 2 * LEAST_ROOM_BYTES)
  }

  /** After a commit, when nobody holds a handle. */
  look(): void {
    const bytes = this.roomBytes()
    if (bytes < this.leftBytes) this.leftBytes = bytes
    const grown = bytes - this.leftBytes
    if (grown > this.atOnceBytes) this.compactNow()
    else if (grown > this.soonBytes && !this.isCompacting) void this.compactSoon()
  }

  /** The same at the next turn of the event loop, for who may hold a handle now. */
  lookSoon(): void {
    if (this.isLooking) return
    this.isLooking = true
    setImmediate(() => {
      this.isLooking = false
      this.look()
    }).unref()
  }

  private roomBytes(): number {
    let bytes = 0
    const { stores } = this.engine
    for (let i = 0; i < stores.length; i++) {
      const { offHeap } = stores[i] as TableStore
      if (offHeap !== null) bytes += offHeap.arena.roomBytes
    }
    return bytes
  }

  private compactNow(): void {
    try {
      for (const store of this.engine.stores) if (store.offHeap !== null) compactAtOnce(store, store.offHeap)
    } catch {
      // No memory to move anything to. The commit that this comes after stands.
    }
    this.leftBytes = this.roomBytes()
  }

  private async compactSoon(): Promise<void> {
    this.isCompacting = true
    try {
      await compactMemory(this.engine, this.engine.options.now)
    } catch {
      // No memory to move anything to: what is there stays where it is.
    } finally {
      this.isCompacting = false
      this.leftBytes = this.roomBytes()
    }
  }
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
