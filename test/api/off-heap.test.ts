/** Values outside of the heap beside everything else that keeps, moves, forgets or copies values. */
import { describe, expect, it } from 'vitest'
import { type AnyDatabase, Database, maps, Snapshot } from '../../src/index.ts'
import { Directory } from '../persistence/directory.ts'

const blobs = maps.stringBytes('blobs')
const points = maps.stringStruct('points', { x: 'f64', tags: 'string[]' })

function blobOf(seed: number): Uint8Array {
  return new Uint8Array(10 + (seed % 90)).fill(seed)
}

function pointOf(seed: number): { x: number; tags: string[] } {
  return { x: seed, tags: [`t${seed}`, 'x'.repeat(seed % 30)] }
}

async function fill(db: AnyDatabase, from: number, to: number, seed = 0): Promise<void> {
  await db.handle(blobs).transaction((tx) => {
    for (let i = from; i < to; i++) {
      tx.set(`k${i}`, blobOf(i + seed))
      tx.table(points).set(`k${i}`, pointOf(i + seed))
    }
  })
}

function expectFilled(db: AnyDatabase, from: number, to: number, seed = 0): void {
  for (let i = from; i < to; i++) {
    expect(db.handle(blobs).get(`k${i}`)).toEqual(blobOf(i + seed))
    expect(db.handle(points).get(`k${i}`)).toEqual(pointOf(i + seed))
  }
}

async function expectSound(...databases: AnyDatabase[]): Promise<void> {
  for (const db of databases) expect((await db.check()).problems).toEqual([])
}

describe('values outside of the heap', () => {
  it('are seen by forks and forks of forks as they were, whatever becomes of them in the parent', async () => {
    await using db = await Database.open()
    await fill(db, 0, 300)
    await using fork = db.fork()
    await fill(db, 0, 300, 1000)
    await fork.handle(blobs).delete('k7')
    await fork.handle(points).update('k8', (current) => current && { ...current, x: -1 })
    await using inner = fork.fork()
    await fill(fork, 100, 200, 2000)
    await db.compact()
    await fork.compact()
    expectFilled(db, 0, 300, 1000)
    expectFilled(fork, 100, 200, 2000)
    expectFilled(fork, 200, 300)
    expectFilled(inner, 9, 300)
    expect(inner.handle(blobs).get('k7')).toBeUndefined()
    expect(inner.handle(points).get('k8')).toEqual({ ...pointOf(8), x: -1 })
    expect([...inner.handle(points).entries()]).toHaveLength(300)
    expect([...fork.handle(blobs).values()]).toHaveLength(299)
    await expectSound(db, fork, inner)
  })

  it('are restored from snapshots, their bytes, and other databases', async () => {
    await using db = await Database.open()
    await fill(db, 0, 100)
    using snapshot = db.snapshot()
    const bytes = snapshot.toBytes()
    await fill(db, 50, 150, 500)
    await db.handle(blobs).delete('k3')
    await db.restore(snapshot)
    expectFilled(db, 0, 100)
    expect(db.handle(points).size).toBe(100)
    await using other = await Database.open()
    await fill(other, 90, 120, 7)
    using loaded = Snapshot.fromBytes(bytes)
    await other.restore(loaded)
    expectFilled(other, 0, 100)
    expect(other.handle(blobs).size).toBe(100)
    await expectSound(db, other)
  })

  it('are shown to those who watch, old and new, however late they look', async () => {
    await using db = await Database.open()
    await fill(db, 0, 3)
    const seen: unknown[] = []
    const controller = new AbortController()
    const changes = db.changes({ before: true, signal: controller.signal })
    const first = changes.next()
    await db.handle(blobs).set('k1', blobOf(500))
    await db.handle(points).delete('k2')
    for (let i = 0; i < 50; i++) await fill(db, 0, 3, i)
    await db.compact()
    for (let step = await first; seen.length < 2; step = await changes.next()) {
      if (step.done === true) break
      seen.push(...step.value.changes)
    }
    controller.abort()
    expect(seen.slice(0, 2)).toMatchObject([
      { key: 'k1', value: blobOf(500), before: blobOf(1) },
      { key: 'k2', before: pointOf(2) },
    ])
  })

  it('expire, and are swept', async () => {
    let now = 1_000_000
    await using db = await Database.open({ clock: () => now })
    await fill(db, 0, 50)
    for (let i = 0; i < 50; i += 2) {
      await db.handle(blobs).set(`k${i}`, blobOf(i), { ttlMs: 100 })
      await db.handle(points).set(`k${i}`, pointOf(i), { ttlMs: 200 })
    }
    using snapshot = db.snapshot()
    now += 150
    await db.vacuum()
    expect(db.handle(blobs).get('k2')).toBeUndefined()
    expect(db.handle(points).get('k2')).toEqual(pointOf(2))
    expect(snapshot.table(blobs).get('k2')).toEqual(blobOf(2))
    now += 150
    snapshot[Symbol.dispose]()
    await db.vacuum()
    expect([...db.handle(points).keys()]).toHaveLength(25)
    await expectSound(db)
  })

  it('are evicted in memory, and snapshots are told rather than shown something else', async () => {
    await using db = await Database.open({ maxMemoryBytes: 120_000, eviction: 'lru' })
    await fill(db, 0, 100)
    using snapshot = db.snapshot()
    for (let i = 100; i < 1500; i += 20) await fill(db, i, i + 20)
    expect(db.handle(blobs).size).toBeLessThan(1000)
    let told = 0
    for (let i = 0; i < 100; i++) {
      try {
        expect(snapshot.table(blobs).get(`k${i}`)).toEqual(blobOf(i))
      } catch (error) {
        expect(error).toMatchObject({ code: 'SNAPSHOT_TOO_OLD' })
        told++
      }
    }
    expect(told).toBeGreaterThan(0)
    for (const [key, value] of db.handle(points).entries()) expect(value).toEqual(pointOf(Number(key.slice(1))))
    await db.compact()
    await expectSound(db)
  })

  it.each([
    ['lru', 150_000],
    ['lru', 1000],
    ['s3fifo', 20_000],
  ] as const)(
    'leave memory on disk and come back, beside scans and snapshots: %s, %i bytes',
    async (eviction, bytes) => {
      using place = new Directory()
      const options = { maxMemoryBytes: bytes, eviction }
      const load = { maxMemoryBytes: Math.max(bytes, 150_000), eviction }
      await place.session(async (db) => {
        for (let i = 0; i < 1200; i += 100) await fill(db, i, i + 100)
      }, load)
      await place.session(async (db) => {
        using snapshot = db.snapshot()
        const stream = snapshot.table(points).stream()
        for (let i = 0; i < 1200; i += 7) expect(db.handle(blobs).get(`k${i}`)).toEqual(blobOf(i))
        let count = 0
        for await (const [key, value] of stream) {
          expect(value).toEqual(pointOf(Number(key.slice(1))))
          if (++count % 400 === 0) {
            await db.handle(points).set('k0', pointOf(count))
            await db.compact()
          }
        }
        expect(count).toBe(1200)
        expectFilled(db, 1, 1200)
        await expectSound(db)
      }, options)
      await place.session(async (db) => {
        expectFilled(db, 1, 1200)
        expect(db.handle(points).get('k0')).toEqual(pointOf(1200))
        await expectSound(db)
      }, options)
    },
  )
})
