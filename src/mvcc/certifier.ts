/**
 * Decides whether a commit keeps the history serializable, and says why not.
 *
 * For a committing transaction T the certifier collects
 *   successors    rw  whoever overwrote what T read                                  (T comes before them)
 *   predecessors  wr  whoever wrote what T read        ww  whoever wrote what T overwrites
 *                 rw  whoever read what T overwrites                                 (they come before T)
 * and refuses T exactly if some successor reaches some predecessor. The cheap tests come first: no successor, no cycle;
 * pi(T) above every predecessor's commit, no cycle (SSN); otherwise an exact search in the graph.
 *
 * Three registers per key are told apart, because a reader depends only on what it asked:
 *   value       changed by every write; read by get and value scans
 *   existence   changed by creation, deletion and another expiry; read by has, count, keys, ttl, the result of delete
 *   group       merges of a commutative operator share one group and have no order among themselves
 *
 * I1  Collections run inside the commit section: nothing changes between collecting and installing.
 * I2  With no other tracked transaction active nothing is recorded, and with no commit since the snapshot nothing is looked
 *     at: a lone transaction pays nothing.
 * I3  Marks (readers, ranges, absent keys) say what was seen, not what is newest: "same group" and "same existence" are
 *     decided by comparing the reader's snapshot with the sequence that began the group or the existence.
 */
import { type Key, compareKeys } from '../keys/index.ts'
import type { Leaf } from '../skiplist/core.ts'
import { Conflict, type ConflictStep } from './conflict.ts'
import type { Graph } from './graph.ts'
import { Edge, type EdgeKind, Node } from './node.ts'
import type { RangeRead } from './predicates.ts'
import type { TableStore } from './store.ts'
import type { TableView, Txn } from './transaction.ts'
import { type MergeGroup, type Meta, type Version } from './version.ts'
import { DELETE, MERGE, NONE, type Pending } from './write-set.ts'

export class Certifier {
  private readonly graph: Graph
  /** The safe point as of this commit: what is at or below it is forgotten by right. */
  private safePoint = 0
  // Scratch of one certification; emptied at its end.
  private successors: Edge[] = []
  private predecessors: Node[] = []
  private predecessorEdges: Edge[] = []
  private epoch = 0
  private node: Node | null = null
  private stamp = 0

  constructor(graph: Graph) {
    this.graph = graph
  }

  /**
   * Certifies a transaction about to commit.
   *
   * @param commit the sequence it would commit at (for a reader: the clock)
   * @param overtaken whether anything committed since its snapshot
   * @param tracking whether another tracked transaction is active, so that this one must leave its traces
   * @returns a conflict, or the node under which it was recorded (null: nothing to record)
   */
  certify(
    txn: Txn,
    commit: number,
    overtaken: boolean,
    tracking: boolean,
    readOnly: boolean,
    safePoint: number,
  ): Conflict | Node | null {
    if (!overtaken && !tracking) return null
    this.begin(new Node(txn.id, txn.snapshot, commit, commit, readOnly), safePoint)
    try {
      return this.decide(txn, overtaken, tracking)
    } finally {
      this.end()
    }
  }

  private begin(node: Node, safePoint: number): void {
    this.node = node
    this.safePoint = safePoint
    this.epoch = this.graph.nextEpoch()
    this.stamp = 0
  }

  private end(): void {
    this.node = null
    if (this.successors.length > 0) this.successors = []
    if (this.predecessors.length > 0) {
      this.predecessors = []
      this.predecessorEdges = []
    }
  }

  private decide(txn: Txn, overtaken: boolean, tracking: boolean): Conflict | Node | null {
    const node = this.node as Node
    if (overtaken && txn.serializable) this.collectSuccessors(txn)
    if (this.successors.length === 0 && !tracking) return null
    this.collectPredecessors(txn)
    for (const edge of this.successors) node.pi = Math.min(node.pi, edge.to.pi)
    if (this.successors.length > 0) {
      const conflict = this.findCycle(txn, node)
      if (conflict !== null) return conflict
    }
    if (!tracking) return null
    // A reader that nothing retained precedes can never be reached: it is on no cycle and leaves no marks.
    if (node.readOnly && this.predecessors.length === 0 && this.stamp === 0) return null
    this.graph.link(node, this.successors, this.predecessors, this.predecessorEdges)
    if (txn.serializable) this.leaveMarks(txn, node)
    return node
  }

  private findCycle(txn: Txn, node: Node): Conflict | null {
    let eta = 0
    for (const from of this.predecessors) eta = Math.max(eta, from.commit)
    if (node.pi <= this.stamp) return new Conflict('graph-full', txn.id, [])
    if (node.pi > eta) return null
    const found = this.graph.search(this.successors, this.epoch, eta)
    if (found === null) return null
    if (found === 'unknown') return new Conflict('graph-full', txn.id, [])
    return new Conflict('cycle', txn.id, this.explain(txn.id, found))
  }

  /** The cycle T -> … -> found -> T, edge by edge. */
  private explain(victim: number, found: Node): ConflictStep[] {
    const back = this.predecessorEdges[this.predecessors.indexOf(found)] as Edge
    const steps: ConflictStep[] = [step(found.txnId, victim, back)]
    for (let node: Node | null = found; node !== null; node = node.viaFrom) {
      const from: Node | null = node.viaFrom
      steps.push(step(from === null ? victim : from.txnId, node.txnId, node.via as Edge))
    }
    return steps.reverse()
  }

  // --- successors: who overwrote what was read -------------------------------------------------------------------------

  private collectSuccessors(txn: Txn): void {
    const snapshot = txn.snapshot
    for (const view of txn.views) {
      if (!view.tracked) continue
      const store = view.store
      const { reads, existenceReads, absent, ranges } = view
      for (let i = 0; i < reads.length; i++) {
        const id = reads[i] as number
        if (store.sequenceOf(id) > snapshot) this.valueSuccessors(store, id, snapshot)
      }
      for (let i = 0; i < existenceReads.length; i++) {
        const id = existenceReads[i] as number
        if (store.sequenceOf(id) > snapshot) this.existenceSuccessors(store, id, snapshot)
      }
      if (absent !== null) {
        for (const key of absent) {
          const id = store.findResident(key)
          if (id >= 0 && store.sequenceOf(id) > snapshot) this.valueSuccessors(store, id, snapshot)
        }
      }
      if (ranges !== null) for (const range of ranges) this.rangeSuccessors(range, snapshot)
    }
  }

  private valueSuccessors(store: TableStore, id: number, snapshot: number): void {
    const version = store.versionAt(id, snapshot)
    if (version === null) return
    const key = store.keyOf(id)
    const group = version.group
    if (group === null) {
      if (version.successor !== null) this.addSuccessor(version.successor, store, key)
      return
    }
    for (const operand of group.operands) {
      if (operand.commit > snapshot && !operand.dropped) this.addSuccessor(operand, store, key)
    }
    if (group.successor !== null) this.addSuccessor(group.successor, store, key)
  }

  private existenceSuccessors(store: TableStore, id: number, snapshot: number): void {
    const version = store.versionAt(id, snapshot)
    if (version === null) return
    // What was found absent is followed by whoever created it, and by every merge that could have: as for its value.
    if (version.value === undefined) this.valueSuccessors(store, id, snapshot)
    else if (version.existence !== null && version.existence.successor !== null) {
      this.addSuccessor(version.existence.successor, store, store.keyOf(id))
    }
  }

  private rangeSuccessors(range: RangeRead, snapshot: number): void {
    const store = range.store
    eachEntry(range, snapshot, (id) => {
      if (store.sequenceOf(id) <= snapshot) return
      if (range.level === 'value') this.valueSuccessors(store, id, snapshot)
      else this.existenceSuccessors(store, id, snapshot)
    })
  }

  private addSuccessor(to: Node, store: TableStore, key: Key): void {
    if (to.asSuccessor === this.epoch) return
    to.asSuccessor = this.epoch
    this.successors.push(new Edge(to, 'rw', store, key))
  }

  // --- predecessors: who wrote what was read or is overwritten, and who read what is overwritten -----------------------

  private collectPredecessors(txn: Txn): void {
    for (const view of txn.views) {
      if (view.tracked && (this.graph.floor !== Infinity || this.graph.summarisedMax > 0))
        this.readPredecessors(view, txn.snapshot)
      if (view.writes === null) continue
      for (const pending of view.writes.list) {
        if (pending.kind !== NONE) this.writePredecessors(view.store, pending)
      }
    }
  }

  private readPredecessors(view: TableView, snapshot: number): void {
    const { store, reads, existenceReads, absent, ranges } = view
    for (let i = 0; i < reads.length; i++) this.valueCreators(store, reads[i] as number, snapshot)
    for (let i = 0; i < existenceReads.length; i++) this.existenceCreators(store, existenceReads[i] as number, snapshot)
    if (absent !== null) {
      for (const key of absent) {
        const id = store.findResident(key)
        if (id >= 0) this.valueCreators(store, id, snapshot)
      }
    }
    if (ranges === null) return
    for (const range of ranges) {
      eachEntry(range, Math.min(this.graph.floor, this.summarisedFloor()) - 1, (id) => {
        if (range.level === 'value') this.valueCreators(store, id, snapshot)
        else this.existenceCreators(store, id, snapshot)
      })
    }
  }

  private summarisedFloor(): number {
    return this.graph.summarisedMax > 0 ? this.safePoint + 1 : Infinity
  }

  /** Who made the value that the snapshot sees in an entry. */
  private valueCreators(store: TableStore, id: number, snapshot: number): void {
    const head = store.sequenceOf(id)
    if (head <= snapshot) {
      this.addCommit(head, 'wr', store, id)
      const meta = store.metaOf(id)
      if (meta !== undefined && meta.group !== null) this.operandsSeen(meta.group, snapshot, store, id)
      return
    }
    const version = store.versionAt(id, snapshot)
    if (version === null) return
    this.addCommit(version.sequence, 'wr', store, id)
    if (version.group !== null) this.operandsSeen(version.group, snapshot, store, id)
  }

  private operandsSeen(group: MergeGroup, snapshot: number, store: TableStore, id: number): void {
    this.addCommit(group.baseSequence, 'wr', store, id)
    for (const operand of group.operands) {
      if (operand.commit <= snapshot) this.addPredecessor(operand, 'wr', store, store.keyOf(id))
    }
  }

  /** Who made the life of the key, or the absence, that the snapshot sees. */
  private existenceCreators(store: TableStore, id: number, snapshot: number): void {
    const meta = store.metaOf(id)
    const head = store.sequenceOf(id)
    let version: Version | null = null
    if (head > snapshot) {
      version = store.versionAt(id, snapshot)
      if (version === null) return
    }
    if ((version === null ? store.headOf(id) : version.value) === undefined) {
      this.addCommit(version === null ? head : version.sequence, 'wr', store, id)
      return
    }
    const existence = version === null ? (meta === undefined ? null : meta.existence) : version.existence
    if (existence !== null && existence.creator !== null)
      this.addPredecessor(existence.creator, 'wr', store, store.keyOf(id))
    else if (existence !== null) this.addStamp(existence.sequence)
  }

  private writePredecessors(store: TableStore, pending: Pending): void {
    const { key, entry } = pending
    const head = entry < 0 ? 0 : store.sequenceOf(entry)
    const absentNow = entry < 0 || store.headOf(entry) === undefined
    const meta = entry < 0 ? undefined : store.metaOf(entry)
    const group = meta === undefined ? null : meta.group
    const sameExpiry = pending.expiresAt === (absentNow ? 0 : store.expiryOf(entry))
    const commutes = pending.kind === MERGE && store.commutative && sameExpiry
    const since = group === null ? head : group.baseSequence
    if (entry >= 0) this.addCommit(since, 'ww', store, entry)
    if (pending.idle) {
      // What is absent now may have been swept since: whoever saw it in a range comes before its deletion.
      if (store.expiring && absentNow) {
        this.absentAndRangeReaders(store, key, 0)
        this.existenceRangeReaders(store, key, 0, Infinity)
      }
      return
    }
    if (meta !== undefined && meta.idleDeleters !== null) {
      for (const deleter of meta.idleDeleters) this.addPredecessor(deleter, 'ww', store, key)
    }
    if (group !== null && !commutes)
      for (const operand of group.operands) this.addPredecessor(operand, 'ww', store, key)
    if (meta !== undefined) this.valueReaders(meta, store, key)
    this.absentAndRangeReaders(store, key, since)
    if (absentNow) {
      this.existenceRangeReaders(store, key, head, Infinity)
    } else if (pending.kind === DELETE || !sameExpiry) {
      const existence = meta?.existence ?? null
      if (meta !== undefined) this.existenceReaders(meta, store, key)
      this.existenceRangeReaders(store, key, existence === null ? 0 : existence.sequence, Infinity)
    } else if (commutes && group !== null && group.fromAbsence) {
      // It could have been the creating operand, so whoever still saw absence comes before it too.
      this.existenceRangeReaders(store, key, group.baseSequence, meta?.existence?.sequence ?? 0)
    }
    if (store.coverStamp > this.safePoint) this.addStamp(store.coverStamp)
  }

  private valueReaders(meta: Meta, store: TableStore, key: Key): void {
    if (meta.readers !== null) for (const reader of meta.readers) this.addPredecessor(reader, 'rw', store, key)
    this.addStamp(meta.readStamp)
  }

  private existenceReaders(meta: Meta, store: TableStore, key: Key): void {
    if (meta.existenceReaders !== null)
      for (const reader of meta.existenceReaders) this.addPredecessor(reader, 'rw', store, key)
    this.addStamp(meta.existenceReadStamp)
  }

  /** Committed readers of the key by absence or by range, whose snapshot saw a member of the group that began at `since`. */
  private absentAndRangeReaders(store: TableStore, key: Key, since: number): void {
    if (store.absentReaders.size > 0) {
      const readers = store.absentReaders.get(key)
      if (readers !== undefined) {
        for (const reader of readers) if (reader.snapshot >= since) this.addPredecessor(reader, 'rw', store, key)
      }
    }
    for (const { node, range } of store.rangeMarks) {
      if (range.level === 'value' && node.snapshot >= since && !node.dropped && range.covers(key)) {
        this.addPredecessor(node, 'rw', store, key)
      }
    }
  }

  /** Committed readers of existence by range whose snapshot lies in [since, before). */
  private existenceRangeReaders(store: TableStore, key: Key, since: number, before: number): void {
    for (const { node, range } of store.rangeMarks) {
      if (range.level !== 'existence' || node.dropped) continue
      if (node.snapshot >= since && node.snapshot < before && range.covers(key))
        this.addPredecessor(node, 'rw', store, key)
    }
  }

  private addCommit(sequence: number, kind: EdgeKind, store: TableStore, id: number): void {
    const from = this.graph.nodeAt(sequence)
    if (from !== undefined) this.addPredecessor(from, kind, store, store.keyOf(id))
    else if (this.graph.summarisedMax > 0 && this.graph.isSummarised(sequence)) this.addStamp(sequence)
  }

  private addPredecessor(from: Node, kind: EdgeKind, store: TableStore, key: Key): void {
    if (from.asPredecessor === this.epoch || from.dropped) return
    if (from.summarised) {
      this.addStamp(from.commit)
      return
    }
    from.asPredecessor = this.epoch
    this.predecessors.push(from)
    this.predecessorEdges.push(new Edge(this.node as Node, kind, store, key))
  }

  private addStamp(commit: number): void {
    if (commit > this.stamp && commit > this.safePoint) this.stamp = commit
  }

  // --- marks of an accepted transaction, for the writers that come later -------------------------------------------------

  private leaveMarks(txn: Txn, node: Node): void {
    const snapshot = txn.snapshot
    for (const view of txn.views) {
      if (!view.tracked) continue
      const { store, reads, existenceReads, absent, ranges } = view
      for (let i = 0; i < reads.length; i++) this.markRead(view, reads[i] as number, snapshot, node)
      for (let i = 0; i < existenceReads.length; i++) markExistence(store, existenceReads[i] as number, snapshot, node)
      if (absent !== null) for (const key of absent) markAbsent(store, key, node)
      if (ranges !== null) {
        for (const range of ranges) {
          if (!range.consumed) continue
          store.rangeMarks.push({ node, range })
          ;(node.ranges ??= []).push(range)
        }
      }
    }
  }

  /** Leaves a mark on a value if what was read is still current, or in the current merge group. */
  private markRead(view: TableView, id: number, snapshot: number, node: Node): void {
    const store = view.store
    const existing = store.metaOf(id)
    if (store.sequenceOf(id) > snapshot) {
      const group = existing === undefined ? null : existing.group
      if (group === null || group.baseSequence > snapshot) return
    }
    if (view.writes !== null && view.writes.list.length <= 8 && overwrites(view.writes.list, id, store.commutative))
      return
    const meta = existing ?? store.needMeta(id)
    if (meta.readers === null) meta.readers = [node]
    else if (meta.readers[meta.readers.length - 1] !== node) meta.readers.push(node)
    else return
    node.metas.push(meta)
  }
}

function markExistence(store: TableStore, id: number, snapshot: number, node: Node): void {
  if (store.headOf(id) === undefined) return
  const existing = store.metaOf(id)
  if (existing !== undefined && existing.existence !== null && existing.existence.sequence > snapshot) return
  const meta = existing ?? store.needMeta(id)
  if (meta.existenceReaders === null) meta.existenceReaders = [node]
  else if (meta.existenceReaders[meta.existenceReaders.length - 1] !== node) meta.existenceReaders.push(node)
  else return
  node.metas.push(meta)
}

function markAbsent(store: TableStore, key: Key, node: Node): void {
  const readers = store.absentReaders.get(key)
  if (readers === undefined) store.absentReaders.set(key, [node])
  else if (readers[readers.length - 1] !== node) readers.push(node)
  else return
  ;(node.absentMarks ??= []).push({ store, key })
}

/** Whether a plain write to the entry is among the pending ones: it ends the group, so a mark would die at once. */
function overwrites(list: readonly Pending[], id: number, commutative: boolean): boolean {
  for (const pending of list) {
    if (pending.entry === id && pending.kind !== NONE && !(pending.kind === MERGE && commutative)) return true
  }
  return false
}

/**
 * Calls `visit` for every entry that a range has consumed, own writes excepted, in leaves that hold a commit above
 * `stampAbove`. Whole leaves are skipped by their stamp, as FoundationDB's conflict skiplist skips spans by version.
 */
function eachEntry(range: RangeRead, stampAbove: number, visit: (id: number) => void): void {
  if (!range.consumed) return
  const index = range.store.index
  let leaf: Leaf<Key, number> | null = range.lower === undefined ? index.first : index.seekLeaf(range.lower)
  for (; leaf !== null; leaf = leaf.next) {
    const { length } = leaf.values
    if ((index.stamps[leaf.id] as number) > stampAbove) {
      for (let at = 0; at < length; at++) {
        if (range.covers(index.keyAt(leaf, at))) visit(leaf.values[at] as number)
      }
    }
    if (range.upper !== undefined && length > 0 && compareKeys(index.keyAt(leaf, length - 1), range.upper) >= 0) return
  }
}

function step(from: number, to: number, edge: Edge): ConflictStep {
  return { from, to, kind: edge.kind, table: edge.store.spec.name, key: edge.key }
}
