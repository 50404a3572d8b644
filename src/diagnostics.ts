/**
 * What a database publishes to whoever looks on from outside: one channel of `node:diagnostics_channel` for each event, and one
 * for statistics. A channel without subscribers costs one look at a property.
 *
 *   varve:commit  varve:abort  varve:evict  varve:checkpoint  varve:vacuum  varve:poisoned  varve:close
 *       { database, ...payload of the event }; `database` is the directory, or the number of a database in memory
 *   varve:stats
 *       { database, stats }, at most once a second while something is committed
 */
import { type Channel, channel } from 'node:diagnostics_channel'

import type { DatabaseEvents } from './events.ts'
import type { Stats } from './stats.ts'

const STATS_EVERY_MS = 1000

const STATS: Channel = channel('varve:stats')

/** The channel of an event. Always the same object for a name, in the whole process. */
export function channelOf(event: keyof DatabaseEvents): Channel {
  return channel(`varve:${event}`)
}

let databases = 0

/** What a database is called in what it publishes. */
export function databaseLabel(path: string | undefined): string {
  return path ?? `memory-${++databases}`
}

/** Publishes statistics of one database, now and then. */
export class StatsPublisher {
  readonly #database: string
  readonly #collect: () => Stats
  readonly #now: () => number
  #nextAt = -Infinity

  /** @param now monotonic ms */
  constructor(database: string, collect: () => Stats, now: () => number) {
    this.#database = database
    this.#collect = collect
    this.#now = now
  }

  /** After a commit. */
  committed(): void {
    if (!STATS.hasSubscribers) return
    const now = this.#now()
    if (now < this.#nextAt) return
    this.#nextAt = now + STATS_EVERY_MS
    queueMicrotask(() => STATS.publish({ database: this.#database, stats: this.#collect() }))
  }
}
