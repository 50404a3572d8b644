/**
 * Least recently used: one list in the order of use (Mattson, Gecsei, Slutz & Traiger, "Evaluation techniques for storage
 * hierarchies", IBM Systems Journal 9, 1970).
 *
 *   oldest ── next() takes here ── ... ── newest ── insert, access and write put here
 *
 * `access`, `write` and `insert` only record the id; the list is spliced when the record is full and before `next`. An insert
 * leaves the id in a circle of its own until then. An id that was removed meanwhile is passed over, and if it is resident
 * again, its insert is recorded after what is stale, so its place and those of all others come out as without a record.
 *
 * U1  Every resident id is in the list, on the bench, or alone in a circle with its insert in the record; no other id is.
 *
 * All O(1). 12 bytes per id.
 */

import { invariant } from '../errors.ts'
import { Lists } from './lists.ts'
import type { EvictionPolicy } from './policy.ts'
import { RECORDED_ACCESSES } from './recorder.ts'
import { Residents } from './residents.ts'

const ORDER = 0
const BENCH = 1

/** See the head of this file. */
export class Lru extends Residents implements EvictionPolicy {
  readonly name = 'lru'
  readonly #lists = new Lists(2)
  readonly #recorded = new Uint32Array(RECORDED_ACCESSES)
  #pending = 0

  get overheadBytes(): number {
    return this.weights.byteLength + this.#lists.links.byteLength + this.#recorded.byteLength
  }

  insert(id: number, _hash: number, bytes: number, _expiresAt: number): void {
    this.enter(id, bytes)
    this.#lists.reserve(id)
    const { links } = this.#lists
    const slot = id + this.#lists.count
    links[2 * slot] = links[2 * slot + 1] = slot
    this.access(id)
  }

  access(id: number): void {
    this.#recorded[this.#pending++] = id
    if (this.#pending === RECORDED_ACCESSES) this.#apply()
  }

  write(id: number, bytes: number, _expiresAt: number): void {
    this.reweigh(id, bytes)
    this.access(id)
  }

  remove(id: number): void {
    this.#lists.remove(id)
    this.leave(id)
  }

  next(): number {
    if (this.#pending > 0) this.#apply()
    if (this.isExhausted(this.entries)) return -1
    if (this.spares === 0) {
      const waiting = this.#lists.oldest(BENCH)
      if (waiting !== -1) return waiting
    }
    const id = this.#lists.oldest(ORDER)
    return id === -1 ? this.#lists.oldest(BENCH) : id
  }

  evicted(id: number): void {
    this.remove(id)
  }

  spared(id: number): void {
    this.#lists.move(BENCH, id)
    this.spares++
  }

  check(): void {
    if (this.#pending > 0) this.#apply()
    this.checkSums()
    const ids = [...this.#lists.idsOf(ORDER), ...this.#lists.idsOf(BENCH)]
    invariant(ids.length === this.entries && this.#lists.linked() === ids.length, 'U1: an id is in no list')
    invariant(new Set(ids).size === ids.length, 'U1: an id is in two lists')
  }

  /**
   * Makes what is recorded the newest of the order, in the order of the record; ends the round. The end of the list is at
   * hand in a variable: read back from the links it would make each step wait for the one before.
   */
  #apply(): void {
    const { links, count } = this.#lists
    const recorded = this.#recorded
    const pending = this.#pending
    let newest = links[2 * ORDER + 1] as number
    for (let i = 0; i < pending; i++) {
      const slot = (recorded[i] as number) + count
      const newer = links[2 * slot] as number
      if (newer === -1 || newer === ORDER) continue
      const older = links[2 * slot + 1] as number
      links[2 * newer + 1] = older
      links[2 * older] = newer
      links[2 * slot] = ORDER
      links[2 * slot + 1] = newest
      links[2 * newest] = slot
      newest = slot
    }
    links[2 * ORDER + 1] = newest
    this.#pending = 0
    this.spares = 0
  }
}
