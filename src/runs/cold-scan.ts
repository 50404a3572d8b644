/**
 * A scan over the cold entries of one table: its sources merged in order of keys, in either direction.
 *
 * The cursors stand in a list ordered by their keys, and where keys are equal by the age of their sources, newest first.
 * A step moves the cursor at the head and puts it in its place again. Where one source holds most of what is read, as the
 * oldest run does, that is one comparison an entry.
 *
 * I1  Keys come out strictly ascending (descending when reversed), each at most once: the newest source's entry.
 * I2  A tombstone is not given out, and hides what older sources have for its key.
 * I3  Every cursor of the list stands within the bounds, at an entry that has not been passed.
 *
 * Cost: a step is one decoded key and comparisons up to the number of sources; keys that are hidden are not decoded, and
 * values never are. Sources must not change while the scan is used: the caller holds their version.
 */
import { VarveError } from '../errors.ts'
import { type Bounds, type Key, decodeKey } from '../keys/index.ts'
import { compareBytes } from './compare.ts'
import type { Source, SourceCursor } from './source.ts'
import { TABLE_BYTES, storedBounds } from './stored-key.ts'

export class ColdScan {
  /** The key of the current step: an object of its own. */
  key: Key = ''
  /** The commit that wrote the entry. */
  sequence = 0
  /** Accounting size of the value, in bytes. */
  size = 0
  private readonly reverse: boolean
  /** Where to stop: upper end, or lower end when reversed. */
  private readonly stop: Uint8Array
  /** Cursors in order; `ages` are the places of their sources, newest 0. */
  private readonly cursors: SourceCursor[] = []
  private readonly ages: number[] = []
  /** The head has been given out, and moves at the next step. */
  private isSpent = false

  constructor(table: number, bounds: Bounds, sources: readonly Source[]) {
    const { lower, upper } = storedBounds(table, bounds)
    this.reverse = bounds.reverse
    this.stop = bounds.reverse ? lower : upper
    if (bounds.empty) return
    for (let age = 0; age < sources.length; age++) {
      const source = sources[age] as Source
      if (!source.has(table)) continue
      const cursor = source.cursor()
      const found = bounds.reverse ? cursor.seekBack(upper, upper.length, false) : cursor.seek(lower, lower.length, true)
      if (found && this.isWithin(cursor)) this.insert(cursor, age, 0)
    }
  }

  /** The encoded value of the current step: a view that holds until the next step. */
  get value(): Uint8Array {
    return (this.cursors[0] as SourceCursor).value
  }

  /** Moves to the next live entry; false at the end, and ever after. */
  next(): boolean {
    if (this.isSpent) this.pass()
    while (this.cursors.length > 0) {
      const head = this.cursors[0] as SourceCursor
      if (!head.tombstone) {
        this.sequence = head.sequence
        this.size = head.size
        this.key = decodeStored(head)
        this.isSpent = true
        return true
      }
      this.pass()
    }
    this.isSpent = false
    return false
  }

  /** Moves the head, and every other cursor that stands at the same key, beyond it. */
  private pass(): void {
    const { cursors } = this
    while (cursors.length > 1) {
      const older = cursors[1] as SourceCursor
      const head = cursors[0] as SourceCursor
      if (compareBytes(head.key, head.keyLength, older.key, older.keyLength) !== 0) break
      this.advance(1)
    }
    this.advance(0)
  }

  private advance(place: number): void {
    const { cursors, ages } = this
    const cursor = cursors[place] as SourceCursor
    const moved = this.reverse ? cursor.prev() : cursor.next()
    if (moved && this.isWithin(cursor)) {
      if (place + 1 === cursors.length || this.isBefore(cursor, ages[place] as number, place + 1)) return
      const age = ages[place] as number
      cursors.splice(place, 1)
      ages.splice(place, 1)
      this.insert(cursor, age, place + 1)
    } else {
      cursors.splice(place, 1)
      ages.splice(place, 1)
    }
  }

  private isWithin(cursor: SourceCursor): boolean {
    const order = compareBytes(cursor.key, cursor.keyLength, this.stop, this.stop.length)
    return this.reverse ? order >= 0 : order < 0
  }

  /** Whether a cursor belongs before the one at `place`. */
  private isBefore(cursor: SourceCursor, age: number, place: number): boolean {
    const other = this.cursors[place] as SourceCursor
    const order = compareBytes(cursor.key, cursor.keyLength, other.key, other.keyLength)
    if (order === 0) return age < (this.ages[place] as number)
    return order < 0 !== this.reverse
  }

  /** Puts a cursor in its place, which is known to be `from` or later. */
  private insert(cursor: SourceCursor, age: number, from: number): void {
    let low = from
    let high = this.cursors.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.isBefore(cursor, age, middle)) high = middle
      else low = middle + 1
    }
    this.cursors.splice(low, 0, cursor)
    this.ages.splice(low, 0, age)
  }
}

function decodeStored(cursor: SourceCursor): Key {
  try {
    return decodeKey(cursor.key.subarray(TABLE_BYTES, cursor.keyLength))
  } catch (cause) {
    throw new VarveError('CORRUPTION', `a key in a run is damaged; restore the database from a backup`, { cause })
  }
}
