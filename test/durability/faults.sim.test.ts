/** Calls that fail, one by one: the disk full, the device broken, descriptors gone. Nothing acknowledged may be lost. */
import { describe, expect, it } from 'vitest'
import { type CheckpointReport, Directory } from '../../src/durability/index.ts'
import { VarveError } from '../../src/errors.ts'
import { type FaultKind, SimulatedStorage } from '../../src/storage/simulated.ts'
import { Random, runs } from '../support/random.ts'
import { Ledger, optionsFor, someChanges } from './sessions.ts'

/** Lets a step fail, but only as it may. */
async function mayFail(step: Promise<unknown>): Promise<void> {
  try {
    await step
  } catch (error) {
    expect(error).toBeInstanceOf(VarveError)
    expect(['IO', 'POISONED', 'CLOSED', 'CORRUPTION']).toContain((error as VarveError).code)
  }
}

/** A life in which any call may fail; what is left open is killed. */
async function live(storage: SimulatedStorage, ledger: Ledger, random: Random): Promise<void> {
  for (let session = 0; session < 2; session++) {
    let directory: Directory
    try {
      directory = await Directory.open(optionsFor(storage))
    } catch (error) {
      expect(error).toMatchObject({ code: 'IO' })
      expect(storage.openFiles).toEqual([])
      return
    }
    ledger.expectFound(directory)
    if (session > 0) ledger.resume(directory)
    for (const step of ['commit', 'checkpoint', 'commit', 'checkpoint', 'commit', 'compact', 'commit']) {
      if (step === 'commit') {
        for (let i = 0; i < 3 && directory.log?.poisoned === null; i++) {
          await mayFail(ledger.commit(directory, someChanges(random, 10, 600)))
        }
      } else await mayFail(step === 'compact' ? directory.compact() : directory.checkpoint())
    }
    await mayFail(directory.backup(`/data/copy${session}`))
    if (directory.log?.poisoned === null) {
      // Whatever has failed: a healthy database goes on, and is whole.
      storage.heal()
      await ledger.commit(directory, someChanges(random, 10, 600))
      await directory.checkpoint()
      expect((await directory.verify()).problems).toEqual([])
    }
    await mayFail(directory.close())
    expect(storage.openFiles).toEqual([])
    if (directory.log?.poisoned !== null) return
  }
}

describe('a directory whose calls fail', () => {
  const kinds: FaultKind[] = ['ENOSPC', 'EIO', 'EMFILE', 'short']
  it.each(kinds)('loses nothing to one %s, wherever it strikes', async (kind) => {
    const full = new SimulatedStorage({ seed: 3 })
    await live(full, new Ledger(), new Random('faults'))
    const step = Math.max(1, Math.round(16 / runs(1)))
    let struck = 0
    for (let n = 1 + kinds.indexOf(kind); n <= full.operations; n += step) {
      const storage = new SimulatedStorage({ seed: 3 })
      storage.failAt(n, kind)
      const ledger = new Ledger()
      await live(storage, ledger, new Random('faults'))
      struck += storage.faultsInjected
      for (const after of [storage.crash({ seed: n }), storage.crash({ seed: n, survival: 'none' })]) {
        const directory = await Directory.open(optionsFor(after))
        ledger.expectFound(directory)
        await directory.close()
      }
    }
    expect(struck).toBeGreaterThan(0)
  })

  it('waits for room when the disk is full, and goes on by itself when there is some', async () => {
    const storage = new SimulatedStorage({ seed: 5 })
    const reports: CheckpointReport[] = []
    const hooks = { poisoned: () => undefined, checkpointed: (report: CheckpointReport) => reports.push(report) }
    const directory = await Directory.open(optionsFor(storage, { hooks }))
    const ledger = new Ledger()
    const random = new Random('full')
    for (let i = 0; i < 8; i++) await ledger.commit(directory, someChanges(random, 10, 600))
    storage.capacityBytes = storage.usedBytes + 100
    await expect(directory.checkpoint()).rejects.toMatchObject({ code: 'IO' })
    expect(directory.log?.poisoned).toBeNull()
    expect(storage.files().filter((path) => path.includes('.tmp-'))).toEqual([])
    storage.capacityBytes = Infinity
    await ledger.commit(directory, someChanges(random, 10, 600))
    await directory.checkpoint()
    expect(reports.at(-1)).toMatchObject({ kind: 'checkpoint', error: null, sequence: 9 })
    expect(directory.stats().checkpoints.error).toBeNull()
    await directory.close()
  })

  it('closes on a full disk, with everything in the log', async () => {
    const storage = new SimulatedStorage({ seed: 6 })
    const directory = await Directory.open(optionsFor(storage, { tailBytes: 0 }))
    const ledger = new Ledger()
    const random = new Random('full at close')
    for (let i = 0; i < 8; i++) await ledger.commit(directory, someChanges(random, 10, 600))
    storage.capacityBytes = storage.usedBytes
    await directory.close()
    expect(storage.openFiles).toEqual([])
    storage.capacityBytes = Infinity
    const again = await Directory.open(optionsFor(storage))
    ledger.expectFound(again, 8)
    await again.close()
  })

  it('closes on a full disk while commits wait for a segment that cannot be made', async () => {
    const storage = new SimulatedStorage({ seed: 9 })
    const directory = await Directory.open(optionsFor(storage))
    const ledger = new Ledger()
    await ledger.commit(directory, [{ key: 'first', value: 'v' }])
    storage.capacityBytes = storage.usedBytes
    const waiting = Array.from({ length: 40 }, async (_, i) =>
      ledger.commit(directory, [{ key: `k${i}`, value: 'x'.repeat(3000) }]).catch(() => undefined),
    )
    for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve))
    await mayFail(directory.close())
    await Promise.all(waiting)
    expect(storage.openFiles).toEqual([])
    expect(storage.log.at(-1)?.name).toBe('unlock')
    storage.capacityBytes = Infinity
    const again = await Directory.open(optionsFor(storage))
    ledger.expectFound(again)
    await again.close()
  })

  it('poisons when the outcome of a replaced manifest is unknown, and only then', async () => {
    const outcomes = { poisoned: 0, failed: 0, unharmed: 0 }
    for (const operation of ['rename', 'syncDirectory'] as const) {
      for (let skip = 0; skip < 6; skip++) {
        const storage = new SimulatedStorage({ seed: 8 })
        const poisoned: VarveError[] = []
        const hooks = { poisoned: (error: VarveError) => poisoned.push(error), checkpointed: () => undefined }
        const directory = await Directory.open(optionsFor(storage, { hooks }))
        const ledger = new Ledger()
        for (let i = 0; i < 5; i++) await ledger.commit(directory, [{ key: `k${i}`, value: 'v' }])
        storage.fail({ kind: 'EIO', operation, path: /ledger/, skip, times: 1 })
        const error = await directory.checkpoint().then(
          () => null,
          (error: VarveError) => error,
        )
        storage.heal()
        if (poisoned.length > 0) {
          outcomes.poisoned++
          expect(poisoned).toHaveLength(1)
          // The checkpoint itself may have been through, and what came after it not.
          if (error !== null) expect(error.code).toBe('POISONED')
          const late = ledger.commit(directory, [{ key: 'late', value: 'v' }])
          await expect(late).rejects.toMatchObject({ code: 'POISONED' })
        } else {
          if (error === null) outcomes.unharmed++
          else {
            outcomes.failed++
            expect(storage.files().filter((path) => path.includes('run-'))).toEqual([])
          }
          await ledger.commit(directory, [{ key: 'late', value: 'v' }])
          await directory.checkpoint()
        }
        await directory.close()
        const again = await Directory.open(optionsFor(storage.crash()))
        ledger.expectFound(again)
        await again.close()
      }
    }
    expect(Math.min(outcomes.poisoned, outcomes.failed)).toBeGreaterThan(0)
  })
})
