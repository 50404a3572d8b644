/**
 * Segments made from segments: larger or smaller, two from one, one from two, one from one of each of two maplets.
 *
 * Each of these reads entries in order of y and appends them in order of y, in one pass, into arrays of its own: what
 * was there before is untouched, so a caller that gives up half-way has lost nothing. A result of null means that some
 * entry would have stood too far from its home (I4 of the segment): try again with more slots.
 *
 * A split takes the uppermost bit of y and moves the others up; the last hash bit becomes unknown. Joining gives the bit
 * back and drops the last one of entries that have all.
 */
import type { Layout } from './format.ts'
import { Segment, VOID } from './segment.ts'

/** A segment that is rebuilt with more slots gets at least this many times as many. */
export const LEAST_GROWTH = 1.1

/** Random hashes do not crowd at a load below this: the odds are under 10^-17 an entry. */
export const IMPLAUSIBLE_LOAD = 0.5

/** Makes y for an entry whose hash bits are used up, at the given depth, from its value; or throws. */
export interface Rederive {
  rederive(value: number, depth: number): number
}

/** What a transfer does to y. */
const KEEP = 0
const SHIFT_LEFT = 1
const SHIFT_RIGHT = 2
type Shift = typeof KEEP | typeof SHIFT_LEFT | typeof SHIFT_RIGHT

/**
 * Appends the entries of cells from `from` to `end` to another segment, y as it is, or shifted, or shifted and `top`
 * added. False if they crowd. Entries without hash bits cannot be shifted left: their cells are listed in `spent`.
 *
 * This is where growth spends its time: each entry is moved five times while the number of entries doubles. So there is
 * one loop for each kind of segment, `decode` and `append` of the segment with everything that does not change taken out.
 */
function transfer(
  source: Segment,
  from: number,
  end: number,
  target: Segment,
  shift: Shift,
  top: number,
  spent: number[],
): boolean {
  return source.format.stride === 1
    ? transferPairs(source, from, end, target, shift, top, spent)
    : transferCells(source, from, end, target, shift, top, spent)
}

function transferPairs(
  source: Segment,
  from: number,
  end: number,
  target: Segment,
  shift: Shift,
  top: number,
  spent: number[],
): boolean {
  const { cells, inverse } = source
  const { cells: targetCells, slots } = target
  const { maxDistance } = target.format
  const nearly = source.slots - 0.5
  const limit = target.brim >>> 1
  let { cursor } = target
  let entries = 0
  for (let i = from; i < end; i += 2) {
    const cell = cells[i] as number
    if (cell === 0) continue
    const home = (i >>> 1) + 1 - (cell >>> 24)
    const spreadBefore = (home << 16) | ((~cell >>> 8) & 0xff00)
    let y = (~((spreadBefore + nearly) * inverse) << 16) | (cell & 0xffff)
    if (shift === SHIFT_LEFT) {
      if ((y & 0xffff) === VOID) {
        spent.push(i)
        continue
      }
      y <<= 1
    } else if (shift === SHIFT_RIGHT) {
      y = top | (y >>> 1) | (y & 1)
    }
    const spread = Math.imul(~y >>> 16, slots)
    const targetHome = spread >>> 16
    if (cursor < targetHome) cursor = targetHome
    const distance = cursor - targetHome + 1
    if (distance >= maxDistance || cursor >= limit) return false
    targetCells[cursor << 1] = (distance << 24) | ((~spread & 0xff00) << 8) | (y & 0xffff)
    targetCells[(cursor << 1) + 1] = cells[i + 1] as number
    cursor++
    entries++
  }
  target.cursor = cursor
  target.entries += entries
  return true
}

function transferCells(
  source: Segment,
  from: number,
  end: number,
  target: Segment,
  shift: Shift,
  top: number,
  spent: number[],
): boolean {
  for (let i = from; i < end; i++) {
    if (source.cells[i] === 0) continue
    let y = source.decode(i)
    if (shift === SHIFT_LEFT) {
      if ((y & 0xffff) === VOID) {
        spent.push(i)
        continue
      }
      y <<= 1
    } else if (shift === SHIFT_RIGHT) {
      y = top | (y >>> 1) | (y & 1)
    }
    if (!target.append(y, 0)) return false
  }
  return true
}

/** The same entries in another number of slots. */
export function rebuild(segment: Segment, slots: number, layout: Layout): Segment | null {
  const result = new Segment(layout.formatOf(slots), segment.depth, slots)
  return transfer(segment, 0, segment.end, result, KEEP, 0, []) ? result : null
}

/** Where the entries whose next hash bit is 0 begin. Those with a 1 have the first half of the homes. */
function boundaryOf(segment: Segment): number {
  let i = nextEntry(segment, (segment.slots >>> 1) << segment.format.stride)
  while (i < segment.end && segment.decode(i) < 0) i = nextEntry(segment, i + 1)
  return i
}

/**
 * Two segments in place of one, by its next hash bit: [entries with a 0, entries with a 1].
 *
 * An entry that has no hash bits left does not know which half of its address it belongs to. It is copied to both (as in
 * Aleph filter: Dayan, Bercea, Pagh, PVLDB 2024) where the layout says so, else its y comes from `source`.
 */
function split(
  segment: Segment,
  boundary: number,
  slots: readonly [zeros: number, ones: number],
  layout: Layout,
  source: Rederive,
): [Segment, Segment] | null {
  const depth = segment.depth + 1
  const zeros = new Segment(layout.formatOf(slots[0]), depth, slots[0])
  const ones = new Segment(layout.formatOf(slots[1]), depth, slots[1])
  const spent: number[] = []
  if (!transfer(segment, 0, boundary, ones, SHIFT_LEFT, 0, spent)) return null
  if (!transfer(segment, boundary, segment.end, zeros, SHIFT_LEFT, 0, spent)) return null
  // These have no place in the order of reading, so they are put in afterwards.
  for (const i of spent) {
    const y = segment.decode(i)
    const half = y < 0 ? ones : zeros
    const moved = (y << 1) & ~0x1_ffff
    if (layout.copiesVoid) {
      if (half.insert(moved | 0x1_0000 | VOID, 0) || half.insert(moved | VOID, 0)) return null
    } else if (half.insert(half.seal(source.rederive(segment.valueAt(i), depth)), segment.valueAt(i))) {
      return null
    }
  }
  return [zeros, ones]
}

/** As {@link split}, with as many slots as it takes. Null if entries crowd at any plausible load. */
export function halve(segment: Segment, layout: Layout, source: Rederive): [Segment, Segment] | null {
  const boundary = boundaryOf(segment)
  const ones = countEntries(segment, boundary)
  const zeros = segment.entries - ones
  for (let spare = 1; spare < 1 / IMPLAUSIBLE_LOAD; spare *= LEAST_GROWTH) {
    const slotsFor = (entries: number): number => Math.min(layout.maxSlots, layout.slotsFor(Math.ceil(entries * spare)))
    const halves = split(segment, boundary, [slotsFor(zeros), slotsFor(ones)], layout, source)
    if (halves !== null) return halves
  }
  return null
}

function countEntries(segment: Segment, end: number): number {
  const { cells } = segment
  const step = 1 << segment.format.stride
  let entries = 0
  for (let i = 0; i < end; i += step) if (cells[i] !== 0) entries++
  return entries
}

/** One segment in place of two that differ in their last common hash bit. */
export function join(zeros: Segment, ones: Segment, slots: number, layout: Layout): Segment | null {
  const result = new Segment(layout.formatOf(slots), zeros.depth - 1, slots)
  const fits =
    transfer(ones, 0, ones.end, result, SHIFT_RIGHT, 0x8000_0000 | 0, []) &&
    transfer(zeros, 0, zeros.end, result, SHIFT_RIGHT, 0, [])
  return fits ? result : null
}

/** What becomes of the values when two maplets are merged. */
export interface ValueMerge {
  /** The value of an entry of the first maplet, in the result. */
  first(value: number): number
  /** The value of an entry of the second maplet, in the result. */
  second(value: number): number
  /** The one value of two entries that agree; null if entries stay apart. Its first argument is a value of the result. */
  readonly both: ((merged: number, second: number) => number) | null
}

/**
 * The entries of two segments of the same hash bits: a merge of two sorted sequences, address by address, the first's
 * before its equals. Entries that agree in the bits that both have become one, with the bits that both have, if their
 * values are to be merged: it must answer for the keys of both.
 */
export function mergeSegments(
  a: Segment,
  b: Segment,
  slots: number,
  layout: Layout,
  values: ValueMerge,
): Segment | null {
  const result = new Segment(layout.formatOf(slots), a.depth, slots)
  const { both } = values
  let i = nextEntry(a, 0)
  let j = nextEntry(b, 0)
  while (i < a.end || j < b.end) {
    const address = Math.max(i < a.end ? a.decode(i) >>> 16 : 0, j < b.end ? b.decode(j) >>> 16 : 0)
    const group: { y: number; value: number }[] = []
    for (; i < a.end && a.decode(i) >>> 16 === address; i = nextEntry(a, i + 1)) {
      group.push({ y: a.decode(i), value: values.first(a.valueAt(i)) })
    }
    for (; j < b.end && b.decode(j) >>> 16 === address; j = nextEntry(b, j + 1)) {
      const y = b.decode(j)
      const twin = both === null ? undefined : group.find((entry) => agree(entry.y, y))
      if (both === null || twin === undefined) {
        group.push({ y, value: values.second(b.valueAt(j)) })
      } else {
        twin.value = both(twin.value, b.valueAt(j))
        if (endOf(y) > endOf(twin.y)) twin.y = y
      }
    }
    group.sort((p, q) => (q.y >>> 0) - (p.y >>> 0))
    for (const { y, value } of group) if (!result.append(y, value)) return null
  }
  return result
}

/** The 1 that ends the hash bits of an entry: the higher, the fewer they are. */
function endOf(y: number): number {
  return (y & -y) >>> 0
}

function agree(y1: number, y2: number): boolean {
  return (y1 ^ y2) >>> 0 < Math.max(endOf(y1), endOf(y2)) * 2
}

/** Index of the first cell from i on that holds an entry; `segment.end` if there is none. */
export function nextEntry(segment: Segment, i: number): number {
  const { cells, end } = segment
  const step = 1 << segment.format.stride
  // Callers step from one slot to the next by adding 1; with values that lands on the value.
  i = (i + step - 1) & -step
  while (i < end && cells[i] === 0) i += step
  return Math.min(i, end)
}
