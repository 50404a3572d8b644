/**
 * Looking into a core: its entries, the lengths of its probes, its false-positive rate, its invariants. Everything here
 * but sampling walks all entries.
 */
import type { Key } from '../keys/key.ts'
import type { KeyMatcher, MapletCore } from './core.ts'
import { places } from './directory.ts'
import { hashKey, hashLow } from './hash.ts'
import { nextEntry } from './reshape.ts'
import type { Segment } from './segment.ts'

/** One entry, seen from outside. */
export interface CoreEntry {
  /** The known bits of the entry's hash as a 53-bit integer: the first bit is the highest, unknown ones are 0. */
  readonly fingerprint: number
  /** How many bits are known. */
  readonly bits: number
  /** As an int32. */
  readonly value: number
}

/** All entries, in order of fingerprint within segments, segments in order of hash. Not to be changed meanwhile. */
export function* entriesOf(core: MapletCore): Generator<CoreEntry, void, undefined> {
  for (const at of places(core)) {
    const segment = core.segments[at] as Segment
    const prefix = segment.depth === 0 ? 0 : at >>> (32 - core.shift - segment.depth)
    const { end } = segment
    for (let i = nextEntry(segment, 0); i < end; i = nextEntry(segment, i + 1)) {
      const y = segment.decode(i)
      const low = y & (y - 1) & 0xffff
      // 16 bits of address, then those that chose the segment, then those in the cell.
      const fingerprint = (y >>> 16) * 2 ** 37 + prefix * 2 ** (37 - segment.depth) + low * 2 ** (21 - segment.depth)
      yield { fingerprint, bits: segment.depth + knownBits(y), value: segment.valueAt(i) }
    }
  }
  if (core.spill === null) return
  for (const [hash, values] of core.spill.lists) {
    const fingerprint = Math.floor(hash / 2 ** 37) * 2 ** 37 + (hash % 2 ** 21) * 2 ** 16
    for (const value of values) yield { fingerprint, bits: 37, value }
  }
}

/** Bits of y above the 1 that ends them. */
function knownBits(y: number): number {
  return Math.clz32(y & -y)
}

/** How far entries stand from home, and what that and their bits mean for lookups. */
export interface Probes {
  /** Mean of the cells that a lookup of an entry passes, itself included. */
  readonly mean: number
  /** The most of them. */
  readonly max: number
  /** Chance that a random absent hash agrees with some entry: the sum of 2^-bits over all entries. */
  readonly falsePositiveRate: number
}

export function probesOf(core: MapletCore): Probes {
  let entries = 0
  let sum = 0
  let max = 0
  let rate = 0
  for (const at of places(core)) {
    const segment = core.segments[at] as Segment
    for (let i = nextEntry(segment, 0); i < segment.end; i = nextEntry(segment, i + 1)) {
      const probes = (segment.cells[i] as number) >>> segment.format.payloadBits
      entries++
      sum += probes
      if (probes > max) max = probes
      rate += 2 ** -(segment.depth + knownBits(segment.decode(i)))
    }
  }
  return { mean: entries === 0 ? 0 : sum / entries, max, falsePositiveRate: Math.min(1, rate) }
}

/** Of so many hashes drawn at random, the share that some entry agrees with. The draw depends on `stream` alone. */
export function sampleFalsePositives(core: MapletCore, samples: number, stream = 0): number {
  let hits = 0
  for (let i = 0; i < samples; i++) {
    const h1 = scramble(Math.imul(i, 0x9e37_79b9) ^ stream)
    if (core.contains(h1, scramble(h1 + i))) hits++
  }
  return samples === 0 ? 0 : hits / samples
}

/** A bijection of 32 bits without visible pattern (the "lowbias32" of Chris Wellons' search for such functions). */
function scramble(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x7feb_352d)
  x = Math.imul(x ^ (x >>> 15), 0x846c_a68b)
  return x ^ (x >>> 16)
}

/** Throws on the first invariant of a segment or of the core that does not hold. */
export function checkCore(core: MapletCore, matcher: KeyMatcher | null): void {
  let entries = core.spill === null ? 0 : core.spill.entries
  for (const at of places(core)) {
    const segment = core.segments[at] as Segment
    checkSegment(segment, at)
    entries += segment.entries
  }
  const exact = !core.layout.copiesVoid
  if (exact ? entries !== core.size : entries < core.size) {
    throw new Error(`maplet I3: ${entries} entries, but ${core.size} are counted`)
  }
  if (matcher?.keyOf === undefined) return
  for (const { value } of entriesOf(core)) checkFound(core, matcher.keyOf(value), value)
}

function checkFound(core: MapletCore, key: Key, value: number): void {
  const h1 = hashKey(key, core)
  const count = core.candidates(h1, hashLow)
  if (core.found.subarray(0, count).includes(value)) return
  throw new Error(`maplet I1: the entry with value ${value} is not found by its key's hash`)
}

/** Throws on the first of I1 to I4 of a segment that does not hold. */
export function checkSegment(segment: Segment, at = 0): void {
  const { cells, end, brim, format } = segment
  const where = `segment at place ${at}`
  const step = 1 << format.stride
  if (cells[end] !== 0 || cells[brim] !== 0) throw new Error(`I4: the last two cells are not empty: ${where}`)
  let entries = 0
  let previous = 0xffff
  let free = 0
  for (let i = 0; i < end; i += step) {
    const cell = cells[i] as number
    const slot = i >>> format.stride
    if (cell === 0) {
      free = slot + 1
      continue
    }
    entries++
    const y = segment.decode(i)
    const home = slot + 1 - (cell >>> format.payloadBits)
    const spread = Math.imul(~y >>> 16, segment.slots)
    if (spread >>> 16 !== home || segment.payload(spread, y) !== (cell & (format.unit - 1))) {
      throw new Error(`I2: slot ${slot} does not decode to itself: ${where}`)
    }
    if (y >>> 16 > previous) throw new Error(`I2: slot ${slot} is out of order: ${where}`)
    if (home < free) throw new Error(`I3: slot ${slot} has a gap between it and its home: ${where}`)
    if (cell >= segment.crowded) throw new Error(`I4: slot ${slot} is at the maximal distance: ${where}`)
    previous = y >>> 16
  }
  if (entries !== segment.entries) throw new Error(`I1: ${entries} entries, ${segment.entries} counted: ${where}`)
}
