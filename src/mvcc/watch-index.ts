/**
 * Who watches which keys of one table: finds those concerned by a write without asking all of them.
 *
 * Keys are found by value. Ranges stand in an interval tree (Cormen et al., Introduction to Algorithms, 14.3) laid out in a
 * sorted array: sorted by lower end, each middle knowing the greatest upper end between its neighbours' ends. It is built anew
 * by the first write after a range has come or gone.
 *
 * I1  `stab` tells exactly those readers whose key or range covers the key, each once.
 *
 * Cost of a write that concerns nobody: one lookup in a hash table, and O(log n) comparisons of keys for n ranges.
 */
import { type Bounds, inBounds, isAboveLower, isBelowUpper, type Key, KeyMap, compareKeys } from '../keys/index.ts'
import type { Feed, FeedReader } from './feed.ts'
import type { TableStore } from './store.ts'

/** A key, or a range of keys, of one table. */
export class Watched {
  readonly store: TableStore
  /** undefined: {@link bounds} tell. */
  readonly key: Key | undefined
  readonly bounds: Bounds

  /** @param bounds those of the key alone, if there is one. */
  constructor(store: TableStore, key: Key | undefined, bounds: Bounds) {
    this.store = store
    this.key = key
    this.bounds = bounds
  }

  covers(key: Key): boolean {
    return inBounds(key, this.bounds)
  }
}

let versions = 0

/** From 1 to 2^32 - 1, over and over: an entry that was last written so many changes ago is not to be met. */
function nextVersion(): number {
  versions = versions === 0xffff_ffff ? 1 : versions + 1
  return versions
}

interface RangeReader {
  readonly reader: FeedReader
  readonly bounds: Bounds
}

export class WatchIndex {
  private readonly points: KeyMap<FeedReader[]> = new KeyMap()
  private ranges: RangeReader[] = []
  /** By position of the middle of each stretch of `ranges`: the bounds with the greatest upper end in it. */
  private tops: Bounds[] = []
  private isBuilt = true
  /** Another one whenever somebody comes or goes, and none that any other index has had. */
  version: number = nextVersion()

  get isEmpty(): boolean {
    return this.points.size === 0 && this.ranges.length === 0
  }

  add(reader: FeedReader, { key, bounds }: Watched): void {
    this.version = nextVersion()
    if (key === undefined) {
      if (bounds.empty) return
      this.ranges.push({ reader, bounds })
      this.isBuilt = false
      return
    }
    const known = this.points.get(key)
    if (known === undefined) this.points.set(key, [reader])
    else known.push(reader)
  }

  remove(reader: FeedReader, { key }: Watched): void {
    this.version = nextVersion()
    if (key === undefined) {
      this.ranges = this.ranges.filter((range) => range.reader !== reader)
      this.isBuilt = false
      return
    }
    const left = this.points.get(key)?.filter((other) => other !== reader) ?? []
    if (left.length > 0) this.points.set(key, left)
    else this.points.delete(key)
  }

  /** Tells the feed whom a write of this key concerns; returns whether it concerns anybody. I1. */
  stab(key: Key, feed: Feed): boolean {
    let found = false
    const readers = this.points.get(key)
    if (readers !== undefined) {
      found = true
      for (let i = 0; i < readers.length; i++) feed.concern(readers[i] as FeedReader)
    }
    if (this.ranges.length === 0) return found
    if (!this.isBuilt) this.build()
    return this.stabRanges(key, feed, 0, this.ranges.length) || found
  }

  private stabRanges(key: Key, feed: Feed, low: number, high: number): boolean {
    if (low >= high) return false
    const middle = (low + high) >>> 1
    if (!isBelowUpper(key, this.tops[middle] as Bounds)) return false
    let found = this.stabRanges(key, feed, low, middle)
    const { reader, bounds } = this.ranges[middle] as RangeReader
    if (!isAboveLower(key, bounds)) return found
    if (isBelowUpper(key, bounds)) {
      found = true
      feed.concern(reader)
    }
    return this.stabRanges(key, feed, middle + 1, high) || found
  }

  private build(): void {
    this.ranges.sort((a, b) => compareLower(a.bounds, b.bounds))
    this.tops = Array.from({ length: this.ranges.length })
    this.fillTops(0, this.ranges.length)
    this.isBuilt = true
  }

  private fillTops(low: number, high: number): Bounds | null {
    if (low >= high) return null
    const middle = (low + high) >>> 1
    let top = (this.ranges[middle] as RangeReader).bounds
    top = greaterUpper(top, this.fillTops(low, middle))
    top = greaterUpper(top, this.fillTops(middle + 1, high))
    this.tops[middle] = top
    return top
  }
}

function compareLower(a: Bounds, b: Bounds): number {
  if (a.lower === undefined || b.lower === undefined)
    return (a.lower === undefined ? 0 : 1) - (b.lower === undefined ? 0 : 1)
  const order = compareKeys(a.lower, b.lower)
  return order === 0 ? Number(a.lowerOpen) - Number(b.lowerOpen) : order
}

function greaterUpper(a: Bounds, b: Bounds | null): Bounds {
  if (b === null || a.upper === undefined) return a
  if (b.upper === undefined) return b
  const order = compareKeys(a.upper, b.upper)
  if (order === 0) return a.upperOpen ? b : a
  return order > 0 ? a : b
}
