/** Limits of memory as users meet them, and the known faults of stores that evict, by name. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'

import { openWith } from '../../src/database.ts'
import {
  codecs,
  Database,
  type DatabaseEvents,
  type DatabaseOptions,
  type EvictionName,
  type Key,
  keys,
  merges,
  table,
  type Table,
  type VarveError,
} from '../../src/index.ts'
import { Directory } from '../persistence/directory.ts'
import { leastCost, until } from '../support/patience.ts'

const POLICIES: readonly EvictionName[] = ['lru', 'lfu', 'random', 'arc', 's3fifo']

async function codeOf(call: () => unknown): Promise<string> {
  try {
    await call()
    return 'done'
  } catch (error) {
    return (error as VarveError).code
  }
}

/** In memory; entries count for 100 bytes each. */
async function cache(options: DatabaseOptions<string, number>): Promise<Database<string, number>> {
  const db = await Database.open<string, number>({ sizeOf: () => 100, ...options })
  onTestFinished(() => db.close())
  return db
}

async function onDisk(options: DatabaseOptions<string, string>): Promise<Database<string, string>> {
  const directory = new Directory()
  const db = await Database.open<string, string>({ path: directory.path, durability: 'relaxed', ...options })
  onTestFinished(async () => {
    await db.close()
  })
  return db
}

describe('an entry', () => {
  it('counts for 108 bytes beside key and value; for 96, the key included, where keys are of 64 bits', async () => {
    const held = async <K extends Key>(
      maxMemoryBytes: number,
      things: Table<K, number>,
      keyOf: (i: number) => K,
    ): Promise<number> => {
      await using db = await Database.open({ maxMemoryBytes })
      const handle = db.handle(things)
      for (let i = 0; i < 2000; i++) await handle.set(keyOf(i), i)
      return handle.size
    }
    // Small integers take nothing besides.
    expect(await held(108_000, table<number, number>('plain'), (i) => i)).toBe(1000)
    expect(await held(96_000, table('keyed', { key: keys.i64() }), BigInt)).toBe(1000)
  })
})

describe('MEMORY_LIMIT changes nothing', () => {
  it.each<[string, (db: Database<string, number>) => unknown]>([
    ['one write that is larger than the limit', (db) => db.handle().set('big', 1)],
    ['a transaction', (db) => db.handle().transaction((tx) => tx.set('big', 1))],
    ['a synchronous transaction', (db) => db.handle().transactionSync((tx) => tx.set('big', 1))],
    [
      'several writes that are larger together',
      (db) => db.handle().transaction((tx) => ['b', 'c', 'd', 'e', 'f', 'g'].forEach((key) => tx.set(key, 1))),
    ],
    [
      'a transaction over several tables',
      (db) => db.handle().transaction((tx) => (tx.set('x', 1), tx.table(table<string, number>('other')).set('big', 1))),
    ],
    ['a merge', (db) => db.handle().merge('big', 1)],
  ])('%s', async (_, write) => {
    const db = await Database.open<string, number>({
      maxMemoryBytes: 1000,
      merge: merges.sum,
      sizeOf: (key) => (key === 'big' ? 1001 : 200),
    })
    for (const key of ['a', 'h', 'i', 'j']) await db.handle().set(key, 1)
    const { sequence } = db
    const evicted: unknown[] = []
    db.on('evict', (event) => evicted.push(event))
    db.on('commit', (event) => evicted.push(event))
    if (_ === 'a transaction over several tables') db.handle(table<string, number>('other', { sizeOf: () => 1001 }))
    expect(await codeOf(() => write(db))).toBe('MEMORY_LIMIT')
    expect([...db.handle().keys()]).toEqual(['a', 'h', 'i', 'j'])
    expect([db.sequence, evicted]).toEqual([sequence, []])
    expect((await db.check()).problems).toEqual([])
    await db.close()
  })

  it('where the policy has nothing to evict: manual, and ttl without expiries', async () => {
    for (const eviction of ['manual', 'ttl'] as const) {
      const db = await cache({ maxMemoryBytes: 300, eviction })
      for (const key of ['a', 'b', 'c']) await db.handle().set(key, 1)
      expect(await codeOf(() => db.handle().set('d', 1))).toBe('MEMORY_LIMIT')
      expect([...db.handle().keys()]).toEqual(['a', 'b', 'c'])
      await db.handle().set('a', 2)
      expect(db.handle().evict('b')).toBe(true)
      await db.handle().set('d', 1)
      expect([...db.handle().keys()]).toEqual(['a', 'c', 'd'])
    }
  })

  it('ttl evicts what expires soonest, and never what does not expire', async () => {
    const db = await cache({ maxMemoryBytes: 300, eviction: 'ttl' })
    await db.handle().set('late', 1, { ttlMs: 1_000_000 })
    await db.handle().set('soon', 1, { ttlMs: 500_000 })
    await db.handle().set('never', 1)
    await db.handle().set('more', 1)
    expect([...db.handle().keys()]).toEqual(['late', 'more', 'never'])
    await db.handle().set('yet more', 1)
    expect([...db.handle().keys()]).toEqual(['more', 'never', 'yet more'])
    expect(await codeOf(() => db.handle().set('too much', 1))).toBe('MEMORY_LIMIT')
  })

  it('names who holds what cannot go', async () => {
    const db = await Database.open<string, string>({ maxMemoryBytes: 20_000 })
    const handle = db.handle()
    await handle.set('a', 'x'.repeat(3000))
    const holder = handle.begin()
    holder.get('a')
    let refusal: VarveError | undefined
    for (let i = 0; i < 1000 && refusal === undefined; i++)
      refusal = await handle.set(`k${i}`, 'x').then(
        () => undefined,
        (error: VarveError) => error,
      )
    expect(refusal?.code).toBe('MEMORY_LIMIT')
    expect(refusal?.message).toContain(`snapshot ${holder.id},`)
    holder.rollback()
    await handle.set('k', 'x')
    expect((await db.check()).problems).toEqual([])
    await db.close()
  })
})

describe('in memory', () => {
  it('tells of evictions with their reason, after the commit', async () => {
    const db = await cache({ maxMemoryBytes: 300 })
    const heard: DatabaseEvents['evict'][] = []
    db.on('evict', (event) => heard.push(event))
    for (let i = 0; i < 5; i++) await db.handle().set(`k${i}`, i)
    db.handle().evict('k4')
    expect(db.handle().evict('absent')).toBe(false)
    await Promise.resolve()
    const common = { table: db.tables()[0], bytes: 100 }
    expect(heard).toEqual([
      { ...common, key: 'k0', reason: 'limit' },
      { ...common, key: 'k1', reason: 'limit' },
      { ...common, key: 'k4', reason: 'manual' },
    ])
  })

  it.each(POLICIES)('%s: an evicted key does not vanish from an open snapshot, it is too old', async (eviction) => {
    const db = await cache({ maxMemoryBytes: 1000, eviction })
    for (let i = 0; i < 10; i++) await db.handle().set(`k${i}`, i)
    const snapshot = db.snapshot()
    for (let i = 0; i < 30; i++) await db.handle().set(`n${i}`, i)
    const seen = new Set<string>()
    for (let i = 0; i < 10; i++) seen.add(await codeOf(() => expect(snapshot.get(`k${i}`)).toBe(i)))
    expect(seen.has('SNAPSHOT_TOO_OLD')).toBe(true)
    expect(snapshot.count()).toBe(10)
    expect([...snapshot.keys()]).toHaveLength(10)
    expect(snapshot.get('n0')).toBeUndefined()
    expect(await codeOf(() => [...snapshot.entries()])).toBe('SNAPSHOT_TOO_OLD')
    snapshot.close()
    await db.vacuum()
    expect(db.stats().versions).toBe(db.handle().size)
  })

  it('runs a transaction again whose values have been evicted', async () => {
    const db = await cache({ maxMemoryBytes: 500 })
    for (let i = 0; i < 5; i++) await db.handle().set(`k${i}`, i)
    const codes: string[] = []
    let runs = 0
    const got = await db.handle().transaction(
      async (tx) => {
        if (runs++ === 0) for (let i = 0; i < 5; i++) await db.handle().set(`n${i}`, i)
        return tx.get('k0') ?? 'absent'
      },
      { onRetry: (error) => codes.push(error.code) },
    )
    expect([got, runs, codes]).toEqual(['absent', 2, ['SNAPSHOT_TOO_OLD']])
    const reading = await db.handle().transaction(
      async (tx) => {
        if (runs++ === 2) for (let i = 0; i < 5; i++) await db.handle().set(`m${i}`, i)
        return tx.get('n0') ?? 'absent'
      },
      { readOnly: true },
    )
    expect([reading, runs]).toEqual(['absent', 4])
    const once = db.handle().transaction(
      async (tx) => {
        for (let i = 0; i < 5; i++) await db.handle().set(`o${i}`, i)
        return tx.get('m0')
      },
      { retries: 0 },
    )
    expect(await codeOf(() => once)).toBe('SNAPSHOT_TOO_OLD')
  })

  it('an iterator that has begun shows what was there, or says that it cannot', async () => {
    const db = await cache({ maxMemoryBytes: 20_000 })
    for (let i = 100; i < 300; i++) await db.handle().set(`k${i}`, i)
    const keys = db.handle().keys()
    const values = db.handle().values()
    expect([keys.next().value, values.next().value]).toEqual(['k100', 100])
    for (let i = 0; i < 150; i++) await db.handle().set(`n${i}`, i)
    expect([...keys]).toEqual(Array.from({ length: 199 }, (_, i) => `k${i + 101}`))
    expect(await codeOf(() => [...values])).toBe('SNAPSHOT_TOO_OLD')
    expect(db.stats().transactions.open).toBe(0)
  })

  it('nor does it miss what evict() has taken since, though it has no snapshot yet', async () => {
    const db = await cache({ eviction: 'manual' })
    const all = Array.from({ length: 300 }, (_, i) => `k${i + 100}`)
    for (const key of all) await db.handle().set(key, 1)
    const [keys, values] = [db.handle().keys(), db.handle().values()]
    expect([keys.next().value, values.next().value]).toEqual(['k100', 1])
    // Beyond what they have looked at.
    expect(db.handle().evict('k350')).toBe(true)
    expect([...keys]).toEqual(all.slice(1))
    expect(await codeOf(() => [...values])).toBe('SNAPSHOT_TOO_OLD')
  })

  it('gives back what old values took outside of the heap, snapshots or not', async () => {
    const blobs = table<string, Uint8Array>('blobs', { value: codecs.bytes() })
    const db = await cache({ eviction: 'manual' })
    for (let i = 0; i < 100; i++) await db.handle(blobs).set(`k${i}`, new Uint8Array(10_000))
    using snapshot = db.snapshot()
    for (let i = 0; i < 100; i++) expect(db.handle(blobs).evict(`k${i}`)).toBe(true)
    expect(await codeOf(() => snapshot.table(blobs).get('k7'))).toBe('SNAPSHOT_TOO_OLD')
    expect(db.stats().cache).toMatchObject({ evicted: 0, evictedByHand: 100 })
    expect((await db.check()).problems).toEqual([])
  })

  it('an eviction does not cost O(n): 10^5 entries are as fast as 10^3', async () => {
    const costOf = async (entries: number): Promise<number> => {
      const db = await Database.open<string, number>({ sizeOf: () => 1, maxMemoryBytes: entries })
      const handle = db.handle()
      for (let i = 0; i < entries; i++) void handle.set(`warm${i}`, i)
      let next = 0
      const ms = await leastCost(4, () => {
        for (let i = 0; i < 5000; i++) void handle.set(`k${next++}`, i)
      })
      expect(handle.size).toBe(entries)
      await db.close()
      return ms
    }
    const few = await costOf(1000)
    const many = await costOf(100_000)
    // A hundred times if each looked at all others.
    expect(many / few).toBeLessThan(20)
  })

  it('refuses eviction from inside a merge operator', async () => {
    const codes: string[] = []
    const db: Database<string, number> = await Database.open<string, number>({
      merge: {
        identity: 0,
        merge: (current: number, operand: number) => {
          try {
            db.handle().evict('b')
          } catch (error) {
            codes.push((error as VarveError).code)
          }
          return current + operand
        },
      },
    })
    await db.handle().set('b', 1)
    await db.handle().merge('a', 1)
    expect(codes).toEqual(['INVALID_ARGUMENT'])
    expect(db.handle().get('b')).toBe(1)
    await db.close()
  })

  it('inspects without touching', async () => {
    const db = await cache({ maxMemoryBytes: 300, eviction: 'lru' })
    await db.handle().set('a', 1)
    await db.handle().set('b', 1, { ttlMs: 60_000 })
    await db.handle().set('c', 1)
    const infos = [...db.handle().inspect({ lt: 'c' })]
    expect(infos.map(({ key, sizeBytes, resident }) => [key, sizeBytes, resident])).toEqual([
      ['a', 100, true],
      ['b', 100, true],
    ])
    expect(infos[0]?.expiresAt).toBeUndefined()
    expect(infos[1]?.expiresAt).toBeGreaterThan(Date.now())
    await db.handle().set('d', 1)
    expect([...db.handle().keys()]).toEqual(['b', 'c', 'd'])
  })
})

describe('on disk', () => {
  it('without a limit too, what evict() has taken from memory is read again', async () => {
    const db = await onDisk({})
    await db.handle().set('a', 'kept')
    expect(db.handle().evict('a')).toBe(false) // not in a sorted file yet
    await db.checkpoint()
    expect(db.handle().evict('a')).toBe(true)
    expect([...db.handle().inspect()].map(({ key, resident }) => [key, resident])).toEqual([['a', false]])
    expect([...db.handle().entries()]).toEqual([['a', 'kept']])
    expect(db.handle().get('a')).toBe('kept')
    expect((await db.check()).problems).toEqual([])
  })

  it('evicted keys keep what was last done to them over a restart', async () => {
    const directory = new Directory()
    const options = { path: directory.path, maxMemoryBytes: 100_000 }
    let db = await Database.open<string, string>(options)
    for (const key of ['kept', 'changed', 'deleted', 'back']) await db.handle().set(key, 'old')
    await db.checkpoint()
    for (const key of ['kept', 'changed', 'deleted', 'back']) expect(db.handle().evict(key)).toBe(true)
    expect(db.handle().evict('kept')).toBe(false)
    expect([...db.handle().inspect()].map(({ resident }) => resident)).toEqual([false, false, false, false])
    await db.handle().set('changed', 'new')
    await db.handle().delete('deleted')
    await db.handle().delete('back')
    await db.handle().set('back', 'again')
    for (let restart = 0; restart < 2; restart++) {
      const expected = [
        ['back', 'again'],
        ['changed', 'new'],
        ['kept', 'old'],
      ]
      expect([...db.handle().entries()]).toEqual(expected)
      expect([db.handle().get('deleted'), db.handle().size]).toEqual([undefined, 3])
      await db.close()
      db = await Database.open<string, string>(options)
    }
    await db.close()
  })

  it('what is not on disk yet, or read by somebody, stays in memory', async () => {
    const db = await onDisk({ maxMemoryBytes: 100_000 })
    await db.handle().set('a', 'x')
    expect(db.handle().evict('a')).toBe(false)
    await db.checkpoint()
    const reader = db.handle().begin()
    reader.get('a')
    expect(db.handle().evict('a')).toBe(false)
    reader.rollback()
    expect(db.handle().evict('a')).toBe(true)
    const snapshot = db.snapshot()
    await db.handle().set('a', 'y')
    await db.checkpoint()
    expect(db.handle().evict('a')).toBe(false)
    expect(snapshot.get('a')).toBe('x')
    snapshot.close()
    await db.vacuum()
    expect(db.handle().evict('a')).toBe(true)
    expect(db.handle().get('a')).toBe('y')
  })

  it('what has expired is left to the sweeper, where there is one', async () => {
    let time = 1_700_000_000_000
    for (const sweepIntervalMs of [0, 60_000]) {
      const db = await onDisk({ maxMemoryBytes: 100_000, clock: () => time, ttl: { sweepIntervalMs } })
      await db.handle().set('a', 'x', { ttlMs: 10 })
      await db.checkpoint()
      time += 10
      expect(db.handle().evict('a')).toBe(sweepIntervalMs === 0)
      await db.vacuum()
      expect(db.handle().size).toBe(0)
    }
  })

  it('is brought to disk from a quarter of the limit on, though nobody waits for it yet', async () => {
    const db = await onDisk({ maxMemoryBytes: 400_000 })
    const write = (name: string, count: number): Promise<void> =>
      db.handle().transaction((tx) => {
        for (let i = 0; i < count; i++) tx.set(`${name}${i}`, 'x'.repeat(900))
      })
    const dirty = (): number => db.stats().memory.dirtyBytes
    // Of the 300,000 bytes beside the block cache.
    await write('some', 60)
    await sleep(200)
    expect(dirty()).toBeGreaterThan(50_000)
    await write('more', 30)
    await until(() => dirty() === 0)
  })

  it('lets go by name without a limit, too', async () => {
    const db = await onDisk({ eviction: 'manual' })
    await db.handle().set('a', 'x')
    await db.checkpoint()
    expect(db.handle().evict('a')).toBe(true)
    expect(db.stats().tables['default']?.coldKeys ?? Object.values(db.stats().tables)[0]?.coldKeys).toBe(1)
    expect(db.handle().get('a')).toBe('x')
  })

  it('ordinary reads never fail, whatever the policy may evict', async () => {
    const db = await onDisk({ maxMemoryBytes: 60_000, eviction: 'manual' })
    const directory = db.options.path as string
    for (let i = 0; i < 100; i++) await db.handle().set(`k${i}`, 'x'.repeat(50))
    await db.close()
    const again = await Database.open<string, string>({ path: directory, maxMemoryBytes: 5000, eviction: 'manual' })
    for (let i = 0; i < 100; i++) expect(again.handle().get(`k${i}`)).toBe('x'.repeat(50))
    expect(await codeOf(() => again.handle().set('more', 'x'))).toBe('MEMORY_LIMIT')
    await again.handle().delete('k0')
    await again.close()
  })

  it.each([2 ** 40, Number.MAX_SAFE_INTEGER])(
    'a limit of %d bytes, which is none, takes no more than one',
    async (bytes) => {
      const db = await onDisk({ maxMemoryBytes: bytes })
      await db.handle().set('k', 'v')
      expect(db.handle().get('k')).toBe('v')
      expect(db.memoryUsage()).toBeLessThan(2 ** 25)
    },
  )

  it('what the block cache takes beside blocks shows in memoryUsage()', async () => {
    const db = await onDisk({ maxMemoryBytes: 2 ** 40 })
    // A place for each 2 KiB of 32 MiB, and 16 MiB of places for what is loaded.
    expect(db.memoryUsage()).toBeGreaterThanOrEqual(2 ** 16 + 2 ** 24)
  })

  it.each(['ttl', 'manual'] as const)(
    'what get reads does not stay where %s lets nobody leave for it',
    async (eviction) => {
      const limited = { path: new Directory().path, maxMemoryBytes: 150_000, eviction }
      const filling = await Database.open<string, string>({ path: limited.path })
      for (let i = 0; i < 2000; i++) await filling.handle().set(`k${i}`, `${i}`.padEnd(200))
      await filling.close()
      const db = await Database.open<string, string>(limited)
      onTestFinished(() => db.close())
      for (let round = 0; round < 4; round++) {
        for (let i = 0; i < 2000; i++) {
          expect(db.handle().get(`k${i}`)).toBe(`${i}`.padEnd(200))
          expect(db.handle().get(`k${i}`)).toBe(`${i}`.padEnd(200))
        }
      }
      expect(db.memoryUsage()).toBeLessThanOrEqual(150_000 * 1.15)
      expect(db.stats().tables['default']!.coldKeys).toBeGreaterThan(1000)
      expect((await db.check()).problems).toEqual([])
    },
  )

  it('what get reads for want of room stays only if it is asked for again', async () => {
    let time = 1_700_000_000_000
    const directory = new Directory()
    const limited = {
      path: directory.path,
      maxMemoryBytes: 150_000,
      clock: () => time,
      ttl: { sweepIntervalMs: 0 },
    } as const
    const filling = await Database.open<string, string>(limited)
    const blobs = table<string, Uint8Array>('blobs', { value: codecs.bytes() })
    for (let i = 0; i < 1000; i++) await filling.handle().set(`k${i}`, `${i}`.padEnd(200))
    await filling.handle().set('brief', 'x', { ttlMs: 10 })
    for (let i = 0; i < 10; i++) await filling.handle(blobs).set(`b${i}`, new Uint8Array(300).fill(i))
    await filling.close()

    const db = await Database.open<string, string>(limited)
    onTestFinished(() => db.close())
    const cold = (name = 'default'): number => db.stats().tables[name]!.coldKeys
    for (let i = 0; i < 980; i++) expect(db.handle().get(`k${i}`)).toBe(`${i}`.padEnd(200))
    const full = cold()
    expect(full).toBeGreaterThan(500)
    const strangers = Array.from({ length: 20 }, (_, i) => `k${980 + i}`)
    const { evicted } = db.stats().cache
    for (const key of strangers.slice(0, 3)) expect(db.handle().get(key)).toBe(key.slice(1).padEnd(200))
    expect([cold(), db.stats().cache.evicted]).toEqual([full, evicted])
    const isResident = (wanted: string): boolean =>
      [...db.handle().inspect()].some(({ key, resident }) => key === wanted && resident)
    for (let i = 0; i < 20 && !isResident(strangers[0]!); i++) db.handle().get(strangers[0]!)
    expect(isResident(strangers[0]!)).toBe(true)
    expect(db.stats().cache.evicted).toBeGreaterThan(evicted)

    const { misses, coldReads } = db.stats().cache
    for (let i = 0; i < 10; i++) expect(db.handle(blobs).get(`b${i}`)).toEqual(new Uint8Array(300).fill(i))
    expect(db.handle().get('brief')).toBe('x')
    time += 10
    expect([db.handle().get('brief'), db.handle().get('nobody')]).toEqual([undefined, undefined])
    const after = db.stats().cache
    expect([after.misses - misses, after.coldReads - coldReads]).toEqual([13, 12])
    // A transaction remembers what it reads, so that is loaded at once.
    const before = cold()
    await db.handle().transaction((tx) => void tx.get(strangers[7]!))
    expect(isResident(strangers[7]!)).toBe(true)
    expect(cold()).toBeLessThanOrEqual(before + 3)
    expect((await db.check()).problems).toEqual([])
  })

  it('parallel commits that are far more than the limit all get in', async () => {
    const db = await onDisk({ maxMemoryBytes: 60_000 })
    const handle = db.handle()
    const writes: Promise<unknown>[] = []
    for (let i = 0; i < 1000; i++) {
      writes.push(handle.set(`s${i}`, 'x'.repeat(100)))
      writes.push(handle.transaction((tx) => (tx.set(`t${i}`, 'y'.repeat(100)), tx.set(`u${i}`, 'z'))))
    }
    await Promise.all(writes)
    expect(handle.size).toBe(3000)
    for (let i = 0; i < 1000; i++) expect([handle.get(`s${i}`), handle.get(`u${i}`)]).toEqual(['x'.repeat(100), 'z'])
    expect((await db.check()).problems).toEqual([])
  })

  it('a commit waits for the disk where that is what takes its room, and others hold the rest', async () => {
    const db = await onDisk({ maxMemoryBytes: 400_000 })
    const write = (tx: { set(key: string, value: string): void }, name: string, count: number): void => {
      for (let i = 0; i < count; i++) tx.set(`${name}${i}`, 'x'.repeat(900))
    }
    await db.handle().transaction((tx) => write(tx, 'read', 100))
    await db.checkpoint()
    db.handle().transactionSync((tx) => write(tx, 'first', 120))
    // What an open transaction has read stays, so that only what is not on disk yet can make room, once it is.
    const reader = db.handle().begin()
    for (let i = 0; i < 100; i++) reader.get(`read${i}`)
    await db.handle().transaction((tx) => write(tx, 'second', 120))
    expect(db.handle().size).toBe(340)
    reader.rollback()
  })

  it('writes in the order in which they were made, though they waited for room', async () => {
    const db = await onDisk({ maxMemoryBytes: 30_000 })
    const handle = db.handle()
    const writes = Array.from({ length: 600 }, (_, i) => handle.set(`k${i % 10}`, `${i}`.padEnd(200, '.')))
    await Promise.all(writes)
    for (let i = 0; i < 10; i++) expect(handle.get(`k${i}`)).toBe(`${590 + i}`.padEnd(200, '.'))
  })

  it('whoever iterates and writes at once does not wait for itself', async () => {
    const db = await onDisk({ maxMemoryBytes: 150_000 })
    const handle = db.handle()
    // Those for which there is no room at once have to wait.
    const writes = Array.from({ length: 500 }, (_, i) => handle.set(`k${String(i).padStart(3, '0')}`, 'x'.repeat(50)))
    await Promise.all(writes)
    await db.checkpoint()
    let found = 0
    for (const [key, value] of handle.entries({ prefix: 'k' })) {
      expect(value).toBe('x'.repeat(50))
      await handle.set(`z${key}`, 'y'.repeat(50))
      found++
    }
    expect(found).toBe(500)
    expect(handle.size).toBe(1000)
  })

  it('a synchronous transaction that cannot wait is refused before it has happened', async () => {
    const db = await onDisk({ maxMemoryBytes: 40_000 })
    const handle = db.handle()
    const write = (i: number): void => handle.transactionSync((tx) => tx.set(`k${i}`, 'x'.repeat(500)))
    let done = 0
    let refusal: VarveError | undefined
    for (; done < 1000 && refusal === undefined; done++) {
      try {
        write(done)
      } catch (error) {
        refusal = error as VarveError
        break
      }
    }
    expect(refusal?.code).toBe('MEMORY_LIMIT')
    expect([handle.get(`k${done}`), handle.size]).toEqual([undefined, done])
    await handle.set('waits', 'x')
    write(done)
    expect(handle.size).toBe(done + 2)
  })

  it('absent keys cost no block but at the configured rate', async () => {
    const directory = new Directory()
    const options = { path: directory.path, maxMemoryBytes: 400_000, maplet: { falsePositiveRate: 0.01 } }
    const db = await openWith<string, string>(options, {})
    for (let i = 0; i < 20_000; i++) {
      const write = db.handle().set(`k${i}`, `value ${i}`)
      if (i % 100 === 0) await write
    }
    await db.compact()
    const { disk } = db.stats()
    for (let i = 0; i < 20_000; i++) expect(db.handle().get(`absent ${i}`)).toBeUndefined()
    const after = db.stats().disk
    const lookups = (after?.runs.lookups ?? 0) - (disk?.runs.lookups ?? 0)
    const inVain = (after?.runs.falsePositives ?? 0) - (disk?.runs.falsePositives ?? 0)
    console.log(`${inVain} blocks for nothing in ${lookups} lookups of absent keys`)
    expect(lookups).toBeGreaterThanOrEqual(20_000)
    expect(inVain / lookups).toBeLessThan(0.02)
    await db.close()
  })
})
