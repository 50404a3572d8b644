/**
 * Programs of small transactions, and a driver that runs one interleaving of them, step by step, against a database.
 *
 * The driver keeps a plain multi-version model beside the engine. Every read is compared with the model, and every
 * outcome with the oracle (oracle.ts), which is told what each program read and wrote, never what the engine tracked.
 *
 * Two tables take part. Keys that begin with a lower-case letter live in `sums`, whose values are numbers and whose
 * merges commute (addition); those that begin with an upper-case one in `logs`, strings whose merges only associate.
 */
import {
  type Commutes,
  describeCycle,
  judge,
  losesToFirstCommitter,
  type Node,
  type ReadLevel,
  type Verdict,
  type WriteKind,
} from './oracle.ts'

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

/** One step of a program. `take` is how many entries the consumer pulls before it walks away. */
export type Op =
  | { readonly op: 'get' | 'has' | 'set' | 'delete' | 'merge'; readonly key: string }
  | {
      readonly op: 'scan'
      readonly over: TableName
      readonly range: KeyRange
      readonly take: number
      readonly level: ReadLevel
    }
  | { readonly op: 'count'; readonly over: TableName; readonly range: KeyRange }
  | { readonly op: 'savepoint' | 'rollbackTo' | 'pause' }

export type TableName = 'sums' | 'logs'

/** What one transaction does: it begins right before its first operation. */
export interface Program {
  readonly ops: readonly Op[]
  readonly isolation?: 'serializable' | 'snapshot'
  readonly readOnly?: boolean | 'safe'
  readonly end?: 'commit' | 'rollback'
}

/** One transaction of the engine under test, over both tables. */
export interface Session {
  readonly sequence: number
  get(key: string): Value | undefined
  has(key: string): boolean
  set(key: string, value: Value): void
  delete(key: string): boolean
  merge(key: string, operand: Value): void
  entries(over: TableName, range: KeyRange): Iterator<[string, Value]>
  keys(over: TableName, range: KeyRange): Iterator<string>
  count(over: TableName, range: KeyRange): number
  savepoint(): unknown
  rollbackTo(savepoint: never): void
  commit(): Promise<void>
  rollback(): void
}

/** What the driver asks of a database. */
export interface Engine {
  begin(options: Pick<Program, 'isolation' | 'readOnly'>): Session
  /** The sequence of the newest commit. */
  readonly sequence: number
}

export function tableOf(key: string): TableName {
  return key >= 'a' ? 'sums' : 'logs'
}

export const commutes: Commutes = (key) => tableOf(key) === 'sums'

const identityOf = (key: string): Value => (commutes(key) ? 0 : '')

const combine = (current: Value, operand: Value): Value =>
  typeof current === 'number' ? current + (operand as number) : current + (operand as string)

/** A value that no other step of the same history writes. */
function valueOf(key: string, program: number, step: number): Value {
  return commutes(key) ? 10 ** program * (step + 1) : `${program + 1}.${step + 1};`
}

/** Committed state: for every key its values in commit order. */
export class Model {
  readonly #versions = new Map<string, { sequence: number; value: Value | undefined }[]>()

  read(key: string, snapshot: number): Value | undefined {
    const versions = this.#versions.get(key)
    if (versions === undefined) return undefined
    for (let i = versions.length - 1; i >= 0; i--) if (versions[i]!.sequence <= snapshot) return versions[i]!.value
    return undefined
  }

  install(pending: ReadonlyMap<string, Pending>, sequence: number): void {
    for (const [key, write] of pending) {
      let versions = this.#versions.get(key)
      if (versions === undefined) this.#versions.set(key, (versions = []))
      versions.push({ sequence, value: applied(key, write, versions.at(-1)?.value) })
    }
  }
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
  readonly #universe: readonly string[]

  /** `universe` holds every key of the history in order. */
  constructor(model: Model, universe: readonly string[], snapshot: number) {
    this.#model = model
    this.#universe = universe
    this.snapshot = snapshot
  }

  get(key: string): Value | undefined {
    const own = this.pending.get(key)
    if (own === undefined || own.kind === 'merge') this.reads.set(key, 'value')
    return this.#see(key)
  }

  has(key: string): boolean {
    if (!this.pending.has(key) && !this.reads.has(key)) this.reads.set(key, 'existence')
    return this.#see(key) !== undefined
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

  /** What the consumer of `take` entries gets; what lies between the bound and the last entry pulled has been read. */
  scan(over: TableName, range: KeyRange, take: number, level: ReadLevel): [string, Value][] {
    const found: [string, Value][] = []
    const most = Math.min(take, range.limit ?? Infinity)
    const inside = this.#universe.filter((key) => tableOf(key) === over && within(range, key))
    for (const key of range.reverse === true ? inside.reverse() : inside) {
      if (found.length >= most) break
      const value = level === 'value' ? this.get(key) : this.has(key) ? this.#see(key) : undefined
      if (value !== undefined) found.push([key, value])
    }
    return found
  }

  #see(key: string): Value | undefined {
    const committed = this.#model.read(key, this.snapshot)
    const own = this.pending.get(key)
    return own === undefined ? committed : applied(key, own, committed)
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

/** What may be wrong with an outcome. */
export type Fault = 'wrong read' | 'anomaly' | 'needless abort' | 'aborted safe reader' | 'unexpected error'

/** Counters over many histories: faults must stay zero, the others show that the run was not vacuous. */
export class Tally {
  histories = 0
  commits = 0
  refused = 0
  /** Commits with a dependency on something that committed before them, which therefore might have closed a cycle. */
  searched = 0
  /** Commits that only an exact search can accept. */
  closeCalls = 0
  /** Outcomes for which the definitions allow either answer. */
  undecided = 0
  readonly faults: Record<Fault, number> = {
    'wrong read': 0,
    anomaly: 0,
    'needless abort': 0,
    'aborted safe reader': 0,
    'unexpected error': 0,
  }
  /** The first few faults in words. */
  readonly reports: string[] = []

  report(fault: Fault, text: string): void {
    this.faults[fault]++
    if (this.reports.length < 8) this.reports.push(`${fault}: ${text}`)
  }

  toString(): string {
    const { histories, commits, refused, searched, closeCalls, undecided } = this
    const faults = Object.entries(this.faults).map(([fault, count]) => `${fault} ${count}`)
    return (
      `${histories} histories, ${commits} commits, ${refused} refused, ${searched} accepted with an edge to the past, ` +
      `${closeCalls} only by exact search, ${undecided} undecided; ${faults.join(', ')}`
    )
  }
}

/** What became of one program. */
export type Outcome = 'open' | 'committed' | 'refused' | 'rolled back' | 'broken'

/** What one history came to. */
export interface Result {
  readonly outcomes: readonly Outcome[]
  /** What each program's operations returned, in order. */
  readonly observed: readonly (readonly unknown[])[]
  /** The committed transactions in commit order; the first one made the initial state. */
  readonly committed: readonly Node[]
  readonly faulty: boolean
}

interface Running {
  readonly observed: unknown[]
  readonly program: Program
  readonly index: number
  session: Session
  recorder: Recorder
  readonly savepoints: { readonly handle: unknown; readonly pending: Map<string, Pending> }[]
  next: number
  outcome: Outcome
}

/** Runs one history after the other in one engine. */
export class Driver {
  readonly #engine: Engine
  readonly #universe: readonly string[]
  readonly #initial: ReadonlySet<string>
  readonly tally: Tally

  /** `universe`: every key used; `initial`: those that exist when a history starts. */
  constructor(engine: Engine, universe: readonly string[], initial: readonly string[], tally: Tally = new Tally()) {
    this.#engine = engine
    this.#universe = [...universe].sort()
    this.#initial = new Set(initial)
    this.tally = tally
  }

  /** Restores the initial state, then runs `programs` in the order of `schedule` (indices, one for each step). */
  async run(programs: readonly Program[], schedule: readonly number[]): Promise<Result> {
    const history = new History(this.#engine, this.#universe, this.tally, programs, schedule)
    await history.reset(this.#initial)
    return history.run()
  }
}

/** How many steps a program takes: its operations and its end. */
export function stepsOf(program: Program): number {
  return program.ops.length + 1
}

class History {
  readonly #engine: Engine
  readonly #universe: readonly string[]
  readonly #tally: Tally
  readonly #programs: readonly Program[]
  readonly #schedule: readonly number[]
  readonly #model = new Model()
  readonly #committed: Node[] = []
  #faulty = false

  constructor(
    engine: Engine,
    universe: readonly string[],
    tally: Tally,
    programs: readonly Program[],
    schedule: readonly number[],
  ) {
    this.#engine = engine
    this.#universe = universe
    this.#tally = tally
    this.#programs = programs
    this.#schedule = schedule
  }

  async reset(initial: ReadonlySet<string>): Promise<void> {
    const session = this.#engine.begin({})
    const pending = new Map<string, Pending>()
    for (const key of this.#universe) {
      if (initial.has(key)) {
        const value = identityOf(key)
        session.set(key, value)
        pending.set(key, { kind: 'set', value })
      } else {
        session.delete(key)
      }
    }
    await session.commit()
    const sequence = this.#engine.sequence
    this.#model.install(pending, sequence)
    const writes = new Map([...pending.keys()].map((key) => [key, 'set'] as const))
    this.#committed.push({ name: 'T0', snapshot: -1, sequence, reads: new Map(), writes })
  }

  async run(): Promise<Result> {
    const running = new Map<number, Running>()
    this.#tally.histories++
    for (const index of this.#schedule) {
      let transaction = running.get(index)
      if (transaction === undefined) running.set(index, (transaction = this.#begin(index)))
      if (transaction.outcome === 'open') await this.#step(transaction)
      if (this.#faulty) break
    }
    for (const transaction of running.values()) if (transaction.outcome === 'open') transaction.session.rollback()
    return {
      outcomes: this.#programs.map((_, index) => running.get(index)?.outcome ?? 'open'),
      observed: this.#programs.map((_, index) => running.get(index)?.observed ?? []),
      committed: this.#committed,
      faulty: this.#faulty,
    }
  }

  #begin(index: number): Running {
    const program = this.#programs[index]!
    const session = this.#engine.begin(program)
    const { sequence } = session
    const recorder = new Recorder(this.#model, this.#universe, sequence)
    const oldest = program.readOnly === 'safe' ? this.#committed[0]!.sequence : this.#engine.sequence
    if (sequence < oldest || sequence > this.#engine.sequence) {
      this.#fault('wrong read', `T${index + 1} reads at ${sequence}, the newest commit is ${this.#engine.sequence}`)
    }
    return { program, index, session, recorder, savepoints: [], observed: [], next: 0, outcome: 'open' }
  }

  async #step(transaction: Running): Promise<void> {
    const op = transaction.program.ops[transaction.next++]
    try {
      if (op !== undefined) this.#perform(transaction, op)
      else if (transaction.program.end === 'rollback') this.#rollback(transaction)
      else await this.#commit(transaction)
    } catch (error) {
      if (isConflict(error)) return this.#refused(transaction)
      transaction.outcome = 'broken'
      this.#fault('unexpected error', String(error))
    }
  }

  #perform(transaction: Running, op: Op): void {
    const { session, recorder, savepoints } = transaction
    switch (op.op) {
      case 'get':
        return this.#compare(transaction, op, session.get(op.key), recorder.get(op.key))
      case 'has':
        return this.#compare(transaction, op, session.has(op.key), recorder.has(op.key))
      case 'delete':
        return this.#compare(transaction, op, session.delete(op.key), recorder.delete(op.key))
      case 'set': {
        const value = valueOf(op.key, transaction.index, transaction.next)
        session.set(op.key, value)
        return recorder.set(op.key, value)
      }
      case 'merge': {
        const operand = valueOf(op.key, transaction.index, transaction.next)
        session.merge(op.key, operand)
        return recorder.merge(op.key, operand)
      }
      case 'scan': {
        const expected = recorder.scan(op.over, op.range, op.take, op.level)
        if (op.level === 'value') {
          return this.#compare(transaction, op, pull(session.entries(op.over, op.range), op.take), expected)
        }
        const keys = expected.map(([key]) => key)
        return this.#compare(transaction, op, pull(session.keys(op.over, op.range), op.take), keys)
      }
      case 'count': {
        const expected = recorder.scan(op.over, op.range, Infinity, 'existence').length
        return this.#compare(transaction, op, session.count(op.over, op.range), expected)
      }
      case 'savepoint':
        savepoints.push({ handle: session.savepoint(), pending: new Map(recorder.pending) })
        return
      case 'rollbackTo': {
        const savepoint = savepoints.at(-1)
        if (savepoint === undefined) return
        session.rollbackTo(savepoint.handle as never)
        recorder.pending = new Map(savepoint.pending)
        return
      }
      case 'pause':
    }
  }

  #compare(transaction: Running, op: Op, got: unknown, expected: unknown): void {
    transaction.observed.push(got)
    if (same(got, expected)) return
    const name = `T${transaction.index + 1} at ${transaction.recorder.snapshot}`
    this.#fault('wrong read', `${name}: ${describeOp(op)} gave ${show(got)}, expected ${show(expected)}`)
  }

  #rollback(transaction: Running): void {
    transaction.session.rollback()
    transaction.outcome = 'rolled back'
  }

  async #commit(transaction: Running): Promise<void> {
    const { index, program, recorder, session } = transaction
    const node = this.#nodeOf(transaction)
    const verdict = this.#verdict(transaction, node)
    let refusal: unknown
    try {
      await session.commit()
    } catch (error) {
      if (!isConflict(error)) throw error
      refusal = error
    }
    if (refusal !== undefined) return this.#refused(transaction, verdict)
    transaction.outcome = 'committed'
    this.#tally.commits++
    if (node.writes.size > 0) {
      node.sequence = this.#engine.sequence
      this.#model.install(recorder.pending, node.sequence)
    }
    this.#committed.push(node)
    if (verdict === 'first committer wins') {
      return this.#fault('anomaly', `T${index + 1} overwrote a concurrent commit`)
    }
    if (verdict === undefined) return
    if (verdict.cycle !== undefined) return this.#fault('anomaly', describeCycle(verdict.cycle))
    if (!verdict.harmless) this.#tally.undecided++
    if (verdict.outgoing > 0 && program.readOnly !== 'safe') this.#tally.searched++
    if (verdict.closeCall) this.#tally.closeCalls++
  }

  #refused(transaction: Running, verdict = this.#verdict(transaction, this.#nodeOf(transaction))): void {
    transaction.outcome = 'refused'
    this.#tally.refused++
    const name = `T${transaction.index + 1}`
    if (transaction.program.readOnly === 'safe') return this.#fault('aborted safe reader', name)
    if (verdict === undefined) return this.#fault('needless abort', `${name}: nobody wrote its keys meanwhile`)
    if (verdict === 'first committer wins' || verdict.cycle !== undefined) return
    if (verdict.harmless) this.#fault('needless abort', `${name}: no cycle`)
    else this.#tally.undecided++
  }

  /** At the snapshot level: whether first-committer-wins refuses it. At serializable: what the graph says. */
  #verdict(transaction: Running, node: Node): Verdict | 'first committer wins' | undefined {
    if (transaction.program.isolation !== 'snapshot') return judge(this.#committed, node, commutes)
    return losesToFirstCommitter(this.#committed, node) ? 'first committer wins' : undefined
  }

  #nodeOf({ index, program, recorder }: Running): Node {
    const writes = new Map<string, WriteKind>()
    for (const [key, { kind }] of recorder.pending) writes.set(key, kind)
    const reads = program.isolation === 'snapshot' ? new Map<string, ReadLevel>() : recorder.reads
    return { name: `T${index + 1}`, snapshot: recorder.snapshot, sequence: Infinity, reads, writes }
  }

  #fault(fault: Fault, text: string): void {
    this.#faulty = true
    this.#tally.report(fault, `${text}\n${describeHistory(this.#programs, this.#schedule)}`)
  }
}

/** Whether an error says that the transaction lost against others. */
export function isConflict(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'SERIALIZATION_FAILURE' || code === 'WRITE_CONFLICT'
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
function same(a: unknown, b: unknown): boolean {
  if (!Array.isArray(a) || !Array.isArray(b)) return Object.is(a, b)
  return a.length === b.length && a.every((item, index) => same(item, b[index]))
}

const show = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value))

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
    case 'count':
      return `count(${describeRange(op.over, op.range)})`
    case 'savepoint':
    case 'rollbackTo':
    case 'pause':
      return op.op
    default:
      return `${op.op}(${op.key})`
  }
}

/** The steps in the order they are taken, one a line. */
export function describeHistory(programs: readonly Program[], schedule: readonly number[]): string {
  const taken = programs.map(() => 0)
  const lines = schedule.map((index) => {
    const program = programs[index]!
    const at = taken[index]!++
    const op = program.ops[at]
    const level =
      program.readOnly === undefined ? (program.isolation ?? 'serializable') : `readOnly: ${program.readOnly}`
    const begin = at === 0 ? `begin(${level}) ` : ''
    return `  T${index + 1}: ${begin}${op === undefined ? (program.end ?? 'commit') : describeOp(op)}`
  })
  return lines.join('\n')
}
