/** The records of one write, and who waits for them: one promise for all, made when the first asks. */

import type { VarveError } from '../errors.ts'
import type { RecordBuffer } from './record.ts'

export class Group {
  /** Groups are numbered in their order. */
  readonly id: number
  readonly records: RecordBuffer
  isSettled: boolean
  #promise: Promise<void> | null
  #resolve: () => void
  #reject: (error: VarveError) => void

  constructor(id: number, records: RecordBuffer) {
    this.id = id
    this.records = records
    this.isSettled = false
    this.#promise = null
    this.#resolve = nothing
    this.#reject = nothing
  }

  get isEmpty(): boolean {
    return this.records.payloadBytes === 0
  }

  settled(): Promise<void> {
    if (this.#promise === null) {
      this.#promise = new Promise((resolve, reject) => {
        this.#resolve = resolve
        this.#reject = reject
      })
      // Whoever waits is told; that nobody does is no error of its own.
      this.#promise.catch(nothing)
    }
    return this.#promise
  }

  settle(): void {
    this.isSettled = true
    this.#resolve()
  }

  fail(error: VarveError): void {
    this.#reject(error)
  }
}

function nothing(): void {}
