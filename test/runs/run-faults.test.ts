/** What becomes of a run if its writing is interrupted: a complete file under its name, or none (W1, W2). */
import { describe, expect, it } from 'vitest'
import { RUN_LEFTOVER_NAME, type RunSummary, runFileName } from '../../src/runs/format.ts'
import { type FaultKind, SimulatedStorage } from '../../src/storage/simulated.ts'
import { runs } from '../support/random.ts'
import { DIRECTORY, emptyDisk, openRun, plainEntries, writeRun } from './run-files.ts'

const entries = plainEntries(6000, 200)
const path = `${DIRECTORY}/${runFileName(1)}`

async function expectComplete(storage: SimulatedStorage, summary: RunSummary): Promise<void> {
  const reader = await openRun(storage, summary)
  expect(await reader.verify()).toEqual([])
  await reader.close()
}

describe('writing a run', () => {
  it('after a failure of any call leaves nothing behind, and works once the fault is gone', async () => {
    const kinds: FaultKind[] = ['EIO', 'ENOSPC', 'short', 'EMFILE', 'EACCES']
    let failures = 0
    for (const kind of kinds) {
      for (let n = 1; ; n++) {
        const storage = await emptyDisk()
        const first = storage.operations
        storage.failAt(first + n, kind)
        const outcome = await writeRun(storage, 1, entries).catch((error: unknown) => error as Error)
        const isPast = storage.operations - first < n
        storage.heal()
        if (!(outcome instanceof Error)) {
          await expectComplete(storage, outcome)
        } else {
          failures++
          expect(outcome).toMatchObject({ code: 'IO' })
          expect(storage.files()).toEqual([])
          storage.heal()
          await expectComplete(storage, await writeRun(storage, 2, entries))
        }
        expect(storage.openFiles.filter((open) => open.includes('tmp'))).toEqual([])
        if (isPast) break
      }
    }
    expect(failures).toBeGreaterThan(10)
  })

  it('leaves no file that came into being although creating it failed', async () => {
    for (let seed = 0; seed < 8; seed++) {
      const storage = new SimulatedStorage({ seed, maxDelayTurns: 0 })
      await storage.makeDirectory(DIRECTORY)
      storage.fail({ kind: 'EIO', operation: 'create' })
      await expect(writeRun(storage, 1, [])).rejects.toMatchObject({ code: 'IO' })
      expect(storage.files()).toEqual([])
    }
  })

  it('leaves what it cannot remove under a name that says so', async () => {
    const storage = await emptyDisk()
    storage.fail({ kind: 'EIO', operation: 'sync' })
    storage.fail({ kind: 'EACCES', operation: 'remove' })
    await expect(writeRun(storage, 1, entries)).rejects.toMatchObject({ code: 'IO' })
    const names = storage.files().map((file) => file.slice(DIRECTORY.length + 1))
    expect(names).toHaveLength(1)
    expect(names[0]).toMatch(RUN_LEFTOVER_NAME)
  })

  it('stops at the first failed write although the next one would succeed', async () => {
    const storage = await emptyDisk()
    storage.fail({ kind: 'ENOSPC', operation: 'write' })
    await expect(writeRun(storage, 1, entries)).rejects.toMatchObject({ code: 'IO' })
    expect(storage.log.filter(({ name }) => name === 'sync' || name === 'rename')).toEqual([])
  })

  it('interrupted by power failure at any call, leaves a whole run or none under its name', async () => {
    let whole = 0
    const total = await operationsOfAWrite()
    for (let n = 1; n <= total; n++) {
      const storage = await emptyDisk()
      storage.stopAt(storage.operations + n)
      const finished = writeRun(storage, 1, entries).catch(() => undefined)
      await Promise.race([finished, storage.stopped])
      for (let image = 0; image < runs(8); image++) {
        const after = storage.crash({ seed: n * 1000 + image })
        if (!after.files(DIRECTORY).includes(path)) continue
        whole++
        await expectComplete(after, await summaryOfAWrite())
      }
    }
    expect(whole).toBeGreaterThan(0)
  })

  it('finished, is there after power failure, every time', async () => {
    const storage = await emptyDisk()
    const summary = await writeRun(storage, 1, entries)
    for (let image = 0; image < runs(10); image++) await expectComplete(storage.crash({ seed: image }), summary)
  })
})

let summary: Promise<RunSummary> | undefined

/** Runs of one number have one id in these tests, so one summary speaks for all. */
async function summaryOfAWrite(): Promise<RunSummary> {
  summary ??= emptyDisk().then((storage) => writeRun(storage, 1, entries))
  return summary
}

async function operationsOfAWrite(): Promise<number> {
  const storage = await emptyDisk()
  const before = storage.operations
  await writeRun(storage, 1, entries)
  return storage.operations - before
}
