import { describe, expect, it } from 'vitest'
import { Driver, type Fault, type Program, type Result, stepsOf, Tally } from '../support/history.ts'
import { commutes } from '../support/history-model.ts'
import {
  type Mix,
  randomPrograms,
  randomSchedule,
  SAFE,
  SERIALIZABLE,
  SNAPSHOT,
  TRACKED,
} from '../support/history-generate.ts'
import { LongHistory, type Workload } from '../support/history-long.ts'
import { ToyEngine, type ToyPolicy } from '../support/history-toys.ts'
import { DependencyGraph } from '../support/oracle-graph.ts'
import { dependencies, judge, type Node, type ReadLevel, type WriteKind } from '../support/oracle.ts'
import { Random, runs } from '../support/random.ts'

/** A committed transaction; its sequence is the snapshot it would have seen had it begun after its predecessors. */
function node(
  name: string,
  snapshot: number,
  sequence: number,
  facts: { value?: string; existence?: string; set?: string; delete?: string; merge?: string },
): Node {
  const reads = new Map<string, ReadLevel>()
  for (const key of facts.existence ?? '') reads.set(key, 'existence')
  for (const key of facts.value ?? '') reads.set(key, 'value')
  const writes = new Map<string, WriteKind>()
  for (const kind of ['set', 'delete', 'merge'] as const) for (const key of facts[kind] ?? '') writes.set(key, kind)
  return { name, snapshot, sequence, reads, writes }
}

function edgesOf(...nodes: Node[]): string[] {
  return dependencies(nodes, commutes)
    .map(({ from, to, kind, key }) => `${from.name} ${kind}(${key}) ${to.name}`)
    .sort()
}

describe('edges of the dependency graph', () => {
  it('E1: overwrites follow each other in commit order', () => {
    const edges = edgesOf(
      node('A', 0, 1, { set: 'x' }),
      node('B', 0, 2, { set: 'x' }),
      node('C', 0, 3, { delete: 'x' }),
    )
    expect(edges).toEqual(['A ww(x) B', 'B ww(x) C'])
  })

  it('E1: commutative merges are tied to what they start from and to what ends them, not to each other', () => {
    const edges = edgesOf(
      node('A', 0, 1, { set: 'x' }),
      node('B', 0, 2, { merge: 'x' }),
      node('C', 0, 3, { merge: 'x' }),
      node('D', 0, 4, { set: 'x' }),
    )
    expect(edges).toEqual(['A ww(x) B', 'A ww(x) C', 'B ww(x) D', 'C ww(x) D'])
  })

  it('E1: merges that only associate follow each other', () => {
    const edges = edgesOf(
      node('A', 0, 1, { set: 'X' }),
      node('B', 0, 2, { merge: 'X' }),
      node('C', 0, 3, { merge: 'X' }),
    )
    expect(edges).toEqual(['A ww(X) B', 'B ww(X) C'])
  })

  it('E2, E3: a reader follows what it saw and precedes what it did not see', () => {
    const edges = edgesOf(node('A', 0, 1, { set: 'x' }), node('B', 0, 2, { set: 'x' }), node('R', 1, 2, { value: 'x' }))
    expect(edges).toEqual(['A ww(x) B', 'A wr(x) R', 'R rw(x) B'].sort())
  })

  it('E2, E3: a reader of a merge group follows every operand seen and precedes every later one and the end', () => {
    const edges = edgesOf(
      node('A', 0, 1, { merge: 'x' }),
      node('B', 0, 2, { merge: 'x' }),
      node('C', 0, 3, { merge: 'x' }),
      node('D', 0, 4, { merge: 'x' }),
      node('E', 0, 5, { set: 'x' }),
      node('R', 2, 5, { value: 'x' }),
    )
    const ofReader = ['A wr(x) R', 'B wr(x) R', 'R rw(x) C', 'R rw(x) D', 'R rw(x) E']
    expect(edges).toEqual(['A ww(x) E', 'B ww(x) E', 'C ww(x) E', 'D ww(x) E', ...ofReader].sort())
  })

  it('E4, E5: a reader of existence knows only creation and deletion', () => {
    const edges = edgesOf(
      node('A', 0, 1, { set: 'x' }),
      node('B', 0, 2, { set: 'x' }),
      node('C', 0, 3, { set: 'x' }),
      node('D', 0, 4, { delete: 'x' }),
      node('E', 0, 5, { set: 'x' }),
      node('R', 2, 5, { existence: 'x' }),
    )
    const ofReader = ['A wr(x) R', 'R rw(x) D']
    expect(edges).toEqual(['A ww(x) B', 'B ww(x) C', 'C ww(x) D', 'D ww(x) E', ...ofReader].sort())
  })

  it('E6: a read of absence follows the deletion and precedes every merge that starts from it, at both levels', () => {
    for (const level of ['value', 'existence'] as const) {
      const edges = edgesOf(
        node('A', 0, 1, { set: 'x' }),
        node('B', 0, 2, { delete: 'x' }),
        node('C', 0, 3, { merge: 'x' }),
        node('D', 0, 4, { merge: 'x' }),
        node('R', 2, 4, { [level]: 'x' }),
      )
      const ofReader = ['B wr(x) R', 'R rw(x) C', 'R rw(x) D']
      expect(edges).toEqual(['A ww(x) B', 'B ww(x) C', 'B ww(x) D', ...ofReader].sort())
    }
  })

  it('E7: absence written over absence is ordered among the writes and means nothing to readers', () => {
    const edges = edgesOf(
      node('A', 0, 1, { set: 'x' }),
      node('B', 0, 2, { delete: 'x' }),
      node('C', 0, 3, { delete: 'x' }),
      node('D', 0, 4, { set: 'x' }),
      node('R', 2, 4, { value: 'x' }),
    )
    const ofReader = ['B wr(x) R', 'R rw(x) D']
    expect(edges).toEqual(['A ww(x) B', 'B ww(x) C', 'B ww(x) D', 'C ww(x) D', ...ofReader].sort())
  })
})

describe('verdicts', () => {
  const start = node('S', -1, 0, { set: 'xy' })

  it('finds write skew, the cycle of two', () => {
    const first = node('A', 0, 1, { value: 'xy', set: 'x' })
    const verdict = judge([start, first], node('B', 0, Infinity, { value: 'xy', set: 'y' }), commutes)
    expect(verdict.cycle?.map((edge) => edge.kind)).toEqual(['rw', 'rw'])
  })

  it('finds the read-only anomaly, a cycle through a reader that had ended before', () => {
    const withdraw = node('B', 0, Infinity, { value: 'xy', set: 'x' })
    const deposit = node('A', 0, 1, { value: 'y', set: 'y' })
    const report = node('R', 1, 1, { value: 'xy' })
    expect(judge([start, deposit], withdraw, commutes).cycle).toBeUndefined()
    expect(judge([start, deposit, report], withdraw, commutes).cycle).toHaveLength(3)
  })

  it('tells a close call from a cycle', () => {
    const writer = node('A', 0, 1, { set: 'x' })
    const other = node('B', 0, 2, { set: 'z' })
    const verdict = judge([start, writer, other], node('C', 0, Infinity, { value: 'x', set: 'z' }), commutes)
    expect(verdict).toMatchObject({ cycle: undefined, closeCall: true })
  })
})

const KEYS = ['X', 'x', 'y']
const MIX: Mix = {
  keys: KEYS,
  length: [1, 4],
  levels: [SERIALIZABLE, SERIALIZABLE, SERIALIZABLE, SNAPSHOT, TRACKED, SAFE],
}

async function examine(
  policy: ToyPolicy,
  histories: number,
  mix = MIX,
  seen?: (result: Result, programs: Program[]) => void,
) {
  const random = new Random(`toy ${policy}`)
  const driver = new Driver(new ToyEngine(policy), KEYS, ['x', 'X'])
  for (let i = 0; i < histories; i++) {
    const programs = randomPrograms(random.between(2, 4), mix, random)
    const result = await driver.run(programs, randomSchedule(programs, random))
    seen?.(result, programs)
  }
  return driver.tally
}

describe('the examiner sees through toy engines', () => {
  it('reports needless aborts, and no anomaly, of one that refuses all that overlap', async () => {
    const tally = await examine('serial', runs(2000))
    expect(tally.faults['needless abort']).toBeGreaterThan(runs(2000) / 10)
    expect(tally.faults['aborted safe reader']).toBeGreaterThan(runs(2000) / 100)
    expect(tally.faults).toMatchObject({ anomaly: 0, 'wrong read': 0, 'unexpected error': 0 })
  })

  it('reports anomalies of one that knows snapshot isolation only', async () => {
    const tally = await examine('snapshot', runs(2000))
    expect(tally.faults.anomaly).toBeGreaterThan(runs(2000) / 100)
    // Blind overwrites of what a concurrent transaction wrote.
    expect(tally.faults['needless abort']).toBeGreaterThan(runs(2000) / 200)
    expect(tally.faults).toMatchObject({ 'aborted safe reader': 0, 'wrong read': 0, 'unexpected error': 0 })
  })

  it('reports wrong reads of one that always reads the newest commit', async () => {
    const tally = await examine('committed', runs(2000))
    expect(tally.faults['wrong read']).toBeGreaterThan(runs(2000) / 20)
  })

  it('reports lost updates of one that refuses nothing', async () => {
    const tally = await examine('anything', runs(1000), { ...MIX, levels: [SNAPSHOT] })
    expect(tally.faults.anomaly).toBeGreaterThan(runs(1000) / 10)
    expect(tally.faults).toMatchObject({ 'wrong read': 0, 'needless abort': 0 })
  })
})

describe('the examiner of long histories sees through toy engines', () => {
  const keys = ['a', 'b', 'c', 'd', 'A', 'B']
  const workload: Workload = {
    name: '',
    keys,
    skew: 0,
    inFlight: 8,
    commits: 3000,
    length: [1, 6],
    longReaders: 0,
    span: 4,
  }

  async function firstFault(policy: ToyPolicy, seed: number): Promise<string> {
    const tolerated: Fault[] = policy === 'committed' ? ['needless abort'] : []
    const history = new LongHistory(new ToyEngine(policy), keys, new Random(seed), tolerated)
    await history.run(workload)
    return history.tally.reports[0]?.split(':')[0] ?? 'flawless'
  }

  it('and names what it sees first', async () => {
    for (let round = 0; round < 5; round++) {
      expect(await firstFault('serial', round)).toMatch(/needless abort|aborted safe reader/)
      expect(await firstFault('snapshot', round)).toMatch(/anomaly|needless abort/)
      expect(await firstFault('committed', round)).toBe('wrong read')
      expect(await firstFault('anything', round)).toBe('anomaly')
    }
  })
})

/** The committed programs in an order that respects every edge, or undefined. */
function serialOrder(committed: readonly Node[]): number[] | undefined {
  const edges = dependencies(committed, commutes)
  const left = new Set(committed)
  const order: number[] = []
  while (left.size > 0) {
    const first = [...left].find((node) => edges.every((edge) => edge.to !== node || !left.has(edge.from)))
    if (first === undefined) return undefined
    left.delete(first)
    order.push(Number(first.name.slice(1)) - 1)
  }
  return order.filter((index) => index >= 0)
}

describe('the graph means what it says', () => {
  it('running the programs one after the other in graph order gives every read and the final state again', async () => {
    const random = new Random('replay')
    const engine = new ToyEngine('anything')
    const serial = new ToyEngine('anything')
    const tally = new Tally()
    const driver = new Driver(engine, KEYS, ['x', 'X'], tally)
    const replayer = new Driver(serial, KEYS, ['x', 'X'])
    const mix = { ...MIX, levels: [SERIALIZABLE] }
    let replayed = 0
    for (let i = 0; i < runs(8000); i++) {
      const programs = randomPrograms(random.between(2, 4), mix, random)
      const result = await driver.run(programs, randomSchedule(programs, random))
      if (result.faulty) continue
      const order = serialOrder(result.committed)
      expect(order).toBeDefined()
      const again = await replayer.run(
        programs,
        order!.flatMap((index) => Array(stepsOf(programs[index]!)).fill(index)),
      )
      for (const index of order!) expect(again.observed[index]).toEqual(result.observed[index])
      expect(serial.state).toEqual(engine.state)
      replayed++
    }
    console.log(`replayed ${replayed} acyclic histories in serial order, ${tally.faults.anomaly} had a cycle`)
    expect(tally.faults.anomaly).toBeGreaterThan(runs(8000) / 20)
    expect(replayed).toBeGreaterThan(tally.faults.anomaly)
  })
})

describe('the graph that grows', () => {
  it('agrees with the one made from scratch about every commit of random histories', async () => {
    let cycles = 0
    let acyclic = 0
    const compare = ({ committed }: Result) => {
      const graph = new DependencyGraph(commutes)
      committed.forEach((node, at) => {
        const candidate = { ...node, sequence: Infinity }
        const expected = judge(committed.slice(0, at), candidate, commutes)
        const { path, outgoing } = graph.cycle(candidate)
        expect(path !== undefined).toBe(expected.cycle !== undefined)
        if (expected.outgoing === 0) expect(outgoing).toBe(false)
        if (path === undefined) acyclic++
        else cycles++
        graph.add(node)
      })
    }
    const mix: Mix = { keys: KEYS, length: [1, 4], levels: [SERIALIZABLE, SERIALIZABLE, SERIALIZABLE, SNAPSHOT] }
    await examine('anything', runs(6000), mix, compare)
    expect(cycles).toBeGreaterThan(runs(6000) / 20)
    expect(acyclic).toBeGreaterThan(cycles)
  })
})
