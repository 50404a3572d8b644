/**
 * The one catalogue of what can go wrong. Every error that varve throws is a {@link VarveError} with a stable `code`;
 * each code has a heading of the same name in docs/errors.md (a test holds the two equal).
 */

/** Every code, with the one sentence that docs and tools show for it. `true` marks codes that a retry may cure. */
export const ERROR_CODES = {
  INVALID_OPTIONS: false,
  INVALID_ARGUMENT: false,
  INVALID_KEY: false,
  INVALID_VALUE: false,
  CODEC_MISMATCH: false,
  SERIALIZATION_FAILURE: true,
  WRITE_CONFLICT: true,
  TRANSACTION_CLOSED: false,
  SAVEPOINT_NOT_FOUND: false,
  RETRIES_EXHAUSTED: true,
  SNAPSHOT_TOO_OLD: true,
  ABORTED: false,
  MEMORY_LIMIT: false,
  CAPACITY_EXCEEDED: false,
  LOCKED: true,
  CORRUPTION: false,
  IO: false,
  POISONED: false,
  CLOSED: false,
  READ_ONLY: false,
} as const

/** The stable identifier of one kind of failure. Codes are never renamed; new ones may be added in minor versions. */
export type ErrorCode = keyof typeof ERROR_CODES

/** Extra facts given when an error is made. */
export interface ErrorDetails {
  /** What lies beneath: an error of the application, of a codec, or of the operating system. */
  readonly cause?: unknown
  /** Overrides the catalogue's answer to "may the same call succeed if it is made again?". */
  readonly retryable?: boolean
}

/**
 * The error class of varve.
 *
 * A message says what happened, where, and what to do; it may name keys but never contains values.
 */
export class VarveError extends Error {
  /** Stable identifier; see docs/errors.md for cause and remedy of each. */
  readonly code: ErrorCode
  /** Whether making the same call again may succeed without any other change. */
  readonly retryable: boolean

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined)
    this.code = code
    this.retryable = details.retryable ?? ERROR_CODES[code]
  }

  override get name(): string {
    return 'VarveError'
  }
}

/** What everything says once `close()` of the database was called. */
export function databaseClosed(): VarveError {
  return new VarveError('CLOSED', 'the database has been closed; open it again to go on')
}

/** Throws an internal assertion failure: a bug in varve, never the caller's mistake. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`varve invariant violated: ${message}`)
}

/** One edge of a dependency cycle: `from` must come before `to` in every serial order, because of `key`. */
export interface ConflictEdge {
  /** Ids of transactions, as in `Transaction.id`; -1 where it is no longer known. */
  readonly from: number
  /** Who must come after it. */
  readonly to: number
  /** `ww`: `to` overwrote what `from` wrote. `wr`: `to` read what `from` wrote. `rw`: `to` overwrote what `from` read. */
  readonly kind: 'ww' | 'wr' | 'rw'
  /** Name of the table. */
  readonly table: string
  /** The key over which they meet. */
  readonly key: unknown
}

/** Why a transaction was refused. */
export interface ConflictReport {
  /** Id of the refused transaction. */
  readonly victim: number
  /**
   * - `cycle`: committing it would close the dependency cycle in `edges`.
   * - `overwritten`: a key it wrote was changed since its snapshot (isolation `snapshot`).
   * - `favoured`: it would have invalidated a transaction that had lost too often.
   * - `evicted`: it asked for a value of its snapshot that was evicted; the error is `SNAPSHOT_TOO_OLD`.
   * - `graph-full`: too many transactions were in flight to decide exactly.
   */
  readonly reason: 'cycle' | 'overwritten' | 'favoured' | 'evicted' | 'graph-full'
  /** The cycle, edge by edge; each begins where the one before ends. */
  readonly edges: readonly ConflictEdge[]
  /** Ids of the transactions in the cycle. */
  readonly transactions: readonly number[]
  /** The keys that bind them, each once. */
  readonly keys: readonly { readonly table: string; readonly key: unknown }[]
}

/** A transaction was refused because of another; running it again may succeed. `transaction()` does that by itself. */
export class TransactionError extends VarveError {
  /** The dependency cycle, transaction by transaction and key by key. */
  readonly conflict: ConflictReport

  constructor(code: ErrorCode, message: string, conflict: ConflictReport) {
    super(code, message)
    this.conflict = conflict
  }

  override get name(): string {
    return 'TransactionError'
  }
}

/** Committing would have made the history unserializable. Code `SERIALIZATION_FAILURE`. */
export class SerializationError extends TransactionError {
  override get name(): string {
    return 'SerializationError'
  }
}

/** A key that was written was changed by another transaction first. Code `WRITE_CONFLICT`. */
export class WriteConflictError extends TransactionError {
  override get name(): string {
    return 'WriteConflictError'
  }
}
