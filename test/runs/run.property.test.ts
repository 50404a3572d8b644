import { describe, expect, it } from 'vitest'
import { BlockCache } from '../../src/runs/cache.ts'
import { Random, runs } from '../support/random.ts'
import {
  type Entry,
  emptyDisk,
  expectAt,
  expectEverything,
  expectFound,
  find,
  hex,
  openRun,
  order,
  randomBytes,
  randomEntries,
  storedKey,
  writeRun,
} from './run-files.ts'

/** A key that is in the run, close to one, or anywhere. */
function probe(random: Random, entries: readonly Entry[]): Uint8Array {
  const near = entries.length === 0 || random.chance(0.1) ? storedKey(random.uint32()) : random.pick(entries).key
  if (random.chance(0.4)) return near
  const key = Uint8Array.from(near)
  if (random.chance(0.3)) return Uint8Array.of(...key, random.int(256))
  if (random.chance(0.3)) return key.subarray(0, random.int(key.length + 1))
  key[random.int(key.length)] = random.int(256)
  return key
}

describe('a run', () => {
  it('gives back what was written, like a sorted array', async () => {
    for (let round = 0; round < runs(60); round++) {
      const random = new Random(round)
      const entries = randomEntries(random, random.pick([0, 1, 2, 15, 16, 17, 33, 200, 600]))
      const storage = await emptyDisk()
      const blockBytes = random.pick([1, 200, 1000, 32_768])
      const summary = await writeRun(storage, 1, entries, { blockBytes })
      expect(summary).toMatchObject({
        number: 1,
        entries: entries.length,
        tombstones: entries.filter(({ value }) => value === null).length,
        firstSequence: entries.length === 0 ? 0 : Math.min(...entries.map(({ sequence }) => sequence)),
        lastSequence: Math.max(0, ...entries.map(({ sequence }) => sequence)),
      })
      const reader = await openRun(storage, summary, new BlockCache(random.pick([0, 20_000, 1 << 20])))
      await expectEverything(reader, entries)
      expect(await reader.verify()).toEqual([])
      const instants = entries.flatMap(({ expiresAt }) => expiresAt ?? [])
      expect([reader.expiring, reader.expiries?.least ?? Infinity]).toEqual([
        instants.length,
        Math.min(Infinity, ...instants),
      ])
      await reader.close()
      expect(storage.openFiles).toEqual([])
    }
  })

  it('moves like an index into a sorted array', async () => {
    for (let round = 0; round < runs(40); round++) {
      const random = new Random(1000 + round)
      const entries = randomEntries(random, random.pick([0, 1, 20, 300]), 60)
      const storage = await emptyDisk()
      const summary = await writeRun(storage, 1, entries, { blockBytes: random.pick([1, 300, 1200, 32_768]) })
      const reader = await openRun(storage, summary, new BlockCache(random.pick([10_000, 1 << 20])))
      const cursor = reader.cursor()
      let at = -1
      for (let step = 0; step < 400; step++) {
        const key = probe(random, entries)
        const inclusive = random.chance(0.5)
        switch (random.int(7)) {
          case 0: {
            at = entries.findIndex((entry) => order(entry.key, key) > (inclusive ? -1 : 0))
            if (at < 0) at = entries.length
            expectAt(cursor, cursor.seek(key, key.length, inclusive), entries[at])
            break
          }
          case 1: {
            at = entries.findLastIndex((entry) => order(entry.key, key) < (inclusive ? 1 : 0))
            expectAt(cursor, cursor.seekBack(key, key.length, inclusive), entries[at])
            break
          }
          case 2: {
            at = random.chance(0.5) ? 0 : entries.length - 1
            if (at === 0) expectAt(cursor, cursor.first(), entries[at])
            else expectAt(cursor, cursor.last(), entries[at])
            break
          }
          case 3:
          case 4: {
            at = Math.min(entries.length, at + 1)
            expectAt(cursor, cursor.next(), entries[at])
            break
          }
          default: {
            at = Math.max(-1, at - 1)
            expectAt(cursor, cursor.prev(), entries[at])
          }
        }
        const isThere = entries.find((entry) => order(entry.key, key) === 0)
        if (isThere === undefined) expect(find(reader, key)).toBe(false)
        else expectFound(reader, isThere)
      }
    }
  })

  it('does not find keys that are not there, however often the maplet sends it to their block', async () => {
    for (let round = 0; round < runs(30); round++) {
      const random = new Random(3000 + round)
      const entries = randomEntries(random, random.pick([10, 100, 400]), 20)
      const storage = await emptyDisk()
      const summary = await writeRun(storage, 1, entries, { falsePositiveRate: 1, blockBytes: 32_768 })
      const reader = await openRun(storage, summary)
      const keys = new Map(entries.map((entry) => [hex(entry.key), entry]))
      for (let i = 0; i < 1000; i++) {
        const key = probe(random, entries)
        const entry = keys.get(hex(key))
        if (entry === undefined) expect(find(reader, key)).toBe(false)
        else expectFound(reader, entry)
      }
      expect(reader.falsePositives).toBeGreaterThan(50)
    }
  })

  it('knows its tables', async () => {
    for (let round = 0; round < runs(20); round++) {
      const random = new Random(2000 + round)
      const tables = new Set(Array.from({ length: random.int(6) }, () => random.pick([0, 1, 2, 7, 300, 2 ** 32 - 1])))
      const entries = [...tables]
        .sort((a, b) => a - b)
        .flatMap((table) =>
          Array.from({ length: 1 + random.int(40) }, (_, i) => ({
            key: storedKey(table, i),
            sequence: 1,
            size: 0,
            value: randomBytes(random, 20),
          })),
        )
      const storage = await emptyDisk()
      const reader = await openRun(storage, await writeRun(storage, 1, entries, { blockBytes: 100 }))
      for (const table of [0, 1, 2, 3, 7, 8, 299, 300, 301, 2 ** 31, 2 ** 32 - 1]) {
        expect([table, reader.has(table)]).toEqual([table, tables.has(table)])
      }
    }
  })
})
