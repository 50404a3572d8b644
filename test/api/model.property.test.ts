/** The whole surface against a plain model, with everything open at once. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { referenceCompare } from '../keys/reference.ts'
import { fcParameters, Random, runs } from '../support/random.ts'
import { COUNT, KEYS } from './model.ts'
import { BEGINNINGS, ENDS, type Op, POINTS, READS, type Setup, type Step, World, WRITES } from './model-world.ts'

const setup: fc.Arbitrary<Setup> = fc.record({
  options: fc.record({
    vacuum: fc.constantFrom(undefined, false as const, { intervalMs: 0 }),
    isolation: fc.constantFrom('serializable' as const, 'snapshot' as const),
  }),
  firstSequence: fc.constantFrom(0, 0, 2 ** 31 - 5, 2 ** 32 - 5, 2 ** 53 - 10 ** 6),
  graphCap: fc.constantFrom(10_000, 10_000, 2),
})

/** What a program is made of: operations with their weights, and how many keys and sessions they are spread over. */
interface Mix {
  readonly ops: readonly (readonly [weight: number, names: readonly Op[]])[]
  readonly keys: readonly [first: number, last: number]
  readonly sessions: number
  readonly tables: number
}

/** All kinds of keys. */
const wide: Mix = {
  ops: [
    [5, BEGINNINGS],
    [10, WRITES],
    [12, READS],
    [5, ENDS],
    [2, POINTS],
  ],
  keys: [0, COUNT - 1],
  sessions: 12,
  tables: 3,
}

/** Three keys that everybody wants. */
const crowded: Mix = {
  ops: [
    [4, BEGINNINGS],
    [10, WRITES],
    [8, READS],
    [7, ENDS],
    [3, POINTS],
  ],
  keys: [10, 12],
  sessions: 6,
  tables: 3,
}

/** Savepoints under scans that go on. */
const undoing: Mix = {
  ops: [
    [1, ['update']],
    [8, ['set', 'set', 'delete']],
    [8, ['scan', 'next', 'next']],
    [6, POINTS],
  ],
  keys: [10, 15],
  sessions: 2,
  tables: 1,
}

/** Keys that come and go beside transactions at the level of snapshots. */
const overtaking: Mix = {
  ops: [
    [2, ['update at snapshot', 'snapshot']],
    [6, ['set', 'delete', 'merge']],
    [3, ['commit', 'vacuum', 'get']],
  ],
  keys: [10, 11],
  sessions: 3,
  tables: 3,
}

function stepOf({ ops, keys: [first, last], sessions, tables }: Mix): fc.Arbitrary<Step> {
  const weighted = ops.map(([weight, names]) => ({ weight, arbitrary: fc.constantFrom(...names) }))
  return fc.record({
    op: fc.oneof(...weighted),
    who: fc.nat({ max: sessions - 1 }),
    table: fc.nat({ max: tables - 1 }),
    key: fc.integer({ min: first, max: last }),
    n: fc.nat({ max: 60 }),
    spec: fc.nat({ max: 2 ** 12 }),
  })
}

async function run(given: Setup, steps: readonly Step[]): Promise<void> {
  const world = new World(given)
  for (const each of steps) await world.perform(each)
  await world.finish()
}

describe('every read of handles, transactions, snapshots and iterators is the model’s', () => {
  it('the keys of the model stand in the documented order', () => {
    expect(KEYS.toSorted(referenceCompare)).toEqual(KEYS)
  })

  it.each([
    { of: 'all kinds of keys', mix: wide, times: 150 },
    { of: 'three keys that everybody wants', mix: crowded, times: 200 },
    { of: 'savepoints under scans', mix: undoing, times: 150 },
    { of: 'keys that come and go', mix: overtaking, times: 150 },
  ])('in programs over $of', async ({ mix, times }) => {
    const steps = fc.array(stepOf(mix), { maxLength: 140, size: 'max' })
    await fc.assert(fc.asyncProperty(setup, steps, run), fcParameters(times))
  })

  it('over long stretches', async () => {
    for (let round = 0; round < runs(3); round++) {
      const random = new Random(`long stretch ${round}`)
      const [given] = fc.sample(setup, { seed: random.uint32() | 0, numRuns: 1 })
      const mix = round % 2 === 0 ? wide : crowded
      await run(given as Setup, fc.sample(stepOf(mix), { seed: random.uint32() | 0, numRuns: 3000 }))
    }
  })
})
