/**
 * One simulated life of a database: sessions one after the other on one disk, each ended by chance in the middle of whatever
 * is going on, by a close, or by nothing at all; and what must hold after each. Everything is drawn from one seed.
 */
import { openWith } from '../../src/database.ts'
import { type DatabaseOptions, type Key, VarveError } from '../../src/index.ts'
import type { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Random } from '../support/random.ts'
import { Client, orderOf, rethrow, type Stage } from './client.ts'
import { drawOptions } from './draws.ts'
import { compare, demand, examine, Violation } from './examine.ts'
import { Keeper, present, type Whole } from './keeper.ts'
import { type Death, Machine } from './machine.ts'
import { raise, Session, World } from './model.ts'

/** Where the database of a life lies. */
const PATH = '/data/ledger'

/** What differs between kinds of lives. */
export interface LifePlan {
  /** Most sessions. */
  readonly sessions: number
  readonly clients: number
  readonly steps: number
  /** Makes the disk of the life. */
  readonly disk: (random: Random) => SimulatedStorage
  /** Replaces what stands between database and disk, to see that the lives notice a disk that lies. */
  readonly machine?: (disk: SimulatedStorage, death: Death | null) => Machine
  /** Called when a session has been opened, before its clients start: sets up failures to come. */
  readonly trouble?: (machine: Machine, random: Random) => void
  /** Whether every session is closed amid its work: for trouble in which commits wait for better times. */
  readonly hurried?: boolean
  /** Codes of errors that the trouble may cause in checkpoints, backups, opens. */
  readonly tolerated?: readonly string[]
}

/** What a life went through, for the sum of a run. */
export interface LifeCounts {
  sessions: number
  deaths: number
  deathsInOpen: number
  commits: number
  acknowledged: number
  lost: number
  poisoned: number
}

type PathOptions = DatabaseOptions & { path: string }

const PATIENCE_LOOKS = 240
const DEEPEST = 10

class Life {
  readonly seed: number
  readonly random: Random
  readonly plan: LifePlan
  readonly counts: LifeCounts = {
    ...{ sessions: 0, deaths: 0, deathsInOpen: 0, commits: 0, acknowledged: 0, lost: 0, poisoned: 0 },
  }
  /** What happened, for the report of a failure. */
  readonly story: string[] = []
  #disk: SimulatedStorage
  #world: World = new World()
  readonly #firstSequence: number
  /** When checkpoints come by themselves, and when a close makes one. */
  readonly #checkpointBytes: number
  readonly #tailBytes: number
  /** The session that ended last, whose commits the next open must find. */
  #last: Session | null = null
  /** Whether power was lost since it ended. */
  #unplugged = false
  #progress = 0

  constructor(seed: number, plan: LifePlan) {
    this.seed = seed
    this.plan = plan
    this.random = new Random('life', seed)
    this.#disk = plan.disk(this.random.fork())
    this.#firstSequence = this.random.chance(0.2) ? 2 ** 32 - this.random.between(1, 100) : 0
    this.#checkpointBytes = this.random.pick([1, 70_000, 200_000, 1e9])
    this.#tailBytes = this.random.pick([0, 5000, 200_000])
  }

  async live(): Promise<LifeCounts> {
    const sessions = this.random.between(1, this.plan.sessions)
    for (let number = 1; number <= sessions; number++) await this.#session(number)
    await this.#end()
    return this.counts
  }

  // --- one session --------------------------------------------------------------------------------------------------------

  async #session(number: number): Promise<void> {
    const { random } = this
    const options = drawOptions(random, PATH)
    let death = random.chance(0.85) ? this.#drawDeath() : null
    for (let depth = 0; ; depth++) {
      const machine = this.#boot(death)
      this.#tell(
        `session ${number}: ${options.durability}, ${death === null ? 'no death' : `${death.kind} ${death.when} call ${death.at}`}`,
      )
      if (depth < DEEPEST && random.chance(0.3)) this.plan.trouble?.(machine, random)
      const outcome = await this.#watched(machine, () => this.#run(machine, options, number, random.fork()))
      if (outcome === 'ran') return
      if (outcome === 'died') this.counts.deathsInOpen++
      this.#tell(`${outcome} while opening`)
      death = depth < DEEPEST && random.chance(0.7) ? this.#drawDeath(60) : null
    }
  }

  #drawDeath(most = this.random.pick([30, 100, 300, 1500])): Death {
    const { random } = this
    return {
      kind: random.chance(0.7) ? 'power' : 'kill',
      at: random.between(1, most),
      when: random.pick(['before', 'during', 'after']),
    }
  }

  #boot(death: Death | null): Machine {
    this.#disk.heal()
    this.#disk.capacityBytes = Infinity
    return this.plan.machine?.(this.#disk, death) ?? new Machine(this.#disk, death)
  }

  #tell(text: string): void {
    this.story.push(text)
  }

  /**
   * Runs one session on a machine. `died`: the machine died before the database was open and examined; `failed`: it could not
   * be opened, or not be read, because of the trouble that there is.
   */
  async #run(
    machine: Machine,
    options: PathOptions,
    number: number,
    random: Random,
  ): Promise<'ran' | 'died' | 'failed'> {
    let opened
    let world
    try {
      opened = await this.#alive(machine, this.#open(machine, options))
      if (opened === null) return 'died'
      world = await this.#judge(machine, opened, random)
      if (world === null) return 'died'
    } catch (error) {
      if (!this.#isTrouble(error, machine)) throw error
      await this.#alive(machine, opened?.close() ?? Promise.resolve())
      return machine.dead ? 'died' : 'failed'
    }
    this.#world = world
    const session = new Session(number, world, opened.sequence)
    this.#last = session
    this.#unplugged = false
    this.counts.sessions++
    const stage: Stage & { db: Whole } = {
      ...{ db: opened, session, machine, full: options.durability === 'full' },
      ...{ poisoned: null, progress: 0, violation: null, tolerated: this.plan.tolerated ?? [] },
    }
    machine.atDeath = () => this.#noteOrder(stage)
    this.plan.trouble?.(machine, random)
    // Some sessions are closed, and some die, while everybody is at work.
    const early = this.plan.hurried === true || random.chance(0.15)
    await this.#work(stage, random, early)
    rethrow(stage)
    if (!machine.dead) await this.#finish(stage, random, early)
    rethrow(stage)
    // Written and acknowledged is not written for good if a sync has failed: the kernel may have dropped it.
    if (machine.disk.faultsInjected > 0 && !stage.full) this.#unplugged = true
    this.#note(session, machine)
    return 'ran'
  }

  /** Whether an error comes from a failure of the disk that the life has arranged. */
  #isTrouble(error: unknown, machine: Machine): boolean {
    const { tolerated = [] } = this.plan
    const meets = machine.disk.faultsInjected > 0 || machine.disk.capacityBytes < Infinity
    return meets && error instanceof VarveError && [...tolerated, 'POISONED'].includes(error.code)
  }

  #open(machine: Machine, options: PathOptions): Promise<Whole> {
    const { random } = this
    return openWith<Key, unknown>(options, {
      storage: machine,
      background: 'inline',
      random: () => random.next(),
      firstSequence: this.#firstSequence,
      checkpointBytes: this.#checkpointBytes,
      tailBytes: this.#tailBytes,
    })
  }

  /** What a promise gives, or null if the machine died first. */
  async #alive<T>(machine: Machine, promise: Promise<T>): Promise<T | null> {
    promise.catch(() => undefined)
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

  /** Examines what an open found, if a session went before; null if the machine died over it. */
  async #judge(machine: Machine, db: Whole, random: Random): Promise<World | null> {
    const last = this.#last
    try {
      if (last === null) {
        compare(db, this.#world, random)
        return this.#world
      }
      const world = examine(db, last, this.#unplugged ? last.unplugged : last.killed, last.order, random)
      const report = await this.#alive(machine, db.check())
      if (report === null) return null
      const problems = machine.disk.faultsInjected > 0 ? [] : report.problems
      demand(problems.length === 0, `check() after opening found: ${problems.join('; ')}`)
      return world
    } catch (error) {
      if (machine.dead) return null
      throw error
    }
  }

  async #work(stage: Stage & { db: Whole }, random: Random, early: boolean): Promise<void> {
    const { machine } = stage
    const opener = (path: string, readOnly: boolean): Promise<Whole> =>
      openWith<Key, unknown>(
        { path, readOnly },
        { storage: machine, background: 'inline', random: () => random.next() },
      )
    const clients = Array.from({ length: this.plan.clients }, (_, i) => new Client(stage, i, random.fork()))
    const keeper = new Keeper(stage, random.fork(), opener, this.plan.tolerated)
    const steps = random.between(1, this.plan.steps)
    const all = Promise.all([...clients.map((client) => client.run(steps)), keeper.run(Math.ceil(steps / 5))])
    const ticking = setInterval(() => (this.#progress = stage.progress), 100)
    try {
      await this.#alive<unknown>(machine, early ? this.#interrupted(stage, all, random) : all)
    } finally {
      clearInterval(ticking)
    }
  }

  /** Closes while clients are at work; every promise must still settle. */
  async #interrupted(stage: Stage & { db: Whole }, all: Promise<unknown>, random: Random): Promise<void> {
    for (let pause = random.int(this.plan.hurried === true ? 400 : 40); pause > 0; pause--)
      await new Promise((resolve) => setImmediate(resolve))
    this.#noteOrder(stage)
    const closing = stage.db.close().then(
      () => true,
      (error: unknown) => {
        if (!this.#isTrouble(error, stage.machine)) throw error
        return false
      },
    )
    const [isClosed] = await Promise.all([closing, all])
    if (isClosed) this.#closed(stage)
  }

  /** Ends a session whose machine still runs: by death, or by a close and perhaps death right after it. */
  async #finish(stage: Stage & { db: Whole }, random: Random, early: boolean): Promise<void> {
    const { machine, db, session } = stage
    this.#noteOrder(stage)
    if (this.plan.trouble === undefined && !early) {
      try {
        examine(db, session, session.killed, session.order, random)
      } catch (error) {
        if (!machine.dead) throw error
      }
    }
    if (machine.dead) return
    if (stage.poisoned !== null) await this.#expectPoisoned(stage)
    machine.atDeath = null
    if (random.chance(0.3)) {
      machine.die(random.chance(0.5) ? 'power' : 'kill')
      return
    }
    const closed = await this.#alive(
      machine,
      db.close().then(
        () => true,
        (error: unknown) => {
          if (!this.#isTrouble(error, machine)) throw error
          return null
        },
      ),
    )
    if (closed === null) return
    this.#closed(stage)
    if (random.chance(0.3)) machine.die('power')
  }

  /** Once poisoned, nothing new is read or acknowledged. */
  async #expectPoisoned({ db, machine }: Stage & { db: Whole }): Promise<void> {
    this.counts.poisoned++
    const code = (error: unknown): string => (error instanceof VarveError ? error.code : String(error))
    const written = await this.#alive(
      machine,
      Promise.resolve()
        .then(() => db.handle().set('after', 1))
        .then(() => 'done', code),
    )
    const read = await this.#alive(
      machine,
      Promise.resolve()
        .then(() => db.handle().get('after'))
        .then(() => 'done', code),
    )
    for (const outcome of [written, read]) {
      demand(outcome === null || outcome === 'POISONED' || outcome === 'CLOSED', `after the log has failed: ${outcome}`)
    }
  }

  /** A close has ended: everything is on disk. */
  #closed({ poisoned, machine, session }: Stage): void {
    if (poisoned !== null || machine.dead || session.order === null) return
    const { transactions, strokes } = present(session.order, session)
    raise(session.killed, transactions, strokes)
    raise(session.unplugged, transactions, strokes)
  }

  /** Notes the order of commits as memory has it, while it can be read. */
  #noteOrder(stage: Stage & { db: Whole }): void {
    const { db, session } = stage
    try {
      session.order = orderOf(db, session)
      session.lastSequence = db.sequence
    } catch {
      // Poisoned or closed: whatever order the disk has must be right by itself.
    }
  }

  #note(session: Session, machine: Machine): void {
    const { counts } = this
    for (const { acknowledged } of session.commits.values()) {
      counts.commits++
      if (acknowledged) counts.acknowledged++
    }
    if (machine.dead) counts.deaths++
    this.#tell(
      `ended after call ${machine.operations}, ${machine.dead ? 'dead' : 'alive'}, order ${session.order?.length}`,
    )
  }

  // --- the watchdog -------------------------------------------------------------------------------------------------------

  /** Runs something on a machine and carries its disk on; fails if nothing happens for long while nothing has ended. */
  async #watched<T>(machine: Machine, act: () => Promise<T>): Promise<T> {
    let seen = ''
    let still = 0
    let timer: NodeJS.Timeout | undefined
    const hang = new Promise<never>((_resolve, reject) => {
      timer = setInterval(() => {
        const now = `${machine.operations} ${this.#progress}`
        still = now === seen ? still + 1 : 0
        seen = now
        // Turns of its own, not time: the whole process may have stood still.
        if (still > PATIENCE_LOOKS) reject(new Violation(`nothing happens after call ${machine.operations}`))
      }, 250)
    })
    try {
      return await Promise.race([act(), hang])
    } finally {
      clearInterval(timer)
      if (machine.remains !== null) {
        this.#disk = machine.remains
        if (machine.kind === 'power') this.#unplugged = true
      }
    }
  }

  // --- the end ------------------------------------------------------------------------------------------------------------

  /** Opens a last time, twice, on a machine that does not die. */
  async #end(): Promise<void> {
    for (const readOnly of this.random.chance(0.5) ? [true, false] : [false, true]) {
      const machine = this.#boot(null)
      this.#tell(readOnly ? 'last reading' : 'last opening')
      await this.#watched(machine, async () => {
        const options = { ...drawOptions(this.random, PATH), readOnly }
        const db = await this.#open(machine, options)
        const world = await this.#judge(machine, db, this.random)
        if (!readOnly && this.#last !== null) {
          const session = new Session(0, world!, db.sequence)
          session.order = []
          this.#last = session
          this.#unplugged = false
        }
        await db.close()
      })
    }
  }
}

/** Runs the life of a seed; a failure says what happened and how to see it again. */
export async function live(seed: number, plan: LifePlan, file: string): Promise<LifeCounts> {
  const life = new Life(seed, plan)
  try {
    return await life.live()
  } catch (error) {
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error)
    const replay = `VARVE_SEED=${seed} VARVE_RUNS=0.0001 npx vitest run ${file}`
    throw new Error(`life ${seed}: ${reason}\n  ${life.story.join('\n  ')}\nreplay: ${replay}`, { cause: error })
  }
}
