/**
 * Data many times larger than the limit, on a real disk: it is all there, memory stays within the limit, and the policy keeps what
 * is asked for often. `npm run test:long` makes it up to 10^7 entries under 64 MB.
 */
import { expect, it, onTestFinished } from 'vitest'

import { Database } from '../../src/index.ts'
import { Directory } from '../persistence/directory.ts'
import { Random, runs } from '../support/random.ts'

const MEGABYTE = 2 ** 20

it('5 * 10^4 to 10^7 entries under a limit of a fraction', { timeout: 3_600_000 }, async () => {
  const entries = Math.min(runs(50_000), 10_000_000)
  const limit = Math.min(64 * MEGABYTE, Math.max(2 * MEGABYTE, entries * 10))
  using directory = new Directory()
  const db = await Database.open<number, string>({
    path: directory.path,
    durability: 'relaxed',
    maxMemoryBytes: limit,
    eviction: 's3fifo',
  })
  onTestFinished(() => db.close())
  const handle = db.handle()
  const valueOf = (key: number): string => `the value of key number ${key}, which nobody else has`
  for (let i = 0; i < entries; i += 500) {
    await handle.transaction((tx) => {
      for (let key = i; key < i + 500; key++) tx.set(key, valueOf(key))
    })
    const { usedBytes, limitBytes, dirtyBytes } = db.stats().memory
    expect(usedBytes).toBeLessThanOrEqual(limitBytes)
    expect(dirtyBytes).toBeLessThanOrEqual(limitBytes)
  }
  expect(handle.size).toBe(Math.ceil(entries / 500) * 500)
  await db.compact()
  const random = new Random('large')
  const reads = Math.min(entries, 200_000)
  for (let i = 0; i < reads; i++) {
    // Nine of ten reads go to one in a hundred.
    const key = random.chance(0.9) ? random.int(entries / 100) : random.int(entries)
    if (handle.get(key) !== valueOf(key)) throw new Error(`key ${key} is wrong`)
    expect(handle.get(entries + 1000 + i)).toBeUndefined()
  }
  const { memory, cache } = db.stats()
  console.log(`${entries} entries under ${limit} bytes: ${JSON.stringify(cache)}`)
  expect(memory.usedBytes).toBeLessThanOrEqual(memory.limitBytes)
  expect(db.memoryUsage()).toBeLessThan(limit * 1.15 + MEGABYTE)
  expect(cache.evicted).toBeGreaterThan(entries / 2)
  let found = 0
  for (const [key, value] of handle.entries({ reverse: true, limit: 20_000 })) {
    if (value !== valueOf(key)) throw new Error(`key ${key} is wrong`)
    found++
  }
  expect(found).toBe(20_000)
})
