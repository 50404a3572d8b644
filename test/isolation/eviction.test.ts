/**
 * Isolation while memory is kept small. In memory an eviction is a transaction of the engine that deletes, and whoever needs an
 * old value that went with it is told so; over a disk nobody can tell that anything leaves memory. The oracle is the same.
 */
import { describe, expect, it } from 'vitest'
import { Engine } from '../../src/mvcc/engine.ts'
import { Evictor } from '../../src/mvcc/evictor.ts'
import { breakMethod, type Method } from '../support/break.ts'
import { EvictingEngine, type Plan } from '../support/history-evicting.ts'
import { DiskCounts, DiskEngine } from '../support/history-disk.ts'
import { sampleOnDisk } from '../support/history-disk-sample.ts'
import {
  COMPOSITES,
  ITERATOR,
  type Mix,
  randomPrograms,
  SAFE,
  SERIALIZABLE,
  SNAPSHOT,
  TRACKED,
} from '../support/history-generate.ts'
import { Driver, Tally } from '../support/history.ts'
import { expectFlawless, expectNoAnomaly, runRandom } from '../support/history-sample.ts'
import { LongHistory } from '../support/history-long.ts'
import { Random, runs, seed } from '../support/random.ts'

const LEVELS = [SERIALIZABLE, SERIALIZABLE, SERIALIZABLE, SERIALIZABLE, TRACKED, TRACKED, SAFE, ITERATOR, SNAPSHOT]
const KEYS = ['w', 'x', 'y', 'z', 'X', 'Y']

const MIXES: readonly (readonly [name: string, count: number, mix: Mix])[] = [
  ['triples', 3, { keys: ['x', 'X', 'y'], length: [1, 4], levels: LEVELS }],
  ['quadruples', 4, { keys: KEYS, length: [1, 4], levels: LEVELS }],
  [
    'readers of what comes and goes',
    3,
    {
      keys: ['x', 'y'],
      length: [1, 3],
      levels: [SERIALIZABLE, SERIALIZABLE, TRACKED, TRACKED, ITERATOR],
      reads: ['get', 'get', 'has', 'scan'],
      writes: ['set', 'delete'],
    },
  ],
  ['calls that read and write', 3, { keys: ['x', 'X', 'y'], length: [1, 4], levels: LEVELS, writes: COMPOSITES }],
]

/** Runs histories until one goes wrong, 40 of them in one database. */
async function runInMemory(
  name: string,
  plan: Plan,
  count: number,
  mix: Mix,
  initial: readonly string[],
  histories: number,
  end: (engine: EvictingEngine) => Promise<void>,
): Promise<Tally> {
  const random = new Random(name)
  const tally = new Tally()
  for (let left = histories; left > 0 && tally.reports.length === 0; left -= 40) {
    const engine = new EvictingEngine(plan, mix.keys, random.fork())
    const driver = new Driver(engine, mix.keys, initial, tally)
    await engine.watched(async () => {
      for (let at = 0; at < Math.min(left, 40) && tally.reports.length === 0; at++)
        await runRandom(driver, count, mix, random)
    })
    await end(engine)
  }
  return tally
}

async function endSoundly({ database }: EvictingEngine): Promise<void> {
  expect((await database.check()).problems).toEqual([])
  await database.close()
}

async function sampleInMemory(name: string, plan: Plan, count: number, mix: Mix, histories: number): Promise<Tally> {
  const initial = mix.keys.slice(0, mix.keys.length >> 1)
  const tally = await runInMemory(name, plan, count, mix, initial, histories, endSoundly)
  const { evicted, outdated, tooLarge } = tally
  expectFlawless(`${name} (seed ${seed})`, tally, `; evicted ${evicted}, too old ${outdated}, no room ${tooLarge}`)
  return tally
}

describe('in memory', () => {
  for (const [name, count, mix] of MIXES) {
    it(`${name}, with keys evicted by name`, async () => {
      const histories = runs(800)
      const tally = await sampleInMemory(`named ${name}`, { eviction: 'manual', byName: 0.3 }, count, mix, histories)
      expect(tally.evicted).toBeGreaterThan(histories / 4)
      if (histories < 200) return
      expect(tally.outdated).toBeGreaterThan(0)
      expect(tally.commits).toBeGreaterThan(histories)
    })

    it(`${name}, with a limit of a few entries`, async () => {
      const histories = runs(600)
      const random = new Random(`policies ${name}`)
      const eviction = random.pick(['lru', 'lfu', 'random', 'arc', 's3fifo'] as const)
      const plan: Plan = { eviction, maxMemoryBytes: 150 * mix.keys.length, byName: 0.05 }
      const tally = await sampleInMemory(`limited ${name}`, plan, count, mix, histories)
      expect(tally.evicted).toBeGreaterThan(0)
      expect(tally.commits).toBeGreaterThan(histories / 2)
    })
  }

  it('with a graph that is full most of the time', async () => {
    const [, [, count, mix]] = MIXES as [(typeof MIXES)[0], (typeof MIXES)[0]]
    const random = new Random('evicting with a small graph')
    const tally = new Tally()
    const engine = new EvictingEngine({ eviction: 'manual', byName: 0.3, graphCap: 2 }, mix.keys, random.fork())
    const driver = new Driver(engine, mix.keys, [], tally)
    await engine.watched(async () => {
      for (let i = runs(300); i > 0; i--) await runRandom(driver, count, mix, random)
    })
    // What is refused for want of nodes is no fault here; anything else is.
    expectNoAnomaly('evicting with a small graph', tally)
    expect((await engine.database.check()).problems).toEqual([])
  })
})

describe('on disk', () => {
  for (const [name, count, mix] of MIXES) {
    it(`${name}: what leaves memory makes no difference`, async () => {
      const histories = runs(240)
      const random = new Random(`spilled ${name}`)
      const eviction = random.pick(['lru', 'lfu', 'random', 'arc', 's3fifo'] as const)
      const { tally, counts } = await sampleOnDisk(
        random,
        histories,
        mix.keys,
        (draws) => randomPrograms(count, mix, draws),
        { workRate: 0.12, limit: { maxMemoryBytes: 6000, eviction } },
      )
      expectFlawless(`spilled ${name} (seed ${seed})`, tally, `; ${counts.summary()}`)
      expect([tally.outdated, tally.tooLarge]).toEqual([0, 0])
      expect(counts.evicted).toBeGreaterThan(histories / 10)
    })
  }
})

describe('long histories on disk', () => {
  it('of which most entries leave memory between two steps', async () => {
    const random = new Random('long spilled history')
    const names = (prefix: string, count: number): string[] =>
      Array.from({ length: count }, (_, i) => prefix + String(i).padStart(3, '0'))
    const hot = [...names('h', 8), ...names('H', 4)]
    const wide = [...names('z', 80), ...names('Z', 20)]
    const engine = await DiskEngine.create('full', random.fork(), 0.01, new DiskCounts(), { eviction: 'manual' })
    const history = new LongHistory(engine, [...hot, ...wide], random.fork())
    const common = { skew: 0.7, inFlight: 16, commits: runs(300), length: [1, 8] as const, longReaders: 2, span: 20 }
    for (const keys of [wide, hot]) {
      await history.run({ ...common, name: 'spilled', keys })
      expect(history.tally.reports.join('\n\n')).toBe('')
      await engine.settle()
      await engine.reopen('close')
    }
    console.log(`long, spilled (seed ${seed}): ${history.tally.summary()}; ${engine.counts.summary()}`)
    expect(engine.counts.evicted).toBeGreaterThan(100)
    expect(history.tally.refused).toBeGreaterThan(0)
  })
})

/** With one condition of eviction broken, the histories above must bring it to light. */
describe('what these histories miss', () => {
  /** Sees of a chunk what {@link Evictor} sees. */
  interface ChunkInside {
    readonly pins: Uint32Array | null
    metaAt(i: number): unknown
    valueAt(i: number): unknown
    sequenceAt(i: number): number
  }
  interface EvictorInside {
    readonly engine: { readonly horizon: number; readonly base: { covers(sequence: number): boolean } }
  }
  type Condition = 'history' | 'reads' | 'base'

  const without = (condition: Condition): Method =>
    function (this: EvictorInside, chunk: ChunkInside, i: number): boolean {
      if (chunk.valueAt(i) === undefined) return false
      const { horizon, base } = this.engine
      return (
        (condition === 'history' || chunk.metaAt(i) === undefined) &&
        (condition === 'reads' || chunk.pins?.[i] === 0) &&
        chunk.sequenceAt(i) <= horizon &&
        (condition === 'base' || base.covers(chunk.sequenceAt(i)))
      )
    }

  const BUSY: Mix = { keys: ['x', 'X', 'y', 'z'], length: [2, 5], levels: LEVELS }

  async function onDisk(name: string): Promise<string | undefined> {
    return sampleOnDisk(new Random(name), 3000, BUSY.keys, (random) => randomPrograms(4, BUSY, random), {
      perDatabase: 10,
      workRate: 0.25,
      limit: { maxMemoryBytes: 6000, eviction: 'random' },
    }).then(
      ({ tally }) => tally.reports[0],
      (error: unknown) => String(error),
    )
  }

  it.each<[string, Condition]>([
    ['what has a history leaves', 'history'],
    ['what somebody has read leaves', 'reads'],
    ['what is not on disk leaves', 'base'],
  ])('is not that on disk %s', async (name, condition) => {
    breakMethod(Evictor, 'mayLeave', () => without(condition))
    expect(await onDisk(name)).toBeDefined()
  })

  function inMemory(name: string): Promise<Tally> {
    const plan: Plan = { eviction: 'manual', byName: 0.4 }
    return runInMemory(name, plan, 4, BUSY, BUSY.keys, 3000, async () => {})
  }

  it('is not that in memory an eviction leaves no trace in the graph', async () => {
    breakMethod(Engine, 'certifyBlind', () => () => null)
    expect((await inMemory('traceless')).reports).not.toEqual([])
  })

  it('is not that in memory what is evicted vanishes from snapshots', async () => {
    breakMethod(Evictor, 'isUnseen', () => () => true)
    expect((await inMemory('vanishing')).reports).not.toEqual([])
  })
})
