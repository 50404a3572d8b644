/** Calls that read and write in one step: compareAndSet, update, getOrInsert, take, swap, entries of one key. */
import { describe, expect, it } from 'vitest'

import { codecs, type Database, type Handle, type ValueCodec } from '../../src/index.ts'
import { contents, failure, open, refusal, thrown, turn, withEntries } from './fixtures.ts'

describe('compareAndSet', () => {
  it('sets where the value is the expected one, and tells', async () => {
    const handle = await withEntries({ k: 1 })
    expect(await handle.compareAndSet('k', 2, 3)).toBe(false)
    expect(handle.get('k')).toBe(1)
    expect(await handle.compareAndSet('k', 1, 3)).toBe(true)
    expect(handle.get('k')).toBe(3)
  })

  it('takes undefined for absence, on either side', async () => {
    const db = open()
    const handle = db.handle()
    expect(await handle.compareAndSet('k', undefined, 1)).toBe(true)
    expect(await handle.compareAndSet('k', undefined, 2)).toBe(false)
    expect(handle.get('k')).toBe(1)
    expect(await handle.compareAndSet('absent', 1, 2)).toBe(false)
    expect(handle.has('absent')).toBe(false)
    expect(await handle.compareAndSet('k', 1, undefined)).toBe(true)
    expect(handle.has('k')).toBe(false)
    const { sequence } = db
    expect(await handle.compareAndSet('k', undefined, undefined)).toBe(true)
    expect([db.sequence, handle.has('k')]).toEqual([sequence, false])
  })

  it('compares deeply', async () => {
    const handle = open<string, unknown>().handle()
    const make = (): unknown => ({
      list: [1, { two: 2 }],
      map: new Map([['a', new Set([1, 2])]]),
      at: new Date(7),
      bytes: Uint8Array.of(1, 2),
      big: 2n ** 70n,
      nothing: null,
      not: Number.NaN,
      missing: undefined,
    })
    await handle.set('k', make())
    const different: unknown[] = [
      { ...(make() as object), list: [1, { two: 3 }] },
      { ...(make() as object), map: new Map([['a', new Set([1, 3])]]) },
      { ...(make() as object), at: new Date(8) },
      { ...(make() as object), bytes: Uint8Array.of(1, 3) },
      { ...(make() as object), extra: undefined },
      null,
      'text',
      [],
    ]
    for (const other of different) expect(await handle.compareAndSet('k', other, 'changed')).toBe(false)
    expect(await handle.compareAndSet('k', make(), 'changed')).toBe(true)
    expect(handle.get('k')).toBe('changed')
  })

  it('tells null from absence', async () => {
    const handle = open<string, unknown>().handle()
    await handle.set('k', null)
    expect(await handle.compareAndSet('k', undefined, 1)).toBe(false)
    expect(await handle.compareAndSet('k', null, 1)).toBe(true)
  })

  const carried: readonly { codec: { readonly name: string }; given: unknown }[] = [
    { codec: codecs.bytes(), given: Buffer.from('abc') },
    { codec: codecs.bytesView(), given: Buffer.from('abc') },
    { codec: codecs.float32(), given: 0.1 },
    { codec: codecs.float64(), given: Number.NaN },
    { codec: codecs.float64(), given: -0 },
    { codec: codecs.int32(), given: -0 },
    { codec: codecs.bigint64(), given: -5n },
    { codec: codecs.string(), given: '\ud800' },
    { codec: codecs.structured(), given: Object.assign(Object.create(null) as object, { a: 1 }) },
    { codec: codecs.structured(), given: { deep: [Buffer.from('abc'), Number.NaN, new Map()] } },
  ]

  it.each(carried)(
    'finds what was set equal to itself, whatever the codec makes of it: $codec.name',
    async ({ codec, given }) => {
      const handle = open<string, unknown>({ value: codec as ValueCodec<unknown> }).handle()
      await handle.set('k', given)
      expect(await handle.compareAndSet('k', given, given)).toBe(true)
      expect(await handle.transaction((tx) => tx.compareAndSet('k', given, given))).toBe(true)
      expect(await handle.compareAndSet('k', handle.get('k'), given)).toBe(true)
    },
  )

  it('refuses a next value that the codec refuses, before it changes anything', async () => {
    const handle = open<string, unknown>().handle()
    await handle.set('k', 1)
    expect(await refusal(() => handle.compareAndSet('k', 1, Symbol('no')))).toBe('INVALID_VALUE')
    expect(handle.get('k')).toBe(1)
  })

  it('lets exactly one of many win', async () => {
    const handle = await withEntries({ k: 0 })
    const wins = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        handle.transaction(async (tx) => {
          await turn()
          return tx.compareAndSet('k', 0, i + 1)
        }),
      ),
    )
    expect(wins.filter(Boolean)).toHaveLength(1)
    expect(handle.get('k')).toBe(wins.indexOf(true) + 1)
  })
})

describe('update', () => {
  it('replaces the value by what the function makes of it, and gives that', async () => {
    const handle = await withEntries({ k: 1 })
    expect(await handle.update('k', (n) => (n as number) + 1)).toBe(2)
    expect(await handle.update('new', (n) => (n === undefined ? 10 : 0))).toBe(10)
    expect(contents(handle)).toEqual([
      ['k', 2],
      ['new', 10],
    ])
  })

  it('deletes where it returns undefined', async () => {
    const db = open()
    const handle = db.handle()
    await handle.set('k', 1)
    expect(await handle.update('k', () => undefined)).toBeUndefined()
    expect(handle.has('k')).toBe(false)
    expect(await handle.update('k', () => undefined)).toBeUndefined()
    expect(db.sequence).toBe(2)
  })

  it('deletes what the function itself has set, too', async () => {
    const handle = open().handle()
    await handle.transaction((tx) => {
      const outcome = tx.update('k', () => {
        tx.set('k', 1)
        return undefined
      })
      expect(outcome).toBeUndefined()
      expect(tx.has('k')).toBe(false)
    })
    expect(handle.has('k')).toBe(false)
  })

  it('rejects with what the function throws and changes nothing', async () => {
    const handle = await withEntries({ k: 1 })
    const mine = new Error('mine')
    const broken = (): never => {
      throw mine
    }
    await expect(handle.update('k', broken)).rejects.toBe(mine)
    await handle.transaction((tx) => {
      tx.set('k', 2)
      expect(() => tx.update('k', broken)).toThrow(mine)
      expect(tx.get('k')).toBe(2)
    })
    expect(handle.get('k')).toBe(2)
  })

  it('refuses functions that are async, and what is no function', async () => {
    const handle = await withEntries<unknown>({ k: 1 })
    expect(await refusal(() => handle.update('k', async () => 2))).toBe('INVALID_ARGUMENT')
    expect(await refusal(() => handle.update('k', 2 as never))).toBe('INVALID_ARGUMENT')
    await handle.transaction((tx) => {
      expect(thrown(() => tx.update('k', async () => Promise.reject(new Error('late'))))).toBe('INVALID_ARGUMENT')
      expect(thrown(() => tx.update('k', undefined as never))).toBe('INVALID_ARGUMENT')
      expect(thrown(() => tx.getOrInsertComputed('new', async () => 2))).toBe('INVALID_ARGUMENT')
      expect(thrown(() => tx.getOrInsertComputed('new', 5 as never))).toBe('INVALID_ARGUMENT')
    })
    await turn()
    expect(contents(handle)).toEqual([['k', 1]])
  })

  it('gives the function a value that it cannot spoil', async () => {
    const handle = open<string, { list: number[] }>().handle()
    await handle.set('k', { list: [1] })
    await expect(
      handle.update('k', (value) => {
        value?.list.push(2)
        return value
      }),
    ).rejects.toThrow(TypeError)
    expect(handle.get('k')).toEqual({ list: [1] })
    await handle.update('k', (value) => ({ list: [...(value?.list ?? []), 2] }))
    expect(handle.get('k')).toEqual({ list: [1, 2] })
  })

  it('takes the very value it was given back', async () => {
    const handle = open<string, { n: number }>().handle()
    await handle.set('k', { n: 1 })
    expect(await handle.update('k', (value) => value)).toEqual({ n: 1 })
  })
})

describe('getOrInsert and getOrInsertComputed', () => {
  it('give what is there, or insert', async () => {
    const db = open()
    const handle = db.handle()
    expect(await handle.getOrInsert('k', 1)).toBe(1)
    expect(await handle.getOrInsert('k', 2)).toBe(1)
    expect(await handle.getOrInsertComputed('k', () => 3)).toBe(1)
    expect(await handle.getOrInsertComputed('new', (key) => key.length)).toBe(3)
    expect(db.sequence).toBe(2)
  })

  it('compute only where nothing is there', async () => {
    const handle = await withEntries({ k: 1 })
    let computed = 0
    await handle.getOrInsertComputed('k', () => ++computed)
    await handle.transaction((tx) => tx.getOrInsertComputed('k', () => ++computed))
    expect(computed).toBe(0)
  })

  it('give a private copy of what they inserted', async () => {
    const handle = open<string, { list: number[] }>().handle()
    const mine = { list: [1] }
    const theirs = await handle.getOrInsert('k', mine)
    expect(theirs).not.toBe(mine)
    mine.list.push(2)
    expect(() => theirs.list.push(3)).toThrow(TypeError)
    expect(handle.get('k')).toEqual({ list: [1] })
  })

  it('reject with what the function throws, or if it makes nothing', async () => {
    const handle = open().handle()
    const mine = new Error('mine')
    await expect(
      handle.getOrInsertComputed('k', () => {
        throw mine
      }),
    ).rejects.toBe(mine)
    expect(await refusal(() => handle.getOrInsertComputed('k', () => undefined as never))).toBe('INVALID_VALUE')
    expect(handle.size).toBe(0)
  })
})

describe('entry() in a transaction', () => {
  it('shows and changes one key', async () => {
    const handle = await withEntries({ k: 1 })
    await handle.transaction((tx) => {
      const entry = tx.entry('k')
      expect([entry.key, entry.exists, entry.value]).toEqual(['k', true, 1])
      expect(entry.set(2)).toBe(1)
      expect(tx.get('k')).toBe(2)
      expect(entry.delete()).toBe(2)
      expect([entry.exists, entry.value]).toEqual([false, undefined])
      expect(entry.delete()).toBeUndefined()
      expect(entry.orInsert(3)).toBe(3)
      expect(entry.orInsert(4)).toBe(3)
      expect(entry.orInsertComputed(() => 5)).toBe(3)
      entry.delete()
      expect(entry.orInsertComputed((key) => key.length)).toBe(1)
      tx.set('k', 9)
      expect(entry.value).toBe(9)
    })
    expect(handle.get('k')).toBe(9)
  })

  it('chains', async () => {
    const handle = open().handle()
    const bump = (): Promise<number> =>
      handle.transaction((tx) =>
        tx
          .entry('n')
          .andModify((n) => n + 1)
          .orInsert(1),
      )
    expect([await bump(), await bump(), await bump()]).toEqual([1, 2, 3])
  })

  it('andModify leaves an absent key alone, and checks what the function makes', async () => {
    const handle = await withEntries<unknown>({ k: 1 })
    await handle.transaction((tx) => {
      let called = false
      tx.entry('absent').andModify(() => (called = true))
      expect([called, tx.has('absent')]).toEqual([false, false])
      expect(thrown(() => tx.entry('k').andModify(() => Symbol('no')))).toBe('INVALID_VALUE')
      expect(tx.get('k')).toBe(1)
    })
  })

  it('reads only what it is asked: exists does not conflict with overwriting', async () => {
    const handle = await withEntries({ k: 1, other: 1 })
    const tx = handle.begin()
    expect(tx.entry('k').exists).toBe(true)
    const overwriting = handle.begin()
    overwriting.get('other')
    overwriting.set('k', 2)
    await overwriting.commit()
    tx.set('other', 2)
    await tx.commit()
    expect(handle.get('other')).toBe(2)
  })

  it('refuses what is no key at once', async () => {
    const handle = open().handle()
    await handle.transaction((tx) => expect(thrown(() => tx.entry(Number.NaN as never))).toBe('INVALID_KEY'))
    expect(thrown(() => handle.entry(null as never))).toBe('INVALID_KEY')
  })
})

describe('entry() of a handle', () => {
  it('does each call as a transaction of its own', async () => {
    const db: Database<string, number> = open()
    const handle: Handle<string, number> = db.handle()
    const entry = handle.entry('k')
    expect([entry.key, entry.exists, entry.value]).toEqual(['k', false, undefined])
    expect(await entry.orInsert(1)).toBe(1)
    expect(await entry.orInsertComputed(() => 2)).toBe(1)
    expect([entry.exists, entry.value]).toEqual([true, 1])
    expect(await entry.set(3)).toBe(1)
    const modified = await entry.andModify((n) => n + 1)
    expect(modified).toBe(entry)
    expect(modified.value).toBe(4)
    expect(await entry.delete()).toBe(4)
    expect(await entry.delete()).toBeUndefined()
    await entry.andModify((n) => n + 1)
    expect(entry.exists).toBe(false)
    expect(db.sequence).toBe(4)
  })

  it('keeps a key of its own', async () => {
    const handle = open<Uint8Array>().handle()
    const key = Uint8Array.of(1)
    const entry = handle.entry(key)
    key[0] = 2
    await entry.set(5)
    expect([...handle.keys()]).toEqual([Uint8Array.of(1)])
  })

  it('reports what goes wrong through its promise', async () => {
    const entry = open<string, unknown>().handle().entry('k')
    expect((await failure(() => entry.set(Symbol('no')))).message).toContain('"k"')
  })
})
