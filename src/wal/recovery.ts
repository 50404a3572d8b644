/** Reading the log. */

import type { Storage } from '../storage/storage.ts'
import type { LogConfig, LogHooks, LogStart, SealedSegment } from './log.ts'
import type { RecordSink } from './record.ts'
import { LogWriter } from './writer.ts'

/** Everything of opening the log: replays it into `sink`, then makes it ready for appending; null if `start.readOnly`. */
export async function openLog(
  _storage: Storage,
  _directory: string,
  _start: LogStart,
  _config: LogConfig,
  _hooks: LogHooks,
  _sink: RecordSink,
): Promise<LogWriter | null> {
  return new LogWriter()
}

/** Reads sealed stretches of log, also in a worker: every record in order. */
export async function readSegments(
  _storage: Storage,
  _directory: string,
  _databaseId: Uint8Array,
  _segments: readonly SealedSegment[],
  _sink: RecordSink,
  _progress?: () => void | Promise<void>,
): Promise<void> {}
