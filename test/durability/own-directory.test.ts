/** A directory that is removed or replaced while it is open (I2): what is there then is somebody else's. */
import { mkdtempSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { Directory } from '../../src/durability/index.ts'
import { checkpoint } from '../../src/runs/checkpoint.ts'
import type { VarveError } from '../../src/errors.ts'
import { type Background, inlineBackground } from '../../src/runs/index.ts'
import { NodeStorage } from '../../src/storage/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Random } from '../support/random.ts'
import { digestOf, imageOf } from './images.ts'
import { Ledger, PATH, optionsFor, someChanges } from './sessions.ts'

async function write(directory: Directory, ledger: Ledger, commits: number, random: Random): Promise<void> {
  for (let i = 0; i < commits; i++) await ledger.commit(directory, someChanges(random, 10, 600))
}

/** A session of somebody else in the same place, closed again. */
async function somebodyElse(storage: SimulatedStorage): Promise<Ledger> {
  const ledger = new Ledger()
  const directory = await Directory.open(optionsFor(storage, { tailBytes: 0 }))
  for (let i = 0; i < 2; i++) {
    await write(directory, ledger, 6, new Random('else'))
    await directory.checkpoint()
  }
  await write(directory, ledger, 6, new Random('else'))
  await directory.close()
  return ledger
}

const deeds: Readonly<Record<string, (directory: Directory, ledger: Ledger) => Promise<void>>> = {
  checkpoint: async (directory) => directory.checkpoint(),
  compaction: async (directory) => directory.compact(),
  'writing on': async (directory, ledger) => write(directory, ledger, 100, new Random('on')),
  closing: async (directory) => directory.close(),
}

describe('an older instance whose directory was removed', () => {
  for (const [name, deed] of Object.entries(deeds)) {
    for (const checkpoints of [0, 2]) {
      it(`changes nothing in the one that took its place: ${name}, ${checkpoints} checkpoints before`, async () => {
        const storage = new SimulatedStorage({ seed: checkpoints })
        const poisoned = vi.fn<(error: VarveError) => void>()
        const hooks = { poisoned, checkpointed: () => undefined }
        const older = await Directory.open(optionsFor(storage, { hooks, tailBytes: 0 }))
        const lost = new Ledger()
        for (let i = 0; i < checkpoints; i++) {
          await write(older, lost, 10, new Random('lost'))
          await older.checkpoint()
        }
        await write(older, lost, 3, new Random('lost'))
        storage.erase(PATH)
        const other = storage.peer()
        const kept = await somebodyElse(other)
        const before = digestOf(imageOf(other))

        const done = await Promise.allSettled([deed(older, lost)])
        if (name !== 'closing') expect(done[0].status).toBe('rejected')
        await older.close().catch(() => undefined)
        expect(digestOf(imageOf(other))).toEqual(before)
        if (name !== 'closing') {
          expect(poisoned).toHaveBeenCalledTimes(1)
          expect(poisoned.mock.calls[0]?.[0]).toMatchObject({
            code: 'POISONED',
            message: expect.stringMatching(/^\/data\/ledger, or the lock file in it, was removed or replaced/),
          })
        }
        const after = await Directory.open(optionsFor(other.peer()))
        kept.expectFound(after, kept.history.length)
        await after.close()
        expect(storage.openFiles).toEqual([])
      })
    }
  }

  it('does not publish the run that was being written when that happened', async () => {
    const storage = new SimulatedStorage()
    const inner = inlineBackground(storage, PATH)
    let before: unknown
    const other = storage.peer()
    const pause = async (): Promise<void> => {
      if (before !== undefined || !storage.files(PATH).some((file) => file.includes('.run.tmp-'))) return
      storage.erase(PATH)
      await somebodyElse(other)
      before = digestOf(imageOf(other))
    }
    const background: Background = {
      checkpoint: async (job) => checkpoint(storage, PATH, job, { cancelled: () => false, pause }),
      merge: async (job) => inner.merge(job),
      cancel: (kind) => inner.cancel(kind),
      close: async () => inner.close(),
    }
    const older = await Directory.open(optionsFor(storage, { background }))
    await write(older, new Ledger(), 5, new Random('older'))
    await expect(older.checkpoint()).rejects.toMatchObject({
      message: expect.stringMatching(/was removed or replaced/),
    })
    await older.close().catch(() => undefined)
    expect(before).toBeDefined()
    expect(digestOf(imageOf(other))).toEqual(before)
  })

  it('is told by the lock file on a real disk: removed alone, with its directory, or moved away', async () => {
    const root = mkdtempSync(join(tmpdir(), 'varve-own-'))
    try {
      const losses: ((path: string) => void)[] = [
        (path) => rmSync(join(path, 'lock')),
        (path) => rmSync(path, { recursive: true }),
        (path) => renameSync(path, `${path}-away`),
      ]
      for (const [index, lose] of losses.entries()) {
        const path = join(root, `${index}`)
        const open = async (): Promise<Directory> =>
          Directory.open(optionsFor(new NodeStorage(), { path, background: undefined }))
        const older = await open()
        await write(older, new Ledger(), 3, new Random('older'))
        lose(path)
        // This thread remembers what it has open, so that only another one could take what is merely unlocked.
        const other = index === 0 ? null : await open()
        if (other !== null) await write(other, new Ledger(), 3, new Random('other'))
        const manifest = readFileSync(join(path, 'manifest'))
        const names = readdirSync(path).sort()
        await expect(older.checkpoint()).rejects.toMatchObject({ code: 'POISONED' })
        await older.close().catch(() => undefined)
        expect(readFileSync(join(path, 'manifest'))).toEqual(manifest)
        expect(readdirSync(path).sort()).toEqual(names)
        await other?.checkpoint()
        await other?.close()
      }
    } finally {
      rmSync(root, { recursive: true, force: true })
    }
  })
})
