/**
 * Long random histories in one database: many transactions in flight, each step drawn at random, every read compared with
 * the model and every outcome with the graph that grows (oracle-graph.ts).
 */
import { type Fault, Tally } from './history.ts'
import {
  Attempt,
  commutes,
  describeOp,
  isConflict,
  type Level,
  type LongEngine,
  Model,
  type Op,
  same,
  show,
  tableOf,
  Universe,
} from './history-model.ts'
import { DependencyGraph } from './oracle-graph.ts'
import type { Node, ReadLevel } from './oracle.ts'
import type { Random } from './random.ts'

/** What one stretch of a history is like. */
export interface Workload {
  readonly name: string
  readonly keys: readonly string[]
  /** 0: every key alike; the nearer to 1, the hotter the first ones (Zipf). */
  readonly skew: number
  readonly inFlight: number
  readonly commits: number
  /** Operations of a transaction. */
  readonly length: readonly [shortest: number, longest: number]
  /** How many of those in flight are readers of hundreds of operations. */
  readonly longReaders: number
  /** How many keys a scan spans at most. */
  readonly span: number
}

type Kind = 'transaction' | 'snapshot' | 'safe snapshot' | 'iterator' | 'autocommit'

interface Running {
  readonly name: string
  readonly kind: Kind
  readonly level: Level
  readonly attempt: Attempt
  left: number
}

const LEVELS: readonly Level[] = [
  ...Array.from({ length: 14 }, () => ({})),
  { isolation: 'snapshot' },
  { readOnly: true },
  { readOnly: true },
  { readOnly: 'safe' },
  { readOnly: 'safe' },
]

const OTHER_KINDS = ['snapshot', 'safe snapshot', 'iterator', 'iterator'] as const

/** In place of what was read. */
const REFUSED = Symbol('refused')

const REMEMBERED_STEPS = 5000

export class LongHistory {
  readonly tally: Tally = new Tally()
  readonly graph: DependencyGraph = new DependencyGraph(commutes)
  readonly #engine: LongEngine
  readonly #universe: Universe
  readonly #model = new Model()
  readonly #random: Random
  readonly #steps: string[] = []
  readonly #tolerated: readonly Fault[]
  #begun = 0

  /** `tolerated` faults are counted and otherwise ignored. */
  constructor(engine: LongEngine, keys: Iterable<string>, random: Random, tolerated: readonly Fault[] = []) {
    this.#tolerated = tolerated
    this.#engine = engine
    this.#universe = new Universe(keys)
    this.#random = random
  }

  /** Runs until `workload.commits` more transactions have committed, or something is wrong. */
  async run(workload: Workload): Promise<void> {
    const stretch = new Stretch(workload, this.#random)
    const slots: (Running | undefined)[] = Array.from({ length: workload.inFlight }, () => undefined)
    this.tally.histories++
    const goal = this.tally.commits + workload.commits
    while (this.tally.commits < goal && this.tally.reports.length === 0) {
      if (this.#engine.interlude !== undefined) await this.#engine.interlude()
      if (this.#random.chance(0.0003)) await this.#engine.vacuum()
      if (this.#random.chance(0.05)) await this.#autocommit(stretch)
      const slot = this.#random.int(slots.length)
      slots[slot] = await this.#advance(slots[slot] ?? this.#begin(stretch, slot < workload.longReaders), stretch)
    }
    for (const running of slots) running?.attempt.session.rollback()
  }

  #begin(stretch: Stretch, long: boolean): Running {
    const kind = this.#random.chance(0.92) ? 'transaction' : this.#random.pick(OTHER_KINDS)
    const level =
      kind === 'transaction' ? this.#random.pick(LEVELS) : kind === 'iterator' ? { iterator: true } : { readOnly: true }
    const safe = kind === 'safe snapshot' || level.readOnly === 'safe'
    const isSnapshot = kind === 'snapshot' || kind === 'safe snapshot'
    const session = isSnapshot ? this.#engine.snapshot(safe) : this.#engine.begin(level)
    const attempt = new Attempt(session, this.#model, this.#universe)
    const left = long ? this.#random.between(200, 1000) : this.#random.between(...stretch.workload.length)
    const running: Running = { name: `T${++this.#begun}`, kind, level, attempt, left }
    const { sequence } = this.#engine
    this.#note(running, `begins ${kind} ${JSON.stringify(level)} at ${session.sequence}, the newest is ${sequence}`)
    if (safe ? session.sequence > sequence : session.sequence !== sequence) {
      this.#report('wrong read', running, `reads at ${session.sequence}, the newest commit is ${sequence}`)
    }
    if (kind === 'iterator') this.#perform(running, stretch.opening())
    return running
  }

  /** Takes one step; what is left of the transaction. */
  async #advance(running: Running, stretch: Stretch): Promise<Running | undefined> {
    if (running.kind === 'iterator') return this.#pull(running)
    if (running.left-- > 0) {
      const mayWrite = running.kind === 'transaction' && running.level.readOnly === undefined
      // Long readers write once, at their end: those are the commits that reach far back.
      const writes = mayWrite && (running.left < 10 || this.#random.chance(0.02))
      return this.#perform(running, stretch.op(writes, mayWrite)) === REFUSED ? undefined : running
    }
    if (this.#random.chance(0.04)) {
      this.#note(running, 'rolls back')
      running.attempt.session.rollback()
    } else {
      await this.#commit(running)
    }
    return undefined
  }

  /** An iterator of the handle ends when it has run dry, or is left before that. */
  async #pull(running: Running): Promise<Running | undefined> {
    const read = running.left-- > 0 ? this.#perform(running, { op: 'next' }) : undefined
    if (read === undefined) await this.#commit(running)
    return read === undefined || read === REFUSED ? undefined : running
  }

  /** What was read, if anything. */
  #perform(running: Running, op: Op): unknown {
    const value = 'key' in op && tableOf(op.key) === 'logs' ? `${this.#begun};` : this.#begun
    try {
      const read = running.attempt.perform(op, value)
      this.#note(running, `${describeOp(op)}${read === undefined ? '' : ` gives ${show(read.got)}`}`)
      if (read !== undefined && !same(read.got, read.expected)) {
        this.#report('wrong read', running, `${describeOp(op)} gave ${show(read.got)}, expected ${show(read.expected)}`)
      }
      return read?.got
    } catch (error) {
      if (!isConflict(error)) throw error
      this.#refused(running, this.#cycle(running).path)
      return REFUSED
    }
  }

  /** One call on a handle, outside every transaction. */
  async #autocommit(stretch: Stretch): Promise<void> {
    const attempt = new Attempt(this.#engine.autocommit(), this.#model, this.#universe)
    const running: Running = { name: `A${++this.#begun}`, kind: 'autocommit', level: {}, attempt, left: 0 }
    if (this.#perform(running, stretch.op(this.#random.chance(0.5), false)) !== REFUSED) await this.#commit(running)
  }

  async #commit(running: Running): Promise<void> {
    const { kind, level, attempt } = running
    const atSnapshot = level.isolation === 'snapshot'
    const lost = atSnapshot && attempt.recorder.overtaken
    const { path, outgoing, node } = this.#cycle(running)
    try {
      await attempt.session.commit()
    } catch (error) {
      if (!isConflict(error)) throw error
      return this.#refused(running, lost ? [] : path)
    }
    this.#note(running, 'commits')
    this.tally.commits++
    if (outgoing && level.readOnly !== 'safe') this.tally.searched++
    if (lost) this.#report('anomaly', running, 'overwrote a concurrent commit at the snapshot level')
    if (kind === 'snapshot') return
    if (path !== undefined) this.#report('anomaly', running, path.join(' -> '), path)
    if (node.writes.size > 0) {
      node.sequence = this.#engine.sequence
      this.#model.install(attempt.recorder.pending, node.sequence)
    }
    this.graph.add(node)
  }

  #refused(running: Running, path: readonly string[] | undefined): void {
    this.#note(running, 'is refused')
    this.tally.refused++
    const safe = running.level.readOnly === 'safe' || (running.kind !== 'transaction' && running.kind !== 'iterator')
    if (safe) this.#report('aborted safe reader', running, '')
    else if (path === undefined) this.#report('needless abort', running, 'no cycle')
  }

  #cycle({ name, kind, level, attempt: { recorder } }: Running) {
    const untracked = level.isolation === 'snapshot' || kind === 'snapshot'
    const reads: ReadonlyMap<string, ReadLevel> = untracked ? new Map() : recorder.reads
    const node: Node = { name, snapshot: recorder.snapshot, sequence: Infinity, reads, writes: recorder.writes() }
    return { ...this.graph.cycle(node), node }
  }

  #note(running: Running, text: string): void {
    if (this.#steps.length >= 2 * REMEMBERED_STEPS) this.#steps.splice(0, REMEMBERED_STEPS)
    this.#steps.push(`${running.name} ${text}`)
  }

  #report(fault: Fault, running: Running, text: string, path: readonly string[] = []): void {
    if (this.#tolerated.includes(fault)) {
      this.tally.faults[fault]++
      return
    }
    const names = new Set([running.name, ...path])
    const steps = this.#steps.filter((step) => names.has(step.slice(0, step.indexOf(' '))))
    this.tally.report(fault, `${running.name}: ${text}\n${steps.slice(-400).join('\n')}`)
  }
}

const WRITES = [
  'set',
  'set',
  'set',
  'merge',
  'merge',
  'merge',
  'delete',
  'take',
  'update',
  'swap',
  'getOrInsert',
] as const

/** Draws operations for one workload. */
class Stretch {
  readonly workload: Workload
  readonly #random: Random
  /** Where in [0, 1) the share of each key ends. */
  readonly #shares: Float64Array

  constructor(workload: Workload, random: Random) {
    this.workload = workload
    this.#random = random
    const weights = workload.keys.map((_, rank) => (rank + 1) ** -workload.skew)
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    let end = 0
    this.#shares = Float64Array.from(weights, (weight) => (end += weight / total))
  }

  /** `writes`: an operation that writes; otherwise a read or, where `savepoints` says so, one of those. */
  op(writes: boolean, savepoints: boolean): Op {
    const random = this.#random
    const key = this.#key()
    if (writes && random.chance(0.5)) return { op: random.pick(WRITES), key }
    if (savepoints && random.chance(0.03)) return { op: random.pick(['savepoint', 'rollbackTo'] as const) }
    if (random.chance(0.75)) return { op: random.pick(['get', 'get', 'get', 'has'] as const), key }
    return this.#scan(key)
  }

  /** The beginning of a slow scan. */
  opening(): Op {
    const scan = this.#scan(this.#key())
    return { op: 'open', over: scan.over, range: scan.range, level: scan.op === 'scan' ? scan.level : 'existence' }
  }

  #scan(key: string): Extract<Op, { op: 'scan' | 'count' }> {
    const random = this.#random
    const { keys, span } = this.workload
    const over = tableOf(key)
    const other = keys[Math.min(keys.indexOf(key) + random.int(span), keys.length - 1)]!
    const end = tableOf(other) === over ? other : key
    const [low, high] = key < end ? [key, end] : [end, key]
    const range = { gte: low, ...(random.chance(0.5) ? { lte: high } : { lt: high }), reverse: random.chance(0.3) }
    const level = random.chance(0.6) ? 'value' : 'existence'
    if (level === 'existence' && random.chance(0.4)) return { op: 'count', over, range }
    return { op: 'scan', over, range, take: random.chance(0.6) ? Infinity : random.int(4), level }
  }

  #key(): string {
    const { keys } = this.workload
    const target = this.#random.next()
    let low = 0
    let high = keys.length - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#shares[middle]! <= target) low = middle + 1
      else high = middle
    }
    return keys[low]!
  }
}
