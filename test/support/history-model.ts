/**
 * What histories are made of: operations, the plain multi-version model they are checked against, and the recorder that
 * tells what a transaction has read and written.
 *
 * Two tables take part. Keys that begin with a lower-case letter live in `sums`, whose values are numbers and whose
 * merges commute (addition); those that begin with an upper-case one in `logs`, strings whose merges only associate.
 */
import type { Commutes, ReadLevel, WriteKind } from './oracle.ts'

export type Value = number | string

/** Bounds of a scan. Both tables have string keys, ordered by code unit. */
export interface KeyRange {
  readonly gt?: string
  readonly gte?: string
  readonly lt?: string
  readonly lte?: string
  readonly reverse?: boolean
  readonly limit?: number
}

/**
 * One step of a program. `take` is how many entries the consumer pulls before it walks away; `open` begins a scan that
 * each `next` pulls one entry from.
 */
export type Op =
  | { readonly op: PointOp; readonly key: string }
  | {
      readonly op: 'scan'
      readonly over: TableName
      readonly range: KeyRange
      readonly take: number
      readonly level: ReadLevel
    }
  | { readonly op: 'count'; readonly over: TableName; readonly range: KeyRange }
  | { readonly op: 'clear'; readonly over: TableName }
  | { readonly op: 'open'; readonly over: TableName; readonly range: KeyRange; readonly level: ReadLevel }
  | { readonly op: 'next' | 'savepoint' | 'rollbackTo' | 'pause' }

export type PointOp = 'get' | 'has' | 'set' | 'delete' | 'merge' | 'update' | 'swap' | 'take' | 'getOrInsert'

export type TableName = 'sums' | 'logs'

/** One transaction of the engine under test, over both tables. */
export interface Session {
  readonly sequence: number
  /** What the engine calls it when it explains a refusal. */
  readonly id?: number
  get(key: string): Value | undefined
  has(key: string): boolean
  set(key: string, value: Value): void
  delete(key: string): boolean
  merge(key: string, operand: Value): void
  update(key: string, value: Value): Value | undefined
  swap(key: string, value: Value): Value | undefined
  take(key: string): Value | undefined
  getOrInsert(key: string, value: Value): Value
  clear(over: TableName): void
  entries(over: TableName, range: KeyRange): Iterator<[string, Value]>
  keys(over: TableName, range: KeyRange): Iterator<string>
  count(over: TableName, range: KeyRange): number
  savepoint(): unknown
  rollbackTo(savepoint: never): void
  commit(): Promise<void>
  rollback(): void
}

/** At which level a transaction runs. */
export interface Level {
  readonly isolation?: 'serializable' | 'snapshot'
  readonly readOnly?: boolean | 'safe'
  /** No transaction but an iterator of the handle: one `open`, then `next`. It ends when it has run dry. */
  readonly iterator?: boolean
}

/** One commit by which the engine deleted keys for want of room. */
export interface Eviction {
  readonly sequence: number
  readonly keys: readonly string[]
}

/** What the driver asks of a database. */
export interface Engine {
  begin(options: Level): Session
  /** The sequence of the newest commit. */
  readonly sequence: number
  /** Whether the initial state is there already, from an earlier session; if not, the driver writes it. */
  readonly isPrepared?: boolean
  /** Awaited before every step: what goes on behind the transactions. */
  interlude?(): Promise<void>
  /** Deletions that the engine has committed by itself since it was asked last, in commit order. */
  takeEvictions?(): readonly Eviction[]
}

/** What long histories ask for besides. */
export interface LongEngine extends Engine {
  /** A reader of the newest commit or, if `safe`, of a serializable point; nothing is tracked. */
  snapshot(safe: boolean): Session
  /** A session for one operation outside every transaction. */
  autocommit(): Session
  vacuum(): Promise<unknown>
}

export function tableOf(key: string): TableName {
  return key >= 'a' ? 'sums' : 'logs'
}

export const commutes: Commutes = (key) => tableOf(key) === 'sums'

export const identityOf = (key: string): Value => (commutes(key) ? 0 : '')

const combine = (current: Value, operand: Value): Value =>
  typeof current === 'number' ? current + (operand as number) : current + (operand as string)

/** Committed state: for every key its values in commit order. */
export class Model {
  readonly #versions = new Map<string, { sequence: number; value: Value | undefined }[]>()

  read(key: string, snapshot: number): Value | undefined {
    const versions = this.#versions.get(key)
    if (versions === undefined) return undefined
    let at = versions.length - 1
    if (at > 16 && versions[at - 16]!.sequence > snapshot) {
      let low = 0
      for (at -= 16; low < at;) {
        const middle = (low + at) >>> 1
        if (versions[middle]!.sequence > snapshot) at = middle
        else low = middle + 1
      }
    }
    while (at >= 0 && versions[at]!.sequence > snapshot) at--
    return versions[at]?.value
  }

  /** The sequence of the newest change of a key. */
  changedAt(key: string): number {
    return this.#versions.get(key)?.at(-1)?.sequence ?? -Infinity
  }

  install(pending: ReadonlyMap<string, Pending>, sequence: number): void {
    for (const [key, write] of pending) {
      let versions = this.#versions.get(key)
      if (versions === undefined) this.#versions.set(key, (versions = []))
      const current = versions.at(-1)?.value
      const value = applied(key, write, current)
      if (value !== undefined || current !== undefined) versions.push({ sequence, value })
    }
  }
}

/** Every key that a history may use, in order. */
export class Universe {
  readonly keys: readonly string[]
  readonly #tables: Readonly<Record<TableName, readonly string[]>>

  constructor(keys: Iterable<string>) {
    this.keys = [...new Set(keys)].sort()
    const logs = this.keys.filter((key) => tableOf(key) === 'logs')
    this.#tables = { logs, sums: this.keys.slice(logs.length) }
  }

  /** The keys of a table inside a range, in its direction. */
  inside(over: TableName, range: KeyRange): readonly string[] {
    const keys = this.#tables[over]
    const found: string[] = []
    const { gt = '', gte = '' } = range
    for (let at = firstAtOrAfter(keys, gt > gte ? gt : gte); at < keys.length; at++) {
      const key = keys[at]!
      if (within(range, key)) found.push(key)
      else if (range.gt !== key) break
    }
    return range.reverse === true ? found.reverse() : found
  }
}

function firstAtOrAfter(keys: readonly string[], bound: string): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (keys[middle]! < bound) low = middle + 1
    else high = middle
  }
  return low
}

/** What a transaction means to do to one key. */
export type Pending =
  | { readonly kind: 'set'; readonly value: Value }
  | { readonly kind: 'delete' }
  | { readonly kind: 'merge'; readonly operands: readonly Value[] }

function applied(key: string, write: Pending, current: Value | undefined): Value | undefined {
  if (write.kind === 'set') return write.value
  if (write.kind === 'delete') return undefined
  return write.operands.reduce(combine, current ?? identityOf(key))
}

/**
 * What one running transaction sees, read from the model, and what it has read and written so far. Own writes are not
 * reads; an own merge is a blind write until the key's value is asked for, and makes the key exist by itself.
 */
export class Recorder {
  readonly reads: Map<string, ReadLevel> = new Map()
  readonly snapshot: number
  pending: Map<string, Pending> = new Map()
  readonly #model: Model
  readonly #universe: Universe

  constructor(model: Model, universe: Universe, snapshot: number) {
    this.#model = model
    this.#universe = universe
    this.snapshot = snapshot
  }

  get(key: string): Value | undefined {
    const own = this.pending.get(key)
    if (own === undefined || own.kind === 'merge') this.reads.set(key, 'value')
    return this.see(key)
  }

  has(key: string): boolean {
    if (!this.pending.has(key) && !this.reads.has(key)) this.reads.set(key, 'existence')
    return this.see(key) !== undefined
  }

  set(key: string, value: Value): void {
    this.pending.set(key, { kind: 'set', value })
  }

  delete(key: string): boolean {
    const found = this.has(key)
    if (found) this.pending.set(key, { kind: 'delete' })
    return found
  }

  merge(key: string, operand: Value): void {
    const own = this.pending.get(key)
    if (own === undefined) this.pending.set(key, { kind: 'merge', operands: [operand] })
    else if (own.kind === 'merge') this.pending.set(key, { kind: 'merge', operands: [...own.operands, operand] })
    else this.set(key, combine(own.kind === 'set' ? own.value : identityOf(key), operand))
  }

  update(key: string, value: Value): Value {
    this.get(key)
    this.set(key, value)
    return value
  }

  swap(key: string, value: Value): Value | undefined {
    const before = this.get(key)
    this.set(key, value)
    return before
  }

  take(key: string): Value | undefined {
    const before = this.get(key)
    if (before !== undefined) this.pending.set(key, { kind: 'delete' })
    return before
  }

  getOrInsert(key: string, value: Value): Value {
    return this.get(key) ?? this.update(key, value)
  }

  clear(over: TableName): void {
    for (const [key] of this.scan(over, {}, Infinity, 'existence')) this.pending.set(key, { kind: 'delete' })
  }

  open(over: TableName, range: KeyRange, level: ReadLevel): ModelCursor {
    return new ModelCursor(this, this.#universe, over, range, level)
  }

  /** What the consumer of `take` entries gets; what lies between the bound and the last entry pulled has been read. */
  scan(over: TableName, range: KeyRange, take: number, level: ReadLevel): [string, Value][] {
    const cursor = this.open(over, range, level)
    const found: [string, Value][] = []
    while (found.length < take) {
      const entry = cursor.next()
      if (entry === undefined) break
      found.push(entry)
    }
    return found
  }

  /** The net effect on each key, as it would be if it committed now. */
  writes(): Map<string, WriteKind> {
    return new Map([...this.pending].map(([key, { kind }]) => [key, kind]))
  }

  /** First committer wins: whether a key to be set or deleted has changed since the snapshot. */
  get overtaken(): boolean {
    return [...this.pending].some(([key, { kind }]) => kind !== 'merge' && this.#model.changedAt(key) > this.snapshot)
  }

  /** What a key shows, without a word about it in `reads`. */
  see(key: string): Value | undefined {
    const committed = this.#model.read(key, this.snapshot)
    const own = this.pending.get(key)
    return own === undefined ? committed : applied(key, own, committed)
  }
}

/** A scan in the model. It shows own writes as they are when it comes to them. */
export class ModelCursor {
  readonly #recorder: Recorder
  readonly #universe: Universe
  readonly #over: TableName
  readonly #level: ReadLevel
  #range: KeyRange
  #left: number

  constructor(recorder: Recorder, universe: Universe, over: TableName, range: KeyRange, level: ReadLevel) {
    this.#recorder = recorder
    this.#universe = universe
    this.#over = over
    this.#range = range
    this.#level = level
    this.#left = range.limit ?? Infinity
  }

  next(): [string, Value] | undefined {
    if (this.#left <= 0) return undefined
    const recorder = this.#recorder
    for (const key of this.#universe.inside(this.#over, this.#range)) {
      const value = this.#level === 'value' ? recorder.get(key) : recorder.has(key) ? recorder.see(key) : undefined
      if (value === undefined) continue
      this.#left--
      this.#range = this.#range.reverse === true ? { ...this.#range, lt: key } : { ...this.#range, gt: key }
      return [key, value]
    }
    this.#left = 0
    return undefined
  }
}

export function within(range: KeyRange, key: string): boolean {
  return (
    (range.gt === undefined || key > range.gt) &&
    (range.gte === undefined || key >= range.gte) &&
    (range.lt === undefined || key < range.lt) &&
    (range.lte === undefined || key <= range.lte)
  )
}

/** A transaction of the engine beside what it ought to see. */
export class Attempt {
  readonly session: Session
  readonly recorder: Recorder
  #cursor: { readonly engine: Iterator<unknown>; readonly model: ModelCursor; readonly level: ReadLevel } | undefined
  readonly #savepoints: { readonly handle: unknown; readonly pending: ReadonlyMap<string, Pending> }[] = []

  constructor(session: Session, model: Model, universe: Universe) {
    this.session = session
    this.recorder = new Recorder(model, universe, session.sequence)
  }

  /** Performs one operation on both sides; what was read here and there, or undefined where nothing is. */
  perform(op: Op, value: Value): { readonly got: unknown; readonly expected: unknown } | undefined {
    const { session, recorder } = this
    switch (op.op) {
      case 'get':
        return { got: session.get(op.key), expected: recorder.get(op.key) }
      case 'has':
        return { got: session.has(op.key), expected: recorder.has(op.key) }
      case 'delete':
        return { got: session.delete(op.key), expected: recorder.delete(op.key) }
      case 'set':
        session.set(op.key, value)
        recorder.set(op.key, value)
        return undefined
      case 'merge':
        session.merge(op.key, value)
        recorder.merge(op.key, value)
        return undefined
      case 'update':
        return { got: session.update(op.key, value), expected: recorder.update(op.key, value) }
      case 'swap':
        return { got: session.swap(op.key, value), expected: recorder.swap(op.key, value) }
      case 'take':
        return { got: session.take(op.key), expected: recorder.take(op.key) }
      case 'getOrInsert':
        return { got: session.getOrInsert(op.key, value), expected: recorder.getOrInsert(op.key, value) }
      case 'clear':
        session.clear(op.over)
        recorder.clear(op.over)
        return undefined
      case 'scan':
        return this.#scan(op)
      case 'count': {
        const expected = recorder.scan(op.over, op.range, Infinity, 'existence').length
        return { got: session.count(op.over, op.range), expected }
      }
      case 'open':
        this.#open(op)
        return undefined
      case 'next':
        return this.#next()
      case 'savepoint':
        this.#savepoints.push({ handle: session.savepoint(), pending: new Map(recorder.pending) })
        return undefined
      case 'rollbackTo':
        this.#rollbackTo()
        return undefined
      case 'pause':
        return undefined
    }
  }

  #scan(op: Extract<Op, { op: 'scan' }>): { readonly got: unknown; readonly expected: unknown } {
    const expected = this.recorder.scan(op.over, op.range, op.take, op.level)
    if (op.level === 'value') return { got: pull(this.session.entries(op.over, op.range), op.take), expected }
    return { got: pull(this.session.keys(op.over, op.range), op.take), expected: expected.map(([key]) => key) }
  }

  #open({ over, range, level }: Extract<Op, { op: 'open' }>): void {
    this.#cursor?.engine.return?.()
    const engine = level === 'value' ? this.session.entries(over, range) : this.session.keys(over, range)
    this.#cursor = { engine, model: this.recorder.open(over, range, level), level }
  }

  #next(): { readonly got: unknown; readonly expected: unknown } | undefined {
    if (this.#cursor === undefined) return undefined
    const { engine, model, level } = this.#cursor
    const entry = model.next()
    const step = engine.next()
    return { got: step.done === true ? undefined : step.value, expected: level === 'value' ? entry : entry?.[0] }
  }

  #rollbackTo(): void {
    const savepoint = this.#savepoints.at(-1)
    if (savepoint === undefined) return
    this.session.rollbackTo(savepoint.handle as never)
    this.recorder.pending = new Map(savepoint.pending)
  }
}

function pull<T>(iterator: Iterator<T>, take: number): T[] {
  const result: T[] = []
  while (result.length < take) {
    const step = iterator.next()
    if (step.done === true) return result
    result.push(step.value)
  }
  iterator.return?.()
  return result
}

/** Equality of scalars, keys and entries. */
export function same(a: unknown, b: unknown): boolean {
  if (!Array.isArray(a) || !Array.isArray(b)) return Object.is(a, b)
  return a.length === b.length && a.every((item, index) => same(item, b[index]))
}

export const show = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value))

function describeRange(over: TableName, range: KeyRange): string {
  const text = JSON.stringify(range).replaceAll('"', '')
  return over === 'sums' ? text : `logs ${text}`
}

export function describeOp(op: Op): string {
  switch (op.op) {
    case 'scan': {
      const name = op.level === 'value' ? 'entries' : 'keys'
      return `${name}(${describeRange(op.over, op.range)})${op.take === Infinity ? '' : ` take ${op.take}`}`
    }
    case 'clear':
      return `clear ${op.over}`
    case 'count':
      return `count(${describeRange(op.over, op.range)})`
    case 'open':
      return `open ${op.level === 'value' ? 'entries' : 'keys'}(${describeRange(op.over, op.range)})`
    case 'next':
    case 'savepoint':
    case 'rollbackTo':
    case 'pause':
      return op.op
    default:
      return `${op.op}(${op.key})`
  }
}

/** What a refusal tells about its cause. */
export interface Conflict extends Error {
  readonly conflict?: {
    readonly reason: string
    readonly edges: readonly {
      readonly from: number
      readonly to: number
      readonly kind: string
      readonly key: unknown
    }[]
  }
}

/** Whether an error says that the transaction lost against others. */
/** Whether a transaction was told that there is no room for it, or for what it asked for: it did nothing wrong. */
export function isForWantOfRoom(error: unknown): error is Error & { readonly code: string } {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'SNAPSHOT_TOO_OLD' || code === 'MEMORY_LIMIT'
}

export function isConflict(error: unknown): error is Conflict {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'SERIALIZATION_FAILURE' || code === 'WRITE_CONFLICT'
}
