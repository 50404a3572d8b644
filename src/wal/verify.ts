/**
 * Walking the log for damage: every listed segment, spares too, every frame that counts, every record.
 *
 * It judges as recovery does, but goes on after what it finds and tells it all. While the log is being written it looks
 * at what was durable when it began; segments that are started meanwhile are left to the next time.
 */

import type { Storage } from '../storage/storage.ts'
import { FRAME_BYTES, seedOf } from './frame.ts'
import { NO_SINK, SegmentRecords, openSegment } from './recovery.ts'
import { LogDamage, ReadMemory, type SegmentHeader, type SegmentReader, corruption } from './segment.ts'
import type { LogWriter } from './writer.ts'

/** What is wrong, and where. */
export interface LogProblem {
  readonly file: string
  readonly offset: number
  readonly message: string
}

/** The segments that the manifest lists. */
export interface ListedLog {
  readonly databaseId: Uint8Array
  readonly first: number
  readonly last: number
}

/**
 * Finds what is wrong with the log of an open database. Nothing may be released meanwhile.
 *
 * @param log the writer, or null if the database was opened for reading only
 * @param progress called with the bytes looked at since the last call
 * @throws VarveError `IO` if a file cannot be read
 */
export async function verifyLog(
  storage: Storage,
  directory: string,
  { databaseId, first, last }: ListedLog,
  log: LogWriter | null,
  progress?: (bytes: number) => void | Promise<void>,
): Promise<LogProblem[]> {
  const verification = new Verification(databaseId, log?.durableEnd ?? null, progress)
  const memory = new ReadMemory()
  // From the newest to the oldest: the header of a segment says where the one before it ends.
  for (let number = last; number >= first; number--) {
    await verification.collect(async () => {
      const reader = await openSegment(storage, directory, number, 'read', seedOf(databaseId), memory)
      try {
        await verification.look(reader)
      } finally {
        await reader.file.close()
      }
    })
  }
  return verification.problems
}

class Verification {
  readonly problems: LogProblem[]
  readonly #databaseId: Uint8Array
  /** What is durable of a log that is being written. */
  readonly #end: { readonly segment: number; readonly frame: number } | null
  readonly #progress: ((bytes: number) => void | Promise<void>) | undefined
  /** Of the started segment after the one at hand; null before the newest, or if it is damaged. */
  #successor: SegmentHeader | null
  /** Whether a started segment lies behind the one at hand. */
  #isPast: boolean

  constructor(
    databaseId: Uint8Array,
    end: { readonly segment: number; readonly frame: number } | null,
    progress: ((bytes: number) => void | Promise<void>) | undefined,
  ) {
    this.problems = []
    this.#databaseId = databaseId
    this.#end = end
    this.#progress = progress
    this.#successor = null
    this.#isPast = false
  }

  /** Damage that is met ends the look at one segment; anything else ends all. */
  async collect(look: () => Promise<void>): Promise<void> {
    try {
      await look()
    } catch (error) {
      if (!(error instanceof LogDamage)) throw error
      this.problems.push({ file: error.path, offset: error.offset, message: error.what })
    }
  }

  async look(reader: SegmentReader): Promise<void> {
    const { segment } = reader
    const isNew = this.#end !== null && segment > this.#end.segment
    const header = await reader.readHeader(this.#databaseId)
    const successor = this.#successor
    this.#successor = null
    if (isNew) return
    if (header === null || !header.started) {
      if (await this.#isDamaged(reader, header)) throw corruption(reader.file.path, 0, 'its header is damaged')
      return
    }
    this.#isPast = true
    this.#successor = header
    if (successor !== null && (successor.predecessor !== segment || successor.predecessorEpoch !== header.epoch)) {
      throw corruption(reader.file.path, 0, `segment ${successor.segment} does not continue it`)
    }
    await this.#read(reader, header, successor)
  }

  /** Of a segment that is spare by its header, or has none: a start that never finished is no damage. */
  async #isDamaged(reader: SegmentReader, header: SegmentHeader | null): Promise<boolean> {
    if (this.#isPast || reader.segment === this.#end?.segment) return true
    if (reader.first === 'closed') return false
    if (reader.first === 'group') return true
    return header === null && (await reader.furthestPromise(null, 1)) > 0
  }

  async #read(reader: SegmentReader, header: SegmentHeader, successor: SegmentHeader | null): Promise<void> {
    const records = new SegmentRecords(reader, NO_SINK, header.lastSequence, 0)
    const isCurrent = reader.segment === this.#end?.segment
    const end = isCurrent ? (this.#end?.frame ?? Infinity) : (successor?.predecessorEnd ?? Infinity)
    let bytesRead = 0
    const read = await reader.readGroups(header.epoch, 1, end, (bytes, length, frame) => {
      records.read(bytes, length, frame)
      bytesRead += length
      if (bytesRead < PROGRESS_BYTES || this.#progress === undefined) return undefined
      const progressed = this.#progress(bytesRead)
      bytesRead = 0
      return progressed
    })
    await this.#progress?.(bytesRead)
    if (end === Infinity && (await reader.furthestPromise(header.epoch, read.frame)) > read.frame) {
      throw corruption(
        reader.file.path,
        read.frame * FRAME_BYTES,
        'this frame does not continue the log, a later one tells',
      )
    }
    if (successor !== null && records.reader.sequence !== successor.lastSequence) {
      const what = `it ends at commit ${records.reader.sequence}, segment ${successor.segment} goes on from ${successor.lastSequence}`
      throw corruption(reader.file.path, end * FRAME_BYTES, what)
    }
  }
}

const PROGRESS_BYTES = 256 << 10
