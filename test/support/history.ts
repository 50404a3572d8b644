/**
 * Programs of small transactions, and a driver that runs one interleaving of them, step by step, against a database.
 *
 * The driver keeps a plain multi-version model (history-model.ts) beside the engine. Every read is compared with the
 * model, and every outcome with the oracle (oracle.ts), which is told what each program read and wrote, never what the
 * engine tracked.
 */
import {
  Attempt,
  commutes,
  type Conflict,
  describeOp,
  type Engine,
  type Eviction,
  identityOf,
  isConflict,
  isForWantOfRoom,
  type Level,
  Model,
  type Op,
  type Pending,
  same,
  show,
  Universe,
  type Value,
} from './history-model.ts'
import { dependencies, describeCycle, type Edge, judge, type Node, type ReadLevel, type Verdict } from './oracle.ts'

/** What one transaction does: it begins right before its first operation. */
export interface Program extends Level {
  readonly ops: readonly Op[]
  readonly end?: 'commit' | 'rollback'
}

/** A value that no other step of the same history writes. */
function valueOf(key: string, program: number, step: number): Value {
  return commutes(key) ? 10 ** program * (step + 1) : `${program + 1}.${step + 1};`
}

/** What may be wrong with an outcome. */
export type Fault =
  | 'wrong read'
  | 'anomaly'
  | 'needless abort'
  | 'aborted safe reader'
  | 'wrong explanation'
  | 'unexpected error'

/** Counters over many histories: faults must stay zero, the others show that the run was not vacuous. */
export class Tally {
  histories = 0
  commits = 0
  refused = 0
  /** Commits with a dependency on something that committed before them, which therefore might have closed a cycle. */
  searched = 0
  /** Commits that only an exact search can accept. */
  closeCalls = 0
  /** Keys evicted, reads of values that had been, and commits for which there was no room. */
  evicted = 0
  outdated = 0
  tooLarge = 0
  readonly faults: Record<Fault, number> = {
    'wrong read': 0,
    anomaly: 0,
    'needless abort': 0,
    'aborted safe reader': 0,
    'wrong explanation': 0,
    'unexpected error': 0,
  }
  /** The first few faults in words. */
  readonly reports: string[] = []

  report(fault: Fault, text: string): void {
    this.faults[fault]++
    if (this.reports.length < 8) this.reports.push(`${fault}: ${text}`)
  }

  summary(): string {
    const { histories, commits, refused, searched, closeCalls } = this
    const faults = Object.entries(this.faults).map(([fault, count]) => `${fault} ${count}`)
    return (
      `${histories} histories, ${commits} commits, ${refused} refused, ${searched} accepted with an edge to the past, ` +
      `${closeCalls} only by exact search; ${faults.join(', ')}`
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
  /** What every key was when. */
  readonly model: Model
  readonly faulty: boolean
}

interface Running {
  readonly observed: unknown[]
  readonly program: Program
  readonly index: number
  readonly attempt: Attempt
  next: number
  outcome: Outcome
}

/** Runs one history after the other in one engine. */
export class Driver {
  readonly #engine: Engine
  readonly #universe: Universe
  readonly #initial: ReadonlySet<string>
  readonly tally: Tally

  /** `universe`: every key used; `initial`: those that exist when a history starts. */
  constructor(engine: Engine, universe: readonly string[], initial: readonly string[], tally: Tally = new Tally()) {
    this.#engine = engine
    this.#universe = new Universe(universe)
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
  readonly #universe: Universe
  readonly #tally: Tally
  readonly #programs: readonly Program[]
  readonly #schedule: readonly number[]
  readonly #model = new Model()
  readonly #committed: Node[] = []
  /** When each key was evicted last. */
  readonly #evictedAt = new Map<string, number>()
  /** Committed transactions by the ids the engine gave them. */
  readonly #byId = new Map<number, Node>()
  #faulty = false

  constructor(
    engine: Engine,
    universe: Universe,
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
    const pending = new Map<string, Pending>()
    for (const key of this.#universe.keys)
      if (initial.has(key)) pending.set(key, { kind: 'set', value: identityOf(key) })
    if (this.#engine.isPrepared !== true) await this.#write(initial)
    const evictions = this.#engine.takeEvictions?.() ?? []
    const sequence = newestBut(evictions, this.#engine.sequence)
    this.#model.install(pending, sequence)
    const writes = new Map([...pending.keys()].map((key) => [key, 'set'] as const))
    this.#committed.push({ name: 'T0', snapshot: -1, sequence, reads: new Map(), writes })
    this.#install(evictions.filter((eviction) => eviction.sequence > sequence))
  }

  async #write(initial: ReadonlySet<string>): Promise<void> {
    const session = this.#engine.begin({})
    for (const key of this.#universe.keys) {
      if (initial.has(key)) session.set(key, identityOf(key))
      else session.delete(key)
    }
    await session.commit()
  }

  async run(): Promise<Result> {
    const running = new Map<number, Running>()
    this.#tally.histories++
    for (const index of this.#schedule) {
      await this.#engine.interlude?.()
      this.#noteEvictions()
      let transaction = running.get(index)
      if (transaction === undefined) running.set(index, (transaction = this.#begin(index)))
      if (transaction.outcome === 'open') await this.#step(transaction)
      if (this.#faulty) break
    }
    for (const transaction of running.values())
      if (transaction.outcome === 'open') transaction.attempt.session.rollback()
    return {
      outcomes: this.#programs.map((_, index) => running.get(index)?.outcome ?? 'open'),
      observed: this.#programs.map((_, index) => running.get(index)?.observed ?? []),
      committed: this.#committed,
      model: this.#model,
      faulty: this.#faulty,
    }
  }

  #begin(index: number): Running {
    const program = this.#programs[index]!
    const session = this.#engine.begin(program)
    const { sequence } = session
    const attempt = new Attempt(session, this.#model, this.#universe)
    const oldest = program.readOnly === 'safe' ? this.#committed[0]!.sequence : this.#engine.sequence
    if (sequence < oldest || sequence > this.#engine.sequence) {
      this.#fault('wrong read', `T${index + 1} reads at ${sequence}, the newest commit is ${this.#engine.sequence}`)
    }
    return { program, index, attempt, observed: [], next: 0, outcome: 'open' }
  }

  async #step(transaction: Running): Promise<void> {
    const op = transaction.program.ops[transaction.next++]
    try {
      if (op !== undefined) {
        const got = this.#perform(transaction, op)
        // An iterator of the handle that has run dry has come to its end.
        if (transaction.program.iterator === true && op.op === 'next' && got === undefined)
          await this.#commit(transaction)
      } else if (transaction.program.end === 'rollback') this.#rollback(transaction)
      else await this.#commit(transaction)
    } catch (error) {
      if (isConflict(error)) return this.#refused(transaction, error)
      if (isForWantOfRoom(error) && this.#mayLackRoom(transaction, op, error.code)) {
        // A commit that is refused has ended the transaction.
        if (op !== undefined) transaction.attempt.session.rollback()
        transaction.outcome = 'rolled back'
        return
      }
      transaction.outcome = 'broken'
      this.#fault('unexpected error', String(error))
    }
  }

  /** What was read, if anything. */
  #perform(transaction: Running, op: Op): unknown {
    const key = 'key' in op ? op.key : ''
    const read = transaction.attempt.perform(op, valueOf(key, transaction.index, transaction.next))
    if (read === undefined) return undefined
    const { got, expected } = read
    transaction.observed.push(got)
    if (same(got, expected)) return got
    const name = `T${transaction.index + 1} at ${transaction.attempt.recorder.snapshot}`
    this.#fault('wrong read', `${name}: ${describeOp(op)} gave ${show(got)}, expected ${show(expected)}`)
    return got
  }

  #noteEvictions(): void {
    const evictions = this.#engine.takeEvictions?.()
    if (evictions !== undefined) this.#install(evictions)
  }

  /** The engine's own deletions are transactions that read nothing. */
  #install(evictions: readonly Eviction[]): void {
    for (const { sequence, keys } of evictions) {
      this.#tally.evicted += keys.length
      for (const key of keys) this.#evictedAt.set(key, sequence)
      this.#model.install(new Map(keys.map((key) => [key, { kind: 'delete' }])), sequence)
      const writes = new Map(keys.map((key) => [key, 'delete'] as const))
      this.#committed.push({ name: `E${sequence}`, snapshot: sequence - 1, sequence, reads: new Map(), writes })
    }
  }

  /** Whether it is right that there was no room: of what is asked for something has been evicted since the snapshot. */
  #mayLackRoom({ attempt: { recorder } }: Running, op: Op | undefined, code: string): boolean {
    if (code === 'MEMORY_LIMIT') {
      this.#tally.tooLarge++
      return op === undefined
    }
    this.#tally.outdated++
    if (op === undefined) return false
    return [...this.#evictedAt].some(([key, sequence]) => {
      const isAsked = !('key' in op) || op.key === key
      return isAsked && sequence > recorder.snapshot && this.#model.read(key, recorder.snapshot) !== undefined
    })
  }

  #rollback(transaction: Running): void {
    transaction.attempt.session.rollback()
    transaction.outcome = 'rolled back'
  }

  async #commit(transaction: Running): Promise<void> {
    const { index, program, attempt } = transaction
    const { recorder, session } = attempt
    const node = this.#nodeOf(transaction)
    const verdict = this.#verdict(transaction, node)
    let refusal: Conflict | undefined
    try {
      await session.commit()
    } catch (error) {
      if (!isConflict(error)) throw error
      refusal = error
    }
    const evictions = this.#engine.takeEvictions?.() ?? []
    if (refusal !== undefined) {
      this.#install(evictions)
      return this.#refused(transaction, refusal, verdict)
    }
    transaction.outcome = 'committed'
    this.#tally.commits++
    if (node.writes.size > 0) {
      node.sequence = newestBut(evictions, this.#engine.sequence)
      this.#install(evictions.filter(({ sequence }) => sequence < node.sequence))
      this.#model.install(recorder.pending, node.sequence)
    }
    this.#committed.push(node)
    this.#install(evictions.filter(({ sequence }) => node.writes.size === 0 || sequence > node.sequence))
    if (session.id !== undefined) this.#byId.set(session.id, node)
    if (verdict === 'first committer wins') {
      return this.#fault('anomaly', `T${index + 1} overwrote a concurrent commit`)
    }
    if (verdict === undefined) return
    if (verdict.cycle !== undefined) return this.#fault('anomaly', describeCycle(verdict.cycle))
    if (verdict.outgoing > 0 && program.readOnly !== 'safe') this.#tally.searched++
    if (verdict.closeCall) this.#tally.closeCalls++
  }

  #refused(
    transaction: Running,
    refusal: Conflict,
    verdict = this.#verdict(transaction, this.#nodeOf(transaction)),
  ): void {
    transaction.outcome = 'refused'
    this.#tally.refused++
    const name = `T${transaction.index + 1}`
    if (transaction.program.readOnly === 'safe') return this.#fault('aborted safe reader', name)
    if (verdict === undefined) return this.#fault('needless abort', `${name}: nobody wrote its keys meanwhile`)
    if (verdict === 'first committer wins') return
    if (verdict.cycle === undefined) return this.#fault('needless abort', `${name}: no cycle`)
    this.#checkExplanation(transaction, refusal)
  }

  /**
   * The cycle that a refusal shows must be one: each edge begins where the last one ended and names a key that really
   * orders its ends, if only by way of others that wrote it in between.
   */
  #checkExplanation(transaction: Running, { conflict }: Conflict): void {
    if (conflict?.reason !== 'cycle') return
    const candidate = this.#nodeOf(transaction)
    const { id } = transaction.attempt.session
    const nodeOf = (of: number): Node | undefined => (of === id ? candidate : this.#byId.get(of))
    const steps = conflict.edges.map(({ from, to, kind, key }) => ({ from: nodeOf(from), to: nodeOf(to), kind, key }))
    // Iterators of the handle have no id that the driver could know.
    if (steps.some(({ from, to }) => from === undefined || to === undefined)) return
    const edges = dependencies([...this.#committed, candidate], commutes)
    const holds = steps.every(({ from, to, kind, key }, at) => {
      const follows = from === (at === 0 ? steps.at(-1) : steps[at - 1])?.to
      const reads = kind === 'rw' ? from!.reads.has(String(key)) : kind === 'ww' || to!.reads.has(String(key))
      return follows && reads && leadsTo(edges, from!, to!, key)
    })
    if (holds) return
    const text = steps.map(({ from, to, kind, key }) => `${from?.name} -${kind}(${String(key)})-> ${to?.name}`)
    this.#fault('wrong explanation', text.join(', '))
  }

  /** At the snapshot level: whether first-committer-wins refuses it. At serializable: what the graph says. */
  #verdict(transaction: Running, node: Node): Verdict | 'first committer wins' | undefined {
    if (transaction.program.isolation !== 'snapshot') return judge(this.#committed, node, commutes)
    return transaction.attempt.recorder.overtaken ? 'first committer wins' : undefined
  }

  #nodeOf({ index, program, attempt: { recorder } }: Running): Node {
    const name = `T${index + 1}`
    const { snapshot } = recorder
    const reads = program.isolation === 'snapshot' ? new Map<string, ReadLevel>() : recorder.reads
    return { name, snapshot, sequence: Infinity, reads, writes: recorder.writes() }
  }

  #fault(fault: Fault, text: string): void {
    this.#faulty = true
    this.#tally.report(fault, `${text}\n${describeHistory(this.#programs, this.#schedule)}`)
  }
}

/** The newest commit that is no eviction. */
function newestBut(evictions: readonly Eviction[], sequence: number): number {
  return evictions.some((eviction) => eviction.sequence === sequence) ? newestBut(evictions, sequence - 1) : sequence
}

/** Whether the edges of one key put `from` before `to`. */
function leadsTo(edges: readonly Edge[], from: Node, to: Node, key: unknown): boolean {
  const reached = new Set([from])
  for (const node of reached) {
    for (const edge of edges) if (edge.key === key && edge.from === node) reached.add(edge.to)
  }
  return reached.has(to)
}

/** The steps in the order they are taken, one a line. */
function describeHistory(programs: readonly Program[], schedule: readonly number[]): string {
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
