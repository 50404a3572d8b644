/**
 * Segments of the log that runs have taken over, kept for those who read the past: `wal.retain`.
 *
 * Such a segment is renamed instead of used again: `wal-<number>.log` becomes `past-<number>-<time>.log`, the time being that of
 * the newest commit in runs. So recovery has nothing to do with it, and the directory says all there is to know. Nothing that
 * was acknowledged hangs on these files: one that is missing or damaged only ends the past sooner.
 *
 * A1  Only what the manifest does not list any more, durably, is taken in or removed.
 * A2  After `trim` no file is older, and all together are not larger, than the bounds; each bound that is given holds.
 */
import { join } from 'node:path'
import type { DirectoryEntry, Storage } from '../storage/index.ts'
import { type PastSegment, segmentName, sizeOfFile } from '../wal/index.ts'

/** How much is kept; at least one of both is given. */
export interface RetainConfig {
  /** Of files, all together. */
  readonly bytes: number
  /** Since the newest commit in a file was logged. */
  readonly ms: number
}

interface Kept extends PastSegment {
  readonly timeMs: number
  readonly bytes: number
}

const NAME = /^past-(\d{12})-(\d{1,16})\.log$/

export class Archive {
  readonly #storage: Storage
  readonly #directory: string
  readonly #bounds: RetainConfig
  readonly #timeMs: () => number
  /** The first segment that the manifest listed when this was opened. */
  readonly firstListed: number
  /** Oldest first. */
  #kept: Kept[] = []

  /** @param timeMs when the newest commit that runs hold was logged */
  constructor(storage: Storage, directory: string, bounds: RetainConfig, firstListed: number, timeMs: () => number) {
    this.firstListed = firstListed
    this.#storage = storage
    this.#directory = directory
    this.#bounds = bounds
    this.#timeMs = timeMs
  }

  /** Takes in what earlier sessions have kept; changes nothing. */
  async find(entries: readonly DirectoryEntry[]): Promise<void> {
    for (const { name, kind } of entries) {
      const match = NAME.exec(name)
      if (match === null || kind !== 'file') continue
      const path = join(this.#directory, name)
      // What cannot be read is no part of the past, and goes when it is old enough.
      const bytes = await sizeOfFile(this.#storage, path).catch(() => 0)
      this.#kept.push({ number: Number(match[1]), timeMs: Number(match[2]), path, bytes })
    }
    this.#kept.sort((a, b) => a.number - b.number)
  }

  /** Oldest first. */
  get segments(): readonly PastSegment[] {
    return this.#kept
  }

  /** Bytes of all files. */
  get bytes(): number {
    return this.#kept.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /**
   * Takes in a segment that is needed no more; the caller syncs the directory. False if that failed: then it may be used for
   * anything else.
   */
  async retire(number: number): Promise<boolean> {
    const from = join(this.#directory, segmentName(number))
    const timeMs = Math.max(0, Math.floor(this.#timeMs()))
    const path = join(this.#directory, `past-${String(number).padStart(12, '0')}-${timeMs}.log`)
    try {
      const bytes = await sizeOfFile(this.#storage, from)
      if (bytes > this.#bounds.bytes) return false
      await this.#storage.rename(from, path)
      this.#kept.push({ number, path, timeMs, bytes })
      this.#kept.sort((a, b) => a.number - b.number)
    } catch {
      return false
    }
    await this.trim()
    return true
  }

  /** Removes what is beyond the bounds (A2). What cannot be removed is tried again the next time. */
  async trim(): Promise<void> {
    const nowMs = this.#timeMs()
    let { bytes } = this
    while (this.#kept.length > 0) {
      const oldest = this.#kept[0] as Kept
      if (bytes <= this.#bounds.bytes && oldest.timeMs >= nowMs - this.#bounds.ms) return
      try {
        await this.#storage.remove(oldest.path)
      } catch {
        return
      }
      this.#kept.shift()
      bytes -= oldest.bytes
    }
  }
}

/** Removes what sessions with `wal.retain` have left, for one without. A failure leaves it to the next. */
export async function removePast(
  storage: Storage,
  directory: string,
  entries: readonly DirectoryEntry[],
): Promise<void> {
  try {
    const names = entries.filter(({ name, kind }) => kind === 'file' && NAME.test(name))
    for (const { name } of names) await storage.remove(join(directory, name))
    if (names.length > 0) await storage.syncDirectory(directory)
  } catch {
    // As said.
  }
}
