import { describe, expectTypeOf, it } from 'vitest'

import {
  type AsyncEntry,
  type Entry,
  type ErrorCode,
  type Handle,
  type Range,
  type Reader,
  type Savepoint,
  SerializationError,
  type Snapshot,
  type Transaction,
  TransactionError,
  type TransactionOptions,
  VarveError,
  WriteConflictError,
} from 'varve'

interface Account {
  readonly owner: string
  readonly balance: number
}

declare const handle: Handle<string, Account>
declare const tx: Transaction<string, Account>
const account: Account = { owner: 'a', balance: 1 }

describe('reading', () => {
  it('is one interface', () => {
    expectTypeOf<Handle<string, Account>>().toExtend<Reader<string, Account>>()
    expectTypeOf<Transaction<string, Account>>().toExtend<Reader<string, Account>>()
    expectTypeOf<Snapshot<string, Account>>().toExtend<Reader<string, Account>>()
    expectTypeOf<Reader<string, Account>>().not.toExtend<Transaction<string, Account>>()
  })

  it('may find nothing', () => {
    expectTypeOf(handle.get('k')).toEqualTypeOf<Account | undefined>()
    expectTypeOf(handle.getMany(['k'])).toEqualTypeOf<(Account | undefined)[]>()
    expectTypeOf(handle.getMany(new Set(['k']))).toEqualTypeOf<(Account | undefined)[]>()
    expectTypeOf(handle.has('k')).toEqualTypeOf<boolean>()
    // @ts-expect-error it may be undefined
    expectTypeOf(handle.get('k').balance)
  })

  it('iterates pairs, keys and values', () => {
    expectTypeOf(handle.entries()).toEqualTypeOf<IterableIterator<[string, Account]>>()
    expectTypeOf(handle.keys()).toEqualTypeOf<IterableIterator<string>>()
    expectTypeOf(handle.values()).toEqualTypeOf<IterableIterator<Account>>()
    expectTypeOf(handle.stream()).toEqualTypeOf<AsyncIterableIterator<[string, Account]>>()
    expectTypeOf(handle.count({ prefix: 'a' })).toEqualTypeOf<number>()
    for (const [key, value] of handle.entries({ gt: 'a', limit: 5 })) {
      expectTypeOf(key).toEqualTypeOf<string>()
      expectTypeOf(value).toEqualTypeOf<Account>()
    }
    expectTypeOf(new Map(handle.entries())).toEqualTypeOf<Map<string, Account>>()
  })

  it('is synchronous: there is nothing to await', () => {
    expectTypeOf(tx.get).returns.not.toExtend<Promise<unknown>>()
    expectTypeOf(handle.size).toEqualTypeOf<number>()
    expectTypeOf(handle.sizeBytes).toEqualTypeOf<number>()
    // @ts-expect-error read only
    handle.size = 5
  })

  it('refuses keys and ranges of other types', () => {
    // @ts-expect-error a string
    handle.get(5)
    // @ts-expect-error strings
    handle.getMany([1, 2])
    // @ts-expect-error strings
    handle.keys({ gt: 5 })
    // @ts-expect-error misspelt
    handle.keys({ greaterThan: 'a' })
    // @ts-expect-error a number
    handle.count({ limit: '5' })
    const range: Range<string> = { gte: 'a', lt: undefined }
    handle.keys(range)
  })
})

describe('writing through a handle', () => {
  it('gives promises of what the calls are about', () => {
    expectTypeOf(handle.set('k', account)).resolves.toEqualTypeOf<void>()
    expectTypeOf(handle.delete('k')).resolves.toEqualTypeOf<boolean>()
    expectTypeOf(handle.take('k')).resolves.toEqualTypeOf<Account | undefined>()
    expectTypeOf(handle.swap('k', account)).resolves.toEqualTypeOf<Account | undefined>()
    expectTypeOf(handle.update('k', (current) => current)).resolves.toEqualTypeOf<Account | undefined>()
    expectTypeOf(handle.compareAndSet('k', undefined, account)).resolves.toEqualTypeOf<boolean>()
    expectTypeOf(handle.getOrInsert('k', account)).resolves.toEqualTypeOf<Account>()
    expectTypeOf(handle.getOrInsertComputed('k', () => account)).resolves.toEqualTypeOf<Account>()
    expectTypeOf(handle.clear()).resolves.toEqualTypeOf<void>()
    expectTypeOf(handle.merge('k', 5)).resolves.toEqualTypeOf<void>()
    expectTypeOf(handle.entry('k')).toEqualTypeOf<AsyncEntry<string, Account>>()
    expectTypeOf(handle.entry('k').orInsert(account)).resolves.toEqualTypeOf<Account>()
    expectTypeOf(handle.entry('k').set(account)).resolves.toEqualTypeOf<Account | undefined>()
    expectTypeOf(handle.entry('k').value).toEqualTypeOf<Account | undefined>()
  })

  it('refuses values of other types', () => {
    // @ts-expect-error an account
    handle.set('k', 5)
    // @ts-expect-error an account has an owner
    handle.set('k', { balance: 5 })
    // @ts-expect-error deleting is delete(), or update
    handle.set('k', undefined)
    // @ts-expect-error it may be undefined
    handle.update('k', (current) => current.balance)
    // @ts-expect-error a synchronous function
    handle.update('k', async () => account)
    // @ts-expect-error an account
    handle.getOrInsertComputed('k', () => undefined)
    // @ts-expect-error accounts
    handle.compareAndSet('k', 1, 2)
  })
})

describe('a transaction', () => {
  it('gives what its callback gives', () => {
    expectTypeOf(handle.transaction(() => 5)).resolves.toEqualTypeOf<number>()
    expectTypeOf(handle.transaction(async () => 'x')).resolves.toEqualTypeOf<string>()
    expectTypeOf(handle.transaction((inside) => inside.get('k'))).resolves.toEqualTypeOf<Account | undefined>()
    expectTypeOf(handle.transaction(async (inside) => inside.set('k', account))).resolves.toEqualTypeOf<void>()
    expectTypeOf(handle.transactionSync((inside) => inside.count())).toEqualTypeOf<number>()
    expectTypeOf(handle.begin()).toEqualTypeOf<Transaction<string, Account>>()
  })

  it('is synchronous in all but its commit', () => {
    expectTypeOf(tx.set('k', account)).toEqualTypeOf<void>()
    expectTypeOf(tx.delete('k')).toEqualTypeOf<boolean>()
    expectTypeOf(tx.take('k')).toEqualTypeOf<Account | undefined>()
    expectTypeOf(tx.swap('k', account)).toEqualTypeOf<Account | undefined>()
    expectTypeOf(tx.update('k', () => undefined)).toEqualTypeOf<Account | undefined>()
    expectTypeOf(tx.compareAndSet('k', account, undefined)).toEqualTypeOf<boolean>()
    expectTypeOf(tx.getOrInsert('k', account)).toEqualTypeOf<Account>()
    expectTypeOf(tx.getOrInsertComputed('k', (key) => ({ owner: key, balance: 0 }))).toEqualTypeOf<Account>()
    expectTypeOf(tx.merge('k', { any: 'operand' })).toEqualTypeOf<void>()
    expectTypeOf(tx.clear()).toEqualTypeOf<void>()
    expectTypeOf(tx.commit()).toEqualTypeOf<Promise<void>>()
    expectTypeOf(tx.rollback()).toEqualTypeOf<void>()
    expectTypeOf(tx.savepoint()).toEqualTypeOf<Savepoint>()
    expectTypeOf(tx.id).toEqualTypeOf<number>()
    expectTypeOf(tx.sequence).toEqualTypeOf<number>()
    expectTypeOf<typeof tx>().toExtend<Disposable>()
    // @ts-expect-error a savepoint
    tx.rollbackTo(5)
    // @ts-expect-error read only
    tx.id = 5
  })

  it('has entries that chain', () => {
    const entry = tx.entry('k')
    expectTypeOf(entry).toEqualTypeOf<Entry<string, Account>>()
    expectTypeOf(entry.key).toEqualTypeOf<string>()
    expectTypeOf(entry.exists).toEqualTypeOf<boolean>()
    expectTypeOf(entry.value).toEqualTypeOf<Account | undefined>()
    expectTypeOf(entry.set(account)).toEqualTypeOf<Account | undefined>()
    expectTypeOf(entry.delete()).toEqualTypeOf<Account | undefined>()
    expectTypeOf(
      entry.andModify((value) => ({ ...value, balance: value.balance + 1 })).orInsert(account),
    ).toEqualTypeOf<Account>()
    // @ts-expect-error an account
    entry.andModify(() => 5)
    // @ts-expect-error an account
    entry.orInsert(5)
  })

  it('takes its options, and no others', () => {
    const options: TransactionOptions = {
      isolation: 'snapshot',
      readOnly: 'safe',
      retries: 5,
      signal: AbortSignal.timeout(5),
      onRetry: (error, attempt) => {
        expectTypeOf(error).toEqualTypeOf<TransactionError>()
        expectTypeOf(attempt).toEqualTypeOf<number>()
      },
    }
    handle.begin(options)
    handle.begin({ isolation: undefined })
    // @ts-expect-error misspelt
    handle.begin({ isolatoin: 'snapshot' })
    // @ts-expect-error no such level
    handle.transaction(() => 1, { isolation: 'read committed' })
    // @ts-expect-error true, false or safe
    handle.transaction(() => 1, { readOnly: 'yes' })
    // @ts-expect-error a number
    handle.transactionSync(() => 1, { retries: '5' })
  })
})

describe('errors', () => {
  it('have a code that is one of the catalogue', () => {
    const error = {} as VarveError
    expectTypeOf(error.code).toEqualTypeOf<ErrorCode>()
    expectTypeOf<'WRITE_CONFLICT'>().toExtend<ErrorCode>()
    expectTypeOf<'NO_SUCH_CODE'>().not.toExtend<ErrorCode>()
    expectTypeOf(error.retryable).toEqualTypeOf<boolean>()
    // @ts-expect-error never equal
    if (error.code === 'NO_SUCH_CODE') throw error
    // @ts-expect-error read only
    error.code = 'IO'
  })

  it('are classes of one family', () => {
    expectTypeOf<SerializationError>().toExtend<TransactionError>()
    expectTypeOf<WriteConflictError>().toExtend<TransactionError>()
    expectTypeOf<TransactionError>().toExtend<VarveError>()
    expectTypeOf<VarveError>().toExtend<Error>()
    const error: unknown = undefined
    if (error instanceof TransactionError) {
      expectTypeOf(error.conflict.reason).toEqualTypeOf<
        'cycle' | 'overwritten' | 'favoured' | 'evicted' | 'graph-full'
      >()
      expectTypeOf(error.conflict.transactions).toEqualTypeOf<readonly number[]>()
    }
  })
})
