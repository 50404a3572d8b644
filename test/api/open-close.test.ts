/** Opening and closing, whatever is still open. */
import { describe, expect, it } from 'vitest'

import { Database, table } from '../../src/index.ts'
import { failure, gate, open, refusal, thrown, turn } from './fixtures.ts'

describe('opening', () => {
  it('needs no options', async () => {
    const db = await Database.open()
    expect(db.sequence).toBe(0)
    expect(db.tables()).toEqual(['default'])
    expect([...db.handle().entries()]).toEqual([])
    await db.close()
  })

  it('gives databases that know nothing of each other', async () => {
    const [one, two] = [open(), open()]
    await one.handle().set('k', 1)
    expect(two.handle().get('k')).toBeUndefined()
    expect(two.sequence).toBe(0)
    await two.close()
    expect(one.handle().get('k')).toBe(1)
  })

  it('resolves the options and freezes them, all the way down', () => {
    const db = open({ isolation: 'snapshot', vacuum: { intervalMs: 7 } })
    expect(db.options).toMatchObject({ durability: 'memory', isolation: 'snapshot', vacuum: { intervalMs: 7 } })
    expect(db.options.maplet.autoResize).toBe(true)
    expect(Object.isFrozen(db.options)).toBe(true)
    expect(Object.isFrozen(db.options.vacuum)).toBe(true)
    expect(Object.isFrozen(db.options.maplet)).toBe(true)
  })

  it('does not look at the options again', async () => {
    const options = { isolation: 'snapshot' as 'snapshot' | 'serializable', vacuum: { intervalMs: 10 } }
    const db = open(options)
    options.isolation = 'serializable'
    options.vacuum.intervalMs = 99
    expect(db.options).toMatchObject({ isolation: 'snapshot', vacuum: { intervalMs: 10 } })
  })
})

describe('closing', () => {
  it('twice gives the same promise', async () => {
    const db = open()
    const closing = db.close()
    expect(db.close()).toBe(closing)
    await closing
    expect(db.close()).toBe(closing)
    await db.close()
  })

  it('comes at the end of a scope of await using', async () => {
    let seen: Database<string, number>
    {
      await using db = await Database.open<string, number>()
      seen = db
      await db.handle().set('k', 1)
    }
    expect(thrown(() => seen.handle())).toBe('CLOSED')
  })

  it('refuses every call after it with CLOSED, thrown by what is synchronous and rejected by what is not', async () => {
    const db = open()
    const handle = db.handle()
    await handle.set('k', 1)
    await db.close()
    const synchronous: (() => unknown)[] = [
      () => db.handle(),
      () => db.handle(table('t')),
      () => db.tables(),
      () => db.snapshot(),
      () => db.stats(),
      () => db.memoryUsage(),
      () => db.on('commit', () => {}),
      () => handle.get('k'),
      () => handle.getMany(['k']),
      () => handle.has('k'),
      () => handle.count(),
      () => handle.entries(),
      () => handle.keys(),
      () => handle.values(),
      () => handle.stream(),
      () => handle.size,
      () => handle.sizeBytes,
      () => handle.entry('k'),
      () => handle.begin(),
      () => handle.transactionSync(() => 1),
    ]
    for (const call of synchronous) expect([String(call), thrown(call)]).toEqual([String(call), 'CLOSED'])
    const asynchronous: (() => Promise<unknown>)[] = [
      () => db.vacuum(),
      () => db.check(),
      () => db.flush(),
      () => handle.prefetch(['k']),
      () => handle.set('k', 2),
      () => handle.delete('k'),
      () => handle.take('k'),
      () => handle.swap('k', 2),
      () => handle.update('k', () => 2),
      () => handle.merge('k', 2),
      () => handle.compareAndSet('k', 1, 2),
      () => handle.getOrInsert('k', 2),
      () => handle.getOrInsertComputed('k', () => 2),
      () => handle.clear(),
      () => handle.transaction(() => 1),
    ]
    for (const call of asynchronous) {
      const promise = call()
      expect([String(call), await refusal(() => promise)]).toEqual([String(call), 'CLOSED'])
    }
  })

  it('keeps what needs no database: options and sequence', async () => {
    const db = open()
    await db.handle().set('k', 1)
    await db.close()
    expect(db.sequence).toBe(1)
    expect(db.options.isolation).toBe('serializable')
  })

  it('rolls back transactions that are open: their next call and their promise give CLOSED', async () => {
    const db = open()
    const handle = db.handle()
    const begun = handle.begin()
    begun.set('k', 1)
    const paused = gate()
    let inside = ''
    const running = handle.transaction(async (tx) => {
      tx.set('k', 2)
      await paused.passed
      inside = thrown(() => tx.get('k'))
      return 'done'
    })
    await turn()
    await db.close()
    expect(thrown(() => begun.get('k'))).toBe('CLOSED')
    expect(await refusal(() => begun.commit())).toBe('CLOSED')
    paused.open()
    expect(await refusal(() => running)).toBe('CLOSED')
    expect(inside).toBe('CLOSED')
  })

  it('does not wait for callbacks that never settle', async () => {
    const db = open()
    void db.handle().transaction(async () => new Promise<void>(() => {}))
    await db.close()
    expect(thrown(() => db.stats())).toBe('CLOSED')
  })

  it('ends iterators, streams and snapshots that are half consumed', async () => {
    const db = open()
    const handle = db.handle()
    for (const key of ['a', 'b', 'c']) await handle.set(key, 1)
    const started = handle.entries()
    started.next()
    const fresh = handle.keys()
    const snapshot = db.snapshot()
    const inSnapshot = snapshot.values()
    inSnapshot.next()
    const stream = handle.stream()
    await stream.next()
    await db.close()
    expect(thrown(() => started.next())).toBe('CLOSED')
    expect(thrown(() => fresh.next())).toBe('CLOSED')
    expect(thrown(() => inSnapshot.next())).toBe('CLOSED')
    expect(thrown(() => snapshot.get('a'))).toBe('CLOSED')
    expect(await refusal(() => stream.next())).toBe('CLOSED')
    for (const iterator of [started, fresh, inSnapshot]) {
      expect(iterator.next()).toEqual({ value: undefined, done: true })
      expect(iterator.return?.()).toEqual({ value: undefined, done: true })
    }
    snapshot.close()
    snapshot[Symbol.dispose]()
  })

  it('inside a transaction of its own refuses that transaction', async () => {
    const db = open()
    const outcome = await refusal(() =>
      db.handle().transaction(async (tx) => {
        tx.set('k', 1)
        await db.close()
        tx.set('k', 2)
      }),
    )
    expect(outcome).toBe('CLOSED')
    expect(db.sequence).toBe(0)
  })

  it('inside a synchronous transaction refuses that transaction', () => {
    const db = open()
    expect(
      thrown(() =>
        db.handle().transactionSync((tx) => {
          tx.set('k', 1)
          void db.close()
        }),
      ),
    ).toBe('CLOSED')
    expect(db.sequence).toBe(0)
  })

  it('stops retries that are waiting', async () => {
    const db = open()
    const handle = db.handle()
    let attempts = 0
    const losing = handle.transaction(
      async (tx) => {
        attempts++
        const n = tx.get('k') ?? 0
        await handle.set('k', n + 10)
        tx.set('k', n + 1)
      },
      { retries: 1000, onRetry: (_error, attempt) => void (attempt === 3 && db.close()) },
    )
    expect(await refusal(() => losing)).toBe('CLOSED')
    expect(attempts).toBeLessThan(6)
  })

  it('says what to do', async () => {
    const db = open()
    await db.close()
    const error = await failure(() => db.handle())
    expect(error.retryable).toBe(false)
    expect(error.message).toMatch(/closed/)
  })

  it('lets the process end: nothing of a forgotten database keeps it alive', () => {
    const active = (): number =>
      process.getActiveResourcesInfo().filter((kind) => /^(Timeout|Immediate)$/.test(kind)).length
    const before = active()
    const db = open()
    const handle = db.handle()
    const snapshot = db.snapshot()
    for (let i = 0; i < 10_000; i++) void handle.set(`k${i % 100}`, i)
    snapshot.close()
    for (let i = 0; i < 100; i++) void handle.delete(`k${i}`)
    expect(active()).toBeLessThanOrEqual(before)
  })
})
