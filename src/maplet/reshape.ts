/**
 * Segments made from segments: larger or smaller, two from one, one from two, one from one of each of two maplets.
 *
 * Each of these reads entries in order of address and appends them in that order, in one pass, into arrays of its own:
 * what was there before is untouched, so a caller that gives up half-way has lost nothing. A result of null means that
 * some entry would have stood too far from its home (I4 of the segment): try again with more slots.
 *
 * A split takes the first bit of the lower half of y and moves the others up; the last one becomes unknown. Joining gives
 * the bit back and drops the last one of entries that have all.
 */
import type { Layout } from './format.ts'
import { Segment, VOID } from './segment.ts'

/** A segment that is rebuilt with more slots gets at least this many times as many. */
export const LEAST_GROWTH = 1.1

/** Says what y is at a depth for an entry whose own hash bits are used up, from its value; or throws. */
export interface Rederive {
  rederive(value: number, depth: number): number
}

/** The same entries in another number of slots. */
export function rebuild(segment: Segment, slots: number, layout: Layout): Segment | null {
  const result = new Segment(layout.formatOf(slots), segment.depth, slots)
  return (segment.format.stride === 1 ? movePairs(segment, result) : moveCells(segment, result)) ? result : null
}

/**
 * Appends all entries to another segment; false if they crowd.
 *
 * Growth spends its time here: each entry is moved five times while the number of entries doubles. So, for the format with
 * values, `decode` and `append` are written out with everything that does not change taken out.
 */
function movePairs(source: Segment, target: Segment): boolean {
  const { cells, inverse, end } = source
  const { cells: targetCells, slots } = target
  const { maxDistance } = target.format
  const nearly = source.slots - 0.5
  const limit = target.brim >>> 1
  let cursor = 0
  for (let i = 0; i < end; i += 2) {
    const cell = cells[i] as number
    if (cell === 0) continue
    const home = (i >>> 1) + 1 - (cell >>> 24)
    const before = (home << 16) | ((~cell >>> 8) & 0xff00)
    const spread = Math.imul(((before + nearly) * inverse) | 0, slots)
    const targetHome = spread >>> 16
    if (cursor < targetHome) cursor = targetHome
    const distance = cursor - targetHome + 1
    if (distance >= maxDistance || cursor >= limit) return false
    targetCells[cursor << 1] = (distance << 24) | ((~spread & 0xff00) << 8) | (cell & 0xffff)
    targetCells[(cursor << 1) + 1] = cells[i + 1] as number
    cursor++
  }
  target.entries = source.entries
  return true
}

function moveCells(source: Segment, target: Segment): boolean {
  for (let i = 0; i < source.end; i++) if (source.cells[i] !== 0 && !target.append(source.decode(i), 0)) return false
  return true
}

/**
 * Two segments in place of one, by its next hash bit: [entries with a 0, entries with a 1]. Null if entries crowd at any
 * plausible load.
 *
 * An entry that has no hash bits left does not know which half it belongs to. Where there are values, `source` says so
 * from the key; in filters it is copied to both (as in Aleph filter: Dayan, Bercea, Pagh, PVLDB 2024). For one in a
 * thousand entries a split is then a copy, which is why the address takes no part in it: copies at neighbouring homes
 * would soon crowd.
 */
export function halve(segment: Segment, layout: Layout, source: Rederive): [Segment, Segment] | null {
  const entries = largerHalf(segment)
  for (let slots = Math.min(layout.maxSlots, layout.slotsFor(entries)); ;) {
    const format = layout.formatOf(slots)
    const zeros = new Segment(format, segment.depth + 1, slots)
    const ones = new Segment(format, segment.depth + 1, slots)
    const fits = format.stride === 1 ? splitPairs(segment, [zeros, ones], source) : splitCells(segment, [zeros, ones])
    if (fits) return [zeros, ones]
    slots = Math.ceil(slots * LEAST_GROWTH)
    if (slots > layout.maxSlots || entries < slots * format.leastLoad) return null
  }
}

/** Entries of the half that has more; those that do not know theirs are counted in. */
function largerHalf(segment: Segment): number {
  const { cells, end, lowShift } = segment
  const step = 1 << segment.format.stride
  const place = 15 - lowShift
  const mask = (2 << place) - 1
  let ones = 0
  let spent = 0
  for (let i = 0; i < end; i += step) {
    const low = (cells[i] as number) & mask
    ones += low >>> place
    if (low === 1 << place) spent++
  }
  return Math.max(ones, segment.entries - ones + spent)
}

/** As {@link movePairs}; which half an entry goes to is looked up, since nobody could predict the branch. */
function splitPairs(segment: Segment, halves: readonly [Segment, Segment], source: Rederive): boolean {
  const { cells, inverse, end } = segment
  const { slots, format } = halves[0]
  const { maxDistance } = format
  const nearly = segment.slots - 0.5
  const limit = halves[0].brim >>> 1
  const cellsOf = [halves[0].cells, halves[1].cells]
  const cursors = new Int32Array(2)
  const entries = new Int32Array(2)
  for (let i = 0; i < end; i += 2) {
    const cell = cells[i] as number
    if (cell === 0) continue
    const low = cell & 0xffff
    const known = low === VOID ? source.rederive(cells[i + 1] as number, segment.depth) : low
    const half = (known >>> 15) & 1
    const home = (i >>> 1) + 1 - (cell >>> 24)
    const before = (home << 16) | ((~cell >>> 8) & 0xff00)
    const spread = Math.imul(((before + nearly) * inverse) | 0, slots)
    const targetHome = spread >>> 16
    const cursor = Math.max(cursors[half] as number, targetHome)
    const distance = cursor - targetHome + 1
    if (distance >= maxDistance || cursor >= limit) return false
    const targetCells = cellsOf[half] as Int32Array
    const moved = ((known << 1) & 0xffff) | Number(low === VOID)
    targetCells[cursor << 1] = (distance << 24) | ((~spread & 0xff00) << 8) | moved
    targetCells[(cursor << 1) + 1] = cells[i + 1] as number
    cursors[half] = cursor + 1
    entries[half] = (entries[half] as number) + 1
  }
  halves[0].entries = entries[0] as number
  halves[1].entries = entries[1] as number
  return true
}

function splitCells(segment: Segment, [zeros, ones]: readonly [Segment, Segment]): boolean {
  for (let i = 0; i < segment.end; i++) {
    if (segment.cells[i] === 0) continue
    const y = segment.decode(i)
    const isSpent = (y & 0xffff) === VOID
    const isOne = ((y >>> 15) & 1) === 1 // The 1 that ends a spent entry is one too.
    const moved = isSpent ? y : (y & ~0xffff) | ((y << 1) & 0xffff)
    if ((isSpent || !isOne) && !zeros.append(moved, 0)) return false
    if (isOne && !ones.append(moved, 0)) return false
  }
  return true
}

/** One segment in place of two that differ in their last common hash bit. */
export function join(zeros: Segment, ones: Segment, slots: number, layout: Layout): Segment | null {
  const result = new Segment(layout.formatOf(slots), zeros.depth - 1, slots)
  let i = nextEntry(ones, 0)
  let j = nextEntry(zeros, 0)
  while (i < ones.end || j < zeros.end) {
    const one = i < ones.end ? raised(ones.decode(i), VOID) : 0
    const zero = j < zeros.end ? raised(zeros.decode(j), 0) : 0
    const fromOnes = one >>> 0 >= zero >>> 0
    if (!result.append(fromOnes ? one : zero, fromOnes ? ones.valueAt(i) : zeros.valueAt(j))) return null
    if (fromOnes) i = nextEntry(ones, i + 1)
    else j = nextEntry(zeros, j + 1)
  }
  return result
}

/** y of an entry that gains a hash bit in front; one that has all of them loses the last. */
function raised(y: number, bit: number): number {
  return (y & ~0xffff) | bit | ((y & 0xffff) >>> 1) | (y & 1)
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
