import { describe, expect, it } from 'vitest'

import { codecs, keys, merges, table, type VarveError } from '../../src/index.ts'
import { openWith } from '../../src/database.ts'
import { ForkBase } from '../../src/mvcc/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { breakMethod } from '../support/break.ts'
import { collectGarbage, contents, failure, open, refusal, thrown } from './fixtures.ts'

const accounts = table<string, number>('accounts')

describe('a fork', () => {
  it('shows its parent as it was, and neither sees what the other writes', async () => {
    const db = open()
    const handle = db.handle()
    await handle.set('a', 1)
    await handle.set('b', 2)
    const fork = db.fork()
    const copy = fork.handle()
    await handle.set('a', 10)
    await handle.delete('b')
    await handle.set('c', 30)
    expect(contents(copy)).toEqual([
      ['a', 1],
      ['b', 2],
    ])
    await copy.set('d', 4)
    await copy.delete('a')
    expect([copy.get('a'), copy.get('b'), copy.get('c'), copy.get('d'), copy.size]).toEqual([
      undefined,
      2,
      undefined,
      4,
      2,
    ])
    expect(contents(handle)).toEqual([
      ['a', 10],
      ['c', 30],
    ])
    expect((await fork.check()).problems).toEqual([])
    await fork.close()
  })

  it('goes on from the sequence of its parent, with a clock of its own', async () => {
    const db = open()
    await db.handle().set('a', 1)
    const fork = db.fork()
    expect(fork.sequence).toBe(db.sequence)
    await fork.handle().set('a', 2)
    expect([fork.sequence, db.sequence]).toEqual([2, 1])
    await fork.close()
  })

  it('runs with the options of its parent but for those of files', async () => {
    const storage = new SimulatedStorage({ seed: 1 })
    const db = await openWith<string, number>({ path: '/db', isolation: 'snapshot' }, { storage, background: 'inline' })
    const fork = db.fork()
    expect(fork.options).toMatchObject({
      path: undefined,
      durability: 'memory',
      isolation: 'snapshot',
      readOnly: false,
    })
    await fork.close()
    await db.close()
  })

  it('has the tables of its parent, used there or not, with the codecs they have', async () => {
    const storage = new SimulatedStorage({ seed: 1 })
    const names = table<string, string>('names', { key: keys.string(), value: codecs.string() })
    const first = await openWith<string, number>({ path: '/db' }, { storage, background: 'inline' })
    await first.handle().set('x', 1)
    await first.handle(names).set('n', 'cold')
    await first.handle(accounts).set('a', 7)
    await first.close()
    const db = await openWith<string, number>({ path: '/db' }, { storage, background: 'inline' })
    const fork = db.fork()
    expect(fork.tables().sort()).toEqual(['accounts', 'default', 'names'])
    expect(fork.handle(names).get('n')).toBe('cold')
    expect(fork.handle(names).size).toBe(1)
    expect(contents(fork.handle(accounts))).toEqual([['a', 7]])
    expect(await refusal(() => fork.handle(table('accounts', { value: codecs.string() })))).toBe('CODEC_MISMATCH')
    // The parent was asked by name only: its own definition comes later and counts.
    expect(db.handle(names).get('n')).toBe('cold')
    expect((await db.check()).problems).toEqual([])
    await fork.close()
    await db.close()
  })

  it('makes tables of its own, of which its parent knows nothing', async () => {
    const db = open()
    const fork = db.fork()
    await fork.handle(accounts).set('a', 1)
    expect(db.tables()).toEqual(['default'])
    await db.handle(table<string, string>('accounts', { value: codecs.string() })).set('a', 'other')
    const nested = fork.fork()
    expect(nested.handle(accounts).get('a')).toBe(1)
    await nested.close()
    await fork.close()
  })

  it('conflicts inside as any database does', async () => {
    const db = open()
    await db.handle().set('x', 1)
    await db.handle().set('y', 1)
    const fork = db.fork()
    const handle = fork.handle()
    const [a, b] = [handle.begin(), handle.begin()]
    a.set('x', a.get('y')! + 1)
    b.set('y', b.get('x')! + 1)
    await a.commit()
    expect(await refusal(() => b.commit())).toBe('SERIALIZATION_FAILURE')
    // Absent in parent and fork: a phantom all the same.
    const [c, d] = [handle.begin(), handle.begin()]
    expect([c.get('p'), d.count({ prefix: 'q' })]).toEqual([undefined, 0])
    c.set('q', 1)
    d.set('p', 1)
    await c.commit()
    expect(await refusal(() => d.commit())).toBe('SERIALIZATION_FAILURE')
    await fork.close()
  })

  it('merges with what its parent has', async () => {
    const db = open({ merge: merges.sum })
    await db.handle().set('n', 5)
    const fork = db.fork()
    await fork.handle().merge('n', 3)
    expect([fork.handle().get('n'), db.handle().get('n')]).toEqual([8, 5])
    await fork.close()
  })

  it('is safe if asked to be: not in the middle of what is in flight', async () => {
    const db = open()
    const handle = db.handle()
    await handle.set('x', 0)
    await handle.set('y', 0)
    const older = handle.begin()
    older.get('x')
    const newer = handle.begin()
    newer.get('y')
    newer.set('x', 1)
    await newer.commit()
    const [safe, plain] = [db.fork({ safe: true }), db.fork()]
    expect([safe.handle().get('x'), plain.handle().get('x')]).toEqual([0, 1])
    older.rollback()
    await safe.close()
    await plain.close()
  })

  it('forks in turn, hundreds deep, and stays quick', async () => {
    // A lookup goes through eight engines at the most.
    let layers = 0
    breakMethod(
      ForkBase,
      'part',
      (original) =>
        function (this: ForkBase, name: string) {
          layers = Math.max(layers, this.layers.length)
          return original.call(this as never, name as never)
        },
    )
    const db = open()
    await db.handle().set('base', 0)
    const chain = [db]
    for (let i = 1; i <= 300; i++) {
      const fork = chain[i - 1]!.fork()
      await fork.handle().set(`k${i % 40}`, i)
      if (i % 7 === 0) await fork.handle().delete(`k${(i - 3) % 40}`)
      chain.push(fork)
    }
    const expected = new Map<string, number>([['base', 0]])
    for (let i = 1; i <= 300; i++) {
      expected.set(`k${i % 40}`, i)
      if (i % 7 === 0) expected.delete(`k${(i - 3) % 40}`)
      if (i % 50 !== 0) continue
      const handle = chain[i]!.handle()
      expect(new Map(handle.entries())).toEqual(expected)
      for (const [key, value] of expected) expect(handle.get(key)).toBe(value)
      expect(handle.size).toBe(expected.size)
      expect((await chain[i]!.check()).problems).toEqual([])
    }
    expect(layers).toBe(8)
    for (const fork of chain.slice(1).reverse()) await fork.close()
  })

  it('has, many forks deep, what they have written: with its expiry, or that it was evicted since', async () => {
    let time = 1_000_000
    const db = open({ clock: () => time, ttl: { sweepIntervalMs: 0 } })
    const chain = [db]
    for (let i = 1; i <= 8; i++) {
      const fork = chain[i - 1]!.fork()
      await fork.handle().set(`k${i}`, i, { ttlMs: 100 })
      await fork.handle().set(`gone${i}`, i)
      chain.push(fork)
    }
    for (let i = 1; i < 8; i++) expect(chain[i]!.handle().evict(`gone${i}`)).toBe(true)
    // Beyond eight a fork copies what the nearest have written.
    const last = chain[8]!.fork()
    chain.push(last)
    for (let i = 1; i <= 8; i++) {
      expect([last.handle().get(`k${i}`), last.handle().ttl(`k${i}`)]).toEqual([i, 100])
      if (i < 8) expect(thrown(() => last.handle().get(`gone${i}`))).toBe('SNAPSHOT_TOO_OLD')
      else expect(last.handle().get('gone8')).toBe(8)
    }
    expect(last.handle().count()).toBe(16)
    time += 100
    expect([last.handle().count(), last.handle().get('k8')]).toEqual([8, undefined])
    for (const fork of chain.reverse()) await fork.close()
  })

  it('has nothing where something had expired before it began, whichever call comes first', async () => {
    let time = 1_000_000
    const db = open({ clock: () => time, ttl: { sweepIntervalMs: 0 } })
    await db.handle().set('a', 1, { ttlMs: 100 })
    await db.handle().set('b', 1, { ttlMs: 100 })
    time += 100
    for (const from of [db, db.fork()]) {
      const deleting = from.fork()
      expect(await deleting.handle().delete('a')).toBe(false)
      expect(deleting.sequence).toBe(from.sequence)
      await deleting.close()
      const writing = from.fork()
      const changes = writing.handle().watch({}, { before: true })
      const first = changes.next()
      await writing.handle().set('b', 2)
      const { value: change } = await first
      expect([change?.key, change?.before]).toEqual(['b', undefined])
      await changes.return?.()
      await writing.close()
      if (from !== db) await from.close()
    }
  })

  it('does not stand on a parent that has nothing of its own', async () => {
    const db = open()
    await db.handle().set('a', 1)
    let fork = db.fork()
    const all = [fork]
    for (let i = 0; i < 3000; i++) all.push((fork = fork.fork()))
    expect(fork.handle().get('a')).toBe(1)
    for (const each of all.reverse()) await each.close()
  })
})

describe('closing', () => {
  it('is refused while forks are open, and says how many', async () => {
    const db = open()
    const [one, two] = [db.fork(), db.fork()]
    const error = await failure(() => db.close())
    expect(error.code).toBe('LOCKED')
    expect(error.message).toContain('2 forks')
    await db.handle().set('a', 1)
    await two.close()
    expect((await failure(() => db.close())).message).toContain('1 fork ')
    const nested = one.fork()
    expect(await refusal(() => one.close())).toBe('LOCKED')
    await nested.close()
    await one.close()
    await one.close()
    await db.close()
    expect(thrown(() => db.fork())).toBe('CLOSED')
    expect(thrown(() => one.fork())).toBe('CLOSED')
    expect(thrown(() => one.handle())).toBe('CLOSED')
  })

  it('is not held up by forks that nobody holds any more', async () => {
    const db = open()
    await db.handle().set('a', 1)
    ;(() => void db.fork().fork().handle().get('a'))()
    await collectGarbage()
    await collectGarbage()
    expect(db.stats().transactions.leaked).toBe(1)
    await db.close()
  })
})

describe('garbage', () => {
  it('old versions of the parent stay for its forks and go with them', async () => {
    const db = open()
    for (let i = 0; i < 100; i++) await db.handle().set(`k${i}`, i)
    const fork = db.fork()
    for (let i = 0; i < 100; i++) await db.handle().set(`k${i}`, -i)
    await db.vacuum()
    expect(db.stats().garbage.chained).toBe(100)
    expect(fork.handle().get('k7')).toBe(7)
    await fork.close()
    await db.vacuum()
    expect(db.stats().garbage.chained).toBe(0)
  })

  it('a deletion is remembered only where it hides something of the parent', async () => {
    const db = open()
    await db.handle().set('there', 1)
    const fork = db.fork()
    for (let i = 0; i < 500; i++) {
      await fork.handle().set(`k${i}`, i)
      await fork.handle().delete(`k${i}`)
    }
    await fork.handle().delete('there')
    await fork.vacuum()
    expect(fork.stats().tables['default']!.tombstones).toBe(1)
    expect(fork.handle().get('there')).toBeUndefined()
    await fork.close()
  })
})

describe('of databases that read only, are poisoned or limit ages', () => {
  it('takes writes though its parent does not', async () => {
    const storage = new SimulatedStorage({ seed: 1 })
    const first = await openWith<string, number>({ path: '/db' }, { storage, background: 'inline' })
    await first.handle().set('a', 1)
    await first.close()
    const db = await openWith<string, number>({ path: '/db', readOnly: true }, { storage, background: 'inline' })
    const fork = db.fork()
    await fork.handle().set('b', 2)
    await fork.handle(accounts).set('c', 3)
    expect(contents(fork.handle())).toEqual([
      ['a', 1],
      ['b', 2],
    ])
    await fork.close()
    await db.close()
  })

  it('is told when the parent gives its snapshot up', async () => {
    let now = 0
    const db = open({ maxSnapshotAgeMs: 1000 }, { now: () => now })
    await db.handle().set('a', 1)
    await db.handle().set('b', 2)
    const fork = db.fork()
    expect(fork.handle().get('a')).toBe(1)
    now = 5000
    await db.handle().set('b', 3)
    expect(thrown(() => fork.handle().get('b'))).toBe('SNAPSHOT_TOO_OLD')
    expect(thrown(() => contents(fork.handle()))).toBe('SNAPSHOT_TOO_OLD')
    await fork.close()
    await db.close()
  })

  it('is poisoned with its parent only where the parent may lose what it shows', async () => {
    const storage = new SimulatedStorage({ seed: 5 })
    const db = await openWith<string, number>({ path: '/db' }, { storage, background: 'inline' })
    await db.handle().set('a', 1)
    await db.handle().set('b', 2)
    const durable = db.fork()
    storage.fail({ kind: 'EIO', operation: ['write', 'sync'], every: 1 })
    const doomed = db.handle().set('a', 3)
    const early = db.fork()
    expect(await refusal(() => doomed)).toBe('POISONED')
    expect(thrown(() => early.handle().get('b'))).toBe('POISONED')
    expect(durable.handle().get('b')).toBe(2)
    expect(contents(durable.handle())).toEqual([
      ['a', 1],
      ['b', 2],
    ])
    expect(thrown(() => db.fork())).toBe('POISONED')
    await early.close()
    expect(await refusal(() => db.close())).toBe('LOCKED')
    await durable.close()
    await db.close().catch(() => undefined)
  })
})

describe('of a database with a limit of memory', () => {
  it('in memory, says so where a key it shows has been evicted since, and shows the others', async () => {
    const db = open<string, string>({ maxMemoryBytes: 40_000, eviction: 'lru' })
    const value = 'x'.repeat(100)
    for (let i = 0; i < 100; i++) await db.handle().set(`k${i}`, value)
    const kept = db.handle().size
    expect(kept).toBe(100)
    const fork = db.fork()
    expect(fork.handle().get('k0')).toBe(value)
    for (let i = 0; i < 100; i++) await db.handle().set(`n${i}`, value)
    let [found, lost] = [0, 0]
    for (let i = 0; i < 100; i++) {
      try {
        expect(fork.handle().get(`k${i}`)).toBe(value)
        found++
      } catch (error) {
        expect((error as VarveError).code).toBe('SNAPSHOT_TOO_OLD')
        lost++
      }
    }
    expect(found).toBeGreaterThan(0)
    expect(lost).toBeGreaterThan(0)
    // What was looked up before stays, and what the fork writes is not limited.
    expect(fork.handle().get('k0')).toBe(value)
    expect(fork.options.maxMemoryBytes).toBe(Infinity)
    for (let i = 0; i < 1000; i++) await fork.handle().set(`f${i}`, value)
    expect(fork.handle().count({ prefix: 'f' })).toBe(1000)
    await fork.close()
  })

  it.each([
    ['on the heap', table<string>('plain')],
    ['outside of it', table<string>('bytes', { value: codecs.bytes() })],
  ])('can write, delete, clear and restore what was evicted, with values %s', async (_, definition) => {
    const KEYS = ['a', 'b', 'c', 'd', 'e']
    const [old, other] = [Buffer.from('old'), Buffer.from('new')].map((bytes) => new Uint8Array(bytes))
    const db = open<string, string>({ eviction: 'lru', maxMemoryBytes: 1e6 })
    for (const key of KEYS) await db.handle(definition).set(key, old)
    const [fork, whole] = [db.fork(), db.fork()]
    expect(whole.handle(definition).getMany(KEYS)).toEqual(KEYS.map(() => old))
    for (const key of KEYS) expect(db.handle(definition).evict(key)).toBe(true)
    const handle = fork.handle(definition)
    // Existence is known.
    expect([handle.has('a'), handle.size, handle.count(), [...handle.keys()]]).toEqual([true, 5, 5, KEYS])
    for (const read of [
      () => handle.get('a'),
      () => contents(handle),
      () => handle.update('a', (value) => value),
      () => handle.transaction((tx) => tx.get('a')),
      () => whole.restore(fork.snapshot()),
    ]) {
      const error = await failure(async () => read())
      expect([error.code, error.retryable]).toEqual(['SNAPSHOT_TOO_OLD', false])
    }
    using before = fork.snapshot()
    await handle.set('a', other)
    expect(await handle.delete('b')).toBe(true)
    expect([handle.get('a'), handle.has('b'), handle.size]).toEqual([other, false, 4])
    expect(thrown(() => before.table(definition).get('a'))).toBe('SNAPSHOT_TOO_OLD')
    const nested = fork.fork()
    expect(nested.handle(definition).get('a')).toEqual(other)
    expect(thrown(() => nested.handle(definition).get('c'))).toBe('SNAPSHOT_TOO_OLD')
    await nested.handle(definition).clear()
    expect(nested.handle(definition).size).toBe(0)
    expect((await nested.check()).problems).toEqual([])
    await nested.close()
    await fork.restore(whole.snapshot())
    expect(handle.getMany(KEYS)).toEqual(KEYS.map(() => old))
    before.close()
    expect((await fork.check()).problems).toEqual([])
    await fork.close()
    await whole.close()
  })

  it('charges what forks pin to the parent', async () => {
    const db = open<string, string>({ maxMemoryBytes: 60_000, eviction: 'lru' })
    const value = 'x'.repeat(100)
    for (let i = 0; i < 100; i++) await db.handle().set(`k${i}`, value)
    const fork = db.fork()
    const alone = db.stats().memory.usedBytes
    expect(db.stats().memory.versionBytes).toBe(0)
    for (let i = 0; i < 100; i++) await db.handle().set(`k${i}`, value.toUpperCase())
    expect(db.stats().memory.usedBytes).toBeGreaterThan(alone * 1.4)
    expect(db.stats().memory.versionBytes).toBeGreaterThan(10_000)
    await fork.close()
    await db.vacuum()
    expect(db.stats().memory.versionBytes).toBe(0)
  })

  it('on disk, shows everything, whatever leaves memory', async () => {
    const storage = new SimulatedStorage({ seed: 8 })
    const options = { path: '/db', maxMemoryBytes: 400_000 }
    const db = await openWith<string, string>(options, { storage, background: 'inline' })
    const value = 'x'.repeat(100)
    for (let i = 0; i < 300; i++) await db.handle().set(`k${i}`, `${value}${i}`)
    await db.checkpoint()
    const fork = db.fork()
    for (let i = 0; i < 300; i++) await db.handle().set(`k${i}`, 'new')
    for (let i = 0; i < 300; i++) await db.handle().set(`m${i}`, value)
    await db.checkpoint()
    for (let i = 0; i < 300; i++) db.handle().get(`m${i}`)
    for (let i = 0; i < 300; i++) expect(fork.handle().get(`k${i}`)).toBe(`${value}${i}`)
    expect(fork.handle().count()).toBe(300)
    expect((await fork.check()).problems).toEqual([])
    await fork.close()
    expect((await db.check()).problems).toEqual([])
    await db.close()
  })
})
