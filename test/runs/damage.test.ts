/** Whatever becomes of the bytes of a run: what was written, or CORRUPTION that names the file. Never anything else (R1). */
import { crc32 } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { BlockCache } from '../../src/runs/cache.ts'
import { expiriesBytes } from '../../src/runs/expiries.ts'
import { FOOTER_BYTES } from '../../src/runs/footer.ts'
import {
  PART_BLOCK,
  PART_FOOTER,
  PART_INDEX,
  PART_PAGE,
  type RunSummary,
  partSeed,
  readFloat64,
  readUint16,
  readUint32,
  runFileName,
  runSeedOf,
  writeFloat64,
  writeUint32,
} from '../../src/runs/format.ts'
import { RunReader } from '../../src/runs/reader.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Random, runs } from '../support/random.ts'
import {
  DIRECTORY,
  type Entry,
  codeOf,
  emptyDisk,
  expectEverything,
  openRun,
  plainEntries,
  randomEntries,
  storedKey,
  writeRun,
} from './run-files.ts'

const path = `${DIRECTORY}/${runFileName(1)}`

interface Sample {
  readonly entries: readonly Entry[]
  readonly summary: RunSummary
  readonly bytes: Uint8Array
}

async function sampleOf(entries: readonly Entry[], blockBytes: number, number = 1): Promise<Sample> {
  const storage = await emptyDisk()
  const summary = await writeRun(storage, number, entries, { blockBytes })
  return { entries, summary, bytes: storage.contents(`${DIRECTORY}/${runFileName(number)}`) }
}

/** A disk on which run 1 has these bytes. */
function diskWith(bytes: Uint8Array): SimulatedStorage {
  const storage = new SimulatedStorage({ maxDelayTurns: 0 })
  storage.plant(DIRECTORY, 'directory')
  storage.plant(path, bytes)
  return storage
}

/** Reads everything in every way. The outcome: what was written, or CORRUPTION, and what `verify` then says. */
async function outcome(
  bytes: Uint8Array,
  { entries, summary }: Sample,
): Promise<{ code: string | undefined; problems: number | 'refused' }> {
  const storage = diskWith(bytes)
  let reader: RunReader
  try {
    reader = await openRun(storage, summary)
  } catch (error) {
    expect(error).toMatchObject({ code: 'CORRUPTION', message: expect.stringContaining(path) as string })
    expect(storage.openFiles).toEqual([])
    return { code: 'CORRUPTION', problems: 'refused' }
  }
  const code = await codeOf(() => expectEverything(reader, entries))
  const problems = await reader.verify()
  for (const problem of problems) {
    expect(problem.file).toBe(path)
    expect(problem.offset).toBeGreaterThanOrEqual(0)
    expect(problem.offset).toBeLessThanOrEqual(Math.max(bytes.length, summary.bytes))
  }
  await reader.close()
  return { code, problems: problems.length }
}

async function expectNoticed(bytes: Uint8Array, sample: Sample, what: string): Promise<void> {
  const { code, problems } = await outcome(bytes, sample)
  if (problems === 0) expect.fail(`verify does not notice ${what}`)
  if (code !== 'CORRUPTION') expect.fail(`reading does not notice ${what}: ${code}`)
}

/** Sizes and places of the parts, from the footer. */
function partsOf({ bytes }: Sample): {
  pagesAt: number
  indexAt: number
  expiriesAt: number
  footerAt: number
  blocks: number
} {
  const footerAt = bytes.length - FOOTER_BYTES
  const blocks = readUint32(bytes, footerAt + 88)
  return {
    expiriesAt: readUint32(bytes, footerAt + 124) === 0 ? footerAt : footerAt - expiriesBytes(blocks),
    pagesAt: readUint32(bytes, footerAt + 72),
    indexAt: readUint32(bytes, footerAt + 80),
    footerAt,
    blocks,
  }
}

/** Where the blocks begin and the last one ends. */
function offsetsOf(sample: Sample): number[] {
  const { indexAt, blocks } = partsOf(sample)
  return Array.from({ length: blocks + 1 }, (_, i) => readUint32(sample.bytes, indexAt + i * 12))
}

/** Makes all checksums right again, as somebody would who forges a file. */
function forgeChecksums(sample: Sample, bytes: Uint8Array): void {
  const { pagesAt, indexAt, expiriesAt, footerAt } = partsOf(sample)
  const runSeed = runSeedOf(bytes.subarray(footerAt + 8, footerAt + 24))
  const offsets = offsetsOf(sample)
  for (let i = 0; i + 1 < offsets.length; i++) {
    const part = bytes.subarray(offsets[i], offsets[i + 1])
    writeUint32(part, 0, crc32(part.subarray(4), partSeed(runSeed, PART_BLOCK, i)))
  }
  for (let i = 0; pagesAt + i * 4096 < indexAt; i++) {
    const part = bytes.subarray(pagesAt + i * 4096, pagesAt + (i + 1) * 4096)
    writeUint32(part, 0, crc32(part.subarray(4), partSeed(runSeed, PART_PAGE, i)))
  }
  const index = bytes.subarray(indexAt, expiriesAt)
  writeUint32(bytes, footerAt + 4, crc32(index, partSeed(runSeed, PART_INDEX, 0)))
  const expiries = bytes.subarray(expiriesAt, footerAt)
  if (expiries.length > 0) writeUint32(bytes, footerAt + 120, crc32(expiries, partSeed(runSeed, PART_INDEX, 1)))
  writeUint32(bytes, footerAt, crc32(bytes.subarray(footerAt + 4), partSeed(runSeed, PART_FOOTER, 0)))
}

async function expectEveryBit(entries: readonly Entry[]): Promise<void> {
  const sample = await sampleOf(entries, 200)
  const { pagesAt, indexAt, blocks } = partsOf(sample)
  expect(blocks).toBeGreaterThan(2)
  const random = new Random('bits')
  for (let byte = 0; byte < sample.bytes.length; byte++) {
    // Pages are long and mostly zero: one bit of each of their bytes, every bit of all others.
    const isPage = byte >= pagesAt && byte < indexAt
    for (const bit of isPage ? [random.int(8)] : [0, 1, 2, 3, 4, 5, 6, 7]) {
      const bytes = sample.bytes.slice()
      bytes[byte]! ^= 1 << bit
      await expectNoticed(bytes, sample, `bit ${bit} of byte ${byte}`)
    }
  }
}

describe('a damaged run', () => {
  it('is noticed whichever bit is wrong', () => expectEveryBit(plainEntries(24, 6)))

  it('is noticed whichever bit is wrong where entries expire', () => expectEveryBit(expiringEntries(24)))

  it('is refused at once where it says when entries expire', async () => {
    const sample = await sampleOf(expiringEntries(24), 200)
    const { expiriesAt, footerAt } = partsOf(sample)
    for (let byte = expiriesAt; byte < footerAt; byte++) {
      const bytes = sample.bytes.slice()
      bytes[byte]! ^= 0x10
      expect((await outcome(bytes, sample)).problems).toBe('refused')
    }
  })

  it('is noticed at whatever length it is cut, and if something follows', async () => {
    const sample = await sampleOf(plainEntries(40, 12), 500)
    for (let length = 0; length < sample.bytes.length; length++) {
      const { problems } = await outcome(sample.bytes.subarray(0, length), sample)
      if (problems !== 'refused') expect.fail(`cut at ${length}`)
    }
    for (const tail of [1, 140, 4096]) {
      const bytes = new Uint8Array(sample.bytes.length + tail)
      bytes.set(sample.bytes)
      if (tail === 140) bytes.set(sample.bytes.subarray(-140), sample.bytes.length)
      expect((await outcome(bytes, sample)).problems).toBe('refused')
    }
  })

  it('is noticed if it becomes shorter or goes bad while it is open', async () => {
    const sample = await sampleOf(plainEntries(400, 12), 500)
    const storage = diskWith(sample.bytes)
    const reader = await openRun(storage, sample.summary, new BlockCache(0))
    await expectEverything(reader, sample.entries)
    const other = await storage.peer().open(path, 'write')
    await other.truncate(700)
    expect(await codeOf(() => expectEverything(reader, sample.entries))).toBe('CORRUPTION')
    const scan = reader.scan()
    expect(await codeOf(() => scan.load())).toBe('CORRUPTION')
    expect((await reader.verify()).length).toBeGreaterThan(0)
  })

  it('is noticed if blocks are swapped, repeated or shifted', async () => {
    // Values of one length, so that all blocks but the last are of one size.
    const sample = await sampleOf(plainEntries(200, 40), 700)
    const offsets = offsetsOf(sample)
    const length = offsets[2]! - offsets[1]!
    const same = offsets.slice(0, -1).filter((at, i) => offsets[i + 1]! - at === length)
    expect(same.length).toBeGreaterThan(3)
    for (const from of same) {
      for (const to of same) {
        if (from === to) continue
        const swapped = sample.bytes.slice()
        swapped.set(sample.bytes.subarray(from, from + length), to)
        await expectNoticed(swapped, sample, `block at ${from} repeated at ${to}`)
        swapped.set(sample.bytes.subarray(to, to + length), from)
        await expectNoticed(swapped, sample, `blocks at ${from} and ${to} swapped`)
      }
    }
  })

  it('is noticed if a part of it, or all of it, comes from another run with the same entries', async () => {
    const entries = plainEntries(60, 40)
    const sample = await sampleOf(entries, 700)
    const storage = await emptyDisk()
    const random = new Random('another')
    const other = {
      entries,
      summary: await writeRun(storage, 1, entries, {
        blockBytes: 700,
        random: (bytes) => Uint8Array.from({ length: bytes }, () => random.int(256)),
      }),
      bytes: storage.contents(path),
    }
    expect(other.bytes.length).toBe(sample.bytes.length)
    const { pagesAt, indexAt, footerAt } = partsOf(sample)
    const bounds = [...offsetsOf(sample).slice(0, -1), pagesAt, indexAt, footerAt, sample.bytes.length]
    for (let i = 0; i + 1 < bounds.length; i++) {
      const bytes = sample.bytes.slice()
      bytes.set(other.bytes.subarray(bounds[i], bounds[i + 1]), bounds[i])
      // The index is the same: its checksum, in the footer, is what says whose it is.
      if (bounds[i] !== indexAt) await expectNoticed(bytes, sample, `another run's bytes from ${bounds[i]} on`)
      const spliced = sample.bytes.slice()
      spliced.set(other.bytes.subarray(bounds[i]), bounds[i])
      await expectNoticed(spliced, sample, `another run from ${bounds[i]} on`)
    }
  })

  it('is refused under the number of another, and if it is missing or no file', async () => {
    const sample = await sampleOf(plainEntries(10), 700)
    const storage = diskWith(sample.bytes)
    storage.plant(`${DIRECTORY}/${runFileName(2)}`, sample.bytes)
    const refusal = await openRun(storage, { ...sample.summary, number: 2 }).catch((error: Error) => error.message)
    expect(refusal).toContain('run-000000000002.run is damaged at byte')
    expect(refusal).toContain('another run than the one that the manifest lists: number')
    expect(await codeOf(() => openRun(storage, { ...sample.summary, number: 3 }))).toBe('CORRUPTION')
    storage.plant(`${DIRECTORY}/${runFileName(4)}`, 'directory')
    expect(await codeOf(() => openRun(storage, { ...sample.summary, number: 4 }))).toBe('IO')
    for (const [name, value] of Object.entries(sample.summary)) {
      const other = typeof value === 'number' ? value + 1 : `0${(value as string).slice(1)}1`.slice(0, 32)
      expect(await codeOf(() => openRun(storage, { ...sample.summary, [name]: other }))).toBe('CORRUPTION')
    }
  })

  it('is refused by its version and its flags before anything else is looked at', async () => {
    const sample = await sampleOf(plainEntries(10), 700)
    const { footerAt } = partsOf(sample)
    for (const [at, said] of [
      [128, 'its version 2 is newer than 1'],
      [127, 'flags of a newer version'],
    ] as const) {
      const bytes = sample.bytes.slice()
      bytes[footerAt + at] = 2
      if (at !== 128) forgeChecksums(sample, bytes)
      await expect(openRun(diskWith(bytes), sample.summary)).rejects.toThrow(said)
    }
  })

  it('never ends in a crash or without end, even if the checksums were forged', async () => {
    for (let round = 0; round < runs(500); round++) {
      const random = new Random(round)
      const sample = await sampleOf(randomEntries(random, random.pick([3, 40])), random.pick([200, 2000]))
      const bytes = sample.bytes.slice()
      const { footerAt, pagesAt, indexAt } = partsOf(sample)
      for (let i = 0; i <= random.int(3); i++) {
        const at = random.pick([
          random.int(pagesAt),
          pagesAt + random.int(200),
          indexAt + random.int(footerAt - indexAt),
          footerAt + 28 + random.int(FOOTER_BYTES - 28),
        ])
        bytes[at] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.int(256)])
      }
      forgeChecksums(sample, bytes)
      const storage = diskWith(bytes)
      // Reading ends, well or in CORRUPTION; codeOf passes on whatever else is thrown. What is read need not be right.
      await codeOf(async () => {
        const reader = await openRun(storage, sample.summary)
        await reader.verify()
        await codeOf(() => readAll(reader, sample))
        await reader.close()
      })
    }
  })

  it('is noticed by verify if the checksums of a changed key, count, cell or separator were forged', async () => {
    const sample = await sampleOf(plainEntries(100, 12), 700)
    const { pagesAt, indexAt, footerAt, blocks } = partsOf(sample)
    const cells = 16 + readUint16(sample.bytes, pagesAt + 12) * 2
    const places = {
      'a byte of a key': offsetsOf(sample)[1]! + 24 + 5 + 8,
      'the number of entries': footerAt + 40,
      'a cell': pagesAt + cells,
      'a start of a bucket': pagesAt + 18,
      'a zero of a page': pagesAt + 4000,
      'a separator': footerAt - 1,
      'a first table': footerAt + 112,
      'the last sequence': footerAt + 64,
      'where a block begins': indexAt + 12 * (blocks - 1),
    }
    for (const [what, at] of Object.entries(places)) {
      const bytes = sample.bytes.slice()
      bytes[at]! ^= 1
      forgeChecksums(sample, bytes)
      const { problems } = await outcome(bytes, sample).catch(() => ({ problems: 'wrong data' as const }))
      if (problems === 'wrong data') {
        const reader = await openRun(diskWith(bytes), sample.summary)
        expect([what, (await reader.verify()).length > 0]).toEqual([what, true])
      } else expect([what, problems === 0]).toEqual([what, false])
    }
  })

  it('is noticed by verify if footer and manifest agree on counts that are not those of the entries', async () => {
    const sample = await sampleOf(plainEntries(100, 12), 700)
    const { footerAt } = partsOf(sample)
    const edits = [
      ['entries', 40, 1],
      ['entries', 40, -1],
      ['tombstones', 48, 1],
      ['firstSequence', 56, -1],
      ['firstSequence', 56, 1],
      ['lastSequence', 64, 1],
      ['lastSequence', 64, -1],
    ] as const
    for (const [name, at, change] of edits) {
      const bytes = sample.bytes.slice()
      const summary = { ...sample.summary, [name]: sample.summary[name] + change }
      writeUint32(bytes, footerAt + at, summary[name])
      forgeChecksums(sample, bytes)
      const problems = await (await openRun(diskWith(bytes), summary)).verify()
      expect([name, change, problems.length]).toEqual([name, change, 1])
    }
  })

  it('is noticed by verify if a block says that it has fewer entries than it holds', async () => {
    const sample = await sampleOf(plainEntries(10, 12), 700)
    const bytes = sample.bytes.slice()
    bytes[8]! -= 1
    forgeChecksums(sample, bytes)
    const problems = await (await openRun(diskWith(bytes), sample.summary)).verify()
    expect(problems.map(({ message }) => message)).toEqual(['block 0 has bytes behind its last entry'])
  })

  it('is refused by whoever reads an entry that is not well-formed, even if the checksums were forged (E2)', async () => {
    const entries = [
      { key: storedKey(1, 7, 7, 7, 7), sequence: 1, size: 6, value: Uint8Array.of(1, 2, 3, 4, 5) },
      { key: storedKey(1, 7, 7, 8, 8), sequence: 1, size: 6, value: Uint8Array.of(1, 2, 3, 4, 5) },
    ]
    const sample = await sampleOf(entries, 700)
    const first = 24
    const second = first + 5 + 8 + 5
    const restart = second + 5 + 2 + 5
    expect([...sample.bytes.subarray(second, second + 5)]).toEqual([6, 2 * 4, 5, 2, 0])
    expect(readUint32(sample.bytes, restart)).toBe(first)
    const edits: [what: string, at: number, byte: number][] = [
      ['a restart shares bytes', first, 1],
      ['more bytes are shared than the key before has', second, 9],
      ['a kind that is not known', first + 1, 8 * 4 + 3],
      ['a key beyond the end', second + 1, 31 * 4],
      ['a value beyond the end', second + 2, 6],
      ['a size below zero', first + 3, 11],
      ['a sequence below zero', first + 4, 3],
      ['a number without an end', second + 2, 0xff],
      ['a number that runs out of the block', second + 2, 0xff],
      ['a restart into the header', restart, 23],
      ['a restart behind the entries', restart, restart],
    ]
    for (const [what, at, byte] of edits) {
      const bytes = sample.bytes.slice()
      bytes[at] = byte
      if (what.startsWith('a number')) bytes.fill(0xff, at, what.includes('block') ? restart + 4 : restart)
      forgeChecksums(sample, bytes)
      const storage = diskWith(bytes)
      const reader = await openRun(storage, sample.summary)
      const forwards = await codeOf(() => {
        const cursor = reader.cursor()
        while (cursor.next());
      })
      const backwards = await codeOf(() => {
        const cursor = reader.cursor()
        if (cursor.last()) while (cursor.prev());
      })
      const problems = await reader.verify()
      // Who reads forwards does not need the restarts.
      const expected = at === restart ? undefined : 'CORRUPTION'
      expect([what, forwards, backwards, problems.length]).toEqual([what, expected, 'CORRUPTION', 1])
    }
  })

  it('is noticed if what it says of expiry is not so, even if the checksums were forged', async () => {
    const sample = await sampleOf(expiringEntries(24), 200)
    const { expiriesAt, footerAt, blocks } = partsOf(sample)
    const offset = offsetsOf(sample)[1]!
    expect(readFloat64(sample.bytes, expiriesAt + 8)).toBe(1e12)
    expect(sample.bytes[offset + 25]! & 3).toBe(2)
    const instant = offset + 24 + 5
    expect(readFloat64(sample.bytes, instant)).toBe(1e12 + readUint32(sample.bytes, 8))
    const edits: [what: string, refused: boolean, change: (bytes: Uint8Array) => void][] = [
      ['the count is 0', true, (bytes) => bytes.fill(0, expiriesAt, expiriesAt + 8)],
      ['the count is more than there are entries', true, (bytes) => (bytes[expiriesAt] = 25)],
      ['the count has more than 48 bits', true, (bytes) => (bytes[expiriesAt + 7] = 1)],
      ['the count is one too small', false, (bytes) => bytes[expiriesAt]!--],
      ['a least is 0', true, (bytes) => writeFloat64(bytes, expiriesAt + 8, 0)],
      ['a least is no number', true, (bytes) => writeFloat64(bytes, expiriesAt + 8, Number.NaN)],
      ['a least is negative', true, (bytes) => writeFloat64(bytes, expiriesAt + 8, -1)],
      ['a least is late', false, (bytes) => writeFloat64(bytes, expiriesAt + 8, 1e12 + 1)],
      ['a least is early', false, (bytes) => writeFloat64(bytes, expiriesAt + 8, 1e12 - 1)],
      ['a block that expires does not', false, (bytes) => writeFloat64(bytes, expiriesAt + 8, Infinity)],
      [
        'nothing expires',
        true,
        (bytes) => {
          for (let i = 0; i < blocks; i++) writeFloat64(bytes, expiriesAt + 8 + i * 8, Infinity)
        },
      ],
      ['the flag is not set', true, (bytes) => (bytes[footerAt + 124] = 0)],
      ['another flag is set', true, (bytes) => (bytes[footerAt + 124] = 3)],
    ]
    for (const [what, isRefused, change] of edits) {
      const bytes = sample.bytes.slice()
      change(bytes)
      forgeChecksums(sample, bytes)
      let reader: RunReader
      try {
        reader = await openRun(diskWith(bytes), sample.summary)
      } catch (error) {
        expect([what, isRefused, error]).toEqual([what, true, expect.objectContaining({ code: 'CORRUPTION' })])
        continue
      }
      expect([what, isRefused]).toEqual([what, false])
      expect([what, (await reader.verify()).length]).toEqual([what, 1])
    }
    for (const no of [0, -0, -1, Number.NaN, Infinity, -Infinity]) {
      const bytes = sample.bytes.slice()
      writeFloat64(bytes, instant, no)
      forgeChecksums(sample, bytes)
      const { code, problems } = await outcome(bytes, sample)
      expect([no, code, problems]).toEqual([no, 'CORRUPTION', 1])
    }
  })

  it('is noticed if entries expire and the footer knows nothing of it', async () => {
    const plain = await sampleOf(plainEntries(1, 12), 700)
    const bytes = plain.bytes.slice()
    // The value of twelve bytes becomes an instant and four bytes.
    expect([...bytes.subarray(24, 29)]).toEqual([0, 14 * 4, 12, 8, 0])
    bytes.set([0, 14 * 4 + 2, 4, 8, 0], 24)
    bytes.copyWithin(29 + 8, 29, 29 + 14)
    writeFloat64(bytes, 29, 1e12)
    forgeChecksums(plain, bytes)
    const reader = await openRun(diskWith(bytes), plain.summary)
    expect(await reader.verify()).toMatchObject([{ message: 'it says that 0 entries expire, and 1 do' }])
  })

  it('is reported whole: every damaged part with its place', async () => {
    const sample = await sampleOf(plainEntries(200, 40), 700)
    const offsets = offsetsOf(sample)
    const { pagesAt } = partsOf(sample)
    const bytes = sample.bytes.slice()
    for (const at of [offsets[1]!, offsets[4]!, pagesAt]) bytes[at + 30]! ^= 0x10
    const storage = diskWith(bytes)
    const seen: number[] = []
    const reader = await openRun(storage, sample.summary)
    const problems = await reader.verify((checked) => void seen.push(checked))
    expect(problems.map(({ offset }) => offset).sort((a, b) => a - b)).toEqual([offsets[1], offsets[4], pagesAt])
    expect(seen.at(-1)).toBe(sample.bytes.length)
  })

  it('leaves failures of the device to be told from damage', async () => {
    const sample = await sampleOf(plainEntries(40, 12), 500)
    const storage = diskWith(sample.bytes)
    const reader = await openRun(storage, sample.summary)
    storage.fail({ kind: 'EIO', operation: 'read', times: 100 })
    expect(await codeOf(() => expectEverything(reader, sample.entries))).toBe('IO')
    expect(await codeOf(() => reader.verify())).toBe('IO')
    storage.heal()
    await expectEverything(reader, sample.entries)
  })
})

/** Every second entry expires, each a second later than the one before. */
function expiringEntries(count: number): Entry[] {
  return plainEntries(count, 6).map((entry, i) => (i % 2 === 0 ? { ...entry, expiresAt: 1e12 + i } : entry))
}

/** Reads all that can be read, without a look at what it is. */
async function readAll(reader: RunReader, { entries }: Sample): Promise<void> {
  for (const { key } of entries) {
    for (const high of [0, 2 ** 31, 2 ** 32 - 1]) reader.find(key, key.length, high, high)
  }
  const cursor = reader.cursor()
  const bound = reader.summary.bytes
  let steps = 0
  while (cursor.next() && steps++ < bound) expect(cursor.value.length).toBeLessThanOrEqual(bound)
  while (cursor.prev() && steps++ < 2 * bound) expect(cursor.keyLength).toBeLessThanOrEqual(bound)
  for (const { key } of entries) cursor.seek(key, key.length, true)
  const scan = reader.scan()
  while (scan.next() || ((await scan.load()) && scan.next())) expect(steps++).toBeLessThan(3 * bound)
}
