/**
 * Calls on handles and transactions, and what each must answer and do according to the plain model. A call is drawn once, with
 * everything it needs, and may then be judged against any state: which one it met is known only when its commit shows up.
 */
import type { Handle, Key, Transaction } from '../../src/index.ts'
import type { Random } from '../support/random.ts'
import { derive, drawValue, idOf, isLive, plainOf, same, TABLES, type Timeline } from './model.ts'

type CallName =
  | 'set'
  | 'delete'
  | 'take'
  | 'swap'
  | 'update'
  | 'merge'
  | 'compareAndSet'
  | 'getOrInsert'
  | 'getOrInsertComputed'
  | 'expire'
  | 'expireMany'
  | 'persist'
  | 'clear'
  | 'orInsert'
  | 'andModify'
  | 'entrySet'
  | 'entryDelete'

const CALLS: readonly CallName[] = [
  ...(['set', 'set', 'set', 'set', 'delete', 'take', 'swap', 'update', 'merge', 'merge', 'compareAndSet'] as const),
  ...(['getOrInsert', 'getOrInsertComputed', 'expire', 'expireMany', 'persist', 'clear'] as const),
  ...(['orInsert', 'andModify', 'entrySet', 'entryDelete'] as const),
]

export interface Call {
  readonly name: CallName
  readonly table: number
  readonly key: Key
  readonly others: readonly Key[]
  readonly value: unknown
  readonly ttlMs: number | undefined
  /** For `update`: gives undefined, which deletes. */
  readonly removes: boolean
  /** For `compareAndSet`. */
  readonly expected: unknown
}

/** A value and when it expires, 0: never. */
interface Cell {
  readonly value: unknown
  readonly expiresAt: number
}

/** What a transaction has done to one key. */
export interface Write {
  readonly table: number
  readonly key: Key
  /** undefined: deleted. */
  readonly cell: Cell | undefined
  /** A merge into whatever is there when it commits: operands so far, and the expiry if it was given. */
  readonly operand?: number
  readonly ttlAt?: number | undefined
  /** Only its expiry was changed: the value is still the one below. */
  readonly isTouch?: boolean
}

/** A state as a reader sees it at one sequence and instant, and what it has written on top. */
export class View {
  readonly timeline: Timeline
  readonly sequence: number
  readonly instant: number
  writes: ReadonlyMap<string, Write> = new Map()

  constructor(timeline: Timeline, sequence: number, instant: number) {
    this.timeline = timeline
    this.sequence = sequence
    this.instant = instant
  }

  cell(table: number, key: Key): Cell | undefined {
    const write = this.writes.get(`${table} ${idOf(key)}`)
    if (write === undefined) return this.committed(table, key)
    if (write.operand === undefined) return write.cell
    return this.merged(write)
  }

  committed(table: number, key: Key): Cell | undefined {
    const version = this.timeline.at(table, key, this.sequence)
    return isLive(version, this.instant) ? version : undefined
  }

  /** A merge, evaluated on what is committed here. */
  merged({ table, key, operand = 0, ttlAt }: Write): Cell {
    const below = this.committed(table, key)
    const value = ((below?.value as number | undefined) ?? 0) + operand
    return { value, expiresAt: ttlAt ?? below?.expiresAt ?? this.expiry(table, undefined) }
  }

  /** When something expires that is written now. */
  expiry(table: number, ttlMs: number | undefined): number {
    const lasts = ttlMs ?? TABLES[table]!.defaultMs
    if (lasts === 0 || lasts === Infinity) return 0
    return this.instant + Math.ceil(lasts)
  }

  /** All that is known of a key, for the report of a failure. */
  explain(table: number, key: Key): string {
    const told: string[] = []
    for (let at: Timeline | undefined = this.timeline; at !== undefined; at = at.parent) {
      const versions = at.versions(table, key).map(({ sequence, value, expiresAt, cause }) => {
        const what = value === undefined ? 'gone' : 'set'
        return `${sequence} ${cause} ${what}${expiresAt === 0 ? '' : ` until ${expiresAt}`}`
      })
      told.push(`from ${at.first} to ${at.sequence}: ${versions.join(', ')}`)
    }
    const write = this.writes.get(`${table} ${idOf(key)}`)
    const own = write === undefined ? '' : `; own write, touch ${write.isTouch}, until ${write.cell?.expiresAt}`
    return `read at ${this.sequence}, ${this.instant}; versions ${told.join('; below it ')}${own}`
  }

  write(write: Write): void {
    this.writes = new Map(this.writes).set(`${write.table} ${idOf(write.key)}`, write)
  }

  /** Whether a read of this key here may be refused for an eviction. */
  isLost(table: number, key: Key): boolean {
    const write = this.writes.get(`${table} ${idOf(key)}`)
    if (write !== undefined && write.operand === undefined && write.isTouch !== true) return false
    return this.timeline.isLost(table, key, this.sequence)
  }

  /** What these writes do to a newer state, as a commit would show it. */
  effects(newest: View): Write[] {
    return [...this.writes.values()].map((write) =>
      write.operand === undefined ? write : { ...write, cell: newest.merged(write) },
    )
  }
}

export function drawCall(random: Random, stamp: number, view: View): Call {
  const table = random.int(TABLES.length)
  const { keys, kind } = TABLES[table]!
  let name: CallName = random.pick(CALLS)
  if (name === 'merge' && kind !== 'sum') name = 'set'
  if (name === 'clear' && random.chance(0.8)) name = 'update'
  const key = random.pick(keys)
  const ttl = random.pick([undefined, undefined, undefined, 1, 7.5, 40, 300, 3e9, Infinity])
  return {
    ...{ name, table, key, others: [random.pick(keys), random.pick(keys)], value: drawValue(random, kind, stamp) },
    ttlMs: (name === 'expire' || name === 'expireMany') && ttl === undefined ? 60 : ttl,
    removes: random.chance(0.2),
    expected: random.chance(0.7) ? view.cell(table, key)?.value : drawValue(random, kind, stamp + 1),
  }
}

/** The call on a handle, where the answer is a promise, or a transaction. */
export function perform(call: Call, on: Handle<Key, unknown> | Transaction<Key, unknown>): unknown {
  const { name, key, value, ttlMs, table } = call
  const { kind } = TABLES[table]!
  const options = ttlMs === undefined ? undefined : { ttlMs }
  const remake = (current: unknown): unknown => (call.removes ? undefined : derive(kind, plainOf(kind, current), value))
  switch (name) {
    case 'set':
      return on.set(key, value, options)
    case 'delete':
      return on.delete(key)
    case 'take':
      return on.take(key)
    case 'swap':
      return on.swap(key, value, options)
    case 'update':
      return on.update(key, remake, options)
    case 'merge':
      return on.merge(key, value, options)
    case 'compareAndSet':
      return on.compareAndSet(key, call.expected, call.removes ? undefined : value, options)
    case 'getOrInsert':
      return on.getOrInsert(key, value, options)
    case 'getOrInsertComputed':
      return on.getOrInsertComputed(key, () => value, options)
    case 'expire':
      return on.expire(key, ttlMs!)
    case 'expireMany':
      return on.expireMany([key, ...call.others], ttlMs!)
    case 'persist':
      return on.persist(key)
    case 'clear':
      return on.clear()
    case 'orInsert':
      return on.entry(key).orInsert(value, options)
    case 'andModify': {
      const done = on.entry(key).andModify((current) => derive(kind, plainOf(kind, current), value), options)
      return done instanceof Promise ? done.then(() => undefined) : undefined
    }
    case 'entrySet':
      return on.entry(key).set(value, options)
    case 'entryDelete':
      return on.entry(key).delete()
  }
}

/** What the call must answer, as plain data; the view gets its writes. */
export function judge(call: Call, view: View): unknown {
  const { name, table, key, value, ttlMs } = call
  const { kind, keys } = TABLES[table]!
  const cell = view.cell(table, key)
  const fresh = view.expiry(table, ttlMs)
  /** Of writes that keep the expiry of what is there. */
  const kept = cell === undefined || ttlMs !== undefined ? fresh : cell.expiresAt
  const put = (next: unknown, expiresAt: number, at: Key = key): void => {
    view.write({ table, key: at, cell: next === undefined ? undefined : { value: next, expiresAt } })
  }
  const touch = (found: Cell, expiresAt: number, at: Key): void => {
    const before = view.writes.get(`${table} ${idOf(at)}`)
    const isTouch = before === undefined || before.operand !== undefined || before.isTouch === true
    view.write({ table, key: at, cell: { value: found.value, expiresAt }, isTouch })
  }
  switch (name) {
    case 'set':
      put(value, fresh)
      return undefined
    case 'delete':
      if (cell !== undefined) put(undefined, 0)
      return cell !== undefined
    case 'take':
    case 'entryDelete':
      if (cell !== undefined) put(undefined, 0)
      return cell?.value
    case 'swap':
    case 'entrySet':
      put(value, fresh)
      return cell?.value
    case 'update': {
      const next = call.removes ? undefined : derive(kind, cell?.value, value)
      if (next !== undefined || cell !== undefined) put(next, kept)
      return next
    }
    case 'merge': {
      const before = view.writes.get(`${table} ${idOf(key)}`)
      if (before !== undefined && before.operand === undefined) {
        put(((cell?.value as number | undefined) ?? 0) + (value as number), kept)
        return undefined
      }
      const operand = (before?.operand ?? 0) + (value as number)
      const ttlAt = ttlMs === undefined ? before?.ttlAt : fresh
      view.write({ table, key, cell: undefined, operand, ttlAt })
      return undefined
    }
    case 'compareAndSet': {
      const isEqual = same(cell?.value, call.expected)
      const next = call.removes ? undefined : value
      if (isEqual && (next !== undefined || cell !== undefined)) put(next, kept)
      return isEqual
    }
    case 'getOrInsert':
    case 'getOrInsertComputed':
    case 'orInsert':
      if (cell !== undefined) return cell.value
      put(value, fresh)
      return value
    case 'expire':
      if (cell !== undefined) touch(cell, fresh, key)
      return cell !== undefined
    case 'expireMany': {
      // Each as often as it is named.
      let count = 0
      for (const at of [key, ...call.others]) {
        const found = view.cell(table, at)
        if (found === undefined) continue
        count++
        touch(found, fresh, at)
      }
      return count
    }
    case 'persist':
      if (cell === undefined || cell.expiresAt === 0) return false
      touch(cell, 0, key)
      return true
    case 'clear':
      for (const at of keys) if (view.cell(table, at) !== undefined) put(undefined, 0, at)
      return undefined
    case 'andModify':
      if (cell !== undefined) put(derive(kind, cell.value, value), kept)
      return undefined
  }
}
