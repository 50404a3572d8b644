/** A check that cannot fail is worth nothing: each invariant is broken by hand, and check() must name it. */
import { describe, expect, it } from 'vitest'
import { compareKeys, type Key } from '../../src/keys/index.ts'
import { type Leaf, OrderedIndex } from '../../src/skiplist/core.ts'
import { NO_KEYS } from '../../src/skiplist/leaf.ts'
import type { Node } from '../../src/skiplist/node.ts'

type Index = OrderedIndex<Key, number>

/** Random enough to have inner nodes with bounds on both sides: levels of about 1, 80 and 2,400 leaves' parents. */
function index(make: (i: number) => Key): Index {
  const made = new OrderedIndex<Key, number>(compareKeys)
  for (let i = 0; i < 20_000; i++) made.insert(make((i * 7919) % 20_000), i)
  made.check()
  return made
}

const strings = (): Index => index((i) => `key${String(i).padStart(8, '0')}`)
const numbers = (): Index => index((i) => i / 3)
const bigints = (): Index => index((i) => (1n << 60n) + BigInt(i))

function nodes(from: Index): { root: Node<Key, number>; inner: Node<Key, number>; edge: Node<Key, number> } {
  const root = from.root!
  return { root, inner: root.children[2] as Node<Key, number>, edge: root.children[0] as Node<Key, number> }
}

function middleLeaf(from: Index): Leaf<Key, number> {
  return nodes(from).inner.children[5] as Leaf<Key, number>
}

const breakages: [invariant: string, what: string, make: () => Index, damage: (index: Index) => void][] = [
  ['I1', 'a back link', strings, (i) => void (middleLeaf(i).prev = i.first)],
  ['I1', 'last', strings, (i) => void (i.last = middleLeaf(i))],
  ['I1', 'a leaf under the wrong id', strings, (i) => void (i.leaves[middleLeaf(i).id] = i.first)],
  ['I1', 'an id that is free and in use', strings, (i) => void i.freeIds.push(middleLeaf(i).id)],
  [
    'I1',
    'an id free twice',
    strings,
    (i) => void (i.leaves.push(undefined), i.freeIds.push(...Array<number>(2).fill(i.leaves.length - 1))),
  ],
  ['I1', 'a lost id', strings, (i) => void i.leaves.push(undefined)],
  ['I2', 'two keys in the wrong order', strings, (i) => void middleLeaf(i).keys.reverse()],
  ['I2', 'size', strings, (i) => void i.size++],
  [
    'I3',
    'a leaf that is too small',
    strings,
    (i) => {
      const leaf = middleLeaf(i)
      i.size -= leaf.keys.length - 15
      leaf.keys.length = leaf.values.length = 15
    },
  ],
  ['L1', 'a value too few', strings, (i) => void middleLeaf(i).values.pop()],
  [
    'L1',
    'a leaf that is too large',
    strings,
    (i) => {
      const { last } = i
      while (last.keys.length < 65) {
        last.keys.push(`${String(last.keys.at(-1))}0`)
        last.values.push(0)
        i.size++
      }
    },
  ],
  ['L1', 'a leaf that has lost its keys', strings, (i) => void (middleLeaf(i).keys = NO_KEYS)],
  ['L1', 'a hole', strings, (i) => void Reflect.deleteProperty(middleLeaf(i).values, 3)],
  [
    'I4',
    'a leaf the upper levels do not know',
    strings,
    (i) => {
      const { inner } = nodes(i)
      inner.children.splice(3, 1)
      inner.keys.splice(3, 1)
      inner.prefixes.copyWithin(3, 4)
      inner.count--
    },
  ],
  ['I4', 'a leaf above level 1', strings, (i) => void (nodes(i).root.children[1] = i.first)],
  ['I4', 'a node below level 1', strings, (i) => void (nodes(i).inner.children[1] = nodes(i).inner)],
  ['I5', 'a key of another type', strings, (i) => void (i.last.keys[i.last.keys.length - 1] = new Uint8Array(1))],
  ['I5', 'no bigint', bigints, (i) => void (i.last.keys[i.last.keys.length - 1] = 'a')],
  ['I5', 'no kind', strings, (i) => void (i.kind = 0)],
  ['N1', 'keys and children that differ in number', strings, (i) => void nodes(i).inner.keys.pop()],
  ['N1', 'a count that is off', strings, (i) => void nodes(i).inner.count--],
  [
    'N1',
    'a node that is too small',
    strings,
    (i) => {
      const { edge } = nodes(i)
      edge.count = edge.keys.length = edge.children.length = 15
    },
  ],
  ['N2', 'a node whose own bound is off', strings, (i) => void (nodes(i).inner.keys[0] = 'key')],
  [
    'N2',
    'a bound above a key',
    numbers,
    (i) => {
      const { inner } = nodes(i)
      inner.keys[5] = middleLeaf(i).keys[1]!
      inner.prefixes[5] = Number(inner.keys[5])
    },
  ],
  ['N3', 'a stale prefix', strings, (i) => void nodes(i).inner.prefixes[7]!++],
  ['N3', 'a stale number', numbers, (i) => void nodes(i).inner.prefixes[7]!++],
  ['N3', 'a stale double', bigints, (i) => void (nodes(i).inner.prefixes[7] = 0)],
  ['N3', 'a skip that is too long', strings, (i) => void (nodes(i).edge.skip = 11)],
  ['N3', 'a skip that is too long for the interval', strings, (i) => void (nodes(i).inner.skip = 11)],
  ['N3', 'an edge taken for fenced', strings, (i) => void (nodes(i).edge.fenced = true)],
  [
    'H1',
    'a stale hint',
    strings,
    (i) => {
      const leaf = middleLeaf(i)
      i.hints.chunks[leaf.id >> 8]![(leaf.id & 255) * 64 + 1]!++
    },
  ],
  ['H2', 'a skip of a leaf that is too long', strings, (i) => void (middleLeaf(i).skip = 11)],
]

describe('check()', () => {
  it.each(breakages)('sees a breach of %s: %s', (invariant, _, make, damage) => {
    const broken = make()
    damage(broken)
    expect(() => broken.check()).toThrow(new RegExp(`violated: ${invariant}:`))
  })
})
