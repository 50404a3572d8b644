/**
 * A scan over the cold entries of one table: its sources merged in order of keys, in either direction.
 *
 * I1  Keys come out strictly ascending (descending when reversed), each at most once: the newest source's entry.
 * I2  A tombstone is not given out, and hides what older sources have for its key.
 * I3  Every cursor of the order stands within the bounds, at an entry that has not been passed.
 *
 * Cost: a step is one decoded key and comparisons with the cursors that it passes; keys that are hidden are not decoded,
 * and values never are. Sources must not change while the scan is used: the caller holds their version.
 */
import type { Bounds, Key } from '../keys/index.ts'
import { compareBytes } from './compare.ts'
import { MergeOrder } from './merge-order.ts'
import type { Source, SourceCursor } from './source.ts'
import { decodeStoredKey, storedBounds } from './stored-key.ts'

export class ColdScan {
  /** The key of the current step: an object of its own. */
  key: Key = ''
  /** The commit that wrote the entry. */
  sequence = 0
  /** Accounting size of the value, in bytes. */
  size = 0
  /** When the entry expires, in ms since 1970; 0: never. It is given out after that too. */
  expiresAt = 0
  private readonly reverse: boolean
  /** Where to stop: upper end, or lower end when reversed. */
  private readonly stop: Uint8Array
  private readonly sources: readonly Source[]
  private readonly order: MergeOrder<SourceCursor>
  /** The head has been given out, and moves at the next step. */
  private isSpent = false

  constructor(table: number, bounds: Bounds, sources: readonly Source[]) {
    const { lower, upper } = storedBounds(table, bounds)
    this.reverse = bounds.reverse
    this.stop = bounds.reverse ? lower : upper
    this.sources = sources
    this.order = new MergeOrder(bounds.reverse)
    if (bounds.empty) return
    for (let age = 0; age < sources.length; age++) {
      const source = sources[age] as Source
      if (!source.has(table)) continue
      const cursor = source.cursor()
      const found = bounds.reverse
        ? cursor.seekBack(upper, upper.length, false)
        : cursor.seek(lower, lower.length, true)
      if (found && this.isWithin(cursor)) this.order.add(cursor, age)
    }
  }

  /** Where the encoded value of the current step lies, until the next step: `valueStart` to `valueEnd` of these bytes. */
  get valueBytes(): Uint8Array {
    return (this.order.cursors[0] as SourceCursor).valueBytes
  }

  get valueStart(): number {
    return (this.order.cursors[0] as SourceCursor).valueStart
  }

  get valueEnd(): number {
    return (this.order.cursors[0] as SourceCursor).valueEnd
  }

  /** The same as a view. */
  get value(): Uint8Array {
    return (this.order.cursors[0] as SourceCursor).value
  }

  /** Moves to the next live entry; false at the end, and ever after. */
  next(): boolean {
    if (this.isSpent) this.pass()
    const { cursors } = this.order
    while (cursors.length > 0) {
      const head = cursors[0] as SourceCursor
      if (!head.tombstone) {
        this.sequence = head.sequence
        this.size = head.size
        this.expiresAt = head.expiresAt
        this.key = this.decode(head)
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
    while (this.order.isTied) this.advance(1)
    this.advance(0)
  }

  private advance(place: number): void {
    const cursor = this.order.cursors[place] as SourceCursor
    const isThere = this.reverse ? cursor.prev() : cursor.next()
    if (isThere && this.isWithin(cursor)) this.order.moved(place)
    else this.order.drop(place)
  }

  private isWithin(cursor: SourceCursor): boolean {
    const order = compareBytes(cursor.key, cursor.keyLength, this.stop, this.stop.length)
    return this.reverse ? order >= 0 : order < 0
  }

  private decode(cursor: SourceCursor): Key {
    const { path } = this.sources[this.order.ages[0] as number] as Source
    return decodeStoredKey(cursor.key, cursor.keyLength, path, cursor.sequence)
  }
}
