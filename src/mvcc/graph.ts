/**
 * The dependency graph of committed transactions that may still come to lie on a cycle.
 *
 * Edges are linked at commit, when both ends are known (PSSI: Revilak, O'Neil, O'Neil, ICDE 2011), and every node carries
 * the smallest commit sequence reachable from it (the `pi` of SSN: Wang, Johnson, Fekete, Pandis, VLDB Journal 2017), kept
 * exact by lowering it backwards when a later commit reaches further down. docs/isolation.md has the proofs.
 *
 * I1  An update node can gain in-edges only while an active transaction reads below its commit. A node that cannot gain any,
 *     and that no retained node reaches, is on no future cycle and is dropped with all its marks (sweep).
 * I2  At most `cap` nodes are retained. Beyond it the oldest is summarised: its edges go, its numbers stay, and whoever
 *     would need the edges gets the conservative SSN answer.
 * I3  `pi` of a retained node is exact; `floor` is not above the commit of any retained or summarised update node.
 *
 * Cost: linking is O(edges of the commit); a search visits only nodes whose `pi` can matter; sweeping is amortised O(1) per
 * commit because it runs when the graph has doubled.
 */
import type { Edge, Node } from './node.ts'

const SWEEP_SLACK = 64

/** How far and how often the exact search went; for statistics. */
export interface SearchCounters {
  searches: number
  visited: number
  summarised: number
}

export class Graph {
  /** Retained nodes in commit order; summarised ones are not among them. */
  nodes: Node[] = []
  /** I3. Infinity while nothing is retained. */
  floor: number = Infinity
  /** Newest commit among summarised nodes that are not provably harmless yet; 0 = none. */
  summarisedMax = 0
  readonly counters: SearchCounters = { searches: 0, visited: 0, summarised: 0 }
  private readonly byCommit: Map<number, Node> = new Map()
  private readonly cap: number
  private sweepAt = SWEEP_SLACK
  private epoch = 0

  constructor(cap: number) {
    this.cap = cap
  }

  /** A fresh stamp for marking nodes during one collection or search. */
  nextEpoch(): number {
    return ++this.epoch
  }

  /** The retained update node that committed at `sequence`, if any. */
  nodeAt(sequence: number): Node | undefined {
    return sequence < this.floor ? undefined : this.byCommit.get(sequence)
  }

  /** Whether the commit at `sequence` was summarised away, so that only its number is left. */
  isSummarised(sequence: number): boolean {
    return sequence <= this.summarisedMax && sequence > 0 && !this.byCommit.has(sequence)
  }

  /** Adds a committed node with its edges; keeps `pi` exact in all its ancestors. */
  link(
    node: Node,
    successors: readonly Edge[],
    predecessors: readonly Node[],
    predecessorEdges: readonly Edge[],
  ): void {
    for (let i = 0; i < successors.length; i++) {
      const edge = successors[i] as Edge
      if (edge.to.dropped) continue
      node.outgoing.push(edge)
      if (!edge.to.summarised) edge.to.incoming.push(node)
    }
    for (let i = 0; i < predecessors.length; i++) {
      const from = predecessors[i] as Node
      if (from.summarised || from.dropped) continue
      from.outgoing.push(predecessorEdges[i] as Edge)
      node.incoming.push(from)
    }
    this.nodes.push(node)
    if (!node.readOnly) {
      this.byCommit.set(node.commit, node)
      if (node.commit < this.floor) this.floor = node.commit
    }
    if (node.pi < node.commit) this.lowerAncestors(node)
  }

  private lowerAncestors(from: Node): void {
    const stack = [from]
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      for (const ancestor of node.incoming) {
        if (ancestor.pi > node.pi) {
          ancestor.pi = node.pi
          stack.push(ancestor)
        }
      }
    }
  }

  /**
   * Searches a path from one of `successors` to a node stamped `asPredecessor === epoch`, through nodes that can reach a
   * commit at or below `eta`. Returns the last node of the path (follow `viaFrom`/`via` back), null if there is none, or
   * 'unknown' when a summarised node bars the way.
   */
  search(successors: readonly Edge[], epoch: number, eta: number): Node | null | 'unknown' {
    this.counters.searches++
    const seen = this.nextEpoch()
    // Breadth first: the cycle that is shown should be a shortest one.
    const queue: Node[] = []
    for (const edge of successors) {
      if (this.visit(edge, null, seen, queue, epoch)) return edge.to
    }
    let unknown = false
    for (let i = 0; i < queue.length; i++) {
      const node = queue[i] as Node
      this.counters.visited++
      if (node.pi > eta) continue
      if (node.summarised) unknown = true
      for (const edge of node.outgoing) {
        if (this.visit(edge, node, seen, queue, epoch)) return edge.to
      }
    }
    return unknown ? 'unknown' : null
  }

  private visit(edge: Edge, from: Node | null, seen: number, queue: Node[], epoch: number): boolean {
    const node = edge.to
    if (node.visited === seen) return false
    node.visited = seen
    node.via = edge
    node.viaFrom = from
    queue.push(node)
    return node.asPredecessor === epoch
  }

  /** Whether it is time to sweep. */
  get crowded(): boolean {
    return this.nodes.length >= this.sweepAt
  }

  /** Drops what can be on no future cycle (I1); `minActive` is the oldest snapshot of an active tracked transaction. */
  sweep(minActive: number): Node[] {
    const seen = this.nextEpoch()
    const stack: Node[] = []
    for (const node of this.nodes) {
      if (!node.readOnly && node.commit > minActive) {
        node.visited = seen
        stack.push(node)
      }
    }
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      for (const edge of node.outgoing) {
        if (edge.to.visited === seen || edge.to.summarised) continue
        edge.to.visited = seen
        stack.push(edge.to)
      }
    }
    const kept: Node[] = []
    const dropped: Node[] = []
    this.floor = Infinity
    for (const node of this.nodes) {
      if (node.visited === seen) {
        kept.push(node)
        if (!node.readOnly && node.commit < this.floor) this.floor = node.commit
      } else {
        dropped.push(node)
        this.forget(node)
      }
    }
    if (dropped.length > 0) {
      for (const node of kept)
        if (node.incoming.length > 0) node.incoming = node.incoming.filter((from) => !from.dropped)
    }
    this.nodes = kept
    this.sweepAt = kept.length * 2 + SWEEP_SLACK
    return dropped
  }

  /** Drops everything: no tracked transaction is active. */
  clear(): Node[] {
    const dropped = this.nodes
    if (dropped.length === 0 && this.summarisedMax === 0) return dropped
    for (const node of dropped) this.forget(node)
    this.nodes = []
    this.floor = Infinity
    this.summarisedMax = 0
    this.sweepAt = SWEEP_SLACK
    return dropped
  }

  private forget(node: Node): void {
    node.dropped = true
    node.outgoing = []
    node.incoming = []
    node.via = null
    node.viaFrom = null
    if (!node.readOnly) this.byCommit.delete(node.commit)
  }

  /** Above the cap: takes the oldest node out of the graph and returns it, so that its marks can become numbers (I2). */
  summariseOldest(): Node | null {
    if (this.nodes.length <= this.cap) return null
    const node = this.nodes.shift() as Node
    node.summarised = true
    for (const edge of node.outgoing) edge.to.incoming = edge.to.incoming.filter((from) => from !== node)
    node.outgoing = []
    node.incoming = []
    if (!node.readOnly) this.byCommit.delete(node.commit)
    this.summarisedMax = Math.max(this.summarisedMax, node.commit)
    this.counters.summarised++
    return node
  }

  /** Throws on the first violated invariant. */
  check(): void {
    for (const node of this.nodes) {
      if (node.dropped || node.summarised) throw new Error(`graph I1: node ${node.txnId} is gone but retained`)
      let pi = node.readOnly ? node.pi : node.commit
      for (const edge of node.outgoing) {
        pi = Math.min(pi, edge.to.pi)
        if (edge.to.dropped) throw new Error(`graph I1: ${node.txnId} reaches dropped ${edge.to.txnId}`)
        if (!edge.to.summarised && !edge.to.incoming.includes(node))
          throw new Error(`graph: edge ${node.txnId} -> ${edge.to.txnId} has no mirror`)
      }
      if (node.pi > pi) throw new Error(`graph I3: pi of ${node.txnId} is ${node.pi}, but ${pi} is in reach`)
      if (!node.readOnly && node.commit < this.floor) throw new Error('graph I3: floor is too high')
    }
  }
}
