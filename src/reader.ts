/** Reading: the interface that handles, transactions and snapshots share, and its implementation on one transaction. */
import { RangeIterator, Stream } from './iterate.ts'
import { type Bounds, type Key, type Range, resolveRange } from './keys/index.ts'
import { ACTIVE, type ScanCursor, type TableView, type Txn } from './mvcc/index.ts'
import { nextTurn } from './next-turn.ts'
import { closedError, isIterable, requireIterable, type TableCore } from './table-core.ts'

/**
 * Everything that can be read. All of it is synchronous and never waits for other transactions; `stream` and `prefetch`
 * are for reads so long that the event loop should breathe in between.
 */
export interface Reader<K, V> {
  /** The value of a key, or undefined. */
  get(key: K): V | undefined
  /** The values of several keys, in their order, all as of one moment. */
  getMany(keys: Iterable<K>): (V | undefined)[]
  /** Whether the key has a value. Depends on existence only: overwriting the value does not conflict with it. */
  has(key: K): boolean
  /** Keys and values in key order, lazily, all as of one moment. Depends on what was consumed, not on the whole range. */
  entries(range?: Range<K>): IterableIterator<[K, V]>
  /** Keys in order, lazily, all as of one moment. Depends on existence only. */
  keys(range?: Range<K>): IterableIterator<K>
  /** Values in key order, lazily, all as of one moment. */
  values(range?: Range<K>): IterableIterator<V>
  /** How many keys a range holds: O(their number). Depends on existence only. */
  count(range?: Range<K>): number
  /** As {@link entries}, giving way to the event loop every few milliseconds. For long scans. */
  stream(range?: Range<K>): AsyncIterableIterator<[K, V]>
  /**
   * Loads what is on disk only, in slices of a few milliseconds, so that reads after it find it in memory: a `get` of a key that
   * is not waits for one block to be read. Not tracked by the certifier. In memory it only checks the keys.
   */
  prefetch(what: Iterable<K> | Range<K>): Promise<void>
  /** How many ms a key has left to live; undefined if it has no value or does not expire. Depends on existence and expiry only. */
  ttl(key: K): number | undefined
  /** Keys that will expire, in order, lazily, all as of one moment. Walks all keys. Depends on existence and expiry only. */
  keysWithTtl(): IterableIterator<K>
  /**
   * Number of keys, O(1). What has expired counts until it is reclaimed, moments later. Not tracked by the certifier; {@link count},
   * which is exact, is.
   */
  readonly size: number
  /** Bytes of these keys and their values, O(1), as `sizeOf` or the estimate counts them. Not tracked either. */
  readonly sizeBytes: number
}

/** Reads on one engine transaction: the base of Transaction and Snapshot. */
export class ViewReader<K, V> implements Reader<K, V> {
  /** @internal */
  protected readonly core: TableCore<K, V>
  /** @internal */
  protected readonly txn: Txn
  /** @internal */
  protected readonly view: TableView
  /** The object whose collection ends the transaction; whatever is derived from it keeps it alive. */
  protected readonly owner: object

  /** @internal */
  constructor(core: TableCore<K, V>, txn: Txn, owner: object | null = null) {
    this.owner = owner ?? this
    this.core = core
    this.txn = txn
    this.view = txn.view(core.store)
  }

  /** See {@link Reader.get}. */
  get(key: K): V | undefined {
    if (this.txn.state !== ACTIVE) this.fail()
    const core = this.core
    core.counts.gets++
    const admitted = core.admitKey(key)
    const stored = this.view.get(admitted)
    return stored === undefined ? undefined : core.release(stored, admitted)
  }

  /** See {@link Reader.getMany}. */
  getMany(keys: Iterable<K>): (V | undefined)[] {
    requireIterable(keys, 'getMany')
    const values: (V | undefined)[] = []
    for (const key of keys) values.push(this.get(key))
    return values
  }

  /** See {@link Reader.has}. */
  has(key: K): boolean {
    this.ensureActive()
    this.core.counts.has++
    return this.view.has(this.core.admitKey(key))
  }

  /** See {@link Reader.entries}. */
  entries(range?: Range<K>): IterableIterator<[K, V]> {
    return new RangeIterator<K, V, [K, V]>(this.core, this.scan(range, 'value'), 'entry', this.txn, this.owner)
  }

  /** See {@link Reader.keys}. */
  keys(range?: Range<K>): IterableIterator<K> {
    return new RangeIterator<K, V, K>(this.core, this.scan(range, 'existence'), 'key', this.txn, this.owner)
  }

  /** See {@link Reader.values}. */
  values(range?: Range<K>): IterableIterator<V> {
    return new RangeIterator<K, V, V>(this.core, this.scan(range, 'value'), 'value', this.txn, this.owner)
  }

  /** See {@link Reader.count}. */
  count(range?: Range<K>): number {
    const cursor = this.scan(range, 'existence')
    let count = 0
    while (cursor.next()) count++
    return count
  }

  /** See {@link Reader.ttl}. */
  ttl(key: K): number | undefined {
    this.ensureActive()
    const expiresAt = this.view.expiry(this.core.admitKey(key))
    return expiresAt === undefined || expiresAt === 0 ? undefined : expiresAt - this.txn.fixInstant()
  }

  /** See {@link Reader.keysWithTtl}. */
  keysWithTtl(): IterableIterator<K> {
    const cursor = this.scan(undefined, 'existence')
    return new RangeIterator<K, V, K>(this.core, cursor, 'expiring', this.txn, this.owner)
  }

  /** See {@link Reader.stream}. */
  stream(range?: Range<K>): AsyncIterableIterator<[K, V]> {
    return new Stream(this.entries(range))
  }

  /** See {@link Reader.prefetch}. */
  async prefetch(what: Iterable<K> | Range<K>): Promise<void> {
    this.ensureActive()
    await prefetch(what, this.core)
  }

  /** See {@link Reader.size}. */
  get size(): number {
    this.ensureActive()
    return this.view.ownSize().size
  }

  /** See {@link Reader.sizeBytes}. */
  get sizeBytes(): number {
    this.ensureActive()
    return this.view.ownSize().bytes
  }

  /** @internal */
  protected scan(range: Range<K> | undefined, level: 'value' | 'existence'): ScanCursor {
    this.ensureActive()
    this.core.counts.scans++
    return this.view.scan(resolveRange(range), level)
  }

  /** @internal */
  protected ensureActive(): void {
    if (this.txn.state !== ACTIVE) this.fail()
  }

  /** @internal */
  protected fail(): never {
    throw closedError(this.txn, this.core.state)
  }
}

const PREFETCH_SLICE_MS = 2

/** Loads the entries of keys, or of a range, that memory does not have. Keys are checked before anything is loaded. */
export async function prefetch<K, V>(what: unknown, core: TableCore<K, V>): Promise<void> {
  const { store } = core
  if (isIterable(what)) {
    const keys = Array.from(what, (key) => core.admitKey(key as K))
    if (store.base !== null) await inSlices(keys, core, (key) => void store.find(key))
    return
  }
  const bounds = resolveRange(what)
  if (store.base === null) return
  await inSlices(keysIn(bounds, core), core, (key) => void store.find(key))
  // A walk that misses nothing notes so: scans of the range need not look at the disk any more.
  if (store.scannedBase !== null) await inSlices(keysIn(bounds, core), core, () => {})
}

async function inSlices<K, V>(
  keys: Iterable<Key>,
  { state }: TableCore<K, V>,
  visit: (key: Key) => void,
): Promise<void> {
  let until = performance.now() + PREFETCH_SLICE_MS
  for (const key of keys) {
    visit(key)
    if (performance.now() < until) continue
    await nextTurn()
    if (state.closed !== null) throw state.closed
    until = performance.now() + PREFETCH_SLICE_MS
  }
}

/** The keys of a range as they are now, on disk and in memory. */
function* keysIn<K, V>(bounds: Bounds, core: TableCore<K, V>): Generator<Key, void, undefined> {
  const { engine } = core.state
  const txn = engine.beginSnapshot()
  try {
    const cursor = txn.view(core.store).scan(bounds, 'existence')
    while (cursor.next()) yield cursor.key
  } finally {
    engine.rollback(txn)
  }
}
