/**
 * Isolation over data on disk: histories whose first reads are all cold, with checkpoints, merges and vacuum between the steps
 * and commits that wait for the log, against the same oracle as in memory. Each session ends in a close, a death or a
 * loss of power, after which the next one must find a moment of the model that holds all that was acknowledged.
 */
import { describe, expect, it } from 'vitest'
import type { Transaction, VarveError } from '../../src/index.ts'
import { GarbageQueue } from '../../src/mvcc/garbage.ts'
import { TableStore } from '../../src/mvcc/store.ts'
import { Txn } from '../../src/mvcc/transaction.ts'
import { MemoryRun } from '../../src/runs/memory-run.ts'
import { ColdTable, ColdTier, type ColdVersion } from '../../src/runs/tier.ts'
import { LogWriter } from '../../src/wal/writer.ts'
import { breakMethod, type Breakable, type Method, nothing } from '../support/break.ts'
import { DiskEngine } from '../support/history-disk.ts'
import { type Draw, ENDINGS, sampleOnDisk, type SamplePlan } from '../support/history-disk-sample.ts'
import {
  COMPOSITES,
  ITERATOR,
  type Mix,
  pointOps,
  randomPrograms,
  SAFE,
  scanOps,
  SERIALIZABLE,
  SNAPSHOT,
  TRACKED,
} from '../support/history-generate.ts'
import { LongHistory, type Workload } from '../support/history-long.ts'
import type { Level, Op, Value } from '../support/history-model.ts'
import { expectFlawless } from '../support/history-sample.ts'
import type { Program } from '../support/history.ts'
import { Random, runs, seed } from '../support/random.ts'

async function sample(
  name: string,
  histories: number,
  keys: readonly string[],
  draw: Draw,
  plan?: SamplePlan,
): Promise<void> {
  const { tally, counts } = await sampleOnDisk(new Random(name), histories, keys, draw, plan)
  expectFlawless(`${name} (seed ${seed})`, tally, `; ${counts.summary()}`)
  expect(counts.acknowledged).toBeGreaterThan(histories / 2)
  expect(counts.cold).toBeGreaterThanOrEqual(histories)
  if (histories < 200) return
  expect(tally.refused).toBeGreaterThan(histories / 50)
  expect(counts.checkpoints).toBeGreaterThan(histories / 10)
  expect(counts.merges).toBeGreaterThan(histories / 100)
  expect(counts.forgotten).toBeGreaterThan(histories / 20)
}

const levels = [...Array.from({ length: 5 }, () => SERIALIZABLE), TRACKED, TRACKED, SAFE, ITERATOR]

const drawing =
  (count: number, mix: Mix): Draw =>
  (random) =>
    randomPrograms(count, mix, random)

const COMING_AND_GOING: Mix = {
  keys: ['x', 'y'],
  length: [1, 3],
  levels: [SERIALIZABLE, SERIALIZABLE, SERIALIZABLE, TRACKED, TRACKED, ITERATOR],
  reads: ['get', 'get', 'has', 'scan'],
  writes: ['set', 'delete', 'delete'],
}

/** Scan after scan, while what is on disk changes under them. */
const SCANNING: Mix = {
  keys: ['w', 'x', 'y', 'z'],
  length: [2, 5],
  levels: [SERIALIZABLE, SERIALIZABLE, TRACKED, TRACKED, SAFE],
  reads: ['scan', 'scan', 'scan', 'pause'],
  writes: ['delete', 'delete', 'set'],
}

describe('interleavings over what is on disk', () => {
  it('of pairs of one or two operations', async () => {
    const alphabet: readonly Op[] = [...pointOps(['x', 'y']), ...scanOps('sums'), { op: 'clear', over: 'sums' }]
    const others: readonly Level[] = [SERIALIZABLE, SERIALIZABLE, SNAPSHOT]
    const program = (level: Level, random: Random): Program => ({
      ...level,
      ops: Array.from({ length: random.between(1, 2) }, () => random.pick(alphabet)),
    })
    await sample('cold pairs', runs(720), ['x', 'y'], (random) => [
      program(SERIALIZABLE, random),
      program(random.pick(others), random),
    ])
  })

  const SAMPLES: readonly (readonly [name: string, histories: number, count: number, mix: Mix])[] = [
    ['triples', 480, 3, { keys: ['x', 'X', 'y'], length: [1, 4], levels }],
    ['quadruples', 480, 4, { keys: ['w', 'x', 'y', 'z'], length: [1, 4], levels }],
    ['octuples', 120, 8, { keys: ['x', 'X', 'y', 'Y'], length: [1, 4], levels }],
    [
      'quadruples at both levels',
      240,
      4,
      {
        keys: ['x', 'X', 'y', 'z'],
        length: [1, 4],
        levels: [SERIALIZABLE, SERIALIZABLE, SNAPSHOT, SNAPSHOT, TRACKED, SAFE],
      },
    ],
    ['readers of what comes and goes', 720, 3, COMING_AND_GOING],
    [
      'counters that come and go',
      480,
      4,
      {
        keys: ['x', 'y'],
        length: [1, 3],
        levels,
        reads: ['get', 'get', 'has'],
        writes: ['set', 'delete', 'delete', 'merge', 'merge'],
      },
    ],
    ['calls that read and write', 480, 3, { keys: ['x', 'X', 'y'], length: [1, 4], levels, writes: COMPOSITES }],
  ]

  for (const [name, histories, count, mix] of SAMPLES) {
    it(name, () => sample(`cold ${name}`, runs(histories), mix.keys, drawing(count, mix)))
  }

  it('scans while checkpoints and merges go on all the time', () =>
    sample('cold scans', runs(120), SCANNING.keys, drawing(3, SCANNING), { workRate: 0.25 }))
})

describe('long histories over what is on disk', () => {
  const numbered = (prefix: string, count: number): string[] =>
    Array.from({ length: count }, (_, i) => prefix + String(i).padStart(3, '0'))
  const hot = [...numbered('h', 8), ...numbered('H', 4)]
  const wide = [...numbered('z', 300), ...numbered('Z', 80)]
  const workloads: readonly Workload[] = [
    { name: 'zipf', keys: wide, skew: 0.9, inFlight: 32, commits: 500, length: [2, 12], longReaders: 0, span: 20 },
    { name: 'hot', keys: hot, skew: 0, inFlight: 16, commits: 400, length: [1, 6], longReaders: 0, span: 5 },
    { name: 'long', keys: wide, skew: 0.5, inFlight: 16, commits: 400, length: [1, 8], longReaders: 4, span: 100 },
  ]

  for (const durability of ['full', 'relaxed'] as const) {
    it(`${durability}: session after session, each of which finds the last one cold`, async () => {
      const random = new Random(`cold long history ${durability}`)
      const engine = await DiskEngine.create(durability, random.fork(), 0.002)
      const history = new LongHistory(engine, [...hot, ...wide], random.fork())
      for (let round = 0; round < 2; round++) {
        for (const workload of workloads) {
          await history.run({ ...workload, commits: runs(workload.commits) })
          expect(history.tally.reports.join('\n\n')).toBe('')
          await engine.settle()
          expect((await engine.database.check()).problems).toEqual([])
          await engine.reopen(random.pick(durability === 'full' ? ENDINGS : ['close', 'kill']))
          engine.counts.cold += engine.coldKeys
        }
      }
      await engine.reopen('close')
      console.log(`${durability}, long: ${history.tally.summary()}; ${engine.counts.summary()} (seed ${seed})`)
      expect(engine.counts.lost).toBe(0)
      expect(history.tally.refused).toBeGreaterThan(history.tally.commits / 100)
      expect(engine.counts.checkpoints).toBeGreaterThan(5)
    })
  }
})

/** What a transaction still finds that began after a deletion, and looked before and after a checkpoint of it. */
async function scansAcrossCheckpoint(): Promise<unknown[]> {
  const engine = await DiskEngine.create('full', new Random('scans across a checkpoint'), 0)
  const { tables } = engine
  // The other key is never read, so that no scan can tell that memory has everything.
  await engine.prepare([{ tables, keys: ['x', 'y'], initial: ['x', 'y'] }])
  await engine.reopen('close')
  const handle = engine.database.handle(tables.sums)
  await handle.delete('x')
  const transaction = handle.begin({ readOnly: true })
  const before = [...transaction.keys()]
  await engine.database.checkpoint()
  await engine.database.vacuum()
  const after = [...transaction.keys()]
  transaction.rollback()
  await engine.database.vacuum()
  expect(engine.database.stats().tables[tables.sums.name]?.tombstones).toBe(0)
  await engine.reopen('close')
  const reopened = [...engine.database.handle(tables.sums).keys()]
  return [...before, ...after, ...reopened].filter((key) => key !== 'y')
}

describe('marks over what is on disk', () => {
  /** Two updates of which each reads what the other writes, one of them only on disk, while that comes, goes and is forgotten. */
  async function skew(read: (transaction: Transaction<string, Value>) => unknown, initial: string[]): Promise<string> {
    const engine = await DiskEngine.create('full', new Random('marks'), 0)
    const { tables } = engine
    await engine.prepare([{ tables, keys: ['x', 'y'], initial }])
    await engine.reopen('close')
    const handle = engine.database.handle(tables.sums)
    const forget = async (): Promise<void> => {
      await engine.database.checkpoint()
      await engine.database.compact()
      await engine.database.vacuum()
    }
    const one = handle.begin()
    read(one)
    const other = handle.begin()
    other.get('y')
    expect(handle.get('x')).toBe(initial.includes('x') ? 0 : undefined)
    await (initial.includes('x') ? handle.delete('x') : handle.set('x', 1))
    await forget()
    if (initial.includes('x')) await handle.set('x', 2)
    else await handle.delete('x')
    await forget()
    other.set('x', 3)
    await other.commit()
    await forget()
    one.set('y', 4)
    const outcome = await one.commit().then(
      () => 'committed',
      (error: VarveError) => error.code,
    )
    await engine.reopen('close')
    return outcome
  }

  it.each<[string, (transaction: Transaction<string, Value>) => unknown]>([
    ['get', (transaction) => transaction.get('x')],
    ['has', (transaction) => transaction.has('x')],
    ['entries', (transaction) => [...transaction.entries({ lte: 'x' })]],
    ['keys', (transaction) => [...transaction.keys({ lte: 'x', reverse: true })]],
    ['count', (transaction) => transaction.count()],
  ])('of %s stay while the key is loaded, deleted, written, checkpointed and forgotten by others', async (_, read) => {
    expect(await skew(read, ['x', 'y'])).toBe('SERIALIZATION_FAILURE')
    expect(await skew(read, ['y'])).toBe('SERIALIZATION_FAILURE')
    expect(await skew(() => undefined, ['x', 'y'])).toBe('committed')
  })
})

/** With one part of what lies between memory and disk broken, the histories above must bring it to light. */
describe('what these histories miss', () => {
  const MUTANTS: readonly (readonly [
    name: string,
    of: Breakable,
    method: string,
    broken: (original: Method) => Method,
  ])[] = [
    [
      'a deletion is forgotten before the disk knows of it',
      GarbageQueue,
      'isRipe',
      () =>
        function (this: unknown, tombstone: { sequence: number }, safePoint: number) {
          return tombstone.sequence <= safePoint
        },
    ],
    [
      'what is loaded late is taken for new',
      TableStore,
      'load',
      (original) =>
        function (this: TableStore, ...args: never[]) {
          const id = original.apply(this as never, args) as number
          if (id >= 0) this.chunks[id >>> 12]!.setSequence(id & 4095, this.sequenceOf(id) + 30)
          return id
        },
    ],
    [
      'what is loaded is counted as cold for ever',
      TableStore,
      'load',
      (original) =>
        function (this: TableStore, ...args: never[]) {
          const { coldSize } = this
          const id = original.apply(this as never, args) as number
          this.coldSize = coldSize
          return id
        },
    ],
    ['the disk is not asked', ColdTable, 'find', () => () => false],
    [
      'a scan holds no version of the disk',
      ColdTier,
      'acquire',
      () =>
        function (this: ColdTier): ColdVersion {
          this.current.holders++
          const version = this.current
          queueMicrotask(() => this.release(version))
          return Object.assign(Object.create(version) as ColdVersion, { holders: 1 })
        },
    ],
    ['deletions are not logged', LogWriter, 'remove', nothing],
    ['the tail of the log loses its deletions', MemoryRun, 'remove', nothing],
    ['commits do not wait for the disk', LogWriter, 'settledAt', () => () => null],
    ['the size of tables is not logged', LogWriter, 'resized', nothing],
  ]

  it('is not that a deletion is forgotten while a transaction reads an older version of the disk', async () => {
    expect(await scansAcrossCheckpoint()).toEqual([])
    breakMethod(
      ColdTier,
      'settleFloor',
      () =>
        function (this: ColdTier) {
          this.floor = this.current.coveredSequence
        },
    )
    expect(await scansAcrossCheckpoint()).not.toEqual([])
  })

  it('is not that a transaction which only read does not wait for what it saw', async () => {
    breakMethod(
      Txn,
      'extent',
      () =>
        function (this: Txn): number {
          return this.committedAt
        },
    )
    const draw = drawing(3, COMING_AND_GOING)
    const sampled = sampleOnDisk(new Random('readers'), 3000, COMING_AND_GOING.keys, draw, { perDatabase: 3 })
    await expect(sampled).rejects.toThrow(/acknowledged up to/)
  })

  for (const [name, of, method, broken] of MUTANTS) {
    it(`is not that ${name}`, async () => {
      breakMethod(of, method, broken)
      const draw = drawing(3, COMING_AND_GOING)
      const found = await sampleOnDisk(new Random(name), 3000, COMING_AND_GOING.keys, draw, { perDatabase: 10 }).then(
        ({ tally }) => tally.reports[0],
        (error: unknown) => String(error),
      )
      expect(found).toBeDefined()
    })
  }
})
