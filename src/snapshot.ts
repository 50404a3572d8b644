/** A snapshot: one commit sequence to read at for as long as it is wanted. */
import { release, watchOver } from './leaks.ts'
import type { Txn } from './mvcc/index.ts'
import { VarveError } from './errors.ts'
import type { Key } from './keys/index.ts'
import { checkTableOptions, type TableOptions } from './options.ts'
import { ViewReader } from './reader.ts'
import { readSnapshotBytes, snapshotBytes } from './snapshot-bytes.ts'
import { DEFAULT_TABLE, type Table } from './table.ts'
import { closedError, type TableCore } from './table-core.ts'
import type { Tables } from './tables.ts'

/** What a snapshot is made of, for whoever reads all of its tables. */
export interface SnapshotSource {
  readonly tables: Tables
  readonly txn: Txn
}

/** A snapshot, whatever the keys and values of its default table. */
export interface AnySnapshot {
  /** See {@link Snapshot.sequence}. */
  readonly sequence: number
  /** See {@link Snapshot.createdAt}. */
  readonly createdAt: number
  /** See {@link Snapshot.toBytes}. */
  toBytes(): Uint8Array
  /** See {@link Snapshot.close}. */
  close(): void
}

/**
 * The database as of one commit. Costs writers nothing but the versions it keeps alive: one per key changed since, however
 * often it changed. Dispose of it (`using`, or {@link Snapshot.close}) to let them go; reads after that throw
 * `TRANSACTION_CLOSED`.
 */
export class Snapshot<K, V> extends ViewReader<K, V> {
  /** The time of the database at its creation, ms since the epoch: the instant by which expiry is told. Never goes back. */
  readonly createdAt: number
  readonly #tables: Tables

  /** @internal */
  constructor(core: TableCore<K, V>, txn: Txn, tables: Tables, createdAt: number, owner: object | null = null) {
    super(core, txn, owner)
    this.#tables = tables
    this.createdAt = createdAt
    if (owner === null) watchOver(this, core.state.engine, txn)
  }

  /** The commit sequence it shows. */
  get sequence(): number {
    return this.txn.snapshot
  }

  /** The same snapshot of another table. It lives as long as this one is open. */
  table<K2, V2>(table: Table<K2, V2>): Snapshot<K2, V2> {
    this.ensureActive()
    return new Snapshot(this.#tables.coreOf(table), this.txn, this.#tables, this.createdAt, this.owner)
  }

  /**
   * All tables of the snapshot in a form that stands alone: to be kept in a file, sent elsewhere, and given to
   * {@link Snapshot.fromBytes}. What has expired by the time of the snapshot is left out. Values of every table are carried,
   * whether it has been used or not; merge operators and `sizeOf` are not. docs/file-format.md describes the bytes.
   * @throws VarveError `TRANSACTION_CLOSED`; `CAPACITY_EXCEEDED` if they are more than one array can hold; `IO` or `CORRUPTION` if
   * something cannot be read from disk.
   */
  toBytes(): Uint8Array {
    this.ensureActive()
    return snapshotBytes(this.#tables, this.txn, this.createdAt)
  }

  /**
   * The snapshot behind bytes from {@link Snapshot.toBytes}, to read, or to give to {@link Database.restore}. It keeps a copy of
   * the entries in memory, encoded, and reads at the time at which it was taken, so nothing in it expires.
   *
   * @param options key and value codec of the default table, if that was not opened with the default ones
   * @throws VarveError `CORRUPTION` if the bytes are not whole, damaged or something else; `CODEC_MISMATCH` if the default table has
   * other codecs; `INVALID_ARGUMENT` if they are no bytes.
   */
  static fromBytes<K = Key, V = unknown>(
    bytes: Uint8Array,
    options?: Pick<TableOptions<K, V>, 'key' | 'value'>,
  ): Snapshot<K, V> {
    if (!(bytes instanceof Uint8Array)) throw new VarveError('INVALID_ARGUMENT', 'fromBytes takes a Uint8Array')
    if (options !== undefined) checkTableOptions(options)
    const { tables, createdAt } = readSnapshotBytes(bytes)
    const main = options === undefined ? tables.named(DEFAULT_TABLE) : undefined
    const core = (main ?? tables.define(DEFAULT_TABLE, options ?? {})) as TableCore<K, V>
    return new Snapshot<K, V>(core, tables.engine.beginSnapshot(), tables, createdAt)
  }

  /** @internal */
  get source(): SnapshotSource {
    this.ensureActive()
    return { tables: this.#tables, txn: this.txn }
  }

  /** @internal */
  protected override fail(): never {
    const { state } = this.core
    if (state.closed !== null || this.txn.endedBy !== null) throw closedError(this.txn, state)
    throw new VarveError('TRANSACTION_CLOSED', 'the snapshot has been closed: read before that, or take another')
  }

  /** Lets the snapshot go. Doing it twice is fine. */
  close(): void {
    release(this.owner)
    this.core.state.engine.rollback(this.txn)
  }

  /** Closes at the end of a scope: `using snapshot = …`. */
  [Symbol.dispose](): void {
    this.close()
  }
}
