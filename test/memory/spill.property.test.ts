/**
 * A database on disk under a limit so small that nearly every read is cold, against a plain Map: writes, transactions, snapshots,
 * scans in both directions, checkpoints, merges, restarts and power failures; nothing that leaves memory is ever lost or old.
 */
import { afterEach, describe, expect, it } from 'vitest'

import { openWith } from '../../src/database.ts'
import { type Database, type EvictionName, type Snapshot, table, type VarveError } from '../../src/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Random, runs } from '../support/random.ts'

const KEYS = 120
const things = table<string, string>('things')

type Model = Map<string, string>

class World {
  readonly random: Random
  readonly eviction: EvictionName
  readonly limit: number
  storage: SimulatedStorage
  db!: Database<string, number>
  model: Model = new Map()
  snapshots: { snapshot: Snapshot<string, string>; model: Model }[] = []
  coldReads = 0
  refusals = 0

  constructor(eviction: EvictionName, random: Random) {
    this.random = random
    this.eviction = eviction
    this.limit = random.pick([5000, 8000, 20_000])
    this.storage = new SimulatedStorage({ seed: random.uint32() })
  }

  async open(): Promise<void> {
    const { random } = this
    this.db = await openWith<string, number>(
      {
        path: '/data/spilled',
        durability: random.pick(['full', 'relaxed']),
        maxMemoryBytes: this.limit,
        eviction: this.eviction,
        wal: { segmentBytes: 64 * 1024, poolSize: 1 },
        vacuum: { intervalMs: 1 },
      },
      {
        storage: this.storage,
        background: 'inline',
        tailBytes: random.pick([0, 2 ** 30]),
        random: () => random.next(),
      },
    )
  }

  key(): string {
    return `k${String(this.random.int(KEYS)).padStart(3, '0')}`
  }

  value(): string {
    return `${this.random.uint32()}`.repeat(this.random.between(1, this.random.chance(0.05) ? 40 : 4))
  }

  async write(): Promise<void> {
    const handle = this.db.handle(things)
    const key = this.key()
    if (this.random.chance(0.25)) {
      const had = this.model.has(key)
      try {
        expect(await handle.delete(key)).toBe(had)
      } catch (error) {
        return this.refused(error)
      }
      this.model.delete(key)
      return
    }
    const value = this.value()
    try {
      await handle.set(key, value)
    } catch (error) {
      return this.refused(error)
    }
    this.model.set(key, value)
  }

  /** Only snapshots, scans included, can have taken the room: what they read stays in memory. */
  refused(error: unknown): void {
    expect((error as VarveError).code).toBe('MEMORY_LIMIT')
    expect((error as VarveError).message).toMatch(/the oldest holder is/)
    this.refusals++
  }

  /** Reads and writes in one transaction, which others' reads interleave with. */
  async transact(): Promise<void> {
    const { random } = this
    const own: Model = new Map(this.model)
    const isKept = random.chance(0.8)
    await this.db
      .handle(things)
      .transaction(async (tx) => {
        for (let i = random.between(1, 6); i > 0; i--) {
          const key = this.key()
          if (random.chance(0.4)) expect(tx.get(key)).toBe(own.get(key))
          else if (random.chance(0.2)) expect(tx.delete(key)).toBe(own.delete(key))
          else {
            const value = this.value()
            tx.set(key, value)
            own.set(key, value)
          }
          if (random.chance(0.3)) {
            await Promise.resolve()
            this.read()
          }
        }
        if (random.chance(0.3)) expect([...tx.entries({ reverse: true })]).toEqual(sorted(own).reverse())
        if (!isKept) throw new Error('given up')
      })
      .then(
        () => (this.model = own),
        (error: Error) => {
          if (isKept) this.refused(error)
          else expect(error.message).toBe('given up')
        },
      )
  }

  read(): void {
    const handle = this.db.handle(things)
    for (let i = this.random.int(8); i > 0; i--) {
      const key = this.key()
      if (this.random.chance(0.8)) expect(handle.get(key)).toBe(this.model.get(key))
      else expect(handle.has(key)).toBe(this.model.has(key))
    }
  }

  /** A scan between whose steps entries come and go. */
  async scan(): Promise<void> {
    const { random } = this
    const handle = this.db.handle(things)
    const reverse = random.chance(0.5)
    const expected = sorted(this.model)
    if (reverse) expected.reverse()
    const found: [string, string][] = []
    for (const entry of handle.entries({ reverse })) {
      found.push(entry)
      if (random.chance(0.1)) this.read()
      if (random.chance(0.05)) handle.evict(this.key())
      if (random.chance(0.03)) await this.write()
    }
    expect(found).toEqual(expected)
  }

  look(): void {
    if (this.snapshots.length === 0) return
    const { snapshot, model } = this.random.pick(this.snapshots)
    for (let i = 5; i > 0; i--) {
      const key = this.key()
      expect(snapshot.get(key)).toBe(model.get(key))
    }
    if (this.random.chance(0.3)) expect([...snapshot.entries()]).toEqual(sorted(model))
    expect(snapshot.size).toBe(model.size)
  }

  async step(): Promise<void> {
    const { random, db } = this
    const draw = random.next()
    if (draw < 0.35) await this.write()
    else if (draw < 0.5) await this.transact()
    else if (draw < 0.7) this.read()
    else if (draw < 0.75) await this.scan()
    else if (draw < 0.78 && this.snapshots.length < 3)
      this.snapshots.push({ snapshot: db.snapshot().table(things), model: new Map(this.model) })
    else if (draw < 0.86) this.look()
    else if (draw < 0.89) this.snapshots.shift()?.snapshot.close()
    else if (draw < 0.93) await (random.chance(0.3) ? db.compact() : db.checkpoint())
    else if (draw < 0.96) db.handle(things).evict(this.key())
    else if (draw < 0.98) await db.handle(things).prefetch({})
    else await new Promise((resolve) => setImmediate(resolve))
    if (random.chance(0.02)) expect((await db.check()).problems).toEqual([])
  }

  /** Ends the session; what the next one finds is what was acknowledged. */
  async restart(): Promise<void> {
    for (const { snapshot } of this.snapshots.splice(0)) snapshot.close()
    await this.db.flush()
    if (this.random.chance(0.5)) await this.db.close()
    else this.storage = this.random.chance(0.5) ? this.storage.kill() : this.storage.crash()
    await this.open()
    expect(this.db.handle(things).size).toBe(this.model.size)
  }

  async check(): Promise<void> {
    expect((await this.db.check()).problems).toEqual([])
    const handle = this.db.handle(things)
    for (let i = 0; i < KEYS; i++) {
      const key = `k${String(i).padStart(3, '0')}`
      expect(handle.get(key)).toBe(this.model.get(key))
    }
    expect([...handle.entries()]).toEqual(sorted(this.model))
    const { coldKeys, keys } = this.db.stats().tables['things'] as { coldKeys: number; keys: number }
    expect(keys).toBe(this.model.size)
    this.coldReads += coldKeys
  }
}

function sorted(model: Model): [string, string][] {
  return [...model].sort(([a], [b]) => (a < b ? -1 : 1))
}

describe('a database under a limit that leaves nearly everything on disk', () => {
  const worlds: World[] = []
  afterEach(async () => {
    for (const { db } of worlds.splice(0)) await db.close().catch((error: VarveError) => error)
  })

  it.each<EvictionName>(['lru', 'lfu', 'random', 'arc', 's3fifo'])(
    '%s: is a Map that survives everything',
    async (eviction) => {
      const random = new Random(`spilling ${eviction}`)
      let cold = 0
      for (let round = runs(3); round > 0; round--) {
        const world = new World(eviction, random)
        await world.open()
        worlds.push(world)
        for (let session = 0; session < 4; session++) {
          for (let i = 0; i < 120; i++) await world.step()
          await world.check()
          await world.restart()
        }
        await world.check()
        cold += world.coldReads
        await world.db.close()
      }
      expect(cold).toBeGreaterThan(0)
    },
  )
})
