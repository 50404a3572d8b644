/**
 * What the cold tier asks of a sorted collection of stored keys: a run on disk, or the replayed tail of the log.
 *
 * A stored key is the table's id, four bytes, most significant first, and the order-preserving encoding of the key. Their
 * order under memcmp is: table, then key. A source holds at most one entry for a stored key, live or a tombstone.
 *
 * Sources are read synchronously. Answers are left in fields, so that a read allocates nothing but the view of a value;
 * they hold until the next call on the same object.
 */
import type { BlockExpiries } from './expiries.ts'
import type { HashSeed } from './hash.ts'

/** A collection that can be asked for one key, or walked. */
export interface Source {
  /** What it is, for messages about damage. */
  readonly path: string
  /** The seed that hashes given to {@link find} are made with. */
  readonly hashSeed: HashSeed
  /** Finds the entry of a stored key, which may be a tombstone; the fields below tell of it. */
  find(key: Uint8Array, length: number, hashHigh: number, hashLow: number): boolean
  /** The commit that wrote what was found. */
  readonly sequence: number
  /** Accounting size of what was found, in bytes; 0 for a tombstone. */
  readonly size: number
  /** When what was found expires, in ms since 1970; 0: never. It is found after that too. */
  readonly expiresAt: number
  readonly tombstone: boolean
  /** The encoded value of what was found: a view, empty for a tombstone. */
  readonly value: Uint8Array
  /** The same without a view, which costs more than to read a small value: `valueStart` to `valueEnd` of these bytes. */
  readonly valueBytes: Uint8Array
  readonly valueStart: number
  readonly valueEnd: number
  /** Whether it may have an entry of the table: false only if it has none. Cheap. */
  has(table: number): boolean
  cursor(): SourceCursor
  /** How many entries expire. */
  readonly expiring: number
  /** Where what expires is to be found, and what of it has been taken; null if nothing expires. */
  readonly expiries: BlockExpiries | null
  /** Goes over the entries of one of the blocks that {@link expiries} tells of, from before the first. */
  walk(block: number): SourceWalk
}

/** A walk over the entries of one block, in whatever order. The fields hold until the next step. */
export interface SourceWalk {
  next(): boolean
  /** The stored key of this entry is the first `keyLength` bytes. */
  readonly key: Uint8Array
  readonly keyLength: number
  readonly sequence: number
  readonly expiresAt: number
}

/** A place in a source. The fields hold until the cursor moves; a move that returns false leaves no place but a seek. */
export interface SourceCursor {
  /** To the first entry above a stored key, or at it if `inclusive`. */
  seek(key: Uint8Array, length: number, inclusive: boolean): boolean
  /** To the last entry below a stored key, or at it if `inclusive`. */
  seekBack(key: Uint8Array, length: number, inclusive: boolean): boolean
  next(): boolean
  prev(): boolean
  /** The stored key of this entry is the first `keyLength` bytes. */
  readonly key: Uint8Array
  readonly keyLength: number
  readonly sequence: number
  readonly size: number
  readonly expiresAt: number
  readonly tombstone: boolean
  /** A view of the encoded value; empty for a tombstone. */
  readonly value: Uint8Array
  /** The same without a view: `valueStart` to `valueEnd` of these bytes. */
  readonly valueBytes: Uint8Array
  readonly valueStart: number
  readonly valueEnd: number
}

/** A run that has been opened: a source with a number and a file. */
export interface OpenRun extends Source {
  readonly summary: { readonly number: number }
  /** Gives the file back; no reading afterwards. */
  close(): Promise<void>
}
