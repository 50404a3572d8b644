import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { Graph } from '../../src/mvcc/graph.ts'
import type { Edge, Node } from '../../src/mvcc/node.ts'
import { fcParameters } from '../support/random.ts'
import { edgeTo, makeStore, nodeAt } from './fixtures.ts'

const store = makeStore()

/** Adds a node that comes before `successors` and after `predecessors`. */
function link(graph: Graph, node: Node, successors: readonly Node[] = [], predecessors: readonly Node[] = []): Node {
  const edges = successors.map((to) => edgeTo(to, store))
  for (const { pi } of successors) node.pi = Math.min(node.pi, pi)
  graph.link(
    node,
    edges,
    predecessors,
    predecessors.map(() => edgeTo(node, store)),
  )
  return node
}

/** Everything that can be reached from a node, itself included, by walking. */
function reachable(from: Node): Set<Node> {
  const seen = new Set([from])
  for (const node of seen) for (const { to } of node.outgoing) seen.add(to)
  return seen
}

/** A search as the certifier begins it: from a transaction with these successors to one of these predecessors. */
function search(graph: Graph, successors: readonly Node[], predecessors: readonly Node[]): Node | null | 'unknown' {
  const epoch = graph.nextEpoch()
  for (const node of predecessors) node.asPredecessor = epoch
  const eta = Math.max(0, ...predecessors.map(({ commit }) => commit))
  return graph.search(
    successors.map((to) => edgeTo(to, store)),
    epoch,
    eta,
  )
}

/** Random commits: for each, which of the earlier nodes it precedes and which it follows. */
const history = fc.array(
  fc.record({
    readOnly: fc.boolean(),
    before: fc.array(fc.nat(), { maxLength: 2 }),
    after: fc.array(fc.nat(), { maxLength: 3 }),
  }),
  { minLength: 1, maxLength: 40 },
)

type History = readonly { readOnly: boolean; before: readonly number[]; after: readonly number[] }[]

/** Builds a graph without cycles: what a commit would close one with is left out, as the certifier would refuse it. */
function build(graph: Graph, steps: History): Node[] {
  const nodes: Node[] = []
  for (const [i, { readOnly, before, after }] of steps.entries()) {
    const pick = (at: readonly number[]): Node[] =>
      [...new Set(at.map((n) => nodes[n % nodes.length]))].filter((n) => n !== undefined)
    const successors = pick(before).filter((node) => !node.readOnly)
    const reached = new Set(successors.flatMap((node) => [...reachable(node)]))
    const predecessors = pick(after).filter((node) => !reached.has(node))
    nodes.push(link(graph, nodeAt(i + 1, readOnly), successors, predecessors))
  }
  return nodes
}

describe('Graph.link', () => {
  it('mirrors edges (node I2) and finds nodes by their commit', () => {
    const graph = new Graph(10)
    const first = link(graph, nodeAt(1))
    const second = link(graph, nodeAt(2), [first])
    const third = link(graph, nodeAt(3), [], [first])
    expect(second.outgoing.map(({ to }) => to)).toEqual([first])
    expect(first.incoming).toEqual([second])
    expect(first.outgoing.map(({ to }) => to)).toEqual([third])
    expect(third.incoming).toEqual([first])
    expect([graph.nodeAt(1), graph.nodeAt(2), graph.nodeAt(4)]).toEqual([first, second, undefined])
    expect(graph.floor).toBe(1)
    graph.check()
  })

  it('finds no reader by a commit, and does not lower the floor for one', () => {
    const graph = new Graph(10)
    link(graph, nodeAt(3, true))
    expect(graph.nodeAt(3)).toBeUndefined()
    expect(graph.floor).toBe(Infinity)
    link(graph, nodeAt(7))
    expect(graph.floor).toBe(7)
  })

  it('I3: lowers pi through a whole chain of ancestors', () => {
    const graph = new Graph(10)
    const low = link(graph, nodeAt(1))
    const chain = [link(graph, nodeAt(2))]
    for (let i = 3; i <= 6; i++) chain.push(link(graph, nodeAt(i), [chain.at(-1) as Node]))
    expect(chain.map(({ pi }) => pi)).toEqual([2, 2, 2, 2, 2])
    link(graph, nodeAt(7), [low], [chain[0] as Node])
    expect(chain.map(({ pi }) => pi)).toEqual([1, 1, 1, 1, 1])
    graph.check()
  })

  it('I3: pi is exactly the lowest commit in reach, whatever was linked in whatever order', () => {
    fc.assert(
      fc.property(history, (steps) => {
        const graph = new Graph(1000)
        for (const node of build(graph, steps)) {
          const commits = [...reachable(node)]
            .filter((other) => !other.readOnly || other === node)
            .map(({ commit }) => commit)
          const lowest = Math.min(...commits)
          expect(node.pi).toBe(lowest)
        }
        graph.check()
      }),
      fcParameters(200),
    )
  })

  it('check() finds a pi that is too high, an edge without a mirror, a dropped node that is reached', () => {
    const broken = (spoil: (first: Node, second: Node) => void): Graph => {
      const graph = new Graph(10)
      const first = link(graph, nodeAt(1))
      spoil(first, link(graph, nodeAt(2), [first]))
      return graph
    }
    expect(() => broken((_first, second) => (second.pi = 2)).check()).toThrow(/I3/)
    expect(() => broken((first) => first.incoming.pop()).check()).toThrow(/mirror/)
    expect(() => broken((first) => (first.dropped = true)).check()).toThrow(/I1/)
    const graph = broken(() => {})
    graph.floor = 5
    expect(() => graph.check()).toThrow(/floor/)
  })
})

describe('Graph.search', () => {
  it('finds a path from successors to predecessors exactly if there is one, and shows it', () => {
    fc.assert(
      fc.property(
        history,
        fc.array(fc.nat(), { maxLength: 3 }),
        fc.array(fc.nat(), { maxLength: 3 }),
        (steps, from, to) => {
          const graph = new Graph(1000)
          const nodes = build(graph, steps)
          const pick = (at: readonly number[]): Node[] => [...new Set(at.map((n) => nodes[n % nodes.length] as Node))]
          const [successors, predecessors] = [pick(from).filter((node) => !node.readOnly), pick(to)]
          const exists = successors.some((node) => [...reachable(node)].some((other) => predecessors.includes(other)))
          const found = search(graph, successors, predecessors)
          if (found === 'unknown') throw new Error('nothing is summarised here')
          expect(found !== null).toBe(exists)
          for (let node = found; node !== null; node = node.viaFrom) {
            const via: Edge = node.via as Edge
            expect(via.to).toBe(node)
            if (node.viaFrom === null) expect(successors).toContain(node)
            else expect(node.viaFrom.outgoing).toContain(via)
          }
        },
      ),
      fcParameters(300),
    )
  })

  it('takes a shortest way', () => {
    const graph = new Graph(10)
    const goal = link(graph, nodeAt(1))
    const detour = link(graph, nodeAt(2), [goal])
    const longer = link(graph, nodeAt(3), [detour])
    const start = link(graph, nodeAt(4), [longer, goal])
    expect(search(graph, [start], [goal])).toBe(goal)
    expect(goal.viaFrom).toBe(start)
  })

  it('counts searches and the nodes they visit', () => {
    const graph = new Graph(10)
    const goal = link(graph, nodeAt(1))
    search(graph, [link(graph, nodeAt(2), [goal])], [goal])
    expect(graph.counters).toMatchObject({ searches: 1, visited: 1 })
  })

  it('does not walk through nodes that reach nothing old enough', () => {
    const graph = new Graph(1000)
    const old = link(graph, nodeAt(1))
    let head = link(graph, nodeAt(10))
    for (let i = 11; i < 100; i++) head = link(graph, nodeAt(i), [head])
    const before = graph.counters.visited
    expect(search(graph, [head], [old])).toBeNull()
    expect(graph.counters.visited - before).toBe(1)
  })
})

describe('Graph.sweep', () => {
  it('I1: drops exactly what no update above the oldest active snapshot reaches', () => {
    fc.assert(
      fc.property(history, fc.nat({ max: 45 }), (steps, minActive) => {
        const graph = new Graph(1000)
        const nodes = build(graph, steps)
        const roots = nodes.filter((node) => !node.readOnly && node.commit > minActive)
        const kept = new Set(roots.flatMap((node) => [...reachable(node)]))
        const dropped = graph.sweep(minActive)
        expect(new Set(graph.nodes)).toEqual(kept)
        expect(new Set([...graph.nodes, ...dropped])).toEqual(new Set(nodes))
        expect(dropped.every((node) => node.dropped && node.outgoing.length + node.incoming.length === 0)).toBe(true)
        for (const node of dropped) expect(graph.nodeAt(node.commit)).toBeUndefined()
        const commits = graph.nodes.filter((node) => !node.readOnly).map(({ commit }) => commit)
        expect(graph.floor).toBe(Math.min(Infinity, ...commits))
        graph.check()
      }),
      fcParameters(200),
    )
  })

  it('is due when the graph has doubled, and not before', () => {
    const graph = new Graph(10_000)
    let at = 0
    while (!graph.crowded) link(graph, nodeAt(++at))
    const first = graph.nodes.length
    expect(graph.sweep(0)).toEqual([])
    expect(graph.crowded).toBe(false)
    while (!graph.crowded) link(graph, nodeAt(++at))
    expect(graph.nodes.length).toBeGreaterThanOrEqual(2 * first)
    expect(graph.sweep(at)).toHaveLength(graph.nodes.length === 0 ? at : 0)
    expect(graph.nodes).toEqual([])
  })

  it('forgets links to what has been dropped: what comes later cannot be hung on it', () => {
    const graph = new Graph(10)
    const gone = link(graph, nodeAt(1))
    graph.sweep(5)
    const late = link(graph, nodeAt(6), [gone], [gone])
    expect([late.outgoing, late.incoming]).toEqual([[], []])
    graph.check()
  })
})

describe('Graph.clear', () => {
  it('drops everything, summarised or not', () => {
    const graph = new Graph(1)
    const nodes = [link(graph, nodeAt(1)), link(graph, nodeAt(2))]
    const summarised = graph.summariseOldest()
    expect(graph.clear()).toEqual([nodes[1]])
    expect(summarised).toBe(nodes[0])
    expect([graph.nodes, graph.floor, graph.summarisedMax]).toEqual([[], Infinity, 0])
    expect(graph.clear()).toEqual([])
  })
})

describe('Graph.summariseOldest', () => {
  it('I2: gives nodes up one by one, oldest first, until the cap is met', () => {
    const graph = new Graph(3)
    const nodes = [1, 2, 3, 4, 5].map((commit) => link(graph, nodeAt(commit)))
    expect(graph.summariseOldest()).toBe(nodes[0])
    expect(graph.summariseOldest()).toBe(nodes[1])
    expect(graph.summariseOldest()).toBeNull()
    expect(graph.nodes).toEqual(nodes.slice(2))
    expect(nodes.map(({ summarised }) => summarised)).toEqual([true, true, false, false, false])
    expect([graph.summarisedMax, graph.counters.summarised]).toEqual([2, 2])
    expect(nodes.map(({ commit }) => graph.isSummarised(commit))).toEqual([true, true, false, false, false])
    expect(graph.isSummarised(0)).toBe(false)
    graph.check()
  })

  it('I2, I3: keeps the numbers: pi stays, and the floor is not raised above it', () => {
    const graph = new Graph(1)
    const first = link(graph, nodeAt(1))
    const second = link(graph, nodeAt(2), [first])
    expect(graph.summariseOldest()).toBe(first)
    expect([first.pi, second.pi]).toEqual([1, 1])
    expect(graph.floor).toBeLessThanOrEqual(1)
    graph.check()
  })

  it('I2: a search that would need the lost edges says that it does not know', () => {
    const graph = new Graph(2)
    const goal = link(graph, nodeAt(1))
    const middle = link(graph, nodeAt(2), [goal])
    const start = link(graph, nodeAt(3), [middle])
    expect(graph.summariseOldest()).toBe(goal)
    link(graph, nodeAt(4))
    expect(graph.summariseOldest()).toBe(middle)
    const far = nodeAt(3, true)
    expect(search(graph, [start], [far])).toBe('unknown')
    const free = link(graph, nodeAt(5))
    expect(search(graph, [free], [far])).toBeNull()
  })
})
