/**
 * Toy engines with known faults, to show that the driver and the oracle see them:
 *
 * - `serial` refuses every transaction that overlapped a commit: never an anomaly, many needless aborts;
 * - `snapshot` knows only first-committer-wins, at every level: write skew and its relatives get through;
 * - `committed` reads the newest commit at every step: reads that no snapshot contains;
 * - `anything` reads from snapshots and refuses nothing.
 *
 * State is one immutable Map per commit.
 */
import {
  commutes,
  type LongEngine,
  type KeyRange,
  type Session,
  tableOf,
  type TableName,
  type Value,
  within,
} from './history-model.ts'
import { VarveError } from '../../src/errors.ts'

export type ToyPolicy = 'serial' | 'snapshot' | 'committed' | 'anything'

type State = ReadonlyMap<string, Value>
type Change = (current: Value | undefined) => Value | undefined

interface Commit {
  readonly sequence: number
  readonly keys: ReadonlySet<string>
}

export class ToyEngine implements LongEngine {
  readonly policy: ToyPolicy
  sequence = 0
  state: State = new Map()
  /** Recent commits; enough for the histories that the toys are for. */
  readonly recent: Commit[] = []

  constructor(policy: ToyPolicy) {
    this.policy = policy
  }

  begin(): Session {
    return new ToySession(this)
  }

  snapshot(): Session {
    return new ToySession(this)
  }

  autocommit(): Session {
    return new ToySession(this)
  }

  async vacuum(): Promise<void> {}

  apply(changes: ReadonlyMap<string, Change>): void {
    const next = new Map(this.state)
    for (const [key, change] of changes) {
      const value = change(next.get(key))
      if (value === undefined) next.delete(key)
      else next.set(key, value)
    }
    const changed = [...changes.keys()].filter((key) => next.has(key) || this.state.has(key))
    this.state = next
    this.recent.push({ sequence: ++this.sequence, keys: new Set(changed) })
    if (this.recent.length > 2000) this.recent.shift()
  }
}

class ToySession implements Session {
  readonly sequence: number
  readonly #engine: ToyEngine
  readonly #begun: State
  #changes = new Map<string, Change>()
  /** Keys whose change is not a merge alone. */
  #overwritten = new Set<string>()

  constructor(engine: ToyEngine) {
    this.#engine = engine
    this.#begun = engine.state
    this.sequence = engine.sequence
  }

  get(key: string): Value | undefined {
    const base = (this.#engine.policy === 'committed' ? this.#engine.state : this.#begun).get(key)
    const change = this.#changes.get(key)
    return change === undefined ? base : change(base)
  }

  has(key: string): boolean {
    return this.get(key) !== undefined
  }

  set(key: string, value: Value): void {
    this.#overwritten.add(key)
    this.#changes.set(key, () => value)
  }

  delete(key: string): boolean {
    if (!this.has(key)) return false
    this.#overwritten.add(key)
    this.#changes.set(key, () => undefined)
    return true
  }

  merge(key: string, operand: Value): void {
    const before = this.#changes.get(key)
    this.#changes.set(key, (current) => {
      const value = before === undefined ? current : before(current)
      return commutes(key) ? Number(value ?? 0) + Number(operand) : String(value ?? '') + String(operand)
    })
  }

  update(key: string, value: Value): Value {
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
    this.delete(key)
    return before
  }

  getOrInsert(key: string, value: Value): Value {
    return this.get(key) ?? this.update(key, value)
  }

  clear(over: TableName): void {
    for (const [key] of [...this.entries(over, {})]) this.delete(key)
  }

  *entries(over: TableName, range: KeyRange): Generator<[string, Value]> {
    let rest = range
    for (let left = range.limit ?? Infinity; left > 0; left--) {
      const key = this.#first(over, rest)
      if (key === undefined) return
      yield [key, this.get(key)!]
      rest = range.reverse === true ? { ...range, lt: key } : { ...range, gt: key }
    }
  }

  #first(over: TableName, range: KeyRange): string | undefined {
    const keys = new Set([...this.#engine.state.keys(), ...this.#begun.keys(), ...this.#changes.keys()])
    const inside = [...keys].filter((key) => tableOf(key) === over && within(range, key) && this.has(key)).sort()
    return range.reverse === true ? inside.at(-1) : inside[0]
  }

  *keys(over: TableName, range: KeyRange): Generator<string> {
    for (const [key] of this.entries(over, range)) yield key
  }

  count(over: TableName, range: KeyRange): number {
    return [...this.entries(over, range)].length
  }

  savepoint(): unknown {
    return { changes: new Map(this.#changes), overwritten: new Set(this.#overwritten) }
  }

  rollbackTo(savepoint: { changes: Map<string, Change>; overwritten: Set<string> }): void {
    this.#changes = new Map(savepoint.changes)
    this.#overwritten = new Set(savepoint.overwritten)
  }

  async commit(): Promise<void> {
    const since = this.#engine.recent.filter((commit) => commit.sequence > this.sequence)
    if (this.#loses(since)) throw new VarveError('SERIALIZATION_FAILURE', 'a toy refuses')
    if (this.#changes.size > 0) this.#engine.apply(this.#changes)
  }

  #loses(since: readonly Commit[]): boolean {
    if (this.#engine.policy === 'anything') return false
    if (this.#engine.policy === 'serial') return since.length > 0
    return since.some((commit) => [...this.#overwritten].some((key) => commit.keys.has(key)))
  }

  rollback(): void {
    this.#changes.clear()
  }
}
