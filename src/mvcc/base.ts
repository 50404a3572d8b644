/**
 * What lies below a table's entries in memory: everything this session has not met, or has let go of.
 *
 * A database on disk stands on its cold tier; a fork stands on its parent as of a snapshot. The engine sees no difference:
 * a key that has no entry in memory is asked for here, and scans merge both.
 *
 * B1  What the base says of a key is never newer than the entry in memory, if there is one: memory comes first.
 * B2  Up to `floor` every write is in the base as everybody sees it who reads it, so that a deletion up to there need not be
 *     remembered in memory to hide an older value below.
 * B3  A hold keeps what scans read in place until it is released; a find needs none.
 */
import type { Bounds, Key } from '../keys/index.ts'
import type { ColdScan, ColdTable, ColdTier, ColdVersion } from '../runs/index.ts'
import type { TableStore } from './store.ts'

/** A state of the base that somebody scans. Opaque. */
export type BaseHold = object

/** The base of all tables of an engine. */
export interface Base {
  /** B2. */
  readonly floor: number
  /** Whether it stays as it is for ever, so that what was deleted above it is never deleted in it. */
  readonly isFixed: boolean
  /** `snapshot`: the newest commit that the reader sees. */
  acquire(snapshot: number): BaseHold
  release(hold: BaseHold): void
  /** Whether somebody who acquired now would be given the same state. Once it is not, it never is again. */
  isCurrent(hold: BaseHold): boolean
  /** Whether a write of that commit may leave memory: every reader who should see it finds it in the base, now and later. */
  covers(sequence: number): boolean
}

/** The base of one table. The fields tell of what {@link find} found last. */
export interface BaseTable {
  /** Whether the base has a value under the key, expired or not. */
  find(key: Key): boolean
  /** The commit that wrote it. */
  readonly sequence: number
  /** What it counts for, bytes. */
  readonly size: number
  /** ms since the epoch; 0: never. */
  readonly expiresAt: number
  /** The stored form of what was found, private to the caller's table. */
  stored(store: TableStore, key: Key): unknown
  /** The entries within bounds, in their direction; the limit is the caller's. */
  scan(bounds: Bounds, hold: BaseHold): BaseScan
}

/** A walk over the base of one table. The fields hold until the next step. */
export interface BaseScan {
  next(): boolean
  readonly key: Key
  /** The commit that wrote it, or a later one that everybody sees who reads the base. */
  readonly sequence: number
  readonly size: number
  readonly expiresAt: number
  stored(store: TableStore): unknown
}

/** What a table has in its base when the engine meets it. */
export interface BasePart {
  readonly table: BaseTable
  /** Live keys, and what they count for in bytes. */
  readonly size: number
  readonly bytes: number
  /** Whether the base has nothing of the table at all: then keys are looked for there only once some have been let go. */
  readonly empty: boolean
}

/** The cold tier as a base. */
export class TierBase implements Base {
  readonly tier: ColdTier
  readonly isFixed: boolean = false

  constructor(tier: ColdTier) {
    this.tier = tier
  }

  get floor(): number {
    return this.tier.floor
  }

  acquire(snapshot: number): BaseHold {
    return this.tier.acquire(snapshot)
  }

  covers(sequence: number): boolean {
    return this.tier.covers(sequence)
  }

  release(hold: BaseHold): void {
    this.tier.release(hold as ColdVersion)
  }

  isCurrent(hold: BaseHold): boolean {
    return hold === this.tier.current
  }

  table(id: number): BaseTable {
    return new TierTable(this.tier.table(id))
  }
}

class TierTable implements BaseTable {
  private readonly cold: ColdTable

  constructor(cold: ColdTable) {
    this.cold = cold
  }

  find(key: Key): boolean {
    return this.cold.find(key)
  }

  get sequence(): number {
    return this.cold.sequence
  }

  get size(): number {
    return this.cold.size
  }

  get expiresAt(): number {
    return this.cold.expiresAt
  }

  stored(store: TableStore, key: Key): unknown {
    const { cold } = this
    return store.decode(cold.valueBytes, cold.valueStart, cold.valueEnd, key)
  }

  scan(bounds: Bounds, hold: BaseHold): BaseScan {
    return new TierScan(this.cold.scan(bounds, hold as ColdVersion))
  }
}

class TierScan implements BaseScan {
  private readonly cold: ColdScan

  constructor(cold: ColdScan) {
    this.cold = cold
  }

  next(): boolean {
    return this.cold.next()
  }

  get key(): Key {
    return this.cold.key
  }

  get sequence(): number {
    return this.cold.sequence
  }

  get size(): number {
    return this.cold.size
  }

  get expiresAt(): number {
    return this.cold.expiresAt
  }

  stored(store: TableStore): unknown {
    const { cold } = this
    return store.decode(cold.valueBytes, cold.valueStart, cold.valueEnd, cold.key)
  }
}
