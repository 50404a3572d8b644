/** What `ttlMs` and its like promise, call by call. */
import { describe, expect, it } from 'vitest'

import { type AsyncEntry, type Database, type DatabaseOptions, merges, table, VarveError } from '../../src/index.ts'
import { failure, open, refusal } from './fixtures.ts'

const START = 1_700_000_000_000
const YEAR = 365 * 86_400_000

class Clock {
  now = START
  readonly read = (): number => this.now
}

function timed(options: DatabaseOptions<string, number> = {}): { clock: Clock; db: Database<string, number> } {
  const clock = new Clock()
  return { clock, db: open({ clock: clock.read, merge: merges.sum, ...options }) }
}

type Write = (db: Database<string, number>, options?: { ttlMs?: number }) => Promise<unknown>

const entryOf = (db: Database<string, number>): AsyncEntry<string, number> => db.handle().entry('k')

/** Each way to write key `k`, on the handle and inside a transaction. */
const WRITES: Record<'replacing' | 'keeping' | 'inserting', Record<string, Write>> = {
  replacing: {
    set: (db, options) => db.handle().set('k', 2, options),
    swap: (db, options) => db.handle().swap('k', 2, options),
    'entry.set': (db, options) => entryOf(db).set(2, options),
    'tx.set': (db, options) => db.handle().transaction((tx) => tx.set('k', 2, options)),
    'tx.swap': (db, options) => db.handle().transaction((tx) => tx.swap('k', 2, options)),
    'tx.entry.set': (db, options) => db.handle().transaction((tx) => tx.entry('k').set(2, options)),
  },
  keeping: {
    update: (db, options) => db.handle().update('k', (value = 1) => value * 2, options),
    merge: (db, options) => db.handle().merge('k', 1, options),
    compareAndSet: (db, options) => db.handle().compareAndSet('k', db.handle().get('k'), 2, options),
    'entry.andModify': async (db, options) => {
      await entryOf(db).andModify((value) => value * 2, options)
      await entryOf(db).orInsert(2, options)
    },
    'tx.update': (db, options) => db.handle().transaction((tx) => tx.update('k', (value = 1) => value * 2, options)),
    'tx.merge': (db, options) => db.handle().transaction((tx) => tx.merge('k', 1, options)),
    'tx.merge, read': (db, options) =>
      db.handle().transaction((tx) => {
        tx.merge('k', 0)
        tx.merge('k', 1, options)
        return tx.get('k')
      }),
    'tx.compareAndSet': (db, options) =>
      db.handle().transaction((tx) => tx.compareAndSet('k', tx.get('k'), 2, options)),
    'tx.entry.andModify': (db, options) =>
      db.handle().transaction((tx) =>
        tx
          .entry('k')
          .andModify((value) => value * 2, options)
          .orInsert(2, options),
      ),
  },
  inserting: {
    getOrInsert: (db, options) => db.handle().getOrInsert('k', 2, options),
    getOrInsertComputed: (db, options) => db.handle().getOrInsertComputed('k', () => 2, options),
    'entry.orInsert': (db, options) => entryOf(db).orInsert(2, options),
    'entry.orInsertComputed': (db, options) => entryOf(db).orInsertComputed(() => 2, options),
    'tx.getOrInsert': (db, options) => db.handle().transaction((tx) => tx.getOrInsert('k', 2, options)),
    'tx.getOrInsertComputed': (db, options) =>
      db.handle().transaction((tx) => tx.getOrInsertComputed('k', () => 2, options)),
    'tx.entry.orInsert': (db, options) => db.handle().transaction((tx) => tx.entry('k').orInsert(2, options)),
    'tx.entry.orInsertComputed': (db, options) =>
      db.handle().transaction((tx) => tx.entry('k').orInsertComputed(() => 2, options)),
  },
}
const REPLACING = Object.entries(WRITES.replacing)
const KEEPING = Object.entries(WRITES.keeping)
const INSERTING = Object.entries(WRITES.inserting)
const ALL = [...REPLACING, ...KEEPING, ...INSERTING]

describe('a write', () => {
  it.each(ALL)('%s makes a key that lives for ttlMs and not a millisecond more', async (_, write) => {
    const { clock, db } = timed()
    const handle = db.handle()
    await write(db, { ttlMs: 100 })
    const value = handle.get('k')
    expect(value).toBeDefined()
    expect(handle.ttl('k')).toBe(100)
    clock.now += 99
    expect([handle.get('k'), handle.has('k'), handle.ttl('k'), handle.count()]).toEqual([value, true, 1, 1])
    expect([...handle.keysWithTtl()]).toEqual(['k'])
    clock.now += 1
    expect([handle.get('k'), handle.has('k'), handle.ttl('k'), handle.count()]).toEqual([
      undefined,
      false,
      undefined,
      0,
    ])
    expect([...handle.entries(), ...handle.keys(), ...handle.values(), ...handle.keysWithTtl()]).toEqual([])
    expect(handle.getMany(['k'])).toEqual([undefined])
  })

  it.each([...REPLACING, ...KEEPING])('%s gives a key another ttlMs', async (_, write) => {
    const { db } = timed()
    for (const before of [undefined, { ttlMs: 10 }]) {
      await db.handle().set('k', 1, before)
      await write(db, { ttlMs: 100 })
      expect(db.handle().ttl('k')).toBe(100)
      await write(db, { ttlMs: Infinity })
      expect(db.handle().ttl('k')).toBeUndefined()
    }
  })

  it.each(REPLACING)('%s without ttlMs clears an expiry', async (_, write) => {
    const { clock, db } = timed()
    await db.handle().set('k', 1, { ttlMs: 100 })
    await write(db)
    expect(db.handle().ttl('k')).toBeUndefined()
    clock.now += YEAR
    expect(db.handle().get('k')).toBe(2)
  })

  it.each(KEEPING)('%s without ttlMs keeps an expiry', async (_, write) => {
    const { clock, db } = timed()
    await db.handle().set('k', 1, { ttlMs: 100 })
    clock.now += 40
    await write(db)
    expect([db.handle().get('k'), db.handle().ttl('k')]).toEqual([2, 60])
  })

  it.each(INSERTING)('%s leaves the expiry of what it finds alone', async (_, write) => {
    const { clock, db } = timed()
    await db.handle().set('k', 1, { ttlMs: 100 })
    clock.now += 40
    await write(db, { ttlMs: 5000 })
    expect([db.handle().get('k'), db.handle().ttl('k')]).toEqual([1, 60])
  })

  it.each(ALL)('%s finds nothing where a value has expired, and leaves nothing of it', async (_, write) => {
    const { clock, db } = timed()
    await db.handle().set('k', 50, { ttlMs: 100 })
    clock.now += 100
    await write(db)
    expect([1, 2]).toContain(db.handle().get('k'))
    expect(db.handle().ttl('k')).toBeUndefined()
  })

  it.each(ALL)('%s refuses what is no ttlMs, and other options, by name', async (_, write) => {
    const { db } = timed()
    for (const ttlMs of [0, -1, NaN, -Infinity, '5', null, true, 5n, new Date()]) {
      const error = await failure(() => write(db, { ttlMs } as never))
      expect(error.code).toBe('INVALID_ARGUMENT')
      expect(error.message).toMatch(/ttlMs .*above 0/)
    }
    for (const name of ['ttl', 'expiresAt', 'TTL', 'ttlMS', 'ex'])
      expect((await failure(() => write(db, { [name]: 5 }))).message).toMatch(`option ${name} `)
    for (const options of [5, 'x', null, [], true])
      expect((await failure(() => write(db, options as never))).message).toMatch(/\{ ttlMs: 60_000 \}/)
    expect(db.handle().size).toBe(0)
    await write(db, { ttlMs: undefined } as never)
    await write(db, {})
    expect(db.handle().ttl('k')).toBeUndefined()
  })

  it('deleting and setting again does not inherit the old expiry', async () => {
    const { clock, db } = timed()
    const handle = db.handle()
    await handle.set('k', 1, { ttlMs: 100 })
    await handle.delete('k')
    await handle.set('k', 2)
    await handle.set('l', 1, { ttlMs: 100 })
    await handle.transaction((tx) => {
      tx.delete('l')
      tx.set('l', 2)
    })
    await handle.set('m', 1, { ttlMs: 100 })
    await handle.clear()
    await handle.set('m', 2)
    expect(['k', 'l', 'm'].map((key) => handle.ttl(key))).toEqual([undefined, undefined, undefined])
    clock.now += YEAR
    expect(handle.get('m')).toBe(2)
  })

  it('counts from the instant of its transaction, at which that sees it', async () => {
    const { clock, db } = timed()
    const tx = db.handle().begin()
    tx.set('k', 1, { ttlMs: 100 })
    expect(tx.ttl('k')).toBe(100)
    clock.now += 60
    tx.set('l', 1, { ttlMs: 100 })
    expect([tx.ttl('k'), tx.ttl('l'), tx.get('k')]).toEqual([100, 100, 1])
    expect([...tx.keysWithTtl()]).toEqual(['k', 'l'])
    await tx.commit()
    expect([db.handle().ttl('k'), db.handle().ttl('l')]).toEqual([40, 40])
  })

  it('of a transaction that took longer than its time to live is there for nobody', async () => {
    const { clock, db } = timed()
    const tx = db.handle().begin()
    tx.set('k', 1, { ttlMs: 100 })
    clock.now += 100
    expect(tx.get('k')).toBe(1)
    await tx.commit()
    expect(db.handle().get('k')).toBeUndefined()
  })
})

describe('expire, persist and ttl', () => {
  it('change and tell how long a key lives, on handles and in transactions', async () => {
    const { clock, db } = timed()
    const handle = db.handle()
    await handle.set('k', 1)
    expect([await handle.expire('k', 100), handle.ttl('k'), handle.get('k')]).toEqual([true, 100, 1])
    expect([await handle.expire('k', Infinity), handle.ttl('k')]).toEqual([true, undefined])
    expect([await handle.persist('k'), await handle.expire('k', 50), await handle.persist('k')]).toEqual([
      false,
      true,
      true,
    ])
    expect([await handle.expire('none', 5), await handle.persist('none'), handle.ttl('none')]).toEqual([
      false,
      false,
      undefined,
    ])
    await handle.transaction((tx) => {
      tx.set('own', 1)
      expect([tx.expire('own', 5), tx.ttl('own'), tx.persist('own'), tx.ttl('own')]).toEqual([true, 5, true, undefined])
      tx.merge('own', 1)
      tx.merge('blind', 7)
      expect([tx.expire('own', 5), tx.get('own'), tx.expire('blind', 6), tx.ttl('blind')]).toEqual([true, 2, true, 6])
      tx.delete('own')
      expect([tx.expire('own', 5), tx.persist('own'), tx.ttl('own')]).toEqual([false, false, undefined])
      expect(tx.expire('k', 9)).toBe(true)
    })
    clock.now += 9
    expect([await handle.expire('k', 5), await handle.persist('k')]).toEqual([false, false])
    expect([handle.get('k'), handle.get('blind')]).toEqual([undefined, undefined])
  })

  it('expireMany does so for several keys as one transaction', async () => {
    const { db } = timed()
    const handle = db.handle()
    for (const key of ['a', 'b', 'c']) await handle.set(key, 1)
    const before = db.sequence
    expect(await handle.expireMany(new Set(['a', 'none', 'c']).values(), 100)).toBe(2)
    expect(db.sequence).toBe(before + 1)
    expect([...handle.keysWithTtl()]).toEqual(['a', 'c'])
    expect(await handle.expireMany([], 100)).toBe(0)
    expect(await refusal(() => handle.expireMany('abc' as never, 100))).toBe('INVALID_ARGUMENT')
    expect(await refusal(() => handle.expireMany(['a', {} as never], 5))).toBe('INVALID_KEY')
    expect(handle.ttl('a')).toBe(100)
  })

  it('refuse what is no time to live', async () => {
    const { db } = timed()
    const handle = db.handle()
    await handle.set('k', 1)
    for (const ttlMs of [0, -5, NaN, undefined, '5', null]) {
      expect(await refusal(() => handle.expire('k', ttlMs as never))).toBe('INVALID_ARGUMENT')
      expect(await refusal(() => handle.expireMany(['k'], ttlMs as never))).toBe('INVALID_ARGUMENT')
    }
    expect(handle.ttl('k')).toBeUndefined()
  })

  it('rollbackTo brings the expiry back', async () => {
    const { db } = timed()
    await db.handle().set('k', 1, { ttlMs: 100 })
    await db.handle().transaction((tx) => {
      tx.expire('k', 7)
      const savepoint = tx.savepoint()
      tx.persist('k')
      tx.rollbackTo(savepoint)
      expect(tx.ttl('k')).toBe(7)
    })
    expect(db.handle().ttl('k')).toBe(7)
  })

  it('are refused in read-only transactions, ttl and keysWithTtl are not', async () => {
    const { db } = timed()
    await db.handle().set('k', 1, { ttlMs: 100 })
    const tx = db.handle().begin({ readOnly: true })
    expect([tx.ttl('k'), [...tx.keysWithTtl()]]).toEqual([100, ['k']])
    for (const call of [() => tx.expire('k', 5), () => tx.expireMany(['k'], 5), () => tx.persist('k')])
      expect(await refusal(call)).toBe('READ_ONLY')
    await tx.commit()
    expect(await refusal(() => tx.ttl('k'))).toBe('TRANSACTION_CLOSED')
  })

  it('a snapshot goes on seeing what was there at its instant', async () => {
    const { clock, db } = timed()
    const handle = db.handle()
    await handle.set('k', 1, { ttlMs: 100 })
    clock.now += 30
    using snapshot = db.snapshot()
    clock.now += YEAR
    await handle.set('other', 1)
    await db.vacuum()
    expect([snapshot.get('k'), snapshot.ttl('k'), [...snapshot.keysWithTtl()], snapshot.size]).toEqual([
      1,
      70,
      ['k'],
      1,
    ])
    expect([handle.get('k'), handle.count()]).toEqual([undefined, 1])
    snapshot.close()
    expect(handle.size).toBe(2)
    await db.vacuum()
    expect(handle.size).toBe(1)
  })

  it('an iterator shows one instant, in the tick that made it and later', async () => {
    const { clock, db } = timed()
    const handle = db.handle()
    for (const key of ['a', 'b', 'c']) await handle.set(key, 1, { ttlMs: 100 })
    const [quick, slow] = [handle.keys(), handle.keysWithTtl()]
    expect(slow.next().value).toBe('a')
    clock.now += 100
    expect([...quick]).toEqual(['a', 'b', 'c'])
    await handle.set('d', 1)
    await db.vacuum()
    expect([...slow]).toEqual(['b', 'c'])
  })
})

describe('defaults', () => {
  it('of the database and of a table say how long what is written lives', async () => {
    const { db } = timed({ ttl: { defaultMs: 1000 } })
    const own = table<string, number>('own', { ttl: { defaultMs: 50 } })
    const forever = table<string, number>('forever', { ttl: { defaultMs: Infinity } })
    const plain = table<string, number>('plain')
    for (const [handle, expected] of [
      [db.handle(), 1000],
      [db.handle(own), 50],
      [db.handle(forever), undefined],
      [db.handle(plain), 1000],
    ] as const) {
      await handle.set('k', 1)
      expect(handle.ttl('k')).toBe(expected)
      await handle.set('k', 1, { ttlMs: 7 })
      await handle.update('k', () => 2)
      expect(handle.ttl('k')).toBe(7)
      await handle.set('k', 1, { ttlMs: Infinity })
      await handle.update('k', () => 2)
      expect(handle.ttl('k')).toBeUndefined()
    }
  })

  it.each(ALL)('are what %s gives a key that comes into being', async (_, write) => {
    const { clock, db } = timed({ ttl: { defaultMs: 1000 } })
    await write(db)
    expect(db.handle().ttl('k')).toBe(1000)
    clock.now += 1000
    await write(db)
    expect(db.handle().ttl('k')).toBe(1000)
  })

  it('are resolved and frozen', () => {
    const { db } = timed()
    expect(db.options.ttl).toEqual({ defaultMs: Infinity, sweepIntervalMs: 1000 })
    expect(Object.isFrozen(db.options.ttl)).toBe(true)
  })

  it.each([
    [{ defaultMs: 0 }, 'ttl.defaultMs'],
    [{ defaultMs: -1 }, 'ttl.defaultMs'],
    [{ defaultMs: NaN }, 'ttl.defaultMs'],
    [{ defaultMs: '5' }, 'ttl.defaultMs'],
    [{ sweepIntervalMs: -1 }, 'ttl.sweepIntervalMs'],
    [{ sweepIntervalMs: Infinity }, 'ttl.sweepIntervalMs'],
    [{ sweepIntervalMs: null }, 'ttl.sweepIntervalMs'],
    [{ sweep: 5 }, 'did you mean sweepIntervalMs'],
    [5, 'ttl must be an object'],
  ])('%o is refused by name', async (ttl, word) => {
    const error = await failure(() => open({ ttl } as never))
    expect(error.code).toBe('INVALID_OPTIONS')
    expect(error.message).toContain(word)
  })
})

describe('times', () => {
  it('beyond what a timer holds, and beyond the last Date, are fine', async () => {
    const { clock, db } = timed()
    const handle = db.handle()
    await handle.set('month', 1, { ttlMs: 2 ** 31 + 5 })
    await handle.set('ever', 1, { ttlMs: Number.MAX_VALUE })
    expect([handle.ttl('month'), handle.ttl('ever')]).toEqual([2 ** 31 + 5, 8.64e15 - START])
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(handle.size).toBe(2)
    clock.now += 2 ** 31 + 4
    expect(handle.get('month')).toBe(1)
    clock.now += 1
    expect([handle.get('month'), handle.get('ever')]).toEqual([undefined, 1])
  })

  it('are rounded up to whole milliseconds', async () => {
    const { db } = timed()
    await db.handle().set('k', 1, { ttlMs: 1e-9 })
    await db.handle().set('l', 1, { ttlMs: 1.5 })
    expect([db.handle().ttl('k'), db.handle().ttl('l')]).toEqual([1, 2])
  })

  it('what has expired does not come back when the clock does', async () => {
    const { clock, db } = timed()
    const handle = db.handle()
    await handle.set('k', 1, { ttlMs: 100 })
    clock.now += 100
    expect(handle.get('k')).toBeUndefined()
    clock.now -= 3_600_000
    expect([handle.get('k'), handle.has('k'), handle.count()]).toEqual([undefined, false, 0])
    await handle.set('l', 1, { ttlMs: 100 })
    expect(handle.ttl('l')).toBe(100)
    clock.now = NaN
    expect(handle.ttl('l')).toBe(100)
  })

  it('size counts what has expired until it is reclaimed, count does not', async () => {
    const { clock, db } = timed({ sizeOf: () => 100 })
    const handle = db.handle()
    await handle.set('k', 1, { ttlMs: 100 })
    await handle.set('l', 1)
    clock.now += 100
    expect([handle.size, handle.sizeBytes, handle.count()]).toEqual([2, 200, 1])
    expect(await db.vacuum()).toEqual({ versions: 0, keys: 1 })
    expect([handle.size, handle.sizeBytes, handle.count()]).toEqual([1, 100, 1])
  })

  it('calls after close are refused', async () => {
    const { db } = timed()
    const handle = db.handle()
    await db.close()
    const calls = [() => handle.ttl('k'), () => handle.keysWithTtl(), () => handle.expire('k', 5)]
    for (const call of [...calls, () => handle.persist('k')]) expect(await refusal(call)).toBe('CLOSED')
    expect(await failure(() => handle.set('k', 1, { ttlMs: 5 }))).toBeInstanceOf(VarveError)
  })
})
