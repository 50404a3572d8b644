/** begin(): transactions that the caller ends, any number at once, and those that nobody ends. */
import { describe, expect, it } from 'vitest'

import { table } from '../../src/index.ts'
import { collectGarbage, contents, open, refusal, thrown, withEntries } from './fixtures.ts'

describe('begin()', () => {
  it('commits what it wrote, and only then', async () => {
    const handle = open().handle()
    const tx = handle.begin()
    tx.set('k', 1)
    expect(handle.has('k')).toBe(false)
    expect(await tx.commit()).toBeUndefined()
    expect(handle.get('k')).toBe(1)
  })

  it('has committed when commit() returns, before its promise settles', () => {
    const handle = open().handle()
    const tx = handle.begin()
    tx.set('k', 1)
    void tx.commit()
    expect(handle.get('k')).toBe(1)
  })

  it('rolls back on demand, and at the end of a scope of using', () => {
    const db = open()
    const tx = db.handle().begin()
    tx.set('k', 1)
    tx.rollback()
    {
      using scoped = db.handle().begin()
      scoped.set('k', 1)
    }
    expect(db.sequence).toBe(0)
    expect(db.stats().transactions).toMatchObject({ open: 0, rollbacks: 2 })
  })

  it('keeps its commit when the scope of using ends after it', async () => {
    const handle = open().handle()
    {
      using tx = handle.begin()
      tx.set('k', 1)
      await tx.commit()
    }
    expect(handle.get('k')).toBe(1)
  })

  it('gives hundreds at once, each independent of all others and of its handle', async () => {
    const db = open<number>()
    const transactions = Array.from({ length: 500 }, () => db.handle().begin())
    expect(db.stats().transactions.open).toBe(500)
    transactions.forEach((tx, i) => {
      tx.set(i, i)
      expect(tx.get(i)).toBe(i)
      expect(tx.has((i + 1) % 500)).toBe(false)
    })
    for (const [i, tx] of transactions.entries()) {
      if (i % 2 === 0) tx.rollback()
    }
    const outcomes = await Promise.allSettled(transactions.filter((_, i) => i % 2 === 1).map((tx) => tx.commit()))
    expect(outcomes.every(({ status }) => status === 'fulfilled')).toBe(true)
    expect([...db.handle().keys()]).toEqual(Array.from({ length: 250 }, (_, i) => 2 * i + 1))
    expect(db.stats().transactions.open).toBe(0)
  })

  it('is refused like others, and is over then: begin again', async () => {
    const handle = await withEntries({ k: 1 })
    const [first, second] = [handle.begin(), handle.begin()]
    first.set('k', (first.get('k') as number) + 1)
    second.set('k', (second.get('k') as number) + 1)
    await first.commit()
    expect(await refusal(() => second.commit())).toBe('WRITE_CONFLICT')
    expect(await refusal(() => second.commit())).toBe('TRANSACTION_CLOSED')
    const again = handle.begin()
    again.set('k', (again.get('k') as number) + 1)
    await again.commit()
    expect(handle.get('k')).toBe(3)
  })

  it('committed twice says so the second time', async () => {
    const handle = open().handle()
    const tx = handle.begin()
    tx.set('k', 1)
    const [first, second] = [tx.commit(), tx.commit()]
    await first
    expect(await refusal(() => second)).toBe('TRANSACTION_CLOSED')
    expect(handle.get('k')).toBe(1)
  })

  it('may be committed or rolled back through the facade of another table', async () => {
    const db = open()
    const other = table<string, number>('other')
    const tx = db.handle().begin()
    tx.set('k', 1)
    const facade = tx.table(other)
    facade.set('x', 1)
    await facade.commit()
    expect(db.handle().get('k')).toBe(1)
    expect(db.handle(other).get('x')).toBe(1)
    const undone = db.handle().begin()
    undone.set('k', 2)
    undone.table(other).rollback()
    expect(db.handle().get('k')).toBe(1)
  })
})

describe('a transaction that nobody ends', () => {
  it('is rolled back and counted when it is collected', async () => {
    const db = open()
    ;(() => {
      for (let i = 0; i < 50; i++) db.handle().begin().set(`k${i}`, i)
    })()
    expect(db.stats().transactions.open).toBe(50)
    await collectGarbage()
    expect(db.stats().transactions).toMatchObject({ open: 0, leaked: 50, rollbacks: 50 })
    expect(db.sequence).toBe(0)
  })

  it('is not what a transaction is that was ended', async () => {
    const db = open()
    await (async () => {
      for (let i = 0; i < 50; i++) {
        const tx = db.handle().begin()
        tx.set(`k${i}`, i)
        if (i % 2 === 0) await tx.commit()
        else tx.rollback()
      }
    })()
    await collectGarbage()
    expect(db.stats().transactions.leaked).toBe(0)
    expect(db.handle().size).toBe(25)
  })

  it('lives as long as anything made from it is held: the facade of another table', async () => {
    const db = open()
    const other = table<string, number>('other')
    const facade = db.handle().begin().table(other)
    facade.set('x', 1)
    await collectGarbage()
    facade.set('y', 1)
    await facade.commit()
    expect(contents(db.handle(other))).toEqual([
      ['x', 1],
      ['y', 1],
    ])
    expect(db.stats().transactions.leaked).toBe(0)
  })

  it('likewise an entry, an iterator, a stream', async () => {
    const handle = await withEntries({ a: 1, b: 2 })
    const entry = handle.begin().entry('a')
    const iterator = handle.begin().entries()
    const stream = handle.begin().stream()
    iterator.next()
    await stream.next()
    await collectGarbage()
    expect(entry.value).toBe(1)
    expect(iterator.next().value).toEqual(['b', 2])
    expect((await stream.next()).value).toEqual(['b', 2])
  })
})

describe('a snapshot that nobody closes', () => {
  it('is closed and counted when it is collected', async () => {
    const db = open()
    ;(() => void db.snapshot())()
    expect(db.stats().transactions.open).toBe(1)
    await collectGarbage()
    expect(db.stats().transactions).toMatchObject({ open: 0, leaked: 1 })
  })

  it('lives as long as anything made from it is held', async () => {
    const db = open()
    const other = table<string, number>('other')
    await db.handle().set('a', 1)
    await db.handle().set('b', 2)
    await db.handle(other).set('x', 1)
    const facade = db.snapshot().table(other)
    const iterator = db.snapshot().entries()
    iterator.next()
    await db.handle(other).delete('x')
    await collectGarbage()
    expect(facade.get('x')).toBe(1)
    expect(iterator.next().value).toEqual(['b', 2])
    facade.close()
  })
})

describe('an iterator of a handle that nobody finishes', () => {
  it('lets its snapshot go when it is collected', async () => {
    const db = open<string, unknown>()
    await db.handle().set('a', 1)
    await db.handle().set('b', 1)
    const start = async (): Promise<void> => {
      for (let i = 0; i < 50; i++) {
        const iterator = db.handle().entries()
        iterator.next()
        // A commit and a turn: from here on it holds a snapshot.
        await db.handle().set('a', i)
      }
    }
    await start()
    expect(db.stats().transactions.open).toBe(50)
    await collectGarbage()
    expect(db.stats().transactions).toMatchObject({ open: 0, leaked: 50 })
    await db.vacuum()
    expect(db.stats().versions).toBe(2)
  })

  it('costs nothing if it is drained, returned or broken out of', async () => {
    const db = open()
    const handle = db.handle()
    for (const key of ['a', 'b', 'c']) await handle.set(key, 1)
    expect([...handle.keys()]).toHaveLength(3)
    for (const key of handle.keys()) if (key === 'b') break
    const iterator = handle.entries()
    iterator.next()
    await Promise.resolve()
    iterator.return?.()
    expect(db.stats().transactions.open).toBe(0)
    await collectGarbage()
    expect(db.stats().transactions.leaked).toBe(0)
  })
})

describe('the signal of begin()', () => {
  it('rolls the transaction back when it fires, and its next call says so', async () => {
    const db = open()
    const handle = db.handle()
    const control = new AbortController()
    const tx = handle.begin({ signal: control.signal })
    tx.set('a', 1)
    control.abort(new Error('enough'))
    expect(thrown(() => tx.get('a'))).toBe('ABORTED')
    await expect(tx.commit()).rejects.toMatchObject({ code: 'ABORTED' })
    expect(handle.size).toBe(0)
    expect(thrown(() => handle.begin({ signal: control.signal }))).toBe('ABORTED')
  })

  it('does nothing to a transaction that has ended', async () => {
    const handle = open().handle()
    const control = new AbortController()
    const tx = handle.begin({ signal: control.signal })
    tx.set('a', 1)
    await tx.commit()
    control.abort()
    expect(handle.get('a')).toBe(1)
  })

  it('is heard by transactionSync when its own callback fires it', () => {
    const handle = open().handle()
    const control = new AbortController()
    const run = () =>
      handle.transactionSync(
        (tx) => {
          tx.set('a', 1)
          control.abort()
        },
        { signal: control.signal },
      )
    expect(thrown(run)).toBe('ABORTED')
    expect(handle.size).toBe(0)
  })
})
