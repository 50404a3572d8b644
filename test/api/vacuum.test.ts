/** Garbage: when it goes, and transactions and snapshots that are too old to be let live. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'

import { clockThatSteps, until } from '../support/patience.ts'
import { contents, failure, gate, open, refusal, thrown, turn } from './fixtures.ts'

describe('vacuum', () => {
  it('resolves to what it has removed', async () => {
    const db = open({ vacuum: false })
    const handle = db.handle()
    for (const key of ['a', 'b', 'c']) await handle.set(key, 1)
    const snapshot = db.snapshot()
    await handle.set('a', 2)
    await handle.delete('b')
    await handle.delete('c')
    expect(await db.vacuum()).toEqual({ versions: 0, keys: 0 })
    snapshot.close()
    expect(await db.vacuum()).toEqual({ versions: 3, keys: 2 })
    expect(await db.vacuum()).toEqual({ versions: 0, keys: 0 })
    expect(db.stats().versions).toBe(1)
  })

  it('false: garbage stays until it is asked for, and reads do not mind', async () => {
    const db = open({ vacuum: false })
    const handle = db.handle()
    for (let i = 0; i < 50; i++) {
      const snapshot = db.snapshot()
      await handle.set('k', i)
      await handle.set(`k${i}`, i)
      await handle.delete(`k${i}`)
      snapshot.close()
    }
    await sleep(80)
    expect(db.stats().versions).toBeGreaterThan(50)
    expect(contents(handle)).toEqual([['k', 49]])
    await db.vacuum()
    expect(db.stats().versions).toBe(1)
  })

  it('by itself takes garbage away within the interval', async () => {
    const db = open({ vacuum: { intervalMs: 5 } })
    const handle = db.handle()
    for (let i = 0; i < 500; i++) void handle.set(`k${i}`, i)
    const snapshot = db.snapshot()
    for (let i = 0; i < 500; i++) void handle.delete(`k${i}`)
    expect(db.stats().versions).toBeGreaterThan(400)
    snapshot.close()
    await until(() => db.stats().versions === 0)
    expect(db.stats().versions).toBe(0)
  })

  it('gives way to the event loop', async () => {
    // At most 768 items a turn, however fast the machine.
    clockThatSteps(0.4)
    const db = open<number>({ vacuum: false })
    const snapshot = db.snapshot()
    await db.handle().transaction((tx) => {
      for (let i = 0; i < 20_000; i++) tx.set(i, i)
    })
    for (let i = 0; i < 20_000; i++) void db.handle().delete(i)
    snapshot.close()
    let turns = 0
    let running = true
    const tick = (): void => {
      turns++
      if (running) setImmediate(tick)
    }
    setImmediate(tick)
    const removed = await db.vacuum()
    running = false
    expect(removed.keys).toBe(20_000)
    expect(turns).toBeGreaterThan(10)
  })

  it('may run beside itself, beside writers, and past close()', async () => {
    const db = open<number>({ vacuum: false })
    for (let i = 0; i < 20_000; i++) void db.handle().set(i, i)
    for (let i = 0; i < 20_000; i++) void db.handle().delete(i)
    const running = [db.vacuum(), db.vacuum()]
    for (let i = 0; i < 100; i++) {
      void db.handle().set(i, i)
      await turn()
    }
    const totals = await Promise.all(running)
    expect(totals.reduce((sum, { keys }) => sum + keys, 0)).toBeGreaterThanOrEqual(20_000 - 100)
    expect(db.handle().size).toBe(100)
    const late = db.vacuum()
    await db.close()
    await late
  })
})

describe('maxTransactionAgeMs', () => {
  it('ends a transaction that is older, whatever is asked of it next', async () => {
    let now = 0
    const db = open({ maxTransactionAgeMs: 100 }, { now: () => now })
    const handle = db.handle()
    const [reading, writing, committing] = [handle.begin(), handle.begin(), handle.begin()]
    committing.set('k', 1)
    now = 100
    reading.get('k')
    now = 101
    const younger = handle.begin()
    expect(thrown(() => reading.get('k'))).toBe('SNAPSHOT_TOO_OLD')
    expect(thrown(() => writing.set('k', 1))).toBe('SNAPSHOT_TOO_OLD')
    const error = await failure(() => committing.commit())
    expect(error.code).toBe('SNAPSHOT_TOO_OLD')
    expect(error.retryable).toBe(true)
    expect(error.message).toContain('100 ms')
    expect(db.sequence).toBe(0)
    younger.set('k', 2)
    await younger.commit()
    expect(db.stats().transactions.expired).toBe(3)
  })

  it('refuses a commit that comes too late, even if nothing else has happened', async () => {
    let now = 0
    const db = open({ maxTransactionAgeMs: 100 }, { now: () => now })
    const tx = db.handle().begin()
    tx.set('k', 1)
    now = 101
    expect(await refusal(() => tx.commit())).toBe('SNAPSHOT_TOO_OLD')
    expect(db.sequence).toBe(0)
  })

  it('refuses it in the very tick in which an iterator waits for its snapshot', async () => {
    let now = 0
    const db = open({ maxTransactionAgeMs: 100 }, { now: () => now })
    await db.handle().set('a', 1)
    const iterator = db.handle().entries()
    const tx = db.handle().begin()
    tx.set('b', 1)
    now = 200
    const late = tx.commit()
    expect(await refusal(() => late)).toBe('SNAPSHOT_TOO_OLD')
    expect([...iterator]).toEqual([['a', 1]])
  })

  it('ends a callback’s transaction too, which is not run again by itself', async () => {
    let now = 0
    const db = open({ maxTransactionAgeMs: 100 }, { now: () => now })
    let attempts = 0
    const paused = gate()
    const outcome = db.handle().transaction(async (tx) => {
      attempts++
      tx.set('k', 1)
      await paused.passed
    })
    now = 200
    paused.open()
    expect(await refusal(() => outcome)).toBe('SNAPSHOT_TOO_OLD')
    expect(attempts).toBe(1)
  })

  it('acts in the background, so that an idle transaction does not keep garbage for ever', async () => {
    let now = 0
    const db = open({ maxTransactionAgeMs: 20 }, { now: () => now })
    await db.handle().set('k', 0)
    const idle = db.handle().begin()
    idle.get('k')
    now = 100
    await until(() => db.stats().transactions.open === 0)
    expect(db.stats().transactions).toMatchObject({ open: 0, expired: 1 })
    expect(thrown(() => idle.get('k'))).toBe('SNAPSHOT_TOO_OLD')
  })

  it('leaves younger ones, snapshots and readers alone', async () => {
    let now = 0
    const db = open({ maxTransactionAgeMs: 100 }, { now: () => now })
    await db.handle().set('k', 1)
    const snapshot = db.snapshot()
    const reader = db.handle().begin({ readOnly: true })
    now = 90
    const younger = db.handle().begin()
    now = 150
    await db.handle().set('k', 2)
    expect([snapshot.get('k'), reader.get('k'), younger.get('k')]).toEqual([1, 1, 1])
    snapshot.close()
    reader.rollback()
    younger.rollback()
  })
})

describe('maxSnapshotAgeMs', () => {
  it('ends snapshots, readers and iterators that are older, and lets their garbage go', async () => {
    let now = 0
    const db = open({ maxSnapshotAgeMs: 100 }, { now: () => now })
    const handle = db.handle()
    for (const key of ['a', 'b']) await handle.set(key, 0)
    const snapshot = db.snapshot()
    const reader = handle.begin({ readOnly: 'safe' })
    const iterator = handle.entries()
    iterator.next()
    const update = handle.begin()
    for (let i = 1; i < 5; i++) {
      now = i * 100
      await handle.set('a', i)
      handle.get('a')
      await turn()
    }
    expect(thrown(() => snapshot.get('a'))).toBe('SNAPSHOT_TOO_OLD')
    expect(thrown(() => reader.get('a'))).toBe('SNAPSHOT_TOO_OLD')
    expect(thrown(() => iterator.next())).toBe('SNAPSHOT_TOO_OLD')
    expect(update.get('a')).toBe(0)
    update.rollback()
    await db.vacuum()
    expect(db.stats()).toMatchObject({ versions: 2, transactions: { open: 0 } })
  })

  it('acts in the background', async () => {
    let now = 0
    const db = open({ maxSnapshotAgeMs: 20 }, { now: () => now })
    await db.handle().set('k', 0)
    const snapshot = db.snapshot()
    now = 100
    await until(() => db.stats().transactions.open === 0)
    expect(db.stats().transactions).toMatchObject({ open: 0, expired: 1 })
    expect(thrown(() => snapshot.get('k'))).toBe('SNAPSHOT_TOO_OLD')
    snapshot.close()
  })

  it('goes by the monotonic clock, not by that on the wall', async () => {
    let now = 0
    let wall = 0
    const db = open({ maxSnapshotAgeMs: 100, clock: () => wall }, { now: () => now })
    using snapshot = db.snapshot()
    wall = 10 ** 9
    await db.handle().set('k', 1)
    expect(snapshot.get('k')).toBeUndefined()
    wall = -5
    now = 50
    await db.handle().set('k', 2)
    expect(snapshot.get('k')).toBeUndefined()
  })
})

describe('with age limits', () => {
  it('of more than a timer can hold, nothing is ended at once, and Node warns of nothing', async () => {
    const warnings: Error[] = []
    const listen = (warning: Error): void => void warnings.push(warning)
    process.on('warning', listen)
    const db = open({ maxTransactionAgeMs: 2 ** 40, maxSnapshotAgeMs: Infinity })
    using snapshot = db.snapshot()
    const tx = db.handle().begin()
    await sleep(30)
    process.off('warning', listen)
    expect([snapshot.size, tx.size, warnings]).toEqual([0, 0, []])
    tx.rollback()
  })

  it('a safe reader that begins as an old update is ended reads a state that exists', async () => {
    let now = 0
    const db = open({ maxTransactionAgeMs: 100 }, { now: () => now })
    const handle = db.handle()
    await handle.set('x', 1)
    handle.begin().get('x')
    await handle.set('x', 2)
    now = 200
    expect(await handle.transaction((tx) => tx.get('x'), { readOnly: 'safe' })).toBe(2)
    handle.begin().get('x')
    await handle.set('x', 3)
    now = 400
    using safe = db.snapshot({ safe: true })
    expect(safe.get('x')).toBe(3)
    handle.begin().get('x')
    await handle.set('x', 4)
    now = 600
    expect(await handle.transaction((tx) => tx.get('x'), { readOnly: true })).toBe(4)
  })
})
