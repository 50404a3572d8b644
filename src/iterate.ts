/** Iterators over ranges: lazy, one step at a time, closing what they hold when they end, however they end. */
import type { Key } from './keys/index.ts'
import { ACTIVE, type ScanCursor, type Txn } from './mvcc/index.ts'
import { nextTurn } from './next-turn.ts'
import { SerialQueue } from './serial-queue.ts'
import { closedError, type TableCore } from './table-core.ts'

/** What an iterator gives out per step. */
export type StepKind = 'entry' | 'key' | 'value' | 'expiring'

/** Moves to the next step that is to be given out; of kind `expiring`, to the next key that expires. */
export function advance(cursor: ScanCursor, kind: StepKind): boolean {
  while (cursor.next()) if (kind !== 'expiring' || cursor.expiresAt !== 0) return true
  return false
}

const STREAM_SLICE_MS = 4
const STREAM_CHECK_EVERY = 64

/**
 * An iterator inside a transaction or snapshot. It holds nothing of its own: the transaction holds the snapshot. Using it
 * after the transaction has ended throws `TRANSACTION_CLOSED`.
 */
export class RangeIterator<K, V, T> implements IterableIterator<T> {
  readonly #core: TableCore<K, V>
  readonly #cursor: ScanCursor
  readonly #kind: StepKind
  readonly #txn: Txn
  /** Kept from collection for as long as somebody iterates. */
  readonly owner: object
  #done = false

  constructor(core: TableCore<K, V>, cursor: ScanCursor, kind: StepKind, txn: Txn, owner: object) {
    this.owner = owner
    this.#core = core
    this.#cursor = cursor
    this.#kind = kind
    this.#txn = txn
  }

  [Symbol.iterator](): this {
    return this
  }

  next(): IteratorResult<T, undefined> {
    if (this.#txn.state === ACTIVE && this.#kind !== 'expiring') {
      const at = this.#cursor.takeReady()
      if (at >= 0) return { value: readyStep(this.#cursor, at, this.#kind) as T, done: false }
    }
    if (this.#done) return { value: undefined, done: true }
    if (this.#txn.state !== ACTIVE) {
      this.#done = true
      throw closedError(this.#txn, this.#core.state)
    }
    if (!advance(this.#cursor, this.#kind)) {
      this.#done = true
      return { value: undefined, done: true }
    }
    return { value: stepValue(this.#core, this.#cursor, this.#kind) as T, done: false }
  }

  return(): IteratorResult<T, undefined> {
    this.#done = true
    this.#cursor.end()
    return { value: undefined, done: true }
  }
}

/** What a step hands out that `takeReady` of the cursor has made, at that place: keys and values as they are. */
export function readyStep(cursor: ScanCursor, at: number, kind: StepKind): unknown {
  if (kind === 'entry') return [cursor.aheadKeys[at], cursor.aheadValues[at]]
  return kind === 'key' ? cursor.aheadKeys[at] : cursor.aheadValues[at]
}

/** What one step of a scan hands out. */
export function stepValue<K, V>(core: TableCore<K, V>, cursor: ScanCursor, kind: StepKind): [K, V] | K | V {
  const key: Key = cursor.key
  if (kind === 'value') return core.release(cursor.value, key) as V
  const released = cursor.isForeign ? core.releaseKey(key) : core.releaseIndexed(key)
  return kind !== 'entry' ? released : [released, core.release(cursor.value, key) as V]
}

/** An iterator made async, so that the event loop can turn every few milliseconds while it is drained. */
export class Stream<T> implements AsyncIterableIterator<T> {
  readonly #items: IterableIterator<T>
  #until = 0
  readonly #queue: SerialQueue = new SerialQueue()
  readonly #nextStep = (): Promise<IteratorResult<T, undefined>> => this.#step()
  #steps = 0

  constructor(items: IterableIterator<T>) {
    this.#items = items
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** Calls that do not wait for each other are answered in order. */
  next(): Promise<IteratorResult<T, undefined>> {
    return this.#queue.add(this.#nextStep)
  }

  async #step(): Promise<IteratorResult<T, undefined>> {
    if (this.#steps++ % STREAM_CHECK_EVERY === 0 && performance.now() >= this.#until) {
      if (this.#steps > 1) await nextTurn()
      this.#until = performance.now() + STREAM_SLICE_MS
    }
    return this.#items.next()
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.#items.return?.()
    return { value: undefined, done: true }
  }
}
