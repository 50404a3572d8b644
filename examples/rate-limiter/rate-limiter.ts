/**
 * A rate limiter: so many calls per client and window, exactly, however many ask at once and whatever they await meanwhile.
 *
 * The first call of a client starts its window: an entry that expires at the window's end. Later calls count it up, which
 * leaves its expiry as it is. Two calls that read the same count cannot both commit: one of them is run again.
 */
import type { AnyDatabase, Handle } from 'varve'
import { table } from 'varve'

export interface Decision {
  readonly allowed: boolean
  /** Calls left in this window. */
  readonly left: number
  /** ms until the window ends. */
  readonly resetMs: number
}

const calls = table<string, number>('calls')

export class RateLimiter {
  readonly #calls: Handle<string, number>
  readonly #limit: number
  readonly #windowMs: number

  constructor(db: AnyDatabase, limit: number, windowMs: number) {
    this.#calls = db.handle(calls)
    this.#limit = limit
    this.#windowMs = windowMs
  }

  /** Counts a call of a client, if there is one left. */
  async take(client: string): Promise<Decision> {
    return this.#calls.transaction(
      (tx) => {
        const used = tx.get(client) ?? 0
        const resetMs = tx.ttl(client) ?? this.#windowMs
        if (used >= this.#limit) return { allowed: false, left: 0, resetMs }
        if (used === 0) tx.set(client, 1, { ttlMs: this.#windowMs })
        else tx.update(client, () => used + 1)
        return { allowed: true, left: this.#limit - used - 1, resetMs }
      },
      { retries: Infinity },
    )
  }
}
