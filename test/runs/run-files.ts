/** Runs for tests: entries by chance, the run that is made of them, and what a sorted array says of the same entries. */
import { expect } from 'vitest'
import { VarveError } from '../../src/errors.ts'
import { BlockCache } from '../../src/runs/cache.ts'
import { compareBytes } from '../../src/runs/compare.ts'
import type { RunSummary } from '../../src/runs/format.ts'
import { type HashSeed, hashLow, hashStoredKey } from '../../src/runs/hash.ts'
import { RunReader } from '../../src/runs/reader.ts'
import type { RunCursor } from '../../src/runs/scan.ts'
import { RunWriter, type RunWriterOptions } from '../../src/runs/writer.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { Random } from '../support/random.ts'

export interface Entry {
  readonly key: Uint8Array
  readonly sequence: number
  readonly size: number
  /** Null: a tombstone. */
  readonly value: Uint8Array | null
  /** Absent: never. */
  readonly expiresAt?: number
}

export const DIRECTORY = '/runs'
export const hashSeed: HashSeed = { key0: 0xdead_beef, key1: 0x1234_5678 }

export function order(a: Uint8Array, b: Uint8Array): number {
  return compareBytes(a, a.length, b, b.length)
}

/** A stored key: table, then bytes. */
export function storedKey(table: number, ...bytes: number[]): Uint8Array {
  return Uint8Array.from([table >>> 24, table >>> 16, table >>> 8, table].concat(bytes))
}

export function textKey(table: number, text: string): Uint8Array {
  return storedKey(table, ...Buffer.from(text, 'latin1'))
}

export function randomBytes(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.int(256))
}

/** Keys that like to be prefixes and neighbours of each other, values from nothing to more than a block. */
export function randomEntries(random: Random, count: number, longestValue = 300): Entry[] {
  const entries = new Map<string, Entry>()
  const alphabet = random.pick([2, 3, 256])
  const longest = random.pick([2, 12, 40, 200])
  const base = random.pick([0, 1, 2 ** 31, 2 ** 48 - 2_000_000])
  const expiring = random.pick([0, 0, 0.05, 0.5, 1])
  for (let i = 0; i < count; i++) {
    const tail = Array.from({ length: random.int(longest) }, () => (random.int(alphabet) + 255) & 0xff)
    const key = storedKey(random.pick([0, 1, 2, 0xffff_ffff]), ...tail)
    const value = random.chance(0.2) ? null : randomBytes(random, random.chance(0.1) ? 0 : random.int(longestValue))
    const sequence = base + random.int(1_000_000)
    const size = random.chance(0.1) ? random.int(2 ** 48) : (value?.length ?? 0) + 8
    const expiry = value !== null && random.chance(expiring) ? { expiresAt: randomInstant(random) } : {}
    entries.set(Buffer.from(key).toString('hex'), { key, sequence, size, value, ...expiry })
  }
  return [...entries.values()].sort((a, b) => order(a.key, b.key))
}

/** Close to each other, so that some are equal, or of any size that a number has. */
function randomInstant(random: Random): number {
  if (random.chance(0.9)) return 1.7e12 + random.int(50) * 1000
  return random.pick([Number.MIN_VALUE, 0.1, 1, 2 ** 53, Number.MAX_VALUE])
}

/** `key 000000`, `key 000003` and so on, with values of the length. */
export function plainEntries(count: number, valueLength = 20): Entry[] {
  return Array.from({ length: count }, (_, i) => {
    const value = new Uint8Array(valueLength).fill(i)
    return {
      key: textKey(1, `key ${String(i * 3).padStart(6, '0')}`),
      sequence: 1 + ((i * 7919) % count),
      size: valueLength + 4,
      value,
    }
  })
}

export async function writeRun(
  storage: Storage,
  number: number,
  entries: readonly Entry[],
  options: Partial<RunWriterOptions> = {},
): Promise<RunSummary> {
  const random = new Random(`run ${number}`)
  const writer = await RunWriter.create(storage, DIRECTORY, number, {
    hashSeed,
    falsePositiveRate: 0.01,
    random: (bytes) => randomBytes(random, bytes),
    ...options,
  })
  try {
    for (const { key, sequence, size, value, expiresAt } of entries) {
      await writer.add(key, sequence, size, value, key.length, expiresAt)
    }
  } catch (error) {
    await writer.abort()
    throw error
  }
  return writer.finish()
}

/** A disk without delays, with the directory. */
export async function emptyDisk(): Promise<SimulatedStorage> {
  const storage = new SimulatedStorage({ maxDelayTurns: 0 })
  await storage.makeDirectory(DIRECTORY)
  return storage
}

export function openRun(
  storage: Storage,
  summary: RunSummary,
  cache: BlockCache = new BlockCache(1 << 20),
): Promise<RunReader> {
  return RunReader.open(storage, DIRECTORY, summary, cache)
}

export function find(reader: RunReader, key: Uint8Array): boolean {
  const high = hashStoredKey(key, key.length, reader.hashSeed)
  return reader.find(key, key.length, high, hashLow)
}

/** What a cursor, a scan or a reader stands on. */
interface Fields {
  readonly sequence: number
  readonly size: number
  readonly expiresAt: number
  readonly tombstone: boolean
  readonly value: Uint8Array
}

function agrees(at: Fields, { sequence, size, value, expiresAt = 0 }: Entry): boolean {
  return (
    at.sequence === sequence &&
    at.size === size &&
    at.expiresAt === expiresAt &&
    at.tombstone === (value === null) &&
    order(at.value, value ?? new Uint8Array(0)) === 0
  )
}

export function expectFound(reader: RunReader, entry: Entry): void {
  if (!find(reader, entry.key)) expect.fail(`not found: ${Buffer.from(entry.key).toString('hex')}`)
  if (!agrees(reader, entry)) expect.fail(`other fields: ${Buffer.from(entry.key).toString('hex')}`)
}

/** That something which moves is on this entry; undefined: on none. */
export function expectAt(
  at: Fields & Pick<RunCursor, 'key' | 'keyLength'>,
  moved: boolean,
  entry: Entry | undefined,
): void {
  if (moved !== (entry !== undefined)) expect.fail(`moved: ${moved}`)
  if (entry === undefined) return
  if (compareBytes(at.key, at.keyLength, entry.key, entry.key.length) !== 0) {
    expect.fail(`on ${Buffer.from(at.key.subarray(0, at.keyLength)).toString('hex')} instead of ${hex(entry.key)}`)
  }
  if (!agrees(at, entry)) expect.fail(`other fields: ${hex(entry.key)}`)
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** Every entry by every way: lookups, forwards, backwards, past the cache. Throws what reading throws. */
export async function expectEverything(reader: RunReader, entries: readonly Entry[]): Promise<void> {
  for (const entry of entries) expectFound(reader, entry)
  const cursor = reader.cursor()
  for (const entry of entries) expectAt(cursor, cursor.next(), entry)
  expectAt(cursor, cursor.next(), undefined)
  for (let i = entries.length - 1; i >= 0; i--) expectAt(cursor, cursor.prev(), entries[i])
  expectAt(cursor, cursor.prev(), undefined)
  const scan = reader.scan()
  let seen = 0
  while (scan.next() || ((await scan.load()) && scan.next())) expectAt(scan, true, entries[seen++])
  expect(seen).toBe(entries.length)
}

/** The code of the VarveError that a call ends in; undefined if it does not. Everything else that is thrown goes on. */
export async function codeOf(call: () => unknown): Promise<string | undefined> {
  try {
    await call()
    return undefined
  } catch (error) {
    if (error instanceof VarveError) return error.code
    throw error
  }
}
