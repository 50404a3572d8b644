/**
 * A doorkeeper (Einziger, Friedman and Manes, "TinyLFU", 2017): tells what is asked for again from what is asked for once, before
 * room is made for it.
 *
 *   places   | hash or 0 | hash or 0 | ...        a power of two of them; a hash has one place
 *
 * D1  Whoever was turned away is let in at the next knock, unless he has been forgotten meanwhile: of the strangers that come to
 *     his place each second one takes it.
 * D2  Nobody is let in at the first knock, but for one in 2^32 / places whose hash is that of another.
 * D3  However many knock at one place by turns, sooner or later each is let in: which stranger takes the place follows no order.
 *
 * O(1), 4 bytes a place, 16 MiB at most, however much there is to guard: who knows four million strangers knows enough, and a limit of
 * memory may be any number. The same knocks in the same order have the same outcome. Rejected: a Bloom filter, which must be emptied
 * now and then, and then knows nobody; to give a place to whoever comes, which keeps out for ever what is asked for by turns.
 */

/** 2^22 of them. */
const MOST_PLACE_BITS = 22

/** See the head of this file. */
export class Door {
  readonly #places: Uint32Array
  readonly #shift: number
  #lot = 1

  /** @param places how many there are at least, if there can be so many */
  constructor(places: number) {
    let bits = 1
    while (2 ** bits < places && bits < MOST_PLACE_BITS) bits++
    this.#places = new Uint32Array(2 ** bits)
    this.#shift = 32 - bits
  }

  /** Bytes of its array. */
  get overheadBytes(): number {
    return this.#places.byteLength
  }

  /** Whether one with this hash, 32 bits, may come in. */
  knock(hash: number): boolean {
    const at = Math.imul(hash, 0x9e3779b1) >>> this.#shift
    const known = this.#places[at] as number
    if (known === hash >>> 0) {
      this.#places[at] = 0
      return true
    }
    if (known !== 0) {
      // Numerical Recipes' generator; its upper bits are the good ones.
      this.#lot = (Math.imul(this.#lot, 1664525) + 1013904223) | 0
      if (this.#lot < 0) return false
    }
    this.#places[at] = hash
    return false
  }
}
