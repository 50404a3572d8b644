/**
 * The same judge as oracle.ts for histories of any length: the graph grows commit by commit and every verdict is one
 * search. A test holds the two equal.
 *
 * To keep the number of edges proportional to the number of reads and writes, helper nodes stand between transactions.
 * For every version p of a key:
 *
 *   after(p)   What must precede the next version: readers of p and p's writer, or, inside a group of commuting merges,
 *              the readers of any member and what the group started from. after(p) leads to the writer of version p + 1
 *              and, if that is a commuting merge, to after(p + 1).
 *   sum(p)     All the operands that make up p: leads to every reader of p and to what ends the group. The writer itself
 *              where p is no commuting merge.
 *   life(p)    Readers of the key's existence since it was created: leads to its deletion.
 *
 * A search from a transaction must leave the helpers through another transaction before it may arrive: a reader that
 * merges into the group it read would otherwise meet itself.
 *
 * Cost: about 10 numbers a version and 2 an edge, in typed arrays; a verdict takes one search of what depends on the
 * overwriters of what was read.
 */
import type { Commutes, Node, ReadLevel, WriteKind } from './oracle.ts'

const NONE = -1

/** A growing column of small integers. */
class Column {
  #data: Int32Array = new Int32Array(1024)
  length = 0

  get(index: number): number {
    return this.#data[index]!
  }

  set(index: number, value: number): void {
    this.#data[index] = value
  }

  push(value: number): number {
    if (this.length === this.#data.length) {
      const larger = new Int32Array(this.length * 2)
      larger.set(this.#data)
      this.#data = larger
    }
    this.#data[this.length] = value
    return this.length++
  }
}

/** The versions of one key, position by position. Position 0 is the absence before the first write. */
class KeyState {
  readonly sequence: number[] = [-Infinity]
  readonly after: number[]
  readonly sum: number[] = [NONE]
  readonly isMerge: boolean[] = [false]
  /** The creator of the key as of this version, NONE while it is absent. */
  readonly creator: number[] = [NONE]
  readonly life: number[] = [NONE]

  constructor(after: number) {
    this.after = [after]
  }

  get last(): number {
    return this.sequence.length - 1
  }

  visibleAt(snapshot: number): number {
    let low = 0
    let high = this.last
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (this.sequence[middle]! <= snapshot) low = middle
      else high = middle - 1
    }
    return low
  }
}

export class DependencyGraph {
  readonly #commutes: Commutes
  readonly #keys = new Map<string, KeyState>()
  /** First edge of each node; edges are lists in `#target` and `#nextEdge`. */
  readonly #firstEdge = new Column()
  readonly #target = new Column()
  readonly #nextEdge = new Column()
  /** 1 for transactions, 0 for helpers. */
  readonly #isTransaction = new Column()
  /** The search in which a node was last reached or wanted. */
  readonly #reachedIn = new Column()
  readonly #wantedIn = new Column()
  readonly #cameFrom = new Column()
  readonly #names = new Map<number, string>()
  #search = 0
  /** Nodes visited by all searches together. */
  visited = 0

  constructor(commutes: Commutes) {
    this.#commutes = commutes
  }

  /**
   * A cycle that committing `candidate` now would close, as the names of the transactions on it, or undefined. `outgoing`
   * tells whether there was anything to search.
   */
  cycle(candidate: Node): { readonly path: string[] | undefined; readonly outgoing: boolean } {
    this.#search++
    const starts: number[] = []
    for (const [key, level] of candidate.reads) this.#collectOverwriters(this.#state(key), candidate, level, starts)
    if (starts.length === 0) return { path: undefined, outgoing: false }
    for (const [key, level] of candidate.reads) this.#want(this.#sourceOf(this.#state(key), candidate, level))
    for (const [key, kind] of candidate.writes) {
      for (const predecessor of this.#precursors(this.#state(key), key, kind)) this.#want(predecessor)
    }
    return { path: this.#reachWanted(starts, candidate), outgoing: true }
  }

  /** Adds a committed transaction; those that wrote come in commit order. */
  add(node: Node): void {
    const id = this.#newNode(true)
    this.#names.set(id, node.name)
    for (const [key, level] of node.reads) {
      const state = this.#state(key)
      const seen = state.visibleAt(node.snapshot)
      this.#connect(this.#sourceOf(state, node, level), id)
      this.#connect(id, level === 'existence' && state.creator[seen] !== NONE ? state.life[seen]! : state.after[seen]!)
    }
    for (const [key, kind] of node.writes) this.#install(this.#state(key), key, kind, id, node.sequence)
  }

  #state(key: string): KeyState {
    let state = this.#keys.get(key)
    if (state === undefined) this.#keys.set(key, (state = new KeyState(this.#newNode(false))))
    return state
  }

  /** What the reader depends on: a transaction, a sum of operands, or nothing. */
  #sourceOf(state: KeyState, reader: Node, level: ReadLevel): number {
    const seen = state.visibleAt(reader.snapshot)
    const creator = state.creator[seen]!
    return level === 'existence' && creator !== NONE ? creator : state.sum[seen]!
  }

  /** The transactions that directly follow the reader at this key. */
  #collectOverwriters(state: KeyState, reader: Node, level: ReadLevel, into: number[]): void {
    const seen = state.visibleAt(reader.snapshot)
    if (level === 'existence' && state.creator[seen] !== NONE) {
      this.#collectTransactions(state.life[seen]!, into)
      return
    }
    for (let at = seen; at < state.last; at++) {
      this.#collectTransactions(state.after[at]!, into)
      if (!state.isMerge[at + 1]!) break
    }
  }

  #collectTransactions(helper: number, into: number[]): void {
    for (let edge = this.#firstEdge.get(helper); edge !== NONE; edge = this.#nextEdge.get(edge)) {
      const target = this.#target.get(edge)
      if (this.#isTransaction.get(target) === 1) into.push(target)
    }
  }

  /** The nodes that a write of this key would follow. */
  #precursors(state: KeyState, key: string, kind: WriteKind): number[] {
    const { last } = state
    const present = state.creator[last] !== NONE
    if (kind === 'delete' && !present) return [state.sum[last]!]
    const result = [state.after[last]!]
    if (!(kind === 'merge' && this.#commutes(key))) result.push(state.sum[last]!)
    if (kind === 'delete') result.push(state.life[last]!)
    return result
  }

  #install(state: KeyState, key: string, kind: WriteKind, writer: number, sequence: number): void {
    for (const precursor of this.#precursors(state, key, kind)) this.#connect(precursor, writer)
    const { last } = state
    const creator = state.creator[last]!
    if (kind === 'delete' && creator === NONE) {
      // Nothing was there: no version of its own, but it comes before what is created next.
      this.#connect(writer, state.after[last]!)
      return
    }
    const joins = kind === 'merge' && this.#commutes(key)
    const after = this.#newNode(false)
    this.#connect(joins ? state.after[last]! : writer, after)
    let sum = writer
    if (joins) {
      sum = this.#newNode(false)
      this.#connect(writer, sum)
      this.#connect(state.sum[last]!, sum)
    }
    state.sequence.push(sequence)
    state.after.push(after)
    state.sum.push(sum)
    state.isMerge.push(joins)
    state.creator.push(kind === 'delete' ? NONE : creator === NONE ? writer : creator)
    state.life.push(kind === 'delete' ? NONE : creator === NONE ? this.#newNode(false) : state.life[last]!)
  }

  #want(node: number): void {
    if (node !== NONE) this.#wantedIn.set(node, this.#search)
  }

  #reachWanted(starts: readonly number[], candidate: Node): string[] | undefined {
    const stack: number[] = []
    for (const start of starts) this.#reach(start, NONE, stack)
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      this.visited++
      if (this.#wantedIn.get(node) === this.#search) return this.#path(node, candidate)
      for (let edge = this.#firstEdge.get(node); edge !== NONE; edge = this.#nextEdge.get(edge)) {
        this.#reach(this.#target.get(edge), node, stack)
      }
    }
    return undefined
  }

  #reach(node: number, from: number, stack: number[]): void {
    if (this.#reachedIn.get(node) === this.#search) return
    this.#reachedIn.set(node, this.#search)
    this.#cameFrom.set(node, from)
    stack.push(node)
  }

  #path(end: number, candidate: Node): string[] {
    const path: string[] = []
    for (let node = end; node !== NONE; node = this.#cameFrom.get(node)) {
      const name = this.#names.get(node)
      if (name !== undefined) path.unshift(name)
    }
    return [candidate.name, ...path]
  }

  #newNode(isTransaction: boolean): number {
    this.#reachedIn.push(0)
    this.#wantedIn.push(0)
    this.#cameFrom.push(NONE)
    this.#isTransaction.push(isTransaction ? 1 : 0)
    return this.#firstEdge.push(NONE)
  }

  #connect(from: number, to: number): void {
    if (from === NONE || from === to) return
    this.#nextEdge.push(this.#firstEdge.get(from))
    this.#firstEdge.set(from, this.#target.push(to))
  }
}
