/** clear(): deletes what its snapshot shows, and depends on all of it. */
import { describe, expect, it } from 'vitest'

import { table } from '../../src/index.ts'
import { contents, open, refusal, withEntries } from './fixtures.ts'

describe('clear', () => {
  it('empties the table, in one commit', async () => {
    const db = open<number>()
    await db.handle().transaction((tx) => {
      for (let i = 0; i < 1000; i++) tx.set(i, i)
    })
    expect(await db.handle().clear()).toBeUndefined()
    expect(contents(db.handle())).toEqual([])
    expect([db.handle().size, db.handle().sizeBytes, db.sequence]).toEqual([0, 0, 2])
    await db.handle().clear()
    expect(db.sequence).toBe(2)
    await db.vacuum()
    expect(db.stats().versions).toBe(0)
  })

  it('touches no other table', async () => {
    const db = open()
    const other = table<string, number>('other')
    await db.handle().set('a', 1)
    await db.handle(other).set('x', 1)
    await db.handle().clear()
    expect(db.handle(other).get('x')).toBe(1)
  })

  it('in a transaction takes own writes with it, and what is written after it stays', async () => {
    const handle = await withEntries({ a: 1, b: 2 })
    await handle.transaction((tx) => {
      tx.set('c', 3)
      tx.set('a', 10)
      tx.clear()
      expect(contents(tx)).toEqual([])
      expect(tx.size).toBe(0)
      tx.set('b', 20)
      tx.set('d', 4)
      expect(contents(tx)).toEqual([
        ['b', 20],
        ['d', 4],
      ])
    })
    expect(contents(handle)).toEqual([
      ['b', 20],
      ['d', 4],
    ])
  })

  it('in a transaction is rolled back with it', async () => {
    const handle = await withEntries({ a: 1 })
    const tx = handle.begin()
    tx.clear()
    expect(tx.size).toBe(0)
    tx.rollback()
    expect(contents(handle)).toEqual([['a', 1]])
  })

  it('deletes what its snapshot shows: a key that came later stays, where an order of the two exists', async () => {
    const handle = await withEntries({ a: 1 })
    const clearing = handle.begin()
    clearing.clear()
    await handle.set('b', 2)
    await clearing.commit()
    expect(contents(handle)).toEqual([['b', 2]])
  })

  it('conflicts with an insert by a transaction that depends on what it clears', async () => {
    const handle = await withEntries({ a: 1 })
    const [clearing, inserting] = [handle.begin(), handle.begin()]
    clearing.clear()
    inserting.get('a')
    inserting.set('b', 2)
    await inserting.commit()
    expect(await refusal(() => clearing.commit())).toBe('SERIALIZATION_FAILURE')
    expect(contents(handle)).toEqual([
      ['a', 1],
      ['b', 2],
    ])
  })

  it('the other way round it is the insert that is refused', async () => {
    const handle = await withEntries({ a: 1 })
    const [clearing, inserting] = [handle.begin(), handle.begin()]
    inserting.get('a')
    inserting.set('b', 2)
    clearing.clear()
    await clearing.commit()
    expect(await refusal(() => inserting.commit())).toBe('SERIALIZATION_FAILURE')
    expect(contents(handle)).toEqual([])
  })

  it('at the snapshot level loses to an overwrite of a key that it deletes', async () => {
    const handle = await withEntries({ a: 1 })
    const clearing = handle.begin({ isolation: 'snapshot' })
    clearing.clear()
    await handle.set('a', 2)
    expect(await refusal(() => clearing.commit())).toBe('WRITE_CONFLICT')
    expect(handle.get('a')).toBe(2)
  })

  it('leaves snapshots and iterators what they see', async () => {
    const db = open()
    const handle = db.handle()
    await handle.set('a', 1)
    await handle.set('b', 2)
    using snapshot = db.snapshot()
    const iterator = handle.keys()
    iterator.next()
    await handle.clear()
    await db.vacuum()
    expect(snapshot.count()).toBe(2)
    expect(iterator.next().value).toBe('b')
  })
})
