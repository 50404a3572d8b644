/**
 * A table of which part is on disk behaves as if all of it were in memory, whatever is loaded, written, deleted, checkpointed
 * and forgotten meanwhile: every operation is held against a plain sorted model with a copy for each open snapshot.
 */
import { describe, expect, it } from 'vitest'

import { codecs, residentOf } from '../../src/codecs/index.ts'
import { ALL, type Bounds, encodeKey, resolveRange } from '../../src/keys/index.ts'
import type { Engine } from '../../src/mvcc/engine.ts'
import type { TableStore } from '../../src/mvcc/store.ts'
import type { Txn } from '../../src/mvcc/transaction.ts'
import { DELETE, SET } from '../../src/mvcc/write-set.ts'
import { MemoryRun } from '../../src/runs/memory-run.ts'
import { ColdTier } from '../../src/runs/tier.ts'
import { Random, runs } from '../support/random.ts'
import { bareEngine, drain, specOf } from './fixtures.ts'

const TABLE = 7
const KEYS = 24
const FIRST = 100
const SEED = { key0: 1, key1: 2 }
const resident = residentOf(codecs.structured())

type Model = Map<string, number>

/** What the disk holds once `model` has reached it: live keys as their commits left them, tombstones of those that went. */
function runOf(model: Model, gone: Iterable<string>, sequences: ReadonlyMap<string, number>): MemoryRun {
  const run = new MemoryRun(SEED)
  run.commit(FIRST, 0)
  for (const key of gone) run.remove(TABLE, encodeKey(key))
  for (const [key, value] of model) {
    run.commit(sequences.get(key) ?? FIRST, 0)
    run.put(TABLE, encodeKey(key), 10, resident.encode(resident.admit(value)))
  }
  return run
}

function keyOf(random: Random): string {
  return `k${String(random.int(KEYS)).padStart(2, '0')}`
}

function boundsOf(random: Random): Bounds {
  if (random.chance(0.3)) return { ...ALL, reverse: random.chance(0.5) }
  const [a, b] = [keyOf(random), keyOf(random)].sort() as [string, string]
  const lower = random.chance(0.5) ? { gt: a } : { gte: a }
  const upper = random.chance(0.5) ? { lt: b } : { lte: b }
  return resolveRange({
    ...(random.chance(0.8) ? lower : {}),
    ...(random.chance(0.8) ? upper : {}),
    reverse: random.chance(0.5),
  })
}

function within(key: string, bounds: Bounds): boolean {
  if (bounds.empty) return false
  const { lower, lowerOpen, upper, upperOpen } = bounds as { lower?: string; upper?: string } & Bounds
  if (lower !== undefined && (lowerOpen ? key <= lower : key < lower)) return false
  return upper === undefined || (upperOpen ? key < upper : key <= upper)
}

function expected(model: Model, bounds: Bounds): [string, number][] {
  const all = [...model].filter(([key]) => within(key, bounds)).sort(([a], [b]) => (a < b ? -1 : 1))
  return bounds.reverse ? all.reverse() : all
}

class World {
  readonly random: Random
  readonly tier: ColdTier
  readonly engine: Engine
  readonly store: TableStore
  readonly model: Model = new Map()
  /** The commit that wrote each key last, in this session. */
  readonly written = new Map<string, number>()
  readonly snapshots: { txn: Txn; model: Model }[] = []
  readonly scans: { cursor: ReturnType<ReturnType<Txn['view']>['scan']>; rest: [string, number][]; txn: Txn }[] = []

  constructor(random: Random) {
    this.random = random
    for (let i = 0; i < KEYS; i += 2) this.model.set(`k${String(i).padStart(2, '0')}`, i)
    const tail = runOf(this.model, ['k01', 'k03'], this.written)
    this.tier = new ColdTier(tail, [], FIRST)
    const disk = { log: null, tier: this.tier }
    this.engine = bareEngine({ firstSequence: FIRST, graphCap: 100, vacuumIntervalMs: 50, disk })
    this.store = this.engine.addTable(specOf('table', undefined, TABLE), {
      table: this.engine.tierTable(TABLE),
      empty: false,
      size: this.model.size,
      bytes: this.model.size * 10,
    })
  }

  /** Everything committed so far reaches the disk, and memory may forget what it deleted. */
  checkpoint(): void {
    const gone = [...this.written.keys()].filter((key) => !this.model.has(key))
    const run = runOf(this.model, this.random.chance(0.5) ? gone : [], this.written)
    this.tier.publish([], run, this.engine.clock)
    this.engine.tierGrew()
  }

  write(): void {
    const key = keyOf(this.random)
    if (this.random.chance(0.5)) {
      const value = this.random.int(1000)
      this.engine.writeOne(this.store, key, SET, resident.admit(value), 10)
      this.model.set(key, value)
    } else {
      const had = this.engine.writeOne(this.store, key, DELETE, undefined, 0)
      expect(had).toBe(this.model.delete(key))
    }
    this.written.set(key, this.engine.clock)
  }

  /** Several reads and writes as one transaction, its own writes in view. */
  update(): void {
    const txn = this.engine.begin(true, true)
    const view = txn.view(this.store)
    const own = new Map(this.model)
    const keys = new Set<string>()
    for (let i = this.random.int(5); i >= 0; i--) {
      const key = keyOf(this.random)
      if (this.random.chance(0.5)) {
        const value = this.random.int(1000)
        view.set(key, resident.admit(value), 10)
        own.set(key, value)
      } else expect(view.delete(key)).toBe(own.delete(key))
      keys.add(key)
      const bounds = boundsOf(this.random)
      expect(drain(view.scan(bounds, 'value'))).toEqual(expected(own, bounds))
      const other = keyOf(this.random)
      expect(view.get(other)).toBe(own.get(other))
    }
    if (this.random.chance(0.3)) return this.engine.rollback(txn)
    expect(this.engine.commit(txn)).toBeNull()
    this.model.clear()
    for (const [key, value] of own) this.model.set(key, value)
    for (const key of keys) this.written.set(key, this.engine.clock)
  }

  step(): void {
    const { random, engine } = this
    const kind = random.int(10)
    if (kind < 3) this.write()
    else if (kind < 5) this.update()
    else if (kind === 5) this.checkpoint()
    else if (kind === 6) {
      const key = keyOf(random)
      expect(this.store.get(key)).toBe(this.model.get(key))
    } else if (kind === 7 && this.snapshots.length < 4) {
      this.snapshots.push({ txn: engine.beginSnapshot(), model: new Map(this.model) })
    } else if (kind === 8) this.lookBack()
    else this.walk()
  }

  /** Reads at an older snapshot, and may let it go. */
  lookBack(): void {
    const at = this.random.int(Math.max(1, this.snapshots.length))
    const snapshot = this.snapshots[at]
    if (snapshot === undefined) return
    const view = snapshot.txn.view(this.store)
    const key = keyOf(this.random)
    expect(view.get(key)).toBe(snapshot.model.get(key))
    const bounds = boundsOf(this.random)
    expect(drain(view.scan(bounds, 'value'))).toEqual(expected(snapshot.model, bounds))
    if (this.random.chance(0.4)) {
      this.engine.rollback(snapshot.txn)
      this.snapshots.splice(at, 1)
    }
  }

  /** A scan that goes on over many steps, on a snapshot of its own. */
  walk(): void {
    const scan = this.scans[0]
    if (scan === undefined || this.random.chance(0.2)) {
      if (this.scans.length > 2) return
      const bounds = boundsOf(this.random)
      const txn = this.engine.beginSnapshot()
      this.scans.push({ txn, cursor: txn.view(this.store).scan(bounds, 'value'), rest: expected(this.model, bounds) })
      return
    }
    for (let i = this.random.int(6); i >= 0; i--) {
      const more = scan.cursor.next()
      const wanted = scan.rest.shift()
      expect(more ? [scan.cursor.key, scan.cursor.value] : undefined).toEqual(wanted)
      if (more) continue
      this.engine.rollback(scan.txn)
      this.scans.shift()
      return
    }
  }

  finish(): void {
    for (const { txn } of [...this.snapshots, ...this.scans]) this.engine.rollback(txn)
    expect(this.engine.check()).toEqual([])
    expect(this.store.size).toBe(this.model.size)
    expect(this.store.bytes).toBe(this.model.size * 10)
  }
}

describe('a table that is partly on disk', () => {
  it('reads, scans and counts as if all of it were in memory', () => {
    for (let run = 0; run < runs(300); run++) {
      const world = new World(new Random(run))
      for (let step = 0; step < 120; step++) world.step()
      world.finish()
    }
  })

  it('forgets a tombstone only when everything that is read knows of the deletion', async () => {
    const world = new World(new Random(1))
    const { engine, store, tier } = world
    const held = engine.beginSnapshot()
    held.view(store).scan(ALL, 'value').next()
    engine.writeOne(store, 'k00', DELETE, undefined, 0)
    world.model.delete('k00')
    engine.rollback(held)
    await engine.vacuum()
    expect(store.findResident('k00')).toBeGreaterThanOrEqual(0)
    const reader = engine.beginSnapshot()
    const cursor = reader.view(store).scan(ALL, 'value')
    tier.publish([], runOf(world.model, [], world.written), engine.clock)
    await engine.vacuum()
    // The scan began on what still shows the key: the tombstone must stay and hide it.
    expect(store.findResident('k00')).toBeGreaterThanOrEqual(0)
    expect(drain(cursor)).toEqual(expected(world.model, ALL))
    engine.rollback(reader)
    await engine.vacuum()
    expect(store.findResident('k00')).toBe(-1)
    expect(store.get('k00')).toBeUndefined()
  })
})
