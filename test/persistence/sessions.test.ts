/** What survives reopening: everything that a committed transaction left, of every kind. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { codecs, type Key, keys, merges, table } from '../../src/index.ts'
import { Directory } from './directory.ts'

const EVERY_KEY: readonly Key[] = [
  ...[false, true],
  ...[-Infinity, -(2n ** 200n), -1.5, -1, -1n, 0, 0n, Number.MIN_VALUE, 0.1, 1, 1n, 2 ** 53, 2n ** 53n + 1n],
  ...[2n ** 64n - 1n, 2n ** 64n, Number.MAX_VALUE, Infinity],
  ...['', '\0', '\0\0', '__proto__', 'a', 'a\0', 'constructor', 'e\u0301', '\u00e9'],
  ...['\ud800', '\ud83d\ude00', '\udfff', '\uffff', 'x'.repeat(60_000)].sort(),
  ...[
    new Uint8Array(0),
    new Uint8Array([0]),
    new Uint8Array([0, 0]),
    new Uint8Array([255]),
    new Uint8Array([255, 255]),
  ],
  ...[[], [[]], [['a'], 1], ['a'], ['a', 1], ['a', 1n], ['a', 'b'], [new Uint8Array([1]), true]],
]

describe('after reopening', () => {
  /** Closes and opens again, in three ways: from the log, from a run, from one compacted run. */
  async function reopened(place: Directory, check: Parameters<Directory['session']>[0]): Promise<void> {
    await place.session(check)
    await place.session((db) => db.checkpoint())
    await place.session(check)
    await place.session((db) => db.compact())
    await place.session(check)
  }

  it('keys of every type are there, each in its place', async () => {
    using place = new Directory()
    await place.session(async (db) => {
      await Promise.all(EVERY_KEY.map((key, i) => db.handle().set(key, i)))
      await db.handle().set(-0, 'zero')
      await expect(db.handle().set(Number.NaN, 1)).rejects.toMatchObject({ code: 'INVALID_KEY' })
    })
    const order = await place.session((db) => [...db.handle().keys()])
    expect(order).toHaveLength(EVERY_KEY.length)
    await reopened(place, (db) => {
      EVERY_KEY.forEach((key, i) => expect(db.handle().get(key)).toBe(key === 0 ? 'zero' : i))
      expect([...db.handle().keys()]).toEqual(order)
      expect([...db.handle().keys({ reverse: true })]).toEqual([...order].reverse())
      expect(db.handle().get('\ud801')).toBeUndefined()
      expect(db.handle().size).toBe(EVERY_KEY.length)
    })
  })

  it('empty values are values', async () => {
    using place = new Directory()
    const bytes = table<string, Uint8Array>('bytes', { value: codecs.bytes() })
    const texts = table<string, string>('texts', { value: codecs.string() })
    await place.session(async (db) => {
      await db.handle(bytes).set('', new Uint8Array(0))
      await db.handle(texts).set('', '')
      for (const value of [null, '', 0, false, Number.NaN, [], {}]) await db.handle().set(JSON.stringify(value), value)
    })
    await reopened(place, (db) => {
      expect(db.handle(bytes).get('')).toEqual(new Uint8Array(0))
      expect(db.handle(bytes).has('')).toBe(true)
      expect([...db.handle(texts).entries()]).toEqual([['', '']])
      expect(db.handle().size).toBe(6)
      expect(db.handle().get('{}')).toEqual({})
      expect(db.handle().get('""')).toBe('')
      expect(db.handle().get('null')).toBeNaN()
    })
  })

  it('values of every kind come back as they were', async () => {
    using place = new Directory()
    const value = {
      ...{ date: new Date(5), map: new Map([[1, new Set(['a'])]]), big: 2n ** 100n, text: '\ud800', minus: -0 },
      ...{
        bytes: new Uint8Array([1, 2]),
        floats: new Float64Array([0.5]),
        nothing: undefined,
        list: [null, undefined],
      },
    }
    Object.defineProperty(value, '__proto__', {
      value: { polluted: true },
      enumerable: true,
      configurable: true,
      writable: true,
    })
    await place.session((db) => db.handle().set('value', value))
    await reopened(place, (db) => {
      expect(db.handle().get('value')).toStrictEqual(value)
      expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
    })
  })

  it('merges are merged, in the order of commits', async () => {
    using place = new Directory()
    const counters = table<string, number>('counters', { value: codecs.float64(), merge: merges.sum })
    const logs = table<string, readonly number[]>('logs', { merge: merges.append })
    for (let session = 0; session < 4; session++) {
      await place.session(async (db) => {
        await Promise.all(Array.from({ length: 50 }, () => db.handle(counters).merge('hits', 1)))
        for (let i = 0; i < 5; i++) await db.handle(logs).merge('log', session * 5 + i)
        if (session === 2) await db.checkpoint()
      })
    }
    await reopened(place, (db) => {
      expect(db.handle(counters).get('hits')).toBe(200)
      expect(db.handle(logs).get('log')).toEqual(Array.from({ length: 20 }, (_, i) => i))
    })
    await place.session(async (db) => {
      await db.handle(counters).merge('hits', 1)
      expect(db.handle(counters).get('hits')).toBe(201)
    })
  })

  it('what a savepoint took back, a rollback, an exception or a refusal discarded is not there', async () => {
    using place = new Directory()
    await place.session(async (db) => {
      const handle = db.handle()
      await handle.set('kept', 'before')
      await handle.transaction((tx) => {
        tx.set('first', 1)
        const savepoint = tx.savepoint()
        tx.set('undone', 1)
        tx.delete('kept')
        tx.rollbackTo(savepoint)
        tx.set('second', 2)
      })
      const rolledBack = handle.begin()
      rolledBack.set('rolled back', 1)
      rolledBack.rollback()
      await expect(
        handle.transaction((tx) => {
          tx.set('thrown', 1)
          throw new Error('on purpose')
        }),
      ).rejects.toThrow('on purpose')
      const [a, b] = [handle.begin({ isolation: 'snapshot' }), handle.begin({ isolation: 'snapshot' })]
      a.set('contested', 'a')
      b.set('contested', 'b')
      b.set('refused', 1)
      await a.commit()
      await expect(b.commit()).rejects.toMatchObject({ code: 'WRITE_CONFLICT' })
      handle.begin().set('never ended', 1)
    })
    await reopened(place, (db) => {
      expect([...db.handle().entries()]).toEqual([
        ['contested', 'a'],
        ['first', 1],
        ['kept', 'before'],
        ['second', 2],
      ])
    })
  })

  it('tables are there with their names, codecs and sizes, the empty ones too', async () => {
    using place = new Directory()
    const pairs = table('pairs', {
      key: keys.tuple(keys.string(), keys.u64()),
      value: codecs.int32(),
      sizeOf: () => 10,
    })
    const empty = table('empty', { value: codecs.boolean() })
    const failed = table('failed', { value: codecs.boolean() })
    await place.session(async (db) => {
      for (let i = 0n; i < 300n; i++) await db.handle(pairs).set(['n', i], Number(i))
      await db.handle(empty).set('x', true)
      await db.handle(empty).delete('x')
      const failing = db.handle().transaction((tx) => {
        tx.table(failed).set('x', true)
        throw new Error('on purpose')
      })
      await expect(failing).rejects.toThrow('on purpose')
    })
    await reopened(place, (db) => {
      expect(db.tables()).toEqual(expect.arrayContaining(['default', 'pairs', 'empty']))
      const other = table<readonly [string, bigint], number>('pairs', { key: keys.tuple(keys.string(), keys.u64()) })
      expect(() => db.handle(other)).toThrow(expect.objectContaining({ code: 'CODEC_MISMATCH' }))
      expect(() => db.handle(table('pairs', { value: codecs.int32() }))).toThrow(
        expect.objectContaining({ code: 'CODEC_MISMATCH' }),
      )
      expect(db.handle(pairs).size).toBe(300)
      expect(db.handle(pairs).sizeBytes).toBe(3000)
      expect(db.handle(empty).size).toBe(0)
      expect([...db.handle(pairs).values({ prefix: ['n'] as never })]).toEqual(Array.from({ length: 300 }, (_, i) => i))
    })
  })

  it('a codec of the default table other than that of before is refused, and nothing is harmed', async () => {
    using place = new Directory()
    await place.session((db) => db.handle().set('a', { b: 1 }))
    const attempt = async (): Promise<void> => {
      const db = await place.open({ value: codecs.string() })
      await db.close()
    }
    await expect(attempt()).rejects.toMatchObject({ code: 'CODEC_MISMATCH' })
    await place.session((db) => expect(db.handle().get('a')).toEqual({ b: 1 }))
  })

  it('a value of 100 MB is there', async () => {
    using place = new Directory()
    const blobs = table<string, Uint8Array>('blobs', { value: codecs.bytesView() })
    const large = Buffer.alloc(100_000_000)
    for (let i = 0; i < large.length; i += 4096) large.writeUInt32LE(i, i)
    await place.session(async (db) => {
      await db.handle(blobs).set('large', large)
      await db.handle().set('after', 1)
    })
    await place.session((db) => {
      expect(large.equals(db.handle(blobs).get('large')!)).toBe(true)
      expect(db.handle().get('after')).toBe(1)
    })
    await place.session((db) => db.checkpoint())
    await place.session((db) => expect(large.equals(db.handle(blobs).get('large')!)).toBe(true))
  })

  it('300,000 keys of one transaction are there', async () => {
    using place = new Directory()
    const count = 300_000
    await place.session(async (db) => {
      await db.handle().transaction((tx) => {
        for (let i = 0; i < count; i++) tx.set(i, -i)
      })
    })
    const check: Parameters<Directory['session']>[0] = (db) => {
      expect(db.handle().size).toBe(count)
      let next = 0
      for (const [key, value] of db.handle().entries()) {
        if (key !== next || value !== -next) expect.fail(`${String(key)} stands where ${next} should`)
        next++
      }
      expect(next).toBe(count)
    }
    await place.session(check)
    await place.session((db) => db.checkpoint())
    await place.session(check)
  })

  it('ten sessions in a row leave what they should, and no more files than one', async () => {
    using place = new Directory()
    const model = new Map<number, string>()
    const files: number[] = []
    for (let session = 0; session < 10; session++) {
      await place.session(async (db) => {
        expect([...db.handle().entries()]).toEqual([...model].sort(([a], [b]) => a - b))
        for (let i = 0; i < 50; i++) {
          const key = (session * 31 + i * 7) % 200
          if (i % 5 === 4) {
            expect(await db.handle().delete(key)).toBe(model.delete(key))
          } else {
            model.set(key, `${session}/${i}`)
            await db.handle().set(key, `${session}/${i}`)
          }
        }
        expect(db.handle().size).toBe(model.size)
      })
      files.push(readdirSync(place.path).length)
    }
    expect(Math.max(...files)).toBeLessThan(25)
    expect(files.at(-1)! - files[2]!).toBeLessThan(15)
  })

  it('the sequence goes on, and reads of old snapshots in a new session do not exist', async () => {
    using place = new Directory()
    const first = await place.session(async (db) => {
      for (let i = 0; i < 10; i++) await db.handle().set('n', i)
      return db.sequence
    })
    const second = await place.session(async (db) => {
      expect(db.sequence).toBe(first)
      await db.handle().set('n', 11)
      return db.sequence
    })
    expect(second).toBe(first + 1)
  })

  it('a directory that a session has not closed is opened again, copied as it is', async () => {
    using place = new Directory()
    const db = await place.open()
    await db.handle().set('acknowledged', 1)
    const copy = join(place.root, 'copy')
    const { cpSync } = await import('node:fs')
    cpSync(place.path, copy, { recursive: true })
    void db.handle().set('later', 2)
    await db.close()
    // The lock in the copy names this living process, but another directory.
    const { Database } = await import('../../src/index.ts')
    const other = await Database.open({ path: copy }).catch((error: unknown) => error as Error)
    if (other instanceof Error) expect(other).toMatchObject({ code: 'LOCKED' })
    else {
      expect(other.handle().get('acknowledged')).toBe(1)
      await other.close()
    }
  })

  it('nothing of what was written stands in a message or in the lock file', async () => {
    using place = new Directory()
    const db = await place.open()
    await db.handle().set('key', 'a secret value')
    const lock = join(place.path, 'lock')
    expect(existsSync(lock)).toBe(true)
    expect(readFileSync(lock, 'utf8')).not.toContain('secret')
    await db.close()
  })
})
