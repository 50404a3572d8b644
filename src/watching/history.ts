/** What the log has kept of the past, in the form of the feed. */
import type { Directory } from '../durability/index.ts'
import { VarveError } from '../errors.ts'
import { decodeKey, type Key } from '../keys/index.ts'
import { FeedWrite, UNKNOWN } from '../mvcc/index.ts'
import type { SourceCommit } from './subscription.ts'
import type { TableCore } from '../table-core.ts'
import type { Tables } from '../tables.ts'
import type { PastCommit, PastWrite } from '../wal/index.ts'

/** The past that the log has kept. */
export interface History {
  /**
   * The commits behind `after`, up to `through`, in order; waits until they are durable.
   * @throws VarveError `SNAPSHOT_TOO_OLD` if the log does not reach back so far, `CODEC_MISMATCH` if a value is of a codec that
   * this session has not been given, `IO`, `CORRUPTION`, `CLOSED`.
   */
  read(after: number, through: number): AsyncIterableIterator<SourceCommit>
}

/** Finds a table by the number that the log knows it by, putting it into use. */
type TableFinder = (id: number) => TableCore<unknown, unknown> | undefined

/** The past of a directory, if it keeps any; null if it does not. */
export function historyOf(directory: Directory, tables: Tables): History | null {
  if (!directory.retains) return null
  const names: Map<number, string> = new Map()
  const coreOf: TableFinder = (id) => {
    // Tables may have been defined since it was last looked.
    if (!names.has(id)) for (const table of directory.tables()) names.set(table.id, table.name)
    const name = names.get(id)
    return name === undefined ? undefined : tables.named(name)
  }
  return {
    async *read(after: number, through: number): AsyncGenerator<SourceCommit, void, undefined> {
      for await (const piece of directory.readPast(after, through))
        for (const commit of piece) yield sourceOf(commit, coreOf)
    },
  }
}

function sourceOf({ sequence, timeMs, expired, writes }: PastCommit, coreOf: TableFinder): SourceCommit {
  return {
    sequence,
    timeMs,
    cause: expired ? 'expire' : 'commit',
    writes: writes.map((write, ordinal) => writeOf(write, ordinal, coreOf)),
  }
}

function writeOf({ table, key, value, expiresAt }: PastWrite, ordinal: number, coreOf: TableFinder): FeedWrite {
  const core = coreOf(table)
  if (core === undefined)
    throw new VarveError(
      'CORRUPTION',
      `the log has a write to table ${table}, which is not defined; check the directory`,
    )
  const { store } = core
  const decoded: Key = decodeKey(key)
  const stored = value === null ? undefined : store.decode(value, 0, value.length, decoded)
  return new FeedWrite(store, decoded, stored, expiresAt, UNKNOWN, ordinal)
}
