/** A log for tests of what is made of one: transactions go in, sealed segments come out. */
import { Random } from '../support/random.ts'
import type { Key } from '../../src/keys/index.ts'
import { MemoryRun } from '../../src/runs/memory-run.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { type LogWriter, openLog, type SealedSegment } from '../../src/wal/index.ts'
import { seedOfTests } from './sources.ts'

export const databaseId: Uint8Array = Uint8Array.from({ length: 16 }, (_, i) => i * 7 + 1)

/** A write: undefined removes. */
export interface Write {
  readonly table: number
  readonly key: Key
  readonly size: number
  readonly value: Uint8Array | undefined
  /** In ms; absent or 0: never. */
  readonly expiresAt?: number
}

export class TestLog {
  sequence = 0
  private readonly writer: LogWriter

  private constructor(writer: LogWriter) {
    this.writer = writer
  }

  static async open(storage: Storage, directory: string, segmentBytes: number = 64 * 1024): Promise<TestLog> {
    const start = { databaseId, epoch: 1, firstSegment: 1, lastSegment: 0, sequence: 0, logged: 0, readOnly: false }
    const writer = await openLog(
      storage,
      directory,
      start,
      {
        durability: 'relaxed',
        segmentBytes,
        poolSize: 1,
        maxPoolSegments: 10_000,
        maxQueueBytes: 1 << 26,
        flush: { intervalMs: 1e6, commits: 1e9, bytes: 1e12 },
        idleMarkerMs: 1e6,
      },
      {
        reserve: () => Promise.resolve(),
        sealed: () => {},
        poisoned: (error) => {
          throw error
        },
        now: () => 0,
      },
      new MemoryRun(seedOfTests),
    )
    return new TestLog(writer as LogWriter)
  }

  define(id: number, name: string): void {
    this.writer.define({ id, name, key: null, value: 'bytes' })
  }

  /** One transaction; returns its sequence. */
  commit(
    writes: readonly Write[],
    sizes: readonly (readonly [table: number, entries: number, bytes: number])[] = [],
  ): number {
    this.writer.begin(1000 + this.sequence)
    for (const { table, key, size, value, expiresAt } of writes) {
      if (value === undefined) this.writer.remove(table, key)
      else this.writer.put(table, key, value, size, expiresAt)
    }
    for (const [table, entries, bytes] of sizes) this.writer.resized(table, entries, bytes)
    this.writer.end(++this.sequence)
    return this.sequence
  }

  /** Seals what there is; returns all sealed segments that were not taken before. */
  async seal(): Promise<SealedSegment[]> {
    await this.writer.flush()
    await this.writer.rotate()
    return [...this.writer.sealedSegments]
  }

  release(segments: readonly SealedSegment[]): Promise<void> {
    return this.writer.release((segments.at(-1) as SealedSegment).number)
  }

  close(): Promise<void> {
    return this.writer.close()
  }
}

export function randomValue(random: Random, sequence: number): Uint8Array {
  return new Uint8Array(random.chance(0.05) ? 3000 : random.int(80)).fill(sequence % 251)
}
