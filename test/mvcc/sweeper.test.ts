/** What the sweeper takes, when, and what it leaves alone. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import type { Engine, EngineOptions } from '../../src/mvcc/engine.ts'
import { type TableStore } from '../../src/mvcc/store.ts'
import { DELETE, SET } from '../../src/mvcc/write-set.ts'
import { bareEngine, specOf } from './fixtures.ts'

const START = 1_000_000

interface World {
  readonly engine: Engine
  readonly store: TableStore
  readonly time: { ms: number }
  readonly commits: { sequence: number; keys: number }[]
  set(key: string, ttlMs?: number): void
}

function world(options: Partial<EngineOptions> = {}): World {
  const time = { ms: START }
  const engine = bareEngine({ timeMs: () => time.ms, ...options })
  const store = engine.addTable(specOf(), null)
  const commits: { sequence: number; keys: number }[] = []
  engine.listener = {
    committed: (sequence, keys) => void commits.push({ sequence, keys }),
    aborted: () => {},
    vacuumed: () => {},
    evicted: () => {},
  }
  const set = (key: string, ttlMs?: number): void => void engine.writeOne(store, key, SET, 1, 8, ttlMs)
  return { engine, store, time, commits, set }
}

function expectSound({ engine }: World): void {
  expect(engine.check()).toEqual([])
  engine.deadlines.check()
}

describe('a sweep', () => {
  it('is one commit for a batch of keys, with a sequence of its own', async () => {
    const it = world()
    for (let i = 0; i < 200; i++) it.set(`k${i}`, 10)
    it.time.ms += 10
    it.commits.length = 0
    await it.engine.vacuum()
    expect(it.commits).toEqual([
      { sequence: 201, keys: 128 },
      { sequence: 202, keys: 72 },
    ])
    expect([it.engine.clock, it.store.size, it.store.bytes, it.store.entries]).toEqual([202, 0, 0, 0])
    expect(it.engine.sweeper.swept).toBe(200)
    expectSound(it)
  })

  it('takes nothing before its time, and nothing whose expiry has changed', async () => {
    const it = world()
    it.set('soon', 10)
    it.set('later', 11)
    it.set('renewed', 10)
    it.set('renewed', 100)
    it.set('persisted', 10)
    it.set('persisted')
    it.set('deleted', 10)
    it.engine.writeOne(it.store, 'deleted', DELETE, undefined, 0)
    it.set('again', 10)
    it.engine.writeOne(it.store, 'again', DELETE, undefined, 0)
    it.set('again')
    it.time.ms += 10
    await it.engine.vacuum()
    const left = ['soon', 'later', 'renewed', 'persisted', 'deleted', 'again'].filter(
      (key) => it.store.findResident(key) >= 0,
    )
    expect(left).toEqual(['later', 'renewed', 'persisted', 'again'])
    expect(it.engine.deadlines.size).toBe(2)
    expectSound(it)
  })

  it('S1: waits for whoever sees the value still, and for nobody else', async () => {
    const it = world()
    it.set('seen', 10)
    const early = it.engine.beginSnapshot()
    it.set('unseen', 10)
    it.time.ms += 10
    const late = it.engine.beginSnapshot()
    await it.engine.vacuum()
    expect([it.store.findResident('seen') >= 0, it.store.findResident('unseen')]).toEqual([true, -1])
    expect(early.view(it.store).get('seen')).toBe(1)
    expect(late.view(it.store).get('seen')).toBeUndefined()
    expect(it.store.sizeAt(early.snapshot).size).toBe(1)
    it.engine.rollback(early)
    await it.engine.vacuum()
    expect(it.store.findResident('seen')).toBe(-1)
    expect(it.store.sizeAt(late.snapshot).size).toBe(2)
    it.engine.rollback(late)
    expectSound(it)
  })

  it('S2: waits while the key has a history, or what wrote it may lie on a cycle', async () => {
    const it = world()
    const update = it.engine.begin(true, false)
    it.set('fresh', 10)
    it.time.ms += 10
    await it.engine.vacuum()
    expect(it.store.findResident('fresh')).toBeGreaterThanOrEqual(0)
    it.engine.rollback(update)
    await it.engine.vacuum()
    expect(it.store.findResident('fresh')).toBe(-1)
    expectSound(it)
  })

  it('S3: what has to wait is looked at a number of times that grows with the logarithm of its wait', () => {
    vi.useFakeTimers()
    const it = world({ sweepIntervalMs: 10 })
    it.set('k', 10)
    const snapshot = it.engine.beginSnapshot()
    const waits = vi.spyOn(it.engine.deadlines, 'set')
    for (let i = 0; i < 10_000; i++) {
      it.time.ms += 10
      vi.advanceTimersByTime(10)
    }
    expect(waits.mock.calls.length).toBeGreaterThan(5)
    expect(waits.mock.calls.length).toBeLessThan(20)
    it.engine.rollback(snapshot)
    vi.useRealTimers()
  })
})

describe('the timer', () => {
  beforeEach(() => vi.useFakeTimers())
  afterEach(() => vi.useRealTimers())

  function pass(it: World, ms: number, stepMs = 1): void {
    for (let passed = 0; passed < ms; passed += stepMs) {
      it.time.ms += stepMs
      vi.advanceTimersByTime(stepMs)
    }
  }

  it('sleeps while nothing expires', () => {
    const it = world({ sweepIntervalMs: 100 })
    it.set('k')
    expect(vi.getTimerCount()).toBe(0)
    it.set('l', 1000)
    expect(vi.getTimerCount()).toBe(1)
    it.set('l')
    pass(it, 200)
    expect(vi.getTimerCount()).toBe(0)
    it.engine.shutdown(new Error('closed') as never)
  })

  it('wakes for the next deadline, and after the interval at the latest', () => {
    const it = world({ sweepIntervalMs: 1000 })
    it.set('k', 50)
    pass(it, 49)
    expect(it.store.size).toBe(1)
    pass(it, 1)
    expect(it.store.size).toBe(0)
    it.set('far', 5000)
    it.set('near', 20)
    pass(it, 1000)
    expect(it.store.size).toBe(1)
    pass(it, 4000)
    expect(it.store.size).toBe(0)
    it.engine.shutdown(new Error('closed') as never)
  })

  it('follows a clock that leaps, and copes with deadlines that no timer holds', () => {
    const it = world({ sweepIntervalMs: 1000 })
    it.set('k', 2 ** 31 + 5000)
    vi.advanceTimersByTime(10_000)
    expect([it.store.size, vi.getTimerCount()]).toEqual([1, 1])
    it.time.ms += 2 ** 31 + 5000
    vi.advanceTimersByTime(1000)
    expect(it.store.size).toBe(0)
    it.engine.shutdown(new Error('closed') as never)
  })

  it('does not run with an interval of 0, nor after the end', async () => {
    const still = world({ sweepIntervalMs: 0 })
    still.set('k', 5)
    pass(still, 50)
    expect([still.store.size, vi.getTimerCount()]).toEqual([1, 0])
    const ended = world({ sweepIntervalMs: 10 })
    ended.set('k', 5)
    ended.engine.shutdown(new Error('closed') as never)
    pass(ended, 50)
    expect([ended.store.size, vi.getTimerCount()]).toEqual([1, 0])
    await ended.engine.sweeper.drain()
    expect(ended.store.size).toBe(1)
  })

  it('S4: a slice stops after a millisecond, and the rest comes after others had their turn', () => {
    let now = 0
    const it = world({ sweepIntervalMs: 10, now: () => (now += 0.4) })
    for (let i = 0; i < 2000; i++) it.set(`k${i}`, 10)
    it.time.ms += 10
    it.commits.length = 0
    vi.advanceTimersByTime(10)
    const first = it.commits.length
    expect(first).toBeGreaterThan(0)
    expect(first).toBeLessThan(4)
    let turns = 0
    for (; it.store.size > 0 && turns < 20; turns++) vi.advanceTimersToNextTimer()
    expect([it.store.size, it.commits.length]).toEqual([0, 16])
    expect(turns).toBeGreaterThan(3)
    it.engine.shutdown(new Error('closed') as never)
  })
})
