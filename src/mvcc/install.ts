/**
 * Puts one write of a commit in place: the only code that changes heads.
 *
 * The old head stays as a chained version only if an open snapshot sees it; otherwise it is gone at once, so a million
 * updates of one key leave nothing behind. Traces for the certifier (successor, group, existence) are written only when the
 * commit has a node, that is, while somebody is active who could need them.
 */
import type { Key } from '../keys/index.ts'
import type { Node } from './node.ts'
import type { SnapshotSet } from './snapshots.ts'
import { CHUNK_BITS, CHUNK_MASK, type Chunk } from './chunk.ts'
import type { OffHeap } from './off-heap.ts'
import type { TableStore } from './store.ts'
import { Existence, MergeGroup, type Meta, Version } from './version.ts'
import { DELETE, MERGE, type Pending } from './write-set.ts'

/** Installs a pending write at `sequence`; returns whether it left a tombstone. */
export function install(
  store: TableStore,
  pending: Pending,
  sequence: number,
  node: Node | null,
  snapshots: SnapshotSet,
): boolean {
  if (pending.idle) {
    if (node !== null) noteIdle(store, pending, node)
    return false
  }
  const isNew = pending.entry < 0
  const id = isNew ? store.createFor(pending) : pending.entry
  const chunk = store.chunks[id >>> CHUNK_BITS] as Chunk
  const i = id & CHUNK_MASK
  const given = pending.kind === DELETE ? undefined : pending.kind === MERGE ? pending.merged : pending.value
  const value = store.offHeap === null || given === undefined ? given : placed(store.offHeap, pending, given)
  const oldValue = chunk.valueAt(i)
  const oldSequence = chunk.sequenceAt(i)
  const oldSize = chunk.sizeAt(i)
  const oldExpiry = oldValue === undefined ? 0 : chunk.expiryAt(i)
  const expiry = value === undefined ? 0 : pending.expiresAt
  const pinned = snapshots.newest()
  // The state before the first insert needs a version only to carry the edge from tracked readers that saw nothing.
  const keeps = pinned >= oldSequence && (node !== null || oldSequence > 0)
  let meta = chunk.metaAt(i)
  if (keeps || node !== null || meta !== undefined) {
    meta ??= store.needMeta(id)
    const old = keeps ? chain(store, meta, chunk, i, sequence, snapshots) : null
    const wasThere = oldValue !== undefined
    const isThere = value !== undefined
    const sameExpiry = expiry === oldExpiry
    turnRegisters(store, meta, old, pending, wasThere, isThere, sameExpiry, oldSequence, sequence, node)
    if (node !== null) node.metas.push(meta)
    else if (meta.older === null) chunk.setMeta(i, undefined)
  }
  if (!keeps && store.offHeap !== null) store.offHeap.discard(oldValue)
  const size = value === undefined ? 0 : pending.kind === MERGE ? pending.mergedSize : pending.size
  chunk.setValue(i, value)
  chunk.setSequence(i, sequence)
  chunk.setSize(i, size)
  const hadValue = oldValue !== undefined
  const hasValue = value !== undefined
  const hash = store.residency.needsHash(hadValue, hasValue) ? store.hashFor(pending, id) : 0
  store.residency.wrote(store, id, hash, oldSequence, oldSize, hadValue, sequence, size, hasValue, expiry)
  if (expiry !== chunk.expiryAt(i)) store.setExpiry(id, expiry)
  if (pinned >= 0) store.stampLeaf(id, sequence)
  const delta = (value === undefined ? 0 : 1) - (oldValue === undefined ? 0 : 1)
  if (delta !== 0 || size !== oldSize) store.resize(sequence, delta, size - oldSize, snapshots)
  if (value !== undefined) return false
  pending.entry = id
  return true
}

/**
 * As {@link install}, of a value in memory and on the heap while no snapshot is open: nothing of what was there is kept.
 * @param id of an entry without history; -1: {@link TableStore.seek} has just found that the key has none
 * @param expiresAt ms since the epoch; 0: never
 */
export function installAlone(
  store: TableStore,
  key: Key,
  id: number,
  value: unknown,
  size: number,
  expiresAt: number,
  sequence: number,
  snapshots: SnapshotSet,
): void {
  const entry = id < 0 ? store.createSought(key) : id
  const chunk = store.chunks[entry >>> CHUNK_BITS] as Chunk
  const i = entry & CHUNK_MASK
  const hadValue = chunk.valueAt(i) !== undefined
  const oldSequence = chunk.sequenceAt(i)
  const oldSize = chunk.sizeAt(i)
  chunk.setValue(i, value)
  chunk.setSequence(i, sequence)
  chunk.setSize(i, size)
  store.residency.wrote(store, entry, store.soughtHash, oldSequence, oldSize, hadValue, sequence, size, true, expiresAt)
  if (expiresAt !== chunk.expiryAt(i)) store.setExpiry(entry, expiresAt)
  if (!hadValue || size !== oldSize) store.resize(sequence, hadValue ? 0 : 1, size - oldSize, snapshots)
}

/** The handle of a value outside of the heap: that of its place, which a commit has taken beforehand. */
function placed(offHeap: OffHeap, pending: Pending, stored: unknown): number {
  const { place } = pending
  pending.place = -1
  return place >= 0 ? place : offHeap.place(stored)
}

/** Deleting what is absent changes no head; it is remembered for the next writer of the key. */
function noteIdle(store: TableStore, pending: Pending, node: Node): void {
  const id = pending.entry < 0 ? store.createFor(pending) : pending.entry
  const meta = store.needMeta(id)
  if (meta.idleDeleters === null) meta.idleDeleters = [node]
  else meta.idleDeleters.push(node)
  node.metas.push(meta)
}

function chain(store: TableStore, meta: Meta, chunk: Chunk, i: number, end: number, snapshots: SnapshotSet): Version {
  const sequence = chunk.sequenceAt(i)
  const size = chunk.sizeAt(i)
  const expiresAt = chunk.valueAt(i) === undefined ? 0 : chunk.expiryAt(i)
  const version = new Version(meta, sequence, end, chunk.valueAt(i), size, expiresAt, meta.older)
  meta.older = version
  store.versions++
  store.residency.chained(version)
  snapshots.newestWithin(sequence, end)?.file(version)
  return version
}

/** Brings the registers of group and existence, and the marks that belong to them, from the old head to the new one. */
function turnRegisters(
  store: TableStore,
  meta: Meta,
  old: Version | null,
  pending: Pending,
  wasThere: boolean,
  isThere: boolean,
  sameExpiry: boolean,
  oldSequence: number,
  sequence: number,
  node: Node | null,
): void {
  // A merge that changes the expiry, as one on an expired value does, takes no part in a group: its order tells.
  const joinsGroup = pending.kind === MERGE && store.commutative && sameExpiry && node !== null
  if (joinsGroup) {
    meta.group ??= new MergeGroup(oldSequence, !wasThere)
    if (old !== null) old.group = meta.group
    meta.group.operands.push(node)
  } else {
    if (old !== null) {
      old.group = meta.group
      old.successor = node
    }
    if (meta.group !== null) {
      meta.group.successor = node
      meta.group = null
    }
    meta.readers = null
    meta.readStamp = 0
    meta.idleDeleters = null
  }
  if (old !== null) {
    if (wasThere && node !== null) meta.existence ??= new Existence(0, null)
    old.existence = meta.existence
  }
  if (wasThere && isThere && sameExpiry) return
  if (wasThere && meta.existence !== null) meta.existence.successor = node
  if (!wasThere && !isThere) return
  meta.existence = isThere && node !== null ? new Existence(sequence, node) : null
  meta.existenceReaders = null
  meta.existenceReadStamp = 0
}
