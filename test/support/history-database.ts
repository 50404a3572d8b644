/** The real database as an engine for the drivers of histories. */
import {
  Database,
  type DatabaseOptions,
  type Handle,
  type Key,
  type MergeOperator,
  type Reader,
  type Savepoint,
  table,
  type Table,
  type Transaction,
} from '../../src/index.ts'
import {
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

const sums: Table<string, Value> = table<string, Value>('sums', { merge: addition })
const logs: Table<string, Value> = table<string, Value>('logs', { merge: concatenation })

export class DatabaseEngine implements LongEngine {
  readonly database: Database<Key, unknown>

  constructor(database: Database<Key, unknown>) {
    this.database = database
  }

  static async open(options: DatabaseOptions<Key, unknown> = {}): Promise<DatabaseEngine> {
    return new DatabaseEngine(await Database.open(options))
  }

  get sequence(): number {
    return this.database.sequence
  }

  begin({ isolation, readOnly }: Level): Session {
    const transaction = this.database.handle(sums).begin({
      ...(isolation === undefined ? {} : { isolation }),
      ...(readOnly === undefined ? {} : { readOnly }),
    })
    return new TransactionSession(transaction)
  }

  /** A snapshot of the newest commit or, if `safe`, of the newest safe point. */
  snapshot(safe: boolean): Session {
    const snapshot = this.database.snapshot({ safe })
    return new ReaderSession(snapshot.sequence, snapshot.table(sums), snapshot.table(logs), () =>
      snapshot[Symbol.dispose](),
    )
  }

  /** One operation outside every transaction. */
  autocommit(): Session {
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

class TransactionSession extends ReaderSession<Transaction<string, Value>> {
  readonly #transaction: Transaction<string, Value>

  constructor(transaction: Transaction<string, Value>) {
    super(transaction.sequence, transaction, transaction.table(logs), () => transaction.rollback())
    this.#transaction = transaction
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
    const found = this.has(key)
    this.#written = this.of(key)
      .delete(key)
      .then((answer) => {
        if (answer !== found) throw new Error(`delete(${key}) answers ${answer}, has() said ${found}`)
      })
    return found
  }

  override merge(key: string, operand: Value): void {
    this.#written = this.of(key).merge(key, operand)
  }

  override async commit(): Promise<void> {
    await this.#written
  }
}
