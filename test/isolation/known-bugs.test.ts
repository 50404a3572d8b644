/** Bugs that earlier systems of this kind have had, by name. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Database, type Handle, type Transaction, VarveError } from '../../src/index.ts'
import { Random, runs } from '../support/random.ts'

type Tx = Transaction<string, number>

let db: Database<string, number>
let handle: Handle<string, number>
let opened: { [Symbol.dispose](): void }[]

beforeEach(async () => {
  opened = []
  db = await Database.open<string, number>()
  handle = db.handle()
})

afterEach(async () => {
  for (const each of opened) each[Symbol.dispose]()
  expect((await db.check()).problems).toEqual([])
  await db.close()
})

function begin(options: Parameters<typeof handle.begin>[0] = {}): Tx {
  const tx = handle.begin(options)
  opened.push(tx)
  return tx
}

async function refusal(tx: Tx): Promise<string | undefined> {
  try {
    await tx.commit()
    return undefined
  } catch (error) {
    expect(error).toBeInstanceOf(VarveError)
    return (error as VarveError).code
  }
}

describe('insert, insert, remove, get: a removal must not bring an older value back', () => {
  const absent = (reader: Pick<Tx, 'get' | 'has' | 'keys' | 'count'>) => {
    expect(reader.get('k')).toBeUndefined()
    expect(reader.has('k')).toBe(false)
    expect([...reader.keys()]).toEqual([])
    expect(reader.count()).toBe(0)
  }

  it('in transactions of their own', async () => {
    await handle.set('k', 1)
    await handle.set('k', 2)
    expect(await handle.delete('k')).toBe(true)
    absent(handle)
    await db.vacuum()
    absent(handle)
    expect(handle.size).toBe(0)
  })

  it('while snapshots hold every older version', async () => {
    const seen: [Tx, number | undefined][] = [[begin(), undefined]]
    for (const value of [1, 2, 3]) {
      await handle.set('k', value)
      seen.push([begin({ readOnly: true }), value])
    }
    await handle.delete('k')
    absent(handle)
    for (const [tx, value] of seen) expect(tx.get('k')).toBe(value)
    while (seen.length > 0) {
      seen.splice(seen.length >> 1, 1)[0]![0].rollback()
      await db.vacuum()
      absent(handle)
      for (const [tx, value] of seen) expect(tx.get('k')).toBe(value)
    }
  })

  it('inside one transaction, over a committed value', async () => {
    await handle.set('k', 0)
    await handle.transaction((tx) => {
      tx.set('k', 1)
      tx.set('k', 2)
      expect(tx.delete('k')).toBe(true)
      absent(tx)
      expect(tx.delete('k')).toBe(false)
    })
    absent(handle)
  })

  it('with a savepoint between', async () => {
    await handle.set('k', 0)
    await handle.transaction((tx) => {
      tx.set('k', 1)
      const savepoint = tx.savepoint()
      tx.delete('k')
      absent(tx)
      tx.rollbackTo(savepoint)
      expect(tx.get('k')).toBe(1)
      tx.delete('k')
    })
    absent(handle)
  })
})

describe('late read after a concurrent commit', () => {
  it('write skew with reads that come after the other has committed is refused', async () => {
    await handle.transaction((tx) => {
      tx.set('x', 1)
      tx.set('y', 1)
    })
    const first = begin()
    const second = begin()
    expect(second.get('x')! + second.get('y')!).toBe(2)
    second.set('x', -1)
    await second.commit()
    expect(first.get('x')! + first.get('y')!).toBe(2)
    first.set('y', -1)
    expect(await refusal(first)).toBe('SERIALIZATION_FAILURE')
    expect(handle.get('y')).toBe(1)
  })

  it('likewise with late scans and late reads of absence', async () => {
    for (const late of [(tx: Tx) => tx.count(), (tx: Tx) => tx.get('b'), (tx: Tx) => [...tx.entries()].length]) {
      await handle.clear()
      const first = begin()
      const second = begin()
      expect(second.has('a')).toBe(false)
      second.set('b', 1)
      await second.commit()
      expect(late(first) ?? 0).toBe(0)
      first.set('a', 1)
      expect(await refusal(first)).toBe('SERIALIZATION_FAILURE')
      expect([...handle.keys()]).toEqual(['b'])
    }
  })
})

describe('double insert-if-absent', () => {
  const ways: Record<string, (tx: Tx, value: number) => unknown> = {
    'has and set': (tx, value) => tx.has('k') || tx.set('k', value),
    'get and set': (tx, value) => tx.get('k') ?? tx.set('k', value),
    getOrInsert: (tx, value) => tx.getOrInsert('k', value),
    getOrInsertComputed: (tx, value) => tx.getOrInsertComputed('k', () => value),
    'entry().orInsert': (tx, value) => tx.entry('k').orInsert(value),
    'compareAndSet of nothing': (tx, value) => tx.compareAndSet('k', undefined, value),
    update: (tx, value) => tx.update('k', (current) => current ?? value),
    'a scan and set': (tx, value) => tx.count() > 0 || tx.set('k', value),
  }
  for (const [name, insert] of Object.entries(ways)) {
    for (const isolation of ['serializable', 'snapshot'] as const) {
      it(`by ${name}, at ${isolation}: one inserts, the other is refused`, async () => {
        const first = begin({ isolation })
        const second = begin({ isolation })
        insert(first, 1)
        insert(second, 2)
        await first.commit()
        expect(await refusal(second)).toMatch(/SERIALIZATION_FAILURE|WRITE_CONFLICT/)
        expect(handle.get('k')).toBe(1)
      })
    }
  }

  it('by many clients at once: exactly one value, and everyone is told the same', async () => {
    const clients = Array.from({ length: 50 }, (_, i) =>
      handle.transaction(
        async (tx) => {
          await Promise.resolve()
          return tx.getOrInsert('k', i)
        },
        { retries: 100 },
      ),
    )
    expect(new Set(await Promise.all(clients)).size).toBe(1)
  })
})

describe('re-insert as phantom', () => {
  it('a key deleted and inserted again inside a scanned range is seen by the certifier', async () => {
    await handle.set('p1', 1)
    await handle.set('other', 1)
    for (const scan of [(tx: Tx) => [...tx.entries({ prefix: 'p' })], (tx: Tx) => tx.get('p1')]) {
      const first = begin()
      scan(first)
      const second = begin()
      second.get('other')
      second.delete('p1')
      await second.commit()
      await handle.set('p1', 1)
      first.set('other', 2)
      expect(await refusal(first)).toBe('SERIALIZATION_FAILURE')
    }
  })

  it('a tombstone inside a scanned range comes back to life', async () => {
    await handle.set('p1', 1)
    await handle.set('other', 1)
    await handle.delete('p1')
    for (const vacuum of [false, true]) {
      if (vacuum) await db.vacuum()
      const first = begin()
      expect(first.count({ prefix: 'p' })).toBe(0)
      const second = begin()
      second.get('other')
      second.set('p1', 1)
      await second.commit()
      first.set('other', 2)
      expect(await refusal(first)).toBe('SERIALIZATION_FAILURE')
      await handle.delete('p1')
    }
  })
})

describe('an aborted write', () => {
  async function lose(write: (tx: Tx) => void): Promise<void> {
    await handle.set('guard', 0)
    const tx = begin()
    tx.update('guard', (value) => value! + 1)
    write(tx)
    await handle.set('guard', 5)
    expect(await refusal(tx)).toMatch(/SERIALIZATION_FAILURE|WRITE_CONFLICT/)
  }

  it('does not show, before vacuum or after', async () => {
    await handle.set('old', 1)
    await lose((tx) => {
      tx.set('new', 9)
      tx.set('old', 9)
    })
    begin().set('rolled back', 9)
    opened.pop()![Symbol.dispose]()
    for (let round = 0; round < 2; round++) {
      expect([...handle.entries()]).toEqual([
        ['guard', 5],
        ['old', 1],
      ])
      expect([handle.get('new'), handle.has('new'), handle.size]).toEqual([undefined, false, 2])
      await db.vacuum()
    }
  })

  it('leaves keys that can be removed and made again', async () => {
    await handle.set('old', 1)
    await lose((tx) => {
      tx.delete('old')
      tx.set('new', 9)
    })
    await db.vacuum()
    expect(await handle.delete('old')).toBe(true)
    expect(await handle.delete('new')).toBe(false)
    await db.vacuum()
    expect([handle.get('old'), handle.get('new')]).toEqual([undefined, undefined])
    await handle.set('old', 2)
    await handle.set('new', 3)
    expect([handle.get('old'), handle.get('new')]).toEqual([2, 3])
    expect(await handle.delete('new')).toBe(true)
  })
})

describe('fractured reads', () => {
  it('two keys written together are read together, whatever reads them', async () => {
    const random = new Random('fractured')
    const setBoth = (value: number) =>
      handle.transaction((tx) => {
        tx.set('a', value)
        tx.set('b', value)
      })
    await setBoth(0)
    const writer = async () => {
      for (let i = 1; i <= runs(300); i++) {
        await setBoth(i)
        if (random.chance(0.1)) await new Promise((resolve) => setImmediate(resolve))
        if (random.chance(0.02)) await db.vacuum()
      }
    }
    const work = { done: false }
    const wait = async () => {
      for (let i = random.int(4); i > 0; i--) await Promise.resolve()
      if (random.chance(0.2)) await new Promise((resolve) => setImmediate(resolve))
    }
    const readers = [true, 'safe' as const, false].map(async (readOnly) => {
      let rounds = 0
      while (!work.done) {
        await handle.transaction(
          async (tx) => {
            const a = tx.get('a')
            await wait()
            expect(tx.get('b')).toBe(a)
            await wait()
            expect([...tx.values()]).toEqual([a, a])
          },
          { readOnly },
        )
        rounds++
      }
      return rounds
    })
    const many = (async () => {
      let rounds = 0
      while (!work.done) {
        const [a, b] = handle.getMany(['a', 'b'])
        expect(b).toBe(a)
        const entries = handle.entries()
        const first = entries.next().value
        await wait()
        expect(entries.next().value?.[1]).toBe(first?.[1])
        entries.return?.()
        rounds++
        await wait()
      }
      return rounds
    })()
    await writer().finally(() => (work.done = true))
    for (const rounds of await Promise.all([...readers, many])) expect(rounds).toBeGreaterThan(10)
  })
})

describe('reads that throw', () => {
  it('no read of any state of a key throws, in any kind of reader', async () => {
    const states = async () => {
      await handle.set('present', 1)
      await handle.set('deleted', 1)
      await handle.delete('deleted')
    }
    await states()
    const held = begin()
    await handle.set('later', 1)
    await handle.delete('present')
    await states()
    for (let round = 0; round < 2; round++) {
      for (const reader of [
        handle,
        held,
        begin({ readOnly: true }),
        begin({ readOnly: 'safe' }),
        begin({ isolation: 'snapshot' }),
      ]) {
        for (const key of ['present', 'deleted', 'later', 'never', '']) {
          expect(reader.has(key)).toBe(reader.get(key) !== undefined)
          expect(reader.getMany([key, key])).toEqual([reader.get(key), reader.get(key)])
          expect([...reader.keys({ gte: key, lte: key })]).toEqual(reader.has(key) ? [key] : [])
        }
        for (const range of [
          {},
          { gt: 'z' },
          { gt: 'b', lt: 'a' },
          { gt: 'a', lt: 'a' },
          { limit: 0 },
          { prefix: 'nope' },
        ]) {
          for (const reverse of [false, true]) {
            const entries = [...reader.entries({ ...range, reverse })]
            expect(reader.count(range)).toBe(entries.length)
          }
        }
      }
      await db.vacuum()
    }
    expect(handle.get('present')).toBe(1)
  })
})

describe('status is not kept for every transaction ever run', () => {
  /** Every number of the statistics that grew by at least `by`, except those that count what has happened. */
  it('the memory of the engine is flat under commits, refusals, rollbacks and readers', async () => {
    const work = async (count: number) => {
      for (let i = 0; i < count; i++) {
        const first = handle.begin()
        const second = handle.begin()
        const reader = handle.begin({ readOnly: true })
        first.update(`k${i % 10}`, () => i)
        second.update(`k${i % 10}`, () => i)
        second.has(`absent${i}`)
        reader.count()
        await first.commit()
        await second.commit().catch(() => {})
        await reader.commit()
        handle.begin().rollback()
      }
    }
    await work(2000)
    await db.vacuum()
    const before = db.memoryUsage()
    await work(20_000)
    await db.vacuum()
    expect(db.memoryUsage() - before).toBeLessThan(100_000)
    const { certifier, garbage, transactions, versions } = db.stats()
    expect([certifier.retained, garbage.pending, transactions.open, versions]).toEqual([0, 0, 0, 10])
  })

  it('the heap is flat too', async () => {
    if (globalThis.gc === undefined) return
    const heap = () => {
      globalThis.gc!()
      return process.memoryUsage().heapUsed
    }
    const work = async (count: number) => {
      for (let i = 0; i < count; i++) {
        const tx = handle.begin()
        tx.get(`missing${i}`)
        tx.set('k', i)
        if (i % 3 === 0) tx.rollback()
        else await tx.commit()
      }
    }
    await work(5000)
    const before = heap()
    await work(50_000)
    expect(heap() - before).toBeLessThan(2_000_000)
  })
})

describe('updates never reclaimed', () => {
  it('a key updated 10^5 times has one version, with no vacuum', async () => {
    for (let i = 0; i < 100_000; i++) void handle.set('k', i)
    await handle.set('k', 7)
    expect(db.stats().versions).toBe(1)
    expect(handle.size).toBe(1)
    expect(await db.vacuum()).toEqual({ versions: 0, keys: 0 })
  })

  it('an open old snapshot costs one version for each changed key, not one for each change', async () => {
    for (let i = 0; i < 100; i++) await handle.set(`k${i}`, -1)
    const old = begin({ readOnly: true })
    expect(old.get('k0')).toBe(-1)
    for (let round = 0; round < 100; round++) for (let i = 0; i < 100; i++) await handle.set(`k${i}`, round)
    expect(db.stats().versions).toBeLessThanOrEqual(200)
    for (let i = 0; i < 100; i++) expect(old.get(`k${i}`)).toBe(-1)
    old.rollback()
    await db.vacuum()
    expect(db.stats().versions).toBe(100)
  })

  it('inserted and deleted keys leave nothing', async () => {
    for (let i = 0; i < 50_000; i++) {
      void handle.set(`k${i}`, i)
      void handle.delete(`k${i}`)
    }
    await db.vacuum()
    expect([handle.size, handle.count(), db.stats().versions]).toEqual([0, 0, 0])
  })
})

describe('growth past capacity', () => {
  it('10^5 keys in a database opened for 16 are all there', async () => {
    const small = await Database.open<string, number>({ maplet: { capacity: 16 } })
    const keys = small.handle()
    for (let i = 0; i < 100_000; i += 1000) {
      await keys.transaction((tx) => {
        for (let j = i; j < i + 1000; j++) tx.set(`k${j}`, j)
      })
    }
    for (let i = 0; i < 100_000; i++) if (keys.get(`k${i}`) !== i) throw new Error(`k${i} is lost`)
    for (let i = 100_000; i < 120_000; i++) if (keys.has(`k${i}`)) throw new Error(`k${i} was never there`)
    expect([keys.size, keys.count()]).toEqual([100_000, 100_000])
    expect((await small.check()).problems).toEqual([])
    await small.close()
  })
})
