/**
 * A blocked skiplist: an ordered map whose bottom level is a list of 64-entry leaves and whose upper levels are fat
 * nodes with a numeric cache of their keys.
 *
 *   level 2   [ a . . . . . | m . . ]                   keys of a node: lower bounds of its children
 *               |             |
 *   level 1   [ a . d . g ] [ m . p . t ]
 *               |   |   |     |   |   |
 *   leaves    [abc][def][ghk][mno][prs][tuz]            linked both ways
 *
 * It is not probabilistic (splits are decided by counts, so the worst case is the usual case) and not for threads. A
 * list with one key per node costs a cache miss per step and a heap object per key; blocks make it one miss per level.
 * The idea is the B-skiplist of Luo et al. (ICPP 2025); cached key prefixes are those of prefix B-trees (Bayer, Unterauer 1977).
 *
 * Cost: O(log n) comparisons. While all keys are strings, or all are numbers, or all are bigints, they are comparisons of
 * cached numbers, and one or two string bodies are touched in the leaf; else each calls the comparator. 26 bytes per entry for
 * strings at random fill, 22 if they came in ascending order, 23 for numbers and bigints; keys and values themselves aside.
 * Where keys are found by their values, half of that.
 *
 * I1  The leaves form one list, linked both ways, from `first` to `last`; each has a distinct id, leaves[id] is the leaf,
 *     and the ids not in use are exactly the free ones. There is always at least one leaf.
 * I2  Keys ascend strictly within a leaf and from leaf to leaf (L1), and `size` counts them.
 * I3  Every leaf but the last holds LEAF_MIN entries or more, the last at least one; a leaf that is alone may be empty.
 * I4  All leaves are at the same depth, in list order; upper nodes keep N1 and N2.
 * I5  While all keys are strings (numbers, bigints) `kind` says so and the caches keep N3.
 * I6  When an entry moves to another leaf, the stamp there is no lower than the stamp of the leaf it comes from.
 * I7  A leaf is `complete` only if the leaves were that had its interval before: the interval of a leaf reaches from its lower
 *     bound to that of the next, of the first down to nothing, of the last up to everything. It changes only with `version`.
 *
 * The owner calls everything from one thread; `compare` and `onMove` must not call back into the index. A comparator
 * that throws leaves the index unchanged.
 */

import { invariant } from '../errors.ts'
import { compareKeys } from '../keys/order.ts'
import { checkIndex } from './check.ts'
import { Hints } from './hints.ts'
import { KIND_BIGINTS, KIND_EMPTY, KIND_MIXED, KIND_NUMBERS, KIND_STRINGS, type Kind, kindOf } from './kind.ts'
import {
  insertEntry,
  type KeySource,
  LEAF_MAX,
  LEAF_MIN,
  Leaf,
  locateAny,
  locateBigint,
  locateNumber,
  MERGE_MAX,
  NO_KEYS,
  refill,
  removeEntry,
  touch,
} from './leaf.ts'
import {
  childOfAny,
  childOfBigint,
  childOfNumber,
  childOfString,
  insertChild,
  Node,
  NODE_MAX,
  NODE_MIN,
  refillNode,
  removeChild,
  replaceKey,
} from './node.ts'
import { commonLength } from './prefix.ts'

/** The ordered index of one table: unique keys in the order of a comparator. */
export class OrderedIndex<K, V> {
  readonly compare: (a: K, b: K) => number
  /** Whether the comparator is known to agree with `<` on strings and on numbers, so that it need not be called for them. */
  readonly natural: boolean
  readonly onMove: ((value: V, leaf: Leaf<K, V>) => void) | null
  /** Where keys are, if not in the leaves. */
  readonly source: KeySource<K, V> | null
  /** By id; undefined where an id is free. */
  readonly leaves: (Leaf<K, V> | undefined)[] = []
  readonly freeIds: number[] = []
  first: Leaf<K, V>
  last: Leaf<K, V>
  /** Number of entries. Read only. */
  size = 0
  kind: Kind = KIND_EMPTY
  /** The highest node; null while one leaf holds everything. */
  root: Node<K, V> | null = null
  /** Levels above the leaves. */
  height = 0
  /** Where the last insert went: one beside it is taken for the next of a run. */
  lastId = 0
  lastIndex = 0
  /** The last descent: trail[l] is the node passed on level l, slots[l] the child taken there. */
  readonly trail: Node<K, V>[] = []
  readonly slots: number[] = []
  readonly hints: Hints = new Hints()
  /** By leaf id: the owner's numbers (I6). Together rather than in the leaves, which are cold. */
  stamps: Float64Array = new Float64Array(16)

  /**
   * @param compare a total order: negative, 0 or positive as a sorts before, with or after b
   * @param onMove called for each entry that comes to live in another leaf, once the index is consistent again
   * @param source who knows the keys, so that leaves need not hold them
   */
  constructor(
    compare: (a: K, b: K) => number,
    onMove: ((value: V, leaf: Leaf<K, V>) => void) | null = null,
    source: KeySource<K, V> | null = null,
  ) {
    this.compare = compare
    this.onMove = onMove
    this.source = source
    this.natural = (compare as unknown) === compareKeys
    this.first = this.last = this.createLeaf()
  }

  /** The value of `key`, or undefined. */
  get(key: K): V | undefined {
    const leaf = this.seekLeaf(key)
    const index = this.locate(leaf, key)
    return index < 0 ? undefined : leaf.values[index]
  }

  /** The key of the entry at `index` of a leaf. */
  keyAt(leaf: Leaf<K, V>, index: number): K {
    return this.source === null ? (leaf.keys[index] as K) : this.source.keyOf(leaf.values[index] as V)
  }

  /** The leaf whose interval holds `key`, whether or not the key is there. */
  seekLeaf(key: K): Leaf<K, V> {
    if (this.root === null) return this.first
    if (typeof key === 'string' && this.kind === KIND_STRINGS) return this.descendString(this.root, key)
    if (typeof key === 'number' && this.kind === KIND_NUMBERS) return this.descendNumber(this.root, key)
    if (typeof key === 'bigint' && this.kind === KIND_BIGINTS) return this.descendBigint(this.root, key)
    return this.descendAny(this.root, key)
  }

  /** Index of `key` inside the leaf that `seekLeaf` gives for it, or `~i` where i is the place to insert it at. */
  locate(leaf: Leaf<K, V>, key: K): number {
    if (typeof key === 'string' && this.kind === KIND_STRINGS) {
      return this.hints.locate(leaf as unknown as Leaf<string, V>, key)
    }
    if (this.source !== null) return this.source.locate(leaf.values, key)
    if (typeof key === 'number' && this.kind === KIND_NUMBERS) {
      return locateNumber(leaf.keys as unknown as number[], key)
    }
    if (typeof key === 'bigint' && this.kind === KIND_BIGINTS) {
      return locateBigint(leaf.keys as unknown as bigint[], key)
    }
    return locateAny(leaf.keys, key, this.compare)
  }

  /** Index of the first key >= `key` inside any leaf; the number of its keys if there is none. */
  lowerBound(leaf: Leaf<K, V>, key: K): number {
    if (typeof key === 'string' && this.kind === KIND_STRINGS) {
      return this.hints.lowerBound(leaf as unknown as Leaf<string, V>, key)
    }
    const index = this.locate(leaf, key)
    return index < 0 ? ~index : index
  }

  /** Inserts a key that must be absent and returns the leaf it now lives in. */
  insert(key: K, value: V): Leaf<K, V> {
    if (this.belongsAtTail(key)) return this.insertAt(this.last, this.last.values.length, key, value)
    const leaf = this.seekLeaf(key)
    const index = this.locate(leaf, key)
    invariant(index < 0, 'a key inserted into the ordered index is there already')
    return this.insertAt(leaf, ~index, key, value)
  }

  /** Inserts an absent key at its place; `seekLeaf(key)`, which gave the leaf, must have been the last call. */
  insertAt(leaf: Leaf<K, V>, index: number, key: K, value: V): Leaf<K, V> {
    this.admit(key)
    let target = leaf
    let at = index
    if (leaf.values.length === LEAF_MAX) {
      const cut = this.splitPoint(leaf, index)
      const right = this.splitLeaf(leaf, cut, key)
      if (index > cut || index === LEAF_MAX) {
        target = right
        at = index - cut
      }
    }
    insertEntry(target, at, key, value)
    if (this.kind === KIND_STRINGS) this.hints.insert(target, at, key as string)
    this.lastId = target.id
    this.lastIndex = at
    this.size++
    return target
  }

  /** Removes a key; false if it is absent. */
  remove(key: K): boolean {
    const leaf = this.seekLeaf(key)
    const index = this.locate(leaf, key)
    if (index < 0) return false
    this.removeAt(leaf, index)
    return true
  }

  /** Removes the entry of a value that is in the leaf with that id and in it once: no search, and no key is looked at. */
  removeFrom(leafId: number, value: V): void {
    const leaf = this.leaves[leafId] as Leaf<K, V>
    const { values } = leaf
    const { length } = values
    let index = 0
    while (index < length && values[index] !== value) index++
    invariant(index < length, 'an entry to be removed from the ordered index is not in its leaf')
    // What is mended is what the last descent led to.
    if (length <= LEAF_MIN) this.seekLeaf(this.keyAt(leaf, index))
    this.removeAt(leaf, index)
  }

  private removeAt(leaf: Leaf<K, V>, index: number): void {
    removeEntry(leaf, index)
    if (this.kind === KIND_STRINGS) this.hints.remove(leaf, index)
    this.size--
    if (leaf.values.length < LEAF_MIN && this.root !== null) this.mendLeaf(leaf)
    if (this.size === 0) this.forget()
  }

  /** Removes everything. Cursors stay valid; the remaining leaf keeps the highest stamp. */
  clear(): void {
    const leaf = this.first
    for (let dead = leaf.next; dead !== null;) {
      const { next } = dead
      this.stamps[leaf.id] = Math.max(this.stamps[leaf.id] as number, this.stamps[dead.id] as number)
      leaf.complete &&= dead.complete
      this.retire(dead)
      dead = next
    }
    leaf.next = null
    this.last = leaf
    refill(leaf, [], [], 0, 0)
    this.root = null
    this.height = 0
    this.size = 0
    this.forget()
  }

  /** Walks every invariant and throws on the first that does not hold. O(n). */
  check(): void {
    checkIndex(this)
  }

  /** Whether `key` is above all others and the last leaf has room: then loads in order need no descent. */
  belongsAtTail(key: K): boolean {
    const { keys, values } = this.last
    const { length } = values
    if (length === 0 || length === LEAF_MAX) return false
    if (this.source !== null) return this.source.compareTo(values[length - 1] as V, key) < 0
    const highest = keys[length - 1]
    if (typeof key === 'string' && typeof highest === 'string' && this.natural) return key > highest
    if (typeof key === 'number' && typeof highest === 'number' && this.natural) return key > highest
    if (typeof key === 'bigint' && typeof highest === 'bigint' && this.natural) return key > highest
    return false
  }

  private descendString(root: Node<K, V>, key: string): Leaf<K, V> {
    let node = root
    for (let level = this.height; ; level--) {
      const slot = childOfString(node as unknown as Node<string, V>, key)
      this.trail[level] = node
      this.slots[level] = slot
      if (level === 1) return node.children[slot] as Leaf<K, V>
      node = node.children[slot] as Node<K, V>
    }
  }

  private descendNumber(root: Node<K, V>, key: number): Leaf<K, V> {
    let node = root
    for (let level = this.height; ; level--) {
      const slot = childOfNumber(node as unknown as Node<number, V>, key)
      this.trail[level] = node
      this.slots[level] = slot
      if (level === 1) return node.children[slot] as Leaf<K, V>
      node = node.children[slot] as Node<K, V>
    }
  }

  private descendBigint(root: Node<K, V>, key: bigint): Leaf<K, V> {
    let node = root
    for (let level = this.height; ; level--) {
      const slot = childOfBigint(node as unknown as Node<bigint, V>, key)
      this.trail[level] = node
      this.slots[level] = slot
      if (level === 1) return node.children[slot] as Leaf<K, V>
      node = node.children[slot] as Node<K, V>
    }
  }

  private descendAny(root: Node<K, V>, key: K): Leaf<K, V> {
    let node = root
    for (let level = this.height; ; level--) {
      const slot = childOfAny(node, key, this.compare)
      this.trail[level] = node
      this.slots[level] = slot
      if (level === 1) return node.children[slot] as Leaf<K, V>
      node = node.children[slot] as Node<K, V>
    }
  }

  /** Notes the type of a key about to be inserted (I5). */
  private admit(key: K): void {
    if (this.kind === KIND_MIXED) return
    let kind = this.natural ? kindOf(key) : KIND_MIXED
    // Hints are those of keys in leaves.
    if (this.source !== null && kind === KIND_STRINGS) kind = KIND_MIXED
    if (this.kind === kind) return
    this.kind = this.kind === KIND_EMPTY ? kind : KIND_MIXED
    if (this.kind === KIND_STRINGS) this.hints.reserve(this.first.id)
    else this.hints.clear()
  }

  /** The index has become empty: gives back what it kept for other leaves, and lets the next key decide on the kind. */
  private forget(): void {
    this.kind = KIND_EMPTY
    this.hints.clear()
    this.first.wide = false
    this.trail.length = 0
    // The first leaf is the one the index began with: splits add to the right, and merges keep the left one.
    this.leaves.length = 1
    this.freeIds.length = 0
  }

  private createLeaf(): Leaf<K, V> {
    const id = this.freeIds.pop() ?? this.leaves.length
    const leaf = new Leaf<K, V>(id, this.source === null ? [] : NO_KEYS)
    this.leaves[id] = leaf
    if (id >= this.stamps.length) {
      const stamps = new Float64Array(id * 2)
      stamps.set(this.stamps)
      this.stamps = stamps
    }
    this.stamps[id] = 0
    if (this.kind === KIND_STRINGS) this.hints.reserve(id)
    return leaf
  }

  /** Unlinks a dead leaf from the living: a cursor that rests on it must not keep all that follows it alive. */
  private retire(leaf: Leaf<K, V>): void {
    refill(leaf, [], [], 0, 0)
    leaf.next = null
    leaf.prev = null
    this.leaves[leaf.id] = undefined
    this.freeIds.push(leaf.id)
  }

  /**
   * Where to cut a full leaf for an insert at `index`. In halves; but loads in order should leave full leaves behind. At
   * the end of the list nothing moves. Elsewhere the cut follows a run of inserts, ascending or descending, as far as
   * LEAF_MIN allows, so that a run leaves three quarters.
   */
  private splitPoint(leaf: Leaf<K, V>, index: number): number {
    if (index === LEAF_MAX && leaf.next === null) return LEAF_MAX
    const isNextOfRun = leaf.id === this.lastId && (index === this.lastIndex + 1 || index === this.lastIndex)
    if (!isNextOfRun && index > 0 && index < LEAF_MAX) return LEAF_MAX / 2
    return Math.min(Math.max(index, LEAF_MIN), LEAF_MAX - LEAF_MIN)
  }

  /** Moves the entries from `cut` on into a new leaf to the right, which will hold `key` if that leaves it empty. */
  private splitLeaf(leaf: Leaf<K, V>, cut: number, key: K): Leaf<K, V> {
    const right = this.createLeaf()
    this.stamps[right.id] = this.stamps[leaf.id] as number
    right.complete = leaf.complete
    right.prev = leaf
    right.next = leaf.next
    if (right.next === null) this.last = right
    else right.next.prev = right
    leaf.next = right
    if (cut < LEAF_MAX) {
      const { keys, values } = leaf
      refill(right, keys, values, cut, LEAF_MAX)
      refill(leaf, keys, values, 0, cut)
    } else {
      touch(leaf)
    }
    const bound = cut < LEAF_MAX ? this.keyAt(right, 0) : key
    if (this.kind === KIND_STRINGS) {
      const leftShared = this.shared(this.lowerFence(1), bound)
      const rightShared = this.shared(bound, this.upperFence(1))
      this.hints.split(leaf, right, Math.max(leftShared, 0), Math.max(rightShared, 0))
    }
    this.adopt(1, bound, right)
    this.announce(right, 0, right.values.length)
    return right
  }

  /** Lower bound of the interval of the child that the last descent took on `level`; undefined at the left edge. */
  private lowerFence(level: number): K | undefined {
    for (let l = level; l <= this.height; l++) {
      const slot = this.slots[l] as number
      if (slot > 0) return (this.trail[l] as Node<K, V>).keys[slot]
    }
    return undefined
  }

  /** The same for the upper bound and the right edge. */
  private upperFence(level: number): K | undefined {
    for (let l = level; l <= this.height; l++) {
      const node = this.trail[l] as Node<K, V>
      const after = (this.slots[l] as number) + 1
      if (after < node.count) return node.keys[after]
    }
    return undefined
  }

  /** Units that all strings between two bounds have in common; -1 where there is no saying. */
  private shared(low: K | undefined, high: K | undefined): number {
    return typeof low === 'string' && typeof high === 'string' ? commonLength(low, high) : -1
  }

  /** Puts a new child right of the last descent on `level`, splitting upwards as needed. */
  private adopt(level: number, key: K, child: Node<K, V> | Leaf<K, V>): void {
    if (level > this.height) {
      const left = this.root ?? this.first
      const lowest = this.root === null ? this.keyAt(this.first, 0) : (this.root.keys[0] as K)
      this.root = new Node<K, V>([lowest, key], [left, child], this.kind, -1)
      this.height = level
      return
    }
    let node = this.trail[level] as Node<K, V>
    let slot = (this.slots[level] as number) + 1
    if (node.count === NODE_MAX) {
      const cut = slot === NODE_MAX ? NODE_MAX - NODE_MIN : NODE_MAX / 2
      const right = this.splitNode(level, node, cut)
      if (slot > cut) {
        node = right
        slot -= cut
      }
    }
    insertChild(node, slot, key, child, this.kind)
  }

  private splitNode(level: number, node: Node<K, V>, cut: number): Node<K, V> {
    const bound = node.keys[cut] as K
    const leftShared = this.shared(this.lowerFence(level + 1), bound)
    const rightShared = this.shared(bound, this.upperFence(level + 1))
    const right = new Node<K, V>(node.keys.slice(cut), node.children.slice(cut), this.kind, rightShared)
    refillNode(node, node.keys.slice(0, cut), node.children.slice(0, cut), this.kind, leftShared)
    this.adopt(level + 1, bound, right)
    return right
  }

  /** A leaf of the last descent has become too small: merges it with a neighbour, or shares with it. */
  private mendLeaf(leaf: Leaf<K, V>): void {
    const slot = this.pairSlot(1)
    const parent = this.trail[1] as Node<K, V>
    const left = parent.children[slot - 1] as Leaf<K, V>
    const right = parent.children[slot] as Leaf<K, V>
    const low = this.lowerFence(1)
    this.slots[1] = slot
    const high = this.upperFence(1)
    const held = left.values.length
    const keys = left.keys.concat(right.keys)
    const values = left.values.concat(right.values)
    const stamp = Math.max(this.stamps[left.id] as number, this.stamps[right.id] as number)
    this.stamps[leaf.id] = stamp
    left.complete &&= right.complete
    right.complete = left.complete
    const { length } = values
    if (length <= MERGE_MAX) {
      this.stamps[left.id] = stamp
      refill(left, keys, values, 0, length)
      left.next = right.next
      if (right.next === null) this.last = left
      else right.next.prev = left
      this.retire(right)
      this.rehint(left, low, high)
      this.orphan(1, slot)
      this.announce(left, held, length)
      return
    }
    const half = length >>> 1
    const bound = this.source === null ? (keys[half] as K) : this.source.keyOf(values[half] as V)
    refill(left, keys, values, 0, half)
    refill(right, keys, values, half, length)
    replaceKey(parent, slot, bound, this.kind)
    this.rehint(left, low, bound)
    this.rehint(right, bound, high)
    if (half > held) this.announce(left, held, half)
    else this.announce(right, 0, held - half)
  }

  private rehint(leaf: Leaf<K, V>, low: K | undefined, high: K | undefined): void {
    if (this.kind === KIND_STRINGS) this.hints.rebuild(leaf, Math.max(this.shared(low, high), 0))
  }

  /**
   * The right one of the two children of the last descent's node on `level` that are to be mended: the one taken and its
   * left neighbour, or its right one if it is leftmost. Points the trail at the left one.
   */
  private pairSlot(level: number): number {
    const slot = Math.max(this.slots[level] as number, 1)
    this.slots[level] = slot - 1
    return slot
  }

  /** Takes the child at `slot` >= 1 from the node of the last descent on `level`, mending upwards as needed. */
  private orphan(level: number, slot: number): void {
    const node = this.trail[level] as Node<K, V>
    removeChild(node, slot)
    if (level < this.height) {
      if (node.count < NODE_MIN) this.mendNode(level)
    } else if (node.count === 1) {
      this.height--
      this.root = this.height === 0 ? null : (node.children[0] as Node<K, V>)
    }
  }

  private mendNode(level: number): void {
    const slot = this.pairSlot(level + 1)
    const parent = this.trail[level + 1] as Node<K, V>
    const left = parent.children[slot - 1] as Node<K, V>
    const right = parent.children[slot] as Node<K, V>
    const low = this.lowerFence(level + 1)
    this.slots[level + 1] = slot
    const high = this.upperFence(level + 1)
    const keys = left.keys.concat(right.keys)
    const children = left.children.concat(right.children)
    if (keys.length <= MERGE_MAX) {
      refillNode(left, keys, children, this.kind, this.shared(low, high))
      this.orphan(level + 1, slot)
      return
    }
    const half = keys.length >>> 1
    const bound = keys[half] as K
    refillNode(left, keys.slice(0, half), children.slice(0, half), this.kind, this.shared(low, bound))
    refillNode(right, keys.slice(half), children.slice(half), this.kind, this.shared(bound, high))
    replaceKey(parent, slot, bound, this.kind)
  }

  private announce(leaf: Leaf<K, V>, from: number, to: number): void {
    if (this.onMove === null) return
    for (let i = from; i < to; i++) this.onMove(leaf.values[i] as V, leaf)
  }
}
