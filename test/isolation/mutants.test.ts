/**
 * The examiner must bite: with any one part of the certifier broken, sampled histories must bring a fault to light.
 *
 * Each mutant replaces one method for the length of its test. A mutant that lives is a part of the certifier that nothing
 * here would miss, or one that is not needed.
 */
import { describe, expect, it } from 'vitest'
import { Certifier } from '../../src/mvcc/certifier.ts'
import { Engine } from '../../src/mvcc/engine.ts'
import type { GarbageQueue } from '../../src/mvcc/garbage.ts'
import { Graph } from '../../src/mvcc/graph.ts'
import { LazyReaders } from '../../src/mvcc/lazy.ts'
import { RangeRead } from '../../src/mvcc/predicates.ts'
import { Retention } from '../../src/mvcc/retention.ts'
import { SafePoint } from '../../src/mvcc/safe-point.ts'
import { SnapshotSet } from '../../src/mvcc/snapshots.ts'
import { TableStore } from '../../src/mvcc/store.ts'
import { Summary } from '../../src/mvcc/summary.ts'
import { TableView, Txn } from '../../src/mvcc/transaction.ts'
import type { MergeGroup } from '../../src/mvcc/version.ts'
import { breakMethod, type Breakable, type Method, nothing } from '../support/break.ts'
import { DatabaseEngine } from '../support/history-database.ts'
import { Driver, type Fault, Tally } from '../support/history.ts'
import { COMPOSITES, ITERATOR, type Mix, SAFE, SERIALIZABLE, SNAPSHOT, TRACKED } from '../support/history-generate.ts'
import { runRandom } from '../support/history-sample.ts'
import { LongHistory, type Workload } from '../support/history-long.ts'
import { Random } from '../support/random.ts'

interface Mutant {
  readonly name: string
  readonly of: Breakable
  readonly method: string
  /** The new method, given the old one. */
  readonly broken: (original: Method) => Method
  /** What it must lead to. */
  readonly fault: Fault | readonly Fault[]
  /** Room in the dependency graph, where that is what matters. */
  readonly graphCap?: number
}

const always =
  (value: unknown): (() => Method) =>
  () =>
  () =>
    value

/** Changes the merge group that a reader saw while its successors are collected. */
function withGroup(original: Method, change: (group: MergeGroup, snapshot: number) => void): Method {
  return function (this: unknown, store: TableStore, id: number, snapshot: number) {
    const group = store.versionAt(id, snapshot)?.group ?? null
    const saved = group === null ? null : { operands: group.operands, successor: group.successor }
    if (group !== null) change(group, snapshot)
    ;(original as (...args: unknown[]) => unknown).call(this, store, id, snapshot)
    if (group !== null) Object.assign(group, saved)
  }
}

const MUTANTS: readonly Mutant[] = [
  { name: 'the search finds no cycle', of: Graph, method: 'search', broken: always(null), fault: 'anomaly' },
  {
    name: 'the search is not made: what the filter suspects is refused',
    of: Graph,
    method: 'search',
    broken: always('unknown'),
    fault: 'needless abort',
  },
  { name: 'pi is not lowered in ancestors', of: Graph, method: 'lowerAncestors', broken: nothing, fault: 'anomaly' },
  {
    name: 'the graph forgets what has committed, whoever may still reach it',
    of: Retention,
    method: 'bound',
    broken: () =>
      function (this: { graph: Graph; garbage: GarbageQueue }) {
        this.garbage.addDropped(this.graph.sweep(Infinity))
      },
    fault: 'anomaly',
  },
  {
    name: 'the graph forgets what committed before all that are active, though others lead to it',
    of: Retention,
    method: 'bound',
    broken: () =>
      function (this: { graph: Graph; garbage: GarbageQueue }, _horizon: number, oldest: number) {
        const edges = this.graph.nodes.map((node) => node.outgoing)
        for (const node of this.graph.nodes) node.outgoing = []
        const all = this.graph.nodes
        this.garbage.addDropped(this.graph.sweep(oldest))
        all.forEach((node, at) => (node.outgoing = edges[at]!.filter((edge) => !edge.to.dropped)))
      },
    fault: 'anomaly',
  },
  { name: 'reads of values are not recorded', of: TableView, method: 'noteRead', broken: nothing, fault: 'anomaly' },
  { name: 'reads of absence are not recorded', of: TableView, method: 'noteAbsent', broken: nothing, fault: 'anomaly' },
  {
    name: 'own writes inside a scan count as reads',
    of: RangeRead,
    method: 'except',
    broken: nothing,
    fault: 'needless abort',
  },
  { name: 'predicates match nothing', of: RangeRead, method: 'covers', broken: always(false), fault: 'anomaly' },
  {
    name: 'predicates match everything',
    of: RangeRead,
    method: 'covers',
    broken: always(true),
    fault: 'needless abort',
  },
  { name: 'no marks are left', of: Certifier, method: 'leaveMarks', broken: nothing, fault: 'anomaly' },
  { name: 'value reads leave no mark', of: Certifier, method: 'markRead', broken: nothing, fault: 'anomaly' },
  {
    name: 'overwritten values have no successor',
    of: Certifier,
    method: 'valueSuccessors',
    broken: nothing,
    fault: 'anomaly',
  },
  {
    name: 'a reader precedes the next operand only',
    of: Certifier,
    method: 'valueSuccessors',
    broken: (original) =>
      withGroup(original, (group, snapshot) => {
        group.operands = group.operands.filter((operand) => operand.commit > snapshot).slice(0, 1)
      }),
    fault: 'anomaly',
  },
  {
    name: 'a reader does not precede what ends the group it read',
    of: Certifier,
    method: 'valueSuccessors',
    broken: (original) =>
      withGroup(original, (group) => {
        group.successor = null
      }),
    fault: 'anomaly',
  },
  {
    name: 'marks on a counter are not left once it has been merged again',
    of: Certifier,
    method: 'markRead',
    broken: (original) =>
      function (this: unknown, view: TableView, id: number, snapshot: number, node: unknown) {
        if (view.store.sequenceOf(id) > snapshot) return
        ;(original as (...args: unknown[]) => unknown).call(this, view, id, snapshot, node)
      },
    fault: 'anomaly',
  },
  {
    name: 'leaves do not know their newest commit',
    of: TableStore,
    method: 'stampLeaf',
    broken: nothing,
    fault: ['wrong read', 'anomaly'],
  },
  { name: 'iterators take no snapshot', of: LazyReaders, method: 'promoteAll', broken: nothing, fault: 'wrong read' },
  {
    name: 'a set outside of transactions takes nobody for a reader',
    of: Engine,
    method: 'isAlone',
    broken: always(true),
    fault: ['wrong read', 'anomaly'],
  },
  {
    name: 'no old version is kept',
    of: SnapshotSet,
    method: 'newest',
    broken: always(-1),
    fault: ['wrong read', 'unexpected error'],
  },
  {
    name: 'deleted keys have no successor',
    of: Certifier,
    method: 'existenceSuccessors',
    broken: nothing,
    fault: 'anomaly',
  },
  { name: 'ranges have no successors', of: Certifier, method: 'rangeSuccessors', broken: nothing, fault: 'anomaly' },
  {
    name: 'readers have no predecessors',
    of: Certifier,
    method: 'readPredecessors',
    broken: nothing,
    fault: 'anomaly',
  },
  {
    name: 'writers have no predecessors',
    of: Certifier,
    method: 'writePredecessors',
    broken: nothing,
    fault: 'anomaly',
  },
  { name: 'values have no creator', of: Certifier, method: 'valueCreators', broken: nothing, fault: 'anomaly' },
  { name: 'existence has no creator', of: Certifier, method: 'existenceCreators', broken: nothing, fault: 'anomaly' },
  {
    name: 'readers of a group forget its operands',
    of: Certifier,
    method: 'operandsSeen',
    broken: nothing,
    fault: 'anomaly',
  },
  {
    name: 'readers of a value are forgotten',
    of: Certifier,
    method: 'valueReaders',
    broken: nothing,
    fault: 'anomaly',
  },
  {
    name: 'readers of existence are forgotten',
    of: Certifier,
    method: 'existenceReaders',
    broken: nothing,
    fault: 'anomaly',
  },
  {
    name: 'readers of absence and of ranges are forgotten',
    of: Certifier,
    method: 'absentAndRangeReaders',
    broken: nothing,
    fault: 'anomaly',
  },
  {
    name: 'readers of existence by range are forgotten',
    of: Certifier,
    method: 'existenceRangeReaders',
    broken: nothing,
    fault: 'anomaly',
  },
  {
    name: 'existence is treated like a value',
    of: TableView,
    method: 'has',
    broken: (original) =>
      function (this: { get(key: unknown): unknown }, key: unknown) {
        this.get(key)
        return (original as (key: unknown) => unknown).call(this, key)
      },
    fault: 'needless abort',
  },
  {
    name: 'merges are treated like sets',
    of: TableView,
    method: 'merge',
    broken: (original) =>
      function (this: { get(key: unknown): unknown }, key: unknown, operand: unknown) {
        this.get(key)
        return (original as (key: unknown, operand: unknown) => unknown).call(this, key, operand)
      },
    fault: 'needless abort',
  },
  { name: 'every snapshot is safe', of: SafePoint, method: 'isSafe', broken: always(true), fault: 'anomaly' },
  {
    name: 'no other transaction is active',
    of: Engine,
    method: 'othersTracked',
    broken: always(false),
    fault: 'anomaly',
  },
  {
    name: 'the first committer does not win',
    of: Engine,
    method: 'certifyUpdate',
    broken: (original) =>
      function (this: never, txn: { serializable: boolean }) {
        const { serializable } = txn
        // What is not at the snapshot level is not asked who came first; its reads go on untracked.
        txn.serializable = true
        const outcome = original.call(this, txn as never)
        txn.serializable = serializable
        return outcome
      },
    fault: 'anomaly',
  },
  {
    name: 'summarised readers of ranges and of absence leave no stamp',
    of: Summary,
    method: 'cover',
    broken: nothing,
    fault: 'anomaly',
    graphCap: 2,
  },
  {
    name: 'summarised transactions are not remembered',
    of: Certifier,
    method: 'addStamp',
    broken: nothing,
    fault: 'anomaly',
    graphCap: 2,
  },
  {
    name: 'readers see the newest version',
    of: TableStore,
    method: 'versionAt',
    broken: always(null),
    fault: ['wrong read', 'anomaly'],
  },
  {
    name: 'savepoints keep what they should discard',
    of: Txn,
    method: 'logUndo',
    broken: nothing,
    fault: 'wrong read',
  },
]

/** Replaces a method or a getter; the way back. */
const LEVELS = [SERIALIZABLE, SERIALIZABLE, SERIALIZABLE, SERIALIZABLE, SERIALIZABLE, TRACKED, SAFE, ITERATOR]

const MIXES: readonly (readonly [count: number, mix: Mix])[] = [
  [4, { keys: ['x', 'X', 'y'], length: [1, 4], levels: LEVELS }],
  [6, { keys: ['x', 'X', 'y'], length: [1, 4], levels: LEVELS }],
  [
    4,
    {
      keys: ['x', 'y'],
      length: [1, 3],
      levels: LEVELS,
      reads: ['get', 'get', 'has'],
      writes: ['set', 'delete', 'merge'],
    },
  ],
  [3, { keys: ['x', 'y'], length: [1, 4], levels: [SERIALIZABLE, SNAPSHOT], writes: COMPOSITES }],
]

const WORKLOAD: Workload = {
  name: 'hot',
  keys: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'A', 'B', 'C'],
  skew: 0,
  inFlight: 12,
  commits: 20_000,
  length: [1, 5],
  longReaders: 0,
  span: 4,
}

/** Runs histories until one shows a fault of the kind that is asked for; how many it took. */
async function histories(wanted: readonly Fault[], most: number, injected: { graphCap?: number }): Promise<number> {
  const random = new Random('mutants')
  const tally = new Tally()
  const found = () => wanted.some((fault) => tally.faults[fault] > 0)
  while (tally.histories < most) {
    for (const [count, mix] of MIXES) {
      const engine = DatabaseEngine.with(injected)
      const driver = new Driver(engine, mix.keys, mix.keys.slice(1), tally)
      for (let i = 0; i < 200 && !found(); i++) {
        await runRandom(driver, count, mix, random)
      }
      if (found()) return tally.histories
      const tolerated: Fault[] = wanted.includes('needless abort') ? [] : ['needless abort']
      const history = new LongHistory(engine, WORKLOAD.keys, random, tolerated)
      await history.run({ ...WORKLOAD, commits: 500 })
      if (wanted.some((fault) => history.tally.faults[fault] > 0)) return tally.histories
    }
  }
  return Infinity
}

describe('a broken certifier is found out', () => {
  for (const mutant of MUTANTS) {
    it(`when ${mutant.name}`, async () => {
      breakMethod(mutant.of, mutant.method, mutant.broken)
      const injected = mutant.graphCap === undefined ? {} : { graphCap: mutant.graphCap }
      const took = await histories([mutant.fault].flat(), 20_000, injected)
      console.log(`${mutant.name}: ${took} histories`)
      expect(took).toBeLessThan(Infinity)
    })
  }
})
