/** A database on disk, as its users see it: what is there after reopening, and what is said when it cannot be opened. */
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import {
  codecs,
  Database,
  type DatabaseEvents,
  type DatabaseOptions,
  keys,
  merges,
  table,
  type VarveError,
} from '../../src/index.ts'
import { openWith } from '../../src/database.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { failure, refusal, turn } from './fixtures.ts'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'varve-disk-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const counters = table('counters', { key: keys.string(), value: codecs.float64(), merge: merges.sum })

function path(name = 'db'): string {
  return join(directory, name)
}

function open<K = string, V = unknown>(options: DatabaseOptions<K, V> = {}): Promise<Database<K, V>> {
  return Database.open<K, V>({ path: path(), wal: { segmentBytes: 2 ** 16 }, ...options })
}

/** 'waits', once the event loop has turned so often. */
async function turns(count: number): Promise<'waits'> {
  for (let i = 0; i < count; i++) await turn()
  return 'waits'
}

/** Opens, lets `fn` work, and closes. */
async function session<T>(fn: (db: Database<string, unknown>) => T | Promise<T>, options = {}): Promise<T> {
  await using db = await open(options)
  return await fn(db)
}

describe('reopening', () => {
  it('shows what was committed: sets, deletes, merges, tables, and the sequence goes on', async () => {
    const sequence = await session(async (db) => {
      const main = db.handle()
      await main.set('a', { deep: [1, 'two', null] })
      await main.set('b', 'gone soon')
      await main.set('c', '')
      await main.delete('b')
      await db.handle(counters).merge('n', 2)
      await db.handle(counters).merge('n', 3)
      await main.transaction((tx) => {
        tx.set('d', 1)
        const mark = tx.savepoint()
        tx.set('e', 1)
        tx.rollbackTo(mark)
        tx.table(counters).set('m', 7)
      })
      return db.sequence
    })
    await session(async (db) => {
      expect(db.sequence).toBe(sequence)
      expect(db.tables().sort()).toEqual(['counters', 'default'])
      expect([...db.handle().entries()]).toEqual([
        ['a', { deep: [1, 'two', null] }],
        ['c', ''],
        ['d', 1],
      ])
      expect(db.handle().size).toBe(3)
      expect([...db.handle(counters).entries({ reverse: true })]).toEqual([
        ['n', 5],
        ['m', 7],
      ])
      expect(db.handle().get('b')).toBeUndefined()
      await db.handle().set('b', 'new')
      expect(db.sequence).toBe(sequence + 1)
    })
    await session((db) => {
      expect([...db.handle().keys()]).toEqual(['a', 'b', 'c', 'd'])
      expect(db.handle().count({ gt: 'a' })).toBe(3)
    })
  })

  it.each(['full', 'relaxed'] as const)(
    'works alike through log and runs, over ten sessions (%s)',
    async (durability) => {
      const model = new Map<string, unknown>()
      for (let round = 0; round < 10; round++) {
        await session(
          async (db) => {
            const main = db.handle()
            expect(new Map(main.entries())).toEqual(model)
            expect(main.size).toBe(model.size)
            for (let i = 0; i < 30; i++) {
              const key = `k${(round * 7 + i * 3) % 50}`
              if (i % 4 === 3) await main.delete(key).then(() => model.delete(key))
              else await main.set(key, { round, i }).then(() => model.set(key, { round, i }))
            }
            if (round % 3 === 1) await db.checkpoint()
            if (round === 5) await db.compact()
            if (round % 2 === 0) expect(await db.check()).toMatchObject({ ok: true, problems: [] })
            await db.vacuum()
            expect(new Map(main.entries())).toEqual(model)
          },
          { durability },
        )
      }
    },
  )

  it('keeps serializability for what it reads from disk: phantoms and overwrites of cold keys are seen', async () => {
    await session(async (db) => {
      for (let i = 0; i < 10; i++) await db.handle().set(`k${i}`, i)
    })
    await session(async (db) => {
      const main = db.handle()
      const one = main.begin({ retries: 0 })
      const two = main.begin({ retries: 0 })
      expect(one.count({ prefix: 'k' })).toBe(10)
      expect(two.count({ prefix: 'k' })).toBe(10)
      one.set('k-one', 1)
      two.set('k-two', 2)
      await one.commit()
      expect(await refusal(() => two.commit())).toBe('SERIALIZATION_FAILURE')
      const three = main.begin()
      const four = main.begin()
      three.set('k1', (three.get('k1') as number) + 1)
      four.set('k1', (four.get('k1') as number) + 1)
      await three.commit()
      expect((await failure(() => four.commit())).retryable).toBe(true)
      expect(main.get('k1')).toBe(2)
    })
  })

  it('an iterator over cold keys shows one moment, whatever is written, checkpointed or deleted meanwhile', async () => {
    await session(async (db) => {
      for (let i = 0; i < 100; i++) await db.handle().set(`k${String(i).padStart(2, '0')}`, i)
    })
    await session(async (db) => {
      const main = db.handle()
      const seen: unknown[] = []
      for await (const [key, value] of main.stream()) {
        seen.push(value)
        if (key === 'k10') {
          for (let i = 0; i < 100; i += 2) await main.delete(`k${String(i).padStart(2, '0')}`)
          await main.set('k99x', 1)
          await db.compact()
          await db.vacuum()
        }
      }
      expect(seen).toEqual(Array.from({ length: 100 }, (_, i) => i))
      expect(main.count()).toBe(51)
      expect((await db.check()).problems).toEqual([])
    })
  })

  it('prefetch loads keys and ranges, and stats tell what is cold', async () => {
    await session(async (db) => {
      for (let i = 0; i < 20; i++) await db.handle().set(`k${i}`, i)
    })
    await session(async (db) => {
      const cold = (): number | undefined => db.stats().tables['default']?.coldKeys
      expect(cold()).toBe(20)
      await db.handle().prefetch(['k1', 'k2', 'absent'])
      expect(cold()).toBe(18)
      await db.handle().transaction((tx) => tx.prefetch({ gte: 'k3' }))
      expect(cold()).toBeLessThan(18)
      await db.handle().prefetch({})
      expect(cold()).toBe(0)
      expect(db.stats().disk?.runs.count).toBeLessThan(3)
    })
  })
})

describe('opening', () => {
  it('refuses other codecs than the table was written with, in this session and the next', async () => {
    await session((db) => db.handle(counters).set('a', 1))
    const other = table('counters', { key: keys.string(), value: codecs.string() })
    await session(async (db) => {
      expect(await refusal(() => db.handle(other))).toBe('CODEC_MISMATCH')
      expect(await refusal(() => db.handle(table('counters', { value: codecs.float64() })))).toBe('CODEC_MISMATCH')
    })
    expect(await refusal(() => open({ value: codecs.string() }))).toBe('CODEC_MISMATCH')
    await session((db) => expect(db.handle(counters).get('a')).toBe(1))
  })

  it('refuses a directory that is open, by whatever name, and says who has it', async () => {
    await session(async (db) => {
      const error = await failure(() => open())
      expect(error.code).toBe('LOCKED')
      expect(error.message).toContain(String(process.pid))
      symlinkSync(path(), path('link'))
      expect(await refusal(() => Database.open({ path: path('link') }))).toBe('LOCKED')
      expect(await refusal(() => open({ readOnly: true }))).toBe('LOCKED')
      await db.handle().set('a', 1)
    })
    await session((db) => expect(db.handle().get('a')).toBe(1))
  })

  it('makes the directory and those above it for its owner only', async () => {
    const deep = path('one/two/three')
    await using db = await Database.open({ path: relative(process.cwd(), deep) })
    expect(db.options.path).toBe(deep)
    await db.handle().set('a', 1)
    expect(statSync(deep).mode & 0o777).toBe(0o700)
    for (const name of readdirSync(deep)) expect([name, statSync(join(deep, name)).mode & 0o777]).toEqual([name, 0o600])
  })

  it('for reading only shows everything, writes nothing, and needs a database', async () => {
    expect(await refusal(() => open({ readOnly: true }))).toMatch(/IO|INVALID_ARGUMENT|CORRUPTION/)
    expect(existsSync(path())).toBe(false)
    await session((db) => db.handle().set('a', 1))
    const before = readdirSync(path()).map((name) => [name, statSync(join(path(), name)).mtimeMs])
    await session(
      async (db) => {
        expect(db.handle().get('a')).toBe(1)
        expect(await db.handle().transaction((tx) => tx.get('a'))).toBe(1)
        for (const write of [
          () => db.handle().set('a', 2),
          () => db.handle().delete('a'),
          () => db.handle().update('a', () => 3),
          () => db.handle().transaction((tx) => tx.set('a', 4)),
          () => db.checkpoint(),
          () => db.compact(),
        ]) {
          expect(await refusal(write)).toBe('READ_ONLY')
        }
        expect(db.handle().get('a')).toBe(1)
        expect([...db.handle(counters).keys()]).toEqual([])
        expect((await db.check()).ok).toBe(true)
      },
      { readOnly: true },
    )
    expect(readdirSync(path()).map((name) => [name, statSync(join(path(), name)).mtimeMs])).toEqual(before)
  })
})

describe('on disk', () => {
  it('flush, checkpoint, compact and backup do what they say, and the backup opens', async () => {
    const reports: DatabaseEvents['checkpoint'][] = []
    await session(
      async (db) => {
        db.on('checkpoint', (report) => reports.push(report))
        for (let i = 0; i < 50; i++) await db.handle().set(`k${i}`, 'x'.repeat(100))
        await db.flush()
        await db.checkpoint()
        expect(db.stats().disk?.runs.entries).toBe(50)
        for (let i = 0; i < 49; i++) await db.handle().delete(`k${i}`)
        await db.compact()
        expect(db.stats().disk?.runs).toMatchObject({ count: 1, entries: 1, tombstones: 0 })
        let calls = 0
        await db.backup(path('copy'), { onProgress: () => calls++ })
        expect(calls).toBeGreaterThan(0)
        await db.handle().set('later', 1)
        expect(await refusal(() => db.backup(path('copy')))).toBe('INVALID_ARGUMENT')
      },
      { durability: 'relaxed' },
    )
    expect(reports.map(({ error }) => error)).not.toContain(undefined)
    expect(reports.length).toBeGreaterThan(0)
    await using copy = await Database.open<string, string>({ path: path('copy') })
    expect([...copy.handle().keys()]).toEqual(['k49'])
    await copy.handle().set('own', 'life')
  })

  it('a synchronous transaction is on disk when it returns, also among asynchronous ones', async () => {
    await session(async (db) => {
      const main = db.handle()
      const waiting = Array.from({ length: 20 }, (_, i) => main.set(`a${i}`, i))
      main.transactionSync((tx) => tx.set('sync', 1))
      expect(db.stats().disk?.log?.queuedBytes).toBe(0)
      await Promise.all(waiting)
      await main.set('after', 1)
    })
    await session((db) => expect(db.handle().count()).toBe(22))
  })

  it('a refusal is told when what it tells of is on disk, like everything that was seen', async () => {
    const disk = new SimulatedStorage({ seed: 1 })
    const db = await openWith<string, number>({ path: '/db' }, { storage: disk, background: 'inline' })
    const main = db.handle()
    await main.set('a', 1)
    disk.fail({ kind: 'stall', operation: 'write', path: /wal-/, times: 1000 })
    const begun = main.begin()
    begun.set('a', (begun.get('a') as number) + 1)
    const calls: Promise<unknown>[] = [
      main.transaction(
        (tx) => {
          tx.set('a', (tx.get('a') as number) + 1)
          void main.set('a', 10)
        },
        { retries: 0 },
      ),
      begun.commit(),
      main.transaction(() => Promise.reject(new RangeError('mine'))),
      main.transaction((tx) => tx.get('a'), { readOnly: true }),
    ].map((call) =>
      call.then(
        () => 'done',
        (error: Error) => (error as VarveError).code ?? error.name,
      ),
    )
    for (const call of calls) expect(await Promise.race([call, turns(50)])).toBe('waits')
    disk.heal()
    expect(await Promise.all(calls)).toEqual(['WRITE_CONFLICT', 'WRITE_CONFLICT', 'RangeError', 'done'])
    await db.close()
  })

  it('a full disk refuses what would need room before it has happened, synchronous transactions too, and nothing else', async () => {
    const disk = new SimulatedStorage({ seed: 1 })
    const db = await openWith<string, unknown>(
      { path: '/db', wal: { segmentBytes: 2 ** 16 } },
      { storage: disk, background: 'inline' },
    )
    const main = db.handle()
    await main.set('before', 1)
    disk.capacityBytes = disk.usedBytes
    const waiting: Promise<void>[] = []
    let code: string | undefined
    for (let i = 0; i < 1000 && code === undefined; i++) {
      const write = main.set(`k${i}`, 'x'.repeat(2000))
      const outcome = await Promise.race([
        write.then(
          () => 'done',
          (error: VarveError) => error.code,
        ),
        turns(20),
      ])
      if (outcome === 'waits') waiting.push(write)
      else if (outcome !== 'done') code = outcome
    }
    expect(code).toBe('IO')
    expect(await refusal(() => main.transactionSync((tx) => tx.set('sync', 1)))).toBe('IO')
    expect(await refusal(() => main.transactionSync((tx) => tx.has('sync'), { readOnly: true }))).toBe('IO')
    expect(main.has('sync')).toBe(false)
    expect(await refusal(() => main.transaction((tx) => tx.set('async', 1)))).toBe('IO')
    expect(main.get('async')).toBeUndefined()
    disk.capacityBytes = Infinity
    await Promise.all(waiting)
    await main.set('after', 1)
    main.transactionSync((tx) => tx.set('sync', 2))
    expect((await db.check()).problems).toEqual([])
    await db.close()
  })

  it('close answers what waits, and ends everything else', async () => {
    const db = await open()
    const waiting = Array.from({ length: 50 }, (_, i) => db.handle().set(`k${i}`, i))
    const closing = db.close()
    await Promise.all(waiting)
    await closing
    expect(await refusal(() => db.handle())).toBe('CLOSED')
    await session((again) => expect(again.handle().size).toBe(50))
  })

  it('commits that do not fit a file of the log are kept whole', async () => {
    const large = 'x'.repeat(300_000)
    await session(async (db) => {
      await db.handle().set('small', 1)
      await db.handle().transaction((tx) => {
        tx.set('large', large)
        for (let i = 0; i < 1000; i++) tx.set(`k${i}`, i)
      })
      await db.handle().set('after', 2)
    })
    await session((db) => {
      expect(db.handle().get('large')).toBe(large)
      expect(db.handle().size).toBe(1003)
    })
  })
})
