/**
 * The database on a simulated disk as an engine for the drivers of histories.
 *
 * What a history finds was written in an earlier session, so every first read is cold: some of it lies in the tail of the
 * log, some in one of several runs, some under a newer value or a deletion in another. While the history runs, checkpoints,
 * merges and vacuum come and go; a commit is over for its driver as soon as it is decided, and waits for the disk beside the
 * steps that follow. When a session ends, the disk is taken away, and what the next one finds on it must hold everything that
 * was acknowledged, and be one moment of the model.
 */
import { openWith } from '../../src/database.ts'
import type { Database, DatabaseOptions, Key, Transaction } from '../../src/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { DatabaseEngine, type Tables, TransactionSession } from './history-database.ts'
import { identityOf, type Session, tableOf, type Value } from './history-model.ts'
import type { Random } from './random.ts'

const PATH = '/data/histories'
/** How many turns of the queue of promise jobs lie, at most, between the decision about a commit and its being known. */
const DECISION_JOBS = 12
/** In how many portions, each in a place of its own on disk, the earlier session writes. */
const PORTIONS = 4

export type DiskDurability = 'full' | 'relaxed'

/** What memory is kept within; with a policy that is named, entries are let go by name, too. */
export type MemoryLimit = Pick<DatabaseOptions, 'maxMemoryBytes' | 'eviction'>

/** How a session ends: it is closed, its process dies, or the machine loses power. */
export type Ending = 'close' | 'kill' | 'power'

/** What has happened in all sessions, to show that they were not vacuous. */
export class DiskCounts {
  sessions = 0
  /** Live keys that a session found and had not read yet. */
  cold = 0
  checkpoints = 0
  merges = 0
  /** Deleted keys that memory could forget. */
  forgotten = 0
  acknowledged = 0
  /** Entries that were let go by name. */
  evicted = 0
  /** Commits that nobody had been told of, and that were gone in the next session. */
  lost = 0

  summary(): string {
    return Object.entries(this)
      .map(([name, count]) => `${name} ${String(count)}`)
      .join(', ')
  }
}

/** What an earlier session is to leave: keys of these tables, of which `initial` exist. */
export interface Preparation {
  readonly tables: Tables
  readonly keys: readonly string[]
  readonly initial: readonly string[]
}

export class DiskEngine extends DatabaseEngine {
  readonly isPrepared = true
  readonly counts: DiskCounts
  readonly #random: Random
  readonly #durability: DiskDurability
  readonly #workRate: number
  #storage: SimulatedStorage
  readonly #background = new Set<Promise<void>>()
  readonly #waiting = new Set<Promise<void>>()
  /** The newest commit that somebody has been told of, by its own promise or by that of one that saw it. */
  #told = 0
  #lastWriter = 0
  #failure: Error | undefined = undefined
  #session = 0

  readonly #limit: MemoryLimit

  private constructor(
    database: Database<Key, unknown>,
    storage: SimulatedStorage,
    durability: DiskDurability,
    random: Random,
    workRate: number,
    counts: DiskCounts,
    limit: MemoryLimit,
  ) {
    super(database)
    this.#limit = limit
    this.#storage = storage
    this.#durability = durability
    this.#random = random
    this.#workRate = workRate
    this.counts = counts
  }

  /** An empty database. `workRate`: the chance that a checkpoint, a merge or vacuum comes between two steps. */
  static async create(
    durability: DiskDurability,
    random: Random,
    workRate: number,
    counts: DiskCounts = new DiskCounts(),
    limit: MemoryLimit = {},
  ): Promise<DiskEngine> {
    const storage = new SimulatedStorage({ seed: random.uint32() })
    const database = await open(storage, durability, random, limit)
    return new DiskEngine(database, storage, durability, random, workRate, counts, limit)
  }

  // ---------------------------------------------------------------- what drivers use

  protected override session(transaction: Transaction<string, Value>): Session {
    return new WaitingSession(this, transaction, this.tables)
  }

  override async vacuum(): Promise<void> {
    if (this.#random.chance(0.5)) await this.database.vacuum()
    else await this.#work()
  }

  /** Awaited before every step. */
  async interlude(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    const random = this.#random
    if (random.chance(this.#workRate * 2)) await turns(random.between(1, 4))
    if (this.#limit.eviction !== undefined && random.chance(0.3)) this.#evict()
    if (random.chance(this.#workRate)) {
      const handle = this.database.handle(random.pick([this.tables.sums, this.tables.logs]))
      void this.#beside(this.#background, handle.prefetch({}))
    }
    if (!random.chance(this.#workRate)) return
    if (random.chance(0.3)) return void (await this.database.vacuum())
    const work = this.#work()
    if (random.chance(0.5)) await work
  }

  /** Has whatever may leave memory leave it. */
  #evict(): void {
    for (const table of [this.tables.sums, this.tables.logs]) {
      const handle = this.database.handle(table)
      for (const { key } of handle.inspect()) if (this.#random.chance(0.7) && handle.evict(key)) this.counts.evicted++
    }
  }

  /** A checkpoint, now and then with everything merged into one run. */
  #work(): Promise<void> {
    const { database } = this
    return this.#beside(this.#background, this.#random.chance(0.2) ? database.compact() : database.checkpoint())
  }

  /** Lets something go on beside the steps; what it fails with is thrown at the next one. */
  #beside(those: Set<Promise<void>>, work: Promise<void>): Promise<void> {
    const session = this.#session
    const watched = work
      .catch((error: Error) => {
        if (session === this.#session) this.#failure ??= error
      })
      .finally(() => those.delete(watched))
    those.add(watched)
    return watched
  }

  /** Resolves when the fate of a commit is decided; that it is on disk is waited for beside the steps that follow. */
  async decide(session: WaitingSession): Promise<void> {
    const before = this.sequence
    let isRefused = false
    const stop = this.database.on('abort', ({ transaction }) => {
      if (transaction === session.id) isRefused = true
    })
    const told = session.told()
    told.catch(() => {})
    for (let i = 0; i < DECISION_JOBS; i++) await Promise.resolve()
    stop()
    // It has been refused, which it is told when what it saw is on disk; or there is no room in the log, so that nothing is decided.
    if (isRefused || session.isOpen) return told
    const written = this.sequence > before ? this.sequence : 0
    const waiting = this.#beside(
      this.#waiting,
      told.then(() => this.#noteTold(written, session.sequence)),
    )
    if (this.#random.chance(0.1)) await waiting
  }

  #noteTold(written: number, seen: number): void {
    this.counts.acknowledged++
    if (written > 0 && written < this.#lastWriter)
      throw new Error(`commit ${written} was acknowledged after commit ${this.#lastWriter}`)
    if (written > 0) this.#lastWriter = written
    this.#told = Math.max(this.#told, written, seen)
  }

  // ---------------------------------------------------------------- sessions

  /** Writes what the next session is to find: values and deletions in several runs and in the tail of the log. */
  async prepare(preparations: readonly Preparation[]): Promise<void> {
    const portions: [Preparation, string, Value | undefined][][] = Array.from({ length: PORTIONS }, () => [])
    for (const preparation of preparations) {
      for (const key of preparation.keys) {
        const last = this.#random.int(PORTIONS)
        const isThere = preparation.initial.includes(key)
        if (isThere) portions[last]!.push([preparation, key, identityOf(key)])
        if (isThere ? this.#random.chance(0.5) : this.#random.chance(0.6)) {
          const first = this.#random.int(last + 1)
          portions[first]!.unshift([preparation, key, tableOf(key) === 'sums' ? 777 : 'old'])
          if (!isThere) portions[last]!.push([preparation, key, undefined])
        }
      }
    }
    const writes: Promise<unknown>[] = []
    for (const [number, portion] of portions.entries()) {
      for (const [{ tables }, key, value] of portion) {
        const handle = this.database.handle(tables[tableOf(key)])
        writes.push(value === undefined ? handle.delete(key) : handle.set(key, value))
      }
      if (number < PORTIONS - 1 && this.#random.chance(0.8)) await this.database.checkpoint()
    }
    await Promise.all(writes)
    await this.settle()
  }

  /** Waits until everything is acknowledged and nothing goes on behind the transactions. */
  async settle(): Promise<void> {
    await Promise.all([...this.#waiting, ...this.#background])
    if (this.#failure !== undefined) throw this.#failure
    await this.database.flush()
    this.#told = this.sequence
  }

  /**
   * Ends the session in the middle of whatever goes on, and opens the next. What is found then is the state at its
   * `sequence`.
   */
  async reopen(ending: Ending): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    const { database } = this
    const { disk, garbage } = database.stats()
    this.counts.checkpoints += disk?.checkpoints.done ?? 0
    this.counts.merges += disk?.merges.done ?? 0
    this.counts.forgotten += garbage.removedKeys
    if (ending === 'close') {
      const { problems } = await database.check()
      if (problems.length > 0) throw new Error(problems.join('\n'))
      // Whatever waits for a checkpoint is told that there will be none.
      this.#session++
      await database.close()
      await Promise.all(this.#waiting)
      this.#told = database.sequence
    } else {
      this.#session++
      this.#storage = ending === 'kill' ? this.#storage.kill() : this.#storage.crash()
    }
    this.#background.clear()
    this.#waiting.clear()
    const newest = database.sequence
    this.database = await open(this.#storage, this.#durability, this.#random, this.#limit)
    const found = this.sequence
    if (found > newest) throw new Error(`commit ${found} was found, the newest was ${newest}`)
    const mayLose = this.#durability === 'relaxed' && ending === 'power'
    if (found < this.#told && !mayLose) throw new Error(`found up to ${found}, acknowledged up to ${this.#told}`)
    this.counts.sessions++
    this.counts.lost += newest - found
    this.#lastWriter = this.#told = found
  }

  /** What is in these tables, in order: read key by key and scanned, one before the other. */
  contents(tables: Tables, keys: readonly string[]): readonly (readonly (readonly [string, Value])[])[] {
    const of = (name: 'sums' | 'logs') => this.database.handle(tables[name])
    const scan = () => [...of('logs').entries(), ...of('sums').entries()]
    const read = () =>
      keys.toSorted().flatMap((key): [string, Value][] => {
        const value = of(tableOf(key)).get(key)
        return value === undefined ? [] : [[key, value]]
      })
    return this.#random.chance(0.5) ? [read(), scan()] : [scan(), read()]
  }

  /** Live keys of the tables that this session has not read. */
  get coldKeys(): number {
    const { sums, logs } = this.tables
    this.database.handle(sums)
    this.database.handle(logs)
    const { tables } = this.database.stats()
    return tables[sums.name]!.coldKeys + tables[logs.name]!.coldKeys
  }
}

/** A transaction whose commit is over for the driver as soon as it is decided. */
class WaitingSession extends TransactionSession {
  readonly #engine: DiskEngine

  constructor(engine: DiskEngine, transaction: Transaction<string, Value>, tables: Tables) {
    super(transaction, tables)
    this.#engine = engine
  }

  override commit(): Promise<void> {
    return this.#engine.decide(this)
  }

  /** The promise of the commit itself. */
  told(): Promise<void> {
    return super.commit()
  }
}

/** Small files, and work behind the transactions in this thread. */
function open(
  storage: SimulatedStorage,
  durability: DiskDurability,
  random: Random,
  limit: MemoryLimit,
): Promise<Database<Key, unknown>> {
  const wal = { segmentBytes: 64 * 1024, poolSize: 1 }
  const flush = { intervalMs: 3, commits: random.pick([3, 30, 300]) }
  return openWith<Key, unknown>(
    { path: PATH, durability, wal, flush, vacuum: { intervalMs: 1 }, ...limit },
    {
      storage,
      background: 'inline',
      checkpointBytes: 256 * 1024,
      tailBytes: random.pick([0, 2 ** 30]),
      random: () => random.next(),
    },
  )
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}
