/** The clients of a simulated life: transactions of every kind, and calls outside transactions, with their outcomes noted. */
import { isDeepStrictEqual } from 'node:util'
import { type AnyDatabase, type Key, type Transaction, VarveError } from '../../src/index.ts'
import type { Random } from '../support/random.ts'
import { drawKey, drawOperand, drawValue } from './draws.ts'
import { demand, Violation } from './examine.ts'
import type { Machine } from './machine.ts'
import { type Commit, type Effect, raise, type Session, type Stroke, type TableName, tableOf, tables } from './model.ts'

/** What clients of one session share. */
export interface Stage {
  readonly db: AnyDatabase
  readonly session: Session
  readonly machine: Machine
  /** Whether a promise that resolves means that the disk has it. */
  readonly full: boolean
  /** Set once the database said that it is poisoned. */
  poisoned: VarveError | null
  /** Rises with every step; a life in which it stands still hangs. */
  progress: number
  /** The first promise that was seen broken. */
  violation: unknown
  /** Codes of further errors that the life provokes. */
  readonly tolerated: readonly string[]
}

const TRANSACTIONAL: readonly TableName[] = ['anything', 'accounts', 'counters', 'texts', 'blobs']

/** Errors that a client may meet through no fault of the database. */
const EXPECTED: ReadonlySet<string> = new Set([
  ...['SERIALIZATION_FAILURE', 'WRITE_CONFLICT', 'RETRIES_EXHAUSTED', 'CLOSED', 'TRANSACTION_CLOSED'],
])

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

class Deliberate extends Error {}

export class Client {
  readonly stage: Stage
  readonly number: number
  readonly random: Random
  #issued = 0
  /** What this client's keys outside transactions hold. */
  readonly #own: Map<string, unknown> = new Map()
  readonly #pending: Set<Promise<void>> = new Set()

  constructor(stage: Stage, number: number, random: Random) {
    this.stage = stage
    this.number = number
    this.random = random
    for (let j = 0; j < 3; j++) this.#own.set(`${j}`, stage.session.base.get('strokes', [number, j]))
  }

  async run(steps: number): Promise<void> {
    for (let step = 0; step < steps && this.stage.poisoned === null && this.stage.violation === null; step++) {
      try {
        await this.#step()
      } catch (error) {
        this.judge(error)
      }
      this.stage.progress++
    }
    await Promise.all(this.#pending)
  }

  /** Errors that may happen; all others are violations. */
  judge(error: unknown): void {
    const { stage } = this
    if (stage.machine.dead) return
    const code = error instanceof VarveError ? error.code : undefined
    if (code === 'POISONED') stage.poisoned ??= error as VarveError
    else if (code === undefined || !(EXPECTED.has(code) || stage.tolerated.includes(code))) stage.violation ??= error
  }

  #step(): Promise<void> {
    const draw = this.random.int(100)
    if (draw < 30) return this.#transaction(false)
    if (draw < 40) return this.#transaction(true)
    if (draw < 52) return this.#begun()
    if (draw < 60) return this.#synchronous()
    if (draw < 85) return this.#stroke()
    if (draw < 92) return this.#readOnly()
    if (draw < 95) return this.#failing()
    return turn()
  }

  // --- transactions -------------------------------------------------------------------------------------------------------

  #begin(): Commit {
    return this.stage.session.begin(`${this.stage.session.number}.${this.number}.${this.#issued++}`)
  }

  async #transaction(patient: boolean): Promise<void> {
    const commit = this.#begin()
    const steps = this.random.between(1, 8)
    const isolation = this.random.chance(0.2) ? 'snapshot' : undefined
    const handle = this.stage.db.handle(tableOf('accounts'))
    await this.#settle(
      commit,
      handle.transaction(
        async (tx) => {
          commit.effects = []
          for (let i = 0; i < steps; i++) {
            this.#act(tx, commit)
            if (patient) await turn()
          }
          this.#sign(tx, commit)
        },
        { ...(isolation !== undefined && { isolation }), ...(this.random.chance(0.3) && { retries: 0 }) },
      ),
    )
  }

  async #begun(): Promise<void> {
    const commit = this.#begin()
    const tx = this.stage.db.handle(tableOf('accounts')).begin()
    for (let i = this.random.between(1, 6); i > 0; i--) {
      this.#act(tx, commit)
      if (this.random.chance(0.3)) await turn()
    }
    this.#sign(tx, commit)
    if (this.random.chance(0.1)) {
      tx.rollback()
      commit.refused = true
      return
    }
    await this.#settle(commit, tx.commit())
  }

  async #synchronous(): Promise<void> {
    const commit = this.#begin()
    const steps = this.random.between(1, 5)
    try {
      this.stage.db.handle(tableOf('accounts')).transactionSync((tx) => {
        commit.effects = []
        for (let i = 0; i < steps; i++) this.#act(tx, commit)
        this.#sign(tx, commit)
      })
    } catch (error) {
      this.#rejected(commit, error)
      throw error
    }
    this.#acknowledge(commit)
    if (this.random.chance(0.3)) await turn()
  }

  /** The last act of every transaction: its place in the order of commits. */
  #sign(tx: Transaction<Key, unknown>, commit: Commit): void {
    if (this.random.chance(0.05)) this.#large(tx, commit)
    tx.table(tables.orders).merge(this.stage.session.number, commit.id)
  }

  /** More in one transaction than a segment takes. */
  #large(tx: Transaction<Key, unknown>, commit: Commit): void {
    const accounts = tx.table(tableOf('accounts'))
    for (let i = 0; i < 200; i++) {
      const value = { balance: i, stamp: `${commit.id}${'-'.repeat(150)}` }
      accounts.set(`large-${i}`, value)
      commit.effects.push({ table: 'accounts', kind: 'set', key: `large-${i}`, value })
    }
  }

  async #settle(commit: Commit, promise: Promise<unknown>): Promise<void> {
    const before = this.stage.poisoned
    try {
      await promise
    } catch (error) {
      this.#rejected(commit, error)
      throw error
    }
    demand(before === null, `transaction ${commit.id} began after the database was poisoned and was acknowledged`)
    this.#acknowledge(commit)
  }

  #rejected(commit: Commit, error: unknown): void {
    const certain = ['SERIALIZATION_FAILURE', 'WRITE_CONFLICT', 'RETRIES_EXHAUSTED', 'TRANSACTION_CLOSED', 'IO']
    if (error instanceof VarveError && certain.includes(error.code)) commit.refused = true
  }

  #acknowledge(commit: Commit): void {
    const { session, db, machine } = this.stage
    if (machine.dead) return
    commit.acknowledged = true
    const position = orderOf(db, session).indexOf(commit.id) + 1
    demand(position > 0, `transaction ${commit.id} was acknowledged and is not there`)
    this.#seen(position)
  }

  /** So many transactions have been shown to somebody whose promise resolved. */
  #seen(transactions: number): void {
    const { session, full } = this.stage
    raise(session.killed, transactions)
    if (full) raise(session.unplugged, transactions)
  }

  async #readOnly(): Promise<void> {
    const { db, session, machine } = this.stage
    const readOnly = this.random.chance(0.5) ? true : 'safe'
    const seen = await db.handle(tables.orders).transaction((tx) => tx.get(session.number)?.length ?? 0, { readOnly })
    if (!machine.dead) this.#seen(seen)
  }

  async #failing(): Promise<void> {
    const { db, session, machine } = this.stage
    let seen = 0
    const failing = db.handle(tables.orders).transaction((tx) => {
      seen = tx.get(session.number)?.length ?? 0
      tx.merge(session.number, 'never')
      throw new Deliberate()
    })
    const error = await failing.catch((reason: unknown) => reason)
    if (!(error instanceof Deliberate)) throw error
    if (!machine.dead) this.#seen(seen)
  }

  // --- what a transaction does --------------------------------------------------------------------------------------------

  #act(outer: Transaction<Key, unknown>, commit: Commit): void {
    const name = this.random.pick(TRANSACTIONAL)
    const tx = outer.table(tableOf(name))
    const key = drawKey(this.random, name)
    const stamp = `${commit.id}/${commit.effects.length}`
    const note = (kind: Effect['kind'], value?: unknown): void =>
      void commit.effects.push({ table: name, kind, key, value })
    const value = drawValue(this.random, name, stamp)
    switch (this.random.int(14)) {
      case 0:
        if (tx.delete(key)) note('delete')
        return
      case 1:
        if (tx.take(key) !== undefined) note('delete')
        return
      case 2:
        tx.swap(key, value)
        return note('set', value)
      case 3: {
        const current = tx.get(key)
        if (tx.compareAndSet(key, current, value)) note('set', value)
        else throw new Violation('compareAndSet refused the value that get gave')
        return
      }
      case 4: {
        const had = tx.has(key)
        tx.getOrInsert(key, value)
        if (!had) note('set', value)
        return
      }
      case 5:
        tx.update(key, (current) => (current === undefined ? value : undefined))
        return note(tx.has(key) ? 'set' : 'delete', value)
      case 6:
        return this.#undone(tx, commit, name)
      case 7:
        for (const found of [...tx.keys({ limit: 3 })]) {
          tx.delete(found)
          commit.effects.push({ table: name, kind: 'delete', key: found })
        }
        return
      case 8:
        if (!this.random.chance(0.1)) return
        for (const found of [...tx.keys()]) commit.effects.push({ table: name, kind: 'delete', key: found })
        return tx.clear()
      case 9:
      case 10: {
        const operand = drawOperand(this.random, name, stamp)
        if (operand === undefined) return
        tx.merge(key, operand)
        return note('merge', operand)
      }
      default:
        tx.set(key, value)
        return note('set', value)
    }
  }

  /** Something that a savepoint takes back. */
  #undone(tx: Transaction<Key, unknown>, commit: Commit, name: TableName): void {
    const savepoint = tx.savepoint()
    for (let i = 0; i < 3; i++) tx.set(drawKey(this.random, name), drawValue(this.random, name, `${commit.id} undone`))
    tx.delete(drawKey(this.random, name))
    tx.rollbackTo(savepoint)
  }

  // --- calls outside transactions -----------------------------------------------------------------------------------------

  async #stroke(): Promise<void> {
    const { db } = this.stage
    const j = this.random.int(3)
    const own = `${j}`
    const key: Key = [this.number, j]
    const handle = db.handle(tables.strokes)
    const before = this.#own.get(own)
    const value = { stroke: `${this.stage.session.number}.${this.number}.${this.#issued++}` }
    switch (this.random.int(8)) {
      case 0:
        return this.#note([gone(key, before)].flat(), own, undefined, () => handle.delete(key), before !== undefined)
      case 1:
        return this.#note([gone(key, before)].flat(), own, undefined, () => handle.take(key), before)
      case 2:
        return this.#note([laid(key, value)], own, value, () => handle.swap(key, value), before)
      case 3:
        return this.#note([laid(key, value)], own, value, () => handle.compareAndSet(key, before, value), true)
      case 4: {
        const operand = this.random.between(1, 9)
        const merged: Effect = { table: 'tallies', kind: 'merge', key: this.number, value: operand }
        const tallies = db.handle(tables.tallies)
        return this.#note([merged], own, before, () => tallies.merge(this.number, operand), undefined)
      }
      case 5:
        if (before !== undefined) return turn()
        return this.#note([laid(key, value)], own, value, () => handle.getOrInsert(key, value), value)
      default:
        return this.#note([laid(key, value)], own, value, () => handle.set(key, value), undefined)
    }
  }

  /** Makes a call, notes whether it took effect at once and at which sequence, and expects its result. */
  async #note(
    effects: readonly Effect[],
    own: string,
    after: unknown,
    call: () => Promise<unknown>,
    expected: unknown,
  ): Promise<void> {
    const { db, session, machine } = this.stage
    const before = db.sequence
    const promise = call()
    const sequence = db.sequence > before ? db.sequence : undefined
    const strokes = session.strokesOf(this.number)
    const held = effects.length > 0 && sequence === undefined
    const previous = this.#own.get(own)
    if (held) session.exact = false
    const stroke: Stroke = { effects, sequence, acknowledged: false }
    strokes.push(stroke)
    const count = strokes.length
    this.#own.set(own, after)
    const taken = promise.catch((error: unknown) => {
      // Refused before it was certified: the disk has no room, or what had to be read could not be.
      if (held && error instanceof VarveError && error.code === 'IO') {
        stroke.effects = []
        this.#own.set(own, previous)
      }
      throw error
    })
    const settled = taken.then((result) => {
      if (machine.dead) return
      demand(isDeepStrictEqual(result, expected), `a call outside transactions gave another result than its key allows`)
      stroke.acknowledged = true
      if (effects.length === 0) return
      const counts: number[] = []
      counts[this.number] = count
      raise(session.killed, 0, counts)
      if (this.stage.full) raise(session.unplugged, 0, counts)
    })
    if (held || this.random.chance(0.6)) return settled
    const tracked = settled
      .catch((error: unknown) => this.judge(error))
      .finally(() => {
        this.#pending.delete(tracked)
        this.stage.progress++
      })
    this.#pending.add(tracked)
    if (this.#pending.size > 20) await tracked
  }
}

const laid = (key: Key, value: unknown): Effect => ({ table: 'strokes', kind: 'set', key, value })

const gone = (key: Key, before: unknown): Effect[] =>
  before === undefined ? [] : [{ table: 'strokes', kind: 'delete', key }]

/** The transactions that a session's database holds, in order of commit. */
export function orderOf(db: AnyDatabase, session: Session): readonly string[] {
  return db.handle(tables.orders).get(session.number) ?? []
}

/** Throws what a client saw go wrong, if anything. */
export function rethrow({ violation }: Stage): void {
  if (violation instanceof Error) throw violation
  if (violation !== null) throw new Violation('a promise rejected with what is no error')
}
