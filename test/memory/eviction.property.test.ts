/**
 * A table in memory under a limit, for every policy, against a plain Map: what was evicted is absent or too old, never an older
 * value; what is counted is what is there (R1 to R3 of residency.ts); and after each commit it is within the limit.
 */
import { describe, expect, it } from 'vitest'

import { VarveError } from '../../src/errors.ts'
import { createPolicy, type EvictionName } from '../../src/eviction/index.ts'
import { ALL } from '../../src/keys/index.ts'
import type { Engine } from '../../src/mvcc/engine.ts'
import type { TableStore } from '../../src/mvcc/store.ts'
import type { Txn } from '../../src/mvcc/transaction.ts'
import { DELETE, SET } from '../../src/mvcc/write-set.ts'
import { makeEngine } from '../mvcc/fixtures.ts'
import { Random, runs } from '../support/random.ts'

const POLICIES: readonly EvictionName[] = ['lru', 'lfu', 'random', 'arc', 's3fifo', 'ttl', 'manual']
const LIMIT = 2400
const KEYS = 40

type Model = Map<string, number>

class World {
  readonly random: Random
  readonly engine: Engine
  readonly store: TableStore
  readonly model: Model = new Map()
  readonly open: { txn: Txn; model: Model; commits: boolean }[] = []
  readonly hasTtl: boolean
  /** Keys evicted by the call in hand. */
  gone: string[] = []
  evicted = 0
  refused = 0
  tooOld = 0

  constructor(eviction: EvictionName, random: Random) {
    this.random = random
    this.hasTtl = eviction === 'ttl'
    const policy = createPolicy(eviction, { random: () => random.next(), limitBytes: LIMIT })
    const { engine, store } = makeEngine({
      memory: { limitBytes: LIMIT, policy },
      vacuumIntervalMs: 50,
    })
    this.engine = engine
    this.store = store
    engine.listener = {
      committed: () => {},
      aborted: () => {},
      vacuumed: () => {},
      evicted: (table, key, _, reason) => {
        this.evicted++
        this.gone.push(String(key))
        if (this.hasTtl && reason === 'limit') expect(table.expiryOf(table.findResident(key))).toBeGreaterThan(0)
      },
    }
  }

  key(): string {
    return `k${this.random.int(KEYS)}`
  }

  size(): number {
    return this.random.chance(0.05) ? this.random.between(1, 3000) : this.random.between(1, 120)
  }

  /** One write; refused for want of room, nothing has changed. */
  write(): void {
    const { engine, store, random } = this
    const key = this.key()
    const value = random.int(1000)
    const isDeletion = random.chance(0.2)
    const ttlMs = this.hasTtl && random.chance(0.7) ? 1000 + value : Infinity
    const { clock } = engine
    try {
      if (isDeletion) engine.writeOne(store, key, DELETE, undefined, 0)
      else engine.writeOne(store, key, SET, value, this.size(), ttlMs)
    } catch (error) {
      expect((error as VarveError).code).toBe('MEMORY_LIMIT')
      this.refused++
      expect(engine.clock).toBe(clock)
      expect(this.gone).toEqual([])
      return
    }
    this.apply(new Map([[key, isDeletion ? undefined : value]]))
    this.settle()
  }

  /** What a commit wrote may itself have been evicted right after it, as the others were before it. */
  apply(writes: ReadonlyMap<string, number | undefined>): void {
    const wasEvicted = (key: string): boolean => this.gone.includes(key) && !isThere(this.store, key)
    for (const key of this.gone) this.model.delete(key)
    for (const [key, value] of writes) {
      if (value === undefined || wasEvicted(key)) this.model.delete(key)
      else this.model.set(key, value)
    }
    this.gone = []
  }

  settle(): void {
    const { residency } = this.engine
    if (this.open.length === 0) expect(residency.used).toBeLessThanOrEqual(LIMIT)
  }

  begin(): void {
    const { engine, random } = this
    if (this.open.length > 3) return
    const commits = random.chance(0.5)
    const txn = commits ? engine.begin(random.chance(0.8), false) : engine.beginSnapshot()
    this.open.push({ txn, model: new Map(this.model), commits })
  }

  /** A read by one that is open: as it was, or too old; a key that was not there is not there. */
  read(): void {
    const { random, store } = this
    if (this.open.length === 0) return
    const { txn, model } = random.pick(this.open)
    const key = this.key()
    const view = txn.view(store)
    try {
      const value = view.get(key)
      if (view.writes === null) expect(value).toBe(model.get(key))
    } catch (error) {
      if (!(error instanceof VarveError)) throw error
      expect(error.code).toBe('SNAPSHOT_TOO_OLD')
      expect(model.has(key)).toBe(true)
      expect(error.message).toContain(key)
      this.tooOld++
    }
    // That it was there is known still.
    if (view.writes === null) expect(view.has(key)).toBe(model.has(key))
  }

  scan(): void {
    const { random, store } = this
    if (this.open.length === 0) return
    const { txn, model } = random.pick(this.open)
    const view = txn.view(store)
    if (view.writes !== null) return
    const bounds = { ...ALL, reverse: random.chance(0.5) }
    const keys = [...model.keys()].sort()
    if (bounds.reverse) keys.reverse()
    const cursor = view.scan(bounds, 'existence')
    const found: string[] = []
    while (cursor.next()) found.push(String(cursor.key))
    expect(found).toEqual(keys)
    const values = view.scan(bounds, 'value')
    try {
      for (const key of keys) {
        expect(values.next()).toBe(true)
        expect([values.key, values.value]).toEqual([key, model.get(key)])
      }
      expect(values.next()).toBe(false)
    } catch (error) {
      if (!(error instanceof VarveError)) throw error
      expect(error.code).toBe('SNAPSHOT_TOO_OLD')
    }
  }

  update(): void {
    const { random, store } = this
    const writers = this.open.filter(({ commits }) => commits)
    if (writers.length === 0) return
    random.pick(writers).txn.view(store).set(this.key(), random.int(1000), this.size())
  }

  end(): void {
    const { random, engine } = this
    if (this.open.length === 0) return
    const [ended] = this.open.splice(random.int(this.open.length), 1) as [World['open'][0]]
    const { txn } = ended
    if (!ended.commits || random.chance(0.3)) return engine.rollback(txn)
    try {
      if (engine.commit(txn) !== null) return this.apply(new Map())
    } catch (error) {
      expect((error as VarveError).code).toBe('MEMORY_LIMIT')
      this.refused++
      expect(this.gone).toEqual([])
      return engine.rollback(txn)
    }
    const writes = txn.views.flatMap((view) => view.writes?.list ?? [])
    this.apply(new Map(writes.map(({ key, value }) => [String(key), value as number])))
    this.settle()
  }

  evict(): void {
    const key = this.key()
    const had = this.model.has(key)
    expect(this.engine.evict(this.store, key)).toBe(had)
    expect(this.gone).toEqual(had ? [key] : [])
    this.apply(new Map())
    expect(this.model.has(key)).toBe(false)
  }

  check(): void {
    expect(this.engine.check()).toEqual([])
    for (let i = 0; i < KEYS; i++) expect(this.store.get(`k${i}`)).toBe(this.model.get(`k${i}`))
    expect(this.store.size).toBe(this.model.size)
  }
}

function isThere(table: TableStore, key: string): boolean {
  const id = table.findResident(key)
  return id >= 0 && table.headOf(id) !== undefined
}

describe('a table in memory under a limit', () => {
  it.each(POLICIES)('%s: is a Map of which part has been evicted', (eviction) => {
    const random = new Random(`evicting ${eviction}`)
    const total = { evicted: 0, refused: 0, tooOld: 0 }
    for (let round = runs(25); round > 0; round--) {
      const world = new World(eviction, random)
      for (let i = 0; i < 400; i++) {
        const draw = random.next()
        if (draw < 0.5) world.write()
        else if (draw < 0.56) world.begin()
        else if (draw < 0.7) world.read()
        else if (draw < 0.76) world.scan()
        else if (draw < 0.84) world.update()
        else if (draw < 0.92) world.end()
        else if (draw < 0.95) world.evict()
        else if (draw < 0.96) world.check()
        // The end of a transaction may have been what others waited for.
        world.apply(new Map())
      }
      while (world.open.length > 0) world.end()
      world.apply(new Map())
      world.check()
      total.evicted += world.evicted
      total.refused += world.refused
      total.tooOld += world.tooOld
    }
    console.log(`${eviction}: ${JSON.stringify(total)}`)
    expect(total.refused).toBeGreaterThan(0)
    expect(total.evicted).toBeGreaterThan(0)
    expect(total.tooOld).toBeGreaterThan(0)
  })

  it('lets a commit overwrite in place at the very limit', () => {
    const policy = createPolicy('lru', { random: () => 0.5, limitBytes: 500 })
    const { engine, store: table } = makeEngine({ memory: { limitBytes: 292, policy }, vacuumIntervalMs: 50 })
    engine.writeOne(table, 'a', SET, 1, 200)
    for (let i = 0; i < 10; i++) engine.writeOne(table, 'a', SET, i, 200)
    const txn = engine.begin(true, false)
    txn.view(table).set('a', 10, 200)
    expect(engine.commit(txn)).toBeNull()
    expect(engine.residency.used).toBe(292)
    expect(() => engine.writeOne(table, 'a', SET, 11, 201)).toThrow(/at most 292/)
    expect(table.get('a')).toBe(10)
  })
})
