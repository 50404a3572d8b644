/**
 * The writer of the log: gathers records, writes them in groups, and tells when they are settled.
 *
 *   gathering -> queue -> being written -> settled
 *
 * Records are built where their frames will stand. Whatever has been gathered when the turn ends, promises run dry
 * included, is one group: the first commit after an idle moment starts its write in its own turn, and those made while a
 * write is under way share the next. In `full` a group is one asynchronous write, durable when it returns, and one is
 * under way at a time; in `relaxed` it is one synchronous write to the operating system, and the disk is waited for in
 * the background.
 *
 * I1  Settled means durable in `full`, written in `relaxed`; groups settle in their order, each all at once.
 * I2  A group stands in one segment. If it does not fit in what is left, it starts the next segment; the file of a segment
 *     grows for a group larger than all of it, for `flushSync`, which cannot wait for a new segment, and for `close`.
 * I3  The header of a segment is written after everything in the segment before it is durable, and no group before that
 *     header is.
 * I4  A promise in a frame names a place before which everything was durable when the frame was made.
 * I5  A write that failed is not tried again: the writer is poisoned, rejects all that waits, and settles nothing more.
 * I6  Memory that is being written is not touched until the call has returned.
 *
 * Cost of a commit of two operations of 120 bytes: about a microsecond; no allocation per record, one promise per group.
 */

import { VarveError, databaseClosed, invariant } from '../errors.ts'
import type { Key } from '../keys/index.ts'
import type { StorageFile } from '../storage/storage.ts'
import { ActiveSegment, type SealedGroup } from './active.ts'
import { BackgroundSync } from './background-sync.ts'
import { CLOSED, FRAME_BYTES, framesFor } from './frame.ts'
import { Group } from './group.ts'
import { LatencyHistogram } from '../latency.ts'
import type { LogConfig, LogHooks, LogStats, SealedSegment } from './log.ts'
import type { SegmentPool } from './pool.ts'
import { RecordBuffer, type TableDefinition } from './record.ts'
import { poisoning, rejected } from './refusals.ts'
import { encodeHeader } from './segment.ts'
import { Waiters } from './waiters.ts'

/** A group is closed when it has so many bytes, if the disk has not taken it before. */
const GROUP_BYTES = 512 << 10

/** A session that writes less than this makes no spare segments. */
const SPARE_AFTER_BYTES = 128 << 10

/** What memory for a group has beyond it: room for frames and for the largest key of the record that closes it. */
const BUFFER_MARGIN_BYTES = 128 << 10

/** Memory that has grown larger than this, for huge records, is given back. */
const MAX_KEPT_BYTES = 2 * (GROUP_BYTES + BUFFER_MARGIN_BYTES)

/** A write to the segment that is under way. */
interface GroupWrite {
  readonly group: Group
  readonly file: StorageFile
  readonly bytes: Uint8Array
  readonly position: number
  readonly endFrame: number
  readonly startedMs: number
}

/** A header that is being written, to make its segment the newest. */
interface Succession {
  readonly segment: ActiveSegment
  readonly header: Uint8Array
}

export interface WriterStart {
  readonly databaseId: Uint8Array
  readonly seed: number
  readonly epoch: number
  readonly segment: ActiveSegment
  readonly sequence: number
  readonly sealed: readonly SealedSegment[]
}

export class LogWriter {
  readonly #config: LogConfig
  readonly #hooks: LogHooks
  readonly #pool: SegmentPool
  readonly #start: WriterStart
  readonly #isFull: boolean
  readonly #groupBytes: number
  readonly #spareAfterBytes: number
  readonly #runNow: () => void

  #current: ActiveSegment
  #succession: Succession | null = null
  /** The rotation under way, or the last one; never rejects. */
  #rotation: Promise<unknown> = Promise.resolve()
  #sealed: readonly SealedSegment[]
  #sealedBytes: number

  #gathering: Group
  readonly #queue: Group[] = []
  /** Payload of the groups that are closed and not settled. */
  #queuedBytes = 0
  #writing: GroupWrite | null = null
  readonly #spareBuffers: RecordBuffer[] = []
  #nextGroupId = 1
  /** A write, a marker or a rotation is under way: no other may start. */
  #isBusy = false
  #isScheduled = false

  #appended: number
  #settled: number
  #synced: number

  /** Groups up to this one go into the current segment; then it is sealed. -1: nobody asked. */
  #rotateAfter = -1
  readonly #rotateWaiters = new Waiters()
  readonly #roomWaiters = new Waiters()
  readonly #idleWaiters = new Waiters()

  /** `relaxed` only. */
  readonly #background: BackgroundSync
  #idleTimer: NodeJS.Timeout | null = null
  #groupsAtIdleTimer = 0

  /** Segments that were sealed: their files are being closed. */
  #retired: Promise<void> = Promise.resolve()

  #poisoned: VarveError | null = null
  #closing: Promise<void> | null = null
  /** What is appended is to be written come what may: the first wait for a segment begins the draining. */
  #isLeaving = false
  /** No more segments, the current one grows. */
  #isDraining = false

  #groups = 0
  #commits = 0
  #bytesWritten = 0
  #syncs = 0
  readonly #latency = new LatencyHistogram()

  /** Called when more commits are known to be durable than before, from the depths of whatever made them so. */
  onSynced: () => void = nothing

  constructor(config: LogConfig, hooks: LogHooks, pool: SegmentPool, start: WriterStart) {
    this.#config = config
    this.#hooks = hooks
    this.#pool = pool
    this.#start = start
    this.#isFull = config.durability === 'full'
    this.#groupBytes = Math.min(GROUP_BYTES, Math.max(FRAME_BYTES, config.segmentBytes >>> 2))
    this.#spareAfterBytes = Math.min(SPARE_AFTER_BYTES, start.segment.fileBytes >>> 1)
    this.#runNow = () => {
      this.#isScheduled = false
      this.#run()
    }
    this.#current = start.segment
    this.#sealed = [...start.sealed]
    this.#sealedBytes = this.#sealed.reduce((sum, { bytes }) => sum + bytes, 0)
    this.#appended = start.sequence
    this.#settled = start.sequence
    this.#synced = start.sequence
    this.#background = new BackgroundSync(config.flush, () => this.#sync())
    this.#gathering = this.#newGroup()
    pool.onStall = () => this.#stallChanged()
    pool.onLost = (error) => this.#poison(error)
  }

  /** The last commit that was appended, settled, synced. */
  get appended(): number {
    return this.#appended
  }

  get settled(): number {
    return this.#settled
  }

  get synced(): number {
    return this.#synced
  }

  get poisoned(): VarveError | null {
    return this.#poisoned
  }

  /** Bytes of the segment in use that hold groups: what `rotate` would seal. */
  get activeBytes(): number {
    return (this.#current.next - 1) * FRAME_BYTES
  }

  /** The place before which everything was durable. */
  get durableEnd(): { readonly segment: number; readonly frame: number } {
    return { segment: this.#current.number, frame: this.#current.syncedFrame }
  }

  get sealedSegments(): readonly SealedSegment[] {
    return this.#sealed
  }

  get sealedBytes(): number {
    return this.#sealedBytes
  }

  // Building a record: one at a time, in one synchronous section.

  /** A record that was begun before and not ended is forgotten. */
  begin(timeMs: number): void {
    this.#gathering.records.begin(timeMs)
  }

  /** `size` is what the entry counts for in the accounting of its table; `expiresAt` in ms since 1970, 0 is never. */
  put(table: number, key: Key, value: Uint8Array, size: number, expiresAt = 0): void {
    this.#gathering.records.put(table, key, value, size, expiresAt)
  }

  /** `expired`: not by the application, but because the entry had expired. */
  remove(table: number, key: Key, expired = false): void {
    this.#gathering.records.remove(table, key, expired)
  }

  resized(table: number, entries: number, bytes: number): void {
    this.#gathering.records.resized(table, entries, bytes)
  }

  /** Forgets the record that is being built. */
  cancel(): void {
    this.#gathering.records.cancel()
  }

  /** The record is in the log, to be written with the next group. Cannot fail. */
  end(sequence: number): void {
    invariant(sequence === this.#appended + 1, 'commits are logged without a gap')
    this.#gathering.records.end(sequence)
    this.#appended = sequence
    this.#gathered()
  }

  /** Logs the definition of a table: a record of its own, before the commits that follow. */
  define(table: TableDefinition): void {
    this.#gathering.records.define(table)
    this.#gathered()
  }

  /** Resolves when the commit is settled; null if it is. One promise for all of a group. Rejects with `POISONED`. */
  settledAt(sequence: number): Promise<void> | null {
    if (sequence <= this.#settled) return null
    if (this.#poisoned !== null) return rejected(this.#poisoned)
    const writing = this.#writing?.group
    if (writing !== undefined && sequence <= writing.records.lastSequence) return writing.settled()
    for (let i = 0; i < this.#queue.length; i++) {
      const group = this.#queue[i] as Group
      if (sequence <= group.records.lastSequence) return group.settled()
    }
    return this.#gathering.settled()
  }

  /** Commits should wait before they are certified: too much waits for the disk, or there is no segment to write to. */
  get crowded(): boolean {
    return this.#pool.stalled || this.#queuedBytes + this.#gathering.records.at > this.#config.maxQueueBytes
  }

  /**
   * Why there is no segment to write to and none can be made (a full disk, say), as of the last attempt; null if that is
   * not so. What was appended waits; new commits had better not be made.
   */
  get obstacle(): VarveError | null {
    return this.#pool.obstacle
  }

  /**
   * Resolves when the log is not crowded; others may crowd it again before you. If there is an obstacle it is tried once
   * more to make a segment.
   *
   * @throws VarveError `POISONED`; or the obstacle, if it is still there: the same may succeed later
   */
  async room(): Promise<void> {
    if (this.#poisoned !== null) throw this.#poisoned
    if (!this.crowded) return
    const room = this.#roomWaiters.wait()
    if (this.#pool.obstacle !== null) this.#pool.retry()
    await room
  }

  /** Everything appended so far is synced, in either mode. */
  async flush(): Promise<void> {
    if (this.#poisoned !== null) throw this.#poisoned
    const last = this.#lastGroup()
    if (last !== null) await last.settled()
    if (!this.#isFull) await this.#syncThrough(this.#current.next)
  }

  /**
   * As `flush`, but does not wait for a segment: if there is none, what waits is written behind the end of the current one,
   * and the log can only be closed after that.
   */
  async drain(): Promise<void> {
    if (this.#poisoned !== null) throw this.#poisoned
    this.#isLeaving = true
    this.#stallChanged()
    await this.flush()
  }

  /**
   * Everything appended so far is settled on return. What another call is writing is written again, the same bytes at the
   * same place, for nothing says when that call will return.
   *
   * @throws VarveError `POISONED`
   */
  flushSync(): void {
    if (this.#poisoned !== null) throw this.#poisoned
    if (this.#lastGroup() === null) return
    const startedMs = this.#hooks.now()
    let groups: Group[] = []
    try {
      this.#rewriteUnderWay()
      this.#succeedNow()
      groups = this.#takeAll()
      const current = this.#current
      const { file } = current
      for (const group of groups) {
        const { bytes, position } = this.#seal(group, 0)
        file.writeSync(bytes, position)
        if (file.synced) current.syncedFrame = current.next
      }
      if (this.#isFull && !file.synced) {
        file.syncSync()
        current.syncedFrame = current.next
      }
    } catch (error) {
      const poisoned = this.#poison(error)
      for (const group of groups) group.fail(poisoned)
      throw poisoned
    }
    if (this.#isFull) this.#measure(startedMs)
    const writing = this.#writing?.group
    if (writing !== undefined) this.#settle(writing)
    for (const group of groups) this.#settleAndFree(group)
    if (!this.#isFull) this.#background.startWhenDue()
    this.#continue()
  }

  /** Seals the current segment with all that was appended, if there is anything; resolves when the next is started. */
  async rotate(): Promise<void> {
    if (this.#poisoned !== null) throw this.#poisoned
    if (this.#isDraining) throw databaseClosed()
    this.#closeGathering()
    this.#rotateAfter = this.#gathering.id - 1
    if (this.#pool.stalled) this.#pool.force()
    const rotated = this.#rotateWaiters.wait()
    this.#schedule()
    await rotated
  }

  /** Gives back the spare segments that were kept for a load that has ended. Never rejects. */
  async trim(): Promise<void> {
    if (this.#poisoned === null) await this.#pool.shrink()
  }

  /** The manifest needs the segments up to this one no more: their files are used again or removed. */
  async release(throughSegment: number): Promise<void> {
    invariant(throughSegment < this.#current.number, 'a segment that is being written is released')
    await this.#pool.release(throughSegment)
    this.#sealed = this.#sealed.filter(({ number }) => number > throughSegment)
    this.#sealedBytes = this.#sealed.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** What the log belongs to has failed: nothing more is written or settled. */
  poison(error: VarveError): void {
    this.#poison(error)
  }

  stats(): LogStats {
    return {
      groups: this.#groups,
      commits: this.#commits,
      bytesWritten: this.#bytesWritten,
      syncs: this.#syncs,
      syncP50Ms: this.#latency.percentileMs(0.5),
      syncP99Ms: this.#latency.percentileMs(0.99),
      sealedSegments: this.#sealed.length,
      sealedBytes: this.#sealedBytes,
      spareSegments: this.#pool.spareCount,
      queuedBytes: this.#queuedBytes + this.#gathering.records.payloadBytes,
      creationFailures: this.#pool.failures,
      creationError: this.#pool.error,
    }
  }

  /**
   * Flushes, writes the marker of a clean end, closes the file. Always settles; rejects with `POISONED` if what was
   * waiting could not be written, not if that was known before. Nothing may be appended after.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const wasPoisoned = this.#poisoned !== null
    this.#isDraining = true
    await this.#pool.stop()
    try {
      if (!wasPoisoned) {
        await this.flush()
        await this.#idle()
        await this.#writeLastMarker()
      }
    } catch (error) {
      this.#poison(error)
    }
    this.#stopTimers()
    await this.#rotation
    await this.#succession?.segment.file.close().catch(nothing)
    await this.#current.file.close().catch((error: unknown) => this.#poison(error))
    await this.#retired
    await this.trim()
    if (!wasPoisoned && this.#poisoned !== null) throw this.#poisoned
  }

  // Groups

  #newGroup(records: RecordBuffer = this.#spareBuffers.pop() ?? this.#newBuffer()): Group {
    records.lastSequence = this.#appended
    return new Group(this.#nextGroupId++, records)
  }

  #newBuffer(): RecordBuffer {
    return new RecordBuffer(this.#groupBytes + BUFFER_MARGIN_BYTES)
  }

  #newMarker(): Group {
    return this.#newGroup(new RecordBuffer(FRAME_BYTES))
  }

  #gathered(): void {
    if (this.#poisoned !== null) this.#gathering.records.clear()
    else if (this.#gathering.records.payloadBytes >= this.#groupBytes) this.#closeGathering()
    if (!this.#isScheduled && !this.#isBusy) this.#schedule()
  }

  /** The turn ends when no promise is left that could add to the group. */
  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    process.nextTick(this.#runNow)
  }

  #closeGathering(): void {
    const group = this.#gathering
    // A record that was begun and never ended is none.
    group.records.cancel()
    if (group.isEmpty) return
    this.#queue.push(group)
    this.#queuedBytes += group.records.payloadBytes
    this.#gathering = this.#newGroup()
  }

  #takeAll(): Group[] {
    this.#closeGathering()
    return this.#queue.splice(0)
  }

  /** The last group that holds anything and is not settled. */
  #lastGroup(): Group | null {
    if (!this.#gathering.isEmpty) return this.#gathering
    const writing = this.#writing?.group
    return this.#queue.at(-1) ?? (writing === undefined || writing.isSettled ? null : writing)
  }

  /** Starts whatever is next; called at the end of a turn and when the last thing under way has ended. */
  #run(): void {
    if (this.#isBusy || this.#poisoned !== null) return
    for (;;) {
      if (this.#queue.length === 0) this.#closeGathering()
      const group = this.#queue[0]
      if (this.#rotateAfter >= 0 && (group === undefined || group.id > this.#rotateAfter)) {
        if (!this.#current.isEmpty && !this.#isDraining) {
          this.#pool.force()
          return this.#startRotation()
        }
        this.#rotated()
      }
      if (group === undefined) break
      if (!this.#fits(framesFor(group.records.payloadBytes))) return this.#startRotation()
      this.#queue.shift()
      if (this.#isFull) return this.#write(group, 0)
      if (!this.#writeRelaxed(group)) return
    }
    if (this.#isDone()) this.#becomeIdle()
    if (!this.#isFull) this.#background.startWhenDue()
  }

  /** A group larger than any segment has to start one. */
  #fits(frames: number): boolean {
    return this.#isDraining || this.#current.isEmpty || this.#current.fits(frames)
  }

  /** A group as it goes to the file of the current segment. */
  #seal(group: Group, flags: number): SealedGroup {
    const { records } = group
    const sealed = this.#current.seal(records, this.#start.seed, flags)
    this.#groups++
    this.#commits += records.commits
    this.#bytesWritten += sealed.bytes.length
    if (this.#bytesWritten >= this.#spareAfterBytes) this.#pool.start()
    if (!this.#isFull) this.#background.wrote(records.commits, sealed.bytes.length)
    return sealed
  }

  /** `full`: one write, durable when it returns. */
  #write(group: Group, flags: number): void {
    const { file } = this.#current
    const { bytes, position, endFrame } = this.#seal(group, flags)
    const write = { group, file, bytes, position, endFrame, startedMs: this.#hooks.now() }
    this.#isBusy = true
    this.#writing = write
    const written = file.synced ? file.write(bytes, position) : file.write(bytes, position).then(() => file.sync())
    written.then(
      () => this.#written(write),
      (error: unknown) => this.#poison(error),
    )
  }

  #written({ group, endFrame, startedMs }: GroupWrite): void {
    if (this.#poisoned !== null) return
    this.#measure(startedMs)
    this.#writing = null
    this.#isBusy = false
    // If flushSync came in between, more than this group is durable already.
    if (!group.isSettled) this.#current.syncedFrame = endFrame
    this.#settleAndFree(group)
    this.#continue()
  }

  /** `relaxed`: settled once the operating system has it. Returns whether it has. */
  #writeRelaxed(group: Group): boolean {
    try {
      const { bytes, position } = this.#seal(group, 0)
      this.#current.file.writeSync(bytes, position)
    } catch (error) {
      group.fail(this.#poison(error))
      return false
    }
    this.#settleAndFree(group)
    return true
  }

  #settle(group: Group): void {
    if (group.isSettled) return
    const { lastSequence, payloadBytes } = group.records
    this.#queuedBytes -= payloadBytes
    this.#settled = lastSequence
    if (this.#isFull) this.#advanceSynced(lastSequence)
    group.settle()
    this.#freeRoom()
  }

  #settleAndFree(group: Group): void {
    this.#settle(group)
    const { records } = group
    const { length } = records.memory.bytes
    if (length === FRAME_BYTES || length > MAX_KEPT_BYTES || this.#spareBuffers.length >= 2) return
    records.clear()
    this.#spareBuffers.push(records)
  }

  /** Something has ended: the next may start, once those that were told of it have added to it. */
  #continue(): void {
    if (!this.#isDone() || this.#rotateAfter >= 0) this.#schedule()
    else if (!this.#isBusy) this.#becomeIdle()
  }

  #isDone(): boolean {
    return this.#queue.length === 0 && this.#gathering.isEmpty
  }

  // Synchronous settling

  /** `full`: what an asynchronous call is writing is written once more, and is durable then if the file says so. */
  #rewriteUnderWay(): void {
    const write = this.#writing
    if (write === null || write.group.isSettled) return
    write.file.writeSync(write.bytes, write.position)
    if (write.file.synced) this.#current.syncedFrame = write.endFrame
  }

  /** A header that is being written is made durable, and its segment the current one. */
  #succeedNow(): void {
    const succession = this.#succession
    if (succession === null) return
    const { file } = succession.segment
    file.writeSync(succession.header, 0)
    if (!file.synced) file.syncSync()
    this.#succeed(succession)
  }

  // Rotation

  #startRotation(): void {
    this.#isBusy = true
    this.#rotation = this.#rotate().then(
      () => this.#rotationEnded(),
      (error: unknown) => {
        // Closing does not wait for a segment: the current one grows.
        if (this.#isDraining && this.#succession === null && this.#poisoned === null) this.#rotationEnded()
        else this.#poison(error)
      },
    )
  }

  #rotationEnded(): void {
    if (this.#poisoned !== null) return
    this.#isBusy = false
    this.#run()
  }

  async #rotate(): Promise<void> {
    const taken = await this.#pool.take()
    try {
      while (!this.#isFull && !this.#current.isSynced) await this.#syncThrough(this.#current.next)
      if (this.#poisoned !== null) throw this.#poisoned
    } catch (error) {
      await taken.file.close().catch(nothing)
      throw error
    }
    // From here on the end of the old segment is fixed: flushSync goes to the new one.
    const segment = new ActiveSegment(taken, this.#start.epoch, 1)
    const succession = { segment, header: this.#headerOf(segment) }
    this.#succession = succession
    const startedMs = this.#hooks.now()
    await segment.file.write(succession.header, 0)
    if (!segment.file.synced) await segment.file.sync()
    this.#measure(startedMs)
    if (this.#poisoned === null && this.#succession === succession) this.#succeed(succession)
  }

  #headerOf(segment: ActiveSegment): Uint8Array {
    const current = this.#current
    const header = {
      started: true,
      segment: segment.number,
      epoch: segment.epoch,
      fileBytes: segment.fileBytes,
      predecessor: current.number,
      predecessorEnd: current.next,
      predecessorEpoch: current.epoch,
      lastSequence: this.#settled,
    }
    return encodeHeader(header, this.#start.databaseId, this.#start.seed)
  }

  #succeed({ segment }: Succession): void {
    const { number, next, file } = this.#current
    this.#succession = null
    this.#current = segment
    this.#bytesWritten += FRAME_BYTES
    this.#advanceSynced(this.#settled)
    this.#background.forget()
    const bytes = next * FRAME_BYTES
    // A new array: whoever was given the old one is reading what it names.
    this.#sealed = [...this.#sealed, { number, fromFrame: 1, endFrame: next, lastSequence: this.#settled, bytes }]
    this.#sealedBytes += bytes
    const closed = file.close().catch((error: unknown) => void this.#poison(error))
    this.#retired = Promise.all([this.#retired, closed]).then(nothing)
    this.#pool.fill()
    this.#hooks.sealed()
  }

  #rotated(): void {
    this.#rotateAfter = -1
    if (this.#isDraining) this.#rotateWaiters.reject(databaseClosed())
    else this.#rotateWaiters.resolve()
  }

  // Waiting for the disk in `relaxed`

  /** Everything before this frame of the current segment is durable on return. */
  async #syncThrough(frame: number): Promise<void> {
    const current = this.#current
    while (this.#current === current && current.syncedFrame < frame) await this.#background.start()
  }

  async #sync(): Promise<void> {
    const current = this.#current
    const { next } = current
    const sequence = this.#settled
    const startedMs = this.#hooks.now()
    try {
      await current.file.sync()
    } catch (error) {
      throw this.#poison(error)
    }
    this.#measure(startedMs)
    current.syncedFrame = next
    this.#advanceSynced(sequence)
  }

  #advanceSynced(sequence: number): void {
    if (sequence <= this.#synced) return
    this.#synced = sequence
    this.onSynced()
  }

  #measure(startedMs: number): void {
    this.#syncs++
    this.#latency.record(this.#hooks.now() - startedMs)
  }

  // Markers

  #becomeIdle(): void {
    this.#idleWaiters.resolve()
    if (this.#isDraining) return
    if (!this.#fits(1) && this.#pool.spareCount > 0) this.#startRotation()
    else if (this.#current.needsMarker && this.#idleTimer === null) this.#awaitIdleness()
  }

  #idle(): Promise<void> {
    return this.#isBusy ? this.#idleWaiters.wait() : Promise.resolve()
  }

  #awaitIdleness(): void {
    this.#groupsAtIdleTimer = this.#groups
    this.#idleTimer = setTimeout(() => {
      this.#idleTimer = null
      this.#markIfIdle()
    }, this.#config.idleMarkerMs).unref()
  }

  #markIfIdle(): void {
    const isIdle = this.#groups === this.#groupsAtIdleTimer && this.#isDone() && !this.#isBusy
    if (this.#poisoned !== null || this.#isDraining || (isIdle && !this.#current.needsMarker)) return
    if (isIdle && !this.#isFull && !this.#current.isSynced) this.#background.start().catch(nothing)
    if (!isIdle || !this.#current.isSynced) this.#awaitIdleness()
    else if (this.#isFull) this.#write(this.#newMarker(), 0)
    else this.#writeRelaxed(this.#newMarker())
  }

  /** The marker of a clean end: nothing follows, so that the next opening need not look for it. */
  async #writeLastMarker(): Promise<void> {
    const { file } = this.#current
    const { bytes, position } = this.#seal(this.#newMarker(), CLOSED)
    await file.write(bytes, position)
    if (!file.synced) await file.sync()
  }

  #stopTimers(): void {
    this.#background.stop()
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer)
    this.#idleTimer = null
  }

  // The end

  #stallChanged(): void {
    const { stalled, obstacle } = this.#pool
    if (stalled && this.#isLeaving && !this.#isDraining) {
      this.#isDraining = true
      void this.#pool.stop()
    }
    if (stalled && !this.#isDraining) this.#hooks.stalled?.()
    if (obstacle !== null) this.#roomWaiters.reject(obstacle)
    this.#freeRoom()
  }

  #freeRoom(): void {
    if (!this.#roomWaiters.isEmpty && !this.crowded) this.#roomWaiters.resolve()
  }

  /** Nothing more is written or settled. What waits is told why, and that the outcome is open. */
  #poison(cause: unknown): VarveError {
    if (this.#poisoned !== null) return this.#poisoned
    const error = poisoning(cause)
    this.#poisoned = error
    this.#stopTimers()
    this.#writing?.group.fail(error)
    for (const group of this.#queue.splice(0)) group.fail(error)
    this.#gathering.fail(error)
    this.#roomWaiters.reject(error)
    this.#rotateWaiters.reject(error)
    this.#idleWaiters.resolve()
    this.#queuedBytes = 0
    void this.#pool.stop()
    this.#hooks.poisoned(error)
    return error
  }
}

function nothing(): void {}
