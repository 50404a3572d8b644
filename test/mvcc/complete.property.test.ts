/**
 * Scans pass over what is on disk where a leaf of the index is known to be complete, and never lose a key by it: against a
 * plain model, with many leaves that split and merge, entries that come from disk and leave again, checkpoints, and scans in
 * both directions that are interrupted anywhere.
 */
import { describe, expect, it } from 'vitest'

import { codecs, residentOf } from '../../src/codecs/index.ts'
import { ALL, type Bounds, encodeKey, type Key, resolveRange } from '../../src/keys/index.ts'
import type { BaseHold, BaseScan, BaseTable } from '../../src/mvcc/base.ts'
import type { Engine } from '../../src/mvcc/engine.ts'
import type { TableStore } from '../../src/mvcc/store.ts'
import type { Txn } from '../../src/mvcc/transaction.ts'
import { DELETE, SET } from '../../src/mvcc/write-set.ts'
import { MemoryRun } from '../../src/runs/memory-run.ts'
import { ColdTier } from '../../src/runs/tier.ts'
import { Random, runs } from '../support/random.ts'
import { bareEngine, drain, specOf } from './fixtures.ts'

const TABLE = 7
const FIRST = 100
const NOW = 1000
const resident = residentOf(codecs.structured())

type Model = Map<number, number>
type Cursor = ReturnType<ReturnType<Txn['view']>['scan']>

/** Every seventh key has expired, and is only read: it is there for whoever counts, and for nobody else. */
function isLapsed(key: number): boolean {
  return key % 7 === 3
}

/** What lies on disk, and how much of it scans have walked. */
class Watched implements BaseTable {
  steps = 0
  scans = 0
  private readonly table: BaseTable

  constructor(table: BaseTable) {
    this.table = table
  }

  get sequence(): number {
    return this.table.sequence
  }

  get size(): number {
    return this.table.size
  }

  get expiresAt(): number {
    return this.table.expiresAt
  }

  find(key: Key): boolean {
    return this.table.find(key)
  }

  stored(store: TableStore, key: Key): unknown {
    return this.table.stored(store, key)
  }

  scan(bounds: Bounds, hold: BaseHold): BaseScan {
    this.scans++
    const scan = this.table.scan(bounds, hold)
    const next = scan.next.bind(scan)
    scan.next = (): boolean => {
      this.steps++
      return next()
    }
    return scan
  }
}

class World {
  readonly random: Random
  readonly keys: number
  readonly tier: ColdTier
  readonly engine: Engine
  readonly base: Watched
  readonly store: TableStore
  readonly model: Model = new Map()
  readonly written = new Map<number, number>()
  readonly snapshots: { txn: Txn; model: Model }[] = []
  readonly scans: { txn: Txn; cursor: Cursor; rest: [number, number][]; ends: boolean }[] = []

  constructor(random: Random, keys: number, isEmpty: boolean) {
    this.random = random
    this.keys = keys
    const share = isEmpty ? 0 : 0.5
    for (let key = 0; key < keys; key++) if (random.chance(share)) this.model.set(key, key)
    this.tier = new ColdTier(this.runOf(), [], FIRST)
    const disk = { log: null, tier: this.tier }
    this.engine = bareEngine({ firstSequence: FIRST, graphCap: 100, vacuumIntervalMs: 50, timeMs: () => NOW, disk })
    const spec = specOf('table', undefined, TABLE)
    this.base = new Watched(this.engine.tierTable(TABLE))
    const { size } = this.model
    this.store = this.engine.addTable(spec, { table: this.base, empty: isEmpty, size, bytes: size * 10 })
  }

  runOf(): MemoryRun {
    const run = new MemoryRun({ key0: 1, key1: 2 })
    for (const [key, value] of this.model) {
      run.commit(this.written.get(key) ?? FIRST, 0)
      run.put(TABLE, encodeKey(key), 10, resident.encode(resident.admit(value)), isLapsed(key) ? NOW - 1 : 0)
    }
    return run
  }

  /** What a scan must find: a reader that began at `model` sees what of it has not expired. */
  expected(bounds: Bounds, model = this.model): [number, number][] {
    const { lower, lowerOpen, upper, upperOpen } = bounds as { lower?: number; upper?: number } & Bounds
    const found = [...model].filter(([key]) => {
      if (bounds.empty || isLapsed(key)) return false
      if (lower !== undefined && (lowerOpen ? key <= lower : key < lower)) return false
      return upper === undefined || (upperOpen ? key < upper : key <= upper)
    })
    return found.sort(([a], [b]) => (bounds.reverse ? b - a : a - b))
  }

  bounds(): Bounds {
    const { random } = this
    const reverse = random.chance(0.5)
    if (random.chance(0.6)) return { ...ALL, reverse }
    const [a, b] = [random.int(this.keys), random.int(this.keys)].sort((x, y) => x - y) as [number, number]
    return resolveRange({
      ...(random.chance(0.7) ? (random.chance(0.5) ? { gt: a } : { gte: a }) : {}),
      ...(random.chance(0.7) ? (random.chance(0.5) ? { lt: b } : { lte: b }) : {}),
      reverse,
    })
  }

  /** Some neighbours, sometimes everybody. */
  region(): number[] {
    const { random, keys } = this
    const from = random.int(keys)
    const count = random.chance(0.05) ? keys : random.pick([1, 1, 3, 20, 90, 250])
    return Array.from({ length: count }, (_, i) => (from + i) % keys)
  }

  set(key: number): void {
    if (isLapsed(key)) return
    const value = this.random.int(1000)
    this.engine.writeOne(this.store, key, SET, resident.admit(value), 10)
    this.model.set(key, value)
    this.written.set(key, this.engine.clock)
  }

  delete(key: number): void {
    if (isLapsed(key)) return
    expect(this.engine.writeOne(this.store, key, DELETE, undefined, 0)).toBe(this.model.delete(key))
    this.written.set(key, this.engine.clock)
  }

  read(key: number): void {
    expect(this.store.get(key)).toBe(isLapsed(key) ? undefined : this.model.get(key))
  }

  checkpoint(): void {
    this.tier.publish([], this.runOf(), this.engine.clock)
    this.engine.tierGrew()
  }

  step(): void {
    const { random, engine, store } = this
    const kind = random.int(12)
    if (kind === 0) for (const key of this.region()) this.set(key)
    else if (kind === 1) for (const key of this.region()) this.delete(key)
    else if (kind === 2) this.checkpoint()
    else if (kind <= 4) for (const key of this.region()) this.read(key)
    else if (kind === 5) for (const key of this.region()) engine.evict(store, key)
    else if (kind === 6) engine.cleaner.drainNow()
    else if (kind === 7 && this.snapshots.length < 3)
      this.snapshots.push({ txn: engine.beginSnapshot(), model: new Map(this.model) })
    else if (kind === 8) this.lookBack()
    else if (kind === 9) this.scanNow()
    else this.walk()
  }

  scanNow(): void {
    const txn = this.engine.beginSnapshot()
    const bounds = this.bounds()
    expect(drain(txn.view(this.store).scan(bounds, 'value'))).toEqual(this.expected(bounds))
    this.engine.rollback(txn)
  }

  lookBack(): void {
    const at = this.random.int(Math.max(1, this.snapshots.length))
    const snapshot = this.snapshots[at]
    if (snapshot === undefined) return
    const bounds = this.bounds()
    const found = drain(snapshot.txn.view(this.store).scan(bounds, 'value'))
    expect(found).toEqual(this.expected(bounds, snapshot.model))
    if (this.random.chance(0.6)) return
    this.engine.rollback(snapshot.txn)
    this.snapshots.splice(at, 1)
  }

  /** Some steps of a scan; it may read at an older snapshot, whose hold is an older one too. */
  walk(): void {
    const { random } = this
    if (this.scans.length < 3 && random.chance(0.4)) {
      const bounds = this.bounds()
      const snapshot = random.chance(0.3) ? this.snapshots[0] : undefined
      const txn = snapshot?.txn ?? this.engine.beginSnapshot()
      const rest = this.expected(bounds, snapshot?.model)
      this.scans.push({ txn, cursor: txn.view(this.store).scan(bounds, 'value'), rest, ends: snapshot === undefined })
      if (snapshot !== undefined) this.snapshots.shift()
    }
    const at = random.int(Math.max(1, this.scans.length))
    const scan = this.scans[at]
    if (scan === undefined) return
    for (let left = random.pick([1, 5, 40, 64, 200]); left > 0; left--) {
      const isThere = scan.cursor.next()
      expect(isThere ? [scan.cursor.key, scan.cursor.value] : undefined).toEqual(scan.rest.shift())
      if (isThere) continue
      this.engine.rollback(scan.txn)
      this.scans.splice(at, 1)
      return
    }
  }

  completeLeaves(): number {
    return this.store.index.leaves.filter((leaf) => leaf !== undefined && leaf.complete).length
  }

  verify(): void {
    expect(this.engine.check()).toEqual([])
    expect(this.store.size).toBe(this.model.size)
  }

  finish(): void {
    for (const { txn } of [...this.snapshots, ...this.scans]) this.engine.rollback(txn)
    this.engine.cleaner.drainNow()
    this.verify()
    expect(drain(this.engine.beginSnapshot().view(this.store).scan(ALL, 'value'))).toEqual(this.expected(ALL))
  }
}

describe('leaves that are complete', () => {
  it('lose no key, whatever comes and goes (I5 and I6 of the cursor, I7 of the store, I7 of the index)', () => {
    let leaves = 0
    let complete = 0
    for (let run = 0; run < runs(25); run++) {
      const random = new Random(`complete ${run}`)
      const world = new World(random, random.pick([60, 400, 1200]), run % 3 === 0)
      for (let step = 0; step < 150; step++) {
        world.step()
        if (step % 10 !== 0) continue
        world.verify()
        leaves += world.store.index.leaves.length
        complete += world.completeLeaves()
      }
      world.finish()
    }
    // Otherwise all of this says nothing.
    expect(complete / leaves).toBeGreaterThan(0.1)
    expect(complete / leaves).toBeLessThan(0.9)
  })

  /** Everything resident, nothing known to be. */
  function resident(): World {
    const world = new World(new Random('resident'), 700, false)
    for (let key = 0; key < world.keys; key++) world.read(key)
    expect(world.completeLeaves()).toBe(0)
    return world
  }

  function scan(world: World, bounds: Bounds): void {
    const txn = world.engine.beginSnapshot()
    expect(drain(txn.view(world.store).scan(bounds, 'value'))).toEqual(world.expected(bounds))
    world.engine.rollback(txn)
  }

  it('are known after one scan, and the next one leaves the base alone', () => {
    for (const reverse of [false, true]) {
      const world = resident()
      scan(world, { ...ALL, reverse })
      expect(world.completeLeaves()).toBe(world.store.index.leaves.length)
      const { steps } = world.base
      for (const again of [false, true]) scan(world, { ...ALL, reverse: again })
      scan(world, resolveRange({ gt: 100, lt: 500 }))
      expect(world.base.steps).toBe(steps)
    }
  })

  it('are those of a new table from the start, and all but one after one key was let go', () => {
    const world = new World(new Random('new'), 700, true)
    for (let key = 0; key < world.keys; key++) world.set(key)
    world.checkpoint()
    expect(world.engine.evict(world.store, 300)).toBe(true)
    expect(world.completeLeaves()).toBe(world.store.index.leaves.length - 1)
    scan(world, ALL)
    // The leaf, and those after it until the scan is sure of itself again.
    expect(world.base.steps).toBeGreaterThan(0)
    expect(world.base.steps).toBeLessThan(5 * 64)
  })

  it('end where their interval ends: what lies between two of them is found', () => {
    for (const place of [0, -1]) {
      const world = resident()
      scan(world, ALL)
      const { engine, store } = world
      for (let leaf = store.index.first.next; leaf !== null; leaf = leaf.next?.next ?? null)
        engine.evict(store, leaf.keys.filter((key) => !isLapsed(key as number)).at(place) as number)
      expect(world.completeLeaves()).toBeGreaterThan(2)
      for (const reverse of [false, true]) scan(world, { ...ALL, reverse })
      world.verify()
    }
  })

  it('are not those from which something was let go behind the scan that passes them', () => {
    const world = resident()
    const { index } = world.store
    const txn = world.engine.beginSnapshot()
    const cursor = txn.view(world.store).scan(ALL, 'value')
    const { keys } = index.first
    while (cursor.next() && (cursor.key as number) < (keys[30] as number));
    expect(world.engine.evict(world.store, keys.find((key) => !isLapsed(key as number)) as number)).toBe(true)
    while (cursor.next());
    expect(index.first.complete).toBe(false)
    world.verify()
    world.engine.rollback(txn)
  })

  it('are not told by a scan of an older state of the base', () => {
    const world = resident()
    const { engine, store } = world
    const held = engine.beginSnapshot()
    held.view(store).scan(ALL, 'value').next()
    const absent = Array.from({ length: 100 }, (_, i) => i).find(
      (key) => !world.model.has(key) && !isLapsed(key),
    ) as number
    world.set(absent)
    world.checkpoint()
    expect(engine.evict(store, absent)).toBe(true)
    drain(held.view(store).scan(ALL, 'value'))
    expect(world.completeLeaves()).toBe(0)
    world.verify()
    engine.rollback(held)
    scan(world, ALL)
    expect(world.completeLeaves()).toBeGreaterThan(0)
    world.verify()
  })

  it('are not told by a scan that ends within the interval of a leaf', () => {
    const world = resident()
    const highest = Math.max(...[...world.model.keys()].filter((key) => !isLapsed(key)))
    const lowest = Math.min(...[...world.model.keys()].filter((key) => !isLapsed(key)))
    for (const key of [highest, lowest]) expect(world.engine.evict(world.store, key)).toBe(true)
    const range = { gt: lowest, lt: highest }
    for (const reverse of [false, true]) scan(world, resolveRange({ ...range, reverse }))
    expect(world.store.index.first.complete).toBe(false)
    expect(world.store.index.last.complete).toBe(false)
    world.verify()
    for (const reverse of [false, true]) scan(world, { ...ALL, reverse })
  })
})
