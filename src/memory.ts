/** How the limit of memory is divided, and who has brought to disk what is to leave memory. */
import type { Directory } from './durability/index.ts'
import { createPolicy } from './eviction/index.ts'
import type { MemoryOptions, Residency } from './mvcc/index.ts'
import type { ResolvedOptions } from './options.ts'
import type { DatabaseState } from './table-core.ts'

const MOST_CACHE_BYTES = 32 * 2 ** 20
/** The part of the limit that blocks of runs, and the maplet pages that say where to look, may take. */
const CACHE_SHARE = 1 / 3
/** The part of the limit that the log may reach before a checkpoint is due, so that reopening has not more to replay. */
const LOG_SHARE = 1 / 4
const LEAST_CHECKPOINT_BYTES = 2 ** 16
const MOST_CHECKPOINT_BYTES = 64 * 2 ** 20

const FIRST_PAUSE_MS = 20
const LONGEST_PAUSE_MS = 1000

/** Blocks of runs kept in memory, bytes. */
export function cacheBytesOf({ maxMemoryBytes }: ResolvedOptions): number {
  return Math.min(MOST_CACHE_BYTES, Math.floor(maxMemoryBytes * CACHE_SHARE))
}

/** Sealed log that makes a checkpoint due, bytes; undefined: as without a limit. */
export function checkpointBytesOf({ maxMemoryBytes, wal }: ResolvedOptions): number | undefined {
  if (maxMemoryBytes === Infinity) return undefined
  const share = Math.max(LEAST_CHECKPOINT_BYTES, wal.segmentBytes, maxMemoryBytes * LOG_SHARE)
  return Math.min(MOST_CHECKPOINT_BYTES, share)
}

/** What the engine is to keep its memory within; null: nothing. */
export function memoryOf(options: ResolvedOptions, onDisk: boolean, random: () => number): MemoryOptions | null {
  const { maxMemoryBytes, eviction } = options
  if (maxMemoryBytes === Infinity && eviction !== 'manual') return null
  const limitBytes = onDisk ? maxMemoryBytes - cacheBytesOf(options) : maxMemoryBytes
  return { limitBytes, policy: createPolicy(eviction, { random, limitBytes }) }
}

/** Has checkpoints made for as long as more is dirty than there should be. */
export function relieveByCheckpoints({ engine: { residency } }: DatabaseState, directory: Directory): void {
  const relief = new Relief(residency, directory)
  residency.onPressure = (isAwaited = false): void => relief.ask(isAwaited)
}

class Relief {
  private readonly residency: Residency
  private readonly directory: Directory
  private isWorking = false
  /** Ends the pause after a failure; null if there is none. */
  private hurry: (() => void) | null = null

  constructor(residency: Residency, directory: Directory) {
    this.residency = residency
    this.directory = directory
  }

  /** @param isAwaited whether somebody waits: then a pause after a failure ends */
  ask(isAwaited: boolean): void {
    if (isAwaited) this.hurry?.()
    if (this.isWorking || this.directory.log === null) return
    this.isWorking = true
    void this.work().finally(() => {
      this.isWorking = false
      this.residency.wake()
    })
  }

  /** One checkpoint at least: whoever asks may need less than what makes more of them due. */
  private async work(): Promise<void> {
    let pauseMs = FIRST_PAUSE_MS
    do {
      try {
        await this.directory.checkpoint()
        pauseMs = FIRST_PAUSE_MS
      } catch (error) {
        if (this.residency.isClosed) return
        // Whoever waits is told, as one who waits for room in the log is: it may be long until there is some.
        this.residency.refuse(error)
        await this.pause(pauseMs)
        pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)
      }
    } while (this.residency.pressed && !this.residency.isClosed)
  }

  /** Keeps no process alive: nobody waits, and who comes to wait ends it. */
  private async pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms).unref()
      this.hurry = (): void => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.hurry = null
  }
}
