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
import { ACTIVE, type Conflict, type Engine, type Favour, type Txn } from './mvcc/index.ts'
import type { ResolvedTransactionOptions } from './options.ts'
import type { DatabaseState } from './table-core.ts'

/** Losses after which an attempt is favoured. */
const FAVOUR_AFTER = 4
/** Longest time one favour lasts, ms. */
const LEASE_MS = 1000
/** Retries that only let other microtasks run, before pauses by timer begin. */
const QUICK_RETRIES = 6
const LONGEST_PAUSE_MS = 50

/** Which favoured transaction the running code belongs to; in use only while a favour is granted. */
const favoured = new AsyncLocalStorage<Favour>()
let favouredRuns = 0

/** Begins the transaction of one attempt. */
export function beginAttempt(engine: Engine, options: ResolvedTransactionOptions, synchronous: boolean, safe: boolean): Txn {
  const serializable = options.isolation === 'serializable'
  if (options.readOnly === 'safe' || safe) return engine.beginSafe()
  const txn = options.readOnly === true ? engine.beginReader(serializable, synchronous) : engine.begin(serializable, synchronous)
  if (favouredRuns > 0 && favoured.getStore() !== undefined) txn.nested = true
  return txn
}

/** Runs `attempt` (the callback on a fresh transaction) until it commits; see {@link Handle.transaction}. */
export async function runTransaction<T>(
  state: DatabaseState,
  options: ResolvedTransactionOptions,
  attempt: (txn: Txn) => T | PromiseLike<T>,
): Promise<T> {
  if (options.signal !== undefined) return runAbortable(state, options, options.signal, attempt)
  const txn = beginAttempt(state.engine, options, false, false)
  const value = await settle(state.engine, txn, () => attempt(txn))
  const conflict = commitOrRollback(state.engine, txn)
  return conflict === null ? value : retry(state, options, attempt, conflict)
}

/**
 * Runs a callback that takes no time, for autocommit: it has taken effect when this returns, unless a favoured transaction
 * holds it up; then it runs again by itself, and the promise settles later.
 */
export function runOneTick<T>(state: DatabaseState, options: ResolvedTransactionOptions, attempt: (txn: Txn) => T): Promise<T> {
  try {
    const txn = beginAttempt(state.engine, options, false, false)
    let value: T
    try {
      value = attempt(txn)
    } catch (error) {
      state.engine.rollback(txn)
      throw error
    }
    const conflict = commitOrRollback(state.engine, txn)
    return conflict === null ? Promise.resolve(value) : retry(state, options, attempt, conflict)
  } catch (error) {
    return Promise.reject(error)
  }
}

/** Awaits the callback; whatever it throws rolls the transaction back and is thrown on as it is. */
async function settle<T>(engine: Engine, txn: Txn, run: () => T | PromiseLike<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    engine.rollback(txn)
    throw error
  }
}

/** Commits unless the callback has rolled back itself; throws if somebody else ended the transaction. */
function commitOrRollback(engine: Engine, txn: Txn): Conflict | null {
  if (txn.state !== ACTIVE) {
    if (txn.endedBy !== null) throw txn.endedBy
    return null
  }
  try {
    return engine.commit(txn)
  } catch (error) {
    engine.rollback(txn)
    throw error
  }
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
    for (let run = 1; ; run++) {
      if (conflict.reason !== 'favoured') losses++
      if (losses > options.retries) throw exhausted(conflict, options.retries)
      options.onRetry?.(conflictError(conflict), run)
      state.retries++
      if (favour === null && losses >= FAVOUR_AFTER && options.readOnly === false) favour = engine.grantFavour(LEASE_MS)
      await pause(conflict, losses, favour !== null, engine)
      if (state.closed !== null) throw state.closed
      const txn = beginAttempt(engine, options, false, options.readOnly === true)
      favour?.attach(txn)
      const value = await settle(engine, txn, () => (favour === null ? attempt(txn) : runFavoured(favour, () => attempt(txn))))
      const next = commitOrRollback(engine, txn)
      if (next === null) return value
      conflict = next
    }
  } finally {
    if (favour !== null) engine.favours.end(favour)
  }
}

/** Runs a favoured attempt so that what it begins itself is known to be nested. */
async function runFavoured<T>(favour: Favour, run: () => T | PromiseLike<T>): Promise<T> {
  favouredRuns++
  try {
    return await favoured.run(favour, run)
  } finally {
    // Tracking the context of promises costs everybody; it is switched off with the last favour.
    if (--favouredRuns === 0) favoured.disable()
  }
}

function exhausted(conflict: Conflict, retries: number): VarveError {
  const error = conflictError(conflict)
  if (retries === 0) return error
  return new VarveError('RETRIES_EXHAUSTED', `gave up after ${retries + 1} attempts: ${error.message}`, { cause: error })
}

/** Waits before the next attempt: for a favour to end, for a random number of microtasks, or for a random time. */
async function pause(conflict: Conflict, losses: number, isFavoured: boolean, engine: Engine): Promise<void> {
  if (conflict.until !== null) return conflict.until
  if (isFavoured) return
  if (losses <= QUICK_RETRIES) {
    for (let turns = Math.floor(engine.options.random() * (1 << losses)); turns > 0; turns--) await null
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
  if (signal.aborted) throw abortError(signal)
  let current: Txn | null = null
  const unsignalled = { ...options, signal: undefined }
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => {
      const error = abortError(signal)
      if (current !== null) state.engine.terminate(current, error)
      reject(error)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    const run = (txn: Txn): T | PromiseLike<T> => {
      current = txn
      if (signal.aborted) throw abortError(signal)
      return attempt(txn)
    }
    runTransaction(state, unsignalled, run)
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** Runs a callback as a transaction within one tick; see {@link Handle.transactionSync}. */
export function runSync<T>(state: DatabaseState, options: ResolvedTransactionOptions, attempt: (txn: Txn) => T): T {
  const { engine } = state
  if (options.signal?.aborted === true) throw abortError(options.signal)
  let error: TransactionError | null = null
  for (let run = 0; ; run++) {
    if (error !== null) options.onRetry?.(error, run)
    const txn = beginAttempt(engine, options, true, error !== null && options.readOnly === true)
    let value: T
    try {
      value = attempt(txn)
    } catch (thrown) {
      engine.rollback(txn)
      throw thrown
    }
    const conflict = commitOrRollback(engine, txn)
    if (conflict === null) return value
    if (run >= options.retries) throw exhausted(conflict, options.retries)
    error = conflictError(conflict)
    state.retries++
  }
}

function abortError(signal: AbortSignal): VarveError {
  return new VarveError('ABORTED', 'the transaction was given up through its AbortSignal; nothing was written', { cause: signal.reason })
}
