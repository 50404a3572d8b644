/**
 * Least frequently used, with dynamic ageing, so that it forgets: LFU-DA (Arlitt, Cherkasova, Dilley, Friedrich & Jin,
 * "Evaluating content management techniques for web proxy caches", 2000). The level of an id is the age of the policy as of the
 * id's last use, plus what its uses are worth. The least level goes, and becomes the age of the policy. What was used a
 * thousand times and is used no more is so overtaken by newcomers.
 *
 *   level = age + 1 + 8 x accesses, of which 7 count
 *
 *   age                                age + 63
 *    | queue | queue | ... | queue |        one per level, by level modulo 64, oldest first
 *
 * The paper counts the first use like the others. Then the age runs as fast as newcomers come and go, and frequency hardly
 * matters: with 8 ages per access the hit ratios on Zipf traces are those of a plain LFU, within a point. As no more than 7
 * accesses count, all levels lie within 64 of the age: a ring of queues takes the place of a heap, and what has fallen out of
 * use is overtaken after 57 ages.
 *
 * An access only raises the level of the id. It stays in its queue, and moves to the queue of its level once it is found in an
 * earlier one; among equals the one that came to its queue first goes first. So the order by level is exact, and a hot id
 * moves once in many accesses.
 *
 *   states   | level modulo 2^24 | accesses: 8 bits |      by id; on the bench level 0, until an access
 *
 * F1  An id in a queue has that queue's level or a later one, all from the age to the age + 63.
 * F2  The candidate has the least level of all ids that are not on the bench.
 * F3  Every resident id is in one queue or on the bench; no other id is.
 *
 * `access` and `write` are one load and one store. `next` looks at up to 64 queues; each move that it makes is paid for by an
 * access. 16 bytes per id.
 */

import { invariant } from '../errors.ts'
import { grownLength, grownUint32, INITIAL_IDS } from './columns.ts'
import { Lists } from './lists.ts'
import type { EvictionPolicy } from './policy.ts'
import { Residents } from './residents.ts'

/** Levels that ids may have at one time; a power of two, more than 1 + WORTH x WORTHY. */
const QUEUES = 64
const BENCH = QUEUES
/** Ages that an access is worth, and accesses that are worth something. */
const WORTH = 8
const WORTHY = 7
const COUNT_BITS = 8
const MAX_COUNT = (1 << COUNT_BITS) - 1
const LEVEL_MASK = 0xffffff

/** See the head of this file. */
export class Lfu extends Residents implements EvictionPolicy {
  readonly name = 'lfu'
  readonly #lists = new Lists(QUEUES + 1)
  #states: Uint32Array = new Uint32Array(INITIAL_IDS)
  #age = 0

  get overheadBytes(): number {
    return this.weights.byteLength + this.#lists.links.byteLength + this.#states.byteLength
  }

  insert(id: number, _hash: number, bytes: number, _expiresAt: number): void {
    this.enter(id, bytes)
    this.#lists.reserve(id)
    if (id >= this.#states.length) this.#states = grownUint32(this.#states, grownLength(this.#states.length, id))
    const level = this.#age + 1
    this.#states[id] = level << COUNT_BITS
    this.#lists.add(level & (QUEUES - 1), id)
  }

  access(id: number): void {
    const before = (this.#states[id] as number) & MAX_COUNT
    const count = before < MAX_COUNT ? before + 1 : MAX_COUNT
    const level = this.#age + 1 + WORTH * (count < WORTHY ? count : WORTHY)
    this.#states[id] = (level << COUNT_BITS) | count
    this.spares = 0
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
    if (this.isExhausted(this.entries)) return -1
    const lists = this.#lists
    if (this.spares === 0) {
      for (let id = lists.oldest(BENCH); id !== -1; id = lists.oldest(BENCH)) if (!this.#requeue(id)) return id
    }
    for (;;) {
      const least = this.#least()
      if (least !== -1) return least
      const waiting = lists.oldest(BENCH)
      if (!this.#requeue(waiting)) return waiting
    }
  }

  evicted(id: number): void {
    this.remove(id)
  }

  spared(id: number): void {
    this.#lists.move(BENCH, id)
    this.#states[id] = (this.#states[id] as number) & MAX_COUNT
    this.spares++
  }

  /** Up to 255. */
  override accesses(id: number): number {
    return (this.#states[id] as number) & MAX_COUNT
  }

  check(): void {
    this.checkSums()
    const ids = this.#lists.idsOf(BENCH)
    for (let ahead = 0; ahead < QUEUES; ahead++) {
      for (const id of this.#lists.idsOf((this.#age + ahead) & (QUEUES - 1))) {
        const level = this.#aheadOfAge(id)
        invariant(level >= ahead && level < QUEUES, `F1: level ${level} in queue ${ahead}`)
        ids.push(id)
      }
    }
    invariant(ids.length === this.entries && this.#lists.linked() === ids.length, 'F3: an id is in no list')
    invariant(new Set(ids).size === ids.length, 'F3: an id is in two lists')
  }

  /** By how much the level of an id lies ahead of the age; a level behind it comes out large. */
  #aheadOfAge(id: number): number {
    return (((this.#states[id] as number) >>> COUNT_BITS) - this.#age) & LEVEL_MASK
  }

  /** The oldest id of the least level in the queues, which becomes the age; or -1: they are empty. */
  #least(): number {
    const lists = this.#lists
    for (let ahead = 0; ahead < QUEUES; ahead++) {
      const queue = (this.#age + ahead) & (QUEUES - 1)
      for (let id = lists.oldest(queue); id !== -1; id = lists.oldest(queue)) {
        const level = this.#aheadOfAge(id)
        if (level === ahead) {
          this.#age = (this.#age + ahead) & LEVEL_MASK
          return id
        }
        lists.move((this.#age + level) & (QUEUES - 1), id)
      }
    }
    return -1
  }

  /** Moves an id from the bench to its queue if it was used there and the age has not overtaken it since. */
  #requeue(id: number): boolean {
    const level = this.#aheadOfAge(id)
    if ((this.#states[id] as number) <= MAX_COUNT || level >= QUEUES) return false
    this.#lists.move((this.#age + level) & (QUEUES - 1), id)
    return true
  }
}
