/**
 * A transaction's private writes to one table: last write per key wins, nothing shared changes before commit.
 *
 * Up to {@link LINEAR_LIMIT} keys are found by looking at each; beyond that through a KeyMap. A sorted index is built by the
 * first scan and kept up from then on, so that scans see own writes in order. With a savepoint open every change is logged
 * for undo; without one nothing is.
 *
 * I1  `list` holds one {@link Pending} per key ever written, in order of first write; kind NONE marks those undone.
 * I2  `map` and `ordered`, where built, hold exactly the members of `list`.
 */
import { type Key, KeyMap, compareKeys } from '../keys/index.ts'
import { OrderedIndex } from '../skiplist/core.ts'

export const NONE = 0
export const SET = 1
export const DELETE = 2
export const MERGE = 3
/** The expiry of a merge that says nothing of it: that of the value there, if it is live. */
export const KEEP = -1
/** The last instant that a Date can name, ms since the epoch: what would expire later expires then. */
const LATEST_MS = 8.64e15

/** When something expires that is written at an instant to live for so long, in whole ms; 0: never, as for Infinity. */
export function expiryAfter(instant: number, ttlMs: number): number {
  return ttlMs === Infinity ? 0 : Math.min(instant + Math.ceil(ttlMs), LATEST_MS)
}

/** Which hash of its key a pending write knows. */
export const UNHASHED = 0
export const SEEDED = 1
export const KEYED = 2

export type PendingKind = typeof NONE | typeof SET | typeof DELETE | typeof MERGE

const LINEAR_LIMIT = 8

/** Operands of pending merges of one key, newest first: adding one shares the rest, so undo needs no copy. */
export class Operands {
  readonly operand: unknown
  readonly earlier: Operands | null

  constructor(operand: unknown, earlier: Operands | null) {
    this.operand = operand
    this.earlier = earlier
  }

  /** In the order they were given. */
  toArray(): unknown[] {
    const operands: unknown[] = []
    for (let at: Operands | null = this; at !== null; at = at.earlier) operands.push(at.operand)
    return operands.reverse()
  }
}

/** The pending write of one key. */
export class Pending {
  readonly key: Key
  kind: PendingKind = NONE
  /** Stored form for SET; {@link Operands} for MERGE. */
  value: unknown = undefined
  size = 0
  /** When the written value expires, ms since the epoch; 0: never; {@link KEEP}: as the value that is merged into. */
  expiresAt = 0
  /** Entry id, found in the commit section; -1 while the key has no entry. */
  entry = -1
  /** The key's hash in the maplet, kept by whoever found that there is no entry; see {@link TableStore.findFor}. */
  hashing: 0 | 1 | 2 = UNHASHED
  high = 0
  low = 0
  /**
   * Found in the commit section to delete what is absent already: the transaction made the key and took it back, or somebody
   * deleted it first. It leaves no version, but it has its place among the writers: see Meta.idleDeleters.
   */
  idle = false
  /** What the commit will install for a MERGE: computed before the section. */
  merged: unknown = undefined
  mergedSize = 0
  /** Handle of the place that the commit has taken for the value in a table with values outside of the heap; -1: none. */
  place = -1

  constructor(key: Key) {
    this.key = key
  }
}

/** How to take back one change; see Txn's savepoints. */
export interface Undo {
  readonly set: WriteSet
  readonly pending: Pending
  readonly kind: PendingKind
  readonly value: unknown
  readonly size: number
  readonly expiresAt: number
}

export class WriteSet {
  readonly list: Pending[] = []
  /** Bumped whenever a key is added, so that a scan knows to look again. */
  version = 0
  private map: KeyMap<Pending> | null = null
  private ordered: OrderedIndex<Key, Pending> | null = null

  /** The pending write of a key, or undefined. May be of kind NONE after a rollback to a savepoint. */
  find(key: Key): Pending | undefined {
    if (this.map !== null) return this.map.get(key)
    const list = this.list
    for (let i = 0; i < list.length; i++) {
      const pending = list[i] as Pending
      if (pending.key === key || (typeof key === 'object' && compareKeys(pending.key, key) === 0)) return pending
    }
    return undefined
  }

  /** The pending write of a key, made if there is none. */
  need(key: Key): Pending {
    const found = this.find(key)
    if (found !== undefined) return found
    const pending = new Pending(key)
    this.list.push(pending)
    this.version++
    if (this.map !== null) this.map.set(key, pending)
    else if (this.list.length > LINEAR_LIMIT) this.buildMap()
    if (this.ordered !== null) this.ordered.insert(key, pending)
    return pending
  }

  /** The writes in key order; built on first use. */
  sorted(): OrderedIndex<Key, Pending> {
    if (this.ordered === null) {
      this.ordered = new OrderedIndex<Key, Pending>(compareKeys)
      for (const pending of this.list) this.ordered.insert(pending.key, pending)
    }
    return this.ordered
  }

  private buildMap(): void {
    this.map = new KeyMap()
    for (const pending of this.list) this.map.set(pending.key, pending)
  }
}
