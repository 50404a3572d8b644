/**
 * One table as the face sees it: the engine's store between the key codec and the value codec of its users.
 *
 * Everything that enters passes `admit…`, everything that leaves passes `release…`, so privacy and error messages are
 * decided in one place.
 */
import { isDeepStrictEqual } from 'node:util'

import { lastSize, type Resident } from './codecs/index.ts'
import { VarveError } from './errors.ts'
import { admitKey, type Key, type KeyCodec, releaseKey } from './keys/index.ts'
import type { SampledLatency } from './latency.ts'
import { type Engine, EVICTED, operandForm, type TableStore, type Txn } from './mvcc/index.ts'
import type { RoomState } from './room.ts'
import type { FeedSource } from './watching/index.ts'
import type { WriteOptions } from './options.ts'
import type { LogWriter } from './wal/index.ts'

/** Reads and writes by kind since open. */
export interface OperationCounts {
  gets: number
  has: number
  scans: number
  sets: number
  deletes: number
  merges: number
}

/** What all handles and transactions of a database share. */
export interface DatabaseState extends RoomState {
  readonly engine: Engine
  /** Where commits become durable; null in memory and where nothing may be written. */
  readonly log: LogWriter | null
  /** Whether the whole database was opened for reading only. */
  readonly readOnly: boolean
  /** Set by close(), and when the database is poisoned: every call throws it from then on. */
  closed: VarveError | null
  /** Forks that are open and stand on this database. */
  forks: number
  readonly counts: OperationCounts
  /** What those who watch read from. */
  readonly feed: FeedSource
  /** Attempts that were run again. */
  retries: number
  /** From a commit to its acknowledgement. */
  readonly commitLatency: SampledLatency
}

/**
 * Waits until everything committed up to `sequence` is as durable as configured; null if it is. The promise rejects with
 * `POISONED` if that cannot be known.
 */
export function settled(state: DatabaseState, sequence: number): Promise<void> | null {
  return state.log === null ? null : state.log.settledAt(sequence)
}

/** Refuses to write to a database that was opened for reading only. */
export function ensureWritableDatabase(state: DatabaseState): void {
  if (state.readOnly)
    throw new VarveError('READ_ONLY', 'the database was opened with readOnly; open it without to write')
}

/** Why a transaction that is not active any more refuses a call. */
export function closedError(txn: Txn, state: DatabaseState): VarveError {
  if (state.closed !== null) return state.closed
  if (txn.endedBy !== null) return txn.endedBy
  return new VarveError(
    'TRANSACTION_CLOSED',
    `transaction ${txn.id} has ended; do not use it, or what it gave out lazily, after its callback has settled: is an await missing?`,
  )
}

/** What a call was given, for when it is made again later. */
export interface Arguments<K, V> {
  readonly key?: K
  readonly keys?: Iterable<K>
  readonly value?: V | undefined
  readonly expected?: V | undefined
  readonly operand?: unknown
  readonly options?: WriteOptions | undefined
}

export class TableCore<K, V> {
  readonly state: DatabaseState
  readonly store: TableStore
  readonly name: string
  readonly resident: Resident<V>
  readonly counts: OperationCounts
  readonly #codec: KeyCodec<K> | undefined

  constructor(state: DatabaseState, store: TableStore, codec: KeyCodec<K> | undefined) {
    this.state = state
    this.store = store
    this.name = store.spec.name
    // Not the codec's own: values may be outside of the heap.
    this.resident = store.spec.resident as Resident<V>
    this.counts = state.counts
    this.#codec = codec
  }

  /** How long what is written without a time to live lives, ms; Infinity: for ever. */
  get defaultTtlMs(): number {
    return this.store.spec.ttlMs ?? Infinity
  }

  get keyCodecName(): string | undefined {
    return this.#codec?.name
  }

  /** The caller's key, checked, normalised and private. Throws `INVALID_KEY`. */
  admitKey(key: K): Key {
    if (this.#codec === undefined) return admitKey(key)
    // What a codec returns is admitted again: it may be anybody's, and a key must be private whoever chose it.
    return admitKey(this.#codec.admit(key))
  }

  releaseKey(key: Key): K {
    return (typeof key === 'object' ? releaseKey(key) : key) as K
  }

  /** As {@link releaseKey}, for a key that came from the index, which knows of what kind its keys are. */
  releaseIndexed(key: Key): K {
    return (this.store.plainKeys ? key : releaseKey(key)) as K
  }

  /** The private stored form of a value; {@link sizeOf} right after gives its size. Throws `INVALID_VALUE`. */
  admitValue(value: V, key: Key): unknown {
    try {
      return this.store.admit(value)
    } catch (error) {
      throw this.store.placed(error, key)
    }
  }

  /** The private copy of an operand. Throws `INVALID_VALUE`. */
  admitOperand(operand: unknown, key: Key): unknown {
    try {
      return operandForm.admit(operand)
    } catch (error) {
      throw this.store.placed(error, key)
    }
  }

  /** Arguments as they are now, for a call whose caller goes on before it is made. Throws `INVALID_KEY`, `INVALID_VALUE`. */
  copyArguments<A extends Arguments<K, V>>(given: A): A {
    const { key, keys, value, expected, operand, options } = given
    const own: { -readonly [P in keyof Arguments<K, V>]: Arguments<K, V>[P] } = { ...given }
    const admitted = key === undefined ? '' : this.admitKey(key)
    if (key !== undefined) own.key = this.releaseKey(admitted)
    if (keys !== undefined && isIterable(keys))
      own.keys = Array.from(keys, (each) => this.releaseKey(this.admitKey(each)))
    if (value !== undefined) own.value = this.releaseDetached(this.admitValue(value, admitted), admitted)
    if (expected !== undefined) own.expected = this.releaseDetached(this.admitValue(expected, admitted), admitted)
    if (operand !== undefined) own.operand = operandForm.release(this.admitOperand(operand, admitted))
    // What is no object is refused when the call is made.
    if (typeof options === 'object' && options !== null && !Array.isArray(options)) own.options = { ...options }
    return own as A
  }

  /** Bytes that an entry counts for, asked right after its value was admitted. */
  sizeOf(key: Key, stored: unknown): number {
    const given = this.store.spec.sizeOf
    return given === undefined ? this.store.sizeOfKey(key) + lastSize : this.store.sizeOfEntry(key, stored)
  }

  /** What a read hands out; undefined for undefined. Throws `CODEC_MISMATCH` if the codec cannot read what is stored. */
  release(stored: unknown, key: Key): V | undefined {
    if (stored === undefined) return undefined
    // Looking at the value would be a cache miss; so would be looking at a key.
    if (this.store.allDirect) return stored as V
    if (stored === EVICTED) throw this.store.lost(key)
    try {
      return this.resident.release(stored)
    } catch (error) {
      throw this.store.placed(error, key)
    }
  }

  /** As {@link release}, for a stored form that was kept beside the columns. */
  releaseDetached(stored: unknown, key: Key): V | undefined {
    if (stored === undefined) return undefined
    try {
      return this.resident.release(stored)
    } catch (error) {
      throw this.store.placed(error, key)
    }
  }

  /**
   * Whether a stored value is the expected one, for compareAndSet: deep equality with what the codec makes of the expected
   * value, undefined meaning absent.
   */
  matches(stored: unknown, expected: V | undefined, key: Key): boolean {
    if (stored === undefined || expected === undefined) return stored === undefined && expected === undefined
    return isDeepStrictEqual(this.release(stored, key), this.release(this.admitValue(expected, key), key))
  }
}

/** Refuses a promise where a value belongs: the callback was async, and its result would be lost. */
export function refusePromise(result: unknown, where: string): void {
  if (isThenable(result)) {
    result.then(undefined, () => undefined)
    throw new VarveError(
      'INVALID_ARGUMENT',
      `the callback of ${where} returned a promise; it must be synchronous: use transaction()`,
    )
  }
}

/**
 * The time to live that a write was given, ms; undefined: none. What is not understood is refused: ignoring it would keep data for
 * ever.
 */
export function ttlOf(options: WriteOptions | undefined, where: string): number | undefined {
  if (options === undefined) return undefined
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new VarveError(
      'INVALID_ARGUMENT',
      `${where} takes options as an object, such as { ttlMs: 60_000 }, behind its other arguments`,
    )
  }
  const unknown = Object.keys(options).find((name) => name !== 'ttlMs')
  if (unknown !== undefined) {
    throw new VarveError(
      'INVALID_ARGUMENT',
      `option ${unknown} of ${where} is unknown: there is ttlMs, the time to live in ms from now`,
    )
  }
  return options.ttlMs === undefined ? undefined : checkTtl(options.ttlMs, where)
}

/** Throws unless a time to live is one. */
export function checkTtl(ttlMs: unknown, where: string): number {
  if (typeof ttlMs === 'number' && ttlMs > 0) return ttlMs
  throw new VarveError(
    'INVALID_ARGUMENT',
    `ttlMs of ${where} must be a number of ms above 0, or Infinity for ever; to delete at once, delete`,
  )
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}

/** The option of `snapshot` and `fork`. Throws `INVALID_ARGUMENT` for any other. */
export function safeOf(options: { readonly safe?: boolean } | undefined, where: string): boolean {
  if (options === undefined) return false
  const names = typeof options === 'object' && options !== null ? Object.keys(options) : ['']
  const { safe } = options ?? {}
  if (names.every((name) => name === 'safe') && (safe === undefined || typeof safe === 'boolean')) return safe === true
  throw new VarveError('INVALID_ARGUMENT', `${where} takes { safe: true } or { safe: false }, and no other option`)
}

/** Throws unless a callback is one. */
export function requireFunction(value: unknown, where: string): void {
  if (typeof value !== 'function') throw new VarveError('INVALID_ARGUMENT', `${where} takes a function`)
}

export function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value
}

/** Throws unless keys come as something that can be iterated. */
export function requireIterable(value: unknown, where: string): void {
  if (!isIterable(value))
    throw new VarveError('INVALID_ARGUMENT', `${where} takes an iterable of keys, such as an array`)
}
