/** Whatever call fails, at whatever time: nothing is acknowledged after, everybody who waits is told, nothing is lost. */
import { describe, expect, it } from 'vitest'
import { VarveError } from '../../src/errors.ts'
import { type FaultKind, SimulatedStorage } from '../../src/storage/simulated.ts'
import { multiplier, Random, runs, seed } from '../support/random.ts'
import { CONFIG, DIRECTORY, World } from './world.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function newWorld(random: Random, durability: 'full' | 'relaxed', synced = random.chance(0.6)): Promise<World> {
  const storage = new SimulatedStorage({
    seed: random.uint32(),
    synced,
    maxDelayTurns: random.int(3),
  })
  await storage.makeDirectory(DIRECTORY)
  const world = new World(storage)
  world.config = { ...CONFIG, durability, segmentBytes: random.pick([4096, 16_384]), idleMarkerMs: 1 }
  return world
}

/** Commits and all else that a log is asked for, until something fails; every promise given is accounted for. */
async function use(world: World, random: Random): Promise<void> {
  const { log } = world
  const isFull = world.config.durability === 'full'
  const waiting: Promise<void>[] = []
  let settledWhenPoisoned = -1
  world.onPoison = () => (settledWhenPoisoned = log.settled)
  for (let i = 0; i < 60 && log.poisoned === null; i++) {
    const sequence = world.append(random, 400)
    const settled = log.settledAt(sequence) as Promise<void>
    waiting.push(
      settled.then(
        () => {
          expect(log.settled).toBeGreaterThanOrEqual(sequence)
          if (isFull) world.durable(sequence)
        },
        (error: unknown) => expect(error).toBe(log.poisoned),
      ),
    )
    try {
      const choice = random.int(20)
      if (choice < 2) log.flushSync()
      else if (choice < 4) await log.rotate()
      else if (choice < 6) await log.flush().then(() => world.durable(sequence))
      else if (choice < 9) await world.checkpoint(random).catch(() => {})
      else if (choice < 14) await turn()
    } catch (error) {
      expect(error).toBe(log.poisoned)
    }
  }
  const wasPoisoned = log.poisoned !== null
  await log.close().catch((error: unknown) => {
    expect(wasPoisoned).toBe(false)
    expect(error).toBe(log.poisoned)
  })
  await Promise.all(waiting)
  if (log.poisoned !== null) {
    expect(log.settled).toBe(settledWhenPoisoned)
    expect(log.poisoned).toMatchObject({ code: 'POISONED', retryable: false })
    expect(log.poisoned.cause).toBeInstanceOf(VarveError)
    const next = log.appended + 1
    log.begin(1)
    log.end(next)
    await expect(log.settledAt(next)).rejects.toBe(log.poisoned)
  }
  expect(world.storage.openFiles).toEqual([])
}

async function reopen(world: World, random: Random): Promise<void> {
  world.storage.heal()
  if (random.chance(0.5)) world.kill()
  else world.crash(random)
  world.handedOver = 0
  await world.open()
  await world.log.close()
}

describe('a call that fails', () => {
  for (const durability of ['full', 'relaxed'] as const) {
    it(`poisons or does no harm, whichever it is: ${durability}`, async () => {
      let poisoned = 0
      for (let i = 0; i < runs(50); i++) {
        const random = new Random(i)
        const world = await newWorld(random, durability)
        try {
          await world.open()
          const kind = random.pick<FaultKind>(['EIO', 'ENOSPC', 'short', 'EMFILE', 'EINTR'])
          world.storage.fail({ kind, at: world.storage.operations + 1 + random.int(80) })
          await use(world, random)
          if (world.log.poisoned !== null) poisoned++
          await reopen(world, random)
        } catch (error) {
          throw new Error(`run ${i} of seed ${seed} went wrong`, { cause: error })
        }
      }
      expect(poisoned).toBeGreaterThan(multiplier < 1 ? -1 : 2)
    })
  }

  it('in a group commit tells every member', async () => {
    for (const operation of ['write', 'sync'] as const) {
      const world = await newWorld(new Random('members'), 'full')
      world.storage = new SimulatedStorage({ synced: operation === 'write' })
      await world.storage.makeDirectory(DIRECTORY)
      await world.open()
      const random = new Random(1)
      world.storage.fail({ kind: 'EIO', operation })
      const results = await Promise.allSettled(
        Array.from({ length: 20 }, async () => world.log.settledAt(world.append(random, 100))),
      )
      expect(results.every(({ status }) => status === 'rejected')).toBe(true)
      expect(world.log.settled).toBe(0)
      expect(world.poisoned).toBe(world.log.poisoned)
    }
  })
})

/** Of the calls of an opening, every so many are made to fail; all of them in a long run. */
const STEP = Math.max(1, Math.round(2 / multiplier))

describe('opening', () => {
  /** A killed session with a tail that is not proven, several segments, leftovers. */
  async function killed(random: Random, durability: 'full' | 'relaxed', synced?: boolean): Promise<World> {
    const world = await newWorld(random, durability, synced)
    world.config = { ...world.config, segmentBytes: 4096, flush: { intervalMs: 1e6, commits: 1e6, bytes: 1e9 } }
    await world.open()
    for (let i = 0; i < 12; i++) {
      const settled = world.log.settledAt(world.append(random, 500))
      if (i !== 11 || random.chance(0.5)) await settled
    }
    await turn()
    world.kill()
    return world
  }

  it('that fails at any call changes nothing of what is found later', async () => {
    for (const kind of ['EIO', 'ENOSPC', 'EMFILE', 'short'] as const) {
      for (let at = 1 + new Random(kind).int(STEP); ; at += STEP) {
        const random = new Random(at)
        const world = await killed(random, at % 2 === 0 ? 'full' : 'relaxed')
        world.storage.fail({ kind, at })
        const outcome = await world.open().catch((error: unknown) => error)
        const wasHit = world.storage.faultsInjected > 0
        const calls = world.storage.operations
        if (outcome instanceof Error) {
          expect(wasHit).toBe(true)
          expect(outcome).toMatchObject({ code: 'IO' })
          expect(world.storage.openFiles).toEqual([])
        } else {
          await world.log.close().catch(() => {})
        }
        await reopen(world, random)
        if (at > calls) break
      }
    }
  })

  it('that is killed or loses power at any call, ten times in a row, finds the same', async () => {
    for (let stop = 1 + new Random('stop').int(STEP); stop < 45; stop += STEP) {
      const random = new Random(stop)
      const world = await killed(random, stop % 2 === 0 ? 'full' : 'relaxed')
      for (let level = 0; level < 10; level++) {
        world.storage.stopAt(stop + random.int(3))
        await world.open()
        if (stop % 3 === 0) world.crash(random)
        else world.kill()
      }
      await world.open()
      await world.log.close()
    }
  })

  it('that is cut short at any call leaves nothing that only seems to be durable', async () => {
    const modes = [
      ['full', true],
      ['full', false],
      ['relaxed', false],
    ] as const
    for (const [durability, synced] of modes) {
      for (let stop = 1; ; stop++) {
        const random = new Random(stop)
        const world = await killed(random, durability, synced)
        const { storage } = world
        const settled = world.handedOver
        storage.stopAt(stop)
        await world.open()
        if (!storage.halted) break
        // Power fails at once, in several ways; or the process is killed, the next one opens, and then power fails.
        for (let seed = 0; seed < 4; seed++) {
          const other = world.fork(storage.crash({ seed }))
          other.handedOver = 0
          other.promised = durability === 'full' ? settled : 0
          await other.open()
          await other.log.close()
        }
        world.kill()
        await world.open()
        await world.log.settledAt(world.append(random))
        await world.log.flush()
        world.promised = world.log.synced
        world.session = null
        world.handedOver = 0
        world.storage = world.storage.crash({ survival: 'none', seed: 1 })
        await world.open()
        await world.log.close()
      }
    }
  })

  it('has an epoch of its own in the manifest before anything bears it', async () => {
    const world = await newWorld(new Random('epochs'), 'full')
    for (let epoch = 1; epoch < 6; epoch++) {
      await world.open()
      expect(world.manifest.epoch).toBe(epoch)
      await world.log.settledAt(world.append(new Random(epoch), 3000))
      await world.log.rotate()
      await world.log.close()
      world.storage = world.storage.peer()
    }
  })

  it('removes what is not listed only after the list is durable', async () => {
    const random = new Random('leftovers')
    const world = await killed(random, 'full')
    world.storage.plant(`${DIRECTORY}/wal-000000000099.log`, new Uint8Array(0))
    let reserved = -1
    world.onReserve = () => (reserved = reserved < 0 ? world.storage.operations : reserved)
    await world.open()
    const isWriting = (name: string): boolean => !['open', 'size', 'read', 'list', 'close'].includes(name)
    const changes = world.storage.log.filter(({ name }) => isWriting(name)).map(({ number }) => number)
    expect(reserved).toBeGreaterThan(0)
    expect(Math.min(...changes)).toBeGreaterThan(reserved)
    expect(world.storage.files(DIRECTORY)).not.toContain(`${DIRECTORY}/wal-000000000099.log`)
    await world.log.close()
  })

  it('a thousand times leaves no more files than once', async () => {
    const world = await newWorld(new Random('often'), 'full')
    world.config = { ...world.config, segmentBytes: 2048 }
    await world.open()
    await world.log.settledAt(world.append(new Random(0)))
    await world.log.close()
    for (let i = 0; i < runs(300); i++) {
      if (i % 3 === 0) world.kill()
      else world.storage = world.storage.peer()
      await world.open()
      if (i % 2 === 0) await world.log.close()
    }
    expect(world.storage.files(DIRECTORY).length).toBeLessThanOrEqual(3)
    expect(world.manifest.last).toBeLessThan(6)
  })

  it('read-only writes nothing and takes what is there', async () => {
    const random = new Random('read-only')
    const world = await killed(random, 'full')
    const calls = world.storage.operations
    expect((await world.open(true))!.last).toBeGreaterThanOrEqual(11)
    const made = world.storage.log.filter(({ number }) => number > calls).map(({ name }) => name)
    expect(made.filter((name) => !['open', 'size', 'read', 'close', 'list'].includes(name))).toEqual([])
  })
})
