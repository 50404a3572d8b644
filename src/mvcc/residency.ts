/**
 * What is in memory, what it counts for, and how much of it there may be. One per engine, over all its tables.
 *
 * An entry counts for the size of its key and value and what it costs in columns, index and maplet; old versions count too.
 * Where the application says what an entry counts for (`sizeOf`), that is all it counts for. Every place that makes, changes
 * or drops an entry or a version tells it here, so the sum is exact at any time and costs an addition.
 *
 * It knows what there is; who leaves is decided by the policy, and whether and how by the evictor (evictor.ts).
 *
 * R1  `used` is the sum of the charges of all entries and chained versions of all tables; a version that eviction has emptied
 *     counts for nothing.
 * R2  The policy has exactly the entries with a value, each with its charge.
 * R3  The ledger, where there is a disk, has exactly the charges of the entries written after `ledger.settled`.
 * R4  Where there are pins, an entry has as many as active transactions have noted reads of it.
 */
import { VarveError } from '../errors.ts'
import { Door, type EvictionPolicy } from '../eviction/index.ts'
import { hashKey } from '../maplet/core.ts'
import { CHUNK_BITS, CHUNK_MASK, type Chunk } from './chunk.ts'
import { DirtyLedger } from './dirty-ledger.ts'
import type { TableStore } from './store.ts'
import { EVICTED, type Version } from './version.ts'

/**
 * Columns, index and maplet of an entry, bytes, besides the slots of key and value, which count with those. The columns of
 * histories and pins are in it, for a limit must hold where they are made. Tables whose index has no keys count less, see store.ts.
 */
export const ENTRY_BYTES = 60
/** An old version beside its value, with the history that it hangs in. */
export const VERSION_BYTES = 216
/** What a policy keeps of an entry, ghosts and room to grow included. */
export const POLICY_BYTES = 32
/** The slots of key and value in the columns. */
export const SLOTS_BYTES = 16

/** The part of the limit that may be dirty. */
const DIRTY_SHARE = 1 / 2
/** Spans of the ledger in what may be dirty. */
const DIRTY_SPANS = 32

/** The door has a place for each so many bytes of the limit: for about as many strangers as there are small entries. */
const BYTES_PER_PLACE = 256

/** What an engine keeps its memory within. */
export interface MemoryOptions {
  /** Most bytes that entries may count for. Infinity: only {@link Evictor.evict} makes room. */
  readonly limitBytes: number
  readonly policy: EvictionPolicy
}

/** Why an entry was evicted: for want of room, or because the application wanted it gone. */
export type EvictionReason = 'limit' | 'manual'

/** Counters since open. */
export interface ResidencyCounters {
  /** Reads of a value by its key that memory had no entry for. */
  misses: number
  /** Of these: found below memory. */
  coldReads: number
  /** Entries evicted, by reason, and the bytes they counted for. */
  evictedForLimit: number
  evictedByHand: number
  evictedBytes: number
}

/** Makes room before something is loaded. */
export interface RoomMaker {
  makeRoom(bytes: number): void
}

/** Who waits for {@link Residency.relief}. */
interface Waiter {
  readonly resolve: () => void
  readonly reject: (reason: unknown) => void
}

export class Residency {
  /** R1. */
  used = 0
  /** Sizes of old versions whose values are there. */
  chainedBytes = 0
  /** Infinity if there is none. */
  readonly limit: number
  /** null: nothing is evicted but by hand. */
  readonly policy: EvictionPolicy | null
  /** R3. null without a disk. */
  readonly ledger: DirtyLedger | null
  /** Most bytes that may be dirty. */
  readonly dirtyLimit: number
  /** R4: whether tracked reads pin what they read, because it could leave memory and take its id with it. */
  readonly pins: boolean
  readonly counters: ResidencyCounters = {
    misses: 0,
    coldReads: 0,
    evictedForLimit: 0,
    evictedByHand: 0,
    evictedBytes: 0,
  }
  /** Whoever makes room; null where there is no limit, and while ids are held that nothing pins. */
  roomMaker: RoomMaker | null = null
  /** Set while the evictor takes entries away, which has told the policy already. */
  evicting = false
  /** Has what is dirty brought to disk. */
  onPressure: ((isAwaited?: boolean) => void) | null = null
  isClosed = false
  /** The newest refusal for want of room that a checkpoint may cure; null if there was none. */
  curable: VarveError | null = null
  /** Tells what is asked for again; null where everything that is read below is kept. */
  private readonly door: Door | null
  private waiting: Waiter[] = []

  /** @param onDisk the newest commit that is on disk; null without a disk */
  constructor(options: MemoryOptions | null = null, onDisk: number | null = null) {
    this.limit = options === null ? Infinity : options.limitBytes
    this.policy = options === null ? null : options.policy
    this.dirtyLimit = this.limit * DIRTY_SHARE
    this.ledger =
      onDisk === null || this.limit === Infinity ? null : new DirtyLedger(onDisk, this.dirtyLimit / DIRTY_SPANS)
    this.pins = options !== null && onDisk !== null
    this.door = this.ledger === null ? null : new Door(this.limit / BYTES_PER_PLACE)
  }

  /**
   * Whether what a read has found below memory, and nobody need remember, is worth an entry of so many bytes: if there is room, or
   * if it is asked for again within a while and somebody may be asked to leave: `ttl` names none of what never expires, `manual`
   * nobody. Making room and an entry takes about as long as reading it once more.
   */
  admits(bytes: number, hash: number): boolean {
    if (this.door === null || this.used + bytes <= this.limit) return true
    return this.door.knock(hash) && this.policy !== null && this.policy.next() >= 0
  }

  /** Bytes that deciding who is in memory takes. */
  get overheadBytes(): number {
    return (this.policy?.overheadBytes ?? 0) + (this.door?.overheadBytes ?? 0)
  }

  /** Whether a commit has to wait until more is on disk. */
  get crowded(): boolean {
    return this.ledger !== null && this.ledger.bytes >= this.dirtyLimit && !this.isClosed
  }

  /** What is told to who cannot wait for that; it has more brought to disk. */
  crowdedError(): VarveError {
    this.onPressure?.(true)
    const message = `${this.ledger?.bytes ?? 0} bytes in memory wait for a checkpoint, of at most ${this.dirtyLimit}, half of what maxMemoryBytes leaves to entries`
    return new VarveError('MEMORY_LIMIT', `${message}: a synchronous transaction cannot wait for it; use transaction()`)
  }

  /** Whether it is time to bring to disk what is dirty. */
  get pressed(): boolean {
    return this.ledger !== null && this.ledger.bytes * 2 >= this.dirtyLimit
  }

  /**
   * Resolves when more may be on disk than now, or there is nothing to wait for any more: look again. Rejects with why nothing
   * can be brought there, a full disk as a rule: the same may succeed later.
   */
  relief(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject })
      this.onPressure?.(true)
    })
  }

  /** Nothing is brought to disk any more: whoever waits for that goes on, and finds out why. */
  close(): void {
    this.isClosed = true
    this.wake()
  }

  /** Lets go on whoever waits for {@link relief}. */
  wake(): void {
    for (const { resolve } of this.waiting.splice(0)) resolve()
  }

  /** Tells whoever waits for {@link relief} that there is none, and why. */
  refuse(reason: unknown): void {
    for (const { reject } of this.waiting.splice(0)) reject(reason)
  }

  /** Everything up to commit `sequence` is on disk. */
  settle(sequence: number): void {
    this.ledger?.settle(sequence)
    this.wake()
  }

  /** Whether {@link wrote} has to be told what {@link hashOf} gives for the entry. */
  needsHash(hadValue: boolean, hasValue: boolean): boolean {
    return this.policy !== null && hasValue && !hadValue
  }

  /** A write was put in place: from what the entry was (`oldSequence` 0: it is new) to what it is. `hash`: see {@link needsHash}. */
  wrote(
    store: TableStore,
    id: number,
    hash: number,
    oldSequence: number,
    oldSize: number,
    hadValue: boolean,
    sequence: number,
    size: number,
    hasValue: boolean,
    expiresAt: number,
  ): void {
    this.used += size - oldSize
    const { ledger, policy } = this
    if (ledger !== null) {
      if (oldSequence > 0) ledger.count(oldSequence, -oldSize - store.entryBytes)
      ledger.count(sequence, size + store.entryBytes)
    }
    if (policy === null) return
    if (hasValue) {
      if (hadValue) policy.write(id, size + store.entryBytes, expiresAt)
      else policy.insert(id, hash, size + store.entryBytes, expiresAt)
    } else if (hadValue && !this.evicting) policy.remove(id)
  }

  /** An entry was made of what lies below memory; `hash` as {@link hashOf} gives it. */
  loaded(store: TableStore, id: number, hash: number, sequence: number, size: number, expiresAt: number): void {
    this.used += size
    this.ledger?.count(sequence, size + store.entryBytes)
    this.policy?.insert(id, hash, size + store.entryBytes, expiresAt)
  }

  /** An entry is about to be unlinked. */
  left(store: TableStore, id: number, sequence: number, size: number, hadValue: boolean): void {
    this.used -= size + store.entryBytes
    if (sequence > 0) this.ledger?.count(sequence, -size - store.entryBytes)
    if (hadValue && !this.evicting) this.policy?.remove(id)
  }

  /** A head has become an old version. */
  chained(version: Version): void {
    this.used += chargeOf(version)
    if (version.value !== EVICTED) this.chainedBytes += version.size
  }

  /** An old version goes. */
  unchained(version: Version): void {
    this.used -= chargeOf(version)
    if (version.value !== EVICTED) this.chainedBytes -= version.size
  }

  /** Takes the value of an old version away: whoever reads it from now on is told so. */
  empty(version: Version): void {
    const { store } = version.meta
    this.used -= chargeOf(version)
    this.chainedBytes -= version.size
    store.discard(version.value)
    store.hasLost = true
    version.value = EVICTED
  }

  /** Empties the old versions of an entry. */
  emptyAll(store: TableStore, id: number): void {
    for (let version = store.metaOf(id)?.older ?? null; version !== null; version = version.older)
      if (version.value !== undefined && version.value !== EVICTED) this.empty(version)
  }

  /** Throws on the first violated invariant. Walks everything. */
  check(stores: readonly TableStore[]): void {
    let used = 0
    let resident = 0
    let dirty = 0
    for (const store of stores) {
      for (let leaf = store.index.first as typeof store.index.first | null; leaf !== null; leaf = leaf.next) {
        for (const id of leaf.values) {
          const chunk = store.chunks[id >>> CHUNK_BITS] as Chunk
          const i = id & CHUNK_MASK
          const charge = chunk.sizeAt(i) + store.entryBytes
          used += charge
          if (chunk.valueAt(i) !== undefined) resident++
          if (this.ledger !== null && chunk.sequenceAt(i) > this.ledger.settled) dirty += charge
          for (let version = chunk.metaAt(i)?.older ?? null; version !== null; version = version.older)
            used += chargeOf(version)
        }
      }
    }
    if (used !== this.used) throw new Error(`R1: ${this.used} bytes are counted, but there are ${used}`)
    if (this.policy !== null && this.policy.entries !== resident)
      throw new Error(`R2: the policy has ${this.policy.entries} entries of ${resident}`)
    this.policy?.check()
    this.ledger?.check()
    if (this.ledger !== null && this.ledger.bytes !== dirty)
      throw new Error(`R3: ${this.ledger.bytes} dirty bytes are counted, but there are ${dirty}`)
  }
}

/** R1. */
export function chargeOf(version: Version): number {
  return version.value === EVICTED ? 0 : version.size + version.meta.store.versionBytes
}

/** 32 bits of the hash of an entry's key, by which a policy knows it again. */
export function hashOf(store: TableStore, id: number): number {
  return hashKey(store.keyOf(id), store.maplet)
}
