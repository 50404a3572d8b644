/**
 * Options are checked once, resolved and frozen. Every violation is reported together, so that a caller mends them in one go.
 *
 * Changes behaviour: path, durability, flush, readOnly, isolation, merge, key, value, ttl.defaultMs, clock, maxTransactionAgeMs,
 * maxSnapshotAgeMs, maplet.autoResize, wal.retain; in memory also maxMemoryBytes and eviction, and with them sizeOf.
 * Changes speed or memory only: the rest of wal, vacuum, ttl.sweepIntervalMs, maplet.capacity, maplet.falsePositiveRate, capacity.
 */
import { resolve } from 'node:path'

import type { ValueCodec } from './codecs/index.ts'
import { type TransactionError, VarveError } from './errors.ts'
import type { EvictionName } from './eviction/index.ts'
import type { Key, KeyCodec } from './keys/index.ts'
import type { MergeOperator } from './maplet/index.ts'

/** Isolation of a transaction; docs/isolation.md shows what each level refuses. */
export type Isolation = 'serializable' | 'snapshot'

/** How the hash filter in front of a table is laid out. */
export interface TableMapletOptions {
  /** Keys to make room for at first. Default 0: grows from nothing. With `autoResize: false` also the most it takes. */
  capacity?: number | undefined
  /** Accepted share of absent keys that cost a look at a stored key. Default 0.001. */
  falsePositiveRate?: number | undefined
  /** Whether it grows. Default true; with false, a commit beyond its capacity fails beforehand with `CAPACITY_EXCEEDED`. */
  autoResize?: boolean | undefined
}

/** What a table is made of; see {@link table}. */
export interface TableOptions<K, V> {
  /** Keys that the table takes. Default: every key. */
  key?: KeyCodec<K> | undefined
  /** Codec of its values. Default `codecs.structured()`. */
  value?: ValueCodec<V> | undefined
  /** Merge operator. Default: none, `merge()` is refused. */
  merge?: MergeOperator<V, never> | undefined
  /**
   * Bytes that an entry counts for in `sizeBytes` and `memoryUsage()`: 0 to 2^32 - 1, fractions are rounded up. Default: an
   * estimate of its memory.
   */
  sizeOf?: ((key: K, value: V) => number) | undefined
  /** A hint that presizes and never limits: expected entries and bytes. */
  capacity?: { entries?: number | undefined; bytes?: number | undefined } | undefined
  /**
   * `defaultMs`: how long, in ms, what is written without `ttlMs` lives; Infinity: for ever, whatever the database's default.
   * Default: the database's.
   */
  ttl?: { defaultMs?: number | undefined } | undefined
}

/** When entries expire, and when what has expired is reclaimed. */
export interface ExpiryOptions {
  /** How long, in ms, what is written without `ttlMs` lives. Default: for ever. Tables may have another default. */
  defaultMs?: number | undefined
  /**
   * Longest sleep, in ms, of the sweeper, which reclaims what has expired; default 1000. It sleeps while nothing can expire. 0: none
   * runs, and only {@link Database.vacuum} reclaims. What has expired is never read, whether or not it has been reclaimed.
   */
  sweepIntervalMs?: number | undefined
}

/** When an acknowledged commit is safe; docs/durability.md says from what. */
export type Durability = 'memory' | 'relaxed' | 'full'

/**
 * When `relaxed` has the disk catch up: a sync starts as soon as the first of these is reached. What is committed while it runs
 * comes on top, and what one turn of the event loop commits is not divided. Infinity switches a limit off.
 */
export interface FlushOptions {
  /** Longest time in ms from a commit to the sync that covers it. Default 1000. */
  intervalMs?: number | undefined
  /** Commits that start a sync. Default 1000. */
  commits?: number | undefined
  /** Bytes of log that start a sync. Default 8 MiB. */
  bytes?: number | undefined
}

/** Layout of the log, and how much of the past it keeps. */
export interface LogOptions {
  /** Size of one file of the log, bytes: 64 KiB to 1 GiB, default 4 MiB. Zero-filled once, then used again and again. */
  segmentBytes?: number | undefined
  /** Files kept ready for when the current one is full: 1 to 64, default 2. */
  poolSize?: number | undefined
  /**
   * How far back `from` of `changes()` and `watch()` reaches: log that is in runs already is kept while all of it together has no
   * more than `bytes`, and while its commits are no older than `ms` than the newest in runs. Each bound that is given holds; one
   * that is not is Infinity. Default: nothing is kept, the log is used again.
   */
  retain?: { bytes?: number | undefined; ms?: number | undefined } | undefined
}

/** Options of {@link Database.open}. All may be left out. K and V are keys and values of the default table. */
export interface DatabaseOptions<K = Key, V = unknown> extends Omit<TableOptions<K, V>, 'capacity' | 'ttl'> {
  /** The directory of a database on disk; made if it does not exist. Default: in memory, nothing survives the process. */
  path?: string | undefined
  /**
   * `full`: a commit resolves when it is on disk. `relaxed`: when the operating system has it, so that it survives the death of
   * the process; a power failure takes what was committed since the last sync, see `flush`. `memory`: nothing survives.
   * Default `full` with a path, `memory` without.
   */
  durability?: Durability | undefined
  /** When `relaxed` syncs. */
  flush?: FlushOptions | undefined
  /** Layout of the log. */
  wal?: LogOptions | undefined
  /** Opens what is there for reading; nothing is written, not even a lock. Refused while another process has it open. */
  readOnly?: boolean | undefined
  /** Isolation of transactions that do not ask for one. Default `serializable`. */
  isolation?: Isolation | undefined
  /**
   * Longest time in ms that garbage waits for removal when nothing else drains it; default 50. false: old versions are
   * removed only by {@link Database.vacuum}.
   */
  vacuum?: { intervalMs: number } | false | undefined
  /**
   * Most bytes of keys, values and old versions in memory, as `sizeOf` or an estimate counts them, and on disk of the blocks read
   * with them (a third, at most 32 MiB). Beyond it `eviction` chooses who leaves: for good in memory, with a `path` until it is
   * read again. At least 1. Default: no limit.
   */
  maxMemoryBytes?: number | undefined
  /**
   * Who leaves first when there is no room: the least recently used (`lru`), the least often used of late (`lfu`), any (`random`),
   * what two adaptive lists say (`arc`: Megiddo and Modha 2003), what three queues say (`s3fifo`: Yang et al. 2023), what expires
   * soonest and never what does not expire (`ttl`), or only what {@link Handle.evict} names (`manual`). Default `lru`.
   */
  eviction?: EvictionName | undefined
  /** Layout of the hash filter of every table. */
  maplet?: TableMapletOptions | undefined
  /** Expiry. Default: what is written without `ttlMs` lives for ever. */
  ttl?: ExpiryOptions | undefined
  /** A transaction open for longer (ms) is ended with `SNAPSHOT_TOO_OLD`. Default: no limit. */
  maxTransactionAgeMs?: number | undefined
  /** A snapshot, reader or iterator open for longer (ms) is ended with `SNAPSHOT_TOO_OLD`. Default: no limit. */
  maxSnapshotAgeMs?: number | undefined
  /**
   * Wall clock in ms since the epoch: for expiry, statistics and `Snapshot.createdAt`, never for order. One that is given is
   * followed, but for its steps back. Default: `Date.now` at opening, and the monotonic clock from then on.
   */
  clock?: (() => number) | undefined
}

/** Options of a write. */
export interface WriteOptions {
  /**
   * How long what is written lives, in ms from the instant of its transaction: above 0, fractions are rounded up; Infinity: for
   * ever, whatever the default. What would live beyond the last Date (the year 275760) expires then. Default: see the method.
   */
  ttlMs?: number | undefined
}

/** Options of a transaction. */
export interface TransactionOptions {
  /** Default: the database's. */
  isolation?: Isolation | undefined
  /**
   * `true`: reads the newest state; in the rare case that this would close a cycle, `transaction()` runs the callback again
   * on a safe snapshot. `'safe'`: reads the newest safe snapshot (which may lag a little), costs writers nothing and is
   * never refused. Default false.
   */
  readOnly?: boolean | 'safe' | undefined
  /** How often a refused callback is run again. Default 10; 0: not at all. Without effect on `begin()`. */
  retries?: number | undefined
  /** Gives up: the transaction is rolled back, and its promise rejects or its next call throws with `ABORTED`. */
  signal?: AbortSignal | undefined
  /** Called before each further run with the refusal and the number of the coming run (from 1). */
  onRetry?: ((error: TransactionError, attempt: number) => void) | undefined
}

/** The options a database runs with: `db.options`. */
export interface ResolvedOptions {
  /** The directory, from the root on; undefined in memory. See {@link DatabaseOptions.path}. */
  readonly path: string | undefined
  /** See {@link DatabaseOptions.durability}. */
  readonly durability: Durability
  /** See {@link DatabaseOptions.flush}. */
  readonly flush: { readonly intervalMs: number; readonly commits: number; readonly bytes: number }
  /** See {@link DatabaseOptions.wal}. */
  readonly wal: {
    readonly segmentBytes: number
    readonly poolSize: number
    /** Infinity where a bound was not given; undefined: nothing is kept. */
    readonly retain: { readonly bytes: number; readonly ms: number } | undefined
  }
  /** See {@link DatabaseOptions.readOnly}. */
  readonly readOnly: boolean
  /** See {@link DatabaseOptions.isolation}. */
  readonly isolation: Isolation
  /** See {@link DatabaseOptions.vacuum}. */
  readonly vacuum: { readonly intervalMs: number } | false
  /** Bytes; Infinity if there is no limit. See {@link DatabaseOptions.maxMemoryBytes}. */
  readonly maxMemoryBytes: number
  /** See {@link DatabaseOptions.eviction}. */
  readonly eviction: EvictionName
  /** See {@link DatabaseOptions.maplet}. */
  readonly maplet: { readonly capacity: number; readonly falsePositiveRate: number; readonly autoResize: boolean }
  /** See {@link DatabaseOptions.ttl}; `defaultMs` is Infinity if there is none. */
  readonly ttl: { readonly defaultMs: number; readonly sweepIntervalMs: number }
  /** ms; Infinity if there is no limit. */
  readonly maxTransactionAgeMs: number
  /** ms; Infinity if there is no limit. */
  readonly maxSnapshotAgeMs: number
  /** See {@link DatabaseOptions.clock}. */
  readonly clock: () => number
}

/** Transaction options as the retry loop wants them: one shape. */
export interface ResolvedTransactionOptions {
  readonly isolation: Isolation
  readonly readOnly: boolean | 'safe'
  readonly retries: number
  readonly signal: AbortSignal | undefined
  readonly onRetry: ((error: TransactionError, attempt: number) => void) | undefined
}

const DEFAULT_RETRIES = 10
const DEFAULT_VACUUM_MS = 50
const LONGEST_TIMER_MS = 2 ** 31 - 1
const DEFAULT_SWEEP_MS = 1000
const DEFAULT_FALSE_POSITIVES = 0.001

const EVICTION_NAMES: readonly EvictionName[] = ['lru', 'lfu', 'random', 'arc', 's3fifo', 'ttl', 'manual']

const DEFAULT_FLUSH = { intervalMs: 1000, commits: 1000, bytes: 8 * 2 ** 20 }
const DEFAULT_SEGMENT_BYTES = 4 * 2 ** 20
const DEFAULT_POOL_SIZE = 2
const LEAST_SEGMENT_BYTES = 2 ** 16
const MOST_SEGMENT_BYTES = 2 ** 30
const MOST_POOL_SIZE = 64

type Given = Readonly<Record<string, unknown>>

/** Collects what is wrong with an options object. */
class Review {
  readonly problems: string[] = []

  unknown(given: Given, known: readonly string[], prefix: string): void {
    for (const name of Object.keys(given)) {
      if (known.includes(name)) continue
      const near = known.find((candidate) => candidate.toLowerCase() === name.toLowerCase() || isNear(candidate, name))
      const hint = near === undefined ? `: there are ${known.join(', ')}` : `: did you mean ${near}?`
      this.problems.push(`${prefix}${name} is unknown${hint}`)
    }
  }

  oneOf(value: unknown, choices: readonly unknown[], name: string): void {
    if (value === undefined || choices.includes(value)) return
    this.problems.push(`${name} must be one of ${choices.map((choice) => JSON.stringify(choice)).join(', ')}`)
  }

  number(value: unknown, name: string, least: number, unit: string): void {
    if (value === undefined || (typeof value === 'number' && value >= least)) return
    this.problems.push(`${name} must be a number of ${unit} of at least ${least}`)
  }

  whole(value: unknown, name: string, least: number, most: number, unit: string): void {
    if (value === undefined || (Number.isInteger(value) && Number(value) >= least && Number(value) <= most)) return
    this.problems.push(`${name} must be a whole number of ${unit} from ${least} to ${most}`)
  }

  fn(value: unknown, name: string): void {
    if (value !== undefined && typeof value !== 'function') this.problems.push(`${name} must be a function`)
  }

  codec(value: unknown, name: string, methods: readonly string[]): void {
    if (value === undefined) return
    const given = value as Given
    if (typeof value === 'object' && value !== null && methods.every((method) => typeof given[method] === 'function'))
      return
    this.problems.push(`${name} must be an object with ${methods.join(', ')}`)
  }

  object(value: unknown, name: string, members?: readonly string[]): Given | undefined {
    if (value === undefined) return undefined
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Given
    this.problems.push(`${name} must be an object${members === undefined ? '' : ` with any of ${members.join(', ')}`}`)
    return undefined
  }

  /** Throws if anything was found. */
  close(what: string): void {
    if (this.problems.length > 0)
      throw new VarveError('INVALID_OPTIONS', `invalid ${what}: ${this.problems.join('; ')}`)
  }
}

const LEAST_PREFIX = 4

function isNear(candidate: string, name: string): boolean {
  // A unit left out: `interval` for `intervalMs`.
  if (name.length >= LEAST_PREFIX && candidate.startsWith(name)) return true
  if (Math.abs(candidate.length - name.length) > 2) return false
  let same = 0
  for (let i = 0; i < name.length; i++) if (candidate.includes(name[i] as string)) same++
  return same >= candidate.length - 1 && candidate[0] === name[0]
}

const TABLE_KEYS = ['key', 'value', 'merge', 'sizeOf'] as const
const DATABASE_KEYS = [
  ...TABLE_KEYS,
  'path',
  'durability',
  'flush',
  'wal',
  'readOnly',
  'isolation',
  'vacuum',
  'maplet',
  'ttl',
  'maxMemoryBytes',
  'eviction',
  'maxTransactionAgeMs',
  'maxSnapshotAgeMs',
  'clock',
] as const

function reviewTable(review: Review, given: Given): void {
  review.codec(given['key'], 'key', ['admit'])
  review.codec(given['value'], 'value', ['encode', 'decode'])
  review.codec(given['merge'], 'merge', ['merge'])
  review.fn(given['sizeOf'], 'sizeOf')
}

/** Checks the options of a table. Throws `INVALID_OPTIONS`. */
export function checkTableOptions(options: unknown): void {
  const review = new Review()
  const given = review.object(options, 'options')
  if (given !== undefined) {
    review.unknown(given, [...TABLE_KEYS, 'capacity', 'ttl'], '')
    reviewTable(review, given)
    const capacity = review.object(given['capacity'], 'capacity')
    if (capacity !== undefined) {
      review.unknown(capacity, ['entries', 'bytes'], 'capacity.')
      review.number(capacity['entries'], 'capacity.entries', 0, 'entries')
      review.number(capacity['bytes'], 'capacity.bytes', 0, 'bytes')
    }
    const ttl = review.object(given['ttl'], 'ttl', ['defaultMs'])
    if (ttl !== undefined) {
      review.unknown(ttl, ['defaultMs'], 'ttl.')
      reviewLifetime(review, ttl['defaultMs'])
    }
  }
  review.close('table options')
}

/** Checks and resolves the options of a database. Throws `INVALID_OPTIONS` that names every violation. */
export function resolveOptions<K, V>(options: DatabaseOptions<K, V> | undefined): ResolvedOptions {
  const review = new Review()
  if (typeof options === 'string') review.problems.push('the name of a directory is given as { path }')
  const given = review.object(options, 'options') ?? {}
  review.unknown(given, DATABASE_KEYS, '')
  reviewTable(review, given)
  reviewDisk(review, given)
  review.oneOf(given['isolation'], ['serializable', 'snapshot'], 'isolation')
  review.number(given['maxTransactionAgeMs'], 'maxTransactionAgeMs', 0, 'ms')
  review.number(given['maxSnapshotAgeMs'], 'maxSnapshotAgeMs', 0, 'ms')
  review.fn(given['clock'], 'clock')
  review.number(given['maxMemoryBytes'], 'maxMemoryBytes', 1, 'bytes')
  review.oneOf(given['eviction'], EVICTION_NAMES, 'eviction')
  const maplet = review.object(given['maplet'], 'maplet') ?? {}
  reviewMaplet(review, maplet)
  reviewExpiry(review, review.object(given['ttl'], 'ttl', EXPIRY_KEYS) ?? {})
  const vacuum = given['vacuum'] === false ? undefined : review.object(given['vacuum'], 'vacuum')
  if (vacuum !== undefined) {
    review.unknown(vacuum, ['intervalMs'], 'vacuum.')
    review.number(vacuum['intervalMs'] ?? NaN, 'vacuum.intervalMs', 0, 'ms')
    if (Number(vacuum['intervalMs']) > LONGEST_TIMER_MS)
      review.problems.push(`vacuum.intervalMs must be at most ${LONGEST_TIMER_MS}`)
  }
  review.close('database options')
  return Object.freeze({
    path: options?.path === undefined ? undefined : resolve(options.path),
    durability: options?.durability ?? (options?.path === undefined ? 'memory' : 'full'),
    flush: Object.freeze({
      intervalMs: options?.flush?.intervalMs ?? DEFAULT_FLUSH.intervalMs,
      commits: options?.flush?.commits ?? DEFAULT_FLUSH.commits,
      bytes: options?.flush?.bytes ?? DEFAULT_FLUSH.bytes,
    }),
    wal: Object.freeze({
      segmentBytes: options?.wal?.segmentBytes ?? DEFAULT_SEGMENT_BYTES,
      poolSize: options?.wal?.poolSize ?? DEFAULT_POOL_SIZE,
      retain: resolveRetain(options?.wal?.retain),
    }),
    readOnly: options?.readOnly ?? false,
    isolation: options?.isolation ?? 'serializable',
    vacuum:
      given['vacuum'] === false
        ? false
        : Object.freeze({ intervalMs: (vacuum?.['intervalMs'] as number | undefined) ?? DEFAULT_VACUUM_MS }),
    maplet: Object.freeze({
      capacity: options?.maplet?.capacity ?? 0,
      falsePositiveRate: options?.maplet?.falsePositiveRate ?? DEFAULT_FALSE_POSITIVES,
      autoResize: options?.maplet?.autoResize ?? true,
    }),
    ttl: Object.freeze({
      defaultMs: options?.ttl?.defaultMs ?? Infinity,
      sweepIntervalMs: options?.ttl?.sweepIntervalMs ?? DEFAULT_SWEEP_MS,
    }),
    maxMemoryBytes: options?.maxMemoryBytes ?? Infinity,
    eviction: options?.eviction ?? 'lru',
    maxTransactionAgeMs: options?.maxTransactionAgeMs ?? Infinity,
    maxSnapshotAgeMs: options?.maxSnapshotAgeMs ?? Infinity,
    clock: options?.clock ?? Date.now,
  })
}

function resolveRetain(retain: LogOptions['retain']): ResolvedOptions['wal']['retain'] {
  if (retain === undefined) return undefined
  return Object.freeze({ bytes: retain.bytes ?? Infinity, ms: retain.ms ?? Infinity })
}

function reviewDisk(review: Review, given: Given): void {
  const { path, durability, readOnly } = given
  if (path instanceof URL || (typeof path === 'string' && path.startsWith('file:')))
    review.problems.push('path must be the name of a directory, not a URL: use fileURLToPath')
  else if (path !== undefined && (typeof path !== 'string' || path === '' || path.includes('\0')))
    review.problems.push('path must be the name of a directory')
  review.oneOf(durability, ['memory', 'relaxed', 'full'], 'durability')
  if (path !== undefined && durability === 'memory')
    review.problems.push("durability 'memory' keeps nothing on disk: leave path out, or durability")
  review.oneOf(readOnly, [true, false], 'readOnly')
  if (path === undefined) {
    if (durability === 'relaxed' || durability === 'full')
      review.problems.push(`durability '${durability}' needs a path`)
    for (const name of ['flush', 'wal']) if (given[name] !== undefined) review.problems.push(`${name} needs a path`)
    if (readOnly === true) review.problems.push('readOnly needs a path')
  }
  const flush = review.object(given['flush'], 'flush') ?? {}
  review.unknown(flush, ['intervalMs', 'commits', 'bytes'], 'flush.')
  review.number(flush['intervalMs'], 'flush.intervalMs', 0, 'ms')
  review.number(flush['commits'], 'flush.commits', 1, 'commits')
  review.number(flush['bytes'], 'flush.bytes', 1, 'bytes')
  const wal = review.object(given['wal'], 'wal') ?? {}
  review.unknown(wal, ['segmentBytes', 'poolSize', 'retain'], 'wal.')
  review.whole(wal['segmentBytes'], 'wal.segmentBytes', LEAST_SEGMENT_BYTES, MOST_SEGMENT_BYTES, 'bytes')
  review.whole(wal['poolSize'], 'wal.poolSize', 1, MOST_POOL_SIZE, 'files')
  const retain = review.object(wal['retain'], 'wal.retain', ['bytes', 'ms'])
  if (retain === undefined) return
  review.unknown(retain, ['bytes', 'ms'], 'wal.retain.')
  review.number(retain['bytes'], 'wal.retain.bytes', 0, 'bytes')
  review.number(retain['ms'], 'wal.retain.ms', 0, 'ms')
  if (retain['bytes'] === undefined && retain['ms'] === undefined)
    review.problems.push('wal.retain needs bytes, ms, or both')
}

const EXPIRY_KEYS = ['defaultMs', 'sweepIntervalMs'] as const

function reviewExpiry(review: Review, ttl: Given): void {
  review.unknown(ttl, EXPIRY_KEYS, 'ttl.')
  reviewLifetime(review, ttl['defaultMs'])
  const { sweepIntervalMs } = ttl
  if (sweepIntervalMs !== undefined && !(Number.isFinite(sweepIntervalMs) && Number(sweepIntervalMs) >= 0))
    review.problems.push('ttl.sweepIntervalMs must be a finite number of ms of at least 0; 0 for no sweeper')
}

function reviewLifetime(review: Review, defaultMs: unknown): void {
  if (defaultMs !== undefined && !(typeof defaultMs === 'number' && defaultMs > 0))
    review.problems.push('ttl.defaultMs must be a number of ms above 0, or Infinity for ever')
}

function reviewMaplet(review: Review, maplet: Given): void {
  review.unknown(maplet, ['capacity', 'falsePositiveRate', 'autoResize'], 'maplet.')
  review.number(maplet['capacity'], 'maplet.capacity', 0, 'keys')
  const rate = maplet['falsePositiveRate']
  if (rate !== undefined && !(typeof rate === 'number' && rate > 0 && rate < 1)) {
    review.problems.push('maplet.falsePositiveRate must be a number between 0 and 1')
  }
  const resize = maplet['autoResize']
  if (resize !== undefined && typeof resize !== 'boolean') review.problems.push('maplet.autoResize must be a boolean')
  if (resize === false && maplet['capacity'] === undefined) {
    review.problems.push('maplet.autoResize: false needs maplet.capacity, the most keys that a table takes')
  }
}

const TRANSACTION_KEYS = ['isolation', 'readOnly', 'retries', 'signal', 'onRetry'] as const

/** Resolves transaction options against the database's. Throws `INVALID_OPTIONS`. */
export function resolveTransactionOptions(
  options: TransactionOptions | undefined,
  defaults: ResolvedTransactionOptions,
): ResolvedTransactionOptions {
  if (options === undefined) return defaults
  const review = new Review()
  const given = review.object(options, 'options') ?? {}
  review.unknown(given, TRANSACTION_KEYS, 'transaction option ')
  review.oneOf(given['isolation'], ['serializable', 'snapshot'], 'isolation')
  review.oneOf(given['readOnly'], [true, false, 'safe'], 'readOnly')
  const { retries, signal } = given
  if (retries !== undefined && !(retries === Infinity || (Number.isInteger(retries) && (retries as number) >= 0))) {
    review.problems.push('retries must be a whole number of at least 0, or Infinity')
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) review.problems.push('signal must be an AbortSignal')
  review.fn(given['onRetry'], 'onRetry')
  review.close('transaction options')
  return {
    isolation: options.isolation ?? defaults.isolation,
    readOnly: options.readOnly ?? false,
    retries: options.retries ?? defaults.retries,
    signal: options.signal,
    onRetry: options.onRetry,
  }
}

/** The transaction options of a database that were not given. */
export function defaultTransactionOptions(isolation: Isolation): ResolvedTransactionOptions {
  return { isolation, readOnly: false, retries: DEFAULT_RETRIES, signal: undefined, onRetry: undefined }
}
