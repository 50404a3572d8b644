/**
 * A committed transaction in the dependency graph, and the edges between such nodes.
 *
 * An edge `a -> b` says that `a` comes before `b` in every equivalent serial order:
 *   ww  b overwrote what a wrote         wr  b read what a wrote          rw  b overwrote what a read
 *
 * I1  `pi` is the smallest commit sequence reachable from the node, itself included. It is exact while the node is
 *     retained: linking a later commit lowers it in all ancestors.
 * I2  `outgoing` and `incoming` mirror each other among retained nodes.
 */
import type { Key } from '../keys/index.ts'
import type { RangeRead } from './predicates.ts'
import type { TableStore } from './store.ts'
import type { Meta } from './version.ts'

export type EdgeKind = 'ww' | 'wr' | 'rw'

/** Why one transaction precedes another. */
export class Edge {
  readonly to: Node
  readonly kind: EdgeKind
  readonly store: TableStore
  readonly key: Key

  constructor(to: Node, kind: EdgeKind, store: TableStore, key: Key) {
    this.to = to
    this.kind = kind
    this.store = store
    this.key = key
  }
}

/** Where a node left a mark of something it found absent. */
export interface AbsentMark {
  readonly store: TableStore
  readonly key: Key
}

/** A committed transaction that may still come to lie on a cycle. */
export class Node {
  readonly txnId: number
  /** Sequence of the snapshot it read at. */
  readonly snapshot: number
  /** Its commit sequence; for a transaction that wrote nothing, the clock at its end. */
  readonly commit: number
  /** I1. */
  pi: number
  outgoing: Edge[] = []
  incoming: Node[] = []
  /** Entries whose history names this node; visited when it is dropped. */
  metas: Meta[] = []
  absentMarks: AbsentMark[] | null = null
  ranges: RangeRead[] | null = null
  readonly readOnly: boolean
  /** It can lie on no further cycle: every list that still names it may forget it. */
  dropped = false
  /** Its edges were given up because the graph was full; only its numbers speak now. */
  summarised = false
  /** Stamps of the last search or collection that met this node. */
  visited = 0
  asPredecessor = 0
  asSuccessor = 0
  /** The edge through which the last search came here; for explaining a cycle. */
  via: Edge | null = null
  viaFrom: Node | null = null

  constructor(txnId: number, snapshot: number, commit: number, pi: number, readOnly: boolean) {
    this.txnId = txnId
    this.snapshot = snapshot
    this.commit = commit
    this.pi = pi
    this.readOnly = readOnly
  }
}
