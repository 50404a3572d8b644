/** The public list against a sorted array: ranges, neighbours, and iteration with changes in between. */
import { describe, expect, it } from 'vitest'
import { type Key, SkipList, type SkipListRange } from '../../src/skiplist/index.ts'
import { Random, runs } from '../support/random.ts'
import { families, type KeyFamily, SortedArray } from './model.ts'

function randomRange(random: Random, family: KeyFamily, spread: number): SkipListRange<Key> {
  const range: SkipListRange<Key> = {}
  if (random.chance(0.6)) range[random.pick(['gt', 'gte'] as const)] = family.make(random, spread)
  if (random.chance(0.6)) range[random.pick(['lt', 'lte'] as const)] = family.make(random, spread)
  if (random.chance(0.5)) range.reverse = random.chance(0.5)
  if (random.chance(0.3)) range.limit = random.int(200)
  return range
}

function isInside(key: Key, { gt, gte, lt, lte }: SkipListRange<Key>, compare: (a: Key, b: Key) => number): boolean {
  return (
    (gt === undefined || compare(key, gt) > 0) &&
    (gte === undefined || compare(key, gte) >= 0) &&
    (lt === undefined || compare(key, lt) < 0) &&
    (lte === undefined || compare(key, lte) <= 0)
  )
}

class Lists {
  readonly family: KeyFamily
  readonly model: SortedArray<Key, number>
  readonly list: SkipList<Key, number>

  constructor(family: KeyFamily) {
    this.family = family
    this.model = new SortedArray(family.compare)
    this.list = family.isNatural ? new SkipList() : new SkipList({ compare: family.compare })
  }

  change(key: Key, value: number, growing: boolean): void {
    if (growing) {
      this.list.set(key, value)
      this.model.set(key, value)
    } else {
      expect(this.list.delete(key)).toBe(this.model.delete(key))
    }
  }

  /** What a walk over the range has to give next, after `last`, in the model as it is. */
  following(range: SkipListRange<Key>, last: Key | undefined): [Key, number] | undefined {
    const { model } = this
    const step = range.reverse === true ? -1 : 1
    const beyond = step > 0 ? 0 : model.keys.length - 1
    const start = last === undefined ? beyond : step > 0 ? model.upperBound(last) : model.lowerBound(last) - 1
    for (let i = start; i in model.keys; i += step) {
      if (isInside(model.keys[i]!, range, model.compare)) return [model.keys[i]!, model.values[i]!]
    }
    return undefined
  }

  walk(random: Random, spread: number, changes: number): void {
    const range = randomRange(random, this.family, spread)
    const iterator = this.list.entries(range)
    let last: Key | undefined
    let left = range.limit ?? Infinity
    for (let given = 0; given < 300; given++) {
      for (let i = random.int(changes + 1); i > 0; i--) {
        this.change(this.family.make(random, spread), given, random.chance(0.5))
      }
      if (last !== undefined && random.chance(changes / 20)) this.change(last, given, random.chance(0.3))
      const expected = left > 0 ? this.following(range, last) : undefined
      expect(iterator.next()).toEqual({ done: expected === undefined, value: expected })
      if (expected === undefined) return
      last = expected[0]
      left--
    }
  }

  neighbours(key: Key): void {
    const { list, model } = this
    const entry = (at: number): [Key, number] | undefined =>
      at in model.keys ? [model.keys[at]!, model.values[at]!] : undefined
    expect(list.lower(key)).toEqual(entry(model.lowerBound(key) - 1))
    expect(list.floor(key)).toEqual(entry(model.upperBound(key) - 1))
    expect(list.ceiling(key)).toEqual(entry(model.lowerBound(key)))
    expect(list.higher(key)).toEqual(entry(model.upperBound(key)))
    expect(list.has(key)).toBe(model.has(key))
  }
}

describe.each(families)('a list of $name keys', (family) => {
  it('gives ranges, neighbours and iterations as a sorted array would', () => {
    for (let round = 0; round < runs(2); round++) {
      const random = new Random(`list ${family.name} ${round}`)
      const lists = new Lists(family)
      const spread = random.pick([40, 400, 4000])
      for (let i = 0; i < 2000; i++) lists.change(family.make(random, spread), i, random.chance(0.8))
      for (let i = 0; i < 20; i++) {
        lists.walk(random, spread, random.pick([0, 0, 1, 5]))
        lists.neighbours(family.make(random, spread))
      }
      lists.list.check()
      expect([...lists.list]).toEqual(lists.model.keys.map((key, i) => [key, lists.model.values[i]]))
      expect(lists.list.first()).toEqual([...lists.list][0])
      expect(lists.list.last()).toEqual([...lists.list.entries({ reverse: true, limit: 1 })][0])
      expect([...lists.list.keys()]).toEqual(lists.model.keys)
      expect([...lists.list.values({ reverse: true })]).toEqual([...lists.model.values].reverse())
    }
  })
})
