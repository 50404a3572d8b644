import { describe, expectTypeOf, it } from 'vitest'

import {
  codecs,
  type Database,
  type Handle,
  type Key,
  type KeyCodec,
  keys,
  type MergeOperator,
  merges,
  table,
  type Table,
  type TableOptions,
  type Transaction,
  type ValueCodec,
} from 'varve'

interface Account {
  readonly owner: string
  readonly balance: number
}

declare const db: Database<string, number>

describe('table()', () => {
  it('takes its types from its arguments', () => {
    expectTypeOf(table<string, Account>('accounts')).toEqualTypeOf<Table<string, Account>>()
    expectTypeOf(table('anything')).toEqualTypeOf<Table<Key, unknown>>()
  })

  it('infers keys and values from codecs', () => {
    expectTypeOf(table('t', { key: keys.string(), value: codecs.float64() })).toEqualTypeOf<Table<string, number>>()
    expectTypeOf(table('t', { key: keys.u64(), value: codecs.string() })).toEqualTypeOf<Table<bigint, string>>()
    expectTypeOf(table('t', { key: keys.bytes(), value: codecs.bytes() })).toEqualTypeOf<
      Table<Uint8Array, Uint8Array>
    >()
    expectTypeOf(table('t', { key: keys.string(), value: codecs.boolean() })).toEqualTypeOf<Table<string, boolean>>()
    expectTypeOf(table('t', { key: keys.i64(), value: codecs.biguint64() })).toEqualTypeOf<Table<bigint, bigint>>()
    expectTypeOf(table('t', { key: keys.string(), value: codecs.structured<Account>() })).toEqualTypeOf<
      Table<string, Account>
    >()
  })

  it('infers tuples, and takes plain arrays for them', () => {
    const entries = table('entries', { key: keys.tuple(keys.string(), keys.float64()), value: codecs.string() })
    expectTypeOf(entries).toEqualTypeOf<Table<readonly [string, number], string>>()
    const handle = db.handle(entries)
    const key: [string, number] = ['a', 1]
    handle.get(['a', 1])
    handle.get(key)
    handle.set(['a', 1], 'x')
    handle.keys({ gte: ['a', 1], prefix: ['a'] })
    handle.keys({ prefix: [] })
    expectTypeOf(handle.keys()).toEqualTypeOf<IterableIterator<readonly [string, number]>>()
    // @ts-expect-error two elements
    handle.get(['a'])
    // @ts-expect-error a string, then a number
    handle.get([1, 'a'])
    // @ts-expect-error no third element
    handle.get(['a', 1, 2])
    // @ts-expect-error the first element is a string
    handle.keys({ prefix: [1] })
    // @ts-expect-error a prefix is a tuple
    handle.keys({ prefix: 'a' })
  })

  it('takes named tuples as written in a type argument', () => {
    const entries = table<[account: string, at: number], Account>('entries')
    const handle = db.handle(entries)
    handle.set(['a', 1], { owner: 'a', balance: 1 })
    handle.count({ prefix: ['a'] })
    // @ts-expect-error a number second
    handle.set(['a', 'b'], { owner: 'a', balance: 1 })
  })

  it('takes ready-made merge operators without a cast', () => {
    expectTypeOf(table('n', { key: keys.string(), value: codecs.float64(), merge: merges.sum })).toEqualTypeOf<
      Table<string, number>
    >()
    table<string, number>('n', { merge: merges.sum })
    table<string, number>('n', { merge: merges.max })
    table<string, bigint>('n', { merge: merges.sum })
    table<string, bigint>('n', { merge: merges.min })
    table<string, boolean>('n', { merge: merges.or })
    table<string, number>('n', { merge: merges.and })
    table<string, Set<string>>('n', { merge: merges.union })
    table<string, readonly number[]>('n', { merge: merges.append })
    table<string, number[]>('n', { merge: merges.append })
    table<string, number[]>('n', { merge: merges.concat })
    table<string, string>('n', { merge: merges.concat })
    table<string, Uint8Array>('n', { merge: merges.concat })
    table<string, number[]>('n', { merge: merges.addVectors })
    table<string, Float64Array>('n', { merge: merges.addVectors })
    table<string, Account>('n', { merge: merges.replace })
  })

  it('takes operators of one’s own, whose operands may be of another type', () => {
    const deposit: MergeOperator<Account, number> = {
      identity: { owner: '', balance: 0 },
      merge: (account, amount) => ({ ...account, balance: account.balance + amount }),
      commutative: true,
    }
    table<string, Account>('accounts', { merge: deposit })
    table<string, number>('n', { merge: { identity: 0, merge: (a: number, b: number) => a * b } })
    table<string, number[]>('n', { merge: { identity: () => [], merge: (a: number[], b: number) => [...a, b] } })
    // @ts-expect-error an operator over accounts in a table of numbers
    table<string, number>('n', { merge: deposit })
    // @ts-expect-error an operator over sets in a table of accounts
    table<string, Account>('n', { merge: merges.union })
    // @ts-expect-error the identity is of another type
    table<string, number>('n', { merge: { identity: 'x', merge: (a: number) => a } })
    // @ts-expect-error no merge
    table<string, number>('n', { merge: { identity: 0 } })
  })

  it('takes codecs of one’s own', () => {
    const money: ValueCodec<{ cents: bigint }> = {
      name: 'money',
      encode: ({ cents }) => Buffer.from(String(cents)),
      decode: (bytes) => ({ cents: BigInt(Buffer.from(bytes).toString()) }),
    }
    expectTypeOf(table('t', { key: keys.string(), value: money })).toEqualTypeOf<Table<string, { cents: bigint }>>()
    // @ts-expect-error no decode
    table('t', { value: { name: 'x', encode: () => new Uint8Array() } })
  })

  it('types the arguments of sizeOf', () => {
    table('t', {
      key: keys.string(),
      value: codecs.bytes(),
      sizeOf: (key, value) => {
        expectTypeOf(key).toEqualTypeOf<string>()
        expectTypeOf(value).toEqualTypeOf<Uint8Array>()
        return key.length + value.length
      },
    })
    // @ts-expect-error a number
    table<string, string>('t', { sizeOf: () => 'x' })
  })

  it('refuses options that there are not', () => {
    // @ts-expect-error misspelt
    table('t', { valeu: codecs.string() })
    // @ts-expect-error a codec, not its factory
    table('t', { value: codecs.string })
    // @ts-expect-error entries is a number
    table('t', { capacity: { entries: '5' } })
    // @ts-expect-error a time is a number
    table('t', { ttl: { defaultMs: '5 min' } })
    // @ts-expect-error the sweeper is the database's
    table('t', { ttl: { sweepIntervalMs: 5 } })
    // @ts-expect-error a name is a string
    table(5)
    // @ts-expect-error the codec is of another type than the table
    table<string, number>('t', { value: codecs.string() })
    // @ts-expect-error the key codec is of another type than the table
    table<string, number>('t', { key: keys.u64() })
    const options: TableOptions<string, number> = { key: undefined, value: undefined, merge: undefined }
    table('t', options)
  })
})

describe('handles and transactions of tables', () => {
  const accounts = table<string, Account>('accounts')
  const counters = table('counters', { key: keys.u64(), value: codecs.int32(), merge: merges.sum })

  it('have the types of the table', () => {
    expectTypeOf(db.handle()).toEqualTypeOf<Handle<string, number>>()
    expectTypeOf(db.handle(accounts)).toEqualTypeOf<Handle<string, Account>>()
    expectTypeOf(db.handle(counters)).toEqualTypeOf<Handle<bigint, number>>()
    expectTypeOf(db.handle(accounts).get).returns.toEqualTypeOf<Account | undefined>()
    expectTypeOf(db.snapshot().table(counters).get(1n)).toEqualTypeOf<number | undefined>()
  })

  it('keep the tables of one transaction apart', () => {
    db.handle(accounts).transaction((tx) => {
      expectTypeOf(tx).toEqualTypeOf<Transaction<string, Account>>()
      expectTypeOf(tx.table(counters)).toEqualTypeOf<Transaction<bigint, number>>()
      tx.set('a', { owner: 'a', balance: 1 })
      tx.table(counters).set(1n, 2)
      // @ts-expect-error the value of another table
      tx.set('a', 2)
      // @ts-expect-error the key of another table
      tx.set(1n, { owner: 'a', balance: 1 })
      // @ts-expect-error the value of another table
      tx.table(counters).set(1n, { owner: 'a', balance: 1 })
      // @ts-expect-error the key of another table
      tx.table(counters).get('a')
      // @ts-expect-error a table, not its name
      tx.table('counters')
    })
    // @ts-expect-error a table, not its name
    db.handle('accounts')
  })

  it('do not mistake one table for another', () => {
    expectTypeOf<Table<string, Account>>().not.toExtend<Table<string, number>>()
    expectTypeOf<Table<string, Account>>().not.toExtend<Table<bigint, Account>>()
    expectTypeOf<KeyCodec<string>>().not.toExtend<KeyCodec<bigint>>()
    expectTypeOf<ValueCodec<string>>().not.toExtend<ValueCodec<number>>()
  })
})
