/**
 * The base of a fork: other engines, each as of a snapshot that is held open there.
 *
 *   fork ──> layer 0: its parent, if that had writes of its own ──> layer 1 ──> … ──> last layer: a database that is no fork
 *
 * A layer has what was written or read in one engine; what it does not hold is in the next. The last one loads from its disk,
 * if it has one. Nothing below a snapshot changes, so a fork never changes under whoever reads it.
 *
 * F1  The snapshot of every layer stays open as long as a fork stands on it: it, or an ancestor of it that cannot close before,
 *     holds it. Whoever ends it earlier (age, failure of the disk) makes what lies there unreadable, never wrong.
 * F2  Sequences descend along the layers: what a layer shows was written at or below its snapshot, and what the next one shows
 *     at or below the commit that the layer began with.
 * F3  An entry in memory of a layer hides the layers below it, even if its snapshot sees no value there (as B1).
 */
import { databaseClosed } from '../errors.ts'
import type { Bounds, Key } from '../keys/index.ts'
import type { Base, BaseHold, BasePart, BaseScan, BaseTable } from './base.ts'
import { CHUNK_BITS, CHUNK_MASK, type Chunk } from './chunk.ts'
import { ScanCursor } from './cursor.ts'
import type { Engine } from './engine.ts'
import type { TableStore } from './store.ts'
import { ACTIVE, type Txn } from './transaction.ts'
import { EVICTED } from './version.ts'

/** An engine as of one snapshot of it. */
export interface ForkLayer {
  readonly engine: Engine
  /** Holds the snapshot open (F1). */
  readonly txn: Txn
}

/** Finds the table of an engine that goes by a name. */
function storeNamed(engine: Engine, name: string): TableStore | undefined {
  return engine.stores.find(({ spec }) => spec.name === name)
}

export class ForkBase implements Base {
  readonly layers: readonly ForkLayer[]
  /** B2: nothing that is deleted in a fork may be forgotten while a layer has it. */
  readonly floor: number
  readonly isFixed: boolean = true

  constructor(layers: readonly ForkLayer[]) {
    this.layers = layers
    this.floor = this.top.txn.snapshot
  }

  get top(): ForkLayer {
    return this.layers[0] as ForkLayer
  }

  /** A reader of its own on the top layer, so that what it holds of a disk below is let go when the scans end. */
  acquire(): BaseHold {
    const { engine, txn } = this.top
    ensureReadable(txn)
    return engine.beginAt(txn.snapshot)
  }

  /** Nothing of a fork is in its base. */
  covers(): boolean {
    return false
  }

  release(hold: BaseHold): void {
    this.top.engine.letGo(hold as Txn)
  }

  isCurrent(): boolean {
    return true
  }

  /** What the layers have of a table; null if they do not know it. */
  part(name: string): BasePart | null {
    const layers: TableLayer[] = []
    for (const { engine, txn } of this.layers) {
      const store = storeNamed(engine, name)
      if (store !== undefined) layers.push({ store, txn })
    }
    const [top] = layers
    if (top === undefined) return null
    const { size, bytes } = top.store.sizeAt(top.txn.snapshot)
    return { table: new ForkTable(this, layers), size, bytes, empty: false }
  }
}

/** A table in one layer. */
interface TableLayer {
  readonly store: TableStore
  readonly txn: Txn
}

class ForkTable implements BaseTable {
  sequence = 0
  size = 0
  expiresAt = 0
  private readonly base: ForkBase
  /** Those that know the table; the last one has no fork below it. */
  private readonly layers: readonly TableLayer[]
  private value: unknown = undefined
  private owner: TableStore

  constructor(base: ForkBase, layers: readonly TableLayer[]) {
    this.base = base
    this.layers = layers
    this.owner = (layers[0] as TableLayer).store
  }

  find(key: Key): boolean {
    const { layers } = this
    const last = layers.length - 1
    for (let i = 0; i <= last; i++) {
      const { store, txn } = layers[i] as TableLayer
      ensureReadable(txn)
      const id = i === last ? store.find(key) : store.findResident(key)
      if (id >= 0) return this.see(store, id, txn.snapshot)
    }
    return false
  }

  /** Takes what the snapshot of a layer sees of an entry; whether that is a value. */
  private see(store: TableStore, id: number, sequence: number): boolean {
    const chunk = store.chunks[id >>> CHUNK_BITS] as Chunk
    const i = id & CHUNK_MASK
    this.owner = store
    if (chunk.sequenceAt(i) <= sequence) {
      this.value = chunk.valueAt(i)
      this.sequence = chunk.sequenceAt(i)
      this.size = chunk.sizeAt(i)
      this.expiresAt = chunk.expiryAt(i)
      return this.value !== undefined
    }
    const version = store.versionAt(id, sequence)
    if (version === null) return false
    this.value = version.value
    this.sequence = version.sequence
    this.size = version.size
    this.expiresAt = version.expiresAt
    return this.value !== undefined
  }

  stored(store: TableStore): unknown {
    return taken(store, this.value, this.owner)
  }

  scan(bounds: Bounds, hold: BaseHold): BaseScan {
    // Layers above the first that knows the table have nothing of it.
    const { store, txn } = this.layers[0] as TableLayer
    const reader = txn === this.base.top.txn ? (hold as Txn) : txn
    return new ForkScan(store, reader, bounds)
  }
}

/** A scan of a layer; those below it are its base. What has expired is given out too. */
class ForkScan implements BaseScan {
  readonly sequence: number
  private readonly owner: TableStore
  private readonly cursor: ScanCursor

  constructor(owner: TableStore, txn: Txn, bounds: Bounds) {
    const all = bounds.limit === Infinity ? bounds : { ...bounds, limit: Infinity }
    this.owner = owner
    this.sequence = txn.snapshot
    this.cursor = new ScanCursor(owner, null, txn, txn.snapshot, -Infinity, all, null, 'existence')
  }

  next(): boolean {
    return this.cursor.next()
  }

  get key(): Key {
    return this.cursor.key
  }

  get size(): number {
    return this.cursor.size
  }

  get expiresAt(): number {
    return this.owner.expiring || this.owner.base !== null ? this.cursor.expiresAt : 0
  }

  stored(store: TableStore): unknown {
    return taken(store, this.cursor.stored(), this.owner)
  }
}

/** The stored form of a layer's table as one of the fork's. What has been evicted there is so here too: it can be overwritten. */
function taken(store: TableStore, stored: unknown, owner: TableStore): unknown {
  if (stored !== EVICTED) return store.take(stored, owner)
  store.noteLost()
  return EVICTED
}

function ensureReadable(txn: Txn): void {
  if (txn.state !== ACTIVE) throw txn.endedBy ?? databaseClosed()
}
