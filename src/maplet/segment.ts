/**
 * A segment: one Robin Hood quotient table, the piece in which a maplet grows, is split and shrinks.
 *
 * An entry has 32 bits of its key's hash, called y. The upper 16 are its address, for ever; it chooses the home:
 *
 *     home(y) = (~address * slots) >>> 16
 *
 * Not a remainder and not a mask, so that any number of slots will do, and that the homes of a larger segment stand in
 * the same order: entries sorted by address, highest first, are sorted by home at every size. Growing, splitting, joining
 * and merging are therefore each one pass that reads entries in order and appends them in order (reshape.ts). No key is
 * hashed again: home, the bits of home in the cell and the hash bits give y back.
 *
 * The lower 16 are those hash bits by which segments are split, from the `depth`-th on: all entries of a segment have the
 * first `depth` in common. They are not those of the address, so a split leaves homes as they are.
 *
 * Entries stand at their home or behind it, in order of address, without gaps between home and entry (Robin Hood linear
 * probing: Celis 1985; quotienting: Knuth 6.4 exercise 13). A lookup starts at home and ends at the first cell that is
 * nearer to its own home than the lookup is to its. Nothing wraps around: behind the last home lies room for what is
 * displaced.
 *
 * Cost: 8, 4 or 2 bytes a slot by format. An insert moves some 15 cells on average, in two or three cache lines; a lookup looks
 * at 3 or 4.
 *
 * I1  `entries` cells are not 0.
 * I2  Decoded from first to last, entries never increase in address. Those of equal y stand in order of insertion.
 * I3  Each entry stands at or behind its home, and no cell between is empty.
 * I4  No cell's `distance + 1` is the format's maximum, and the last two cells are empty. An insert may break that, for one
 *     distance or the last but one cell; it then returns true, and the caller rebuilds the segment or takes the entry out
 *     again before anything else.
 *
 * Called by the core only, which finds the right segment. Not callable from inside a KeyMatcher.
 */
import { ADDRESS_BITS, type CellFormat, WIDE_UNIT } from './format.ts'

/** The lower half of y in an entry that has no hash bits left but its address: the 1 that ends them. */
export const VOID = 0x8000

/** Slots behind the last home. Where there are enough of them to pay for, distances run out before these do. */
function overflowSlots(slots: number, format: CellFormat): number {
  return Math.min(format.maxDistance + 1, Math.max(32, slots >>> 6))
}

export class Segment {
  readonly format: CellFormat
  /** Hash bits that all entries share, besides what their homes say. */
  readonly depth: number
  readonly slots: number
  readonly cells: Int32Array | Uint16Array
  entries = 0
  /** Entries at which it must grow before the next insert. */
  readonly limit: number
  /** Entries below which it is worth shrinking. */
  readonly floor: number
  /** For decoding without a division. */
  readonly inverse: number
  /** Bits of `~address * slots` below home that a cell does not keep. */
  readonly homeShift: number
  /** Lowest bits of y that a cell does not keep. */
  readonly lowShift: number
  /** The lowest bit of y that a cell keeps: where the hash bits of a new entry end. */
  readonly mark: number
  /** Smallest cell with the maximal distance (I4). */
  readonly crowded: number
  /** Index of the last cell, which is always empty: where loops over cells end. */
  readonly end: number
  /** Index of the cell before it, which is empty but after an insert that was one too many (I4). */
  readonly brim: number
  /** First slot that nothing was appended to yet, while the segment is being built. */
  cursor = 0

  constructor(format: CellFormat, depth: number, slots: number) {
    this.format = format
    this.depth = depth
    this.slots = slots
    const capacity = slots + overflowSlots(slots, format)
    this.cells = format.payloadBits > 16 ? new Int32Array(capacity << format.stride) : new Uint16Array(capacity)
    this.limit = Math.floor(slots * format.maxLoad)
    this.floor = Math.floor(slots * SHRINK_LOAD)
    // Addresses that share a home differ by at least `slots` in `~address * slots`, so its upper bits tell them apart.
    const homeBits = format.payloadBits > 16 ? 8 : Math.clz32(slots) - 15
    this.inverse = 1 / slots
    this.homeShift = ADDRESS_BITS - homeBits
    this.lowShift = Math.max(0, homeBits + ADDRESS_BITS - format.payloadBits)
    this.mark = 1 << this.lowShift
    this.crowded = format.maxDistance * format.unit
    this.end = (capacity - 1) << format.stride
    this.brim = (capacity - 2) << format.stride
  }

  /** The part of a cell beneath its distance. `spread` is `~address * slots`. */
  payload(spread: number, y: number): number {
    return (((((~spread & 0xffff) >>> this.homeShift) << 16) | (y & 0xffff)) >>> this.lowShift) | 0
  }

  /** y of a new entry, all of whose bits are known: as many as fit, then the mark. */
  seal(x: number): number {
    return (x | this.mark) & -this.mark
  }

  /** Puts an entry in behind those of higher and equal address. True if the segment must be rebuilt now (I4). */
  insert(y: number, value: number): boolean {
    return this.format.stride === 1 ? this.insertPair(y, value) : this.insertCell(y)
  }

  /** For the format with values, whose numbers stand here as constants: an insert moves some 20 cells. */
  private insertPair(y: number, value: number): boolean {
    const { cells } = this
    const spread = Math.imul(~y >>> 16, this.slots)
    let cell = WIDE_UNIT | ((~spread & 0xff00) << 8) | (y & 0xffff)
    let i = (spread >>> 16) << 1
    while ((cells[i] as number) >= cell) {
      i += 2
      cell += WIDE_UNIT
    }
    let highest = cell
    for (;;) {
      const next = cells[i] as number
      const nextValue = cells[i + 1] as number
      cells[i] = cell
      cells[i + 1] = value
      if (next === 0) break
      cell = next + WIDE_UNIT
      value = nextValue
      if (cell > highest) highest = cell
      i += 2
    }
    this.entries++
    return highest >= this.crowded || i === this.brim
  }

  private insertCell(y: number): boolean {
    const { cells } = this
    const { unit } = this.format
    const spread = Math.imul(~y >>> 16, this.slots)
    let cell = unit | this.payload(spread, y)
    let i = spread >>> 16
    while ((cells[i] as number) >= cell) {
      i++
      cell += unit
    }
    let highest = cell
    for (;;) {
      const next = cells[i] as number
      cells[i] = cell
      if (next === 0) break
      cell = next + unit
      if (cell > highest) highest = cell
      i++
    }
    this.entries++
    return highest >= this.crowded || i === this.brim
  }

  /**
   * Adds the entry that comes last so far, while a segment is being built: calls must come in order of address (I2). False,
   * and nothing added, if that would break I4.
   */
  append(y: number, value: number): boolean {
    const { cells, format, cursor } = this
    if ((y & (this.mark - 1)) !== 0) y = this.seal(y)
    const spread = Math.imul(~y >>> 16, this.slots)
    const home = spread >>> 16
    const at = cursor > home ? cursor : home
    const distance = at - home + 1
    const i = at << format.stride
    if (distance >= format.maxDistance || i >= this.brim) return false
    cells[i] = (distance * format.unit) | this.payload(spread, y)
    if (format.stride === 1) cells[i + 1] = value
    this.cursor = at + 1
    this.entries++
    return true
  }

  /**
   * y of the entry in cell i, its known bits followed by a 1 and zeros.
   *
   * `~address * slots` is the smallest multiple of `slots` that is not below home and bits of home together. Half a unit
   * less than the next one keeps the division by multiplication on the right side of every integer.
   */
  decode(i: number): number {
    const { format } = this
    const cell = this.cells[i] as number
    const home = (i >>> format.stride) + 1 - (cell >>> format.payloadBits)
    const payload = (cell & (format.unit - 1)) << this.lowShift
    const within = ((~payload >>> 16) << this.homeShift) & 0xffff
    const address = (((home << 16) | within) + this.slots - 0.5) * this.inverse
    return (~address << 16) | (payload & 0xffff)
  }

  /** Value of the entry in cell i, as an int32; 0 in formats without values. */
  valueAt(i: number): number {
    return this.format.stride === 1 ? (this.cells[i + 1] as number) : 0
  }

  /**
   * Index of the first cell from i on whose entry may be that of hash x: all the bits that the entry has are those of x.
   * -1 if there is none. Start at {@link home}; go on one slot behind the last match.
   */
  match(x: number, i: number): number {
    const { cells } = this
    const { unit, stride } = this.format
    const step = 1 << stride
    const spread = Math.imul(~x >>> 16, this.slots)
    const payload = this.payload(spread, x)
    let floor = ((i >>> stride) - (spread >>> 16) + 1) * unit
    for (; ; i += step, floor += unit) {
      const cell = cells[i] as number
      if (cell < floor) return -1
      // The lowest 1 of a cell ends its bits: what differs must lie at or below it.
      if ((cell ^ (floor | payload)) >>> 0 < (cell & -cell) << 1) return i
    }
  }

  /** Index of the cell at home of hash x. */
  home(x: number): number {
    return (Math.imul(~x >>> 16, this.slots) >>> 16) << this.format.stride
  }

  /** The same cells in memory of their own. */
  clone(): Segment {
    const copy = new Segment(this.format, this.depth, this.slots)
    copy.cells.set(this.cells)
    copy.entries = this.entries
    return copy
  }

  /** Takes out the entry in cell i and moves those behind it back, as far as they were displaced. */
  removeAt(i: number): void {
    const { cells } = this
    const { unit, stride } = this.format
    const step = 1 << stride
    for (;;) {
      const next = cells[i + step] as number
      // An entry at home stays there, and an empty cell ends the cluster; the last cell is always empty.
      if (next < 2 * unit) break
      cells[i] = next - unit
      if (stride === 1) cells[i + 1] = cells[i + step + 1] as number
      i += step
    }
    cells[i] = 0
    this.entries--
  }
}

/** Load below which a segment is rebuilt smaller or joined with its sibling. */
const SHRINK_LOAD = 0.35
