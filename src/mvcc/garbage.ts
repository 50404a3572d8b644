/**
 * What must be taken away, and when it may be: old versions, tombstones, marks of transactions that left the graph.
 *
 * Nothing here scans the store. A version is filed under the newest snapshot that sees it and looked at again when that
 * snapshot closes; tombstones wait in commit order for the safe point; a dropped node names the entries that name it.
 *
 * I1  A version is removed only when no open snapshot lies in [sequence, end).
 * I2  A tombstone is unlinked only when its chain is empty and its sequence is at or below the safe point: an absent read
 *     must still find the deletion it saw while that deletion can matter to the certifier. If the key may be on disk, the
 *     tombstone also waits until whatever anybody may read from there knows of the deletion; in a fork, whose base never
 *     does, it stays if the base has the key.
 * I3  Draining n items costs O(n) and may stop after any item.
 */
import type { Base } from './base.ts'
import type { Node } from './node.ts'
import type { SnapshotSet, SnapshotSlot } from './snapshots.ts'
import { CHUNK_BITS, CHUNK_MASK, type Chunk } from './chunk.ts'
import type { TableStore } from './store.ts'
import { type Meta, type Version } from './version.ts'

/** A first-in first-out queue over an array; taking is O(1) amortised. */
class Queue<T> {
  private items: T[] = []
  private head = 0

  get length(): number {
    return this.items.length - this.head
  }

  get isEmpty(): boolean {
    return this.items.length === this.head
  }

  push(item: T): void {
    this.items.push(item)
  }

  peek(): T | undefined {
    return this.items[this.head]
  }

  take(): T | undefined {
    const item = this.items[this.head]
    if (item === undefined) return undefined
    this.items[this.head++] = undefined as T
    if (this.head > 1024 && this.head * 2 > this.items.length) {
      this.items = this.items.slice(this.head)
      this.head = 0
    } else if (this.head === this.items.length) {
      this.items.length = 0
      this.head = 0
    }
    return item
  }
}

interface Tombstone {
  readonly store: TableStore
  readonly id: number
  readonly sequence: number
}

/** Histories to be relieved of their stamps, one at a time. */
interface Stamped {
  readonly metas: Iterator<Meta>
  readonly bound: number
  left: number
}

/** What draining has done since the database was opened. */
export interface GarbageCounters {
  versions: number
  keys: number
}

export class GarbageQueue {
  readonly counters: GarbageCounters = { versions: 0, keys: 0 }
  private readonly snapshots: SnapshotSet
  private readonly versions: Queue<Version> = new Queue()
  private readonly tombstones: Queue<Tombstone> = new Queue()
  private readonly nodes: Queue<Node> = new Queue()
  private readonly stamped: Queue<Stamped> = new Queue()
  private sweep = 0
  private readonly base: Pick<Base, 'floor' | 'isFixed'> | null

  /** `base`: what lies below memory, deletions included, up to `floor`; null: nothing does. */
  constructor(snapshots: SnapshotSet, base: Pick<Base, 'floor' | 'isFixed'> | null) {
    this.snapshots = snapshots
    this.base = base
  }

  private isRipe(tombstone: Tombstone, safePoint: number): boolean {
    if (tombstone.sequence > safePoint) return false
    const { base } = this
    return base === null || base.isFixed || tombstone.store.base === null || tombstone.sequence <= base.floor
  }

  /** Whether nothing waits at all. */
  get isEmpty(): boolean {
    return this.versions.isEmpty && this.tombstones.isEmpty && this.nodes.isEmpty && this.stamped.isEmpty
  }

  /** Items that may be looked at now; tombstones that wait for the safe point are not counted. */
  pending(safePoint: number): number {
    const tombstone = this.tombstones.peek()
    const ripe = tombstone !== undefined && this.isRipe(tombstone, safePoint) ? this.tombstones.length : 0
    return this.versions.length + this.nodes.length + (this.stamped.peek()?.left ?? 0) + ripe
  }

  /** Takes over what a closed snapshot held back. */
  takeSlot(slot: SnapshotSlot): void {
    const garbage = slot.garbage
    if (garbage === null) return
    slot.garbage = null
    for (let i = 0; i < garbage.length; i++) this.versions.push(garbage[i] as Version)
  }

  addTombstone(store: TableStore, id: number, sequence: number): void {
    this.tombstones.push({ store, id, sequence })
  }

  /** Takes histories whose stamps, all at or below `bound`, say nothing any more. Their number may be large. */
  addStamped(metas: Set<Meta>, bound: number): void {
    if (metas.size > 0) this.stamped.push({ metas: metas.values(), left: metas.size, bound })
  }

  /** Takes nodes that left the graph; their marks are tidied later, and ignored until then. */
  addDropped(nodes: readonly Node[]): void {
    this.sweep++
    for (let i = 0; i < nodes.length; i++) this.nodes.push(nodes[i] as Node)
  }

  /** Works off up to `items` items; returns how many it looked at. */
  drain(items: number, safePoint: number): number {
    let done = 0
    while (done < items) {
      const places = this.step(safePoint)
      if (places === 0) break
      done += places
    }
    return done
  }

  /** One item; returns how many places it visited, 0 if there is nothing to do. */
  private step(safePoint: number): number {
    const version = this.versions.take()
    if (version !== undefined) {
      this.prune(version)
      return 1
    }
    const node = this.nodes.take()
    if (node !== undefined) return 1 + this.tidy(node)
    const tombstone = this.tombstones.peek()
    if (tombstone !== undefined && this.isRipe(tombstone, safePoint)) {
      this.tombstones.take()
      this.tryUnlink(tombstone)
      return 1
    }
    const stamped = this.stamped.peek()
    if (stamped === undefined) return 0
    this.unstamp(stamped)
    return 1
  }

  private unstamp(stamped: Stamped): void {
    if (--stamped.left === 0) this.stamped.take()
    const { value: meta } = stamped.metas.next() as IteratorYieldResult<Meta>
    // Summarised nodes up to the bound are as good as dropped; what still names them may forget them.
    dropUpTo(stamped.bound, meta.existence === null ? null : meta.existence.creator)
    if (meta.group !== null) for (const operand of meta.group.operands) dropUpTo(stamped.bound, operand)
    if (meta.readStamp <= stamped.bound) meta.readStamp = 0
    if (meta.existenceReadStamp <= stamped.bound) meta.existenceReadStamp = 0
    if (meta.readStamp === 0) this.reconsider(meta)
    if (meta.older === null) this.release(meta)
  }

  private prune(version: Version): void {
    const holder = this.snapshots.newestWithin(version.sequence, version.end)
    if (holder !== null) {
      holder.file(version)
      return
    }
    const meta = version.meta
    if (version.newer === null) meta.older = version.older
    else version.newer.older = version.older
    if (version.older !== null) version.older.newer = version.newer
    version.older = null
    version.newer = null
    meta.store.versions--
    meta.store.discard(version.value)
    meta.store.residency.unchained(version)
    this.counters.versions++
    if (meta.older !== null) return
    const { store, id } = meta
    if (store.headOf(id) === undefined) this.addTombstone(store, id, store.deletionOf(id))
    else this.release(meta)
  }

  private tryUnlink(tombstone: Tombstone): void {
    const { store, id, sequence } = tombstone
    // Its chunk may have been given back since: then it was no tombstone any more.
    if (store.chunks[id >>> CHUNK_BITS]?.store !== store) return
    if (store.headOf(id) !== undefined || store.deletionOf(id) !== sequence) return
    const meta = store.metaOf(id)
    if (meta !== undefined && (meta.older !== null || meta.idleDeleters !== null || meta.readStamp !== 0)) return
    if (this.base !== null && this.base.isFixed && hidesInBase(store, id)) return
    store.unlink(id)
    this.counters.keys++
  }

  /** Removes what a dropped node left behind; returns how many places it visited. */
  private tidy(node: Node): number {
    const metas = node.metas
    for (let i = 0; i < metas.length; i++) this.tidyMeta(metas[i] as Meta)
    let places = metas.length
    node.metas = []
    if (node.absentMarks !== null) {
      for (const { store, key } of node.absentMarks) {
        const left = store.absentReaders.get(key)?.filter(isRetained)
        if (left === undefined) continue
        if (left.length === 0) store.absentReaders.delete(key)
        else store.absentReaders.set(key, left)
      }
      places += node.absentMarks.length
      node.absentMarks = null
    }
    if (node.ranges !== null) {
      for (const { store } of node.ranges) {
        if (store.rangeSweep === this.sweep) continue
        store.rangeSweep = this.sweep
        places += store.rangeMarks.length
        store.rangeMarks = store.rangeMarks.filter((mark) => isRetained(mark.node))
      }
      node.ranges = null
    }
    return places
  }

  private tidyMeta(meta: Meta): void {
    if (meta.sweep === this.sweep) return
    meta.sweep = this.sweep
    meta.readers = retained(meta.readers)
    meta.existenceReaders = retained(meta.existenceReaders)
    if (meta.idleDeleters !== null) {
      meta.idleDeleters = retained(meta.idleDeleters)
      if (meta.idleDeleters === null) this.reconsider(meta)
    }
    if (meta.older === null) this.release(meta)
  }

  /** Queues a tombstone again that had to stay for what its history said. */
  private reconsider(meta: Meta): void {
    const { store, id } = meta
    if (store.metaOf(id) === meta && store.headOf(id) === undefined) this.addTombstone(store, id, store.deletionOf(id))
  }

  /** Takes away a history that says nothing. */
  private release(meta: Meta): void {
    const { existence, group } = meta
    if (existence !== null && (existence.creator === null || existence.creator.dropped)) meta.existence = null
    if (group !== null) {
      // The newest operand wrote the head. Once it is dropped, so is everyone who could tell the members apart.
      const newest = group.operands[group.operands.length - 1]
      if (newest === undefined || newest.dropped) meta.group = null
      else if (group.operands.length > 32) group.operands = group.operands.filter(isRetained)
    }
    if (meta.readers !== null || meta.existenceReaders !== null || meta.group !== null || meta.existence !== null)
      return
    if (meta.idleDeleters !== null || meta.readStamp !== 0 || meta.existenceReadStamp !== 0) return
    const chunk = meta.store.chunks[meta.id >>> CHUNK_BITS] as Chunk
    if (chunk.metaAt(meta.id & CHUNK_MASK) === meta) chunk.setMeta(meta.id & CHUNK_MASK, undefined)
  }
}

/** Whether a tombstone hides something in a base that never learns of the deletion: then it stays. So it does if nobody can tell. */
function hidesInBase(store: TableStore, id: number): boolean {
  try {
    return store.base !== null && store.base.find(store.keyOf(id))
  } catch {
    return true
  }
}

function dropUpTo(bound: number, node: Node | null): void {
  if (node !== null && node.summarised && node.commit <= bound) node.dropped = true
}

function isRetained(node: Node): boolean {
  return !node.dropped
}

function retained(nodes: Node[] | null): Node[] | null {
  if (nodes === null) return null
  const left = nodes.filter(isRetained)
  return left.length === 0 ? null : left
}
