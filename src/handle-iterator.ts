/**
 * Iterators outside transactions: each stands on a snapshot of its own.
 *
 * With no update in flight the newest state is a safe snapshot, and an iterator that is drained within its tick needs none at
 * all: it waits among the lazy readers and takes a snapshot only if it is still running when something commits or the tick
 * ends. With updates in flight it is a tracked reader from the start, because what it has seen may have to be ordered.
 */
import { conflictError } from './conflict-error.ts'
import { advance, readyStep, stepValue, type StepKind } from './iterate.ts'
import type { Bounds } from './keys/index.ts'
import { release, watchOver } from './leaks.ts'
import type { LazyReader, ScanCursor, Txn } from './mvcc/index.ts'
import type { TableCore } from './table-core.ts'

export class HandleIterator<K, V, T> implements IterableIterator<T>, LazyReader {
  lazyAt = -1
  readonly #core: TableCore<K, V>
  readonly #cursor: ScanCursor
  readonly #kind: StepKind
  #txn: Txn | null = null
  #watched = false
  #done = false

  constructor(core: TableCore<K, V>, bounds: Bounds, kind: StepKind) {
    const { engine } = core.state
    this.#core = core
    this.#kind = kind
    if (engine.hasUpdates) {
      this.#txn = engine.beginReader(true, false)
      this.#cursor = this.#txn.view(core.store).scan(bounds, readsExistence(kind) ? 'existence' : 'value')
    } else if (core.store.scannedBase !== null) {
      // What the base says now has to stay there: that takes a transaction.
      this.#txn = engine.beginSnapshot()
      this.#cursor = this.#txn.view(core.store).scan(bounds, readsExistence(kind) ? 'existence' : 'value')
    } else this.#cursor = engine.scanNewest(core.store, bounds, readsExistence(kind) ? 'existence' : 'value')
    engine.lazy.add(this)
  }

  /** The engine is about to commit, or the tick ends: from here on a snapshot of its own is needed. */
  promote(): void {
    const { engine } = this.#core.state
    this.#txn ??= engine.beginWaiting(this.#cursor.instant)
    this.#cursor.adopt(this.#txn)
    this.#watched = true
    watchOver(this, engine, this.#txn)
  }

  [Symbol.iterator](): this {
    return this
  }

  next(): IteratorResult<T, undefined> {
    const { state } = this.#core
    const txn = this.#txn
    if (state.closed === null && (txn === null || txn.endedBy === null) && this.#kind !== 'expiring') {
      const at = this.#cursor.takeReady()
      if (at >= 0) return { value: readyStep(this.#cursor, at, this.#kind) as T, done: false }
    }
    return this.#nextAnyhow()
  }

  #nextAnyhow(): IteratorResult<T, undefined> {
    if (this.#done) return { value: undefined, done: true }
    const { state } = this.#core
    const ended = state.closed ?? this.#txn?.endedBy ?? null
    if (ended !== null) {
      this.#end()
      throw ended
    }
    try {
      if (!advance(this.#cursor, this.#kind)) {
        this.#end()
        return { value: undefined, done: true }
      }
      return { value: stepValue(this.#core, this.#cursor, this.#kind) as T, done: false }
    } catch (error) {
      // A loop does not call return() when next() throws.
      this.#end()
      throw error
    }
  }

  return(): IteratorResult<T, undefined> {
    this.#end()
    return { value: undefined, done: true }
  }

  #end(): void {
    if (this.#done) return
    this.#done = true
    this.#cursor.end()
    const { engine } = this.#core.state
    engine.lazy.remove(this)
    if (this.#watched) release(this)
    const txn = this.#txn
    if (txn === null || txn.endedBy !== null) return
    const conflict = engine.commit(txn)
    if (conflict !== null) throw conflictError(conflict)
  }
}

function readsExistence(kind: StepKind): boolean {
  return kind === 'key' || kind === 'expiring'
}
