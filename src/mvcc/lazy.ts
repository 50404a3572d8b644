/**
 * Readers that have not taken their snapshot yet.
 *
 * An iterator that is created and drained within one tick, with no commit in between, sees the newest state whether or not
 * a snapshot is open. So it takes none: it waits here, and is promoted to a real snapshot just before the next commit
 * installs anything, or at the end of the tick, whichever comes first. Opening, closing and watching over a snapshot is
 * then paid only by iterators that live long enough to need one.
 *
 * I1  A waiting reader was created at the current clock: promotion opens exactly the snapshot it has been reading.
 */

/** Somebody who can take a snapshot when told to. */
export interface LazyReader {
  /** Position in the waiting list; -1 when not waiting. */
  lazyAt: number
  promote(): void
}

export class LazyReaders {
  private readonly waiting: LazyReader[] = []
  private armed = false

  get size(): number {
    return this.waiting.length
  }

  add(reader: LazyReader): void {
    reader.lazyAt = this.waiting.length
    this.waiting.push(reader)
    if (this.armed) return
    this.armed = true
    queueMicrotask(() => {
      this.armed = false
      this.promoteAll()
    })
  }

  /** Takes a reader out that has finished. */
  remove(reader: LazyReader): void {
    const at = reader.lazyAt
    if (at < 0) return
    reader.lazyAt = -1
    const last = this.waiting.pop() as LazyReader
    if (last === reader) return
    this.waiting[at] = last
    last.lazyAt = at
  }

  promoteAll(): void {
    for (const reader of this.waiting.splice(0)) {
      reader.lazyAt = -1
      reader.promote()
    }
  }
}
