/** What `varve/testing` gives to tests of applications. */
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'

import { Database } from '../../src/index.ts'
import { forkFixture, seededRandom, testClock, testDisk } from '../../src/testing.ts'
import { refusal, thrown, turn } from '../api/fixtures.ts'

async function seeded(): Promise<Database<string, number>> {
  const db = await Database.open<string, number>()
  for (let i = 0; i < 100; i++) await db.handle().set(`k${i}`, i)
  return db
}

describe('forkFixture', () => {
  it('makes its database once, when the first fork is asked for, and gives forks that know nothing of each other', async () => {
    let made = 0
    const fixture = forkFixture(async () => {
      made++
      return seeded()
    })
    expect(made).toBe(0)
    const [a, b] = await Promise.all([fixture.fork(), fixture.fork()])
    await a.handle().set('k1', -1)
    await b.handle().delete('k2')
    expect([a.handle().get('k1'), b.handle().get('k1'), a.handle().size, b.handle().size, made]).toEqual([
      -1, 1, 100, 99, 1,
    ])
    await fixture.close()
    expect(thrown(() => a.handle())).toBe('CLOSED')
  })

  it('closes the fork of a test that fails, and passes its error on', async () => {
    await using fixture = forkFixture(seeded)
    const reason = new Error('no')
    let fork: Database<string, number> | undefined
    await expect(
      fixture.use((db) => {
        fork = db
        throw reason
      }),
    ).rejects.toBe(reason)
    expect(thrown(() => fork?.handle())).toBe('CLOSED')
  })

  it('tries again when making the database has failed, and may be closed unused, and used again', async () => {
    let attempts = 0
    const fixture = forkFixture(async () => {
      if (++attempts === 1) throw new Error('not yet')
      return seeded()
    })
    await fixture.close()
    await expect(fixture.fork()).rejects.toThrow('not yet')
    expect(await fixture.use((db) => db.handle().get('k7'))).toBe(7)
    await fixture.close()
    expect(await fixture.use((db) => db.handle().get('k8'))).toBe(8)
    await fixture.close()
    expect(attempts).toBe(3)
  })

  describe('by hooks', () => {
    const db = forkFixture(seeded).perTest({ beforeEach, afterEach, after: afterAll })

    it.each([1, 2])('gives test %i a fork of its own', async () => {
      expect(db().handle().get('k5')).toBe(5)
      await db().handle().set('k5', -5)
    })
  })

  it('by hooks gives none outside of a test', () => {
    const nothing = (): void => {}
    const db = forkFixture(seeded).perTest({ beforeEach: nothing, afterEach: nothing, after: nothing })
    expect(thrown(() => db())).toBe('INVALID_ARGUMENT')
  })
})

describe('testClock', () => {
  it('stands still until it is moved, and moves on only', async () => {
    const clock = testClock(1000)
    await using db = await Database.open<string, number>({ clock })
    await db.handle().set('a', 1, { ttlMs: 50 })
    expect([clock(), clock.advance(49), db.handle().has('a')]).toEqual([1000, 1049, true])
    clock.advance(1)
    expect(db.handle().has('a')).toBe(false)
    expect(thrown(() => clock.advance(-1))).toBe('INVALID_ARGUMENT')
    expect(new Date(testClock()()).toISOString()).toBe('2000-01-01T00:00:00.000Z')
  })
})

describe('seededRandom', () => {
  it('is the same for the same seed, and another for another', () => {
    const take = (seed: number): number[] => Array.from({ length: 20 }, seededRandom(seed))
    expect(take(5)).toEqual(take(5))
    expect(take(5)).not.toEqual(take(6))
    for (const number of take(7)) expect(number >= 0 && number < 1).toBe(true)
  })
})

describe('testDisk', () => {
  it('keeps what was acknowledged through power failures and kills, and other commits wholly or not at all', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const disk = testDisk({ seed })
      const db = await disk.open<string, number>({ path: '/db' })
      await db.handle().set('sure', 1)
      void db.handle().transaction((tx) => {
        tx.set('a', 1)
        tx.set('b', 1)
      })
      for (let turns = seed % 4; turns > 0; turns--) await turn()
      if (seed % 2 === 0) disk.crash()
      else disk.kill()
      const after = await disk.open<string, number>({ path: '/db' })
      expect(after.handle().get('sure')).toBe(1)
      expect(after.handle().has('a')).toBe(after.handle().has('b'))
      await after.close()
      expect(disk.files().some((path) => path.startsWith('/db/'))).toBe(true)
    }
  })

  it('may be full', async () => {
    const disk = testDisk({ capacityBytes: 64 * 1024 })
    expect(await refusal(() => disk.open({ path: '/db' }))).toBe('IO')
  })
})
