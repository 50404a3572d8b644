/**
 * Running a callback as a transaction until it commits.
 *
 * A refused attempt is run again: at once for the first few times, after a random and growing pause later. After
 * {@link FAVOUR_AFTER} losses the attempt is favoured: for up to {@link LEASE_MS}, committers that would invalidate it are
 * refused instead, so nobody starves. Being refused in favour of another does not count as a loss; such an attempt waits for
 * the favour to end.
 */
import { AsyncLocalStorage } from 'node:async_hooks'

import { conflictError } from './conflict-error.ts'
import { type TransactionError, VarveError } from './errors.ts'
import { ACTIVE, COMMITTED, type Conflict, type Engine, type Favour, type Txn } from './mvcc/index.ts'
import type { ResolvedTransactionOptions } from './options.ts'
import { applyInTurn, commitWhenRoom, isCrowded, isCurable, waitForRoom } from './room.ts'
import { type DatabaseState, ensureWritableDatabase, isThenable, settled } from './table-core.ts'

/** Losses after which an attempt is favoured. */
const FAVOUR_AFTER = 6
/** Longest time one favour lasts, ms. */
const LEASE_MS = 1000
/** Retries that only let other microtasks run, before pauses by timer begin. */
const QUICK_RETRIES = 6
const LONGEST_PAUSE_MS = 50

/** Which favoured transaction the running code belongs to; in use only while a favour is granted. */
const favoured = new AsyncLocalStorage<Favour>()
let favouredRuns = 0

/** Begins the transaction of one attempt. */
export function beginAttempt(
  state: DatabaseState,
  options: ResolvedTransactionOptions,
  synchronous: boolean,
  safe: boolean,
): Txn {
  const { engine } = state
  const serializable = options.isolation === 'serializable'
  if (options.readOnly === 'safe' || safe) return engine.beginSafe()
  const readOnly = options.readOnly || state.readOnly
  const txn = readOnly ? engine.beginReader(serializable, synchronous) : engine.begin(serializable, synchronous)
  if (favouredRuns > 0 && favoured.getStore() !== undefined) txn.nested = true
  return txn
}

/** Runs `attempt` (the callback on a fresh transaction) until it commits; see {@link Handle.transaction}. */
export function runTransaction<T>(
  state: DatabaseState,
  options: ResolvedTransactionOptions,
  attempt: (txn: Txn) => T | PromiseLike<T>,
): Promise<T> {
  if (options.signal !== undefined) return runAbortable(state, options, options.signal, attempt)
  // Better before it begins than after: what is open keeps others from making room.
  if (options.readOnly === false && isCrowded(state))
    return waitForRoom(state).then(() => runTransaction(state, options, attempt))
  const txn = beginAttempt(state, options, false, false)
  return conclude(state, txn, attempt, (value, conflict) =>
    conflict === null ? value : retry(state, options, attempt, conflict),
  )
}

/**
 * Runs the callback, commits in the very microtask in which its promise settles (each turn more would be one more in which
 * somebody else can overtake it), and hands the outcome to `then` once everything the transaction wrote and read is durable.
 * Whatever the callback throws rolls back and is thrown on as it is, then too.
 */
function conclude<T, R>(
  state: DatabaseState,
  txn: Txn,
  attempt: (txn: Txn) => T | PromiseLike<T>,
  then: (value: T, conflict: Conflict | null) => R | PromiseLike<R>,
): Promise<R> {
  try {
    const result = attempt(txn)
    if (!isThenable(result)) return Promise.resolve(acknowledge(state, txn, result, then))
    return Promise.resolve(result).then(
      (value) => acknowledge(state, txn, value, then),
      (error: unknown) => failed(state, txn, error, then),
    )
  } catch (error) {
    return failed(state, txn, error, then)
  }
}

/** A callback that passes on that what it asked for has been evicted is run again, like one that was refused. */
async function failed<T, R>(
  state: DatabaseState,
  txn: Txn,
  error: unknown,
  then: (value: T, conflict: Conflict | null) => R | PromiseLike<R>,
): Promise<R> {
  const { outdated } = txn
  if (outdated === null || error !== outdated.error || txn.endedBy !== null) return giveUp(state, txn, error)
  state.engine.rollback(txn)
  return then(undefined as T, outdated.conflict)
}

/** Commits, waits for the log, and passes the outcome on. A refusal is passed on at once: what it saw is run again. */
function acknowledge<T, R>(
  state: DatabaseState,
  txn: Txn,
  value: T,
  then: (value: T, conflict: Conflict | null) => R | PromiseLike<R>,
): R | PromiseLike<R> {
  // Room is waited for before anything is decided: what has been certified must be installed.
  if (isCrowded(state) && txn.state === ACTIVE && txn.hasWrites)
    return waitForRoom(state).then(
      () => acknowledge(state, txn, value, then),
      (error: unknown) => {
        // Not through giveUp: what has been read may be waiting for the same room.
        state.engine.rollback(txn)
        throw error
      },
    )
  const startedMs = state.commitLatency.start()
  let conflict: Conflict | null
  try {
    conflict = commitUnlessEnded(state.engine, txn)
  } catch (error) {
    return commitWhenRoom(state, error, () => commitUnlessEnded(state.engine, txn)).then(
      (late) => acknowledged(state, txn, value, late, startedMs, then),
      (refusal: unknown) => giveUp(state, txn, refusal),
    )
  }
  return acknowledged(state, txn, value, conflict, startedMs, then)
}

function acknowledged<T, R>(
  state: DatabaseState,
  txn: Txn,
  value: T,
  conflict: Conflict | null,
  startedMs: number,
  then: (value: T, conflict: Conflict | null) => R | PromiseLike<R>,
): R | PromiseLike<R> {
  const wait = conflict === null ? settled(state, txn.extent) : null
  if (wait === null) {
    state.commitLatency.end(startedMs)
    return then(value, conflict)
  }
  return wait.then(() => {
    state.commitLatency.end(startedMs)
    return then(value, conflict)
  })
}

/** Rolls back after an error of the callback, and rejects with it once everything it may be about is durable. */
async function giveUp(state: DatabaseState, txn: Txn, error: unknown): Promise<never> {
  state.engine.rollback(txn)
  await settled(state, txn.extent)
  throw error
}

/**
 * Runs a callback that takes no time, for autocommit: it has taken effect when this returns, unless there is no room for it or
 * a favoured transaction holds it up; then it runs later, in its turn, and the promise settles then.
 *
 * @param delay called before this returns if the callback will run, perhaps again, after that
 */
export function runOneTick<T>(
  state: DatabaseState,
  options: ResolvedTransactionOptions,
  attempt: (txn: Txn) => T,
  delay: () => void,
): Promise<T> {
  ensureWritableDatabase(state)
  const then = (value: T, conflict: Conflict | null): T | Promise<T> => {
    if (conflict === null) return value
    delay()
    return retry(state, options, attempt, conflict)
  }
  const run = applyInTurn(state, () => runOnce(state, options, attempt), delay)
  return run instanceof Promise
    ? run.then((late) => concludeRun(state, late, then))
    : Promise.resolve(concludeRun(state, run, then))
}

/** What came of running a callback and committing. */
interface Run<T> {
  readonly txn: Txn
  readonly value: T | undefined
  readonly conflict: Conflict | null
  /** If it has failed, and there is no value. */
  readonly failure: { readonly error: unknown } | null
  readonly startedMs: number
}

/** Throws only where there was no room that may be made: then nothing has happened. */
function runOnce<T>(state: DatabaseState, options: ResolvedTransactionOptions, attempt: (txn: Txn) => T): Run<T> {
  const { engine } = state
  const txn = beginAttempt(state, options, false, false)
  let startedMs = 0
  let isCommitting = false
  try {
    const value = attempt(txn)
    isCommitting = true
    startedMs = state.commitLatency.start()
    return { txn, value, conflict: commitUnlessEnded(engine, txn), failure: null, startedMs }
  } catch (error) {
    if (!isCommitting || !isCurable(state, error))
      return { txn, value: undefined, conflict: null, failure: { error }, startedMs }
    engine.rollback(txn)
    throw error
  }
}

function concludeRun<T>(
  state: DatabaseState,
  { txn, value, conflict, failure, startedMs }: Run<T>,
  then: (value: T, conflict: Conflict | null) => T | PromiseLike<T>,
): T | PromiseLike<T> {
  return failure === null
    ? acknowledged(state, txn, value as T, conflict, startedMs, then)
    : failed(state, txn, failure.error, then)
}

/** Commits unless the callback has rolled back itself; throws if somebody else ended the transaction. */
function commitOrRollback(engine: Engine, txn: Txn): Conflict | null {
  try {
    return commitUnlessEnded(engine, txn)
  } catch (error) {
    engine.rollback(txn)
    throw error
  }
}

function commitUnlessEnded(engine: Engine, txn: Txn): Conflict | null {
  if (txn.state === ACTIVE) return engine.commit(txn)
  if (txn.endedBy !== null) throw txn.endedBy
  return null
}

/** All runs after the first. */
async function retry<T>(
  state: DatabaseState,
  options: ResolvedTransactionOptions,
  attempt: (txn: Txn) => T | PromiseLike<T>,
  first: Conflict,
): Promise<T> {
  const { engine } = state
  let conflict = first
  let losses = 0
  let favour: Favour | null = null
  try {
    for (let runs = 1; ; runs++) {
      // A reader runs again on a safe snapshot, which is never refused: that is no loss, however few retries are allowed.
      const isEvicted = conflict.reason === 'evicted'
      if (isEvicted || (conflict.reason !== 'favoured' && options.readOnly === false)) losses++
      if (losses > options.retries) {
        // It tells of what others have committed, so that must be durable.
        await settled(state, engine.clock)
        throw exhausted(conflict, options.retries)
      }
      options.onRetry?.(conflictError(conflict), runs)
      state.retries++
      if (favour !== null && favour.expiresAt <= engine.options.now()) favour = endFavour(engine, favour)
      if (favour === null && losses >= FAVOUR_AFTER && options.readOnly === false) {
        favour = engine.grantFavour(LEASE_MS)
        favouredRuns++
      }
      await pause(conflict, losses, favour !== null, engine)
      if (state.closed !== null) throw state.closed
      // Where something was evicted that a snapshot needs, only a newer snapshot helps.
      const txn = beginAttempt(state, options, false, options.readOnly === true && !isEvicted)
      favour?.attach(txn)
      const run = favour === null ? attempt : favouredAttempt(favour, attempt)
      const outcome = await conclude(state, txn, run, (value, refusal) => ({ value, refusal }))
      if (outcome.refusal === null) return outcome.value
      conflict = outcome.refusal
    }
  } finally {
    if (favour !== null) endFavour(engine, favour)
  }
}

function endFavour(engine: Engine, favour: Favour): null {
  engine.favours.end(favour)
  // Tracking the context of promises costs everybody; it is switched off with the last favour.
  if (--favouredRuns === 0) favoured.disable()
  return null
}

/** Runs a favoured attempt so that what it begins itself is known to be nested. */
function favouredAttempt<T>(
  favour: Favour,
  attempt: (txn: Txn) => T | PromiseLike<T>,
): (txn: Txn) => T | PromiseLike<T> {
  return (txn) => favoured.run(favour, attempt, txn)
}

function exhausted(conflict: Conflict, retries: number): VarveError {
  const error = conflictError(conflict)
  if (retries === 0) return error
  return new VarveError('RETRIES_EXHAUSTED', `gave up after ${retries + 1} attempts: ${error.message}`, {
    cause: error,
  })
}

/** Waits before the next attempt: for a favour to end, for a random number of microtasks, or for a random time. */
async function pause(conflict: Conflict, losses: number, isFavoured: boolean, engine: Engine): Promise<void> {
  if (conflict.until !== null) return conflict.until
  if (losses <= QUICK_RETRIES) {
    if (isFavoured) return
    for (let turns = Math.floor(engine.options.random() * (1 << losses)); turns > 0; turns--) await Promise.resolve()
    return
  }
  const longest = Math.min(2 ** (losses - QUICK_RETRIES), LONGEST_PAUSE_MS)
  await new Promise((resolve) => setTimeout(resolve, engine.options.random() * longest))
}

/** As the rest, with an AbortSignal: the promise rejects as soon as it fires, even if the callback never settles. */
async function runAbortable<T>(
  state: DatabaseState,
  options: ResolvedTransactionOptions,
  signal: AbortSignal,
  attempt: (txn: Txn) => T | PromiseLike<T>,
): Promise<T> {
  throwIfAborted(signal)
  let current: Txn | null = null
  const unsignalled = { ...options, signal: undefined }
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => {
      // Too late once it has committed: the promise is about to resolve.
      if (current?.state === COMMITTED) return
      const error = abortError(signal)
      if (current !== null) state.engine.terminate(current, error)
      reject(error)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    const run = (txn: Txn): T | PromiseLike<T> => {
      current = txn
      throwIfAborted(signal)
      return attempt(txn)
    }
    void runTransaction(state, unsignalled, run)
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** Ends a transaction from `begin()` when its signal fires. */
export function endOnAbort(engine: Engine, txn: Txn, signal: AbortSignal): void {
  const onAbort = (): void => {
    engine.terminate(txn, abortError(signal))
  }
  txn.onEnd = (): void => signal.removeEventListener('abort', onAbort)
  signal.addEventListener('abort', onAbort, { once: true })
}

/** Throws `ABORTED` if the signal has fired already. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortError(signal)
}

/** Runs a callback as a transaction within one tick; see {@link Handle.transactionSync}. */
export function runSync<T>(state: DatabaseState, options: ResolvedTransactionOptions, attempt: (txn: Txn) => T): T {
  const { engine } = state
  throwIfAborted(options.signal)
  let error: TransactionError | null = null
  for (let run = 0; ; run++) {
    if (error !== null) options.onRetry?.(error, run)
    const txn = beginAttempt(state, options, true, error !== null && options.readOnly === true)
    let value: T
    try {
      value = attempt(txn)
      throwIfAborted(options.signal)
      throwIfNoRoom(state, txn)
    } catch (thrown) {
      engine.rollback(txn)
      settleNow(state, txn)
      throw thrown
    }
    const conflict = commitOrRollback(engine, txn)
    if (conflict === null) {
      settleNow(state, txn)
      return value
    }
    if (run >= options.retries) throw exhausted(conflict, options.retries)
    error = conflictError(conflict)
    state.retries++
  }
}

/** One tick cannot wait for room, on a full disk or in memory, so a transaction that would need it is refused before it has happened. */
function throwIfNoRoom({ log, engine }: DatabaseState, txn: Txn): void {
  if (log === null || !txn.hasWrites) return
  if (log.obstacle !== null) throw log.obstacle
  if (engine.residency.crowded) throw engine.residency.crowdedError()
}

/** Has the thread wait until everything a transaction wrote and read is durable. */
function settleNow(state: DatabaseState, txn: Txn): void {
  const { log } = state
  if (log === null || txn.extent <= log.settled) return
  // What it has read cannot be made durable now; trying to would end what may still wait.
  if (log.obstacle !== null) throw log.obstacle
  log.flushSync()
}

function abortError(signal: AbortSignal): VarveError {
  return new VarveError('ABORTED', 'the transaction was given up through its AbortSignal; nothing was written', {
    cause: signal.reason,
  })
}
