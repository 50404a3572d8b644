/**
 * Sorted sources being merged: cursors in the order of the keys they stand at and, where keys are equal, of their age,
 * newest first. Used by scans, which walk sources in memory or in blocks, and by merges of runs, which read ahead.
 *
 * It is a sorted list, not a heap: the cursor that moved is compared with the next one first, and mostly stays where it
 * is, because one source, the oldest run, holds most of what is read.
 *
 * I1  The key of each cursor is at or before that of the next, in the direction of the order.
 * I2  Of cursors at one key the newest source's comes first.
 * I3  `isTied` says whether the first two cursors stand at one key.
 *
 * The caller moves a cursor and says so; between the two the order does not hold.
 */
import { compareBytes } from './compare.ts'

/** What stands at a stored key: the first `keyLength` bytes of `key`. */
export interface Keyed {
  readonly key: Uint8Array
  readonly keyLength: number
}

export class MergeOrder<Cursor extends Keyed> {
  readonly cursors: Cursor[] = []
  /** The places of their sources, the newest 0. */
  readonly ages: number[] = []
  /** Whether the second cursor stands at the key of the first, which hides it. */
  isTied = false
  private readonly reverse: boolean

  constructor(reverse: boolean) {
    this.reverse = reverse
  }

  /** Takes in a cursor. */
  add(cursor: Cursor, age: number): void {
    this.insert(cursor, age, 0)
  }

  /** The cursor at `place` has moved on: puts it where it belongs. */
  moved(place: number): void {
    const { cursors, ages } = this
    const cursor = cursors[place] as Cursor
    const age = ages[place] as number
    if (place + 1 < cursors.length) {
      const order = this.compare(cursor, cursors[place + 1] as Cursor)
      if (order > 0 || (order === 0 && age > (ages[place + 1] as number))) {
        this.drop(place)
        this.insert(cursor, age, place + 1)
        return
      }
      // Mostly the head moves and stays: that comparison was all there is to do.
      if (place === 0) this.isTied = order === 0
    }
    if (place === 1) this.findTie()
  }

  /** The cursor at `place` has come to its end. */
  drop(place: number): void {
    this.cursors.splice(place, 1)
    this.ages.splice(place, 1)
    this.findTie()
  }

  private findTie(): void {
    const { cursors } = this
    this.isTied = cursors.length > 1 && this.compare(cursors[0] as Cursor, cursors[1] as Cursor) === 0
  }

  /** Positive if `a` comes after `b` in the direction of the order. */
  private compare(a: Cursor, b: Cursor): number {
    const order = compareBytes(a.key, a.keyLength, b.key, b.keyLength)
    return this.reverse ? -order : order
  }

  private isBefore(cursor: Cursor, age: number, place: number): boolean {
    const order = this.compare(cursor, this.cursors[place] as Cursor)
    return order < 0 || (order === 0 && age < (this.ages[place] as number))
  }

  /** Puts a cursor in its place, which is known to be `from` or later. */
  private insert(cursor: Cursor, age: number, from: number): void {
    let low = from
    let high = this.cursors.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.isBefore(cursor, age, middle)) high = middle
      else low = middle + 1
    }
    this.cursors.splice(low, 0, cursor)
    this.ages.splice(low, 0, age)
    this.findTie()
  }
}
