/**
 * Serializability with everything that takes entries out of memory at once: keys that expire and are swept, a limit so small that
 * nearly every read is cold, eviction by every policy and by name, checkpoints; on disk, and in forks of what is on disk.
 * None of it may be noticed. Histories are small and judged by the definition (support/history-expiry.ts).
 */
import { describe, expect, it, onTestFinished } from 'vitest'

import { openWith } from '../../src/database.ts'
import { type Database, type DatabaseOptions, merges, type Stats } from '../../src/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Clock, randomHistory, randomState, run } from '../support/history-expiry-run.ts'
import { Random, runs } from '../support/random.ts'

function checked(db: Database<string, number>): Database<string, number> {
  onTestFinished(async () => {
    expect((await db.check()).problems).toEqual([])
    await db.close()
  })
  return db
}

function openSmall(clock: Clock, options: DatabaseOptions<string, number>): Promise<Database<string, number>> {
  return openWith<string, number>(
    { ...options, path: '/data', clock: clock.read, merge: merges.sum, ttl: { sweepIntervalMs: 0 } },
    { storage: new SimulatedStorage({ seed: 1 }), background: 'inline', random: () => 0.5 },
  )
}

/** Runs so many histories, with checkpoints and evictions by name if it `spills`; how many transactions were refused, and what the database says of itself in the end. */
async function sample(
  db: Database<string, number>,
  clock: Clock,
  random: Random,
  histories: number,
  spills: boolean,
): Promise<{ refused: number; stats: Stats }> {
  let refused = 0
  for (let i = 0; i < histories; i++) {
    const { programs, events } = randomHistory(random, random.between(2, 4), spills)
    refused += (await run(db, clock, randomState(random, clock.now), programs, events)).refused
  }
  return { refused, stats: db.stats() }
}

describe('on disk', () => {
  for (const eviction of ['lru', 'lfu', 'random', 'arc', 's3fifo', 'ttl', 'manual'] as const) {
    it(`with expiry, sweeps and ${eviction} under a limit of a few entries`, async () => {
      const random = new Random(`expiring and spilled ${eviction}`)
      const clock = new Clock()
      // Each entry counts for 10 bytes: the values of a history and its old versions fit, and little else.
      const db = checked(await openSmall(clock, { eviction, maxMemoryBytes: 400, sizeOf: () => 10 }))
      const { refused, stats } = await sample(db, clock, random, runs(120), true)
      expect(refused).toBeGreaterThan(0)
      expect(stats.expiry.expired).toBeGreaterThan(0)
      expect(stats.cache.coldReads).toBeGreaterThan(runs(120) / 4)
    })
  }
})

describe('in a fork of a database on disk', () => {
  it('with expiry, sweeps and reads of what only the disk has', async () => {
    const random = new Random('expiring forks')
    const clock = new Clock()
    const db = checked(await openSmall(clock, { maxMemoryBytes: 2000, sizeOf: () => 10 }))
    for (let i = 0; i < runs(40); i++) {
      const handle = db.handle()
      await handle.clear()
      for (const [key, { value, expiresAt }] of randomState(random, clock.now))
        await handle.set(key, value, expiresAt === 0 ? {} : { ttlMs: expiresAt - clock.now })
      await db.checkpoint()
      for (const key of ['x', 'y']) handle.evict(key)
      const fork = db.fork()
      await sample(fork, clock, random, 5, false)
      expect((await fork.check()).problems).toEqual([])
      await fork.close()
    }
  })
})
