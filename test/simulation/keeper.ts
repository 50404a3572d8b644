/** The keeper of a simulated life: whatever is done to a database as a whole while its clients work. */
import { type Database, type Key, type Snapshot, VarveError } from '../../src/index.ts'
import type { Random } from '../support/random.ts'
import { orderOf, type Stage } from './client.ts'
import { compareTable, demand, examine } from './examine.ts'
import { type Floor, raise, type Session, tableNames, tableOf, World } from './model.ts'

/** A database with all that can be done to it as a whole. */
export type Whole = Database<Key, unknown>

/** Opens a database on the machine of the stage. */
export type Opener = (path: string, readOnly: boolean) => Promise<Whole>

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

export class Keeper {
  readonly stage: Stage & { readonly db: Whole }
  readonly random: Random
  /** Codes of errors that the life provokes. */
  readonly #tolerated: ReadonlySet<string>
  readonly #open: Opener
  #backups = 0
  /** A snapshot with what it must show. */
  #held: { readonly snapshot: Snapshot<Key, unknown>; readonly world: World } | null = null

  constructor(stage: Keeper['stage'], random: Random, open: Opener, tolerated: readonly string[] = []) {
    this.stage = stage
    this.random = random
    this.#open = open
    this.#tolerated = new Set(['CLOSED', 'POISONED', ...tolerated])
  }

  async run(steps: number): Promise<void> {
    for (let step = 0; step < steps && this.stage.violation === null; step++) {
      for (let pause = this.random.int(30); pause > 0; pause--) await turn()
      try {
        await this.#step()
      } catch (error) {
        this.#judge(error)
      }
      this.stage.progress++
    }
  }

  #judge(error: unknown): void {
    if (this.stage.machine.dead) return
    if (error instanceof VarveError && this.#tolerated.has(error.code)) return
    this.stage.violation ??= error
  }

  async #step(): Promise<void> {
    const { db } = this.stage
    switch (this.random.int(14)) {
      case 0:
      case 1:
      case 2:
        return this.#flush()
      case 3:
      case 4:
      case 5:
        return db.checkpoint()
      case 6:
        return db.compact()
      case 7:
        await db.vacuum()
        return
      case 8:
      case 9:
        return this.#check()
      case 10:
        return this.#backup()
      case 11:
        return this.#snapshot()
      case 12:
        await Promise.all([db.checkpoint(), db.compact(), db.flush()])
        return
      default:
        db.stats()
    }
  }

  async #flush(): Promise<void> {
    const { db, session, machine } = this.stage
    const seen = present(orderOf(db, session), session)
    await db.flush()
    if (machine.dead) return
    raise(session.killed, seen.transactions, seen.strokes)
    raise(session.unplugged, seen.transactions, seen.strokes)
  }

  async #check(): Promise<void> {
    const { db, machine } = this.stage
    const report = await db.check()
    // What cannot be read because the disk fails is reported too.
    if (!machine.dead && machine.disk.faultsInjected === 0)
      demand(report.ok, `check() found: ${report.problems.join('; ')}`)
  }

  /** Holds one snapshot for a while; it must show what it showed. */
  async #snapshot(): Promise<void> {
    const held = this.#held
    if (held !== null) {
      const name = this.random.pick(tableNames)
      compareTable(name, held.snapshot.table(tableOf(name)), held.world, this.random, false)
      if (this.random.chance(0.4)) {
        held.snapshot.close()
        this.#held = null
      }
      return
    }
    const snapshot = this.stage.db.snapshot()
    this.#held = { snapshot, world: shown(snapshot) }
  }

  async #backup(): Promise<void> {
    const { db, session, machine } = this.stage
    const target = `/backups/${session.number}-${this.#backups++}`
    const least = present(orderOf(db, session), session)
    await db.backup(target)
    if (machine.dead) return
    const order = orderOf(db, session)
    const copy = await this.#open(target, this.random.chance(0.5))
    if (machine.dead) return
    examine(copy, session, least, order, this.random)
    const report = await copy.check()
    if (!machine.dead && machine.disk.faultsInjected === 0)
      demand(report.ok, `check() of a backup found: ${report.problems.join('; ')}`)
    await copy.close()
  }
}

/** Everything of a session that is there when its transactions are those of `order`, and that is in force now. */
export function present(order: readonly string[], session: Session): Floor {
  const strokes = session.strokes.map((each) => each.findLastIndex(({ sequence }) => sequence !== undefined) + 1)
  return { transactions: order.length, strokes }
}

function shown(snapshot: Snapshot<Key, unknown>): World {
  const world = new World()
  for (const table of tableNames) {
    for (const [key, value] of snapshot.table(tableOf(table)).entries()) world.apply({ table, kind: 'set', key, value })
  }
  return world
}
