/** Tables: types, codecs and order of their own, in the same transactions. */
import { describe, expect, it } from 'vitest'

import { codecs, type Database, type Key, keys, table, type Table, type ValueCodec } from '../../src/index.ts'
import { contents, failure, open, refusal, thrown } from './fixtures.ts'

interface Account {
  readonly owner: string
  readonly balance: number
}

const accounts = table<string, Account>('accounts')
const entries = table('entries', { key: keys.tuple(keys.string(), keys.float64()), value: codecs.string() })
const counters = table('counters', { key: keys.u64(), value: codecs.int32() })

describe('tables', () => {
  it('are separate, whatever their keys', async () => {
    const db = open<Key>()
    const [one, two] = [table<string, number>('one'), table<string, number>('two')]
    await db.handle().set('k', 0)
    await db.handle(one).set('k', 1)
    await db.handle(two).set('k', 2)
    await db.handle(one).delete('k')
    expect([db.handle().get('k'), db.handle(one).get('k'), db.handle(two).get('k')]).toEqual([0, undefined, 2])
    expect([db.handle().size, db.handle(one).size, db.handle(two).size]).toEqual([1, 0, 1])
  })

  it('take part in one transaction, each with its own types', async () => {
    const db = open()
    await db.handle(accounts).transaction((tx) => {
      tx.set('alice', { owner: 'Alice', balance: 5 })
      tx.table(entries).set(['alice', 1], 'opened')
      tx.table(entries).set(['alice', 2], 'deposit')
      tx.table(counters).set(1n, 2)
      expect(tx.table(accounts).get('alice')?.balance).toBe(5)
      expect(tx.table(entries).count({ prefix: ['alice'] })).toBe(2)
    })
    expect(db.sequence).toBe(1)
    expect(db.handle(entries).get(['alice', 1])).toBe('opened')
    await db
      .handle(entries)
      .transaction((tx) => {
        tx.clear()
        tx.table(accounts).delete('alice')
        throw new Error('no')
      })
      .catch(() => {})
    expect([db.handle(entries).size, db.handle(accounts).size]).toEqual([2, 1])
  })

  it('conflict across each other', async () => {
    const db = open()
    const [one, two] = [table<string, number>('one'), table<string, number>('two')]
    const [first, second] = [db.handle(one).begin(), db.handle(two).begin()]
    first.get('k')
    second.get('k')
    first.table(two).set('k', 1)
    second.table(one).set('k', 1)
    await first.commit()
    expect(await refusal(() => second.commit())).toBe('SERIALIZATION_FAILURE')
  })

  it('are named by tables() once they are in use', () => {
    const db = open()
    expect(db.tables()).toEqual(['default'])
    db.handle(accounts)
    expect(db.tables().toSorted()).toEqual(['accounts', 'default'])
    db.handle(accounts)
    db.handle().begin().table(counters)
    expect(db.tables().toSorted()).toEqual(['accounts', 'counters', 'default'])
    db.tables().length = 0
    expect(db.tables()).toHaveLength(3)
  })

  it('may be used by any number of databases', async () => {
    const [first, second] = [open(), open()]
    await first.handle(accounts).set('a', { owner: 'A', balance: 1 })
    expect(second.handle(accounts).size).toBe(0)
  })

  it('may be presized, which limits nothing', async () => {
    const db = open()
    const small = table<number, number>('small', { capacity: { entries: 1, bytes: 1 } })
    const large = table<number, number>('large', { capacity: { entries: 10_000 } })
    for (const each of [small, large]) {
      await db.handle(each).transaction((tx) => {
        for (let i = 0; i < 500; i++) tx.set(i, i)
      })
      expect(db.handle(each).size).toBe(500)
    }
  })
})

describe('a definition', () => {
  it('is frozen, and keeps nothing of the options object', () => {
    const options = { value: codecs.string() }
    const defined = table<string, string>('t', options)
    expect(Object.isFrozen(defined)).toBe(true)
    expect(Object.isFrozen(defined.options)).toBe(true)
    options.value = codecs.bytes() as never
    expect(defined.options.value?.name).toBe('string')
  })

  it('needs a name of 1 to 255 characters that is not taken', () => {
    for (const name of ['', 'x'.repeat(256), 'default', 5, null, undefined, {}, ['t']]) {
      expect([name, thrown(() => table(name as string))]).toEqual([name, 'INVALID_ARGUMENT'])
    }
  })

  it('takes names that are awkward elsewhere', async () => {
    const db = open()
    const names = [
      '__proto__',
      'constructor',
      'a/b',
      '../x',
      ' ',
      '\0',
      'x'.repeat(255),
      'Default',
      '\ud800',
      'toString',
    ]
    for (const [i, name] of names.entries()) await db.handle(table<string, number>(name)).set('k', i)
    for (const [i, name] of names.entries()) expect(db.handle(table<string, number>(name)).get('k')).toBe(i)
    expect(db.tables()).toEqual(['default', ...names])
    const stats = db.stats().tables
    expect(names.filter((name) => !Object.hasOwn(stats, name))).toEqual([])
  })

  it('has its options checked at once, all together', async () => {
    const wrong = {
      key: {},
      value: { encode: () => {} },
      merge: 5,
      sizeOf: 'x',
      capacity: { entries: -1, size: 5 },
      valeu: 1,
    }
    const error = await failure(() => table('t', wrong as never))
    expect(error.code).toBe('INVALID_OPTIONS')
    for (const word of ['key', 'value', 'merge', 'sizeOf', 'capacity.entries', 'capacity.size', 'valeu']) {
      expect(error.message).toContain(word)
    }
    expect(thrown(() => table('t', null as never))).toBe('INVALID_OPTIONS')
    expect(thrown(() => table('t', 5 as never))).toBe('INVALID_OPTIONS')
    for (const ttl of [5, { defaultMs: 0 }, { defaultMs: NaN }, { defaultMs: '5' }, { sweepIntervalMs: 5 }])
      expect(thrown(() => table('t', { ttl } as never))).toBe('INVALID_OPTIONS')
  })

  it('that is none is refused', () => {
    const db = open()
    for (const wrong of [null, 'accounts', 5, {}, { name: 'x' }, { name: 'x', options: null }]) {
      expect([wrong, thrown(() => db.handle(wrong as never))]).toEqual([wrong, 'INVALID_ARGUMENT'])
      expect(
        thrown(() =>
          db
            .handle()
            .begin()
            .table(wrong as never),
        ),
      ).toBe('INVALID_ARGUMENT')
    }
    expect(db.tables()).toEqual(['default'])
  })
})

describe('two definitions of one name', () => {
  const twice = (db: Database<never, never>, first: Table<never, never>, second: Table<never, never>): unknown => {
    db.handle(first)
    return db.handle(second)
  }

  it('go together if their codecs are the same', async () => {
    const db = open()
    const [first, second] = [
      table<string, string>('t', { value: codecs.string() }),
      table('t', { value: codecs.string() }),
    ]
    await db.handle(first).set('k', 'v')
    expect(db.handle(second).get('k')).toBe('v')
    expect(db.handle(table('u'))).toBeDefined()
    expect(db.handle(table('u', { value: codecs.structured() }))).toBeDefined()
  })

  it('are refused with CODEC_MISMATCH if they are not: values', async () => {
    const error = await failure(() =>
      twice(
        open() as never,
        table('t', { value: codecs.string() }) as never,
        table('t', { value: codecs.bytes() }) as never,
      ),
    )
    expect(error.code).toBe('CODEC_MISMATCH')
    for (const word of ["'t'", "'string'", "'bytes'"]) expect(error.message).toContain(word)
    expect(
      thrown(() => twice(open() as never, table('t') as never, table('t', { value: codecs.bytes() }) as never)),
    ).toBe('CODEC_MISMATCH')
    expect(
      thrown(() => twice(open() as never, table('t', { value: codecs.bytes() }) as never, table('t') as never)),
    ).toBe('CODEC_MISMATCH')
  })

  it('are refused with CODEC_MISMATCH if they are not: keys', async () => {
    const error = await failure(() =>
      twice(open() as never, table('t', { key: keys.u64() }) as never, table('t', { key: keys.string() }) as never),
    )
    expect(error.code).toBe('CODEC_MISMATCH')
    expect(error.message).toContain("'t'")
    expect(thrown(() => twice(open() as never, table('t') as never, table('t', { key: keys.u64() }) as never))).toBe(
      'CODEC_MISMATCH',
    )
    const [pair, turned] = [keys.tuple(keys.string(), keys.u64()), keys.tuple(keys.u64(), keys.string())]
    expect(
      thrown(() => twice(open() as never, table('t', { key: pair }) as never, table('t', { key: turned }) as never)),
    ).toBe('CODEC_MISMATCH')
  })

  it('inside a transaction too: the transaction goes on', async () => {
    const db = open()
    await db.handle(table('t', { value: codecs.string() })).transaction((tx) => {
      tx.set('k', 'v')
      expect(thrown(() => tx.table(table('t', { value: codecs.bytes() })))).toBe('CODEC_MISMATCH')
    })
    expect(db.handle(table('t', { value: codecs.string() })).get('k')).toBe('v')
  })
})

describe('codecs of one’s own', () => {
  const reversed: ValueCodec<string> = {
    name: 'reversed',
    encode: (value) => Buffer.from(value.split('').reverse().join('')),
    decode: (bytes) => Buffer.from(bytes).toString().split('').reverse().join(''),
  }

  it('carry values', async () => {
    const handle = open().handle(table<string, string>('t', { value: reversed }))
    await handle.set('k', 'hello')
    expect(handle.get('k')).toBe('hello')
    expect(contents(handle)).toEqual([['k', 'hello']])
    expect(await handle.transaction((tx) => tx.swap('k', 'bye'))).toBe('hello')
    expect(await handle.compareAndSet('k', 'bye', 'again')).toBe(true)
  })

  it('may not take the name of a built-in one', () => {
    const impostor = { ...reversed, name: 'string' }
    expect(thrown(() => open().handle(table<string, string>('t', { value: impostor })))).toBe('INVALID_ARGUMENT')
  })

  it('that throw while writing refuse the value, naming table, key and cause', async () => {
    const cause = new Error('will not')
    const stubborn: ValueCodec<string> = {
      name: 'stubborn',
      encode: () => {
        throw cause
      },
      decode: () => '',
    }
    const db = open()
    const handle = db.handle(table<string, string>('stubborn table', { value: stubborn }))
    const error = await failure(() => handle.set('the key', 'v'))
    expect(error.code).toBe('INVALID_VALUE')
    expect(error.cause).toBe(cause)
    expect(error.message).toMatch(/stubborn table.*the key/)
    expect(db.sequence).toBe(0)
  })

  it('that throw while reading give CODEC_MISMATCH with table, key and cause, wherever they are read', async () => {
    const cause = new Error('cannot')
    const forgetful: ValueCodec<string> = {
      name: 'forgetful',
      encode: (value) => Buffer.from(value),
      decode: () => {
        throw cause
      },
    }
    const forgotten = table<string, string>('forgotten table', { value: forgetful })
    const db = open()
    const handle = db.handle(forgotten)
    await handle.set('the key', 'v')
    const reads: (() => unknown)[] = [
      () => handle.get('the key'),
      () => handle.getMany(['the key']),
      () => [...handle.entries()],
      () => [...handle.values()],
      () => handle.take('the key'),
      () => handle.swap('the key', 'w'),
      () => handle.update('the key', (v) => v),
      () => handle.getOrInsert('the key', 'w'),
      () => handle.compareAndSet('the key', 'v', 'w'),
      () => handle.transaction((tx) => tx.get('the key')),
      () => db.snapshot().table(forgotten).get('the key'),
    ]
    for (const read of reads) {
      const error = await failure(read)
      expect([String(read), error.code]).toEqual([String(read), 'CODEC_MISMATCH'])
      expect(error.cause).toBe(cause)
      expect(error.message).toMatch(/forgotten table.*the key/)
      expect(error.retryable).toBe(false)
    }
    expect(handle.has('the key')).toBe(true)
    expect([...handle.keys()]).toEqual(['the key'])
    expect(handle.size).toBe(1)
    expect(await handle.delete('the key')).toBe(true)
  })

  it('that encode to no bytes, or that look like codecs and are not, are refused', async () => {
    const wrong = { ...reversed, name: 'wrong', encode: () => 'text' as never }
    expect(
      await refusal(() =>
        open()
          .handle(table<string, string>('t', { value: wrong }))
          .set('k', 'v'),
      ),
    ).toBe('INVALID_VALUE')
    expect(thrown(() => table('t', { value: { name: 'x' } as never }))).toBe('INVALID_OPTIONS')
    const nameless = { encode: reversed.encode, decode: reversed.decode } as never
    expect(['INVALID_OPTIONS', 'INVALID_ARGUMENT']).toContain(
      thrown(() => open().handle(table('t', { value: nameless }))),
    )
  })
})
