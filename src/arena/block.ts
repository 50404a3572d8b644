/** A piece of memory of an arena, divided into places of one size, and which of them are free. */

/** Marks a place that holds nothing, in 16 and in 32 bits. */
const FREE_16 = 0xffff
const FREE_32 = 0xffff_ffff
const NONE = -1

export class Block {
  /** Its number in the arena. */
  readonly id: number
  /** -1: a single value beyond all classes. */
  readonly sizeClass: number
  readonly placeBytes: number
  readonly capacity: number
  readonly bytes: Uint8Array<ArrayBuffer>
  /** The same memory. */
  readonly words: Int32Array<ArrayBuffer>
  /** Places that hold a value. */
  live = 0
  /** Whether its class will find it when it looks for a free place. */
  isListed = false
  /** Whether it is being emptied: nothing is put here any more. */
  isLeaving = false
  /** Whether its memory was given back. */
  isGone = false
  /** Lengths of values, or that a place is free; free places are linked through their first word. */
  readonly #lengths: Uint16Array | Uint32Array
  readonly #free: number
  #firstFree = NONE
  /** Places from here on have never held anything. */
  #fresh = 0

  constructor(id: number, sizeClass: number, placeBytes: number, capacity: number) {
    this.id = id
    this.sizeClass = sizeClass
    this.placeBytes = placeBytes
    this.capacity = capacity
    this.bytes = new Uint8Array(placeBytes * capacity)
    this.words = new Int32Array(this.bytes.buffer)
    this.#free = placeBytes < FREE_16 ? FREE_16 : FREE_32
    this.#lengths = placeBytes < FREE_16 ? new Uint16Array(capacity) : new Uint32Array(capacity)
    this.#lengths.fill(this.#free)
  }

  get hasRoom(): boolean {
    return this.live < this.capacity
  }

  /** What it takes, besides the objects: memory for values and their lengths. */
  get reservedBytes(): number {
    return this.bytes.length + this.#lengths.byteLength
  }

  /** A free place, taken for a value of so many bytes; there must be one. */
  take(length: number): number {
    let place = this.#firstFree
    if (place === NONE) place = this.#fresh++
    else this.#firstFree = this.words[(place * this.placeBytes) >>> 2] as number
    this.#lengths[place] = length
    this.live++
    return place
  }

  /** Makes a place free. */
  give(place: number): void {
    this.#lengths[place] = this.#free
    this.words[(place * this.placeBytes) >>> 2] = this.#firstFree
    this.#firstFree = place
    this.live--
  }

  /** Whether a place holds a value. */
  holds(place: number): boolean {
    return place < this.#fresh && this.#lengths[place] !== this.#free
  }

  lengthAt(place: number): number {
    return this.#lengths[place] as number
  }

  /** Throws unless every place is either free and linked, once, or holds a value. */
  check(): void {
    let live = 0
    let used = 0
    for (let place = 0; place < this.capacity; place++) {
      if (!this.holds(place)) continue
      live++
      used += this.lengthAt(place)
      if (this.lengthAt(place) > this.placeBytes) throw new Error(`I2: place ${place} of block ${this.id} is too small`)
    }
    if (live !== this.live) throw new Error(`I4: block ${this.id} holds ${live} values, ${this.live} are counted`)
    let free = 0
    for (let place = this.#firstFree; place !== NONE; place = this.words[(place * this.placeBytes) >>> 2] as number) {
      if (place < 0 || place >= this.#fresh || this.holds(place) || free++ > this.capacity) {
        throw new Error(`I1: the free places of block ${this.id} are not linked`)
      }
    }
    if (free + live !== this.#fresh) throw new Error(`I1: block ${this.id} has lost places`)
  }
}
