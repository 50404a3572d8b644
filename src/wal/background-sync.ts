/**
 * When the disk is waited for in `relaxed`: at the first of an interval, a number of commits, a number of bytes since the
 * last time. One sync is under way at a time; writes go on meanwhile.
 */

import type { FlushConfig } from './log.ts'

/** The longest that a timer can wait: 24.8 days; a longer interval is cut to that. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1

export class BackgroundSync {
  readonly #config: FlushConfig
  readonly #sync: () => Promise<void>
  #underWay: Promise<void> | null
  #timer: NodeJS.Timeout | null
  #commits: number
  #bytes: number

  /** `sync` makes durable what was written before it is called. */
  constructor(config: FlushConfig, sync: () => Promise<void>) {
    this.#config = config
    this.#sync = sync
    this.#underWay = null
    this.#timer = null
    this.#commits = 0
    this.#bytes = 0
  }

  wrote(commits: number, bytes: number): void {
    this.#commits += commits
    this.#bytes += bytes
  }

  /** What was written is durable by other means. */
  forget(): void {
    this.#commits = 0
    this.#bytes = 0
  }

  startWhenDue(): void {
    if (this.#bytes === 0) return
    const { commits, bytes, intervalMs } = this.#config
    if (this.#commits >= commits || this.#bytes >= bytes) {
      this.start().catch(nothing)
    } else if (this.#timer === null && intervalMs < Infinity) {
      this.#timer = setTimeout(
        () => {
          this.#timer = null
          if (this.#bytes > 0) this.start().catch(nothing)
        },
        Math.min(intervalMs, MAX_TIMEOUT_MS),
      ).unref()
    }
  }

  /** Joins the sync under way, which need not cover what was written after it began. */
  start(): Promise<void> {
    if (this.#underWay === null) {
      this.forget()
      this.#underWay = this.#sync().finally(() => {
        this.#underWay = null
        this.startWhenDue()
      })
    }
    return this.#underWay
  }

  /** Nothing more is written. */
  stop(): void {
    this.forget()
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }
}

function nothing(): void {}
