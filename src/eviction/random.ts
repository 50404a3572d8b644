/**
 * All entries are alike: no order, and nothing to keep when an entry is read (Belady, "A study of replacement
 * algorithms for a virtual-storage computer", IBM Systems Journal 5, 1966).
 *
 *   ids      | never spared .. | bench: not tried in this round .. | bench: tried .. |
 *            0                 #free                               #untried          entries
 *   places   | place or -1 | ...                                                     by id
 *
 * Each candidate is drawn evenly from one part: the first, or the second where a round begins and where the first is empty.
 * Parts grow and shrink by swapping at their ends.
 *
 * N1  places[ids[i]] = i for each i < entries, and -1 for every other id.
 * N2  0 <= #free <= entries.
 *
 * All O(1); `access` does nothing. 12 bytes per id.
 */

import { invariant } from '../errors.ts'
import { grownInt32, grownLength, INITIAL_IDS } from './columns.ts'
import type { EvictionPolicy } from './policy.ts'
import { Residents } from './residents.ts'

/** See the head of this file. */
export class RandomEviction extends Residents implements EvictionPolicy {
  readonly name = 'random'
  readonly #random: () => number
  #ids: Int32Array = new Int32Array(INITIAL_IDS)
  #places: Int32Array = new Int32Array(INITIAL_IDS).fill(-1)
  #free = 0
  #untried = 0

  /** @param random gives numbers in [0, 1). */
  constructor(random: () => number) {
    super()
    this.#random = random
  }

  get overheadBytes(): number {
    return this.weights.byteLength + this.#ids.byteLength + this.#places.byteLength
  }

  insert(id: number, _hash: number, bytes: number, _expiresAt: number): void {
    const last = this.entries
    this.enter(id, bytes)
    if (id >= this.#places.length) {
      this.#places = grownInt32(this.#places, grownLength(this.#places.length, id), -1)
    }
    if (last === this.#ids.length) this.#ids = grownInt32(this.#ids, last * 2, 0)
    this.#put(last, id)
    this.#swap(last, this.#free++)
  }

  access(_id: number): void {}

  write(id: number, bytes: number, _expiresAt: number): void {
    this.reweigh(id, bytes)
  }

  remove(id: number): void {
    let place = this.#places[id] as number
    if (place < this.#free) {
      this.#swap(place, --this.#free)
      place = this.#free
    }
    this.#swap(place, this.entries - 1)
    this.#places[id] = -1
    this.leave(id)
  }

  next(): number {
    if (this.isExhausted(this.entries)) return -1
    if (this.spares === 0) {
      this.#untried = this.entries
      if (this.#free < this.entries) return this.#draw(this.#free, this.entries)
    }
    return this.#free > 0 ? this.#draw(0, this.#free) : this.#draw(0, this.#untried)
  }

  evicted(id: number): void {
    this.remove(id)
  }

  spared(id: number): void {
    if ((this.#places[id] as number) < this.#free) this.#swap(this.#places[id] as number, --this.#free)
    this.#swap(this.#places[id] as number, --this.#untried)
    this.spares++
  }

  check(): void {
    this.checkSums()
    for (let place = 0; place < this.entries; place++) {
      invariant(this.#places[this.#ids[place] as number] === place, `N1: the id at ${place} is not where it says`)
    }
    invariant(this.#places.filter((place) => place !== -1).length === this.entries, 'N1: an id too many has a place')
    invariant(this.#free >= 0 && this.#free <= this.entries, 'N2: more were never spared than there are')
  }

  #draw(from: number, to: number): number {
    return this.#ids[from + Math.floor(this.#random() * (to - from))] as number
  }

  #swap(a: number, b: number): void {
    const held = this.#ids[a] as number
    this.#put(a, this.#ids[b] as number)
    this.#put(b, held)
  }

  #put(place: number, id: number): void {
    this.#ids[place] = id
    this.#places[id] = place
  }
}
