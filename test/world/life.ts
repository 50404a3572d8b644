/**
 * A life of everything at once, drawn from one seed: a database under a limit of memory and a clock moved by hand, with open
 * transactions, snapshots, half-read scans, watchers, forks and forks of forks; vacuum, checkpoints, merges, backups, restores;
 * on a simulated disk also closing, kills and power failures, each followed by an opening. Whatever is answered on the way is
 * held against the model (model.ts), whatever is left at the end too.
 */
import { openWith } from '../../src/database.ts'
import type { Key, Reader, Savepoint, Transaction } from '../../src/index.ts'
import { type Database, Snapshot, TransactionError, VarveError } from '../../src/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Random } from '../support/random.ts'
import { type Call, drawCall, judge, perform, View, type Write } from './calls.ts'
import { idOf, LEASE_MS, plainOf, same, TABLES, Timeline } from './model.ts'
import { agree, demand, entriesOf, show, turn, World } from './world.ts'
import { Watchers } from './watchers.ts'

/** Of a database that takes anything. */
type Options = NonNullable<Parameters<typeof openWith<Key, unknown>>[0]>

const PATH = '/data/world'
const START = 1_700_000_000_000

/** What differs between lives; all else is drawn. */
export interface LifePlan {
  readonly onDisk: boolean
  readonly limit: number
  readonly policy: NonNullable<Options['eviction']>
  readonly steps: number
}

/** What lives went through, to show that they were not idle. */
export class LifeCounts {
  commits = 0
  evictions = 0
  expiries = 0
  refusals = 0
  cold = 0
  /** Entries that left memory by name, on disk. */
  spilled = 0
  crashes = 0
  reopened = 0
  forks = 0
  restores = 0
  sessions = 0

  add(other: LifeCounts): void {
    for (const name of Object.keys(this) as (keyof LifeCounts)[]) if (name !== 'add') this[name] += other[name]
  }
}

interface Session {
  readonly kind: string
  readonly world: World
  readonly transaction: Transaction<unknown, unknown> | undefined
  readonly readers: readonly Reader<Key, unknown>[]
  readonly view: View
  readonly close: () => void
  savepoints: { readonly point: Savepoint; readonly writes: ReadonlyMap<string, Write> }[]
}

interface Scan {
  readonly world: World
  readonly iterator: IterableIterator<[Key, unknown]>
  readonly expected: [Key, unknown][]
  readonly view: View
  readonly table: number
}

export class Life {
  readonly plan: LifePlan
  readonly counts: LifeCounts = new LifeCounts()
  /** What was done, for the report of a failure. */
  readonly story: string[] = []
  readonly #random: Random
  readonly #options: Options
  readonly #watchers = new Watchers()
  #storage: SimulatedStorage
  #clock = START
  #stamp = 0
  #worlds: World[] = []
  #sessions: Session[] = []
  #scans: Scan[] = []
  #forks = 0
  #backups = 0

  constructor(seed: number, plan: LifePlan) {
    this.plan = plan
    const random = (this.#random = new Random(`world ${plan.limit} ${plan.policy}`, seed))
    this.#storage = this.#disk()
    const durability = random.chance(0.6) ? 'full' : 'relaxed'
    this.#options = {
      isolation: random.chance(0.8) ? 'serializable' : 'snapshot',
      vacuum: random.chance(0.5) ? false : { intervalMs: random.pick([0, 5, 50]) },
      ttl: { sweepIntervalMs: random.pick([0, 1, 1000]) },
      clock: () => this.#clock,
      eviction: plan.policy,
      ...(plan.limit < Infinity ? { maxMemoryBytes: plan.limit } : {}),
      ...(plan.onDisk
        ? {
            path: PATH,
            durability,
            wal: { segmentBytes: 64 * 1024, poolSize: 1, retain: { bytes: 1e9 } },
            ...(durability === 'relaxed' ? { flush: { intervalMs: 5, commits: 20 } } : {}),
          }
        : {}),
    }
  }

  get #root(): World {
    return this.#worlds[0]!
  }

  #disk(): SimulatedStorage {
    const random = this.#random
    return new SimulatedStorage({ seed: random.uint32(), maxDelayTurns: random.pick([0, 1, 3]) })
  }

  #tell(text: string): void {
    this.story.push(text)
  }

  async live(): Promise<void> {
    const random = this.#random
    // In memory alone; on disk the first is in the directory.
    const first = this.plan.onDisk ? 0 : random.pick([0, 0, 2 ** 32 - 20])
    await this.#open(new Timeline(first), START)
    for (let step = 0; step < this.plan.steps; step++) {
      await this.#step()
      // A failure is found where it arises, and most of the time calls overlap all the same.
      if (random.chance(0.6)) await this.#settle()
    }
    await this.#end()
  }

  // --- opening and closing ------------------------------------------------------------------------------------------------

  async #open(timeline: Timeline, instant: number, newest = timeline.sequence): Promise<void> {
    const random = this.#random
    const { path, ...rest } = this.#options
    const chance = random.fork()
    const injected = { random: () => chance.next(), firstSequence: timeline.first }
    let db: Database<Key, unknown>
    if (path === undefined) db = openWith<Key, unknown>(rest, injected)
    else {
      db = await openWith<Key, unknown>(
        { ...rest, path },
        {
          ...injected,
          ...{ storage: this.#storage, background: 'inline' as const },
          checkpointBytes: random.pick([1, 100_000, 1e9]),
          tailBytes: random.pick([0, 5000, 1e9]),
        },
      )
    }
    const found = db.sequence
    demand(found <= newest, () => `found commit ${found}, the newest was ${newest}`)
    const world = new World('root', db, timeline, instant, this.plan)
    this.#worlds[0] = world
    const { policy, limit } = this.plan
    this.#tell(`open: ${policy}, ${limit} bytes, ${show({ ...rest, clock: undefined })}`)
    this.#watchers.attach(world)
  }

  /** Shows the time to a database, and holds what it takes it for against what it may. */
  async #show(world: World, oldest: number = world.instant): Promise<void> {
    // After an opening it may have forgotten what only reads were shown, but nothing that a commit was.
    const least = Math.max(oldest, this.#clock)
    const newest = Math.max(world.instant, this.#clock)
    const found = (await world.probe()) ?? newest
    demand(found >= least && found <= newest, () => `${world.name}: ${found} is not ${least} to ${newest}`)
    world.instant = found
  }

  /** Takes in what has been committed everywhere: what a fork may be refused depends on the databases beneath. */
  async #catchUp(): Promise<void> {
    do for (const world of this.#worlds) await world.catchUp()
    while (this.#worlds.some((world) => !world.isCaughtUp))
  }

  async #settle(): Promise<void> {
    for (const world of this.#worlds) await world.settle()
    await this.#catchUp()
    for (const world of this.#worlds) this.#weigh(world)
  }

  /** What is in memory is within the limit; what transactions, snapshots and forks hold there may be beyond. */
  #weigh({ db, name, timeline }: World): void {
    const { limit, onDisk } = this.plan
    if (limit === Infinity) return
    const stats = db.stats()
    const { usedBytes } = stats.memory
    const isHeld = stats.garbage.chained > 0 || this.#worlds.some((other) => other.timeline.parent === timeline)
    // What lies below memory comes into it one by one, and one may be larger than all there may be.
    const held = isHeld || onDisk || timeline.parent !== undefined ? 300_000 : 0
    demand(usedBytes <= limit + held, () => `${name}: entries count for ${usedBytes} bytes, the limit is ${limit}`)
  }

  // --- steps --------------------------------------------------------------------------------------------------------------

  async #step(): Promise<void> {
    const random = this.#random
    const world = random.chance(0.6) ? this.#root : random.pick(this.#worlds)
    const die = random.int(100)
    if (die < 34) return this.#call(world)
    if (die < 38) return this.#compound(world)
    if (die < 46) return this.#begin(world)
    if (die < 62) return this.#use(world)
    if (die < 70) return this.#read(world)
    if (die < 74) return this.#scan(world)
    if (die < 79) return this.#moveClock()
    if (die < 82) return this.#evict(world)
    if (die < 84) return this.#fork(world)
    if (die < 86) return this.#restore(world)
    if (die < 92) return this.#work(world)
    if (die < 94) return this.#closeFork()
    if (die < 97) return this.#reopen()
    return this.#settle()
  }

  /** A call of its own, not waited for. */
  async #call(world: World): Promise<void> {
    await this.#catchUp()
    const call = drawCall(this.#random, ++this.#stamp, world.view())
    const what = told(call)
    this.#tell(`${world.name}: ${what}`)
    world.follow(what, plainAnswer(call, perform(call, world.handles[call.table]!)), (view) => judge(call, view))
  }

  /** Several calls and reads as one transaction, run again after a conflict. */
  async #compound(world: World): Promise<void> {
    await this.#catchUp()
    const random = this.#random
    const calls = Array.from({ length: random.between(1, 6) }, () => drawCall(random, ++this.#stamp, world.view()))
    const what = `transaction of ${calls.map(told).join('; ')}`
    this.#tell(`${world.name}: ${what}`)
    const judgeAll = (view: View): unknown => calls.map((call) => judge(call, view))
    const body = (tx: Transaction<Key, unknown>): unknown[] =>
      calls.map((call) => plainAnswer(call, perform(call, tx.table(TABLES[call.table]!.table))))
    let result: unknown
    if (random.chance(0.3)) {
      try {
        result = world.handles[0]!.transactionSync(body)
      } catch (error) {
        result = Promise.reject(error)
      }
    } else result = world.handles[0]!.transaction(body)
    world.follow(what, result, judgeAll, { mayConflict: true })
  }

  async #begin(world: World): Promise<void> {
    if (this.#sessions.length >= this.#random.between(1, 6)) return this.#endAll(world)
    await this.#catchUp()
    const random = this.#random
    const kind = random.pick(['update', 'update', 'update at snapshot', 'reader', 'snapshot', 'snapshot'])
    const view = world.view()
    this.counts.sessions++
    this.#tell(`${world.name}: begin ${kind} at ${view.sequence}, ${view.instant - START}`)
    if (kind === 'snapshot') {
      const snapshot = world.db.snapshot()
      agree('the sequence of a snapshot', snapshot.sequence, world.db.sequence)
      const readers = TABLES.map((each) => snapshot.table(each.table))
      const close = (): void => snapshot.close()
      this.#sessions.push({ kind, world, transaction: undefined, readers, view, close, savepoints: [] })
      return
    }
    const options = {
      update: { isolation: 'serializable' },
      'update at snapshot': { isolation: 'snapshot' },
      reader: { readOnly: true },
    } as const
    const transaction = world.db.handle().begin(options[kind as 'update'])
    const readers = TABLES.map((each) => transaction.table(each.table))
    const close = (): void => transaction.rollback()
    const asAny = transaction as unknown as Transaction<unknown, unknown>
    this.#sessions.push({ kind, world, transaction: asAny, readers, view, close, savepoints: [] })
  }

  /** Lets go of everything that holds an old state of a database, now and then, so that garbage and expired entries can go. */
  async #endAll(world: World): Promise<void> {
    if (this.#random.chance(0.7)) return
    for (const session of this.#sessions.filter((each) => each.world === world)) await this.#finish(session)
  }

  /** Something in one of the open transactions and snapshots. */
  async #use(world: World): Promise<void> {
    const random = this.#random
    const session = random.pick([...this.#sessions, undefined])
    if (session === undefined) return this.#call(world)
    await this.#catchUp()
    const { kind, view, readers } = session
    const die = random.int(10)
    if (die < 3) {
      const table = random.int(TABLES.length)
      const { keys } = TABLES[table]!
      for (let count = random.between(1, 5); count > 0; count--) {
        session.world.readKey(kind, readers[table]!, view, table, random.pick(keys))
      }
      return
    }
    if (die < 4) {
      const table = random.int(TABLES.length)
      return session.world.readTable(kind, readers[table]!, view, table, random.chance(0.5))
    }
    if (die >= 9 || !kind.startsWith('update')) {
      if (die >= 8) await this.#finish(session)
      return
    }
    this.#write(session)
  }

  #write(session: Session): void {
    const random = this.#random
    const { view, kind, world } = session
    const transaction = session.transaction!
    if (random.chance(0.1)) {
      session.savepoints.push({ point: transaction.savepoint(), writes: view.writes })
      return
    }
    if (random.chance(0.1) && session.savepoints.length > 0) {
      const at = random.int(session.savepoints.length)
      const { point, writes } = session.savepoints[at]!
      transaction.rollbackTo(point)
      view.writes = writes
      session.savepoints.length = at + 1
      return
    }
    const call = drawCall(random, ++this.#stamp, view)
    this.#tell(`${world.name}: ${kind} at ${view.sequence}: ${told(call)}`)
    const reads = call.name === 'clear' ? TABLES[call.table]!.keys : [call.key, ...call.others]
    const isLost = reads.some((key) => view.isLost(call.table, key))
    let got: unknown
    const before = view.writes
    try {
      got = plainAnswer(call, perform(call, session.readers[call.table] as Transaction<Key, unknown>))
    } catch (error) {
      if (!(error instanceof VarveError) || error.code !== 'SNAPSHOT_TOO_OLD' || !isLost) throw error
      // A call that fails midway may have written some keys, as any that throws.
      view.writes = before
      this.#drop(session)
      session.close()
      return
    }
    agree(`${world.name}: ${kind}: ${told(call)}`, got, judge(call, view))
  }

  async #finish(session: Session): Promise<void> {
    const random = this.#random
    const { view, transaction, world, kind } = session
    this.#drop(session)
    if (transaction === undefined || random.chance(0.2)) {
      session.close()
      return
    }
    const isAlone = world.timeline.sequence === view.sequence && world.idle
    this.#tell(`${world.name}: commit ${kind} at ${view.sequence}${isAlone ? ', alone' : ''}`)
    world.follow(`commit of ${kind} at ${view.sequence}`, transaction.commit(), () => undefined, {
      fixed: view,
      mayConflict: !isAlone,
    })
  }

  #drop(session: Session): void {
    this.#sessions = this.#sessions.filter((each) => each !== session)
  }

  async #read(world: World): Promise<void> {
    await this.#catchUp()
    const random = this.#random
    const table = random.int(TABLES.length)
    const handle = world.handles[table]!
    const { keys } = TABLES[table]!
    if (random.chance(0.2)) {
      this.#tell(`${world.name}: prefetch`)
      await handle.prefetch(random.chance(0.5) ? {} : [random.pick(keys), random.pick(keys)])
      await this.#catchUp()
    }
    const view = world.view()
    for (let count = random.between(1, 8); count > 0; count--)
      world.readKey('handle', handle, view, table, random.pick(keys))
    if (random.chance(0.3)) world.readTable('handle', handle, view, table, random.chance(0.5))
    this.#inspect(world, table)
  }

  #inspect(world: World, table: number): void {
    const seen = [...world.handles[table]!.inspect()]
    const view = world.view()
    agree(
      `${world.name}: inspect`,
      seen.map(({ key }) => key),
      entriesOf(view, table, false).map(([key]) => key),
    )
    for (const { key, expiresAt, resident, sizeBytes } of seen) {
      const cell = view.cell(table, key)!
      agree('expiresAt', expiresAt ?? 0, cell.expiresAt)
      if (TABLES[table]!.kind === 'sized') agree('sizeBytes', sizeBytes, (cell.value as { weight: number }).weight)
      if (!resident && world === this.#root) this.counts.cold++
    }
  }

  /** Begins a scan that stays half-read, or goes on with one. */
  async #scan(world: World): Promise<void> {
    const random = this.#random
    const open = this.#scans[0]
    if (open !== undefined && random.chance(0.7)) {
      await this.#catchUp()
      if (!this.#pull(open, random.between(1, 5))) this.#scans.shift()
      return
    }
    if (this.#scans.length >= 3) return
    await this.#catchUp()
    const table = random.int(TABLES.length)
    const view = world.view()
    const reverse = random.chance(0.5)
    const iterator = world.handles[table]!.entries({ reverse })
    const scan = { world, iterator, expected: entriesOf(view, table, reverse), view, table }
    if (this.#pull(scan, 1)) this.#scans.push(scan)
  }

  /** Takes so many steps; false when it has ended. */
  #pull({ world, iterator, expected, view, table }: Scan, steps: number): boolean {
    const { keys, kind } = TABLES[table]!
    for (; steps > 0; steps--) {
      let step: IteratorResult<[Key, unknown]>
      try {
        step = iterator.next()
      } catch (error) {
        // At its end it is a transaction that may fit into no serial order.
        if (error instanceof TransactionError && expected.length === 0) return false
        const isLost = keys.some((key) => view.isLost(table, key))
        if (error instanceof VarveError && error.code === 'SNAPSHOT_TOO_OLD' && isLost) return false
        throw error
      }
      const next = expected.shift()
      const got = step.done === true ? undefined : step.value
      agree(`${world.name}: a slow scan`, got && [got[0], plainOf(kind, got[1])], next)
      if (step.done === true) return false
    }
    return true
  }

  async #moveClock(): Promise<void> {
    const random = this.#random
    await this.#settle()
    const by = random.pick([1, 5, 7, 50, 300, LEASE_MS, 2000, -1, -400, -10_000])
    this.#clock += by
    this.#tell(`clock ${by}: ${this.#clock - START}`)
    for (const world of this.#worlds) await this.#show(world)
    for (let turns = random.int(3); turns > 0; turns--) await new Promise((resolve) => setTimeout(resolve, 2))
    await this.#catchUp()
  }

  /** On disk: has memory let go of most of what it may, so that what follows is cold. */
  async #spill(world: World): Promise<void> {
    const random = this.#random
    await this.#settle()
    if (random.chance(0.8)) await world.db.checkpoint()
    this.#tell('spill')
    for (const [table, { keys }] of TABLES.entries())
      for (const key of keys) if (random.chance(0.8) && world.handles[table]!.evict(key)) this.counts.spilled++
    await this.#catchUp()
  }

  async #evict(world: World): Promise<void> {
    if (this.plan.onDisk && world === this.#root && this.#random.chance(0.8)) return this.#spill(world)
    await this.#settle()
    const random = this.#random
    const table = random.int(TABLES.length)
    const key = random.pick(TABLES[table]!.keys)
    const was = world.view().timeline.at(table, key, world.db.sequence)
    const before = world.evictions
    world.byHand = `${TABLES[table]!.name} ${idOf(key)}`
    const gone = world.handles[table]!.evict(key)
    this.#tell(`${world.name}: evict ${TABLES[table]!.name} ${show(key)}: ${gone}`)
    await this.#catchUp()
    world.byHand = ''
    if (world === this.#root && !this.plan.onDisk) agree('evicted', world.evictions - before, gone ? 1 : 0)
    if (gone) demand(was?.value !== undefined, () => `evicted ${show(key)}, which was not there`)
  }

  async #fork(world: World): Promise<void> {
    if (this.#worlds.length >= 4) return
    await this.#settle()
    const db = world.db.fork()
    const name = `fork ${++this.#forks} of ${world.name} at ${world.timeline.sequence}`
    this.#tell(name)
    this.counts.forks++
    // Commits that changed nothing have a number, too.
    const timeline = new Timeline(db.sequence, world.timeline)
    const limits = { ...this.plan, onDisk: false }
    const fork = new World(name, db, timeline, world.instant, limits)
    this.#worlds.push(fork)
    agree('the sequence of a fork', db.sequence, world.db.sequence)
  }

  async #closeFork(): Promise<void> {
    const random = this.#random
    const leaves = this.#worlds.filter(
      (world) => world !== this.#root && !this.#worlds.some((other) => other.timeline.parent === world.timeline),
    )
    if (leaves.length === 0) return
    await this.#close(random.pick(leaves))
  }

  async #close(world: World): Promise<void> {
    this.#tell(`${world.name}: close`)
    for (const session of this.#sessions.filter((each) => each.world === world)) {
      this.#drop(session)
      session.close()
    }
    this.#scans = this.#scans.filter((scan) => {
      if (scan.world !== world) return true
      try {
        scan.iterator.return?.()
      } catch (error) {
        if (!(error instanceof TransactionError)) throw error
      }
      return false
    })
    await this.#settle()
    world.readAll('at the end')
    agree(`${world.name}: check()`, (await world.db.check()).problems, [])
    await this.#catchUp()
    this.#note(world)
    if (world === this.#root) await this.#watchers.finish(world)
    world.stop()
    await world.db.close()
    this.#worlds = this.#worlds.filter((each) => each !== world)
  }

  #note(world: World): void {
    this.counts.commits += world.timeline.commits.length
    this.counts.evictions += world.evictions
    this.counts.expiries += world.expiries
    this.counts.refusals += world.refusals
  }

  /** Puts back what an open snapshot shows, or a copy of it as bytes, or a backup. */
  async #restore(world: World): Promise<void> {
    const random = this.#random
    const session = this.#sessions.find((each) => each.kind === 'snapshot')
    if (session === undefined) return
    await this.#settle()
    this.#tell(`${world.name}: restore from ${session.world.name} at ${session.view.sequence}`)
    this.counts.restores++
    const { view } = session
    const source = session.readers[0] as unknown as Snapshot<Key, unknown>
    const isLost = TABLES.some(({ keys }, table) => keys.some((key) => view.isLost(table, key)))
    let from: Snapshot<Key, unknown> = source
    if (random.chance(0.4)) {
      try {
        from = Snapshot.fromBytes(source.toBytes())
      } catch (error) {
        if (error instanceof VarveError && error.code === 'SNAPSHOT_TOO_OLD' && isLost) return
        throw error
      }
      for (const [table, each] of TABLES.entries())
        session.world.readTable('from bytes', from.table(each.table), view, table, false)
    }
    // One commit with everything that is different; what it must do, whatever the state before.
    world.follow(
      'restore',
      world.db.restore(from).finally(() => from !== source && from.close()),
      (now) => {
        for (const [table, { keys }] of TABLES.entries()) {
          for (const key of keys) {
            const cell = view.committed(table, key)
            const old = now.cell(table, key)
            const lives = cell !== undefined && (cell.expiresAt === 0 || cell.expiresAt > now.instant)
            const wanted = lives ? cell : undefined
            if (
              wanted === undefined
                ? old === undefined
                : same(wanted.value, old?.value) && wanted.expiresAt === old?.expiresAt
            )
              continue
            now.write({ table, key, cell: wanted && { value: wanted.value, expiresAt: wanted.expiresAt } })
          }
        }
        return undefined
      },
      { mayConflict: true },
    )
    await this.#settle()
  }

  /** What a database does beside. */
  async #work(world: World): Promise<void> {
    const random = this.#random
    const { db } = world
    switch (random.int(6)) {
      case 0:
        this.#tell(`${world.name}: vacuum`)
        await db.vacuum()
        return
      case 1:
        this.#tell(`${world.name}: compact`)
        return db.compact()
      case 2: {
        if (!this.plan.onDisk) return
        await this.#settle()
        this.#tell('backup')
        await this.#backup()
        return
      }
      case 3:
        await db.flush()
        if (world === this.#root) await this.#watchers.interrupt(world, random)
        return
      default:
        this.#tell(`${world.name}: checkpoint`)
        return db.checkpoint()
    }
  }

  /** Makes a backup, and looks into it. */
  async #backup(): Promise<void> {
    const world = this.#root
    const path = `/backups/${++this.#backups}`
    const start = world.db.sequence
    await world.db.backup(path)
    await this.#catchUp()
    const copy = await openWith<Key, unknown>(
      { path, readOnly: true, clock: () => this.#clock },
      { storage: this.#storage, background: 'inline' },
    )
    const { sequence } = copy
    const end = world.db.sequence
    demand(sequence >= start && sequence <= end, () => `a backup of ${sequence}, made from ${start} to ${end}`)
    const snapshot = copy.snapshot()
    // A copy knows no time but that of its commits.
    const newest = world.timeline.commits.findLast((commit) => commit.sequence <= sequence)
    const view = new View(world.timeline, sequence, Math.max(this.#clock, newest?.timeMs ?? 0))
    for (const [table, each] of TABLES.entries())
      world.readTable('backup', snapshot.table(each.table), view, table, false)
    snapshot.close()
    await copy.close()
  }

  /** Ends the session, by a close or in the middle of everything, and opens the next. */
  async #reopen(): Promise<void> {
    if (!this.plan.onDisk) return
    const random = this.#random
    const root = this.#root
    const ending = random.pick(['close', 'kill', 'power'])
    if (ending === 'close') {
      for (const world of this.#worlds.slice(1).reverse()) await this.#close(world)
      await this.#close(root)
      this.#worlds = []
    } else {
      // The calls that were made have been applied, if there was room; few have been acknowledged.
      for (let turns = random.int(6); turns > 0; turns--) await turn()
      await this.#catchUp()
      this.#storage = ending === 'kill' ? this.#storage.kill() : this.#storage.crash()
      this.counts.crashes++
    }
    this.#tell(ending)
    const newest = root.db.sequence
    const told = root.acknowledged()
    const { timeline } = root
    const isLossy = ending === 'power' && this.#options.durability === 'relaxed'
    if (ending !== 'close') {
      this.#note(root)
      for (const world of this.#worlds) world.abandon()
      this.#watchers.abandon()
      this.#sessions = []
      this.#scans = []
      this.#worlds = []
    }
    this.counts.reopened++
    if (random.chance(0.3)) this.#clock += random.pick([-5000, 100, 1000])
    await this.#open(timeline, root.instant, newest)
    const world = this.#root
    const found = world.db.sequence
    demand(found >= told || isLossy, () => `found up to ${found}, acknowledged up to ${told}`)
    if (ending === 'close') agree('the sequence after a close', found, newest)
    timeline.cut(found)
    await this.#show(world, timeline.commits.at(-1)?.timeMs ?? -Infinity)
    world.readAll(`after ${ending}`)
  }

  async #end(): Promise<void> {
    await this.#settle()
    for (const session of [...this.#sessions]) {
      const { world, view, readers, kind } = session
      await this.#catchUp()
      for (const [table, { keys }] of TABLES.entries()) {
        for (const key of keys) world.readKey(kind, readers[table]!, view, table, key)
        world.readTable(kind, readers[table]!, view, table, false)
      }
      await this.#finish(session)
    }
    await this.#settle()
    for (const world of [...this.#worlds].reverse()) await this.#close(world)
  }
}

function told({ name, table, key, value, ttlMs }: Call): string {
  return `${name} ${TABLES[table]!.name} ${show(key)} ${show(value)}${ttlMs === undefined ? '' : ` for ${ttlMs}`}`
}

/** What a call answers, as plain data. */
function plainAnswer(call: Call, answer: unknown): unknown {
  if (answer instanceof Promise) return answer.then((each) => plainAnswer(call, each))
  return typeof answer === 'object' ? plainOf(TABLES[call.table]!.kind, answer) : answer
}
