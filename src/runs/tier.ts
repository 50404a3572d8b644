/**
 * The cold tier: everything that is not in memory, over all tables. Its sources are the replayed tail of the log, if there
 * is one, and the runs; the newest comes first, and a newer source's entry for a key hides those of older ones.
 *
 * Which sources there are is a version. A checkpoint or a merge publishes another; whoever reads for longer than one call,
 * a scan or a transaction, holds the version it began with. A run is closed, and then reported for removal, when no
 * version that is held and not the current one has it.
 *
 * It is not the truth: what memory holds of a key always comes first, and is never older.
 *
 * I1  A key's answer is that of the first source, newest first, that has any entry for it; a tombstone there means no value.
 * I2  `floor` is the least `coveredSequence` of the current version and all that are held. Every write up to it is in the
 *     sources of every version anybody reads, so its tombstone need not be kept in memory to hide an older value there.
 * I3  A run is open exactly as long as a version that is current or held has it; it is closed and reported once.
 *
 * Cost: a find asks each source once, with the key encoded and hashed once; nothing is allocated.
 */
import type { Bounds, Key } from '../keys/index.ts'
import { ColdScan } from './cold-scan.ts'
import type { MemoryRun } from './memory-run.ts'
import type { OpenRun, Source } from './source.ts'
import { Probe } from './stored-key.ts'
import { type ExpiredEntry, takeExpired } from './sweep.ts'

/** One set of sources. */
export class ColdVersion {
  /** Newest first; the tail before the runs. */
  readonly sources: readonly Source[]
  readonly runs: readonly OpenRun[]
  /** Every commit up to here is in the sources. */
  readonly coveredSequence: number
  /** How many hold it; the tier itself is not counted. */
  holders = 0
  /** The newest commit that any of those sees who have ever held it; -1: nobody did. */
  newestReader = -1

  constructor(tail: MemoryRun | null, runs: readonly OpenRun[], coveredSequence: number) {
    this.sources = tail === null ? runs : [tail, ...runs]
    this.runs = runs
    this.coveredSequence = coveredSequence
  }
}

/** What becomes of runs that nobody reads any more: they are closed already, and their files may go. */
export type Retired = (run: OpenRun) => void

export class ColdTier {
  /** The version that new reads see. */
  current: ColdVersion
  /** See I2. */
  floor: number
  /** Where finds of all tables encode their keys. */
  readonly probe: Probe = new Probe()
  private readonly tables: Map<number, ColdTable> = new Map()
  /** Versions that are held and not current. */
  private readonly held: Set<ColdVersion> = new Set()
  private readonly retired: Retired
  private readonly closing: Set<Promise<void>> = new Set()
  private isClosed = false

  /**
   * @param runs newest first
   * @param coveredSequence the last commit that is in the tail or the runs
   * @param retired called after a run was closed because nothing reads it any more; not for those that {@link close} closes
   */
  constructor(
    tail: MemoryRun | null,
    runs: readonly OpenRun[],
    coveredSequence: number,
    retired: Retired = (): void => {},
  ) {
    this.current = new ColdVersion(tail, runs, coveredSequence)
    this.floor = coveredSequence
    this.retired = retired
  }

  /** The cold part of a table; always the same object for an id. */
  table(id: number): ColdTable {
    let table = this.tables.get(id)
    if (table === undefined) {
      table = new ColdTable(this, id)
      this.tables.set(id, table)
    }
    return table
  }

  /** Whether any source may have an entry of the table: false only if none has. */
  has(table: number): boolean {
    const { sources } = this.current
    for (let i = 0; i < sources.length; i++) if ((sources[i] as Source).has(table)) return true
    return false
  }

  /** How many entries of the sources expire, hidden ones included. */
  get expiring(): number {
    let expiring = 0
    for (const source of this.current.sources) expiring += source.expiring
    return expiring
  }

  /**
   * No entry that {@link sweepCandidates} has yet to give out expires before this instant, in ms since 1970; infinite if none
   * does. At this instant there need not be one: hidden entries count too.
   */
  nextExpiry(): number {
    const { sources } = this.current
    let next = Infinity
    for (let i = 0; i < sources.length; i++) {
      const { expiries } = sources[i] as Source
      if (expiries !== null && expiries.least < next) next = expiries.least
    }
    return next
  }

  /**
   * Takes entries that have expired at `now`, whose newest entry in the tier they are, out of at most `maxBlocks` blocks, each of
   * which may have to be read (4 to 32 KiB) and holds up to some thousand entries. There is more as long as `nextExpiry()`
   * is at or before `now`.
   *
   * Each is given out once, until its run is merged or opened again; whoever cannot delete it yet must remember it.
   *
   * @param into where they are appended; returned
   * @throws CORRUPTION or IO if a block cannot be read, which is not tried again; `into` has what was found before
   */
  sweepCandidates(now: number, maxBlocks: number, into: ExpiredEntry[] = []): ExpiredEntry[] {
    takeExpired(this.current.sources, now, maxBlocks, into)
    return into
  }

  /**
   * Holds the current version until it is released.
   *
   * @param snapshot the newest commit that the reader sees; infinite if that is not known
   */
  acquire(snapshot: number = Infinity): ColdVersion {
    const { current } = this
    current.holders++
    if (snapshot > current.newestReader) current.newestReader = snapshot
    return current
  }

  /**
   * Whether a write of that commit may be let go by whoever has it: everybody finds it here who may see it. Versions that are held
   * may lack it, as long as none of their readers sees commits as late as that.
   */
  covers(sequence: number): boolean {
    if (sequence <= this.floor) return true
    if (sequence > this.current.coveredSequence) return false
    for (const version of this.held)
      if (sequence > version.coveredSequence && sequence <= version.newestReader) return false
    return true
  }

  /** Gives a version back; once for each time it was acquired. */
  release(version: ColdVersion): void {
    if (version.holders === 0) throw new Error('varve invariant violated: a version of the cold tier is released twice')
    version.holders--
    if (version.holders === 0 && version !== this.current) {
      this.held.delete(version)
      this.retire(version)
    }
  }

  /**
   * Makes another set of sources current: new reads see it at once, those under way keep theirs. Runs of the version
   * before that are not in it are retired as soon as nobody holds them.
   */
  publish(runs: readonly OpenRun[], tail: MemoryRun | null, coveredSequence: number): void {
    const before = this.current
    this.current = new ColdVersion(tail, runs, coveredSequence)
    if (before.holders > 0) {
      this.held.add(before)
      this.settleFloor()
    } else {
      this.retire(before)
    }
  }

  /** Closes every run, held or not; settles when all are closed. Nothing may be read afterwards. Never rejects. */
  async close(): Promise<void> {
    if (!this.isClosed) {
      this.isClosed = true
      const open = new Set<OpenRun>(this.current.runs)
      for (const version of this.held) for (const run of version.runs) open.add(run)
      this.held.clear()
      this.current = new ColdVersion(null, [], this.current.coveredSequence)
      for (const run of open) this.closeRun(run, null)
    }
    await Promise.all(this.closing)
  }

  /** Settles when the runs that nobody reads any more are closed, and whoever waits for that was called. */
  async settled(): Promise<void> {
    await Promise.all(this.closing)
  }

  /** Lets go of the runs that only `version` had. */
  private retire(version: ColdVersion): void {
    this.settleFloor()
    for (const run of version.runs) if (!this.isLive(run)) this.closeRun(run, this.retired)
  }

  private isLive(run: OpenRun): boolean {
    if (this.current.runs.includes(run)) return true
    for (const version of this.held) if (version.runs.includes(run)) return true
    return false
  }

  /** A run is only read, so a failure to close it loses nothing. */
  private closeRun(run: OpenRun, then: Retired | null): void {
    const closing = run
      .close()
      .catch(() => {})
      .then(() => {
        this.closing.delete(closing)
        then?.(run)
      })
    this.closing.add(closing)
  }

  private settleFloor(): void {
    let floor = this.current.coveredSequence
    for (const version of this.held) floor = Math.min(floor, version.coveredSequence)
    this.floor = floor
  }
}

/** The cold entries of one table. The fields tell of what {@link find} found last. */
export class ColdTable {
  readonly id: number
  /** The commit that wrote the value, or the tombstone that was found instead; 0 if there is neither. */
  sequence = 0
  /** Accounting size of the value, in bytes. */
  size = 0
  /** When the value expires, in ms since 1970; 0: never. It is found after that too. */
  expiresAt = 0
  /** The encoded value, `valueStart` to `valueEnd` of these bytes, which hold until the next find. */
  valueBytes: Uint8Array = NOTHING
  valueStart = 0
  valueEnd = 0
  private readonly tier: ColdTier

  constructor(tier: ColdTier, id: number) {
    this.tier = tier
    this.id = id
  }

  /** The encoded value, a copy. */
  get value(): Uint8Array {
    return this.valueBytes.slice(this.valueStart, this.valueEnd)
  }

  /** Whether the key has a live value in the current version; the fields then tell of it. */
  find(key: Key): boolean {
    const { current, probe } = this.tier
    const { sources } = current
    this.sequence = 0
    if (sources.length === 0) return false
    probe.aim(this.id, key)
    for (let i = 0; i < sources.length; i++) {
      const source = sources[i] as Source
      probe.hash(source.hashSeed)
      if (!source.find(probe.bytes, probe.length, probe.high, probe.low)) continue
      this.sequence = source.sequence
      if (source.tombstone) return false
      this.size = source.size
      this.expiresAt = source.expiresAt
      this.valueBytes = source.valueBytes
      this.valueStart = source.valueStart
      this.valueEnd = source.valueEnd
      return true
    }
    return false
  }

  /** The live entries within bounds, in their direction; the limit is the caller's. The version must be held meanwhile. */
  scan(bounds: Bounds, version: ColdVersion): ColdScan {
    return new ColdScan(this.id, bounds, version.sources)
  }
}

const NOTHING = new Uint8Array(0)
