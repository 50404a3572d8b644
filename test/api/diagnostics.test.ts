/** What is published outside: diagnostics channels, latencies, figures of the cache. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'

import { Database, type Stats } from '../../src/index.ts'
import { openWith } from '../../src/database.ts'

type Message = Record<string, unknown>
const undo: (() => void)[] = []
afterEach(() => undo.splice(0).forEach((stop) => stop()))

function listen(channel: string): Message[] {
  const messages: Message[] = []
  const listener = (message: unknown): void => void messages.push(message as Message)
  subscribe(channel, listener)
  undo.push(() => unsubscribe(channel, listener))
  return messages
}

describe('diagnostics channels', () => {
  it('carry every event, with the database it is of', async () => {
    const commits = listen('varve:commit')
    const aborts = listen('varve:abort')
    const closes = listen('varve:close')
    const one = await Database.open<string, number>()
    const two = await Database.open<string, number>()
    await one.handle().set('k', 1)
    await two.handle().set('k', 1)
    one.handle().begin().rollback()
    await one.close()
    await two.close()
    expect(commits).toMatchObject([
      { sequence: 1, keys: 1 },
      { sequence: 1, keys: 1 },
    ])
    expect(commits[0]?.['database']).toMatch(/^memory-\d+$/)
    expect(commits[0]?.['database']).not.toBe(commits[1]?.['database'])
    expect(aborts).toMatchObject([{ database: commits[0]?.['database'], conflict: undefined }])
    expect(closes).toHaveLength(2)
  })

  it('carry evictions with their reason', async () => {
    const evictions = listen('varve:evict')
    await using db = await Database.open<string, number>({ maxMemoryBytes: 100, sizeOf: () => 50 })
    for (const key of ['a', 'b', 'c']) await db.handle().set(key, 1)
    db.handle().evict('c')
    await pause(1)
    expect(evictions).toMatchObject([
      { key: 'a', reason: 'limit' },
      { key: 'c', reason: 'manual' },
    ])
  })

  it('carry statistics at most once a second, while there are commits', async () => {
    const published = listen('varve:stats')
    let now = 0
    const db = openWith<string, number>(undefined, { now: () => now })
    for (const at of [0, 10, 999, 1000, 1500, 2500]) {
      now = at
      await db.handle().set('k', at)
    }
    await db.close()
    expect(published.map(({ stats }) => (stats as Stats).sequence)).toEqual([1, 4, 6])
  })

  it('hear nothing once nobody subscribes', async () => {
    const published = listen('varve:commit')
    for (const stop of undo.splice(0)) stop()
    await using db = await Database.open<string, number>()
    await db.handle().set('k', 1)
    expect(published).toEqual([])
  })
})

describe('figures', () => {
  it('time commits', async () => {
    let now = 0
    const db = openWith<string, number>(undefined, { now: () => now })
    for (let i = 0; i < 64; i++) {
      await db.handle().transaction((tx) => {
        tx.set('k', i)
      })
      now += 1
    }
    const { commit, sync } = db.stats().latency
    expect(commit.count).toBe(64)
    expect(commit.p50Ms).toBeGreaterThan(0)
    expect(commit.p99Ms).toBeGreaterThanOrEqual(commit.p50Ms)
    expect(sync).toBeNull()
    await db.close()
  })

  it('tell how old the oldest snapshot is', async () => {
    let now = 0
    const db = openWith<string, number>(undefined, { now: () => now })
    expect(db.stats().garbage.oldestSnapshotAgeMs).toBe(0)
    await db.handle().set('k', 1)
    const first = db.snapshot()
    now = 100
    await db.handle().set('k', 2)
    const second = db.snapshot()
    now = 250
    expect(db.stats().garbage.oldestSnapshotAgeMs).toBe(250)
    first[Symbol.dispose]()
    expect(db.stats().garbage.oldestSnapshotAgeMs).toBe(150)
    second[Symbol.dispose]()
    await db.close()
  })

  it('tell how well memory serves reads, and who has left', async () => {
    await using db = await Database.open<string, number>({ maxMemoryBytes: 100, eviction: 'lru', sizeOf: () => 50 })
    const handle = db.handle()
    for (const key of ['a', 'b', 'c']) await handle.set(key, 1)
    for (const key of ['a', 'b', 'c', 'c']) handle.get(key)
    handle.evict('b')
    expect(db.stats().cache).toEqual({
      policy: 'lru',
      hits: 3,
      misses: 1,
      hitRatio: 0.75,
      coldReads: 0,
      evicted: 1,
      evictedByHand: 1,
      evictedBytes: 100,
    })
    const { usedBytes, limitBytes } = db.stats().memory
    expect([usedBytes, limitBytes]).toEqual([50, 100])
  })

  it('count reads of values: asking whether a key is there is no use of it', async () => {
    await using db = await Database.open<string, number>({ maxMemoryBytes: 100, eviction: 'lru', sizeOf: () => 50 })
    const handle = db.handle()
    for (const key of ['a', 'b']) await handle.set(key, 1)
    expect([handle.has('a'), handle.has('c')]).toEqual([true, false])
    expect(db.stats().cache).toMatchObject({ hits: 0, misses: 0 })
    await handle.set('c', 1)
    expect([...handle.keys()]).toEqual(['b', 'c'])
  })

  it('divide memory by what it is for', async () => {
    await using db = await Database.open<string, string>()
    for (let i = 0; i < 1000; i++) await db.handle().set(`key ${i}`, 'x'.repeat(100))
    using snapshot = db.snapshot()
    await db.handle().set('key 0', 'y')
    const { memory } = db.stats()
    expect(memory.totalBytes).toBe(db.memoryUsage())
    expect(memory.entryBytes).toBeGreaterThan(100_000)
    expect(memory.columnBytes).toBeGreaterThanOrEqual(28_000)
    expect(memory.indexBytes).toBe(26_000)
    expect(memory.mapletBytes).toBeGreaterThan(8000)
    expect(memory.versionBytes).toBeGreaterThan(120)
    expect(memory.cacheBytes).toBe(0)
    expect(snapshot.get('key 0')).toHaveLength(100)
  })
})

describe('absent keys on disk', () => {
  it('cost a read of a block no oftener than the configured rate, and that is measured', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'varve-')), 'db')
    const options = { path, durability: 'relaxed', maplet: { falsePositiveRate: 0.01 } } as const
    {
      await using db = await Database.open<string, number>(options)
      await db.handle().transaction((tx) => {
        for (let i = 0; i < 20_000; i++) tx.set(`there ${i}`, i)
      })
    }
    await using db = await Database.open<string, number>(options)
    for (let i = 0; i < 20_000; i++) expect(db.handle().get(`not there ${i}`)).toBeUndefined()
    const { lookups, falsePositives, measuredFalsePositiveRate } = db.stats().disk!.runs
    expect(lookups).toBeGreaterThanOrEqual(20_000)
    expect(measuredFalsePositiveRate).toBe(falsePositives / lookups)
    expect(measuredFalsePositiveRate).toBeLessThan(0.015)
    expect(measuredFalsePositiveRate).toBeGreaterThan(0)
    rmSync(path, { recursive: true })
  })
})
