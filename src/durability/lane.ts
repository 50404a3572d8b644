/**
 * Work of one kind, one piece after the other. The queue behind it is loaded with the first piece, which a session that is
 * over before a checkpoint is due never needs.
 */
import type PQueue from 'p-queue'

export class Lane {
  #queue: Promise<PQueue> | null = null
  /** What waits or is under way. */
  #pieces = 0
  #whenIdle: (() => void)[] = []

  get isIdle(): boolean {
    return this.#pieces === 0
  }

  /** Does `work` when all that was added before has been done. */
  async add<T>(work: () => Promise<T>): Promise<T> {
    this.#pieces++
    try {
      this.#queue ??= createQueue()
      const queue = await this.#queue
      return await queue.add(work)
    } finally {
      if (--this.#pieces === 0) for (const tell of this.#whenIdle.splice(0)) tell()
    }
  }

  /** Settles once nothing waits or is under way. */
  onIdle(): Promise<void> {
    return this.isIdle ? Promise.resolve() : new Promise((resolve) => this.#whenIdle.push(resolve))
  }
}

async function createQueue(): Promise<PQueue> {
  const { default: Queue } = await import('p-queue')
  return new Queue({ concurrency: 1 })
}
