/**
 * The set of open snapshots: which commit sequences somebody still reads at.
 *
 * A sorted array of slots, one per distinct sequence, with a count of holders. Opening appends at the end or bumps the
 * last count: O(1). Closing and the question "does anybody read in [from, to)?" are binary searches.
 *
 * I1  Slots are strictly ascending by sequence, and each has at least one holder.
 * I2  A slot's garbage list names versions that only snapshots at or below the slot can see.
 *
 * Eager pruning against the *set* of snapshots instead of the oldest one follows Steam (Böttcher et al., PVLDB 13(2), 2019):
 * one long reader costs one version per changed key, not one per change.
 */
import type { Version } from './version.ts'

/** One sequence that somebody reads at. */
export class SnapshotSlot {
  readonly sequence: number
  holders = 0
  /** Versions that wait for this slot to close. */
  garbage: Version[] | null = null
  /** When the slot was opened, monotonic ms; NaN: for a tick at most, so nobody looked at the clock. */
  openedAtMs: number

  constructor(sequence: number, openedAtMs: number) {
    this.sequence = sequence
    this.openedAtMs = openedAtMs
  }

  /** Files a version that cannot go before this slot closes. */
  file(version: Version): void {
    if (this.garbage === null) this.garbage = [version]
    else this.garbage.push(version)
  }
}

export class SnapshotSet {
  readonly slots: SnapshotSlot[] = []
  private readonly now: () => number

  /** @param now monotonic ms, for ages */
  constructor(now: () => number = performance.now.bind(performance)) {
    this.now = now
  }

  get size(): number {
    return this.slots.length
  }

  /** Newest open sequence, or -1. */
  newest(): number {
    const n = this.slots.length
    return n === 0 ? -1 : (this.slots[n - 1] as SnapshotSlot).sequence
  }

  /** Oldest open sequence, or Infinity. */
  oldest(): number {
    return this.slots.length === 0 ? Infinity : (this.slots[0] as SnapshotSlot).sequence
  }

  /** For how long the oldest snapshot has been open that was not opened for this tick alone, ms; 0 if none is. */
  ageMs(): number {
    for (const { openedAtMs } of this.slots) if (!Number.isNaN(openedAtMs)) return this.now() - openedAtMs
    return 0
  }

  /**
   * Opens a snapshot at `sequence`, which must not be below the newest open one unless it is open already.
   * @param isBrief it is closed in the same tick
   */
  acquire(sequence: number, isBrief = false): SnapshotSlot {
    const n = this.slots.length
    const last = n === 0 ? undefined : (this.slots[n - 1] as SnapshotSlot)
    if (last === undefined || last.sequence < sequence) {
      const slot = new SnapshotSlot(sequence, isBrief ? Number.NaN : this.now())
      slot.holders = 1
      this.slots.push(slot)
      return slot
    }
    const slot = last.sequence === sequence ? last : this.slots[this.lowerBound(sequence)]
    if (slot === undefined || slot.sequence !== sequence)
      throw new Error('varve invariant violated: snapshot opened in the past')
    slot.holders++
    if (!isBrief && Number.isNaN(slot.openedAtMs)) slot.openedAtMs = this.now()
    return slot
  }

  /** Gives up one hold. Returns true if the slot closed: its garbage is then the caller's to drain. */
  release(slot: SnapshotSlot): boolean {
    if (--slot.holders > 0) return false
    const n = this.slots.length
    if (this.slots[n - 1] === slot) this.slots.pop()
    else if (this.slots[0] === slot) this.slots.shift()
    else this.slots.splice(this.lowerBound(slot.sequence), 1)
    return true
  }

  /** The newest open slot with from <= sequence < to, or null. */
  newestWithin(from: number, to: number): SnapshotSlot | null {
    const at = this.lowerBound(to) - 1
    if (at < 0) return null
    const slot = this.slots[at] as SnapshotSlot
    return slot.sequence >= from ? slot : null
  }

  /** Index of the first slot with sequence >= `sequence`. */
  private lowerBound(sequence: number): number {
    let low = 0
    let high = this.slots.length
    while (low < high) {
      const mid = (low + high) >>> 1
      if ((this.slots[mid] as SnapshotSlot).sequence < sequence) low = mid + 1
      else high = mid
    }
    return low
  }

  check(): void {
    for (let i = 0; i < this.slots.length; i++) {
      const slot = this.slots[i] as SnapshotSlot
      if (slot.holders <= 0) throw new Error(`snapshots I1: slot ${slot.sequence} has no holder`)
      if (i > 0 && slot.sequence <= (this.slots[i - 1] as SnapshotSlot).sequence)
        throw new Error('snapshots I1: slots out of order')
    }
  }
}
