/**
 * One story of a database, in which everything happens once, told again and again with death at each call of it to the disk;
 * and one recovery, with death at each call of that, then at each call of the recovery from there.
 */
import { describe, expect, it } from 'vitest'
import { openWith } from '../../src/database.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Random, runs, seed } from '../support/random.ts'
import { Client, orderOf, rethrow, type Stage } from './client.ts'
import { examine } from './examine.ts'
import { present, type Whole } from './keeper.ts'
import { type Death, Machine } from './machine.ts'
import { raise, Session, World } from './model.ts'

const PATH = '/data/ledger'

interface Setting {
  readonly durability: 'full' | 'relaxed'
  readonly synced: boolean
}

function open(machine: Machine, durability: Setting['durability'], random: Random): Promise<Whole> {
  return openWith(
    {
      path: PATH,
      durability,
      wal: { segmentBytes: 64 * 1024, poolSize: 2 },
      flush: { intervalMs: Infinity, commits: 7, bytes: 20_000 },
      vacuum: false,
    },
    { storage: machine, background: 'inline', random: () => random.next(), tailBytes: 10_000 },
  )
}

/** What a promise gives, or null if the machine dies first. */
function unlessDead<T>(machine: Machine, promise: Promise<T>): Promise<T | null> {
  return Promise.race([
    promise.then(
      (value) => (machine.dead ? null : value),
      (error: unknown) => {
        if (machine.dead) return null
        throw error
      },
    ),
    machine.died.then(() => null),
  ])
}

/** Tells the story until its end or death; returns what was promised. */
async function tell(machine: Machine, { durability }: Setting): Promise<Session> {
  const random = new Random('story', seed)
  const session = new Session(1, new World(), 0)
  const db = await unlessDead(machine, open(machine, durability, random.fork()))
  if (db === null) return session
  const stage: Stage = {
    ...{
      db,
      session,
      machine,
      full: durability === 'full',
      poisoned: null,
      progress: 0,
      violation: null,
      tolerated: [],
    },
  }
  machine.atDeath = () => (session.order = orderOf(db, session))
  const clients = [0, 1, 2].map((number) => new Client(stage, number, random.fork()))
  const work = (steps: number): Promise<unknown> => Promise.all(clients.map((client) => client.run(steps)))
  const flush = async (): Promise<void> => {
    const seen = present(orderOf(db, session), session)
    await db.flush()
    if (machine.dead) return
    raise(session.killed, seen.transactions, seen.strokes)
    raise(session.unplugged, seen.transactions, seen.strokes)
  }
  const story = async (): Promise<void> => {
    await work(4)
    await flush()
    await db.checkpoint()
    await work(6)
    await Promise.all([db.checkpoint(), work(6)])
    await db.compact()
    await db.backup('/backups/one')
    await work(6)
    await Promise.all([db.checkpoint(), db.backup('/backups/two'), work(3)])
    await db.vacuum()
    await work(3)
    session.order = orderOf(db, session)
    machine.atDeath = null
    const all = present(session.order, session)
    await db.close()
    if (machine.dead) return
    raise(session.killed, all.transactions, all.strokes)
    raise(session.unplugged, all.transactions, all.strokes)
  }
  await unlessDead(machine, story())
  rethrow(stage)
  return session
}

/** Opens after a death, examines, closes; null if the machine died again. Returns what it held otherwise. */
async function recover(
  machine: Machine,
  session: Session,
  unplugged: boolean,
  setting: Setting,
): Promise<World | null> {
  const random = new Random('recovery')
  const act = async (): Promise<World> => {
    const db = await open(machine, setting.durability, random)
    const world = examine(db, session, unplugged ? session.unplugged : session.killed, session.order, random)
    const report = await db.check()
    expect(report.problems).toEqual([])
    await db.close()
    return world
  }
  return unlessDead(machine, act())
}

const newDisk = ({ synced }: Setting, disk = 1): SimulatedStorage => new SimulatedStorage({ seed: disk, synced })

async function callsOf(setting: Setting): Promise<number> {
  const machine = new Machine(newDisk(setting), null)
  const session = await tell(machine, setting)
  expect(session.order!.length).toBeGreaterThan(20)
  return machine.operations
}

const SETTINGS: readonly Setting[] = [
  { durability: 'full', synced: true },
  { durability: 'full', synced: false },
  { durability: 'relaxed', synced: false },
]

describe.each(SETTINGS)('with $durability and O_DSYNC: $synced', (setting) => {
  const patience = 120_000 * Math.max(1, runs(100) / 100)

  it(
    'death at each call of open, commit, rotation, checkpoint, compaction, backup and close',
    async () => {
      const calls = await callsOf(setting)
      const step = Math.max(1, calls / runs(100))
      const random = new Random('deaths')
      for (let at = 1; at <= calls; at += step) {
        const death: Death = {
          kind: random.chance(0.75) ? 'power' : 'kill',
          at: Math.round(at),
          when: random.pick(['before', 'during', 'after']),
        }
        const machine = new Machine(newDisk(setting), death)
        const session = await tell(machine, setting)
        try {
          const next = new Machine(machine.remains ?? machine.disk, null)
          const world = await recover(next, session, death.kind === 'power', setting)
          expect(world).not.toBeNull()
        } catch (error) {
          throw new Error(`${death.kind} ${death.when} call ${death.at} of ${calls}: ${String(error)}`, {
            cause: error,
          })
        }
      }
    },
    patience,
  )

  it(
    'death at each call of a recovery, and of the recovery from that, ten levels deep',
    async () => {
      const calls = await callsOf(setting)
      const random = new Random('recoveries')
      for (const part of [0.3, 0.6, 0.9]) {
        const death: Death = { kind: 'power', at: Math.round(calls * part), when: 'during' }
        const broken = async (): Promise<{ session: Session; disk: SimulatedStorage }> => {
          const machine = new Machine(newDisk(setting), death)
          return { session: await tell(machine, setting), disk: machine.remains! }
        }
        let last = 1
        const step = Math.max(1, Math.round(4 / runs(1)))
        for (let at = 1; at <= last; at += step) {
          const { session, disk } = await broken()
          let machine = new Machine(disk, { kind: 'power', at, when: random.pick(['before', 'during', 'after']) })
          for (let depth = 0; depth < 10; depth++) {
            const world = await recover(machine, session, true, setting)
            if (!machine.dead) {
              last = Math.max(last, depth === 0 ? at : machine.operations)
              expect(world).not.toBeNull()
              break
            }
            if (depth === 0) last = Math.max(last, at + step)
            const again: Death = {
              kind: random.chance(0.8) ? 'power' : 'kill',
              at: random.between(1, at),
              when: 'during',
            }
            machine = new Machine(machine.remains!, depth === 9 ? null : again)
          }
          const world = await recover(new Machine(machine.remains ?? machine.disk, null), session, true, setting)
          expect(world, `recovery ${at}`).not.toBeNull()
        }
      }
    },
    patience,
  )
})
