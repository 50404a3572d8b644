/**
 * ARC: adaptive replacement (Megiddo & Modha, "ARC: a self-tuning, low overhead replacement cache", FAST 2003), in bytes.
 *
 *   B1 (ghosts of T1) <── T1: used once lately          B2 (ghosts of T2) <── T2: used again
 *        a miss that B1 knows: more room for T1               a miss that B2 knows: more room for T2
 *
 * `target` is the p of the paper: the bytes that T1 is to have. The paper counts pages of one size; here
 *
 *   - |T1|, |T2|, |B1|, |B2|, p and c are sums of bytes; c is the limit. A ghost weighs what its entry did when it went.
 *   - A hit in B1 raises p by max(1, |B2| / |B1|) times the bytes of the newcomer, at most to c; a hit in B2 lowers it by
 *     max(1, |B1| / |B2|) times them, at least to 0. The sizes are those before the ghost goes; a ratio to 0 bytes counts as 1.
 *   - T1 gives the candidate if it has more than p bytes and more than its newest entry, or if the order of T2 is empty.
 *     (The paper's rule for |T1| = p exactly is left out: sums of bytes are rarely equal.)
 *   - |T1| + |B1| <= c and |T1| + |T2| + |B1| + |B2| <= 2c as in the paper: ghosts that do not fit are forgotten after each
 *     insert and eviction, the oldest of B1 for the first, of B2 and then B1 for the second. There are never more than 64
 *     ghosts and 2 per resident entry, of which the longer queue gives.
 *   - The victim goes before the newcomer is known, so a ghost's hit moves p for the next victim, not for its own.
 *
 * Entries on the bench still count for their T. Accesses are recorded and applied together (recorder.ts), before anything that
 * depends on the order: a move to the newest of T2.
 *
 * A1  Every resident id is in the order of its T or on the bench; no other id is. The sums of T1 and T2 are those of their ids.
 * A2  0 <= p <= c.
 * A3  The ghosts are within the bounds above whenever an insert or an eviction has ended.
 *
 * All O(1) amortised. 16 bytes and a bit per id, and 16 to 128 per ghost.
 */

import { invariant } from '../errors.ts'
import { grownInt32, grownLength, grownUint32, INITIAL_IDS } from './columns.ts'
import { Ghosts } from './ghosts.ts'
import { Lists } from './lists.ts'
import type { EvictionPolicy } from './policy.ts'
import { RECORDED_ACCESSES } from './recorder.ts'
import { Residents } from './residents.ts'

const T1 = 0
const T2 = 1
const BENCH = 2

/** See the head of this file. */
export class Arc extends Residents implements EvictionPolicy {
  readonly name = 'arc'
  /** Bytes that T1 is to have: the adapting parameter. */
  target = 0
  readonly #lists = new Lists(3)
  readonly #recorded = new Uint32Array(RECORDED_ACCESSES)
  #pending = 0
  #hashes: Uint32Array = new Uint32Array(INITIAL_IDS)
  /** A bit for each id of T2: so few bytes that they stay in the cache, where the links do not. */
  #again: Int32Array = new Int32Array(INITIAL_IDS >>> 5)
  readonly #partBytes: [number, number] = [0, 0]
  readonly #b1 = new Ghosts()
  readonly #b2 = new Ghosts()
  #limitBytes: number

  constructor(limitBytes: number) {
    super()
    this.#limitBytes = limitBytes
  }

  get overheadBytes(): number {
    const columns = this.weights.byteLength + this.#hashes.byteLength + this.#again.byteLength
    const ghosts = this.#b1.overheadBytes + this.#b2.overheadBytes
    return columns + this.#lists.links.byteLength + this.#recorded.byteLength + ghosts
  }

  /** Entries that are remembered. */
  get ghosts(): number {
    return this.#b1.entries + this.#b2.entries
  }

  insert(id: number, hash: number, bytes: number, _expiresAt: number): void {
    if (this.#pending > 0) this.#apply()
    this.enter(id, bytes)
    this.#reserve(id)
    const weight = this.weights[id] as number
    const part = this.#adapt(hash, weight)
    this.#hashes[id] = hash
    if (part === T2) this.#again[id >>> 5] = (this.#again[id >>> 5] as number) | (1 << id)
    else this.#again[id >>> 5] = (this.#again[id >>> 5] as number) & ~(1 << id)
    this.#partBytes[part] += weight
    this.#lists.add(part, id)
    this.#forget()
  }

  access(id: number): void {
    this.#recorded[this.#pending++] = id
    if (this.#pending === RECORDED_ACCESSES) this.#apply()
  }

  write(id: number, bytes: number, _expiresAt: number): void {
    this.resize(id, bytes)
    this.access(id)
  }

  override resize(id: number, bytes: number): void {
    this.#partBytes[this.#partOf(id)] += this.reweigh(id, bytes)
  }

  remove(id: number): void {
    this.#lists.remove(id)
    this.#partBytes[this.#partOf(id)] -= this.leave(id)
  }

  next(): number {
    if (this.#pending > 0) this.#apply()
    if (this.isExhausted(this.entries)) return -1
    const lists = this.#lists
    if (this.spares === 0) {
      const waiting = lists.oldest(BENCH)
      if (waiting !== -1) return waiting
    }
    const once = lists.oldest(T1)
    const again = lists.oldest(T2)
    if (once === -1 && again === -1) return lists.oldest(BENCH)
    if (once === -1) return again
    const room = Math.max(this.target, this.weights[lists.newest(T1)] as number)
    return again === -1 || this.#partBytes[T1] > room ? once : again
  }

  evicted(id: number): void {
    if (this.#pending > 0) this.#apply()
    const weight = this.weights[id] as number
    const ghosts = this.#partOf(id) === T1 ? this.#b1 : this.#b2
    this.remove(id)
    ghosts.add(this.#hashes[id] as number, weight)
    this.#forget()
  }

  spared(id: number): void {
    this.#lists.move(BENCH, id)
    this.spares++
  }

  override limit(bytes: number): void {
    this.#limitBytes = bytes
    this.target = Math.min(this.target, bytes)
    this.spares = 0
    if (this.#pending > 0) this.#apply()
    this.#forget()
  }

  check(): void {
    if (this.#pending > 0) this.#apply()
    this.checkSums()
    this.#b1.check()
    this.#b2.check()
    const lists = this.#lists
    const ids = [...lists.idsOf(T1), ...lists.idsOf(T2), ...lists.idsOf(BENCH)]
    invariant(ids.length === this.entries && lists.linked() === ids.length, 'A1: an id is in no list')
    const sums: [number, number] = [0, 0]
    for (const id of ids) sums[this.#partOf(id)] += this.weights[id] as number
    invariant(sums[T1] === this.#partBytes[T1] && sums[T2] === this.#partBytes[T2], 'A1: wrong sums of T1 and T2')
    for (const id of lists.idsOf(T1)) invariant(this.#partOf(id) === T1, 'A1: an id of T2 in the order of T1')
    for (const id of lists.idsOf(T2)) invariant(this.#partOf(id) === T2, 'A1: an id of T1 in the order of T2')
    invariant(this.target >= 0 && this.target <= this.#limitBytes, 'A2: the target is beyond the limit')
  }

  #partOf(id: number): 0 | 1 {
    return (((this.#again[id >>> 5] as number) >>> id) & 1) as 0 | 1
  }

  /** Moves the target if a newcomer is known; tells to which part it goes. */
  #adapt(hash: number, weight: number): 0 | 1 {
    const b1 = this.#b1.bytes
    const b2 = this.#b2.bytes
    if (this.#b1.take(hash)) {
      const ratio = b1 > 0 ? Math.max(1, b2 / b1) : 1
      this.target = Math.min(this.#limitBytes, this.target + ratio * weight)
      return T2
    }
    if (this.#b2.take(hash)) {
      const ratio = b2 > 0 ? Math.max(1, b1 / b2) : 1
      this.target = Math.max(0, this.target - ratio * weight)
      return T2
    }
    return T1
  }

  /** Forgets the ghosts that have no room. */
  #forget(): void {
    const b1 = this.#b1
    const b2 = this.#b2
    while (b1.entries > 0 && this.#partBytes[T1] + b1.bytes > this.#limitBytes) b1.dropOldest()
    while (this.bytes + b1.bytes + b2.bytes > 2 * this.#limitBytes && b1.entries + b2.entries > 0) {
      if (b2.entries > 0) b2.dropOldest()
      else b1.dropOldest()
    }
    while (b1.entries + b2.entries > 2 * this.entries + 64) {
      if (b1.entries > b2.entries) b1.dropOldest()
      else b2.dropOldest()
    }
  }

  /** Makes what is recorded the newest of T2, in the order of the record; ends the round. As the one of lru.ts. */
  #apply(): void {
    const { links, count } = this.#lists
    const { weights } = this
    const recorded = this.#recorded
    const again = this.#again
    const pending = this.#pending
    let newest = links[2 * T2 + 1] as number
    let moved = 0
    for (let i = 0; i < pending; i++) {
      const id = recorded[i] as number
      const slot = id + count
      const newer = links[2 * slot] as number
      if (newer === -1 || newer === T2) continue
      const word = again[id >>> 5] as number
      if ((word & (1 << id)) === 0) {
        again[id >>> 5] = word | (1 << id)
        moved += weights[id] as number
      }
      const older = links[2 * slot + 1] as number
      links[2 * newer + 1] = older
      links[2 * older] = newer
      links[2 * slot] = T2
      links[2 * slot + 1] = newest
      links[2 * newest] = slot
      newest = slot
    }
    links[2 * T2 + 1] = newest
    this.#partBytes[T1] -= moved
    this.#partBytes[T2] += moved
    this.#pending = 0
    this.spares = 0
  }

  #reserve(id: number): void {
    this.#lists.reserve(id)
    if (id < this.#hashes.length) return
    const length = grownLength(this.#hashes.length, id)
    this.#hashes = grownUint32(this.#hashes, length)
    this.#again = grownInt32(this.#again, length >>> 5, 0)
  }
}
