/** Values outside of the heap under a limit: what evictions leave free between them does not pass it unseen. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'

import { codecs, Database, type EvictionName, keys, table } from '../../src/index.ts'

const LIMIT = 4_000_000
const SIZES = [100, 1000, 100, 300, 5000, 60_000, 30_000, 100]
const blobs = table('blobs', { key: keys.float64(), value: codecs.bytes() })

/** Fills the limit with values of one size after the other, without a turn of the event loop in between. */
async function fillInTurn(db: Database<never, never>, at: (bytes: number) => void): Promise<void> {
  const handle = db.handle(blobs)
  let key = 0
  for (const size of SIZES) {
    const value = new Uint8Array(size)
    for (let i = 0; i < (0.9 * LIMIT) / size; i++) {
      await handle.set(key++, value)
      if (i % 500 === 0) at(db.memoryUsage())
    }
    at(db.memoryUsage())
  }
}

it.each(['lru', 's3fifo'] satisfies EvictionName[])('in memory, %s', async (eviction) => {
  await using db = await Database.open<never, never>({ maxMemoryBytes: LIMIT, eviction })
  let most = 0
  await fillInTurn(db, (bytes) => (most = Math.max(most, bytes)))
  // A sixteenth for free places; the rest are columns and marks of the policy from when there were many small entries.
  expect(most).toBeLessThan(1.65 * LIMIT)
  expect((await db.check()).problems).toEqual([])
})

it('on disk', async () => {
  const path = join(mkdtempSync(join(tmpdir(), 'varve-')), 'db')
  {
    await using db = await Database.open<never, never>({ path, durability: 'relaxed', maxMemoryBytes: LIMIT })
    let most = 0
    await fillInTurn(db, (bytes) => (most = Math.max(most, bytes)))
    expect(most).toBeLessThan(1.65 * LIMIT)
    expect((await db.check()).problems).toEqual([])
  }
  rmSync(path, { recursive: true })
})
