/**
 * What a transaction read without naming every key: ranges as actually consumed.
 *
 * Predicates are logical (precision locking: Jordan, Banerjee, Batman 1981; HyPer, SIGMOD 2015), not locks on pages or
 * gaps, so two transactions conflict only over a key that really lies in what was consumed.
 *
 * I1  A range covers exactly the keys whose absence or presence the scan has told its reader so far: it grows as the
 *     consumer pulls, up to the last key returned, and to the asked bound only when the scan ran dry.
 * I2  Keys at which the scan saw the transaction's own write are excepted: they told nothing about committed state.
 */
import { type Key, KeyMap, compareKeys } from '../keys/index.ts'
import type { Node } from './node.ts'
import type { TableStore } from './store.ts'

/** What a read depends on: the value of a key, or only whether it exists. */
export type ReadLevel = 'value' | 'existence'

export class RangeRead {
  readonly store: TableStore
  readonly level: ReadLevel
  lower: Key | undefined
  lowerOpen: boolean
  upper: Key | undefined
  upperOpen: boolean
  /** False until the scan has told its consumer anything. */
  consumed = false
  /** I2. */
  own: KeyMap<true> | null = null

  constructor(
    store: TableStore,
    level: ReadLevel,
    lower: Key | undefined,
    lowerOpen: boolean,
    upper: Key | undefined,
    upperOpen: boolean,
  ) {
    this.store = store
    this.level = level
    this.lower = lower
    this.lowerOpen = lowerOpen
    this.upper = upper
    this.upperOpen = upperOpen
  }

  /** Excepts a key at which the scan saw the transaction's own write. */
  except(key: Key): void {
    this.own ??= new KeyMap()
    this.own.set(key, true)
  }

  covers(key: Key): boolean {
    if (!this.consumed) return false
    if (this.lower !== undefined) {
      const order = compareKeys(key, this.lower)
      if (order < 0 || (order === 0 && this.lowerOpen)) return false
    }
    if (this.upper !== undefined) {
      const order = compareKeys(key, this.upper)
      if (order > 0 || (order === 0 && this.upperOpen)) return false
    }
    return this.own === null || !this.own.has(key)
  }
}

/** A range read by a committed transaction, as writers meet it. */
export interface RangeMark {
  readonly node: Node
  readonly range: RangeRead
}
