/** `handle.watch()` in memory: keys and ranges of one table. */
import { describe, expect, it } from 'vitest'

import { type Change, type Cursor, type Range, table } from '../../src/index.ts'
import { open, refusal, thrown } from '../api/fixtures.ts'
import { changeLine, orWaits, take } from './readers.ts'

const others = table<string, number>('others')

describe('what is watched', () => {
  it('is one key', async () => {
    const db = open()
    const main = db.handle()
    const changes = main.watch({ key: 'a' })
    await main.set('b', 1)
    await main.set('a', 1)
    await db.handle(others).set('a', 9)
    await main.transaction((tx) => {
      tx.set('aa', 1)
      tx.set('a', 2)
    })
    await main.delete('a')
    expect((await take(changes, 3)).map(changeLine)).toEqual(['2: a=1', '4: a=2', '5: -a'])
  })

  it('is a key that is bytes or a tuple, by value', async () => {
    const db = open<readonly [string, number] | Uint8Array>()
    const main = db.handle()
    const tuple = main.watch({ key: ['a', 1] })
    const bytes = main.watch({ key: new Uint8Array([1]) })
    await main.set(new Uint8Array([1]), 1)
    await main.set(['a', 1], 2)
    expect((await take(tuple, 1))[0]).toMatchObject({ key: ['a', 1], value: 2 })
    expect((await take(bytes, 1))[0]).toMatchObject({ key: new Uint8Array([1]), value: 1 })
  })

  it('is a range, with either end open, closed or none', async () => {
    const ranges: Range<string>[] = [{}, { gt: 'b' }, { gte: 'b' }, { lt: 'd' }, { lte: 'd' }, { gt: 'b', lte: 'd' }]
    const db = open()
    const main = db.handle()
    const watches = ranges.map((range) => main.watch(range))
    watches.push(main.watch({ prefix: 'c' }))
    for (const key of ['a', 'b', 'bb', 'c', 'cc', 'd', 'e']) await main.set(key, 0)
    const expected = [
      'a b bb c cc d e',
      'bb c cc d e',
      'b bb c cc d e',
      'a b bb c cc',
      'a b bb c cc d',
      'bb c cc d',
      'c cc',
    ]
    for (const [i, wanted] of expected.entries()) {
      const items = await take(watches[i] as AsyncIterator<Change<string, number>>, wanted.split(' ').length)
      expect(items.map(({ key }) => key).join(' ')).toBe(wanted)
      expect(await orWaits((watches[i] as AsyncIterator<unknown>).next(), 2)).toBe('waits')
    }
  })

  it('has merged values, old values and expiry, and one sequence for one transaction', async () => {
    const db = open()
    const main = db.handle()
    await main.set('a', 1)
    const changes = main.watch({}, { before: true })
    await main.transaction((tx) => {
      tx.set('a', 2)
      tx.set('b', 3)
    })
    const [first, second] = await take(changes, 2)
    expect(first).toMatchObject({ key: 'a', kind: 'set', value: 2, before: 1, cause: 'commit', sequence: 2 })
    expect(second).toMatchObject({ key: 'b', value: 3, before: undefined, sequence: 2 })
  })

  it('of a range that is empty is nothing', async () => {
    const db = open()
    const changes = db.handle().watch({ gt: 'b', lt: 'a' })
    await db.handle().set('a', 1)
    expect(await orWaits(changes.next())).toBe('waits')
  })

  it('comes to every watcher of a key, and one that leaves does not disturb the others', async () => {
    const db = open()
    const main = db.handle()
    const [first, second, range] = [main.watch({ key: 'a' }), main.watch({ key: 'a' }), main.watch({ prefix: 'a' })]
    await main.set('a', 1)
    await first.return?.()
    await main.set('a', 2)
    expect((await take(second, 2)).map(changeLine)).toEqual(['1: a=1', '2: a=2'])
    expect((await take(range, 2)).map(changeLine)).toEqual(['1: a=1', '2: a=2'])
    await second.return?.()
    await main.set('a', 3)
    expect((await take(range, 1)).map(changeLine)).toEqual(['3: a=3'])
  })

  it('is met after keys have been written, deleted and made again unwatched', async () => {
    const db = open({ vacuum: false })
    const main = db.handle()
    const idle = main.watch({ key: 'elsewhere' })
    for (let i = 0; i < 3; i++) {
      await main.set('a', i)
      await main.delete('a')
      await db.vacuum()
    }
    const changes = main.watch({ key: 'b' })
    await main.set('b', 1)
    await main.delete('b')
    await db.vacuum()
    await main.set('a', 7)
    await main.set('b', 2)
    expect((await take(changes, 3)).map(({ value }) => value)).toEqual([1, undefined, 2])
    await idle.return?.()
  })
})

describe('cursors of changes', () => {
  it('go on in the middle of a commit', async () => {
    const db = open()
    const main = db.handle()
    const changes = main.watch({ prefix: 'a' })
    const everything = db.changes()
    await main.transaction((tx) => {
      for (const key of ['a1', 'b1', 'a2', 'a3', 'b2']) tx.set(key, 1)
    })
    await main.set('a4', 1)
    const [first, second, third] = await take(changes, 3)
    const rest = async (from: Cursor | undefined, count: number): Promise<string[]> =>
      (await take(main.watch({ prefix: 'a' }, { from }), count)).map(({ key }) => key)
    expect(await rest(first?.cursor, 3)).toEqual(['a2', 'a3', 'a4'])
    expect(await rest(JSON.parse(JSON.stringify(second?.cursor)) as Cursor, 2)).toEqual(['a3', 'a4'])
    expect(await rest(third?.cursor, 1)).toEqual(['a4'])
    expect(third?.cursor).toEqual((await take(everything, 1))[0]?.cursor)
  })

  it('are those of commits as well', async () => {
    const db = open()
    const main = db.handle()
    const commits = db.changes()
    await main.set('x', 1)
    await main.set('a', 2)
    const [first] = await take(commits, 1)
    expect((await take(main.watch({ key: 'a' }, { from: first?.cursor }), 1)).map(changeLine)).toEqual(['2: a=2'])
  })
})

describe('a watcher that is too slow', () => {
  it('loses only what concerns it', async () => {
    const db = open<string, string>({}, { feedBytes: 10_000 })
    const main = db.handle()
    const idle = main.watch({ key: 'idle' })
    const slow = main.watch({ key: 'k0' })
    const everything = db.changes()
    for (let i = 0; i < 100; i++) await main.set(`k${i}`, 'x'.repeat(500))
    await main.set('idle', 'told')
    expect((await take(idle, 1))[0]).toMatchObject({ value: 'told' })
    expect(await refusal(() => slow.next())).toBe('SNAPSHOT_TOO_OLD')
    await everything.return?.()
  })

  it('is told that it cannot know what was committed while only other keys were watched', async () => {
    const db = open()
    const handle = db.handle()
    const other = handle.watch({ key: 'other' })
    const all = db.changes()
    await handle.set('a', 1)
    const { cursor } = (await take(all, 1))[0]!
    await all.return?.()
    await handle.set('a', 2)
    await handle.set('other', 3)
    expect(await refusal(() => handle.watch({ key: 'a' }, { from: cursor }).next())).toBe('SNAPSHOT_TOO_OLD')
    expect(await refusal(() => db.changes({ from: cursor }).next())).toBe('SNAPSHOT_TOO_OLD')
    expect((await take(other, 1)).map(changeLine)).toEqual(['3: other=3'])
  })

  it('has the ring for what is watched alone, if nobody reads everything', async () => {
    const db = open<string, string>({}, { feedBytes: 10_000 })
    const main = db.handle()
    const slow = main.watch({ key: 'k' })
    await main.set('k', 'first')
    for (let i = 0; i < 100; i++) await main.set(`other${i}`, 'x'.repeat(500))
    await main.set('k', 'second')
    expect((await take(slow, 2)).map(({ value }) => value)).toEqual(['first', 'second'])
  })
})

describe('misuse', () => {
  it('is refused by the call', () => {
    const db = open()
    const main = db.handle()
    for (const what of [1, null, 'k', { key: 'a', prefix: 'b' }, { limit: 1 }, { reverse: true }, { from: 'a' }]) {
      expect(thrown(() => main.watch(what as Range<string>))).toBe('INVALID_ARGUMENT')
    }
    expect(thrown(() => main.watch({ key: NaN as unknown as string }))).toBe('INVALID_KEY')
    expect(thrown(() => main.watch({}, { safe: true } as object))).toBe('INVALID_ARGUMENT')
  })
})
