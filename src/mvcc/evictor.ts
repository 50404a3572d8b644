/**
 * Keeps an engine within its limit of memory: makes room before something is written or loaded.
 *
 * In memory only, a victim is gone: its eviction is a deletion, committed by the engine before the commit that needs the room,
 * a blind write that nothing can refuse. Old versions of it that open snapshots see are emptied, and reading one says so. Over a
 * disk a victim merely leaves memory: it is unlinked, and the base has it.
 *
 * E1  Nothing is evicted that the commit in hand writes, and over a disk nothing that an active transaction has read.
 * E2  Over a disk only what is as in the base leaves: no history, written at or below the horizon, covered by the base for every
 *     reader. So nobody can tell, the certifier included: an edge through it could lie on no cycle.
 * E3  A commit that no eviction can make fit is refused with `MEMORY_LIMIT` before anything has been evicted for it.
 * E4  What an eviction costs does not depend on how much there is: the policy proposes, and of what has to be spared a search
 *     for a read looks at few.
 */
import { VarveError } from '../errors.ts'
import { CHUNK_BITS, CHUNK_MASK, type Chunk } from './chunk.ts'
import type { Engine } from './engine.ts'
import { chargeOf, type EvictionReason, hashOf, type Residency, type RoomMaker } from './residency.ts'
import type { BlindWrite } from './staging.ts'
import { hasExpired, type TableStore } from './store.ts'
import type { Txn } from './transaction.ts'
import { DELETE, MERGE, NONE, Pending } from './write-set.ts'

/** Candidates with a history that are passed over, in memory, for one without. */
const MOST_PASSED = 32
/** Candidates that may not leave that a read looks at. */
const MOST_LOOKS = 64
/** Where others are active an eviction leaves a trace in the graph, so several go together: this part of the limit, at most so many. */
const BATCH_SHARE = 1 / 64
const BATCH_ENTRIES = 16
/** Not where it would be felt: with fewer entries than this they go one by one. */
const LEAST_BATCHED = 1024
/** A write set up to this many keys is searched as it is. */
const FEW = 8
/** What makes room under a policy that has nothing to evict. */
const REMEDIES: ReadonlyMap<string, string> = new Map([
  ['manual', ': call evict(key)'],
  ['ttl', ', as it takes only what expires: write with ttlMs'],
])

/** What must stay: the entries that a commit in hand writes. */
class Kept {
  private pendings: readonly Pending[] = []
  private ids: Set<number> | null = null
  private readonly id: number

  static none: Kept = new Kept(-1)

  /** @param id of the only entry; -1: there is none, or there are more */
  constructor(id: number) {
    this.id = id
  }

  static of(txn: Txn): Kept {
    const kept = new Kept(-1)
    for (const { writes } of txn.views) {
      if (writes === null) continue
      if (kept.pendings.length === 0 && kept.ids === null && writes.list.length <= FEW) kept.pendings = writes.list
      else {
        kept.ids ??= new Set()
        for (const { entry } of writes.list) kept.ids.add(entry)
      }
    }
    return kept
  }

  has(id: number): boolean {
    if (id === this.id || (this.ids !== null && this.ids.has(id))) return true
    const { pendings } = this
    for (let i = 0; i < pendings.length; i++) if ((pendings[i] as Pending).entry === id) return true
    return false
  }
}

export class Evictor implements RoomMaker {
  private readonly engine: Engine
  private readonly residency: Residency
  /** Whether what is evicted stays in a base on disk. */
  private readonly onDisk: boolean
  private readonly victims: number[] = []
  /** Whether garbage was worked off while room was made. */
  private hasDrained = false

  constructor(engine: Engine, residency: Residency, onDisk: boolean) {
    this.engine = engine
    this.residency = residency
    this.onDisk = onDisk
    if (onDisk && residency.limit !== Infinity) residency.roomMaker = this
  }

  /**
   * Makes room for what a transaction writes, whose entries have been found and merges computed. Tombstones among those entries
   * may have gone afterwards if this returns true.
   * @throws VarveError `MEMORY_LIMIT`.
   */
  admit(txn: Txn): boolean {
    if (this.residency.limit === Infinity) return false
    const pinned = this.pinnedBeside(txn)
    let own = 0
    let need = 0
    for (const { store, writes } of txn.views) {
      if (writes === null) continue
      for (const pending of writes.list) {
        if (pending.kind === NONE || pending.idle) continue
        if (pending.kind !== DELETE) own += sizeOf(pending) + store.entryBytes
        need += this.growthOf(store, pending, pinned)
      }
    }
    return this.exceeds(own, need) && this.admitBytes(need, Kept.of(txn), txn)
  }

  /** The same for one write outside of transactions. */
  admitOne(store: TableStore, pending: Pending): boolean {
    if (this.residency.limit === Infinity) return false
    const own = pending.kind === DELETE ? 0 : pending.size + store.entryBytes
    return this.admitGrowth(own, this.growthOf(store, pending, this.engine.snapshots.newest()), pending.entry)
  }

  /** The same for a write of `own` bytes that takes `need` more than now; `entry`: which it writes, -1 for a new one. */
  admitGrowth(own: number, need: number, entry: number): boolean {
    return this.exceeds(own, need) && this.admitBytes(need, entry < 0 ? Kept.none : new Kept(entry), null)
  }

  /** By how much a write makes memory grow, given the newest snapshot that will be open when it is installed. */
  private growthOf(store: TableStore, pending: Pending, pinned: number): number {
    const size = pending.kind === DELETE ? 0 : sizeOf(pending)
    const id = pending.entry
    if (id < 0) return size + store.entryBytes
    const chunk = store.chunks[id >>> CHUNK_BITS] as Chunk
    const i = id & CHUNK_MASK
    const sequence = chunk.sequenceAt(i)
    return pinned >= sequence && sequence > 0 ? size + store.versionBytes : size - chunk.sizeAt(i)
  }

  /** The newest open snapshot but that of a transaction that is about to end. */
  private pinnedBeside({ slot }: Txn): number {
    const { slots } = this.engine.snapshots
    const last = slots[slots.length - 1]
    if (last === undefined) return -1
    if (last !== slot || last.holders > 1) return last.sequence
    return slots[slots.length - 2]?.sequence ?? -1
  }

  /** Whether a commit that writes `own` bytes and takes `need` more than now goes beyond the limit. */
  private exceeds(own: number, need: number): boolean {
    const { limit, dirtyLimit, used } = this.residency
    const most = this.onDisk ? dirtyLimit : limit
    if (own > most) throw this.tooLarge(own, most)
    return need > 0 && used + need > limit
  }

  private admitBytes(need: number, kept: Kept, txn: Txn | null): boolean {
    this.hasDrained = false
    if (!this.clear(this.residency.limit - need, kept, txn, Infinity)) throw this.noRoom(need, txn)
    return this.hasDrained
  }

  /** Before something is loaded for a read: looks at few, and lets the read have its way in any case. */
  makeRoom(bytes: number): void {
    this.engine.roomShrinks()
    this.clear(this.residency.limit - bytes, Kept.none, null, MOST_LOOKS)
  }

  /**
   * After a commit, or when more may leave than before: comes down to the limit as far as that goes, and sees to it that what is
   * dirty is brought to disk.
   */
  settle(): void {
    const { residency } = this
    if (residency.pressed) residency.onPressure?.()
    if (residency.used > residency.limit) this.clear(residency.limit, Kept.none, null, MOST_LOOKS)
  }

  /** Evicts one entry because the application wants it gone; returns whether it went. */
  evict(store: TableStore, id: number): boolean {
    const { residency } = this
    const chunk = store.chunks[id >>> CHUNK_BITS] as Chunk
    if (this.engine.lazy.size > 0) this.engine.lazy.promoteAll()
    if (this.onDisk && (!this.mayLeave(chunk, id & CHUNK_MASK) || this.isRead(store, id))) return false
    residency.policy?.evicted(id)
    if (this.onDisk) this.letGo(store, id, 'manual')
    else this.remove([id], this.isUnseen(null), 'manual')
    return true
  }

  /** Evicts until no more than `target` bytes are used; false if that cannot be done. */
  private clear(target: number, kept: Kept, txn: Txn | null, looks: number): boolean {
    const { residency, engine } = this
    if (residency.used <= target) return true
    if (residency.policy === null) return false
    // Whoever reads without a snapshot gets one now.
    if (engine.lazy.size > 0) engine.lazy.promoteAll()
    if (this.clearOnce(target, kept, txn, looks)) return true
    if (looks !== Infinity) return false
    this.drain()
    return this.clearOnce(target, kept, txn, looks)
  }

  private clearOnce(target: number, kept: Kept, txn: Txn | null, looks: number): boolean {
    return this.onDisk ? this.clearOnDisk(target, kept, looks) : this.clearInMemory(target, kept, txn)
  }

  private drain(): void {
    this.hasDrained = true
    this.engine.cleaner.drainNow()
  }

  // --- over a disk --------------------------------------------------------------------------------------------------------

  private clearOnDisk(target: number, kept: Kept, looks: number): boolean {
    const { residency, engine } = this
    const policy = residency.policy as NonNullable<Residency['policy']>
    for (let left = looks; residency.used > target && left > 0;) {
      const id = policy.next()
      if (id < 0) break
      const chunk = engine.chunks[id >>> CHUNK_BITS] as Chunk
      if (!this.mayLeave(chunk, id & CHUNK_MASK) || kept.has(id)) {
        policy.spared(id)
        left--
        continue
      }
      policy.evicted(id)
      this.letGo(chunk.store, id, 'limit')
    }
    return residency.used <= target
  }

  /** E1 and E2, but for reads that nothing pins. */
  private mayLeave(chunk: Chunk, i: number): boolean {
    const { engine } = this
    if (chunk.metaAt(i) !== undefined || (chunk.pins !== null && chunk.pins[i] !== 0)) return false
    const sequence = chunk.sequenceAt(i)
    if (chunk.valueAt(i) === undefined || sequence > engine.horizon) return false
    if (engine.base === null || !engine.base.covers(sequence)) return false
    // What has expired is the sweeper's, which finds it here and not again below.
    const expiresAt = chunk.expiryAt(i)
    return expiresAt === 0 || (engine.options.sweepIntervalMs ?? 0) === 0 || !hasExpired(expiresAt, engine.timeMs())
  }

  /** Whether an active transaction has noted a read of the entry, where nothing pins. */
  private isRead(store: TableStore, id: number): boolean {
    if (this.residency.pins) return false
    for (const list of this.engine.lists) {
      for (let txn = list.first; txn !== null; txn = txn.next) {
        for (const view of txn.views) {
          if (view.store === store && (view.reads.includes(id) || view.existenceReads.includes(id))) return true
        }
      }
    }
    return false
  }

  private letGo(store: TableStore, id: number, reason: EvictionReason): void {
    const { residency } = this
    this.report(store, id, reason)
    residency.evicting = true
    try {
      store.letGo(id)
    } finally {
      residency.evicting = false
    }
  }

  // --- in memory only -------------------------------------------------------------------------------------------------------

  private clearInMemory(target: number, kept: Kept, txn: Txn | null): boolean {
    const { residency } = this
    const isUnseen = this.isUnseen(txn)
    if (isUnseen && this.vanishOne(target, kept)) return true
    const isBatched = !isUnseen && (residency.policy?.entries ?? 0) >= LEAST_BATCHED
    const batch = isBatched ? residency.limit * BATCH_SHARE : 0
    while (residency.used > target) {
      if (!this.choose(target, kept, isUnseen)) return false
      if (batch > 0) this.choose(target - batch, kept, isUnseen, BATCH_ENTRIES)
      this.remove(this.victims, isUnseen, 'limit')
      this.forget()
      if (residency.used > target) this.drain()
    }
    return true
  }

  /** Nearly always the first candidate may vanish and is enough; if not, it has been left alone, and false is returned. */
  private vanishOne(target: number, kept: Kept): boolean {
    const { residency, engine } = this
    const policy = residency.policy as NonNullable<Residency['policy']>
    const id = policy.next()
    if (id < 0) return false
    const chunk = engine.chunks[id >>> CHUNK_BITS] as Chunk
    const { store } = chunk
    const i = id & CHUNK_MASK
    if (chunk.metaAt(i) !== undefined || residency.used - chunk.sizeAt(i) - store.entryBytes > target || kept.has(id))
      return false
    policy.evicted(id)
    this.report(store, id, 'limit')
    const sequence = engine.clock + 1
    residency.evicting = true
    try {
      store.sweep(id, sequence, engine.snapshots)
    } finally {
      residency.evicting = false
    }
    engine.clock = sequence
    return true
  }

  /** Whether nobody but a transaction that is about to end can see what there is now, so that it may simply vanish. */
  private isUnseen(txn: Txn | null): boolean {
    const { snapshots, feed } = this.engine
    if (feed !== null) return false
    if (snapshots.size === 0) return true
    const first = snapshots.slots[0]
    return txn !== null && snapshots.size === 1 && first === txn.slot && first.holders === 1
  }

  /**
   * Adds victims until their removal would bring what is used down to `target`; false if there are too few, and then there are
   * none (E3), unless only `most` more were wanted. Prefers entries without a history.
   */
  private choose(target: number, kept: Kept, isUnseen: boolean, most = Infinity): boolean {
    const { residency, engine, victims } = this
    const policy = residency.policy as NonNullable<Residency['policy']>
    let left = residency.used - target
    for (let i = 0; i < victims.length; i++) left -= this.freedBy(victims[i] as number, isUnseen)
    let passed = 0
    for (let rounds = 0; left > 0 && rounds < 2 && victims.length < most;) {
      const id = policy.next()
      if (id < 0) {
        rounds = passed === 0 ? 2 : rounds + 1
        passed = MOST_PASSED
        continue
      }
      const chunk = engine.chunks[id >>> CHUNK_BITS] as Chunk
      const hasHistory = chunk.metaAt(id & CHUNK_MASK) !== undefined
      if (kept.has(id) || (hasHistory && passed < MOST_PASSED)) {
        policy.spared(id)
        if (hasHistory) passed++
        continue
      }
      policy.evicted(id)
      victims.push(id)
      left -= this.freedBy(id, isUnseen)
    }
    if (left <= 0 || most !== Infinity) return true
    for (const id of victims) {
      const { store } = engine.chunks[id >>> CHUNK_BITS] as Chunk
      policy.insert(id, hashOf(store, id), store.chargeOf(id), store.expiryOf(id))
    }
    this.forget()
    return false
  }

  /** Setting the length of an array is slow, and this is done for every victim. */
  private forget(): void {
    const { victims } = this
    while (victims.length > 0) victims.pop()
  }

  /** What becomes free at once by an eviction: the rest goes when nobody needs the tombstone any more. */
  private freedBy(id: number, isUnseen: boolean): number {
    const { store } = this.engine.chunks[id >>> CHUNK_BITS] as Chunk
    const meta = store.metaOf(id)
    let freed = store.chargeOf(id) - (isUnseen && meta === undefined ? 0 : store.entryBytes)
    for (let version = meta?.older ?? null; version !== null; version = version.older)
      if (version.value !== undefined) freed += chargeOf(version)
    return freed
  }

  private remove(ids: readonly number[], isUnseen: boolean, reason: EvictionReason): void {
    const { residency, engine } = this
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i] as number
      this.report((engine.chunks[id >>> CHUNK_BITS] as Chunk).store, id, reason)
    }
    residency.evicting = true
    try {
      this.commit(ids, isUnseen)
    } finally {
      residency.evicting = false
    }
  }

  /**
   * Deletes entries as one commit that nothing can refuse. Nothing is tidied: another commit may be under way.
   * @param isUnseen whether what has no history may vanish without a trace
   */
  private commit(ids: readonly number[], isUnseen: boolean): void {
    const { engine } = this
    const sequence = engine.clock + 1
    let writes: BlindWrite[] | null = null
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i] as number
      const { store } = engine.chunks[id >>> CHUNK_BITS] as Chunk
      if (isUnseen && store.metaOf(id) === undefined) store.sweep(id, sequence, engine.snapshots)
      else if (writes === null) writes = [{ store, pending: deletionOf(store, id) }]
      else writes.push({ store, pending: deletionOf(store, id) })
    }
    if (writes !== null) this.commitSeen(writes, sequence)
    engine.clock = sequence
  }

  /** Of a commit of evictions those that leave a trace: they may have been seen, or have a history. */
  private commitSeen(writes: readonly BlindWrite[], sequence: number): void {
    const { engine, residency } = this
    const timeMs = engine.feed === null ? 0 : engine.timeMs()
    const node = engine.certifyBlind(writes, false)
    engine.clock = sequence
    for (const { store, pending } of writes) {
      engine.installOne(store, pending, sequence, node, timeMs)
      residency.emptyAll(store, pending.entry)
    }
    if (engine.feed !== null) engine.feed.record(sequence, timeMs, 'evict')
  }

  // --- words ----------------------------------------------------------------------------------------------------------------

  private report(store: TableStore, id: number, reason: EvictionReason): void {
    const { counters } = this.residency
    const bytes = store.chargeOf(id)
    if (reason === 'limit') counters.evictedForLimit++
    else counters.evictedByHand++
    counters.evictedBytes += bytes
    this.engine.listener?.evicted(store, store.keyOf(id), bytes, reason)
  }

  /** Who reads at the oldest snapshot that is open, except `txn`; null if nobody does. */
  private oldestBeside(txn: Txn | null): Txn | null {
    let oldest: Txn | null = null
    for (const { first } of this.engine.lists) {
      const other = first !== null && first === txn ? first.next : first
      if (other !== null && (oldest === null || other.snapshot < oldest.snapshot)) oldest = other
    }
    return oldest
  }

  private tooLarge(own: number, most: number): VarveError {
    const share = this.onDisk
      ? ', half of maxMemoryBytes less the block cache, which is what may wait for the disk'
      : ''
    const message = `the commit writes ${own} bytes, and it can have at most ${most}${share}: divide it, or raise maxMemoryBytes`
    return new VarveError('MEMORY_LIMIT', message)
  }

  private noRoom(need: number, txn: Txn | null): VarveError {
    const { used, limit, policy } = this.residency
    const holder = this.oldestBeside(txn)
    const why =
      holder === null
        ? `policy '${policy?.name ?? 'none'}' has nothing to evict${REMEDIES.get(policy?.name ?? '') ?? ': delete something'}`
        : `the oldest holder is transaction or snapshot ${holder.id}, open since commit ${holder.snapshot} of ${this.engine.clock}: end it`
    const error = new VarveError(
      'MEMORY_LIMIT',
      `the commit needs ${need} bytes more, ${used} of ${limit} are in memory, and no more of them can be evicted; ${why}, or raise maxMemoryBytes`,
    )
    const { residency } = this
    residency.curable = residency.ledger !== null && residency.ledger.bytes > 0 ? error : null
    return error
  }
}

function deletionOf(store: TableStore, id: number): Pending {
  const pending = new Pending(store.keyOf(id))
  pending.kind = DELETE
  pending.entry = id
  return pending
}

function sizeOf(pending: Pending): number {
  return pending.kind === MERGE ? pending.mergedSize : pending.size
}
