/**
 * The upper levels: fat nodes that hold, for each node of the level below, the lowest key that may live under it.
 *
 * It is not linked sideways: with one thread a descent never has to step right, and neighbours are found through the
 * parent. Cost: about 35 bytes per child at random fill, less than one byte per entry of the index.
 *
 * N1  keys.length === children.length, 2..NODE_MAX in the root, NODE_MIN..NODE_MAX elsewhere; keys ascend strictly.
 * N2  Everything under children[i] is >= keys[i] and < keys[i + 1] or the end of the node's own interval. keys[0] is the
 *     node's own lower bound, and meaningless on the left edge of the index; no search looks at it.
 * N3  Strings: all keys in the node's interval (if `fenced`), or else keys[1..] alone, agree in their first `skip` units;
 *     prefixes[i] = prefixOf(keys[i], skip, wide) for i >= 1, and wide unless the first three units there are Latin-1
 *     in all keys. Numbers: prefixes[i] = keys[i]. Bigints: prefixes[i] is the double next to keys[i]. Mixed: unused.
 *
 * A node between two others knows the bounds of its interval, and what those agree in, any key that is searched in the
 * node agrees in too: no key body is touched. On the edges of the index a bound is missing; there the searched key
 * is first compared with one of the node's.
 */

import { KIND_BIGINTS, KIND_NUMBERS, KIND_STRINGS, type Kind } from './kind.ts'
import type { Leaf } from './leaf.ts'
import { commonLength, compareHead, PREFIX_WIDE_UNITS, prefixOf, wantsWide } from './prefix.ts'

export const NODE_MAX = 64
export const NODE_MIN = 16

/** A node above the leaves. Its level is known to whoever descends: children are leaves on level 1, nodes above. */
export class Node<K, V> {
  /** Number of children. */
  count: number
  /** Units that all keys have in common, as N3 says. */
  skip = 0
  /** Whether prefixes cover three 16-bit units rather than six 8-bit ones. */
  wide = false
  /** Whether `skip` holds for the whole interval. */
  fenced = false
  readonly prefixes: Float64Array = new Float64Array(NODE_MAX)
  children: (Node<K, V> | Leaf<K, V>)[]
  keys: K[]

  /** @param shared units that the bounds of the interval have in common; -1 if one is missing */
  constructor(keys: K[], children: (Node<K, V> | Leaf<K, V>)[], kind: Kind, shared: number) {
    this.count = keys.length
    this.children = children
    this.keys = keys
    rebuildPrefixes(this, kind, shared)
  }
}

/** Gives the node other children. */
export function refillNode<K, V>(
  node: Node<K, V>,
  keys: K[],
  children: (Node<K, V> | Leaf<K, V>)[],
  kind: Kind,
  shared: number,
): void {
  node.count = keys.length
  node.keys = keys
  node.children = children
  rebuildPrefixes(node, kind, shared)
}

function rebuildPrefixes<K, V>(node: Node<K, V>, kind: Kind, shared: number): void {
  const { keys, prefixes, count } = node
  if (kind === KIND_NUMBERS) {
    for (let i = 1; i < count; i++) prefixes[i] = keys[i] as number
  } else if (kind === KIND_BIGINTS) {
    for (let i = 1; i < count; i++) prefixes[i] = Number(keys[i])
  } else if (kind === KIND_STRINGS) {
    const strings = keys as unknown as string[]
    const skip = shared < 0 ? commonLength(strings[1] as string, strings[count - 1] as string) : shared
    let wide = false
    for (let i = 1; i < count && !wide; i++) wide = wantsWide(strings[i] as string, skip, PREFIX_WIDE_UNITS)
    node.skip = skip
    node.wide = wide
    node.fenced = shared >= 0
    for (let i = 1; i < count; i++) prefixes[i] = prefixOf(strings[i] as string, skip, wide)
  }
}

/** Puts `child`, whose interval starts at `key`, at `slot` >= 1; the node must not be full. */
export function insertChild<K, V>(
  node: Node<K, V>,
  slot: number,
  key: K,
  child: Node<K, V> | Leaf<K, V>,
  kind: Kind,
): void {
  node.keys.splice(slot, 0, key)
  node.children.splice(slot, 0, child)
  node.prefixes.copyWithin(slot + 1, slot, node.count)
  node.count++
  setPrefix(node, slot, kind)
}

/** Takes the child at `slot` >= 1 away. What is left agrees in at least as many units, so the cache stays valid. */
export function removeChild<K, V>(node: Node<K, V>, slot: number): void {
  node.keys.splice(slot, 1)
  node.children.splice(slot, 1)
  node.prefixes.copyWithin(slot, slot + 1, node.count)
  node.count--
}

/** Gives the child at `slot` >= 1 another lower bound. */
export function replaceKey<K, V>(node: Node<K, V>, slot: number, key: K, kind: Kind): void {
  node.keys[slot] = key
  setPrefix(node, slot, kind)
}

/** The cache for one changed key. Between two others a key shares what they share, so only the ends can shorten skip. */
function setPrefix<K, V>(node: Node<K, V>, slot: number, kind: Kind): void {
  if (kind === KIND_NUMBERS) {
    node.prefixes[slot] = node.keys[slot] as number
  } else if (kind === KIND_BIGINTS) {
    node.prefixes[slot] = Number(node.keys[slot])
  } else if (kind === KIND_STRINGS) {
    const keys = node.keys as unknown as string[]
    const key = keys[slot] as string
    const last = node.count - 1
    const atEnd = !node.fenced && (slot === 1 || slot === last)
    if (
      (atEnd && commonLength(keys[1] as string, keys[last] as string) < node.skip) ||
      (!node.wide && wantsWide(key, node.skip, PREFIX_WIDE_UNITS))
    ) {
      rebuildPrefixes(node, kind, node.fenced ? node.skip : -1)
    } else {
      node.prefixes[slot] = prefixOf(key, node.skip, node.wide)
    }
  }
}

/** Slot of the child whose interval holds `key`. */
export function childOfString(node: Node<string, unknown>, key: string): number {
  const { count, skip, prefixes } = node
  if (!node.fenced) {
    const side = compareHead(key, node.keys[1] as string, skip)
    if (side !== 0) return side < 0 ? 0 : count - 1
  }
  const prefix = prefixOf(key, skip, node.wide)
  let low = 1
  let high = count
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((prefixes[middle] as number) < prefix) low = middle + 1
    else high = middle
  }
  if (low === count || prefixes[low] !== prefix) return low - 1
  return childAmongTies(node, key, prefix, low)
}

/** The cache cannot tell keys from `first` on apart from `key`: bounds the tie, then compares strings. */
function childAmongTies(node: Node<string, unknown>, key: string, prefix: number, first: number): number {
  const { keys, prefixes } = node
  let low = first
  let high = node.count
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((prefixes[middle] as number) <= prefix) low = middle + 1
    else high = middle
  }
  high = low
  low = first
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((keys[middle] as string) <= key) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** Slot of the child whose interval holds `key`. */
export function childOfNumber(node: Node<number, unknown>, key: number): number {
  const { prefixes } = node
  let low = 1
  let high = node.count
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((prefixes[middle] as number) <= key) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** Slot of the child whose interval holds `key`. Bigints that are next to the same double are compared themselves. */
export function childOfBigint(node: Node<bigint, unknown>, key: bigint): number {
  const { prefixes, keys, count } = node
  const prefix = Number(key)
  let low = 1
  let high = count
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((prefixes[middle] as number) < prefix) low = middle + 1
    else high = middle
  }
  if (low === count || prefixes[low] !== prefix) return low - 1
  high = count
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((keys[middle] as bigint) <= key) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** Slot of the child whose interval holds `key`. */
export function childOfAny<K>(node: Node<K, unknown>, key: K, compare: (a: K, b: K) => number): number {
  const { keys } = node
  let low = 1
  let high = node.count
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compare(keys[middle] as K, key) <= 0) low = middle + 1
    else high = middle
  }
  return low - 1
}
