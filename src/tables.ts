/**
 * The tables of a database: those in use, those that are found beneath it, and what they are made of.
 *
 * Beneath a database may be a directory, the parent of a fork, or the bytes of a snapshot: its ground.
 *
 * T1  A name means one store, with codecs of one name, from its first use to the end.
 * T2  A table of the ground that nobody has defined can be used by its name alone, to carry its entries elsewhere; the
 *     definition that comes later takes its place, and decides on merge operator and `sizeOf`.
 */
import { codecNamed, codecs, joinedCodecName, residentOf } from './codecs/index.ts'
import { VarveError } from './errors.ts'
import type { KeyCodec } from './keys/index.ts'
import type { BasePart, Engine, TableSpec } from './mvcc/index.ts'
import type { ResolvedOptions, TableOptions } from './options.ts'
import type { Table } from './table.ts'
import { type DatabaseState, TableCore } from './table-core.ts'
import type { TableResolver } from './transaction.ts'

/** A table of the ground: the names of its codecs; a null key codec takes any key. */
export interface FoundTable {
  readonly name: string
  readonly key: string | null
  readonly value: string
}

/** What lies beneath a database. */
export interface Ground {
  /** Where that is, for messages: `on disk`. */
  readonly place: string
  readonly found: ReadonlyMap<string, FoundTable>
  /** The number that the log knows a table by, which makes it known there. */
  define(name: string, key: string | null, value: string): number
  /** What is there of a table that was found; null if nothing. */
  part(name: string): BasePart | null
  /** Where entries of a table that was not found are once they leave memory; null: they do not. */
  readonly emptyPart?: (id: number) => BasePart | null
}

const NO_GROUND: Ground = {
  place: 'nowhere',
  found: new Map(),
  define: () => 0,
  part: () => null,
}

export class Tables {
  readonly engine: Engine
  readonly state: DatabaseState
  readonly resolve: TableResolver = (table) => this.coreOf(table)
  readonly #ground: Ground
  readonly #maplet: ResolvedOptions['maplet']
  /** Of tables that have no default of their own. */
  readonly #ttlMs: number
  readonly #random: (() => number) | undefined
  readonly #cores: Map<string, TableCore<unknown, unknown>> = new Map()
  /** Tables in use that nobody has defined (T2). */
  readonly #nameless: Set<string> = new Set()

  constructor(
    state: DatabaseState,
    ground: Ground | null,
    { maplet, ttl }: Pick<ResolvedOptions, 'maplet' | 'ttl'>,
    random: (() => number) | undefined,
  ) {
    this.engine = state.engine
    this.state = state
    this.#ground = ground ?? NO_GROUND
    this.#maplet = maplet
    this.#ttlMs = ttl.defaultMs
    this.#random = random
  }

  /** How many are in use. */
  get size(): number {
    return this.#cores.size
  }

  /** Names of those found and in use. */
  names(): string[] {
    return [...new Set([...this.#ground.found.keys(), ...this.#cores.keys()])]
  }

  /** A table in use. */
  known(name: string): TableCore<unknown, unknown> | undefined {
    return this.#cores.get(name)
  }

  /** Every table with the names of its codecs. */
  described(): Map<string, FoundTable> {
    const all = new Map(this.#ground.found)
    for (const [name, core] of this.#cores) all.set(name, describe(core))
    return all
  }

  /** The core of a table of the application. Throws `CODEC_MISMATCH`, `INVALID_ARGUMENT`. */
  coreOf<K, V>(table: Table<K, V>): TableCore<K, V> {
    if (
      typeof table !== 'object' ||
      table === null ||
      typeof table.name !== 'string' ||
      typeof table.options !== 'object' ||
      table.options === null
    ) {
      const given = typeof table === 'string' ? 'the name alone' : 'something else'
      throw new VarveError('INVALID_ARGUMENT', `a table is what table(name, options) returns; this is ${given}`)
    }
    const known = this.#cores.get(table.name)
    if (known === undefined) return this.define(table.name, table.options)
    if (this.#nameless.has(table.name)) return this.#redefine(table, known)
    requireSameCodecs(table, known)
    return known as unknown as TableCore<K, V>
  }

  /** A table of the ground or in use, by its name alone (T2). */
  named(name: string): TableCore<unknown, unknown> | undefined {
    const known = this.#cores.get(name)
    if (known !== undefined) return known
    const found = this.#ground.found.get(name)
    return found === undefined ? undefined : this.adopt(found)
  }

  /** Throws `CODEC_MISMATCH` if there is a table of that name with other codecs; puts none into use. */
  ensureSameCodecs({ name, key, value }: FoundTable): void {
    const known = this.described().get(name)
    if (known !== undefined) requireJoinable(known, 'here', key, value)
  }

  /** As {@link named}, making the table if there is none. Throws `CODEC_MISMATCH` if there is one of other codecs. */
  adopt(found: FoundTable): TableCore<unknown, unknown> {
    const { name, key, value } = found
    const known = this.#cores.get(name)
    if (known === undefined) {
      const core = this.define<unknown, unknown>(name, { key: keyCodecNamed(key), value: codecNamed(value) })
      this.#nameless.add(name)
      return core
    }
    this.ensureSameCodecs(found)
    return known
  }

  /** Puts a table into use. Throws `CODEC_MISMATCH` if the ground has it with other codecs. */
  define<K, V>(name: string, options: TableOptions<K, V>): TableCore<K, V> {
    const resident = residentOf(options.value ?? codecs.structured<V>())
    const key = options.key?.name ?? null
    const found = this.#ground.found.get(name)
    if (found !== undefined) requireJoinable(found, this.#ground.place, key, resident.codec.name)
    const spec: TableSpec = {
      name,
      id: this.#ground.define(name, key, resident.codec.name),
      key,
      resident,
      merge: options.merge,
      sizeOf: options.sizeOf as TableSpec['sizeOf'],
      maplet: {
        ...this.#maplet,
        seed: this.#seed(),
        capacity: Math.max(this.#maplet.capacity, options.capacity?.entries ?? 0),
      },
      ttlMs: options.ttl?.defaultMs ?? this.#ttlMs,
      expectedBytes: options.capacity?.bytes ?? 0,
    }
    const part = found === undefined ? null : this.#ground.part(name)
    const store = this.engine.addTable(spec, part ?? this.#ground.emptyPart?.(spec.id) ?? null)
    const core = new TableCore<K, V>(this.state, store, options.key)
    this.#cores.set(name, core)
    return core
  }

  #redefine<K, V>(table: Table<K, V>, known: TableCore<unknown, unknown>): TableCore<K, V> {
    const { name, options } = table
    const resident = residentOf(options.value ?? codecs.structured<V>())
    const key = options.key?.name ?? null
    requireJoinable(describe(known), this.#ground.place, key, resident.codec.name)
    this.#ground.define(name, key, resident.codec.name)
    known.store.redefine({
      ...known.store.spec,
      resident,
      merge: options.merge,
      sizeOf: options.sizeOf as TableSpec['sizeOf'],
      ttlMs: options.ttl?.defaultMs ?? this.#ttlMs,
    })
    const core = new TableCore<K, V>(this.state, known.store, options.key)
    this.#cores.set(name, core)
    this.#nameless.delete(name)
    return core
  }

  /** Seed of a table's hash: secret and random, unless chance is replaced by a test. */
  #seed(): number | undefined {
    return this.#random === undefined ? undefined : Math.floor(this.#random() * 2 ** 32)
  }
}

function describe(core: TableCore<unknown, unknown>): FoundTable {
  return { name: core.name, key: core.keyCodecName ?? null, value: core.resident.codec.name }
}

/** A key codec of which only the name is known: what it took once is taken again. */
function keyCodecNamed(name: string | null): KeyCodec<unknown> | undefined {
  return name === null ? undefined : { name, admit: (key) => key }
}

function requireSameCodecs<K, V>(table: Table<K, V>, known: TableCore<unknown, unknown>): void {
  const value = table.options.value?.name ?? codecs.structured().name
  const key = table.options.key?.name
  if (value !== known.resident.codec.name) {
    const message = `table '${table.name}' holds values of codec '${known.resident.codec.name}', not '${value}'`
    throw new VarveError('CODEC_MISMATCH', `${message}; use one definition of a table everywhere`)
  }
  if (key !== known.keyCodecName) {
    const message = `table '${table.name}' has keys of codec '${known.keyCodecName ?? 'any'}', not '${key ?? 'any'}'`
    throw new VarveError('CODEC_MISMATCH', `${message}; use one definition of a table everywhere`)
  }
}

/** Throws unless a table found at a place goes together with such codecs. */
function requireJoinable(found: FoundTable, place: string, key: string | null, value: string): void {
  const refuse = (what: string): VarveError =>
    new VarveError(
      'CODEC_MISMATCH',
      `table '${found.name}' ${place} ${what}; open it with the codecs it was written with`,
    )
  if (joinedCodecName(found.value, value) === undefined)
    throw refuse(`holds values of codec '${found.value}', not '${value}'`)
  if (found.key !== key) throw refuse(`has keys of codec '${found.key ?? 'any'}', not '${key ?? 'any'}'`)
}
