/** Every state that an open may find, and what it makes of it: the rows of the table in docs/durability.md. */
import { beforeAll, describe, expect, it } from 'vitest'
import { Directory } from '../../src/durability/index.ts'
import type { VarveError } from '../../src/errors.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { type Image, diskOf, digestOf, emptyDisk, imageOf, madeDatabase } from './images.ts'
import { Ledger, PATH, optionsFor } from './sessions.ts'

let clean: { image: Image; ledger: Ledger }
let killed: { image: Image; ledger: Ledger }

beforeAll(async () => {
  clean = await madeDatabase(true)
  killed = await madeDatabase(false)
})

const manifestPath = `${PATH}/manifest`
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Paths in the image that match, in order. */
function paths(image: Image, pattern: RegExp): string[] {
  return [...image.keys()].filter((path) => pattern.test(path)).sort()
}

/** Opens, holds against the ledger, closes. */
async function expectOpens(storage: SimulatedStorage, ledger: Ledger): Promise<void> {
  const directory = await Directory.open(optionsFor(storage))
  ledger.expectFound(directory)
  await directory.close()
}

/** Refused with this code and message, by a writer and by a reader, and not a byte changed. */
async function expectRefused(storage: SimulatedStorage, code: string, message: RegExp): Promise<void> {
  const before = digestOf(imageOf(storage))
  for (const readOnly of [false, true]) {
    await expect(Directory.open(optionsFor(storage, { readOnly }))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    })
    expect(digestOf(imageOf(storage))).toEqual(before)
  }
  expect(storage.openFiles).toEqual([])
}

describe('no database yet', () => {
  it('1: makes one where there is nothing, or only foreign files, which stay', async () => {
    for (const foreign of [[], ['notes.txt', 'wal-1.log', 'sub/manifest']]) {
      const storage = foreign.length === 0 ? new SimulatedStorage() : emptyDisk()
      if (foreign.length > 0) storage.plant(`${PATH}/sub`, 'directory')
      for (const name of foreign) storage.plant(`${PATH}/${name}`, bytes('mine'))
      await expectOpens(storage, new Ledger())
      for (const name of foreign) expect(storage.contents(`${PATH}/${name}`)).toEqual(bytes('mine'))
      await expectOpens(storage, new Ledger())
    }
  })

  it('2: read-only, says that there is none and makes nothing', async () => {
    for (const planted of [false, true]) {
      const storage = planted ? emptyDisk() : new SimulatedStorage()
      if (planted) storage.plant(`${PATH}/notes.txt`, bytes('mine'))
      const opening = Directory.open(optionsFor(storage, { readOnly: true }))
      await expect(opening).rejects.toMatchObject({
        code: 'INVALID_OPTIONS',
        message: expect.stringMatching(/no database in/),
      })
      expect(storage.files()).toEqual(planted ? [`${PATH}/notes.txt`] : [])
    }
  })

  it('3: clears away what an unfinished creation left', async () => {
    const storage = emptyDisk()
    storage.plant(`${manifestPath}.tmp-0123456789abcdef`, bytes('half'))
    await expectOpens(storage, new Ledger())
    expect(storage.files(PATH).filter((path) => path.includes('.tmp-'))).toEqual([])
  })

  it('4, 5: a manifest that lists nothing is an empty database, whatever segments were on their way', async () => {
    const storage = new SimulatedStorage()
    const firstOf = async (pattern: RegExp): Promise<void> => {
      for (;;) {
        const last = storage.log.at(-1)
        if (last !== undefined && pattern.test(`${last.name} ${last.path}`)) return
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    void Directory.open(optionsFor(storage)).catch(() => undefined)
    await firstOf(/write .*wal-/)
    const found = storage.kill()
    expect(found.files(PATH)).toContain(manifestPath)
    await expectOpens(found, new Ledger())
  })
})

describe('a database', () => {
  it('6: closed cleanly, or killed, is found whole, by writers and readers', async () => {
    for (const { image, ledger } of [clean, killed]) {
      const storage = diskOf(image)
      const before = digestOf(imageOf(storage))
      const reader = await Directory.open(optionsFor(storage, { readOnly: true }))
      ledger.expectFound(reader, ledger.history.length)
      expect(reader.log).toBeNull()
      await expect(reader.checkpoint()).rejects.toMatchObject({ code: 'READ_ONLY' })
      await expect(reader.compact()).rejects.toMatchObject({ code: 'READ_ONLY' })
      expect(() => reader.define('new', null, 'string')).toThrow(expect.objectContaining({ code: 'READ_ONLY' }))
      await reader.close()
      expect(digestOf(imageOf(storage))).toEqual(before)
      expect(storage.traffic.bytesWritten).toBe(0)
      await expectOpens(storage, ledger)
    }
  })

  it('8, 9, 10: removes runs, segments and temporary files that are not listed', async () => {
    const storage = diskOf(killed.image)
    const [run] = paths(killed.image, /\.run$/)
    const spare = paths(killed.image, /\.log$/).at(-1)
    const extra = [
      `${PATH}/run-000000000099.run`,
      `${PATH}/run-000000000098.run.tmp-0123456789abcdef`,
      `${PATH}/manifest.tmp-0123456789abcdef`,
      `${PATH}/wal-000000000000.log`,
      `${PATH}/wal-000000000777.log`,
    ]
    storage.plant(extra[0]!, killed.image.get(run!)!)
    for (const path of extra.slice(1, 4)) storage.plant(path, bytes('half'))
    storage.plant(extra[4]!, new Uint8Array(killed.image.get(spare!)!.length))
    await expectOpens(storage, killed.ledger)
    expect(storage.files(PATH).filter((path) => extra.includes(path))).toEqual([])
  })

  it('11: without its manifest is refused', async () => {
    const storage = diskOf(killed.image)
    storage.erase(manifestPath)
    await expectRefused(storage, 'CORRUPTION', /manifest is missing, but (wal|run)-/)
    for (const path of paths(killed.image, /\.log$/)) storage.erase(path)
    await expectRefused(storage, 'CORRUPTION', /manifest is missing, but run-/)
  })

  it('12: with a damaged manifest is refused', async () => {
    const manifest = killed.image.get(manifestPath)!
    for (let length = 0; length < manifest.length; length += 37) {
      const storage = diskOf(killed.image)
      storage.plant(manifestPath, manifest.subarray(0, length))
      await expectRefused(storage, 'CORRUPTION', /manifest/)
    }
    const storage = diskOf(killed.image)
    storage.plant(manifestPath, Buffer.concat([manifest, Buffer.from([0])]))
    await expectRefused(storage, 'CORRUPTION', /manifest/)
  })

  it('13: with a manifest of a newer format is refused', async () => {
    const manifest = killed.image.get(manifestPath)!.slice()
    manifest[8] = 2
    const storage = diskOf(killed.image)
    storage.plant(manifestPath, manifest)
    await expectRefused(storage, 'CORRUPTION', /manifest has format version 2.*newer release/)
  })

  it('14, 16: with a file of another database of the same numbers is refused', async () => {
    const other = await madeDatabase(false, 'another')
    expect([...other.image.keys()]).toEqual([...killed.image.keys()])
    for (const path of other.image.keys()) {
      const storage = diskOf(killed.image)
      storage.plant(path, other.image.get(path)!)
      await expectRefused(storage, 'CORRUPTION', /\/(manifest|run-|wal-)/)
    }
  })

  it('14: with a listed run missing, cut, lengthened, empty or exchanged is refused', async () => {
    const [first, second] = paths(killed.image, /\.run$/)
    expect(second).toBeDefined()
    const content = killed.image.get(first!)!
    for (const change of [
      undefined,
      new Uint8Array(0),
      content.subarray(0, content.length - 1),
      killed.image.get(second!)!,
    ]) {
      const storage = diskOf(killed.image)
      if (change === undefined) storage.erase(first!)
      else storage.plant(first!, change)
      await expectRefused(storage, 'CORRUPTION', new RegExp(first!))
    }
    const storage = diskOf(killed.image)
    storage.plant(first!, Buffer.concat([content, Buffer.from([0])]))
    await expectRefused(storage, 'CORRUPTION', new RegExp(first!))
  })

  it('16: with a listed segment that holds something missing or exchanged is refused', async () => {
    const segments = paths(killed.image, /\.log$/)
    expect(segments.length).toBeGreaterThan(2)
    for (const [at, path] of segments.entries()) {
      const storage = diskOf(killed.image)
      storage.erase(path)
      await expectRefused(storage, 'CORRUPTION', new RegExp(path))
      const other = segments[(at + 1) % segments.length]!
      const exchanged = diskOf(killed.image)
      exchanged.plant(path, killed.image.get(other)!)
      exchanged.plant(other, killed.image.get(path)!)
      await Directory.open(optionsFor(exchanged)).then(
        async (directory) => {
          // Spare segments may change places: there is nothing in them.
          killed.ledger.expectFound(directory, killed.ledger.history.length)
          await directory.close()
        },
        (error: unknown) => expect(error).toMatchObject({ code: 'CORRUPTION' }),
      )
    }
  })

  it('18: refuses what is no regular file under a name of ours, without opening it', async () => {
    for (const name of ['manifest', 'wal-000000000002.log', 'run-000000000001.run', 'run-000000000050.run']) {
      for (const kind of ['directory', 'other'] as const) {
        const storage = diskOf(killed.image)
        storage.erase(`${PATH}/${name}`)
        storage.plant(`${PATH}/${name}`, kind)
        await expectRefused(storage, 'CORRUPTION', new RegExp(`${name} is (a directory|not a regular file)`))
      }
    }
  })

  it('20: held by somebody is refused, to readers too; and a reader does not keep a writer out', async () => {
    const storage = diskOf(killed.image)
    const directory = await Directory.open(optionsFor(storage))
    const peer = storage.peer()
    for (const other of [storage, peer]) {
      for (const readOnly of [false, true]) {
        await expect(Directory.open(optionsFor(other, { readOnly }))).rejects.toMatchObject({ code: 'LOCKED' })
      }
    }
    await directory.close()
    const reader = await Directory.open(optionsFor(peer, { readOnly: true }))
    await expectOpens(storage, killed.ledger)
    await reader.close()
  })

  it('20: a reader that meets a beginning writer says LOCKED, not CORRUPTION', async () => {
    const { openFiles } = diskOf(killed.image)
    expect(openFiles).toEqual([])
    for (let turns = 0; turns < 60; turns += 8) {
      const storage = diskOf(killed.image, turns)
      const reading = Directory.open(optionsFor(storage.peer({ seed: turns, maxDelayTurns: 4 }), { readOnly: true }))
      for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve))
      const directory = await Directory.open(optionsFor(storage))
      await directory.checkpoint()
      await reading.then(
        async (reader) => {
          killed.ledger.expectFound(reader, killed.ledger.history.length)
          await reader.close()
        },
        (error: unknown) => expect(error).toMatchObject({ code: 'LOCKED' }),
      )
      await directory.close()
    }
  })

  it('20: a reader that began before a writer and ends after its beginning says LOCKED', async () => {
    for (const closes of [false, true]) {
      const storage = diskOf(killed.image)
      const peer = storage.peer()
      peer.fail({ kind: 'stall', operation: 'read', path: /run-/ })
      const reading = Directory.open(optionsFor(peer, { readOnly: true }))
      const outcome = reading.then(
        () => 'opened',
        (error: VarveError) => error.code,
      )
      const directory = await Directory.open(optionsFor(storage))
      if (closes) await directory.close()
      peer.heal()
      expect(await outcome).toBe('LOCKED')
      expect(peer.openFiles).toEqual([])
      await directory.close()
    }
  })

  it('21: a path that is a file', async () => {
    const storage = emptyDisk()
    storage.plant(PATH, bytes('a file'))
    await expect(Directory.open(optionsFor(storage))).rejects.toMatchObject({ code: 'IO' })
    await expect(Directory.open(optionsFor(storage, { readOnly: true }))).rejects.toMatchObject({ code: 'IO' })
  })

  it('23: on a full disk, is refused for writing and opens for reading, and later opens for writing', async () => {
    let refused = 0
    for (let room = 0; room < 40_000; room += 2_500) {
      const storage = diskOf(killed.image)
      storage.capacityBytes = storage.usedBytes + room
      await Directory.open(optionsFor(storage)).then(
        async (directory) => {
          killed.ledger.expectFound(directory, killed.ledger.history.length)
          await directory.close()
        },
        (error: unknown) => {
          expect(error).toMatchObject({ code: 'IO', message: expect.stringContaining('ENOSPC') })
          refused++
        },
      )
      expect(storage.openFiles).toEqual([])
      const reader = await Directory.open(optionsFor(storage, { readOnly: true }))
      killed.ledger.expectFound(reader, killed.ledger.history.length)
      await reader.close()
      storage.capacityBytes = Infinity
      await expectOpens(storage, killed.ledger)
    }
    expect(refused).toBeGreaterThan(0)
  })

  it('an older copy of the newest segment is refused after a clean close', async () => {
    const { image, ledger } = await madeDatabase(true, 'older copy')
    const storage = diskOf(image)
    const directory = await Directory.open(optionsFor(storage, { tailBytes: Infinity }))
    await ledger.commit(directory, [{ key: 'first', value: 'x' }])
    const older = imageOf(storage)
    await ledger.commit(directory, [{ key: 'second', value: 'x' }])
    await directory.close()
    const changed = paths(older, /wal-/).filter((path) => {
      const now = storage.files(PATH).includes(path) ? storage.contents(path) : null
      return now !== null && Buffer.compare(now, older.get(path) as Uint8Array) !== 0
    })
    expect(changed).not.toEqual([])
    for (const path of changed) storage.plant(path, older.get(path) as Uint8Array)
    await expectRefused(storage, 'CORRUPTION', /wal-.* was durable once/)
  })

  it('25: an older manifest put back is refused', async () => {
    const storage = diskOf(clean.image)
    const old = storage.contents(manifestPath)
    const directory = await Directory.open(optionsFor(storage))
    await clean.ledger.commit(directory, [{ key: 'new', value: 'x' }])
    await directory.checkpoint()
    await clean.ledger.commit(directory, [{ key: 'newer', value: 'x' }])
    await directory.close()
    storage.plant(manifestPath, old)
    await expectRefused(storage, 'CORRUPTION', /wal-|run-|manifest/)
  })
})
