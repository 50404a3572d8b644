/** Bytes that change, files that are cut: the right data, or an error that names the file. Never a wrong value. */
import { describe, expect, it } from 'vitest'
import { Directory } from '../../src/durability/index.ts'
import { VarveError } from '../../src/errors.ts'
import type { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Random, runs } from '../support/random.ts'
import { diskOf, digestOf, imageOf, madeDatabase } from './images.ts'
import { type Ledger, optionsFor } from './sessions.ts'

type Outcome = 'whole' | 'refused' | 'reported'

/** Opens a damaged database whose damage is in `path`. */
async function outcomeOf(storage: SimulatedStorage, ledger: Ledger, path: string): Promise<Outcome> {
  const before = digestOf(imageOf(storage))
  let directory: Directory
  try {
    directory = await Directory.open(optionsFor(storage))
  } catch (error) {
    expect(error).toBeInstanceOf(VarveError)
    expect((error as VarveError).code).toBe('CORRUPTION')
    expect((error as VarveError).message).toContain(path.slice(path.lastIndexOf('/') + 1))
    expect(digestOf(imageOf(storage))).toEqual(before)
    return 'refused'
  }
  try {
    ledger.expectFound(directory, ledger.history.length)
    return 'whole'
  } catch (error) {
    if (!(error instanceof VarveError)) throw error
    expect(error).toMatchObject({ code: 'CORRUPTION', message: expect.stringContaining(path) })
    const { problems } = await directory.verify()
    expect(problems.join('\n')).toContain(path)
    return 'reported'
  } finally {
    await directory.close()
  }
}

describe('damage', () => {
  it('of any byte of a cleanly closed database never gives a wrong value', async () => {
    const { image, ledger } = await madeDatabase(true)
    const random = new Random('damage')
    const counts = { whole: 0, refused: 0, reported: 0 }
    for (const [path, bytes] of image) {
      for (let i = runs(40); i > 0; i--) {
        const storage = diskOf(image)
        storage.flip(path, random.int(bytes.length), random.int(8))
        const outcome = await outcomeOf(storage, ledger, path)
        counts[outcome]++
        if (path.endsWith('manifest')) expect(outcome).toBe('refused')
        if (path.endsWith('.run')) expect(outcome).not.toBe('whole')
      }
    }
    expect(Math.min(counts.whole, counts.refused, counts.reported)).toBeGreaterThan(5)
  })

  it('by cutting any file anywhere never gives a wrong value', async () => {
    const { image, ledger } = await madeDatabase(true)
    const random = new Random('cuts')
    for (const [path, bytes] of image) {
      for (let i = runs(25); i > 0; i--) {
        const storage = diskOf(image)
        storage.plant(path, bytes.subarray(0, random.int(bytes.length)))
        await outcomeOf(storage, ledger, path)
      }
    }
  })

  it('is listed by verify, all of it, with places', async () => {
    const { image } = await madeDatabase(true)
    const storage = diskOf(image)
    const directory = await Directory.open(optionsFor(storage, { readOnly: true }))
    const seen: number[] = []
    const report = await directory.verify(({ doneBytes, totalBytes }) => {
      seen.push(doneBytes / totalBytes)
      throw new Error('a broken display')
    })
    expect(report.problems).toEqual([])
    expect(report.files).toBe(image.size)
    expect(report.bytes).toBeGreaterThan(0)
    expect(seen.length).toBeGreaterThan(2)
    expect(seen.at(-1)).toBeCloseTo(1, 5)
    const damaged = [...image.keys()].filter((path) => !path.endsWith('manifest'))
    for (const path of image.keys()) storage.flip(path, 40, 3)
    const { problems } = await directory.verify()
    const listed = problems.join('\n')
    for (const path of damaged.filter((path) => path.endsWith('.run'))) expect(listed).toContain(path)
    expect(listed).toContain('/manifest')
    expect(listed).toMatch(/wal-/)
    expect(listed).toMatch(/byte \d+/)
    await directory.close()
  })
})
