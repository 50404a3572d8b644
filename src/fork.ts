/**
 * Forks: what a database stands on that is a copy of another one as of now.
 *
 * Nothing is copied: what a fork does not have itself it finds in its parent, as of a snapshot that is held open there. So a
 * fork is made in time that does not depend on the size of the parent, and costs what it changes and reads.
 *
 * Forks of forks stand on all their ancestors that have something of their own. Beyond {@link MAX_LAYERS} of them a fork copies
 * the writes of the nearest ones instead, and goes on as long as the next has at most twice as much as has been copied: as in a
 * log-structured merge tree, layers stay few, and an entry is copied once for each doubling.
 */
import { copyWrites, type Engine, entriesOf, ForkBase, type ForkLayer, type Txn } from './mvcc/index.ts'
import { VarveError } from './errors.ts'
import type { ResolvedOptions } from './options.ts'
import type { DatabaseState } from './table-core.ts'
import type { Ground, Tables } from './tables.ts'

/** Engines that a lookup may go through. */
const MAX_LAYERS = 8

/** What a database stands on that has no directory. */
export interface Stand {
  readonly base: ForkBase
  readonly sequence: number
  readonly timeMs: () => number
  readonly ground: Ground
  /** Puts what is copied in place, once the database has its tables. */
  fill(tables: Tables): void
  /** The engine that it holds a snapshot of, and that snapshot. */
  readonly engine: Engine
  readonly pin: Txn
  /** Must not be collected before. */
  readonly parent: object
}

/** Options of a fork: its parent's, but for those of files, and without a limit: what it evicted it would hide in its parent. */
export function forkOptions(options: ResolvedOptions): ResolvedOptions {
  return Object.freeze({ ...options, path: undefined, durability: 'memory', readOnly: false, maxMemoryBytes: Infinity })
}

/** What a fork of a database as of now, or of its newest safe snapshot, stands on. */
export function standOn(parent: object, state: DatabaseState, tables: Tables, safe: boolean): Stand {
  const { engine } = state
  engine.refuseReentry()
  const pin = safe ? engine.beginSafe() : engine.beginSnapshot()
  // What it shows has to stay, expired or not: the fork counts it until it is looked up there.
  pin.instant = -Infinity
  state.forks++
  pin.onEnd = (): void => {
    state.forks--
  }
  const { copied, base } = layersUnder(engine, pin)
  const found = tables.described()
  return {
    base,
    sequence: pin.snapshot,
    timeMs: engine.options.timeMs,
    ground: {
      place: 'of the database that was forked',
      found,
      define: () => 0,
      part: (name) => {
        // Whoever stands on a table by its name alone decides nothing about it.
        tables.named(name)
        return base.part(name)
      },
    },
    fill: (own) => fill(own, copied),
    engine,
    pin,
    parent,
  }
}

/** The layers that a fork stands on, and those whose writes it copies, lowest first. */
function layersUnder(engine: Engine, txn: Txn): { copied: ForkLayer[]; base: ForkBase } {
  const { base } = engine.options
  const below = base instanceof ForkBase ? base.layers : []
  const isUntouched = below.length > 0 && txn.snapshot === base?.floor
  const layers = isUntouched ? [...below] : [{ engine, txn }, ...below]
  const copied: ForkLayer[] = []
  if (layers.length <= MAX_LAYERS) return { copied, base: new ForkBase(layers) }
  let entries = 0
  do {
    const top = layers.shift() as ForkLayer
    entries += entriesOf(top)
    copied.unshift(top)
  } while (layers.length > 1 && entriesOf(layers[0] as ForkLayer) <= 2 * entries)
  return { copied, base: new ForkBase(layers) }
}

function fill(tables: Tables, copied: readonly ForkLayer[]): void {
  for (const layer of copied) {
    for (const store of layer.engine.stores) {
      const core = tables.named(store.spec.name)
      if (core !== undefined) copyWrites(layer, store, tables.engine, core.store)
    }
  }
}

/** Refuses to close a database that forks stand on. */
export function forksOpen(forks: number): VarveError {
  const [what, them] = forks === 1 ? ['1 fork', 'it'] : [`${forks} forks`, 'them']
  return new VarveError('LOCKED', `${what} of this database ${forks === 1 ? 'is' : 'are'} open: close ${them} first`)
}
