/**
 * When entries expire, block by block: what lets a sweeper read only blocks in which something has expired.
 *
 * The part of a run file, behind the index; only runs with entries that expire have it:
 *
 *      0  entries   u64  how many of the run expire, at least 1
 *      8  leasts    f64  for each block the least instant at which an entry of it expires, ms since 1970; infinite: none does
 *
 * Its checksum is in the footer (seeded: partSeed(run, PART_INDEX, 1)).
 *
 * I1  The least of a block is not later than the first instant at which an entry of it expires that was not taken, and
 *     later than those of all that were.
 * I2  An inner node of the tree is the lesser of its two children; the root is the least of all.
 */
import { crc32 } from 'node:zlib'
import { PART_INDEX, corruption, partSeed, readUint16, readUint48, writeUint48 } from './format.ts'

const HEADER_BYTES = 8
const LEAST_BYTES = 8

/** Bytes of the part in a run of so many blocks. */
export function expiriesBytes(blocks: number): number {
  return HEADER_BYTES + blocks * LEAST_BYTES
}

/** Whether a number is an instant at which an entry can expire. */
export function isExpiry(instant: number): boolean {
  return instant > 0 && instant < Infinity
}

/** The bytes of the part. */
export function encodeExpiries(entries: number, leasts: readonly number[]): Uint8Array {
  const part = new Uint8Array(expiriesBytes(leasts.length))
  const view = new DataView(part.buffer)
  writeUint48(part, 0, entries)
  for (let i = 0; i < leasts.length; i++) view.setFloat64(HEADER_BYTES + i * LEAST_BYTES, leasts[i] as number, true)
  return part
}

/** The checksum of the part. */
export function expiriesCrc(part: Uint8Array, runSeed: number): number {
  return crc32(part, partSeed(runSeed, PART_INDEX, 1))
}

/** What the part says. */
export interface Expiries {
  /** How many entries expire. */
  readonly entries: number
  /** Of each block the least instant; infinite where nothing expires. */
  readonly leasts: Float64Array
}

/**
 * Reads the part that begins at `offset` of a file.
 *
 * @throws CORRUPTION unless its checksum is `crc` and it says what a run of at most `mostEntries` such entries can say
 */
export function decodeExpiries(
  part: Uint8Array,
  crc: number,
  mostEntries: number,
  runSeed: number,
  path: string,
  offset: number,
): Expiries {
  if (expiriesCrc(part, runSeed) !== crc) {
    throw corruption(path, offset, 'the checksum of the instants of expiry does not match')
  }
  const entries = readUint48(part, 0)
  const view = new DataView(part.buffer, part.byteOffset, part.byteLength)
  const leasts = new Float64Array((part.length - HEADER_BYTES) / LEAST_BYTES)
  let expiring = 0
  for (let i = 0; i < leasts.length; i++) {
    const least = view.getFloat64(HEADER_BYTES + i * LEAST_BYTES, true)
    if (!(least > 0)) throw corruption(path, offset + HEADER_BYTES + i * LEAST_BYTES, 'an instant of expiry is none')
    if (least < Infinity) expiring++
    leasts[i] = least
  }
  const isSound = readUint16(part, 6) === 0 && entries <= mostEntries && expiring > 0 && expiring <= entries
  if (!isSound) throw corruption(path, offset, 'the instants of expiry contradict the count of entries that expire')
  return { entries, leasts }
}

/**
 * Of each block the least instant at which an entry of it expires that nobody has taken: a tree of minima, so that the least
 * of all and a block that is due are found without looking at each block. 16 bytes per block.
 */
export class BlockExpiries {
  readonly blocks: number
  /** Node 1 is the root, 2 i and 2 i + 1 are the children of i, the last `blocks` are the blocks. */
  private readonly tree: Float64Array

  constructor(leasts: Float64Array) {
    const { length } = leasts
    this.blocks = length
    this.tree = new Float64Array(Math.max(2, length * 2)).fill(Infinity)
    this.tree.set(leasts, length)
    for (let node = length - 1; node > 0; node--) this.settle(node)
  }

  /** The least of all blocks; infinite if nothing is left that expires. */
  get least(): number {
    return this.tree[1] as number
  }

  /** A block whose least is at or before `now`; -1 if there is none. */
  due(now: number): number {
    const { tree, blocks } = this
    const instant = Math.min(now, Number.MAX_VALUE)
    if (!((tree[1] as number) <= instant)) return -1
    let node = 1
    while (node < blocks) {
      node *= 2
      if ((tree[node] as number) > instant) node++
    }
    return node - blocks
  }

  leastOf(block: number): number {
    return this.tree[this.blocks + block] as number
  }

  set(block: number, least: number): void {
    let node = this.blocks + block
    this.tree[node] = least
    for (node >>>= 1; node > 0; node >>>= 1) this.settle(node)
  }

  private settle(node: number): void {
    const left = this.tree[node * 2] as number
    const right = this.tree[node * 2 + 1] as number
    this.tree[node] = left < right ? left : right
  }
}
