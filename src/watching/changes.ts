/** `db.changes()`: every commit, in order, once. */
import type { Cursor } from './cursor.ts'
import type { Key } from '../keys/index.ts'
import { type CommitCause, type FeedWrite, UNKNOWN } from '../mvcc/index.ts'
import {
  ChangeStream,
  checkSubscriptionOptions,
  cursorAt,
  type FeedSource,
  type SourceCommit,
  Subscription,
} from './subscription.ts'
import type { TableCore } from '../table-core.ts'

/** A commit, as {@link Database.changes} gives it out. */
export interface Commit {
  /** Where it stands: give it as `from` to go on right behind it. */
  readonly cursor: Cursor
  /** Its number in the order of commits. There are gaps where commits changed nothing. */
  readonly sequence: number
  /** When it was made by the time of the database, ms since the epoch. */
  readonly timeMs: number
  /** `commit`: somebody made it. `expire`: keys had expired. `evict`: in memory, a limit was reached. */
  readonly cause: CommitCause
  /** What it did, each key of each table at most once. */
  readonly changes: readonly CommitChange[]
  /** Only with `{ safe: true }`: whether the state after it is one that serializable transactions may see. */
  readonly safe?: boolean
}

/** A value that was set, merged if it was a merge, as private and immutable as what a read gives; or a deletion. */
export type Written<V> =
  | { readonly kind: 'set'; readonly value: V }
  | {
      /** A deletion may be of a key that had expired. */
      readonly kind: 'delete'
      readonly value?: undefined
    }

/** What a commit did to one key of one table: `kind` tells whether there is a value. */
export type CommitChange = Written<unknown> & ChangedEntry

/** What every change tells of its entry. */
export interface ChangedEntry {
  /** Name of the table. */
  readonly table: string
  /** The key; a copy of its own if it is bytes or a tuple. */
  readonly key: Key
  /** With `{ before: true }`: what was there; undefined if nothing was. Absent if that was not recorded. */
  readonly before?: unknown
  /** When the value expires, ms since the epoch; absent if never. */
  readonly expiresAt?: number
}

/** Options of {@link Database.changes}. */
export interface ChangesOptions {
  /** The commit to go on behind. Default: what is committed from now on. */
  from?: Cursor | undefined
  /** Ends the iteration with `ABORTED`. */
  signal?: AbortSignal | undefined
  /** With old values; not of what lies in the past when the call is made. Default false. */
  before?: boolean | undefined
  /** true: commits as soon as they are on disk. false: as soon as they are applied. Without effect in memory. Default true. */
  durable?: boolean | undefined
  /** Up to serializable points only, which are marked. Default false. */
  safe?: boolean | undefined
}

/** Where writes find the table they are of. */
export type CoreLookup = (name: string) => TableCore<unknown, unknown> | undefined

/** Checks the options and begins. Throws `INVALID_ARGUMENT`, `ABORTED`. */
export function openChanges(
  source: FeedSource,
  coreOf: CoreLookup,
  options: ChangesOptions | undefined,
): ChangeStream<Commit> {
  checkSubscriptionOptions(options, ['before', 'durable', 'safe'], 'changes()')
  const { before = false, durable = true, safe = false } = options ?? {}
  const shape = function* (commit: SourceCommit, after: number, isPoint: boolean): Generator<Commit, void> {
    const { sequence, timeMs, cause, writes } = commit
    const changes: CommitChange[] = []
    for (const write of writes) if (write.ordinal > after) changes.push(changeOf(write, coreOf, before))
    if (changes.length === 0) return
    const made = { cursor: cursorAt(source, sequence), sequence, timeMs, cause, changes }
    yield safe ? { ...made, safe: isPoint } : made
  }
  const interest = { watched: null, before, durable, safe }
  return new ChangeStream(new Subscription(source, interest, options ?? {}, shape))
}

function changeOf(write: FeedWrite, coreOf: CoreLookup, before: boolean): CommitChange {
  const table = write.store.spec.name
  const core = coreOf(table) as TableCore<unknown, unknown>
  return { table, key: core.releaseKey(write.key) as Key, ...effectOf(core, write, before) }
}

/** What a write did to its key, however it is told. */
export type Effect<V> = Written<V> & { before?: V | undefined; expiresAt?: number }

/** Throws `CODEC_MISMATCH` if a codec of the user's own cannot read what it has written. */
export function effectOf<V>(core: TableCore<unknown, V>, write: FeedWrite, before: boolean): Effect<V> {
  const { key, value, expiresAt } = write
  const effect: Effect<V> =
    value === undefined ? { kind: 'delete' } : { kind: 'set', value: core.releaseDetached(value, key) as V }
  if (before && write.before !== UNKNOWN) effect.before = core.releaseDetached(write.before, key)
  if (expiresAt !== 0) effect.expiresAt = expiresAt
  return effect
}
