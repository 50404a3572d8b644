/**
 * The bottom level: up to 64 entries in two parallel arrays, linked both ways.
 *
 * It is not a search tree of its own and knows nothing of the levels above; `ordered-index.ts` keeps it in order.
 *
 * Cost: a search takes six comparisons; an insert or removal shifts half a leaf. 200 bytes per leaf and 16 per slot;
 * slots are allocated in steps of 8, which comes to 22 bytes per entry at the 69 % fill of random inserts. V8's own
 * growth would allocate 65 slots for every leaf, 28 bytes per entry, and was measured to be no faster. Removals leave up
 * to SPARE slots, so that where entries come and go at random one call in 32 allocates, and not one in 8.
 *
 * An index that finds keys by their values (KeySource) has none in its leaves: `keys` is NO_KEYS there, and a slot takes 8
 * bytes.
 *
 * L1  keys.length === values.length <= LEAF_MAX, but where keys are NO_KEYS; both arrays are packed; keys ascend strictly.
 * L2  The capacity behind both arrays is `room`, less than SPARE above their length. V8 does not show capacities; nothing
 *     but speed and memory depends on this.
 */

export const LEAF_MAX = 64
export const LEAF_MIN = 16
/** Neighbours whose sum is at most this merge; above it they share evenly, which leaves both far from either limit. */
export const MERGE_MAX = 48

const GROWTH = 8
/** So many free slots are given back, but those of half a step. */
const SPARE = 12
const PADDING: readonly number[] = Array.from({ length: GROWTH }, () => 0)
const VERSION_MASK = 0x3fffffff

/** The keys of every leaf that has none of its own. Stays empty. */
export const NO_KEYS: never[] = []

/** Who knows the keys of an index that keeps none in its leaves: they are found by the values. */
export interface KeySource<K, V> {
  /** The key of a value that is in the index, or is being inserted. */
  keyOf(value: V): K
  /** Negative, 0 or positive as the key of such a value sorts before, with or after `key`. */
  compareTo(value: V, key: K): number
  /** The index of the value of `key` among those of a leaf, or `~i` where i is the place to insert it at. */
  locate(values: readonly V[], key: K): number
}

/**
 * A run of neighbouring entries. Owned by the index; read freely, change nothing but `values[i]` and `complete`. A leaf dies
 * when it is merged away: then it is empty, without neighbours, and of another version than before.
 */
export class Leaf<K, V> {
  /** Small dense integer, the same as long as the leaf lives; ids of dead leaves are given out again. */
  readonly id: number
  /** See hints.ts. */
  skip = 0
  wide = false
  /** The owner's word on the whole interval of the leaf, keys that are not here included (I7 of ordered-index.ts). */
  complete = false
  keys: K[]
  values: V[]
  /** L2. */
  room = 0
  /** Changes with every insert, removal, split, merge or borrow that touches this leaf, and when the leaf dies. */
  version = 0
  next: Leaf<K, V> | null = null
  prev: Leaf<K, V> | null = null

  constructor(id: number, keys: K[]) {
    this.id = id
    this.keys = keys
    this.values = []
  }
}

/** Marks the leaf as changed. The counter stays a small integer; it need only differ from what a cursor last saw. */
export function touch(leaf: Leaf<unknown, unknown>): void {
  leaf.version = (leaf.version + 1) & VERSION_MASK
}

/** Inserts at `index`; the leaf must not be full. */
export function insertEntry<K, V>(leaf: Leaf<K, V>, index: number, key: K, value: V): void {
  const { length } = leaf.values
  if (length === leaf.room) makeRoom(leaf, GROWTH)
  // By hand, and twice over: splice() allocates its result, and a loop that sees both arrays sees two kinds of elements.
  const { keys, values } = leaf
  const hasKeys = keys !== NO_KEYS
  if (index === length) {
    if (hasKeys) keys.push(key)
    values.push(value)
  } else {
    if (hasKeys) {
      keys.push(keys[length - 1] as K)
      for (let i = length - 1; i > index; i--) keys[i] = keys[i - 1] as K
      keys[index] = key
    }
    values.push(values[length - 1] as V)
    for (let i = length - 1; i > index; i--) values[i] = values[i - 1] as V
    values[index] = value
  }
  touch(leaf)
}

/** Removes the entry at `index`. */
export function removeEntry<K, V>(leaf: Leaf<K, V>, index: number): void {
  const { keys, values } = leaf
  const length = values.length - 1
  if (keys !== NO_KEYS) {
    for (let i = index; i < length; i++) keys[i] = keys[i + 1] as K
    keys.pop()
  }
  for (let i = index; i < length; i++) values[i] = values[i + 1] as V
  values.pop()
  if (leaf.room - length === SPARE) makeRoom(leaf, GROWTH / 2)
  touch(leaf)
}

/** Leaves exactly `spare` free slots. */
function makeRoom(leaf: Leaf<unknown, unknown>, spare: number): void {
  if (leaf.keys !== NO_KEYS) leaf.keys = padded(leaf.keys, spare)
  leaf.values = padded(leaf.values, spare)
  leaf.room = leaf.values.length + spare
}

/** Gives the leaf copies of these entries; of the values alone, if it has no keys of its own. */
export function refill<K, V>(
  leaf: Leaf<K, V>,
  keys: readonly K[],
  values: readonly V[],
  from: number,
  to: number,
): void {
  const spare = (GROWTH - ((to - from) % GROWTH)) % GROWTH
  const someValues = values.slice(from, to)
  if (leaf.keys !== NO_KEYS) {
    const someKeys = keys.slice(from, to)
    leaf.keys = spare === 0 ? someKeys : padded(someKeys, spare)
  }
  leaf.values = spare === 0 ? someValues : padded(someValues, spare)
  leaf.room = to - from + spare
  touch(leaf)
}

/** A copy with exactly `spare` free slots: concatenation allocates to size, and shortening by so little frees nothing. */
function padded<T>(items: T[], spare: number): T[] {
  const copy = items.concat((spare === GROWTH ? PADDING : PADDING.slice(0, spare)) as unknown as T[])
  copy.length = items.length
  return copy
}

/** The index of `key` in keys[from..to), or `~i` where i is the place to insert it at; by `<`. */
export function locateString(keys: readonly string[], key: string, from: number, to: number): number {
  let low = from
  let high = to
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((keys[middle] as string) < key) low = middle + 1
    else high = middle
  }
  return low < to && keys[low] === key ? low : ~low
}

/** The index of `key`, or `~i` where i is the place to insert it at; by `<`. */
export function locateNumber(keys: readonly number[], key: number): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((keys[middle] as number) < key) low = middle + 1
    else high = middle
  }
  return low < keys.length && keys[low] === key ? low : ~low
}

/** The index of `key`, or `~i` where i is the place to insert it at; by `<`. */
export function locateBigint(keys: readonly bigint[], key: bigint): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((keys[middle] as bigint) < key) low = middle + 1
    else high = middle
  }
  return low < keys.length && keys[low] === key ? low : ~low
}

/** The index of `key`, or `~i` where i is the place to insert it at; by the comparator. */
export function locateAny<K>(keys: readonly K[], key: K, compare: (a: K, b: K) => number): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compare(keys[middle] as K, key) < 0) low = middle + 1
    else high = middle
  }
  return low < keys.length && compare(keys[low] as K, key) === 0 ? low : ~low
}
