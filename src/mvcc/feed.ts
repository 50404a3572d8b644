/**
 * The change feed: recent commits in a ring, and who reads them.
 *
 * It exists only while somebody listens, so a commit pays one comparison for it otherwise. While there is a reader of
 * everything, every commit is recorded; while there are only readers of keys and ranges, those commits are that concern one
 * of them. All readers share the ring; each is a position in it, and a reader of keys that has nothing to read is not even
 * that.
 *
 *   first ................................................ end
 *         |        |                    |
 *         evicted  a slow reader        a reader that is up to date is at `end`
 *
 * What is recorded is what a write set holds, stored forms that stay valid whatever becomes of the version. Codecs are the
 * reader's business, and so is what else there may be of the past.
 *
 * I1  Records lie in the order of their sequences, whole: a commit is there with all its writes that concern anybody.
 * I2  A reader meets every commit that concerns it once, in order, or is told that some are lost: {@link Feed.hasLost}.
 * I3  `bytes` is what the records count for. It exceeds the bound only by the newest commit, and by those of which nobody can
 *     know yet that they are durable, up to {@link UNDURABLE_FACTOR} times the bound.
 * I4  Nothing of a reader runs inside a commit: they are woken in a microtask.
 * I5  `next` of a reader of keys is the first record that concerns it and that it has not read, or -1.
 */
import type { Key } from '../keys/index.ts'
import { CHUNK_BITS, CHUNK_MASK, type Chunk } from './chunk.ts'
import { sizeOfKey } from './size.ts'
import { type Watched, WatchIndex } from './watch-index.ts'
import type { TableStore } from './store.ts'
import { EVICTED } from './version.ts'
import { DELETE, MERGE, type Pending } from './write-set.ts'

/** Why there was a commit: somebody made it, or keys had expired, or memory ran out. */
export type CommitCause = 'commit' | 'expire' | 'evict'

/** Stands for an old value that nobody asked for in time. */
export const UNKNOWN: unique symbol = Symbol('unknown')

/** What a record and a write cost beside keys and values, bytes. */
const RECORD_BYTES = 120
const WRITE_BYTES = 88

/** Commits that are not durable yet are kept up to so many times the bound: their readers could not have been faster. */
const UNDURABLE_FACTOR = 4

const FIRST_SLOTS = 64

/** What a commit did to one key. */
export class FeedWrite {
  readonly store: TableStore
  readonly key: Key
  /** Stored form; undefined: the key was deleted. */
  readonly value: unknown
  /** ms since the epoch; 0: never. */
  readonly expiresAt: number
  /** Stored form of what was there; undefined: nothing, or what had expired for a writer; {@link UNKNOWN}. */
  readonly before: unknown
  /** Its place among the writes of its commit, from 0. */
  readonly ordinal: number

  constructor(store: TableStore, key: Key, value: unknown, expiresAt: number, before: unknown, ordinal: number) {
    this.store = store
    this.key = key
    this.value = value
    this.expiresAt = expiresAt
    this.before = before
    this.ordinal = ordinal
  }
}

/** A commit in the ring. */
export interface FeedCommit {
  readonly sequence: number
  /** ms since the epoch. */
  readonly timeMs: number
  readonly cause: CommitCause
  readonly writes: readonly FeedWrite[]
  readonly bytes: number
}

/** What the feed has to know of the engine. */
export interface FeedHost {
  /** The newest commit; the newest that is durable; the newest that is a serializable point. */
  readonly clock: number
  readonly durable: number
  readonly safePoint: number
  /** ms since the epoch. */
  timeMs(): number
}

/** What a reader wants. */
export interface Interest {
  /** The table with the key or range; null: every commit. */
  readonly watched: Watched | null
  /** Only what is durable. */
  readonly durable: boolean
  /** Only up to serializable points. */
  readonly safe: boolean
  /** With old values. */
  readonly before: boolean
}

export class FeedReader {
  readonly interest: Interest
  /** The newest commit when it was opened; what came after it and concerns it was recorded. */
  readonly openedAt: number
  /** Position in the ring of what comes next; see I5. */
  next = -1
  /** Whatever concerns it up to this commit it has read. */
  reached: number
  /** Up to where a reader of serializable points may go on. */
  batch = 0
  /** Called once when there is something to read, or an end. */
  onReady: (() => void) | null = null

  constructor(interest: Interest, openedAt: number) {
    this.interest = interest
    this.openedAt = openedAt
    this.reached = openedAt
  }
}

export class Feed {
  /** I3. */
  bytes = 0
  readonly limitBytes: number
  private readonly host: FeedHost
  private slots: (FeedCommit | undefined)[] = Array.from({ length: FIRST_SLOTS })
  /** Positions in the ring; they only grow. */
  private first = 0
  private end = 0
  /** The newest commit that was taken out. */
  private evicted = 0
  /** Every commit behind this one was recorded; Infinity while only those are that concern a reader. */
  private completeAfter = Infinity
  private readonly readers: Set<FeedReader> = new Set()
  private wholeReaders = 0
  private beforeReaders = 0
  /** Those that wait and may have something to read. */
  private readonly waiting: Set<FeedReader> = new Set()
  /** False only if nobody is in `waiting`: then {@link moved} need not be called. */
  isAwaited = false
  private isScheduled = false
  private draft: FeedWrite[] = []
  private draftBytes = 0
  private ordinal = 0

  constructor(host: FeedHost, limitBytes: number) {
    this.host = host
    this.limitBytes = limitBytes
  }

  /** Readers. */
  get size(): number {
    return this.readers.size
  }

  /** Commits in the ring. */
  get length(): number {
    return this.end - this.first
  }

  // --- recording, inside the commit section ---------------------------------------------------------------------------------

  /** Whether a write is known to concern nobody: a commit of it alone need not be shown to the feed at all. */
  ignores(store: TableStore, entry: number): boolean {
    if (this.wholeReaders > 0) return false
    const { watchers } = store
    if (watchers === null) return true
    if (entry < 0) return false
    return (store.chunks[entry >>> CHUNK_BITS] as Chunk).unwatchedAt(entry & CHUNK_MASK) === watchers.version
  }

  /** Takes in one write of the commit that is being installed, before it is. */
  add(store: TableStore, pending: Pending, timeMs: number): void {
    if (pending.idle) return
    const ordinal = this.ordinal++
    const { key, entry, kind } = pending
    const { watchers } = store
    const concerns = watchers !== null && this.concernsAny(store, watchers, key, entry)
    if (!concerns && this.wholeReaders === 0) return
    let before: unknown = UNKNOWN
    if (this.beforeReaders > 0) {
      // What had expired was absent to whoever overwrote it; it is what the sweeper takes away.
      const isSeen = entry >= 0 && (kind === DELETE || store.isLive(entry, timeMs))
      before = isSeen ? store.detach(store.headOf(entry)) : undefined
      if (before === EVICTED) before = UNKNOWN
      else if (before !== undefined) {
        const chunk = store.chunks[entry >>> CHUNK_BITS] as Chunk
        this.draftBytes += weightOf(store, key, before, chunk.sizeAt(entry & CHUNK_MASK))
      }
    }
    this.draftBytes += WRITE_BYTES
    let value: unknown = undefined
    let expiresAt = 0
    if (kind !== DELETE) {
      const merged = kind === MERGE
      value = merged ? pending.merged : pending.value
      expiresAt = pending.expiresAt
      this.draftBytes += weightOf(store, key, value, merged ? pending.mergedSize : pending.size)
    }
    this.draft.push(new FeedWrite(store, key, value, expiresAt, before, ordinal))
  }

  /** Whether a key is watched. That it is not is remembered with its entry: what is written again and again costs no search. */
  private concernsAny(store: TableStore, watchers: WatchIndex, key: Key, entry: number): boolean {
    if (entry < 0) return watchers.stab(key, this)
    const chunk = store.chunks[entry >>> CHUNK_BITS] as Chunk
    const i = entry & CHUNK_MASK
    if (chunk.unwatchedAt(i) === watchers.version) return false
    if (watchers.stab(key, this)) return true
    chunk.setUnwatched(i, watchers.version)
    return false
  }

  /** For the index: this reader is concerned by the write at hand. */
  concern(reader: FeedReader): void {
    if (reader.next >= 0) return
    reader.next = this.end
    if (reader.onReady !== null) this.await(reader)
  }

  /** Ends the commit that was installed; a time of 0 is one that nobody has asked for. */
  record(sequence: number, timeMs: number, cause: CommitCause): void {
    this.ordinal = 0
    if (this.draft.length === 0) return
    const at = timeMs === 0 ? this.host.timeMs() : timeMs
    this.push({ sequence, timeMs: at, cause, writes: this.draft, bytes: this.draftBytes + RECORD_BYTES })
    this.draft = []
    this.draftBytes = 0
    this.evict()
    this.moved()
  }

  private push(commit: FeedCommit): void {
    if (this.end - this.first === this.slots.length) this.grow()
    this.slots[this.end++ % this.slots.length] = commit
    this.bytes += commit.bytes
  }

  private grow(): void {
    const larger: (FeedCommit | undefined)[] = Array.from({ length: 2 * this.slots.length })
    for (let at = this.first; at < this.end; at++) larger[at % larger.length] = this.at(at)
    this.slots = larger
  }

  private at(position: number): FeedCommit {
    return this.slots[position % this.slots.length] as FeedCommit
  }

  private evict(): void {
    if (this.bytes <= this.limitBytes) return
    const { durable } = this.host
    while (this.bytes > this.limitBytes && this.end - this.first > 1) {
      const oldest = this.at(this.first)
      if (oldest.sequence > durable && this.bytes <= UNDURABLE_FACTOR * this.limitBytes) return
      this.slots[this.first++ % this.slots.length] = undefined
      this.bytes -= oldest.bytes
      this.evicted = oldest.sequence
    }
  }

  // --- readers --------------------------------------------------------------------------------------------------------------

  /** A reader of what is committed from now on. */
  open(interest: Interest): FeedReader {
    const reader = new FeedReader(interest, this.host.clock)
    this.readers.add(reader)
    if (interest.before) this.beforeReaders++
    const { watched } = interest
    if (watched !== null) {
      watched.store.watchers ??= new WatchIndex()
      watched.store.watchers.add(reader, watched)
      return reader
    }
    if (this.wholeReaders++ === 0) this.completeAfter = this.host.clock
    reader.next = this.end
    return reader
  }

  /** Nobody reads on through it; doing it twice is fine. */
  close(reader: FeedReader): void {
    if (!this.readers.delete(reader)) return
    this.waiting.delete(reader)
    reader.onReady = null
    const { watched, before } = reader.interest
    if (before) this.beforeReaders--
    if (watched === null) {
      if (--this.wholeReaders === 0) this.completeAfter = Infinity
      return
    }
    const { store } = watched
    store.watchers?.remove(reader, watched)
    if (store.watchers?.isEmpty === true) store.watchers = null
  }

  /** Behind which commit the ring has everything that concerns a reader. */
  reachOf(reader: FeedReader): number {
    return Math.max(this.evicted, Math.min(this.completeAfter, reader.openedAt))
  }

  /** Sets a reader to right behind a commit, which must not lie before {@link reachOf}. */
  rewind(reader: FeedReader, sequence: number): void {
    const next = this.positionAfter(sequence)
    reader.reached = sequence
    reader.next = reader.interest.watched === null ? next : this.nextFor(reader.interest.watched, next)
  }

  /** Of the first record behind a commit. */
  private positionAfter(sequence: number): number {
    let low = this.first
    let high = this.end
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (this.at(middle).sequence > sequence) high = middle
      else low = middle + 1
    }
    return low
  }

  /** Whether commits that concern a reader have gone out of the ring before it has read them. */
  hasLost(reader: FeedReader): boolean {
    return reader.next >= 0 && reader.next < this.first
  }

  /** The newest commit that has gone. */
  get lostThrough(): number {
    return this.evicted
  }

  /** The next commit for a reader, which has then read it; null: there is none yet. Not to be asked once it {@link hasLost}. */
  take(reader: FeedReader): FeedCommit | null {
    if (!this.hasNext(reader)) return null
    const commit = this.at(reader.next)
    const { watched } = reader.interest
    reader.reached = commit.sequence
    reader.next = watched === null ? reader.next + 1 : this.nextFor(watched, reader.next + 1)
    return commit
  }

  /** Whether the state after the commit that was taken last is a serializable point, for readers up to such points. */
  endsBatch(reader: FeedReader): boolean {
    if (!reader.interest.safe) return false
    return reader.next === this.end || this.at(reader.next).sequence > reader.batch
  }

  /** Up to which commit a reader may be told. */
  limitOf(reader: FeedReader): number {
    const { durable, safe } = reader.interest
    const known = durable ? this.host.durable : this.host.clock
    return safe ? Math.min(known, this.host.safePoint) : known
  }

  private hasNext(reader: FeedReader): boolean {
    if (reader.next < 0 || reader.next === this.end) return false
    const { sequence } = this.at(reader.next)
    if (!reader.interest.safe) return sequence <= this.limitOf(reader)
    // A batch once begun is gone through to its end, so that its end is met however fast others commit.
    if (sequence > reader.batch) reader.batch = this.limitOf(reader)
    return sequence <= reader.batch
  }

  /** Position of the first record from `from` on that concerns whoever watches; -1 if there is none. */
  private nextFor(watched: Watched, from: number): number {
    for (let at = from; at < this.end; at++) {
      const { writes } = this.at(at)
      for (let i = 0; i < writes.length; i++) {
        const { store, key } = writes[i] as FeedWrite
        if (store === watched.store && watched.covers(key)) return at
      }
    }
    return -1
  }

  // --- waking ---------------------------------------------------------------------------------------------------------------

  /** Calls `onReady` once, in a microtask, as soon as there may be something to read. */
  wait(reader: FeedReader, onReady: () => void): void {
    reader.onReady = onReady
    if (reader.next >= 0) this.await(reader)
    if (this.isReady(reader)) this.moved()
  }

  private await(reader: FeedReader): void {
    this.waiting.add(reader)
    this.isAwaited = true
  }

  /** More has been recorded, or may be told: whoever waits for it is woken (I4). */
  moved(): void {
    this.isAwaited = this.waiting.size > 0
    if (this.isScheduled || !this.isAwaited) return
    this.isScheduled = true
    queueMicrotask(() => {
      this.isScheduled = false
      for (const reader of this.waiting) if (this.isReady(reader)) this.wake(reader)
    })
  }

  private isReady(reader: FeedReader): boolean {
    return this.hasLost(reader) || this.hasNext(reader)
  }

  /** Wakes every reader that waits, whether or not there is anything: all has come to an end. */
  wakeAll(): void {
    for (const reader of this.readers) this.wake(reader)
  }

  private wake(reader: FeedReader): void {
    this.waiting.delete(reader)
    const { onReady } = reader
    reader.onReady = null
    onReady?.()
  }

  /** Throws on the first violated invariant. Walks everything. */
  check(): void {
    let bytes = 0
    let last = this.evicted
    for (let at = this.first; at < this.end; at++) {
      const commit = this.at(at)
      if (commit.sequence <= last) throw new Error(`I1: commit ${commit.sequence} stands behind ${last}`)
      last = commit.sequence
      bytes += commit.bytes
    }
    if (bytes !== this.bytes) throw new Error(`I3: ${this.bytes} bytes are counted, but there are ${bytes}`)
    for (const { interest, next, reached, openedAt } of this.readers) {
      if (interest.watched === null || (next >= 0 && next < this.first)) continue
      const first = this.nextFor(interest.watched, this.positionAfter(Math.max(reached, openedAt)))
      if (first >= 0 && (next < 0 || next > first))
        throw new Error(`I5: a reader is to miss commit ${this.at(first).sequence}`)
      if (next >= 0 && this.nextFor(interest.watched, next) !== next)
        throw new Error('I5: a reader waits for nothing of its own')
    }
  }
}

/** Bytes of key and value, whatever an application's `sizeOf` makes of them. A change has the key itself, no words. */
function weightOf(store: TableStore, key: Key, stored: unknown, size: number): number {
  const isSize = store.spec.sizeOf === undefined && store.wordForm === null
  return isSize ? size : sizeOfKey(key) + store.spec.resident.sizeOf(stored)
}
