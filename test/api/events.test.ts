/** Events: after the fact, in order, and never in anybody's way. */
import { describe, expect, it } from 'vitest'

import type { Database, DatabaseEvents } from '../../src/index.ts'
import { gate, open, refusal, thrown, turn } from './fixtures.ts'

function listen(db: Database<string, number>): { [E in keyof DatabaseEvents]: DatabaseEvents[E][] } {
  const heard = { commit: [], abort: [], evict: [], vacuum: [], checkpoint: [], poisoned: [], close: [] } as ReturnType<
    typeof listen
  >
  db.on('commit', (event) => heard.commit.push(event))
  db.on('abort', (event) => heard.abort.push(event))
  db.on('vacuum', (event) => heard.vacuum.push(event))
  db.on('close', (event) => heard.close.push(event))
  return heard
}

describe('on', () => {
  it('commit tells sequence and number of keys, for each commit that wrote, in order', async () => {
    const db = open()
    const heard = listen(db)
    await db.handle().set('a', 1)
    await db.handle().transaction((tx) => {
      tx.set('a', 2)
      tx.set('b', 2)
      tx.set('b', 3)
    })
    await db.handle().delete('a')
    await db.handle().delete('a')
    await db.handle().transaction((tx) => tx.get('b'))
    db.handle().transactionSync((tx) => tx.set('c', 1))
    await turn()
    expect(heard.commit).toEqual([
      { sequence: 1, keys: 1 },
      { sequence: 2, keys: 2 },
      { sequence: 3, keys: 1 },
      { sequence: 4, keys: 1 },
    ])
    expect(heard.abort).toEqual([])
  })

  it('commit comes when the commit can be seen, and never inside it', async () => {
    const db = open()
    const seen: unknown[] = []
    db.on('commit', ({ sequence }) => seen.push([sequence <= db.sequence, db.handle().get('k')]))
    void db.handle().set('k', 1)
    expect(seen).toEqual([])
    await turn()
    expect(seen).toEqual([[true, 1]])
  })

  it('abort tells the transaction, and the conflict if there was one', async () => {
    const db = open()
    const heard = listen(db)
    const handle = db.handle()
    await handle.set('k', 1)
    const rolledBack = handle.begin()
    rolledBack.rollback()
    await handle
      .transaction(() => {
        throw new Error('mine')
      })
      .catch(() => {})
    const [first, second] = [handle.begin(), handle.begin()]
    for (const tx of [first, second]) tx.set('k', (tx.get('k') as number) + 1)
    await first.commit()
    expect(await refusal(() => second.commit())).toBe('WRITE_CONFLICT')
    await turn()
    expect(heard.abort).toHaveLength(3)
    expect(heard.abort[0]).toEqual({ transaction: rolledBack.id, conflict: undefined })
    expect(heard.abort[1]?.conflict).toBeUndefined()
    expect(heard.abort[2]).toMatchObject({ transaction: second.id, conflict: { victim: second.id } })
    expect(heard.abort[2]?.conflict?.keys).toEqual([{ table: 'default', key: 'k' }])
  })

  it('vacuum tells what went', async () => {
    const db = open({ vacuum: false })
    const heard = listen(db)
    await db.handle().set('a', 1)
    await db.handle().delete('a')
    const removed = await db.vacuum()
    await turn()
    expect(removed).toEqual({ versions: 0, keys: 1 })
    expect(heard.vacuum).toEqual([removed])
  })

  it('gives back a function that stops it, once and for good', async () => {
    const db = open()
    const heard: string[] = []
    const stopFirst = db.on('commit', () => heard.push('first'))
    const stopSecond = db.on('commit', () => heard.push('second'))
    await db.handle().set('k', 1)
    await turn()
    stopFirst()
    stopFirst()
    await db.handle().set('k', 2)
    await turn()
    stopSecond()
    await db.handle().set('k', 3)
    await turn()
    expect(heard).toEqual(['first', 'second', 'second'])
  })

  it('may be stopped, or begun, by a listener while it is being told', async () => {
    const db = open()
    const heard: string[] = []
    const stop = db.on('commit', () => {
      heard.push('once')
      stop()
      db.on('commit', () => heard.push('later'))
    })
    await db.handle().set('k', 1)
    await turn()
    await db.handle().set('k', 2)
    await turn()
    expect(heard).toEqual(['once', 'later'])
  })

  it('keeps no other listener, and no commit, from going on when one throws', async () => {
    const db = open()
    const heard: unknown[] = []
    const mine = new Error('mine')
    db.on('commit', () => {
      throw mine
    })
    db.on('commit', ({ sequence }) => heard.push(sequence))
    const uncaught = await withUncaught(async () => {
      await db.handle().set('k', 1)
      await db.handle().set('k', 2)
      await turn()
    })
    expect(heard).toEqual([1, 2])
    expect(uncaught).toEqual([mine, mine])
    expect(db.handle().get('k')).toBe(2)
  })

  it('lets a listener use the database', async () => {
    const db = open()
    const done = gate()
    const stop = db.on('commit', ({ sequence }) => {
      if (sequence === 1) void db.handle().update('n', (n) => (n ?? 0) + 1)
      else {
        stop()
        done.open()
      }
    })
    await db.handle().set('k', 1)
    await done.passed
    expect(db.handle().get('n')).toBe(1)
    expect(db.sequence).toBe(2)
  })

  it('refuses events that do not exist, and listeners that are none', () => {
    const db = open()
    expect(thrown(() => db.on('comit' as never, () => {}))).toBe('INVALID_ARGUMENT')
    expect(thrown(() => db.on('__proto__' as never, () => {}))).toBe('INVALID_ARGUMENT')
    expect(thrown(() => db.on('commit', undefined as never))).toBe('INVALID_ARGUMENT')
  })

  it('keeps two subscriptions of one function apart: stopping one does not stop the other', async () => {
    const db = open()
    let heard = 0
    const listener = (): void => void heard++
    const stop = db.on('commit', listener)
    db.on('commit', listener)
    stop()
    await db.handle().set('k', 1)
    await turn()
    expect(heard).toBe(1)
  })
})

/** Runs something and gives what it left uncaught, in place of the handlers of the test runner. */
async function withUncaught(run: () => Promise<void>): Promise<unknown[]> {
  const caught: unknown[] = []
  const listeners = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', (error) => caught.push(error))
  try {
    await run()
  } finally {
    process.removeAllListeners('uncaughtException')
    for (const listener of listeners) process.on('uncaughtException', listener)
  }
  return caught
}
