/** Transactions as the application sees them: reads on one snapshot, private writes, one atomic commit. */
import { conflictError } from './conflict-error.ts'
import { Entry } from './entry.ts'
import { VarveError } from './errors.ts'
import { ALL, type Key } from './keys/index.ts'
import { ACTIVE, expiryAfter, KEEP, type SavepointMark, type Txn, UPDATE } from './mvcc/index.ts'
import type { WriteOptions } from './options.ts'
import { ViewReader } from './reader.ts'
import { release } from './leaks.ts'
import { commitWhenRoom, isCrowded, waitForRoom } from './room.ts'
import type { Table } from './table.ts'
import {
  checkTtl,
  ensureWritableDatabase,
  refusePromise,
  requireIterable,
  requireFunction,
  settled,
  ttlOf,
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
   * Sets the value of a key. Reads nothing: a blind write. An expiry that the key had is gone, unless `ttlMs` or the table's
   * default gives another.
   * @throws VarveError `INVALID_KEY`, `INVALID_VALUE` (naming the path inside the value), `INVALID_ARGUMENT` (options), `READ_ONLY`,
   * `TRANSACTION_CLOSED`.
   */
  set(key: K, value: V, options?: WriteOptions): void {
    if (this.txn.state !== ACTIVE || this.txn.mode !== UPDATE) this.ensureWritable()
    const ttlMs = options === undefined ? undefined : ttlOf(options, 'set')
    this.core.counts.sets++
    this.#put(this.core.admitKey(key), value, this.#expiryOf(ttlMs))
  }

  /** `expiresAt`: ms since the epoch; 0: never. */
  #put(key: Key, value: V, expiresAt: number): void {
    const stored = this.core.admitValue(value, key)
    const size = this.core.sizeOf(key, stored)
    // Getters inside the value and a sizeOf of the application's own may have ended the transaction.
    this.ensureActive()
    this.view.set(key, stored, size, expiresAt)
  }

  /** When something expires that is written with a time to live, or with none. */
  #expiryOf(ttlMs: number | undefined): number {
    const lives = ttlMs ?? this.core.defaultTtlMs
    return lives === Infinity ? 0 : expiryAfter(this.txn.fixInstant(), lives)
  }

  /** The same for what keeps the expiry that there is, if it is given none. */
  #expiryKept(key: Key, ttlMs: number | undefined): number {
    return ttlMs === undefined ? this.view.keptExpiry(key) : this.#expiryOf(ttlMs)
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

  /** Sets the value of a key, and its expiry as {@link set} does, and returns the value it had, or undefined. */
  swap(key: K, value: V, options?: WriteOptions): V | undefined {
    this.ensureWritable()
    const ttlMs = ttlOf(options, 'swap')
    const admitted = this.core.admitKey(key)
    const before = this.core.release(this.view.get(admitted), admitted)
    this.#put(admitted, value, this.#expiryOf(ttlMs))
    return before
  }

  /**
   * Replaces the value of a key by what `fn` makes of it (undefined: absent before, delete after); returns the new value.
   * The expiry stays, unless `ttlMs` gives another; what comes into being gets the table's default.
   * @throws VarveError `INVALID_ARGUMENT` if `fn` returns a promise.
   */
  update(key: K, fn: (current: V | undefined) => V | undefined, options?: WriteOptions): V | undefined {
    this.ensureWritable()
    const ttlMs = ttlOf(options, 'update')
    requireFunction(fn, 'update')
    const admitted = this.core.admitKey(key)
    const before = this.view.get(admitted)
    const next = fn(this.core.release(before, admitted))
    refusePromise(next, 'update')
    this.ensureWritable()
    if (next !== undefined) this.#put(admitted, next, this.#expiryKept(admitted, ttlMs))
    else if (this.view.get(admitted) !== undefined) this.view.remove(admitted)
    return this.core.release(this.view.get(admitted), admitted)
  }

  /**
   * Combines an operand with the value of a key by the table's merge operator, at commit. Reads nothing, so merges of a
   * commutative operator never conflict with each other; on an absent key the operator's identity stands in. The expiry stays,
   * unless `ttlMs` gives another; merges that do so have an order. What comes into being gets the table's default.
   * @throws VarveError `INVALID_ARGUMENT` if the table has no merge operator.
   */
  merge(key: K, operand: unknown, options?: WriteOptions): void {
    this.ensureWritable()
    const ttlMs = ttlOf(options, 'merge')
    this.core.counts.merges++
    if (this.core.store.spec.merge === undefined) throw this.core.store.withoutOperator()
    const admitted = this.core.admitKey(key)
    const expiresAt = ttlMs === undefined ? KEEP : this.#expiryOf(ttlMs)
    this.view.merge(admitted, this.core.admitOperand(operand, admitted), expiresAt)
  }

  /**
   * Sets a key to `next` if its value deep-equals `expected`; undefined stands for absent on both sides. The expiry
   * stays, unless `ttlMs` gives another; what comes into being gets the table's default.
   * @returns whether it did.
   */
  compareAndSet(key: K, expected: V | undefined, next: V | undefined, options?: WriteOptions): boolean {
    this.ensureWritable()
    const ttlMs = ttlOf(options, 'compareAndSet')
    const admitted = this.core.admitKey(key)
    const before = this.view.get(admitted)
    if (!this.core.matches(before, expected, admitted)) return false
    if (next !== undefined) this.#put(admitted, next, this.#expiryKept(admitted, ttlMs))
    else if (before !== undefined) this.view.remove(admitted)
    return true
  }

  /** The value of a key if it has one, whose expiry stays; else sets `value`, as {@link set} does, and returns it. */
  getOrInsert(key: K, value: V, options?: WriteOptions): V {
    this.ensureWritable()
    return this.#getOrPut(this.core.admitKey(key), () => value, ttlOf(options, 'getOrInsert'))
  }

  /**
   * The value of a key if it has one, whose expiry stays; else sets what `fn` returns, as {@link set} does, and returns it.
   * @throws VarveError `INVALID_ARGUMENT` if `fn` returns a promise.
   */
  getOrInsertComputed(key: K, fn: (key: K) => V, options?: WriteOptions): V {
    this.ensureWritable()
    const ttlMs = ttlOf(options, 'getOrInsertComputed')
    requireFunction(fn, 'getOrInsertComputed')
    const make = (): V => {
      const value = fn(key)
      refusePromise(value, 'getOrInsertComputed')
      this.ensureWritable()
      return value
    }
    return this.#getOrPut(this.core.admitKey(key), make, ttlMs)
  }

  #getOrPut(key: Key, make: () => V, ttlMs: number | undefined): V {
    let stored = this.view.get(key)
    if (stored === undefined) {
      this.#put(key, make(), this.#expiryOf(ttlMs))
      stored = this.view.get(key)
    }
    return this.core.release(stored, key) as V
  }

  /**
   * Has a key expire so many ms after the transaction's instant (Infinity: never); returns whether it has a value. Reads the value.
   * @throws VarveError `INVALID_ARGUMENT` unless `ttlMs` is above 0.
   */
  expire(key: K, ttlMs: number): boolean {
    this.ensureWritable()
    const lives = checkTtl(ttlMs, 'expire')
    return this.view.touch(this.core.admitKey(key), this.#expiryOf(lives))
  }

  /** As {@link expire} for several keys; returns how many of them have a value. Keys are checked before anything is done. */
  expireMany(keys: Iterable<K>, ttlMs: number): number {
    this.ensureWritable()
    requireIterable(keys, 'expireMany')
    const lives = checkTtl(ttlMs, 'expireMany')
    const admitted = Array.from(keys, (key) => this.core.admitKey(key))
    this.ensureWritable()
    const expiresAt = this.#expiryOf(lives)
    let count = 0
    for (const key of admitted) if (this.view.touch(key, expiresAt)) count++
    return count
  }

  /** Has a key live for ever; returns whether it would have expired. */
  persist(key: K): boolean {
    this.ensureWritable()
    const admitted = this.core.admitKey(key)
    const expiresAt = this.view.expiry(admitted)
    return expiresAt !== undefined && expiresAt !== 0 && this.view.touch(admitted, 0)
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
      while (isCrowded(state) && this.txn.hasWrites) {
        await waitForRoom(state)
        this.ensureActive()
      }
      release(this.owner)
      try {
        conflict = engine.commit(this.txn)
      } catch (error) {
        conflict = await commitWhenRoom(state, error, () => engine.commit(this.txn))
      }
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
