/** compact() in memory: what deleted values have left free goes back, whoever reads and writes meanwhile. */
import { describe, expect, it } from 'vitest'
import { Database, maps } from '../../src/index.ts'
import { refusal, turn } from './fixtures.ts'

const blobs = maps.u64Bytes('blobs')
const points = maps.stringStruct('points', { x: 'f64', y: 'f64', label: 'string' })
const COUNT = 40_000

describe('compact() in memory', () => {
  it('gives back what a mass deletion has left, and memoryUsage() falls', async () => {
    await using db = await Database.open()
    const [b, p] = [db.handle(blobs), db.handle(points)]
    for (let i = 0; i < COUNT; i++) {
      void b.set(BigInt(i), new Uint8Array(64).fill(i))
      void p.set(String(i), { x: i, y: -i, label: `point ${i}` })
    }
    const full = db.memoryUsage()
    for (let i = 0; i < COUNT; i++) {
      if (i % 16 === 0) continue
      void b.delete(BigInt(i))
      void p.delete(String(i))
    }
    await db.vacuum()
    const sparse = db.memoryUsage()
    await db.compact()
    const compacted = db.memoryUsage()
    expect(compacted).toBeLessThan(sparse)
    // What was outside of the heap: about 106 bytes for each of the two tables, in places of 64 and 56 bytes.
    expect(sparse - compacted).toBeGreaterThan(COUNT * 80)
    expect(compacted).toBeLessThan(full * 0.6)
    for (let i = 0; i < COUNT; i += 16) {
      expect(b.get(BigInt(i))?.[0]).toBe(i & 0xff)
      expect(p.get(String(i))).toEqual({ x: i, y: i === 0 ? -0 : -i, label: `point ${i}` })
    }
    expect((await db.check()).problems).toEqual([])
  })

  it('leaves iterators and streams that are under way what they saw', async () => {
    await using db = await Database.open()
    const b = db.handle(blobs)
    for (let i = 0; i < 6000; i++) void b.set(BigInt(i), new Uint8Array(100).fill(i))
    for (let i = 0; i < 6000; i++) if (i % 5 !== 0) void b.delete(BigInt(i))
    await db.vacuum()
    let seen = 0
    for await (const [key, value] of b.stream()) {
      expect(value).toEqual(new Uint8Array(100).fill(Number(key)))
      if (++seen === 3) void b.clear()
      if (seen % 100 === 5) await db.compact()
    }
    expect(seen).toBe(1200)
    const now = [...b.entries()]
    expect(now).toEqual([])
    let count = 0
    for (let i = 0; i < 100; i++) void b.set(BigInt(i), Uint8Array.of(i))
    for (const [key, value] of b.entries()) {
      count++
      // Within the tick: nothing moves until later.
      if (key === 5n) void db.compact()
      expect([...value]).toEqual([Number(key)])
    }
    expect(count).toBe(100)
  })

  it('does no harm when the database closes meanwhile', async () => {
    const db = await Database.open()
    const b = db.handle(blobs)
    for (let i = 0; i < 20_000; i++) void b.set(BigInt(i), new Uint8Array(40))
    for (let i = 0; i < 20_000; i++) if (i % 9 !== 0) void b.delete(BigInt(i))
    const done = db.compact()
    await db.close()
    await done
    await expect(db.compact()).rejects.toMatchObject({ code: 'CLOSED' })
  })

  it('gives back columns, index and filter of entries that are gone, whoever writes meanwhile', async () => {
    await using db = await Database.open<number, number>()
    const handle = db.handle()
    for (let from = 0; from < 100_000; from += 10_000) {
      await handle.transaction((tx) => {
        for (let i = from; i < from + 10_000; i++) tx.set(i, i)
      })
    }
    const full = db.memoryUsage()
    for (let from = 0; from < 100_000; from += 10_000) {
      await handle.transaction((tx) => {
        for (let i = from; i < from + 10_000; i++) if (i % 20 !== 0) tx.delete(i)
      })
    }
    await db.vacuum()
    expect(db.stats().fragmentation.memory).toBeGreaterThan(0.9)
    using snapshot = db.snapshot()
    const stream = handle.stream()
    await stream.next()
    const compacting = db.compact()
    const state = { isDone: false }
    void compacting.then(() => (state.isDone = true))
    const mine = new Map<number, number>()
    for (let n = 0; n < 2000 && !state.isDone; n++) {
      const key = (n * 7919) % 120_000
      mine.set(key, -n)
      await handle.transaction(async (tx) => {
        tx.get(key - 1)
        if (n % 5 === 0) await turn()
        tx.set(key, -n)
      })
      await turn()
    }
    await compacting
    expect(db.memoryUsage()).toBeLessThan(full / 5)
    expect(db.stats().fragmentation.memory).toBeLessThan(0.7)
    expect((await db.check()).problems).toEqual([])
    for (let i = 0; i < 120_000; i += 1) {
      const before = i < 100_000 && i % 20 === 0 ? i : undefined
      expect(snapshot.get(i)).toBe(before)
      expect(handle.get(i)).toBe(mine.get(i) ?? before)
    }
    let streamed = 1
    for await (const _ of stream) streamed++
    expect(streamed).toBe(5000)
    // What was given back is taken again.
    await handle.transaction((tx) => {
      for (let i = 0; i < 50_000; i++) tx.set(i, i)
    })
    expect(handle.count({ lt: 50_000 })).toBe(50_000)
    expect((await db.check()).problems).toEqual([])
  })

  it('moves no entry that an open transaction has read, and conflicts are seen through it', async () => {
    await using db = await Database.open<number, number>()
    const handle = db.handle()
    await handle.transaction((tx) => {
      for (let i = 0; i < 40_000; i++) tx.set(i, i)
    })
    await handle.transaction((tx) => {
      for (let i = 0; i < 40_000; i++) if (i % 100 !== 0) tx.delete(i)
    })
    const [one, other] = [handle.begin(), handle.begin()]
    // Write skew over two keys of chunks that compaction would empty.
    one.set(9900, one.get(10_100)! + 1)
    other.set(10_100, other.get(9900)! + 1)
    await db.compact()
    expect(db.stats().fragmentation.memory).toBeGreaterThan(0.5)
    await other.commit()
    expect(await refusal(() => one.commit())).toBe('SERIALIZATION_FAILURE')
    await db.compact()
    expect(db.stats().fragmentation).toEqual({ memory: 0, disk: 0 })
    expect(db.memoryUsage()).toBeLessThan(1_000_000)
    expect([handle.get(9900), handle.get(10_100), handle.size]).toEqual([9900, 9901, 400])
    expect((await db.check()).problems).toEqual([])
  })
})
