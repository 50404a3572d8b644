/**
 * What `changes()` and `watch()` have in common: an async iterator over the feed of an engine, which falls back to the log for
 * what the feed does not have, and ends as it should.
 *
 * The feed holds subscriptions, and those who iterate hold a {@link ChangeStream}: one that is dropped without `return()` is
 * collected, and its subscription closed with it. While somebody awaits its next step, that keeps both alive.
 *
 * S1  Every commit that concerns it is given out once, in order, or the iterator ends with `SNAPSHOT_TOO_OLD`.
 * S2  What is in the feed when the database is closed or poisoned is given out before the iterator tells so; what a signal ends,
 *     ends at once.
 * S3  An error is told once; after it, and after `return()`, every step is the end.
 */
import { setTimeout as sleep } from 'node:timers/promises'

import { admitCursor, type Cursor, type CursorOrigin } from './cursor.ts'
import { VarveError } from '../errors.ts'
import type { CommitCause, Engine, Feed, FeedReader, FeedWrite, Interest } from '../mvcc/index.ts'
import { SerialQueue } from '../serial-queue.ts'
import type { History } from './history.ts'

/** A commit as it is given out: from the ring, or from the log. */
export interface SourceCommit {
  readonly sequence: number
  /** ms since the epoch. */
  readonly timeMs: number
  readonly cause: CommitCause
  readonly writes: readonly FeedWrite[]
}

/** What all subscriptions of a database share. */
export interface FeedSource {
  readonly engine: Engine
  /** null: only the ring knows of the past. */
  history: History | null
  readonly origin: CursorOrigin
  readonly isOnDisk: boolean
  /** Why nothing more will come; null while something may. */
  ended: VarveError | null
  /** How many were ended for being too slow. */
  lagged: number
}

/**
 * What a kind of subscription makes of a commit: its items.
 * @param after place of the last write that was seen already of this commit; -1 if none was
 * @param isPoint whether the state after it is a serializable point, as far as that was asked for
 */
export type Shape<T> = (commit: SourceCommit, after: number, isPoint: boolean) => IterableIterator<T>

/** What callers may give. */
export interface SubscriptionOptions {
  readonly from?: Cursor | undefined
  readonly signal?: AbortSignal | undefined
}

const DONE: IteratorReturnResult<undefined> = Object.freeze({ value: undefined, done: true })

/** How often it is looked whether a point is serializable by now, for one who reads from the log; ms. */
const POINT_INTERVAL_MS = 5

/** The cursor right behind a commit, or behind one change of it. */
export function cursorAt({ origin }: FeedSource, sequence: number, change?: number): Cursor {
  const { database, epoch } = origin
  return change === undefined ? { database, epoch, sequence } : { database, epoch, sequence, change }
}

/** Throws unless options that anybody may have written are what they should be. */
export function checkSubscriptionOptions(options: unknown, flags: readonly string[], where: string): void {
  if (options === undefined) return
  if (typeof options !== 'object' || options === null)
    throw new VarveError('INVALID_ARGUMENT', `the options of ${where} are an object`)
  const given = options as Readonly<Record<string, unknown>>
  for (const name of Object.keys(given)) {
    const value = given[name]
    if (name === 'from' || value === undefined) continue
    if (name === 'signal') {
      if (!(value instanceof AbortSignal))
        throw new VarveError('INVALID_ARGUMENT', `signal of ${where} must be an AbortSignal`)
    } else if (!flags.includes(name)) {
      throw new VarveError(
        'INVALID_ARGUMENT',
        `${where} has no option ${name}: there are from, signal, ${flags.join(', ')}`,
      )
    } else if (typeof value !== 'boolean') {
      throw new VarveError('INVALID_ARGUMENT', `${name} of ${where} must be true or false`)
    }
  }
}

export class Subscription<T> {
  readonly #source: FeedSource
  readonly #feed: Feed
  readonly #reader: FeedReader
  readonly #shape: Shape<T>
  readonly #signal: AbortSignal | undefined
  readonly #onAbort = (): void => this.#abort()
  readonly #resume = (): void => this.#wakeUp()
  /** Where it set out from, if that was said. */
  readonly #from: Cursor | undefined
  /** The rest of one commit, which has been taken and not given out yet. */
  #items: IterableIterator<T> | null = null
  /** Set while it reads from the log what the ring does not have. */
  #past: AsyncIterableIterator<SourceCommit> | null = null
  #pastThrough = 0
  #failure: VarveError | null = null
  #isClosed = false
  #wake: (() => void) | null = null
  readonly #queue: SerialQueue = new SerialQueue()
  readonly #nextStep = (): Promise<IteratorResult<T, undefined>> => this.#step()

  /** Begins now, whether or not anybody asks for the first step. Throws `INVALID_ARGUMENT` for a cursor, `ABORTED`. */
  constructor(source: FeedSource, interest: Interest, { from, signal }: SubscriptionOptions, shape: Shape<T>) {
    if (signal?.aborted === true) throw abortError(signal)
    const { engine, origin, history } = source
    this.#from = from === undefined ? undefined : admitCursor(from, origin, engine.clock)
    this.#source = source
    this.#shape = shape
    this.#signal = signal
    this.#feed = engine.openFeed()
    this.#reader = this.#feed.open(interest)
    signal?.addEventListener('abort', this.#onAbort, { once: true })
    if (this.#from === undefined) return
    // Of a commit that has been seen in part, the rest is wanted.
    const after = this.#from.sequence - (this.#from.change === undefined ? 0 : 1)
    this.#reader.reached = after
    if (after >= this.#feed.reachOf(this.#reader)) this.#feed.rewind(this.#reader, after)
    else if (history === null) this.#failure = this.#tooOld(after)
    else this.#readPast(history, after)
  }

  /** Calls that do not wait for each other are answered in order. */
  next(): Promise<IteratorResult<T, undefined>> {
    return this.#queue.add(this.#nextStep)
  }

  async #step(): Promise<IteratorResult<T, undefined>> {
    try {
      for (;;) {
        if (this.#failure !== null) throw this.#failure
        if (this.#isClosed) return DONE
        const item = this.#nextItem()
        if (item !== null) return item
        if (this.#past !== null) await this.#takePast(this.#past)
        else if (!this.#takeLive()) await this.#wait()
      }
    } catch (error) {
      this.#failure = null
      this.close()
      throw error
    }
  }

  #nextItem(): IteratorYieldResult<T> | null {
    const step = this.#items?.next()
    if (step !== undefined && step.done !== true) return step
    this.#items = null
    return null
  }

  /** Takes the next commit from the ring, or finds that some are lost, or that all has ended. False: nothing of these. */
  #takeLive(): boolean {
    const feed = this.#feed
    const { ended, history } = this.#source
    if (feed.hasLost(this.#reader)) {
      const { reached } = this.#reader
      if (history === null) this.#failure = this.#tooSlow(reached)
      else if (ended !== null) this.#failure = ended
      else this.#readPast(history, reached)
      return true
    }
    const commit = feed.take(this.#reader)
    if (commit === null) this.#failure = ended
    else this.#items = this.#shape(commit, this.#seenOf(commit), feed.endsBatch(this.#reader))
    return commit !== null || ended !== null
  }

  /** Place of the last write of a commit that lies before the cursor it set out from; -1 if none does. */
  #seenOf({ sequence }: SourceCommit): number {
    return sequence === this.#from?.sequence ? (this.#from.change ?? -1) : -1
  }

  /** Reads from the log up to where the ring begins, which keeps what comes meanwhile. */
  #readPast(history: History, after: number): void {
    const through = this.#feed.reachOf(this.#reader)
    this.#feed.rewind(this.#reader, through)
    this.#reader.reached = after
    this.#pastThrough = through
    this.#past = history.read(after, through)
  }

  async #takePast(past: AsyncIterableIterator<SourceCommit>): Promise<void> {
    if (this.#source.ended !== null) throw this.#source.ended
    const step = await past.next()
    if (this.#isClosed || this.#failure !== null) return
    if (step.done === true) {
      this.#past = null
      this.#reader.reached = Math.max(this.#reader.reached, this.#pastThrough)
      return
    }
    const commit = step.value
    const reader = this.#reader
    if (reader.interest.safe && commit.sequence > reader.batch) {
      while ((reader.batch = this.#feed.limitOf(reader)) < commit.sequence) {
        await sleep(POINT_INTERVAL_MS)
        if (this.#isClosed || this.#failure !== null) return
      }
    }
    reader.reached = commit.sequence
    this.#items = this.#shape(commit, this.#seenOf(commit), commit.sequence === reader.batch)
  }

  /** Waits until there may be more. */
  #wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
      this.#feed.wait(this.#reader, this.#resume)
    })
  }

  #wakeUp(): void {
    const wake = this.#wake
    this.#wake = null
    wake?.()
  }

  #tooOld(after: number): VarveError {
    const reach = this.#feed.reachOf(this.#reader)
    const message = `commits ${after + 1} to ${reach} are not known any more: the oldest cursor to go on from is that of commit ${reach}`
    return new VarveError('SNAPSHOT_TOO_OLD', `${message}; ${this.#remedy()}`)
  }

  #tooSlow(reached: number): VarveError {
    this.#source.lagged++
    const lost = `commits ${reached + 1} to ${this.#feed.lostThrough} were gone before they were read`
    const bound = `more than ${this.#feed.limitBytes} bytes of newer ones came`
    return new VarveError('SNAPSHOT_TOO_OLD', `${lost}, for ${bound}; read faster, or ${this.#remedy()}`)
  }

  #remedy(): string {
    const start = 'start again from a snapshot'
    return this.#source.isOnDisk ? `${start}; wal.retain keeps more` : start
  }

  #abort(): void {
    this.#failure ??= abortError(this.#signal as AbortSignal)
    this.#release()
    this.#wakeUp()
  }

  /** Lets go of everything; a step that waits is the end. Doing it twice is fine. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#release()
    this.#wakeUp()
  }

  #release(): void {
    this.#items = null
    void this.#past?.return?.().catch(() => undefined)
    this.#past = null
    this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#source.engine.closeFeed(this.#feed, this.#reader)
  }
}

function abortError(signal: AbortSignal): VarveError {
  return new VarveError('ABORTED', 'watching was given up through its AbortSignal', { cause: signal.reason })
}

const registry = new FinalizationRegistry<Subscription<unknown>>((subscription) => subscription.close())

/** What those who watch hold. */
export class ChangeStream<T> implements AsyncIterableIterator<T> {
  readonly #subscription: Subscription<T>

  constructor(subscription: Subscription<T>) {
    this.#subscription = subscription
    registry.register(this, subscription, this)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<T, undefined>> {
    return this.#subscription.next()
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    registry.unregister(this)
    this.#subscription.close()
    return DONE
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }
}
