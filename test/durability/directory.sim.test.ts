/**
 * Power loss after every single operation of a small life of a database: made, written to, checkpointed, merged, backed
 * up, closed, opened again; with a second power loss while it recovers from the first.
 */
import { describe, expect, it } from 'vitest'
import { Directory } from '../../src/durability/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Random, runs, seed } from '../support/random.ts'
import { Ledger, optionsFor, someChanges } from './sessions.ts'

async function live(storage: SimulatedStorage, ledger: Ledger, random: Random): Promise<void> {
  const write = async (directory: Directory, commits: number): Promise<void> => {
    const pending: Promise<void>[] = []
    for (let i = 0; i < commits; i++) {
      const commit = ledger.commit(directory, someChanges(random, 12, 400))
      if (random.chance(0.4)) await commit
      else pending.push(commit)
    }
    await Promise.all(pending)
  }
  let directory = await Directory.open(optionsFor(storage))
  await write(directory, 4)
  await directory.checkpoint()
  await write(directory, 2)
  const checkpoint = directory.checkpoint()
  await write(directory, 2)
  await checkpoint
  await directory.close()

  directory = await Directory.open(optionsFor(storage))
  ledger.expectFound(directory)
  await write(directory, 2)
  await directory.backup('/data/copy')
  await directory.compact()
  await write(directory, 4)
  await directory.close()
}

async function died(storage: SimulatedStorage, work: Promise<unknown>): Promise<boolean> {
  // The machine may stop in the very last operation, so that the work ends, or never will.
  work.catch(() => undefined)
  return Promise.race([work.then(() => false), storage.stopped.then(() => true)])
}

describe('a directory whose power fails', () => {
  const lives = runs(1)
  for (let number = 0; number < lives; number++) {
    it(`keeps what was acknowledged, whole, after any operation (life ${number})`, { timeout: 120_000 }, async () => {
      const machine = { seed: seed + number, synced: number % 2 === 0 }
      const full = new SimulatedStorage(machine)
      await live(full, new Ledger(), new Random(number))
      expect(full.operations).toBeGreaterThan(100)
      for (let n = 1; n <= full.operations; n++) {
        const storage = new SimulatedStorage(machine)
        const ledger = new Ledger()
        storage.stopAt(n)
        await died(storage, live(storage, ledger, new Random(number)))
        // One disk in eight is that of a killed process: everything written is there, and nothing more durable for it.
        await recover(n % 8 === 0 ? storage.kill() : storage.crash({ seed: n }), ledger, new Random(n))
      }
    })
  }
})

/** Opens again and again, with the power failing in between, until an open succeeds; then goes on working. */
async function recover(found: SimulatedStorage, ledger: Ledger, random: Random): Promise<void> {
  let storage = found
  for (let depth = 0; depth < 2; depth++) {
    storage.stopAt(storage.operations + random.between(1, 40))
    let directory: Directory | undefined
    const opening = Directory.open(optionsFor(storage)).then(async (opened) => {
      directory = opened
      ledger.expectFound(opened)
      await opened.close()
    })
    if (await died(storage, opening)) {
      storage = storage.crash({ seed: random.uint32() })
      // What a recovery has served may have been read by somebody: from then on it must stay.
      if (directory !== undefined) ledger.acknowledged = Math.max(ledger.acknowledged, directory.sequence)
    } else {
      await opening
      break
    }
  }
  storage.stopAt(Infinity)
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
}
