/**
 * S3-FIFO: three queues (Yang, Zhang, Qiu, Yue & Rashmi, "FIFO queues are all you need for cache eviction", SOSP 2023), in
 * bytes. Newcomers pass through a small queue, from which only what was used again gets into the main one: what is used once,
 * as by a scan, is gone soon.
 *
 *   insert ──> SMALL: 25 % ──used──> MAIN ──used──> MAIN again, as unused
 *     │          └──else──> evicted, ghost └──else──> evicted
 *     └──known as a ghost──> MAIN
 *
 * The paper counts entries of one size; here
 *
 *   - SMALL gives the candidate while it has more than 25 % of the limit and more than its newest entry, or if the order of
 *     MAIN is empty. After each entry that passes on to MAIN this is decided again (the paper then evicts from MAIN once that
 *     is full, which comes to the same: what SMALL has not, MAIN has). Passing on clears the use.
 *   - The ghosts weigh what their entries did, at most what is left of the limit for MAIN, and there are never more than 64 and
 *     2 per resident entry; the oldest is forgotten. A hit takes the ghost away.
 *   - The paper has 10 % in SMALL, counts three uses, and wants two of them for MAIN. That is slow where what is hot moves on:
 *     the old has to pass through MAIN four times, and the new is not there long enough to be used twice. With one use and 25 %
 *     (it tries 1 to 40) the policy hits more often than LRU on such traces too (docs/performance.md); where nothing moves on, a
 *     smaller SMALL would be the better one.
 *
 * Entries on the bench still count for their queue; those that were used there return to MAIN when tried.
 *
 *   states   | ... | main: 1 bit | used: 1 bit |     by id
 *
 * S1  Every resident id is in the order of its queue or on the bench; no other id is. The sums are those of the ids.
 * S2  The ghosts are within the bounds above whenever an eviction or a change of the limit has ended.
 *
 * `access` is one load and at most one store, and moves nothing. `next` O(1) amortised: each entry that it passes on loses
 * its use. 17 bytes per id, and 16 to 128 per ghost.
 */

import { invariant } from '../errors.ts'
import { grownLength, grownUint32, INITIAL_IDS } from './columns.ts'
import { Ghosts } from './ghosts.ts'
import { Lists } from './lists.ts'
import type { EvictionPolicy } from './policy.ts'
import { Residents } from './residents.ts'

const SMALL = 0
const MAIN = 1
const BENCH = 2
const USED = 1
const IN_MAIN = 2
const SMALL_SHARE = 0.25

/** See the head of this file. */
export class S3Fifo extends Residents implements EvictionPolicy {
  readonly name = 's3fifo'
  readonly #lists = new Lists(3)
  #states: Uint8Array = new Uint8Array(INITIAL_IDS)
  #hashes: Uint32Array = new Uint32Array(INITIAL_IDS)
  readonly #ghosts = new Ghosts()
  #smallBytes = 0
  #limitBytes: number

  constructor(limitBytes: number) {
    super()
    this.#limitBytes = limitBytes
  }

  get overheadBytes(): number {
    const columns = this.weights.byteLength + this.#hashes.byteLength + this.#states.byteLength
    return columns + this.#lists.links.byteLength + this.#ghosts.overheadBytes
  }

  /** Entries that are remembered. */
  get ghosts(): number {
    return this.#ghosts.entries
  }

  insert(id: number, hash: number, bytes: number, _expiresAt: number): void {
    this.enter(id, bytes)
    this.#reserve(id)
    this.#hashes[id] = hash
    const isKnown = this.#ghosts.take(hash)
    this.#states[id] = isKnown ? IN_MAIN : 0
    if (!isKnown) this.#smallBytes += this.weights[id] as number
    this.#lists.add(isKnown ? MAIN : SMALL, id)
  }

  access(id: number): void {
    const state = this.#states[id] as number
    if ((state & USED) === 0) this.#states[id] = state | USED
    this.spares = 0
  }

  write(id: number, bytes: number, _expiresAt: number): void {
    this.resize(id, bytes)
    this.access(id)
  }

  override resize(id: number, bytes: number): void {
    const grown = this.reweigh(id, bytes)
    if (this.#isSmall(id)) this.#smallBytes += grown
  }

  remove(id: number): void {
    this.#lists.remove(id)
    const weight = this.leave(id)
    if (this.#isSmall(id)) this.#smallBytes -= weight
  }

  next(): number {
    if (this.isExhausted(this.entries)) return -1
    const lists = this.#lists
    if (this.spares === 0) {
      for (let id = lists.oldest(BENCH); id !== -1; id = lists.oldest(BENCH)) if (!this.#passOn(id)) return id
    }
    for (;;) {
      const small = lists.oldest(SMALL)
      const main = lists.oldest(MAIN)
      const id = small === -1 && main === -1 ? lists.oldest(BENCH) : this.#isSmallsTurn(small, main) ? small : main
      if (!this.#passOn(id)) return id
    }
  }

  evicted(id: number): void {
    const weight = this.weights[id] as number
    this.remove(id)
    if (this.#isSmall(id)) this.#ghosts.add(this.#hashes[id] as number, weight)
    this.#forget()
  }

  spared(id: number): void {
    this.#lists.move(BENCH, id)
    this.spares++
  }

  override limit(bytes: number): void {
    this.#limitBytes = bytes
    this.spares = 0
    this.#forget()
  }

  check(): void {
    this.checkSums()
    this.#ghosts.check()
    const lists = this.#lists
    const ids = [...lists.idsOf(SMALL), ...lists.idsOf(MAIN), ...lists.idsOf(BENCH)]
    invariant(ids.length === this.entries && lists.linked() === ids.length, 'S1: an id is in no list')
    let bytes = 0
    for (const id of ids) if (this.#isSmall(id)) bytes += this.weights[id] as number
    invariant(bytes === this.#smallBytes, 'S1: wrong sum of the small queue')
    for (const id of lists.idsOf(SMALL)) invariant(this.#isSmall(id), 'S1: an id of the main queue in the small one')
    for (const id of lists.idsOf(MAIN)) invariant(!this.#isSmall(id), 'S1: an id of the small queue in the main one')
  }

  #isSmall(id: number): boolean {
    return ((this.#states[id] as number) & IN_MAIN) === 0
  }

  /** Which of the two oldest ids is looked at; at least one is not -1. */
  #isSmallsTurn(small: number, main: number): boolean {
    if (small === -1 || main === -1) return main === -1
    const newest = this.weights[this.#lists.newest(SMALL)] as number
    return this.#smallBytes > Math.max(this.#limitBytes * SMALL_SHARE, newest)
  }

  /** Moves an id to the newest of MAIN if it was used. */
  #passOn(id: number): boolean {
    const state = this.#states[id] as number
    if ((state & USED) === 0) return false
    if ((state & IN_MAIN) === 0) this.#smallBytes -= this.weights[id] as number
    this.#states[id] = IN_MAIN
    this.#lists.move(MAIN, id)
    return true
  }

  /** Forgets the ghosts that have no room. */
  #forget(): void {
    const ghosts = this.#ghosts
    const most = this.#limitBytes - this.#limitBytes * SMALL_SHARE
    while (ghosts.entries > 0 && (ghosts.bytes > most || ghosts.entries > 2 * this.entries + 64)) ghosts.dropOldest()
  }

  #reserve(id: number): void {
    this.#lists.reserve(id)
    if (id < this.#hashes.length) return
    const length = grownLength(this.#hashes.length, id)
    this.#hashes = grownUint32(this.#hashes, length)
    const states = new Uint8Array(length)
    states.set(this.#states)
    this.#states = states
  }
}
