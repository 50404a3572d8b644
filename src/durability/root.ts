/**
 * The manifest in force, and the one way to replace it.
 *
 * Log, checkpoints, merges and backups all change or read the manifest, each at its own time; a mutex puts the changes in
 * a row, and what must happen together with a change (publishing new runs, pinning a version for a backup) happens inside.
 *
 * R1  `value` is what is durable: it changes only after the file was written, synced, renamed, and the directory synced.
 * R2  Between two manifests nothing that the earlier one lists is given up; whoever gives up does so after `replace`.
 * R3  A failure before the rename leaves `value` standing, on disk too. One after it leaves two possible manifests: then
 *     `uncertain` is called, and nothing is replaced any more.
 * R4  Numbers of runs are handed out once per process, whether or not the run comes to be.
 */
import { Mutex } from 'async-mutex'
import { VarveError } from '../errors.ts'
import { type Manifest, writeManifest } from '../runs/index.ts'
import type { Storage } from '../storage/index.ts'

export class Root {
  readonly #storage: Storage
  readonly #directory: string
  readonly #mutex: Mutex = new Mutex()
  readonly #uncertain: (error: VarveError) => void
  #value: Manifest
  #nextRun: number
  /** Why it is not known which manifest is on disk; null while it is. */
  failure: VarveError | null = null
  /** The last commit that is known to be durable, to be written with the next manifest; set once there is a log. */
  durable: () => number = () => 0
  /** Manifests written, for statistics. */
  written = 0

  /** @param uncertain called, once, if it is not known which of two manifests is on disk (R3). */
  constructor(storage: Storage, directory: string, value: Manifest, uncertain: (error: VarveError) => void) {
    this.#storage = storage
    this.#directory = directory
    this.#value = value
    this.#nextRun = value.nextRun
    this.#uncertain = uncertain
  }

  /** The manifest that is durable (R1). */
  get value(): Manifest {
    return this.#value
  }

  /** A number for a run that is going to be written (R4). */
  takeRunNumber(): number {
    return this.#nextRun++
  }

  /**
   * Replaces the manifest by what `change` makes of it, and runs `published` before anybody else can.
   *
   * @param change null: nothing to change
   * @throws {VarveError} `IO` and whatever `change` throws: the old one stands. `POISONED`: that is not known (R3).
   */
  async replace(change: (value: Manifest) => Manifest | null, published?: (value: Manifest) => void): Promise<void> {
    await this.#mutex.runExclusive(async () => {
      if (this.failure !== null) throw this.failure
      const next = change(this.#value)
      if (next === null) return
      const logged = Math.max(next.logged, next.sequence, this.durable())
      await this.#write({ ...next, nextRun: this.#nextRun, logged })
      published?.(this.#value)
    })
  }

  /** Runs `read` while no replacement is under way. */
  async hold<T>(read: (value: Manifest) => T | Promise<T>): Promise<T> {
    return this.#mutex.runExclusive(async () => read(this.#value))
  }

  async #write(next: Manifest): Promise<void> {
    let renaming = false
    try {
      await writeManifest(this.#storage, this.#directory, next, () => {
        renaming = true
      })
    } catch (cause) {
      if (!renaming) throw cause
      this.failure = new VarveError(
        'POISONED',
        `replacing ${this.#directory}/manifest failed half way, so that which manifest a power loss would leave is not known: ` +
          'close the database and open it again',
        { cause },
      )
      this.#uncertain(this.failure)
      throw this.failure
    }
    this.#value = next
    this.written++
  }
}
