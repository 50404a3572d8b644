/** What an engine is built with, what it counts, and whom it tells. */
import type { Key } from '../keys/index.ts'
import type { ColdTier } from '../runs/index.ts'
import type { LogWriter } from '../wal/index.ts'
import type { Base } from './base.ts'
import type { Conflict } from './conflict.ts'
import type { EvictionReason, MemoryOptions } from './residency.ts'
import type { TableStore } from './store.ts'
import type { Txn } from './transaction.ts'

/** What the engine is built with; the face resolves it from the options. */
export interface EngineOptions {
  /** The clock's first value. Anything but 0 is for tests of large sequences. */
  readonly firstSequence: number
  /** Monotonic time in ms: leases, ages, slices of background work. Never order. */
  readonly now: () => number
  /** In [0, 1): the jitter of pauses between attempts. */
  readonly random: () => number
  /** Most committed transactions kept in the dependency graph before the oldest are summarised. */
  readonly graphCap: number
  /** How long garbage waits at most when nothing else drains it, ms; null: only `vacuum()` drains. */
  readonly vacuumIntervalMs: number | null
  readonly maxTransactionAgeMs: number
  readonly maxSnapshotAgeMs: number
  /** Bound of the ring of commits for those who watch. */
  readonly feedBytes: number
  /**
   * The time of commits and the instant of snapshots, ms since the epoch. Must never go back.
   */
  readonly timeMs: () => number
  /** Longest sleep of the sweeper while anything may expire, ms; 0: only `vacuum()` sweeps. Default 0. */
  readonly sweepIntervalMs?: number
  /** Where commits go, and where what this session has not met is found. null: in memory only. */
  readonly disk: EngineDisk | null
  /** What lies below memory if not a disk: the parent of a fork. */
  readonly base?: Base | null
  /** What memory is kept within; null, or missing: nothing is evicted but by hand. */
  readonly memory?: MemoryOptions | null
}

/** What an engine has under it when its data are on disk. */
export interface EngineDisk {
  /** null: nothing may be written. */
  readonly log: LogWriter | null
  readonly tier: ColdTier
}

/** Counters since open; plain numbers, cheap to bump. */
export interface EngineCounters {
  commits: number
  readOnlyCommits: number
  rollbacks: number
  conflicts: number
  writeConflicts: number
  graphFullConflicts: number
  readerConflicts: number
  expired: number
  leaked: number
}

/** Called after a commit took effect, outside the commit section. */
export interface EngineListener {
  committed(sequence: number, keys: number): void
  aborted(txn: Txn, conflict: Conflict | null): void
  vacuumed(versions: number, keys: number): void
  /** An entry is about to be evicted, which counted for so many bytes. */
  evicted(store: TableStore, key: Key, bytes: number, reason: EvictionReason): void
}
