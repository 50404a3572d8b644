/** Names of new files are durable before a manifest lists them, in whatever order pending changes of names reach the disk. */
import { describe, expect, it } from 'vitest'
import { Directory } from '../../src/durability/index.ts'
import { readManifest, runFileName } from '../../src/runs/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Random, runs } from '../support/random.ts'
import { Ledger, optionsFor, PATH, someChanges } from './sessions.ts'

/** A short life in which segments and runs are made; resolves when it is over or the machine has stopped. */
async function live(storage: SimulatedStorage, ledger: Ledger): Promise<void> {
  const random = new Random('names')
  const work = async (): Promise<void> => {
    const directory = await Directory.open(optionsFor(storage))
    for (let i = 0; i < 25; i++) {
      await ledger.commit(directory, someChanges(random, 10, 600))
      if (i % 10 === 9) await directory.checkpoint()
    }
    await directory.close()
  }
  await Promise.race([work().catch(() => undefined), storage.stopped])
}

describe('power failing between the rename of a manifest and the sync of its name', () => {
  it('never leaves a manifest whose files are missing', async () => {
    const whole = new SimulatedStorage({ seed: 5 })
    await live(whole, new Ledger())
    const renames = whole.log.filter(({ name, path }) => name === 'rename' && path.includes('manifest'))
    expect(renames.length).toBeGreaterThan(8)
    for (const { number } of renames) {
      const storage = new SimulatedStorage({ seed: 5 })
      storage.stopAt(number + 1)
      await live(storage, new Ledger())
      for (let seed = 0; seed < runs(200); seed++) {
        const found = storage.crash({ seed, survival: 'any' })
        const manifest = await readManifest(found, PATH)
        if (manifest === null) continue
        const { segments, runs: listed } = manifest
        const names = listed.map((run) => runFileName(run.number))
        for (let i = segments.first; i <= segments.last; i++) names.push(`wal-${String(i).padStart(12, '0')}.log`)
        const files = found.files(PATH)
        for (const name of names) expect(files).toContain(`${PATH}/${name}`)
      }
    }
  })
})

describe('the directories above a database', () => {
  /** Which of them were synced before the first manifest in `directory` had its name. */
  function syncedAbove({ log }: SimulatedStorage, directory: string, from = 0): string[] {
    const named = log.findIndex(
      ({ name, path }, i) => i >= from && name === 'rename' && path.startsWith(`${directory}/manifest`),
    )
    const synced = log.slice(from, named).filter(({ name }) => name === 'syncDirectory')
    return [...new Set(synced.map(({ path }) => path))].filter((path) => directory.startsWith(path)).sort()
  }

  it('have durable names before anything is relied on, for whoever made them may have died before', async () => {
    const storage = new SimulatedStorage()
    await storage.makeDirectory(PATH)
    const directory = await Directory.open(optionsFor(storage))
    expect(syncedAbove(storage, PATH)).toEqual(expect.arrayContaining(['/', '/data']))
    await directory.backup('/data/backups/today')
    const [from] = storage.log.flatMap(({ name, path }, i) =>
      name === 'makeDirectory' && path === '/data/backups/today' ? [i] : [],
    )
    expect(syncedAbove(storage, '/data/backups/today', from)).toEqual(
      expect.arrayContaining(['/', '/data', '/data/backups']),
    )
    await directory.close()
  })
})
