/**
 * Sorting stored keys where they lie: multikey quicksort (Bentley and Sedgewick, "Fast Algorithms for Sorting and Searching
 * Strings", 1997) over words of four bytes that are fetched once per partition, so that a comparison is one of two
 * numbers next to each other and a shared prefix is walked once, not once per comparison.
 *
 * It works in steps of bounded length, so that a checkpoint on the thread of the application need not stop it for long.
 *
 * Keys are distinct and none is a proper prefix of another, so what is read beyond the end of a key, zeros, never decides.
 * Pivots are drawn, so that no order of keys makes it quadratic; the result does not depend on which are. Memory: 8 bytes
 * a key.
 */

/** Partitions up to this many keys are sorted by insertion. */
const SMALL = 12

/** Where the keys are, as columns: chunk, start and length of each. */
export interface KeyPlaces {
  readonly chunks: readonly Uint8Array[]
  readonly chunkOf: Uint32Array
  readonly startOf: Uint32Array
  readonly lengthOf: Uint32Array
}

export class KeySort {
  /** The numbers of the keys; in their order once {@link step} has returned true. */
  readonly order: Uint32Array
  private readonly words: Uint32Array
  private readonly places: KeyPlaces
  /** Partitions still to be sorted, four numbers each: from, to, depth of their words, whether these are fetched. */
  private readonly stack: number[]
  private random = 0x9e37_79b9
  // The partition at hand; `at` is where its loop goes on, `phase` which loop that is.
  private phase: 'none' | 'fetch' | 'split' = 'none'
  private from = 0
  private to = 0
  private depth = 0
  private at = 0
  private low = 0
  private high = 0
  private pivot = 0

  constructor(places: KeyPlaces, count: number) {
    this.places = places
    this.order = new Uint32Array(count)
    for (let i = 0; i < count; i++) this.order[i] = i
    this.words = new Uint32Array(count)
    this.stack = [0, count, 0, 0]
  }

  /** Goes on for about `budget` moves, some 10 ns each; true when all is sorted. */
  step(budget: number): boolean {
    let left = budget
    while (left > 0) {
      if (this.phase === 'fetch') left = this.fetch(left)
      else if (this.phase === 'split') left = this.split(left)
      else if (this.stack.length === 0) return true
      else left -= this.begin()
    }
    return this.phase === 'none' && this.stack.length === 0
  }

  private begin(): number {
    const { stack } = this
    const fetched = stack.pop() as number
    this.depth = stack.pop() as number
    this.to = stack.pop() as number
    this.from = stack.pop() as number
    this.at = this.from
    if (this.to - this.from < 2) return 1
    if (fetched === 0) this.phase = 'fetch'
    else this.beginSplit()
    return 1
  }

  private beginSplit(): void {
    const { from, to } = this
    if (to - from <= SMALL) {
      this.phase = 'none'
      this.insert(from, to)
      this.pushTies(from, to)
      return
    }
    this.random = (Math.imul(this.random, 0x0019_660d) + 0x3c6e_f35f) >>> 0
    this.pivot = this.words[from + (this.random % (to - from))] as number
    this.at = from
    this.low = from
    this.high = to
    this.phase = 'split'
  }

  private fetch(budget: number): number {
    const { order, words, depth } = this
    const { chunks, chunkOf, startOf, lengthOf } = this.places
    const end = Math.min(this.to, this.at + budget)
    const left = budget - (end - this.at)
    for (let i = this.at; i < end; i++) {
      const id = order[i] as number
      const chunk = chunks[chunkOf[id] as number] as Uint8Array
      const at = (startOf[id] as number) + depth
      const length = (lengthOf[id] as number) - depth
      words[i] =
        length >= 4
          ? ((chunk[at] as number) << 24) |
            ((chunk[at + 1] as number) << 16) |
            ((chunk[at + 2] as number) << 8) |
            (chunk[at + 3] as number)
          : lastWord(chunk, at, length)
    }
    this.at = end
    if (end === this.to) this.beginSplit()
    return left
  }

  /** Three ways: below the pivot, at it, above it. */
  private split(budget: number): number {
    const { words, pivot } = this
    let { at, low, high } = this
    let left = budget
    for (; at < high && left > 0; left--) {
      const word = words[at] as number
      if (word < pivot) this.swap(at++, low++)
      else if (word > pivot) this.swap(at, --high)
      else at++
    }
    this.at = at
    this.low = low
    this.high = high
    if (at < high) return left
    const { from, to, depth } = this
    this.stack.push(from, low, depth, 1, high, to, depth, 1, low, high, depth + 4, 0)
    this.phase = 'none'
    return left
  }

  private swap(a: number, b: number): void {
    const { order, words } = this
    const id = order[a] as number
    const word = words[a] as number
    order[a] = order[b] as number
    words[a] = words[b] as number
    order[b] = id
    words[b] = word
  }

  private insert(from: number, to: number): void {
    const { order, words } = this
    for (let i = from + 1; i < to; i++) {
      const word = words[i] as number
      const id = order[i] as number
      let at = i
      for (; at > from && (words[at - 1] as number) > word; at--) {
        words[at] = words[at - 1] as number
        order[at] = order[at - 1] as number
      }
      words[at] = word
      order[at] = id
    }
  }

  /** What has equal words is sorted on by the next ones. */
  private pushTies(from: number, to: number): void {
    let start = from
    for (let i = from + 1; i <= to; i++) {
      if (i < to && this.words[i] === this.words[start]) continue
      if (i - start > 1) this.stack.push(start, i, this.depth + 4, 0)
      start = i
    }
  }
}

function lastWord(chunk: Uint8Array, at: number, length: number): number {
  let word = 0
  for (let i = 0; i < length; i++) word |= (chunk[at + i] as number) << (24 - 8 * i)
  return word
}
