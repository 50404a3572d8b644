/** Transactions: all or nothing, on one snapshot plus their own writes, and dead after their end. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'

import { type Savepoint, table, type Transaction } from '../../src/index.ts'
import { contents, failure, gate, open, refusal, thrown, turn, withEntries } from './fixtures.ts'

describe('transaction()', () => {
  it('commits what the callback wrote and resolves to what it returned', async () => {
    const handle = await withEntries({ a: 1 })
    const result = await handle.transaction(async (tx) => {
      tx.set('b', 2)
      await sleep(1)
      tx.delete('a')
      return 'done'
    })
    expect(result).toBe('done')
    expect(contents(handle)).toEqual([['b', 2]])
  })

  it('takes callbacks that return at once, nothing, or undefined', async () => {
    const handle = open().handle()
    expect(await handle.transaction((tx) => tx.set('k', 1))).toBeUndefined()
    expect(await handle.transaction(() => null)).toBeNull()
    expect(handle.get('k')).toBe(1)
  })

  it('applies everything in one commit, in all tables', async () => {
    const db = open()
    const other = table<string, string>('other')
    await db.handle().transaction((tx) => {
      for (let i = 0; i < 100; i++) tx.set(`k${i}`, i)
      tx.table(other).set('x', 'y')
    })
    expect(db.sequence).toBe(1)
    expect(db.handle().size).toBe(100)
    expect(db.handle(other).get('x')).toBe('y')
  })

  it('sees its own writes, and nobody else does before the commit', async () => {
    const handle = await withEntries({ a: 1 })
    await handle.transaction(async (tx) => {
      tx.set('a', 2)
      tx.set('b', 3)
      await turn()
      expect([tx.get('a'), tx.get('b')]).toEqual([2, 3])
      expect(contents(tx)).toEqual([
        ['a', 2],
        ['b', 3],
      ])
      expect(contents(handle)).toEqual([['a', 1]])
    })
    expect(handle.get('a')).toBe(2)
  })

  it('reads one moment, whatever is committed meanwhile', async () => {
    const handle = await withEntries({ a: 1, b: 1 })
    await handle.transaction(async (tx) => {
      expect(tx.get('a')).toBe(1)
      await handle.set('b', 2)
      await handle.set('c', 2)
      await handle.delete('a')
      expect(tx.getMany(['a', 'b', 'c'])).toEqual([1, 1, undefined])
      expect(tx.count()).toBe(2)
      expect([...tx.keys()]).toEqual(['a', 'b'])
      expect(tx.size).toBe(2)
    })
  })

  it('rolls back what throws and rejects with that very error', async () => {
    const db = open()
    const handle = db.handle()
    await handle.set('a', 1)
    const mistakes: unknown[] = [
      new Error('mine'),
      new TypeError('mine'),
      { not: 'an error' },
      'text',
      0,
      undefined,
      null,
    ]
    for (const mistake of mistakes) {
      for (const late of [false, true]) {
        const outcome = handle.transaction(async (tx) => {
          tx.set('a', 2)
          tx.set('b', 2)
          if (late) await turn()
          throw mistake
        })
        const rejection = await outcome.then(
          () => ({ resolved: true }),
          (error: unknown) => ({ error }),
        )
        expect(rejection).toHaveProperty('error')
        expect('error' in rejection && rejection.error === mistake).toBe(true)
        expect(db.stats().transactions.open).toBe(0)
      }
    }
    const direct = new Error('thrown before any promise')
    await expect(
      handle.transaction(() => {
        throw direct
      }),
    ).rejects.toBe(direct)
    expect(contents(handle)).toEqual([['a', 1]])
  })

  it('rolls back and rejects when the callback lets an error of varve pass', async () => {
    const handle = await withEntries({ a: 1 })
    const outcome = handle.transaction((tx) => {
      tx.set('b', 1)
      tx.set('c', (() => 1) as never)
    })
    expect(await refusal(() => outcome)).toBe('INVALID_VALUE')
    expect(contents(handle)).toEqual([['a', 1]])
  })

  it('goes on when the callback has caught one: the failed call has done nothing', async () => {
    const handle = open<string, unknown>().handle()
    await handle.transaction((tx) => {
      tx.set('a', 1)
      expect(thrown(() => tx.set('a', Symbol('no')))).toBe('INVALID_VALUE')
      expect(thrown(() => tx.swap('a', Symbol('no')))).toBe('INVALID_VALUE')
      expect(thrown(() => tx.update('a', () => Symbol('no')))).toBe('INVALID_VALUE')
      expect(thrown(() => tx.compareAndSet('a', 1, Symbol('no')))).toBe('INVALID_VALUE')
      expect(thrown(() => tx.getOrInsert('b', Symbol('no')))).toBe('INVALID_VALUE')
      expect(thrown(() => tx.set(Number.NaN as never, 1))).toBe('INVALID_KEY')
      expect(contents(tx)).toEqual([['a', 1]])
    })
    expect(contents(handle)).toEqual([['a', 1]])
  })

  it('rolls back on request inside the callback, and still resolves to what it returns', async () => {
    const db = open()
    const handle = db.handle()
    const result = await handle.transaction((tx) => {
      tx.set('k', 1)
      tx.rollback()
      expect(thrown(() => tx.get('k'))).toBe('TRANSACTION_CLOSED')
      expect(thrown(() => tx.rollback())).toBe('TRANSACTION_CLOSED')
      return 'given up'
    })
    expect(result).toBe('given up')
    expect(db.sequence).toBe(0)
    expect(db.stats().transactions.rollbacks).toBe(1)
  })

  it('leaves committing to itself: commit() inside is refused and changes nothing', async () => {
    const handle = open().handle()
    const outcome = handle.transaction(async (tx) => {
      tx.set('k', 1)
      expect(await refusal(() => tx.commit())).toBe('INVALID_ARGUMENT')
      expect(tx.get('k')).toBe(1)
      return 'fine'
    })
    expect(await outcome).toBe('fine')
    expect(handle.get('k')).toBe(1)
  })

  it('waits for anything that can be awaited', async () => {
    const handle = open().handle()
    const slow = {
      // oxlint-disable-next-line unicorn/no-thenable
      then(resolve: (value: number) => void): void {
        setTimeout(() => resolve(5), 5)
      },
    }
    const outcome = await handle.transaction((tx) => {
      tx.set('k', 1)
      return slow as unknown as Promise<number>
    })
    expect(outcome).toBe(5)
    expect(handle.get('k')).toBe(1)
  })

  it('takes a function and nothing else', async () => {
    const handle = open().handle()
    expect(await refusal(() => handle.transaction(undefined as never))).toBe('INVALID_ARGUMENT')
    expect(await refusal(() => handle.transaction({} as never))).toBe('INVALID_ARGUMENT')
    expect(thrown(() => handle.transactionSync('x' as never))).toBe('INVALID_ARGUMENT')
  })

  it('passes the transaction as the argument, never ambient: calls on the handle inside are their own', async () => {
    const handle = open().handle()
    const outcome = handle.transaction(async (tx) => {
      tx.set('inner', 1)
      await handle.set('outer', 1)
      expect(handle.has('inner')).toBe(false)
      throw new Error('rolled back')
    })
    await expect(outcome).rejects.toThrow('rolled back')
    expect(contents(handle)).toEqual([['outer', 1]])
  })

  it('nests as independent transactions', async () => {
    const handle = open().handle()
    await handle.transaction(async (outer) => {
      outer.set('a', 1)
      await handle.transaction((inner) => {
        expect(inner.id).not.toBe(outer.id)
        inner.set('b', 2)
      })
      expect(outer.has('b')).toBe(false)
    })
    expect(contents(handle)).toEqual([
      ['a', 1],
      ['b', 2],
    ])
  })

  it('runs 10^5 keys in one commit', async () => {
    const db = open<number>()
    await db.handle().transaction((tx) => {
      for (let i = 0; i < 100_000; i++) tx.set(i, i)
    })
    expect(db.sequence).toBe(1)
    expect(db.handle().size).toBe(100_000)
    expect(db.handle().get(99_999)).toBe(99_999)
  })
})

describe('after its end', () => {
  const calls: Record<string, (tx: Transaction<string, number>, savepoint: Savepoint) => unknown> = {
    get: (tx) => tx.get('k'),
    getMany: (tx) => tx.getMany(['k']),
    has: (tx) => tx.has('k'),
    entries: (tx) => tx.entries(),
    keys: (tx) => tx.keys(),
    values: (tx) => tx.values(),
    count: (tx) => tx.count(),
    stream: (tx) => tx.stream(),
    size: (tx) => tx.size,
    sizeBytes: (tx) => tx.sizeBytes,
    set: (tx) => tx.set('k', 2),
    delete: (tx) => tx.delete('k'),
    take: (tx) => tx.take('k'),
    swap: (tx) => tx.swap('k', 2),
    update: (tx) => tx.update('k', () => 2),
    merge: (tx) => tx.merge('k', 2),
    compareAndSet: (tx) => tx.compareAndSet('k', 1, 2),
    getOrInsert: (tx) => tx.getOrInsert('k', 2),
    getOrInsertComputed: (tx) => tx.getOrInsertComputed('k', () => 2),
    clear: (tx) => tx.clear(),
    entry: (tx) => tx.entry('k'),
    table: (tx) => tx.table(table('t')),
    savepoint: (tx) => tx.savepoint(),
    rollbackTo: (tx, savepoint) => tx.rollbackTo(savepoint),
    rollback: (tx) => tx.rollback(),
  }

  it.each(['commit', 'rollback', 'throw', 'begin and commit'] as const)('by %s every call is refused', async (end) => {
    const handle = await withEntries({ k: 1 })
    let tx!: Transaction<string, number>
    let savepoint!: Savepoint
    let iterator!: Iterator<string>
    const use = (given: Transaction<string, number>): void => {
      tx = given
      savepoint = tx.savepoint()
      iterator = tx.keys()
      if (end === 'rollback') tx.rollback()
      if (end === 'throw') throw new Error('thrown')
    }
    if (end === 'begin and commit') {
      use(handle.begin())
      await tx.commit()
    } else {
      await handle.transaction(use).catch(() => {})
    }
    const entry = end === 'commit' ? undefined : tx
    for (const [name, call] of Object.entries(calls)) {
      expect([name, thrown(() => call(tx, savepoint))]).toEqual([name, 'TRANSACTION_CLOSED'])
    }
    expect(await refusal(() => tx.commit())).toBe('TRANSACTION_CLOSED')
    expect(await refusal(() => tx.prefetch(['k']))).toBe('TRANSACTION_CLOSED')
    expect(thrown(() => iterator.next())).toBe('TRANSACTION_CLOSED')
    expect(entry === undefined || tx.sequence === 1).toBe(true)
    expect(handle.get('k')).toBe(1)
  })

  it('disposing is allowed, as often as you like', async () => {
    const handle = open().handle()
    const tx = handle.begin()
    await tx.commit()
    tx[Symbol.dispose]()
    tx[Symbol.dispose]()
  })

  it('facades of other tables and entries made before are dead too', async () => {
    const db = open()
    const other = table<string, number>('other')
    const dead = await db.handle().transaction((tx) => ({ tx: tx.table(other), entry: tx.entry('k') }))
    expect(thrown(() => dead.tx.get('k'))).toBe('TRANSACTION_CLOSED')
    expect(thrown(() => dead.entry.value)).toBe('TRANSACTION_CLOSED')
    expect(thrown(() => dead.entry.set(1))).toBe('TRANSACTION_CLOSED')
    expect(dead.entry.key).toBe('k')
  })

  it('a promise left dangling by the callback finds it closed, and has written nothing', async () => {
    const handle = open().handle()
    const paused = gate()
    let dangling!: Promise<unknown>
    await handle.transaction((tx) => {
      dangling = (async () => {
        await paused.passed
        tx.set('late', 1)
      })()
      tx.set('k', 1)
    })
    paused.open()
    const error = await failure(() => dangling)
    expect(error.code).toBe('TRANSACTION_CLOSED')
    expect(error.message).toMatch(/await/)
    expect(contents(handle)).toEqual([['k', 1]])
  })
})

describe('id and sequence', () => {
  it('say which transaction it is and what it reads at', async () => {
    const db = open()
    const handle = db.handle()
    await handle.set('k', 1)
    const [first, second] = [handle.begin(), handle.begin()]
    expect(second.id).toBeGreaterThan(first.id)
    expect([first.sequence, second.sequence]).toEqual([1, 1])
    await handle.set('k', 2)
    expect(handle.begin().sequence).toBe(2)
    expect(first.sequence).toBe(1)
    expect(first.table(table('t')).id).toBe(first.id)
    first.rollback()
    expect([first.id > 0, first.sequence]).toEqual([true, 1])
  })

  it('every attempt of a retried transaction is a transaction of its own', async () => {
    const handle = await withEntries({ k: 0 })
    const attempts: [number, number][] = []
    await handle.transaction(async (tx) => {
      attempts.push([tx.id, tx.sequence])
      const n = tx.get('k') as number
      if (attempts.length < 3) await handle.set('k', n + 10)
      tx.set('k', n + 1)
    })
    expect(attempts).toHaveLength(3)
    expect(new Set(attempts.map(([id]) => id)).size).toBe(3)
    expect(attempts.map(([, sequence]) => sequence)).toEqual([1, 2, 3])
    expect(handle.get('k')).toBe(21)
  })
})

describe('read-only transactions', () => {
  it.each([true, 'safe'] as const)('readOnly: %s reads and refuses every writer with READ_ONLY', async (readOnly) => {
    const handle = await withEntries({ k: 1 })
    const writers: ((tx: Transaction<string, number>) => unknown)[] = [
      (tx) => tx.set('k', 2),
      (tx) => tx.delete('k'),
      (tx) => tx.delete('absent'),
      (tx) => tx.take('k'),
      (tx) => tx.swap('k', 2),
      (tx) => tx.update('k', (n) => n),
      (tx) => tx.merge('k', 1),
      (tx) => tx.compareAndSet('k', 0, 1),
      (tx) => tx.getOrInsert('k', 2),
      (tx) => tx.getOrInsertComputed('k', () => 2),
      (tx) => tx.clear(),
      (tx) => tx.entry('k').set(2),
    ]
    await handle.transaction(
      (tx) => {
        for (const write of writers)
          expect([String(write), thrown(() => write(tx))]).toEqual([String(write), 'READ_ONLY'])
        expect(tx.get('k')).toBe(1)
        expect(tx.entry('k').value).toBe(1)
        expect(contents(tx)).toEqual([['k', 1]])
      },
      { readOnly },
    )
    const begun = handle.begin({ readOnly })
    for (const write of writers) expect(thrown(() => write(begun))).toBe('READ_ONLY')
    await begun.commit()
    expect(await refusal(() => handle.transaction((tx) => tx.set('k', 2), { readOnly }))).toBe('READ_ONLY')
    expect(thrown(() => handle.transactionSync((tx) => tx.set('k', 2), { readOnly }))).toBe('READ_ONLY')
    expect(handle.get('k')).toBe(1)
  })

  it('readOnly: true reads the newest state', async () => {
    const handle = await withEntries({ k: 1 })
    const update = handle.begin()
    update.get('k')
    await handle.set('k', 2)
    expect(await handle.transaction((tx) => tx.get('k'), { readOnly: true })).toBe(2)
    update.rollback()
  })

  it('readOnly: "safe" never reads a state that does not exist, and is not held up', async () => {
    const handle = await withEntries({ k: 1 })
    const update = handle.begin()
    update.get('k')
    await handle.set('k', 2)
    expect([1, 2]).toContain(await handle.transaction((tx) => tx.get('k'), { readOnly: 'safe' }))
    update.rollback()
    expect(await handle.transaction((tx) => tx.get('k'), { readOnly: 'safe' })).toBe(2)
  })
})
