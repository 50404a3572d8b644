/**
 * Serializability where keys expire: small interleavings with times to live that lapse between operations, each judged by the
 * definition (support/history-expiry.ts), with what has expired reclaimed between any two steps.
 */
import { describe, expect, it, onTestFinished } from 'vitest'

import type { Database, Handle, VarveError } from '../../src/index.ts'
import { Clock, openOnDisk, openTimed, randomHistory, randomState, run } from '../support/history-expiry-run.ts'
import { Random, runs } from '../support/random.ts'

/** A database that is checked and closed when its test ends. */
function checked(db: Database<string, number>): Database<string, number> {
  onTestFinished(async () => {
    expect((await db.check()).problems).toEqual([])
    await db.close()
  })
  return db
}

describe('sampled interleavings with keys that expire', () => {
  it.each([
    [2, 6000],
    [3, 8000],
    [4, 3000],
  ])('of %i transactions have a serial order', async (count, histories) => {
    const random = new Random(`expiry ${count}`)
    const clock = new Clock()
    const db = checked(openTimed(clock))
    let refused = 0
    let committed = 0
    for (let i = 0; i < runs(histories); i++) {
      const { programs, events } = randomHistory(random, count)
      const outcome = await run(db, clock, randomState(random, clock.now), programs, events)
      refused += outcome.refused
      committed += outcome.committed.length
    }
    console.log(`${count} transactions: ${committed} committed, ${refused} refused`)
    expect(refused).toBeGreaterThan(runs(histories) / 50)
    expect(committed).toBeGreaterThan(refused * 3)
  })
})

describe('sampled interleavings on disk', () => {
  it('have a serial order, though what is read is cold and swept', async () => {
    const random = new Random('expiry on disk')
    const clock = new Clock()
    const db = checked(await openOnDisk(clock))
    let refused = 0
    for (let i = 0; i < runs(1000); i++) {
      const { programs, events } = randomHistory(random, random.between(2, 4), true)
      refused += (await run(db, clock, randomState(random, clock.now), programs, events)).refused
    }
    const { expiry, disk } = db.stats()
    console.log(
      `on disk: ${refused} refused, ${expiry.expired} swept, ${disk!.cache.hits + disk!.cache.misses} cold reads`,
    )
    expect(refused).toBeGreaterThan(runs(1000) / 50)
    expect(expiry.expired).toBeGreaterThan(runs(1000) / 10)
    expect(disk!.cache.hits + disk!.cache.misses).toBeGreaterThan(runs(1000))
  })
})

describe('where a key expires', () => {
  const clocked = (): { clock: Clock; db: Database<string, number>; handle: Handle<string, number> } => {
    const clock = new Clock()
    const db = checked(openTimed(clock))
    return { clock, db, handle: db.handle() }
  }
  const isRefused = async (commit: Promise<void>): Promise<boolean> =>
    commit.then(
      () => false,
      (error: unknown) => (error as VarveError).code === 'SERIALIZATION_FAILURE',
    )

  it('one transaction sees one instant, however long it takes', async () => {
    const { clock, handle } = clocked()
    await handle.set('k', 1, { ttlMs: 10 })
    const tx = handle.begin()
    clock.now += 100
    expect([tx.get('k'), tx.has('k'), tx.ttl('k'), tx.count(), [...tx.keys()]]).toEqual([1, true, 10, 1, ['k']])
    expect([handle.get('k'), handle.has('k'), handle.ttl('k'), handle.count()]).toEqual([
      undefined,
      false,
      undefined,
      0,
    ])
    tx.rollback()
  })

  it('an overwrite that keeps the expiry does not conflict with who asked whether the key is there', async () => {
    const { handle } = clocked()
    await handle.set('k', 1, { ttlMs: 10 })
    const one = handle.begin()
    const other = handle.begin()
    one.has('k')
    one.set('a', 1)
    other.get('a')
    other.update('k', (value) => value! + 1)
    await one.commit()
    expect(await isRefused(other.commit())).toBe(false)
  })

  it.each([
    ['persist', (tx: ReturnType<Handle<string, number>['begin']>) => void tx.persist('k')],
    ['expire', (tx: ReturnType<Handle<string, number>['begin']>) => void tx.expire('k', 50)],
    ['set', (tx: ReturnType<Handle<string, number>['begin']>) => tx.set('k', 1)],
    ['merge', (tx: ReturnType<Handle<string, number>['begin']>) => tx.merge('k', 1, { ttlMs: 50 })],
  ])('%s changes what who asked for it was told: how long the key lives', async (_, change) => {
    const { handle } = clocked()
    await handle.set('k', 1, { ttlMs: 10 })
    const one = handle.begin()
    const other = handle.begin()
    one.ttl('k')
    one.set('a', 1)
    other.get('a')
    change(other)
    await one.commit()
    expect(await isRefused(other.commit())).toBe(true)
  })

  it('who saw a value as expired conflicts with who writes the key anew', async () => {
    const { clock, handle } = clocked()
    await handle.set('k', 1, { ttlMs: 10 })
    clock.now += 10
    const one = handle.begin()
    const other = handle.begin()
    one.get('k')
    one.set('a', 1)
    other.get('a')
    other.set('k', 2)
    await one.commit()
    expect(await isRefused(other.commit())).toBe(true)
  })

  it('what was reclaimed meanwhile hides nobody who saw it before it expired', async () => {
    const { clock, db, handle } = clocked()
    await handle.set('x', 1, { ttlMs: 10 })
    await handle.set('y', 1)
    const early = handle.begin()
    expect([...early.values()]).toEqual([1, 1])
    early.set('y', 2)
    clock.now += 10
    const late = handle.begin()
    late.set('x', 5)
    await early.commit()
    await db.vacuum()
    // It sees y as it was, so it comes first; but what it deletes has been seen.
    expect(late.get('y')).toBe(1)
    late.delete('x')
    expect(await isRefused(late.commit())).toBe(true)
  })

  it('merges on an expired value begin anew, and two of them add up', async () => {
    const { clock, handle } = clocked()
    await handle.set('k', 100, { ttlMs: 10 })
    clock.now += 10
    const one = handle.begin()
    const other = handle.begin()
    one.merge('k', 1, { ttlMs: 10 })
    other.merge('k', 2)
    await one.commit()
    await other.commit()
    expect([handle.get('k'), handle.ttl('k')]).toEqual([3, 10])
  })

  it('a sweep refuses nobody, whatever the isolation', async () => {
    const { clock, db, handle } = clocked()
    await handle.set('k', 1, { ttlMs: 10 })
    clock.now += 10
    for (const isolation of ['serializable', 'snapshot'] as const) {
      const tx = handle.begin({ isolation })
      expect(tx.get('k')).toBeUndefined()
      await db.vacuum()
      expect(handle.size).toBe(0)
      tx.set('k', 2, { ttlMs: 1 })
      await tx.commit()
      clock.now += 1
    }
  })
})
