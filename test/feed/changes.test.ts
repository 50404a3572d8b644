/** `db.changes()` in memory: what it gives out, when, and how it ends. */
import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'

import { type Commit, type Cursor, keys, merges, table, type Table } from '../../src/index.ts'
import { collectGarbage, failure, open, refusal, thrown, turn } from '../api/fixtures.ts'
import { drain, line, orWaits, take } from './readers.ts'

const counters = table('counters', { key: keys.string(), merge: merges.sum })
const pairs = table<[string, number], string>('pairs')

describe('what is given out', () => {
  it('is every commit that changed something, autocommit, transactions and merges, over all tables, in order', async () => {
    const db = open()
    const main = db.handle()
    const commits = db.changes()
    await main.set('a', 1)
    await main.transaction((tx) => {
      tx.set('b', 2)
      tx.table(counters).merge('n', 5)
      tx.table(pairs).set(['x', 1], 'one')
    })
    await db.handle(counters).merge('n', 2)
    await main.delete('a')
    main.transactionSync((tx) => tx.clear())
    const lines = (await take(commits, 5)).map(line)
    expect(lines).toEqual(['1: a=1', '2: b=2 counters/n=5 pairs/x,1=one', '3: counters/n=7', '4: -a', '5: -b'])
  })

  it('leaves out what was rolled back, undone by a savepoint, or deleted nothing, and what only read', async () => {
    const db = open()
    const main = db.handle()
    const commits = db.changes()
    await main.delete('nothing')
    await main.transaction((tx) => tx.get('a'))
    await main.transaction((tx) => void tx.delete('nothing'))
    await main
      .transaction((tx) => {
        tx.set('a', 1)
        throw new Error('no')
      })
      .catch(() => undefined)
    await main.transaction((tx) => {
      tx.set('kept', 1)
      const savepoint = tx.savepoint()
      tx.set('undone', 1)
      tx.rollbackTo(savepoint)
      tx.delete('nothing')
      tx.set('made', 1)
      tx.delete('made')
    })
    const [commit] = await take(commits, 1)
    expect(commit?.changes.map(({ key }) => key)).toEqual(['kept'])
    expect(await orWaits(commits.next())).toBe('waits')
  })

  it('has time, cause and cursor, and expiry where there is one', async () => {
    const db = open({ clock: () => 5000 })
    const commits = db.changes()
    await db.handle().set('a', 1)
    const [commit] = await take(commits, 1)
    expect(commit).toEqual({
      cursor: db.cursor,
      sequence: 1,
      timeMs: 5000,
      cause: 'commit',
      changes: [{ table: 'default', key: 'a', kind: 'set', value: 1 }],
    })
  })

  it('begins with the call, whether or not anybody asks for the first step', async () => {
    const db = open()
    await db.handle().set('a', 1)
    const commits = db.changes()
    await db.handle().set('b', 2)
    expect((await take(commits, 1)).map(line)).toEqual(['2: b=2'])
  })

  it('is private and immutable: neither the caller nor another reader can change it', async () => {
    const db = open<readonly [string, Uint8Array], unknown>()
    const [first, second] = [db.changes(), db.changes()]
    const bytes = new Uint8Array([1, 2])
    const value = { list: [1], at: new Date(5) }
    await db.handle().set(['k', bytes], value)
    bytes[0] = 9
    value.list.push(2)
    const [commit] = await take(first, 1)
    const [change] = (commit as Commit).changes
    expect(change).toMatchObject({ key: ['k', new Uint8Array([1, 2])], value: { list: [1], at: new Date(5) } })
    if (change === undefined) return expect.unreachable()
    const [, mine] = change.key as [string, Uint8Array]
    mine[0] = 7
    ;(change.value as { at: Date }).at.setTime(0)
    const [again] = await take(second, 1)
    expect(again?.changes[0]).toMatchObject({ key: ['k', new Uint8Array([1, 2])], value: { at: new Date(5) } })
    expect(db.handle().get(['k', new Uint8Array([1, 2])])).toEqual({ list: [1], at: new Date(5) })
  })

  it('has old values for those who ask, from then on', async () => {
    const db = open<string, unknown>()
    const main = db.handle()
    await main.set('a', { v: 1 })
    const plain = db.changes()
    await main.set('a', { v: 2 })
    const asked = db.changes({ before: true, from: (await take(plain, 1))[0]?.cursor as Cursor })
    await main.set('a', { v: 3 })
    await main.set('new', 1)
    await main.delete('a')
    await main.transaction((tx) => tx.table(counters).merge('n', 1))
    const seen = (await take(asked, 4)).map(({ changes }) => changes[0])
    expect(seen.map((change) => change?.before)).toEqual([{ v: 2 }, undefined, { v: 3 }, undefined])
    expect(seen.every((change) => change !== undefined && 'before' in change)).toBe(true)
    const [first] = await take(plain, 1)
    expect(Object.hasOwn(first?.changes[0] as object, 'before')).toBe(false)
  })

  it('goes to listeners outside of the commit', async () => {
    const db = open()
    const order: string[] = []
    const commits = db.changes()
    const first = commits.next().then(() => order.push('told'))
    db.handle().transactionSync((tx) => tx.set('a', 1))
    order.push('committed')
    await first
    expect(order).toEqual(['committed', 'told'])
  })
})

describe('cursors', () => {
  it('go through JSON and go on right behind their commit', async () => {
    const db = open()
    const commits = db.changes()
    for (let i = 1; i <= 4; i++) await db.handle().set('k', i)
    const [, second] = await take(commits, 2)
    const from = JSON.parse(JSON.stringify(second?.cursor)) as Cursor
    expect((await take(db.changes({ from }), 2)).map(line)).toEqual(['3: k=3', '4: k=4'])
  })

  it('are refused if they are none, of another database, or of a commit that is not there', async () => {
    const db = open()
    const other = open()
    for (const from of [1, 'x', null, {}, { ...db.cursor, sequence: -1 }, { ...db.cursor, sequence: 0.5 }]) {
      expect(thrown(() => db.changes({ from: from as Cursor }))).toBe('INVALID_ARGUMENT')
    }
    await db.handle().set('a', 1)
    await other.handle().set('a', 1)
    expect(thrown(() => db.changes({ from: other.cursor }))).toBe('INVALID_ARGUMENT')
    expect(thrown(() => db.changes({ from: { ...db.cursor, sequence: 2 } }))).toBe('INVALID_ARGUMENT')
    expect(thrown(() => db.changes({ from: { ...db.cursor, epoch: 2 } }))).toBe('INVALID_ARGUMENT')
  })

  it('of a past that nobody has recorded are told where the known begins', async () => {
    const db = open()
    const { cursor } = db
    await db.handle().set('a', 1)
    await db.handle().set('a', 2)
    const error = await failure(() => db.changes({ from: cursor }).next())
    expect(error).toMatchObject({ code: 'SNAPSHOT_TOO_OLD' })
    expect(error.message).toContain('commits 1 to 2')
    expect(error.message).toContain('that of commit 2')
  })

  it('of the newest commit need no past', async () => {
    const db = open()
    await db.handle().set('a', 1)
    const commits = db.changes({ from: db.cursor })
    await db.handle().set('a', 2)
    expect((await take(commits, 1)).map(line)).toEqual(['2: a=2'])
  })

  it('go on after a break only as far as somebody else was watching meanwhile', async () => {
    const db = open()
    const main = db.handle()
    const first = db.changes()
    await main.set('a', 1)
    const [commit] = await take(first, 1)
    const bystander = main.watch({ key: 'elsewhere' })
    const next = db.changes({ from: commit?.cursor })
    await first.return?.()
    await main.set('a', 2)
    expect((await take(next, 1)).map(line)).toEqual(['2: a=2'])
    await next.return?.()
    await main.set('a', 3)
    expect(await refusal(() => db.changes({ from: commit?.cursor }).next())).toBe('SNAPSHOT_TOO_OLD')
    await bystander.return?.()
  })
})

describe('a reader that is too slow', () => {
  it('is told which commits it has lost, once, and the others go on', async () => {
    const db = open<string, string>({}, { feedBytes: 10_000 })
    const slow = db.changes()
    const fast = db.changes()
    for (let i = 1; i <= 100; i++) {
      await db.handle().set(`k${i}`, 'x'.repeat(500))
      expect((await take(fast, 1))[0]?.sequence).toBe(i)
    }
    const { feed } = db.stats()
    expect(feed.bytes).toBeLessThanOrEqual(10_000)
    const error = await failure(() => slow.next())
    expect(error).toMatchObject({ code: 'SNAPSHOT_TOO_OLD' })
    expect(error.message).toContain(`commits 1 to ${100 - feed.commits}`)
    expect(await slow.next()).toEqual({ value: undefined, done: true })
    await db.handle().set('last', '')
    expect((await take(fast, 1))[0]?.sequence).toBe(101)
    expect(db.stats().feed.lagged).toBe(1)
  })

  it('gets a commit that is larger than the ring by itself', async () => {
    const db = open<string, string>({}, { feedBytes: 1000 })
    const commits = db.changes()
    await db.handle().set('large', 'x'.repeat(100_000))
    expect((await take(commits, 1))[0]?.changes[0]?.value).toHaveLength(100_000)
  })

  it('holds no memory beyond the bound, also if values count for nothing by the sizeOf of their table', async () => {
    const db = open<string, string>({ sizeOf: () => 0 }, { feedBytes: 10_000 })
    const slow = db.changes({ before: true })
    for (let i = 0; i < 200; i++) await db.handle().set('k', 'x'.repeat(1000))
    expect(db.stats().feed.bytes).toBeLessThanOrEqual(10_000)
    expect(db.stats().feed.commits).toBeLessThanOrEqual(5)
    await slow.return?.()
  })

  it('weighs keys as what it has of them: a bigint, also where the table has its words', async () => {
    const weigh = async (things: Table<bigint, string>): Promise<number[]> => {
      const db = open()
      const slow = db.changes({ before: true })
      const handle = db.handle(things)
      await handle.set(1n, 'value')
      const one = db.stats().feed.bytes
      await handle.set(1n, 'another')
      await handle.transaction((tx) => tx.delete(1n))
      const all = db.stats().feed.bytes
      await slow.return?.()
      return [one, all]
    }
    const plain = await weigh(table('things'))
    expect(plain[0]).toBeGreaterThan(0)
    expect(await weigh(table('things', { key: keys.u64() }))).toEqual(plain)
  })
})

describe('the end', () => {
  it('comes quietly with return(), also for a step that waits, and nothing is recorded any more', async () => {
    const db = open()
    const commits = db.changes()
    const waiting = commits.next()
    await commits.return?.()
    expect(await waiting).toEqual({ value: undefined, done: true })
    expect(await commits.next()).toEqual({ value: undefined, done: true })
    await db.handle().set('a', 1)
    expect(db.stats().feed).toMatchObject({ readers: 0, commits: 0, bytes: 0 })
  })

  it('comes with break, and with await using', async () => {
    const db = open()
    const commits = db.changes()
    await db.handle().set('a', 1)
    for await (const commit of commits) {
      expect(commit.sequence).toBe(1)
      break
    }
    expect(db.stats().feed.readers).toBe(0)
    {
      await using others = db.changes() as ReturnType<typeof db.changes> & AsyncDisposable
      expect(db.stats().feed.readers).toBe(1)
      void others
    }
    expect(db.stats().feed.readers).toBe(0)
  })

  it('comes with ABORTED when the signal fires, at once, with its reason as cause', async () => {
    const db = open()
    const controller = new AbortController()
    const waiting = db.changes({ signal: controller.signal })
    const behind = db.changes({ signal: controller.signal })
    const step = waiting.next()
    await db.handle().set('a', 1)
    expect((await step).value).toMatchObject({ sequence: 1 })
    const next = waiting.next()
    const reason = new Error('enough')
    controller.abort(reason)
    expect(await failure(() => next)).toMatchObject({ code: 'ABORTED', cause: reason })
    expect(await refusal(() => behind.next())).toBe('ABORTED')
    expect(await waiting.next()).toEqual({ value: undefined, done: true })
    expect(db.stats().feed.readers).toBe(0)
    expect(thrown(() => db.changes({ signal: controller.signal }))).toBe('ABORTED')
  })

  it('leaves nothing on the signal, which may live longer', async () => {
    const db = open()
    const { signal } = new AbortController()
    for (let i = 0; i < 3; i++) await db.changes({ signal }).return?.()
    await db.handle().watch({ key: 'a' }, { signal }).return?.()
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  it('comes with CLOSED after everything that was there', async () => {
    const db = open()
    const commits = db.changes()
    const waiting = db.changes()
    for (let i = 1; i <= 3; i++) await db.handle().set('a', i)
    const reading = drain(waiting)
    await turn()
    await db.close()
    for (const { items, error } of [await drain(commits), await reading]) {
      expect(items.map(({ sequence }) => sequence)).toEqual([1, 2, 3])
      expect(error).toMatchObject({ code: 'CLOSED' })
    }
    expect(await commits.next()).toEqual({ value: undefined, done: true })
    expect(thrown(() => db.changes())).toBe('CLOSED')
  })

  it('comes by itself for one that is dropped without return()', async () => {
    const db = open()
    await (async (): Promise<void> => {
      const commits = db.changes()
      void commits.next()
      const other = db.handle().watch({ prefix: 'a' })
      await turn()
      expect(db.stats().feed.readers).toBe(2)
      void other
    })()
    await collectGarbage()
    expect(db.stats().feed.readers).toBe(0)
  })

  it('does not come while somebody awaits a step, however much is collected', async () => {
    const db = open()
    let told = 0
    void (async (): Promise<void> => {
      for await (const { sequence } of db.changes()) told = sequence
    })().catch(() => undefined)
    await collectGarbage()
    await db.handle().set('a', 1)
    await turn()
    expect(told).toBe(1)
  })
})

describe('misuse', () => {
  it('is refused by the call', () => {
    const db = open()
    for (const options of [1, 'x', null, { form: db.cursor }, { before: 1 }, { durable: 'no' }, { signal: {} }]) {
      expect(thrown(() => db.changes(options as object))).toBe('INVALID_ARGUMENT')
    }
  })
})

describe('serializable points', () => {
  it('hold commits back while an older transaction could still be ordered among them, and are marked', async () => {
    const db = open()
    const main = db.handle()
    await main.set('a', 0)
    const points = db.changes({ safe: true })
    const plain = db.changes()
    await main.set('b', 1)
    expect((await take(points, 1))[0]).toMatchObject({ sequence: 2, safe: true })
    const older = main.begin()
    older.get('a')
    await main.set('a', 1)
    await main.set('b', 2)
    expect((await take(plain, 3)).map(({ sequence }) => sequence)).toEqual([2, 3, 4])
    const next = points.next()
    expect(await orWaits(next)).toBe('waits')
    older.set('c', 1)
    await older.commit()
    const rest = [(await next).value as Commit, ...(await take(points, 2))]
    expect(rest.map(({ sequence, safe }) => [sequence, safe])).toEqual([
      [3, false],
      [4, false],
      [5, true],
    ])
  })

  it('come when the transaction that held them back is rolled back', async () => {
    const db = open()
    const points = db.changes({ safe: true })
    const older = db.handle().begin()
    older.get('a')
    await db.handle().set('a', 1)
    const next = points.next()
    expect(await orWaits(next)).toBe('waits')
    older.rollback()
    expect((await next).value).toMatchObject({ sequence: 1, safe: true })
  })
})
