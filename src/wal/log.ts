/** The words in which the log is spoken of by those who use it: how it is set up, what it asks for, what it tells. */

import type { VarveError } from '../errors.ts'

/** Which log this is, and which session of it. */
export interface LogIdentity {
  /** 16 random bytes, the same for ever; they seed every checksum, so that no frame of another database is taken in. */
  readonly databaseId: Uint8Array
  /** Greater at every attempt to open the log for writing. */
  readonly epoch: number
}

/** Where to begin, as the manifest says. */
export interface LogStart extends LogIdentity {
  /** The numbers of the segment files that exist, both included; `lastSegment < firstSegment` where there are none. */
  readonly firstSegment: number
  readonly lastSegment: number
  /** Every commit up to here is in the runs: its record is passed over. */
  readonly sequence: number
  /** Every commit up to here was durable once: a log that ends before it is damaged. */
  readonly logged: number
  /** Nothing is written, repaired or removed; there is no writer. */
  readonly readOnly: boolean
}

/** When unsynced records are synced in `relaxed`: at the first of the three. */
export interface FlushConfig {
  readonly intervalMs: number
  readonly commits: number
  readonly bytes: number
}

export interface LogConfig {
  /** `full`: settled means synced. `relaxed`: settled means written to the operating system. */
  readonly durability: 'full' | 'relaxed'
  /** Size of a segment file; rounded down to whole frames. */
  readonly segmentBytes: number
  /** Spare segments kept ready. */
  readonly poolSize: number
  /** Segment files there may be, spares included, before commits wait for a checkpoint. */
  readonly maxPoolSegments: number
  /** Bytes of records that may wait for the disk before the log is crowded. */
  readonly maxQueueBytes: number
  /** Used in `relaxed` only. */
  readonly flush: FlushConfig
  /** After so long without a record, a marker tells that everything before it was synced. */
  readonly idleMarkerMs: number
}

export interface LogHooks {
  /**
   * The manifest must say, durably, that exactly the segments from `first` to `last` exist, and carry the epoch of this
   * session. Called before any of them is used and before any other is touched; resolves at once if it already says so.
   */
  reserve(first: number, last: number): Promise<void>
  /**
   * A segment that is needed no more, and listed no more, is going to be used again or removed. Resolves to true if somebody
   * has taken its file away instead. The directory is synced by the caller.
   */
  retire?(segment: number): Promise<boolean>
  /** A segment has been sealed: there is one more in `sealedSegments`. */
  sealed(): void
  /**
   * Commits wait for a segment: there are as many as there may be, or none can be made; then it is told again after each attempt.
   * No segment will be sealed before there is another: whoever waits for more sealed log waits for ever.
   */
  stalled?(): void
  /** Nothing more will be settled. Called once. */
  poisoned(error: VarveError): void
  /** A monotonic clock in milliseconds, for measuring only. */
  now(): number
}

/** A stretch of log that will not change any more, durable and named as such by the header of the segment after it. */
export interface SealedSegment {
  readonly number: number
  readonly fromFrame: number
  readonly endFrame: number
  /** Of the last commit in it or, if it holds none, before it. */
  readonly lastSequence: number
  readonly bytes: number
}

export interface LogStats {
  /** Groups written: each is one write, and in `full` one wait for the disk. */
  readonly groups: number
  readonly commits: number
  /** Bytes written to segments, frames and headers included; zeros of new segments are not. */
  readonly bytesWritten: number
  /** Times the disk was waited for. */
  readonly syncs: number
  /** How long the disk took, in milliseconds: median and 99th percentile, to about a fifth. 0 before the first. */
  readonly syncP50Ms: number
  readonly syncP99Ms: number
  /** Segment files by what they are; the one being written is in none of these. */
  readonly sealedSegments: number
  readonly sealedBytes: number
  readonly spareSegments: number
  /** Bytes of records that wait for the disk. */
  readonly queuedBytes: number
  /** Segments that could not be made, and why the last one could not. */
  readonly creationFailures: number
  readonly creationError: unknown
}
