/**
 * Many small runs beside a large one: checkpoint after checkpoint of a few writes and deletes each, so that runs are merged
 * in part, over and over, before the older ones are. What was deleted stays deleted, whatever is merged with what.
 */
import { describe, expect, it } from 'vitest'
import { openWith } from '../../src/database.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Random, runs, seed } from '../support/random.ts'
import { Client, orderOf, rethrow, type Stage } from './client.ts'
import { examine } from './examine.ts'
import { present, type Whole } from './keeper.ts'
import { Machine } from './machine.ts'
import { raise, Session, tables, World } from './model.ts'

const PATH = '/data/ledger'

async function open(disk: SimulatedStorage): Promise<{ db: Whole; machine: Machine }> {
  const machine = new Machine(disk, null)
  const options = { path: PATH, wal: { segmentBytes: 64 * 1024 }, vacuum: false } as const
  return { machine, db: await openWith(options, { storage: machine, background: 'inline' }) }
}

describe('many small runs beside a large one', () => {
  it('are merged in part without a loss, and without anything coming back', async () => {
    for (let life = 0; life < runs(2); life++) {
      const random = new Random('many runs', seed + life)
      let disk = new SimulatedStorage({ seed: life, maxDelayTurns: 0 })
      let world = new World()
      let mostRuns = 0
      for (let number = 1; number <= 3; number++) {
        const { db, machine } = await open(disk)
        const session = new Session(number, world, db.sequence)
        const stage: Stage = {
          ...{ db, session, machine, full: true, poisoned: null, progress: 0, violation: null, tolerated: [] },
        }
        const clients = [0, 1].map((client) => new Client(stage, client, random.fork()))
        if (number === 1) {
          // Larger than everything after it together, so that it is not merged with what is newer.
          const base = session.begin('base')
          await db.handle(tables.blobs).transaction((tx) => {
            for (let key = 0n; key < 10n; key++) {
              const value = new Uint8Array(400_000).fill(Number(key))
              tx.set(key, value)
              base.effects.push({ table: 'blobs', kind: 'set', key, value })
            }
            tx.table(tables.orders).merge(number, 'base')
          })
          await db.checkpoint()
        }
        for (let round = 0; round < 40; round++) {
          await Promise.all(clients.map((client) => client.run(2)))
          rethrow(stage)
          await db.checkpoint()
          mostRuns = Math.max(mostRuns, disk.files(PATH).filter((name) => name.endsWith('.run')).length)
        }
        session.order = orderOf(db, session)
        const all = present(session.order, session)
        raise(session.unplugged, all.transactions, all.strokes)
        expect((await db.check()).problems).toEqual([])
        disk = disk.crash({ seed: number })
        const again = await open(disk)
        world = examine(again.db, session, session.unplugged, session.order, random)
        if (number === 2) await again.db.compact()
        await again.db.close()
      }
      expect(mostRuns).toBeGreaterThan(8)
      // 64 at most, those being merged and removed beside them.
      expect(mostRuns).toBeLessThan(75)
    }
  })
})
