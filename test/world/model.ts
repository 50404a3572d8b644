/**
 * What a database must say, as plainly as can be: every version of every key in the order of commits, looked up at a pair of
 * commit sequence and instant. Written from what users are promised, with no thought for how it is done.
 *
 * W1  A read at (sequence, instant) gives the newest version at or below the sequence, unless that expires at or before the
 *     instant.
 * W2  In memory, a key that was evicted after the sequence may be refused; it is never answered wrongly.
 */
import { isDeepStrictEqual } from 'node:util'
import { codecs, type Key, keys, merges, type StructCodec, table, type Table } from '../../src/index.ts'
import type { Random } from '../support/random.ts'

export type Kind = 'plain' | 'sum' | 'bytes' | 'struct' | 'sized' | 'lease'

/** How long what is written to `leases` lives unless it says otherwise, ms. */
export const LEASE_MS = 500

const struct: StructCodec<never> = codecs.struct({
  n: 'u32',
  text: 'string',
  list: 'f64[]',
  more: 'i16?',
}) as unknown as StructCodec<never>

/** Values are `unknown` here: what they are depends on the table. */
type AnyTable = Table<Key, unknown>

interface TableModel {
  readonly name: string
  readonly kind: Kind
  readonly table: AnyTable
  readonly keys: readonly Key[]
  /** What is written without `ttlMs` lives so long; 0: for ever. */
  readonly defaultMs: number
}

/** A table whatever its keys and values are. */
function untyped<V, K extends Key = Key>(typed: Table<K, V>): AnyTable {
  return typed as unknown as AnyTable
}

const text = (prefix: string, count: number): readonly Key[] => Array.from({ length: count }, (_, i) => `${prefix}${i}`)

const mixed: readonly Key[] = [
  ...['', 'a', 'a\0', '__proto__', '\ud800', 'x'.repeat(200)],
  ...[0, 1, -1.5, Infinity, 1n, -(2n ** 70n), true],
  ...[[], ['a'], ['a', 1], new Uint8Array([255, 0])],
]

export const TABLES: readonly TableModel[] = [
  { name: 'plains', kind: 'plain', table: table('plains'), keys: [...mixed, ...text('p', 20)], defaultMs: 0 },
  {
    ...{ name: 'sums', kind: 'sum', keys: text('s', 8), defaultMs: 0 },
    table: untyped<number>(table('sums', { value: codecs.float64(), merge: merges.sum })),
  },
  {
    ...{ name: 'blobs', kind: 'bytes', keys: Array.from({ length: 12 }, (_, i) => BigInt(i)), defaultMs: 0 },
    table: untyped(table<bigint, Uint8Array>('blobs', { key: keys.u64(), value: codecs.bytes() })),
  },
  {
    ...{ name: 'structs', kind: 'struct', keys: text('t', 12), defaultMs: 0 },
    table: untyped<never>(table('structs', { value: struct })),
  },
  {
    ...{ name: 'weights', kind: 'sized', keys: Array.from({ length: 10 }, (_, i) => BigInt(i - 5)), defaultMs: 0 },
    table: untyped(
      table<bigint>('weights', {
        key: keys.i64(),
        sizeOf: (_key, value) => (value as { weight: number }).weight,
      }),
    ),
  },
  {
    ...{ name: 'leases', kind: 'lease', keys: text('l', 10), defaultMs: LEASE_MS },
    table: table('leases', { ttl: { defaultMs: LEASE_MS } }),
  },
]

/** A value of a kind that no other call makes; small more often than not. */
export function drawValue(random: Random, kind: Kind, stamp: number): unknown {
  const pad = random.chance(0.9) ? random.int(50) : random.int(1500)
  switch (kind) {
    case 'sum':
      return random.between(-50, 50)
    case 'bytes': {
      const sizes = [0, 1, 2, 12, 13, 16, 17, 64, 65, 480, 481, 1024, random.chance(0.1) ? 70_000 : 3]
      return new Uint8Array(random.pick(sizes)).fill(stamp & 255)
    }
    case 'struct':
      return {
        n: stamp,
        text: 'é'.repeat(pad),
        list: Array.from({ length: random.int(4) }, () => random.next()),
        ...(random.chance(0.5) ? { more: random.between(-300, 300) } : {}),
      }
    case 'sized':
      return { n: stamp, weight: random.pick([0, 1, 7, 40, 200]) }
    default:
      return { n: stamp, pad: 'x'.repeat(pad) }
  }
}

/** What an update makes of a value, whatever it was. */
export function derive(kind: Kind, current: unknown, drawn: unknown): unknown {
  if (kind === 'sum') return ((current as number | undefined) ?? 0) + (drawn as number)
  if (kind === 'bytes' || current === undefined) return drawn
  return { ...(drawn as object), n: (current as { n: number }).n + 1 }
}

/** A value as plain data, to be compared. */
export function plainOf(kind: Kind, value: unknown): unknown {
  if (value === undefined) return undefined
  if (kind === 'struct') {
    const plain = struct.toObject(value as never) as { list: Iterable<number> }
    return { ...plain, list: [...plain.list] }
  }
  return value
}

export function same(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(a, b)
}

export interface Version {
  readonly sequence: number
  /** undefined: absent from then on. */
  readonly value: unknown
  /** ms since the epoch; 0: never. */
  readonly expiresAt: number
  readonly cause: 'commit' | 'expire' | 'evict' | 'inherited'
}

/** A key in a map: keys of one table are told apart by their JSON, kinds included. */
export function idOf(key: Key): string {
  if (key instanceof Uint8Array) return `b${[...key].join()}`
  if (Array.isArray(key)) return `[${(key as readonly Key[]).map(idOf).join('|')}]`
  return `${typeof key} ${JSON.stringify(typeof key === 'bigint' ? `${key}` : key)}${Object.is(key, Infinity) ? 'inf' : ''}`
}

export interface Change {
  readonly table: number
  readonly key: Key
  /** undefined: deleted. */
  readonly value: unknown
  readonly expiresAt: number
}

export interface CommitModel {
  readonly sequence: number
  readonly timeMs: number
  readonly cause: 'commit' | 'expire' | 'evict'
  readonly changes: readonly Change[]
}

export function isLive(version: Version | undefined, instant: number): version is Version {
  if (version === undefined || version.value === undefined) return false
  return version.expiresAt === 0 || version.expiresAt > instant
}

/** Everything that a database was told, in the order of its commits. */
export class Timeline {
  readonly first: number
  sequence: number
  commits: CommitModel[] = []
  readonly #tables: Map<string, Version[]>[] = TABLES.map(() => new Map())
  /** Where it branched off, if it is that of a fork. */
  readonly parent: Timeline | undefined

  constructor(sequence: number, parent?: Timeline) {
    this.first = sequence
    this.sequence = sequence
    this.parent = parent
    if (parent === undefined) return
    for (const [at, { keys }] of TABLES.entries()) {
      for (const key of keys) {
        const version = parent.at(at, key, sequence)
        if (version?.value === undefined) continue
        this.#tables[at]!.set(idOf(key), [{ ...version, cause: 'inherited' }])
      }
    }
  }

  /** The version of a key that a reader at `sequence` sees, expired or not. */
  at(table: number, key: Key, sequence: number): Version | undefined {
    return this.#tables[table]!.get(idOf(key))?.findLast((version) => version.sequence <= sequence)
  }

  /** All versions of a key, oldest first. */
  versions(table: number, key: Key): readonly Version[] {
    return this.#tables[table]!.get(idOf(key)) ?? []
  }

  /** W2: whether a read of a key at `sequence` may be refused because it was evicted. */
  isLost(table: number, key: Key, sequence: number): boolean {
    const versions = this.versions(table, key)
    if (versions.some((version) => version.cause === 'evict' && version.sequence > sequence)) return true
    const seen = versions.findLast((version) => version.sequence <= sequence)
    if (this.parent === undefined || (seen !== undefined && seen.cause !== 'inherited')) return false
    return this.parent.isLost(table, key, this.first)
  }

  apply(commit: CommitModel): void {
    this.sequence = commit.sequence
    this.commits.push(commit)
    for (const { table, key, value, expiresAt } of commit.changes) {
      const versions = this.#tables[table]!
      const list = versions.get(idOf(key))
      const version = { sequence: commit.sequence, value, expiresAt, cause: commit.cause }
      if (list === undefined) versions.set(idOf(key), [version])
      else list.push(version)
    }
  }

  /** What is left after a crash that only the commits up to `sequence` survived. */
  cut(sequence: number): void {
    this.sequence = sequence
    this.commits = this.commits.filter((commit) => commit.sequence <= sequence)
    for (const versions of this.#tables) {
      for (const [id, list] of versions) {
        const kept = list.filter((version) => version.sequence <= sequence)
        if (kept.length === 0) versions.delete(id)
        else versions.set(id, kept)
      }
    }
  }

  /** Keys with a value at a sequence, expired ones that nobody has reclaimed among them. */
  size(table: number, sequence: number): number {
    return TABLES[table]!.keys.filter((key) => this.at(table, key, sequence)?.value !== undefined).length
  }
}
