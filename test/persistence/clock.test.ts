/** Clocks that stand still or jump by years change nothing that is stored, and nothing in its order. */
import { describe, expect, it } from 'vitest'
import { openWith } from '../../src/database.ts'
import type { Key } from '../../src/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Directory } from './directory.ts'

const YEAR_MS = 365 * 86_400_000

describe('the clock', () => {
  const clocks: Readonly<Record<string, () => () => number>> = {
    'that stands still': () => () => 1_700_000_000_000,
    'that stands at 0': () => () => 0,
    'that goes backwards': () => {
      let time = 1_700_000_000_000
      return () => (time -= 3_600_000)
    },
    'that jumps by ten years either way': () => {
      let calls = 0
      return () => 1_700_000_000_000 + (calls++ % 2 === 0 ? 10 : -10) * YEAR_MS
    },
    'that is far in the future, then in the past': () => {
      let calls = 0
      return () => (calls++ < 40 ? 4_000_000_000_000 : 1_000_000)
    },
    'that says NaN, then fractions': () => {
      let calls = 0
      return () => (calls++ % 3 === 0 ? Number.NaN : 1_700_000_000_000.5 + calls / 7)
    },
  }

  for (const [name, make] of Object.entries(clocks)) {
    it(`${name}: sessions, checkpoints and deaths go as ever`, async () => {
      const clock = make()
      let now = 0
      let disk = new SimulatedStorage({ seed: 1 })
      const open = (backwards: boolean): Promise<Awaited<ReturnType<Directory['open']>>> =>
        openWith<Key, unknown>(
          { path: '/data', clock, wal: { segmentBytes: 64 * 1024 } },
          { storage: disk, background: 'inline', now: () => (backwards ? now-- : now), random: () => 0.5 },
        )
      for (let session = 0; session < 6; session++) {
        const db = await open(session % 2 === 1)
        expect(db.handle().get('sessions') ?? 0).toBe(session)
        expect(db.handle().size).toBe(session === 0 ? 0 : 1 + session * 30)
        for (let i = 0; i < 30; i++) await db.handle().set([session, i], 'x'.repeat(400))
        if (session % 3 === 1) await db.checkpoint()
        await db.handle().update('sessions', (n) => ((n as number | undefined) ?? 0) + 1)
        if (session % 2 === 0) await db.close()
        else disk = disk.crash({ seed: session })
      }
      const db = await open(false)
      expect(db.handle().get('sessions')).toBe(6)
      expect(db.handle().size).toBe(181)
      expect((await db.check()).problems).toEqual([])
      await db.close()
    })
  }

  it('moved by years between two sessions, on a real disk', async () => {
    using place = new Directory()
    let time = 1_700_000_000_000
    for (const step of [10 * YEAR_MS, -20 * YEAR_MS, 0, 30 * YEAR_MS, -5 * YEAR_MS]) {
      await place.session(
        async (db) => {
          await db.handle().update('n', (n) => ((n as number | undefined) ?? 0) + 1)
          expect(db.snapshot().createdAt).toBeDefined()
          await db.checkpoint()
        },
        { clock: () => time },
      )
      time += step
    }
    await place.session((db) => expect(db.handle().get('n')).toBe(5))
  })
})
