/** One key inside a transaction, for chains such as `tx.entry(k).andModify(f).orInsert(v)`. After MapX and Rust's `Entry`. */
import type { WriteOptions } from './options.ts'
import { requireFunction, ttlOf } from './table-core.ts'
import type { Transaction } from './transaction.ts'

/**
 * A key of a transaction with what can be done to it. It holds no state: every property reads the transaction anew.
 * Methods throw what the transaction's methods of the same meaning throw.
 */
export class Entry<K, V> {
  /** The key, as it was given. */
  readonly key: K
  readonly #tx: Transaction<K, V>

  /** @internal */
  constructor(tx: Transaction<K, V>, key: K) {
    this.#tx = tx
    this.key = key
  }

  /** Whether the key has a value. Reads existence only. */
  get exists(): boolean {
    return this.#tx.has(this.key)
  }

  /** The value, or undefined. */
  get value(): V | undefined {
    return this.#tx.get(this.key)
  }

  /** The value if there is one, whose expiry stays; else sets `value` and returns it. */
  orInsert(value: V, options?: WriteOptions): V {
    return this.#tx.getOrInsert(this.key, value, options)
  }

  /** The value if there is one, whose expiry stays; else sets what `fn` returns and returns it. */
  orInsertComputed(fn: (key: K) => V, options?: WriteOptions): V {
    return this.#tx.getOrInsertComputed(this.key, fn, options)
  }

  /**
   * Replaces the value, if there is one, by what `fn` makes of it. The expiry stays, unless `ttlMs` gives another. Returns the entry,
   * for chaining.
   */
  andModify(fn: (value: V) => V, options?: WriteOptions): this {
    ttlOf(options, 'andModify')
    requireFunction(fn, 'andModify')
    const current = this.#tx.get(this.key)
    if (current !== undefined) this.#tx.update(this.key, (value) => fn(value as V), options)
    return this
  }

  /** Sets the value, and the expiry as `set` of the transaction does; returns the value before, or undefined. */
  set(value: V, options?: WriteOptions): V | undefined {
    return this.#tx.swap(this.key, value, options)
  }

  /** Deletes the key; returns the value it had, or undefined. */
  delete(): V | undefined {
    return this.#tx.take(this.key)
  }
}
