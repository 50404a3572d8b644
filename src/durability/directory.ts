/** An open database directory. */
import type { ColdTier } from '../runs/index.ts'
import type { LogWriter } from '../wal/index.ts'
import type { CatalogueEntry, DirectoryOptions, DirectoryStats, ProgressListener, VerifyReport } from './options.ts'

export class Directory {
  /** Where commits are appended; null if opened read-only. */
  readonly log: LogWriter | null
  /** Everything on disk. */
  readonly tier: ColdTier
  /** The newest commit found at open. */
  readonly sequence: number
  /** When it was logged: ms since the epoch by the clock of then; 0 if nothing ever was. */
  readonly timeMs: number

  private constructor(log: LogWriter | null, tier: ColdTier, sequence: number, timeMs: number) {
    this.log = log
    this.tier = tier
    this.sequence = sequence
    this.timeMs = timeMs
  }

  static async open(options: DirectoryOptions): Promise<Directory> {
    throw new Error(`cannot open ${options.path} yet`)
  }

  /** The catalogue, in the order of ids. */
  tables(): CatalogueEntry[] {
    return []
  }

  /** The id of a table, which is logged if it is new. */
  define(name: string, key: string | null, value: string): number {
    throw new Error(`${name} ${key} ${value}`)
  }

  async flush(): Promise<void> {}
  async checkpoint(): Promise<void> {}
  async compact(): Promise<void> {}
  async backup(_target: string, _onProgress?: ProgressListener): Promise<void> {}
  async verify(_onProgress?: ProgressListener): Promise<VerifyReport> {
    return { problems: [], files: 0, bytes: 0, entries: 0 }
  }
  stats(): DirectoryStats {
    throw new Error('not yet')
  }
  /** Settles always. */
  async close(): Promise<void> {}
}
