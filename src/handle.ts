/** Handles: a table of an open database, where each call outside a transaction is a transaction of its own. */
import { AsyncEntry } from './async-entry.ts'
import { conflictError } from './conflict-error.ts'
import { HandleIterator } from './handle-iterator.ts'
import { type EntryInfo, inspect } from './inspect.ts'
import { Stream } from './iterate.ts'
import { type Bounds, type Range, resolveRange } from './keys/index.ts'
import { watchOver } from './leaks.ts'
import { DELETE, SET, type Txn } from './mvcc/index.ts'
import {
  defaultTransactionOptions,
  type Isolation,
  resolveTransactionOptions,
  type ResolvedTransactionOptions,
  type TransactionOptions,
  type WriteOptions,
} from './options.ts'
import { prefetch, type Reader } from './reader.ts'
import { applyInTurn } from './room.ts'
import { beginAttempt, endOnAbort, runOneTick, runSync, runTransaction, throwIfAborted } from './retry.ts'
import {
  type Arguments,
  ensureWritableDatabase,
  isIterable,
  isThenable,
  refusePromise,
  requireFunction,
  settled,
  type TableCore,
  ttlOf,
} from './table-core.ts'
import { Transaction, type TableResolver } from './transaction.ts'
import { type Change, openWatch, type WatchOptions } from './watching/index.ts'

const DONE: Promise<void> = Promise.resolve()
const ONE_TICK: TransactionOptions = { isolation: 'serializable' }

/**
 * A table of an open database. Light and free to make: one per task, or one for all, as you like.
 *
 * Reads are synchronous and see the newest committed state. Writes apply before the call returns and report through their
 * promise, misuse included; a call that reads and writes (`update`, `compareAndSet`, …) does so in one step.
 *
 * An iterator shows one moment. One that goes on over several ticks while others write may, rarely, have shown a moment that
 * fits no serial order; then its end throws `SERIALIZATION_FAILURE`. Iterate inside `transaction()` to have that retried.
 */
export class Handle<K, V> implements Reader<K, V> {
  readonly #core: TableCore<K, V>
  readonly #resolve: TableResolver
  readonly #defaults: ResolvedTransactionOptions
  readonly #oneTick: ResolvedTransactionOptions

  /** @internal */
  constructor(core: TableCore<K, V>, resolve: TableResolver, isolation: Isolation) {
    this.#core = core
    this.#resolve = resolve
    this.#defaults = defaultTransactionOptions(isolation)
    this.#oneTick = resolveTransactionOptions(ONE_TICK, this.#defaults)
  }

  // --- reading ------------------------------------------------------------------------------------------------------------

  /** See {@link Reader.get}. */
  get(key: K): V | undefined {
    const core = this.#core
    if (core.state.closed !== null) throw core.state.closed
    core.counts.gets++
    const admitted = core.admitKey(key)
    const { engine } = core.state
    // The newest state of one key needs no trace, except among merges that commute: those have no order but through readers.
    if (core.store.commutative && engine.hasUpdates) return this.#read((tx) => tx.get(key))
    const stored = core.store.get(admitted)
    return stored === undefined ? undefined : core.release(stored, admitted)
  }

  /** See {@link Reader.getMany}. */
  getMany(keys: Iterable<K>): (V | undefined)[] {
    return this.#read((tx) => tx.getMany(keys))
  }

  /** See {@link Reader.has}. */
  has(key: K): boolean {
    this.#ensureOpen()
    const { store, state, counts } = this.#core
    counts.has++
    const id = store.find(this.#core.admitKey(key))
    return id >= 0 && store.isLive(id, state.engine.instantFor(store))
  }

  /** See {@link Reader.entries}. */
  entries(range?: Range<K>): IterableIterator<[K, V]> {
    return new HandleIterator<K, V, [K, V]>(this.#core, this.#scanBounds(range), 'entry')
  }

  /** See {@link Reader.keys}. */
  keys(range?: Range<K>): IterableIterator<K> {
    return new HandleIterator<K, V, K>(this.#core, this.#scanBounds(range), 'key')
  }

  /** See {@link Reader.values}. */
  values(range?: Range<K>): IterableIterator<V> {
    return new HandleIterator<K, V, V>(this.#core, this.#scanBounds(range), 'value')
  }

  /** See {@link Reader.count}. */
  count(range?: Range<K>): number {
    return this.#read((tx) => tx.count(range))
  }

  /** See {@link Reader.ttl}. */
  ttl(key: K): number | undefined {
    this.#ensureOpen()
    const { store, state } = this.#core
    const admitted = this.#core.admitKey(key)
    const id = store.find(admitted)
    const expiresAt = id < 0 ? 0 : store.expiryOf(id)
    const now = expiresAt === 0 ? 0 : state.engine.timeMs()
    return expiresAt === 0 || !store.isLive(id, now) ? undefined : expiresAt - now
  }

  /** See {@link Reader.keysWithTtl}. */
  keysWithTtl(): IterableIterator<K> {
    return new HandleIterator<K, V, K>(this.#core, this.#scanBounds(undefined), 'expiring')
  }

  /** See {@link Reader.stream}. */
  stream(range?: Range<K>): AsyncIterableIterator<[K, V]> {
    return new Stream(this.entries(range))
  }

  /** See {@link Reader.prefetch}. */
  async prefetch(what: Iterable<K> | Range<K>): Promise<void> {
    this.#ensureOpen()
    await prefetch(what, this.#core)
  }

  /** See {@link Reader.size}. */
  get size(): number {
    this.#ensureOpen()
    return this.#core.store.size
  }

  /** See {@link Reader.sizeBytes}. */
  get sizeBytes(): number {
    this.#ensureOpen()
    return this.#core.store.bytes
  }

  #scanBounds(range: Range<K> | undefined): Bounds {
    this.#ensureOpen()
    this.#core.counts.scans++
    return resolveRange(range)
  }

  /** Several reads of the newest state in one tick: tracked while updates are in flight, and never refused. */
  #read<T>(fn: (tx: Transaction<K, V>) => T): T {
    this.#ensureOpen()
    const { engine } = this.#core.state
    const txn = engine.beginReader(true, true)
    try {
      const result = fn(this.#facade(txn, true))
      const conflict = engine.commit(txn)
      if (conflict !== null) throw conflictError(conflict)
      return result
    } finally {
      engine.rollback(txn)
    }
  }

  // --- writing, one call a transaction ------------------------------------------------------------------------------------

  /**
   * Sets the value of a key. An expiry that it had is gone, unless `ttlMs` or the table's default gives another.
   * @throws VarveError `INVALID_KEY`, `INVALID_VALUE`, `INVALID_ARGUMENT` (options), `READ_ONLY`, `CLOSED`.
   */
  set(key: K, value: V, options?: WriteOptions): Promise<void> {
    const core = this.#core
    try {
      const ttlMs = (options === undefined ? undefined : ttlOf(options, 'set')) ?? core.defaultTtlMs
      if (core.state.closed !== null) throw core.state.closed
      core.counts.sets++
      const admitted = core.admitKey(key)
      const stored = core.admitValue(value, admitted)
      if (core.state.engine.hasFavours)
        return this.#write({ key, value, options }, (tx, own) => tx.set(own.key, own.value, own.options))
      const size = core.sizeOf(admitted, stored)
      const { state, store } = core
      const { engine, log } = state
      if (log === null) {
        if (state.readOnly) ensureWritableDatabase(state)
        engine.writeOne(store, admitted, SET, stored, size, ttlMs)
        return DONE
      }
      const sequence = applyInTurn(state, () => {
        engine.writeOne(store, admitted, SET, stored, size, ttlMs)
        return engine.clock
      })
      if (typeof sequence === 'number') return log.settledAt(sequence) ?? DONE
      return sequence.then((late) => log.settledAt(late) ?? undefined)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Deletes a key; resolves to whether it had a value. */
  async delete(key: K): Promise<boolean> {
    this.#ensureOpen()
    const { state, store } = this.#core
    this.#core.counts.deletes++
    if (state.engine.hasFavours) return this.#write({ key }, (tx, own) => tx.delete(own.key))
    ensureWritableDatabase(state)
    const admitted = this.#core.admitKey(key)
    const outcome = applyInTurn(state, () => state.engine.writeOne(store, admitted, DELETE, undefined, 0))
    const deleted = typeof outcome === 'boolean' ? outcome : await outcome
    await settled(state, state.engine.clock)
    return deleted
  }

  /** Deletes a key; resolves to the value it had. */
  async take(key: K): Promise<V | undefined> {
    return this.#write({ key }, (tx, own) => tx.take(own.key))
  }

  /** Sets the value of a key, and its expiry as {@link set} does; resolves to the value it had. */
  async swap(key: K, value: V, options?: WriteOptions): Promise<V | undefined> {
    return this.#write({ key, value, options }, (tx, own) => tx.swap(own.key, own.value, own.options))
  }

  /** The key with what can be done to it; each call on it is its own transaction. */
  entry(key: K): AsyncEntry<K, V> {
    this.#ensureOpen()
    return new AsyncEntry(this, this.#core.releaseKey(this.#core.admitKey(key)))
  }

  /** Replaces the value of a key by what `fn` makes of it (undefined: absent before, delete after). See {@link Transaction.update}. */
  async update(key: K, fn: (current: V | undefined) => V | undefined, options?: WriteOptions): Promise<V | undefined> {
    return this.#write({ key, options }, (tx, own) => tx.update(own.key, fn, own.options))
  }

  /** Combines an operand with the value of a key by the table's merge operator. See {@link Transaction.merge}. */
  async merge(key: K, operand: unknown, options?: WriteOptions): Promise<void> {
    return this.#write({ key, operand, options }, (tx, own) => tx.merge(own.key, own.operand, own.options))
  }

  /** Sets a key to `next` if its value deep-equals `expected`; resolves to whether it did. See {@link Transaction.compareAndSet}. */
  async compareAndSet(key: K, expected: V | undefined, next: V | undefined, options?: WriteOptions): Promise<boolean> {
    return this.#write({ key, value: next, expected, options }, (tx, own) =>
      tx.compareAndSet(own.key, own.expected, own.value, own.options),
    )
  }

  /** The value of a key if it has one, whose expiry stays; else sets `value`, as {@link set} does. */
  async getOrInsert(key: K, value: V, options?: WriteOptions): Promise<V> {
    return this.#write({ key, value, options }, (tx, own) => tx.getOrInsert(own.key, own.value, own.options))
  }

  /** The value of a key if it has one, whose expiry stays; else sets what `fn` returns, as {@link set} does. */
  async getOrInsertComputed(key: K, fn: (key: K) => V, options?: WriteOptions): Promise<V> {
    return this.#write({ key, options }, (tx, own) => tx.getOrInsertComputed(own.key, fn, own.options))
  }

  /**
   * Has a key expire so many ms from now (Infinity: never); resolves to whether it has a value.
   * @throws VarveError `INVALID_ARGUMENT` unless `ttlMs` is above 0.
   */
  async expire(key: K, ttlMs: number): Promise<boolean> {
    return this.#write({ key }, (tx, own) => tx.expire(own.key, ttlMs))
  }

  /** As {@link expire} for several keys, as one transaction; resolves to how many of them have a value. */
  async expireMany(keys: Iterable<K>, ttlMs: number): Promise<number> {
    // It may be run again, and some things can be iterated once.
    const all = isIterable(keys) ? [...keys] : keys
    return this.#write({ keys: all }, (tx, own) => tx.expireMany(own.keys, ttlMs))
  }

  /** Has a key live for ever; resolves to whether it would have expired. */
  async persist(key: K): Promise<boolean> {
    return this.#write({ key }, (tx, own) => tx.persist(own.key))
  }

  /** Deletes every key of the table. */
  async clear(): Promise<void> {
    return this.#write({}, (tx) => tx.clear())
  }

  /** Runs one operation in this very tick as a transaction. Should it have to wait, its arguments are copied before this returns. */
  #write<A extends Arguments<K, V>, T>(given: A, fn: (tx: Transaction<K, V>, own: A) => T): Promise<T> {
    this.#ensureOpen()
    const { state } = this.#core
    let own = given
    const attempt = (txn: Txn): T => fn(this.#facade(txn, true), own)
    return runOneTick(state, this.#oneTick, attempt, () => (own = this.#core.copyArguments(own)))
  }

  // --- transactions -------------------------------------------------------------------------------------------------------

  /**
   * Runs `fn` as one transaction, which may await anything. Commits if `fn` returns; rolls back if it throws, and rejects with
   * that very error. After a conflict `fn` is run again, so it should do nothing that cannot be repeated. Nobody is locked
   * out meanwhile, and nobody starves: an attempt that keeps losing is favoured for up to a second.
   *
   * @throws VarveError `RETRIES_EXHAUSTED` (its cause is the last conflict; with `retries: 0` the conflict itself),
   * `ABORTED`, `INVALID_OPTIONS`, `CLOSED`.
   */
  transaction<T>(fn: (tx: Transaction<K, V>) => T | Promise<T>, options?: TransactionOptions): Promise<T> {
    try {
      this.#ensureOpen()
      requireFunction(fn, 'transaction')
      const resolved = resolveTransactionOptions(options, this.#defaults)
      return runTransaction(this.#core.state, resolved, (txn) => fn(this.#facade(txn, true)))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Runs `fn` as one transaction within this tick; nothing interleaves with it.
   * @throws VarveError `INVALID_ARGUMENT` if `fn` returns a promise; otherwise as {@link transaction}.
   */
  transactionSync<T>(fn: (tx: Transaction<K, V>) => T, options?: TransactionOptions): T {
    this.#ensureOpen()
    requireFunction(fn, 'transactionSync')
    return runSync(this.#core.state, resolveTransactionOptions(options, this.#defaults), (txn) => {
      const result = fn(this.#facade(txn, true))
      if (isThenable(result)) refusePromise(result, 'transactionSync')
      return result
    })
  }

  /**
   * Begins a transaction that the caller commits or rolls back. It may be called any number of times; the transactions are
   * independent. One that is dropped without either is rolled back when it is collected, and counted as leaked.
   */
  begin(options?: TransactionOptions): Transaction<K, V> {
    this.#ensureOpen()
    const { state } = this.#core
    const resolved = resolveTransactionOptions(options, this.#defaults)
    throwIfAborted(resolved.signal)
    const txn = beginAttempt(state, resolved, false, false)
    if (resolved.signal !== undefined) endOnAbort(state.engine, txn, resolved.signal)
    const transaction = this.#facade(txn, false)
    watchOver(transaction, state.engine, txn)
    return transaction
  }

  // --- watching -----------------------------------------------------------------------------------------------------------

  /**
   * The changes of one key, or of a range of keys: what is committed from now on, or behind the cursor `from`, in order, each
   * once, as soon as it is on disk. What {@link Database.changes} says of the past, of slow readers and of the end holds here too.
   *
   * ```ts
   * for await (const change of db.handle(accounts).watch({ prefix: 'user:' }, { signal })) console.log(change.key, change.kind)
   * ```
   * @throws VarveError `INVALID_ARGUMENT`, `INVALID_KEY`; for the steps see {@link Database.changes}.
   */
  watch(what: Range<K> | { key: K }, options?: WatchOptions): AsyncIterableIterator<Change<K, V>> {
    this.#ensureOpen()
    return openWatch(this.#core.state.feed, this.#core, what, options)
  }

  /**
   * Has a key leave memory, under every eviction policy; returns whether it did. In memory it is gone then, as one commit, and a
   * snapshot opened before that reads it gets `SNAPSHOT_TOO_OLD`. With a `path` nothing is lost: the next read loads it again. There it
   * stays if it is not in memory, if a checkpoint has yet to write it, or if an open transaction or snapshot needs it here.
   * @throws VarveError `INVALID_KEY`, `CLOSED`, `INVALID_ARGUMENT` from inside a merge operator.
   */
  evict(key: K): boolean {
    this.#ensureOpen()
    const { state, store } = this.#core
    return state.engine.evict(store, this.#core.admitKey(key))
  }

  /**
   * What is known of each entry of a range, in key order, as of the first step: its size, whether it is in memory, how often it was
   * used. Loads nothing, counts as no use, and takes part in no conflict.
   */
  inspect(range?: Range<K>): IterableIterator<EntryInfo<K>> {
    return inspect(this.#core, this.#scanBounds(range))
  }

  #facade(txn: Txn, managed: boolean): Transaction<K, V> {
    return new Transaction(this.#core, txn, this.#resolve, managed)
  }

  #ensureOpen(): void {
    if (this.#core.state.closed !== null) throw this.#core.state.closed
  }
}
