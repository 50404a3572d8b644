/** The database: opens, hands out handles and snapshots, looks after itself, closes. */
import { codecs, residentOf } from './codecs/index.ts'
import { conflictReport } from './conflict-error.ts'
import { VarveError } from './errors.ts'
import { type DatabaseEvents, EventBoard } from './events.ts'
import { Handle } from './handle.ts'
import { type Conflict, Engine, type EngineListener, type TableSpec, type Txn } from './mvcc/index.ts'
import { type DatabaseOptions, resolveOptions, type ResolvedOptions, type TableOptions } from './options.ts'
import { Snapshot } from './snapshot.ts'
import { collectStats, memoryUsage, type Stats } from './stats.ts'
import { DEFAULT_TABLE, type Table } from './table.ts'
import { type DatabaseState, TableCore } from './table-core.ts'
import type { TableResolver } from './transaction.ts'

/** What `check()` found. */
export interface CheckReport {
  /** Whether nothing was found. */
  readonly ok: boolean
  /** One sentence for each violated invariant, with its place. */
  readonly problems: readonly string[]
  /** Tables walked. */
  readonly tables: number
  /** Live keys in them. */
  readonly keys: number
  /** Old versions kept for open snapshots. */
  readonly versions: number
}

/** What tests may replace; see {@link openWith}. */
export interface Injected {
  /** First value of the commit clock. Default 0. */
  readonly firstSequence?: number
  /** Monotonic ms. Default `performance.now`. */
  readonly now?: () => number
  /** Chance, in [0, 1): jitter and the seeds of hashes. Default `Math.random`, and a cryptographic source for seeds. */
  readonly random?: () => number
  /** Committed transactions kept before the oldest are summarised. Default 10,000. */
  readonly graphCap?: number
}

const GRAPH_CAP = 10_000

/**
 * A database, whatever the keys and values of its default table: what a function should take that works on tables of its own.
 */
export interface AnyDatabase {
  /** See {@link Database.handle}. */
  handle<K, V>(table: Table<K, V>): Handle<K, V>
  /** See {@link Database.tables}. */
  tables(): string[]
  /** See {@link Database.vacuum}. */
  vacuum(): Promise<{ versions: number; keys: number }>
  /** See {@link Database.flush}. */
  flush(): Promise<void>
  /** See {@link Database.check}. */
  check(): Promise<CheckReport>
  /** See {@link Database.stats}. */
  stats(): Stats
  /** See {@link Database.memoryUsage}. */
  memoryUsage(): number
  /** See {@link Database.sequence}. */
  readonly sequence: number
  /** See {@link Database.options}. */
  readonly options: ResolvedOptions
  /** See {@link Database.on}. */
  on<E extends keyof DatabaseEvents>(event: E, listener: (payload: DatabaseEvents[E]) => void): () => void
  /** See {@link Database.close}. */
  close(): Promise<void>
}

/**
 * An embedded, transactional, multi-version key-value database. K and V are keys and values of its default table; further
 * tables are defined with {@link table}.
 *
 * Every commit is a layer, and every reader stands on one. Serializability follows SSN (Wang et al. 2017) with an exact cycle
 * search behind it (PSSI, Revilak et al. 2011); read-only safe snapshots are those of Ports and Grittner (VLDB 2012).
 */
export class Database<K, V> implements AnyDatabase {
  /** The options it runs with, resolved and frozen. */
  readonly options: ResolvedOptions
  readonly #engine: Engine
  readonly #state: DatabaseState
  readonly #events: EventBoard = new EventBoard()
  readonly #cores: Map<string, TableCore<unknown, unknown>> = new Map()
  readonly #main: TableCore<K, V>
  readonly #openedAtMs: number
  readonly #random: (() => number) | undefined
  readonly #resolve: TableResolver = (table) => this.#coreOf(table)
  #closing: Promise<void> | null = null

  /** @internal */
  constructor(options: DatabaseOptions<K, V> | undefined, injected: Injected) {
    this.options = resolveOptions(options)
    const now = injected.now ?? ((): number => performance.now())
    this.#engine = new Engine({
      firstSequence: injected.firstSequence ?? 0,
      now,
      random: injected.random ?? Math.random,
      graphCap: injected.graphCap ?? GRAPH_CAP,
      vacuumIntervalMs: this.options.vacuum === false ? null : this.options.vacuum.intervalMs,
      maxTransactionAgeMs: this.options.maxTransactionAgeMs,
      maxSnapshotAgeMs: this.options.maxSnapshotAgeMs,
    })
    this.#engine.listener = this.#listener()
    this.#state = {
      engine: this.#engine,
      closed: null,
      counts: { gets: 0, has: 0, scans: 0, sets: 0, deletes: 0, merges: 0 },
      retries: 0,
    }
    this.#openedAtMs = now()
    this.#random = injected.random
    this.#main = this.#define<K, V>(DEFAULT_TABLE, options ?? {})
  }

  /**
   * Opens a database in memory.
   *
   * ```ts
   * await using db = await Database.open<string, { balance: number }>()
   * ```
   *
   * @throws VarveError `INVALID_OPTIONS` that names every violation at once.
   */
  static async open<K = import('./keys/index.ts').Key, V = unknown>(
    options?: DatabaseOptions<K, V>,
  ): Promise<Database<K, V>> {
    return new Database<K, V>(options, {})
  }

  /**
   * A handle on a table; without an argument, on the default table.
   * @throws VarveError `CODEC_MISMATCH` if the table is in use with other codecs, `CLOSED`.
   */
  handle(): Handle<K, V>
  handle<K2, V2>(table: Table<K2, V2>): Handle<K2, V2>
  handle<K2, V2>(table?: Table<K2, V2>): Handle<K, V> | Handle<K2, V2> {
    this.#ensureOpen()
    const { isolation } = this.options
    if (table === undefined) return new Handle(this.#main, this.#resolve, isolation)
    return new Handle(this.#coreOf(table), this.#resolve, isolation)
  }

  /** Names of the tables in use, the default table included. */
  tables(): string[] {
    this.#ensureOpen()
    return [...this.#cores.keys()]
  }

  /**
   * The database as of now, for as long as it is wanted. With `{ safe: true }` as of the newest safe snapshot: a point at which
   * everything before it is a serializable history whatever is still in flight.
   */
  snapshot(options?: { safe?: boolean }): Snapshot<K, V> {
    this.#ensureOpen()
    const txn = options?.safe === true ? this.#engine.beginSafe() : this.#engine.beginSnapshot()
    return new Snapshot(this.#main, txn, this.#resolve, this.options.clock())
  }

  /** Removes all garbage that may go now; resolves to how many versions and keys went. Never blocks for more than a few ms. */
  async vacuum(): Promise<{ versions: number; keys: number }> {
    this.#ensureOpen()
    return this.#engine.vacuum()
  }

  /** Resolves when everything committed so far is as durable as configured: in memory, at once. */
  async flush(): Promise<void> {
    this.#ensureOpen()
  }

  /** Walks every invariant of everything in memory and reports what does not hold. Reads all; for tests and doubts. */
  async check(): Promise<CheckReport> {
    this.#ensureOpen()
    const problems = this.#engine.check()
    let keys = 0
    let versions = 0
    for (const store of this.#engine.stores) {
      keys += store.size
      versions += store.versions
    }
    return { ok: problems.length === 0, problems, tables: this.#cores.size, keys, versions }
  }

  /** Figures about operations, transactions, versions and memory. */
  stats(): Stats {
    this.#ensureOpen()
    return collectStats(this.#state, this.#openedAtMs)
  }

  /** Estimated bytes that this database holds in memory: keys, values, versions, index, maplet, columns. */
  memoryUsage(): number {
    this.#ensureOpen()
    return memoryUsage(this.#engine)
  }

  /** Sequence of the newest commit. */
  get sequence(): number {
    return this.#engine.clock
  }

  /**
   * Calls `listener` after each such event, in a microtask. Returns a function that stops it.
   * @throws VarveError `INVALID_ARGUMENT` for an event that does not exist.
   */
  on<E extends keyof DatabaseEvents>(event: E, listener: (payload: DatabaseEvents[E]) => void): () => void {
    this.#ensureOpen()
    return this.#events.add(event, listener)
  }

  /**
   * Rolls back what is open and lets everything go. Calls after it throw `CLOSED`, on transactions and iterators too; closing
   * again is fine and gives the same promise.
   */
  close(): Promise<void> {
    try {
      this.#engine.refuseReentry()
    } catch (error) {
      return Promise.reject(error)
    }
    this.#closing ??= this.#shutDown()
    return this.#closing
  }

  /** Closes at the end of a scope: `await using db = …`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #shutDown(): Promise<void> {
    const error = new VarveError('CLOSED', 'the database has been closed; open it again to go on')
    this.#state.closed = error
    this.#engine.shutdown(error)
    this.#events.emit('close', {})
  }

  #ensureOpen(): void {
    if (this.#state.closed !== null) throw this.#state.closed
  }

  #coreOf<K2, V2>(table: Table<K2, V2>): TableCore<K2, V2> {
    if (
      typeof table !== 'object' ||
      table === null ||
      typeof table.name !== 'string' ||
      typeof table.options !== 'object' ||
      table.options === null
    ) {
      throw new VarveError('INVALID_ARGUMENT', 'a table is defined with table(name, options); this is something else')
    }
    const known = this.#cores.get(table.name)
    if (known === undefined) return this.#define(table.name, table.options)
    this.#requireSameCodecs(table, known)
    return known as unknown as TableCore<K2, V2>
  }

  #requireSameCodecs<K2, V2>(table: Table<K2, V2>, known: TableCore<unknown, unknown>): void {
    const value = table.options.value?.name ?? codecs.structured().name
    const key = table.options.key?.name
    if (value !== known.resident.codec.name) {
      const message = `table '${table.name}' holds values of codec '${known.resident.codec.name}', not '${value}'`
      throw new VarveError('CODEC_MISMATCH', `${message}; use one definition of a table everywhere`)
    }
    if (key !== known.keyCodecName) {
      const message = `table '${table.name}' has keys of codec '${known.keyCodecName ?? 'any'}', not '${key ?? 'any'}'`
      throw new VarveError('CODEC_MISMATCH', `${message}; use one definition of a table everywhere`)
    }
  }

  #define<K2, V2>(name: string, options: TableOptions<K2, V2>): TableCore<K2, V2> {
    const resident = residentOf(options.value ?? codecs.structured<V2>())
    const store = this.#engine.addTable({
      name,
      resident,
      merge: options.merge,
      sizeOf: options.sizeOf as TableSpec['sizeOf'],
      maplet: {
        ...this.options.maplet,
        seed: this.#seed(),
        capacity: Math.max(this.options.maplet.capacity, options.capacity?.entries ?? 0),
      },
    })
    const core = new TableCore<K2, V2>(this.#state, store, options.key, resident)
    this.#cores.set(name, core)
    return core
  }

  /** Seed of a table's hash: secret and random, unless chance is replaced by a test. */
  #seed(): number | undefined {
    return this.#random === undefined ? undefined : Math.floor(this.#random() * 2 ** 32)
  }

  #listener(): EngineListener {
    const events = this.#events
    return {
      committed: (sequence, keys) => {
        if (events.has('commit')) events.emit('commit', { sequence, keys })
      },
      aborted: (txn: Txn, conflict: Conflict | null) => {
        if (events.has('abort')) {
          events.emit('abort', {
            transaction: txn.id,
            conflict: conflict === null ? undefined : conflictReport(conflict),
          })
        }
      },
      vacuumed: (versions, keys) => events.emit('vacuum', { versions, keys }),
    }
  }
}

/** Opens a database with parts replaced, for tests: its clocks, its chance, its first sequence. */
export function openWith<K, V>(options: DatabaseOptions<K, V> | undefined, injected: Injected): Database<K, V> {
  return new Database<K, V>(options, injected)
}
