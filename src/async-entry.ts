/** One key outside transactions. */
import type { Handle } from './handle.ts'
import type { WriteOptions } from './options.ts'
import { requireFunction } from './table-core.ts'

/** One key of a handle; each call is a transaction of its own. See {@link Entry} for the same inside a transaction. */
export class AsyncEntry<K, V> {
  /** The key, as it was given. */
  readonly key: K
  readonly #handle: Handle<K, V>

  /** @internal */
  constructor(handle: Handle<K, V>, key: K) {
    this.#handle = handle
    this.key = key
  }

  /** Whether the key has a value now. */
  get exists(): boolean {
    return this.#handle.has(this.key)
  }

  /** The value now, or undefined. */
  get value(): V | undefined {
    return this.#handle.get(this.key)
  }

  /** The value if there is one, whose expiry stays; else sets `value`. */
  orInsert(value: V, options?: WriteOptions): Promise<V> {
    return this.#handle.getOrInsert(this.key, value, options)
  }

  /** The value if there is one, whose expiry stays; else sets what `fn` returns. */
  orInsertComputed(fn: (key: K) => V, options?: WriteOptions): Promise<V> {
    return this.#handle.getOrInsertComputed(this.key, fn, options)
  }

  /**
   * Replaces the value, if there is one, by what `fn` makes of it. The expiry stays, unless `ttlMs` gives another. Resolves to the
   * entry, for chaining.
   */
  async andModify(fn: (value: V) => V, options?: WriteOptions): Promise<this> {
    requireFunction(fn, 'andModify')
    await this.#handle.update(this.key, (value) => (value === undefined ? undefined : fn(value)), options)
    return this
  }

  /** Sets the value, and the expiry as `set` of the handle does; resolves to the value before. */
  set(value: V, options?: WriteOptions): Promise<V | undefined> {
    return this.#handle.swap(this.key, value, options)
  }

  /** Deletes the key; resolves to the value it had. */
  delete(): Promise<V | undefined> {
    return this.#handle.take(this.key)
  }
}
