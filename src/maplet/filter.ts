/** `Filter`: the maplet without values, which says whether a key may be there. */
import { VarveError } from '../errors.ts'
import { admitKey, type Key } from '../keys/index.ts'
import { NARROW_FILTER_LAYOUT, refuseProblems, type Sizing, sizingProblems, WIDE_FILTER_LAYOUT } from './format.ts'
import { Generations, type GenerationsStats } from './generations.ts'
import { entriesOf } from './inspect.ts'

/** Options of {@link Filter}. All may be left out. */
export interface FilterOptions extends Sizing {
  /** Entries to make room for at once; with `autoResize: false` the most it takes. Default 0: it grows from nothing. */
  readonly capacity?: number | undefined
  /**
   * Highest acceptable share of absent keys that are taken for present ones. Default 0.01, which slots of 2 bytes keep up
   * to some 8 million keys grown from nothing (ten times as many add 0.002), and at any number that `capacity` foresees.
   * A lower rate takes slots of 4 bytes; below 0.0001 nothing is promised, and refused.
   */
  readonly falsePositiveRate?: number | undefined
  /** Default true. With false, an insert beyond `capacity` fails with `CAPACITY_EXCEEDED` and changes nothing. */
  readonly autoResize?: boolean | undefined
  /** As for a maplet: 16 bytes, or an integer for reproducible layouts. Default: random. */
  readonly seed?: number | Uint8Array | undefined
  /** As for a maplet: `keyed` resists chosen keys from the start. Default `seeded`. */
  readonly hash?: 'seeded' | 'keyed' | undefined
}

const DEFAULT_RATE = 0.01
const DEFAULT_SAMPLES = 65_536

/**
 * A set of keys that takes 2.5 to 2.9 bytes a key and errs to one side: `has` is true for every key that was inserted,
 * and with a small probability, below the configured rate, for one that was not.
 *
 * Unlike a Bloom filter it grows without bound, deletes, merges and lists its fingerprints. The same key may be inserted
 * several times, and is there until it has been deleted as often.
 */
export class Filter {
  #options: FilterOptions
  #entries: Generations
  #changes = 0

  /**
   * Takes {@link FilterOptions}.
   * @throws VarveError `INVALID_OPTIONS`, naming everything that is wrong.
   */
  constructor(options: FilterOptions = {}) {
    refuseProblems('Filter', problemsOf(options))
    this.#options = { ...options }
    this.#entries = new Generations(this.#options, layoutFor(options))
  }

  /** Keys inserted less keys deleted. */
  get size(): number {
    return this.#entries.size
  }

  /** Bytes of memory. */
  get bytes(): number {
    return this.#entries.bytes
  }

  /** The 16 bytes of its seed, for a filter that is to be merged with it. They are a secret. */
  get seed(): Uint8Array {
    return this.#entries.newest.seed.toBytes()
  }

  /**
   * Adds a key, once more if it is there.
   * @throws VarveError `INVALID_KEY`; `CAPACITY_EXCEEDED` if it may not grow: then nothing has changed.
   */
  insert(key: Key): void {
    this.#changes++
    this.#entries.insert(admitKey(key), 0)
  }

  /** Whether a key may be there. false is certain. */
  has(key: Key): boolean {
    return this.#entries.has(admitKey(key))
  }

  /**
   * Takes a key out, once. Whether there was one to take out. Delete only what was inserted: a key that was not, but
   * collides with one that was, would take that one's entry. Deleting what was inserted makes no other key absent.
   */
  delete(key: Key): boolean {
    this.#changes++
    return this.#entries.remove(admitKey(key), 0)
  }

  /**
   * A new filter with the keys of this one and of another, under the options of this one: one pass over both.
   *
   * @throws VarveError `INVALID_ARGUMENT` if the two differ in seed or hash, or one was made for a rate below 0.01 and the
   * other not; `CAPACITY_EXCEEDED` if this one may not grow and both together are too many.
   */
  merge(other: Filter): Filter {
    const result = new Filter({ ...this.#options, seed: this.seed, capacity: undefined, autoResize: undefined })
    result.#options = this.#options
    result.#entries = this.#entries.merge(other.#entries)
    return result
  }

  /**
   * The fingerprints of all entries, in no order that means anything: integers below 2^53, the bits of the key's hash
   * that the entry has, the first one highest, zeros behind them. The entries of very old keys may appear twice.
   *
   * @throws VarveError `INVALID_ARGUMENT` from the step after a change of the filter.
   */
  *fingerprints(): IterableIterator<number> {
    const changes = this.#changes
    for (const core of this.#entries.cores) {
      for (const { fingerprint } of entriesOf(core)) {
        yield fingerprint
        if (changes === this.#changes) continue
        throw new VarveError(
          'INVALID_ARGUMENT',
          'the filter was changed while it was read; collect the fingerprints first',
        )
      }
    }
  }

  /** Takes everything out. */
  clear(): void {
    this.#changes++
    this.#entries.clear()
  }

  /**
   * Its state, with the false-positive rate that is to be expected from its fingerprints and the one measured by looking
   * up `samples` random hashes (default 65,536). Walks all entries.
   */
  stats(samples: number = DEFAULT_SAMPLES): GenerationsStats {
    return this.#entries.stats(samples)
  }

  /** Walks everything and throws an Error on the first invariant that does not hold: a bug, or damaged memory. */
  check(): void {
    this.#entries.check()
  }
}

function layoutFor({ falsePositiveRate }: FilterOptions): typeof NARROW_FILTER_LAYOUT {
  const rate = falsePositiveRate ?? DEFAULT_RATE
  return rate < NARROW_FILTER_LAYOUT.falsePositiveRate ? WIDE_FILTER_LAYOUT : NARROW_FILTER_LAYOUT
}

const KNOWN = ['capacity', 'falsePositiveRate', 'autoResize', 'seed', 'hash']

function problemsOf(options: FilterOptions): string[] {
  const problems = Object.keys(options).flatMap((name) => (KNOWN.includes(name) ? [] : [`${name} is unknown`]))
  problems.push(...sizingProblems(options, WIDE_FILTER_LAYOUT.falsePositiveRate))
  if (options.hash !== undefined && options.hash !== 'seeded' && options.hash !== 'keyed') {
    problems.push("hash must be 'seeded' or 'keyed'")
  }
  return problems
}
