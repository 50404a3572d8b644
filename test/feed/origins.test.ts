/** Commits that nobody asked for, and those that replace much at once; and forks, whose commits are their own. */
import { describe, expect, it } from 'vitest'

import { codecs, table } from '../../src/index.ts'
import { open, refusal, thrown } from '../api/fixtures.ts'
import { changeLine, line, orWaits, take } from './readers.ts'

const points = table('points', { value: codecs.struct({ x: 'i32', label: 'string' }) })

describe('expiry', () => {
  it('shows as deletions of cause expire, with what was there', async () => {
    let time = 1_000_000
    const db = open({ clock: () => time, ttl: { sweepIntervalMs: 1 } })
    const main = db.handle()
    const commits = db.changes({ before: true })
    const watched = main.watch({ key: 'a' })
    await main.set('a', 1, { ttlMs: 100 })
    await main.set('b', 2)
    expect((await take(commits, 2))[0]?.changes).toEqual([
      { table: 'default', key: 'a', kind: 'set', value: 1, before: undefined, expiresAt: 1_000_100 },
    ])
    time += 1000
    await db.vacuum()
    const [swept] = await take(commits, 1)
    expect(swept).toMatchObject({ cause: 'expire', changes: [{ key: 'a', kind: 'delete', before: 1 }] })
    expect((await take(watched, 2))[1]).toMatchObject({ cause: 'expire', kind: 'delete' })
  })

  it('of what a write takes the place of shows as that write alone, with nothing before it', async () => {
    let time = 1_000_000
    const db = open({ clock: () => time, ttl: { sweepIntervalMs: 0 } })
    await db.handle().set('a', 1, { ttlMs: 100 })
    time += 1000
    const commits = db.changes({ before: true })
    await db.handle().set('a', 2)
    expect((await take(commits, 1))[0]?.changes).toEqual([
      { table: 'default', key: 'a', kind: 'set', value: 2, before: undefined },
    ])
  })
})

describe('eviction in memory', () => {
  it('shows as deletions of cause evict, so that whoever follows the changes has what the database has', async () => {
    const db = open<string, string>({ maxMemoryBytes: 20_000 })
    const copy = new Map<unknown, unknown>()
    const commits = db.changes()
    for (let i = 0; i < 300; i++) await db.handle().set(`k${i}`, 'x'.repeat(100))
    let evicted = 0
    let step = await orWaits(commits.next())
    for (; step !== 'waits' && step.done !== true; step = await orWaits(commits.next())) {
      if (step.value.cause === 'evict') evicted++
      for (const { key, kind, value } of step.value.changes) {
        if (kind === 'set') copy.set(key, value)
        else copy.delete(key)
      }
    }
    expect(evicted).toBeGreaterThan(0)
    expect(copy).toEqual(new Map(db.handle().entries()))
  })

  it('leaves a fork without what was there, and its changes say so', async () => {
    const db = open<string, string>({ maxMemoryBytes: 1e6 })
    for (const key of ['a', 'b']) await db.handle().set(key, 'old')
    const fork = db.fork()
    expect(db.handle().evict('a')).toBe(true)
    const changes = fork.handle().watch({}, { before: true })
    for (const key of ['a', 'b']) await fork.handle().set(key, 'new')
    const [lost, known] = await take(changes, 2)
    expect(lost).toMatchObject({ key: 'a', kind: 'set', value: 'new' })
    expect(lost).not.toHaveProperty('before')
    expect(known).toMatchObject({ key: 'b', before: 'old' })
    await fork.close()
  })
})

describe('values outside of the heap', () => {
  it('stay what they were, however often they are overwritten before somebody reads of them', async () => {
    const db = open()
    const handle = db.handle(points)
    const changes = handle.watch({}, { before: true })
    for (let x = 0; x < 50; x++) await handle.set('p', { x, label: `at ${x}`.padEnd(x * 10, '.') })
    const seen = await take(changes, 50)
    expect(seen.map(({ value }) => value?.x)).toEqual(Array.from({ length: 50 }, (_, x) => x))
    expect(seen.map(({ before }) => before?.x)).toEqual(
      Array.from({ length: 50 }, (_, x) => (x === 0 ? undefined : x - 1)),
    )
    expect(seen[30]?.value?.label).toBe('at 30'.padEnd(300, '.'))
  })
})

describe('restore', () => {
  it('is one commit', async () => {
    const db = open()
    const main = db.handle()
    await main.set('a', 1)
    await main.set('b', 2)
    const snapshot = db.snapshot()
    await main.set('a', 3)
    await main.delete('b')
    await main.set('c', 4)
    const commits = db.changes()
    await db.restore(snapshot)
    snapshot.close()
    const [commit] = await take(commits, 1)
    expect(
      line(commit as NonNullable<typeof commit>)
        .split(' ')
        .slice(1)
        .sort(),
    ).toEqual(['-c', 'a=1', 'b=2'])
    expect(await orWaits(commits.next())).toBe('waits')
  })
})

describe('forks', () => {
  it('have watchers and cursors of their own', async () => {
    const db = open()
    await db.handle().set('a', 1)
    const fork = db.fork()
    const [here, there] = [db.handle().watch({}), fork.handle().watch({})]
    await fork.handle().set('a', 2)
    await db.handle().set('b', 3)
    expect((await take(here, 1)).map(({ key, value }) => `${key}=${value}`)).toEqual(['b=3'])
    expect((await take(there, 1)).map(({ key, value }) => `${key}=${value}`)).toEqual(['a=2'])
    const [hereNext, thereNext] = [here.next(), there.next()]
    expect(await orWaits(Promise.race([hereNext, thereNext]))).toBe('waits')
    expect(thrown(() => fork.changes({ from: db.cursor }))).toBe('INVALID_ARGUMENT')
    await fork.close()
    expect(await refusal(() => thereNext)).toBe('CLOSED')
    expect(await orWaits(hereNext)).toBe('waits')
  })

  it('tell of old values that they have from their parent', async () => {
    const db = open()
    await db.handle().set('a', 1)
    const fork = db.fork()
    const changes = fork.handle().watch({ key: 'a' }, { before: true })
    await fork.handle().set('a', 2)
    await fork.handle().delete('a')
    expect((await take(changes, 2)).map((change) => [changeLine(change), change.before])).toEqual([
      ['2: a=2', 1],
      ['3: -a', 2],
    ])
    await fork.close()
  })
})
