/** Everything together against a plain model; life.ts says what that is, model.ts what is promised. */
import { describe, expect, it } from 'vitest'
import { multiplier, runs, seed } from '../support/random.ts'
import { Life, LifeCounts, type LifePlan } from './life.ts'

const POLICIES = ['lru', 'lfu', 'random', 'arc', 's3fifo', 'ttl', 'manual'] as const

/** Steps of a life: enough for several sessions, forks of forks and a few hundred commits. */
const STEPS = 150

/** Lives one after the other, each from a seed of its own, the first from that of the run. */
async function live(count: number, plan: LifePlan): Promise<LifeCounts> {
  const sum = new LifeCounts()
  for (let i = 0; i < count; i++) {
    const number = (seed + i) % 2 ** 32
    const life = new Life(number, plan)
    try {
      await life.live()
    } catch (error) {
      const reason = error instanceof Error ? (error.stack ?? error.message) : String(error)
      const told = life.story.slice(-60).join('\n  ')
      const replay = `VARVE_SEED=${number} VARVE_RUNS=0.001 npx vitest run test/world/world.property.test.ts`
      throw new Error(`life ${number}: ${reason}\n  ${told}\nreplay: ${replay}`, { cause: error })
    }
    sum.add(life.counts)
  }
  return sum
}

describe('in memory', () => {
  for (const policy of POLICIES) {
    it(`${policy}: what was evicted is absent, or refused to older readers, and nothing else is ever missing`, async () => {
      const sum = new LifeCounts()
      for (const limit of [Infinity, 4000, 30_000])
        sum.add(await live(runs(1), { onDisk: false, limit, policy, steps: STEPS }))
      if (multiplier < 1) return
      expect(sum.commits).toBeGreaterThan(100)
      if (policy !== 'manual') expect(sum.evictions).toBeGreaterThan(0)
    })
  }
})

describe('on disk', () => {
  for (const policy of POLICIES) {
    it(`${policy}: nothing is ever lost, however little fits into memory`, async () => {
      const sum = new LifeCounts()
      for (const limit of [Infinity, 500, 6000, 40_000])
        sum.add(await live(runs(2), { onDisk: true, limit, policy, steps: STEPS }))
      if (multiplier < 1) return
      expect(sum.commits).toBeGreaterThan(100)
      expect(Math.min(sum.cold, sum.spilled)).toBeGreaterThan(0)
    })
  }
})
