/**
 * The judge of serializability: a dependency graph over committed transactions, rebuilt from scratch for every verdict,
 * with versions in commit order (Adya, "Weak Consistency", 1999; the read-only transactions are nodes like the others).
 *
 * It is written for clarity and knows nothing of the engine: no filter, no stamps, no pruning. What it is told about a
 * transaction is what the program did and which snapshot it read at; what an edge is, it derives here.
 *
 * Edges, per key, where "version" is one committed write and `<` is commit order:
 *
 *   E1  ww  A version precedes the next one. Merges of a commutative operator have no edge between each other: the base
 *           they start from precedes each of them, and each precedes the write that ends their group.
 *   E2  wr  What a value read saw precedes the reader: the version itself, or every operand of the merge group seen.
 *   E3  rw  A value read precedes the next version, or every later merge of its group and the write that ends it.
 *   E4  wr  A read of existence that found the key depends on the transaction that created it.
 *   E5  rw  A read of existence that found the key precedes the transaction that deletes it, and no other.
 *   E6      A read, of either level, that found no key is a read of absence: E2 from the deletion, E3 to what follows.
 *
 * Only creating and deleting write existence; setting or merging a present key writes its value alone. A deletion that
 * found nothing is a read of absence (the program's recorder reports it so).
 *
 *   E7  ww  A deletion that is blind, because the transaction had written the key before, and that finds nothing to delete
 *           follows the deletion it lies on and precedes the next creation; two of them have no order, and readers of
 *           absence see no difference.
 */

/** What a read depends on. */
export type ReadLevel = 'value' | 'existence'

/** The net effect of a transaction on one key. `merge` stands for any number of operands. */
export type WriteKind = 'set' | 'delete' | 'merge'

/** One transaction as the oracle sees it. */
export interface Node {
  readonly name: string
  /** Everything with a sequence up to this one was visible to it. */
  readonly snapshot: number
  /** Where its versions stand in commit order; of no meaning for a transaction that wrote nothing. */
  sequence: number
  /** The strongest level at which each key was read; empty for transactions whose reads are not tracked. */
  readonly reads: ReadonlyMap<string, ReadLevel>
  readonly writes: ReadonlyMap<string, WriteKind>
}

/** One dependency: in every equivalent serial order `from` comes before `to`. */
export interface Edge {
  readonly from: Node
  readonly to: Node
  readonly kind: 'ww' | 'wr' | 'rw'
  readonly key: string
}

/** Whether merges of this key commute. */
export type Commutes = (key: string) => boolean

/** What the oracle holds of a commit that is about to happen. */
export interface Verdict {
  /** A cycle through the candidate: committing it would be an anomaly. Without one refusing it would be needless. */
  readonly cycle: readonly Edge[] | undefined
  /** Edges from the candidate to transactions that committed before it; without any, no cycle is possible. */
  readonly outgoing: number
  /** No cycle, yet the exclusion window of the Serial Safety Net would have refused: only an exact search can tell. */
  readonly closeCall: boolean
}

interface Version {
  readonly node: Node
  readonly kind: WriteKind
  /** Whether the key exists after it. */
  readonly present: boolean
  /** Whether it existed before. */
  readonly before: boolean
}

/** Judges whether `candidate` may commit after `committed`, given in commit order. */
export function judge(committed: readonly Node[], candidate: Node, commutes: Commutes): Verdict {
  const edges = dependencies([...committed, candidate], commutes)
  const outgoing = edges.reduce((sum, edge) => (edge.from === candidate ? sum + 1 : sum), 0)
  const cycle = outgoing === 0 ? undefined : cycleThrough(edges, candidate)
  const closeCall = outgoing > 0 && cycle === undefined && inExclusionWindow(committed, edges, candidate)
  return { cycle, outgoing, closeCall }
}

/** Every dependency among `nodes`, which are in commit order. */
export function dependencies(nodes: readonly Node[], commutes: Commutes): Edge[] {
  const edges: Edge[] = []
  for (const [key, versions] of versionsByKey(nodes)) {
    const graph = new KeyGraph(key, versions, commutes(key), edges)
    graph.addWrites()
    for (const node of nodes) {
      const level = node.reads.get(key)
      if (level !== undefined) graph.addRead(node, level)
    }
  }
  return edges
}

/** The versions of every written key in commit order. */
function versionsByKey(nodes: readonly Node[]): Map<string, Version[]> {
  const result = new Map<string, Version[]>()
  for (const node of nodes) {
    for (const [key, kind] of node.writes) {
      let versions = result.get(key)
      if (versions === undefined) result.set(key, (versions = []))
      const before = versions.at(-1)?.present ?? false
      versions.push({ node, kind, present: kind !== 'delete', before })
    }
  }
  return result
}

/** The edges that one key gives rise to. Positions index its versions; -1 is the absence before the first. */
class KeyGraph {
  readonly #key: string
  readonly #versions: readonly Version[]
  readonly #commutes: boolean
  readonly #edges: Edge[]

  constructor(key: string, versions: readonly Version[], commutes: boolean, edges: Edge[]) {
    this.#key = key
    this.#versions = versions
    this.#commutes = commutes
    this.#edges = edges
  }

  /** E1, E7. */
  addWrites(): void {
    for (let at = 0; at < this.#versions.length; at++) {
      const { node } = this.#versions[at]!
      for (const earlier of this.#precursors(at)) this.#add(earlier.node, node, 'ww')
    }
  }

  /** E2 to E6 for one reader of the key. */
  addRead(reader: Node, level: ReadLevel): void {
    const seen = this.#visibleAt(reader.snapshot)
    if (level === 'existence' && this.#present(seen)) {
      this.#add(this.#creatorOf(seen).node, reader, 'wr')
      const deletion = this.#versions.slice(seen + 1).find((version) => !version.present)
      if (deletion !== undefined) this.#add(reader, deletion.node, 'rw')
      return
    }
    for (const version of this.#contributors(seen)) this.#add(version.node, reader, 'wr')
    for (const version of this.#successors(seen)) this.#add(reader, version.node, 'rw')
  }

  /** The versions that a write at `at` directly follows. */
  #precursors(at: number): Version[] {
    const version = this.#versions[at]!
    if (this.#commutes && version.kind === 'merge') return this.#bases(at)
    if (isIdle(version)) return this.#bases(at).filter((base) => !isIdle(base))
    const merges = this.#commutes ? this.#mergesBefore(at) : []
    return merges.length > 0 ? merges : this.#bases(at)
  }

  /** What the merge group around position `at` starts from: the write before its merges, with idle deletions on it. */
  #bases(at: number): Version[] {
    let base = at - 1
    if (this.#commutes) while (base >= 0 && this.#versions[base]!.kind === 'merge') base--
    const bases: Version[] = []
    while (base >= 0 && isIdle(this.#versions[base]!)) bases.push(this.#versions[base--]!)
    if (base >= 0) bases.push(this.#versions[base]!)
    return bases
  }

  /** The commutative merges directly before position `at`. */
  #mergesBefore(at: number): Version[] {
    const merges: Version[] = []
    for (let i = at - 1; i >= 0 && this.#versions[i]!.kind === 'merge'; i--) merges.push(this.#versions[i]!)
    return merges
  }

  /** The versions whose operands or values make up what is seen at `seen`. */
  #contributors(seen: number): Version[] {
    const version = this.#versions[seen]
    if (version === undefined) return []
    if (this.#commutes && version.kind === 'merge') return this.#mergesBefore(seen + 1)
    return this.#bases(seen + 1).filter((base) => !isIdle(base))
  }

  /** The versions that directly follow what is seen at `seen`. */
  #successors(seen: number): Version[] {
    const result: Version[] = []
    for (let at = seen + 1; at < this.#versions.length; at++) {
      const version = this.#versions[at]!
      if (isIdle(version)) continue
      result.push(version)
      if (!this.#commutes || version.kind !== 'merge') break
    }
    return result
  }

  #visibleAt(snapshot: number): number {
    return this.#versions.findLastIndex((version) => version.node.sequence <= snapshot)
  }

  #present(seen: number): boolean {
    return this.#versions[seen]?.present ?? false
  }

  #creatorOf(seen: number): Version {
    let at = seen
    while (this.#versions[at]!.before) at--
    return this.#versions[at]!
  }

  #add(from: Node, to: Node, kind: Edge['kind']): void {
    if (from !== to) this.#edges.push({ from, to, kind, key: this.#key })
  }
}

/** A deletion that found nothing to delete. */
function isIdle(version: Version): boolean {
  return !version.present && !version.before
}

/** A shortest cycle through `start`, or undefined. */
function cycleThrough(edges: readonly Edge[], start: Node): Edge[] | undefined {
  const arrivedBy = new Map<Node, Edge>()
  const queue: Node[] = [start]
  for (let node = queue.shift(); node !== undefined; node = queue.shift()) {
    for (const edge of edges) {
      if (edge.from !== node || arrivedBy.has(edge.to)) continue
      arrivedBy.set(edge.to, edge)
      if (edge.to === start) return pathTo(start, arrivedBy)
      queue.push(edge.to)
    }
  }
  return undefined
}

function pathTo(start: Node, arrivedBy: ReadonlyMap<Node, Edge>): Edge[] {
  const path: Edge[] = []
  let node = start
  do {
    const edge = arrivedBy.get(node)!
    path.unshift(edge)
    node = edge.from
  } while (node !== start)
  return path
}

/**
 * The test of the Serial Safety Net (Wang et al. 2015) with an exact low watermark: the earliest commit reachable from
 * the candidate is not later than the latest commit among its predecessors. Necessary for a cycle, not sufficient.
 */
function inExclusionWindow(committed: readonly Node[], edges: readonly Edge[], candidate: Node): boolean {
  const reached = new Set<Node>([candidate])
  for (const node of reached) {
    for (const edge of edges) if (edge.from === node) reached.add(edge.to)
  }
  const preceding = new Set(edges.filter((edge) => edge.to === candidate).map((edge) => edge.from))
  return committed.findIndex((node) => reached.has(node)) <= committed.findLastIndex((node) => preceding.has(node))
}

/** A cycle in one line, e.g. `T1 -rw(x)-> T2 -ww(y)-> T1`. */
export function describeCycle(cycle: readonly Edge[]): string {
  return cycle.map((edge) => `${edge.from.name} -${edge.kind}(${edge.key})-> `).join('') + (cycle[0]?.from.name ?? '')
}
