/**
 * Reading commits of the past from segments, a piece at a time, for as long as nothing of what is read changes.
 *
 * The segments read are sealed ones that have been kept, sealed ones that no run holds yet, and the one being written up to
 * where it is durable. Each begins where its header says, with the commit behind `lastSequence`, and ends where the header of
 * the next one says.
 *
 * P1  Commits are given in order, without a gap, from the one asked for on.
 * P2  Memory: one piece of some hundred kilobytes, or the largest group.
 */
import { type Storage, type StorageFile, isMissing } from '../storage/storage.ts'
import { FRAME_BYTES, seedOf } from './frame.ts'
import type { RecordSink } from './record.ts'
import { SegmentRecords } from './recovery.ts'
import { LogDamage, ReadMemory, type SegmentHeader, SegmentReader } from './segment.ts'

/** A file that holds a segment, under whichever name. */
export interface PastSegment {
  readonly number: number
  readonly path: string
}

/** What a commit did to one key, as bytes. */
export interface PastWrite {
  readonly table: number
  /** Encoded. */
  readonly key: Uint8Array
  /** Encoded; null: deleted. */
  readonly value: Uint8Array | null
  /** ms since the epoch; 0: never. */
  readonly expiresAt: number
}

/** A commit of the past. */
export interface PastCommit {
  readonly sequence: number
  readonly timeMs: number
  /** Whether it took away what had expired. */
  readonly expired: boolean
  readonly writes: readonly PastWrite[]
}

/** Of so many bytes of records at least is a piece, if there are as many. */
const PIECE_BYTES = 256 << 10

/** Ends a walk over groups; what comes next starts at `frame`. */
class Pause extends Error {
  readonly frame: number

  constructor(frame: number) {
    super('a piece has been read')
    this.frame = frame
  }
}

/** Collects commits with copies of what they hold. */
class Collector implements RecordSink {
  readonly commits: PastCommit[] = []
  bytes = 0
  private writes: PastWrite[] = []
  private last: { sequence: number; timeMs: number; expired: boolean; writes: PastWrite[] } | null = null

  commit(sequence: number, timeMs: number): void {
    this.writes = []
    this.last = { sequence, timeMs, expired: false, writes: this.writes }
    this.commits.push(this.last)
  }

  put(table: number, key: Uint8Array, _size: number, value: Uint8Array, expiresAt: number): void {
    this.bytes += key.length + value.length
    this.writes.push({ table, key: key.slice(), value: value.slice(), expiresAt })
  }

  remove(table: number, key: Uint8Array, expired: boolean): void {
    this.bytes += key.length
    if (expired && this.last !== null) this.last.expired = true
    this.writes.push({ table, key: key.slice(), value: null, expiresAt: 0 })
  }

  resized(): void {}

  define(): void {}
}

/** A segment that continues the one before it. */
export interface LinkedSegment {
  readonly number: number
  readonly header: SegmentHeader
}

/** Names the file that holds a segment as of now; undefined: none does. Files are renamed and removed while they are read. */
export type PastFiles = (number: number) => PastSegment | undefined

/** Times that a file is looked for that has another name by now. */
const RENAMED_MOST = 4

/** The headers of segments, from `last` back as far as each continues the one before it; oldest first. */
export async function linkPast(
  storage: Storage,
  databaseId: Uint8Array,
  last: number,
  files: PastFiles,
): Promise<LinkedSegment[]> {
  const memory = new ReadMemory()
  const linked: LinkedSegment[] = []
  let next: SegmentHeader | null = null
  for (let number = last; number > 0; number--) {
    const header = await headerOf(storage, databaseId, number, files, memory)
    if (header === null || !header.started) break
    if (next !== null && (next.predecessor !== number || next.predecessorEpoch !== header.epoch)) break
    linked.push({ number, header })
    next = header
  }
  return linked.reverse()
}

/** null if there is no file, or what it holds is no segment of this number. */
async function headerOf(
  storage: Storage,
  databaseId: Uint8Array,
  number: number,
  files: PastFiles,
  memory: ReadMemory,
): Promise<SegmentHeader | null> {
  const file = await openPast(storage, number, files)
  if (file === null) return null
  try {
    const reader = new SegmentReader(file, number, await file.size(), seedOf(databaseId), memory)
    return await reader.peekHeader(databaseId)
  } catch (error) {
    if (error instanceof LogDamage) return null
    throw error
  } finally {
    await file.close()
  }
}

/** null if there is none any more. */
async function openPast(storage: Storage, number: number, files: PastFiles): Promise<StorageFile | null> {
  for (let attempt = 1; attempt <= RENAMED_MOST; attempt++) {
    const segment = files(number)
    if (segment === undefined) return null
    try {
      return await storage.open(segment.path, 'read')
    } catch (error) {
      if (!isMissing(error)) throw error
    }
  }
  return null
}

/** Some commits of a segment, and where to go on. */
export interface PastPiece {
  readonly commits: readonly PastCommit[]
  /** The frame behind the last group that was read. */
  readonly next: number
}

/**
 * The next commits of one segment, of those behind `after`. The file is open no longer than the call takes.
 * @param from the first frame to read: 1, or where the piece before ended
 * @param end the frame behind the last that counts
 * @returns null if the segment is not kept any more
 * @throws VarveError `CORRUPTION`, `IO`
 */
export async function readPastPiece(
  storage: Storage,
  databaseId: Uint8Array,
  number: number,
  files: PastFiles,
  from: number,
  end: number,
  after: number,
): Promise<PastPiece | null> {
  const file = await openPast(storage, number, files)
  if (file === null) return null
  try {
    const reader = new SegmentReader(file, number, await file.size(), seedOf(databaseId), new ReadMemory())
    const header = await reader.readHeader(databaseId)
    // It is being used again: it was not kept.
    if (header === null || !header.started) return null
    const collector = new Collector()
    const records = new SegmentRecords(reader, collector, from === 1 ? header.lastSequence : -1, after)
    try {
      await reader.readGroups(header.epoch, from, end, (bytes, length, frame) => {
        if (collector.bytes >= PIECE_BYTES) throw new Pause(frame)
        records.read(bytes, length, frame)
      })
    } catch (error) {
      if (!(error instanceof Pause)) throw error
      return { commits: collector.commits, next: error.frame }
    }
    return { commits: collector.commits, next: end }
  } finally {
    await file.close()
  }
}

/** Bytes that a file of the log takes, for accounting. */
export async function sizeOfFile(storage: Storage, path: string): Promise<number> {
  const file = await storage.open(path, 'read')
  try {
    return Math.ceil((await file.size()) / FRAME_BYTES) * FRAME_BYTES
  } finally {
    await file.close()
  }
}
