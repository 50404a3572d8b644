/**
 * Back-pressure: what a commit waits for before anything of it is decided, because too much waits for the disk already.
 *
 * A write of one call takes effect before the call returns. One that has to wait takes its place in a line, and leaves it only
 * when it has been applied or refused; meanwhile those that come join behind it. So two writes of one key take effect in the
 * order of their calls, whether or not anybody awaits the first, and none is overtaken for ever by smaller ones. Transactions
 * stand in no line: who runs several at once has asked for no order, and those that are open must be able to end.
 */
import { Mutex } from 'async-mutex'

import type { VarveError } from './errors.ts'
import type { Engine } from './mvcc/index.ts'
import type { LogWriter } from './wal/index.ts'

/** How often a commit waits for a checkpoint to make room that eviction alone could not. */
const MOST_WAITS = 3

/** What of a database decides whether there is room. */
export interface RoomState {
  readonly engine: Engine
  readonly log: LogWriter | null
  readonly closed: VarveError | null
  /** Where writes of one call wait. */
  readonly line: WriteLine
}

/** Whether a commit has to wait: too much waits for the disk already, in memory or in the log, or there is no room in the log. */
export function isCrowded(state: RoomState): boolean {
  return state.log !== null && (state.log.crowded || state.engine.residency.crowded)
}

/**
 * Applies a write of one call: at once if there is room for it and nobody waits, else in line.
 *
 * @param write applies it; if it throws, nothing has happened
 * @param delay called before this returns if it will be applied after that
 */
export function applyInTurn<T>(state: RoomState, write: () => T, delay?: () => void): T | Promise<T> {
  if (!mustWait(state)) {
    try {
      return write()
    } catch (error) {
      if (!isCurable(state, error)) throw error
    }
  }
  delay?.()
  return state.line.join(state, write)
}

/** Whether a write of one call has to join the line: others stand there, or it would have to wait itself. */
function mustWait(state: RoomState): boolean {
  return state.log !== null && (!state.line.isEmpty || isCrowded(state))
}

/** Waits until there is room. Throws what ended the database meanwhile. */
export async function waitForRoom(state: RoomState): Promise<void> {
  while (isCrowded(state) && state.closed === null) {
    const { log } = state
    await (log !== null && log.crowded ? log.room() : state.engine.residency.relief())
  }
  if (state.closed !== null) throw state.closed
}

/** Whether a commit was refused for want of room that a checkpoint may make. Such a refusal has changed nothing. */
export function isCurable(state: RoomState, error: unknown): boolean {
  return error !== null && error === state.engine.residency.curable
}

/** Makes a commit again for which there was no room, as long as what waits for the disk may be what takes it. */
export async function commitWhenRoom<T>(state: RoomState, error: unknown, commit: () => T): Promise<T> {
  let refusal = error
  for (let waits = 0; waits < MOST_WAITS && isCurable(state, refusal); waits++) {
    await relief(state)
    try {
      return commit()
    } catch (again) {
      refusal = again
    }
  }
  throw refusal
}

async function relief(state: RoomState): Promise<void> {
  do {
    if (state.closed !== null) throw state.closed
    await state.engine.residency.relief()
  } while (isCrowded(state))
}

/** The line of writes that wait for room. */
export class WriteLine {
  readonly #turns = new Mutex()
  /** Writes that have joined. */
  #joined = 0
  /** Times that the first waited in vain for a checkpoint to make room for it: those behind it waited too. */
  #reliefs = 0
  /** Why the disk had no room for the first, and how many had joined by then: it had none for them either. */
  #refusal: { readonly error: unknown; readonly upTo: number } | null = null

  get isEmpty(): boolean {
    return !this.#turns.isLocked()
  }

  /**
   * Applies a write when it is its turn and there is room, in the order of the calls of this method.
   *
   * @param write applies it at once; if it throws, nothing has happened
   * @throws what `write` throws; or why there is no room and none can be made, or what closed the database
   */
  join<T>(state: RoomState, write: () => T): Promise<T> {
    const place = ++this.#joined
    const deadline = this.#reliefs + MOST_WAITS
    return this.#turns.runExclusive(() => this.#apply(state, write, place, deadline))
  }

  async #apply<T>(state: RoomState, write: () => T, place: number, deadline: number): Promise<T> {
    for (;;) {
      // Whoever waited with it, a transaction, may have taken the room.
      while (isCrowded(state)) await this.#wait(state, place, waitForRoom)
      if (state.closed !== null) throw state.closed
      try {
        return write()
      } catch (error) {
        if (!isCurable(state, error) || this.#reliefs >= deadline) throw error
      }
      await this.#wait(state, place, relief)
      this.#reliefs++
    }
  }

  async #wait(state: RoomState, place: number, wait: (state: RoomState) => Promise<void>): Promise<void> {
    if (this.#refusal !== null && place <= this.#refusal.upTo) throw this.#refusal.error
    try {
      await wait(state)
    } catch (error) {
      this.#refusal = { error, upTo: this.#joined }
      throw error
    }
  }
}
