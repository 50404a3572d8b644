/**
 * Reading the log: at opening, and sealed stretches of it for a checkpoint.
 *
 * Opening goes through the listed segments in order. Those that were started come first, then the spares. Every started
 * segment but the newest must be whole up to the end that the header of its successor names. The newest ends where its
 * groups end, at a torn write perhaps; but if any frame beyond says that it was durable further than that, it was damaged.
 *
 * | what is found                                                        | outcome                                     |
 * |----------------------------------------------------------------------|---------------------------------------------|
 * | a listed file is missing, or shorter than its header says            | refused                                     |
 * | it belongs to another database, another number, a newer format       | refused                                     |
 * | no segment was started                                               | the log is empty                            |
 * | the header behind the newest is damaged, no frame says it was there  | that start never finished: as if spare      |
 * | ..., or a frame says so                                              | refused                                     |
 * | a segment that is not the newest ends early or has no header         | refused                                     |
 * | the newest ends early, nothing says it went on                       | the log ends there                          |
 * | ..., or a frame beyond says so                                       | refused                                     |
 * | commits do not follow one another, or do not reach the runs          | refused                                     |
 * | a file with the name of a segment that is not listed                 | removed; refused if it was started          |
 *
 * I1  Nothing is written before everything has been read and found right.
 * I2  What is readable need not be durable. Before anything is served, what lies behind the last place known to be
 *     durable is written into a fresh segment: frames, sync, then its header, sync. Only the header makes it count, so
 *     this may be cut short any number of times.
 * I3  A segment that was recovered is never appended to. One that holds no group is started again under a new epoch.
 * I4  Memory: a chunk, and the largest group; nothing grows with what a length field says.
 */

import { join } from 'node:path'

import type { VarveError } from '../errors.ts'
import { type Storage, type StorageFile, isMissing } from '../storage/storage.ts'
import { ActiveSegment } from './active.ts'
import {
  FRAME_BYTES,
  FRAME_HEADER_BYTES,
  FrameMemory,
  type FramePlace,
  PAYLOAD_BYTES,
  framesFor,
  sealFrames,
  seedOf,
} from './frame.ts'
import type { LogConfig, LogHooks, LogStart, SealedSegment } from './log.ts'
import { type PoolConfig, SegmentPool, type SpareSegment, wholeFrames } from './pool.ts'
import { RecordReader, type RecordSink } from './record.ts'
import {
  type GroupsEnd,
  MIN_SEGMENT_BYTES,
  ReadMemory,
  type SegmentHeader,
  SegmentReader,
  corruption,
  encodeHeader,
  missing,
  segmentOfName,
  segmentPath,
} from './segment.ts'
import { LogWriter } from './writer.ts'

/** A first segment, made while somebody waits for the opening, is no larger than this. */
const FIRST_SEGMENT_BYTES = 256 << 10

/** Segments opened at once; each is one call for a thread of the pool, of which there are four as a rule. */
const OPENED_AT_ONCE = 8

/** A listed segment and what its header says; null if it is damaged. */
interface FoundSegment {
  readonly reader: SegmentReader
  readonly header: SegmentHeader | null
}

/** What a header says of what came before it. */
type Predecessor = Pick<SegmentHeader, 'predecessor' | 'predecessorEnd' | 'predecessorEpoch' | 'lastSequence'>

/** Where the log was found to end. */
interface Tail {
  readonly reader: SegmentReader
  readonly header: SegmentHeader
  /** Everything before this frame is known to be durable; 0 if not even the header is. */
  readonly promised: number
  readonly endFrame: number
}

/**
 * Everything of opening the log: replays it into `sink`, repairs its end and makes it ready for appending.
 *
 * @returns null if `start.readOnly`: then nothing is written.
 * @throws VarveError `CORRUPTION` with file and offset, if the log is not what it should be; nothing has been changed.
 */
export async function openLog(
  storage: Storage,
  directory: string,
  start: LogStart,
  config: LogConfig,
  hooks: LogHooks,
  sink: RecordSink,
): Promise<LogWriter | null> {
  const recovery = new Recovery(storage, directory, start)
  try {
    await recovery.find()
    await recovery.replay(sink)
    await recovery.checkUnlisted()
    if (start.readOnly) return null
    return await recovery.begin(config, hooks)
  } finally {
    await recovery.close()
  }
}

/** Reads sealed stretches of log, also in a worker: every record in order. `progress` is called now and then. */
export async function readSegments(
  storage: Storage,
  directory: string,
  databaseId: Uint8Array,
  segments: readonly SealedSegment[],
  sink: RecordSink,
  progress?: () => void | Promise<void>,
): Promise<void> {
  const memory = new ReadMemory()
  const seed = seedOf(databaseId)
  let sequence = -1
  for (const { number, fromFrame, endFrame, lastSequence } of segments) {
    const reader = await openSegment(storage, directory, number, 'read', seed, memory)
    try {
      const header = await reader.readHeader(databaseId)
      if (header === null || !header.started) throw corruption(reader.file.path, 0, 'its header is damaged')
      if (sequence >= 0 && sequence !== header.lastSequence) {
        throw corruption(reader.file.path, 0, `it begins behind commit ${header.lastSequence}, not ${sequence}`)
      }
      sequence = fromFrame === 1 ? header.lastSequence : -1
      const records = new SegmentRecords(reader, sink, sequence, 0)
      let payloadBytes = 0
      await reader.readGroups(header.epoch, fromFrame, endFrame, (bytes, length, frame) => {
        records.read(bytes, length, frame)
        payloadBytes += length
        if (payloadBytes < PROGRESS_BYTES || progress === undefined) return undefined
        payloadBytes = 0
        return progress()
      })
      if (records.reader.sequence !== lastSequence) {
        throw corruption(reader.file.path, 0, `it ends at commit ${records.reader.sequence}, not ${lastSequence}`)
      }
      sequence = lastSequence
    } finally {
      await reader.file.close()
    }
  }
}

const PROGRESS_BYTES = 256 << 10

export async function openSegment(
  storage: Storage,
  directory: string,
  number: number,
  mode: 'read' | 'write',
  seed: number,
  memory: ReadMemory,
): Promise<SegmentReader> {
  const path = segmentPath(directory, number)
  let file: StorageFile
  try {
    file = await storage.open(path, mode)
  } catch (error) {
    if (isMissing(error)) throw missing(path)
    throw error
  }
  try {
    return new SegmentReader(file, number, await file.size(), seed, memory)
  } catch (error) {
    await file.close().catch(nothing)
    throw error
  }
}

/** The records of a segment, read group by group; what is wrong with one is told with its place in the file. */
export class SegmentRecords {
  readonly reader: RecordReader
  readonly #path: string
  #frame: number

  constructor(segment: SegmentReader, sink: RecordSink, sequence: number, after: number) {
    this.#path = segment.file.path
    this.#frame = 0
    this.reader = new RecordReader(sink, sequence, after, (what, offset) => this.#defect(what, offset))
  }

  /** Returns how many commits there are in the group, which starts at `frame`. */
  read(bytes: Uint8Array, length: number, frame: number): number {
    this.#frame = frame
    return this.reader.read(bytes, length)
  }

  #defect(what: string, offset: number): VarveError {
    const frame = this.#frame + Math.floor(offset / PAYLOAD_BYTES)
    const at = frame * FRAME_BYTES + FRAME_HEADER_BYTES + (offset % PAYLOAD_BYTES)
    return corruption(this.#path, at, `${what}, though its checksum is right`)
  }
}

class Recovery {
  readonly #storage: Storage
  readonly #directory: string
  readonly #start: LogStart
  readonly #seed: number
  readonly #memory: ReadMemory
  readonly #found: FoundSegment[]
  /** Started segments, oldest first, as far as they count. */
  readonly #recovered: SealedSegment[]
  /** The newest started segment, if anything was written to it. */
  #tail: Tail | null
  /** Files with the name of a segment that are not listed: the directory is ours, nobody makes others meanwhile. */
  #unlisted: readonly number[]
  /** How many segments of `#found` stay as they are; the next one is started. */
  #kept: number
  /** What the next header says of what came before it, unless there is a tail. */
  #predecessor: Predecessor
  #sequence: number

  constructor(storage: Storage, directory: string, start: LogStart) {
    this.#storage = storage
    this.#directory = directory
    this.#start = start
    this.#seed = seedOf(start.databaseId)
    this.#memory = new ReadMemory()
    this.#found = []
    this.#recovered = []
    this.#tail = null
    this.#unlisted = []
    this.#kept = 0
    this.#predecessor = { predecessor: 0, predecessorEnd: 0, predecessorEpoch: 0, lastSequence: start.sequence }
    this.#sequence = start.sequence
  }

  /** Opens every listed segment and reads its header. */
  async find(): Promise<void> {
    const { firstSegment, lastSegment, databaseId } = this.#start
    for (let from = firstSegment; from <= lastSegment; from += OPENED_AT_ONCE) {
      await this.#open(from, Math.min(lastSegment, from + OPENED_AT_ONCE - 1))
    }
    // One after the other: they are read into the same memory.
    for (const [index, { reader }] of this.#found.entries()) {
      this.#found[index] = { reader, header: await reader.readHeader(databaseId) }
    }
  }

  /** Opens some segments at once, as each is a few calls that wait. Throws what is wrong with the first that cannot be opened. */
  async #open(from: number, to: number): Promise<void> {
    const mode = this.#start.readOnly ? 'read' : 'write'
    const numbers = Array.from({ length: to - from + 1 }, (_, i) => from + i)
    const opened = await Promise.allSettled(
      numbers.map((number) => openSegment(this.#storage, this.#directory, number, mode, this.#seed, this.#memory)),
    )
    // What was opened is known before anything is thrown, so that it is closed.
    for (const result of opened)
      if (result.status === 'fulfilled') this.#found.push({ reader: result.value, header: null })
    for (const result of opened) if (result.status === 'rejected') throw result.reason
  }

  /** What was written has been synced, so that a failure to close loses nothing. */
  async close(): Promise<void> {
    for (const { reader } of this.#found) await reader.file.close().catch(nothing)
  }

  async replay(sink: RecordSink): Promise<void> {
    const started = this.#countStarted()
    for (let i = started; i < this.#found.length; i++) await this.#checkSpare(this.#found[i] as FoundSegment)
    const first = this.#found[0]?.header
    if (started > 0 && first) {
      if (first.lastSequence > this.#start.sequence) {
        const what = `the log begins behind commit ${first.lastSequence}, the runs end at ${this.#start.sequence}`
        throw corruption(this.#pathOf(0), 0, what)
      }
      this.#sequence = first.lastSequence
    }
    for (let i = 0; i < started; i++) await this.#replaySegment(i, i === started - 1, sink)
    if (this.#sequence < this.#start.sequence) {
      const what = `the log ends at commit ${this.#sequence}, the runs at ${this.#start.sequence}`
      throw corruption(this.#pathOf(started - 1), 0, what)
    }
    this.#checkReach(started)
  }

  /** What was durable when the manifest was written has not ceased to be, unless somebody put an older file in its place. */
  #checkReach(started: number): void {
    const { logged, sequence } = this.#start
    if (this.#sequence >= logged) return
    const what = `the log ends at commit ${this.#sequence}, but commit ${logged} was durable once: an older copy, or cut`
    const place = started > 0 ? this.#pathOf(started - 1) : join(this.#directory, 'manifest')
    throw corruption(place, 0, started > 0 ? what : `${what}; the runs end at commit ${sequence}`)
  }

  #pathOf(index: number): string {
    return (this.#found[index] as FoundSegment).reader.file.path
  }

  /** Everything up to the last started segment must have been started. */
  #countStarted(): number {
    const started = this.#found.findLastIndex(({ header }) => header !== null && header.started) + 1
    for (let i = 0; i < started; i++) {
      const header = this.#found[i]?.header
      if (!header) throw corruption(this.#pathOf(i), 0, 'its header is damaged, and a later segment was started')
      if (!header.started)
        throw corruption(this.#pathOf(i), 0, 'by its header it is spare, but a later one was started')
    }
    return started
  }

  /** A spare, or a segment whose start never finished, holds no group that was written after its header was durable. */
  async #checkSpare({ reader, header }: FoundSegment): Promise<void> {
    if (reader.first === 'closed') return
    const had = reader.first === 'group' || (header === null && (await reader.furthestPromise(null, 1)) > 0)
    if (had) throw corruption(reader.file.path, 0, 'its header is damaged: groups were written behind it')
  }

  async #replaySegment(index: number, isNewest: boolean, sink: RecordSink): Promise<void> {
    const found = this.#found[index] as FoundSegment
    const { reader } = found
    const header = found.header as SegmentHeader
    const { path } = reader.file
    this.#checkPredecessor(index, header)
    const records = new SegmentRecords(reader, sink, this.#sequence, this.#start.sequence)
    const nextHeader = isNewest ? null : (this.#found[index + 1]?.header as SegmentHeader)
    const end = nextHeader === null ? Infinity : nextHeader.predecessorEnd
    if (end !== Infinity && (end < 1 || end > reader.frames)) {
      throw corruption(path, reader.fileBytes, `the log goes on to frame ${end} of this segment, beyond its file`)
    }
    const read = await reader.readGroups(header.epoch, 1, end, (bytes, length, frame) => {
      records.read(bytes, length, frame)
    })
    this.#sequence = records.reader.sequence
    if (isNewest) {
      await this.#judgeEnd(reader, header, read)
      return
    }
    this.#keep(header, read.frame, this.#sequence)
    this.#predecessor = nextHeader as SegmentHeader
  }

  #checkPredecessor(index: number, header: SegmentHeader): void {
    const path = this.#pathOf(index)
    if (header.epoch > this.#start.epoch) throw corruption(path, 0, `its epoch ${header.epoch} has not come yet`)
    if (index === 0) return
    const before = this.#found[index - 1]?.header as SegmentHeader
    if (header.predecessor !== before.segment || header.predecessorEpoch !== before.epoch) {
      throw corruption(path, 0, `it does not continue segment ${before.segment} as that is now`)
    }
    if (header.lastSequence !== this.#sequence) {
      throw corruption(
        path,
        0,
        `it begins behind commit ${header.lastSequence}, the one before ends at ${this.#sequence}`,
      )
    }
  }

  #keep(header: SegmentHeader, endFrame: number, lastSequence: number): void {
    const bytes = endFrame * FRAME_BYTES
    this.#recovered.push({ number: header.segment, fromFrame: 1, endFrame, lastSequence, bytes })
    this.#kept++
  }

  /** The newest segment: where it ends, and whether that is where it ended. */
  async #judgeEnd(reader: SegmentReader, header: SegmentHeader, read: GroupsEnd): Promise<void> {
    if (!read.closed && (await reader.furthestPromise(header.epoch, read.frame)) > read.frame) {
      const what = 'this frame does not continue the log, and a later one says that it was durable'
      throw corruption(reader.file.path, read.broken * FRAME_BYTES, what)
    }
    // A segment without records is started again; what its header says of the one before it holds.
    const { first } = reader
    const isVoid =
      first === 'nothing' || (first === 'closed' && (read.frame === 1 || (read.frame === 2 && read.closed)))
    if (read.frame <= 2 && isVoid) this.#predecessor = header
    else this.#tail = { reader, header, promised: read.promised, endFrame: read.frame }
  }

  /** What is not listed is left over, unless one was started. */
  async checkUnlisted(): Promise<void> {
    this.#unlisted = await this.#findUnlisted()
    for (const number of this.#unlisted) {
      if (number <= this.#start.lastSegment) continue
      const reader = await openSegment(this.#storage, this.#directory, number, 'read', this.#seed, this.#memory)
      try {
        const header = await reader.peekHeader(this.#start.databaseId)
        if (header !== null && header.started) throw corruption(reader.file.path, 0, 'it was started but is not listed')
      } finally {
        await reader.file.close()
      }
    }
  }

  async #findUnlisted(): Promise<number[]> {
    const { firstSegment, lastSegment } = this.#start
    const numbers: number[] = []
    for (const { name, kind } of await this.#storage.list(this.#directory)) {
      const number = segmentOfName(name)
      if (number === null || (number >= firstSegment && number <= lastSegment)) continue
      if (kind !== 'file') throw corruption(segmentPath(this.#directory, number), 0, 'it is not a regular file')
      numbers.push(number)
    }
    return numbers
  }

  /** From here on files are changed. */
  async begin(config: LogConfig, hooks: LogHooks): Promise<LogWriter> {
    const { databaseId, epoch, firstSegment, lastSegment } = this.#start
    const seed = this.#seed
    const segmentBytes = Math.max(MIN_SEGMENT_BYTES, wholeFrames(config.segmentBytes))
    const last = Math.max(lastSegment, firstSegment - 1)
    // The epoch becomes durable before anything bears it; and with it the list, which the process before may have replaced
    // without living to see that last: nothing that an older list may name is removed before.
    await hooks.reserve(firstSegment, last)
    const unlisted = this.#unlisted
    const retire = async (number: number): Promise<boolean> => (await hooks.retire?.(number)) === true
    for (const number of unlisted) {
      // What a session before has given up and not lived to give away.
      if (number < firstSegment && (await retire(number))) continue
      await this.#storage.remove(segmentPath(this.#directory, number))
    }
    if (unlisted.length > 0) await this.#storage.syncDirectory(this.#directory)
    const poolConfig: PoolConfig = {
      databaseId,
      seed,
      segmentBytes,
      poolSize: config.poolSize,
      maxSegments: config.maxPoolSegments,
      synced: config.durability === 'full',
      reserve: (first, last) => hooks.reserve(first, last),
      retire,
    }
    await this.#keepTail()
    const spares: SpareSegment[] = this.#found
      .slice(this.#kept)
      .map(({ reader }) => ({ number: reader.segment, fileBytes: wholeFrames(reader.fileBytes) }))
    const pool = new SegmentPool(this.#storage, this.#directory, poolConfig, firstSegment, last, spares)
    if (spares.length === 0) await pool.make(Math.min(segmentBytes, FIRST_SEGMENT_BYTES))
    const taken = await pool.open()
    try {
      const next = await this.#rewriteTail(taken.file, taken.number)
      const { number, fileBytes } = taken
      const header = { ...this.#predecessor, started: true, segment: number, epoch, fileBytes }
      await taken.file.write(encodeHeader(header, databaseId, seed), 0)
      if (!taken.file.synced) await taken.file.sync()
      const segment = new ActiveSegment(taken, epoch, next)
      const sealed = this.#recovered
      return new LogWriter(config, hooks, pool, { databaseId, seed, epoch, segment, sequence: this.#sequence, sealed })
    } catch (error) {
      await taken.file.close().catch(nothing)
      throw error
    }
  }

  /** The tail stays as far as it is known to be durable; its header is made so if nothing says it is. */
  async #keepTail(): Promise<void> {
    if (this.#tail === null) return
    const { reader, header, promised } = this.#tail
    if (promised === 0) {
      const frame = new Uint8Array(FRAME_BYTES)
      await reader.file.read(frame, 0)
      await reader.file.write(frame, 0)
      await reader.file.sync()
    }
    const endFrame = Math.max(1, promised)
    const lastSequence = await this.#sequenceAt(this.#tail, endFrame)
    this.#keep(header, endFrame, lastSequence)
    this.#predecessor = {
      predecessor: header.segment,
      predecessorEnd: endFrame,
      predecessorEpoch: header.epoch,
      lastSequence,
    }
  }

  /** The last commit before this frame of the tail. */
  async #sequenceAt({ reader, header, endFrame }: Tail, frame: number): Promise<number> {
    let sequence = -1
    const records = new SegmentRecords(reader, NO_SINK, -1, Number.MAX_SAFE_INTEGER)
    await reader.readGroups(header.epoch, frame, endFrame, (bytes, length, first) => {
      const commits = records.read(bytes, length, first)
      if (sequence < 0 && commits > 0) sequence = records.reader.sequence - commits
    })
    return sequence < 0 ? this.#sequence : sequence
  }

  /** Writes what of the tail is not known to be durable into a segment that is not started yet; returns where that ends. */
  async #rewriteTail(file: StorageFile, segment: number): Promise<number> {
    if (this.#tail === null) return 1
    const { reader, header, endFrame, promised } = this.#tail
    const from = Math.max(1, promised)
    const groups = new Rewriting(file, {
      seed: this.#seed,
      segment,
      epoch: this.#start.epoch,
      syncedSegment: header.segment,
      syncedFrame: from,
    })
    await reader.readGroups(header.epoch, from, endFrame, (bytes, length) => groups.add(bytes, length))
    return groups.finish()
  }
}

/** Writes groups anew, small ones together. */
class Rewriting {
  readonly #file: StorageFile
  readonly #place: Omit<FramePlace, 'frame'>
  #memory: FrameMemory
  #length: number
  #frame: number

  constructor(file: StorageFile, place: Omit<FramePlace, 'frame'>) {
    this.#file = file
    this.#place = place
    this.#memory = new FrameMemory(FRAME_BYTES)
    this.#length = 0
    this.#frame = 1
  }

  async add(bytes: Uint8Array, length: number): Promise<void> {
    if (!this.#hasRoom(length)) {
      await this.#write()
      if (!this.#hasRoom(length))
        this.#memory = new FrameMemory(Math.max(REWRITE_BYTES, framesFor(length) * FRAME_BYTES))
    }
    this.#memory.bytes.set(bytes.subarray(0, length), FRAME_HEADER_BYTES + this.#length)
    this.#length += length
  }

  #hasRoom(length: number): boolean {
    return framesFor(this.#length + length) * FRAME_BYTES <= this.#memory.bytes.length
  }

  async #write(): Promise<void> {
    if (this.#length === 0) return
    const frame = this.#frame
    const frames = sealFrames(this.#memory, this.#length, { ...this.#place, frame }, 0)
    await this.#file.write(this.#memory.bytes.subarray(0, frames * FRAME_BYTES), frame * FRAME_BYTES)
    this.#frame += frames
    this.#length = 0
  }

  /** Returns the frame behind the last, once everything before it is durable. */
  async finish(): Promise<number> {
    await this.#write()
    if (this.#frame > 1) await this.#file.sync()
    return this.#frame
  }
}

const REWRITE_BYTES = 256 << 10

export const NO_SINK: RecordSink = {
  commit: nothing,
  put: nothing,
  remove: nothing,
  resized: nothing,
  define: nothing,
}

function nothing(): void {}
