import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { BlockCache } from '../../src/runs/cache.ts'
import { RUN_LEFTOVER_NAME, RUN_NAME, runFileName } from '../../src/runs/format.ts'
import { RunReader } from '../../src/runs/reader.ts'
import { blockBytesFor, RunWriter } from '../../src/runs/writer.ts'
import { NodeStorage } from '../../src/storage/node.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { Random } from '../support/random.ts'
import {
  DIRECTORY,
  codeOf,
  emptyDisk,
  expectAt,
  expectEverything,
  find,
  hashSeed,
  openRun,
  plainEntries,
  storedKey,
  textKey,
  writeRun,
} from './run-files.ts'

const path = `${DIRECTORY}/${runFileName(1)}`

describe('RunWriter', () => {
  it('writes front to back in large pieces, then syncs, closes, renames and syncs the directory', async () => {
    const storage = await emptyDisk()
    const before = storage.operations
    await writeRun(storage, 1, plainEntries(20_000, 100))
    const calls = storage.log.filter(({ number }) => number > before)
    expect(calls[0]).toMatchObject({ name: 'create' })
    expect(calls[0]!.path).toMatch(/\/run-000000000001\.run\.tmp-[0-9a-f]{16}$/)
    expect(calls.slice(-4).map(({ name }) => name)).toEqual(['sync', 'close', 'rename', 'syncDirectory'])
    const writes = calls.slice(1, -4)
    let position = 0
    for (const write of writes) {
      expect(write).toMatchObject({ name: 'write', position })
      position += write.bytes
    }
    expect(position).toBe(storage.contents(path).length)
    expect(Math.min(...writes.slice(0, -1).map(({ bytes }) => bytes))).toBeGreaterThan(256 * 1024)
    expect(storage.files()).toEqual([path])
  })

  it('has one write in flight at a time, and waits for a slow disk instead of changing what is on its way', async () => {
    const disk = new SimulatedStorage({ seed: 1, maxDelayTurns: 0 })
    await disk.makeDirectory(DIRECTORY)
    const entries = plainEntries(20_000, 100)
    let inFlight = 0
    let most = 0
    const slow: Storage = {
      ...bound(disk),
      open: async (path, mode) => {
        const file = await disk.open(path, mode)
        const write = file.write.bind(file)
        file.write = async (data, position) => {
          most = Math.max(most, ++inFlight)
          for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
          await write(data, position)
          inFlight--
        }
        return file
      },
    }
    const summary = await writeRun(slow, 1, entries)
    expect(most).toBe(1)
    const reader = await openRun(disk, summary)
    expect(await reader.verify()).toEqual([])
    await expectEverything(reader, entries)
  })

  it('writes what does not expire as it did before anything could, to the byte', async () => {
    const storage = await emptyDisk()
    const entries = Array.from({ length: 3000 }, (_, i) => {
      const value = i % 7 === 0 ? null : new Uint8Array(i % 61).fill(i)
      const size = value === null ? 0 : value.length + 4
      return {
        key: textKey(1, `key ${String(i * 3).padStart(6, '0')}`),
        sequence: 1 + ((i * 7919) % 3000),
        size,
        value,
      }
    })
    const random = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i)
    await writeRun(storage, 1, entries, { blockBytes: 700, random })
    const bytes = storage.contents(path)
    expect([bytes.length, crc32(bytes)]).toEqual([119_111, 3_591_754_062])
  })

  it('refuses to write an expiry that could not be read', async () => {
    const cases: [expiresAt: number, value: Uint8Array | null][] = [
      [NaN, new Uint8Array(1)],
      [Infinity, new Uint8Array(1)],
      [-1, new Uint8Array(1)],
      [1, null],
    ]
    for (const [expiresAt, value] of cases) {
      const entry = { key: textKey(1, 'key'), sequence: 1, size: 1, value, expiresAt }
      await expect(writeRun(await emptyDisk(), 1, [entry])).rejects.toThrow('only puts expire')
    }
  })

  it('has names that sort like numbers and are told apart', () => {
    expect(runFileName(7)).toBe('run-000000000007.run')
    expect(RUN_NAME.exec(runFileName(999_999))?.[1]).toBe('000000999999')
    expect(RUN_LEFTOVER_NAME.test(`${runFileName(1)}.tmp-0123456789abcdef`)).toBe(true)
    for (const other of [
      'run-1.run',
      'run-000000000007.run~',
      'run-000000000007.run.tmp-xyz',
      'wal-000000000007.log',
    ]) {
      expect(RUN_NAME.test(other) || RUN_LEFTOVER_NAME.test(other)).toBe(false)
    }
  })

  it('refuses keys that do not ascend, and numbers that do not fit', async () => {
    const storage = await emptyDisk()
    const writer = await RunWriter.create(storage, DIRECTORY, 1, { hashSeed, falsePositiveRate: 0.01 })
    await writer.add(textKey(1, 'b'), 1, 0, null)
    for (const key of ['b', 'a', 'aa', '']) {
      expect(() => writer.add(textKey(1, key), 1, 0, null)).toThrow('ascending order')
    }
    for (const bad of [-1, 0.5, 2 ** 48, Number.NaN]) {
      expect(() => writer.add(textKey(1, 'c'), bad, 0, null)).toThrow('48 bits')
      expect(() => writer.add(textKey(1, 'c'), 1, bad, null)).toThrow('48 bits')
    }
    await writer.add(textKey(1, 'ba'), 2 ** 48 - 1, 2 ** 48 - 1, new Uint8Array(0))
    const summary = await writer.finish()
    expect(summary).toMatchObject({ entries: 2, tombstones: 1, firstSequence: 1, lastSequence: 2 ** 48 - 1 })
    const reader = await openRun(storage, summary)
    expect(find(reader, textKey(1, 'ba'))).toBe(true)
    expect([reader.sequence, reader.size, reader.tombstone, reader.value.length]).toEqual([
      2 ** 48 - 1,
      2 ** 48 - 1,
      false,
      0,
    ])
  })

  it('copies what it is given', async () => {
    const storage = await emptyDisk()
    const writer = await RunWriter.create(storage, DIRECTORY, 1, { hashSeed, falsePositiveRate: 0.01, blockBytes: 300 })
    const entries = plainEntries(100, 30)
    const key = new Uint8Array(64)
    const value = new Uint8Array(30)
    for (const entry of entries) {
      key.fill(0xee).set(entry.key)
      value.set(entry.value!)
      await writer.add(key, entry.sequence, entry.size, value, entry.key.length)
    }
    await expectEverything(await openRun(storage, await writer.finish()), entries)
  })

  it('removes its file when it is aborted, at any time', async () => {
    for (const count of [0, 1, 20_000]) {
      const storage = await emptyDisk()
      const writer = await RunWriter.create(storage, DIRECTORY, 1, { hashSeed, falsePositiveRate: 0.01 })
      for (const { key, sequence, size, value } of plainEntries(count, 100))
        await writer.add(key, sequence, size, value)
      expect(storage.files()).toHaveLength(1)
      await writer.abort()
      await writer.abort()
      expect(storage.files()).toEqual([])
      expect(storage.openFiles).toEqual([])
    }
  })

  it('lets others run while it builds the maplet', async () => {
    const storage = await emptyDisk()
    const writer = await RunWriter.create(storage, DIRECTORY, 1, { hashSeed, falsePositiveRate: 0.01 })
    for (const { key, sequence, size, value } of plainEntries(70_000, 0)) await writer.add(key, sequence, size, value)
    let pauses = 0
    await writer.finish(() => void pauses++)
    expect(pauses).toBeGreaterThanOrEqual(4)
  })
})

describe('RunReader', () => {
  it('opens on the footer, and finds a first key with three more reads: index, one page, one block', async () => {
    const storage = await emptyDisk()
    const entries = plainEntries(20_000, 100)
    const summary = await writeRun(storage, 1, entries)
    const before = storage.operations
    const reader = await openRun(storage, summary)
    expect(storage.log.filter(({ number }) => number > before).map(({ name }) => name)).toEqual([
      'open',
      'size',
      'read',
    ])
    expect(reader.memoryBytes).toBe(0)
    const opened = storage.operations
    const key = entries[12_345]!.key
    expect(find(reader, key)).toBe(true)
    const reads = storage.log.filter(({ number }) => number > opened)
    expect(reads.map(({ name }) => name)).toEqual(['read', 'read', 'read'])
    expect(reads[1]!.bytes).toBe(4096)
    expect(reads[2]!.bytes).toBeLessThanOrEqual(4 * 1024)
    expect(find(reader, key)).toBe(true)
    expect(storage.operations).toBe(opened + 3)
  })

  it('answers for an absent key from one page, but for the false positives that were allowed', async () => {
    for (const rate of [0.05, 0.01, 0.001]) {
      const storage = await emptyDisk()
      const summary = await writeRun(storage, 1, plainEntries(20_000, 10), {
        falsePositiveRate: rate,
        blockBytes: 2000,
      })
      const reader = await openRun(storage, summary, new BlockCache(1 << 24))
      const probes = 40_000
      const random = new Random(`absent ${rate}`)
      for (let i = 0; i < probes; i++) expect(find(reader, storedKey(1, ...words(random)))).toBe(false)
      const { falsePositives } = reader
      // Three standard deviations above the rate; and not far below what the layout costs, or bits would be wasted.
      expect(falsePositives).toBeLessThanOrEqual(probes * rate + 3 * Math.sqrt(probes * rate))
      expect(falsePositives).toBeGreaterThan((probes * rate) / 4)
    }
  })

  it('has blocks of 4 KiB, and longer ones where there would be very many', async () => {
    const mebibyte = 2 ** 20
    expect([0, 4000, mebibyte, 512 * mebibyte].map(blockBytesFor)).toEqual([4096, 4096, 4096, 4096])
    expect([1024, 1280, 4096, 1e9].map((count) => blockBytesFor(count * mebibyte))).toEqual([
      8192, 10_240, 32_768, 32_768,
    ])
    const storage = await emptyDisk()
    const entries = plainEntries(2000, 100)
    const short = await openRun(storage, await writeRun(storage, 1, entries))
    const long = await openRun(storage, await writeRun(storage, 2, entries, { expectedBytes: 1024 * mebibyte }))
    expect(short.blocks / long.blocks).toBeGreaterThan(1.8)
    for (const reader of [short, long]) await expectEverything(reader, entries)
  })

  it('takes at most 125 bytes of the disk for an entry of 117', async () => {
    const storage = await emptyDisk()
    const random = new Random('bytes per entry')
    const count = 30_000
    const texts = Array.from({ length: count }, () => random.uint32().toString(36).padStart(17, '0')).sort()
    const entries = [...new Set(texts)].map((text) => ({
      // A table, then a string of 17 characters as keys write it: a tag, the characters, an end.
      key: storedKey(1, 0x30, ...Buffer.from(text), 0),
      sequence: 1 + random.int(count),
      size: 108,
      value: new Uint8Array(100),
    }))
    const summary = await writeRun(storage, 1, entries)
    expect(summary.bytes / entries.length).toBeLessThanOrEqual(125)
  })

  it('keeps what it gave out readable after eviction and close', async () => {
    const storage = await emptyDisk()
    const entries = plainEntries(3000, 100)
    const cache = new BlockCache(300_000)
    const reader = await openRun(storage, await writeRun(storage, 1, entries), cache)
    expect(find(reader, entries[5]!.key)).toBe(true)
    const { value } = reader
    for (const { key } of entries) find(reader, key)
    expect(cache.evictions).toBeGreaterThan(0)
    await reader.close()
    await reader.close()
    expect(value).toEqual(entries[5]!.value)
    expect([cache.bytes, cache.parts]).toEqual([0, 0])
    expect(await codeOf(() => find(reader, entries[5]!.key))).toBe('CLOSED')
  })

  it('keeps a block that is read again, and reads others past what is kept (R2)', async () => {
    const storage = await emptyDisk()
    const entries = plainEntries(20_000, 100)
    const summary = await writeRun(storage, 1, entries)
    const cache = new BlockCache(200_000)
    const reader = await openRun(storage, summary, cache)
    const cursor = reader.cursor()
    cursor.first()
    for (const [i, { key, value }] of entries.entries()) {
      expect(find(reader, key)).toBe(true)
      expect(Buffer.compare(reader.value, value!)).toBe(0)
      // What a cursor stands on is its own, whatever is looked up meanwhile.
      expect(cursor.value).toEqual(value)
      expect(cursor.next()).toBe(i + 1 < entries.length)
    }
    const hot = entries[0]!
    for (let i = 0; i < 20 && !(find(reader, hot.key) && cache.hits > 0); i++) find(reader, entries[i * 300]!.key)
    find(reader, hot.key)
    const reads = storage.operations
    find(reader, hot.key)
    expect(storage.operations).toBe(reads)
    expect(cache.bytes).toBeLessThanOrEqual(200_000)
  })

  it('pushes out of a full cache nothing for what is read once', async () => {
    const storage = await emptyDisk()
    const entries = plainEntries(20_000, 100)
    const cache = new BlockCache(400_000)
    const reader = await openRun(storage, await writeRun(storage, 1, entries), cache)
    for (let number = 0; cache.hasRoom(4096); number++) reader.block(number)
    for (let number = 0; number < 3; number++) find(reader, entries[0]!.key)
    const { evictions } = cache
    for (let number = reader.blocks - 30; number < reader.blocks - 1; number++) reader.block(number)
    expect(cache.evictions).toBe(evictions)
    // What is read again comes in.
    const reads = storage.operations
    for (let round = 0; round < 4; round++) reader.block(reader.blocks - 40)
    expect(cache.evictions).toBeGreaterThan(evictions)
    expect(storage.operations - reads).toBeLessThan(4)
  })

  it('reads several blocks at once for a walk that goes on, in either direction', async () => {
    const storage = await emptyDisk()
    const entries = plainEntries(20_000, 100)
    const reader = await openRun(storage, await writeRun(storage, 1, entries), new BlockCache(0))
    expect(reader.blocks).toBeGreaterThan(500)
    const cursor = reader.cursor()
    cursor.first()
    for (const isForwards of [true, false]) {
      const before = storage.operations
      for (const { key } of isForwards ? entries : entries.toReversed()) {
        expect(Buffer.compare(cursor.key.subarray(0, cursor.keyLength), key)).toBe(0)
        if (isForwards) cursor.next()
        else cursor.prev()
      }
      expect(storage.operations - before).toBeLessThan(reader.blocks / 6)
      cursor.last()
    }
    // One that does not go on reads one.
    const before = storage.operations
    cursor.seek(entries[10_000]!.key, entries[10_000]!.key.length, true)
    expect(storage.operations - before).toBe(1)
    expect(storage.log.at(-1)!.bytes).toBeLessThanOrEqual(4096)
  })

  it('keeps the blocks of such a walk while there is room, and no more of them than there is', async () => {
    const storage = await emptyDisk()
    const entries = plainEntries(20_000, 100)
    const summary = await writeRun(storage, 1, entries)
    for (const maxBytes of [16 * 2 ** 20, 200_000]) {
      const cache = new BlockCache(maxBytes)
      const reader = await openRun(storage, summary, cache)
      const walk = (): number => {
        const before = storage.operations
        const cursor = reader.cursor()
        let count = cursor.first() ? 1 : 0
        while (cursor.next()) count++
        expect(count).toBe(entries.length)
        return storage.operations - before
      }
      expect(walk()).toBeGreaterThan(reader.blocks / 10)
      const kept = cache.bytes
      const again = walk()
      if (maxBytes === 200_000)
        expect([again > reader.blocks / 20, cache.bytes <= maxBytes, kept > maxBytes / 2]).toEqual([true, true, true])
      else expect([again, cache.parts]).toEqual([0, reader.blocks])
      // Each has its own bytes: what is kept keeps nothing else in memory.
      for (let number = 0; number < reader.blocks; number += 50) {
        const { bytes } = reader.block(number)
        expect(bytes.buffer.byteLength).toBe(bytes.length)
      }
      await reader.close()
    }
  })

  it('reads an empty run', async () => {
    const storage = await emptyDisk()
    const summary = await writeRun(storage, 1, [])
    const reader = await openRun(storage, summary)
    await expectEverything(reader, [])
    const cursor = reader.cursor()
    for (const moved of [cursor.first(), cursor.last(), cursor.seek(storedKey(1), 4, true)]) expect(moved).toBe(false)
    expect(cursor.seekBack(storedKey(1), 4, true)).toBe(false)
    expect([reader.has(0), find(reader, storedKey(0))]).toEqual([false, false])
    expect(await reader.verify()).toEqual([])
  })

  it('keeps values and keys of every length: nothing, a block, megabytes, the longest key', async () => {
    const storage = await emptyDisk()
    const lengths = [0, 1, 127, 128, 32_000, 32_768, 100_000, 3_000_000, 5]
    const entries = lengths.map((length, i) => ({
      key: Uint8Array.from({ length: i % 2 === 0 ? 65_539 : 8 }, (_, at) => (at < 4 ? 0 : i)),
      sequence: i + 1,
      size: length + 10,
      value: new Uint8Array(length).fill(i + 1),
    }))
    const reader = await openRun(storage, await writeRun(storage, 1, entries))
    await expectEverything(reader, entries)
    expect(await reader.verify()).toEqual([])
  })

  it('keeps a value of 100 MB on a real disk, beside small ones, in a file for the owner alone', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'varve-runs-'))
    try {
      const storage = new NodeStorage()
      const writer = await RunWriter.create(storage, directory, 1, { hashSeed, falsePositiveRate: 0.01 })
      const large = Buffer.alloc(100_000_000, 'abcdefg')
      const entries = [
        { key: textKey(1, 'a'), sequence: 1, size: 3, value: Uint8Array.of(1, 2, 3) },
        { key: textKey(1, 'b'), sequence: 2, size: large.length, value: large },
        { key: textKey(1, 'c'), sequence: 3, size: 0, value: null },
      ]
      for (const { key, sequence, size, value } of entries) await writer.add(key, sequence, size, value)
      const summary = await writer.finish()
      expect(await readdir(directory)).toEqual([runFileName(1)])
      expect((await stat(join(directory, runFileName(1)))).mode & 0o777).toBe(0o600)
      const cache = new BlockCache(1 << 20)
      const reader = await RunReader.open(storage, directory, summary, cache)
      expect(find(reader, textKey(1, 'b'))).toBe(true)
      expect(large.equals(reader.value)).toBe(true)
      expect(cache.bytes).toBeLessThan(1 << 20)
      const scan = reader.scan()
      for (const entry of entries) {
        const moved = scan.next() || ((await scan.load()) && scan.next())
        if (entry.value !== large) expectAt(scan, moved, entry)
        else expect(large.equals(scan.value)).toBe(true)
      }
      expect(await reader.verify()).toEqual([])
      await reader.close()
    } finally {
      await rm(directory, { recursive: true })
    }
  })
})

/** The calls of a storage as an object of functions. */
function bound(storage: SimulatedStorage): Storage {
  return {
    open: (path, mode, options) => storage.open(path, mode, options),
    list: (directory) => storage.list(directory),
    makeDirectory: (directory) => storage.makeDirectory(directory),
    rename: (from, to) => storage.rename(from, to),
    remove: (path) => storage.remove(path),
    removeDirectory: (directory) => storage.removeDirectory(directory),
    syncDirectory: (directory) => storage.syncDirectory(directory),
    lock: (directory) => storage.lock(directory),
    isHeld: (directory, token) => storage.isHeld(directory, token),
    probeLock: (directory) => storage.probeLock(directory),
  }
}

function words(random: Random): number[] {
  return Array.from({ length: 9 }, () => random.int(256))
}
