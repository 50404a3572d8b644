/**
 * A scan: the keys that one snapshot sees within bounds, in order, together with the transaction's own writes.
 *
 * The cursor survives whatever commits between two steps. It holds a place in a leaf of the index and the leaf's version;
 * when the leaf has changed it finds its place again by the last key it gave out.
 *
 * I1  Keys come out strictly ascending (descending when reversed), each once.
 * I2  `range`, if there is one, covers exactly what the steps so far have told: see RangeRead I1 and I2.
 * I3  A leaf whose stamp is not above the snapshot holds only heads that the snapshot sees, so no sequence is looked at.
 * I4  Where the base is scanned too, an entry in memory hides what the base has under its key, even if the snapshot sees no
 *     value there: it is never older. A scan that began while everything was in memory goes on with both as soon as something
 *     has been let go; whatever is let go is in every base that anybody holds.
 * I5  The base is walked where a leaf is not complete (I7 of store.ts), and left aside when CALM complete leaves in a row have been
 *     passed and another is entered: to begin anew costs about as much as to walk so many. Whatever is not beyond the last key
 *     that was looked ahead at has been merged, or came from a complete leaf.
 * I6  A leaf becomes complete here when the walk of the base has passed from the leaf before to the leaf after and met no key
 *     without an entry, if neither the leaf nor the current state of the base has changed meanwhile: from the last key of the one
 *     to the first of the other is no less than the interval. Keys that the snapshot does not see count like others.
 * I7  Steps [taken, ready) need nothing but to be handed out: there is no base to merge in, and neither a key nor a value that must
 *     be looked at. They are off `remaining` already. Own writes that come meanwhile end that.
 *
 * Cost per step: one leaf slot and one column read; no allocation. What costs is the misses: of an entry's column, its key and its
 * value. They are met in loops of few instructions, so that many overlap; a step is short for the same reason, as what its consumer
 * looks at may be a miss too.
 */
import { type Bounds, type Key, boundsBeyond, compareKeys } from '../keys/index.ts'
import type { Leaf } from '../skiplist/core.ts'
import type { Base, BaseHold, BaseScan } from './base.ts'
import { ownBeyond } from './own-writes.ts'
import type { RangeRead, ReadLevel } from './predicates.ts'
import { CHUNK_BITS, CHUNK_MASK, type Chunk, gatherHeads } from './chunk.ts'
import { hasExpired, type TableStore } from './store.ts'
import type { TableView, Txn } from './transaction.ts'
import { EVICTED } from './version.ts'
import { NONE, type Pending, SET } from './write-set.ts'

const LEAST_AHEAD_MAX = 64
/** I5. */
const CALM = 2

export class ScanCursor {
  /** The key of the current step. */
  key: Key = ''
  /** Whether the current key is not one of the index: it was found among the transaction's own writes, or in the base. */
  isForeign = false
  /** The stored value of the current step. */
  value: unknown = undefined
  private readonly store: TableStore
  private readonly view: TableView | null
  /** Whose snapshot it reads; null for a reader that holds none yet. */
  private txn: Txn | null
  private readonly snapshot: number
  readonly instant: number
  private readonly bounds: Bounds
  private readonly range: RangeRead | null
  private remaining: number
  private started = false
  private finished = false
  // Place among the committed keys.
  private leaf: Leaf<Key, number> | null = null
  private leafVersion = 0
  private at = 0
  /** Where to stop in this leaf (exclusive in the direction of the scan), and whether the bound lies in it. */
  private stop = 0
  private stopsHere = false
  private committedKey: Key = ''
  private committedValue: unknown = undefined
  private committedForeign = false
  private hasCommitted = false
  private positioned = false
  // Place in the base.
  private base: BaseScan | null = null
  private readonly level: ReadLevel
  private hasCold = false
  /** Complete leaves passed in a row (I5). */
  private calm = 0
  /** The leaf that is being passed from its edge on, of which version, and whether a key without an entry has been met (I6). */
  private passed: Leaf<Key, number> | null = null
  private passedVersion = 0
  private missed = false
  /** Whether what is looked ahead at begins with the edge of a leaf; and whether a key without an entry was met before it. */
  private atEdge = false
  private missedBefore = false
  // Looked ahead: keys and values [taken, filled) are the next ones.
  readonly aheadKeys: Key[] = []
  readonly aheadValues: unknown[] = []
  private taken = 0
  private filled = 0
  /** I7. */
  private ready = 0
  private room: number
  /** Of no use but that it has to be found out; see {@link warm}. */
  warmed = 0
  private lastAhead: Key | undefined = undefined
  /** Of the arena when it looked ahead; see O2 of off-heap.ts. */
  private epoch = 0
  // Place among the own writes.
  private ownVersion = -1
  private own: Pending | null = null

  constructor(
    store: TableStore,
    view: TableView | null,
    txn: Txn | null,
    snapshot: number,
    instant: number,
    bounds: Bounds,
    range: RangeRead | null,
    level: ReadLevel,
  ) {
    this.store = store
    this.txn = txn
    this.instant = instant
    this.level = level
    this.view = view
    this.snapshot = snapshot
    this.bounds = bounds
    this.range = range
    this.remaining = bounds.limit
    this.finished = bounds.empty
    this.room = Math.min(bounds.limit, bounds.limit === Infinity ? 8 : 64)
    if (txn !== null && !bounds.empty && store.scannedBase !== null) this.holdBase(txn)
  }

  /** Keeps what the base says when the first scan of the transaction begins. */
  private holdBase(txn: Txn): BaseHold {
    return (txn.hold ??= txn.engine.holdBase(txn.snapshot))
  }

  /** Takes the transaction that has begun for a reader that had none. */
  adopt(txn: Txn): void {
    this.txn = txn
  }

  /** Moves to the next key; false at the end. */
  next(): boolean {
    const at = this.takeReady()
    if (at < 0) return this.nextAnyhow()
    this.key = this.aheadKeys[at] as Key
    this.value = this.aheadValues[at]
    this.isForeign = false
    return true
  }

  /**
   * Moves to the next key if that needs no more than a look at what is ready (I7). Returns where in `aheadKeys` and `aheadValues`
   * the step is, or -1: then {@link next} says. Leaves `key` and `value` as they are.
   */
  takeReady(): number {
    const at = this.taken
    const { view, range } = this
    if (at >= this.ready || (view !== null && view.writes !== null)) return -1
    this.taken = at + 1
    if (range !== null) {
      if (this.bounds.reverse) range.lower = this.aheadKeys[at]
      else range.upper = this.aheadKeys[at]
    }
    return at
  }

  /** Gives no further step. */
  end(): void {
    this.ready = 0
    this.finished = true
    this.leaf = null
  }

  private nextAnyhow(): boolean {
    if (this.finished) return false
    if (this.ready > 0) this.settleReady()
    if (this.remaining <= 0) {
      this.finished = true
      return false
    }
    const { view } = this
    const hasOwn = view !== null && view.writes !== null
    const found = hasOwn ? this.nextMerged(view) : this.nextCommitted()
    if (!found) {
      this.finish()
      return false
    }
    this.started = true
    this.remaining--
    this.tell()
    if (!hasOwn) this.makeReady()
    return true
  }

  /** What was ready and has not been taken counts again; what was taken is known by its key. */
  private settleReady(): void {
    this.remaining += this.ready - this.taken
    this.ready = 0
    this.key = this.aheadKeys[this.taken - 1] as Key
    this.isForeign = false
  }

  /** The range now ends with the key of the current step. */
  private tell(): void {
    const { range } = this
    if (range === null) return
    range.consumed = true
    if (this.bounds.reverse) {
      range.lower = this.key
      range.lowerOpen = false
    } else {
      range.upper = this.key
      range.upperOpen = false
    }
  }

  /** I7. */
  private makeReady(): void {
    const { store } = this
    if (this.base !== null || this.hasCommitted || !store.plainKeys) return
    if (this.level === 'value' ? !store.allDirect || store.hasLost : store.offHeap !== null) return
    const count = Math.min(this.filled - this.taken, this.remaining)
    this.ready = this.taken + count
    this.remaining -= count
  }

  /**
   * The stored form of the current step, or EVICTED; for a cursor that looks at existence and has no own writes to see.
   */
  stored(): unknown {
    return this.isForeign ? (this.base as BaseScan).stored(this.store) : this.current(this.value)
  }

  /** Throws if eviction has taken the value of the current step away. It has looked ahead further than was asked for. */
  private refuseLost(value: unknown): void {
    if (value === EVICTED) throw (this.txn as Txn).tooOld(this.store, this.key)
  }

  /** The entry of the current step; loaded again if it has been let go since it was looked ahead at. */
  private get entry(): number {
    return this.store.find(this.key)
  }

  /** When the current step expires, ms since the epoch; 0: never. */
  get expiresAt(): number {
    const own = this.view === null || this.view.writes === null ? undefined : this.view.writes.find(this.key)
    if (own !== undefined && own.kind !== NONE) return (this.view as TableView).expiry(this.key) ?? 0
    if (this.isForeign) return (this.base as BaseScan).expiresAt
    return this.store.expiring ? this.store.expiryAt(this.entry, this.snapshot) : 0
  }

  /** What the current step counts for, bytes. For a cursor without own writes. */
  get size(): number {
    if (this.isForeign) return (this.base as BaseScan).size
    return this.store.sizeSeen(this.entry, this.snapshot)
  }

  private finish(): void {
    this.finished = true
    this.leaf = null
    if (this.range === null) return
    this.range.consumed = true
    if (this.bounds.reverse) {
      this.range.lower = this.bounds.lower
      this.range.lowerOpen = this.bounds.lowerOpen
    } else {
      this.range.upper = this.bounds.upper
      this.range.upperOpen = this.bounds.upperOpen
    }
  }

  private nextCommitted(): boolean {
    if (this.hasCommitted) this.hasCommitted = false
    else if (!this.advance()) return false
    this.key = this.committedKey
    this.isForeign = this.committedForeign
    this.value = this.isForeign || this.level !== 'value' ? this.committedValue : this.current(this.committedValue)
    if (this.store.hasLost && this.level === 'value') this.refuseLost(this.value)
    return true
  }

  /** A value that was looked ahead at: read again if it may have moved since, as values outside of the heap do. */
  private current(value: unknown): unknown {
    const { offHeap } = this.store
    if (offHeap === null || offHeap.arena.epoch === this.epoch) return value
    const id = this.store.find(this.key)
    return id < 0 ? undefined : this.store.liveAt(id, this.snapshot, this.instant)
  }

  /** Finds the next committed key the snapshot sees and keeps it in committedKey / committedValue. */
  private advance(): boolean {
    if (this.base === null) {
      const hasHot = this.taken < this.filled || this.fill()
      if (this.base === null) return hasHot && this.takeAhead()
    }
    return this.advanceBoth()
  }

  private takeAhead(): boolean {
    const at = this.taken++
    this.committedKey = this.aheadKeys[at] as Key
    this.committedForeign = false
    this.committedValue = this.aheadValues[at]
    return true
  }

  /** Begins to walk the base behind what has been given out, if there is anything in it to find. */
  private enterBase(): void {
    const { store, txn, bounds, lastAhead } = this
    const table = store.scannedBase
    if (table === null || txn === null) return
    const rest = lastAhead === undefined ? bounds : boundsBeyond(bounds, lastAhead)
    this.base = table.scan(rest, this.holdBase(txn))
    this.hasCold = false
  }

  /** Walks the base from this leaf on, or no longer (I5). All that was looked ahead at has been given out. */
  private chooseSources(leaf: Leaf<Key, number>): void {
    if (!leaf.complete) {
      if (this.base === null) this.enterBase()
    } else if (this.base !== null && this.calm >= CALM && this.at !== this.stop) {
      this.base = null
      this.calm = 0
      this.passed = null
    }
  }

  /** The first entry of a leaf comes next in memory and base together: the leaf before has been passed. */
  private passEdge(): void {
    this.endPass()
    this.atEdge = false
    this.passed = this.leaf
    this.passedVersion = this.leafVersion
    this.missed = this.missedBefore
  }

  private endPass(): void {
    const { passed, txn } = this
    if (passed === null || passed.complete || this.missed || passed.version !== this.passedVersion) return
    const { base } = (txn as Txn).engine
    passed.complete = (base as Base).isCurrent((txn as Txn).hold as BaseHold)
  }

  /** The same where part of the table is cold: the next key of memory and base together (I4). */
  private advanceBoth(): boolean {
    const direction = this.bounds.reverse ? -1 : 1
    for (;;) {
      // Once no leaf is left, none comes back: most scans of what is on disk go on alone.
      const hasHot = this.taken < this.filled || ((this.leaf !== null || !this.positioned) && this.fill())
      const { base } = this
      if (base === null) return hasHot && this.takeAhead()
      this.hasCold ||= base.next()
      if (!hasHot && !this.hasCold) {
        if ((this.bounds.reverse ? this.bounds.lower : this.bounds.upper) === undefined) this.endPass()
        return false
      }
      const hotKey = this.aheadKeys[this.taken] as Key
      const order = !this.hasCold ? -1 : !hasHot ? 1 : compareKeys(hotKey, base.key) * direction
      if (order >= 0) this.hasCold = false
      if (order > 0) {
        this.missed = true
        if (this.atEdge) this.missedBefore = true
        if (!this.isSeen(base)) continue
        this.committedKey = base.key
        this.committedForeign = true
        this.committedValue = this.level !== 'value' || base.stored(this.store)
        return true
      }
      if (this.atEdge) this.passEdge()
      const value = this.aheadValues[this.taken++]
      if (value === undefined) continue
      this.committedKey = hotKey
      this.committedForeign = false
      this.committedValue = value
      return true
    }
  }

  /** Whether the snapshot sees what the base has; what was made after it, and let go since, it does not. */
  private isSeen(base: BaseScan): boolean {
    return base.sequence <= this.snapshot && !hasExpired(base.expiresAt, this.instant)
  }

  /**
   * Looks ahead within one leaf: a tight loop in which the cache misses of many entries overlap, instead of one after the
   * other between the steps. What the snapshot sees cannot change until it is handed out.
   */
  private fill(): boolean {
    this.taken = 0
    this.filled = 0
    this.atEdge = false
    const isLayered = this.base !== null || this.store.scannedBase !== null
    if (this.store.offHeap !== null) this.epoch = this.store.offHeap.arena.epoch
    if (!this.positioned) this.position()
    const room = this.room
    if (room < LEAST_AHEAD_MAX) this.room = room * 2
    for (let leaf = this.leaf; leaf !== null; leaf = this.leaf) {
      if (leaf.version !== this.leafVersion) {
        this.reposition()
        continue
      }
      if (isLayered) this.chooseSources(leaf)
      this.filled =
        (this.store.index.stamps[leaf.id] as number) <= this.snapshot
          ? this.takeHeads(leaf, room)
          : this.takeVersions(leaf, room)
      if (this.filled > 0) {
        if (this.level === 'value')
          this.warmed = warm(this.aheadKeys, this.filled) + warm(this.aheadValues, this.filled)
        return true
      }
      if (this.at !== this.stop) continue
      this.calm = leaf.complete ? this.calm + 1 : 0
      if (this.stopsHere) this.leaf = null
      else this.enterNeighbour(leaf)
    }
    return false
  }

  private takeHeads(leaf: Leaf<Key, number>, room: number): number {
    const { keys, values } = leaf
    const { aheadKeys, aheadValues, stop } = this
    const { chunks, expiring, wordForm, index } = this.store
    const step = this.bounds.reverse ? -1 : 1
    let at = this.at
    const count = Math.min(room, (stop - at) * step)
    if (gatherHeads(chunks, values, at, step, count, aheadValues) && !expiring) {
      for (let i = 0; i < count; i++, at += step)
        aheadKeys[i] = wordForm === null ? (keys[at] as Key) : index.keyAt(leaf, at)
      if (count > 0) this.lastAhead = aheadKeys[count - 1] as Key
      this.at = at
      return count
    }
    const keepsAbsent = this.base !== null
    let filled = 0
    for (; at !== stop && filled < room; at += step) {
      const id = values[at] as number
      const chunk = chunks[id >>> CHUNK_BITS] as Chunk
      let value = chunk.valueAt(id & CHUNK_MASK)
      if (expiring && hasExpired(chunk.expiryAt(id & CHUNK_MASK), this.instant)) value = undefined
      aheadKeys[filled] = wordForm === null ? (keys[at] as Key) : chunk.keyAt(id & CHUNK_MASK)
      aheadValues[filled] = value
      if (value !== undefined || keepsAbsent) filled++
    }
    if (at !== this.at) this.lastAhead = index.keyAt(leaf, at - step)
    this.at = at
    return filled
  }

  private takeVersions(leaf: Leaf<Key, number>, room: number): number {
    const { values } = leaf
    const { aheadKeys, aheadValues, stop, store, snapshot } = this
    const keepsAbsent = this.base !== null
    const step = this.bounds.reverse ? -1 : 1
    let at = this.at
    let filled = 0
    for (; at !== stop && filled < room; at += step) {
      const id = values[at] as number
      const value = store.expiring ? store.liveAt(id, snapshot, this.instant) : store.valueAt(id, snapshot)
      aheadKeys[filled] = store.index.keyAt(leaf, at)
      aheadValues[filled] = value
      if (value !== undefined || keepsAbsent) filled++
    }
    if (at !== this.at) this.lastAhead = store.index.keyAt(leaf, at - step)
    this.at = at
    return filled
  }

  private enterNeighbour(leaf: Leaf<Key, number>): void {
    const neighbour = this.bounds.reverse ? leaf.prev : leaf.next
    if (neighbour === null) this.leaf = null
    else this.enterAtEdge(neighbour)
  }

  /** Enters a leaf of which nothing has been passed: everything in its interval is yet to come. */
  private enterAtEdge(leaf: Leaf<Key, number>): void {
    this.atEdge = true
    this.missedBefore = false
    this.enter(leaf, this.bounds.reverse ? leaf.values.length - 1 : 0)
  }

  private position(): void {
    this.positioned = true
    const { reverse, lower, lowerOpen, upper, upperOpen } = this.bounds
    const index = this.store.index
    if (reverse) {
      if (upper === undefined) this.enterAtEdge(index.last)
      else this.enterFrom(upper, upperOpen)
    } else if (lower === undefined) this.enterAtEdge(index.first)
    else this.enterFrom(lower, lowerOpen)
  }

  private reposition(): void {
    if (this.lastAhead !== undefined) this.enterFrom(this.lastAhead, true)
    else {
      this.positioned = false
      this.position()
      this.positioned = true
    }
  }

  /** Enters the leaf that holds `key`, at the first place after it in the direction of the scan (or at it, unless open). */
  private enterFrom(key: Key, open: boolean): void {
    this.atEdge = false
    this.calm = 0
    const index = this.store.index
    const leaf = index.seekLeaf(key)
    const found = index.locate(leaf, key)
    const hit = found >= 0
    const place = hit ? found : ~found
    if (this.bounds.reverse) this.enter(leaf, hit && !open ? place : place - 1)
    else this.enter(leaf, hit && open ? place + 1 : place)
  }

  private enter(leaf: Leaf<Key, number>, at: number): void {
    this.leaf = leaf
    this.leafVersion = leaf.version
    this.at = at
    if (this.bounds.reverse) this.limitBelow(leaf, at)
    else this.limitAbove(leaf, at)
  }

  private limitAbove(leaf: Leaf<Key, number>, at: number): void {
    const { upper, upperOpen } = this.bounds
    const { index } = this.store
    const { length } = leaf.values
    this.stop = length
    this.stopsHere = false
    if (upper === undefined || length === 0) return
    const order = compareKeys(index.keyAt(leaf, length - 1), upper)
    if (order < 0 || (order === 0 && !upperOpen)) return
    let place = index.lowerBound(leaf, upper)
    if (!upperOpen && place < length && compareKeys(index.keyAt(leaf, place), upper) === 0) place++
    this.stop = Math.max(place, at)
    this.stopsHere = true
  }

  private limitBelow(leaf: Leaf<Key, number>, at: number): void {
    const { lower, lowerOpen } = this.bounds
    const { index } = this.store
    const { length } = leaf.values
    this.stop = -1
    this.stopsHere = false
    if (lower === undefined || length === 0) return
    const order = compareKeys(index.keyAt(leaf, 0), lower)
    if (order > 0 || (order === 0 && !lowerOpen)) return
    let place = index.lowerBound(leaf, lower)
    if (lowerOpen && place < length && compareKeys(index.keyAt(leaf, place), lower) === 0) place++
    this.stop = Math.min(place - 1, at)
    this.stopsHere = true
  }

  /** One step through committed keys and own writes together; an own write hides the committed value of its key. */
  private nextMerged(view: TableView): boolean {
    const direction = this.bounds.reverse ? -1 : 1
    for (;;) {
      if (!this.hasCommitted) this.hasCommitted = this.advance()
      const own = this.peekOwn(view)
      if (own === null) {
        if (!this.hasCommitted) return false
        return this.nextCommitted()
      }
      if (this.hasCommitted) {
        const order = compareKeys(this.committedKey, own.key) * direction
        if (order < 0) return this.nextCommitted()
        if (order === 0) this.hasCommitted = false
      }
      this.key = own.key
      this.isForeign = true
      this.started = true
      this.range?.except(own.key)
      this.own = null
      this.ownVersion = -1
      if (!view.isOwnLive(own)) continue
      this.value = own.kind === SET ? own.value : this.mergedValue(view, own)
      return true
    }
  }

  private mergedValue(view: TableView, own: Pending): unknown {
    // Existence does not depend on the operands; only a value does.
    return this.range !== null && this.range.level === 'existence' ? own : view.ownValue(own)
  }

  /** The first own write beyond the current key and within bounds, or null. */
  private peekOwn(view: TableView): Pending | null {
    const writes = view.writes
    if (writes === null) return null
    if (this.own !== null && this.own.kind !== NONE && this.ownVersion === writes.version) return this.own
    this.ownVersion = writes.version
    this.own = ownBeyond(writes, this.bounds, this.started, this.key)
    return this.own
  }
}

/** Looks at how each of the items begins, so that their cache misses overlap before the consumer of the scan looks at them. */
function warm(items: readonly unknown[], count: number): number {
  let strings = 0
  for (let i = 0; i < count; i++) if (typeof items[i] === 'string') strings++
  return strings
}
