/**
 * What the files of sorted runs have in common: names, magic, sizes, checksums, and how damage is reported.
 *
 * A run file, from its first byte to its last (all numbers little endian; docs/file-format.md has the byte tables):
 *
 *     blocks        4 to 32 KiB each: sorted entries, prefix-compressed              block.ts
 *     maplet pages  4 KiB each: hash of a key -> number of its block                 maplet-pages.ts
 *     index         where blocks begin and what separates them, first buckets       index-section.ts
 *     expiries      if entries expire: when, by block                               expiries.ts
 *     footer        fixed size: identity, counts, places, version, magic            footer.ts
 *
 * F1  Every byte of a file lies in exactly one part, and every part has a CRC-32.
 * F2  The CRC of a part is seeded with the id of the run, the kind of the part and its number. So a part that was written
 *     at the place of another, or left over from another run, never checks out.
 * F3  No length is believed before it was held against the size of the file or of the part that it lies in; nothing is
 *     allocated beyond that size.
 */
import { crc32 } from 'node:zlib'
import { VarveError } from '../errors.ts'

/** A finished run, as the manifest lists it. */
export interface RunSummary {
  /** In the name of its file; never used twice within a database. */
  readonly number: number
  /** 16 random bytes in hexadecimal: which of all runs with this number it is. */
  readonly id: string
  /** Size of the file. */
  readonly bytes: number
  /** All entries, tombstones included. */
  readonly entries: number
  readonly tombstones: number
  /** Least and greatest commit sequence of its entries; 0 and 0 if it has none. */
  readonly firstSequence: number
  readonly lastSequence: number
}

/** The version of the format that is written. What is newer is refused. */
export const FORMAT_VERSION = 1

/** Ends every run file, of this version and of all later ones; the two bytes at -12 are its version. */
export const MAGIC = 'VARVERUN'

/** Bytes of a run's id. */
export const ID_BYTES = 16

/** Commit sequences and accounting sizes stay below this (48 bits). */
export const MAX_NUMBER: number = 2 ** 48

/** The name of a run's file. Fixed width, so that names sort like numbers. */
export function runFileName(number: number): string {
  return `run-${String(number).padStart(12, '0')}.run`
}

/** The names of runs; the group is the number. */
export const RUN_NAME: RegExp = /^run-(\d{12,16})\.run$/

/** The names under which runs are written, which only a crash leaves behind. */
export const RUN_LEFTOVER_NAME: RegExp = /^run-\d{12,16}\.run\.tmp-[0-9a-f]{16}$/

/** Kinds of parts, for the seeds of checksums. */
export const PART_BLOCK = 0
export const PART_PAGE = 1
export const PART_INDEX = 2
export const PART_FOOTER = 3

/**
 * The seed of a part's CRC. For one run all parts have different ones: the product with an odd number is a bijection of
 * 32 bits. Equal bytes under different seeds have different CRCs, always.
 */
export function partSeed(runSeed: number, kind: number, number: number): number {
  return (runSeed ^ Math.imul(number * 4 + kind, 0x9e37_79b1)) >>> 0
}

/** The part of the seed that the whole run shares. */
export function runSeedOf(id: Uint8Array): number {
  return crc32(id)
}

export function readUint32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  )
}

export function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value
  bytes[at + 1] = value >>> 8
  bytes[at + 2] = value >>> 16
  bytes[at + 3] = value >>> 24
}

export function readUint16(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8)
}

export function writeUint16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value
  bytes[at + 1] = value >>> 8
}

export function readUint48(bytes: Uint8Array, at: number): number {
  return readUint32(bytes, at) + readUint16(bytes, at + 4) * 2 ** 32
}

export function writeUint48(bytes: Uint8Array, at: number, value: number): void {
  writeUint32(bytes, at, value % 2 ** 32)
  writeUint16(bytes, at + 4, Math.floor(value / 2 ** 32))
}

const float: DataView = new DataView(new ArrayBuffer(8))

/** Little endian, at any offset. Beyond the end of `bytes` it reads zeros. */
export function readFloat64(bytes: Uint8Array, at: number): number {
  float.setUint32(0, readUint32(bytes, at + 4))
  float.setUint32(4, readUint32(bytes, at))
  return float.getFloat64(0)
}

export function writeFloat64(bytes: Uint8Array, at: number, value: number): void {
  float.setFloat64(0, value)
  writeUint32(bytes, at, float.getUint32(4))
  writeUint32(bytes, at + 4, float.getUint32(0))
}

/** Damage to a file. Code `CORRUPTION`; the message names file and offset. */
export class DamageError extends VarveError {
  readonly path: string
  /** Where in the file what is damaged begins. */
  readonly offset: number
  /** What is wrong there. */
  readonly what: string

  constructor(path: string, offset: number, what: string, cause?: unknown) {
    const isMissing = what === MISSING
    const place = isMissing ? 'is missing, though the manifest lists it' : `is damaged at byte ${offset}: ${what}`
    const message = `${path} ${place}; restore the database from a backup`
    super('CORRUPTION', message, cause === undefined ? {} : { cause })
    this.path = path
    this.offset = offset
    this.what = what
  }
}

/** What is wrong with a file that is not there. */
export const MISSING: string = 'it is missing, though the manifest lists it'

/** Damage, with file and offset. */
export function corruption(path: string, offset: number, what: string, cause?: unknown): DamageError {
  return new DamageError(path, offset, what, cause)
}
