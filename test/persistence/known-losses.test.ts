/** Losses that stores of this kind are known for, each by name. */
import { describe, expect, it } from 'vitest'
import { codecs, table } from '../../src/index.ts'
import { Directory } from './directory.ts'

/** As toEqual, which takes seconds for a megabyte. */
const isEqual = (found: Uint8Array | undefined, wanted: Uint8Array): boolean =>
  found !== undefined && Buffer.compare(found, wanted) === 0

const SMALL = { wal: { segmentBytes: 64 * 1024 } }

describe.each(['full', 'relaxed'] as const)("in '%s'", (durability) => {
  it('acknowledged keys missing after a clean close', async () => {
    using place = new Directory()
    await place.session(
      async (db) => {
        const handle = db.handle()
        for (let i = 0; i < 100; i++) await handle.set(`one ${i}`, i)
        await Promise.all(Array.from({ length: 1000 }, (_, i) => handle.set(`many ${i}`, i)))
        await handle.transaction((tx) => {
          for (let i = 0; i < 1000; i++) tx.set(`together ${i}`, i)
        })
        handle.transactionSync((tx) => tx.set('last', true))
      },
      { durability, ...SMALL },
    )
    await place.session((db) => {
      const handle = db.handle()
      expect(handle.size).toBe(2101)
      for (let i = 0; i < 100; i++) expect(handle.get(`one ${i}`)).toBe(i)
      for (let i = 0; i < 1000; i++) expect(handle.get(`many ${i}`)).toBe(i)
      for (let i = 0; i < 1000; i++) expect(handle.get(`together ${i}`)).toBe(i)
      expect(handle.get('last')).toBe(true)
    })
  })

  it('commits that nobody awaited missing after a close', async () => {
    using place = new Directory()
    await place.session(
      (db) => {
        for (let i = 0; i < 500; i++) void db.handle().set(i, i)
      },
      { durability },
    )
    await place.session((db) => expect([...db.handle().keys()]).toEqual(Array.from({ length: 500 }, (_, i) => i)))
  })

  it('everything gone in the third session', async () => {
    using place = new Directory()
    await place.session((db) => db.handle().set('first', 1), { durability })
    await place.session((db) => expect(db.handle().get('first')).toBe(1), { durability })
    await place.session((db) => expect([...db.handle().entries()]).toEqual([['first', 1]]), { durability })
    await place.session((db) => db.handle().set('fourth', 4), { durability })
    await place.session((db) => {
      expect([...db.handle().entries()]).toEqual([
        ['first', 1],
        ['fourth', 4],
      ])
    })
  })

  it('deletes undone by reopening', async () => {
    using place = new Directory()
    const options = { durability, ...SMALL }
    const fill = (value: string): Promise<void> =>
      place.session(async (db) => {
        await db.handle().transaction((tx) => {
          for (let i = 0; i < 3000; i++) tx.set(i, value)
        })
        await db.checkpoint()
      }, options)
    await fill('old')
    await fill('older by one run')
    await place.session(async (db) => {
      await db.handle().transaction((tx) => {
        for (let i = 0; i < 3000; i += 2) expect(tx.delete(i)).toBe(true)
      })
    }, options)
    const odd = Array.from({ length: 1500 }, (_, i) => 2 * i + 1)
    const check = (): Promise<void> =>
      place.session((db) => {
        for (let i = 0; i < 3000; i += 2) expect(db.handle().get(i)).toBeUndefined()
        expect(db.handle().size).toBe(1500)
        expect([...db.handle().keys()]).toEqual(odd)
        expect([...db.handle().keys({ reverse: true })]).toEqual([...odd].reverse())
      }, options)
    await check()
    await place.session((db) => db.checkpoint(), options)
    await check()
    await place.session((db) => db.compact(), options)
    await check()
    await place.session(async (db) => {
      await db.vacuum()
      for (let i = 1; i < 3000; i += 2) expect(await db.handle().delete(i)).toBe(true)
      expect(await db.handle().delete(0)).toBe(false)
      await db.checkpoint()
      await db.handle().set(0, 'again')
      await db.compact()
    }, options)
    await place.session((db) => expect([...db.handle().entries()]).toEqual([[0, 'again']]), options)
  })

  it('parallel commits written to one log offset', async () => {
    using place = new Directory()
    const value = (client: number, i: number): string => `${client}-${i}-`.repeat((client * 7 + i * 13) % 90)
    await place.session(
      async (db) => {
        const clients = Array.from({ length: 64 }, async (_, client) => {
          for (let i = 0; i < 20; i++) {
            if (client === 0) db.handle().transactionSync((tx) => tx.set([client, i], value(client, i)))
            else await db.handle().transaction((tx) => tx.set([client, i], value(client, i)))
          }
        })
        await Promise.all(clients)
      },
      { durability, ...SMALL },
    )
    await place.session((db) => {
      expect(db.handle().size).toBe(64 * 20)
      for (const [key, stored] of db.handle().entries()) expect(stored).toBe(value(...(key as [number, number])))
    })
  })

  it('a transaction larger than a segment that never returns', async () => {
    using place = new Directory()
    const blobs = table<string, Uint8Array>('blobs', { value: codecs.bytes() })
    const bytes = (seed: number, length: number): Uint8Array => new Uint8Array(length).map((_, i) => (i * seed) % 251)
    await place.session(
      async (db) => {
        await db.handle().set('before', 1)
        await db.handle(blobs).transaction((tx) => {
          for (let i = 1; i <= 40; i++) tx.set(`part ${i}`, bytes(i, 10_000))
        })
        await db.handle(blobs).set('whole', bytes(7, 1_000_000))
        db.handle(blobs).transactionSync((tx) => tx.set('sync', bytes(11, 300_000)))
        await db.handle().set('after', 2)
      },
      { durability, ...SMALL },
    )
    await place.session(async (db) => {
      expect([...db.handle().keys()]).toEqual(['after', 'before'])
      for (let i = 1; i <= 40; i++) expect(isEqual(db.handle(blobs).get(`part ${i}`), bytes(i, 10_000))).toBe(true)
      expect(isEqual(db.handle(blobs).get('whole'), bytes(7, 1_000_000))).toBe(true)
      expect(isEqual(db.handle(blobs).get('sync'), bytes(11, 300_000))).toBe(true)
      await db.checkpoint()
    })
    await place.session((db) => expect(isEqual(db.handle(blobs).get('whole'), bytes(7, 1_000_000))).toBe(true))
  })

  it('a close that never returns', async () => {
    using place = new Directory()
    for (let round = 0; round < 5; round++) {
      const db = await place.open({ durability, ...SMALL })
      const pending: Promise<unknown>[] = []
      for (let i = 0; i < 200; i++) pending.push(db.handle().set([round, i], 'x'.repeat(500)))
      const transaction = db.handle().begin()
      transaction.set([round, 'open'], 1)
      const snapshot = db.snapshot()
      const iterator = db.handle().entries()
      iterator.next()
      if (round % 2 === 0)
        pending.push(db.checkpoint(), db.compact(), db.flush(), db.backup(`${place.root}/backup-${round}`))
      const settled = Promise.allSettled(pending)
      await Promise.all([db.close(), db.close()])
      await settled
      expect(() => snapshot.get(0)).toThrow(expect.objectContaining({ code: 'CLOSED' }))
    }
    await place.session((db) => expect(db.handle().count()).toBe(5 * 200))
  })

  it('an index or filter not rebuilt at reopening that denies stored keys', async () => {
    using place = new Directory()
    const options = { durability, maplet: { falsePositiveRate: 0.01 } }
    await place.session(async (db) => {
      for (let part = 0; part < 4; part++) {
        await db.handle().transaction((tx) => {
          for (let i = 0; i < 5000; i++) tx.set(`key ${part * 5000 + i}`, i)
        })
        await db.checkpoint()
      }
    }, options)
    await place.session((db) => {
      const handle = db.handle()
      for (let i = 0; i < 20_000; i++) if (handle.get(`key ${i}`) !== i % 5000) expect.fail(`key ${i} is denied`)
      for (let i = 0; i < 5000; i++) if (handle.has(`no key ${i}`)) expect.fail(`no key ${i} is there`)
    }, options)
    await place.session(async (db) => {
      await db.handle().transaction((tx) => {
        for (let i = 0; i < 20_000; i += 3) if (!tx.has(`key ${i}`)) expect.fail(`key ${i} is denied`)
      })
    }, options)
  })

  it('a store half empty after growth and reopening', async () => {
    using place = new Directory()
    let count = 0
    for (const growth of [10, 1000, 1, 30_000, 5]) {
      await place.session(
        async (db) => {
          expect(db.handle().size).toBe(count)
          await db.handle().transaction((tx) => {
            for (let i = 0; i < growth; i++) tx.set(count + i, `value ${count + i}`)
          })
          if (growth > 500) await db.checkpoint()
        },
        { durability },
      )
      count += growth
      await place.session((db) => {
        expect(db.handle().size).toBe(count)
        let next = 0
        for (const [key, value] of db.handle().entries()) {
          if (key !== next || value !== `value ${next}`) expect.fail(`${String(key)} stands where ${next} should`)
          next++
        }
        expect(next).toBe(count)
      })
    }
    await place.session(async (db) => {
      await db.compact()
      expect(db.handle().count()).toBe(count)
    })
    await place.session((db) => expect(db.handle().count()).toBe(count))
  })
})
