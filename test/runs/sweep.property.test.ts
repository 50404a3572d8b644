/** What a sweep of the cold tier takes, against all that was ever written, and the tree by which it finds it. */
import { describe, expect, it } from 'vitest'
import { encodeKey, type Key } from '../../src/keys/index.ts'
import { BlockCache } from '../../src/runs/cache.ts'
import { BlockExpiries } from '../../src/runs/expiries.ts'
import { type RunSummary, runFileName } from '../../src/runs/format.ts'
import { mergeRuns } from '../../src/runs/merge.ts'
import { MemoryRun } from '../../src/runs/memory-run.ts'
import type { RunReader } from '../../src/runs/reader.ts'
import type { ExpiredEntry } from '../../src/runs/sweep.ts'
import { ColdTier } from '../../src/runs/tier.ts'
import type { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Random, runs } from '../support/random.ts'
import { DIRECTORY, type Entry, emptyDisk, hashSeed, openRun, order, storedKey, writeRun } from './run-files.ts'

const TABLES = [0, 1, 0xffff_ffff]

interface Written {
  readonly table: number
  readonly key: Key
  readonly sequence: number
  readonly value: Uint8Array | null
  readonly expiresAt: number
}

/** By table and key, the newest write in one source. */
type Layer = Map<string, Written>

function nameOf(table: number, key: Key): string {
  return `${table} ${Buffer.from(encodeKey(key)).toString('hex')}`
}

class World {
  readonly random: Random
  readonly storage: SimulatedStorage
  readonly cache: BlockCache
  readonly tier: ColdTier = new ColdTier(null, [], 0)
  readonly blockBytes: number
  private readonly keys: readonly Key[]
  private sequence = 0
  private number = 0
  private readers: RunReader[] = []
  private tail: MemoryRun | null = null
  /** What each source has, newest first; and what of the entries of each was taken. */
  layers: Layer[] = []
  taken: Set<Written>[] = []

  constructor(storage: SimulatedStorage, random: Random) {
    this.storage = storage
    this.random = random
    this.cache = new BlockCache(random.pick([0, 5000, 1 << 20]))
    this.blockBytes = random.pick([60, 200, 2000, 32_768])
    this.keys = Array.from({ length: random.between(1, 60) }, (_, i) => random.pick<Key>([`key ${i}`, i, ['pair', i]]))
  }

  layer(): Layer {
    const { random } = this
    const layer: Layer = new Map()
    const share = random.pick([0, 0.1, 0.5, 1])
    for (let i = random.int(80); i > 0; i--) {
      const table = random.pick(TABLES)
      const key = random.pick(this.keys)
      const value = random.chance(0.2) ? null : new Uint8Array(random.int(60))
      const expiresAt = value !== null && random.chance(share) ? 1 + random.int(100) : 0
      layer.set(nameOf(table, key), { table, key, sequence: ++this.sequence, value, expiresAt })
    }
    return layer
  }

  /** A new run; the tail, if there is one, goes, as after a checkpoint that has put what it had into that run. */
  async addRun(): Promise<void> {
    const layer = this.tail === null ? this.layer() : (this.layers.shift() as Layer)
    if (this.tail !== null) this.taken.shift()
    this.tail = null
    const entries = [...layer.values()].map(({ table, key, sequence, value, expiresAt }): Entry => {
      const stored = storedKey(table, ...encodeKey(key))
      const size = value?.length ?? 0
      return { key: stored, sequence, size, value, ...(expiresAt === 0 ? {} : { expiresAt }) }
    })
    entries.sort((a, b) => order(a.key, b.key))
    const summary = await writeRun(this.storage, ++this.number, entries, { blockBytes: this.blockBytes })
    this.layers.unshift(layer)
    this.taken.unshift(new Set())
    this.publish([await this.open(summary), ...this.readers])
  }

  /** A tail with a layer that was written twice: first otherwise. */
  addTail(): void {
    if (this.tail !== null) return
    const layer = this.layer()
    const tail = new MemoryRun(hashSeed)
    for (const { table, key } of layer.values()) {
      tail.commit(1, 1)
      tail.put(table, encodeKey(key), 5, new Uint8Array(5), this.random.int(20))
      if (this.random.chance(0.1)) tail.expiries?.due(100)
    }
    for (const { table, key, sequence, value, expiresAt } of layer.values()) {
      tail.commit(sequence, 1)
      if (value === null) tail.remove(table, encodeKey(key))
      else tail.put(table, encodeKey(key), value.length, value, expiresAt)
    }
    this.tail = tail
    this.layers.unshift(layer)
    this.taken.unshift(new Set())
    this.publish(this.readers)
  }

  /** Neighbouring runs become one, in which nothing was taken yet. */
  async merge(): Promise<void> {
    const { random, readers } = this
    if (readers.length < 2) return
    const from = random.int(readers.length - 1)
    const to = random.between(from + 2, readers.length)
    const inputs = readers.slice(from, to).map(({ summary }) => summary)
    const dropTombstones = to === readers.length
    const job = { databaseId: new Uint8Array(16), inputs, run: ++this.number, dropTombstones, falsePositiveRate: 0.01 }
    const summary = await mergeRuns(this.storage, DIRECTORY, job, { cancelled: () => false })
    const shift = this.tail === null ? 0 : 1
    const merged: Layer = new Map(
      this.layers
        .slice(from + shift, to + shift)
        .reverse()
        .flatMap((layer) => [...layer]),
    )
    if (dropTombstones) for (const [name, { value }] of merged) if (value === null) merged.delete(name)
    expect(summary?.entries ?? 0).toBe(merged.size)
    const isLeft = summary !== null
    this.layers.splice(from + shift, to - from, ...(isLeft ? [merged] : []))
    this.taken.splice(from + shift, to - from, ...(isLeft ? [new Set<Written>()] : []))
    this.publish([...readers.slice(0, from), ...(isLeft ? [await this.open(summary)] : []), ...readers.slice(to)])
  }

  /** What is there to take: expired, not taken, and the newest of its key. */
  due(now: number): Written[] {
    return this.layers.flatMap((layer, age) =>
      [...layer].flatMap(([name, written]) => {
        const isDue = written.expiresAt > 0 && written.expiresAt <= now && !this.taken[age]!.has(written)
        return isDue && !this.layers.slice(0, age).some((newer) => newer.has(name)) ? [written] : []
      }),
    )
  }

  /** I1: takes some, each of which must be due, from no more than so many blocks. */
  sweep(now: number, maxBlocks: number): void {
    const due = new Map(this.due(now).map((written) => [nameOf(written.table, written.key), written]))
    const into: ExpiredEntry[] = []
    expect(this.tier.sweepCandidates(now, maxBlocks, into)).toBe(into)
    for (const { table, key, sequence, expiresAt } of into) {
      const written = due.get(nameOf(table, key))
      expect({ table, key, sequence, expiresAt }).toEqual({
        table,
        key: written?.key,
        sequence: written?.sequence,
        expiresAt: written?.expiresAt,
      })
      due.delete(nameOf(table, key))
      this.layers.forEach((layer, age) => {
        if (layer.get(nameOf(table, key)) === written) this.taken[age]!.add(written as Written)
      })
    }
    if (this.tier.nextExpiry() > now) expect(due.size).toBe(0)
  }

  /** What entries say is never later than what the tier says, and never by more than what is hidden or taken. */
  checkNext(): void {
    const instants = this.layers.flatMap((layer, age) =>
      [...layer.values()].filter((w) => w.expiresAt > 0 && !this.taken[age]!.has(w)).map((w) => w.expiresAt),
    )
    expect(this.tier.nextExpiry()).toBeLessThanOrEqual(
      Math.min(Infinity, ...this.due(Infinity).map((w) => w.expiresAt)),
    )
    if (this.tail === null) expect(this.tier.nextExpiry()).toBeGreaterThanOrEqual(Math.min(Infinity, ...instants))
    const expiring = this.layers.flatMap((layer) => [...layer.values()]).filter((w) => w.expiresAt > 0)
    expect(this.tier.expiring).toBe(expiring.length)
  }

  private async open(summary: RunSummary): Promise<RunReader> {
    const reader = await openRun(this.storage, summary, this.cache)
    expect(await reader.verify()).toEqual([])
    return reader
  }

  private publish(readers: RunReader[]): void {
    this.readers = readers
    this.tier.publish(readers, this.tail, this.sequence)
  }
}

describe('a sweep of the cold tier', () => {
  it('takes what has expired and is not hidden, once for each source (I1, I2)', async () => {
    for (let round = 0; round < runs(60); round++) {
      const random = new Random(`sweep ${round}`)
      const world = new World(await emptyDisk(), random)
      let now = 0
      for (let step = 0; step < 25; step++) {
        const choice = random.int(10)
        if (choice < 2) await world.addRun()
        else if (choice < 3) world.addTail()
        else if (choice < 4) await world.merge()
        else {
          if (random.chance(0.5)) now += random.int(30)
          world.sweep(random.chance(0.8) ? now : random.int(now + 1), random.pick([0, 1, 2, 5, 1000]))
        }
        world.checkNext()
      }
      while (world.tier.nextExpiry() <= 1000) world.sweep(1000, 1)
      expect(world.due(1000)).toEqual([])
      expect(world.tier.sweepCandidates(1000, 1000)).toEqual([])
    }
  })

  it('reads no block in which nothing has expired', async () => {
    const storage = await emptyDisk()
    const entries = Array.from({ length: 1000 }, (_, i) => ({
      key: storedKey(1, ...encodeKey(i)),
      sequence: 1,
      size: 1,
      value: new Uint8Array(20),
      ...(i % 2 === 0 ? { expiresAt: i < 100 ? 10 : 20 } : {}),
    }))
    const reader = await openRun(storage, await writeRun(storage, 1, entries, { blockBytes: 500 }))
    const tier = new ColdTier(null, [reader], 1)
    const read: number[] = []
    const walk = reader.walk.bind(reader)
    reader.walk = (block) => {
      read.push(block)
      return walk(block)
    }
    expect(tier.sweepCandidates(9, 1000)).toEqual([])
    expect(read).toEqual([])
    expect(tier.sweepCandidates(19, 1000)).toHaveLength(50)
    expect(read.length).toBeLessThan(10)
    expect(tier.sweepCandidates(19, 1000)).toEqual([])
    expect(tier.nextExpiry()).toBe(20)
    expect(tier.sweepCandidates(20, 1000)).toHaveLength(450)
    expect([tier.nextExpiry(), tier.expiring]).toEqual([Infinity, 500])
  })

  it('reports a block that cannot be read once, and goes on behind it (I3)', async () => {
    const storage = await emptyDisk()
    const entries = Array.from({ length: 100 }, (_, i) => ({
      key: storedKey(1, ...encodeKey(i)),
      sequence: 1,
      size: 1,
      value: new Uint8Array(20),
      expiresAt: 10,
    }))
    const summary = await writeRun(storage, 1, entries, { blockBytes: 500 })
    const path = `${DIRECTORY}/${runFileName(1)}`
    const bytes = storage.contents(path)
    bytes[700]! ^= 1
    storage.plant(path, bytes)
    const reader = await openRun(storage, summary)
    const tier = new ColdTier(null, [reader], 1)
    const into: ExpiredEntry[] = []
    expect(() => tier.sweepCandidates(10, 1000, into)).toThrow(expect.objectContaining({ code: 'CORRUPTION' }))
    tier.sweepCandidates(10, 1000, into)
    expect(into.length).toBeGreaterThan(70)
    expect(into.length).toBeLessThan(100)
    expect(tier.nextExpiry()).toBe(Infinity)
  })
})

describe('the expiries of blocks', () => {
  it('are a tree of minima, which finds what is due (I2)', () => {
    for (let round = 0; round < runs(200); round++) {
      const random = new Random(`expiries ${round}`)
      const model = Array.from({ length: random.between(1, 40) }, () =>
        random.chance(0.3) ? Infinity : random.int(50),
      )
      const expiries = new BlockExpiries(Float64Array.from(model))
      for (let step = 0; step < 50; step++) {
        expect(expiries.least).toBe(Math.min(...model))
        const now = random.int(60)
        const block = expiries.due(now)
        if (Math.min(...model) > now) expect(block).toBe(-1)
        else expect(model[block]).toBeLessThanOrEqual(now)
        const changed = random.int(model.length)
        model[changed] = random.chance(0.3) ? Infinity : random.int(50)
        expiries.set(changed, model[changed])
      }
    }
    expect(new BlockExpiries(new Float64Array(0)).due(Infinity)).toBe(-1)
  })
})
