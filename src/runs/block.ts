/**
 * A block: a row of entries in ascending order of their keys, prefix-compressed, with restarts to search by (the block of
 * LevelDB's tables, Ghemawat and Dean). This file writes blocks and checks their frame; entries.ts reads what is in them.
 *
 *      0  crc        u32  of [4, length), seeded: partSeed(run, PART_BLOCK, number)
 *      4  number     u32  of the block in its run, from 0
 *      8  entries    u32  at least 1
 *     12  end        u32  where the entries end and the restarts begin
 *     16  base       u48  sequence of the first entry
 *     22  reserved   u16  0
 *     24  entries, one after the other
 *    end  restarts   u32  for every 16th entry, from the first on, the offset in the block where it begins
 *
 * An entry (numbers are LEB128, signed ones zigzag):
 *
 *     shared         bytes that its key has in common with the key before it; 0 at a restart
 *     unshared * 4 + kind     kind 0: put, 1: tombstone, 2: put that expires; 3 is for later versions
 *     value length   not of a tombstone
 *     size           accounting size - value length, signed
 *     sequence       commit sequence - base, signed
 *     expires at     f64, ms since 1970, finite and greater than 0: only of a put that expires
 *     key            the unshared bytes
 *     value
 *
 * B1  Keys ascend strictly, by memcmp.
 * B2  A block is at most `blockBytes` long or has one entry: a value of any size has a block of its own.
 * B3  Nothing lies between the last entry and the restarts, nor behind those.
 *
 * About 7 bytes of overhead per entry. Rejected: columns of lengths and sequences (smaller by one or two bytes with random
 * keys, but a scan touches five places of the block for each entry), restarts as u16 (large values).
 */
import { crc32 } from 'node:zlib'
import { invariant } from '../errors.ts'
import { BLOCK_OBJECT_BYTES, type CachedPart } from './cache.ts'
import { commonPrefix, enlarged } from './compare.ts'
import {
  MAX_NUMBER,
  PART_BLOCK,
  corruption,
  partSeed,
  readUint16,
  readUint32,
  readUint48,
  writeFloat64,
  writeUint32,
  writeUint48,
} from './format.ts'

/** Bytes before the first entry. */
export const BLOCK_HEADER_BYTES = 24

/** Entries from one restart to the next. */
export const RESTART_INTERVAL = 16

const KIND_PUT = 0
export const KIND_TOMBSTONE = 1
export const KIND_EXPIRING = 2

/** The instant of expiry of an entry that has one. */
export const EXPIRY_BYTES = 8

/** Five numbers of an entry, at their longest, and its share of a restart. */
const MOST_OVERHEAD_BYTES = 36

/** Most bytes of the builder that are kept from one block to the next; more is given back. */
const LASTING_BYTES: number = 1 << 20

/** Writes one block after the other. */
export class BlockBuilder {
  /** The block under construction, its first `length` bytes; the header is filled in by `finish`. */
  bytes: Uint8Array = new Uint8Array(64 * 1024)
  length: number = BLOCK_HEADER_BYTES
  entries = 0
  /** Key of the newest entry, also of the block before until the next entry is added. */
  lastKey: Uint8Array = new Uint8Array(256)
  lastKeyLength = 0

  #base = 0
  #restarts: number[] = []

  /** Whether another entry would make the block longer than `blockBytes`. Always false for the first entry. */
  overflows(keyLength: number, valueLength: number, expiresAt: number, blockBytes: number): boolean {
    const overhead = expiresAt === 0 ? MOST_OVERHEAD_BYTES : MOST_OVERHEAD_BYTES + EXPIRY_BYTES
    const length = this.length + keyLength + valueLength + overhead + this.#restarts.length * 4
    return this.entries > 0 && length > blockBytes
  }

  /** Adds an entry. `shared` is what its key has in common with `lastKey`; the caller has compared them. */
  add(
    key: Uint8Array,
    keyLength: number,
    shared: number,
    sequence: number,
    size: number,
    value: Uint8Array | null,
    expiresAt: number,
  ): void {
    const valueLength = value === null ? 0 : value.length
    const most = this.length + keyLength + valueLength + MOST_OVERHEAD_BYTES + EXPIRY_BYTES
    if (most > this.bytes.length) this.bytes = enlarged(this.bytes, this.length, most)
    if (this.entries === 0) this.#base = sequence
    const isRestart = this.entries % RESTART_INTERVAL === 0
    if (isRestart) this.#restarts.push(this.length)
    const kept = isRestart ? 0 : shared
    const bytes = this.bytes
    const kind = value === null ? KIND_TOMBSTONE : expiresAt === 0 ? KIND_PUT : KIND_EXPIRING
    let at = writeVarint(bytes, this.length, kept)
    at = writeVarint(bytes, at, (keyLength - kept) * 4 + kind)
    if (value !== null) at = writeVarint(bytes, at, valueLength)
    at = writeVarint(bytes, at, zigzag(size - valueLength))
    at = writeVarint(bytes, at, zigzag(sequence - this.#base))
    if (kind === KIND_EXPIRING) {
      writeFloat64(bytes, at, expiresAt)
      at += EXPIRY_BYTES
    }
    for (let i = kept; i < keyLength; i++) bytes[at++] = key[i] as number
    if (value !== null) bytes.set(value, at)
    this.length = at + valueLength
    this.entries++
    this.#remember(key, keyLength, shared)
  }

  /** Bytes that a key has in common with the newest one. */
  sharedWith(key: Uint8Array, keyLength: number): number {
    return commonPrefix(this.lastKey, this.lastKeyLength, key, keyLength)
  }

  /** Completes the block and returns its bytes, a view that is good until the next `reset`. */
  finish(number: number, runSeed: number): Uint8Array {
    const end = this.length
    const length = end + this.#restarts.length * 4
    invariant(length < 2 ** 32, 'a block of a run is shorter than 4 GiB')
    if (length > this.bytes.length) this.bytes = enlarged(this.bytes, end, length)
    const bytes = this.bytes
    for (let i = 0; i < this.#restarts.length; i++) writeUint32(bytes, end + i * 4, this.#restarts[i] as number)
    writeUint32(bytes, 4, number)
    writeUint32(bytes, 8, this.entries)
    writeUint32(bytes, 12, end)
    writeUint48(bytes, 16, this.#base)
    bytes[22] = 0
    bytes[23] = 0
    writeUint32(bytes, 0, crc32(bytes.subarray(4, length), partSeed(runSeed, PART_BLOCK, number)))
    return bytes.subarray(0, length)
  }

  /** Begins the next block. */
  reset(): void {
    if (this.bytes.length > LASTING_BYTES) this.bytes = new Uint8Array(64 * 1024)
    this.length = BLOCK_HEADER_BYTES
    this.entries = 0
    this.#restarts.length = 0
  }

  #remember(key: Uint8Array, keyLength: number, shared: number): void {
    if (keyLength > this.lastKey.length) this.lastKey = enlarged(this.lastKey, shared, keyLength)
    const last = this.lastKey
    for (let i = shared; i < keyLength; i++) last[i] = key[i] as number
    this.lastKeyLength = keyLength
  }
}

/** Whether numbers of an entry are such as can be stored. */
export function isStorable(number: number): boolean {
  return Number.isInteger(number) && number >= 0 && number < MAX_NUMBER
}

function zigzag(number: number): number {
  return number < 0 ? -2 * number - 1 : 2 * number
}

/** LEB128, for integers from 0 to 2^53. Returns the offset behind it. */
function writeVarint(bytes: Uint8Array, at: number, number: number): number {
  if (number >= 2 ** 31) {
    // The lower four groups of seven bits, then the rest, which fits into 31 bits again.
    let low = number % 2 ** 28
    for (let i = 0; i < 4; i++, low >>>= 7) bytes[at++] = low | 0x80
    number = Math.floor(number / 2 ** 28)
  }
  let rest = number | 0
  while (rest >= 0x80) {
    bytes[at++] = rest | 0x80
    rest >>>= 7
  }
  bytes[at++] = rest
  return at
}

/** A block that was read and whose frame is sound. Immutable; its entries are read through entries.ts. */
export class Block implements CachedPart {
  readonly bytes: Uint8Array
  readonly entries: number
  /** Where the entries end and the restarts begin. */
  readonly end: number
  readonly base: number
  /** For messages: the file and where in it the block begins. */
  readonly path: string
  readonly offset: number

  /** @throws CORRUPTION unless `bytes` are exactly the block of that number of that run. */
  constructor(bytes: Uint8Array, number: number, runSeed: number, path: string, offset: number) {
    const length = bytes.length
    if (length <= BLOCK_HEADER_BYTES) throw corruption(path, offset, `block ${number} is too short`)
    if (readUint32(bytes, 0) !== crc32(bytes.subarray(4), partSeed(runSeed, PART_BLOCK, number))) {
      throw corruption(path, offset, `the checksum of block ${number} does not match`)
    }
    const entries = readUint32(bytes, 8)
    const end = readUint32(bytes, 12)
    const restarts = Math.ceil(entries / RESTART_INTERVAL)
    const sound =
      readUint32(bytes, 4) === number &&
      entries > 0 &&
      end > BLOCK_HEADER_BYTES &&
      end + restarts * 4 === length &&
      readUint16(bytes, 22) === 0
    if (!sound) throw corruption(path, offset, `the header of block ${number} contradicts itself`)
    this.bytes = bytes
    this.entries = entries
    this.end = end
    this.base = readUint48(bytes, 16)
    this.path = path
    this.offset = offset
  }

  /** The block and this object. */
  get memoryBytes(): number {
    return this.bytes.length + BLOCK_OBJECT_BYTES
  }
}
