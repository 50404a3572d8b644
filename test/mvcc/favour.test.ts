import { afterEach, describe, expect, it, vi } from 'vitest'

import { ALL, boundsOfKey, type Key } from '../../src/keys/index.ts'
import { ActiveList } from '../../src/mvcc/active.ts'
import type { Engine } from '../../src/mvcc/engine.ts'
import type { TableStore } from '../../src/mvcc/store.ts'
import type { Txn } from '../../src/mvcc/transaction.ts'
import { SET } from '../../src/mvcc/write-set.ts'
import { makeEngine } from './fixtures.ts'

afterEach(() => vi.useRealTimers())

/** A transaction that means to write one key. */
function writer(engine: Engine, store: TableStore, key: Key = 'k'): Txn {
  const txn = engine.begin(true, false)
  txn.view(store).set(key, 1, 8)
  return txn
}

describe('FavourBoard', () => {
  it('stands up for what a favoured attempt has read or means to write, and for nothing else', () => {
    const reads: readonly ((txn: Txn, store: TableStore) => unknown)[] = [
      (txn, store) => txn.view(store).get('k'),
      (txn, store) => txn.view(store).has('k'),
      (txn, store) => txn.view(store).get('absent'),
      (txn, store) => txn.view(store).set('k', 5, 8),
      (txn, store) => txn.view(store).scan(boundsOfKey('k'), 'value').next(),
      (txn, store) => txn.view(store).scan(ALL, 'existence').next(),
    ]
    for (const [i, read] of reads.entries()) {
      const { engine, store, sums } = makeEngine()
      engine.writeOne(store, 'k', SET, 1, 8)
      const favour = engine.grantFavour(1000)
      const attempt = engine.begin(true, false)
      favour.attach(attempt)
      const against = (txn: Txn): unknown => {
        for (const view of txn.views)
          for (const pending of view.writes?.list ?? []) pending.entry = view.store.find(pending.key)
        return engine.favours.against(txn, 0)
      }
      const touching = i === 2 ? 'absent' : 'k'
      expect(against(writer(engine, store, touching))).toBeNull()
      read(attempt, store)
      expect(against(writer(engine, store, touching))).toBe(favour)
      expect(against(writer(engine, store, 'zzz'))).toBeNull()
      expect(against(writer(engine, sums, touching))).toBeNull()
      expect(against(attempt)).toBeNull()
      expect(engine.favours.refusals).toBe(1)
      engine.favours.end(favour)
    }
  })

  it('remembers what the attempt before it touched', () => {
    const { engine, store } = makeEngine()
    const favour = engine.grantFavour(1000)
    const attempts = Array.from({ length: 3 }, () => engine.begin(true, false))
    attempts[0]?.view(store).get('k')
    for (const [i, attempt] of attempts.entries()) {
      favour.attach(attempt)
      expect(engine.favours.against(writer(engine, store), 0)).toBe(i < 2 ? favour : null)
    }
  })

  it('I1: the most senior is refused by nobody; a junior gives way to it', () => {
    const { engine, store } = makeEngine()
    const [senior, junior] = [engine.grantFavour(1000), engine.grantFavour(1000)]
    const [first, second] = [writer(engine, store), writer(engine, store)]
    senior.attach(first)
    junior.attach(second)
    expect(engine.favours.against(first, 0)).toBeNull()
    expect(engine.favours.against(second, 0)).toBe(senior)
    engine.favours.end(senior)
    expect(engine.favours.against(second, 0)).toBeNull()
    expect(engine.favours.against(writer(engine, store), 0)).toBe(junior)
  })

  it('I1: synchronous and nested commits pass', () => {
    const { engine, store } = makeEngine()
    const favour = engine.grantFavour(1000)
    const attempt = writer(engine, store)
    favour.attach(attempt)
    const nested = writer(engine, store)
    nested.nested = true
    expect(engine.commit(nested)).toBeNull()
    const synchronous = engine.begin(true, true)
    synchronous.view(store).set('k', 3, 8)
    expect(engine.commit(synchronous)).toBeNull()
    expect(engine.commit(writer(engine, store))?.reason).toBe('favoured')
    expect(engine.check()).toEqual([])
  })

  it('I2: ends with its transaction: who waits goes on', async () => {
    const { engine } = makeEngine()
    const favour = engine.grantFavour(60_000)
    let woken = 0
    const waiting = Array.from({ length: 30 }, () => favour.ended(0).then(() => woken++))
    await Promise.resolve()
    expect(woken).toBe(0)
    engine.favours.end(favour)
    await Promise.all(waiting)
    expect([woken, engine.favours.size]).toEqual([30, 0])
    engine.favours.end(favour)
  })

  it('I2: ends with its lease, by the clock for committers and by a timer for those who wait', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const { engine, store } = makeEngine()
    const favour = engine.grantFavour(1000)
    const attempt = writer(engine, store)
    favour.attach(attempt)
    expect(engine.favours.against(writer(engine, store), 999)).toBe(favour)
    let woken = false
    const waiting = favour.ended(400).then(() => (woken = true))
    await vi.advanceTimersByTimeAsync(599)
    expect(woken).toBe(false)
    await vi.advanceTimersByTimeAsync(1)
    await waiting
    expect(woken).toBe(true)
    expect(engine.favours.against(writer(engine, store), 1000)).toBeNull()
    expect(engine.favours.size).toBe(0)
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('ActiveList', () => {
  it('keeps transactions in order of begin, so that the first reads at the oldest snapshot', () => {
    const { engine, store } = makeEngine()
    const list = new ActiveList()
    expect([list.size, list.oldestSnapshot]).toEqual([0, Infinity])
    const transactions: Txn[] = []
    for (let i = 0; i < 5; i++) {
      const txn = engine.beginSnapshot()
      txn.list?.remove(txn)
      list.add(txn)
      transactions.push(txn)
      engine.writeOne(store, 'k', SET, i, 8)
    }
    const order = (): Txn[] => {
      const found: Txn[] = []
      for (let txn = list.first; txn !== null; txn = txn.next) found.push(txn)
      return found
    }
    expect(order()).toEqual(transactions)
    for (const at of [2, 0, 3, 0, 0]) {
      const [gone] = transactions.splice(at % transactions.length, 1) as [Txn]
      list.remove(gone)
      expect(order()).toEqual(transactions)
      expect([list.size, list.oldestSnapshot]).toEqual([transactions.length, transactions[0]?.snapshot ?? Infinity])
      expect([list.first, list.last]).toEqual([transactions[0] ?? null, transactions.at(-1) ?? null])
    }
  })
})
