/**
 * The plain model that the whole surface is held against: for every table an array with one place for each key that the
 * test may use, in key order, copied whole at every commit. Nothing here is clever; that is the point.
 */
import { isDeepStrictEqual } from 'node:util'

import { codecs, type Key, type MergeOperator, merges, type Range, type Table, table } from '../../src/index.ts'
import { referenceCompare, referenceStartsWith } from '../keys/reference.ts'

const text = (...units: number[]): string => String.fromCharCode(...units)

/** The keys, in the documented order. */
export const KEYS: readonly Key[] = [
  false,
  true,
  -Infinity,
  -1.5,
  0,
  1,
  1n,
  2n ** 60n,
  '',
  '__proto__',
  'a',
  'a\0',
  'ab',
  'b',
  text(0xd800),
  text(0xdfff),
  text(0xffff, 0xffff),
  new Uint8Array(),
  Uint8Array.of(1),
  Uint8Array.of(1, 255),
  Uint8Array.of(255),
  [],
  ['a'],
  ['a', 0],
  ['a', 1],
  ['a', 1n],
  ['a', ['b']],
  ['b', true],
]

export const COUNT: number = KEYS.length

/** Places of the prefixes that mean something, with others that match nothing. */
export const PREFIXES: readonly Key[] = [
  '',
  'a',
  'b',
  'zz',
  text(0xffff),
  new Uint8Array(),
  Uint8Array.of(1),
  [],
  ['a'],
]

/** Plain documents, without an operator. */
export interface Note {
  readonly n: number
  readonly at?: Date
  readonly tags: readonly string[]
}

export type Value = Note | number | readonly number[] | string

const append: MergeOperator<Value> = {
  identity: [],
  merge: (current: Value, operand: Value) => [...(current as readonly number[]), operand as number],
}

/** The tables: one for each way of writing and of weighing. */
export const TABLES: readonly Table<Key, Value>[] = [
  table<Key, Value>('notes'),
  table<Key, Value>('sums', {
    merge: merges.sum as unknown as MergeOperator<Value, never>,
    value: codecs.float64(),
    sizeOf: (_key, value) => 10 + Math.abs(value as number),
  }),
  table<Key, Value>('logs', { merge: append as unknown as MergeOperator<Value, never> }),
]

const NOTES = 0
const SUMS = 1
const LOGS = 2

/** Whether merging into the table is possible. */
export const merging = (at: number): boolean => at !== NOTES

/** A value that the table takes. */
export function valueFor(at: number, n: number): Value {
  if (at === SUMS) return n
  if (at === LOGS) return [n]
  return n % 3 === 0 ? { n, at: new Date(n), tags: ['x'] } : { n, tags: [] }
}

function merged(at: number, current: Value | undefined, operands: readonly number[]): Value {
  if (at === LOGS) return [...((current ?? []) as readonly number[]), ...operands]
  return operands.reduce((sum, n) => sum + n, (current ?? 0) as number)
}

export const same = (a: unknown, b: unknown): boolean => a === b || isDeepStrictEqual(a, b)

/** One table as of one commit. */
export type Rows = readonly (Value | undefined)[]
/** All tables as of one commit. */
export type State = readonly Rows[]

const EMPTY: State = TABLES.map(() => KEYS.map(() => undefined))

/** What a transaction means to do with a key. */
export type Own =
  | { readonly kind: 'set'; readonly value: Value }
  | { readonly kind: 'delete' }
  | { readonly kind: 'merge'; readonly operands: readonly number[] }

/** Pending writes of one table, by place of the key. */
export type Writes = readonly (Own | undefined)[]

const NOTHING: readonly Writes[] = TABLES.map(() => KEYS.map(() => undefined))

function see(at: number, committed: Value | undefined, own: Own | undefined): Value | undefined {
  if (own === undefined) return committed
  if (own.kind === 'set') return own.value
  return own.kind === 'delete' ? undefined : merged(at, committed, own.operands)
}

/** A range by places of its bounds. */
export interface Span {
  readonly range: Range<Key>
  has(place: number): boolean
}

export function spanOf(range: Range<Key>): Span {
  const { gt, gte, lt, lte, prefix } = range
  return {
    range,
    has: (place) => {
      const key = KEYS[place] as Key
      if (gt !== undefined && referenceCompare(key, gt) <= 0) return false
      if (gte !== undefined && referenceCompare(key, gte) < 0) return false
      if (lt !== undefined && referenceCompare(key, lt) >= 0) return false
      if (lte !== undefined && referenceCompare(key, lte) > 0) return false
      return prefix === undefined || referenceStartsWith(key, prefix)
    },
  }
}

/** The database so far: the state after every commit, and which keys each commit changed. */
export class History {
  state: State = EMPTY
  readonly first: number
  private readonly states: State[] = [EMPTY]
  private readonly changedAt: number[][] = TABLES.map(() => KEYS.map(() => -1))

  constructor(firstSequence: number) {
    this.first = firstSequence
  }

  get sequence(): number {
    return this.first + this.states.length - 1
  }

  at(sequence: number): State {
    return this.states[sequence - this.first] as State
  }

  /** Applies the writes of one transaction; returns false if there were none. */
  commit(writes: readonly Writes[]): boolean {
    if (!writes.some((table) => table.some((own) => own !== undefined))) return false
    const next = this.state.map((rows, at) => rows.map((value, place) => see(at, value, writes[at]?.[place])))
    this.states.push(next)
    writes.forEach((own, at) =>
      own.forEach((write, place) => {
        const idle = write?.kind === 'delete' && this.state[at]?.[place] === undefined
        if (write !== undefined && !idle) (this.changedAt[at] as number[])[place] = this.sequence
      }),
    )
    this.state = next
    return true
  }

  /** First committer wins: whether a key that is set or deleted here has changed since. Merges do not count. */
  overtaken(writes: readonly Writes[], since: number): boolean {
    return writes.some((own, at) =>
      own.some(
        (write, place) =>
          write !== undefined && write.kind !== 'merge' && (this.changedAt[at]?.[place] as number) > since,
      ),
    )
  }
}

/** What one transaction or snapshot sees: a committed state under its own writes. */
export class View {
  readonly base: State
  writes: readonly Writes[] = NOTHING

  constructor(base: State) {
    this.base = base
  }

  get(at: number, place: number): Value | undefined {
    return see(at, this.base[at]?.[place], this.writes[at]?.[place])
  }

  write(at: number, place: number, own: Own): void {
    this.writes = this.writes.map((table, i) => (i === at ? table.map((was, j) => (j === place ? own : was)) : table))
  }

  set(at: number, place: number, value: Value): void {
    this.write(at, place, { kind: 'set', value })
  }

  delete(at: number, place: number): boolean {
    if (this.get(at, place) === undefined) return false
    this.write(at, place, { kind: 'delete' })
    return true
  }

  merge(at: number, place: number, operand: number): void {
    const own = this.writes[at]?.[place]
    if (own === undefined) this.write(at, place, { kind: 'merge', operands: [operand] })
    else if (own.kind === 'merge') this.write(at, place, { kind: 'merge', operands: [...own.operands, operand] })
    else this.set(at, place, merged(at, own.kind === 'set' ? own.value : undefined, [operand]))
  }

  /** Places in the span that have a value, in the direction of reading, without the limit. */
  places(at: number, span: Span): number[] {
    const places: number[] = []
    for (let place = 0; place < COUNT; place++) {
      if (span.has(place) && this.get(at, place) !== undefined) places.push(place)
    }
    return span.range.reverse === true ? places.reverse() : places
  }

  /** The places that a whole scan gives. */
  scan(at: number, span: Span): number[] {
    return this.places(at, span).slice(0, Math.min(span.range.limit ?? Infinity, COUNT))
  }

  entries(at: number, span: Span): [Key, Value][] {
    return this.scan(at, span).map((place) => [KEYS[place] as Key, this.get(at, place) as Value])
  }

  size(at: number): number {
    return this.places(at, spanOf({})).length
  }

  /** Bytes of the table of sums, as its `sizeOf` has them. */
  sizeOfSums(): number {
    return this.places(SUMS, spanOf({})).reduce((sum, place) => sum + 10 + Math.abs(this.get(SUMS, place) as number), 0)
  }
}

/** A scan that is stepped: it goes on from the last key given out, over what the view shows by then. */
export class Cursor {
  private readonly view: View
  private readonly at: number
  private readonly span: Span
  private left: number
  private last: number | undefined
  private done = false

  constructor(view: View, at: number, span: Span) {
    this.view = view
    this.at = at
    this.span = span
    this.left = span.range.limit ?? Infinity
  }

  next(): [Key, Value] | undefined {
    if (this.done) return undefined
    const { last } = this
    const reverse = this.span.range.reverse === true
    const beyond = (place: number): boolean => last === undefined || (reverse ? place < last : place > last)
    const place = this.left > 0 ? this.view.places(this.at, this.span).find(beyond) : undefined
    if (place === undefined) {
      this.done = true
      return undefined
    }
    this.left--
    this.last = place
    return [KEYS[place] as Key, this.view.get(this.at, place) as Value]
  }
}
