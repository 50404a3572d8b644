/**
 * Sorting stored keys where they lie: multikey quicksort (Bentley and Sedgewick, "Fast Algorithms for Sorting and Searching
 * Strings", 1997) over words of four bytes that are fetched once per partition, so that a comparison is one of two
 * numbers next to each other and a shared prefix is walked once, not once per comparison.
 *
 * Keys are distinct and none is a proper prefix of another, so what is read beyond the end of a key, zeros, never decides.
 * Pivots are drawn, so that no order of keys makes it quadratic; nothing depends on which are. Memory: 8 bytes a key.
 */

/** Partitions up to this many keys are sorted by insertion. */
const SMALL = 12

/** The numbers 0 to `count` - 1 in the order of the keys they stand for. */
export function sortStored(
  chunks: readonly Uint8Array[],
  chunkOf: Uint32Array,
  startOf: Uint32Array,
  lengthOf: Uint32Array,
  count: number,
): Uint32Array {
  const order = new Uint32Array(count)
  for (let i = 0; i < count; i++) order[i] = i
  const words = new Uint32Array(count)
  /** Partitions still to be sorted: from, to, the depth their words are of, whether these are fetched. */
  const stack: number[] = [0, count, 0, 0]
  let random = 0x9e37_79b9
  while (stack.length > 0) {
    const fetched = stack.pop() as number
    const depth = stack.pop() as number
    const to = stack.pop() as number
    const from = stack.pop() as number
    if (to - from < 2) continue
    if (fetched === 0) fetch(from, to, depth)
    if (to - from <= SMALL) {
      insert(from, to)
      pushTies(from, to, depth)
      continue
    }
    random = (Math.imul(random, 0x0019_660d) + 0x3c6e_f35f) >>> 0
    const pivot = words[from + (random % (to - from))] as number
    let low = from
    let high = to
    for (let i = from; i < high; ) {
      const word = words[i] as number
      if (word < pivot) swap(i++, low++)
      else if (word > pivot) swap(i, --high)
      else i++
    }
    stack.push(from, low, depth, 1, high, to, depth, 1, low, high, depth + 4, 0)
  }
  return order

  function fetch(from: number, to: number, depth: number): void {
    for (let i = from; i < to; i++) {
      const id = order[i] as number
      const chunk = chunks[chunkOf[id] as number] as Uint8Array
      const at = (startOf[id] as number) + depth
      const left = (lengthOf[id] as number) - depth
      words[i] =
        left >= 4
          ? ((chunk[at] as number) << 24) |
            ((chunk[at + 1] as number) << 16) |
            ((chunk[at + 2] as number) << 8) |
            (chunk[at + 3] as number)
          : lastWord(chunk, at, left)
    }
  }

  function swap(a: number, b: number): void {
    const id = order[a] as number
    const word = words[a] as number
    order[a] = order[b] as number
    words[a] = words[b] as number
    order[b] = id
    words[b] = word
  }

  function insert(from: number, to: number): void {
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

  function pushTies(from: number, to: number, depth: number): void {
    let start = from
    for (let i = from + 1; i <= to; i++) {
      if (i < to && words[i] === words[start]) continue
      if (i - start > 1) stack.push(start, i, depth + 4, 0)
      start = i
    }
  }
}

function lastWord(chunk: Uint8Array, at: number, left: number): number {
  let word = 0
  for (let i = 0; i < left; i++) word |= (chunk[at + i] as number) << (24 - 8 * i)
  return word
}
