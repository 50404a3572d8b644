/** Table definitions: what a table is called and what its keys and values are, apart from any database. */
import { VarveError } from './errors.ts'
import type { Key } from './keys/index.ts'
import { checkTableOptions, type TableOptions } from './options.ts'

const MAX_NAME_LENGTH = 255

declare const types: unique symbol

/** A table with keys K and values V. Define it once, use it with any database: `db.handle(accounts)`. */
export interface Table<K, V> {
  /** What it is called; the identity of the table in a database. */
  readonly name: string
  /** As given to {@link table}. */
  readonly options: Readonly<TableOptions<K, V>>
  /** Carries the types; never present at run time. */
  readonly [types]?: (key: K, value: V) => [K, V]
}

/** Name of the table behind `db.handle()`. */
export const DEFAULT_TABLE = 'default'

/**
 * Defines a typed table.
 *
 * ```ts
 * const accounts = table<string, { owner: string; balance: number }>('accounts')
 * const visits = table('visits', { key: keys.string(), value: codecs.float64(), merge: merges.sum })
 * ```
 *
 * Two definitions of one name may be used side by side if their codecs have the same names; otherwise the second use is
 * refused with `CODEC_MISMATCH`. The first use in a database decides the merge operator and `sizeOf`.
 *
 * @param name 1 to 255 characters; `default` is the database's own table.
 * @throws VarveError `INVALID_ARGUMENT` for a bad name, `INVALID_OPTIONS` for bad options.
 */
export function table<K = Key, V = unknown>(name: string, options: TableOptions<K, V> = {}): Table<K, V> {
  if (typeof name !== 'string' || name.length === 0 || name.length > MAX_NAME_LENGTH) {
    throw new VarveError('INVALID_ARGUMENT', `a table name must be a string of 1 to ${MAX_NAME_LENGTH} characters`)
  }
  if (name === DEFAULT_TABLE) {
    throw new VarveError(
      'INVALID_ARGUMENT',
      `'${DEFAULT_TABLE}' is the table behind db.handle(); give its options to Database.open`,
    )
  }
  checkTableOptions(options)
  return Object.freeze({ name, options: Object.freeze({ ...options }) })
}
