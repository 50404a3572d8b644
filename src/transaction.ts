/** Transactions as the application sees them: reads on one snapshot, private writes, one atomic commit. */
import { conflictError } from './conflict-error.ts'
import { Entry } from './entry.ts'
import { VarveError } from './errors.ts'
import { ALL, type Key } from './keys/index.ts'
import { ACTIVE, KEEP, type SavepointMark, type Txn, UPDATE } from './mvcc/index.ts'
import { ViewReader } from './reader.ts'
import { release } from './leaks.ts'
import type { Table } from './table.ts'
import {
  ensureWritableDatabase,
  isCrowded,
  refusePromise,
  refuseWriteOptions,
  requireFunction,
  settled,
  waitForRoom,
  type TableCore,
} from './table-core.ts'

/** Finds the core of a table; given by the database. */
export type TableResolver = <K, V>(table: Table<K, V>) => TableCore<K, V>

/** A point to roll back to, from {@link Transaction.savepoint}. Good for the transaction that made it, until it ends. */
export class Savepoint {
  /** @internal */
  readonly txn: Txn
  /** @internal */
  readonly mark: SavepointMark

  /** @internal */
  constructor(txn: Txn, mark: SavepointMark) {
    this.txn = txn
    this.mark = mark
  }
}

/**
 * A transaction on one table; {@link table} gives the same transaction on another.
 *
 * Reads see the snapshot taken at its begin plus its own writes. Writes are private until the commit, which applies all of
 * them or none. Every method is synchronous. After the transaction has ended every call throws `TRANSACTION_CLOSED`.
 */
export class Transaction<K, V> extends ViewReader<K, V> {
  readonly #resolve: TableResolver
  readonly #managed: boolean

  /** @internal */
  constructor(core: TableCore<K, V>, txn: Txn, resolve: TableResolver, managed: boolean, owner: object | null = null) {
    super(core, txn, owner)
    this.#resolve = resolve
    this.#managed = managed
  }

  /** Number of the transaction; conflicts name transactions by it. */
  get id(): number {
    return this.txn.id
  }

  /** The commit sequence it reads at. */
  get sequence(): number {
    return this.txn.snapshot
  }

  /**
   * Sets the value of a key. Reads nothing: a blind write.
   * @throws VarveError `INVALID_KEY`, `INVALID_VALUE` (naming the path inside the value), `READ_ONLY`, `TRANSACTION_CLOSED`.
   */
  set(key: K, value: V): void {
    if (this.txn.state !== ACTIVE || this.txn.mode !== UPDATE) this.ensureWritable()
    if (arguments.length > 2) refuseWriteOptions('set')
    this.core.counts.sets++
    this.#put(this.core.admitKey(key), value)
  }

  #put(key: Key, value: V): void {
    const stored = this.core.admitValue(value, key)
    const size = this.core.sizeOf(key, stored)
    // Getters inside the value and a sizeOf of the application's own may have ended the transaction.
    this.ensureActive()
    this.view.set(key, stored, size, 0)
  }

  /** Deletes a key; returns whether it had a value. Reads existence. */
  delete(key: K): boolean {
    this.ensureWritable()
    this.core.counts.deletes++
    return this.view.delete(this.core.admitKey(key))
  }

  /** Deletes a key and returns the value it had, or undefined. */
  take(key: K): V | undefined {
    this.ensureWritable()
    const admitted = this.core.admitKey(key)
    const stored = this.view.get(admitted)
    if (stored === undefined) return undefined
    this.view.remove(admitted)
    return this.core.release(stored, admitted)
  }

  /** Sets the value of a key and returns the one it had, or undefined. */
  swap(key: K, value: V): V | undefined {
    this.ensureWritable()
    const admitted = this.core.admitKey(key)
    const before = this.core.release(this.view.get(admitted), admitted)
    this.#put(admitted, value)
    return before
  }

  /**
   * Replaces the value of a key by what `fn` makes of it (undefined: absent before, delete after); returns the new value.
   * @throws VarveError `INVALID_ARGUMENT` if `fn` returns a promise.
   */
  update(key: K, fn: (current: V | undefined) => V | undefined): V | undefined {
    this.ensureWritable()
    requireFunction(fn, 'update')
    const admitted = this.core.admitKey(key)
    const before = this.view.get(admitted)
    const next = fn(this.core.release(before, admitted))
    refusePromise(next, 'update')
    this.ensureWritable()
    if (next !== undefined) this.#put(admitted, next)
    else if (this.view.get(admitted) !== undefined) this.view.remove(admitted)
    return this.core.release(this.view.get(admitted), admitted)
  }

  /**
   * Combines an operand with the value of a key by the table's merge operator, at commit. Reads nothing, so merges of a
   * commutative operator never conflict with each other; on an absent key the operator's identity stands in.
   * @throws VarveError `INVALID_ARGUMENT` if the table has no merge operator.
   */
  merge(key: K, operand: unknown): void {
    this.ensureWritable()
    this.core.counts.merges++
    if (this.core.store.spec.merge === undefined) throw this.core.store.withoutOperator()
    const admitted = this.core.admitKey(key)
    this.view.merge(admitted, this.core.admitOperand(operand, admitted), KEEP)
  }

  /**
   * Sets a key to `next` if its value deep-equals `expected`; undefined stands for absent on both sides.
   * @returns whether it did.
   */
  compareAndSet(key: K, expected: V | undefined, next: V | undefined): boolean {
    this.ensureWritable()
    const admitted = this.core.admitKey(key)
    const before = this.view.get(admitted)
    if (!this.core.matches(before, expected, admitted)) return false
    if (next !== undefined) this.#put(admitted, next)
    else if (before !== undefined) this.view.remove(admitted)
    return true
  }

  /** The value of a key if it has one; else sets `value` and returns it. */
  getOrInsert(key: K, value: V): V {
    this.ensureWritable()
    return this.#getOrPut(this.core.admitKey(key), () => value)
  }

  /**
   * The value of a key if it has one; else sets what `fn` returns and returns it.
   * @throws VarveError `INVALID_ARGUMENT` if `fn` returns a promise.
   */
  getOrInsertComputed(key: K, fn: (key: K) => V): V {
    this.ensureWritable()
    requireFunction(fn, 'getOrInsertComputed')
    return this.#getOrPut(this.core.admitKey(key), () => {
      const value = fn(key)
      refusePromise(value, 'getOrInsertComputed')
      this.ensureWritable()
      return value
    })
  }

  #getOrPut(key: Key, make: () => V): V {
    let stored = this.view.get(key)
    if (stored === undefined) {
      this.#put(key, make())
      stored = this.view.get(key)
    }
    return this.core.release(stored, key) as V
  }

  /** Deletes every key that the transaction sees, and conflicts with keys that others create meanwhile. */
  clear(): void {
    this.ensureWritable()
    const keys: Key[] = []
    const cursor = this.view.scan(ALL, 'existence')
    while (cursor.next()) keys.push(cursor.key)
    for (const key of keys) this.view.remove(key)
  }

  /** The key with what can be done to it, for chaining. */
  entry(key: K): Entry<K, V> {
    this.ensureActive()
    return new Entry(this, this.core.releaseKey(this.core.admitKey(key)))
  }

  /** The same transaction on another table. */
  table<K2, V2>(table: Table<K2, V2>): Transaction<K2, V2> {
    this.ensureActive()
    return new Transaction(this.#resolve(table), this.txn, this.#resolve, this.#managed, this.owner)
  }

  /** Marks a point to roll back to. Savepoints nest. */
  savepoint(): Savepoint {
    this.ensureWritable()
    return new Savepoint(this.txn, this.txn.savepoint())
  }

  /**
   * Discards what was written since the savepoint, in all tables; what was read stays tracked. The savepoint itself remains,
   * later ones are gone.
   * @throws VarveError `SAVEPOINT_NOT_FOUND` if it is not one of this transaction or was discarded.
   */
  rollbackTo(savepoint: Savepoint): void {
    this.ensureWritable()
    if (savepoint instanceof Savepoint && savepoint.txn === this.txn && this.txn.rollbackTo(savepoint.mark)) return
    throw new VarveError(
      'SAVEPOINT_NOT_FOUND',
      `no such savepoint in transaction ${this.txn.id}: it belongs to another one, or a rollback to an earlier savepoint discarded it`,
    )
  }

  /**
   * Commits a transaction from `begin()`; resolves when that is as durable as configured.
   * @throws VarveError `SERIALIZATION_FAILURE` or `WRITE_CONFLICT` (both retryable: begin again), `TRANSACTION_CLOSED`,
   * `INVALID_ARGUMENT` inside `transaction()`, which commits by itself.
   */
  async commit(): Promise<void> {
    this.ensureActive()
    if (this.#managed) {
      throw new VarveError(
        'INVALID_ARGUMENT',
        'commit() is for transactions from begin(); this one commits when its callback returns',
      )
    }
    const { state } = this.core
    const { engine } = state
    let conflict
    try {
      if (isCrowded(state) && this.txn.hasWrites) {
        await waitForRoom(state)
        this.ensureActive()
      }
      release(this.owner)
      conflict = engine.commit(this.txn)
    } catch (error) {
      engine.rollback(this.txn)
      throw error
    }
    // A refusal too is told when what it is about is durable: it names what others have committed.
    await settled(state, conflict === null ? this.txn.extent : engine.clock)
    if (conflict !== null) throw conflictError(conflict)
  }

  /** Discards everything. Inside `transaction()` the callback may still return a value, with which the promise resolves. */
  rollback(): void {
    this.ensureActive()
    this[Symbol.dispose]()
  }

  /** Rolls back if still open: `using tx = handle.begin()`. */
  [Symbol.dispose](): void {
    if (!this.#managed) release(this.owner)
    this.core.state.engine.rollback(this.txn)
  }

  /** @internal */
  protected ensureWritable(): void {
    this.ensureActive()
    if (this.txn.mode === UPDATE) return
    ensureWritableDatabase(this.core.state)
    throw new VarveError('READ_ONLY', `transaction ${this.txn.id} was begun with readOnly; writes need one without`)
  }
}
