/** A snapshot: one commit sequence to read at for as long as it is wanted. */
import { release, watchOver } from './leaks.ts'
import type { Txn } from './mvcc/index.ts'
import { ViewReader } from './reader.ts'
import type { Table } from './table.ts'
import type { TableCore } from './table-core.ts'
import type { Tables } from './tables.ts'

/**
 * The database as of one commit. Costs writers nothing but the versions it keeps alive: one per key changed since, however
 * often it changed. Dispose of it (`using`, or {@link Snapshot.close}) to let them go; reads after that throw
 * `TRANSACTION_CLOSED`.
 */
export class Snapshot<K, V> extends ViewReader<K, V> {
  /** Wall clock of the database at its creation, ms since the epoch. */
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
