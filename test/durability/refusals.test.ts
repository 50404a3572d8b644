/** What people are told when something is wrong with a directory, and that it is true and helps. */
import { describe, expect, it } from 'vitest'
import { Directory } from '../../src/durability/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { type Image, diskOf, imageOf, madeDatabase } from './images.ts'
import { Ledger, PATH, optionsFor } from './sessions.ts'

const COPY = '/data/copy'
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

async function refusalOf(storage: SimulatedStorage, path = PATH): Promise<string> {
  const error: unknown = await Directory.open(optionsFor(storage, { path })).catch((error: unknown) => error)
  expect(error).toMatchObject({ code: 'CORRUPTION' })
  return (error as Error).message
}

function oneOf(image: Image, pattern: RegExp): string {
  return [...image.keys()].filter((path) => pattern.test(path)).sort()[0]!
}

describe('an opening', () => {
  it('says of a listed file that is gone that it is missing, not where it is damaged', async () => {
    const { image } = await madeDatabase(false)
    for (const pattern of [/\.log$/, /\.run$/]) {
      const storage = diskOf(image)
      const path = oneOf(image, pattern)
      storage.erase(path)
      const message = await refusalOf(storage)
      expect(message).toContain(`${path} is missing, though the manifest lists it; restore`)
      expect(message).not.toContain('damaged')
    }
  })

  it("says of somebody else's file called manifest that it is none, and of one cut short that it is damaged", async () => {
    for (const content of ['{ "name": "app", "start_url": "/" }', '{}', 'CACHE MANIFEST']) {
      const storage = new SimulatedStorage()
      await storage.makeDirectory(PATH)
      storage.plant(`${PATH}/manifest`, bytes(content))
      expect(await refusalOf(storage)).toMatch(/manifest is no manifest of a varve database.*use another directory/)
      expect(storage.contents(`${PATH}/manifest`)).toEqual(bytes(content))
    }
    const storage = new SimulatedStorage()
    await storage.makeDirectory(PATH)
    storage.plant(`${PATH}/manifest`, bytes('VARVEMAN'))
    expect(await refusalOf(storage)).toMatch(/manifest is damaged at byte 8: it ends within its header/)
  })

  it('of a backup that was copied over an older database says where to copy it instead', async () => {
    const { image } = await madeDatabase(false)
    const storage = diskOf(image)
    const random = (target: Uint8Array): void => void target.fill(7)
    const directory = await Directory.open(optionsFor(storage, { random }))
    await directory.backup(COPY)
    await directory.close()
    for (const [path, content] of imageOf(storage, COPY)) storage.plant(path.replace(COPY, PATH), content)
    const message = await refusalOf(storage)
    expect(message).toMatch(/wal-\d+\.log belongs to another database.*copy a backup into an empty directory/)
    expect(message).not.toContain('restore')
  })
})

describe('what is called too late', () => {
  it('is told so in one way', async () => {
    const { image } = await madeDatabase(true)
    const directory = await Directory.open(optionsFor(diskOf(image)))
    await new Ledger().commit(directory, [{ key: 'late', value: 'x' }]).catch(() => undefined)
    const calls = (): Promise<unknown>[] => [
      directory.checkpoint(),
      directory.compact(),
      directory.backup(COPY),
      directory.verify(),
    ]
    const early = calls()
    const closing = directory.close()
    const outcomes = await Promise.allSettled([...early, ...calls()])
    await closing
    outcomes.push(...(await Promise.allSettled(calls())))
    const messages = outcomes.flatMap((outcome) =>
      outcome.status === 'rejected' ? [`${outcome.reason.code} ${outcome.reason.message}`] : [],
    )
    expect(messages.length).toBeGreaterThan(8)
    expect([...new Set(messages)]).toEqual(['CLOSED the database has been closed; open it again to go on'])
  })
})

describe('verification', () => {
  it('sees that a run was removed, cut or replaced beneath an open database', async () => {
    const { image } = await madeDatabase(true)
    const run = oneOf(image, /\.run$/)
    const content = image.get(run)!
    const deeds: [(storage: SimulatedStorage) => void, string][] = [
      [(storage) => storage.erase(run), `${run} is missing, though the manifest lists it`],
      [(storage) => storage.plant(run, content.subarray(0, 600)), `${run} is damaged at byte 600: it has 600 bytes`],
      [(storage) => storage.plant(run, new Uint8Array(content.length)), `${run} is damaged at byte`],
    ]
    for (const [deed, problem] of deeds) {
      const storage = diskOf(image)
      const directory = await Directory.open(optionsFor(storage))
      expect((await directory.verify()).problems).toEqual([])
      deed(storage)
      const { problems } = await directory.verify()
      expect(problems).toEqual([expect.stringContaining(problem)])
      await directory.close()
      expect(storage.openFiles).toEqual([])
    }
  })

  it('says of a segment or manifest that is gone that it is missing', async () => {
    const { image } = await madeDatabase(true)
    const storage = diskOf(image)
    const directory = await Directory.open(optionsFor(storage))
    const segment = storage.files(PATH).find((path) => path.endsWith('.log'))!
    storage.erase(segment)
    storage.erase(`${PATH}/manifest`)
    expect((await directory.verify()).problems).toEqual([
      `${PATH}/manifest: it is missing`,
      `${segment}: it is missing, though the manifest lists it`,
    ])
    await directory.close().catch(() => undefined)
  })
})
