/**
 * Ids in the order of their deadlines: an indexed heap of four branches over typed arrays (Johnson, "Priority queues with
 * update and finding minimum spanning trees", Information Processing Letters 4, 1975). Deadlines lie in the order of the heap
 * and not in that of the ids: the four children of a node share a cache line, and only a moved id touches its own.
 *
 *   ids        | id | id id id id | id id id id | ...     by place; the children of place i are 4i + 1 .. 4i + 4
 *   deadlines  | t  | t  t  t  t  | t  t  t  t  | ...     by place
 *   places     | place or -1 | ...                        by id
 *
 * D1  places[ids[i]] = i for each i < size, and -1 for every other id.
 * D2  No place comes before its parent in the order of (deadline, id): so `first` depends on what is inside alone.
 *
 * `first` O(1), `set` and `remove` O(log size). 12 bytes per id inside and 4 per id up to the largest.
 */

import { invariant } from '../errors.ts'
import { grownInt32, grownLength, INITIAL_IDS } from './columns.ts'

/** A priority queue of entry ids by deadline; of equal deadlines the smaller id comes first. See the head of this file. */
export class DeadlineHeap {
  /** How many ids are inside. */
  size = 0
  /** Whether any id ever was. */
  wasUsed = false
  #ids: Int32Array = new Int32Array(INITIAL_IDS)
  #deadlines: Float64Array = new Float64Array(INITIAL_IDS)
  #places: Int32Array = new Int32Array(INITIAL_IDS).fill(-1)

  /** The id with the earliest deadline, or -1: there is none. */
  get first(): number {
    return this.size === 0 ? -1 : (this.#ids[0] as number)
  }

  /** The earliest deadline, or Infinity: there is none. */
  get firstAt(): number {
    return this.size === 0 ? Infinity : (this.#deadlines[0] as number)
  }

  /** Bytes of its columns. */
  get overheadBytes(): number {
    return this.#ids.byteLength + this.#deadlines.byteLength + this.#places.byteLength
  }

  /** Whether the id is inside. */
  has(id: number): boolean {
    return id < this.#places.length && this.#places[id] !== -1
  }

  /** Puts an id in, or gives it another deadline. */
  set(id: number, at: number): void {
    this.wasUsed = true
    if (id >= this.#places.length) {
      this.#places = grownInt32(this.#places, grownLength(this.#places.length, id), -1)
    }
    let place = this.#places[id] as number
    if (place === -1) {
      place = this.size++
      if (place === this.#ids.length) this.#grow()
    } else if (at > (this.#deadlines[place] as number)) {
      this.#sink(place, id, at)
      return
    }
    this.#rise(place, id, at)
  }

  /** Takes an id out; false if it was not inside. */
  remove(id: number): boolean {
    if (!this.has(id)) return false
    const place = this.#places[id] as number
    this.#places[id] = -1
    const last = --this.size
    if (place === last) return true
    const moved = this.#ids[last] as number
    const at = this.#deadlines[last] as number
    const parent = (place - 1) >> 2
    if (place > 0 && this.#precedes(at, moved, parent)) this.#rise(place, moved, at)
    else this.#sink(place, moved, at)
    return true
  }

  /** Throws on the first violated invariant. Walks everything. */
  check(): void {
    for (let place = 0; place < this.size; place++) {
      const id = this.#ids[place] as number
      invariant(this.#places[id] === place, `D1: id ${id} is not where it says`)
      const parent = (place - 1) >> 2
      const early = place > 0 && this.#precedes(this.#deadlines[place] as number, id, parent)
      invariant(!early, `D2: id ${id} comes before its parent`)
    }
    let inside = 0
    for (const place of this.#places) if (place !== -1) inside++
    invariant(inside === this.size, 'D1: ids have a place without being inside')
  }

  /** Whether an id with this deadline comes before what is at a place. */
  #precedes(at: number, id: number, place: number): boolean {
    const other = this.#deadlines[place] as number
    return at < other || (at === other && id < (this.#ids[place] as number))
  }

  /** Puts an id at a place, or above it: its ancestors that come after it move down. */
  #rise(place: number, id: number, at: number): void {
    while (place > 0) {
      const parent = (place - 1) >> 2
      if (!this.#precedes(at, id, parent)) break
      this.#move(parent, place)
      place = parent
    }
    this.#put(place, id, at)
  }

  /** Puts an id at a place, or below it: the least of each four children moves up while it comes before the id. */
  #sink(place: number, id: number, at: number): void {
    for (;;) {
      let least = 4 * place + 1
      if (least >= this.size) break
      const end = Math.min(least + 4, this.size)
      for (let child = least + 1; child < end; child++) {
        if (this.#precedes(this.#deadlines[child] as number, this.#ids[child] as number, least)) least = child
      }
      if (this.#precedes(at, id, least)) break
      this.#move(least, place)
      place = least
    }
    this.#put(place, id, at)
  }

  #move(from: number, to: number): void {
    this.#put(to, this.#ids[from] as number, this.#deadlines[from] as number)
  }

  #put(place: number, id: number, at: number): void {
    this.#ids[place] = id
    this.#deadlines[place] = at
    this.#places[id] = place
  }

  #grow(): void {
    this.#ids = grownInt32(this.#ids, this.#ids.length * 2, 0)
    const deadlines = new Float64Array(this.#deadlines.length * 2)
    deadlines.set(this.#deadlines)
    this.#deadlines = deadlines
  }
}
