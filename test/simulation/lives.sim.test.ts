/**
 * Simulated lives: clients at work on a disk that loses power, tears and reorders, or in a process that is killed, again and
 * again, in the middle of opening too. After every death the database is opened and must be in the state after some prefix of
 * the commits in their order that contains all that was acknowledged.
 */
import { describe, expect, it } from 'vitest'
import type { OpenOptions, StorageFile } from '../../src/storage/storage.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { type Random, runs, seed } from '../support/random.ts'
import { live, type LifeCounts, type LifePlan } from './life.ts'
import { Machine } from './machine.ts'

const FILE = 'test/simulation/lives.sim.test.ts'

const disk = (random: Random): SimulatedStorage =>
  new SimulatedStorage({
    seed: random.uint32(),
    synced: random.chance(0.6),
    directorySync: random.chance(0.85),
    maxDelayTurns: random.pick([0, 1, 2, 6]),
  })

const plan: LifePlan = { sessions: 4, clients: 4, steps: 25, disk }

/** Lives one after the other, each from a seed of its own, the first from that of the run. */
async function lives(count: number, plan: LifePlan): Promise<LifeCounts> {
  const sum: LifeCounts = { sessions: 0, deaths: 0, deathsInOpen: 0, commits: 0, acknowledged: 0, lost: 0, poisoned: 0 }
  for (let i = 0; i < count; i++) {
    const counts = await live((seed + i) % 2 ** 32, plan, FILE)
    for (const name of Object.keys(sum) as (keyof LifeCounts)[]) sum[name] += counts[name]
  }
  return sum
}

describe('simulated lives', () => {
  it(
    'lose nothing that was acknowledged, and nothing in part',
    async () => {
      const count = runs(200)
      const sum = await lives(count, plan)
      // Not before one life at least has been lived: a replay runs a single one.
      if (count < 100) return
      expect(sum.deaths).toBeGreaterThan(count / 2)
      expect(sum.deathsInOpen).toBeGreaterThan(count / 20)
      expect(sum.acknowledged).toBeGreaterThan(sum.commits / 3)
    },
    300_000 * Math.max(1, runs(100) / 100),
  )

  it(
    'of ten sessions and more',
    async () => {
      await lives(runs(5), { ...plan, sessions: 12, steps: 15 })
    },
    300_000 * Math.max(1, runs(100) / 100),
  )
})

/** A machine that says it has synced and has not. */
class Forgetful extends Machine {
  override async open(...[path, mode, options]: Parameters<Machine['open']>): Promise<StorageFile> {
    const file = await super.open(path, mode, { ...options, synced: false } satisfies OpenOptions)
    const synced = options?.synced ?? false
    return new Proxy(file, {
      get(target, name) {
        if (name === 'synced') return synced
        if (name === 'sync') return () => Promise.resolve()
        if (name === 'syncSync') return () => undefined
        const member: unknown = Reflect.get(target, name, target)
        return typeof member === 'function' ? member.bind(target) : member
      },
    })
  }
}

/** A machine whose directories are never synced. */
class Nameless extends Machine {
  override async syncDirectory(): Promise<void> {
    return
  }
}

describe('the lives themselves', () => {
  for (const [name, kind] of [
    ['sync', Forgetful],
    ['syncDirectory', Nameless],
  ] as const) {
    it(`notice a disk whose ${name} does nothing`, async () => {
      const machine: NonNullable<LifePlan['machine']> = (disk, death) => new kind(disk, death)
      const lying: LifePlan = { ...plan, machine, disk: (random) => new SimulatedStorage({ seed: random.uint32() }) }
      const notice = async (): Promise<void> => {
        for (let i = 0; i < 60; i++) await live(i, lying, FILE)
      }
      await expect(notice()).rejects.toThrow(/life/)
    })
  }
})
