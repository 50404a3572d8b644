/** A limit of memory on a disk that is full: commits that wait for a checkpoint are told, and all goes on once there is room. */
import { expect, it, onTestFinished } from 'vitest'

import { openWith } from '../../src/database.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { failure } from '../api/fixtures.ts'

it('refuses a commit that waits for a checkpoint with what keeps that from being made, and takes it when there is room', async () => {
  const storage = new SimulatedStorage({ seed: 5, capacityBytes: 3.2 * 2 ** 20 })
  const db = await openWith<string, string>(
    { path: '/db', durability: 'relaxed', maxMemoryBytes: 100_000, wal: { segmentBytes: 2 ** 20 } },
    { storage, background: 'inline' },
  )
  onTestFinished(() => db.close())
  await db.handle().set('first', 'x')
  let written = 0
  const write = async (): Promise<void> => {
    for (; written < 1000; written++) await db.handle().set(`key ${written}`, 'x'.repeat(1000))
  }
  expect(await failure(write)).toMatchObject({ code: 'IO', message: expect.stringContaining('ENOSPC') as string })
  expect(written).toBeGreaterThan(10)
  // What the attempt gave back is not left for a later one.
  storage.capacityBytes = storage.usedBytes
  expect(db.handle().has(`key ${written}`)).toBe(false)
  const inTransaction = (): Promise<void> => db.handle().transaction((tx) => tx.set('t', 'x'))
  expect(await failure(inTransaction)).toMatchObject({ code: 'IO' })
  const begun = db.handle().begin()
  begun.set('b', 'x')
  expect(await failure(() => begun.commit())).toMatchObject({ code: 'IO' })
  expect(db.handle().get('first')).toBe('x')

  storage.capacityBytes = Infinity
  await write()
  await inTransaction()
  expect(db.handle().size).toBe(1002)
  expect((await db.check()).problems).toEqual([])
})
