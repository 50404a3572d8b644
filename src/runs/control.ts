/** How long work on runs is told to stop, and made to let others run. */
import { VarveError } from '../errors.ts'

/** What long work asks now and then. */
export interface JobControl {
  /** Whether the result is not wanted any more: the work then rejects with `ABORTED` and leaves no file. */
  cancelled(): boolean
  /** Called after some work, `portions` of about 0.1 ms; what it returns is awaited. */
  pause?(portions: number): void | Promise<void>
}

/** Entries between two looks at the control. */
const STRIDE = 64

/** Looks at a control every so many entries. */
export class Pacer {
  private readonly control: JobControl
  private entries = 0

  constructor(control: JobControl) {
    this.control = control
  }

  /** To be called for every entry. Throws `ABORTED` if the work is cancelled; a promise is to be awaited. */
  tick(): void | Promise<void> {
    if (++this.entries < STRIDE) return
    this.entries = 0
    return this.now()
  }

  /** As {@link tick}, after something that took so many portions of 0.1 ms. */
  now(portions = 1): void | Promise<void> {
    if (this.control.cancelled()) throw cancelledError()
    return this.control.pause?.(portions)
  }
}

/** For work that was told to stop. */
export function cancelledError(): VarveError {
  return new VarveError('ABORTED', 'a checkpoint or merge in the background was cancelled; it will be made again')
}
