/**
 * Two cores of the same hash made into one that holds the entries of both: a merge of sorted sequences, segment by
 * segment, without hashing a key. Where one core is split further than the other, the other's segment is split too.
 *
 * Cost: time and memory of the result; the two cores stay as they are.
 */
import { VarveError } from '../errors.ts'
import { MapletCore } from './core.ts'
import { MAX_DEPTH } from './directory.ts'
import type { Layout } from './format.ts'
import { halve, LEAST_GROWTH, mergeSegments, rebuild, type ValueMerge } from './reshape.ts'
import type { Segment } from './segment.ts'
import { Spill } from './spill.ts'

/** The merged core, or null if entries crowd: then both must go on side by side. */
export function mergeCores(a: MapletCore, b: MapletCore, values: ValueMerge): MapletCore | null {
  const result = new MapletCore(null, { seed: a.seed, hash: a.keyed ? 'keyed' : 'seeded' }, a.layout)
  const leaves: Segment[] = []
  if (!new Merging(a, b, values, leaves).merge(0, 0, segmentAt(a, 0, 0), segmentAt(b, 0, 0))) return null
  let deepest = 1
  for (const { depth } of leaves) deepest = Math.max(deepest, depth)
  const segments: Segment[] = []
  // Leaves come in order of prefix, each in as many places as it has hashes.
  for (const segment of leaves) for (let i = 0; i < 1 << (deepest - segment.depth); i++) segments.push(segment)
  result.install(segments, mergeSpills(a.spill, b.spill, values))
  // Copies of void entries are in the segments but not in the count.
  if (a.layout.copiesVoid) result.size = a.size + b.size
  return result
}

/** The segment of exactly those bits, or null if it is split further. */
function segmentAt(core: MapletCore, depth: number, prefix: number): Segment | null {
  const directoryDepth = 32 - core.shift
  if (depth > directoryDepth) return null
  const segment = core.segments[prefix << (directoryDepth - depth)] as Segment
  return segment.depth === depth ? segment : null
}

class Merging {
  readonly a: MapletCore
  readonly b: MapletCore
  readonly layout: Layout
  readonly values: ValueMerge
  readonly leaves: Segment[]

  constructor(a: MapletCore, b: MapletCore, values: ValueMerge, leaves: Segment[]) {
    this.a = a
    this.b = b
    this.layout = a.layout
    this.values = values
    this.leaves = leaves
  }

  /** Merges what lies under a prefix; `sa` and `sb` are the segments there, or null where the core is split further. */
  merge(depth: number, prefix: number, sa: Segment | null, sb: Segment | null): boolean {
    if (sa !== null && sb !== null) {
      const merged = this.fit(sa, sb)
      if (merged === 'crowded') return false
      if (merged !== 'full') {
        this.leaves.push(merged)
        return true
      }
    }
    if (depth === MAX_DEPTH) {
      throw new VarveError('CAPACITY_EXCEEDED', 'the two maplets together hold more entries than one can tell apart')
    }
    const halvesA = sa === null ? this.children(this.a, depth, prefix) : halve(sa, this.layout, this.a)
    const halvesB = sb === null ? this.children(this.b, depth, prefix) : halve(sb, this.layout, this.b)
    if (halvesA === null || halvesB === null) return false
    return (
      this.merge(depth + 1, prefix * 2, halvesA[0], halvesB[0]) &&
      this.merge(depth + 1, prefix * 2 + 1, halvesA[1], halvesB[1])
    )
  }

  private children(core: MapletCore, depth: number, prefix: number): [Segment | null, Segment | null] {
    return [segmentAt(core, depth + 1, prefix * 2), segmentAt(core, depth + 1, prefix * 2 + 1)]
  }

  /** Both in one segment; or why not: they are too many for one, or they crowd in any. */
  private fit(sa: Segment, sb: Segment): Segment | 'full' | 'crowded' {
    const entries = sa.entries + sb.entries
    for (let slots = this.layout.slotsFor(entries); slots <= this.layout.maxSlots;) {
      const merged = mergeSegments(sa, sb, slots, this.layout, this.values)
      if (merged !== null) {
        // Merged values leave fewer entries than there was room made for.
        const enough = this.layout.slotsFor(merged.entries)
        return (enough < slots * 0.95 ? rebuild(merged, enough, this.layout) : null) ?? merged
      }
      slots = Math.ceil(slots * LEAST_GROWTH)
      if (entries < slots * this.layout.formatOf(slots).leastLoad) return 'crowded'
    }
    return 'full'
  }
}

function mergeSpills(a: Spill | null, b: Spill | null, values: ValueMerge): Spill | null {
  if (a === null && b === null) return null
  const result = new Spill()
  for (const [hash, list] of a?.lists ?? []) for (const value of list) result.addAt(hash, values.first(value))
  for (const [hash, list] of b?.lists ?? []) for (const value of list) result.addAt(hash, values.second(value))
  return result
}
