/**
 * What is over leaves nothing behind. The heap is weighed after collection, before and after a workload whose warm-up
 * has gone before; this file is a process of its own.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'

import { codecs, Database, type Handle, merges, table } from '../../src/index.ts'
import { DependencyGraph } from '../support/oracle-graph.ts'
import type { Node } from '../support/oracle.ts'
import { Random, runs } from '../support/random.ts'
import { collectGarbage, open, refusal, turn } from './fixtures.ts'

const MEGABYTE = 2 ** 20
/** What V8 may keep for reasons of its own: compiled code, feedback, hash tables that do not shrink. */
const TOLERANCE_BYTES = 3 * MEGABYTE

/** Heap and external memory in use when everything that can go has gone. */
async function inUse(): Promise<number> {
  await collectGarbage()
  await sleep(5)
  await collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** By how many bytes a workload has grown the heap; `run` is given a share of its work first, as a warm-up. */
async function growth(
  db: Database<never, never>,
  total: number,
  run: (count: number) => Promise<unknown>,
): Promise<number> {
  await run(Math.max(1, Math.ceil(total / 20)))
  await db.vacuum()
  const before = await inUse()
  await run(total)
  await db.vacuum()
  return (await inUse()) - before
}

/** The engine's state, which must be back to what the live keys need. */
function expectNothingLeft(db: Database<never, never>, keys: number): void {
  const stats = db.stats()
  expect(stats.versions).toBe(keys)
  expect(stats.garbage).toMatchObject({ chained: 0, pending: 0, oldestSnapshotLag: 0, safeSnapshotLag: 0 })
  expect(stats.certifier.retained).toBe(0)
  expect(stats.transactions.open).toBe(0)
}

describe('the heap is where it was', () => {
  it('after 300,000 updates of one key, with no vacuum running', async () => {
    const db = open<string, { n: number }>({ vacuum: false })
    const handle = db.handle()
    const grown = await growth(db as never, runs(300_000), async (count) => {
      for (let i = 0; i < count; i++) void handle.set('k', { n: i })
    })
    expect(grown).toBeLessThan(TOLERANCE_BYTES)
    expectNothingLeft(db as never, 1)
  })

  it('after 300,000 pairs of insert and delete', async () => {
    const db = open<number>()
    const handle = db.handle()
    const grown = await growth(db as never, runs(300_000), async (count) => {
      for (let i = 0; i < count; i++) {
        void handle.set(i, i)
        void handle.delete(i)
        if (i % 1000 === 0) await turn()
      }
    })
    expect(grown).toBeLessThan(TOLERANCE_BYTES)
    expectNothingLeft(db as never, 0)
    expect([handle.size, handle.sizeBytes]).toEqual([0, 0])
  })

  it('after 10^5 abandoned iterators, of the handle, of snapshots, and streams', async () => {
    const db = open<number>()
    const handle = db.handle()
    for (let i = 0; i < 100; i++) await handle.set(i, i)
    const grown = await growth(db as never, runs(100_000), async (count) => {
      for (let i = 0; i < count; i++) {
        const iterator = i % 3 === 0 ? handle.entries() : i % 3 === 1 ? db.snapshot().keys() : handle.stream()
        const step = iterator.next()
        if (step instanceof Promise) await step
        if (i % 10 === 0) void handle.set(i % 100, i)
        if (i % 1000 === 0) await turn()
      }
      await collectGarbage()
    })
    expect(grown).toBeLessThan(TOLERANCE_BYTES)
    expectNothingLeft(db as never, 100)
    expect(db.stats().transactions.leaked).toBeGreaterThan(runs(100_000) / 2)
  })

  it('after 10^5 transactions from begin() that nobody ends', async () => {
    const db = open<number>()
    const handle = db.handle()
    for (let i = 0; i < 100; i++) await handle.set(i, i)
    const total = runs(100_000)
    const grown = await growth(db as never, total, async (count) => {
      for (let i = 0; i < count; i++) {
        const tx = handle.begin()
        tx.get(i % 100)
        tx.set((i + 1) % 100, i)
        tx.get(-i)
        if (i % 10 === 0) void handle.set(i % 100, i)
        // Time to be collected: this many at once may be open, not all of them.
        if (i % 5000 === 4999) await collectGarbage()
      }
      await collectGarbage()
    })
    expect(grown).toBeLessThan(TOLERANCE_BYTES)
    expectNothingLeft(db as never, 100)
    expect(db.stats().transactions.leaked).toBeGreaterThanOrEqual(total)
  })

  it('after 10^5 transactions that fail, roll back, or lose', async () => {
    const db = open<number>()
    const handle = db.handle()
    for (let i = 0; i < 100; i++) await handle.set(i, i)
    const grown = await growth(db as never, runs(100_000), async (count) => {
      for (let i = 0; i < count; i++) {
        const tx = handle.begin()
        const key = i % 100
        tx.set(key, (tx.get(key) as number) + 1)
        tx.count({ gte: key, limit: 3 })
        tx.set(1000 + i, i)
        tx.delete((key + 1) % 100)
        if (i % 3 === 0) {
          await handle.set(key, i)
          await refusal(() => tx.commit())
        } else if (i % 3 === 1) tx.rollback()
        else {
          await handle
            .transaction(async (inner) => {
              inner.set(key, 5)
              if (i % 2 === 0) await Promise.resolve()
              throw new Error('no')
            })
            .catch(() => {})
          tx[Symbol.dispose]()
        }
      }
    })
    expect(grown).toBeLessThan(TOLERANCE_BYTES)
    expectNothingLeft(db as never, 100)
    expect(db.stats().transactions.conflicts).toBeGreaterThan(1000)
  })

  it('after 10^5 transactions that overlap, always some of them open', async () => {
    const db = open<number>()
    const handle = db.handle()
    for (let i = 0; i < 50; i++) await handle.set(i, i)
    const random = new Random('overlapping')
    const grown = await growth(db as never, runs(100_000), async (count) => {
      let newer = handle.begin()
      for (let i = 0; i < count; i++) {
        const older = newer
        newer = handle.begin()
        older.get(random.int(50))
        older.has(100 + random.int(50))
        if (random.chance(0.3)) older.set(random.int(50), i)
        if (random.chance(0.3)) older.set(100 + random.int(50), i)
        if (random.chance(0.3)) older.delete(100 + random.int(50))
        await older.commit().catch(() => {})
      }
      newer.rollback()
      for (const key of handle.keys({ gte: 100 })) await handle.delete(key)
    })
    expect(grown).toBeLessThan(TOLERANCE_BYTES)
    expectNothingLeft(db as never, 50)
  })

  it('after a database is forgotten, with everything in it left open', async () => {
    const one = async (): Promise<void> => {
      const db = await Database.open<number, string>({ maxTransactionAgeMs: 3_600_000 })
      for (let i = 0; i < 1000; i++) void db.handle().set(i, 'x'.repeat(100))
      db.snapshot()
      db.handle().begin().set(1, 'y')
      db.handle().entries().next()
      await turn()
    }
    for (let i = 0; i < 5; i++) await one()
    const before = await inUse()
    for (let i = 0; i < 60; i++) await one()
    // Each holds a quarter of a megabyte.
    expect((await inUse()) - before).toBeLessThan(TOLERANCE_BYTES)
  })
})

describe('an old snapshot', () => {
  it('costs one version for every key that has changed, not one for every change', async () => {
    const db = open<number>({ value: codecs.float64() })
    const handle = db.handle()
    const keys = 200
    for (let i = 0; i < keys; i++) await handle.set(i, i)
    const snapshot = db.snapshot()
    const change = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        const key = i % keys
        if (i % 4 === 0) void handle.set(key, i + 0.5)
        else if (i % 4 === 1) void handle.delete(key)
        else if (i % 4 === 2) void handle.set(key, i + 0.5)
        else await handle.transaction((tx) => tx.set(key, (tx.get(key) ?? 0) + 1))
        expect(db.stats().garbage.chained).toBeLessThanOrEqual(keys)
      }
    }
    await change(keys * 4)
    const before = await inUse()
    await change(runs(40_000))
    expect((await inUse()) - before).toBeLessThan(TOLERANCE_BYTES)
    expect(db.stats().garbage.chained).toBe(keys)
    expect([...snapshot.values()]).toEqual(Array.from({ length: keys }, (_, i) => i))
    snapshot.close()
    await db.vacuum()
    expect(db.stats().garbage.chained).toBe(0)
  })

  it('costs no more when transactions overlap above it and the number of keys changes all the time', async () => {
    const db = open<number>()
    const handle = db.handle()
    const snapshot = db.snapshot()
    const churn = async (count: number): Promise<void> => {
      let newer = handle.begin()
      for (let i = 0; i < count; i++) {
        const older = newer
        newer = handle.begin()
        older.set(i % 100, i)
        older.delete((i + 50) % 100)
        await older.commit().catch(() => {})
      }
      newer.rollback()
    }
    await churn(2000)
    await db.vacuum()
    const before = await inUse()
    await churn(runs(60_000))
    await db.vacuum()
    expect((await inUse()) - before).toBeLessThan(TOLERANCE_BYTES)
    expect(snapshot.size).toBe(0)
    snapshot.close()
  })

  it('costs one version for each change that another snapshot stands on, and gives them back one by one', async () => {
    const db = open()
    const handle = db.handle()
    const snapshots = []
    for (let i = 0; i < 100; i++) {
      await handle.set('k', i)
      await handle.set('k', i + 0.5)
      snapshots.push({ snapshot: db.snapshot(), expected: i + 0.5 })
    }
    await handle.set('k', -1)
    expect(db.stats().garbage.chained).toBe(100)
    new Random('closing').shuffle(snapshots)
    while (snapshots.length > 0) {
      snapshots.pop()?.snapshot.close()
      await db.vacuum()
      expect(db.stats().garbage.chained).toBe(snapshots.length)
      for (const { snapshot, expected } of snapshots) expect(snapshot.get('k')).toBe(expected)
    }
  })
})

describe('a transaction that stays open for very long', () => {
  const cap = 200
  const sums = table<number, number>('sums', { merge: merges.sum })

  /** Eight at a time over a hundred keys: reads, writes, merges, scans, absent keys. */
  async function traffic(db: Database<number, number>, handle: Handle<number, number>, count: number): Promise<void> {
    const random = new Random('traffic')
    const flying = Array.from({ length: 8 }, () => handle.begin())
    for (let i = 0; i < count; i++) {
      const at = random.int(flying.length)
      const tx = flying[at] as (typeof flying)[number]
      flying[at] = handle.begin()
      tx.get(random.int(100))
      const to = random.int(100)
      tx.set(to, random.chance(0.5) ? (tx.get(to) ?? 0) + 1 : i)
      if (random.chance(0.1)) tx.get(1000 + random.int(100))
      if (random.chance(0.1)) tx.count({ gte: to, limit: 4 })
      if (random.chance(0.3)) tx.table(sums).merge(random.int(10), 1)
      if (random.chance(0.1)) tx.table(sums).get(random.int(10))
      if (random.chance(0.05)) tx.delete(random.int(100))
      await tx.commit().catch(() => {})
    }
    for (const tx of flying) tx.rollback()
  }

  it('leaves the engine’s memory bounded, however many commit beside it', async () => {
    const db = open<number>({}, { graphCap: cap })
    const handle = db.handle()
    for (let i = 0; i < 100; i++) await handle.set(i, 0)
    const idle = handle.begin()
    idle.get(0)
    idle.count()
    idle.get(-1)
    idle.set(0, 1)
    await traffic(db, handle, 5_000)
    await db.vacuum()
    const before = await inUse()
    await traffic(db, handle, runs(95_000))
    await db.vacuum()
    expect((await inUse()) - before).toBeLessThan(TOLERANCE_BYTES)
    const { certifier, garbage } = db.stats()
    expect(certifier.retained).toBeLessThanOrEqual(cap)
    expect(certifier.summarised).toBeGreaterThan(10_000)
    // One version of each key for the idle one; those of other transactions in flight go as they end.
    expect(garbage.chained).toBeLessThanOrEqual(220)
    expect(await refusal(() => idle.commit())).toMatch(/SERIALIZATION_FAILURE|WRITE_CONFLICT/)
    await db.vacuum()
    expect(db.stats().certifier.retained).toBe(0)
    expect(db.stats().garbage).toMatchObject({ chained: 0, pending: 0 })
  })

  it('answers by SSN alone where the graph is full, and never lets an anomaly pass', async () => {
    const random = new Random('anomalies beside an idle transaction')
    let graphFull = 0
    let committed = 0
    for (let round = 0; round < runs(25); round++) {
      const db = open({}, { graphCap: random.between(1, 12) })
      const handle = db.handle()
      const graph = new DependencyGraph(() => false)
      const idle = handle.begin()
      const watched = new Watched(idle, 'idle')
      watched.get(`k${random.int(6)}`)
      const flying: Watched[] = []
      for (let step = 0; step < 400; step++) {
        if (flying.length < 5) flying.push(new Watched(handle.begin(), `T${step}`))
        const at = random.int(flying.length)
        const one = flying[at] as Watched
        const key = `k${random.int(6)}`
        if (random.chance(0.4)) one.get(key)
        else if (random.chance(0.2)) one.has(key)
        else if (random.chance(0.6)) one.set(key, step)
        else if (random.chance(0.3)) one.delete(key)
        else {
          flying.splice(at, 1)
          if (await one.commit(db, graph)) committed++
        }
      }
      for (const one of flying) if (await one.commit(db, graph)) committed++
      watched.set('k0', -1)
      await watched.commit(db, graph)
      graphFull += db.stats().transactions.graphFullConflicts
      expect((await db.check()).problems).toEqual([])
    }
    expect(graphFull).toBeGreaterThan(0)
    expect(committed).toBeGreaterThan(500)
  })
})

/** A transaction of which every read and write is written down, for the judge. */
class Watched {
  readonly #tx: ReturnType<Handle<string, number>['begin']>
  readonly #name: string
  readonly #reads = new Map<string, 'value' | 'existence'>()
  readonly #writes = new Map<string, 'set' | 'delete'>()

  constructor(tx: ReturnType<Handle<string, number>['begin']>, name: string) {
    this.#tx = tx
    this.#name = name
  }

  get(key: string): void {
    if (!this.#writes.has(key)) this.#reads.set(key, 'value')
    this.#tx.get(key)
  }

  has(key: string): void {
    if (!this.#writes.has(key) && !this.#reads.has(key)) this.#reads.set(key, 'existence')
    this.#tx.has(key)
  }

  set(key: string, value: number): void {
    this.#tx.set(key, value)
    this.#writes.set(key, 'set')
  }

  delete(key: string): void {
    this.has(key)
    if (this.#tx.delete(key)) this.#writes.set(key, 'delete')
  }

  /** Commits; whether it went through. What has gone through may close no cycle. */
  async commit(db: Database<string, number>, graph: DependencyGraph): Promise<boolean> {
    const node: Node = {
      name: this.#name,
      snapshot: this.#tx.sequence,
      sequence: Infinity,
      reads: this.#reads,
      writes: this.#writes,
    }
    const { path } = graph.cycle(node)
    try {
      await this.#tx.commit()
    } catch {
      return false
    }
    expect([this.#name, path]).toEqual([this.#name, undefined])
    if (this.#writes.size > 0) node.sequence = db.sequence
    graph.add(node)
    return true
  }
}
