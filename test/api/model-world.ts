/**
 * A database beside its model, and the steps of a random program over both. Every step compares what the database answers
 * with what the model says it must; many transactions, snapshots and half-consumed iterators are open at once.
 */
import { openWith } from '../../src/database.ts'
import type { Database, DatabaseOptions, Handle, Key, Range, Reader, Snapshot, Transaction } from '../../src/index.ts'
import { type Savepoint, TransactionError, VarveError } from '../../src/index.ts'
import {
  COUNT,
  Cursor,
  History,
  KEYS,
  merging,
  PREFIXES,
  same,
  type Span,
  spanOf,
  TABLES,
  type Value,
  valueFor,
  View,
  type Writes,
} from './model.ts'

export const BEGINNINGS = [
  'update',
  'update at snapshot',
  'reader',
  'safe reader',
  'snapshot',
  'safe snapshot',
] as const
export const WRITES = [
  'set',
  'delete',
  'take',
  'swap',
  'update',
  'merge',
  'compareAndSet',
  'getOrInsert',
  'getOrInsertComputed',
  'entry',
  'clear',
] as const
export const READS = ['get', 'has', 'getMany', 'count', 'scan', 'next', 'return', 'size'] as const
export const ENDS = ['commit', 'rollback', 'vacuum', 'tick'] as const
export const POINTS = ['savepoint', 'rollbackTo'] as const

type Beginning = (typeof BEGINNINGS)[number]
type Write = (typeof WRITES)[number]
type Read = (typeof READS)[number]
export type Op = Beginning | Write | Read | (typeof ENDS)[number] | (typeof POINTS)[number]

/** One step; the numbers are taken modulo whatever there is to choose from. */
export interface Step {
  readonly op: Op
  /** 0: the handle; otherwise one of the sessions. */
  readonly who: number
  readonly table: number
  readonly key: number
  readonly n: number
  readonly spec: number
}

/** How a run is set up. */
export interface Setup {
  readonly options: Pick<DatabaseOptions<Key, Value>, 'vacuum' | 'isolation'>
  readonly firstSequence: number
  readonly graphCap: number
}

/** An open transaction or snapshot. */
interface Session {
  readonly kind: Beginning
  readonly readers: readonly Reader<Key, Value>[]
  readonly transactions: readonly Transaction<Key, Value>[]
  readonly snapshot: Snapshot<unknown, unknown> | undefined
  readonly sequence: number
  readonly view: View
  savepoints: { readonly point: Savepoint; readonly writes: readonly Writes[] }[]
  open: boolean
}

type StepKind = 'entries' | 'keys' | 'values'

interface Scan {
  readonly session: Session | undefined
  readonly iterator: IterableIterator<unknown>
  readonly kind: StepKind
  readonly cursor: Cursor
  done: boolean
}

class Disagreement extends Error {}

function agree(what: string, got: unknown, expected: unknown): void {
  if (!same(got, expected)) throw new Disagreement(`${what}: got ${show(got)}, expected ${show(expected)}`)
}

function show(value: unknown): string {
  return (
    JSON.stringify(value, (_key, inner: unknown) => (typeof inner === 'bigint' ? `${inner}n` : inner)) ?? 'undefined'
  )
}

export class World {
  readonly db: Database<unknown, unknown>
  readonly history: History
  readonly #handles: readonly Handle<Key, Value>[]
  readonly #sessions: Session[] = []
  #scans: Scan[] = []
  #promises: Promise<unknown>[] = []

  constructor({ options, firstSequence, graphCap }: Setup) {
    this.db = openWith<unknown, unknown>(options, { firstSequence, graphCap })
    this.history = new History(firstSequence)
    this.#handles = TABLES.map((each) => this.db.handle(each))
  }

  /** Performs one step on both sides. */
  async perform(step: Step): Promise<void> {
    const { op } = step
    const session = step.who === 0 ? undefined : this.#sessions[(step.who - 1) % Math.max(1, this.#sessions.length)]
    if (isOneOf(BEGINNINGS, op)) this.#begin(op)
    else if (isOneOf(WRITES, op)) this.#write(op, step, session)
    else if (isOneOf(READS, op)) this.#read(op, step, session)
    else if (op === 'vacuum') await this.db.vacuum()
    else if (op === 'tick') await this.#tick()
    else if (session !== undefined) await this.#point(op, step, session)
    agree('the sequence', this.db.sequence, this.history.sequence)
  }

  /** Compares everything that is still open in full, ends it, and looks at what is left. */
  async finish(): Promise<void> {
    const all = spanOf({})
    for (const { readers, view, kind } of this.#sessions) {
      readers.forEach((reader, at) => {
        agree(
          `${kind}: keys`,
          [...reader.keys()],
          view.entries(at, all).map(([key]) => key),
        )
        KEYS.forEach((key, place) => agree(`${kind}: get`, reader.get(key), view.get(at, place)))
      })
    }
    for (const scan of this.#scans) while (!scan.done) this.#step(scan)
    for (const session of this.#sessions.splice(0)) this.#end(session)
    await this.#tick()
    const { db } = this
    agree('open transactions', db.stats().transactions.open, 0)
    await db.vacuum()
    const now = new View(this.history.state)
    TABLES.forEach((_, at) =>
      agree('contents', [...(this.#handles[at] as Handle<Key, Value>).entries()], now.entries(at, all)),
    )
    const report = await db.check()
    agree('check()', report.problems, [])
    agree('versions', db.stats().versions, report.keys)
    agree(
      'keys',
      report.keys,
      TABLES.reduce((sum, _, at) => sum + now.size(at), 0),
    )
    await db.close()
  }

  async #tick(): Promise<void> {
    await Promise.all(this.#promises.splice(0))
  }

  // --- sessions -----------------------------------------------------------------------------------------------------------

  #begin(kind: Beginning): void {
    const { db, history } = this
    const newest = history.sequence
    let readers: readonly Reader<Key, Value>[]
    let transactions: readonly Transaction<Key, Value>[] = []
    let snapshot: Snapshot<unknown, unknown> | undefined
    let sequence: number
    if (kind === 'snapshot' || kind === 'safe snapshot') {
      const taken = db.snapshot({ safe: kind === 'safe snapshot' })
      snapshot = taken
      sequence = taken.sequence
      readers = TABLES.map((each) => taken.table(each))
    } else {
      const options = {
        update: { isolation: 'serializable' },
        'update at snapshot': { isolation: 'snapshot' },
        reader: { readOnly: true },
        'safe reader': { readOnly: 'safe' },
      } as const
      const tx = db.handle().begin(options[kind])
      sequence = tx.sequence
      readers = transactions = TABLES.map((each) => tx.table(each))
    }
    const mayLag = kind === 'safe snapshot' || kind === 'safe reader'
    if (mayLag ? sequence > newest : sequence !== newest)
      throw new Disagreement(`${kind} reads at ${sequence}, newest is ${newest}`)
    const view = new View(history.at(sequence))
    this.#sessions.push({ kind, readers, transactions, snapshot, sequence, view, savepoints: [], open: true })
  }

  async #point(op: Op, step: Step, session: Session): Promise<void> {
    const tx = session.transactions[step.table]
    if (op === 'rollback' || (op === 'commit' && tx === undefined)) return this.#end(session)
    if (op === 'commit' && tx !== undefined) return this.#commit(session, tx)
    if (tx === undefined || !mayWrite(session)) return
    if (op === 'savepoint') session.savepoints.push({ point: tx.savepoint(), writes: session.view.writes })
    const { savepoints } = session
    if (op !== 'rollbackTo' || savepoints.length === 0) return
    const at = step.n % savepoints.length
    const chosen = savepoints[at] as (typeof savepoints)[number]
    tx.rollbackTo(chosen.point)
    session.view.writes = chosen.writes
    savepoints.length = at + 1
  }

  #end(session: Session): void {
    session.snapshot?.close()
    session.transactions[0]?.rollback()
    this.#forget(session)
  }

  #forget(session: Session): void {
    session.open = false
    const at = this.#sessions.indexOf(session)
    if (at >= 0) this.#sessions.splice(at, 1)
  }

  async #commit(session: Session, tx: Transaction<Key, Value>): Promise<void> {
    const { view, kind, sequence } = session
    const { history } = this
    this.#forget(session)
    const alone = history.sequence === sequence
    const lost = kind === 'update at snapshot' && history.overtaken(view.writes, sequence)
    const serializable = kind === 'update' || kind === 'reader'
    try {
      const settled = tx.commit()
      // It has taken effect, or has been refused, before the promise settles.
      if (this.db.sequence > history.sequence) history.commit(view.writes)
      await settled
    } catch (error) {
      if (!(error instanceof TransactionError) || !error.retryable) throw error
      if (alone || !(serializable || lost)) throw new Disagreement(`${kind} was refused: ${error.message}`)
      return
    }
    if (lost) throw new Disagreement(`${kind} overwrote what was committed since it began`)
  }

  // --- writing ------------------------------------------------------------------------------------------------------------

  #write(op: Write, step: Step, session: Session | undefined): void {
    const { table } = step
    if (op === 'merge' && !merging(table)) return
    if (session !== undefined) {
      const tx = session.transactions[table]
      if (tx === undefined || !mayWrite(session)) return
      const { got, expected } = write(op, step, tx, session.view)
      agree(`${session.kind}: ${op} ${show(KEYS[step.key])}`, got, expected)
      return
    }
    const view = new View(this.history.state)
    const { got, expected } = write(op, step, this.#handles[table] as Handle<Key, Value>, view)
    this.history.commit(view.writes)
    this.#promises.push(
      Promise.resolve(got).then((answer) => agree(`handle: ${op} ${show(KEYS[step.key])}`, answer, expected)),
    )
  }

  // --- reading ------------------------------------------------------------------------------------------------------------

  #read(op: Read, step: Step, session: Session | undefined): void {
    if (op === 'next' || op === 'return') return this.#resume(op, step)
    const at = step.table
    const reader =
      session === undefined ? (this.#handles[at] as Handle<Key, Value>) : (session.readers[at] as Reader<Key, Value>)
    const view = session?.view ?? new View(this.history.state)
    const key = KEYS[step.key] as Key
    const span = spanOf(rangeOf(step))
    const what = `${session?.kind ?? 'handle'}: ${op} ${show(op === 'scan' || op === 'count' ? span.range : key)} in table ${at}`
    switch (op) {
      case 'get':
        return agree(what, reader.get(key), view.get(at, step.key))
      case 'has':
        return agree(what, reader.has(key), view.get(at, step.key) !== undefined)
      case 'getMany': {
        const places = [step.key, step.n % COUNT, step.spec % COUNT]
        const keys = places.map((place) => KEYS[place] as Key)
        return agree(
          what,
          reader.getMany(keys),
          places.map((place) => view.get(at, place)),
        )
      }
      case 'count':
        return agree(what, reader.count(span.range), view.scan(at, span).length)
      case 'size':
        agree(what, reader.size, view.size(at))
        if (at === 1) agree(`${what}: bytes`, reader.sizeBytes, view.sizeOfSums())
        return
      case 'scan':
        return this.#scan(step, session, reader, view, span)
    }
  }

  /** Begins a scan and takes a few steps; what it has left to give stays for later steps. */
  #scan(step: Step, session: Session | undefined, reader: Reader<Key, Value>, view: View, span: Span): void {
    const kind = (['entries', 'keys', 'values'] as const)[step.n % 3] as StepKind
    const cursor = new Cursor(view, step.table, span)
    const scan: Scan = { session, iterator: reader[kind](span.range), kind, cursor, done: false }
    for (let steps = step.n % 4 === 0 ? COUNT + 1 : step.n % 4; steps > 0 && !scan.done; steps--) this.#step(scan)
    if (!scan.done) this.#scans.push(scan)
  }

  #resume(op: 'next' | 'return', step: Step): void {
    const scan = this.#scans[step.who % Math.max(1, this.#scans.length)]
    if (scan === undefined) return
    if (op === 'next') this.#step(scan)
    else {
      scan.done = true
      const returned = lastStep(scan, () => scan.iterator.return?.())
      if (returned !== undefined) agree('return()', returned, { value: undefined, done: true })
    }
    this.#scans = this.#scans.filter((each) => !each.done)
  }

  #step(scan: Scan): void {
    const { session, iterator, kind, cursor } = scan
    if (session !== undefined && !session.open) {
      scan.done = true
      agree(
        'a step after the end',
        codeOf(() => iterator.next()),
        'TRANSACTION_CLOSED',
      )
      return
    }
    const expected = cursor.next()
    const step = expected === undefined ? lastStep(scan, () => iterator.next()) : iterator.next()
    if (step === undefined) {
      scan.done = true
      return
    }
    const { value, done } = step
    const place = kind === 'keys' ? 0 : 1
    agree(`a step of ${kind}()`, value, kind === 'entries' ? expected : expected?.[place])
    agree('done', done === true, expected === undefined)
    if (done === true) scan.done = true
  }
}

/**
 * The step that ends a scan. One of a handle's own is a transaction that ends there: in the rare case that what it has seen
 * fits into no serial order, this is where it says so; then the answer is undefined.
 */
function lastStep<T>(scan: Scan, take: () => T): T | undefined {
  try {
    return take()
  } catch (error) {
    if (scan.session === undefined && error instanceof TransactionError) return undefined
    throw error
  }
}

function isOneOf<T extends string>(names: readonly T[], name: string): name is T {
  return (names as readonly string[]).includes(name)
}

function mayWrite({ kind }: Session): boolean {
  return kind === 'update' || kind === 'update at snapshot'
}

function codeOf(call: () => unknown): string {
  try {
    call()
    return 'nothing'
  } catch (error) {
    return error instanceof VarveError ? error.code : String(error)
  }
}

/** A write on a transaction, or on a handle, where the answer is a promise; and what the answer must be. */
function write(
  op: Write,
  { table: at, key: place, n }: Step,
  target: Transaction<Key, Value> | Handle<Key, Value>,
  view: View,
): { readonly got: unknown; readonly expected: unknown } {
  const key = KEYS[place] as Key
  const value = valueFor(at, n)
  const before = view.get(at, place)
  switch (op) {
    case 'set':
      view.set(at, place, value)
      return { got: target.set(key, value), expected: undefined }
    case 'delete':
      return { got: target.delete(key), expected: view.delete(at, place) }
    case 'take':
      view.delete(at, place)
      return { got: target.take(key), expected: before }
    case 'swap':
      view.set(at, place, value)
      return { got: target.swap(key, value), expected: before }
    case 'update': {
      const next = n % 4 === 0 ? undefined : value
      if (next === undefined) view.delete(at, place)
      else view.set(at, place, next)
      const got = target.update(key, (current) => {
        agree('the argument of update', current, before)
        return next
      })
      return { got, expected: next }
    }
    case 'merge':
      view.merge(at, place, n)
      return { got: target.merge(key, n), expected: undefined }
    case 'compareAndSet': {
      const given = n % 2 === 0 ? before : valueFor(at, n + 1)
      const next = n % 3 === 0 ? undefined : value
      const expected = same(before, given)
      if (expected && next !== undefined) view.set(at, place, next)
      else if (expected) view.delete(at, place)
      return { got: target.compareAndSet(key, given, next), expected }
    }
    case 'getOrInsert':
      if (before === undefined) view.set(at, place, value)
      return { got: target.getOrInsert(key, value), expected: before ?? value }
    case 'getOrInsertComputed':
      if (before === undefined) view.set(at, place, value)
      return { got: target.getOrInsertComputed(key, () => value), expected: before ?? value }
    case 'entry':
      return throughEntry(target, at, place, n, view)
    case 'clear':
      for (const each of view.places(at, spanOf({}))) view.delete(at, each)
      return { got: target.clear(), expected: undefined }
  }
}

function throughEntry(
  target: Transaction<Key, Value> | Handle<Key, Value>,
  at: number,
  place: number,
  n: number,
  view: View,
): { readonly got: unknown; readonly expected: unknown } {
  const entry = target.entry(KEYS[place] as Key)
  const value = valueFor(at, n)
  const before = view.get(at, place)
  agree('entry.key', entry.key, KEYS[place])
  agree('entry.exists', entry.exists, before !== undefined)
  agree('entry.value', entry.value, before)
  switch (n % 4) {
    case 0:
      view.set(at, place, value)
      return { got: entry.set(value), expected: before }
    case 1:
      view.delete(at, place)
      return { got: entry.delete(), expected: before }
    case 2:
      if (before === undefined) view.set(at, place, value)
      return { got: entry.orInsert(value), expected: before ?? value }
    default: {
      if (before !== undefined) view.set(at, place, value)
      const modified = entry.andModify(() => value)
      const expected = before === undefined ? undefined : value
      return { got: modified instanceof Promise ? modified.then(() => expected) : modified.value, expected }
    }
  }
}

/** A range drawn from a number: bounds of each form, a prefix, direction and limit. */
function rangeOf({ spec, key, n }: Step): Range<Key> {
  const low = KEYS[Math.min(key, n % COUNT)] as Key
  const high = KEYS[Math.max(key, n % COUNT)] as Key
  const [lower, upper] = spec % 11 === 10 ? [high, low] : [low, high]
  const range: Range<Key> = {}
  if (spec % 3 === 1) range.gt = lower
  if (spec % 3 === 2) range.gte = lower
  const end = Math.floor(spec / 3) % 3
  if (end === 1) range.lt = upper
  if (end === 2) range.lte = upper
  if (Math.floor(spec / 9) % 4 === 3) range.prefix = PREFIXES[n % PREFIXES.length] as string
  if (Math.floor(spec / 36) % 2 === 1) range.reverse = true
  if (Math.floor(spec / 72) % 4 === 3) range.limit = n % 6
  return range
}
