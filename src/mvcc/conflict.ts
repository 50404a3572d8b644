/** Why a commit was refused, in the engine's own terms; the face turns it into an error when somebody wants to see one. */
import type { Key } from '../keys/index.ts'
import type { EdgeKind } from './node.ts'

/** One edge of the dependency cycle: `from` precedes `to` because of `key`. */
export interface ConflictStep {
  readonly from: number
  readonly to: number
  readonly kind: EdgeKind
  readonly table: string
  readonly key: Key
}

/**
 * - `cycle`: committing would close the cycle in `steps`.
 * - `overwritten`: a key that was written was changed by a commit since the snapshot (first committer wins).
 * - `favoured`: it would invalidate a transaction that has lost too often; that one is `other`.
 * - `evicted`: it asked for a value that it should see, and that was evicted.
 * - `graph-full`: the graph was at its cap, so the conservative answer was given.
 */
export type ConflictReason = 'cycle' | 'overwritten' | 'favoured' | 'evicted' | 'graph-full'

export class Conflict {
  readonly reason: ConflictReason
  /** Id of the refused transaction. */
  readonly victim: number
  readonly steps: readonly ConflictStep[]
  /** For `favoured`: settles when that transaction has ended or its lease is over. */
  readonly until: Promise<void> | null

  constructor(
    reason: ConflictReason,
    victim: number,
    steps: readonly ConflictStep[],
    until: Promise<void> | null = null,
  ) {
    this.reason = reason
    this.victim = victim
    this.steps = steps
    this.until = until
  }

  /** Whether it is a plain write-write conflict over one key: read or written here, overwritten by another. */
  get overOneKey(): boolean {
    const [first, second] = this.steps
    return (
      this.reason === 'overwritten' ||
      (this.steps.length === 2 && first?.key === second?.key && first?.table === second?.table)
    )
  }
}
