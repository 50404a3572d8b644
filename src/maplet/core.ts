/**
 * The maplet core: from hashes to 32-bit values, growing and shrinking by segments, exact for those who can verify keys.
 *
 * It is a directory of segments (directory.ts, segment.ts): the upper bits of h2, as many as a segment is deep, choose the
 * segment, the next 15 stand in the entry, and the upper 16 bits of h1 choose the home in the segment.
 *
 * It is not a map: it does not hold keys, and a lookup finds every entry whose fingerprint agrees with the hash. With a
 * {@link KeyMatcher}, `find` asks for each candidate whether it holds the very key, so its answer is exact; without one,
 * answers are those of a filter: an entry that was put in is always found, one that was not is found at the
 * false-positive rate.
 *
 * Cost: 9.1 to 10.8 bytes an entry with values (2.5 to 2.9 without) from a few thousand entries on. A lookup is one hash,
 * one place in the directory, and one or two cache lines. Nothing but a rebuild under the keyed hash touches more than
 * one or two segments at a time, so no other operation takes longer than some 0.3 ms.
 *
 * Hash: murmur-like with a secret seed at first. When hashes crowd as random ones never do (a hundred in one home, or
 * far too many in one segment), somebody is choosing keys. A core that can ask for keys (`keyOf`) then rebuilds
 * itself under a keyed hash; one that cannot refuses the entry (insert returns false) and its owner opens a second core.
 * Under the keyed hash, crowding means that one key was put in a hundred times; such entries go to a list (spill.ts).
 *
 * I1  Every entry that was put in and not taken out is found, through every change of shape.
 * I2  Each segment holds I1 to I4 of segment.ts, the directory those of directory.ts, the spill those of spill.ts.
 * I3  `size` counts entries, the copies of void ones not included.
 * I4  An operation that throws has changed nothing.
 *
 * A hash (h1, h2) is good until the next insert, which may switch to the keyed hash. Nothing here may be called from
 * inside `matches` or `keyOf`.
 */
import { VarveError } from '../errors.ts'
import type { Key } from '../keys/key.ts'
import {
  checkDirectory,
  type Directory,
  doubleDirectory,
  MAX_DEPTH,
  places,
  putHalves,
  putSegment,
  resetDirectory,
  siblingPlace,
  trimDirectory,
} from './directory.ts'
import {
  type Layout,
  MAPLET_LAYOUT,
  MIN_SLOTS,
  refuseProblems,
  type Sizing,
  sizingProblems,
  WIDE_UNIT,
} from './format.ts'
import { type Hashing, hashKey, hashLow, HashSeed, resolveSeed } from './hash.ts'
import { checkCore } from './inspect.ts'
import { halve, join, LEAST_GROWTH, rebuild, type Rederive } from './reshape.ts'
import { Segment } from './segment.ts'
import { Spill } from './spill.ts'

export { hashKey, hashLow } from './hash.ts'
export type { MergeOperator } from './merges.ts'

/** Who knows the keys behind the values. `keyOf` must already answer for a value that is being inserted. */
export interface KeyMatcher {
  /** Whether the entry with this value is that of the key. */
  matches(value: number, key: Key): boolean
  /** The key of an entry. Without it the core cannot rebuild itself from keys. */
  keyOf?(value: number): Key
}

/** Options of a core: sizing, and what hashes depend on. */
export interface MapletOptions extends Sizing {
  /** Secret of the hash: 16 bytes, or a number for reproducible layouts. Default: random. */
  readonly seed?: number | Uint8Array | HashSeed | undefined
  /** `keyed` uses the keyed hash from the start. Default `seeded`: the faster one, until crowding shows an attack. */
  readonly hash?: 'seeded' | 'keyed' | undefined
}

/** State of a core. */
export interface MapletStats {
  /** Entries held. */
  readonly entries: number
  /** Most entries it takes; Infinity if it grows. */
  readonly capacity: number
  /** Slots of all segments. */
  readonly slots: number
  /** Segments: the pieces that grow one by one. */
  readonly segments: number
  /** Entries per slot. */
  readonly load: number
  /** Bytes of memory it takes. */
  readonly bytes: number
  /** Whether the keyed hash is in use. */
  readonly keyed: boolean
  /** Lookups with a key since it was made. */
  readonly finds: number
  /** Candidates that turned out to be another key. */
  readonly falseCandidates: number
  /** False candidates per lookup, as counted; 0 before the first lookup. */
  readonly measuredFalsePositiveRate: number
}

/** Places in the directory beyond this many times the segments show that hashes are not spread evenly. */
const DIRECTORY_SLACK = 16
const SMALL_DIRECTORY = 64

/** Load of a segment that was rebuilt smaller: far from both ends, so that it does not go back and forth. */
const SHRUNK_LOAD = 0.65

/** Memory of a segment beside its cells: the object, the typed array and its buffer. */
const SEGMENT_BYTES = 400

export class MapletCore implements Directory, Hashing, Rederive {
  segments: Segment[] = []
  shift = 31
  /** I3. */
  size = 0
  readonly seed: HashSeed
  keyed: boolean
  readonly capacity: number
  readonly layout: Layout
  /** Candidates that turned out to be another key: counted only when it happens. */
  falseCandidates = 0
  /** Lookups with a key, in a box that holds doubles from the start. */
  private readonly finds: Float64Array = new Float64Array(1)
  private readonly matcher: KeyMatcher | null
  private readonly resizes: boolean
  private segmentCount = 1
  spill: Spill | null = null
  /** What {@link candidates} found: values as int32, oldest first. */
  found: Int32Array = new Int32Array(8)
  private foundMarks: Int32Array = new Int32Array(8)

  /** @throws VarveError `INVALID_OPTIONS`, naming everything that is wrong. */
  constructor(matcher: KeyMatcher | null, options: MapletOptions = {}, layout: Layout = MAPLET_LAYOUT) {
    refuseProblems('maplet', sizingProblems(options, layout.falsePositiveRate))
    this.matcher = matcher
    this.layout = layout
    this.seed = options.seed instanceof HashSeed ? options.seed : resolveSeed(options.seed)
    this.keyed = options.hash === 'keyed'
    this.resizes = options.autoResize !== false
    this.capacity = this.resizes ? Infinity : (options.capacity ?? 0)
    this.clear()
    if (options.capacity !== undefined) this.reserve(options.capacity)
  }

  /** The value whose entry holds the key, or -1. For values below 2^31, in the layout with values. */
  find(h1: number, h2: number, key: Key): number {
    const segment = this.segments[h2 >>> this.shift] as Segment
    const { depth, cells } = segment
    const spread = Math.imul(~h1 >>> 16, segment.slots)
    // As Segment.match, with the numbers of the format as constants.
    const payload = ((~spread & 0xff00) << 8) | ((h2 << depth) >>> 16)
    let i = (spread >>> 16) << 1
    ;(this.finds[0] as number)++
    for (let floor = WIDE_UNIT; ; floor += WIDE_UNIT, i += 2) {
      const cell = cells[i] as number
      if (cell < floor) break
      if ((cell ^ (floor | payload)) >>> 0 < (cell & -cell) << 1) {
        const value = cells[i + 1] as number
        if ((this.matcher as KeyMatcher).matches(value, key)) return value
        this.falseCandidates++
      }
    }
    return this.spill === null ? -1 : this.findSpilled(h1, h2, key)
  }

  private findSpilled(h1: number, h2: number, key: Key): number {
    for (const value of (this.spill as Spill).under(h1, h2)) {
      if ((this.matcher as KeyMatcher).matches(value, key)) return value
      this.falseCandidates++
    }
    return -1
  }

  /** Whether an entry with that hash may be there. */
  contains(h1: number, h2: number): boolean {
    const segment = this.segments[h2 >>> this.shift] as Segment
    const x = hashAt(segment.depth, h1, h2)
    return segment.match(x, segment.home(x)) >= 0 || (this.spill !== null && this.spill.has(h1, h2))
  }

  /**
   * Collects in {@link found} the values of all entries that may have that hash, oldest first, and returns how many.
   * An older entry never has more bits than a newer one; those with equally many stand in order of insertion. In the
   * layout with values.
   */
  candidates(h1: number, h2: number): number {
    const segment = this.segments[h2 >>> this.shift] as Segment
    const { depth, cells } = segment
    const spread = Math.imul(~h1 >>> 16, segment.slots)
    const payload = ((~spread & 0xff00) << 8) | ((h2 << depth) >>> 16)
    let count = 0
    let i = (spread >>> 16) << 1
    for (let floor = WIDE_UNIT; ; floor += WIDE_UNIT, i += 2) {
      const cell = cells[i] as number
      if (cell < floor) break
      if ((cell ^ (floor | payload)) >>> 0 < (cell & -cell) << 1)
        this.keep(count++, cells[i + 1] as number, cell & -cell)
    }
    if (this.spill !== null) for (const value of this.spill.under(h1, h2)) this.keep(count++, value, 0)
    return count
  }

  /** Puts one more candidate behind those that have at most as many bits as it has: that is, whose mark is not lower. */
  private keep(count: number, value: number, mark: number): void {
    if (count === this.found.length) {
      const [found, marks] = [this.found, this.foundMarks]
      this.found = new Int32Array(count * 2)
      this.foundMarks = new Int32Array(count * 2)
      this.found.set(found)
      this.foundMarks.set(marks)
    }
    const { found, foundMarks } = this
    let at = count
    while (at > 0 && (foundMarks[at - 1] as number) < mark) {
      found[at] = found[at - 1] as number
      foundMarks[at] = foundMarks[at - 1] as number
      at--
    }
    found[at] = value
    foundMarks[at] = mark
  }

  /**
   * Puts an entry in. False, and nothing changed, if its hash is one of too many that crowd: only a core without `keyOf`
   * and not keyed says so.
   *
   * @throws VarveError `CAPACITY_EXCEEDED` if it may not grow, or if entries without keys have run out of hash bits.
   */
  insert(h1: number, h2: number, value: number): boolean {
    if (this.size >= this.capacity) throw this.full(1)
    let segment = this.segments[h2 >>> this.shift] as Segment
    while (segment.entries >= segment.limit) {
      if (!this.enlarge(h2 >>> this.shift)) return this.insertFlooding(h1, h2, value)
      segment = this.segments[h2 >>> this.shift] as Segment
    }
    if (this.spill !== null && this.spill.has(h1, h2)) return this.insertSpilling(h1, h2, value)
    const y = segment.seal(hashAt(segment.depth, h1, h2))
    if (segment.insert(y, value)) return this.relieve(h1, h2, value)
    this.size++
    return true
  }

  /** After an insert that left its segment crowded: makes room, or takes the entry out and puts it elsewhere. */
  private relieve(h1: number, h2: number, value: number): boolean {
    let relieved = false
    try {
      relieved = this.enlarge(h2 >>> this.shift)
    } finally {
      if (!relieved) this.removeFromSegment(h1, h2, value)
    }
    if (!relieved) return this.insertFlooding(h1, h2, value)
    this.size++
    return true
  }

  private insertFlooding(h1: number, h2: number, value: number): boolean {
    if (this.keyed) return this.insertSpilling(h1, h2, value)
    if (this.matcher?.keyOf === undefined) return false
    this.rekey()
    return this.insert(hashKey(this.matcher.keyOf(value), this), hashLow, value)
  }

  private insertSpilling(h1: number, h2: number, value: number): boolean {
    this.spill ??= new Spill()
    this.spill.add(h1, h2, value | 0)
    this.size++
    return true
  }

  /** Takes out an entry with that hash and value: of several, the newest. Whether there was one. */
  remove(h1: number, h2: number, value: number): boolean {
    const removed =
      (this.spill !== null && this.spill.remove(h1, h2, value | 0)) || this.removeFromSegment(h1, h2, value)
    if (!removed) return false
    this.size--
    const at = h2 >>> this.shift
    const segment = this.segments[at] as Segment
    if (segment.entries < segment.floor && this.resizes) this.shrink(at)
    if (this.spill !== null && this.spill.entries === 0) this.spill = null
    return true
  }

  private removeFromSegment(h1: number, h2: number, value: number): boolean {
    const segment = this.segments[h2 >>> this.shift] as Segment
    const at = this.newestWith(segment, hashAt(segment.depth, h1, h2), value | 0)
    if (at < 0) return false
    segment.removeAt(at)
    return true
  }

  /** Gives another value to the newest entry with that hash and value. Whether there was one. */
  replace(h1: number, h2: number, value: number, next: number): boolean {
    if (this.spill !== null && this.spill.replace(h1, h2, value | 0, next | 0)) return true
    const segment = this.segments[h2 >>> this.shift] as Segment
    const at = this.newestWith(segment, hashAt(segment.depth, h1, h2), value | 0)
    if (at < 0) return false
    segment.cells[at + 1] = next
    return true
  }

  /**
   * Of the entries that may have hash x and have that value, the one with the most bits. Taking out any other could
   * leave behind one that no longer speaks for the key whose entry went.
   */
  private newestWith(segment: Segment, x: number, value: number): number {
    const step = 1 << segment.format.stride
    let newest = -1
    let mark = Infinity
    for (let i = segment.match(x, segment.home(x)); i >= 0; i = segment.match(x, i + step)) {
      const cell = segment.cells[i] as number
      if (segment.valueAt(i) === value && (cell & -cell) <= mark) {
        newest = i
        mark = cell & -cell
      }
    }
    return newest
  }

  /** Whether `count` more entries would be refused. */
  wouldExceed(count: number): boolean {
    return this.size + count > this.capacity
  }

  private full(count: number): VarveError {
    return new VarveError(
      'CAPACITY_EXCEEDED',
      `the maplet holds ${this.size} entries, its capacity is ${this.capacity} and autoResize is off: ${count} more do not fit`,
    )
  }

  /** Makes room for `entries` in all, so that no insert up to there has to. Never takes room away. */
  reserve(entries: number): void {
    const { maxLoad } = this.layout.formatOf(this.layout.maxSlots)
    const slotsAt = (depth: number): number => {
      const mean = entries / 2 ** depth
      // Four standard deviations: one segment in 30,000 will have to grow all the same.
      return Math.ceil((mean + 4 * Math.sqrt(mean)) / maxLoad)
    }
    for (let at = 0; at < this.segments.length;) {
      const segment = this.segments[at] as Segment
      const slots = slotsAt(segment.depth)
      const { shift } = this
      if (slots > this.layout.maxSlots && this.divide(at, Infinity)) {
        if (this.shift < shift) at *= 2
        continue
      }
      const larger = slots > segment.slots ? rebuild(segment, Math.min(slots, this.layout.maxSlots), this.layout) : null
      if (larger !== null) putSegment(this, at, larger)
      at += 1 << (32 - this.shift - segment.depth)
    }
  }

  /** Gives the segment in a place more room. False if that is of no use because hashes crowd. */
  private enlarge(at: number): boolean {
    const segment = this.segments[at] as Segment
    const { targetLoad } = this.layout.formatOf(Math.ceil(segment.slots * LEAST_GROWTH))
    let slots = Math.ceil(Math.max(segment.entries / targetLoad, segment.slots * LEAST_GROWTH))
    for (; slots <= this.layout.maxSlots; slots = Math.ceil(slots * LEAST_GROWTH)) {
      if (segment.entries < slots * segment.format.leastLoad) return false
      const larger = rebuild(segment, slots, this.layout)
      if (larger === null) continue
      putSegment(this, at, larger)
      return true
    }
    return this.divide(at, SMALL_DIRECTORY + DIRECTORY_SLACK * this.segmentCount)
  }

  /** Splits the segment in a place. False if the directory would have more than `most` places, or hashes crowd. */
  private divide(at: number, most: number): boolean {
    const segment = this.segments[at] as Segment
    const needsDoubling = segment.depth === 32 - this.shift
    if (needsDoubling && this.segments.length * 2 > most) return false
    if (segment.depth === MAX_DEPTH) {
      throw new VarveError(
        'CAPACITY_EXCEEDED',
        `the maplet holds ${this.size} entries, which is as many as it can tell apart`,
      )
    }
    const halves = halve(segment, this.layout, this)
    if (halves === null) return false
    if (needsDoubling) doubleDirectory(this)
    putHalves(this, needsDoubling ? at * 2 : at, halves[0], halves[1])
    this.segmentCount++
    return true
  }

  /** Gives memory back: joins the segment in a place with its sibling, or rebuilds it smaller. */
  private shrink(at: number): void {
    const segment = this.segments[at] as Segment
    const { maxSlots } = this.layout
    const slotsFor = (entries: number): number => Math.max(MIN_SLOTS, Math.ceil(entries / SHRUNK_LOAD))
    const siblingAt = siblingPlace(this, at)
    const sibling = siblingAt < 0 ? undefined : (this.segments[siblingAt] as Segment)
    if (sibling !== undefined && slotsFor(segment.entries + sibling.entries) <= maxSlots * SHRUNK_LOAD) {
      const [zeros, ones] = siblingAt < at ? [sibling, segment] : [segment, sibling]
      const joined = join(zeros, ones, slotsFor(segment.entries + sibling.entries), this.layout)
      if (joined === null) return
      putSegment(this, at, joined)
      this.segmentCount--
      if (segment.depth === 32 - this.shift) trimDirectory(this)
    } else if (slotsFor(segment.entries) < segment.slots) {
      const smaller = rebuild(segment, slotsFor(segment.entries), this.layout)
      if (smaller !== null) putSegment(this, at, smaller)
    }
  }

  /** Hashes every key anew with the keyed hash: the answer to keys chosen to collide. Takes time in the size, once. */
  private rekey(): void {
    const matcher = this.matcher as Required<KeyMatcher>
    const keyed = new MapletCore(matcher, { seed: this.seed, hash: 'keyed', capacity: this.size }, this.layout)
    for (const at of places(this)) {
      const segment = this.segments[at] as Segment
      const step = 1 << segment.format.stride
      for (let i = 0; i < segment.end; i += step) {
        if (segment.cells[i] === 0) continue
        const value = segment.valueAt(i)
        keyed.insert(hashKey(matcher.keyOf(value), keyed), hashLow, value)
      }
    }
    this.keyed = true
    this.install(keyed.segments, keyed.spill)
  }

  /** For a split: the hash of an entry whose own bits are used up, from its key. */
  rederive(value: number, depth: number): number {
    if (this.matcher?.keyOf === undefined) {
      throw new VarveError(
        'CAPACITY_EXCEEDED',
        `the maplet holds ${this.size} entries, and the oldest have no hash bits left to tell where they belong after ` +
          'another split: build a new one from the keys, with a capacity',
      )
    }
    const h1 = hashKey(this.matcher.keyOf(value), this)
    return hashAt(depth, h1, hashLow)
  }

  /** Gives every entry another value: for owners whose values say where the real ones are. */
  mapValues(map: (value: number) => number): void {
    for (const at of places(this)) {
      const { cells, end, format } = this.segments[at] as Segment
      for (let i = 0; i < end; i += 1 << format.stride) if (cells[i] !== 0) cells[i + 1] = map(cells[i + 1] as number)
    }
    if (this.spill === null) return
    for (const list of this.spill.lists.values())
      for (let i = 0; i < list.length; i++) list[i] = map(list[i] as number) | 0
  }

  /** Takes everything out. Hash and capacity stay. */
  clear(): void {
    resetDirectory(this, new Segment(this.layout.formatOf(MIN_SLOTS), 0, MIN_SLOTS))
    this.segmentCount = 1
    this.spill = null
    this.size = 0
    if (!this.resizes) this.reserve(this.capacity)
  }

  /** Takes over segments that were made elsewhere, and the entries in them. */
  install(segments: Segment[], spill: Spill | null): void {
    this.segments = segments
    this.shift = 32 - Math.log2(segments.length)
    this.spill = spill
    const all = places(this)
    this.segmentCount = all.length
    this.size = spill === null ? 0 : spill.entries
    for (const at of all) this.size += (this.segments[at] as Segment).entries
  }

  /** The same entries in memory of their own. */
  clone(): MapletCore {
    const copy = new MapletCore(this.matcher, { seed: this.seed, hash: this.keyed ? 'keyed' : 'seeded' }, this.layout)
    const segments = new Map<Segment, Segment>()
    for (const at of places(this)) {
      const segment = this.segments[at] as Segment
      segments.set(segment, segment.clone())
    }
    let spill: Spill | null = null
    if (this.spill !== null) {
      spill = new Spill()
      for (const [hash, list] of this.spill.lists) for (const value of list) spill.addAt(hash, value)
    }
    copy.install(
      this.segments.map((segment) => segments.get(segment) as Segment),
      spill,
    )
    copy.size = this.size
    return copy
  }

  /** Bytes of memory: cells, directory, objects. */
  get bytes(): number {
    let bytes = this.segments.length * 8 + (this.spill === null ? 0 : this.spill.bytes)
    for (const at of places(this)) bytes += (this.segments[at] as Segment).cells.byteLength + SEGMENT_BYTES
    return bytes
  }

  /** Its state. Takes time in the number of segments, not of entries. */
  stats(): MapletStats {
    let slots = 0
    const all = places(this)
    for (const at of all) slots += (this.segments[at] as Segment).slots
    const finds = this.finds[0] as number
    return {
      entries: this.size,
      capacity: this.capacity,
      slots,
      segments: all.length,
      load: this.size / slots,
      bytes: this.bytes,
      keyed: this.keyed,
      finds,
      falseCandidates: this.falseCandidates,
      measuredFalsePositiveRate: finds === 0 ? 0 : this.falseCandidates / finds,
    }
  }

  /** Walks everything and throws on the first invariant that does not hold. */
  check(): void {
    checkDirectory(this)
    this.spill?.check()
    if (places(this).length !== this.segmentCount) throw new Error(`I2: ${this.segmentCount} segments are counted`)
    checkCore(this, this.matcher)
  }
}

/** What y would be, all 32 bits of it known, of a hash in a segment of that depth. */
function hashAt(depth: number, h1: number, h2: number): number {
  return (h1 & ~0xffff) | ((h2 << depth) >>> 16)
}
