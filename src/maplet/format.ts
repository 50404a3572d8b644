/**
 * How a cell of a segment is laid out, and how full segments get.
 *
 *     bit   31           30 ......... 24   23 ........ 16   15 ................. 0
 *          +------------+----------------+----------------+------------------------+
 *   WIDE   | 0          | distance + 1   | 8 bits of home | hash bits, 1, 0 ... 0  |   and a word for the value
 *          +------------+----------------+----------------+------------------------+
 *
 *     bit   15 ........ 11   10 ......................... 0
 *          +---------------+--------------------------------+
 *   NARROW | distance + 1  | bits of home, hash bits, 1, 0  |   no value
 *          +---------------+--------------------------------+
 *
 * A cell of 0 is empty. `distance` is how far the entry stands behind its home. "Bits of home" tell the addresses that
 * share one home apart. The hash bits end with a 1, so that entries may have different numbers of them: one that was
 * put in with 15 has 14 after its segment was split, for the uppermost now tells in which half it is. That is the
 * fingerprint of InfiniFilter (Dayan, Bercea, Reviriego, Pagh, SIGMOD 2023): entries put in later have all their bits, so
 * the false-positive rate grows with the number of doublings only, and no key is ever needed again.
 */
import { VarveError } from '../errors.ts'

/** Bits of the hash that decide on the home. */
export const ADDRESS_BITS = 16

/** Fewest slots of a segment: below 2^8 the eight bits of home in a wide cell would not tell all addresses apart. */
export const MIN_SLOTS = 256

/**
 * Most slots of a segment by default; a full one is split in two. Growth therefore never moves more than this many
 * entries at a time, some 0.1 ms.
 */
const MAX_SLOTS = 16_384

/** One layout of cells. */
export class CellFormat {
  /** Bits beneath the distance. */
  readonly payloadBits: number
  /** What adds 1 to the distance of a cell. */
  readonly unit: number
  /** Largest `distance + 1` a cell can say. Only passing: a segment in which it occurs is rebuilt at once. */
  readonly maxDistance: number
  /** log2 of the array elements that a slot takes: 1 with values, 0 without. */
  readonly stride: 0 | 1
  /** Entries per slot at which a segment grows. */
  readonly maxLoad: number
  /** Entries per slot after it has grown. */
  readonly targetLoad: number
  /** Below this, entries that crowd are not there by chance: under random hashes the odds are below 10^-17 an entry. */
  readonly leastLoad: number

  constructor(
    payloadBits: number,
    distanceBits: number,
    stride: 0 | 1,
    maxLoad: number,
    targetLoad: number,
    leastLoad: number,
  ) {
    this.payloadBits = payloadBits
    this.unit = 1 << payloadBits
    this.maxDistance = (1 << distanceBits) - 1
    this.stride = stride
    this.maxLoad = maxLoad
    this.targetLoad = targetLoad
    this.leastLoad = leastLoad
  }
}

/**
 * 8 bytes a slot: 9.1 to 10.8 bytes an entry. A load of 0.88 is where the shifts of an insert begin to cost more than the
 * passes of growth that they save.
 */
export const WIDE_VALUES: CellFormat = new CellFormat(24, 7, 1, 0.88, 0.76, 0.5)
/** {@link CellFormat.unit} of the wide formats, for code that is written for them alone. */
export const WIDE_UNIT = 0x100_0000
/** 4 bytes a slot, for filters that want few false positives, and for the first entries of others. */
export const WIDE: CellFormat = new CellFormat(24, 7, 0, 0.88, 0.76, 0.5)
/** 2 bytes a slot: 2.5 to 2.8 bytes an entry. Five bits of distance bear no more load than 0.8. */
export const NARROW: CellFormat = new CellFormat(11, 5, 0, 0.8, 0.72, 0.25)

/**
 * What the segments of one maplet look like: one format, or two where small segments have another.
 *
 * A narrow cell has 10 bits for home and hash, so one written when there were few slots would run out of them after few
 * doublings. Filters begin wide, and cross over once, when narrow cells have enough bits for good.
 */
export class Layout {
  readonly small: CellFormat
  readonly large: CellFormat
  /** Segments with fewer slots than this are of the small format. */
  readonly crossover: number
  /** Most slots of a segment. */
  readonly maxSlots: number
  /** Whether there is a value beside each cell. */
  readonly hasValues: boolean
  /** Whether an entry that has run out of hash bits is copied to both halves at a split. Else that is an error. */
  readonly copiesVoid: boolean
  /** Lowest false-positive rate that is kept at every size that growth from nothing reaches. */
  readonly falsePositiveRate: number

  constructor(small: CellFormat, large: CellFormat, falsePositiveRate: number, maxSlots: number = MAX_SLOTS) {
    this.small = small
    this.large = large
    this.crossover = small === large ? 0 : Math.min(2048, maxSlots >>> 1)
    this.maxSlots = maxSlots
    this.hasValues = large.stride === 1
    this.copiesVoid = !this.hasValues
    this.falsePositiveRate = falsePositiveRate
  }

  formatOf(slots: number): CellFormat {
    return slots < this.crossover ? this.small : this.large
  }

  /** Slots of a new segment for so many entries: with room to grow, and not below the least. May be above `maxSlots`. */
  slotsFor(entries: number): number {
    const { targetLoad } = this.formatOf(Math.ceil(entries / this.large.targetLoad))
    return Math.max(MIN_SLOTS, Math.ceil(entries / targetLoad))
  }

  /** The same layout with smaller segments: for tests, which want to see many splits of few entries. */
  withMaxSlots(maxSlots: number): Layout {
    return new Layout(this.small, this.large, this.falsePositiveRate, maxSlots)
  }
}

/**
 * Of a wide cell, 31 bits of the hash are known at first, besides those that chose the segment: at most 0.9 * 2^14 entries
 * of 2^-31 each make 7e-6, times half the splits since the first, of which there are at most 15 before bits run out.
 */
const WIDE_RATE = 1e-4
/** Of a narrow cell 10 bits beyond the home: 1.6e-3 at worst, times half the doublings since the crossover. */
const NARROW_RATE = 0.01

export const MAPLET_LAYOUT: Layout = new Layout(WIDE_VALUES, WIDE_VALUES, WIDE_RATE)
export const WIDE_FILTER_LAYOUT: Layout = new Layout(WIDE, WIDE, WIDE_RATE)
export const NARROW_FILTER_LAYOUT: Layout = new Layout(WIDE, NARROW, NARROW_RATE)

/** How a maplet is sized. */
export interface Sizing {
  /** Entries to make room for at once; with `autoResize: false` the most it takes. Default 0: it grows from nothing. */
  readonly capacity?: number | undefined
  /** Highest acceptable share of absent keys that are taken for present ones. What cannot be kept is refused. */
  readonly falsePositiveRate?: number | undefined
  /** Default true. With false, an insert beyond `capacity` fails with `CAPACITY_EXCEEDED` and changes nothing. */
  readonly autoResize?: boolean | undefined
}

/** Most entries that can be asked for: values are 32-bit words, and so are entry ids. */
const MAX_CAPACITY: number = 2 ** 31

/** What is wrong with a sizing, all of it; empty if nothing is. `least` is the lowest rate that can be promised. */
export function sizingProblems(sizing: Sizing, least: number): string[] {
  const { capacity, falsePositiveRate: rate, autoResize } = sizing
  const problems: string[] = []
  if (capacity !== undefined && !(Number.isInteger(capacity) && capacity >= 0 && capacity <= MAX_CAPACITY)) {
    problems.push(`capacity must be an integer from 0 to ${MAX_CAPACITY}`)
  }
  if (rate !== undefined && !(typeof rate === 'number' && rate > 0 && rate <= 1)) {
    problems.push('falsePositiveRate must be a number above 0, at most 1')
  } else if (rate !== undefined && rate < least) {
    problems.push(`falsePositiveRate ${rate} cannot be promised at every size; the lowest possible is ${least}`)
  }
  if (autoResize !== undefined && typeof autoResize !== 'boolean') problems.push('autoResize must be a boolean')
  if (autoResize === false && !(typeof capacity === 'number' && capacity > 0)) {
    problems.push('autoResize: false needs a capacity, the most entries that it takes')
  }
  return problems
}

/** Throws one `INVALID_OPTIONS` that names everything that is wrong. */
export function refuseProblems(what: string, problems: readonly string[]): void {
  if (problems.length > 0) throw new VarveError('INVALID_OPTIONS', `${what}: ${problems.join('; ')}`)
}
