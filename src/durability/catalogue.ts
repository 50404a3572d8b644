/**
 * The catalogue of tables: which there are, how they are coded, how much is in them as of one point of the log.
 *
 * It begins as what the manifest says, is brought up to date with the definitions and size changes of the log that is
 * replayed at open, and grows by definitions afterwards. A table is never renamed, recoded or removed; but the schema of its
 * structs may grow, and what is known then is the longest that was defined.
 *
 * C1  ids are unique, so are names; a new id is larger than every one before.
 * C2  Two definitions of one id that differ, or two ids of one name, are `CORRUPTION`; value codecs of which one reads what
 *     the other wrote do not differ.
 * C3  Sizes are sums of what commits said. They are figures: no data is refused because of one.
 */
import { joinedCodecName } from '../codecs/index.ts'
import { VarveError } from '../errors.ts'
import type { TableChanges } from '../runs/index.ts'
import type { TableDefinition } from '../wal/index.ts'
import type { CatalogueEntry } from './options.ts'

type Row = { -readonly [K in keyof CatalogueEntry]: CatalogueEntry[K] }

export class Catalogue {
  readonly #byId: Map<number, Row> = new Map()
  readonly #byName: Map<string, Row> = new Map()
  /** Where the definitions come from, for messages. */
  readonly #source: string
  #lastId = -1

  constructor(source: string, entries: readonly CatalogueEntry[] = []) {
    this.#source = source
    for (const entry of entries) {
      this.define(entry)
      this.resize(entry)
    }
  }

  /** Adds a definition; the same one twice is fine. Throws `CORRUPTION` (C2). */
  define({ id, name, key, value }: TableDefinition): void {
    const known = this.#byId.get(id) ?? this.#byName.get(name)
    if (known === undefined) {
      const row: Row = { id, name, key, value, entries: 0, bytes: 0 }
      this.#byId.set(id, row)
      this.#byName.set(name, row)
      this.#lastId = Math.max(this.#lastId, id)
      return
    }
    const joined = joinedCodecName(known.value, value)
    if (known.id === id && known.name === name && known.key === key && joined !== undefined) {
      known.value = joined
      return
    }
    throw new VarveError(
      'CORRUPTION',
      `${this.#source}: table ${id} '${name}' is defined twice, and differently (${known.id} '${known.name}')`,
    )
  }

  /** Changes the size of a table. Throws `CORRUPTION` if it is not defined. */
  resize({ id, entries, bytes }: TableChanges['deltas'][number]): void {
    const row = this.#byId.get(id)
    if (row === undefined) {
      throw new VarveError('CORRUPTION', `${this.#source}: table ${id} changes its size but is defined nowhere`)
    }
    row.entries += entries
    row.bytes += bytes
  }

  find(name: string): CatalogueEntry | undefined {
    return this.#byName.get(name)
  }

  /** The next free id (C1). */
  get nextId(): number {
    return this.#lastId + 1
  }

  /** Copies, in the order of ids. */
  entries(): CatalogueEntry[] {
    return [...this.#byId.values()].sort((a, b) => a.id - b.id).map((row) => ({ ...row }))
  }
}

/** The catalogue of a manifest, after a stretch of log. */
export function mergedTables(
  source: string,
  tables: readonly CatalogueEntry[],
  { definitions, deltas }: TableChanges,
): CatalogueEntry[] {
  const catalogue = new Catalogue(source, tables)
  for (const definition of definitions) catalogue.define(definition)
  for (const delta of deltas) catalogue.resize(delta)
  return catalogue.entries()
}
