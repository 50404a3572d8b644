/** That check() notices: each invariant is broken by hand once, in an engine that is well otherwise. */
import { describe, expect, it } from 'vitest'

import { createPolicy } from '../../src/eviction/index.ts'
import { ALL } from '../../src/keys/index.ts'
import { checkPins } from '../../src/mvcc/check.ts'
import { ActiveList } from '../../src/mvcc/active.ts'
import { Chunk } from '../../src/mvcc/chunk.ts'
import { Residency } from '../../src/mvcc/residency.ts'
import type { Txn } from '../../src/mvcc/transaction.ts'
import { Watched } from '../../src/mvcc/watch-index.ts'
import { SET } from '../../src/mvcc/write-set.ts'
import { makeEngine, makeStore } from './fixtures.ts'

const FOR_ALL = { durable: false, safe: false, before: false }

describe('check() of an engine', () => {
  it('I6: finds an entry that is queued and does not expire, and one that is not queued', () => {
    const { engine, store } = makeEngine()
    engine.writeOne(store, 'mortal', SET, 1, 8, 1000)
    engine.writeOne(store, 'eternal', SET, 1, 8)
    expect(engine.check()).toEqual([])
    const id = store.find('mortal')
    engine.deadlines.remove(id)
    expect(engine.check()).toContainEqual('deadlines: I6: 0 entries are queued, but 1 expire')
    engine.deadlines.set(id, 1000)
    // A place that is no entry's.
    engine.deadlines.set(store.find('eternal') + 1, 1000)
    expect(engine.check()).toEqual(['deadlines: I6: 2 entries are queued, but 1 expire'])
  })

  it('R4: finds a pin without a read, and a read without a pin', () => {
    const store = makeStore()
    const memory = { limitBytes: 1e6, policy: createPolicy('lru', { random: () => 0.5, limitBytes: 1e6 }) }
    const chunk = new Chunk(Object.assign(store, { residency: new Residency(memory, 0) }), 16)
    const list = new ActiveList()
    expect(() => checkPins([list], [chunk])).not.toThrow()
    chunk.pins?.fill(1, 3, 4)
    expect(() => checkPins([list], [chunk])).toThrow('R4: an entry has 1 pins for 0 reads')
    list.first = { views: [{ tracked: true, reads: [3], existenceReads: [] }], next: null } as unknown as Txn
    expect(() => checkPins([list], [chunk])).not.toThrow()
    chunk.pins?.fill(0)
    expect(() => checkPins([list], [chunk])).toThrow('R4: an entry has 0 pins for 1 reads')
  })

  it('finds a reader of the feed that is to miss something (I5), and what is counted wrongly there (I3)', () => {
    const { engine, store } = makeEngine()
    const feed = engine.openFeed()
    const reader = feed.open({ watched: new Watched(store, undefined, ALL), ...FOR_ALL })
    engine.writeOne(store, 'a', SET, 1, 8)
    engine.writeOne(store, 'b', SET, 1, 8)
    expect(engine.check()).toEqual([])
    const { next } = reader
    reader.next = next + 1
    expect(engine.check()).toEqual(['feed: I5: a reader is to miss commit 1'])
    reader.next = next
    feed.bytes++
    expect(engine.check()).toEqual([expect.stringMatching(/^feed: I3: /)])
  })

  it('finds a safe point that nothing holds', () => {
    const { engine, store } = makeEngine()
    const txn = engine.begin(true, false)
    engine.writeOne(store, 'a', SET, 1, 8)
    expect(engine.check()).toEqual([])
    engine.snapshots.slots.length = 0
    expect(engine.check()).toContainEqual('safe point: I3: no slot holds it')
    expect(txn.snapshot).toBe(0)
  })
})
