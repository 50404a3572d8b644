/** Watching a database on disk: what is told is on disk, what a power failure takes was never told. */
import { setTimeout as sleep } from 'node:timers/promises'

import { describe, expect, it, onTestFinished } from 'vitest'

import { type Injected, openWith } from '../../src/database.ts'
import type { Commit, Database, DatabaseOptions } from '../../src/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { refusal, thrown, turn } from '../api/fixtures.ts'
import { Random, runs } from '../support/random.ts'
import { drain, line, orWaits, take } from './readers.ts'

const PATH = '/data/db'

async function open(
  storage: SimulatedStorage,
  options: DatabaseOptions<string, string> = {},
  injected: Injected = {},
): Promise<Database<string, string>> {
  const db = await openWith<string, string>(
    { wal: { segmentBytes: 2 ** 16, poolSize: 1 }, ...options, path: PATH },
    { storage, background: 'inline', ...injected },
  )
  // What a halted machine or a stalled disk holds up never ends.
  onTestFinished(() => {
    void db.close().catch(() => undefined)
  })
  return db
}

describe('full', () => {
  it('tells of a commit once it is on disk, or when it is applied if that is asked for', async () => {
    const disk = new SimulatedStorage({ seed: 1 })
    const db = await open(disk)
    await db.handle().set('a', '1')
    const [durable, applied] = [db.changes(), db.changes({ durable: false })]
    disk.fail({ kind: 'stall', operation: 'write', path: /wal-/, times: 1 })
    void db.handle().set('b', '2')
    void db.handle().set('c', '3')
    expect((await take(applied, 2)).map(line)).toEqual(['2: b=2', '3: c=3'])
    const next = durable.next()
    expect(await orWaits(next)).toBe('waits')
    disk.heal()
    expect(line((await next).value as Commit)).toBe('2: b=2')
    expect((await take(durable, 1)).map(line)).toEqual(['3: c=3'])
  })

  it('tells watchers of keys by the same rule', async () => {
    const disk = new SimulatedStorage({ seed: 2 })
    const db = await open(disk)
    await db.handle().set('a', '1')
    const durable = db.handle().watch({ key: 'b' })
    const applied = db.handle().watch({ key: 'b' }, { durable: false })
    disk.fail({ kind: 'stall', operation: 'write', path: /wal-/, times: 1 })
    void db.handle().set('b', '2')
    expect((await take(applied, 1))[0]).toMatchObject({ value: '2' })
    const next = durable.next()
    expect(await orWaits(next)).toBe('waits')
    disk.heal()
    expect((await next).value).toMatchObject({ value: '2' })
  })
})

describe('relaxed', () => {
  it('tells of a commit once it was synced', async () => {
    const flush = { intervalMs: Infinity, commits: Infinity, bytes: Infinity }
    const db = await open(new SimulatedStorage({ seed: 3 }), { durability: 'relaxed', flush })
    const commits = db.changes()
    await db.handle().set('a', '1')
    const next = commits.next()
    expect(await orWaits(next)).toBe('waits')
    await db.flush()
    expect(line((await next).value as Commit)).toBe('1: a=1')
  })

  it('keeps what is not synced yet for its readers, beyond the bound of the ring', async () => {
    const flush = { intervalMs: Infinity, commits: Infinity, bytes: Infinity }
    const options = { durability: 'relaxed' as const, flush }
    const db = await open(new SimulatedStorage({ seed: 4 }), options, { feedBytes: 10_000 })
    const commits = db.changes()
    for (let i = 0; i < 50; i++) await db.handle().set('a', 'x'.repeat(500))
    await db.flush()
    expect((await take(commits, 50)).at(-1)?.sequence).toBe(50)
    for (let i = 0; i < 500; i++) await db.handle().set('a', 'x'.repeat(500))
    expect(db.stats().feed.bytes).toBeLessThanOrEqual(40_000)
    expect(await refusal(() => commits.next())).toBe('SNAPSHOT_TOO_OLD')
  })
})

describe('the end', () => {
  it('is CLOSED after everything, which close makes durable', async () => {
    const flush = { intervalMs: Infinity, commits: Infinity, bytes: Infinity }
    const db = await open(new SimulatedStorage({ seed: 5 }), { durability: 'relaxed', flush })
    const commits = db.changes()
    for (let i = 1; i <= 3; i++) await db.handle().set('a', String(i))
    const reading = drain(commits)
    await db.close()
    const { items, error } = await reading
    expect(items.map(({ sequence }) => sequence)).toEqual([1, 2, 3])
    expect(error).toMatchObject({ code: 'CLOSED' })
  })

  it('is POISONED after what is on disk, or after what was applied', async () => {
    const disk = new SimulatedStorage({ seed: 6 })
    const db = await open(disk)
    const [durable, applied] = [drain(db.changes()), drain(db.changes({ durable: false }))]
    await db.handle().set('a', '1')
    disk.fail({ kind: 'EIO', operation: 'write', path: /wal-/, times: 1 })
    expect(await refusal(() => db.handle().set('b', '2'))).toBe('POISONED')
    const [onDisk, all] = [await durable, await applied]
    expect(onDisk.items.map(line)).toEqual(['1: a=1'])
    expect(onDisk.error).toMatchObject({ code: 'POISONED' })
    expect(all.items.map(line)).toEqual(['1: a=1', '2: b=2'])
    expect(all.error).toMatchObject({ code: 'POISONED' })
    expect(thrown(() => db.changes())).toBe('POISONED')
  })
})

describe('cursors', () => {
  it('outlive a reopening: that of the newest commit goes on, and an older one is told what is lost', async () => {
    const disk = new SimulatedStorage({ seed: 7 })
    let db = await open(disk)
    const commits = db.changes()
    await db.handle().set('a', '1')
    await db.handle().set('a', '2')
    const [first, second] = (await take(commits, 2)).map(({ cursor }) => cursor)
    await db.close()
    db = await open(disk)
    expect(db.cursor.database).toBe(first?.database)
    const after = db.changes({ from: second })
    await db.handle().set('a', '3')
    expect((await take(after, 1)).map(line)).toEqual(['3: a=3'])
    expect(await refusal(() => db.changes({ from: first }).next())).toBe('SNAPSHOT_TOO_OLD')
  })

  it('of a commit that a power failure took are refused', async () => {
    const disk = new SimulatedStorage({ seed: 8 })
    let db = await open(disk)
    await db.handle().set('a', '1')
    const applied = db.changes({ durable: false })
    disk.fail({ kind: 'stall', operation: 'write', path: /wal-/, times: 1 })
    void db
      .handle()
      .set('a', '2')
      .catch(() => undefined)
    const [lost] = await take(applied, 1)
    const after = disk.crash({ survival: 'none' })
    db = await open(after)
    expect(db.sequence).toBe(1)
    expect(thrown(() => db.changes({ from: lost?.cursor }))).toBe('INVALID_ARGUMENT')
  })
})

describe('power failures', () => {
  it('take nothing that was told', async () => {
    let told = 0
    for (let round = 0; round < runs(60); round++) {
      const random = new Random(`told ${round}`)
      const disk = new SimulatedStorage({ seed: random.uint32() })
      const durability = random.pick(['full', 'relaxed'] as const)
      const flush = { intervalMs: 1, commits: random.between(1, 20), bytes: 8192 }
      const db = await open(disk, { durability, ...(durability === 'relaxed' ? { flush } : {}) })
      const known: number[] = []
      const listen = async (): Promise<void> => {
        for await (const { sequence } of db.changes()) known.push(sequence)
      }
      listen().catch(() => undefined)
      disk.stopAt(disk.operations + random.between(1, 60))
      const work = async (): Promise<void> => {
        for (let i = 0; i < 200 && !disk.halted; i++) {
          const write = db.handle().set(`k${random.int(5)}`, 'x'.repeat(random.int(2000)))
          write.catch(() => undefined)
          if (random.chance(0.5)) await Promise.race([write, disk.stopped])
          else if (random.chance(0.3)) await turn()
        }
        for (let i = 0; i < 50 && !disk.halted && known.length < db.sequence; i++) await sleep(1)
      }
      await Promise.race([work(), disk.stopped])
      const newest = known.at(-1) ?? 0
      expect(known).toEqual(Array.from({ length: newest }, (_, i) => i + 1))
      const again = await open(disk.crash())
      expect(again.sequence).toBeGreaterThanOrEqual(newest)
      told += newest
      await again.close()
    }
    expect(told).toBeGreaterThan(runs(60))
  })
})
