/** Types of what those who watch are given. */
import { expectTypeOf, test } from 'vitest'

import { type Change, type Commit, type CommitChange, type Cursor, Database, type Key, table } from 'varve'

const entries = table<readonly [string, number], { text: string }>('entries')

test('changes of a table have its keys and values', async () => {
  const db = await Database.open<string, number>()
  expectTypeOf(db.handle().watch({ key: 'a' })).toEqualTypeOf<AsyncIterableIterator<Change<string, number>>>()
  for await (const change of db.handle(entries).watch({ prefix: ['a'] }, { before: true })) {
    expectTypeOf(change.key).toEqualTypeOf<readonly [string, number]>()
    expectTypeOf(change.kind).toEqualTypeOf<'set' | 'delete'>()
    expectTypeOf(change.value).toEqualTypeOf<{ text: string } | undefined>()
    expectTypeOf(change.before).toEqualTypeOf<{ text: string } | undefined>()
    expectTypeOf(change.cause).toEqualTypeOf<'commit' | 'expire' | 'evict'>()
    expectTypeOf(change.cursor).toEqualTypeOf<Cursor>()
  }
})

test('what is watched is a key or a range of the table', async () => {
  const db = await Database.open<string, number>()
  expectTypeOf(db.handle().watch).parameter(0).not.toExtend<{ key: number }>()
  // @ts-expect-error a key of another type
  db.handle().watch({ key: 1 })
  // @ts-expect-error a bound of another type
  db.handle().watch({ gt: 1 })
  // @ts-expect-error serializable points are of whole commits
  db.handle().watch({}, { safe: true })
})

test('commits are over all tables', async () => {
  const db = await Database.open<string, number>()
  expectTypeOf(db.changes()).toEqualTypeOf<AsyncIterableIterator<Commit>>()
  expectTypeOf<Commit['changes']>().toEqualTypeOf<readonly CommitChange[]>()
  expectTypeOf<CommitChange['key']>().toEqualTypeOf<Key>()
  expectTypeOf<CommitChange['value']>().toEqualTypeOf<unknown>()
  expectTypeOf(db.cursor).toEqualTypeOf<Cursor>()
  db.changes({ from: db.cursor, durable: false, before: true, safe: true, signal: new AbortController().signal })
  db.changes({ from: JSON.parse(JSON.stringify(db.cursor)) as Cursor })
  // @ts-expect-error a cursor is more than a sequence
  db.changes({ from: 5 })
})

test('a change has a value exactly if it is of kind set', () => {
  const change = {} as Change<string, { x: number }>
  if (change.kind === 'set') expectTypeOf(change.value).toEqualTypeOf<{ x: number }>()
  else expectTypeOf(change.value).toEqualTypeOf<undefined>()
  const written = {} as CommitChange
  if (written.kind === 'delete') expectTypeOf(written.value).toEqualTypeOf<undefined>()
})
