/** Active transactions of one kind in order of begin, so that the first one reads at the oldest snapshot. All steps O(1). */
import type { Txn } from './transaction.ts'

export class ActiveList {
  first: Txn | null = null
  last: Txn | null = null
  size = 0

  add(txn: Txn): void {
    txn.list = this
    txn.previous = this.last
    if (this.last === null) this.first = txn
    else this.last.next = txn
    this.last = txn
    this.size++
  }

  remove(txn: Txn): void {
    if (txn.previous === null) this.first = txn.next
    else txn.previous.next = txn.next
    if (txn.next === null) this.last = txn.previous
    else txn.next.previous = txn.previous
    txn.previous = null
    txn.next = null
    txn.list = null
    this.size--
  }

  /** Oldest snapshot among the members; Infinity if there are none. */
  get oldestSnapshot(): number {
    return this.first === null ? Infinity : this.first.snapshot
  }
}
