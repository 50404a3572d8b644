/** The real database as an engine for the drivers of histories. */
import {
  Database,
  type Handle,
  type Key,
  type MergeOperator,
  type Reader,
  type Savepoint,
  table,
  type Table,
  type Transaction,
  type VarveError,
} from '../../src/index.ts'
import { type Injected, openWith } from '../../src/database.ts'
import {
  isConflict,
  type KeyRange,
  type Level,
  type LongEngine,
  type Session,
  tableOf,
  type TableName,
  type Value,
} from './history-model.ts'

const addition: MergeOperator<Value, Value> = {
  identity: 0,
  merge: (current, operand) => Number(current) + Number(operand),
  commutative: true,
}
const concatenation: MergeOperator<Value, Value> = {
  identity: '',
  merge: (current, operand) => String(current) + String(operand),
}

/** The two tables of a history. */
export interface Tables {
  readonly sums: Table<string, Value>
  readonly logs: Table<string, Value>
}

/** Tables of a history of their own; without a suffix, those of all that do not care. */
export function tablesOf(suffix = ''): Tables {
  return {
    sums: table<string, Value>(`sums${suffix}`, { merge: addition }),
    logs: table<string, Value>(`logs${suffix}`, { merge: concatenation }),
  }
}

export class DatabaseEngine implements LongEngine {
  /** The database that is open now. */
  database: Database<Key, unknown>
  /** Where the histories take place. */
  tables: Tables = tablesOf()

  constructor(database: Database<Key, unknown>) {
    this.database = database
  }

  static async open(): Promise<DatabaseEngine> {
    return new DatabaseEngine(await Database.open())
  }

  /** With a small graph, or a clock that starts high. */
  static with(injected: Injected): DatabaseEngine {
    return new DatabaseEngine(openWith<Key, unknown>(undefined, injected))
  }

  get sequence(): number {
    return this.database.sequence
  }

  begin({ isolation, readOnly, iterator }: Level): Session {
    const { sums, logs } = this.tables
    if (iterator === true)
      return new IteratorSession(this.sequence, this.database.handle(sums), this.database.handle(logs))
    const transaction = this.database.handle(sums).begin({
      ...(isolation === undefined ? {} : { isolation }),
      ...(readOnly === undefined ? {} : { readOnly }),
    })
    return this.session(transaction)
  }

  protected session(transaction: Transaction<string, Value>): Session {
    return new TransactionSession(transaction, this.tables)
  }

  /** A snapshot of the newest commit or, if `safe`, of the newest safe point. */
  snapshot(safe: boolean): Session {
    const { sums, logs } = this.tables
    const snapshot = this.database.snapshot({ safe })
    return new ReaderSession(snapshot.sequence, snapshot.table(sums), snapshot.table(logs), () =>
      snapshot[Symbol.dispose](),
    )
  }

  /** One operation outside every transaction. */
  autocommit(): Session {
    const { sums, logs } = this.tables
    return new AutocommitSession(this.sequence, this.database.handle(sums), this.database.handle(logs))
  }

  vacuum(): Promise<unknown> {
    return this.database.vacuum()
  }
}

/** A session that cannot write, over any kind of reader. */
class ReaderSession<R extends Reader<string, Value> = Reader<string, Value>> implements Session {
  readonly sequence: number
  readonly #sums: R
  readonly #logs: R
  readonly #release: () => void

  constructor(sequence: number, ofSums: R, ofLogs: R, release: () => void) {
    this.sequence = sequence
    this.#sums = ofSums
    this.#logs = ofLogs
    this.#release = release
  }

  protected over(over: TableName): R {
    return over === 'sums' ? this.#sums : this.#logs
  }

  protected of(key: string): R {
    return this.over(tableOf(key))
  }

  get(key: string): Value | undefined {
    return this.of(key).get(key)
  }

  has(key: string): boolean {
    return this.of(key).has(key)
  }

  entries(over: TableName, range: KeyRange): Iterator<[string, Value]> {
    return this.over(over).entries(range)
  }

  keys(over: TableName, range: KeyRange): Iterator<string> {
    return this.over(over).keys(range)
  }

  count(over: TableName, range: KeyRange): number {
    return this.over(over).count(range)
  }

  set(_key: string, _value: Value): void {
    throw new Error('this session only reads')
  }

  delete(_key: string): boolean {
    throw new Error('this session only reads')
  }

  merge(_key: string, _operand: Value): void {
    throw new Error('this session only reads')
  }

  update(_key: string, _value: Value): Value | undefined {
    throw new Error('this session only reads')
  }

  swap(_key: string, _value: Value): Value | undefined {
    throw new Error('this session only reads')
  }

  take(_key: string): Value | undefined {
    throw new Error('this session only reads')
  }

  getOrInsert(_key: string, _value: Value): Value {
    throw new Error('this session only reads')
  }

  clear(_over: TableName): void {
    throw new Error('this session only reads')
  }

  savepoint(): unknown {
    return undefined
  }

  rollbackTo(_savepoint: never): void {}

  async commit(): Promise<void> {
    this.#release()
  }

  rollback(): void {
    this.#release()
  }
}

export class TransactionSession extends ReaderSession<Transaction<string, Value>> {
  readonly #transaction: Transaction<string, Value>

  constructor(transaction: Transaction<string, Value>, { logs }: Tables) {
    super(transaction.sequence, transaction, transaction.table(logs), () => transaction.rollback())
    this.#transaction = transaction
  }

  get id(): number {
    return this.#transaction.id
  }

  /** Whether it has neither been committed nor rolled back. */
  get isOpen(): boolean {
    try {
      this.#transaction.savepoint()
      return true
    } catch (error) {
      return (error as VarveError).code !== 'TRANSACTION_CLOSED'
    }
  }

  override set(key: string, value: Value): void {
    this.of(key).set(key, value)
  }

  override delete(key: string): boolean {
    return this.of(key).delete(key)
  }

  override merge(key: string, operand: Value): void {
    this.of(key).merge(key, operand)
  }

  override update(key: string, value: Value): Value | undefined {
    return this.of(key).update(key, () => value)
  }

  override swap(key: string, value: Value): Value | undefined {
    return this.of(key).swap(key, value)
  }

  override take(key: string): Value | undefined {
    return this.of(key).take(key)
  }

  override getOrInsert(key: string, value: Value): Value {
    return this.of(key).getOrInsert(key, value)
  }

  override clear(over: TableName): void {
    this.over(over).clear()
  }

  override savepoint(): Savepoint {
    return this.#transaction.savepoint()
  }

  override rollbackTo(savepoint: Savepoint): void {
    this.#transaction.rollbackTo(savepoint)
  }

  override commit(): Promise<void> {
    return this.#transaction.commit()
  }
}

/** Applies every write at once; `commit` waits for its promise. */
class AutocommitSession extends ReaderSession<Handle<string, Value>> {
  #written: Promise<unknown> = Promise.resolve()

  constructor(sequence: number, ofSums: Handle<string, Value>, ofLogs: Handle<string, Value>) {
    super(sequence, ofSums, ofLogs, () => {})
  }

  override set(key: string, value: Value): void {
    this.#written = this.of(key).set(key, value)
  }

  override delete(key: string): boolean {
    return this.#expect(this.has(key), this.of(key).delete(key))
  }

  override update(key: string, value: Value): Value {
    return this.#expect(
      value,
      this.of(key).update(key, () => value),
    )
  }

  override swap(key: string, value: Value): Value | undefined {
    return this.#expect(this.get(key), this.of(key).swap(key, value))
  }

  override take(key: string): Value | undefined {
    return this.#expect(this.get(key), this.of(key).take(key))
  }

  override getOrInsert(key: string, value: Value): Value {
    return this.#expect(this.get(key) ?? value, this.of(key).getOrInsert(key, value))
  }

  /** The answer, which the call must confirm once its promise is settled. */
  #expect<T>(answer: T, call: Promise<unknown>): T {
    this.#written = call.then((confirmed) => {
      if (!Object.is(confirmed, answer)) throw new Error(`a call outside transactions gave ${String(confirmed)}`)
    })
    return answer
  }

  override merge(key: string, operand: Value): void {
    this.#written = this.of(key).merge(key, operand)
  }

  override async commit(): Promise<void> {
    await this.#written
  }
}

/** One iterator of the handle: a reader of its own, from its creation until it is drained or left. */
class IteratorSession extends ReaderSession<Handle<string, Value>> {
  #iterator: Iterator<unknown> | undefined

  constructor(sequence: number, ofSums: Handle<string, Value>, ofLogs: Handle<string, Value>) {
    super(sequence, ofSums, ofLogs, () => this.#iterator?.return?.())
  }

  override entries(over: TableName, range: KeyRange): Iterator<[string, Value]> {
    const iterator = super.entries(over, range)
    this.#iterator = iterator
    return iterator
  }

  /** Leaving a scan is its end, too: there is no way to take back what it has read. */
  override rollback(): void {
    try {
      super.rollback()
    } catch (error) {
      if (!isConflict(error)) throw error
    }
  }

  override keys(over: TableName, range: KeyRange): Iterator<string> {
    const iterator = super.keys(over, range)
    this.#iterator = iterator
    return iterator
  }
}
