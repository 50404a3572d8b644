/**
 * Favour: how a transaction that keeps losing gets through, without locks and without a queue.
 *
 * A favoured attempt registers what it reads and writes (its views do that anyway). A committer that would invalidate it is
 * told to retry instead, for at most the lease. What the previous attempt touched counts too, so that a commit between the
 * begin of an attempt and its read of a key cannot beat it again. Several may be favoured; the one favoured first wins.
 *
 * I1  The most senior favoured transaction is refused by nobody's favour, so it loses only to commits that may not wait:
 *     synchronous ones and those nested in a favoured one.
 * I2  A favour ends with its transaction or after `leaseMs`, whichever is first.
 */
import type { TableView, Txn } from './transaction.ts'
import { NONE } from './write-set.ts'

/** How many who waited for a favour to end go on at once. */
const WOKEN_TOGETHER = 8

export class Favour {
  /** Position in the order of grants; lower is more senior. */
  readonly rank: number
  readonly expiresAt: number
  /** The running attempt and the one before it. */
  current: Txn | null = null
  previous: Txn | null = null
  private waiters: (() => void)[] = []
  private timer: ReturnType<typeof setTimeout> | null = null

  constructor(rank: number, expiresAt: number) {
    this.rank = rank
    this.expiresAt = expiresAt
  }

  attach(attempt: Txn): void {
    this.previous = this.current
    this.current = attempt
    attempt.favour = this
  }

  /** Settles when the favour is over, at the latest when its lease is. */
  ended(now: number): Promise<void> {
    this.timer ??= setTimeout(() => this.wake(), Math.max(0, this.expiresAt - now))
    return new Promise((resolve) => this.waiters.push(resolve))
  }

  private wake(): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    // A few at a time: they are likely to want the same keys, and each could only refuse the next.
    for (const resolve of this.waiters.splice(0, WOKEN_TOGETHER)) resolve()
    if (this.waiters.length > 0) setImmediate(() => this.wake())
  }

  release(): void {
    this.current = null
    this.previous = null
    this.wake()
  }
}

export class FavourBoard {
  /** Refusals in favour of somebody; for statistics. */
  refusals = 0
  grants = 0
  private readonly favours: Favour[] = []
  private nextRank = 0

  get size(): number {
    return this.favours.length
  }

  grant(now: number, leaseMs: number): Favour {
    const favour = new Favour(this.nextRank++, now + leaseMs)
    this.favours.push(favour)
    this.grants++
    return favour
  }

  end(favour: Favour): void {
    const at = this.favours.indexOf(favour)
    if (at >= 0) this.favours.splice(at, 1)
    favour.release()
  }

  /** The favour that a commit of `txn` would go against, or null. Ends leases that are over. */
  against(txn: Txn, now: number): Favour | null {
    for (const favour of [...this.favours]) {
      if (favour.expiresAt <= now) {
        this.end(favour)
        continue
      }
      if (favour === txn.favour) return null
      if (touched(favour.current, txn) || touched(favour.previous, txn)) {
        this.refusals++
        return favour
      }
    }
    return null
  }
}

/** Whether committing `writer` would change what `reader` has read or means to write. */
function touched(reader: Txn | null, writer: Txn): boolean {
  if (reader === null) return false
  for (const view of writer.views) {
    if (view.writes === null) continue
    const other = viewOf(reader, view)
    if (other === null) continue
    for (const pending of view.writes.list) {
      if (pending.kind !== NONE && other.touches(pending.key, pending.entry)) return true
    }
  }
  return false
}

function viewOf(txn: Txn, like: TableView): TableView | null {
  for (const view of txn.views) if (view.store === like.store) return view
  return null
}
