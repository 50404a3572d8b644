/** Iterating: lazily, over one moment, while others write, until the consumer has had enough. */
import { describe, expect, it } from 'vitest'

import { codecs, table, type ValueCodec, type VarveError } from '../../src/index.ts'
import { collectGarbage, contents, open, thrown, turn, withEntries } from './fixtures.ts'
import { clockThatSteps } from '../support/patience.ts'

const abc = { a: 1, b: 2, c: 3 }

describe('an iterator of a handle', () => {
  it('stands on the moment it was made, whatever is committed while it runs', async () => {
    const handle = await withEntries(abc)
    const iterator = handle.entries()
    expect(iterator.next()).toEqual({ value: ['a', 1], done: false })
    await handle.set('b', 20)
    await handle.set('bb', 25)
    await handle.delete('c')
    await handle.set('d', 4)
    expect([...iterator]).toEqual([
      ['b', 2],
      ['c', 3],
    ])
    expect(contents(handle)).toEqual([
      ['a', 1],
      ['b', 20],
      ['bb', 25],
      ['d', 4],
    ])
  })

  it('stands there before its first step too, within the tick and after it', async () => {
    for (const wait of [undefined, turn]) {
      const handle = await withEntries(abc)
      const iterators = [handle.entries(), handle.entries({ reverse: true })]
      if (wait !== undefined) await wait()
      void handle.clear()
      if (wait !== undefined) await wait()
      expect([...(iterators[0] as Iterable<unknown>)]).toHaveLength(3)
      expect([...(iterators[1] as Iterable<unknown>)]).toHaveLength(3)
      expect(handle.size).toBe(0)
    }
  })

  it('may be written through while it runs: it does not see it', async () => {
    const handle = await withEntries(abc)
    const seen: string[] = []
    for (const [key, value] of handle.entries()) {
      seen.push(key)
      void handle.set(key, value * 10)
      void handle.set(`${key}+`, 0)
      void handle.delete('c')
    }
    expect(seen).toEqual(['a', 'b', 'c'])
    expect(contents(handle)).toEqual([
      ['a', 10],
      ['a+', 0],
      ['b', 20],
      ['b+', 0],
      ['c+', 0],
    ])
  })

  it('survives splits and merges of everything around it', async () => {
    const db = open<number>()
    const handle = db.handle()
    await handle.transaction((tx) => {
      for (let i = 0; i < 1000; i++) tx.set(i * 10, i)
    })
    const [up, down] = [handle.keys(), handle.keys({ reverse: true })]
    const [upward, downward]: [number[], number[]] = [[], []]
    for (let step = 0; step < 1000; step++) {
      upward.push(up.next().value as number)
      downward.push(down.next().value as number)
      for (let i = 0; i < 10; i++) void handle.set((step * 37 + i * 101) % 10_007, 1)
      void handle.delete(step * 10)
      if (step % 100 === 0) await db.vacuum()
    }
    const expected = Array.from({ length: 1000 }, (_, i) => i * 10)
    expect(upward).toEqual(expected)
    expect(downward).toEqual(expected.toReversed())
  })

  it('is beside others, each at its own moment', async () => {
    const handle = await withEntries<number>({ n: 0 })
    const iterators = []
    for (let i = 0; i < 20; i++) {
      iterators.push(handle.values())
      await handle.set('n', i + 1)
    }
    expect(iterators.map((iterator) => iterator.next().value)).toEqual(Array.from({ length: 20 }, (_, i) => i))
  })

  it('costs no snapshot when it is drained within its tick', async () => {
    const db = open()
    await db.handle().set('a', 1)
    const versions = db.stats().versions
    for (let i = 0; i < 100; i++) {
      expect([...db.handle().entries()]).toHaveLength(1)
      void db.handle().set('a', i)
    }
    expect(db.stats()).toMatchObject({ versions, transactions: { open: 0 } })
  })

  it('is iterable itself, and goes on where it is', async () => {
    const iterator = (await withEntries(abc)).keys()
    expect(iterator[Symbol.iterator]()).toBe(iterator)
    iterator.next()
    expect([...iterator]).toEqual(['b', 'c'])
    expect(iterator.next()).toEqual({ value: undefined, done: true })
    expect(iterator.next()).toEqual({ value: undefined, done: true })
  })

  it('ends with return(), before the first step, in the middle, after the end, and twice', async () => {
    const db = open()
    const handle = db.handle()
    for (const [key, value] of Object.entries(abc)) await handle.set(key, value)
    for (const steps of [0, 1, 4]) {
      const iterator = handle.entries()
      for (let i = 0; i < steps; i++) iterator.next()
      await turn()
      await handle.set('a', 1)
      expect(iterator.return?.()).toEqual({ value: undefined, done: true })
      expect(iterator.return?.()).toEqual({ value: undefined, done: true })
      expect(iterator.next()).toEqual({ value: undefined, done: true })
      expect(db.stats().transactions.open).toBe(0)
    }
  })

  it('is ended by what a for loop throws', async () => {
    const db = open()
    await db.handle().set('a', 1)
    const mine = new Error('mine')
    await turn()
    expect(() => {
      for (const _entry of db.handle().entries()) throw mine
    }).toThrow(mine)
    await turn()
    expect(db.stats().transactions.open).toBe(0)
  })

  it('is ended by a codec that cannot read what it has come to', async () => {
    const db = open()
    const broken = table<string, string>('broken', {
      value: {
        name: 'broken',
        encode: (value) => Buffer.from(value),
        decode: (bytes) => {
          if (bytes.length > 1) throw new Error('too long')
          return String.fromCharCode(bytes[0] as number)
        },
      },
    })
    const handle = db.handle(broken)
    await handle.set('a', 'x')
    await handle.set('b', 'xx')
    await handle.set('c', 'y')
    await turn()
    expect(thrown(() => contents(handle))).toBe('CODEC_MISMATCH')
    await turn()
    expect(db.stats().transactions.open).toBe(0)
    expect([...handle.keys()]).toEqual(['a', 'b', 'c'])
  })

  it('hands out keys and values that are the consumer’s to spoil', async () => {
    const db = open<Uint8Array | readonly [Uint8Array], Uint8Array>({ value: codecs.bytes() })
    const handle = db.handle()
    await handle.set(Uint8Array.of(1), Uint8Array.of(1))
    await handle.set([Uint8Array.of(2)], Uint8Array.of(2))
    for (const [key, value] of handle.entries()) {
      ;(key instanceof Uint8Array ? key : key[0]).fill(99)
      value.fill(99)
    }
    expect(contents(handle)).toEqual([
      [Uint8Array.of(1), Uint8Array.of(1)],
      [[Uint8Array.of(2)], Uint8Array.of(2)],
    ])
    expect(handle.has(Uint8Array.of(1))).toBe(true)
  })

  it('that closes a cycle says so when it ends, by itself or by a break: what it gave out fits into no serial order', async () => {
    for (const leave of [false, true]) {
      const handle = await withEntries({ x: 1, y: 1, z: 1 })
      const update = handle.begin()
      update.get('x')
      update.get('y')
      await handle.set('y', 2)
      const iterator = handle.entries()
      expect(iterator.next().value).toEqual(['x', 1])
      update.set('x', 2)
      await update.commit()
      const seen: unknown[] = []
      const rest = (): void => {
        for (const entry of iterator) {
          seen.push(entry)
          if (leave) break
        }
      }
      expect(thrown(rest)).toBe('SERIALIZATION_FAILURE')
      expect(seen).toEqual([['y', 2], ...(leave ? [] : [['z', 1]])])
      expect(iterator.next()).toEqual({ value: undefined, done: true })
    }
  })

  it('gives an array of its own for every entry', async () => {
    const iterator = (await withEntries(abc)).entries()
    const [first, second] = [iterator.next().value, iterator.next().value]
    expect(first).not.toBe(second)
    expect(first).toEqual(['a', 1])
  })
})

describe('an iterator of a transaction', () => {
  it('sees the snapshot, and its own writes ahead of it as they come', async () => {
    const handle = await withEntries({ a: 1, c: 3, e: 5 })
    await handle.transaction(async (tx) => {
      const iterator = tx.entries()
      expect(iterator.next().value).toEqual(['a', 1])
      tx.set('b', 2)
      tx.set('a', 100)
      await handle.set('bb', 0)
      expect(iterator.next().value).toEqual(['b', 2])
      tx.delete('c')
      tx.set('e', 50)
      tx.set('d', 4)
      expect(iterator.next().value).toEqual(['d', 4])
      expect(iterator.next().value).toEqual(['e', 50])
      expect(iterator.next().done).toBe(true)
      tx.set('f', 6)
      expect(iterator.next().done).toBe(true)
    })
  })

  it('likewise backwards', async () => {
    const handle = await withEntries({ a: 1, c: 3, e: 5 })
    await handle.transaction((tx) => {
      const iterator = tx.keys({ reverse: true })
      expect(iterator.next().value).toBe('e')
      tx.set('d', 4)
      tx.set('f', 6)
      tx.delete('c')
      expect([...iterator]).toEqual(['d', 'a'])
    })
  })

  it('counts its steps against the limit, own writes that come meanwhile among them (I7 of cursor.ts)', async () => {
    const handle = await withEntries({ a: 1, b: 2, c: 3, d: 4, e: 5 })
    await handle.transaction((tx) => {
      const iterator = tx.keys({ limit: 4 })
      expect([iterator.next().value, iterator.next().value]).toEqual(['a', 'b'])
      tx.set('bb', 0)
      expect([...iterator]).toEqual(['bb', 'c'])
      const savepoint = tx.savepoint()
      const another = tx.entries({ limit: 3 })
      expect(another.next().value).toEqual(['a', 1])
      tx.set('aa', 0)
      tx.rollbackTo(savepoint)
      expect([...another]).toEqual([
        ['b', 2],
        ['bb', 0],
      ])
    })
  })

  it.each([false, true])('depends on each step it has made, and on none to come (reverse: %s)', async (reverse) => {
    for (const [steps, refused] of [
      [2, false],
      [3, true],
      [4, true],
    ] as const) {
      const handle = await withEntries({ a: 1, b: 2, c: 3, d: 4, e: 5, other: 0 })
      const reader = handle.begin()
      const iterator = reader.entries({ gte: 'a', lte: 'e', reverse })
      for (let i = 0; i < steps; i++) iterator.next()
      await handle.transaction((tx) => {
        tx.get('other')
        tx.set('c', 30)
      })
      reader.set('other', 1)
      const outcome = await reader.commit().then(
        () => false,
        (error: unknown) => (error as VarveError).code === 'SERIALIZATION_FAILURE',
      )
      expect([steps, outcome]).toEqual([steps, refused])
    }
  })

  it('may delete everything it meets', async () => {
    const handle = await withEntries(abc)
    await handle.transaction((tx) => {
      for (const key of tx.keys()) tx.delete(key)
      expect(tx.size).toBe(0)
    })
    expect(handle.size).toBe(0)
  })

  it('may write behind itself for ever, and still ends', async () => {
    const handle = await withEntries(abc)
    await handle.transaction((tx) => {
      let steps = 0
      for (const key of tx.keys()) {
        steps++
        tx.set(key, steps)
        tx.set(`A${steps}`, steps)
      }
      expect(steps).toBe(3)
    })
    expect(handle.size).toBe(6)
  })

  it('stops at its limit, own writes counted', async () => {
    const handle = await withEntries({ a: 1, c: 3 })
    await handle.transaction((tx) => {
      tx.set('b', 2)
      expect([...tx.keys({ limit: 2 })]).toEqual(['a', 'b'])
      expect(tx.count({ limit: 2 })).toBe(2)
    })
  })

  it('mixes merges in', async () => {
    const handle = open({ merge: { identity: 0, merge: (a: number, b: number) => a + b } }).handle()
    await handle.set('b', 1)
    await handle.transaction((tx) => {
      tx.merge('a', 5)
      tx.merge('b', 5)
      expect(contents(tx)).toEqual([
        ['a', 5],
        ['b', 6],
      ])
      expect([...tx.keys()]).toEqual(['a', 'b'])
      expect(tx.count()).toBe(2)
      expect(tx.size).toBe(2)
    })
  })
})

describe('stream', () => {
  it('gives what entries gives', async () => {
    const handle = await withEntries(abc)
    const seen: unknown[] = []
    for await (const entry of handle.stream({ gt: 'a' })) seen.push(entry)
    expect(seen).toEqual([
      ['b', 2],
      ['c', 3],
    ])
  })

  it('lets the event loop turn', async () => {
    // 256 entries a turn, however fast the machine.
    clockThatSteps(1)
    const db = open<number, { at: Date }>()
    await db.handle().transaction((tx) => {
      for (let i = 0; i < 20_000; i++) tx.set(i, { at: new Date(i) })
    })
    const turnsWhile = async (run: () => Promise<number>): Promise<number> => {
      let turns = 0
      let running = true
      const tick = (): void => {
        turns++
        if (running) setImmediate(tick)
      }
      setImmediate(tick)
      expect(await run()).toBe(20_000)
      running = false
      return turns
    }
    const stream = async (): Promise<number> => {
      let count = 0
      for await (const _entry of db.handle().stream()) count++
      return count
    }
    const atOnce = async (): Promise<number> => [...db.handle().entries()].length
    expect(await turnsWhile(atOnce)).toBeLessThanOrEqual(1)
    expect(await turnsWhile(stream)).toBeGreaterThan(50)
  })

  it('stands on the moment of the call', async () => {
    const handle = await withEntries(abc)
    const stream = handle.stream()
    await handle.set('b', 20)
    await turn()
    await handle.delete('c')
    const seen: unknown[] = []
    for await (const [, value] of stream) {
      seen.push(value)
      await handle.clear()
    }
    expect(seen).toEqual([1, 2, 3])
  })

  it('lets its snapshot go when it is left, even before the first step', async () => {
    const db = open()
    await db.handle().set('a', 1)
    await db.handle().set('b', 1)
    for await (const _entry of db.handle().stream()) break
    expect(db.stats().transactions.open).toBe(0)
    const unstarted = db.handle().stream()
    await turn()
    await unstarted.return?.()
    expect(db.stats().transactions.open).toBe(0)
    const started = db.handle().stream()
    await started.next()
    await started.return?.()
    expect(await started.next()).toEqual({ value: undefined, done: true })
    expect(db.stats().transactions.open).toBe(0)
  })

  it('inside a transaction is over with it', async () => {
    const handle = await withEntries(abc)
    const stream = await handle.transaction(async (tx) => {
      const inside = tx.stream()
      expect((await inside.next()).value).toEqual(['a', 1])
      return { inside }
    })
    await expect(stream.inside.next()).rejects.toMatchObject({ code: 'TRANSACTION_CLOSED' })
  })

  it('answers calls of next() that do not wait for each other in order, even where it gives way', async () => {
    const slow: ValueCodec<number> = {
      name: 'slow',
      encode: (value) => Buffer.from(String(value)),
      decode: (bytes) => {
        const until = performance.now() + 0.1
        while (performance.now() < until);
        return Number(Buffer.from(bytes).toString())
      },
    }
    const db = open<number>({ value: slow })
    await db.handle().transaction((tx) => {
      for (let i = 0; i < 400; i++) tx.set(i, i)
    })
    const stream = db.handle().stream()
    const steps = await Promise.all(Array.from({ length: 401 }, () => stream.next()))
    const expected: unknown[] = Array.from({ length: 400 }, (_, i) => i)
    expect(steps.map(({ value, done }) => (done === true ? 'done' : value?.[1]))).toEqual([...expected, 'done'])
  })
})

describe('a snapshot', () => {
  it('shows one moment of all tables until it is closed, vacuum or not', async () => {
    const db = open()
    const other = table<string, number>('other')
    await db.handle().set('a', 1)
    await db.handle(other).set('x', 1)
    const snapshot = db.snapshot()
    await db.handle().set('a', 2)
    await db.handle(other).delete('x')
    await db.vacuum()
    expect(snapshot.sequence).toBe(2)
    expect(snapshot.get('a')).toBe(1)
    expect(contents(snapshot.table(other))).toEqual([['x', 1]])
    expect([snapshot.size, snapshot.table(other).size]).toEqual([1, 1])
    snapshot.close()
    snapshot.close()
    expect(thrown(() => snapshot.get('a'))).toBe('TRANSACTION_CLOSED')
    expect(thrown(() => snapshot.table(other))).toBe('TRANSACTION_CLOSED')
    expect(db.stats().transactions.open).toBe(0)
  })

  it('of a table that was first used later shows it empty', async () => {
    const db = open()
    const later = table<string, number>('later')
    await db.handle().set('a', 1)
    using snapshot = db.snapshot()
    await db.handle(later).set('x', 1)
    expect(contents(snapshot.table(later))).toEqual([])
    expect(snapshot.table(later).size).toBe(0)
    expect(snapshot.table(later).get('x')).toBeUndefined()
  })

  it('carries the instant that it was taken at, which never goes back', () => {
    let now = 1_000
    const db = open({ clock: () => now })
    const first = db.snapshot()
    now = 500
    const second = db.snapshot()
    now = 2_000
    const third = db.snapshot()
    expect([first.createdAt, second.createdAt, third.createdAt]).toEqual([1_000, 1_000, 2_000])
    third.close()
    first.close()
    second.close()
  })

  it('is closed at the end of a scope of using', () => {
    const db = open()
    {
      using snapshot = db.snapshot()
      expect(snapshot.size).toBe(0)
    }
    expect(db.stats().transactions.open).toBe(0)
  })

  it('of the safe kind may lag, but never shows half of a commit', async () => {
    const db = open()
    const handle = db.handle()
    const update = handle.begin()
    update.get('a')
    await handle.transaction((tx) => {
      tx.set('a', 1)
      tx.set('b', 1)
    })
    using safe = db.snapshot({ safe: true })
    using newest = db.snapshot()
    expect(newest.getMany(['a', 'b'])).toEqual([1, 1])
    expect(safe.sequence).toBeLessThanOrEqual(newest.sequence)
    expect(safe.get('a')).toBe(safe.get('b'))
    update.rollback()
    await collectGarbage()
    expect(newest.getMany(['a', 'b'])).toEqual([1, 1])
  })
})
