/**
 * `memoryUsage()` is what the process really grows by, within 15 %. The heap is weighed after collection; this file is a process
 * of its own.
 */
import { describe, expect, it } from 'vitest'

import { codecs, Database, keys, maps, table, type Table } from '../../src/index.ts'
import { collectGarbage } from '../api/fixtures.ts'
import { Directory } from '../persistence/directory.ts'
import { Random } from '../support/random.ts'

/** Heap and external memory, once nothing more goes. */
async function inUse(): Promise<number> {
  for (let last = Infinity; ;) {
    await collectGarbage()
    await new Promise((resolve) => setTimeout(resolve, 20))
    const { heapUsed, external } = process.memoryUsage()
    if (heapUsed + external > last - 20_000) return heapUsed + external
    last = heapUsed + external
  }
}

interface Case {
  readonly name: string
  readonly count: number
  readonly value: (random: Random, i: number) => unknown
  readonly key?: (i: number) => string | number
}

const CASES: readonly Case[] = [
  { name: 'short strings', count: 150_000, value: (_, i) => `value number ${i} of many` },
  { name: 'long strings', count: 20_000, value: (_, i) => Buffer.alloc(1000, `${i} `).toString('latin1') },
  { name: 'strings that are not Latin', count: 50_000, value: (_, i) => `значение номер ${i} из многих` },
  { name: 'small integers', count: 200_000, value: (_, i) => i % 1000, key: (i) => i },
  { name: 'doubles', count: 200_000, value: (random) => random.next(), key: (i) => i },
  { name: 'small objects', count: 80_000, value: (_, i) => ({ id: i, name: `user ${i}`, isAdmin: false }) },
  {
    name: 'nested objects',
    count: 30_000,
    value: (_, i) => ({ id: i, tags: ['a', 'b', 'c'], place: { x: i, y: -i } }),
  },
  { name: 'large blobs', count: 300, value: (_, i) => new Uint8Array(100_000).fill(i) },
  { name: 'small blobs', count: 40_000, value: (_, i) => new Uint8Array(60).fill(i) },
]

describe('memoryUsage', () => {
  it.each(CASES)('of $name', async ({ count, value, key }) => {
    const random = new Random('accounting')
    const fill = (db: Database<string | number, unknown>, entries: number): void => {
      const handle = db.handle()
      for (let i = 0; i < entries; i++)
        void handle.set(key === undefined ? `key:${i * 7919}` : key(i), value(random, i))
    }
    const warm = await Database.open<string | number>()
    fill(warm, Math.min(count, 5000))
    await warm.close()
    const db = await Database.open<string | number>()
    const before = await inUse()
    fill(db, count)
    const grown = (await inUse()) - before
    const told = db.memoryUsage()
    console.log(`${count}: grown ${Math.round(grown / count)} B per entry, told ${Math.round(told / count)}`)
    expect(told).toBeGreaterThan(grown * 0.85)
    expect(told).toBeLessThan(grown * 1.15)
    await db.close()
  })

  it('counts keys of 64 bits by their words: 36 bytes less an entry, also after it came from a disk', async () => {
    const count = 5000
    const keyOf = (i: number): bigint => 2n ** 63n - BigInt(i)
    const sizes = async (numbers: Table<bigint, number>): Promise<number[]> => {
      using directory = new Directory()
      const measured: number[] = []
      for (const isFresh of [true, false])
        await directory.session((db) => {
          const handle = db.handle(numbers)
          if (isFresh) for (let i = 0; i < count; i++) void handle.set(keyOf(i), i)
          for (let i = 0; i < count; i++) expect(handle.get(keyOf(i))).toBe(i)
          measured.push(handle.sizeBytes / count, db.stats().memory.indexBytes / count)
        })
      return measured
    }
    const plain = await sizes(table('numbers'))
    const keyed = await sizes(table('numbers', { key: keys.u64() }))
    expect(plain.map((bytes, i) => bytes - keyed[i]!)).toEqual([24, 12, 24, 12])
  })

  it.each<[string, (i: bigint) => bigint]>([
    ['in order', (i) => i],
    ['at random', (i) => BigInt.asUintN(64, i * 0x9e37_79b9_7f4a_7c15n)],
  ])('of values outside of the heap, under keys of 64 bits %s', async (_, keyOf) => {
    const records = maps.u64Bytes('records')
    const db = await Database.open()
    const before = await inUse()
    const handle = db.handle(records)
    const bytes = new Uint8Array(32).fill(7)
    for (let i = 0n; i < 150_000n; i++) void handle.set(keyOf(i), bytes)
    const grown = (await inUse()) - before
    const told = db.memoryUsage()
    console.log(`arena: grown ${grown / 150_000}, told ${told / 150_000}`)
    expect(told).toBeGreaterThan(grown * 0.85)
    expect(told).toBeLessThan(grown * 1.15)
    await db.close()
  })

  it('of old versions that a snapshot keeps, and without them once it is closed', async () => {
    const db = await Database.open<number, string>()
    const handle = db.handle()
    const text = (i: number, round: number): string => Buffer.alloc(300, `${round}/${i} `).toString('latin1')
    for (let i = 0; i < 30_000; i++) void handle.set(i, text(i, 0))
    const before = await inUse()
    const told = db.memoryUsage()
    const snapshot = db.snapshot()
    for (let i = 0; i < 30_000; i++) void handle.set(i, text(i, 1))
    const grown = (await inUse()) - before
    const more = db.memoryUsage() - told
    console.log(`versions: grown ${grown / 30_000}, told ${more / 30_000}`)
    expect(more).toBeGreaterThan(grown * 0.85)
    expect(more).toBeLessThan(grown * 1.15)
    snapshot.close()
    await db.vacuum()
    expect(db.memoryUsage()).toBe(told)
    await db.close()
  })

  it.each([
    [
      'strings',
      table<string, string>('texts'),
      (i: number) => [`key:${i}`, `value number ${i} of many, many more`] as const,
    ],
    [
      '64 bits',
      maps.u64String('numbered'),
      (i: number) => [BigInt(i), `value number ${i} of many, many more`] as const,
    ],
  ] as const)(
    'of a cache at its limit: what the limit says, plus what is fixed; keys of %s',
    async (_, values, entry) => {
      const db = await Database.open({ maxMemoryBytes: 8_000_000, eviction: 's3fifo' })
      const handle = db.handle(values as Table<string | bigint, string>)
      const before = await inUse()
      for (let i = 0; i < 300_000; i++) {
        const [key, value] = entry(i)
        void handle.set(key, value)
      }
      const grown = (await inUse()) - before
      const told = db.memoryUsage()
      console.log(`cache: grown ${grown}, told ${told}`)
      expect(told).toBeGreaterThan(grown * 0.85)
      expect(told).toBeLessThan(grown * 1.15)
      expect(told).toBeLessThan(8_000_000 * 1.15)
      await db.close()
    },
  )

  it('counts what sizeOf says, to the byte, so that a limit of 500 bytes holds five entries of 100', async () => {
    const sized = table<string, string>('sized', { value: codecs.string(), sizeOf: () => 100 })
    const db = await Database.open({ maxMemoryBytes: 500 })
    const handle = db.handle(sized)
    for (let i = 0; i < 20; i++) {
      await handle.set(`k${i}`, 'x'.repeat(1000))
      expect(handle.size).toBe(Math.min(i + 1, 5))
    }
    expect([...handle.keys()]).toEqual(['k15', 'k16', 'k17', 'k18', 'k19'])
    expect(handle.sizeBytes).toBe(500)
    await db.close()
  })
})
