/**
 * Forks against plain Maps: a tree of databases in which each was forked from another, all written to at random, with snapshots,
 * restores and closes in any order, and values that expire. After every step what was touched, and at the end everything, shows
 * what its Map does.
 */
import { describe, expect, it } from 'vitest'

import { codecs, type Database, Snapshot, table } from '../../src/index.ts'
import { openWith } from '../../src/database.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Random, runs } from '../support/random.ts'
import { refusal } from './fixtures.ts'

type Value = { readonly n: number }
/** By table and key; when it expires, if ever. */
type Model = Map<string, { readonly n: number; readonly expiresAt: number }>

const structs = table<string, Value>('structs', { value: codecs.struct({ n: 'i32' }) })
const objects = table<string, Value>('objects')
const tables = [structs, objects]
const KEYS = 30

interface Branch {
  readonly db: Database<string, Value>
  readonly model: Model
  readonly parent: Branch | null
  forks: number
}

interface Kept {
  readonly snapshot: Snapshot<string, Value>
  readonly model: Model
  readonly branch: Branch
  readonly instant: number
}

class World {
  readonly random: Random
  readonly branches: Branch[] = []
  kept: Kept[] = []
  time: number
  steps = 0

  constructor(random: Random, db: Database<string, Value>, time: number) {
    this.random = random
    this.time = time
    this.branches.push({ db, model: new Map(), parent: null, forks: 0 })
  }

  async step(): Promise<void> {
    this.steps++
    const { random } = this
    const branch = random.pick(this.branches)
    const roll = random.next()
    if (roll < 0.45) await this.write(branch)
    else if (roll < 0.6) this.fork(branch)
    else if (roll < 0.68) await this.close(branch)
    else if (roll < 0.78) this.keep(branch)
    else if (roll < 0.84) await this.restore(branch)
    else if (roll < 0.88) await branch.db.vacuum()
    else if (roll < 0.89) await branch.db.compact()
    else if (roll < 0.93) this.time += random.int(40)
    else this.compare(branch)
    this.comparePoint(random.pick(this.branches))
  }

  async write({ db, model }: Branch): Promise<void> {
    const { random } = this
    const writes: [string, string, number | undefined, number | undefined][] = []
    for (let i = 1 + random.int(6); i > 0; i--) {
      const ttlMs = random.chance(0.3) ? 1 + random.int(60) : undefined
      writes.push([
        random.pick(tables).name,
        `k${random.int(KEYS)}`,
        random.chance(0.7) ? random.int(1000) : undefined,
        ttlMs,
      ])
    }
    await db.handle().transaction((tx) => {
      for (const [name, key, n, ttlMs] of writes) {
        const view = tx.table(tables.find((each) => each.name === name)!)
        if (n === undefined) view.delete(key)
        else if (ttlMs === undefined) view.set(key, { n })
        else view.set(key, { n }, { ttlMs })
      }
    })
    for (const [name, key, n, ttlMs] of writes) {
      const place = `${name}/${key}`
      if (n === undefined) model.delete(place)
      else model.set(place, { n, expiresAt: ttlMs === undefined ? Infinity : this.time + ttlMs })
    }
  }

  fork(branch: Branch): void {
    if (this.branches.length > 14) return
    branch.forks++
    this.branches.push({ db: branch.db.fork(), model: new Map(branch.model), parent: branch, forks: 0 })
  }

  async close(branch: Branch): Promise<void> {
    if (branch.parent === null) return
    if (branch.forks > 0) {
      expect(await refusal(() => branch.db.close())).toBe('LOCKED')
      return
    }
    this.compare(branch)
    for (const kept of this.kept) if (kept.branch === branch) kept.snapshot.close()
    this.kept = this.kept.filter((kept) => kept.branch !== branch)
    await branch.db.close()
    branch.parent.forks--
    this.branches.splice(this.branches.indexOf(branch), 1)
  }

  keep(branch: Branch): void {
    const { random } = this
    if (this.kept.length > 6) this.kept.splice(random.int(this.kept.length), 1)[0]!.snapshot.close()
    let snapshot = branch.db.snapshot()
    if (random.chance(0.3)) {
      const bytes = snapshot.toBytes()
      snapshot.close()
      snapshot = Snapshot.fromBytes(bytes)
    }
    this.kept.push({ snapshot, model: new Map(branch.model), branch, instant: this.time })
  }

  async restore(branch: Branch): Promise<void> {
    if (this.kept.length === 0) return
    const { snapshot, model, instant } = this.random.pick(this.kept)
    await branch.db.restore(snapshot)
    branch.model.clear()
    for (const [place, value] of model) if (value.expiresAt > instant) branch.model.set(place, value)
  }

  live(model: Model, name: string, instant: number): [string, number][] {
    return [...model]
      .filter(([place, { expiresAt }]) => place.startsWith(`${name}/`) && expiresAt > instant)
      .map(([place, { n }]): [string, number] => [place.slice(name.length + 1), n])
      .sort(([a], [b]) => (a < b ? -1 : 1))
  }

  compare({ db, model }: Branch): void {
    for (const each of tables) {
      const expected = this.live(model, each.name, this.time)
      const handle = db.handle(each)
      expect([...handle.entries()].map(([key, { n }]) => [key, n])).toEqual(expected)
      expect([...handle.keys({ reverse: true })]).toEqual(expected.map(([key]) => key).reverse())
    }
    for (const kept of this.kept) {
      for (const each of tables) {
        const shown = [...kept.snapshot.table(each).entries()].map(([key, { n }]) => [key, n])
        expect(shown).toEqual(this.live(kept.model, each.name, kept.instant))
      }
    }
  }

  comparePoint({ db, model }: Branch): void {
    const each = this.random.pick(tables)
    const key = `k${this.random.int(KEYS)}`
    const expected = model.get(`${each.name}/${key}`)
    const n = expected !== undefined && expected.expiresAt > this.time ? expected.n : undefined
    expect(db.handle(each).get(key)?.n).toBe(n)
    expect(db.handle(each).has(key)).toBe(n !== undefined)
  }

  async finish(): Promise<void> {
    for (const branch of this.branches) {
      this.compare(branch)
      expect((await branch.db.check()).problems).toEqual([])
    }
    for (const { snapshot } of this.kept) snapshot.close()
    for (const { db } of this.branches.reverse()) await db.close()
  }
}

describe('a tree of forks', () => {
  it('shows in every branch what its Map does, in memory', async () => {
    for (let run = 0; run < runs(60); run++) {
      const random = new Random(run)
      const start = 1_000_000
      let world: World | null = null
      const db = openWith<string, Value>({ clock: () => world?.time ?? start, ttl: { sweepIntervalMs: 0 } }, {})
      world = new World(random, db, start)
      while (world.steps < 150) await world.step()
      await world.finish()
    }
  })

  it('shows it over a database on disk too, most of which is cold', async () => {
    for (let run = 0; run < runs(12); run++) {
      const random = new Random(run)
      const storage = new SimulatedStorage({ seed: random.int(1 << 30) })
      let world: World | null = null
      const start = 1_000_000
      const options = { path: '/db', clock: () => world?.time ?? start, ttl: { sweepIntervalMs: 0 } }
      const first = await openWith<string, Value>(options, { storage, background: 'inline' })
      const before = new World(random, first, start)
      for (let i = 0; i < 30; i++) await before.write(before.branches[0]!)
      await first.checkpoint()
      for (let i = 0; i < 10; i++) await before.write(before.branches[0]!)
      await first.close()
      const db = await openWith<string, Value>(options, { storage, background: 'inline' })
      world = new World(random, db, start)
      for (const [place, value] of before.branches[0]!.model) world.branches[0]!.model.set(place, value)
      while (world.steps < 80) {
        await world.step()
        if (world.random.chance(0.03)) await db.checkpoint()
        if (world.random.chance(0.02)) await db.compact()
      }
      await world.finish()
    }
  })
})
