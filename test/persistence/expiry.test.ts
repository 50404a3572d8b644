/** Expiry over restarts, deaths, checkpoints and merges; what is swept on disk without having been read. */
import { describe, expect, it, vi } from 'vitest'

import { type Injected, openWith } from '../../src/database.ts'
import { type Database, type DatabaseOptions, table, VarveError } from '../../src/index.ts'
import { ColdTier } from '../../src/runs/tier.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { LogWriter } from '../../src/wal/writer.ts'
import { until } from '../support/patience.ts'
import { Random, runs } from '../support/random.ts'
import { Directory } from './directory.ts'

const START = 1_700_000_000_000
const HOUR = 3_600_000

interface World {
  disk: SimulatedStorage
  now: number
  open(options?: DatabaseOptions<string>, injected?: Injected): Promise<Database<string, unknown>>
}

/** A simulated machine with a clock that is set. Nothing sweeps by itself. */
function world(): World {
  const self: World = {
    disk: new SimulatedStorage({ seed: 1 }),
    now: START,
    open: async (options = {}, injected = {}) =>
      openWith<string, unknown>(
        { path: '/data', clock: () => self.now, ttl: { sweepIntervalMs: 0 }, ...options },
        { storage: self.disk, background: 'inline', now: () => 0, random: () => 0.5, ...injected },
      ),
  }
  return self
}

async function checkAndClose(db: Database<string, unknown>): Promise<void> {
  expect((await db.check()).problems).toEqual([])
  await db.close()
}

describe('expiry', () => {
  it.each(['the log', 'a run', 'a merged run'])('is not forgotten by a restart: from %s', async (from) => {
    const machine = world()
    const first = await machine.open()
    await first.handle().set('k', 'v', { ttlMs: HOUR })
    await first.handle().set('gone', 'v', { ttlMs: 5 })
    await first.handle().set('ever', 'v', { ttlMs: 5 })
    await first.handle().persist('ever')
    if (from !== 'the log') await first.checkpoint()
    if (from === 'a merged run') {
      await first.handle().set('more', 1)
      await first.checkpoint()
      await first.compact()
    }
    await checkAndClose(first)
    machine.now += HOUR - 1
    const second = await machine.open()
    const handle = second.handle()
    expect(['k', 'gone', 'ever'].map((key) => [handle.get(key), handle.ttl(key)])).toEqual([
      ['v', 1],
      [undefined, undefined],
      ['v', undefined],
    ])
    expect([...handle.keysWithTtl()]).toEqual(['k'])
    expect(handle.has('gone')).toBe(false)
    machine.now += 1
    expect(handle.get('k')).toBeUndefined()
    await checkAndClose(second)
  })

  it('is not forgotten by a backup', async () => {
    const machine = world()
    const db = await machine.open()
    await db.handle().set('k', 'v', { ttlMs: HOUR })
    await db.backup('/copy')
    await db.close()
    const copy = await machine.open({ path: '/copy' })
    expect(copy.handle().ttl('k')).toBe(HOUR)
    await copy.close()
  })

  it('what has expired does not come back when the clock is set back over a restart', async () => {
    for (const checkpoints of [false, true]) {
      const machine = world()
      const first = await machine.open()
      await first.handle().set('k', 'v', { ttlMs: 100 })
      if (checkpoints) await first.checkpoint()
      machine.now += 100
      expect(first.handle().get('k')).toBeUndefined()
      await checkAndClose(first)
      machine.now -= HOUR
      const second = await machine.open()
      expect([second.handle().get('k'), second.handle().count()]).toEqual([undefined, 0])
      await checkAndClose(second)
    }
  })

  it.each([false, true])('nor over a death, once a commit has been made after it; in a run: %s', async (isInRun) => {
    const machine = world()
    const first = await machine.open()
    await first.handle().set('k', 'v', { ttlMs: 100 })
    machine.now += 100
    await first.handle().set('other', 1)
    if (isInRun) await first.checkpoint()
    machine.disk = machine.disk.crash({ seed: 1 })
    machine.now -= HOUR
    const second = await machine.open()
    expect([second.handle().get('k'), second.handle().count()]).toEqual([undefined, 1])
    await checkAndClose(second)
  })

  it('expires while closed, and its keys can be written anew', async () => {
    const machine = world()
    const first = await machine.open()
    for (const key of ['a', 'b', 'c']) await first.handle().set(key, 1, { ttlMs: 10 })
    await first.checkpoint()
    await checkAndClose(first)
    machine.now += 10
    const second = await machine.open()
    await second.handle().set('a', 2)
    expect(await second.handle().getOrInsert('b', 2)).toBe(2)
    expect([...second.handle().entries()]).toEqual([
      ['a', 2],
      ['b', 2],
    ])
    expect(second.handle().size).toBe(3)
    await second.vacuum()
    expect(second.handle().size).toBe(2)
    await checkAndClose(second)
    const third = await machine.open()
    expect([third.handle().size, third.handle().count(), third.handle().ttl('a')]).toEqual([2, 2, undefined])
    await checkAndClose(third)
  })
})

describe('the sweeper on disk', () => {
  async function fill(machine: World, expiring: number, staying: number): Promise<void> {
    const db = await machine.open()
    await db.handle().transaction((tx) => {
      for (let i = 0; i < expiring; i++) tx.set(`e${i}`, 'x'.repeat(50), { ttlMs: HOUR })
      for (let i = 0; i < staying; i++) tx.set(`s${i}`, 'x'.repeat(50), i % 2 === 0 ? {} : { ttlMs: 9 * HOUR })
    })
    await db.checkpoint()
    await db.close()
  }

  it('takes what has expired without anybody having read it, and says so in the log', async () => {
    const machine = world()
    await fill(machine, 3000, 3000)
    machine.now += HOUR
    const db = await machine.open()
    const before = db.sequence
    expect([db.handle().size, db.handle().count()]).toEqual([6000, 3000])
    await db.vacuum()
    expect([db.handle().size, db.handle().count()]).toEqual([3000, 3000])
    expect(db.sequence).toBeGreaterThan(before)
    expect(db.handle().sizeBytes).toBe(
      [...db.handle().entries()].reduce((sum) => sum + db.handle().sizeBytes / 3000, 0),
    )
    await db.flush()
    machine.disk = machine.disk.crash({ seed: 3 })
    machine.now -= HOUR
    const again = await machine.open()
    expect([again.handle().size, again.handle().count(), again.handle().has('e7')]).toEqual([3000, 3000, false])
    await again.compact()
    expect([again.handle().size, again.handle().count()]).toEqual([3000, 3000])
    await checkAndClose(again)
  })

  it('takes nothing that was written anew, or had its expiry changed', async () => {
    const machine = world()
    await fill(machine, 30, 0)
    const db = await machine.open()
    await db.handle().persist('e1')
    await db.handle().expire('e2', 3 * HOUR)
    await db.handle().set('e3', 'new')
    await db.handle().delete('e4')
    machine.now += HOUR
    await db.handle().set('e5', 'new', { ttlMs: 1 })
    await db.vacuum()
    expect([...db.handle().keys()]).toEqual(['e1', 'e2', 'e3', 'e5'])
    expect(db.handle().size).toBe(4)
    await checkAndClose(db)
  })

  it('takes later what it could not write down, and has changed nothing meanwhile', async () => {
    const machine = world()
    const db = await machine.open()
    for (const key of ['a', 'b', 'c']) await db.handle().set(key, 1, { ttlMs: 10 })
    machine.now += 10
    const { sequence } = db
    const remove = vi.spyOn(LogWriter.prototype, 'remove').mockImplementationOnce(() => {
      throw new VarveError('MEMORY_LIMIT', 'no memory for a record')
    })
    await expect(db.vacuum()).rejects.toMatchObject({ code: 'MEMORY_LIMIT' })
    remove.mockRestore()
    expect([db.sequence, db.handle().size]).toEqual([sequence, 3])
    await db.vacuum()
    expect([db.sequence, db.handle().size]).toEqual([sequence + 1, 0])
    await checkAndClose(db)
  })

  it('takes what it has found, though reading on failed', async () => {
    const machine = world()
    await fill(machine, 30, 0)
    machine.now += HOUR
    const db = await machine.open()
    const { sweepCandidates } = ColdTier.prototype
    const failing = function (this: ColdTier, ...given: Parameters<typeof sweepCandidates>): never {
      sweepCandidates.apply(this, given)
      throw new VarveError('IO', 'the next block cannot be read')
    }
    const spy = vi.spyOn(ColdTier.prototype, 'sweepCandidates').mockImplementationOnce(failing)
    await expect(db.vacuum()).rejects.toMatchObject({ code: 'IO' })
    spy.mockRestore()
    await db.vacuum()
    expect(db.handle().size).toBe(0)
    await checkAndClose(db)
  })

  it.each([
    ['too much waits for the disk', 'crowded', true],
    ['there is no room on the disk', 'obstacle', new VarveError('IO', 'no room')],
  ] as const)('writes nothing while %s', async (_, state, value) => {
    const machine = world()
    const db = await machine.open()
    await db.handle().set('k', 1, { ttlMs: 10 })
    machine.now += 10
    const { sequence } = db
    const spy = vi.spyOn(LogWriter.prototype, state, 'get').mockReturnValue(value)
    await db.vacuum()
    spy.mockRestore()
    expect([db.sequence, db.handle().size]).toEqual([sequence, 1])
    await db.vacuum()
    expect([db.sequence, db.handle().size]).toEqual([sequence + 1, 0])
    await checkAndClose(db)
  })

  it('waits for a table to be opened', async () => {
    const machine = world()
    const other = table<string, number>('other')
    const first = await machine.open()
    await first.handle(other).set('k', 1, { ttlMs: 10 })
    await first.checkpoint()
    await first.close()
    machine.now += 10
    const second = await machine.open()
    await second.vacuum()
    expect(second.handle(other).size).toBe(1)
    await second.vacuum()
    expect(second.handle(other).size).toBe(0)
    await checkAndClose(second)
  })

  it('does nothing in a database that is opened for reading', async () => {
    const machine = world()
    await fill(machine, 10, 10)
    machine.now += HOUR
    const db = await machine.open({ readOnly: true, ttl: { sweepIntervalMs: 1 } })
    await db.vacuum()
    expect([db.handle().size, db.handle().count()]).toEqual([20, 10])
    await db.close()
  })

  it('does nothing once the database is poisoned', async () => {
    const machine = world()
    const db = await machine.open({ ttl: { sweepIntervalMs: 5 } })
    await db.handle().set('k', 1, { ttlMs: 10 })
    machine.disk.fail({ kind: 'EIO', operation: 'write', path: /log/, times: 1 })
    await expect(db.handle().set('l', 1)).rejects.toMatchObject({ code: 'POISONED' })
    const { sequence } = db
    machine.now += 10
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(db.sequence).toBe(sequence)
    await db.close().catch(() => undefined)
  })

  it('a snapshot that is open keeps seeing what was there', async () => {
    const machine = world()
    await fill(machine, 200, 0)
    const db = await machine.open()
    const snapshot = db.snapshot()
    machine.now += HOUR
    await db.vacuum()
    expect([snapshot.count(), snapshot.get('e7'), snapshot.size]).toEqual([200, 'x'.repeat(50), 200])
    expect([db.handle().count(), db.handle().size]).toEqual([0, 200])
    snapshot.close()
    await db.vacuum()
    expect(db.handle().size).toBe(0)
    await checkAndClose(db)
  })

  it('refuses no transaction of the snapshot level that writes a key it has taken', async () => {
    const machine = world()
    await fill(machine, 3, 0)
    const db = await machine.open()
    machine.now += HOUR
    const tx = db.handle().begin({ isolation: 'snapshot' })
    expect(tx.get('e1')).toBeUndefined()
    await db.vacuum()
    expect(db.handle().size).toBe(0)
    tx.set('e1', 'new')
    await tx.commit()
    expect(db.handle().get('e1')).toBe('new')
    await checkAndClose(db)
  })

  it('sweeps by itself on a real disk', async () => {
    using place = new Directory()
    await place.session(async (db) => {
      for (let i = 0; i < 50; i++) await db.handle().set(i, i, { ttlMs: 30 })
      await db.handle().set('stays', 1)
      await db.checkpoint()
    })
    await place.session(
      async (db) => {
        await until(() => db.handle().size === 1)
        expect([...db.handle().keys()]).toEqual(['stays'])
        expect(db.handle().size).toBe(1)
        expect((await db.check()).problems).toEqual([])
      },
      { ttl: { sweepIntervalMs: 20 } },
    )
  })
})

describe('random lives', () => {
  it('of a database on disk: restarts, deaths, checkpoints, sweeps, clocks', async () => {
    for (let round = 0; round < runs(25); round++) await life(round)
  })

  /** What is acknowledged is in the model; every death keeps exactly that, since nothing is in flight. */
  async function life(round: number): Promise<void> {
    const random = new Random(`expiry on disk ${round}`)
    const machine = world()
    const model = new Map<string, { value: number; expiresAt: number }>()
    let db = await machine.open()
    // The time of the database: it does not go back, whatever the clock does, as long as there is something that expires.
    let time = machine.now
    await db.handle().set('far', 0, { ttlMs: 1e9 })
    model.set('far', { value: 0, expiresAt: time + 1e9 })
    const pass = (ms: number): void => {
      machine.now += ms
      time = Math.max(time, machine.now)
    }
    const expected = (): [string, number, number | undefined][] =>
      [...model]
        .filter(([, { expiresAt }]) => expiresAt === 0 || expiresAt > time)
        .map(([key, { value, expiresAt }]): [string, number, number | undefined] => [
          key,
          value,
          expiresAt === 0 ? undefined : expiresAt - time,
        ])
        .sort(([a], [b]) => (a < b ? -1 : 1))
    const look = (): void => {
      const handle = db.handle()
      const found = [...handle.entries()].map(([key, value]) => [key, value, handle.ttl(key)])
      expect(found).toEqual(expected())
      expect(handle.count()).toBe(found.length)
      expect(handle.size).toBeGreaterThanOrEqual(found.length)
    }
    for (let step = 0; step < 60; step++) {
      const key = `k${random.int(12)}`
      const act = random.int(12)
      if (act < 4) {
        const ttlMs = random.chance(0.7) ? random.pick([10, 50, 200]) : undefined
        await db.handle().set(key, step, ttlMs === undefined ? {} : { ttlMs })
        model.set(key, { value: step, expiresAt: ttlMs === undefined ? 0 : time + ttlMs })
      } else if (act === 4) {
        await db.handle().delete(key)
        if ((model.get(key)?.expiresAt ?? 0) === 0 || model.get(key)!.expiresAt > time) model.delete(key)
      } else if (act === 5) {
        const held = model.get(key)
        const isLive = held !== undefined && (held.expiresAt === 0 || held.expiresAt > time)
        expect(await db.handle().expire(key, 100)).toBe(isLive)
        if (isLive) model.set(key, { value: held.value, expiresAt: time + 100 })
      } else if (act === 6) {
        pass(random.pick([5, 20, 60, -30]))
        // Time is what the database has seen of the clock.
        db.snapshot().close()
      } else if (act === 7) await db.vacuum()
      else if (act === 8) await db.checkpoint()
      else if (act === 9 && random.chance(0.3)) await db.compact()
      else if (act === 10) {
        await checkAndClose(db)
        pass(random.pick([0, 20, -100]))
        db = await machine.open()
      } else if (act === 11) {
        // The last commit is what a death leaves of the time.
        await db.handle().set('mark', step)
        model.set('mark', { value: step, expiresAt: 0 })
        machine.disk = machine.disk.crash({ seed: step })
        pass(random.pick([0, 20, -100]))
        db = await machine.open()
      }
      look()
    }
    await db.vacuum()
    expect(db.handle().size).toBe(expected().length)
    await checkAndClose(db)
  }
})
