/**
 * One or more cores behind one face, for owners that do not know the keys of their entries: the maplet and the filter.
 *
 * There is one core, until keys that crowd under the seeded hash show that somebody is choosing them. What was put in
 * cannot be hashed anew without its keys, so a second core is opened, under the keyed hash, for all that comes after, and
 * lookups ask both. The same holds two cores that cannot be merged into one because their entries would crowd.
 *
 * I1  `cores` is not empty; the last one takes what is new; no core behind a keyed one is not keyed.
 * I2  All cores have the same seed and layout.
 */
import { VarveError } from '../errors.ts'
import type { Key } from '../keys/key.ts'
import { MapletCore, type MapletOptions } from './core.ts'
import type { Layout } from './format.ts'
import { hashKey, hashLow } from './hash.ts'
import { type Probes, probesOf, sampleFalsePositives } from './inspect.ts'
import { mergeCores } from './merge-cores.ts'
import type { ValueMerge } from './reshape.ts'

/** What {@link Generations.stats} tells. */
export interface GenerationsStats {
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
  /** Bytes of memory of the slots, values inline included, and of everything around them. */
  readonly bytes: number
  /** Whether new entries go in under the keyed hash: asked for, or since somebody chose keys that collide. */
  readonly keyed: boolean
  /** Mean of the slots that a lookup of an entry looks at. */
  readonly meanProbe: number
  /** The most of them. */
  readonly maxProbe: number
  /** Share of random absent keys that should be taken for present ones, from the fingerprints that are there. */
  readonly expectedFalsePositiveRate: number
  /** The same as measured just now, by looking up `samples` random hashes. */
  readonly measuredFalsePositiveRate: number
}

const NO_VALUES: ValueMerge = { first: (value) => value, second: (value) => value, both: null }

export class Generations {
  readonly options: MapletOptions
  readonly layout: Layout
  readonly capacity: number
  /** Oldest first. */
  cores: MapletCore[]
  newest: MapletCore
  /** What {@link candidates} found: values as int32, oldest first. */
  found: Int32Array

  /** @throws VarveError `INVALID_OPTIONS`. */
  constructor(options: MapletOptions, layout: Layout, cores?: MapletCore[]) {
    this.options = options
    this.layout = layout
    this.capacity = options.autoResize === false ? (options.capacity ?? 0) : Infinity
    // The capacity is kept here, over all cores; to each of them it is a hint.
    this.cores = cores ?? [new MapletCore(null, { ...options, autoResize: true }, layout)]
    this.newest = this.cores.at(-1) as MapletCore
    this.found = this.newest.found
  }

  get size(): number {
    let size = 0
    for (const core of this.cores) size += core.size
    return size
  }

  /** @throws VarveError `CAPACITY_EXCEEDED`; nothing has changed then. */
  insert(key: Key, value: number): void {
    if (this.capacity !== Infinity && this.size >= this.capacity) {
      const message = `${this.size} entries are held, capacity is ${this.capacity} and autoResize is off: one more does not fit`
      throw new VarveError('CAPACITY_EXCEEDED', message)
    }
    if (this.newest.insert(hashKey(key, this.newest), hashLow, value)) return
    this.newest = new MapletCore(null, { seed: this.newest.seed, hash: 'keyed' }, this.layout)
    this.cores.push(this.newest)
    this.newest.insert(hashKey(key, this.newest), hashLow, value)
  }

  has(key: Key): boolean {
    // Newest first: what was chosen to collide stands there, and alone.
    for (let i = this.cores.length - 1; i >= 0; i--) {
      const core = this.cores[i] as MapletCore
      if (core.contains(hashKey(key, core), hashLow)) return true
    }
    return false
  }

  /** As {@link candidates}, but only those of the newest core that has any: the last of them is the newest of all. */
  latest(key: Key): number {
    for (let i = this.cores.length - 1; i >= 0; i--) {
      const core = this.cores[i] as MapletCore
      const count = core.candidates(hashKey(key, core), hashLow)
      this.found = core.found
      if (count > 0) return count
    }
    return 0
  }

  /** Collects in {@link found} the values of all entries that may be the key's, oldest first; returns how many. */
  candidates(key: Key): number {
    const { newest } = this
    const count = newest.candidates(hashKey(key, newest), hashLow)
    this.found = newest.found
    return this.cores.length === 1 ? count : this.candidatesOfAll(key)
  }

  private candidatesOfAll(key: Key): number {
    const found: number[] = []
    for (const core of this.cores) {
      const count = core.candidates(hashKey(key, core), hashLow)
      for (let i = 0; i < count; i++) found.push(core.found[i] as number)
    }
    this.found = Int32Array.from(found)
    return found.length
  }

  /** Takes out the newest entry that may be the key's and has that value. */
  remove(key: Key, value: number): boolean {
    for (let i = this.cores.length - 1; i >= 0; i--) {
      const core = this.cores[i] as MapletCore
      if (core.remove(hashKey(key, core), hashLow, value)) return true
    }
    return false
  }

  /** Gives another value to the newest entry that may be the key's and has that value. */
  replace(key: Key, value: number, next: number): boolean {
    for (let i = this.cores.length - 1; i >= 0; i--) {
      const core = this.cores[i] as MapletCore
      if (core.replace(hashKey(key, core), hashLow, value, next)) return true
    }
    return false
  }

  /**
   * The entries of both, under this one's options; neither of the two changes.
   * @throws VarveError `INVALID_ARGUMENT` if their hashes differ, `CAPACITY_EXCEEDED` if this one's capacity is too low.
   */
  merge(other: Generations, values: ValueMerge = NO_VALUES): Generations {
    const [mine, theirs] = [this.newest, other.newest]
    if (!mine.seed.equals(theirs.seed) || (this.options.hash === 'keyed') !== (other.options.hash === 'keyed')) {
      const message = 'only what was made with the same `seed` and `hash` can be merged: give one the seed of the other'
      throw new VarveError('INVALID_ARGUMENT', message)
    }
    if (this.layout !== other.layout) {
      throw new VarveError(
        'INVALID_ARGUMENT',
        'what was made for different false-positive rates has different slots and cannot be merged',
      )
    }
    const cores: MapletCore[] = []
    const rest = [...other.cores]
    for (const core of this.cores) {
      const at = rest.findIndex((candidate) => candidate.keyed === core.keyed)
      const merged = at < 0 ? null : mergeCores(core, rest[at] as MapletCore, values)
      if (merged !== null) rest.splice(at, 1)
      cores.push(merged ?? copyOf(core, (value) => values.first(value)))
    }
    for (const core of rest) cores.push(copyOf(core, (value) => values.second(value)))
    cores.sort((a, b) => Number(a.keyed) - Number(b.keyed))
    const result = new Generations({ ...this.options, seed: mine.seed }, this.layout, cores)
    if (result.size <= result.capacity) return result
    const message = `the merge has ${result.size} entries, the capacity is ${result.capacity} and autoResize is off`
    throw new VarveError('CAPACITY_EXCEEDED', message)
  }

  clear(): void {
    const first = this.cores[0] as MapletCore
    first.clear()
    this.cores = [first]
    this.newest = first
  }

  get bytes(): number {
    let bytes = 0
    for (const core of this.cores) bytes += core.bytes
    return bytes
  }

  stats(samples: number): GenerationsStats {
    let [slots, segments, steps, maxProbe, missing, missed] = [0, 0, 0, 0, 1, 1]
    for (const core of this.cores) {
      const stats = core.stats()
      const probes: Probes = probesOf(core)
      slots += stats.slots
      segments += stats.segments
      steps += probes.mean * core.size
      maxProbe = Math.max(maxProbe, probes.max)
      missing *= 1 - probes.falsePositiveRate
      missed *= 1 - sampleFalsePositives(core, samples)
    }
    const { size: entries } = this
    return {
      entries,
      capacity: this.capacity,
      slots,
      segments,
      load: entries / slots,
      bytes: this.bytes,
      keyed: this.newest.keyed,
      meanProbe: entries === 0 ? 0 : steps / entries,
      maxProbe,
      expectedFalsePositiveRate: 1 - missing,
      measuredFalsePositiveRate: 1 - missed,
    }
  }

  check(): void {
    for (const [i, core] of this.cores.entries()) {
      core.check()
      if (!core.seed.equals(this.newest.seed) || core.layout !== this.layout)
        throw new Error(`I2: core ${i} is of another kind`)
      if (core.keyed && this.cores.slice(i).some(({ keyed }) => !keyed))
        throw new Error(`I1: core ${i} is keyed too early`)
    }
    if (this.cores.at(-1) !== this.newest) throw new Error('I1: the newest core is not the last')
  }
}

function copyOf(core: MapletCore, map: (value: number) => number): MapletCore {
  const copy = core.clone()
  if (core.layout.hasValues) copy.mapValues(map)
  return copy
}
