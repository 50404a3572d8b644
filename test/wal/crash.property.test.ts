/** Whatever a crash leaves, at any moment of any session, recovery finds every settled commit, whole and in order. */
import { describe, expect, it } from 'vitest'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Random, runs, seed } from '../support/random.ts'
import { CONFIG, DIRECTORY, World } from './world.ts'

async function newWorld(random: Random, durability: 'full' | 'relaxed'): Promise<World> {
  const storage = new SimulatedStorage({
    seed: random.uint32(),
    synced: random.chance(0.7),
    maxDelayTurns: random.pick([0, 1, 3]),
  })
  await storage.makeDirectory(DIRECTORY)
  const world = new World(storage)
  world.config = {
    ...CONFIG,
    durability,
    poolSize: random.between(0, 2),
    segmentBytes: random.pick([2048, 8192, 40_000]),
  }
  return world
}

/** A turn of the event loop, or two. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** One thing that a user of the log, or its surroundings, may do. */
async function act(world: World, random: Random): Promise<void> {
  const { log } = world
  const isFull = world.config.durability === 'full'
  switch (random.int(12)) {
    case 0: {
      log.flushSync()
      if (isFull) world.durable(log.appended)
      return
    }
    case 1: {
      const { appended } = log
      await world.until(log.flush().then(() => world.durable(appended)))
      return
    }
    case 2: {
      await world.until(log.rotate())
      return
    }
    case 3: {
      await world.checkpoint(random)
      return
    }
    case 4: {
      for (let i = random.int(4); i > 0; i--) await turn()
      return
    }
    case 5: {
      await new Promise((resolve) => setTimeout(resolve, random.int(4)))
      return
    }
    case 6: {
      log.define({ id: random.int(100), name: 'table', key: random.chance(0.5) ? null : 'string', value: 'json' })
      return
    }
    default: {
      const sequence = world.append(random, random.chance(0.02) ? 60_000 : 300)
      const settled = log.settledAt(sequence)
      if (isFull)
        void settled?.then(
          () => world.durable(sequence),
          () => {},
        )
      if (random.chance(0.3)) await world.until(settled ?? Promise.resolve())
    }
  }
}

async function session(world: World, random: Random): Promise<void> {
  const { storage } = world
  storage.stopAt(storage.operations + 1 + random.int(random.pick([30, 150, 400])))
  if ((await world.open()) === null) return
  for (let i = random.int(120); i > 0 && !storage.halted; i--) {
    try {
      await act(world, random)
    } catch (error) {
      if (!storage.halted) throw error
    }
  }
  if (!storage.halted && world.poisoned !== null) throw world.poisoned
  if (!storage.halted && random.chance(0.3)) {
    const { appended } = world.log
    await world.until(world.log.close().then(() => world.durable(appended)))
    if (!storage.halted) expect(storage.openFiles).toEqual([])
  }
}

async function life(random: Random, durability: 'full' | 'relaxed'): Promise<void> {
  const world = await newWorld(random, durability)
  for (let i = 0; i < 5; i++) {
    await session(world, random)
    if (random.chance(0.4)) world.kill()
    else world.crash(random)
  }
  await world.open(true)
  await world.open()
  expect(await world.log.close()).toBeUndefined()
}

describe('after a crash at any call', () => {
  for (const durability of ['full', 'relaxed'] as const) {
    it(`recovers all that was settled, whole and in order: ${durability}`, async () => {
      for (let i = 0; i < runs(24); i++) {
        try {
          await life(new Random(i), durability)
        } catch (error) {
          throw new Error(`life ${i} of seed ${seed} went wrong`, { cause: error })
        }
      }
    })
  }
})
