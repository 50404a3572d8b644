/** transactionSync: a whole transaction within one tick. */
import { describe, expect, it } from 'vitest'

import { type Transaction, TransactionError } from '../../src/index.ts'
import { contents, open, thrown, turn, withEntries } from './fixtures.ts'

describe('transactionSync()', () => {
  it('has committed when it returns what the callback returned', () => {
    const db = open()
    const result = db.handle().transactionSync((tx) => {
      tx.set('k', 1)
      return tx.get('k')
    })
    expect(result).toBe(1)
    expect(db.handle().get('k')).toBe(1)
    expect(db.sequence).toBe(1)
  })

  it('rolls back what throws and rethrows that very error', () => {
    const db = open()
    const mistake = new Error('mine')
    expect(() =>
      db.handle().transactionSync((tx) => {
        tx.set('k', 1)
        throw mistake
      }),
    ).toThrow(mistake)
    expect(db.sequence).toBe(0)
    expect(db.stats().transactions.open).toBe(0)
  })

  it('refuses an async callback, commits nothing, and closes the transaction to it', async () => {
    const db = open()
    let after = ''
    const callback = async (tx: Transaction<string, number>): Promise<void> => {
      tx.set('k', 1)
      await turn()
      after = thrown(() => tx.set('k', 2))
    }
    expect(thrown(() => db.handle().transactionSync(callback))).toBe('INVALID_ARGUMENT')
    expect(db.sequence).toBe(0)
    await turn()
    await turn()
    expect(after).toBe('TRANSACTION_CLOSED')
    expect(db.sequence).toBe(0)
  })

  it('refuses a promise that rejects without leaving the rejection unhandled', async () => {
    const unhandled: unknown[] = []
    const listen = (reason: unknown): void => void unhandled.push(reason)
    process.on('unhandledRejection', listen)
    const callback = async (): Promise<never> => {
      await Promise.resolve()
      throw new Error('late')
    }
    expect(thrown(() => open().handle().transactionSync(callback))).toBe('INVALID_ARGUMENT')
    await turn()
    await turn()
    process.off('unhandledRejection', listen)
    expect(unhandled).toEqual([])
  })

  it('runs beside open transactions and reads the newest state', async () => {
    const handle = await withEntries({ k: 1 })
    const open = handle.begin()
    open.set('other', 1)
    expect(handle.transactionSync((tx) => tx.swap('k', 2))).toBe(1)
    expect(open.get('k')).toBe(1)
    open.rollback()
    expect(handle.get('k')).toBe(2)
  })

  it('nests', () => {
    const handle = open().handle()
    handle.transactionSync((outer) => {
      outer.set('a', 1)
      handle.transactionSync((inner) => inner.set('b', 2))
    })
    expect(contents(handle)).toEqual([
      ['a', 1],
      ['b', 2],
    ])
  })

  it('can lose only to commits made inside its own callback, and runs again after them', async () => {
    const handle = await withEntries({ k: 1 })
    const heard: number[] = []
    let attempts = 0
    const result = handle.transactionSync(
      (tx) => {
        const n = tx.get('k') as number
        if (++attempts <= 2) void handle.set('k', n + 10)
        tx.set('k', n + 1)
        return attempts
      },
      { onRetry: (_error, attempt) => heard.push(attempt) },
    )
    expect(result).toBe(3)
    expect(handle.get('k')).toBe(22)
    expect(heard).toEqual([1, 2])
  })

  it('gives up after its retries, too', async () => {
    const handle = await withEntries({ k: 1 })
    let attempts = 0
    const losing = (retries?: number): unknown =>
      handle.transactionSync(
        (tx) => {
          attempts++
          const n = tx.get('k') as number
          void handle.set('k', n + 10)
          tx.set('k', n + 1)
        },
        retries === undefined ? {} : { retries },
      )
    expect(thrown(() => losing())).toBe('RETRIES_EXHAUSTED')
    expect(attempts).toBe(11)
    expect(() => losing(0)).toThrow(TransactionError)
    expect(attempts).toBe(12)
  })

  it('takes read-only and isolation', async () => {
    const handle = await withEntries({ k: 1 })
    expect(handle.transactionSync((tx) => tx.get('k'), { readOnly: true })).toBe(1)
    expect(handle.transactionSync((tx) => tx.get('k'), { readOnly: 'safe' })).toBe(1)
    expect(handle.transactionSync((tx) => tx.get('k'), { isolation: 'snapshot' })).toBe(1)
  })

  it('leaves committing to itself', () => {
    const handle = open().handle()
    handle.transactionSync((tx) => {
      tx.set('k', 1)
      void tx.commit().catch(() => {})
      tx.set('k', 2)
    })
    expect(handle.get('k')).toBe(2)
  })
})
