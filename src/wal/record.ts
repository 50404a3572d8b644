/** Records of the log. */

/** A table that has been defined: the names of its codecs; a null key codec takes any key. */
export interface TableDefinition {
  readonly id: number
  readonly name: string
  readonly key: string | null
  readonly value: string
}

/**
 * Takes in what a log says, in its order: a commit, then its operations and changes of size. Keys and values are views
 * into a buffer that is read into again: copy what you keep.
 */
export interface RecordSink {
  /** `timeMs` is the logged instant of the commit. */
  commit(sequence: number, timeMs: number): void
  put(table: number, key: Uint8Array, size: number, value: Uint8Array): void
  remove(table: number, key: Uint8Array): void
  /** By how much the commit changed the entries and the accounted bytes of a table. */
  resized(table: number, entries: number, bytes: number): void
  define(table: TableDefinition): void
}
