/** 60,000 commits in one database, through a cycle checker that also asks whether every refusal was needed. */
import { describe, expect, it } from 'vitest'
import { DatabaseEngine } from '../support/history-database.ts'
import { LongHistory, type Workload } from '../support/history-long.ts'
import { Random, runs, seed } from '../support/random.ts'

const numbered = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => prefix + String(i).padStart(3, '0'))

const hot = [...numbered('h', 8), ...numbered('H', 4)]
const wide = [...numbered('z', 400), ...numbered('Z', 100)]

const WORKLOADS: readonly Workload[] = [
  {
    name: 'a few hot keys',
    keys: hot,
    skew: 0,
    inFlight: 16,
    commits: 20_000,
    length: [1, 6],
    longReaders: 0,
    span: 5,
  },
  { name: 'zipf', keys: wide, skew: 0.9, inFlight: 64, commits: 20_000, length: [2, 12], longReaders: 0, span: 20 },
  {
    name: 'long readers',
    keys: wide,
    skew: 0.5,
    inFlight: 24,
    commits: 12_000,
    length: [1, 8],
    longReaders: 6,
    span: 100,
  },
  {
    name: 'hot again',
    keys: [...hot, ...wide],
    skew: 1.2,
    inFlight: 32,
    commits: 8000,
    length: [1, 5],
    longReaders: 2,
    span: 30,
  },
]

describe('a long history', () => {
  it('has no cycle, no needless abort, and every read is the model’s', async () => {
    const engine = await DatabaseEngine.open()
    const history = new LongHistory(engine, [...hot, ...wide], new Random('long history'))
    for (const workload of WORKLOADS) {
      const started = performance.now()
      await history.run({ ...workload, commits: runs(workload.commits) })
      console.log(
        `${workload.name}: ${history.tally.summary()} after ${Math.round(performance.now() - started)} ms (seed ${seed})`,
      )
      expect(history.tally.reports.join('\n\n')).toBe('')
      expect((await engine.database.check()).problems).toEqual([])
    }
    expect(history.tally.refused).toBeGreaterThan(history.tally.commits / 100)
    expect(history.tally.searched).toBeGreaterThan(history.tally.commits / 100)
    await engine.database.close()
  })

  it('stays serializable with room for a handful of transactions in the graph', async () => {
    for (const graphCap of [3, 30]) {
      const engine = DatabaseEngine.with({ graphCap })
      const random = new Random(`graph of ${graphCap}`)
      const history = new LongHistory(engine, [...hot, ...wide], random, ['needless abort'])
      for (const workload of WORKLOADS) await history.run({ ...workload, commits: runs(1500) })
      console.log(`graph of ${graphCap}: ${history.tally.summary()}`)
      expect(history.tally.reports.join('\n\n')).toBe('')
      expect(history.tally.faults['needless abort']).toBeGreaterThan(0)
      expect(engine.database.stats().certifier.summarised).toBeGreaterThan(runs(1500))
      expect((await engine.database.check()).problems).toEqual([])
      await engine.database.close()
    }
  })
})
