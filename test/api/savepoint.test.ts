/** Savepoints: discard what was written since, keep what was read. */
import { describe, expect, it } from 'vitest'

import { type MergeOperator, table, type Transaction } from '../../src/index.ts'
import { contents, open, refusal, thrown, withEntries } from './fixtures.ts'

const sum: MergeOperator<number> = { identity: 0, merge: (a, b) => a + b, commutative: true }

describe('rollbackTo', () => {
  it('discards every kind of write since the savepoint', async () => {
    const handle = open({ merge: sum }).handle()
    for (const key of ['set', 'deleted', 'taken', 'swapped', 'updated', 'merged', 'compared']) await handle.set(key, 1)
    const before = contents(handle)
    await handle.transaction((tx) => {
      const savepoint = tx.savepoint()
      tx.set('set', 2)
      tx.set('new', 2)
      tx.delete('deleted')
      tx.take('taken')
      tx.swap('swapped', 2)
      tx.update('updated', () => 2)
      tx.merge('merged', 5)
      tx.merge('merged too', 5)
      tx.compareAndSet('compared', 1, 2)
      tx.getOrInsert('inserted', 2)
      tx.entry('entered').orInsert(2)
      expect(contents(tx)).not.toEqual(before)
      tx.rollbackTo(savepoint)
      expect(contents(tx)).toEqual(before)
      expect(tx.size).toBe(before.length)
      tx.clear()
      expect(tx.size).toBe(0)
      tx.rollbackTo(savepoint)
      expect(contents(tx)).toEqual(before)
    })
    expect(contents(handle)).toEqual(before)
  })

  it('keeps what was written before it, in all tables', async () => {
    const db = open()
    const other = table<string, number>('other')
    await db.handle().transaction((tx) => {
      tx.set('a', 1)
      tx.table(other).set('x', 1)
      const savepoint = tx.savepoint()
      tx.set('a', 2)
      tx.table(other).set('x', 2)
      tx.table(other).set('y', 2)
      tx.table(other).rollbackTo(savepoint)
      tx.set('b', 3)
    })
    expect(contents(db.handle())).toEqual([
      ['a', 1],
      ['b', 3],
    ])
    expect(contents(db.handle(other))).toEqual([['x', 1]])
  })

  it('takes merges back one by one', async () => {
    const handle = open({ merge: sum }).handle()
    await handle.set('n', 100)
    await handle.transaction((tx) => {
      tx.merge('n', 1)
      const savepoint = tx.savepoint()
      tx.merge('n', 10)
      expect(tx.get('n')).toBe(111)
      tx.rollbackTo(savepoint)
      expect(tx.get('n')).toBe(101)
      tx.merge('n', 2)
      tx.set('n', 0)
      tx.merge('n', 7)
      tx.rollbackTo(savepoint)
      tx.merge('n', 4)
    })
    expect(handle.get('n')).toBe(105)
  })

  it('leaves the savepoint itself in place, and takes later ones away', async () => {
    const handle = open().handle()
    await handle.transaction((tx) => {
      const first = tx.savepoint()
      tx.set('a', 1)
      const second = tx.savepoint()
      tx.set('a', 2)
      const third = tx.savepoint()
      tx.set('a', 3)
      tx.rollbackTo(second)
      expect(tx.get('a')).toBe(1)
      expect(thrown(() => tx.rollbackTo(third))).toBe('SAVEPOINT_NOT_FOUND')
      tx.set('a', 4)
      tx.rollbackTo(second)
      expect(tx.get('a')).toBe(1)
      tx.rollbackTo(first)
      expect(tx.has('a')).toBe(false)
      expect(thrown(() => tx.rollbackTo(second))).toBe('SAVEPOINT_NOT_FOUND')
      tx.set('a', 5)
    })
    expect(handle.get('a')).toBe(5)
  })

  it('knows two savepoints at one place apart', async () => {
    const handle = open().handle()
    await handle.transaction((tx) => {
      const [first, second] = [tx.savepoint(), tx.savepoint()]
      tx.rollbackTo(first)
      expect(thrown(() => tx.rollbackTo(second))).toBe('SAVEPOINT_NOT_FOUND')
      tx.rollbackTo(first)
    })
  })

  it('refuses savepoints of other transactions, of earlier attempts, and what is none', async () => {
    const handle = open().handle()
    const other = handle.begin()
    const theirs = other.savepoint()
    await handle.transaction((tx) => {
      tx.set('k', 1)
      expect(thrown(() => tx.rollbackTo(theirs))).toBe('SAVEPOINT_NOT_FOUND')
      expect(thrown(() => tx.rollbackTo(undefined as never))).toBe('SAVEPOINT_NOT_FOUND')
      expect(thrown(() => tx.rollbackTo({ txn: {}, mark: {} } as never))).toBe('SAVEPOINT_NOT_FOUND')
      expect(tx.get('k')).toBe(1)
    })
    other.rollback()
    expect(handle.get('k')).toBe(1)
  })

  it('keeps what was read since the savepoint tracked', async () => {
    const handle = await withEntries({ x: 1, y: 1 })
    const tx = handle.begin()
    const savepoint = tx.savepoint()
    tx.get('x')
    tx.set('z', 1)
    tx.rollbackTo(savepoint)
    const other = handle.begin()
    other.get('y')
    other.set('x', 2)
    await other.commit()
    tx.set('y', 2)
    expect(await refusal(() => tx.commit())).toBe('SERIALIZATION_FAILURE')
  })

  it('makes a transaction that took everything back one that wrote nothing', async () => {
    const db = open()
    const tx = db.handle().begin({ isolation: 'snapshot' })
    const savepoint = tx.savepoint()
    tx.set('k', 1)
    tx.rollbackTo(savepoint)
    await db.handle().set('k', 2)
    await tx.commit()
    expect(db.sequence).toBe(1)
    expect(db.stats().transactions.readOnlyCommits).toBeGreaterThan(0)
  })

  it('shows to iterators that go on what is left', async () => {
    const handle = await withEntries({ a: 1, c: 1 })
    await handle.transaction((tx) => {
      const savepoint = tx.savepoint()
      tx.set('b', 2)
      tx.delete('c')
      const iterator = tx.keys()
      expect(iterator.next().value).toBe('a')
      tx.rollbackTo(savepoint)
      expect([...iterator]).toEqual(['c'])
    })
  })

  it('lets a key that was taken back be written again before an iterator reaches it', async () => {
    const handle = await withEntries({ a: 1, c: 1 })
    await handle.transaction((tx) => {
      tx.set('d', 1)
      const savepoint = tx.savepoint()
      tx.set('b', 1)
      tx.rollbackTo(savepoint)
      const iterator = tx.keys()
      expect(iterator.next().value).toBe('a')
      tx.set('b', 2)
      expect([...iterator]).toEqual(['b', 'c', 'd'])
    })
  })

  it('holds for hundreds of nested ones, over hundreds of keys', async () => {
    const handle = open().handle()
    await handle.transaction((tx) => {
      const states: [ReturnType<Transaction<string, number>['savepoint']>, [string, number][]][] = []
      for (let i = 0; i < 200; i++) {
        states.push([tx.savepoint(), contents(tx)])
        for (let j = 0; j < 5; j++) {
          const key = `k${(i * 7 + j * 13) % 60}`
          if ((i + j) % 3 === 0) tx.delete(key)
          else tx.set(key, i)
        }
      }
      for (let at = 190; at >= 0; at -= 10) {
        const [savepoint, expected] = states[at] as (typeof states)[number]
        tx.rollbackTo(savepoint)
        expect(contents(tx)).toEqual(expected)
      }
    })
    expect(handle.size).toBe(0)
  })
})
