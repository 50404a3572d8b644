/**
 * What a simulated database must hold: plain maps, and the commits of a session in the order in which they took effect.
 *
 * Every transaction appends its id to a list in the database itself, by a merge that does not commute and therefore applies
 * in commit order. So the list says which transactions a state contains and in what order, and a state is right exactly if
 * it is the state before the session with the effects of those transactions applied in that order. Calls outside
 * transactions ("strokes") have keys of their own, which nobody else touches: each client's strokes take effect in the order
 * in which they were called, and their sequences place them among the transactions.
 */
import { codecs, keys, merges, table, type Key, type Table } from '../../src/index.ts'
import { encodeKey } from '../../src/keys/index.ts'

/** The tables of every simulated database, of several codecs, the order of commits among them. */
export interface Tables {
  /** Any key, any value. */
  readonly anything: Table<Key, unknown>
  readonly accounts: Table<string, { balance: number; stamp: string }>
  readonly counters: Table<Key, number>
  readonly texts: Table<readonly [string, number], string>
  readonly blobs: Table<bigint, Uint8Array>
  /** What is written outside transactions: keys `[client, number]`. */
  readonly strokes: Table<Key, unknown>
  /** What is merged outside transactions, by client. */
  readonly tallies: Table<number, number>
  /** By session: the transactions that have taken effect, in the order in which they did. */
  readonly orders: Table<number, readonly string[]>
}

export const tables: Tables = {
  anything: table('anything'),
  accounts: table<string, { balance: number; stamp: string }>('accounts', { key: keys.string() }),
  counters: table<Key, number>('counters', {
    value: codecs.float64(),
    merge: merges.sum,
    sizeOf: (_key, value) => Math.abs(value) % 1000,
  }),
  texts: table<readonly [string, number], string>('texts', {
    key: keys.tuple(keys.string(), keys.float64()),
    value: codecs.string(),
    merge: merges.concat,
  }),
  blobs: table<bigint, Uint8Array>('blobs', {
    key: keys.u64(),
    value: codecs.bytes(),
    sizeOf: (_key, value) => value.length,
  }),
  strokes: table('strokes'),
  tallies: table<number, number>('tallies', { merge: merges.sum }),
  orders: table<number, readonly string[]>('orders', { merge: merges.append }),
}

export type TableName = keyof Tables

/** A table whose keys and values are whatever the model says: the maps know no types. */
export const tableOf = (name: TableName): Table<Key, unknown> => tables[name] as unknown as Table<Key, unknown>

export const tableNames: readonly TableName[] = Object.keys(tables) as TableName[]

/** What a transaction did to one key. */
export interface Effect {
  readonly table: TableName
  readonly kind: 'set' | 'delete' | 'merge'
  readonly key: Key
  readonly value?: unknown
}

/** Everything the simulated client knows of one commit. */
export interface Commit {
  readonly id: string
  /** What it did, by the attempt that ran last. */
  effects: Effect[]
  /** Its promise resolved. */
  acknowledged: boolean
  /** It was refused: its effects must never be seen. */
  refused: boolean
}

/** One call outside transactions. */
export interface Stroke {
  /** What it does; nothing if it was refused. */
  effects: readonly Effect[]
  /** Its commit sequence, if it took effect in the call; undefined if it changed nothing or was held up. */
  readonly sequence: number | undefined
  acknowledged: boolean
}

const place = (key: Key): string => Buffer.from(encodeKey(key)).toString('latin1')

/** The content of all tables. */
export class World {
  readonly maps: Readonly<Record<TableName, Map<string, { readonly key: Key; readonly value: unknown }>>>

  constructor() {
    this.maps = Object.fromEntries(tableNames.map((name) => [name, new Map()])) as unknown as World['maps']
  }

  clone(): World {
    const copy = new World()
    for (const name of tableNames) for (const [at, entry] of this.maps[name]) copy.maps[name].set(at, entry)
    return copy
  }

  get(table: TableName, key: Key): unknown {
    return this.maps[table].get(place(key))?.value
  }

  apply(effect: Effect): void {
    const map = this.maps[effect.table]
    const at = place(effect.key)
    if (effect.kind === 'delete') map.delete(at)
    else if (effect.kind === 'set') map.set(at, { key: effect.key, value: effect.value })
    else map.set(at, { key: effect.key, value: merged(effect.table, map.get(at)?.value, effect.value) })
  }

  applyAll(effects: readonly Effect[]): void {
    for (const effect of effects) this.apply(effect)
  }

  /** Entries of a table in key order. */
  sorted(table: TableName): { readonly key: Key; readonly value: unknown }[] {
    return [...this.maps[table]].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry)
  }
}

function merged(table: TableName, current: unknown, operand: unknown): unknown {
  if (table === 'counters' || table === 'tallies') return ((current as number | undefined) ?? 0) + (operand as number)
  if (table === 'texts') return ((current as string | undefined) ?? '') + (operand as string)
  if (table === 'orders') return [...((current as readonly string[] | undefined) ?? []), operand as string]
  throw new Error(`${table} has no merge operator`)
}

/** One session of a database, from an open that succeeded to its end, as its clients saw it. */
export class Session {
  readonly number: number
  /** The state when it was opened. */
  readonly base: World
  /** `db.sequence` when it was opened. */
  readonly firstSequence: number
  readonly commits: Map<string, Commit> = new Map()
  /** By client, in the order of the calls. */
  readonly strokes: Stroke[][] = []
  /** Whether every stroke took effect in its call, so that all sequences are known. */
  exact = true
  /** Least number of transactions, and of strokes by client, that must survive the end of the process... */
  readonly killed: Floor = { transactions: 0, strokes: [] }
  /** ...and the loss of power. */
  readonly unplugged: Floor = { transactions: 0, strokes: [] }
  /** The order of commits at the end of the session, as memory had it; null if it could not be read. */
  order: readonly string[] | null = null
  /** `db.sequence` at the end. */
  lastSequence = 0

  constructor(number: number, base: World, firstSequence: number) {
    this.number = number
    this.base = base
    this.firstSequence = firstSequence
  }

  begin(id: string): Commit {
    const commit: Commit = { id, effects: [], acknowledged: false, refused: false }
    this.commits.set(id, commit)
    return commit
  }

  strokesOf(client: number): Stroke[] {
    return (this.strokes[client] ??= [])
  }
}

/** What must at least be there. */
export interface Floor {
  transactions: number
  readonly strokes: number[]
}

/** Raises a floor; it never sinks. */
export function raise(floor: Floor, transactions: number, strokes: readonly (number | undefined)[] = []): void {
  floor.transactions = Math.max(floor.transactions, transactions)
  strokes.forEach((count, client) => {
    floor.strokes[client] = Math.max(floor.strokes[client] ?? 0, count ?? 0)
  })
}
