import { describe, expectTypeOf, it } from 'vitest'

import {
  type CheckReport,
  codecs,
  Database,
  type DatabaseEvents,
  type DatabaseOptions,
  type Handle,
  type Key,
  keys,
  merges,
  type ResolvedOptions,
  type Snapshot,
  type Stats,
} from 'varve'

interface Account {
  readonly owner: string
  readonly balance: number
}

describe('Database.open', () => {
  it('takes keys and values as type arguments', () => {
    expectTypeOf(Database.open<string, Account>()).resolves.toEqualTypeOf<Database<string, Account>>()
    expectTypeOf(Database.open<string, Account>({})).resolves.toEqualTypeOf<Database<string, Account>>()
  })

  it('without them takes every key, and values of unknown type', () => {
    expectTypeOf(Database.open()).resolves.toEqualTypeOf<Database<Key, unknown>>()
    expectTypeOf(Database.open({ isolation: 'snapshot' })).resolves.toEqualTypeOf<Database<Key, unknown>>()
  })

  it('infers them from codecs', () => {
    expectTypeOf(Database.open({ key: keys.string(), value: codecs.int32() })).resolves.toEqualTypeOf<
      Database<string, number>
    >()
    expectTypeOf(
      Database.open({ key: keys.tuple(keys.string(), keys.u64()), value: codecs.bytes() }),
    ).resolves.toEqualTypeOf<Database<readonly [string, bigint], Uint8Array>>()
  })

  it('takes the options that there are, undefined among them', () => {
    const options: DatabaseOptions<string, number> = {
      durability: 'memory',
      isolation: undefined,
      vacuum: false,
      maplet: { capacity: 5, autoResize: false },
      merge: merges.sum,
      clock: () => 0,
      sizeOf: (key, value) => key.length + value,
    }
    Database.open(options)
    Database.open<string, number>({ vacuum: { intervalMs: 5 } })
  })

  it('refuses those that there are not', () => {
    // @ts-expect-error misspelt
    Database.open({ isolaton: 'snapshot' })
    // @ts-expect-error no such level
    Database.open({ isolation: 'repeatable read' })
    // @ts-expect-error no such durability
    Database.open({ path: './here', durability: 'maybe' })
    // @ts-expect-error a path is a string
    Database.open({ path: new URL('file:///here') })
    // @ts-expect-error no such policy
    Database.open({ maxMemoryBytes: 1000, eviction: 'fifo' })
    // @ts-expect-error nothing else turns it off
    Database.open({ vacuum: true })
    // @ts-expect-error the interval is missing
    Database.open({ vacuum: {} })
    // @ts-expect-error a number
    Database.open({ maplet: { capacity: '5' } })
    // @ts-expect-error misspelt, inside
    Database.open({ maplet: { capasity: 5 } })
    // @ts-expect-error returns a number
    Database.open({ clock: () => 'now' })
    // @ts-expect-error the codec is of another type
    Database.open<string, number>({ value: codecs.string() })
    // @ts-expect-error an operator over sets for numbers
    Database.open<string, number>({ merge: merges.union })
  })

  it('cannot be gone round', () => {
    // @ts-expect-error opening may have to wait one day
    new Database()
    // @ts-expect-error opening takes options, not a path
    Database.open('./here')
  })
})

describe('a database', () => {
  const db = {} as Database<string, Account>

  it('has its parts typed', () => {
    expectTypeOf(db.handle()).toEqualTypeOf<Handle<string, Account>>()
    expectTypeOf(db.snapshot()).toEqualTypeOf<Snapshot<string, Account>>()
    expectTypeOf(db.snapshot({ safe: true })).toEqualTypeOf<Snapshot<string, Account>>()
    expectTypeOf(db.options).toEqualTypeOf<ResolvedOptions>()
    expectTypeOf(db.tables()).toEqualTypeOf<string[]>()
    expectTypeOf(db.vacuum()).resolves.toEqualTypeOf<{ versions: number; keys: number }>()
    expectTypeOf(db.check()).resolves.toEqualTypeOf<CheckReport>()
    expectTypeOf(db.stats()).toEqualTypeOf<Stats>()
    expectTypeOf(db.memoryUsage()).toEqualTypeOf<number>()
    expectTypeOf(db.sequence).toEqualTypeOf<number>()
    expectTypeOf(db.close()).resolves.toEqualTypeOf<void>()
    expectTypeOf(db.flush()).resolves.toEqualTypeOf<void>()
    // @ts-expect-error read only
    db.sequence = 5
    // @ts-expect-error read only
    db.options.isolation = 'snapshot'
    // @ts-expect-error read only
    db.stats().versions = 5
    // @ts-expect-error misspelt
    db.snapshot({ save: true })
  })

  it('is disposed of asynchronously, a snapshot at once', () => {
    expectTypeOf<Database<string, number>>().toExtend<AsyncDisposable>()
    expectTypeOf<Database<string, number>>().not.toExtend<Disposable>()
    expectTypeOf<Snapshot<string, number>>().toExtend<Disposable>()
  })

  it('types events by name', () => {
    expectTypeOf(db.on).parameter(0).toEqualTypeOf<keyof DatabaseEvents>()
    const stop = db.on('commit', (event) => {
      expectTypeOf(event).toEqualTypeOf<{ readonly sequence: number; readonly keys: number }>()
    })
    expectTypeOf(stop).toEqualTypeOf<() => void>()
    db.on('abort', ({ transaction, conflict }) => {
      expectTypeOf(transaction).toEqualTypeOf<number>()
      expectTypeOf(conflict?.keys).toEqualTypeOf<
        readonly { readonly table: string; readonly key: unknown }[] | undefined
      >()
    })
    db.on('vacuum', ({ versions, keys: removed }) => versions + removed)
    // @ts-expect-error no such event
    db.on('comit', () => {})
    db.on('evict', ({ table, bytes, reason }) => `${table} ${bytes} ${reason}`)
    // @ts-expect-error of another event
    db.on('vacuum', ({ sequence }) => sequence)
  })

  it('writes nothing through a snapshot', () => {
    const snapshot = db.snapshot()
    // @ts-expect-error a snapshot only reads
    snapshot.set('k', { owner: 'x', balance: 1 })
    // @ts-expect-error a snapshot only reads
    snapshot.transaction(() => {})
  })
})
