/**
 * One story of a database, in which everything happens once, told again and again with death at each call of it to the disk;
 * and one recovery, with death at each call of that, then at each call of the recovery from there.
 */
import { describe, expect, it } from 'vitest'
import { openWith } from '../../src/database.ts'
import { VarveError } from '../../src/errors.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Random, runs, seed } from '../support/random.ts'
import { Client, orderOf, rethrow, type Stage } from './client.ts'
import { examine } from './examine.ts'
import { present, type Whole } from './keeper.ts'
import { type Death, Machine } from './machine.ts'
import { type Floor, raise, Session, World } from './model.ts'

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

/** A backup that was begun: what it must hold, and whether it was reported done. */
interface Backup {
  readonly target: string
  readonly least: Floor
  isDone: boolean
}

/** What one telling of the story left behind. */
interface Told {
  readonly session: Session
  readonly backups: Backup[]
}

/** Tells the story until its end or death; returns what was promised. */
async function tell(machine: Machine, { durability }: Setting): Promise<Told> {
  const random = new Random('story', seed)
  const session = new Session(1, new World(), 0)
  const backups: Backup[] = []
  const db = await unlessDead(machine, open(machine, durability, random.fork()))
  if (db === null) return { session, backups }
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
  const backUp = async (target: string): Promise<void> => {
    const backup = { target, least: present(orderOf(db, session), session), isDone: false }
    backups.push(backup)
    await db.backup(target)
    if (!machine.dead) backup.isDone = true
  }
  const story = async (): Promise<void> => {
    await work(4)
    await flush()
    await db.checkpoint()
    await work(6)
    await Promise.all([db.checkpoint(), work(6)])
    await db.compact()
    await backUp('/backups/one')
    await work(6)
    await Promise.all([db.checkpoint(), backUp('/backups/two'), work(3)])
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
  return { session, backups }
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

/** Disks that may be found after a machine has died; its disk as it is if it has not. */
function imagesOf(machine: Machine): SimulatedStorage[] {
  if (machine.remains === null) return [machine.disk]
  if (machine.kind === 'kill') return [machine.remains]
  return [machine.remains, ...[1, 2].map((seed) => machine.disk.crash({ seed }))]
}

/** A backup that was reported done is right; one that was not is right or refused, and never passes for an empty database. */
async function examineBackup(
  disk: SimulatedStorage,
  { target, least, isDone }: Backup,
  session: Session,
): Promise<void> {
  const random = new Random('backup')
  let copy: Whole
  try {
    copy = await openWith({ path: target, readOnly: true }, { storage: disk, background: 'inline' })
  } catch (error) {
    expect(isDone, `${target} was reported done: ${String(error)}`).toBe(false)
    expect(error).toBeInstanceOf(VarveError)
    return
  }
  examine(copy, session, least, session.order, random)
  await copy.close()
}

const newDisk = ({ synced }: Setting, disk = 1): SimulatedStorage => new SimulatedStorage({ seed: disk, synced })

async function callsOf(setting: Setting): Promise<number> {
  const machine = new Machine(newDisk(setting), null)
  const { session } = await tell(machine, setting)
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
      const step = Math.max(1, calls / runs(60))
      const random = new Random('deaths')
      for (let at = 1; at <= calls; at += step) {
        const death: Death = {
          kind: random.chance(0.75) ? 'power' : 'kill',
          at: Math.round(at),
          when: random.pick(['before', 'during', 'after']),
        }
        const machine = new Machine(newDisk(setting), death)
        const { session, backups } = await tell(machine, setting)
        try {
          for (const image of imagesOf(machine)) {
            const next = new Machine(image, null)
            const world = await recover(next, session, death.kind === 'power', setting)
            expect(world).not.toBeNull()
            for (const backup of backups) await examineBackup(next.disk, backup, session)
          }
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
      const step = Math.max(1, Math.round(8 / runs(1)))
      for (let part = 0.3; part < 1; part += 0.3 / runs(1)) {
        const story = new Machine(newDisk(setting), { kind: 'power', at: Math.round(calls * part), when: 'during' })
        const { session } = await tell(story, setting)
        let survived = 0
        for (let at = random.between(1, step); survived < 3; at += step) {
          const disk = story.disk.crash({ seed: at })
          const first = new Machine(disk, { kind: 'power', at, when: random.pick(['before', 'during', 'after']) })
          const world = await recover(first, session, true, setting)
          if (world !== null) survived++
          for (const image of imagesOf(first)) await recoverAgain(image, session, setting, random)
        }
      }
    },
    patience,
  )
})

/** Recoveries that die, each in the disk that the one before left, until one does not. */
async function recoverAgain(
  image: SimulatedStorage,
  session: Session,
  setting: Setting,
  random: Random,
): Promise<void> {
  let disk = image
  for (let depth = 1; ; depth++) {
    const kind = random.chance(0.8) ? 'power' : 'kill'
    const death: Death | null =
      depth < 10 && random.chance(0.6) ? { kind, at: random.between(1, 60), when: 'during' } : null
    const machine = new Machine(disk, death)
    const world = await recover(machine, session, true, setting)
    disk = machine.remains ?? machine.disk
    if (world !== null) return
  }
}
