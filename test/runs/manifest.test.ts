import { describe, expect, it } from 'vitest'
import { crc32 } from 'node:zlib'
import { type Manifest, readManifest, writeManifest } from '../../src/runs/manifest.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Random, runs, seed } from '../support/random.ts'
import { codeOf } from './run-files.ts'

const DIRECTORY = '/db'
const PATH = '/db/manifest'

const run = {
  number: 7,
  id: '00112233445566778899aabbccddeeff',
  bytes: 123_456,
  entries: 1000,
  tombstones: 10,
  firstSequence: 51,
  lastSequence: 99,
}

const manifest: Manifest = {
  databaseId: 'ffeeddccbbaa99887766554433221100',
  epoch: 12,
  sequence: 100,
  logged: 120,
  timeMs: 1_790_000_000_000.5,
  segments: { first: 3, last: 5 },
  nextRun: 8,
  runs: [run, { ...run, number: 2, firstSequence: 1, lastSequence: 50 }],
  tables: [
    { id: 0, name: '', key: null, value: 'json', entries: 3, bytes: -1 },
    { id: 4_294_967_295, name: '__proto__ \ud800 Ω', key: 'string', value: 'bytes', entries: 0, bytes: 2 ** 60 },
  ],
  falsePositiveRate: 0.01,
}

async function diskWith(value: Manifest = manifest): Promise<SimulatedStorage> {
  const storage = new SimulatedStorage({ seed, maxDelayTurns: 0 })
  await storage.makeDirectory(DIRECTORY)
  await writeManifest(storage, DIRECTORY, value)
  return storage
}

async function readBytes(bytes: Uint8Array): Promise<Manifest | null> {
  const storage = new SimulatedStorage({ maxDelayTurns: 0 })
  await storage.makeDirectory(DIRECTORY)
  storage.plant(PATH, bytes)
  return readManifest(storage, DIRECTORY)
}

/** A file with this text, and everything around it right. */
function fileOf(text: string): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(20), Buffer.from(text)])
  bytes.write('VARVEMAN', 0, 'latin1')
  bytes.writeUInt16LE(1, 8)
  bytes.writeUInt32LE(bytes.length - 20, 12)
  bytes.writeUInt32LE(crc32(bytes.subarray(20), crc32(bytes.subarray(0, 16))), 16)
  return bytes
}

async function messageOf(bytes: Uint8Array): Promise<string> {
  try {
    await readBytes(bytes)
  } catch (error) {
    expect(error).toMatchObject({ code: 'CORRUPTION' })
    return (error as Error).message
  }
  return expect.fail('it was read')
}

describe('the manifest', () => {
  it('reads as it was written', async () => {
    const storage = await diskWith()
    expect(await readManifest(storage, DIRECTORY)).toStrictEqual(manifest)
    expect(storage.files(DIRECTORY)).toEqual([PATH])
    expect(storage.openFiles).toEqual([])
  })

  it('is null where there is none, and an error where it cannot be read', async () => {
    const storage = new SimulatedStorage({ maxDelayTurns: 0 })
    await storage.makeDirectory(DIRECTORY)
    expect(await readManifest(storage, DIRECTORY)).toBeNull()
    const written = await diskWith()
    written.fail({ kind: 'EIO', operation: 'read' })
    expect(await codeOf(() => readManifest(written, DIRECTORY))).toBe('IO')
    expect(written.openFiles).toEqual([])
  })

  it('is refused with any bit flipped (I1)', async () => {
    const bytes = (await diskWith()).contents(PATH)
    for (let at = 0; at < bytes.length; at++) {
      const flipped = bytes.slice()
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8))
      expect(await messageOf(flipped)).toMatch(
        /^\/db\/manifest (is damaged at byte \d+|has format version \d+|is no manifest.* damaged at byte 0)/,
      )
    }
  })

  it('is refused cut at any length, and with anything behind it (I1)', async () => {
    const bytes = (await diskWith()).contents(PATH)
    for (let length = 0; length < bytes.length; length++) await messageOf(bytes.slice(0, length))
    await messageOf(Buffer.concat([bytes, Buffer.alloc(1)]))
    await messageOf(Buffer.concat([bytes, bytes]))
  })

  it('does not read more than a manifest may have, whatever the size of the file (I1)', async () => {
    const storage = await diskWith()
    const file = await storage.open(PATH, 'write')
    await file.truncate(2 ** 40)
    await file.close()
    await expect(readManifest(storage, DIRECTORY)).rejects.toMatchObject({ code: 'CORRUPTION' })
  })

  it('is refused if bytes that are reserved are not zero (I1)', async () => {
    const bytes = fileOf(JSON.stringify(manifest))
    expect(await readBytes(bytes)).toStrictEqual(manifest)
    bytes[10] = 1
    bytes.writeUInt32LE(crc32(bytes.subarray(20), crc32(bytes.subarray(0, 16))), 16)
    expect(await messageOf(bytes)).toContain('at byte 10: reserved')
  })

  it('refuses a newer version by name', async () => {
    const bytes = Buffer.from((await diskWith()).contents(PATH))
    bytes.writeUInt16LE(2, 8)
    expect(await messageOf(bytes)).toContain('format version 2 (byte 8)')
  })

  const defects: readonly (readonly [what: string, change: object])[] = [
    ['databaseId', { databaseId: 'FFEEDDCCBBAA99887766554433221100' }],
    ['databaseId', { databaseId: '../../x' }],
    ['epoch', { epoch: -1 }],
    ['epoch', { epoch: 1.5 }],
    ['sequence', { sequence: 2 ** 53 }],
    ['sequence', { sequence: '100' }],
    ['beyond commit 98', { sequence: 98 }],
    ['timeMs', { timeMs: null }],
    ['segments', { segments: null }],
    ['segments', { segments: [1, 2] }],
    ['segments has no member last', { segments: { first: 1 } }],
    ['last segment', { segments: { first: 5, last: 3 } }],
    ['nextRun', { nextRun: 0 }],
    ['not below nextRun', { nextRun: 7 }],
    ['runs is not a list', { runs: {} }],
    ['runs[0]', { runs: [null] }],
    ['runs[0].id', { runs: [{ ...run, id: 'x' }] }],
    ['runs[1].number', { runs: [run, { ...run, number: 1.5 }] }],
    ['unknown member', { runs: [{ ...run, path: '../../etc/passwd' }] }],
    ['one number', { runs: [run, { ...run, firstSequence: 1, lastSequence: 50 }] }],
    ['tombstones', { runs: [{ ...run, tombstones: 1001 }] }],
    ['ends before', { runs: [{ ...run, firstSequence: 100 }] }],
    ['out of order', { runs: [...manifest.runs].reverse() }],
    ['tables is not a list', { tables: 'x' }],
    ['tables[0].id', { tables: [{ ...manifest.tables[0], id: 2 ** 32 }] }],
    ['tables[0].name', { tables: [{ ...manifest.tables[0], name: 1 }] }],
    ['tables[0].key', { tables: [{ ...manifest.tables[0], key: 1 }] }],
    ['one id', { tables: [manifest.tables[0], { ...manifest.tables[0], name: 'other' }] }],
    ['one name', { tables: [manifest.tables[0], { ...manifest.tables[0], id: 1 }] }],
    ['falsePositiveRate', { falsePositiveRate: 0 }],
    ['falsePositiveRate', { falsePositiveRate: 1 }],
    ['unknown member', { more: 1 }],
    ['has no member epoch', { epoch: undefined }],
  ]

  it.each(defects)('is refused if its checksum is right and its content is not: %s (I1)', async (what, change) => {
    expect(await messageOf(fileOf(JSON.stringify({ ...manifest, ...change })))).toContain(what)
  })

  it('is refused if its text is no object of the kind, at any depth (I1)', async () => {
    for (const text of ['', '{', 'null', '[]', '1', '"x"', '['.repeat(1_000_000), '{"__proto__":{}}']) {
      await messageOf(fileOf(text))
    }
  })

  it('is not written if it is not valid', async () => {
    const storage = await diskWith()
    await expect(writeManifest(storage, DIRECTORY, { ...manifest, nextRun: 1 })).rejects.toThrow('invariant')
    expect(await readManifest(storage, DIRECTORY)).toStrictEqual(manifest)
  })
})

describe('replacing the manifest', () => {
  const next: Manifest = { ...manifest, epoch: 13, sequence: 1000, logged: 1000 }

  it('leaves the old one or the new one, whole, wherever power fails (I2, I3)', async () => {
    const total = await callsOf(next)
    for (let round = 0; round < runs(10); round++) {
      for (let at = 1; at <= total; at++) {
        const storage = await diskWith()
        storage.stopAt(storage.operations + at)
        await Promise.race([writeManifest(storage, DIRECTORY, next), storage.stopped])
        const found = await readManifest(storage.crash({ seed: round * 1000 + at }), DIRECTORY)
        expect([12, 13]).toContain(found?.epoch)
      }
      const storage = await diskWith()
      await writeManifest(storage, DIRECTORY, next)
      expect(await readManifest(storage.crash({ seed: round }), DIRECTORY)).toStrictEqual(next)
    }
  })

  it('leaves the old one if it fails before the rename, and says when that begins (I2)', async () => {
    const random = new Random('manifest faults')
    const total = await callsOf(next)
    for (const kind of ['EIO', 'ENOSPC', 'short', 'EMFILE'] as const) {
      for (let at = 1; at <= total; at++) {
        const storage = await diskWith()
        storage.failAt(storage.operations + at, kind)
        let isRenaming = false
        const code = await codeOf(() =>
          writeManifest(storage, DIRECTORY, next, () => {
            isRenaming = true
          }),
        )
        const hasFailed = storage.faultsInjected > 0
        expect(code).toBe(hasFailed ? 'IO' : undefined)
        expect(storage.openFiles).toEqual([])
        const found = await readManifest(storage, DIRECTORY)
        if (hasFailed && !isRenaming) {
          expect(found).toStrictEqual(manifest)
          expect(storage.files(DIRECTORY)).toEqual([PATH])
          expect(await readManifest(storage.crash({ seed: random.uint32() }), DIRECTORY)).toStrictEqual(manifest)
        } else if (hasFailed) {
          expect([12, 13]).toContain(found?.epoch)
        }
      }
    }
  })

  async function callsOf(value: Manifest): Promise<number> {
    const storage = await diskWith()
    const before = storage.operations
    await writeManifest(storage, DIRECTORY, value)
    return storage.operations - before
  }
})
