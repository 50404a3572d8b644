/**
 * Every interleaving of every pair of small transactions, and sampled ones of three and four, against the oracle: no
 * anomaly, no needless abort, no aborted safe reader.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DatabaseEngine } from '../support/history-database.ts'
import { Driver, type Program, stepsOf, type Tally } from '../support/history.ts'
import type { Level, Op } from '../support/history-model.ts'
import {
  COMPOSITES,
  interleavings,
  ITERATOR,
  type Mix,
  pointOps,
  SAFE,
  scanOps,
  sequences,
  SERIALIZABLE,
  SNAPSHOT,
  TRACKED,
} from '../support/history-generate.ts'
import { expectFlawless, expectNoAnomaly, runRandom } from '../support/history-sample.ts'
import { Random, runs, seed } from '../support/random.ts'

let engine: DatabaseEngine

beforeEach(async () => {
  engine = await DatabaseEngine.open()
})

afterEach(async () => {
  const report = await engine.database.check()
  expect(report.problems).toEqual([])
  await engine.database.close()
})

/** Runs every interleaving of every pair: the first of `first`, the second of `second`. */
async function allPairs(driver: Driver, first: readonly Program[], second: readonly Program[]): Promise<void> {
  const orders = new Map<string, number[][]>()
  for (const one of first) {
    for (const other of second) {
      const counts = [stepsOf(one), stepsOf(other)]
      let schedules = orders.get(String(counts))
      if (schedules === undefined) orders.set(String(counts), (schedules = interleavings(counts)))
      for (const schedule of schedules) await driver.run([one, other], schedule)
    }
  }
}

/** Likewise, with each unordered pair once. */
async function allPairsWithin(driver: Driver, programs: readonly Program[]): Promise<void> {
  for (const [index, program] of programs.entries()) await allPairs(driver, [program], programs.slice(index))
}

const at = (level: Level, bodies: readonly Op[][]): Program[] => bodies.map((ops) => ({ ...level, ops }))
const reading = (bodies: readonly Op[][]): Op[][] =>
  bodies.filter((ops) => ops.every(({ op }) => op === 'get' || op === 'has' || op === 'scan' || op === 'count'))

describe('every interleaving of every pair', () => {
  const bodies = sequences([...pointOps(['x', 'y']), ...scanOps('sums')], 2)

  it('of two operations over a present and an absent key', async () => {
    const driver = new Driver(engine, ['x', 'y'], ['x'])
    await allPairsWithin(driver, at(SERIALIZABLE, bodies))
    expectFlawless('pairs, commuting merges', driver.tally)
    expect(driver.tally.refused).toBeGreaterThan(10_000)
    expect(driver.tally.searched).toBeGreaterThan(10_000)
  })

  it('of two operations where merges only associate', async () => {
    const driver = new Driver(engine, ['X', 'Y'], ['X'])
    const ops = [...pointOps(['X', 'Y'], ['get', 'set', 'delete', 'merge']), scanOps('logs')[0]!]
    await allPairsWithin(driver, at(SERIALIZABLE, sequences(ops, 2)))
    expectFlawless('pairs, associative merges', driver.tally)
    expect(driver.tally.refused).toBeGreaterThan(1000)
  })

  it('with a read-only transaction beside an update', async () => {
    const driver = new Driver(engine, ['x', 'y'], ['x'])
    const writers = sequences(pointOps(['x', 'y'], ['set', 'delete', 'merge']), 2)
    for (const level of [TRACKED, SAFE]) await allPairs(driver, at(level, reading(bodies)), at(SERIALIZABLE, writers))
    expectFlawless('pairs, read-only', driver.tally)
    // A reader and one writer alone cannot make a cycle.
    expect(driver.tally.refused).toBe(0)
  })

  it('at the snapshot level, alone and beside a serializable one', async () => {
    const driver = new Driver(engine, ['x', 'y'], ['x'])
    const small = sequences(pointOps(['x', 'y'], ['get', 'set', 'delete', 'merge']), 2)
    await allPairsWithin(driver, at(SNAPSHOT, small))
    await allPairs(driver, at(SNAPSHOT, small), at(SERIALIZABLE, small))
    expectFlawless('pairs, snapshot level', driver.tally)
    expect(driver.tally.refused).toBeGreaterThan(1000)
  })
})

describe('sampled interleavings', () => {
  const levels = [
    SERIALIZABLE,
    SERIALIZABLE,
    SERIALIZABLE,
    SERIALIZABLE,
    SERIALIZABLE,
    TRACKED,
    TRACKED,
    SAFE,
    ITERATOR,
  ]

  /** Runs `histories` random histories of `count` programs; of the keys the first half exists at the start. */
  async function sample(name: string, histories: number, count: number, mix: Mix, on = engine): Promise<Tally> {
    const random = new Random(name)
    const driver = new Driver(on, mix.keys, mix.keys.slice(0, mix.keys.length >> 1))
    for (let i = 0; i < histories; i++) await runRandom(driver, count, mix, random)
    return driver.tally
  }

  const SAMPLES: readonly (readonly [name: string, histories: number, count: number, mix: Mix])[] = [
    ['triples', 15_000, 3, { keys: ['x', 'X', 'y'], length: [1, 4], levels }],
    ['quadruples', 15_000, 4, { keys: ['x', 'y', 'z'], length: [1, 4], levels }],
    ['octuples', 4000, 8, { keys: ['x', 'X', 'y', 'Y'], length: [1, 4], levels }],
    [
      'quadruples at both levels',
      8000,
      4,
      {
        keys: ['x', 'X', 'y'],
        length: [1, 4],
        levels: [SERIALIZABLE, SERIALIZABLE, SNAPSHOT, SNAPSHOT, TRACKED, SAFE],
      },
    ],
    [
      'readers of what comes and goes',
      15_000,
      3,
      {
        keys: ['x', 'y'],
        length: [1, 3],
        levels: [SERIALIZABLE, SERIALIZABLE, SERIALIZABLE, TRACKED, TRACKED, ITERATOR],
        reads: ['get', 'get', 'has', 'scan'],
        writes: ['set', 'delete', 'delete'],
      },
    ],
    [
      'counters that come and go',
      10_000,
      4,
      {
        keys: ['x', 'y'],
        length: [1, 3],
        levels,
        reads: ['get', 'get', 'has'],
        writes: ['set', 'delete', 'delete', 'merge', 'merge'],
      },
    ],
    ['calls that read and write', 10_000, 3, { keys: ['x', 'X', 'y'], length: [1, 4], levels, writes: COMPOSITES }],
  ]

  for (const [name, histories, count, mix] of SAMPLES) {
    it(name, async () => {
      const tally = await sample(name, runs(histories), count, mix)
      expectFlawless(`${name} (seed ${seed})`, tally)
      expect(tally.refused).toBeGreaterThan(runs(histories) / 50)
      expect(tally.searched).toBeGreaterThan(runs(histories) / 50)
      if (count > 2) expect(tally.closeCalls).toBeGreaterThan(runs(histories) / 1000)
    })
  }

  it('with room for a handful of transactions in the graph: needless aborts, but no anomaly', async () => {
    let needless = 0
    for (const graphCap of [1, 2, 3]) {
      const small = DatabaseEngine.with({ graphCap })
      const mix: Mix = { keys: ['x', 'X', 'y'], length: [1, 4], levels }
      const tally = await sample(`graph of ${graphCap}`, runs(2000), 6, mix, small)
      expectNoAnomaly(`graph of ${graphCap}`, tally)
      needless += tally.faults['needless abort']
      expect(small.database.stats().transactions.graphFullConflicts).toBeGreaterThanOrEqual(
        tally.faults['needless abort'],
      )
      await small.database.close()
    }
    expect(needless).toBeGreaterThan(0)
  })

  it('with a clock beyond 32 bits', async () => {
    for (const firstSequence of [2 ** 31 - 500, 2 ** 32 - 500, 2 ** 40]) {
      const late = DatabaseEngine.with({ firstSequence })
      const tally = await sample('late clock', runs(1000), 4, { keys: ['x', 'X', 'y'], length: [1, 4], levels }, late)
      expectFlawless(`from sequence ${firstSequence}`, tally)
      expect(late.database.sequence).toBeGreaterThan(firstSequence + 1000)
      await late.database.close()
    }
  })
})
