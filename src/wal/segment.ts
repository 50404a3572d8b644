/**
 * Segment files: their names, their header, and reading the groups in them.
 *
 * A segment is a file of zeros made beforehand, of whole frames. Frame 0 is its header; its payload, little endian:
 *
 *   offset in the payload
 *        0  8   'VARVEWAL'
 *        8  2   version of the format: 1
 *       10  1   state: 0 spare, 1 started
 *       11  1   0
 *       12  16  id of the database
 *       28  4   number of the segment
 *       32  8   size of the file when this was written, in bytes
 *       40  4   predecessor: its number, 0 if there is none
 *       44  4   its valid end, a frame: what lies beyond is void
 *       48  4   its epoch
 *       52  4   0
 *       56  8   sequence of the last commit before this segment
 *
 * I1  A header says `started` only after everything its predecessor holds up to the valid end was durable.
 * I2  Groups follow one another without a gap from frame 1 on; the first frame that does not continue them ends them.
 */

import { crc32 } from 'node:zlib'
import { join } from 'node:path'

import { VarveError } from '../errors.ts'
import type { StorageFile } from '../storage/storage.ts'
import {
  CLOSED,
  FIRST_OF_GROUP,
  FRAME_BYTES,
  FRAME_HEADER_BYTES,
  FrameMemory,
  LAST_OF_GROUP,
  PAYLOAD_BYTES,
  SEGMENT_HEADER,
  flagsOf,
  isFrame,
  isFrameOfAnyEpoch,
  isKnown,
  promiseOf,
  sealHeaderFrame,
  usedBytesOf,
} from './frame.ts'
import { readUint64, writeUint64 } from './record.ts'

const MAGIC = new TextEncoder().encode('VARVEWAL')
const WAL_VERSION = 1
const HEADER_PAYLOAD_BYTES = 64

/** Segments are numbered from 1; the number is a u32. */
export const MAX_SEGMENT = 0xffff_ffff

/** A header and one frame: no segment is smaller. */
export const MIN_SEGMENT_BYTES: number = 4 * FRAME_BYTES

export interface SegmentHeader {
  readonly started: boolean
  readonly segment: number
  readonly epoch: number
  readonly fileBytes: number
  readonly predecessor: number
  readonly predecessorEnd: number
  readonly predecessorEpoch: number
  readonly lastSequence: number
}

export function segmentPath(directory: string, segment: number): string {
  return join(directory, segmentName(segment))
}

/** The name of the file of a segment. */
export function segmentName(segment: number): string {
  return `wal-${String(segment).padStart(12, '0')}.log`
}

/** The number in the name of a segment file; null for any other name. */
export function segmentOfName(name: string): number | null {
  const digits = /^wal-(\d{12})\.log$/.exec(name)?.[1]
  return digits === undefined ? null : Number(digits)
}

export function encodeHeader(header: SegmentHeader, databaseId: Uint8Array, seed: number): Uint8Array {
  const memory = new FrameMemory(FRAME_BYTES)
  const { bytes, view } = memory
  const at = FRAME_HEADER_BYTES
  bytes.set(MAGIC, at)
  view.setUint16(at + 8, WAL_VERSION, true)
  bytes[at + 10] = header.started ? 1 : 0
  bytes.set(databaseId, at + 12)
  view.setUint32(at + 28, header.segment, true)
  writeUint64(view, at + 32, header.fileBytes)
  view.setUint32(at + 40, header.predecessor, true)
  view.setUint32(at + 44, header.predecessorEnd, true)
  view.setUint32(at + 48, header.predecessorEpoch, true)
  writeUint64(view, at + 56, header.lastSequence)
  const { segment, epoch } = header
  sealHeaderFrame(memory, HEADER_PAYLOAD_BYTES, { seed, segment, epoch, frame: 0, syncedSegment: 0, syncedFrame: 0 })
  return bytes
}

/** The header of a segment that holds nothing yet. */
export function spareHeader(segment: number, fileBytes: number): SegmentHeader {
  return {
    started: false,
    segment,
    epoch: 0,
    fileBytes,
    predecessor: 0,
    predecessorEnd: 0,
    predecessorEpoch: 0,
    lastSequence: 0,
  }
}

const RESTORE = 'restore it from a backup, with all files of its directory'

/** `CORRUPTION`, with the place. */
export class LogDamage extends VarveError {
  readonly path: string
  readonly offset: number
  readonly what: string

  /** @param message if it is not the bytes at `offset` that are wrong */
  constructor(path: string, offset: number, what: string, message?: string) {
    super('CORRUPTION', message ?? `${path} is damaged at byte ${offset}: ${what}; ${RESTORE}`)
    this.path = path
    this.offset = offset
    this.what = what
  }
}

export function corruption(path: string, offset: number, what: string): LogDamage {
  return new LogDamage(path, offset, what)
}

/** A segment that is listed and not there. */
export function missing(path: string): LogDamage {
  const what = 'it is missing, though the manifest lists it'
  return new LogDamage(path, 0, what, `${path} is missing, though the manifest lists it; ${RESTORE}`)
}

/** A segment that another database has written. */
function stranger(path: string): LogDamage {
  const what = 'it belongs to another database'
  const cause = 'files of two databases are in one directory'
  return new LogDamage(
    path,
    0,
    what,
    `${path} belongs to another database: ${cause}; copy a backup into an empty directory`,
  )
}

/** How much is read at once: little at first, for most opened segments hold little; more when only looked through. */
const FIRST_CHUNK_FRAMES = 64
const CHUNK_FRAMES = 2048
const SCAN_CHUNK_FRAMES = 8192

const FIRST_GROUP_BYTES = 32 << 10

/** Memory for reading, used for one segment after the other; as large as the largest of them needs. */
export class ReadMemory {
  chunk: FrameMemory
  /** The payload of the group at hand; grows with the frames that have been read, so by the size of the file at most. */
  group: Uint8Array
  #payloads: Uint8Array[]

  constructor() {
    this.chunk = new FrameMemory(FRAME_BYTES)
    this.group = new Uint8Array(FIRST_GROUP_BYTES)
    this.#payloads = []
  }

  /** Room for so many frames. */
  fit(frames: number): void {
    if (frames * FRAME_BYTES <= this.chunk.bytes.length) return
    this.chunk = new FrameMemory(frames * FRAME_BYTES)
    this.#payloads = []
  }

  /** Appends the payload of a frame of the chunk to the group, of which `length` bytes are there. */
  append(index: number, length: number): void {
    let payload = this.#payloads[index]
    if (payload === undefined) {
      const start = index * FRAME_BYTES + FRAME_HEADER_BYTES
      payload = this.chunk.bytes.subarray(start, start + PAYLOAD_BYTES)
      this.#payloads[index] = payload
    }
    if (length + PAYLOAD_BYTES > this.group.length) {
      const larger = new Uint8Array(2 * this.group.length)
      larger.set(this.group.subarray(0, length))
      this.group = larger
    }
    this.group.set(payload, length)
  }

  /** A piece that grew for one huge group is not kept. */
  trim(): void {
    if (this.group.length > 4 * CHUNK_FRAMES * FRAME_BYTES) this.group = new Uint8Array(FIRST_GROUP_BYTES)
  }
}

/** Takes a whole group: its payload stands at the start of `bytes`, which is read into again. */
export type GroupSink = (bytes: Uint8Array, length: number, firstFrame: number) => void | Promise<void>

/** Where reading the groups of a segment ended. */
export interface GroupsEnd {
  /** Behind the last whole group. */
  readonly frame: number
  /** The first frame that does not continue it; behind `frame` if a group has begun. */
  readonly broken: number
  /** The frame up to which the segment is known to be durable; 0 if not even its header is. */
  readonly promised: number
  /** The last group says that the log was closed here. */
  readonly closed: boolean
}

/**
 * The first frame behind the header: `group` if it belongs to a group; `closed` if it is the marker of a session that was
 * closed without having written to the segment; `unpromised` if it is of a group that was written before the header was
 * known to be durable; else `nothing`.
 */
export type FirstFrame = 'nothing' | 'closed' | 'unpromised' | 'group'

/** Reads one segment file. Its size is taken once: what is appended meanwhile is not seen. */
export class SegmentReader {
  readonly file: StorageFile
  readonly segment: number
  readonly fileBytes: number
  readonly #seed: number
  readonly #memory: ReadMemory
  #chunkFrames: number
  /** What frame 1 is, in whichever session it was written; known once the header has been read. */
  first: FirstFrame

  constructor(file: StorageFile, segment: number, fileBytes: number, seed: number, memory: ReadMemory) {
    this.file = file
    this.segment = segment
    this.fileBytes = fileBytes
    this.#seed = seed
    this.#memory = memory
    this.#chunkFrames = FIRST_CHUNK_FRAMES
    this.first = 'nothing'
  }

  /** Whole frames in the file. */
  get frames(): number {
    return Math.floor(this.fileBytes / FRAME_BYTES)
  }

  /**
   * Reads the header; null if there is no valid one, which the caller judges.
   *
   * @throws VarveError `CORRUPTION` if there is one that does not belong here.
   */
  async readHeader(databaseId: Uint8Array): Promise<SegmentHeader | null> {
    if (this.fileBytes < MIN_SEGMENT_BYTES) {
      throw corruption(this.file.path, this.fileBytes, 'the file is shorter than any segment')
    }
    const header = await this.peekHeader(databaseId)
    if (header !== null && header.fileBytes > this.fileBytes) {
      const what = `the file ends here, ${header.fileBytes} bytes were promised by its header`
      throw corruption(this.file.path, this.fileBytes, what)
    }
    return header
  }

  /** As `readHeader`, of a file that may be shorter than it should. */
  async peekHeader(databaseId: Uint8Array): Promise<SegmentHeader | null> {
    if (this.frames === 0) return null
    await this.#read(0, Math.min(2, this.frames))
    this.first = this.#firstFrame()
    const { chunk } = this.#memory
    const at = FRAME_HEADER_BYTES
    const isOurs = isFrameOfAnyEpoch(chunk, 0, this.#seed, this.segment, 0) && flagsOf(chunk, 0) === SEGMENT_HEADER
    if (!isOurs || !MAGIC.every((byte, i) => chunk.bytes[at + i] === byte)) {
      this.#refuseStranger(databaseId)
      return null
    }
    if (chunk.view.getUint16(at + 8, true) !== WAL_VERSION) throw this.#newer(chunk.view.getUint16(at + 8, true))
    return this.#decodeHeader()
  }

  #decodeHeader(): SegmentHeader {
    const { bytes, view } = this.#memory.chunk
    const at = FRAME_HEADER_BYTES
    return {
      started: bytes[at + 10] === 1,
      segment: this.segment,
      epoch: view.getUint32(12, true),
      fileBytes: readUint64(view, at + 32),
      predecessor: view.getUint32(at + 40, true),
      predecessorEnd: view.getUint32(at + 44, true),
      predecessorEpoch: view.getUint32(at + 48, true),
      lastSequence: readUint64(view, at + 56),
    }
  }

  /** Tells a sound header in the wrong file from one that is damaged. */
  #refuseStranger(databaseId: Uint8Array): void {
    const { bytes, view } = this.#memory.chunk
    const at = FRAME_HEADER_BYTES
    if (!MAGIC.every((byte, i) => bytes[at + i] === byte)) return
    const id = bytes.subarray(at + 12, at + 28)
    if (crc32(bytes.subarray(4, FRAME_BYTES), crc32(id)) !== view.getUint32(0, true)) return
    const { path } = this.file
    if (!id.every((byte, i) => databaseId[i] === byte)) throw stranger(path)
    const version = view.getUint16(at + 8, true)
    if (version !== WAL_VERSION) throw this.#newer(version)
    const segment = view.getUint32(4, true)
    if (segment === this.segment) throw corruption(path, 0, 'its header uses what only a newer version knows')
    throw corruption(path, 0, `by its header it is segment ${segment}, not ${this.segment}`)
  }

  #newer(version: number): VarveError {
    return new VarveError(
      'CORRUPTION',
      `${this.file.path} has version ${version} of the log format; this version of varve reads ${WAL_VERSION}: open it with a newer one`,
    )
  }

  /**
   * Reads groups from frame `from` on: up to frame `end`, where every one must be whole, or, if `end` is Infinity, to
   * the first frame that continues none.
   */
  async readGroups(epoch: number, from: number, end: number, sink: GroupSink): Promise<GroupsEnd> {
    const memory = this.#memory
    const stop = Math.min(end, this.frames)
    let groupStart = from
    let length = 0
    let promised = 0
    let closed = false
    let frame = from
    reading: while (frame < stop) {
      const count = await this.#readChunk(frame, stop - frame, CHUNK_FRAMES)
      for (let i = 0; i < count; i++, frame++) {
        if (!isFrame(memory.chunk, i, this.#seed, this.segment, frame, epoch)) break reading
        const flags = this.#checkFrame(i, frame, frame === groupStart)
        promised = Math.max(promised, promiseOf(memory.chunk, i, this.segment))
        memory.append(i, length)
        length += usedBytesOf(memory.chunk, i)
        if ((flags & LAST_OF_GROUP) === 0) continue
        const taken = sink(memory.group, length, groupStart)
        if (taken !== undefined) await taken
        memory.trim()
        closed = (flags & CLOSED) !== 0
        groupStart = frame + 1
        length = 0
      }
    }
    if (end !== Infinity && groupStart !== end) {
      const what = `the log goes on to frame ${end} of this segment, but frame ${frame} does not continue it`
      throw corruption(this.file.path, Math.min(frame * FRAME_BYTES, this.fileBytes), what)
    }
    return { frame: groupStart, broken: frame, promised, closed }
  }

  #checkFrame(index: number, frame: number, isFirst: boolean): number {
    const { chunk } = this.#memory
    const flags = flagsOf(chunk, index)
    if (!isKnown(chunk, index)) {
      throw corruption(this.file.path, frame * FRAME_BYTES, 'a frame uses what only a newer version knows')
    }
    const isWhole = usedBytesOf(chunk, index) === PAYLOAD_BYTES || (flags & LAST_OF_GROUP) !== 0
    if (((flags & FIRST_OF_GROUP) !== 0) !== isFirst || (flags & SEGMENT_HEADER) !== 0 || !isWhole) {
      throw corruption(this.file.path, frame * FRAME_BYTES, 'a frame stands in the wrong place of its group')
    }
    return flags
  }

  /**
   * The furthest place of this segment that any valid frame from `from` on says was durable when it was written; 0 if
   * none says so. If the log ends before that place, it has been damaged.
   *
   * @param epoch that of the segment, or null if its header is lost: then of any session
   */
  async furthestPromise(epoch: number | null, from: number): Promise<number> {
    let furthest = 0
    for (let frame = from; frame < this.frames;) {
      const count = await this.#readChunk(frame, this.frames - frame, SCAN_CHUNK_FRAMES)
      const { chunk } = this.#memory
      for (let i = 0; i < count; i++, frame++) {
        const isValid =
          epoch === null
            ? isFrameOfAnyEpoch(chunk, i, this.#seed, this.segment, frame)
            : isFrame(chunk, i, this.#seed, this.segment, frame, epoch)
        if (isValid) furthest = Math.max(furthest, promiseOf(chunk, i, this.segment))
      }
    }
    return furthest
  }

  #firstFrame(): FirstFrame {
    const { chunk } = this.#memory
    if (this.frames < 2 || !isFrameOfAnyEpoch(chunk, 1, this.#seed, this.segment, 1)) return 'nothing'
    if ((flagsOf(chunk, 1) & CLOSED) !== 0 && usedBytesOf(chunk, 1) === 0) return 'closed'
    return promiseOf(chunk, 1, this.segment) > 0 ? 'group' : 'unpromised'
  }

  /** Reads the next frames of those wanted, more each time; returns how many. */
  async #readChunk(frame: number, wanted: number, most: number): Promise<number> {
    const count = Math.min(this.#chunkFrames, wanted, most)
    this.#chunkFrames = Math.min(4 * this.#chunkFrames, SCAN_CHUNK_FRAMES)
    await this.#read(frame, count)
    return count
  }

  async #read(frame: number, count: number): Promise<void> {
    this.#memory.fit(count)
    const { bytes } = this.#memory.chunk
    const read = await this.file.read(bytes.subarray(0, count * FRAME_BYTES), frame * FRAME_BYTES)
    if (read !== count * FRAME_BYTES) {
      throw corruption(this.file.path, frame * FRAME_BYTES + read, 'the file became shorter while it was read')
    }
  }
}
