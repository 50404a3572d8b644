/** Steps of an async iterator that are asked for without waiting for each other: answered one at a time, in the order of the calls. */
export class SerialQueue {
  /** The newest step that has not been answered yet. */
  #pending: Promise<unknown> | null = null

  /** Runs `step` once all earlier ones have ended, however they did; at once if there are none. */
  add<T>(step: () => Promise<T>): Promise<T> {
    const run = this.#pending === null ? step() : this.#pending.then(step, step)
    this.#pending = run
    const settle = (): void => {
      if (this.#pending === run) this.#pending = null
    }
    run.then(settle, settle)
    return run
  }
}
