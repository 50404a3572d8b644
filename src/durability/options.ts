/** What a directory is opened with, and what it tells. */
import type { VarveError } from '../errors.ts'
import type { Background } from '../runs/index.ts'
import type { Storage } from '../storage/index.ts'
import type { LogStats } from '../wal/index.ts'
import type { RetainConfig } from './archive.ts'

/** When a commit counts as done: `full` once it is on disk, `relaxed` once the operating system has it. */
export type DiskDurability = 'full' | 'relaxed'

/** Settings of {@link Directory.open}; everything that varies from run to run is injected. */
export interface DirectoryOptions {
  /** The directory. Made, with those above it, unless `readOnly`. */
  readonly path: string
  readonly storage: Storage
  readonly durability: DiskDurability
  /** `relaxed`: a sync starts at the first of these. */
  readonly flush: { readonly intervalMs: number; readonly commits: number; readonly bytes: number }
  readonly wal: {
    /** Size of a log segment. */
    readonly segmentBytes: number
    /** Empty segments kept ready. */
    readonly poolSize: number
    /** How much of the log that runs have taken over is kept for those who read the past; undefined: nothing. */
    readonly retain?: RetainConfig | undefined
  }
  /** Nothing is written, not even a lock: the directory must be held by nobody. */
  readonly readOnly: boolean
  /** Of a lookup in a run, for runs written from now on. */
  readonly falsePositiveRate: number
  /** Blocks of runs kept in memory, decoded. Default 32 MiB. */
  readonly cacheBytes?: number | undefined
  /** A checkpoint is due once this much sealed log waits for one. Default: 64 MiB, or a segment if that is more. */
  readonly checkpointBytes?: number | undefined
  /** At close a checkpoint is made if more than this of log is not in runs. Default 256 KiB. */
  readonly tailBytes?: number | undefined
  /** Monotonic ms, for measuring only. */
  readonly now: () => number
  /** Fills with random bytes: the identity of a new database. */
  readonly random: (target: Uint8Array) => void
  /** Where checkpoints and merges run. Default: a worker thread. */
  readonly background?: Background | undefined
  readonly hooks: DirectoryHooks
}

/** What a directory announces. Called outside of commit sections; what they throw is not caught. */
export interface DirectoryHooks {
  /** A write failed and what is on disk is not known: nothing will be acknowledged any more. At most once. */
  poisoned(error: VarveError): void
  /** A checkpoint or merge has ended, well or not. */
  checkpointed(report: CheckpointReport): void
}

/** How a checkpoint or merge went. */
export interface CheckpointReport {
  /** What was done: log into a run, or several runs into one. */
  readonly kind: 'checkpoint' | 'merge'
  /** Every commit up to here is in runs. */
  readonly sequence: number
  /** Why it failed; null if it did not. Nothing is lost then: runs and log are as they were, and it is tried again. */
  readonly error: VarveError | null
  /** Of the run that was written; 0 if none was. */
  readonly bytes: number
  /** From its start to the switch to the new runs, ms. */
  readonly durationMs: number
}

/** One table of the catalogue. */
export interface CatalogueEntry {
  readonly id: number
  readonly name: string
  /** Name of its key codec; null: any key. */
  readonly key: string | null
  /** Name of its value codec. */
  readonly value: string
  /** Live keys, and bytes of keys and values, as of the last commit found at open. */
  readonly entries: number
  readonly bytes: number
}

/** What {@link Directory.verify} found. */
export interface VerifyReport {
  /** One line each, with file and offset; empty if everything is whole. */
  readonly problems: readonly string[]
  readonly files: number
  readonly bytes: number
  /** Live and deleted entries in runs. */
  readonly entries: number
}

/** Figures of a directory, since open unless they are of the moment. */
export interface DirectoryStats {
  /** Null if opened read-only. */
  readonly log: LogStats | null
  /** Runs now: how many, their bytes, and entries in them, those of deleted keys among them. */
  readonly runs: {
    readonly count: number
    readonly bytes: number
    readonly entries: number
    readonly tombstones: number
    /** Keys that runs were asked for, one run after the other, and of these: absent, but a block was read for them. */
    readonly lookups: number
    readonly falsePositives: number
    /** False positives per lookup, as counted; 0 before the first. See `maplet.falsePositiveRate`. */
    readonly measuredFalsePositiveRate: number
  }
  /** Log into runs. */
  readonly checkpoints: BackgroundStats
  /** Runs into one. */
  readonly merges: BackgroundStats
  /** Blocks of runs: reads that found theirs in memory and those that did not, and the bytes kept. */
  readonly cache: { readonly hits: number; readonly misses: number; readonly bytes: number }
  /** Every commit up to here is in runs. */
  readonly coveredSequence: number
}

/** Figures of one kind of background work. */
export interface BackgroundStats {
  /** How many succeeded. */
  readonly done: number
  /** How many did not; each was or will be tried again. */
  readonly failed: number
  /** Bytes of runs written. */
  readonly bytes: number
  /** The longest that one took, ms. */
  readonly longestMs: number
  /** Of the last failure, unless it has succeeded since. */
  readonly error: VarveError | null
}
