/** A maplet of fixed size: a commit beyond it fails beforehand. */
import { describe, expect, it } from 'vitest'

import { table, type Transaction } from '../../src/index.ts'
import { contents, failure, open, refusal } from './fixtures.ts'

const fixed = { maplet: { capacity: 100, autoResize: false } }

/** Fills a database until it takes no more; how many keys it took. */
async function fill(db: ReturnType<typeof open<number, number>>): Promise<number> {
  const handle = db.handle()
  for (let i = 0; i < 10_000; i++) {
    const error = await handle.set(i, i).then(
      () => undefined,
      (reason: unknown) => reason as { code: string },
    )
    if (error === undefined) continue
    expect(error.code).toBe('CAPACITY_EXCEEDED')
    return i
  }
  return expect.unreachable('it took everything')
}

describe('maplet.autoResize: false', () => {
  it('takes at least its capacity, and not much more', async () => {
    const taken = await fill(open<number>(fixed))
    expect(taken).toBeGreaterThanOrEqual(100)
    expect(taken).toBeLessThanOrEqual(200)
  })

  it('refuses what is beyond it before anything has changed', async () => {
    const db = open<number>(fixed)
    const handle = db.handle()
    const taken = await fill(db)
    const before = contents(handle)
    const { sequence } = db
    const writes: ((tx: Transaction<number, number>) => unknown)[] = [
      (tx) => tx.set(-1, 0),
      (tx) => {
        tx.set(0, 99)
        tx.delete(1)
        tx.set(-1, 0)
        tx.set(-2, 0)
      },
      (tx) => tx.table(table<number, number>('other')).set(1, 1) ?? tx.set(-1, 0),
      (tx) => tx.getOrInsert(-1, 0),
      (tx) => tx.swap(-1, 0),
      (tx) => {
        for (let i = 0; i < 1000; i++) tx.set(-i, 0)
      },
    ]
    for (const write of writes) {
      const error = await failure(() => handle.transaction(write))
      expect(error.code).toBe('CAPACITY_EXCEEDED')
      expect(error.message).toMatch(/default/)
      expect(error.message).toMatch(/autoResize/)
    }
    const begun = handle.begin()
    begun.set(-1, 0)
    expect(await refusal(() => begun.commit())).toBe('CAPACITY_EXCEEDED')
    expect(await refusal(() => begun.commit())).toBe('TRANSACTION_CLOSED')
    expect(await refusal(() => handle.update(-1, () => 1))).toBe('CAPACITY_EXCEEDED')
    expect([contents(handle), handle.size, db.sequence]).toEqual([before, taken, sequence])
    expect(db.handle(table<number, number>('other')).size).toBe(0)
    expect(db.stats().transactions.open).toBe(0)
  })

  it('still takes everything that makes no new key', async () => {
    const db = open<number>(fixed)
    const handle = db.handle()
    const taken = await fill(db)
    await handle.set(0, 5)
    await handle.update(1, (n) => (n as number) + 10)
    await handle.transaction((tx) => {
      for (let i = 0; i < taken; i++) tx.set(i, -i)
    })
    expect(handle.get(5)).toBe(-5)
    expect(await handle.delete(-99)).toBe(false)
    expect(await handle.compareAndSet(-99, 1, 2)).toBe(false)
  })

  it('takes new keys again once old ones are gone', async () => {
    const db = open<number>(fixed)
    const handle = db.handle()
    const taken = await fill(db)
    for (let i = 0; i < 10; i++) await handle.delete(i)
    for (let i = 0; i < 10; i++) await handle.set(-1 - i, 0)
    expect(handle.size).toBe(taken)
    expect(await refusal(() => handle.set(-99, 0))).toBe('CAPACITY_EXCEEDED')
  })

  it('holds for each table by itself', async () => {
    const db = open<number>(fixed)
    await fill(db)
    const other = db.handle(table<number, number>('other'))
    for (let i = 0; i < 100; i++) await other.set(i, i)
    expect(other.size).toBe(100)
  })
})

describe('maplet.capacity with autoResize', () => {
  it('limits nothing', async () => {
    const db = open<number>({ maplet: { capacity: 10 } })
    await db.handle().transaction((tx) => {
      for (let i = 0; i < 5000; i++) tx.set(i, i)
    })
    expect(db.handle().size).toBe(5000)
    for (let i = 0; i < 5000; i++) expect(db.handle().get(i)).toBe(i)
  })
})
