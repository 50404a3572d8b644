/** `varve`: an embedded, transactional, multi-version key-value database. */
export type { AsyncEntry } from './async-entry.ts'
export {
  codecs,
  type OptionalStruct,
  type StructArray,
  type StructCodec,
  type StructField,
  type StructFieldName,
  type StructScalar,
  type StructSchema,
  type StructValue,
  type ValueCodec,
} from './codecs/index.ts'
export { type AnyDatabase, type CheckReport, Database, type ProgressOptions } from './database.ts'
export type { BackgroundStats, CheckpointReport, DirectoryStats, ProgressListener } from './durability/index.ts'
export type { Entry } from './entry.ts'
export {
  type ConflictEdge,
  type ConflictReport,
  type ErrorCode,
  SerializationError,
  TransactionError,
  VarveError,
  WriteConflictError,
} from './errors.ts'
export type { DatabaseEvents } from './events.ts'
export type { EvictionName } from './eviction/index.ts'
export type { Handle } from './handle.ts'
export type { EntryInfo } from './inspect.ts'
export { type Key, type KeyCodec, keys, type KeyPrefix, type Range } from './keys/index.ts'
export { type MergeOperator, merges } from './maplet/index.ts'
export { type MapOptions, type Maps, maps } from './maps.ts'
export type {
  DatabaseOptions,
  Durability,
  ExpiryOptions,
  FlushOptions,
  Isolation,
  LogOptions,
  ResolvedOptions,
  TableMapletOptions,
  TableOptions,
  TransactionOptions,
  WriteOptions,
} from './options.ts'
export type { Reader } from './reader.ts'
export { type AnySnapshot, Snapshot } from './snapshot.ts'
export type { LatencyStats, Stats, TableStats } from './stats.ts'
export { type Table, table } from './table.ts'
export type { Savepoint, Transaction } from './transaction.ts'
export type { Change, ChangesOptions, Commit, CommitChange, Cursor, WatchOptions } from './watching/index.ts'
