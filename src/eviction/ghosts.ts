/**
 * What was evicted lately, known by 32 bits of a keyed hash and nothing else: a queue from which the middle can be taken.
 *
 *   hashes, weights   ring of slots      ... | head .. live and holes .. tail | ...
 *   table             open addressing    slot + 1 by hash, or 0; linear probing, deletion by shifting back
 *
 * Two keys with one hash are one ghost: then a newcomer is taken for an old acquaintance, once in 2^32 / entries misses.
 *
 * G1  Each live slot is found in the table by its hash, and the table holds nothing else. Hashes are distinct.
 * G2  `entries` and `bytes` are those of the live slots; the slot at the head is live.
 * G3  The table is at most half full.
 *
 * All O(1) amortised: a ring that is full, or less than an eighth of which is live, is copied to one of which a quarter to a
 * half is live. 16 bytes per slot.
 */

import { invariant } from '../errors.ts'

const LEAST_SLOTS = 64
const HOLE = 2 ** 32 - 1

/** A queue of hashes with their weights. See the head of this file. */
export class Ghosts {
  entries = 0
  bytes = 0
  #hashes: Uint32Array = new Uint32Array(LEAST_SLOTS)
  #weights: Uint32Array = new Uint32Array(LEAST_SLOTS)
  #table: Int32Array = new Int32Array(2 * LEAST_SLOTS)
  /** The oldest slot and the one after the newest; both run on, and are taken modulo the slots. */
  #head = 0
  #tail = 0

  /** Bytes of its arrays. */
  get overheadBytes(): number {
    return this.#hashes.byteLength + this.#weights.byteLength + this.#table.byteLength
  }

  /** Remembers a hash as the newest, with what its entry counted for. */
  add(hash: number, bytes: number): void {
    if (this.#tail - this.#head === this.#hashes.length) this.#repack()
    const hashes = this.#hashes
    const table = this.#table
    const mask = table.length - 1
    let at = this.#home(hash)
    let known = (table[at] as number) - 1
    while (known !== -1 && hashes[known] !== hash >>> 0) {
      at = (at + 1) & mask
      known = (table[at] as number) - 1
    }
    const slot = this.#tail++ & (hashes.length - 1)
    const weight = bytes < HOLE ? bytes : HOLE - 1
    hashes[slot] = hash
    this.#weights[slot] = weight
    table[at] = slot + 1
    this.entries++
    this.bytes += weight
    if (known !== -1) this.#leave(known)
  }

  /** Forgets a hash; false if it was not known. */
  take(hash: number): boolean {
    const mask = this.#table.length - 1
    for (let at = this.#home(hash); ; at = (at + 1) & mask) {
      const slot = (this.#table[at] as number) - 1
      if (slot === -1) return false
      if ((this.#hashes[slot] as number) !== hash >>> 0) continue
      this.#vacate(at)
      this.#leave(slot)
      if (8 * this.entries < this.#hashes.length && this.#hashes.length > LEAST_SLOTS) this.#repack()
      return true
    }
  }

  /** Forgets the oldest; there is one. */
  dropOldest(): void {
    this.take(this.#hashes[this.#head & (this.#hashes.length - 1)] as number)
  }

  /** Throws on the first violated invariant. */
  check(): void {
    let bytes = 0
    let entries = 0
    for (let at = this.#head; at < this.#tail; at++) {
      const slot = at & (this.#hashes.length - 1)
      if (this.#weights[slot] === HOLE) {
        invariant(at !== this.#head, 'G2: the head is a hole')
        continue
      }
      bytes += this.#weights[slot] as number
      entries++
      invariant(this.#find(this.#hashes[slot] as number) === slot, 'G1: a ghost is not found by its hash')
    }
    invariant(entries === this.entries && bytes === this.bytes, 'G2: wrong sums')
    invariant(this.#table.filter((place) => place !== 0).length === entries, 'G1: the table names what is not there')
    invariant(2 * entries <= this.#table.length, 'G3: the table is too full')
  }

  /** The slot of a hash, or -1. */
  #find(hash: number): number {
    const mask = this.#table.length - 1
    for (let at = this.#home(hash); ; at = (at + 1) & mask) {
      const slot = (this.#table[at] as number) - 1
      if (slot === -1 || this.#hashes[slot] === hash) return slot
    }
  }

  /** Where the search for a hash begins: its product with 2^32 / golden ratio, from the top (Knuth, TAOCP 3, 6.4). */
  #home(hash: number): number {
    return Math.imul(hash, 0x9e3779b1) >>> (Math.clz32(this.#table.length) + 1)
  }

  /** Makes a hole of a slot that the table does not name any more. */
  #leave(slot: number): void {
    this.entries--
    this.bytes -= this.#weights[slot] as number
    this.#weights[slot] = HOLE
    this.#skipHoles()
  }

  #enlist(slot: number): void {
    const mask = this.#table.length - 1
    let at = this.#home(this.#hashes[slot] as number)
    while (this.#table[at] !== 0) at = (at + 1) & mask
    this.#table[at] = slot + 1
  }

  /** Empties a place of the table; what probing had pushed past it moves back (Knuth, TAOCP 3, 6.4, algorithm R). */
  #vacate(place: number): void {
    const mask = this.#table.length - 1
    let hole = place
    for (let at = (hole + 1) & mask; this.#table[at] !== 0; at = (at + 1) & mask) {
      const home = this.#home(this.#hashes[(this.#table[at] as number) - 1] as number)
      if (((at - home) & mask) < ((at - hole) & mask)) continue
      this.#table[hole] = this.#table[at] as number
      hole = at
    }
    this.#table[hole] = 0
  }

  #skipHoles(): void {
    const mask = this.#hashes.length - 1
    while (this.#head < this.#tail && this.#weights[this.#head & mask] === HOLE) this.#head++
  }

  /** Moves what is live to a ring of which it takes at most a half, and more than a quarter unless it is the least ring. */
  #repack(): void {
    let slots = LEAST_SLOTS
    while (slots < 2 * this.entries) slots *= 2
    const hashes = new Uint32Array(slots)
    const weights = new Uint32Array(slots)
    const mask = this.#hashes.length - 1
    let live = 0
    for (let at = this.#head; at < this.#tail; at++) {
      const weight = this.#weights[at & mask] as number
      if (weight === HOLE) continue
      hashes[live] = this.#hashes[at & mask] as number
      weights[live++] = weight
    }
    this.#hashes = hashes
    this.#weights = weights
    this.#table = new Int32Array(2 * slots)
    this.#head = 0
    this.#tail = live
    for (let slot = 0; slot < live; slot++) this.#enlist(slot)
  }
}
