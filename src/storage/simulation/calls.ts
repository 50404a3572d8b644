/**
 * The system calls of one simulated process: counts them, lets them take their time, makes them fail, and ends them all at
 * once when the process dies.
 *
 * A call takes effect when it ends, never when it is made: some microtasks or turns of the event loop later, by the seed. So
 * calls that are in flight together end in any order, and a buffer that is changed while it is being written is written
 * changed. A synchronous call takes effect at once.
 *
 * C1  After `halt()` no call of this process has any effect or ever settles; synchronous ones throw.
 * C2  Calls in flight at that moment are handed over once, with what they may have done until then (`settle`).
 */
import { setImmediate } from 'node:timers'
import type { VarveError } from '../../errors.ts'
import { errnoOf, ioError } from '../storage.ts'
import { systemError } from './disk.ts'
import { type FaultKind, FaultPlan, type FaultRule, type Operation, type OperationName } from './faults.ts'
import type { SeededRandom } from './random.ts'

/** How a call ends: well, with a fault, or in the middle because the process is killed or power fails. */
export type Ending = FaultKind | 'kill' | 'crash' | undefined

/** What one call does. Throws an error of the system, or a `VarveError`. Ended in the middle it does a part, or nothing. */
export type Effect<T> = (ending: Ending) => T

/** What the log shall say of a call. */
export interface CallDetails {
  readonly to?: string
  readonly position?: number
  readonly bytes?: number
}

interface CallInFlight {
  readonly operation: Operation
  readonly effect: Effect<unknown>
}

/** The log keeps at least this many calls, at most twice as many. */
const LOG_CALLS = 20_000

/** What users of the log read in words. */
const VERBS: Readonly<Record<OperationName, string>> = {
  open: 'open',
  create: 'create',
  read: 'read',
  write: 'write',
  sync: 'sync',
  size: 'stat',
  truncate: 'truncate',
  close: 'close',
  list: 'list',
  makeDirectory: 'make the directory',
  removeDirectory: 'remove the directory',
  rename: 'rename',
  remove: 'remove',
  syncDirectory: 'sync the directory',
  lock: 'lock',
  probeLock: 'look at the lock of',
  unlock: 'unlock',
}

/** See the head of the file. */
export class Calls {
  readonly random: SeededRandom
  readonly faults: FaultPlan = new FaultPlan()
  /** How many calls were made. */
  count = 0
  log: Operation[] = []
  halted = false
  /** The call in the middle of which the process halts. */
  stopAt: number = Infinity
  /** Resolves when the process has halted. */
  readonly stopped: Promise<void>
  private resolveStopped: () => void = () => {}
  private readonly inFlight = new Set<CallInFlight>()
  private readonly maxDelayTurns: number
  private turn = 0
  private due: { readonly turn: number; readonly run: () => void }[] = []
  private held: (() => void)[] = []
  private isTicking = false

  constructor(random: SeededRandom, maxDelayTurns: number) {
    this.random = random
    this.maxDelayTurns = maxDelayTurns
    this.stopped = new Promise((resolve) => (this.resolveStopped = resolve))
  }

  /** Makes an asynchronous call. */
  start<T>(name: OperationName, path: string, details: CallDetails, effect: Effect<T>): Promise<T> {
    if (this.halted) return new Promise(() => {})
    const operation = this.note(name, path, details)
    const call: CallInFlight = { operation, effect }
    this.inFlight.add(call)
    if (operation.number >= this.stopAt) {
      this.halt()
      return new Promise(() => {})
    }
    const rule = this.faults.take(operation)
    return new Promise((resolve, reject) => {
      const end = (): void => {
        this.inFlight.delete(call)
        try {
          resolve(this.perform(operation, effect, rule?.kind))
        } catch (error) {
          reject(error)
        }
      }
      if (rule?.kind === 'stall') this.stall(end, rule)
      else if (rule?.kind === 'EINTR') this.later(() => this.later(end))
      else this.later(end)
    })
  }

  /** Makes a synchronous call. */
  now<T>(name: OperationName, path: string, details: CallDetails, effect: Effect<T>): T {
    if (this.halted) throw ioError(VERBS[name], path, systemError('ESHUTDOWN', name, path))
    const operation = this.note(name, path, details)
    if (operation.number >= this.stopAt) {
      this.inFlight.add({ operation, effect })
      this.halt()
      throw ioError(VERBS[name], path, systemError('ESHUTDOWN', name, path))
    }
    return this.perform(operation, effect, this.faults.take(operation)?.kind)
  }

  /** The error of a call on a file that is closed. */
  refusal(name: OperationName, path: string): VarveError {
    return ioError(VERBS[name], path, systemError('EBADF', name, path))
  }

  /** A call on a file that is closed. */
  refuse(name: OperationName, path: string): Promise<never> {
    return this.halted ? new Promise(() => {}) : Promise.reject(this.refusal(name, path))
  }

  /** The process is dead (C1). */
  halt(): void {
    if (this.halted) return
    this.halted = true
    this.due = []
    this.held = []
    this.resolveStopped()
  }

  /** Lets the calls that were in flight when the process halted do what they may have done (C2). */
  settle(ending: 'kill' | 'crash'): void {
    for (const { operation, effect } of this.inFlight) {
      operation.outcome = ending
      try {
        effect(ending)
      } catch {
        // Nobody is left to be told.
      }
    }
    this.inFlight.clear()
  }

  /** Lets the calls that stall go on. */
  release(): void {
    const { held } = this
    this.held = []
    for (const run of held) this.later(run)
  }

  private note(name: OperationName, path: string, { to, position = 0, bytes = 0 }: CallDetails): Operation {
    const base = { number: ++this.count, name, path, position, bytes, outcome: 'pending' }
    const operation: Operation = to === undefined ? base : { ...base, to }
    if (this.log.length >= 2 * LOG_CALLS) this.log = this.log.slice(-LOG_CALLS)
    this.log.push(operation)
    return operation
  }

  private perform<T>(operation: Operation, effect: Effect<T>, fault: FaultKind | undefined): T {
    const isFelt = fault !== undefined && fault !== 'stall' && fault !== 'EINTR'
    try {
      const result = effect(isFelt ? fault : undefined)
      operation.outcome = fault ?? 'done'
      return result
    } catch (error) {
      operation.outcome = errnoOf(error) ?? String(error)
      throw ioError(VERBS[operation.name], operation.path, error)
    }
  }

  private stall(run: () => void, { turns }: FaultRule): void {
    if (turns === undefined) this.held.push(run)
    else this.after(turns, run)
  }

  private later(run: () => void): void {
    const turns = this.random.int(this.maxDelayTurns + 1)
    if (turns > 0) this.after(turns, run)
    else queueMicrotask(() => this.halted || run())
  }

  private after(turns: number, run: () => void): void {
    this.due.push({ turn: this.turn + turns, run })
    if (this.isTicking) return
    this.isTicking = true
    setImmediate(this.tick)
  }

  private readonly tick: () => void = (): void => {
    this.turn++
    const ready = this.due.filter(({ turn }) => turn <= this.turn)
    if (ready.length > 0) this.due = this.due.filter(({ turn }) => turn > this.turn)
    this.isTicking = this.due.length > 0
    if (this.isTicking) setImmediate(this.tick)
    for (const { run } of ready) run()
  }
}
