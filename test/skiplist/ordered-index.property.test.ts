/** The index against a sorted array: every family of keys, growing and shrinking in every order. */
import { describe, expect, it } from 'vitest'
import { compareKeys, type Key } from '../../src/keys/index.ts'
import { type KeySource, type Leaf, OrderedIndex } from '../../src/skiplist/core.ts'
import { Random, runs } from '../support/random.ts'
import { families, type KeyFamily, SortedArray } from './model.ts'

/**
 * An index of entry ids beside its model, and what an owner keeps: the leaf of each entry, told by insert() and onMove,
 * and the commit that last touched it.
 */
class Subject {
  readonly model: SortedArray<Key, number>
  readonly index: OrderedIndex<Key, number>
  readonly leafOf: number[] = []
  readonly commitOf: number[] = []
  readonly keyOf: Key[] = []
  clock = 0

  /** @param isKeyless whether the index is to find keys by their values */
  constructor(compare: (a: Key, b: Key) => number, isKeyless: boolean) {
    this.model = new SortedArray(compare)
    const noteLeaf = (id: number, leaf: Leaf<Key, number>): void => {
      this.leafOf[id] = leaf.id
    }
    this.index = new OrderedIndex<Key, number>(compare, noteLeaf, isKeyless ? this.source(compare) : null)
  }

  private source(compare: (a: Key, b: Key) => number): KeySource<Key, number> {
    const keyOf = (id: number): Key => {
      if (!(id in this.keyOf)) throw new Error(`entry ${id} has no key`)
      return this.keyOf[id]!
    }
    return {
      keyOf,
      compareTo: (id, key) => compare(keyOf(id), key),
      locate(ids, key) {
        const at = ids.findIndex((id) => compare(keyOf(id), key) >= 0)
        if (at < 0) return ~ids.length
        return compare(keyOf(ids[at]!), key) === 0 ? at : ~at
      },
    }
  }

  insert(key: Key): void {
    if (this.model.has(key)) {
      this.overwrite(key)
      return
    }
    const id = this.leafOf.length
    this.keyOf[id] = key
    const leaf = this.index.insert(key, id)
    this.model.set(key, id)
    this.leafOf[id] = leaf.id
    this.commit(id, leaf)
  }

  overwrite(key: Key): void {
    const id = this.index.get(key)!
    this.commit(id, this.index.leaves[this.leafOf[id]!]!)
  }

  /** By its key, or by its id and leaf. */
  remove(key: Key): void {
    const id = this.model.has(key) ? this.index.get(key)! : 0
    if (id % 2 === 0) {
      expect(this.index.remove(key)).toBe(this.model.delete(key))
    } else {
      this.index.removeFrom(this.leafOf[id]!, id)
      this.model.delete(key)
    }
  }

  clear(): void {
    this.index.clear()
    this.model.clear()
  }

  private commit(id: number, leaf: Leaf<Key, number>): void {
    this.index.stamps[leaf.id] = this.commitOf[id] = ++this.clock
  }

  /** All invariants, the entries, where they are, and I6. */
  verify(): void {
    const { index, model } = this
    index.check()
    const keys: Key[] = []
    const values: number[] = []
    for (let leaf: Leaf<Key, number> | null = index.first; leaf !== null; leaf = leaf.next) {
      for (let i = 0; i < leaf.values.length; i++) keys.push(index.keyAt(leaf, i))
      values.push(...leaf.values)
      for (const id of leaf.values) {
        if (this.leafOf[id] !== leaf.id) throw new Error(`entry ${id} is in leaf ${leaf.id}, not ${this.leafOf[id]}`)
        if (index.stamps[leaf.id]! < this.commitOf[id]!) throw new Error(`entry ${id} is newer than leaf ${leaf.id}`)
      }
    }
    expect(keys).toEqual(model.keys)
    expect(values).toEqual(model.values)
    expect(index.size).toBe(model.keys.length)
  }

  /** Lookups of a key, there or not. */
  probe(key: Key): void {
    const { index, model } = this
    const at = model.lowerBound(key)
    const found = model.has(key)
    expect(index.get(key)).toBe(found ? model.values[at] : undefined)
    const leaf = index.seekLeaf(key)
    const place = index.lowerBound(leaf, key)
    expect(index.locate(leaf, key)).toBe(found ? place : ~place)
    const next = place < leaf.values.length ? leaf.values[place] : leaf.next?.values[0]
    expect(next).toBe(model.values[at])
    if (place === 0) expect(leaf.prev?.values.at(-1)).toBe(model.values[at - 1])
  }

  /** lowerBound() holds in every leaf, not only in the one whose interval holds the key. */
  probeElsewhere(key: Key, random: Random): void {
    const leaf = random.pick(this.index.leaves.filter((candidate) => candidate !== undefined))
    const expected = leaf.values.filter((id) => this.model.compare(this.keyOf[id]!, key) < 0).length
    expect(this.index.lowerBound(leaf, key)).toBe(expected)
  }
}

function churn(subject: Subject, family: KeyFamily, random: Random, spread: number, steps: number): void {
  const insertions = random.pick([0.3, 0.5, 0.8])
  for (let i = 0; i < steps; i++) {
    const key = family.make(random, spread)
    if (random.chance(insertions)) subject.insert(key)
    else subject.remove(key)
    if (random.chance(0.1)) subject.probe(family.make(random, spread))
    if (random.chance(0.02)) subject.probeElsewhere(family.make(random, spread), random)
  }
}

/** Those with the comparisons inline, and those without. */
const KEYLESS = ['bigints', 'large bigints', 'rarely no bigints', 'integers', 'numbered', 'mixed', 'reversed']
const subjects = families.flatMap((family) => {
  const own = { name: family.name, family, isKeyless: false }
  return KEYLESS.includes(family.name) ? [own, { ...own, name: `${own.name} elsewhere`, isKeyless: true }] : [own]
})

describe.each(subjects)('an index of keys: $name', ({ family, isKeyless }) => {
  it('is a sorted array under random insertion, overwriting and removal (I1 to I6, L1, N1 to N3, H1, H2)', () => {
    for (let round = 0; round < runs(3); round++) {
      const random = new Random(`churn ${family.name} ${round}`)
      const subject = new Subject(family.compare, isKeyless)
      for (let phase = 0; phase < 6; phase++) {
        churn(subject, family, random, random.pick([100, 1000, 10_000]), 500)
        subject.verify()
        if (random.chance(0.1)) subject.clear()
      }
    }
  })

  it('grows, is emptied and grows again in every order', () => {
    const random = new Random(`orders ${family.name}`)
    const subject = new Subject(family.compare, isKeyless)
    for (const [growth, decay] of random
      .shuffle(ORDERS.flatMap((a) => ORDERS.map((b) => [a, b] as const)))
      .slice(0, runs(5))) {
      const keys = sortedKeys(family, random, 1500)
      for (const [i, key] of arranged(keys, growth, random).entries()) {
        subject.insert(key)
        if (i % 400 === 0) subject.verify()
      }
      subject.verify()
      for (const [i, key] of arranged(keys, decay, random).entries()) {
        subject.remove(key)
        if (i % 400 === 0) subject.verify()
      }
      expect(subject.index.size).toBe(0)
      subject.verify()
    }
  })
})

type Order = 'ascending' | 'descending' | 'random' | 'zig-zag' | 'inside out'
const ORDERS: readonly Order[] = ['ascending', 'descending', 'random', 'zig-zag', 'inside out']

function arranged(keys: readonly Key[], order: Order, random: Random): Key[] {
  const middle = keys.length >>> 1
  switch (order) {
    case 'ascending':
      return [...keys]
    case 'descending':
      return [...keys].reverse()
    case 'random':
      return random.shuffle([...keys])
    case 'zig-zag':
      return keys.map((_, i) => keys[i % 2 === 0 ? i >> 1 : keys.length - 1 - (i >> 1)]!)
    case 'inside out':
      return keys.map((_, i) => keys[i % 2 === 0 ? middle + (i >> 1) : middle - 1 - (i >> 1)]!)
  }
}

/** Different keys in order; fewer than asked for where the family is small. */
function sortedKeys(family: KeyFamily, random: Random, count: number): Key[] {
  const found = new SortedArray<Key, true>(family.compare)
  for (let tries = 0; tries < 4 * count && found.keys.length < count; tries++)
    found.set(family.make(random, 8 * count), true)
  return found.keys
}

describe('an index of several levels', () => {
  it.each(ORDERS)('keeps its invariants when filled in %s order and emptied in another', (order) => {
    const random = new Random(`two levels ${order}`)
    fillAndEmpty(30_000, 2, order, random.pick(ORDERS), random)
  })

  it('keeps its invariants through three levels', () => {
    fillAndEmpty(300_000, 3, 'random', 'zig-zag', new Random('three levels'))
  })
})

function fillAndEmpty(count: number, height: number, growth: Order, decay: Order, random: Random): void {
  const keys = Array.from({ length: count }, (_, i) => `item/${String(i).padStart(7, '0')}`)
  const index = new OrderedIndex<Key, number>(compareKeys)
  for (const [i, key] of arranged(keys, growth, random).entries()) index.insert(key, i)
  index.check()
  expect(index.height).toBe(height)
  for (const [i, key] of arranged(keys, decay, random).entries()) {
    index.remove(key)
    if ((i + 1) % (count / 3) === 0) index.check()
  }
  expect(index.height).toBe(0)
}
