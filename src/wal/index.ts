/** What other rooms use of the log. */

export type { LogConfig, LogHooks, LogStart, LogStats, SealedSegment } from './log.ts'
export { FRAME_HEADER_BYTES } from './frame.ts'
export { readUint64, RecordBuffer, RecordReader, type RecordSink, type TableDefinition, writeUint64 } from './record.ts'
export { openLog, readSegments } from './recovery.ts'
export {
  type LinkedSegment,
  linkPast,
  type PastCommit,
  type PastSegment,
  type PastWrite,
  readPastPiece,
  sizeOfFile,
} from './past.ts'
export { segmentName, segmentOfName } from './segment.ts'
export { verifyLog } from './verify.ts'
export type { LogWriter } from './writer.ts'
