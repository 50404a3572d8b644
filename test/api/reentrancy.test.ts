/** Code of the user's that runs inside a call, and calls back: callbacks, operators, sizeOf, codecs, getters. */
import { describe, expect, it } from 'vitest'

import {
  type Database,
  type Handle,
  type MergeOperator,
  table,
  type Transaction,
  type ValueCodec,
} from '../../src/index.ts'
import { contents, open, refusal, thrown, turn, withEntries } from './fixtures.ts'

/** A table whose operator does something else first, once. */
function sneaky(): { merge: MergeOperator<number>; act: (() => unknown) | undefined; caught: unknown } {
  const state: ReturnType<typeof sneaky> = {
    act: undefined,
    caught: undefined,
    merge: {
      identity: 0,
      merge: (a, b) => {
        const { act } = state
        state.act = undefined
        try {
          act?.()
        } catch (error) {
          state.caught = error
          throw error
        }
        return a + b
      },
    },
  }
  return state
}

describe('the callback of update', () => {
  it('may write other keys through the handle', async () => {
    const handle = await withEntries({ a: 1 })
    await handle.update('a', (n) => {
      void handle.set('b', 5)
      return (n as number) + 1
    })
    expect(contents(handle)).toEqual([
      ['a', 2],
      ['b', 5],
    ])
  })

  it('may write other keys through the transaction', async () => {
    const handle = await withEntries({ a: 1 })
    await handle.transaction((tx) => {
      tx.update('a', (n) => {
        tx.set('b', 1)
        tx.delete('c')
        expect(tx.update('d', () => 4)).toBe(4)
        return (n as number) + 1
      })
    })
    expect(contents(handle)).toEqual([
      ['a', 2],
      ['b', 1],
      ['d', 4],
    ])
  })

  it('that writes its own key through the handle once is run again', async () => {
    const handle = await withEntries({ a: 1 })
    let runs = 0
    const outcome = await handle.update('a', (n) => {
      if (runs++ === 0) void handle.set('a', 10)
      return (n as number) + 1
    })
    expect([outcome, runs, handle.get('a')]).toEqual([11, 2, 11])
  })

  it('that does so every time is given up on, and does not stop the event loop', async () => {
    const handle = await withEntries({ a: 1 })
    let runs = 0
    const outcome = handle.update('a', (n) => {
      if (++runs < 1000) void handle.set('a', runs)
      return (n as number) + 1
    })
    expect(await refusal(() => outcome)).toBe('RETRIES_EXHAUSTED')
    expect(runs).toBeLessThan(100)
  })

  it('that ends its transaction gets the refusal of its own call', async () => {
    const handle = await withEntries({ a: 1 })
    await handle.transaction((tx) => {
      expect(thrown(() => tx.update('a', () => (tx.rollback(), 5)))).toBe('TRANSACTION_CLOSED')
    })
    const begun = handle.begin()
    expect(thrown(() => begun.getOrInsertComputed('new', () => (void begun.commit(), 5)))).toBe('TRANSACTION_CLOSED')
    expect(contents(handle)).toEqual([['a', 1]])
  })

  it('may read the key itself, scan the table, and begin transactions', async () => {
    const handle = await withEntries({ a: 1, b: 2 })
    await handle.transaction((tx) => {
      tx.update(
        'a',
        (n) => (n as number) + (tx.get('a') as number) + tx.count() + handle.transactionSync((inner) => inner.size),
      )
    })
    expect(handle.get('a')).toBe(1 + 1 + 2 + 2)
  })
})

describe('a merge operator', () => {
  const actions: Record<string, (db: Database<string, number>, tx: Transaction<string, number>) => unknown> = {
    'writes through its own transaction': (_db, tx) => tx.set('x', 2),
    'deletes through its own transaction': (_db, tx) => tx.delete('x'),
    'merges through its own transaction': (_db, tx) => tx.merge('y', 1),
    'reads through its own transaction': (_db, tx) => tx.get('x'),
    'rolls its transaction back': (_db, tx) => tx.rollback(),
    'commits its transaction': (_db, tx) => tx.commit(),
    'rolls back to a savepoint': (_db, tx) => tx.rollbackTo(tx.savepoint()),
    'writes through the handle': (db) => db.handle().set('x', 2),
    'begins another transaction': (db) => db.handle().begin(),
    'runs another transaction': (db) => db.handle().transactionSync((other) => other.set('x', 2)),
    'takes a snapshot': (db) => db.snapshot(),
    'closes the database': (db) => db.close(),
    'scans the table': (db) => [...db.handle().entries()],
  }

  it.each(Object.keys(actions))('that %s while the commit is being prepared leaves all or nothing', async (name) => {
    const act = actions[name] as (typeof actions)[string]
    const operator = sneaky()
    const db = open({ merge: operator.merge })
    const handle = db.handle()
    await handle.set('x', 1)
    const tx = handle.begin()
    tx.merge('a', 1)
    tx.set('b', 1)
    let acting: unknown
    operator.act = () => (acting = act(db, tx))
    const outcome = await tx.commit().then(
      () => 'committed',
      (error: unknown) => error,
    )
    await Promise.resolve(acting).catch(() => {})
    if (db.sequence > 1) expect([outcome, handle.get('a'), handle.get('b')]).toEqual(['committed', 1, 1])
    else {
      expect(outcome).toMatchObject({
        code: expect.stringMatching(/^(INVALID_ARGUMENT|TRANSACTION_CLOSED|CLOSED|READ_ONLY)$/),
      })
      expect([handle.has('a'), handle.has('b'), handle.get('x')]).toEqual([false, false, 1])
    }
    expect((await db.check()).problems).toEqual([])
    await handle.merge('a', 1)
    await turn()
    expect(handle.has('a')).toBe(true)
    if (typeof acting === 'object' && acting !== null && 'rollback' in acting) (acting as typeof tx).rollback()
  })

  it('that writes at a read of its own transaction leaves a consistent one', async () => {
    const operator = sneaky()
    const db = open({ merge: operator.merge })
    await db.handle().transaction((tx) => {
      tx.merge('a', 1)
      operator.act = () => tx.set('b', 2)
      expect(tx.get('a')).toBe(1)
      operator.act = () => tx.set('a', 10)
      tx.set('c', 1)
      tx.merge('c', 1)
      expect(tx.get('c')).toBe(2)
    })
    expect(contents(db.handle())).toEqual([
      ['a', 10],
      ['b', 2],
      ['c', 2],
    ])
  })
})

describe('sizeOf', () => {
  it('that throws refuses the write and leaves everything as it was', async () => {
    const mine = new Error('mine')
    let broken = false
    const db = open({
      merge: { identity: 0, merge: (a: number, b: number) => a + b },
      sizeOf: () => {
        if (broken) throw mine
        return 1
      },
    })
    const handle = db.handle()
    await handle.set('a', 1)
    broken = true
    await expect(handle.set('a', 2)).rejects.toBe(mine)
    await expect(handle.set('b', 2)).rejects.toBe(mine)
    await expect(handle.merge('a', 1)).rejects.toBe(mine)
    await expect(handle.transaction((tx) => tx.set('b', 1))).rejects.toBe(mine)
    const tx = handle.begin()
    expect(() => tx.set('b', 1)).toThrow(mine)
    expect(tx.has('b')).toBe(false)
    tx.rollback()
    expect(contents(handle)).toEqual([['a', 1]])
    expect([handle.size, handle.sizeBytes, db.sequence]).toEqual([1, 1, 1])
    broken = false
    await handle.delete('a')
    expect(handle.sizeBytes).toBe(0)
    expect(db.stats().transactions.open).toBe(0)
  })

  it('that writes itself does no harm', async () => {
    let depth = 0
    const db: Database<string, number> = open({
      sizeOf: (key) => {
        if (depth++ === 0) void db.handle().set(`${key}!`, 1)
        return 1
      },
    })
    await db.handle().set('a', 1)
    expect(contents(db.handle())).toEqual([
      ['a', 1],
      ['a!', 1],
    ])
    expect(db.handle().sizeBytes).toBe(2)
  })
})

describe('a codec', () => {
  const tricky = (act: { encode?: () => void; decode?: () => void }): ValueCodec<string> => ({
    name: 'tricky',
    encode: (value) => {
      act.encode?.()
      return Buffer.from(value)
    },
    decode: (bytes) => {
      act.decode?.()
      return Buffer.from(bytes).toString()
    },
  })

  it('that throws in the middle of a transaction: nothing is applied', async () => {
    const act: { encode?: () => void } = {}
    const db = open()
    const handle = db.handle(table<string, string>('t', { value: tricky(act) }))
    await handle.set('a', 'old')
    const outcome = handle.transaction((tx) => {
      tx.set('a', 'new')
      tx.set('b', 'new')
      act.encode = () => {
        throw new Error('no more')
      }
      tx.set('c', 'new')
    })
    expect(await refusal(() => outcome)).toBe('INVALID_VALUE')
    expect(contents(handle)).toEqual([['a', 'old']])
  })

  it('that writes while it encodes or decodes does no harm', async () => {
    const act: { encode?: () => void; decode?: () => void } = {}
    const tricked = table<string, string>('t', { value: tricky(act) })
    const handle = open().handle(tricked)
    const once = (run: () => unknown): (() => void) => {
      let done = false
      return () => {
        if (done) return
        done = true
        run()
      }
    }
    act.encode = once(() => handle.set('inner', 'x'.repeat(1000)))
    await handle.set('a', 'y')
    act.decode = once(() => handle.set('a', 'z'))
    expect(handle.get('a')).toBe('y')
    expect(handle.get('a')).toBe('z')
    await handle.transaction((tx) => {
      act.encode = once(() => tx.set('b', 'inner'))
      tx.set('b', 'outer')
      expect(tx.get('b')).toBe('outer')
      act.decode = once(() => tx.delete('a'))
      expect(contents(tx).map(([key]) => key)).toContain('b')
    })
    expect(handle.get('b')).toBe('outer')
    expect(handle.has('a')).toBe(false)
    const size = handle.sizeBytes
    await handle.clear()
    expect([size > 1000, handle.sizeBytes]).toEqual([true, 0])
  })
})

describe('a getter inside a value', () => {
  const withGetter = (run: () => unknown): object => ({
    get n() {
      return run()
    },
  })

  it('that throws refuses the value with that very error', async () => {
    const mine = new Error('mine')
    const handle = open<string, unknown>().handle()
    await expect(
      handle.set(
        'k',
        withGetter(() => {
          throw mine
        }),
      ),
    ).rejects.toSatisfy((error: unknown) => error === mine || (error as Error).cause === mine)
    expect(handle.size).toBe(0)
  })

  it('that writes is a write before the one it is part of', async () => {
    const db = open<string, unknown>()
    const handle: Handle<string, unknown> = db.handle()
    await handle.set(
      'k',
      withGetter(() => (void handle.set('k', 'inner'), 1)),
    )
    expect(handle.get('k')).toEqual({ n: 1 })
    expect(db.sequence).toBe(2)
  })

  it('that ends the transaction lets nothing be written after it', async () => {
    const handle = open<string, unknown>().handle()
    const tx = handle.begin()
    expect(
      thrown(() =>
        tx.set(
          'k',
          withGetter(() => (tx.rollback(), 1)),
        ),
      ),
    ).toBe('TRANSACTION_CLOSED')
    expect(handle.size).toBe(0)
  })
})

describe('listeners and onRetry', () => {
  it('may write', async () => {
    const handle = await withEntries({ k: 1 })
    let attempts = 0
    await handle.transaction(
      async (tx) => {
        const n = tx.get('k') as number
        if (++attempts === 1) await handle.set('k', 10)
        tx.set('k', n + 1)
      },
      { onRetry: () => void handle.set('k', 20) },
    )
    expect(handle.get('k')).toBe(21)
  })
})
