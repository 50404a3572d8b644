import { describe, expect, it } from 'vitest'

import { ALL } from '../../src/keys/index.ts'
import { type LazyReader, LazyReaders } from '../../src/mvcc/lazy.ts'
import type { Txn } from '../../src/mvcc/index.ts'
import { SET } from '../../src/mvcc/write-set.ts'
import { makeEngine } from './fixtures.ts'

class Reader implements LazyReader {
  lazyAt = -1
  promotions = 0

  promote(): void {
    this.promotions++
  }
}

describe('LazyReaders', () => {
  it('promotes who is waiting at the end of the tick, once', async () => {
    const lazy = new LazyReaders()
    const readers = [new Reader(), new Reader()]
    for (const reader of readers) lazy.add(reader)
    expect([lazy.size, readers.map(({ promotions }) => promotions)]).toEqual([2, [0, 0]])
    await Promise.resolve()
    expect([lazy.size, readers.map(({ promotions }) => promotions)]).toEqual([0, [1, 1]])
    await Promise.resolve()
    expect(readers.map(({ promotions, lazyAt }) => [promotions, lazyAt])).toEqual([
      [1, -1],
      [1, -1],
    ])
  })

  it('promotes at once when told to, and not again at the end of the tick', async () => {
    const lazy = new LazyReaders()
    const reader = new Reader()
    lazy.add(reader)
    lazy.promoteAll()
    lazy.promoteAll()
    const later = new Reader()
    lazy.add(later)
    await Promise.resolve()
    expect([reader.promotions, later.promotions]).toEqual([1, 1])
  })

  it('lets go of readers that have finished, in any order', async () => {
    const lazy = new LazyReaders()
    const readers = Array.from({ length: 5 }, () => new Reader())
    for (const reader of readers) lazy.add(reader)
    for (const at of [2, 0, 4, 2]) lazy.remove(readers[at] as Reader)
    expect(lazy.size).toBe(2)
    await Promise.resolve()
    expect(readers.map(({ promotions }) => promotions)).toEqual([0, 1, 0, 1, 0])
    lazy.remove(readers[1] as Reader)
    expect(lazy.size).toBe(0)
  })

  it('takes readers that a promotion adds', () => {
    const lazy = new LazyReaders()
    const added = new Reader()
    const adding = new Reader()
    adding.promote = () => lazy.add(added)
    lazy.add(adding)
    lazy.promoteAll()
    expect([lazy.size, added.promotions]).toEqual([1, 0])
  })

  it('I1: a waiting reader is promoted before a commit installs anything, to the snapshot it has been reading', () => {
    const { engine, store } = makeEngine()
    engine.writeOne(store, 'a', SET, 1, 8)
    engine.writeOne(store, 'b', SET, 1, 8)
    const cursor = engine.scanNewest(store, ALL)
    let txn: Txn | undefined
    engine.lazy.add({ lazyAt: -1, promote: () => void (txn = engine.beginWaiting(-Infinity)) })
    expect(cursor.next()).toBe(true)
    engine.writeOne(store, 'b', SET, 2, 8)
    expect(txn?.snapshot).toBe(2)
    expect([cursor.next(), cursor.key, cursor.value]).toEqual([true, 'b', 1])
    const writer = engine.begin(true, false)
    writer.view(store).set('c', 3, 8)
    let second: Txn | undefined
    engine.lazy.add({ lazyAt: -1, promote: () => void (second = engine.beginWaiting(-Infinity)) })
    expect(engine.commit(writer)).toBeNull()
    expect(second?.snapshot).toBe(3)
    expect(cursor.next()).toBe(false)
    for (const open of [txn, second]) engine.rollback(open as Txn)
    expect(engine.check()).toEqual([])
  })
})
