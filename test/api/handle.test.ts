/** Handles: each call outside a transaction is its own transaction. */
import { describe, expect, it } from 'vitest'

import { contents, open, refusal, thrown, withEntries } from './fixtures.ts'

describe('a handle', () => {
  it('reads and writes one key', async () => {
    const handle = open().handle()
    expect(handle.get('k')).toBeUndefined()
    expect(handle.has('k')).toBe(false)
    expect(await handle.set('k', 1)).toBeUndefined()
    expect(handle.get('k')).toBe(1)
    expect(handle.has('k')).toBe(true)
    await handle.set('k', 2)
    expect(handle.get('k')).toBe(2)
    expect(await handle.delete('k')).toBe(true)
    expect(await handle.delete('k')).toBe(false)
    expect(handle.get('k')).toBeUndefined()
  })

  it('is one of many on the same table', async () => {
    const db = open()
    expect(db.handle()).not.toBe(db.handle())
    await db.handle().set('k', 1)
    expect(db.handle().get('k')).toBe(1)
  })

  it('applies a write before the call returns', () => {
    const handle = open().handle()
    void handle.set('a', 1)
    expect(handle.get('a')).toBe(1)
    void handle.update('a', (n) => (n ?? 0) + 1)
    expect(handle.get('a')).toBe(2)
    void handle.compareAndSet('a', 2, 3)
    expect(handle.get('a')).toBe(3)
    void handle.getOrInsert('b', 4)
    expect(handle.get('b')).toBe(4)
    void handle.swap('b', 5)
    expect(handle.get('b')).toBe(5)
    void handle.take('b')
    expect(handle.has('b')).toBe(false)
    void handle.delete('a')
    expect(handle.size).toBe(0)
  })

  it('counts one commit for every call that wrote, and none for one that did not', async () => {
    const db = open()
    const handle = db.handle()
    const sequences: number[] = []
    const note = async (call: Promise<unknown>): Promise<void> => {
      await call
      sequences.push(db.sequence)
    }
    await note(handle.set('k', 1))
    await note(handle.swap('k', 2))
    await note(handle.delete('absent'))
    await note(handle.take('absent'))
    await note(handle.compareAndSet('k', 99, 3))
    await note(handle.getOrInsert('k', 3))
    await note(handle.update('absent', () => undefined))
    await note(handle.delete('k'))
    await note(handle.clear())
    expect(sequences).toEqual([1, 2, 2, 2, 2, 2, 2, 3, 3])
  })

  it('writes the same value again as a commit of its own: nobody compares', async () => {
    const db = open()
    await db.handle().set('k', 1)
    await db.handle().set('k', 1)
    expect(db.sequence).toBe(2)
  })

  it('reports what is wrong with a write through its promise, and what is wrong with a read at once', async () => {
    const handle = open<unknown, unknown>().handle()
    const write = handle.set(Number.NaN, 1)
    expect(await refusal(() => write)).toBe('INVALID_KEY')
    const value = handle.set('k', () => 1)
    expect(await refusal(() => value)).toBe('INVALID_VALUE')
    const remove = handle.delete(null)
    expect(await refusal(() => remove)).toBe('INVALID_KEY')
    expect(thrown(() => handle.get(undefined))).toBe('INVALID_KEY')
    expect(thrown(() => handle.has({}))).toBe('INVALID_KEY')
    expect(handle.size).toBe(0)
  })

  it('takes undefined for a value nowhere', async () => {
    const handle = open<string, unknown>().handle()
    expect(await refusal(() => handle.set('k', undefined))).toBe('INVALID_VALUE')
    expect(await refusal(() => handle.swap('k', undefined))).toBe('INVALID_VALUE')
    expect(await refusal(() => handle.getOrInsert('k', undefined))).toBe('INVALID_VALUE')
    expect(handle.has('k')).toBe(false)
    await handle.set('k', null)
    expect(handle.get('k')).toBeNull()
    expect(handle.has('k')).toBe(true)
  })

  it('takes and swaps', async () => {
    const handle = await withEntries({ k: 1 })
    expect(await handle.swap('k', 2)).toBe(1)
    expect(await handle.swap('new', 3)).toBeUndefined()
    expect(await handle.take('k')).toBe(2)
    expect(await handle.take('k')).toBeUndefined()
    expect(contents(handle)).toEqual([['new', 3]])
  })

  it('has the size of its table, at once and exactly', async () => {
    const handle = open<string, string>({ sizeOf: (key, value) => key.length + value.length }).handle()
    expect([handle.size, handle.sizeBytes]).toEqual([0, 0])
    await handle.set('abc', 'defg')
    expect([handle.size, handle.sizeBytes]).toEqual([1, 7])
    await handle.set('abc', '')
    expect([handle.size, handle.sizeBytes]).toEqual([1, 3])
    await handle.set('x', 'y')
    await handle.delete('abc')
    expect([handle.size, handle.sizeBytes]).toEqual([1, 2])
  })

  it('may be torn off its class only with its this', () => {
    const { get } = open().handle()
    expect(() => get('k')).toThrow(TypeError)
  })
})

describe('getMany', () => {
  it('gives values in the order of the keys, repeated and absent ones too', async () => {
    const handle = await withEntries({ a: 1, b: 2 })
    expect(handle.getMany(['b', 'x', 'a', 'b'])).toEqual([2, undefined, 1, 2])
    expect(handle.getMany([])).toEqual([])
    expect(handle.getMany(new Set(['a']))).toEqual([1])
  })

  it('reads one moment, even if the iterable of keys writes', async () => {
    const handle = await withEntries({ a: 1, b: 1 })
    function* keys(): Generator<string> {
      yield 'a'
      void handle.set('a', 2)
      void handle.set('b', 2)
      yield 'b'
    }
    expect(handle.getMany(keys())).toEqual([1, 1])
    expect(handle.getMany(['a', 'b'])).toEqual([2, 2])
  })

  it('passes on what the iterable throws, and holds nothing afterwards', async () => {
    const db = open()
    const broken = new Error('broken')
    function* keys(): Generator<string> {
      yield 'a'
      throw broken
    }
    expect(() => db.handle().getMany(keys())).toThrow(broken)
    expect(thrown(() => db.handle().getMany(['a', Number.NaN as never]))).toBe('INVALID_KEY')
    expect(db.stats().transactions.open).toBe(0)
  })

  it('takes an iterable and nothing else', () => {
    const handle = open().handle()
    expect(thrown(() => handle.getMany(5 as never))).toBe('INVALID_ARGUMENT')
    expect(thrown(() => handle.getMany(undefined as never))).toBe('INVALID_ARGUMENT')
  })
})

describe('count', () => {
  it('counts what a range holds', async () => {
    const handle = await withEntries({ a: 1, b: 2, c: 3 })
    expect(handle.count()).toBe(3)
    expect(handle.count({ gt: 'a' })).toBe(2)
    expect(handle.count({ limit: 2 })).toBe(2)
    expect(handle.count({ gt: 'c', lt: 'a' })).toBe(0)
  })
})

describe('prefetch', () => {
  it('takes keys or a range and changes nothing', async () => {
    const db = open()
    const handle = db.handle()
    await handle.set('a', 1)
    await handle.prefetch(['a', 'x'])
    await handle.prefetch({ gte: 'a' })
    await handle.prefetch({})
    expect(db.sequence).toBe(1)
    expect(db.stats().transactions.open).toBe(0)
  })

  it('refuses what is neither', async () => {
    const handle = open().handle()
    expect(await refusal(() => handle.prefetch([Number.NaN as never]))).toBe('INVALID_KEY')
    expect(await refusal(() => handle.prefetch({ greater: 'a' } as never))).toBe('INVALID_ARGUMENT')
    expect(await refusal(() => handle.prefetch(7 as never))).toBe('INVALID_ARGUMENT')
  })

  it('is there in transactions and snapshots too', async () => {
    const db = open()
    await db.handle().transaction((tx) => tx.prefetch(['a']))
    using snapshot = db.snapshot()
    await snapshot.prefetch({ prefix: 'a' })
  })
})

describe('handles are for callers that do not wait', () => {
  it('a thousand writes at once all apply, in the order of the calls', async () => {
    const db = open()
    const handle = db.handle()
    const promises: Promise<unknown>[] = []
    for (let i = 0; i < 1000; i++) promises.push(handle.update('k', (n) => (n ?? 0) + 1))
    expect(handle.get('k')).toBe(1000)
    expect((await Promise.all(promises)).at(-1)).toBe(1000)
  })

  it('an unawaited write that fails rejects its own promise only', async () => {
    const handle = open<string, unknown>().handle()
    const failing = refusal(() => handle.set('k', Symbol('no')))
    await handle.set('k', 1)
    expect(await failing).toBe('INVALID_VALUE')
    expect(handle.get('k')).toBe(1)
  })
})
