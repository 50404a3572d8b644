/**
 * Isolation inside forks: sampled histories whose first reads are of what the parent has, several forks deep, while the ancestors
 * are written to as well, against the same oracle as everywhere.
 */
import { describe, expect, it } from 'vitest'
import type { Database, Key } from '../../src/index.ts'
import { openWith } from '../../src/database.ts'
import { DatabaseEngine } from '../support/history-database.ts'
import { COMPOSITES, ITERATOR, type Mix, SAFE, SERIALIZABLE, SNAPSHOT, TRACKED } from '../support/history-generate.ts'
import { identityOf, tableOf } from '../support/history-model.ts'
import { expectFlawless, runRandom } from '../support/history-sample.ts'
import { Driver, Tally } from '../support/history.ts'
import { Random, runs } from '../support/random.ts'

const KEYS = ['w', 'x', 'y', 'z']

/** A fork of a fork of a database, made anew for every history. */
class ForkEngine extends DatabaseEngine {
  readonly isPrepared = true
  readonly #random: Random
  readonly #ancestors: Database<Key, unknown>[] = []

  constructor(random: Random) {
    super(openWith<Key, unknown>(undefined, {}))
    this.#random = random
  }

  /** Writes what histories are to find, over as many forks as chance will have. */
  async prepare(initial: readonly string[]): Promise<void> {
    const wanted = new Set(initial)
    for (let depth = 1 + this.#random.int(4); depth > 0; depth--) {
      for (const key of KEYS) {
        if (depth > 1 && this.#random.chance(0.4)) continue
        if (depth > 1 ? this.#random.chance(0.5) : wanted.has(key)) await this.#handle(key).set(key, identityOf(key))
        else await this.#handle(key).delete(key)
      }
      this.#ancestors.push(this.database)
      this.database = this.database.fork()
    }
  }

  #handle(key: string): ReturnType<Database<Key, unknown>['handle']> {
    return this.database.handle(this.tables[tableOf(key)]) as never
  }

  /** Awaited before every step: an ancestor goes on by itself. */
  async interlude(): Promise<void> {
    if (this.#random.chance(0.7)) return
    const ancestor = this.#random.pick(this.#ancestors)
    const key = this.#random.pick(KEYS)
    const handle = ancestor.handle(this.tables[tableOf(key)])
    if (this.#random.chance(0.5)) await handle.set(key, identityOf(key))
    else await handle.delete(key)
    if (this.#random.chance(0.1)) await ancestor.vacuum()
  }

  async end(): Promise<void> {
    for (const database of [this.database, ...this.#ancestors.reverse()]) {
      expect((await database.check()).problems).toEqual([])
      await database.close()
    }
  }
}

const levels = [SERIALIZABLE, SERIALIZABLE, SERIALIZABLE, SERIALIZABLE, TRACKED, TRACKED, SAFE, ITERATOR]

async function sample(name: string, histories: number, count: number, mix: Mix): Promise<Tally> {
  const random = new Random(name)
  const tally = new Tally()
  for (let i = 0; i < histories && tally.reports.length === 0; i++) {
    const engine = new ForkEngine(random.fork())
    const initial = KEYS.filter(() => random.chance(0.5))
    await engine.prepare(initial)
    await runRandom(new Driver(engine, KEYS, initial, tally), count, mix, random)
    await engine.end()
  }
  expectFlawless(name, tally)
  return tally
}

describe('histories in forks', () => {
  it('of three transactions that read, write, delete and scan', async () => {
    const tally = await sample('forks of three', runs(1500), 3, {
      keys: KEYS,
      length: [1, 4],
      levels,
      reads: ['get', 'has', 'scan'],
      writes: ['set', 'delete', 'delete', ...COMPOSITES],
    })
    expect(tally.refused).toBeGreaterThan(30)
  })

  it('of four, some at snapshot isolation', async () => {
    await sample('forks of four', runs(600), 4, {
      keys: KEYS,
      length: [1, 3],
      levels: [...levels, SNAPSHOT, SNAPSHOT],
      reads: ['get', 'scan'],
      writes: ['set', 'delete', 'merge'],
    })
  })
})
