/**
 * Every interleaving of every pair of small transactions, and sampled ones of three and four, against the oracle: no
 * anomaly, no needless abort, no aborted safe reader.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DatabaseEngine } from '../support/history-database.ts'
import { Driver, type Program, stepsOf, type Tally } from '../support/history.ts'
import type { Level, Op } from '../support/history-model.ts'
import {
  interleavings,
  type Mix,
  pointOps,
  randomProgram,
  randomSchedule,
  SAFE,
  scanOps,
  sequences,
  SERIALIZABLE,
  SNAPSHOT,
  TRACKED,
} from '../support/history-generate.ts'
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

function expectFlawless(what: string, tally: Tally): void {
  console.log(`${what}: ${tally.summary()}`)
  expect(tally.reports.join('\n\n')).toBe('')
  expect(Object.values(tally.faults)).toEqual([0, 0, 0, 0, 0])
}

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

  it('of two operations over a present and an absent key', { timeout: 120_000 }, async () => {
    const driver = new Driver(engine, ['x', 'y'], ['x'])
    await allPairsWithin(driver, at(SERIALIZABLE, bodies))
    expectFlawless('pairs, commuting merges', driver.tally)
    expect(driver.tally.refused).toBeGreaterThan(10_000)
    expect(driver.tally.searched).toBeGreaterThan(10_000)
  })

  it('of two operations where merges only associate', { timeout: 120_000 }, async () => {
    const driver = new Driver(engine, ['X', 'Y'], ['X'])
    const ops = pointOps(['X', 'Y']).filter(({ op }) => op !== 'has')
    await allPairsWithin(driver, at(SERIALIZABLE, sequences([...ops, scanOps('logs')[0]!], 2)))
    expectFlawless('pairs, associative merges', driver.tally)
    expect(driver.tally.refused).toBeGreaterThan(1000)
  })

  it('with a read-only transaction beside an update', { timeout: 120_000 }, async () => {
    const driver = new Driver(engine, ['x', 'y'], ['x'])
    const readers = reading(bodies)
    for (const level of [TRACKED, SAFE]) await allPairs(driver, at(level, readers), at(SERIALIZABLE, bodies))
    expectFlawless('pairs, read-only', driver.tally)
    // A reader and one writer alone cannot make a cycle.
    expect(driver.tally.refused).toBe(0)
  })

  it('at the snapshot level, alone and beside a serializable one', { timeout: 120_000 }, async () => {
    const driver = new Driver(engine, ['x', 'y'], ['x'])
    const ops: Op[] = pointOps(['x', 'y']).filter(({ op }) => op !== 'has')
    const small = sequences([...ops, scanOps('sums')[2]!], 2)
    await allPairsWithin(driver, at(SNAPSHOT, small))
    await allPairs(driver, at(SNAPSHOT, small), at(SERIALIZABLE, small))
    expectFlawless('pairs, snapshot level', driver.tally)
    expect(driver.tally.refused).toBeGreaterThan(1000)
  })
})

describe('sampled interleavings', () => {
  const levels = [SERIALIZABLE, SERIALIZABLE, SERIALIZABLE, SERIALIZABLE, SERIALIZABLE, TRACKED, TRACKED, SAFE]

  async function sample(name: string, histories: number, count: number, keys: string[], mix: Omit<Mix, 'keys'>) {
    const random = new Random(name)
    const driver = new Driver(engine, keys, keys.slice(0, 2))
    for (let i = 0; i < histories; i++) {
      const programs = Array.from({ length: count }, () => randomProgram({ ...mix, keys }, random))
      await driver.run(programs, randomSchedule(programs, random))
    }
    expectFlawless(`${name} (seed ${seed})`, driver.tally)
    return driver.tally
  }

  it('of three', { timeout: 120_000 }, async () => {
    const tally = await sample('triples', runs(40_000), 3, ['x', 'X', 'y'], { length: [1, 4], levels })
    expect(tally.refused).toBeGreaterThan(runs(40_000) / 40)
    expect(tally.closeCalls).toBeGreaterThan(runs(40_000) / 400)
  })

  it('of four', { timeout: 120_000 }, async () => {
    const tally = await sample('quadruples', runs(40_000), 4, ['x', 'y', 'z'], { length: [1, 4], levels })
    expect(tally.refused).toBeGreaterThan(runs(40_000) / 40)
    expect(tally.closeCalls).toBeGreaterThan(runs(40_000) / 400)
  })

  it('of four where existence and merges decide', { timeout: 120_000 }, async () => {
    const mix: Omit<Mix, 'keys'> = { length: [2, 3], levels }
    await sample('quadruples of two keys', runs(20_000), 4, ['x', 'X'], mix)
  })

  it('of eight', { timeout: 120_000 }, async () => {
    await sample('octuples', runs(5000), 8, ['x', 'X', 'y', 'Y'], { length: [1, 4], levels })
  })

  it('of four at both levels', { timeout: 120_000 }, async () => {
    const mix: Omit<Mix, 'keys'> = {
      length: [1, 4],
      levels: [SERIALIZABLE, SERIALIZABLE, SNAPSHOT, SNAPSHOT, TRACKED, SAFE],
    }
    await sample('quadruples at both levels', runs(10_000), 4, ['x', 'X', 'y'], mix)
  })
})
