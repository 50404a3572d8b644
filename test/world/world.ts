/**
 * One open database beside its model: what it is asked, what it must answer, and how its commits are followed.
 *
 * Calls are made without being waited for, so several are under way at once; which state each of them met is told by the feed
 * of commits. Every commit there must be what one of the calls under way does to the state right before it, or be the engine's
 * own (expiry, eviction); a call that is refused must not show up; one that succeeds must have answered accordingly.
 */
import {
  type Commit,
  type Database,
  type ErrorCode,
  type Handle,
  type Key,
  type Reader,
  table,
  VarveError,
} from '../../src/index.ts'
import { referenceCompare } from '../keys/reference.ts'
import { type Change, type CommitModel, idOf, isLive, plainOf, same, TABLES, Timeline } from './model.ts'
import { View, type Write } from './calls.ts'

class Disagreement extends Error {}

export function demand(holds: boolean, what: () => string): void {
  if (!holds) throw new Disagreement(what())
}

export function agree(what: string, got: unknown, expected: unknown): void {
  demand(same(got, expected), () => `${what}: got ${show(got)}, expected ${show(expected)}`)
}

export function show(value: unknown): string {
  const text = JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner === 'bigint') return `${inner}n`
    if (inner instanceof Uint8Array) return `<${inner.length} of ${inner[0]}>`
    return typeof inner === 'string' && inner.length > 80 ? `${inner.slice(0, 10)}...(${inner.length})` : inner
  })
  return (text ?? 'undefined').slice(0, 2000)
}

export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** A call whose commit has not been seen. */
interface Pending {
  readonly what: string
  /** What it answers and does if it meets this state. */
  readonly judge: (view: View) => unknown
  /** The one thing it may do, for a transaction that has run already; else `judge` decides. */
  readonly fixed: View | undefined
  /** The sequence before it was made. */
  readonly since: number
  /** The commit that is of this call, and what the call may have answered then. */
  matched: { readonly sequence: number; readonly expected: readonly unknown[] } | undefined
  outcome: { readonly value?: unknown; readonly error?: VarveError } | undefined
  /** May it be refused for a conflict. */
  readonly mayConflict: boolean
}

/** How a database is limited, as far as its answers depend on it. */
export interface Limits {
  readonly onDisk: boolean
  readonly limit: number
  readonly policy: string
}

const PATIENCE = 2000

/** A table that no life uses: how the world asks for the time. */
const PROBE = table<string, number>('probe')
const PROBE_MS = 1e9

export class World {
  readonly name: string
  readonly db: Database<Key, unknown>
  readonly timeline: Timeline
  readonly limits: Limits
  readonly handles: readonly Handle<Key, unknown>[]
  /** The newest instant that the database has been shown. */
  instant: number
  /** Keys that were evicted by the word of the event, in memory. */
  announced: string[] = []
  evictions = 0
  /** The key that the application wants gone. */
  byHand = ''
  refusals = 0
  expiries = 0
  #pending: Pending[] = []
  #fed: Commit[] = []
  #feedError: Error | undefined
  /** The newest commit when it was last caught up with. */
  #reached = -1
  /** While the time is asked for. */
  #probed: number | undefined
  readonly #abort = new AbortController()

  constructor(name: string, db: Database<Key, unknown>, timeline: Timeline, instant: number, limits: Limits) {
    this.name = name
    this.db = db
    this.timeline = timeline
    this.instant = instant
    this.limits = limits
    this.handles = TABLES.map((each) => db.handle(each.table))
    db.on('evict', ({ table, key }) => this.announced.push(`${table} ${idOf(key as Key)}`))
    void this.#follow(db.changes({ durable: false, signal: this.#abort.signal }))
  }

  async #follow(commits: AsyncIterable<Commit>): Promise<void> {
    try {
      for await (const commit of commits) this.#fed.push(commit)
      if (!this.#abort.signal.aborted) this.#feedError = new Disagreement(`${this.name}: the feed has ended`)
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#feedError = error as Error
    }
  }

  /** What is seen now. */
  view(): View {
    return new View(this.timeline, this.timeline.sequence, this.instant)
  }

  get isCaughtUp(): boolean {
    return this.#reached === this.db.sequence
  }

  get idle(): boolean {
    return this.#pending.length === 0
  }

  /** Sees to it that a call is followed. Its promise must come from the call itself. */
  follow(
    what: string,
    result: unknown,
    judge: (view: View) => unknown,
    options: { fixed?: View; mayConflict?: boolean } = {},
  ): void {
    const { fixed, mayConflict = false } = options
    const pending: Pending = {
      ...{ what, judge, fixed, since: this.timeline.sequence, matched: undefined, outcome: undefined, mayConflict },
    }
    this.#pending.push(pending)
    void Promise.resolve(result).then(
      (value) => (pending.outcome = { value }),
      (error: unknown) => {
        if (error instanceof VarveError) pending.outcome = { error }
        else this.#feedError ??= error as Error
      },
    )
  }

  /** Takes in what has been committed up to now, without waiting for calls. */
  async catchUp(): Promise<void> {
    for (let turns = 0, still = 0; ; turns++) {
      if (this.#feedError !== undefined) throw this.#feedError
      const newest = this.#fed.length
      for (const commit of this.#fed.splice(0)) this.#fold(commit)
      this.#reached = this.db.sequence
      if (this.timeline.sequence === this.db.sequence && turns > 0) return
      // Commits that changed nothing leave gaps, also at the end.
      still = newest === 0 ? still + 1 : 0
      if (still > 20) return
      demand(turns < PATIENCE, () => `${this.name}: the feed is at ${this.timeline.sequence} of ${this.db.sequence}`)
      await turn()
    }
  }

  /** What time the database takes it for, told by when something expires that it is given now; undefined: it has no room. */
  async probe(): Promise<number | undefined> {
    await this.catchUp()
    this.#probed = 0
    try {
      await this.db.handle(PROBE).set('now', 1, { ttlMs: PROBE_MS })
    } catch (error) {
      const isExpected = error instanceof VarveError && this.#mayRefuse(error.code, false)
      if (isExpected) return undefined
      throw error
    }
    await this.catchUp()
    const found = this.#probed
    this.#probed = undefined
    return found
  }

  /** Waits for every call that is under way, and holds each against what it did. */
  async settle(): Promise<void> {
    const start = this.#pending.reduce((least, each) => Math.min(least, each.since), this.timeline.sequence)
    for (let turns = 0; this.#pending.some((each) => each.outcome === undefined); turns++) {
      if (this.#feedError !== undefined) throw this.#feedError
      demand(turns < PATIENCE, () => {
        const waiting = this.#pending.filter((each) => each.outcome === undefined)
        return `${this.name}: never settled: ${waiting.map((each) => each.what).join(', ')}`
      })
      if (turns > 100) await new Promise((resolve) => setTimeout(resolve, 1))
      await turn()
    }
    await this.catchUp()
    for (const pending of this.#pending.splice(0)) this.#examine(pending, start)
  }

  /** After a crash: the sequence up to which everything was acknowledged. */
  acknowledged(): number {
    let newest = 0
    for (const { matched, outcome } of this.#pending)
      if (matched !== undefined && outcome !== undefined && outcome.error === undefined)
        newest = Math.max(newest, matched.sequence)
    return newest
  }

  /** Gives up what is under way; the database is gone. */
  abandon(): void {
    this.#abort.abort()
    this.#pending = []
  }

  /** No more commits are followed. */
  stop(): void {
    this.#abort.abort()
  }

  #examine(pending: Pending, start: number): void {
    const { what, matched, outcome, judge } = pending
    const where = `${this.name}: ${what}`
    const { value, error } = outcome!
    if (error !== undefined) {
      this.refusals++
      demand(matched === undefined, () => `${where}: refused after it took effect: ${error.message}`)
      demand(
        this.#mayRefuse(error.code, pending.mayConflict),
        () => `${where}: refused: ${error.code} ${error.message}`,
      )
      return
    }
    if (matched !== undefined) {
      if (!matched.expected.some((each) => same(value, each))) agree(where, value, matched.expected[0])
      return
    }
    // It did nothing: so it must have met a state in which it does nothing.
    const { sequence } = this.timeline
    let answer: unknown
    let did: readonly Write[] = []
    for (let at = start; at <= sequence; at++) {
      const view = pending.fixed ?? new View(this.timeline, at, this.instant)
      answer = pending.fixed === undefined ? judge(view) : judge(new View(this.timeline, at, this.instant))
      const effects = this.#effects(view, new View(this.timeline, at, this.instant))
      if (effects.length === 0 && same(value, answer)) return
      did = effects
    }
    throw new Disagreement(
      `${where} (${start}-${sequence}, ${this.db.sequence}): answered ${show(value)} and committed nothing; expected ${show(answer)} and ${show(did)}`,
    )
  }

  #mayRefuse(code: ErrorCode, mayConflict: boolean): boolean {
    const { limit, onDisk } = this.limits
    switch (code) {
      case 'MEMORY_LIMIT':
        return limit < Infinity
      case 'SNAPSHOT_TOO_OLD':
        return !onDisk && (mayConflict || this.timeline.parent !== undefined)
      case 'SERIALIZATION_FAILURE':
      case 'WRITE_CONFLICT':
      case 'RETRIES_EXHAUSTED':
        return mayConflict
      default:
        return false
    }
  }

  /** What these writes change, without deletions of what is not there. */
  #effects(written: View, newest: View): Write[] {
    return written
      .effects(newest)
      .filter(({ table, key, cell }) => cell !== undefined || newest.committed(table, key) !== undefined)
  }

  #fold(commit: Commit): void {
    const { sequence, timeMs, cause } = commit
    const where = `${this.name}: commit ${sequence} (${cause})`
    demand(sequence > this.timeline.sequence, () => `${where} after ${this.timeline.sequence}`)
    const changes = commit.changes.flatMap((change): Change[] => {
      if (change.table === PROBE.name) {
        if (this.#probed !== undefined && change.kind === 'set') this.#probed = (change.expiresAt ?? 0) - PROBE_MS
        return []
      }
      const table = TABLES.findIndex((each) => each.name === change.table)
      demand(table >= 0, () => `${where}: of a table ${change.table}`)
      const value = plainOf(TABLES[table]!.kind, change.value)
      demand((change.kind === 'delete') === (value === undefined), () => `${where}: a ${change.kind} of ${show(value)}`)
      return [{ table, key: change.key, value, expiresAt: change.expiresAt ?? 0 }]
    })
    demand(new Set(changes.map(({ table, key }) => `${table} ${idOf(key)}`)).size === changes.length, () => where)
    demand(timeMs >= (this.timeline.commits.at(-1)?.timeMs ?? -Infinity), () => `${where}: time goes back`)
    const model: CommitModel = { sequence, timeMs, cause, changes }
    if (changes.length === 0) {
      this.timeline.apply(model)
      return
    }
    if (cause === 'commit') this.#match(where, model)
    else this.#own(where, model)
    this.timeline.apply(model)
  }

  /** Finds the call that a commit is of. */
  #match(where: string, { sequence, changes }: CommitModel): void {
    const { timeline } = this
    const before = new View(timeline, timeline.sequence, this.instant)
    const told = changes.filter(
      ({ table, key, value }) => value !== undefined || before.committed(table, key) !== undefined,
    )
    let guess = ''
    for (const pending of this.#pending) {
      if (pending.matched !== undefined) continue
      const expected: unknown[] = []
      // A transaction may have read before others committed that it does not depend on.
      const oldest = pending.mayConflict ? pending.since : timeline.sequence
      for (let at = pending.fixed === undefined ? oldest : timeline.sequence; at <= timeline.sequence; at++) {
        const view = pending.fixed ?? new View(timeline, at, this.instant)
        const answer = pending.judge(view)
        const effects = this.#effects(view, before)
        if (isSame(effects, told)) expected.push(answer)
        guess ||= `${pending.what} ${show(effects)}`
      }
      if (expected.length === 0) continue
      pending.matched = { sequence, expected }
      return
    }
    throw new Disagreement(`${where} is of no call: ${show(told)}; the first under way: ${guess}`)
  }

  /** A commit that the engine made. */
  #own(where: string, { changes, cause, timeMs }: CommitModel): void {
    const { timeline, limits } = this
    for (const { table, key, value } of changes) {
      const at = `${where}: ${TABLES[table]!.name} ${show(key)}`
      const version = timeline.at(table, key, timeline.sequence)
      demand(value === undefined && version?.value !== undefined, () => `${at}: was not there`)
      if (cause === 'expire') {
        this.expiries++
        demand(!isLive(version, timeMs), () => `${at}: expires at ${version?.expiresAt}, swept at ${timeMs}`)
        continue
      }
      this.evictions++
      demand(!limits.onDisk, () => `${at}: evicted for good from a database on disk`)
      const isByHand = this.byHand === `${TABLES[table]!.name} ${idOf(key)}`
      demand(isByHand || (limits.limit < Infinity && limits.policy !== 'manual'), () => `${at}: evicted for nothing`)
      if (!isByHand && limits.policy === 'ttl') demand(version!.expiresAt > 0, () => `${at}: it would never expire`)
    }
  }

  // --- reading ------------------------------------------------------------------------------------------------------------

  /** Compares a point read in every way that there is. */
  readKey(where: string, reader: Reader<Key, unknown>, view: View, table: number, key: Key): void {
    const at = `${this.name}: ${where}: ${TABLES[table]!.name} ${show(key)}`
    try {
      this.#readKey(at, reader, view, table, key)
    } catch (error) {
      if (error instanceof Disagreement) error.message += `\n  ${view.explain(table, key)}`
      throw error
    }
  }

  #readKey(at: string, reader: Reader<Key, unknown>, view: View, table: number, key: Key): void {
    const { kind } = TABLES[table]!
    const cell = view.cell(table, key)
    const isLost = (): boolean => view.isLost(table, key)
    this.#ask(`${at}: get`, () => plainOf(kind, reader.get(key)), cell?.value, isLost)
    this.#ask(`${at}: has`, () => reader.has(key), cell !== undefined, isLost)
    const left = cell === undefined || cell.expiresAt === 0 ? undefined : cell.expiresAt - view.instant
    this.#ask(`${at}: ttl`, () => reader.ttl(key), left, isLost)
  }

  /** Compares scans of a whole table, and sizes. */
  readTable(where: string, reader: Reader<Key, unknown>, view: View, table: number, reverse: boolean): void {
    const { kind, name, keys } = TABLES[table]!
    const at = `${this.name}: ${where}: ${name}`
    const isLost = (): boolean => keys.some((key) => view.isLost(table, key))
    const expected = entriesOf(view, table, reverse)
    const onlyKeys = expected.map(([key]) => key)
    const range = reverse ? { reverse } : {}
    this.#ask(
      `${at}: entries`,
      () => [...reader.entries(range)].map(([key, value]) => [key, plainOf(kind, value)]),
      expected,
      isLost,
    )
    this.#ask(`${at}: keys`, () => [...reader.keys(range)], onlyKeys, isLost)
    this.#ask(`${at}: count`, () => reader.count(range), expected.length, isLost)
    const expiring = entriesOf(view, table, false).filter(([key]) => view.cell(table, key)!.expiresAt > 0)
    this.#ask(
      `${at}: keysWithTtl`,
      () => [...reader.keysWithTtl()],
      expiring.map(([key]) => key),
      isLost,
    )
  }

  #ask(what: string, call: () => unknown, expected: unknown, isLost: () => boolean): void {
    let got: unknown
    try {
      got = call()
    } catch (error) {
      if (!(error instanceof VarveError)) throw error
      if (error.code === 'SNAPSHOT_TOO_OLD' && isLost()) return
      throw new Disagreement(`${what}: ${error.code} ${error.message}, expected ${show(expected)}`, { cause: error })
    }
    agree(what, got, expected)
  }

  /** Everything that is seen now, sizes included. */
  readAll(where: string): void {
    const view = this.view()
    for (const [table, { keys, name }] of TABLES.entries()) {
      const handle = this.handles[table]!
      for (const key of keys) this.readKey(where, handle, view, table, key)
      this.readTable(where, handle, view, table, false)
      agree(`${this.name}: ${where}: ${name}: size`, handle.size, this.timeline.size(table, view.sequence))
    }
  }
}

/** What a whole scan gives. */
export function entriesOf(view: View, table: number, reverse: boolean): [Key, unknown][] {
  const found = TABLES[table]!.keys.flatMap((key): [Key, unknown][] => {
    const cell = view.cell(table, key)
    return cell === undefined ? [] : [[key, cell.value]]
  })
  found.sort(([a], [b]) => referenceCompare(a, b))
  return reverse ? found.reverse() : found
}

function isSame(effects: readonly Write[], changes: readonly Change[]): boolean {
  if (effects.length !== changes.length) return false
  const byKey = new Map(changes.map((change) => [`${change.table} ${idOf(change.key)}`, change]))
  return effects.every(({ table, key, cell }) => {
    const change = byKey.get(`${table} ${idOf(key)}`)
    if (change === undefined || !same(change.value, cell?.value)) return false
    return change.expiresAt === (cell?.expiresAt ?? 0)
  })
}
