/**
 * Power loss after every single operation of a small life of a database: made, written to, checkpointed, merged, backed
 * up, closed, opened again; with a second power loss while it recovers from the first.
 */
import { describe, expect, it } from 'vitest'
import { Directory, type DirectoryOptions } from '../../src/durability/index.ts'
import { segmentName } from '../../src/wal/index.ts'
import { readManifest, runFileName } from '../../src/runs/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Random, runs, seed } from '../support/random.ts'
import { imageOf } from './images.ts'
import { Ledger, PATH, optionsFor, someChanges } from './sessions.ts'

async function live(
  storage: SimulatedStorage,
  ledger: Ledger,
  random: Random,
  overrides: Partial<DirectoryOptions> = {},
): Promise<void> {
  const write = async (directory: Directory, commits: number): Promise<void> => {
    const pending: Promise<void>[] = []
    for (let i = 0; i < commits; i++) {
      const commit = ledger.commit(directory, someChanges(random, 12, 400))
      // On a machine that has stopped nobody is there to hear of it.
      commit.catch(() => undefined)
      if (random.chance(0.4)) await commit
      else pending.push(commit)
    }
    await Promise.all(pending)
  }
  let directory = await Directory.open(optionsFor(storage, overrides))
  await write(directory, 4)
  await ledger.settle(async () => directory.checkpoint())
  await write(directory, 2)
  const checkpoint = ledger.settle(async () => directory.checkpoint())
  checkpoint.catch(() => undefined)
  await write(directory, 2)
  await checkpoint
  await ledger.settle(async () => directory.close())

  directory = await Directory.open(optionsFor(storage, overrides))
  ledger.expectFound(directory)
  await write(directory, 2)
  await directory.backup('/data/copy')
  await ledger.settle(async () => directory.compact())
  await write(directory, 2)
  await ledger.settle(async () => directory.flush())
  await write(directory, 2)
  await ledger.settle(async () => directory.close())
}

/** Whether the machine stopped before the work had come to its end; throws what went wrong while it had not. */
async function died(storage: SimulatedStorage, work: Promise<unknown>): Promise<boolean> {
  const ended = work.then(
    () => false,
    (error: unknown) => {
      // Where calls are synchronous, a machine that has stopped can only throw.
      if (storage.halted) return true
      throw error
    },
  )
  return Promise.race([ended, storage.stopped.then(() => true)])
}

describe('a directory whose power fails', () => {
  const lives = runs(1)
  for (let number = 0; number < lives; number++) {
    it(`keeps what was acknowledged, whole, after any operation (life ${number})`, async () => {
      const machine = { seed: seed + number, synced: number % 2 === 0 }
      const full = new SimulatedStorage(machine)
      await live(full, new Ledger(), new Random(number))
      expect(full.operations).toBeGreaterThan(100)
      for (let n = 1; n <= full.operations; n++) {
        const storage = new SimulatedStorage(machine)
        const ledger = new Ledger()
        storage.stopAt(n)
        await died(storage, live(storage, ledger, new Random(number)))
        // One disk in three is that of a killed process: everything written is there, and nothing more durable for it.
        expect(ledger.durable).toBeLessThanOrEqual(ledger.history.length)
        await recover(n % 3 === 0 ? storage.kill() : storage.crash({ seed: n }), ledger, new Random(n))
      }
    })
  }

  it('survives a power loss while it opens what a killed process left half named', async () => {
    const begin = async (stop: number): Promise<{ storage: SimulatedStorage; ledger: Ledger }> => {
      // With this seed the sync that the process dies in has not happened.
      const storage = new SimulatedStorage({ seed: 7, maxDelayTurns: 0 })
      const ledger = new Ledger()
      storage.stopAt(stop)
      const work = async (): Promise<void> => {
        const directory = await Directory.open(optionsFor(storage))
        for (let i = 0; i < 12; i++) await ledger.commit(directory, [{ key: `k${i}`, value: 'x'.repeat(900) }])
        await directory.checkpoint()
      }
      await died(storage, work())
      return { storage, ledger }
    }
    // The process dies between the rename of the checkpoint's manifest and the sync of its directory.
    const { log } = (await begin(Infinity)).storage
    const run = log.findIndex(({ to }) => to?.endsWith('.run') === true)
    const manifest = log.findIndex(({ to }, index) => index > run && to?.endsWith('/manifest') === true)
    const sync = log.find(({ name }, index) => index > manifest && name === 'syncDirectory')?.number
    for (let n = 1; ; n++) {
      const { storage, ledger } = await begin(sync!)
      const next = storage.kill()
      next.stopAt(n)
      const opening = Directory.open(optionsFor(next)).then(async (directory) => directory.close())
      if (!(await died(next, opening))) break
      for (let image = 0; image < 6; image++) {
        const directory = await Directory.open(optionsFor(next.crash({ seed: n * 6 + image })))
        ledger.expectFound(directory)
        await directory.close()
      }
    }
  })

  it('keeps a prefix in relaxed, and everything if only the process dies', async () => {
    const relaxed = { durability: 'relaxed', flush: { intervalMs: 60_000, commits: 3, bytes: 4096 } } as const
    const full = new SimulatedStorage({ seed })
    await live(full, new Ledger(), new Random('relaxed'), relaxed)
    let lost = 0
    const step = Math.max(1, Math.round(5 / runs(1)))
    for (let n = 1; n <= full.operations; n += step) {
      const storage = new SimulatedStorage({ seed })
      const ledger = new Ledger()
      storage.stopAt(n)
      await died(storage, live(storage, ledger, new Random('relaxed'), relaxed))
      const { acknowledged } = ledger
      ledger.acknowledged = ledger.durable
      const found = storage.crash({ seed: n })
      const directory = await Directory.open(optionsFor(found, relaxed))
      ledger.expectFound(directory)
      if (directory.sequence < acknowledged) lost++
      await directory.close()
      ledger.acknowledged = acknowledged
      await recover(storage.kill(), ledger, new Random(n), (machine) => machine.kill())
    }
    // If nothing ever were, it would not have been relaxed.
    expect(lost).toBeGreaterThan(0)
  })
})

/** Opens again and again, with the power failing in between, until an open succeeds; then goes on working. */
async function recover(
  found: SimulatedStorage,
  ledger: Ledger,
  random: Random,
  after: (machine: SimulatedStorage) => SimulatedStorage = (machine) => machine.crash({ seed: random.uint32() }),
): Promise<void> {
  let storage = found
  for (let depth = 0; depth < 2; depth++) {
    storage.stopAt(storage.operations + random.between(1, 40))
    // And now and then a call fails before that, so that there is nothing to go on with but the next attempt.
    if (random.chance(0.4)) storage.failAt(random.between(1, 40), random.pick(['ENOSPC', 'EIO', 'EMFILE']))
    let directory: Directory | undefined
    const opening = Directory.open(optionsFor(storage)).then(async (opened) => {
      directory = opened
      ledger.expectFound(opened)
      await opened.close()
    })
    let isDead: boolean
    try {
      isDead = await died(storage, opening)
    } catch (error) {
      if (storage.faultsInjected === 0) throw error
      expect(error).toMatchObject({ code: expect.stringMatching(/IO|POISONED/) })
      isDead = true
    }
    if (!isDead) break
    storage = after(storage)
    // What a recovery has served may have been read by somebody: from then on it must stay.
    if (directory !== undefined) ledger.acknowledged = Math.max(ledger.acknowledged, directory.sequence)
  }
  storage.stopAt(Infinity)
  storage.heal()
  const directory = await Directory.open(optionsFor(storage))
  ledger.expectFound(directory)
  ledger.resume(directory)
  await ledger.commit(directory, someChanges(random, 12, 400))
  await directory.checkpoint()
  expect((await directory.verify()).problems).toEqual([])
  await directory.close()
  const again = await Directory.open(optionsFor(storage))
  ledger.expectFound(again)
  await again.close()
  await expectTidy(storage)
}

/** The files that are there are exactly those that the manifest lists: nothing needed is missing, nothing else is left. */
async function expectTidy(storage: SimulatedStorage): Promise<void> {
  const { runs, segments } = (await readManifest(storage, PATH))!
  const numbers = Array.from({ length: segments.last - segments.first + 1 }, (_, i) => segments.first + i)
  const listed = ['manifest', ...runs.map(({ number }) => runFileName(number)), ...numbers.map(segmentName)]
  expect([...imageOf(storage).keys()]).toEqual(listed.map((name) => `${PATH}/${name}`).sort())
}
