/** What a database announces, and who listens. Listeners run in a microtask after the event, never inside a commit. */
import type { Channel } from 'node:diagnostics_channel'

import { channelOf } from './diagnostics.ts'
import type { CheckpointReport } from './durability/index.ts'
import { VarveError } from './errors.ts'
import type { ConflictReport } from './errors.ts'
import type { EvictionReason } from './mvcc/index.ts'

/** Payloads by event. */
export interface DatabaseEvents {
  /** A commit took effect. `keys`: how many it wrote. */
  commit: { readonly sequence: number; readonly keys: number }
  /** A transaction ended without committing; `conflict` if it was refused. */
  abort: { readonly transaction: number; readonly conflict: ConflictReport | undefined }
  /** `vacuum()` has finished; how much it removed. */
  vacuum: { readonly versions: number; readonly keys: number }
  /** A checkpoint or merge of runs has ended; with an `error` it left everything as it was and is tried again. */
  checkpoint: CheckpointReport
  /**
   * An entry has left memory: for want of room (`limit`) or by {@link Handle.evict} (`manual`). In memory it is gone, with a `path` it
   * is still on disk. `bytes`: what it counted for.
   */
  evict: {
    readonly table: string
    readonly key: unknown
    readonly bytes: number
    readonly reason: EvictionReason
  }
  /** Writing or syncing has failed: nothing is acknowledged any more until the database is reopened. */
  poisoned: { readonly error: VarveError }
  /** `close()` has finished. */
  close: Record<string, never>
}

type Listener = (payload: never) => void

/** One event of one database. */
class Topic {
  readonly channel: Channel
  /** Each call of {@link EventBoard.add} is a registration of its own, the same function twice being two. */
  readonly listeners: Set<{ readonly call: Listener }> = new Set()
  /** Their number: the size of a Set is a call. */
  private count = 0

  constructor(name: keyof DatabaseEvents) {
    this.channel = channelOf(name)
  }

  /** Whether anybody would hear of it: asked for every commit. */
  get isHeard(): boolean {
    return this.count > 0 || this.channel.hasSubscribers
  }

  add(listener: Listener): () => void {
    const registration = { call: listener }
    this.listeners.add(registration)
    this.count = this.listeners.size
    return () => {
      this.listeners.delete(registration)
      this.count = this.listeners.size
    }
  }
}

export class EventBoard {
  readonly topics: Readonly<Record<keyof DatabaseEvents, Topic>> = {
    commit: new Topic('commit'),
    abort: new Topic('abort'),
    evict: new Topic('evict'),
    vacuum: new Topic('vacuum'),
    checkpoint: new Topic('checkpoint'),
    poisoned: new Topic('poisoned'),
    close: new Topic('close'),
  }
  /** What the database is called where it publishes. */
  readonly #database: string

  constructor(database: string) {
    this.#database = database
  }

  add<E extends keyof DatabaseEvents>(name: E, listener: (payload: DatabaseEvents[E]) => void): () => void {
    if (!Object.hasOwn(this.topics, name)) {
      const names = Object.keys(this.topics).join(', ')
      throw new VarveError('INVALID_ARGUMENT', `there is no event '${name as string}'; there are ${names}`)
    }
    if (typeof listener !== 'function') throw new VarveError('INVALID_ARGUMENT', 'on() takes a function as listener')
    return this.topics[name].add(listener)
  }

  emit<E extends keyof DatabaseEvents>(name: E, payload: DatabaseEvents[E]): void {
    const { channel, listeners } = this.topics[name]
    if (channel.hasSubscribers) {
      const message = { database: this.#database, ...payload }
      queueMicrotask(() => channel.publish(message))
    }
    for (const { call } of [...listeners]) {
      // One microtask each: a listener that throws surfaces as an uncaught error and keeps no other from running.
      queueMicrotask(() => call(payload as never))
    }
  }
}
