/** The walk behind `OrderedIndex.check()`: I1 to I6, L1 and N1 to N3, each named in what it throws. */

import { invariant } from '../errors.ts'
import { KIND_BIGINTS, KIND_EMPTY, KIND_NUMBERS, KIND_STRINGS } from './kind.ts'
import { LEAF_MAX, LEAF_MIN, Leaf, NO_KEYS } from './leaf.ts'
import { Node, NODE_MAX, NODE_MIN } from './node.ts'
import type { OrderedIndex } from './ordered-index.ts'
import { commonLength, hintOf, PREFIX_WIDE_UNITS, prefixOf, wantsWide } from './prefix.ts'

/** Throws on the first invariant that does not hold. */
export function checkIndex<K, V>(index: OrderedIndex<K, V>): void {
  const leaves = checkList(index)
  checkIds(index, leaves)
  const reached: Leaf<K, V>[] = []
  if (index.root === null) {
    invariant(index.height === 0, 'I4: no root, but levels')
    checkHints(index, index.first, undefined, undefined)
    reached.push(index.first)
  } else {
    checkNode(index, index.root, index.height, undefined, undefined, reached)
  }
  invariant(reached.length === leaves.length, 'I4: the upper levels do not reach every leaf')
  for (let i = 0; i < leaves.length; i++) invariant(reached[i] === leaves[i], 'I4: leaves out of list order')
}

function checkList<K, V>(index: OrderedIndex<K, V>): Leaf<K, V>[] {
  const leaves: Leaf<K, V>[] = []
  let size = 0
  let before: { key: K } | undefined
  let prev: Leaf<K, V> | null = null
  for (let leaf: Leaf<K, V> | null = index.first; leaf !== null; leaf = leaf.next) {
    invariant(leaf.prev === prev, 'I1: broken back link')
    const count = leaf.values.length
    invariant((leaf.keys === NO_KEYS) === (index.source !== null), 'L1: keys in a leaf that should have none, or none')
    const held = index.source === null ? count : 0
    invariant(leaf.keys.length === held && count <= LEAF_MAX, 'L1: keys and values of a leaf differ in number')
    const least = leaf.next !== null ? LEAF_MIN : index.root === null ? 0 : 1
    invariant(count >= least, 'I3: a leaf is too small')
    for (let i = 0; i < count; i++) {
      const key = index.keyAt(leaf, i)
      const isPacked = index.source !== null || Object.hasOwn(leaf.keys, i)
      invariant(isPacked && Object.hasOwn(leaf.values, i), 'L1: a hole in a leaf')
      invariant(before === undefined || index.compare(before.key, key) < 0, 'I2: keys out of order')
      checkKind(index, key)
      before = { key }
    }
    size += count
    leaves.push(leaf)
    prev = leaf
  }
  invariant(index.last === prev, 'I1: last is not the end of the list')
  invariant(index.size === size, 'I2: size does not count the entries')
  invariant(size > 0 || index.kind === KIND_EMPTY, 'I5: an empty index knows a kind')
  return leaves
}

function checkKind<K, V>(index: OrderedIndex<K, V>, key: K): void {
  invariant(index.kind !== KIND_EMPTY, 'I5: entries, but no kind')
  invariant(index.kind !== KIND_STRINGS || typeof key === 'string', 'I5: not a string')
  invariant(index.kind !== KIND_NUMBERS || typeof key === 'number', 'I5: not a number')
  invariant(index.kind !== KIND_BIGINTS || typeof key === 'bigint', 'I5: not a bigint')
}

function checkIds<K, V>(index: OrderedIndex<K, V>, leaves: Leaf<K, V>[]): void {
  for (const leaf of leaves) invariant(index.leaves[leaf.id] === leaf, 'I1: a leaf is not under its id')
  const free = new Set(index.freeIds)
  invariant(free.size === index.freeIds.length, 'I1: an id is free twice')
  for (const id of free)
    invariant(id < index.leaves.length && index.leaves[id] === undefined, 'I1: a free id is in use')
  invariant(leaves.length + free.size === index.leaves.length, 'I1: an id is lost')
}

/** `low` and `high` bound the node's interval where it has bounds. */
function checkNode<K, V>(
  index: OrderedIndex<K, V>,
  node: Node<K, V>,
  level: number,
  low: { key: K } | undefined,
  high: { key: K } | undefined,
  reached: Leaf<K, V>[],
): void {
  const { count } = node
  invariant(count === node.keys.length && count === node.children.length, 'N1: keys and children differ in number')
  invariant(count >= (node === index.root ? 2 : NODE_MIN) && count <= NODE_MAX, 'N1: a node is too small or too large')
  invariant(low === undefined || index.compare(low.key, node.keys[0] as K) === 0, 'N2: keys[0] is not the lower bound')
  checkPrefixes(index, node, low, high)
  for (let i = 0; i < count; i++) {
    const childLow = i === 0 ? low : { key: node.keys[i] as K }
    const childHigh = i + 1 === count ? high : { key: node.keys[i + 1] as K }
    if (i > 0 && childHigh !== undefined) {
      invariant(index.compare(node.keys[i] as K, childHigh.key) < 0, 'N1: keys of a node out of order')
    }
    const child = node.children[i]
    if (level > 1) {
      invariant(child instanceof Node, 'I4: a leaf above level 1')
      checkNode(index, child, level - 1, childLow, childHigh, reached)
    } else {
      invariant(child instanceof Leaf, 'I4: a node below level 1')
      checkInterval(index, child, childLow, childHigh)
      reached.push(child)
    }
  }
}

function checkInterval<K, V>(
  index: OrderedIndex<K, V>,
  leaf: Leaf<K, V>,
  low: { key: K } | undefined,
  high: { key: K } | undefined,
): void {
  const inside =
    (low === undefined || index.compare(low.key, index.keyAt(leaf, 0)) <= 0) &&
    (high === undefined || index.compare(index.keyAt(leaf, leaf.values.length - 1), high.key) < 0)
  invariant(inside, 'N2: a key outside its interval')
  checkHints(index, leaf, low, high)
}

function checkHints<K, V>(
  index: OrderedIndex<K, V>,
  leaf: Leaf<K, V>,
  low: { key: K } | undefined,
  high: { key: K } | undefined,
): void {
  if (index.kind !== KIND_STRINGS) return
  const longest = low === undefined || high === undefined ? 0 : commonLength(low.key as string, high.key as string)
  invariant(leaf.skip <= longest, 'H2: skip is too long')
  for (let i = 0; i < leaf.keys.length; i++) {
    const hint = hintOf(leaf.keys[i] as string, leaf.skip, leaf.wide)
    invariant(index.hints.at(leaf.id, i) === hint, 'H1: stale hint')
  }
}

function checkPrefixes<K, V>(
  index: OrderedIndex<K, V>,
  node: Node<K, V>,
  low: { key: K } | undefined,
  high: { key: K } | undefined,
): void {
  const { keys, prefixes, skip, wide } = node
  if (index.kind === KIND_STRINGS && node.fenced) {
    invariant(low !== undefined && high !== undefined, 'N3: fenced at an edge')
    invariant(skip <= commonLength(low.key as string, high.key as string), 'N3: skip is too long for the interval')
  }
  for (let i = 1; i < keys.length; i++) {
    const key = keys[i]
    if (index.kind === KIND_NUMBERS) {
      invariant(typeof key === 'number' && prefixes[i] === key, 'N3: stale number')
    } else if (index.kind === KIND_BIGINTS) {
      invariant(typeof key === 'bigint' && prefixes[i] === Number(key), 'N3: stale double of a bigint')
    } else if (index.kind === KIND_STRINGS) {
      invariant(typeof key === 'string', 'N3: a bound of another type')
      invariant(commonLength(keys[1] as string, key) >= skip, 'N3: skip is too long')
      invariant(wide || !wantsWide(key, skip, PREFIX_WIDE_UNITS), 'N3: narrow, but a unit is wide')
      invariant(prefixes[i] === prefixOf(key, skip, wide), 'N3: stale prefix')
    }
  }
}
