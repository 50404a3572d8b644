/** Errors: one class, stable codes, and conflicts that explain themselves. */
import { describe, expect, it } from 'vitest'

import {
  codecs,
  type ErrorCode,
  SerializationError,
  table,
  TransactionError,
  VarveError,
  WriteConflictError,
} from '../../src/index.ts'
import { failure, open, withEntries } from './fixtures.ts'

describe('every error', () => {
  it('is a VarveError and an Error with code, retryable and a message that says what to do', async () => {
    const handle = open<string, unknown>().handle()
    const calls: readonly (readonly [ErrorCode, () => unknown])[] = [
      ['INVALID_KEY', () => handle.get(Number.NaN as never)],
      ['INVALID_VALUE', () => handle.set('k', () => 1)],
      ['INVALID_ARGUMENT', () => handle.keys({ bound: 1 } as never)],
      ['INVALID_OPTIONS', () => handle.begin({ isolation: 'x' } as never)],
      ['READ_ONLY', () => handle.begin({ readOnly: true }).set('k', 1)],
      ['ABORTED', () => handle.transaction(() => 1, { signal: AbortSignal.abort() })],
    ]
    for (const [code, call] of calls) {
      const error = await failure(call)
      expect(error).toBeInstanceOf(VarveError)
      expect(error).toBeInstanceOf(Error)
      expect(error.code).toBe(code)
      expect(error.retryable).toBe(false)
      expect(error.name).toBe('VarveError')
      expect(error.message.length).toBeGreaterThan(20)
      expect(error.stack).toContain('errors.test.ts')
      expect(String(error)).toContain(error.message)
    }
  })

  it('never shows a value', async () => {
    const secret = 'hunter2'
    const handle = open<string, unknown>().handle()
    const typed = open().handle(table<string>('t', { value: codecs.int32() }))
    await handle.set('k', { secret })
    const messages = await Promise.all([
      failure(() => handle.set('k', { secret, f: () => secret })),
      failure(() => handle.set('k', new Map([[secret, () => 1]]))),
      failure(() => handle.set('k', [secret, Symbol(secret)])),
      failure(() => typed.set('k', secret)),
      failure(() => handle.compareAndSet('k', { secret }, Symbol('x'))),
      failure(() => handle.merge('k', { secret })),
      (async () => {
        const [first, second] = [handle.begin(), handle.begin()]
        for (const tx of [first, second]) tx.set('k', { secret, was: tx.get('k') })
        await first.commit()
        return failure(() => second.commit())
      })(),
    ])
    for (const error of messages) expect(`${error.message} ${JSON.stringify(error)}`).not.toContain(secret)
  })
})

describe('a WriteConflictError', () => {
  it('names the key that another transaction has changed', async () => {
    const handle = await withEntries({ k: 1 })
    const [first, second] = [handle.begin(), handle.begin()]
    for (const tx of [first, second]) tx.set('k', (tx.get('k') as number) + 1)
    await first.commit()
    const error = (await failure(() => second.commit())) as WriteConflictError
    expect(error).toBeInstanceOf(WriteConflictError)
    expect(error).toBeInstanceOf(TransactionError)
    expect(error).toMatchObject({ code: 'WRITE_CONFLICT', name: 'WriteConflictError', retryable: true })
    expect(error.conflict.victim).toBe(second.id)
    expect(error.conflict.keys).toEqual([{ table: 'default', key: 'k' }])
    expect(error.message).toContain('default["k"]')
    expect(error.message).toContain(String(second.id))
  })

  it('at the snapshot level too, where it is the first committer that wins', async () => {
    const handle = await withEntries({ k: 1 })
    const [first, second] = [handle.begin({ isolation: 'snapshot' }), handle.begin({ isolation: 'snapshot' })]
    for (const tx of [first, second]) tx.set('k', 5)
    await first.commit()
    const error = (await failure(() => second.commit())) as WriteConflictError
    expect(error).toBeInstanceOf(WriteConflictError)
    expect(error.conflict).toMatchObject({
      reason: 'overwritten',
      victim: second.id,
      keys: [{ table: 'default', key: 'k' }],
    })
    expect(error.message).toContain('default["k"]')
  })
})

describe('a SerializationError', () => {
  it('tells the cycle: every transaction and every key, in the report and in words', async () => {
    const db = open()
    const doctors = table<string, boolean>('doctors')
    await db.handle(doctors).transaction((tx) => {
      tx.set('alice', true)
      tx.set('bob', true)
    })
    const [first, second] = [db.handle(doctors).begin(), db.handle(doctors).begin()]
    expect(first.get('bob')).toBe(true)
    first.set('alice', false)
    expect(second.get('alice')).toBe(true)
    second.set('bob', false)
    await first.commit()
    const error = (await failure(() => second.commit())) as SerializationError
    expect(error).toBeInstanceOf(SerializationError)
    expect(error).toBeInstanceOf(TransactionError)
    expect(error).toMatchObject({ code: 'SERIALIZATION_FAILURE', name: 'SerializationError', retryable: true })
    const { conflict } = error
    expect(conflict.reason).toBe('cycle')
    expect(conflict.victim).toBe(second.id)
    expect(new Set(conflict.transactions)).toEqual(new Set([first.id, second.id]))
    expect(conflict.keys).toHaveLength(2)
    expect(conflict.keys).toEqual(
      expect.arrayContaining([
        { table: 'doctors', key: 'alice' },
        { table: 'doctors', key: 'bob' },
      ]),
    )
    expect(conflict.edges).toHaveLength(2)
    for (const [i, edge] of conflict.edges.entries()) {
      expect(edge.kind).toBe('rw')
      expect(edge.to).toBe((conflict.edges[(i + 1) % 2] as typeof edge).from)
    }
    for (const word of ['doctors["alice"]', 'doctors["bob"]', `${first.id}`, `${second.id}`, 'again']) {
      expect(error.message).toContain(word)
    }
  })

  it('goes round in a closed cycle, however long, and keeps its message short', async () => {
    const handle = open().handle()
    const length = 12
    for (let i = 0; i < length; i++) await handle.set(`k${i}`, 0)
    const ring = Array.from({ length }, () => handle.begin())
    for (const [i, tx] of ring.entries()) {
      tx.get(`k${i}`)
      tx.set(`k${(i + 1) % length}`, 1)
    }
    for (const tx of ring.slice(0, -1)) await tx.commit()
    const error = (await failure(() => (ring.at(-1) as (typeof ring)[number]).commit())) as SerializationError
    const { edges, transactions, keys } = error.conflict
    expect(edges).toHaveLength(length)
    expect(transactions.toSorted((a, b) => a - b)).toEqual(ring.map(({ id }) => id).toSorted((a, b) => a - b))
    expect(keys).toHaveLength(length)
    for (const [i, edge] of edges.entries()) expect(edge.to).toBe(edges[(i + 1) % length]?.from)
    expect(error.message.length).toBeLessThan(1000)
  })

  it('names keys of every kind readably, and hands them out as copies', async () => {
    const handle = open<Uint8Array | readonly string[]>().handle()
    const keys = [Uint8Array.of(1, 2), ['a', 'b']] as const
    const [first, second] = [handle.begin(), handle.begin()]
    first.get(keys[0])
    second.get(keys[1])
    first.set(keys[1], 1)
    second.set(keys[0], 1)
    await first.commit()
    const error = (await failure(() => second.commit())) as SerializationError
    expect(error.message).toContain('0x0102')
    expect(error.message).toContain('["a", "b"]')
    for (const { key } of error.conflict.keys) if (key instanceof Uint8Array) key.fill(9)
    for (const { key } of error.conflict.edges) if (key instanceof Uint8Array) key.fill(9)
    expect([...handle.keys()]).toEqual([['a', 'b']])
  })

  it('can be told apart by code, by class and by instanceof of the common one', async () => {
    const handle = await withEntries({ k: 1 })
    const seen: string[] = []
    await handle.transaction(
      async (tx) => {
        const n = tx.get('k') as number
        if (seen.length === 0) await handle.set('k', 7)
        tx.set('k', n + 1)
      },
      { onRetry: (error) => seen.push(`${error.code} ${error.constructor.name} ${error instanceof TransactionError}`) },
    )
    expect(seen).toEqual(['WRITE_CONFLICT WriteConflictError true'])
  })
})
