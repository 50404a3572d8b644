/** What the database does by itself in a process in which nothing else happens: slices do not wait for others to turn the event loop. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'

import { open } from './fixtures.ts'

/** Waits until something holds, with far fewer looks at it, each a turn of the event loop, than the work has slices. */
async function withoutTurns(holds: () => boolean): Promise<void> {
  for (let pauseMs = 250; !holds() && pauseMs < 60_000; pauseMs *= 2) await sleep(pauseMs)
}

it('the sweeper reclaims all that has expired (S4)', async () => {
  const db = open<number>({ ttl: { sweepIntervalMs: 10 } })
  const handle = db.handle()
  await handle.transaction((tx) => {
    for (let i = 0; i < 30_000; i++) tx.set(i, i, { ttlMs: 1 })
  })
  await withoutTurns(() => handle.size === 0)
  expect(handle.size).toBe(0)
})

it('what a snapshot kept goes once it is closed', async () => {
  const db = open<number>()
  const handle = db.handle()
  const write = (value: number): Promise<void> =>
    handle.transaction((tx) => {
      for (let i = 0; i < 100_000; i++) tx.set(i, value)
    })
  await write(1)
  const snapshot = db.snapshot()
  await write(2)
  expect(db.stats().garbage.chained).toBe(100_000)
  snapshot.close()
  await withoutTurns(() => db.stats().garbage.pending === 0)
  expect(db.stats().garbage).toMatchObject({ pending: 0, chained: 0 })
})
