/**
 * The soonest to expire goes first, and what never expires stays: an indexed heap of deadlines (deadline-heap.ts). How an
 * entry is used does not matter; a write that gives it another deadline moves it, one that takes its deadline away frees it of
 * eviction for as long as it has none.
 *
 * The bench is a heap too, by the turn at which an id was spared. A write takes an id off the bench.
 *
 * E1  The ids that expire are in one of the two heaps each, all others in none.
 *
 * `access` does nothing; `next` O(1), all else O(log n). 8 bytes per id, and 12 per id that expires.
 */

import { invariant } from '../errors.ts'
import { DeadlineHeap } from './deadline-heap.ts'
import type { EvictionPolicy } from './policy.ts'
import { Residents } from './residents.ts'

/** See the head of this file. */
export class Ttl extends Residents implements EvictionPolicy {
  readonly name = 'ttl'
  readonly #deadlines = new DeadlineHeap()
  readonly #bench = new DeadlineHeap()
  #turn = 0

  get overheadBytes(): number {
    return this.weights.byteLength + this.#deadlines.overheadBytes + this.#bench.overheadBytes
  }

  insert(id: number, _hash: number, bytes: number, expiresAt: number): void {
    this.enter(id, bytes)
    if (expiresAt !== 0) this.#deadlines.set(id, expiresAt)
  }

  access(_id: number): void {}

  write(id: number, bytes: number, expiresAt: number): void {
    this.reweigh(id, bytes)
    this.#bench.remove(id)
    if (expiresAt === 0) this.#deadlines.remove(id)
    else this.#deadlines.set(id, expiresAt)
  }

  remove(id: number): void {
    this.leave(id)
    if (!this.#deadlines.remove(id)) this.#bench.remove(id)
  }

  next(): number {
    if (this.isExhausted(this.#deadlines.size + this.#bench.size)) return -1
    if (this.spares === 0 && this.#bench.size > 0) return this.#bench.first
    return this.#deadlines.size > 0 ? this.#deadlines.first : this.#bench.first
  }

  evicted(id: number): void {
    this.remove(id)
  }

  spared(id: number): void {
    this.#deadlines.remove(id)
    this.#bench.set(id, this.#turn++)
    this.spares++
  }

  check(): void {
    this.checkSums()
    this.#deadlines.check()
    this.#bench.check()
    for (let id = 0; id < this.weights.length; id++) {
      invariant(!this.#deadlines.has(id) || !this.#bench.has(id), `E1: id ${id} is in both heaps`)
    }
    invariant(this.#deadlines.size + this.#bench.size <= this.entries, 'E1: more expire than there are')
  }
}
