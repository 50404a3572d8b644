/** What a database tells about itself: stats, memoryUsage, check. */
import { describe, expect, it } from 'vitest'

import { merges, table } from '../../src/index.ts'
import { open, refusal, withEntries } from './fixtures.ts'
import { leastCost } from '../support/patience.ts'

describe('stats', () => {
  it('count operations by kind', async () => {
    const db = open({ merge: merges.sum })
    const handle = db.handle()
    const before = db.stats().operations
    await handle.set('a', 1)
    handle.get('a')
    handle.getMany(['a', 'b'])
    handle.has('a')
    await handle.merge('a', 1)
    for (const _key of handle.keys()) break
    handle.count()
    await handle.delete('a')
    await handle.transaction((tx) => {
      tx.set('b', 1)
      tx.get('b')
      tx.has('b')
      tx.delete('b')
      tx.merge('b', 1)
    })
    expect(before).toEqual({ gets: 0, has: 0, scans: 0, sets: 0, deletes: 0, merges: 0 })
    expect(db.stats().operations).toEqual({ gets: 4, has: 2, scans: 2, sets: 2, deletes: 2, merges: 2 })
  })

  it('count keys that expire, and those that have', async () => {
    let now = 0
    const db = open({ clock: () => now, ttl: { sweepIntervalMs: 0 } })
    expect(db.stats().expiry).toEqual({ keys: 0, entriesOnDisk: 0, expired: 0 })
    for (let i = 0; i < 10; i++) await db.handle().set(`k${i}`, i, i < 7 ? { ttlMs: 5 + i } : {})
    expect(db.stats().expiry).toEqual({ keys: 7, entriesOnDisk: 0, expired: 0 })
    now = 8
    expect(db.stats().expiry.keys).toBe(7)
    await db.vacuum()
    await db.handle().persist('k6')
    expect(db.stats().expiry).toEqual({ keys: 2, entriesOnDisk: 0, expired: 4 })
  })

  it('count what became of transactions', async () => {
    const db = open()
    const handle = db.handle()
    await handle.set('k', 1)
    await handle.transaction((tx) => tx.set('k', 2))
    await handle.transaction((tx) => tx.get('k'))
    handle.begin().rollback()
    const [first, second] = [handle.begin(), handle.begin()]
    for (const tx of [first, second]) tx.set('k', (tx.get('k') as number) + 1)
    await first.commit()
    await refusal(() => second.commit())
    const open1 = handle.begin()
    using snapshot = db.snapshot()
    expect(db.stats().transactions).toMatchObject({
      commits: 3,
      readOnlyCommits: 1,
      rollbacks: 1,
      conflicts: 1,
      writeConflicts: 1,
      readerConflicts: 0,
      graphFullConflicts: 0,
      favourRefusals: 0,
      retries: 0,
      expired: 0,
      leaked: 0,
      open: 2,
    })
    open1.rollback()
    expect(snapshot.sequence).toBe(db.stats().sequence)
  })

  it('tell keys, tombstones, bytes and versions, table by table', async () => {
    const db = open({ sizeOf: () => 10 })
    const other = table<string, number>('other', { sizeOf: () => 3 })
    for (const key of ['a', 'b', 'c']) await db.handle().set(key, 1)
    await db.handle(other).set('x', 1)
    const snapshot = db.snapshot()
    await db.handle().delete('a')
    await db.handle().set('b', 2)
    const during = db.stats()
    expect(during.tables['default']).toMatchObject({ keys: 2, tombstones: 1, bytes: 20 })
    expect(during.tables['other']).toMatchObject({ keys: 1, tombstones: 0, bytes: 3 })
    expect(during.versions).toBe(3 + 1 + 2)
    expect(during.garbage).toMatchObject({ chained: 2, oldestSnapshotLag: 2 })
    expect(during.memory.entryBytes).toBe(23)
    snapshot.close()
    await db.vacuum()
    const after = db.stats()
    expect(after.tables['default']).toMatchObject({ keys: 2, tombstones: 0 })
    expect(after.versions).toBe(3)
    expect(after.garbage).toMatchObject({ chained: 0, pending: 0, oldestSnapshotLag: 0, removedKeys: 1 })
  })

  it('are a copy that does not change', async () => {
    const db = open()
    const before = db.stats()
    const copy = structuredClone(before)
    await db.handle().set('k', 1)
    db.handle().get('k')
    expect(before).toEqual(copy)
  })

  it('measure time by the injected clock', () => {
    let now = 1000
    const db = open({}, { now: () => now })
    now = 1500
    expect(db.stats().uptimeMs).toBe(500)
  })

  it('are cheap: they do not walk the data', async () => {
    const db = open<number>()
    const cost = (): Promise<number> =>
      leastCost(5, () => {
        for (let i = 0; i < 500; i++) {
          db.stats()
          db.memoryUsage()
        }
      })
    const empty = await cost()
    await db.handle().transaction((tx) => {
      for (let i = 0; i < 50_000; i++) tx.set(i, i)
    })
    // Walking 5 * 10^4 keys would make it hundreds of times as much.
    expect((await cost()) / empty).toBeLessThan(20)
  })
})

describe('sizes', () => {
  it('of the estimate are back at zero when everything is deleted, by whatever means', async () => {
    const db = open<string, unknown>({
      merge: { identity: 0, merge: (a: unknown, b: unknown) => Number(a) + Number(b) },
    })
    const handle = db.handle()
    const values: unknown[] = [
      1,
      1.5,
      'text',
      'x'.repeat(100),
      { a: [1, 2, { b: 'c' }] },
      new Map([[1, 2]]),
      null,
      2n ** 80n,
    ]
    const fill = async (): Promise<void> => {
      for (const [i, value] of values.entries()) {
        await handle.set(`k${i}`, value)
        await handle.set(`k${i}`, values[(i + 3) % values.length])
      }
      await handle.merge('n', 1)
      await handle.merge('n', 1.5)
      expect(handle.sizeBytes).toBeGreaterThan(300)
    }
    await fill()
    for (const key of handle.keys()) await handle.delete(key)
    expect([handle.size, handle.sizeBytes]).toEqual([0, 0])
    await fill()
    await handle.clear()
    expect([handle.size, handle.sizeBytes]).toEqual([0, 0])
    await fill()
    await handle.transaction((tx) => {
      for (const key of tx.keys()) tx.take(key)
      expect([tx.size, tx.sizeBytes]).toEqual([0, 0])
    })
    expect([handle.size, handle.sizeBytes]).toEqual([0, 0])
  })

  it('of a transaction and of a snapshot are those of what they see', async () => {
    const db = open<string, string>({ sizeOf: (key, value) => key.length + value.length })
    const handle = db.handle()
    await handle.set('a', '12345')
    using snapshot = db.snapshot()
    await handle.set('bb', '12')
    const tx = handle.begin()
    await handle.delete('a')
    expect([snapshot.size, snapshot.sizeBytes]).toEqual([1, 6])
    expect([tx.size, tx.sizeBytes]).toEqual([2, 10])
    tx.set('a', '')
    tx.set('ccc', '1')
    tx.delete('bb')
    expect([tx.size, tx.sizeBytes]).toEqual([2, 5])
    expect([handle.size, handle.sizeBytes]).toEqual([1, 4])
    tx.rollback()
  })

  it('by sizeOf are whole numbers that stay exact: fractions round up', async () => {
    const db = open({ sizeOf: (_key, value) => value })
    const handle = db.handle()
    await handle.set('a', 1.5)
    await handle.set('b', 2 ** 32 - 1)
    await handle.set('c', 0)
    expect(handle.sizeBytes).toBe(2 + 2 ** 32 - 1)
    await handle.set('b', 0.25)
    expect(handle.sizeBytes).toBe(3)
    await handle.delete('a')
    await handle.delete('b')
    expect(handle.sizeBytes).toBe(0)
    await handle.transaction((tx) => {
      tx.set('a', 0.5)
      expect(tx.sizeBytes).toBe(1)
    })
    expect(handle.sizeBytes).toBe(1)
  })

  it.each([Number.NaN, -1, Infinity, 2 ** 32, 2 ** 32 - 0.5, '5', undefined, null])(
    'refuse a sizeOf that gives %s',
    async (size) => {
      const db = open({ sizeOf: () => size as never })
      expect(await refusal(() => db.handle().set('k', 1))).toBe('INVALID_ARGUMENT')
      expect(await refusal(() => db.handle().transaction((tx) => tx.set('k', 1)))).toBe('INVALID_ARGUMENT')
      expect(db.handle().size).toBe(0)
    },
  )

  it('give sizeOf what a read would give: nothing it could spoil', async () => {
    const db = open<Uint8Array, { list: number[]; at: Date }>({
      sizeOf: (key, value) => {
        key.fill(9)
        value.at.setTime(9)
        try {
          value.list.push(1)
        } catch {
          // Frozen: as it should be.
        }
        return 1
      },
    })
    await db.handle().set(Uint8Array.of(1), { list: [1], at: new Date(1) })
    expect([...db.handle().entries()]).toEqual([[Uint8Array.of(1), { list: [1], at: new Date(1) }]])
  })
})

describe('memoryUsage', () => {
  it('grows with what is stored and shrinks with what is deleted', async () => {
    const db = open<number, string>()
    const handle = db.handle()
    const empty = db.memoryUsage()
    for (let i = 0; i < 2000; i++) void handle.set(i, 'x'.repeat(100))
    const full = db.memoryUsage()
    expect(full - empty).toBeGreaterThan(2000 * 100)
    expect(full).toBeLessThan(2000 * 1000)
    expect(db.stats().memory.totalBytes).toBe(full)
    await handle.clear()
    await db.vacuum()
    expect(db.memoryUsage()).toBeLessThan(full / 2)
  })

  it('counts what an old snapshot keeps', async () => {
    const db = open<number, string>()
    for (let i = 0; i < 500; i++) void db.handle().set(i, 'x')
    using _snapshot = db.snapshot()
    const before = db.memoryUsage()
    for (let i = 0; i < 500; i++) void db.handle().set(i, 'y')
    expect(db.memoryUsage()).toBeGreaterThan(before)
  })
})

describe('check', () => {
  it('finds nothing wrong, and says how much it has seen', async () => {
    const db = open()
    await db.handle().set('a', 1)
    await db.handle(table<string, number>('other')).set('x', 1)
    using _snapshot = db.snapshot()
    await db.handle().set('a', 2)
    expect(await db.check()).toEqual({
      ...{ ok: true, problems: [], files: 0, bytes: 0, tables: 2, keys: 2 },
      versions: expect.any(Number),
    })
  })

  it('may be asked with everything open', async () => {
    const handle = await withEntries({ a: 1, b: 2 })
    const tx = handle.begin()
    tx.get('a')
    tx.set('c', 1)
    const iterator = handle.entries()
    iterator.next()
    await handle.set('a', 5)
    tx.rollback()
  })
})
