/** `handle.watch()`: the changes of one key or one range of a table, in order, each once. */
import { effectOf, type Written } from './changes.ts'
import type { Cursor } from './cursor.ts'
import { VarveError } from '../errors.ts'
import { boundsOfKey, type Range, resolveRange } from '../keys/index.ts'
import { type CommitCause, type FeedWrite, Watched } from '../mvcc/index.ts'
import {
  ChangeStream,
  checkSubscriptionOptions,
  cursorAt,
  type FeedSource,
  type SourceCommit,
  Subscription,
} from './subscription.ts'
import type { TableCore } from '../table-core.ts'

/** What a commit did to one key, as {@link Handle.watch} gives it out: `kind` tells whether there is a value. */
export type Change<K, V> = Written<V> & ChangedKey<K, V>

/** What every change tells of its key. */
export interface ChangedKey<K, V> {
  /** The key; a copy of its own if it is bytes or a tuple. */
  readonly key: K
  /** With `{ before: true }`: what was there; undefined if nothing was. Absent if that was not recorded. */
  readonly before?: V | undefined
  /** When the value expires, ms since the epoch; absent if never. */
  readonly expiresAt?: number
  /** `commit`: somebody did it. `expire`: the key had expired. `evict`: in memory, a limit was reached. */
  readonly cause: CommitCause
  /** Number of the commit; changes that have it in common are of one transaction. */
  readonly sequence: number
  /** When it was committed by the time of the database, ms since the epoch. */
  readonly timeMs: number
  /** Where it stands: give it as `from` to go on right behind it. */
  readonly cursor: Cursor
}

/** Options of {@link Handle.watch}. */
export interface WatchOptions {
  /** The change or commit to go on behind. Default: what is committed from now on. */
  from?: Cursor | undefined
  /** Ends the iteration with `ABORTED`. */
  signal?: AbortSignal | undefined
  /** With old values; not of what lies in the past when the call is made. Default false. */
  before?: boolean | undefined
  /** true: changes as soon as they are on disk. false: as soon as they are applied. Without effect in memory. Default true. */
  durable?: boolean | undefined
}

/** Checks what is to be watched and the options, and begins. Throws `INVALID_ARGUMENT`, `INVALID_KEY`, `ABORTED`. */
export function openWatch<K, V>(
  source: FeedSource,
  core: TableCore<K, V>,
  what: Range<K> | { readonly key: K },
  options: WatchOptions | undefined,
): ChangeStream<Change<K, V>> {
  checkSubscriptionOptions(options, ['before', 'durable'], 'watch()')
  const { before = false, durable = true } = options ?? {}
  const watched = watchedOf(core, what)
  const isWatched = ({ store, key }: FeedWrite): boolean => store === core.store && watched.covers(key)
  const shape = function* (commit: SourceCommit, after: number): Generator<Change<K, V>, void> {
    const { sequence, timeMs, cause } = commit
    const writes = commit.writes.filter(isWatched)
    const last = writes.at(-1)
    for (const write of writes) {
      if (write.ordinal <= after) continue
      const cursor = write === last ? cursorAt(source, sequence) : cursorAt(source, sequence, write.ordinal)
      yield { key: core.releaseKey(write.key), ...effectOf(core, write, before), cause, sequence, timeMs, cursor }
    }
  }
  const interest = { watched, before, durable, safe: false }
  return new ChangeStream(new Subscription(source, interest, options ?? {}, shape))
}

function watchedOf<K, V>(core: TableCore<K, V>, what: Range<K> | { readonly key: K }): Watched {
  if (typeof what !== 'object' || what === null)
    throw new VarveError('INVALID_ARGUMENT', 'watch() takes { key } for one key, or a range: {} for all keys')
  if (Object.hasOwn(what, 'key')) {
    if (Object.keys(what).length > 1)
      throw new VarveError('INVALID_ARGUMENT', 'watch() takes a range or { key }, not both in one')
    const key = core.admitKey((what as { readonly key: K }).key)
    return new Watched(core.store, key, boundsOfKey(key))
  }
  const bounds = resolveRange(what)
  if (bounds.reverse || bounds.limit !== Infinity)
    throw new VarveError(
      'INVALID_ARGUMENT',
      'watch() takes no reverse and no limit: changes come in the order of commits',
    )
  return new Watched(core.store, undefined, bounds)
}
