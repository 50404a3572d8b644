/**
 * The footer of a run file: what the run is and where its parts lie. It is the only part that opening reads.
 *
 *      0  crc              u32  of [4, 140), seeded: partSeed(run, PART_FOOTER, 0)
 *      4  index crc        u32  of the index, seeded: partSeed(run, PART_INDEX, 0)
 *      8  id               16   random
 *     24  number           u64
 *     32  file bytes       u64
 *     40  entries          u64  tombstones included
 *     48  tombstones       u64
 *     56  first sequence   u64  0 of an empty run
 *     64  last sequence    u64
 *     72  pages at         u64  where the blocks end and the maplet pages begin
 *     80  index at         u64  where the pages end and the index begins; it ends at the expiries, or at the footer
 *     88  blocks           u32
 *     92  pages            u32
 *     96  buckets          u32  of the maplet
 *    100  fingerprint bits u8
 *    101  block bits       u8
 *    102  restart interval u16  16
 *    104  hash seed        2 * u32
 *    112  first table      u32  of the first key: its first four bytes
 *    116  last table       u32
 *    120  expiries crc     u32  of the instants of expiry, seeded: partSeed(run, PART_INDEX, 1); 0 if there are none
 *    124  flags            u32  1: entries expire, and the part that says when is there; other bits are of later versions
 *    128  version          u16  1 ... at -12 of the file, in all versions
 *    130  reserved         2    0
 *    132  magic            8    'VARVERUN' ... at -8 of the file, in all versions
 *    140
 */
import { crc32 } from 'node:zlib'
import { RESTART_INTERVAL } from './block.ts'
import { expiriesBytes } from './expiries.ts'
import {
  FORMAT_VERSION,
  ID_BYTES,
  MAGIC,
  PART_FOOTER,
  type RunSummary,
  corruption,
  partSeed,
  readUint16,
  readUint32,
  readUint48,
  runSeedOf,
  writeUint16,
  writeUint32,
  writeUint48,
} from './format.ts'
import type { HashSeed } from './hash.ts'
import { PAGE_BYTES, type PageShape, isPageShape } from './maplet-pages.ts'

export const FOOTER_BYTES = 140

/** Flag: entries expire. */
const FLAG_EXPIRIES = 1

/** What the footer of a run says. */
export interface Footer {
  readonly summary: RunSummary
  readonly indexCrc: number
  /** Whether there are entries that expire, and the checksum of the part that says when; 0 without. */
  readonly hasExpiries: boolean
  readonly expiriesCrc: number
  readonly pagesAt: number
  readonly indexAt: number
  readonly blocks: number
  readonly pages: number
  readonly shape: PageShape
  readonly hashSeed: HashSeed
  readonly firstTable: number
  readonly lastTable: number
}

/** The bytes of an id. */
export function idBytes(id: string): Uint8Array {
  return Uint8Array.from({ length: ID_BYTES }, (_, i) => Number.parseInt(id.slice(i * 2, i * 2 + 2), 16))
}

/** The hexadecimal form of bytes. */
export function hexadecimal(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

export function encodeFooter(footer: Footer): Uint8Array {
  const { summary, shape, hashSeed } = footer
  const bytes = new Uint8Array(FOOTER_BYTES)
  const id = idBytes(summary.id)
  writeUint32(bytes, 4, footer.indexCrc)
  bytes.set(id, 8)
  writeUint48(bytes, 24, summary.number)
  writeUint48(bytes, 32, summary.bytes)
  writeUint48(bytes, 40, summary.entries)
  writeUint48(bytes, 48, summary.tombstones)
  writeUint48(bytes, 56, summary.firstSequence)
  writeUint48(bytes, 64, summary.lastSequence)
  writeUint48(bytes, 72, footer.pagesAt)
  writeUint48(bytes, 80, footer.indexAt)
  writeUint32(bytes, 88, footer.blocks)
  writeUint32(bytes, 92, footer.pages)
  writeUint32(bytes, 96, shape.buckets)
  bytes[100] = shape.fingerprintBits
  bytes[101] = shape.blockBits
  writeUint16(bytes, 102, RESTART_INTERVAL)
  writeUint32(bytes, 104, hashSeed.key0)
  writeUint32(bytes, 108, hashSeed.key1)
  writeUint32(bytes, 112, footer.firstTable)
  writeUint32(bytes, 116, footer.lastTable)
  writeUint32(bytes, 120, footer.expiriesCrc)
  writeUint32(bytes, 124, footer.hasExpiries ? FLAG_EXPIRIES : 0)
  writeUint16(bytes, 128, FORMAT_VERSION)
  for (let i = 0; i < MAGIC.length; i++) bytes[132 + i] = MAGIC.charCodeAt(i)
  writeUint32(bytes, 0, crc32(bytes.subarray(4), partSeed(runSeedOf(id), PART_FOOTER, 0)))
  return bytes
}

/**
 * Reads the footer of a run that the manifest lists.
 *
 * @throws CORRUPTION if it is damaged, of a later version, or of another run than the one listed.
 */
export function decodeFooter(bytes: Uint8Array, path: string, listed: RunSummary): Footer {
  const at = listed.bytes - FOOTER_BYTES
  for (let i = 0; i < MAGIC.length; i++) {
    if (bytes[132 + i] !== MAGIC.charCodeAt(i)) throw corruption(path, at + 132, 'it does not end like a run')
  }
  const version = readUint16(bytes, 128)
  if (version > FORMAT_VERSION) {
    throw corruption(path, at + 128, `its version ${version} is newer than ${FORMAT_VERSION}, the newest known here`)
  }
  const id = bytes.subarray(8, 8 + ID_BYTES)
  if (readUint32(bytes, 0) !== crc32(bytes.subarray(4), partSeed(runSeedOf(id), PART_FOOTER, 0))) {
    throw corruption(path, at, 'the checksum of the footer does not match')
  }
  const flags = readUint32(bytes, 124)
  if (flags > FLAG_EXPIRIES) throw corruption(path, at + 124, 'it has flags of a newer version')
  const summary: RunSummary = {
    number: readUint64(bytes, 24),
    id: hexadecimal(id),
    bytes: readUint64(bytes, 32),
    entries: readUint64(bytes, 40),
    tombstones: readUint64(bytes, 48),
    firstSequence: readUint64(bytes, 56),
    lastSequence: readUint64(bytes, 64),
  }
  const names = ['number', 'id', 'bytes', 'entries', 'tombstones', 'firstSequence', 'lastSequence'] as const
  const other = names.filter((name) => summary[name] !== listed[name])
  if (other.length > 0) {
    throw corruption(path, at, `it is another run than the one that the manifest lists: ${other.join(', ')} differ`)
  }
  const footer: Footer = {
    summary,
    indexCrc: readUint32(bytes, 4),
    hasExpiries: flags === FLAG_EXPIRIES,
    expiriesCrc: readUint32(bytes, 120),
    pagesAt: readUint64(bytes, 72),
    indexAt: readUint64(bytes, 80),
    blocks: readUint32(bytes, 88),
    pages: readUint32(bytes, 92),
    shape: { buckets: readUint32(bytes, 96), fingerprintBits: bytes[100] as number, blockBits: bytes[101] as number },
    hashSeed: { key0: readUint32(bytes, 104), key1: readUint32(bytes, 108) },
    firstTable: readUint32(bytes, 112),
    lastTable: readUint32(bytes, 116),
  }
  const isSound =
    version === FORMAT_VERSION &&
    readUint16(bytes, 102) === RESTART_INTERVAL &&
    readUint16(bytes, 130) === 0 &&
    isConsistent(footer)
  if (!isSound) throw corruption(path, at, 'the footer contradicts itself')
  return footer
}

/** NaN, which no number equals, if it is not one of 48 bits. */
function readUint64(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at + 6) === 0 ? readUint48(bytes, at) : Number.NaN
}

/** Where the instants of expiry begin, and the index ends: at the footer if there are none. */
export function expiriesAt({ summary, hasExpiries, blocks }: Footer): number {
  return summary.bytes - FOOTER_BYTES - (hasExpiries ? expiriesBytes(blocks) : 0)
}

/** Whether parts lie one behind the other within the file, and counts fit each other and their parts. */
function isConsistent(footer: Footer): boolean {
  const { summary, pagesAt, indexAt, blocks, pages, shape, firstTable, lastTable } = footer
  return (
    pagesAt + pages * PAGE_BYTES === indexAt &&
    indexAt <= expiriesAt(footer) &&
    (footer.hasExpiries ? summary.tombstones < summary.entries : footer.expiriesCrc === 0) &&
    summary.tombstones <= summary.entries &&
    summary.firstSequence <= summary.lastSequence &&
    summary.entries <= pagesAt &&
    blocks <= summary.entries &&
    blocks > 0 === summary.entries > 0 &&
    pages > 0 === summary.entries > 0 &&
    shape.buckets > 0 === summary.entries > 0 &&
    pages <= shape.buckets &&
    isPageShape(shape) &&
    firstTable <= lastTable
  )
}
