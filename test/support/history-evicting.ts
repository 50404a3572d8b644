/** A database in memory that evicts, as an engine for the drivers of histories: keys go by name, or for want of room. */
import { openWith } from '../../src/database.ts'
import type { EvictionName, Key } from '../../src/index.ts'
import { Evictor } from '../../src/mvcc/evictor.ts'
import { DatabaseEngine, tablesOf } from './history-database.ts'
import type { Eviction } from './history-model.ts'
import type { Random } from './random.ts'

/** How a database is kept small. */
export interface Plan {
  readonly eviction: EvictionName
  /** Default: no limit. */
  readonly maxMemoryBytes?: number
  /** The chance that a key is evicted by name before a step. */
  readonly byName: number
  readonly graphCap?: number
}

interface Inside {
  readonly engine: { readonly clock: number; readonly chunks: readonly { readonly store: StoreInside }[] }
}

interface StoreInside {
  keyOf(id: number): Key
}

type Commit = (this: Inside, ids: readonly number[], isUnseen: boolean) => void

export class EvictingEngine extends DatabaseEngine {
  readonly #random: Random
  readonly #plan: Plan
  readonly #keys: readonly string[]
  #evictions: Eviction[] = []

  constructor(plan: Plan, keys: readonly string[], random: Random) {
    const { eviction, maxMemoryBytes, graphCap } = plan
    super(
      openWith<Key, unknown>(
        { eviction, maxMemoryBytes, vacuum: { intervalMs: 1 } },
        { ...(graphCap === undefined ? {} : { graphCap }), random: () => random.next() },
      ),
    )
    this.#plan = plan
    this.#keys = keys
    this.#random = random
  }

  /** Watches the commits of evictions, whose sequences no event tells, for as long as `work` lasts. */
  async watched<T>(work: () => Promise<T>): Promise<T> {
    const prototype = Evictor.prototype as unknown as { commit: Commit }
    const { commit } = prototype
    const evictions = this.#evictions
    prototype.commit = function (ids, isUnseen): void {
      const keys = ids.map((id) => String((this.engine.chunks[id >>> 12] as { store: StoreInside }).store.keyOf(id)))
      commit.call(this, ids, isUnseen)
      evictions.push({ sequence: this.engine.clock, keys })
    }
    try {
      return await work()
    } finally {
      prototype.commit = commit
    }
  }

  async interlude(): Promise<void> {
    const random = this.#random
    if (random.chance(0.02)) await this.database.vacuum()
    if (random.chance(0.05)) await new Promise((resolve) => setImmediate(resolve))
    if (!random.chance(this.#plan.byName)) return
    const { sums, logs } = this.tables
    const key = random.pick(this.#keys)
    this.database.handle(key >= 'a' ? sums : logs).evict(key)
  }

  takeEvictions(): readonly Eviction[] {
    return this.#evictions.splice(0)
  }

  /** Tables of its own for the next history. */
  renew(at: number): void {
    this.tables = tablesOf(` ${at % 4}`)
  }
}
