/**
 * The newest safe snapshot: whoever reads there can lie on no cycle and need not be tracked. The term is that of Ports and
 * Grittner ("Serializable Snapshot Isolation in PostgreSQL", PVLDB 5(12), 2012), where readers wait for one; here there always
 * is one, only perhaps not the newest state.
 *
 * I1  It is at or below every active serializable update's snapshot, and inside no interval [pi(B), c(B)) of a committed update B.
 * I2  It never goes back.
 * I3  While updates are active, some open slot holds it: that of a transaction, or else `pin`.
 *
 * Moving it costs a look at the nodes that committed since the oldest update began, and only when that update ends.
 */
import type { ActiveList } from './active.ts'
import type { GarbageQueue } from './garbage.ts'
import type { Graph } from './graph.ts'
import type { Node } from './node.ts'
import type { SnapshotSet, SnapshotSlot } from './snapshots.ts'

export class SafePoint {
  private readonly updates: ActiveList
  private readonly snapshots: SnapshotSet
  private readonly graph: Graph
  private readonly garbage: GarbageQueue
  /** Meaningful while updates are active; without any, every newest state is safe. */
  private sequence: number
  /** I3. */
  private pin: SnapshotSlot | null = null

  /** @param updates the active serializable updates */
  constructor(sequence: number, updates: ActiveList, snapshots: SnapshotSet, graph: Graph, garbage: GarbageQueue) {
    this.sequence = sequence
    this.updates = updates
    this.snapshots = snapshots
    this.graph = graph
    this.garbage = garbage
  }

  /** The newest safe snapshot that is still readable, given the newest commit. */
  at(clock: number): number {
    return this.updates.size === 0 ? clock : this.sequence
  }

  /** An update is about to begin, which reads at the newest commit. */
  beforeUpdate(clock: number): void {
    if (this.updates.size === 0) this.sequence = clock
  }

  /** The oldest update has ended (its slot is still open): moves on, or is pinned where it is. */
  oldestEnded(clock: number): void {
    const next = this.updates.first
    if (next === null) {
      this.sequence = clock
      this.unpin()
      return
    }
    if (next.snapshot > this.sequence && this.isSafe(next.snapshot)) {
      this.sequence = next.snapshot
      this.unpin()
    } else if (this.pin === null && next.snapshot !== this.sequence) {
      this.pin = this.snapshots.acquire(this.sequence)
    }
  }

  private unpin(): void {
    const { pin } = this
    if (pin === null) return
    this.pin = null
    if (this.snapshots.release(pin)) this.garbage.takeSlot(pin)
  }

  /** Whether no committed update B has pi(B) <= sequence < c(B); every B above the oldest active snapshot is retained. */
  isSafe(sequence: number): boolean {
    if (this.graph.summarisedMax > sequence) return false
    const nodes = this.graph.nodes
    for (let i = nodes.length - 1; i >= 0; i--) {
      const node = nodes[i] as Node
      if (node.commit <= sequence) return true
      if (!node.readOnly && node.pi <= sequence) return false
    }
    return true
  }

  /** Throws on the first violated invariant. */
  check(clock: number): void {
    if (this.at(clock) > clock) throw new Error('I1: it is above the clock')
    if (this.updates.size === 0) return
    if (this.sequence > this.updates.oldestSnapshot) throw new Error('I1: an update is older')
    if (this.snapshots.newestWithin(this.sequence, this.sequence + 1) === null) throw new Error('I3: no slot holds it')
  }
}
