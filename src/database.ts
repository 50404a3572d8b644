/** The database: opens, hands out handles and snapshots, looks after itself, closes. */
import { randomFillSync } from 'node:crypto'

import { checkScans } from './check.ts'
import { conflictReport } from './conflict-error.ts'
import { databaseLabel, StatsPublisher } from './diagnostics.ts'
import { type Disk, engineDisk, type InjectedDisk, openDisk } from './disk.ts'
import type { ProgressListener } from './durability/index.ts'
import { VarveError, databaseClosed } from './errors.ts'
import { type DatabaseEvents, EventBoard } from './events.ts'
import { forkOptions, forksOpen, type Stand, standOn } from './fork.ts'
import { Handle } from './handle.ts'
import { SampledLatency } from './latency.ts'
import { release, watchOver } from './leaks.ts'
import { type Conflict, Engine, type EngineListener, type Txn } from './mvcc/index.ts'
import { releaseKey } from './keys/index.ts'
import { memoryOf, relieveByCheckpoints } from './memory.ts'
import { type DatabaseOptions, resolveOptions, type ResolvedOptions } from './options.ts'
import { restore } from './restore.ts'
import { WriteLine } from './room.ts'
import { type AnySnapshot, Snapshot } from './snapshot.ts'
import { collectStats, memoryUsage, type Stats } from './stats.ts'
import { DEFAULT_TABLE, type Table } from './table.ts'
import { type DatabaseState, ensureWritableDatabase, safeOf, type TableCore } from './table-core.ts'
import { type Ground, Tables } from './tables.ts'
import { timeOf } from './time.ts'
import {
  type ChangesOptions,
  type Commit,
  type Cursor,
  cursorAt,
  type FeedSource,
  historyOf,
  openChanges,
} from './watching/index.ts'

/** What `check()` found. */
export interface CheckReport {
  /** Whether nothing was found. */
  readonly ok: boolean
  /** One sentence for each violated invariant or damaged place, with where it is: a key, or a file and an offset. */
  readonly problems: readonly string[]
  /** Files on disk that were read; 0 in memory. */
  readonly files: number
  /** Bytes in them. */
  readonly bytes: number
  /** Tables walked. */
  readonly tables: number
  /** Live keys in them. */
  readonly keys: number
  /** Old versions kept for open snapshots. */
  readonly versions: number
}

/** Of calls that walk much. */
export interface ProgressOptions {
  /** Called every now and then with the bytes done and the bytes there are. What it throws is ignored. */
  onProgress?: ProgressListener | undefined
}

/** What tests may replace; see {@link openWith}. */
export interface Injected extends InjectedDisk {
  /** First value of the commit clock. Default 0. */
  readonly firstSequence?: number
  /** Monotonic ms. Default `performance.now`. */
  readonly now?: () => number
  /** Chance, in [0, 1): jitter and the seeds of hashes. Default `Math.random`, and a cryptographic source for seeds. */
  readonly random?: () => number
  /** Committed transactions kept before the oldest are summarised. Default 10,000. */
  readonly graphCap?: number
  /** Bytes of recent commits kept for those who watch. Default 16 MiB. */
  readonly feedBytes?: number
}

const GRAPH_CAP = 10_000
/** Bound of what is kept in memory for those who watch. */
const FEED_BYTES = 16 * 2 ** 20

/**
 * A database, whatever the keys and values of its default table: what a function should take that works on tables of its own.
 */
export interface AnyDatabase {
  /** See {@link Database.handle}. */
  handle<K, V>(table: Table<K, V>): Handle<K, V>
  /** See {@link Database.tables}. */
  tables(): string[]
  /** See {@link Database.restore}. */
  restore(source: AnySnapshot | string): Promise<void>
  /** See {@link Database.fork}. */
  fork(options?: { safe?: boolean }): AnyDatabase
  /** See {@link Database.vacuum}. */
  vacuum(): Promise<{ versions: number; keys: number }>
  /** See {@link Database.flush}. */
  flush(): Promise<void>
  /** See {@link Database.check}. */
  check(options?: ProgressOptions): Promise<CheckReport>
  /** See {@link Database.checkpoint}. */
  checkpoint(): Promise<void>
  /** See {@link Database.compact}. */
  compact(): Promise<void>
  /** See {@link Database.backup}. */
  backup(path: string, options?: ProgressOptions): Promise<void>
  /** See {@link Database.stats}. */
  stats(): Stats
  /** See {@link Database.memoryUsage}. */
  memoryUsage(): number
  /** See {@link Database.sequence}. */
  readonly sequence: number
  /** See {@link Database.cursor}. */
  readonly cursor: Cursor
  /** See {@link Database.changes}. */
  changes(options?: ChangesOptions): AsyncIterableIterator<Commit>
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
  readonly #events: EventBoard
  readonly #publisher: StatsPublisher
  readonly #tables: Tables
  readonly #main: TableCore<K, V>
  readonly #openedAtMs: number
  readonly #disk: Disk | null
  readonly #feed: FeedSource
  /** What a fork stands on. */
  readonly #stand: Stand | null
  /** As given, for forks. */
  readonly #given: readonly [DatabaseOptions<K, V> | undefined, Injected]
  #closing: Promise<void> | null = null

  /** @internal */
  constructor(
    options: DatabaseOptions<K, V> | undefined,
    resolved: ResolvedOptions,
    injected: Injected,
    disk: Disk | null,
    stand: Stand | null = null,
  ) {
    this.options = resolved
    this.#given = [options, injected]
    this.#stand = stand
    const label = databaseLabel(resolved.path)
    this.#events = new EventBoard(label)
    this.#publisher = new StatsPublisher(label, () => this.stats(), clockOf(injected))
    this.#disk = disk
    const now = clockOf(injected)
    this.#engine = new Engine({
      firstSequence: disk?.directory.sequence ?? stand?.sequence ?? injected.firstSequence ?? 0,
      disk: disk === null ? null : engineDisk(disk.directory),
      base: stand?.base ?? null,
      timeMs: stand?.timeMs ?? timeOf(resolved.clock, options?.clock !== undefined, now, disk?.directory.timeMs ?? 0),
      now,
      random: injected.random ?? Math.random,
      graphCap: injected.graphCap ?? GRAPH_CAP,
      sweepIntervalMs: this.options.ttl.sweepIntervalMs,
      vacuumIntervalMs: this.options.vacuum === false ? null : this.options.vacuum.intervalMs,
      maxTransactionAgeMs: this.options.maxTransactionAgeMs,
      maxSnapshotAgeMs: this.options.maxSnapshotAgeMs,
      feedBytes: injected.feedBytes ?? FEED_BYTES,
      memory: stand === null ? memoryOf(resolved, disk !== null, injected.random ?? Math.random) : null,
    })
    this.#engine.listener = this.#listener()
    if (disk !== null) disk.listener = this.#diskListener()
    this.#feed = feedSource(this.#engine, disk, injected.random)
    const { log } = disk?.directory ?? { log: null }
    if (log !== null) log.onSynced = (): void => this.#engine.feed?.moved()
    this.#state = {
      engine: this.#engine,
      feed: this.#feed,
      log: disk === null ? null : disk.directory.log,
      readOnly: resolved.readOnly,
      closed: null,
      line: new WriteLine(),
      forks: 0,
      counts: { gets: 0, has: 0, scans: 0, sets: 0, deletes: 0, merges: 0 },
      retries: 0,
      commitLatency: new SampledLatency(now),
    }
    if (disk !== null) relieveByCheckpoints(this.#state, disk.directory)
    this.#openedAtMs = now()
    const ground = disk === null ? (stand?.ground ?? null) : diskGround(disk, this.#engine, resolved.readOnly)
    this.#tables = new Tables(this.#state, ground, resolved, injected.random)
    this.#main = this.#tables.define<K, V>(DEFAULT_TABLE, options ?? {})
    if (disk !== null) this.#feed.history = historyOf(disk.directory, this.#tables)
    if (stand !== null) {
      stand.fill(this.#tables)
      watchOver(this, stand.engine, stand.pin)
    }
  }

  /**
   * Opens a database: on disk with a `path`, else in memory.
   *
   * ```ts
   * await using db = await Database.open<string, { balance: number }>({ path: './ledger' })
   * ```
   *
   * What a crash left unfinished is mended here, before anything is served; how is said in docs/durability.md (recovery after
   * ARIES, Mohan et al. 1992, simplified by logging values once and never changing what is on disk in place).
   *
   * @throws VarveError `INVALID_OPTIONS` that names every violation at once, `LOCKED` if the directory is open somewhere,
   * `CORRUPTION` with file and offset, `CODEC_MISMATCH` if the default table was written with other codecs, `IO`.
   */
  static async open<K = import('./keys/index.ts').Key, V = unknown>(
    options?: DatabaseOptions<K, V>,
  ): Promise<Database<K, V>> {
    const { path } = options ?? {}
    return path === undefined ? openWith(options, {}) : openWith({ ...options, path }, {})
  }

  /**
   * A handle on a table; without an argument, on the default table.
   * @throws VarveError `CODEC_MISMATCH` if the table is in use with other codecs, `CLOSED`.
   */
  handle(): Handle<K, V>
  handle<K2, V2>(table: Table<K2, V2>): Handle<K2, V2>
  handle<K2, V2>(table?: Table<K2, V2>): Handle<K, V> | Handle<K2, V2> {
    this.#ensureNotClosed()
    const { isolation } = this.options
    const { resolve } = this.#tables
    if (table === undefined) return new Handle(this.#main, resolve, isolation)
    return new Handle(resolve(table), resolve, isolation)
  }

  /** Names of the tables on disk and in use, the default table included. */
  tables(): string[] {
    this.#ensureNotClosed()
    return this.#tables.names()
  }

  /**
   * The database as of now, for as long as it is wanted. With `{ safe: true }` as of the newest safe snapshot: a point at which
   * everything before it is a serializable history whatever is still in flight.
   */
  snapshot(options?: { safe?: boolean }): Snapshot<K, V> {
    this.#ensureOpen()
    const txn = safeOf(options, 'snapshot') ? this.#engine.beginSafe() : this.#engine.beginSnapshot()
    return new Snapshot(this.#main, txn, this.#tables, txn.fixInstant())
  }

  /**
   * An independent copy of the database as of now, in memory, whatever this one is: what one changes the other never sees. Made
   * in about 20 us at any size, since both share what neither has changed; a key costs memory in the fork once it is written or
   * looked up there. With `{ safe: true }` as of the newest safe snapshot; see {@link Database.snapshot}.
   *
   * A fork has clock, transactions, watchers and statistics of its own, takes writes even if this database is opened with
   * readOnly, and is a database to fork in turn. It counts as an open snapshot here, and {@link Database.close} is refused until it
   * is closed.
   *
   * @throws VarveError `CLOSED`, `POISONED`. Reading in the fork throws `SNAPSHOT_TOO_OLD` for what this database has evicted or
   * once `maxSnapshotAgeMs` has passed here, and `IO` or `CORRUPTION` for what cannot be read from its disk.
   */
  fork(options?: { safe?: boolean }): Database<K, V> {
    this.#ensureOpen()
    const stand = standOn(this, this.#state, this.#tables, safeOf(options, 'fork'))
    const [given, injected] = this.#given
    try {
      return new Database<K, V>(given, forkOptions(this.options), injected, null, stand)
    } catch (error) {
      stand.engine.letGo(stand.pin)
      throw error
    }
  }

  /**
   * Puts the state of a snapshot back, in all tables, as one commit: of this database or of another one, from bytes
   * ({@link Snapshot.fromBytes}) or from the directory of a backup. What the snapshot does not have is deleted, and tables that it
   * does not know are emptied; what expires does so when it would have, and what has by now stays away. Only what differs is
   * written. Both are read in slices, beside reads and writes of others; the commit is a single step, and what others have
   * committed before it is overwritten.
   * @throws VarveError `CODEC_MISMATCH` if a table has other codecs there, `MEMORY_LIMIT` or `CAPACITY_EXCEEDED` if it does not fit,
   * `READ_ONLY`, `TRANSACTION_CLOSED` if the snapshot is closed, `INVALID_ARGUMENT`, and what opening and reading a backup may
   * throw. Then nothing has been changed.
   */
  async restore(source: AnySnapshot | string): Promise<void> {
    this.#ensureOpen()
    ensureWritableDatabase(this.#state)
    if (source instanceof Snapshot) return restore(this.#state, this.#tables, source.source)
    if (typeof source !== 'string' || source === '')
      throw new VarveError('INVALID_ARGUMENT', 'restore takes a snapshot or the directory of a backup')
    const [given, injected] = this.#given
    const backup = await openWith<K, V>(
      { key: given?.key, value: given?.value, path: source, readOnly: true },
      injected,
    )
    try {
      await restore(this.#state, this.#tables, backup.snapshot().source)
    } finally {
      await backup.close()
    }
  }

  /**
   * Removes all garbage that may go now, and what has expired; resolves to how many versions and keys went. Never blocks for more
   * than a few ms.
   * @throws VarveError `IO`, `CORRUPTION` or `CODEC_MISMATCH` if something on disk that has expired cannot be read: it stays, expired.
   */
  async vacuum(): Promise<{ versions: number; keys: number }> {
    this.#ensureOpen()
    return this.#engine.vacuum()
  }

  /** Resolves when everything committed so far is on disk, at every durability; in memory, at once. */
  async flush(): Promise<void> {
    this.#ensureOpen()
    await this.#disk?.directory.flush()
  }

  /**
   * Moves everything committed so far from the log into a sorted run, so that the log can be used again and reopening has
   * nothing to replay. Happens by itself as the log grows and at close. In memory it does nothing.
   * @throws VarveError `READ_ONLY`, `IO`, `POISONED`.
   */
  async checkpoint(): Promise<void> {
    this.#ensureOpen()
    ensureWritableDatabase(this.#state)
    await this.#disk?.directory.checkpoint()
  }

  /**
   * Merges everything on disk into one run without deleted keys and old versions: the smallest and fastest form. Goes on beside
   * reads and writes, and needs room for a second copy while it lasts. In memory, and then too, it removes garbage and gives
   * back memory outside of the heap that deleted values have left free.
   * @throws VarveError `READ_ONLY`, `IO`, `POISONED`.
   */
  async compact(): Promise<void> {
    this.#ensureOpen()
    ensureWritableDatabase(this.#state)
    await this.#disk?.directory.compact()
    if (this.#state.closed === null) await this.#engine.compactMemory()
  }

  /**
   * Writes a copy of the database, as of some moment during the call, into a directory that is empty or does not exist.
   * Reads and writes go on meanwhile. The copy is a database of its own: opening it restores it.
   * @throws VarveError `INVALID_ARGUMENT` in memory or if the target is not empty, `READ_ONLY` for a database opened with readOnly
   * of which part is in the log only, `IO`, `CORRUPTION` if a file to copy is damaged, `CLOSED`.
   */
  async backup(path: string, options?: ProgressOptions): Promise<void> {
    this.#ensureOpen()
    if (typeof path !== 'string' || path === '')
      throw new VarveError('INVALID_ARGUMENT', 'backup takes the name of a directory')
    if (this.#disk === null)
      throw new VarveError('INVALID_ARGUMENT', 'a database in memory has no files to back up: open it with a path')
    await this.#disk.directory.backup(path, options?.onProgress)
  }

  /**
   * Walks every invariant of everything in memory and every byte on disk, and reports what does not hold. Reads all; for tests
   * and doubts. Reads and writes go on meanwhile.
   */
  async check(options?: ProgressOptions): Promise<CheckReport> {
    this.#ensureOpen()
    const problems = [...this.#engine.check()]
    const onDisk = await this.#disk?.directory.verify(options?.onProgress)
    problems.push(...(onDisk?.problems ?? []), ...(await checkScans(this.#engine)))
    this.#ensureOpen()
    let keys = 0
    let versions = 0
    for (const store of this.#engine.stores) {
      keys += store.size
      versions += store.versions
    }
    return {
      ok: problems.length === 0,
      problems,
      files: onDisk?.files ?? 0,
      bytes: onDisk?.bytes ?? 0,
      tables: this.#tables.size,
      keys,
      versions,
    }
  }

  /** Figures about operations, transactions, versions and memory. */
  stats(): Stats {
    this.#ensureNotClosed()
    return collectStats(this.#state, this.#disk?.directory ?? null, this.#openedAtMs)
  }

  /** Estimated bytes that this database holds in memory: keys, values, versions, index, maplet, columns. */
  memoryUsage(): number {
    this.#ensureNotClosed()
    return memoryUsage(this.#engine, this.#disk?.directory ?? null)
  }

  /** Sequence of the newest commit. */
  get sequence(): number {
    return this.#engine.clock
  }

  /** The cursor of the newest commit: what comes behind it is what a snapshot taken now does not show. */
  get cursor(): Cursor {
    return cursorAt(this.#feed, this.#engine.clock)
  }

  /**
   * Every commit that changed something, over all tables, in order, each once: as soon as it is on disk, or with
   * `durable: false` as soon as it is applied. Begins with the call, or right behind the cursor `from`; in memory that reaches as
   * far back as somebody has been watching without a break, on disk as far as `wal.retain` says.
   *
   * Recent commits are kept in a ring of 16 MiB that all who watch share. Who falls behind it goes on from the log, with
   * `wal.retain`; otherwise the iterator ends with `SNAPSHOT_TOO_OLD`, which names the commits that are lost. Closing the database
   * ends it with `CLOSED` once everything has been given out. Commits are given out in commit order; with `{ safe: true }` they are
   * held back until a point is reached that serializable transactions may see, and such points are marked.
   *
   * @throws VarveError `INVALID_ARGUMENT` for a cursor of another database or of the future; the steps reject with
   * `SNAPSHOT_TOO_OLD`, `ABORTED`, `CLOSED`, `POISONED`, and `CODEC_MISMATCH` if a codec cannot read what it has written.
   */
  changes(options?: ChangesOptions): AsyncIterableIterator<Commit> {
    this.#ensureOpen()
    return openChanges(this.#feed, (name) => this.#tables.known(name), options)
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
   * Rolls back what is open, puts on disk what was committed, and lets everything go. Calls after it throw `CLOSED`, on
   * transactions and iterators too; closing again is fine and gives the same promise, which always settles. Commits that wait
   * for the disk are answered first.
   * @throws VarveError `LOCKED` while forks are open, and then nothing has happened; `IO` or `POISONED` if the last writes did not
   * reach the disk.
   */
  close(): Promise<void> {
    try {
      this.#engine.refuseReentry()
    } catch (error) {
      return Promise.reject(error)
    }
    if (this.#closing === null && this.#state.forks > 0) return Promise.reject(forksOpen(this.#state.forks))
    this.#closing ??= this.#shutDown()
    return this.#closing
  }

  /** Closes at the end of a scope: `await using db = …`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #shutDown(): Promise<void> {
    const error = databaseClosed()
    this.#state.closed = error
    this.#engine.shutdown(error)
    this.#engine.residency.close()
    try {
      // What has expired must not come back with a clock that is set back until the next opening.
      await this.#disk?.directory.close(this.#engine.sweeper.hasDeadlines ? this.#engine.timeMs() : 0)
    } finally {
      this.#endFeed(error)
      this.#leaveParent()
      this.#events.emit('close', {})
    }
  }

  #leaveParent(): void {
    if (this.#stand === null) return
    release(this)
    this.#stand.engine.letGo(this.#stand.pin)
  }

  /** Nothing more will come: those who watch are given what is there, and then told so. */
  #endFeed(error: VarveError): void {
    this.#feed.ended ??= error
    this.#engine.feed?.wakeAll()
  }

  #ensureOpen(): void {
    if (this.#state.closed !== null) throw this.#state.closed
  }

  /** For what only looks: it goes on once the database is poisoned, to tell why. */
  #ensureNotClosed(): void {
    if (this.#closing !== null) this.#ensureOpen()
  }

  #diskListener(): NonNullable<Disk['listener']> {
    return {
      checkpointed: (report) => {
        this.#engine.tierGrew()
        this.#events.emit('checkpoint', report)
      },
      poisoned: (error) => {
        this.#state.closed ??= error
        this.#engine.residency.close()
        this.#engine.terminateBeyond(this.#state.log?.synced ?? 0, error)
        this.#endFeed(error)
        this.#events.emit('poisoned', { error })
      },
    }
  }

  #listener(): EngineListener {
    const events = this.#events
    const { commit, abort, evict } = events.topics
    return {
      committed: (sequence, keys) => {
        if (commit.isHeard) events.emit('commit', { sequence, keys })
        this.#publisher.committed()
      },
      aborted: (txn: Txn, conflict: Conflict | null) => {
        if (abort.isHeard) {
          events.emit('abort', {
            transaction: txn.id,
            conflict: conflict === null ? undefined : conflictReport(conflict),
          })
        }
      },
      vacuumed: (versions, keys) => events.emit('vacuum', { versions, keys }),
      evicted: (store, key, bytes, reason) => {
        if (evict.isHeard) events.emit('evict', { table: store.spec.name, key: releaseKey(key), bytes, reason })
      },
    }
  }
}

/** A directory as the ground of tables. */
function diskGround({ directory }: Disk, engine: Engine, readOnly: boolean): Ground {
  const found = new Map(directory.tables().map((entry) => [entry.name, entry]))
  return {
    place: 'on disk',
    found,
    define: (name, key, value) => (readOnly ? (found.get(name)?.id ?? 0) : directory.define(name, key, value)),
    part: (name) => {
      const entry = found.get(name)
      if (entry === undefined || !directory.tier.has(entry.id)) return null
      return { table: engine.tierTable(entry.id), size: entry.entries, bytes: entry.bytes, empty: false }
    },
    emptyPart: (id) => (readOnly ? null : { table: engine.tierTable(id), size: 0, bytes: 0, empty: true }),
  }
}

/** Where cursors of this database come from, and what those who watch it read. */
function feedSource(engine: Engine, disk: Disk | null, random: (() => number) | undefined): FeedSource {
  const sequence = engine.clock
  if (disk !== null) {
    const { databaseId, epoch } = disk.directory
    return {
      engine,
      history: null,
      origin: { database: databaseId, epoch, sequence },
      isOnDisk: true,
      ended: null,
      lagged: 0,
    }
  }
  const id = Buffer.alloc(16)
  if (random === undefined) randomFillSync(id)
  else for (let i = 0; i < id.length; i++) id[i] = Math.floor(random() * 256)
  return {
    engine,
    history: null,
    origin: { database: id.toString('hex'), epoch: 1, sequence },
    isOnDisk: false,
    ended: null,
    lagged: 0,
  }
}

function clockOf(injected: Injected): () => number {
  return injected.now ?? ((): number => performance.now())
}

/**
 * Opens a database with parts replaced, for tests: its clocks, its chance, its first sequence, its file system. What keeps
 * nothing on disk is open at once.
 */
export function openWith<K, V>(
  options: DatabaseOptions<K, V> & { path: string },
  injected: Injected,
): Promise<Database<K, V>>
export function openWith<K, V>(options: DatabaseOptions<K, V> | undefined, injected: Injected): Database<K, V>
export function openWith<K, V>(
  options: DatabaseOptions<K, V> | undefined,
  injected: Injected,
): Database<K, V> | Promise<Database<K, V>> {
  const resolved = resolveOptions(options)
  const { path } = resolved
  if (path === undefined) return new Database<K, V>(options, resolved, injected, null)
  return openDatabase(options, { ...resolved, path }, injected)
}

async function openDatabase<K, V>(
  options: DatabaseOptions<K, V> | undefined,
  resolved: ResolvedOptions & { readonly path: string },
  injected: Injected,
): Promise<Database<K, V>> {
  const disk = await openDisk(resolved, clockOf(injected), injected.random, injected)
  try {
    return new Database<K, V>(options, Object.freeze(resolved), injected, disk)
  } catch (error) {
    await disk.directory.close()
    throw error
  }
}
