/** compact() in memory: what deleted values have left free goes back, whoever reads and writes meanwhile. */
import { describe, expect, it } from 'vitest'
import { Database, maps } from '../../src/index.ts'

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
})
