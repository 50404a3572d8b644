/** What other rooms use of the log. */

export type { FlushConfig, LogConfig, LogHooks, LogIdentity, LogStart, LogStats, SealedSegment } from './log.ts'
export type { RecordSink, TableDefinition } from './record.ts'
export { openLog, readSegments } from './recovery.ts'
export { type ListedLog, type LogProblem, verifyLog } from './verify.ts'
export type { LogWriter } from './writer.ts'
