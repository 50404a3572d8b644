/** What infers, and what must not compile. */
import { describe, expectTypeOf, it } from 'vitest'
import { type Key, SkipList, type SkipListOptions, type SkipListRange } from '../../src/skiplist/index.ts'

describe('SkipList', () => {
  it('infers its types from its entries or its comparator', () => {
    expectTypeOf(new SkipList()).toEqualTypeOf<SkipList>()
    expectTypeOf(new SkipList({ entries: new Map<string, number>() })).toEqualTypeOf<SkipList<string, number>>()
    expectTypeOf(new SkipList({ compare: (a: Date, b: Date) => +a - +b })).toEqualTypeOf<SkipList<Date>>()
  })

  it('gives what was put in', () => {
    const list = new SkipList<string, number>()
    expectTypeOf(list.get('a')).toEqualTypeOf<number | undefined>()
    expectTypeOf(list.first()).toEqualTypeOf<[string, number] | undefined>()
    expectTypeOf(list.entries({ gte: 'a', limit: 5 })).toEqualTypeOf<IterableIterator<[string, number]>>()
    expectTypeOf(list.keys()).toEqualTypeOf<IterableIterator<string>>()
    expectTypeOf(list.values()).toEqualTypeOf<IterableIterator<number>>()
    expectTypeOf([...list]).toEqualTypeOf<[string, number][]>()
  })

  it('refuses keys, values, bounds and options of other types', () => {
    const list = new SkipList<string, number>()
    // @ts-expect-error a key of another type
    list.set(1, 1)
    // @ts-expect-error a value of another type
    list.set('a', 'b')
    // @ts-expect-error a bound of another type
    list.entries({ gt: 5 })
    // @ts-expect-error a misspelt property
    list.entries({ gte: 'a', limt: 5 })
    // @ts-expect-error a misspelt option
    expectTypeOf(new SkipList({ comparator: () => 0 })).not.toBeAny()
    // @ts-expect-error size is counted, not set
    list.size = 5
  })

  it('accepts undefined where a property may be left out', () => {
    expectTypeOf<{ gt: string | undefined }>().toExtend<SkipListRange<string>>()
    expectTypeOf<{ compare: undefined }>().toExtend<SkipListOptions<string, number>>()
  })
})
