import { describe, expect, it } from 'vitest'
import { Directory } from '../../src/durability/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Random } from '../support/random.ts'
import { imageOf } from './images.ts'
import { Ledger, optionsFor, someChanges } from './sessions.ts'

const COPY = '/data/backups/today'

async function filled(storage: SimulatedStorage, commits = 12): Promise<{ directory: Directory; ledger: Ledger }> {
  const directory = await Directory.open(optionsFor(storage))
  const ledger = new Ledger()
  const random = new Random('backup')
  for (let i = 0; i < commits; i++) {
    if (i === 5) await directory.checkpoint()
    // The first run is the larger one by far, so that there are two.
    const big = { key: 'big', value: 'x'.repeat(40_000) }
    await ledger.commit(directory, i === 0 ? [big] : someChanges(random, 10, 600))
  }
  return { directory, ledger }
}

/** What a ledger was at some earlier commit. */
function prefix(ledger: Ledger, sequence: number): Ledger {
  const earlier = new Ledger()
  earlier.history.push(...ledger.history.slice(0, sequence))
  return earlier
}

describe('a backup', () => {
  it('holds everything committed before it, and opens as a database of its own', async () => {
    const storage = new SimulatedStorage()
    const { directory, ledger } = await filled(storage)
    const seen: number[] = []
    const writing = (async () => {
      const random = new Random('meanwhile')
      for (let i = 0; i < 20; i++) await ledger.commit(directory, someChanges(random, 10, 600))
      await directory.compact()
    })()
    await directory.backup(COPY, ({ doneBytes, totalBytes }) => {
      seen.push(doneBytes)
      expect(doneBytes).toBeLessThanOrEqual(totalBytes)
      throw new Error('a broken display')
    })
    await writing
    expect(seen.length).toBeGreaterThan(1)
    expect(seen).toEqual([...seen].sort((a, b) => a - b))
    const copy = await Directory.open(optionsFor(storage, { path: COPY }))
    expect(copy.sequence).toBeGreaterThanOrEqual(12)
    const earlier = prefix(ledger, copy.sequence)
    earlier.expectFound(copy)
    // Both go their own ways from here.
    await earlier.commit(copy, [{ key: 'only in the copy', value: 'x' }])
    await copy.checkpoint()
    await copy.close()
    await directory.close()
    const again = await Directory.open(optionsFor(storage))
    ledger.expectFound(again, ledger.history.length)
    await again.close()
    const manifests = [`${COPY}/manifest`, '/data/ledger/manifest'].map((path) =>
      Buffer.from(storage.contents(path)).toString('latin1'),
    )
    const ids = manifests.map((text) => /"databaseId":"([0-9a-f]{32})"/.exec(text)?.[1])
    expect(ids[0]).not.toBe(ids[1])
  })

  it('keeps the runs that it copies, whatever is merged meanwhile', async () => {
    const storage = new SimulatedStorage()
    const { directory, ledger } = await filled(storage)
    await directory.checkpoint()
    expect(directory.stats().runs.count).toBe(2)
    storage.fail({ kind: 'stall', operation: 'create', path: /backups.*\.run/ })
    const backup = directory.backup(COPY)
    while (!storage.log.some(({ name, path }) => name === 'create' && path.startsWith(COPY))) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    await directory.compact()
    expect(directory.stats().runs.count).toBe(1)
    storage.heal()
    await backup
    await directory.close()
    const copy = await Directory.open(optionsFor(storage, { path: COPY }))
    expect(copy.stats().runs.count).toBe(2)
    ledger.expectFound(copy, 12)
    await copy.close()
  })

  it('of an empty database is an empty database', async () => {
    const storage = new SimulatedStorage()
    const { directory, ledger } = await filled(storage, 0)
    await directory.backup(COPY)
    await directory.close()
    const copy = await Directory.open(optionsFor(storage, { path: COPY, readOnly: true }))
    ledger.expectFound(copy)
    await copy.close()
  })

  it('is made of a database opened read-only too, if that was closed properly', async () => {
    const storage = new SimulatedStorage()
    const { directory, ledger } = await filled(storage)
    await directory.checkpoint()
    await directory.close()
    const reader = await Directory.open(optionsFor(storage, { readOnly: true }))
    await reader.backup(COPY)
    await reader.close()
    const copy = await Directory.open(optionsFor(storage, { path: COPY }))
    ledger.expectFound(copy, 12)
    await copy.close()
  })

  it('goes only into a directory that is missing or empty', async () => {
    const storage = new SimulatedStorage()
    const { directory } = await filled(storage)
    await storage.makeDirectory(COPY)
    storage.plant(`${COPY}/notes.txt`, new Uint8Array(3))
    for (const target of [COPY, '/data/ledger', '/data/ledger/run-000000000099.run']) {
      await expect(directory.backup(target)).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining(target),
      })
    }
    expect(imageOf(storage, COPY).size).toBe(1)
    await directory.backup('/data/other')
    await expect(directory.backup('/data/other')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await directory.close()
  })

  it('is locked while it is written', async () => {
    const storage = new SimulatedStorage()
    const { directory } = await filled(storage)
    const attempts: Promise<unknown>[] = []
    await directory.backup(COPY, () => {
      attempts.push(
        Directory.open(optionsFor(storage.peer(), { path: COPY })).then(
          () => 'opened',
          (error: unknown) => (error as { code: string }).code,
        ),
      )
    })
    expect(new Set(await Promise.all(attempts))).toEqual(new Set(['LOCKED']))
    await directory.close()
  })

  it('that fails leaves nothing behind, and can be made again', async () => {
    const storage = new SimulatedStorage()
    const { directory, ledger } = await filled(storage)
    await directory.checkpoint()
    for (const operation of ['create', 'write', 'sync', 'read', 'rename'] as const) {
      storage.fail({ kind: 'EIO', operation, path: /backups/, times: 1 })
      await expect(directory.backup(COPY)).rejects.toMatchObject({ code: 'IO' })
      expect([...imageOf(storage, COPY).keys()]).toEqual([])
      storage.heal()
    }
    await directory.backup(COPY)
    const copy = await Directory.open(optionsFor(storage, { path: COPY }))
    ledger.expectFound(copy, 12)
    await copy.close()
    await directory.close()
  })

  it('that fails, or is cut short by closing, removes the directory if it made that, and leaves one that was there', async () => {
    const storage = new SimulatedStorage()
    const { directory } = await filled(storage)
    await directory.checkpoint()
    await storage.makeDirectory('/data/there')
    for (const target of ['/data/new', '/data/there']) {
      storage.fail({ kind: 'ENOSPC', operation: 'write', path: target, times: 1 })
      await expect(directory.backup(target)).rejects.toMatchObject({ code: 'IO' })
    }
    let closing: Promise<void> | undefined
    const late = directory.backup('/data/late', () => {
      closing ??= directory.close()
    })
    await expect(late).rejects.toMatchObject({ code: 'CLOSED' })
    await closing
    const names = (await storage.list('/data')).map(({ name }) => name)
    expect(names.sort()).toEqual(['ledger', 'there'])
    expect(await storage.list('/data/there')).toEqual([])
  })

  it('of a damaged run is refused, with the place', async () => {
    const storage = new SimulatedStorage()
    const { directory } = await filled(storage)
    await directory.checkpoint()
    const run = storage.files('/data/ledger').find((path) => path.endsWith('.run'))!
    storage.flip(run, 50, 2)
    await expect(directory.backup(COPY)).rejects.toMatchObject({
      code: 'CORRUPTION',
      message: expect.stringMatching(/run-\d{12}\.run.*byte \d+/),
    })
    expect([...imageOf(storage, COPY).keys()]).toEqual([])
    await directory.close()
  })

  it('cut by a power loss after any operation is whole, refused, or no database', async () => {
    const prepare = async (): Promise<{ storage: SimulatedStorage; directory: Directory; ledger: Ledger }> => {
      const storage = new SimulatedStorage({ seed: 11 })
      const { directory, ledger } = await filled(storage)
      await directory.checkpoint()
      return { storage, directory, ledger }
    }
    const whole = await prepare()
    expect(whole.directory.stats().runs.count).toBe(2)
    const first = whole.storage.operations
    await whole.directory.backup(COPY)
    for (let seed = 0; seed < 30; seed++) {
      const copy = await Directory.open(optionsFor(whole.storage.crash({ seed }), { path: COPY }))
      whole.ledger.expectFound(copy, 12)
      await copy.close()
    }
    // From when the second run is begun on, the first is there to be refused.
    const runs = whole.storage.log.filter(({ name, path }) => name === 'create' && path.startsWith(`${COPY}/run-`))
    const second = whole.storage.log.indexOf(runs[1]!) + 1
    const outcomes = { whole: 0, refused: 0, nothing: 0 }
    for (let n = first + 1; n <= whole.storage.operations; n++) {
      const { storage, directory, ledger } = await prepare()
      storage.stopAt(n)
      const backup = directory.backup(COPY)
      backup.catch(() => undefined)
      await Promise.race([backup, storage.stopped])
      // About the rename of the manifest it matters most what else the disk has kept.
      const images = n > whole.storage.operations - 6 ? 30 : 3
      for (let seed = 0; seed < images; seed++) {
        const found = storage.crash({ seed })
        try {
          const copy = await Directory.open(optionsFor(found, { path: COPY }))
          if (copy.sequence > 0) {
            ledger.expectFound(copy, 12)
            outcomes.whole++
          } else {
            expect(copy.tables()).toEqual([])
            expect(n).toBeLessThanOrEqual(second)
            outcomes.nothing++
          }
          await copy.close()
        } catch (error) {
          expect(error).toMatchObject({
            code: 'CORRUPTION',
            message: expect.stringMatching(/backup that has not finished/),
          })
          outcomes.refused++
        }
      }
    }
    expect(Math.min(outcomes.whole, outcomes.refused, outcomes.nothing)).toBeGreaterThan(0)
  })
})
