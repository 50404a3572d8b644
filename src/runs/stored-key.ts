/**
 * Stored keys: the id of a table, four bytes, most significant first, and the order-preserving encoding of a key. All
 * tables share one order, and one table is one stretch of it.
 *
 * No encoding of a key is a proper prefix of another, so every key above `k` is at or above the stored `k` followed by 00;
 * and none starts with FF, so FF after the id is above all keys of its table.
 */
import { VarveError } from '../errors.ts'
import { type Bounds, type Key, decodeKey, encodedLength, writeKey } from '../keys/index.ts'
import { type HashSeed, hashLow, hashStoredKey } from './hash.ts'

/** Bytes of the table's id before the key. */
export const TABLE_BYTES = 4

const ABOVE_ALL_KEYS = 0xff

/** Writes the id of a table where a stored key starts. */
export function writeTable(table: number, target: Uint8Array): void {
  target[0] = table >>> 24
  target[1] = table >>> 16
  target[2] = table >>> 8
  target[3] = table
}

/** The id of the table of a stored key, which has at least those four bytes. */
export function tableOf(stored: Uint8Array): number {
  const upper = ((stored[0] as number) << 24) | ((stored[1] as number) << 16)
  return (upper | ((stored[2] as number) << 8) | (stored[3] as number)) >>> 0
}

/**
 * The key of an entry.
 *
 * @throws CORRUPTION if its bytes are the encoding of none; `path` and `sequence`, the commit of the entry, tell where
 */
export function decodeStoredKey(stored: Uint8Array, length: number, path: string, sequence: number): Key {
  try {
    return decodeKey(stored, TABLE_BYTES, length)
  } catch (cause) {
    const message = `${path}: the key of an entry of commit ${sequence} is damaged; restore the database from a backup`
    throw new VarveError('CORRUPTION', message, { cause })
  }
}

/** Which stored keys lie within bounds: from `lower` on, up to `upper` exclusive. */
export function storedBounds(table: number, bounds: Bounds): { lower: Uint8Array; upper: Uint8Array } {
  const { lower, lowerOpen, upper, upperOpen } = bounds
  return {
    lower: lower === undefined ? storedEnd(table, undefined, 0) : storedEnd(table, lower, lowerOpen ? 1 : 0),
    upper:
      upper === undefined ? storedEnd(table, undefined, 1, ABOVE_ALL_KEYS) : storedEnd(table, upper, upperOpen ? 0 : 1),
  }
}

/** One end: the stored key, followed by so many bytes, which are `filler`. */
function storedEnd(table: number, key: Key | undefined, more: number, filler = 0): Uint8Array {
  const stored = new Uint8Array(TABLE_BYTES + (key === undefined ? 0 : encodedLength(key)) + more)
  writeTable(table, stored)
  if (key !== undefined) writeKey(key, stored, TABLE_BYTES)
  if (more > 0) stored[stored.length - 1] = filler
  return stored
}

/** A stored key that is being looked up, in a buffer that is used again, with its hash. */
export class Probe {
  /** The stored key is the first `length` bytes. */
  bytes: Uint8Array = new Uint8Array(128)
  length = 0
  /** The two halves of its hash under the seed that was asked for last. */
  high = 0
  low = 0
  private seed: HashSeed | null = null

  /** Sets the key. */
  aim(table: number, key: Key): void {
    const length = TABLE_BYTES + encodedLength(key)
    if (length > this.bytes.length) this.bytes = new Uint8Array(length * 2)
    writeTable(table, this.bytes)
    this.length = writeKey(key, this.bytes, TABLE_BYTES)
    this.seed = null
  }

  /** Fills in the hash, unless it is that of this key and seed already: sources of one database share theirs. */
  hash(seed: HashSeed): void {
    if (this.seed !== null && (this.seed === seed || isSameSeed(this.seed, seed))) return
    this.high = hashStoredKey(this.bytes, this.length, seed)
    this.low = hashLow
    this.seed = seed
  }
}

function isSameSeed(a: HashSeed, b: HashSeed): boolean {
  return a.key0 === b.key0 && a.key1 === b.key1
}

/** What the keys of a database are hashed with: 64 bits of its id, which nobody who only chooses keys has seen. */
export function hashSeedOf(databaseId: Uint8Array): HashSeed {
  const key0 = hashStoredKey(databaseId, databaseId.length, SEED_OF_SEEDS)
  return { key0, key1: hashLow }
}

const SEED_OF_SEEDS: HashSeed = { key0: 0x7661_7276, key1: 0x6d61_706c }
