/** What other rooms use of the log. */

export type { LogConfig, LogHooks, LogStart, LogStats, SealedSegment } from './log.ts'
export type { RecordSink, TableDefinition } from './record.ts'
export { openLog, readSegments } from './recovery.ts'
export { segmentName, segmentOfName } from './segment.ts'
export { verifyLog } from './verify.ts'
export type { LogWriter } from './writer.ts'
