/**
 * Records: what the payload of a group is made of, one after the other. All numbers little endian.
 *
 *   payload = record* zeros
 *   record  = type u8 · length u32 · body (length bytes)          type 0 ends the payload; its length is not there
 *   commit  = type 1: sequence u64 · time f64 (ms) · item*        items to the end of the body
 *   table   = type 2: JSON of a TableDefinition in UTF-8
 *   item    = 1 · table · key length · key · size · value length · value       put
 *           | 17 · table · key length · key · expires at f64 (ms) · size · value length · value       put that expires
 *           | 2 · table · key length · key                                     delete
 *           | 18 · table · key length · key                                    delete of what had expired
 *           | 3 · table · zigzag entries · zigzag bytes                        change of a table's size
 *   table, lengths, size: unsigned LEB128 up to 2^53; key: the order-preserving encoding.
 *
 * A type or a kind that is not listed is refused: it is how a newer format is known. An instant of expiry is finite and
 * greater than 0; what does not expire is written as it was before anything could, so older versions can read it.
 *
 * I1  A record stands wholly in one group; a group is taken as a whole or not at all. So is, therefore, a transaction.
 * I2  Nothing a record says of lengths is believed beyond the bytes that are there.
 * I3  Sequences of commits follow one another without a gap.
 */

import { VarveError, invariant } from '../errors.ts'
import { type Key, writeKey } from '../keys/index.ts'
import { MAX_KEY_BYTES } from '../limits.ts'
import { FRAME_BYTES, FRAME_HEADER_BYTES, FrameMemory, PAYLOAD_BYTES } from './frame.ts'

/** A table that has been defined: the names of its codecs; a null key codec takes any key. */
export interface TableDefinition {
  readonly id: number
  readonly name: string
  readonly key: string | null
  readonly value: string
}

/**
 * Takes in what a log says, in its order: a commit, then its operations and changes of size. Keys and values are views
 * into a buffer that is read into again: copy what you keep.
 */
export interface RecordSink {
  /** `timeMs` is the logged instant of the commit. */
  commit(sequence: number, timeMs: number): void
  /** `expiresAt` in ms since 1970; 0 is never. */
  put(table: number, key: Uint8Array, size: number, value: Uint8Array, expiresAt: number): void
  /** `expired`: not by the application, but because the entry had expired. */
  remove(table: number, key: Uint8Array, expired: boolean): void
  /** By how much the commit changed the entries and the accounted bytes of a table. */
  resized(table: number, entries: number, bytes: number): void
  define(table: TableDefinition): void
}

const COMMIT = 1
const TABLE = 2

const PUT = 1
const DELETE = 2
const RESIZED = 3
/** A put, with the bit that says that an instant of expiry follows the key. */
const PUT_EXPIRING: number = PUT | 0x10
/** A deletion of what had expired. */
const DELETE_EXPIRED: number = DELETE | 0x10

const RECORD_HEADER_BYTES = 5
const COMMIT_HEADER_BYTES = 16

/** What an item may take besides key and value: kind, table, length of the key, expiry, size, length of the value. */
const ITEM_BYTES = 48
const KEY_ITEM_BYTES = MAX_KEY_BYTES + ITEM_BYTES

/** The length of a record is a u32. */
const MAX_RECORD_BYTES = 0xffff_ffff

/** Values up to here are copied byte by byte: a call costs more. */
const SHORT_VALUE_BYTES = 24

/**
 * Records being gathered for one group, written where the group's frames will stand.
 *
 * One record at a time is built, between `begin` and `end`; `cancel`, or another `begin`, forgets it. The payload stands in one piece, behind the room
 * of the first frame's header, and there is always room to frame it in place.
 */
export class RecordBuffer {
  memory: FrameMemory
  /** Where the next byte goes, and where bytes may go with room left for the frames. */
  at: number
  #limit: number
  /** Where the record that is being built starts; -1 between records. */
  #start: number

  /** Commits gathered, and the sequence of the last. */
  commits: number
  lastSequence: number

  constructor(bytes: number) {
    this.memory = new FrameMemory(Math.ceil(bytes / FRAME_BYTES) * FRAME_BYTES)
    this.at = FRAME_HEADER_BYTES
    this.#limit = limitOf(this.memory)
    this.#start = -1
    this.commits = 0
    this.lastSequence = 0
  }

  /** Of records that are complete. */
  get payloadBytes(): number {
    return (this.#start < 0 ? this.at : this.#start) - FRAME_HEADER_BYTES
  }

  clear(): void {
    this.at = FRAME_HEADER_BYTES
    this.#start = -1
    this.commits = 0
  }

  begin(timeMs: number): void {
    this.cancel()
    invariant(Number.isFinite(timeMs), 'the time of a commit is a finite number')
    if (this.at + RECORD_HEADER_BYTES + COMMIT_HEADER_BYTES > this.#limit) {
      this.#grow(RECORD_HEADER_BYTES + COMMIT_HEADER_BYTES)
    }
    this.#start = this.at
    this.memory.bytes[this.at] = COMMIT
    this.memory.view.setFloat64(this.at + RECORD_HEADER_BYTES + 8, timeMs, true)
    this.at += RECORD_HEADER_BYTES + COMMIT_HEADER_BYTES
  }

  /** `expiresAt` in ms since 1970; 0 is never. */
  put(table: number, key: Key, value: Uint8Array, size: number, expiresAt = 0): void {
    invariant(expiresAt >= 0 && expiresAt < Infinity, 'an instant of expiry is finite and not negative')
    const length = value.length
    if (this.at + KEY_ITEM_BYTES + length > this.#limit) this.#grow(KEY_ITEM_BYTES + length)
    const bytes = this.memory.bytes
    let at = this.at
    bytes[at] = expiresAt === 0 ? PUT : PUT_EXPIRING
    at = writeVarint(table, bytes, at + 1)
    at = writeSizedKey(key, bytes, at)
    if (expiresAt !== 0) {
      this.memory.view.setFloat64(at, expiresAt, true)
      at += 8
    }
    at = writeVarint(size, bytes, at)
    at = writeVarint(length, bytes, at)
    if (length <= SHORT_VALUE_BYTES) {
      for (let i = 0; i < length; i++) bytes[at + i] = value[i] as number
    } else {
      bytes.set(value, at)
    }
    this.at = at + length
  }

  /** `expired`: not by the application, but because the entry had expired. */
  remove(table: number, key: Key, expired = false): void {
    if (this.at + KEY_ITEM_BYTES > this.#limit) this.#grow(KEY_ITEM_BYTES)
    const bytes = this.memory.bytes
    bytes[this.at] = expired ? DELETE_EXPIRED : DELETE
    this.at = writeSizedKey(key, bytes, writeVarint(table, bytes, this.at + 1))
  }

  resized(table: number, entries: number, bytes: number): void {
    if (this.at + ITEM_BYTES > this.#limit) this.#grow(ITEM_BYTES)
    const target = this.memory.bytes
    target[this.at] = RESIZED
    let at = writeVarint(table, target, this.at + 1)
    at = writeVarint(zigzag(entries), target, at)
    this.at = writeVarint(zigzag(bytes), target, at)
  }

  cancel(): void {
    if (this.#start < 0) return
    this.at = this.#start
    this.#start = -1
  }

  /** Ends the record that was begun. Needs no room, so it cannot fail. */
  end(sequence: number): void {
    const start = this.#start
    invariant(start >= 0, 'a record is ended that was not begun')
    const { view } = this.memory
    view.setUint32(start + 1, this.at - start - RECORD_HEADER_BYTES, true)
    writeUint64(view, start + RECORD_HEADER_BYTES, sequence)
    this.#start = -1
    this.commits++
    this.lastSequence = sequence
  }

  define(table: TableDefinition): void {
    invariant(this.#start < 0, 'a table is defined inside a record')
    const { id, name, key, value } = table
    const text = new TextEncoder().encode(JSON.stringify({ id, name, key, value }))
    if (this.at + RECORD_HEADER_BYTES + text.length > this.#limit) this.#grow(RECORD_HEADER_BYTES + text.length)
    this.memory.bytes[this.at] = TABLE
    this.memory.view.setUint32(this.at + 1, text.length, true)
    this.memory.bytes.set(text, this.at + RECORD_HEADER_BYTES)
    this.at += RECORD_HEADER_BYTES + text.length
  }

  #grow(moreBytes: number): void {
    const { memory, at } = this
    const wanted = at + moreBytes
    const frames = Math.ceil((wanted - FRAME_HEADER_BYTES) / PAYLOAD_BYTES)
    if (this.#start >= 0 && wanted - this.#start > MAX_RECORD_BYTES) throw tooLarge(wanted - this.#start)
    try {
      this.memory = new FrameMemory(Math.max(2 * memory.bytes.length, frames * FRAME_BYTES))
    } catch (cause) {
      throw tooLarge(wanted, cause)
    }
    this.memory.bytes.set(memory.bytes.subarray(0, at))
    this.#limit = limitOf(this.memory)
  }
}

function tooLarge(bytes: number, cause?: unknown): VarveError {
  const message = `a transaction of about ${bytes} bytes is more than memory or one log record can take: split it`
  return new VarveError('CAPACITY_EXCEEDED', message, { cause })
}

function limitOf(memory: FrameMemory): number {
  return FRAME_HEADER_BYTES + Math.floor(memory.bytes.length / FRAME_BYTES) * PAYLOAD_BYTES
}

/** Length and key. Nearly every length takes one byte, so that is left free; a longer key moves. */
function writeSizedKey(key: Key, bytes: Uint8Array, at: number): number {
  const end = writeKey(key, bytes, at + 1)
  const length = end - at - 1
  if (length < 0x80) {
    bytes[at] = length
    return end
  }
  const lengthBytes = length < 0x4000 ? 2 : 3
  bytes.copyWithin(at + lengthBytes, at + 1, end)
  writeVarint(length, bytes, at)
  return at + lengthBytes + length
}

function writeVarint(value: number, bytes: Uint8Array, start: number): number {
  let at = start
  invariant(value >= 0 && value <= Number.MAX_SAFE_INTEGER, 'numbers in the log are whole and not negative')
  if (value < 0x1000_0000) {
    let rest = value
    while (rest >= 0x80) {
      bytes[at++] = rest | 0x80
      rest >>>= 7
    }
    bytes[at++] = rest
    return at
  }
  let rest = value
  while (rest >= 0x80) {
    bytes[at++] = (rest % 0x80) | 0x80
    rest = Math.floor(rest / 0x80)
  }
  bytes[at++] = rest
  return at
}

function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value
}

function unzigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2
}

/** A whole number up to 2^53. */
export function writeUint64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true)
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true)
}

export function readUint64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000
}

/**
 * Reads the payloads of groups, in the order of the log.
 *
 * What is wrong with a record is told by `defect`, an error to be made of it by whoever knows the file: the checksum was
 * right, so it is damage from before the writing, or a newer format.
 */
export class RecordReader {
  readonly #sink: RecordSink
  readonly #defect: (what: string, offset: number) => VarveError
  /** The last commit there was; the next must follow it. -1: it may be any. */
  sequence: number
  /** The time of the last commit that was not passed over. */
  timeMs: number
  /** Commits up to here are passed over. */
  readonly #after: number
  #bytes: Uint8Array
  #view: DataView
  #at: number
  #end: number

  constructor(
    sink: RecordSink,
    sequence: number,
    after: number,
    defect: (what: string, payloadOffset: number) => VarveError,
  ) {
    this.#sink = sink
    this.#defect = defect
    this.sequence = sequence
    this.timeMs = 0
    this.#after = after
    this.#bytes = NO_BYTES
    this.#view = NO_VIEW
    this.#at = 0
    this.#end = 0
  }

  /** Reads one group; returns how many commits are in it. */
  read(bytes: Uint8Array, length: number): number {
    if (this.#bytes !== bytes) {
      this.#bytes = bytes
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    let commits = 0
    let at = 0
    while (at < length) {
      const type = bytes[at] as number
      if (type === 0) break
      if (at + RECORD_HEADER_BYTES > length) throw this.#defect('a record is cut short', at)
      const bodyBytes = this.#view.getUint32(at + 1, true)
      const start = at + RECORD_HEADER_BYTES
      if (bodyBytes > length - start) throw this.#defect('a record is longer than its group', at)
      this.#at = start
      this.#end = start + bodyBytes
      if (type === COMMIT) {
        this.#readCommit()
        commits++
      } else if (type === TABLE) {
        this.#sink.define(this.#readTable())
      } else {
        throw this.#defect(`a record has type ${type}, which this version does not know`, at)
      }
      at = start + bodyBytes
    }
    return commits
  }

  #readCommit(): void {
    const start = this.#at
    if (start + COMMIT_HEADER_BYTES > this.#end) throw this.#defect('a commit is cut short', start)
    const sequence = readUint64(this.#view, start)
    const timeMs = this.#view.getFloat64(start + 8, true)
    if (sequence !== this.sequence + 1 && this.sequence >= 0) {
      throw this.#defect(`commit ${sequence} stands where ${this.sequence + 1} should`, start)
    }
    if (!Number.isFinite(timeMs) || sequence > Number.MAX_SAFE_INTEGER) {
      throw this.#defect('the time or the sequence of a commit is no number', start)
    }
    this.sequence = sequence
    this.timeMs = timeMs
    if (sequence <= this.#after) return
    this.#sink.commit(sequence, timeMs)
    this.#at = start + COMMIT_HEADER_BYTES
    while (this.#at < this.#end) this.#readItem()
  }

  #readItem(): void {
    const at = this.#at
    const kind = this.#bytes[at] as number
    this.#at = at + 1
    if (kind === PUT || kind === PUT_EXPIRING) {
      const table = this.#readVarint()
      const key = this.#readBytes(MAX_KEY_BYTES)
      const expiresAt = kind === PUT ? 0 : this.#readExpiry()
      const size = this.#readVarint()
      this.#sink.put(table, key, size, this.#readBytes(Infinity), expiresAt)
    } else if (kind === DELETE || kind === DELETE_EXPIRED) {
      const table = this.#readVarint()
      this.#sink.remove(table, this.#readBytes(MAX_KEY_BYTES), kind === DELETE_EXPIRED)
    } else if (kind === RESIZED) {
      const table = this.#readVarint()
      const entries = unzigzag(this.#readVarint())
      this.#sink.resized(table, entries, unzigzag(this.#readVarint()))
    } else {
      throw this.#defect(`an operation has kind ${kind}, which this version does not know`, at)
    }
  }

  #readExpiry(): number {
    const at = this.#at
    if (at + 8 > this.#end) throw this.#defect('an instant of expiry is cut short', at)
    const expiresAt = this.#view.getFloat64(at, true)
    if (!(expiresAt > 0 && expiresAt < Infinity)) throw this.#defect('an instant of expiry is none', at)
    this.#at = at + 8
    return expiresAt
  }

  #readVarint(): number {
    const bytes = this.#bytes
    const at = this.#at
    if (at < this.#end) {
      const first = bytes[at] as number
      if (first < 0x80) {
        this.#at = at + 1
        return first
      }
    }
    return this.#readLongVarint()
  }

  #readLongVarint(): number {
    let value = 0
    let factor = 1
    for (let at = this.#at; at < this.#end && factor <= MAX_FACTOR; at++) {
      const byte = this.#bytes[at] as number
      value += (byte & 0x7f) * factor
      factor *= 0x80
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break
        this.#at = at + 1
        return value
      }
    }
    throw this.#defect('a number is cut short or too large', this.#at)
  }

  #readBytes(mostBytes: number): Uint8Array {
    const length = this.#readVarint()
    const start = this.#at
    if (length > this.#end - start || length > mostBytes) throw this.#defect('a key or value is too long', start)
    this.#at = start + length
    return this.#bytes.subarray(start, start + length)
  }

  #readTable(): TableDefinition {
    const text = new TextDecoder().decode(this.#bytes.subarray(this.#at, this.#end))
    let table: Partial<TableDefinition> | null
    try {
      table = JSON.parse(text) as Partial<TableDefinition> | null
    } catch {
      throw this.#defect('the definition of a table is no JSON', this.#at)
    }
    const { id, name, key, value } = table ?? {}
    const isSound =
      typeof id === 'number' &&
      typeof name === 'string' &&
      (key === null || typeof key === 'string') &&
      typeof value === 'string'
    if (!isSound) throw this.#defect('the definition of a table lacks something', this.#at)
    return { id, name, key, value }
  }
}

/** 0x80 to the seventh: eight bytes hold 56 bits. */
const MAX_FACTOR = 0x80 ** 7

const NO_BYTES = new Uint8Array(0)
const NO_VIEW = new DataView(NO_BYTES.buffer)
