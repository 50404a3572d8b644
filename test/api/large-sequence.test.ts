/** The commit clock beyond 31 and 32 bits and near 2^53: the same kinds of work, the same answers. */
import { describe, expect, it } from 'vitest'

import { type Database, merges, table } from '../../src/index.ts'
import { Random } from '../support/random.ts'
import { collectGarbage, contents, open, refusal, thrown, turn } from './fixtures.ts'

const sums = table<string, number>('sums', { merge: merges.sum })

/** How far below the boundary the clock starts, so that every scenario crosses it. */
const STARTS: readonly { name: string; first: number }[] = [
  { name: '2^31 - 5', first: 2 ** 31 - 5 },
  { name: '2^32 - 5', first: 2 ** 32 - 5 },
  { name: '2^53 - 10^6', first: 2 ** 53 - 10 ** 6 },
]

describe.each(STARTS)('from $name', ({ first }) => {
  const start = (): Database<string, number> => open({}, { firstSequence: first })

  it('counts commits one by one', async () => {
    const db = start()
    expect(db.sequence).toBe(first)
    const seen: number[] = []
    db.on('commit', ({ sequence }) => seen.push(sequence))
    for (let i = 1; i <= 12; i++) {
      await db.handle().set('k', i)
      expect(db.sequence).toBe(first + i)
    }
    await turn()
    expect(seen).toEqual(Array.from({ length: 12 }, (_, i) => first + i + 1))
    expect(db.stats().sequence).toBe(first + 12)
  })

  it('keeps every snapshot apart on both sides of the boundary', async () => {
    const db = start()
    const handle = db.handle()
    const held = []
    for (let i = 0; i < 12; i++) {
      await handle.set('k', i)
      if (i % 4 === 3) await handle.delete('d')
      else await handle.set('d', i)
      held.push({ snapshot: db.snapshot(), tx: handle.begin(), iterator: handle.entries(), i })
    }
    await handle.clear()
    await db.vacuum()
    for (const { snapshot, tx, iterator, i } of held) {
      expect(snapshot.sequence).toBe(first + 2 * i + 2)
      expect(tx.sequence).toBe(snapshot.sequence)
      const expected =
        i % 4 === 3
          ? [['k', i]]
          : [
              ['d', i],
              ['k', i],
            ]
      expect(contents(snapshot)).toEqual(expected)
      expect(contents(tx)).toEqual(expected)
      expect([...iterator]).toEqual(expected)
      expect(snapshot.size).toBe(expected.length)
    }
    for (const { snapshot, tx } of held) {
      snapshot.close()
      tx.rollback()
    }
    await db.vacuum()
    expect(db.stats().versions).toBe(0)
  })

  it('refuses write skew, lost updates and phantoms across the boundary', async () => {
    for (let offset = 0; offset < 8; offset++) {
      const db = open({}, { firstSequence: first + offset })
      const handle = db.handle()
      await handle.set('x', 1)
      await handle.set('y', 1)
      const [a, b] = [handle.begin(), handle.begin()]
      a.get('x')
      b.get('y')
      a.set('y', 2)
      b.set('x', 2)
      await a.commit()
      expect(await refusal(() => b.commit())).toBe('SERIALIZATION_FAILURE')
      const [c, d] = [handle.begin(), handle.begin()]
      for (const tx of [c, d]) tx.set('x', (tx.get('x') as number) + 1)
      await c.commit()
      expect(await refusal(() => d.commit())).toBe('WRITE_CONFLICT')
      const [e, f] = [handle.begin(), handle.begin()]
      e.count({ prefix: 'new' })
      f.count({ prefix: 'new' })
      e.set('new e', 1)
      f.set('new f', 1)
      await e.commit()
      expect(await refusal(() => f.commit())).toBe('SERIALIZATION_FAILURE')
      const g = handle.begin({ isolation: 'snapshot' })
      await handle.set('x', 50)
      g.set('x', 51)
      expect(await refusal(() => g.commit())).toBe('WRITE_CONFLICT')
    }
  })

  it('lets through what has an order: blind writes, disjoint updates, merges', async () => {
    const db = start()
    const transactions = Array.from({ length: 20 }, () => db.handle().begin())
    transactions.forEach((tx, i) => {
      tx.set(`own ${i}`, i)
      tx.set('shared', i)
      tx.table(sums).merge('n', 1)
    })
    for (const tx of transactions) await tx.commit()
    expect(db.handle(sums).get('n')).toBe(20)
    expect(db.handle().get('shared')).toBe(19)
    expect(db.stats().transactions.conflicts).toBe(0)
  })

  it('keeps safe readers safe, and moves their snapshot on', async () => {
    const db = start()
    const handle = db.handle()
    await handle.set('k', 0)
    for (let i = 1; i <= 12; i++) {
      const update = handle.begin()
      update.set('k', (update.get('k') as number) + 1)
      const safe = handle.begin({ readOnly: 'safe' })
      expect(safe.sequence).toBeLessThanOrEqual(db.sequence)
      expect(safe.sequence).toBeGreaterThanOrEqual(first)
      await update.commit()
      await safe.commit()
    }
    expect(await handle.transaction((tx) => [tx.get('k'), tx.sequence], { readOnly: 'safe' })).toEqual([12, first + 13])
  })

  it('rolls back, merges, takes savepoints and expires as anywhere else', async () => {
    let now = 0
    const db = open({ maxSnapshotAgeMs: 100 }, { firstSequence: first, now: () => now })
    const handle = db.handle()
    for (let i = 0; i < 10; i++) {
      await handle.transaction((tx) => {
        tx.set('a', i)
        const savepoint = tx.savepoint()
        tx.set('a', -1)
        tx.set('b', -1)
        tx.rollbackTo(savepoint)
      })
      await handle.transaction((tx) => {
        tx.set('a', -2)
        tx.rollback()
      })
      expect(contents(handle)).toEqual([['a', i]])
    }
    const snapshot = db.snapshot()
    await handle.set('a', 99)
    now = 101
    handle.begin().rollback()
    expect(thrown(() => snapshot.get('a'))).toBe('SNAPSHOT_TOO_OLD')
  })

  it('cleans up: nothing is left of ten thousand commits', async () => {
    const db = open<number>({}, { firstSequence: first })
    const handle = db.handle()
    const random = new Random(`work from ${first}`)
    const model = new Map<number, number>()
    const held: { close(): void }[] = []
    for (let i = 0; i < 10_000; i++) {
      const key = random.int(200)
      if (random.chance(0.6)) {
        void handle.set(key, i)
        model.set(key, i)
      } else {
        void handle.delete(key)
        model.delete(key)
      }
      if (random.chance(0.02)) held.push(db.snapshot())
      if (random.chance(0.02)) held.splice(random.int(held.length), 1)[0]?.close()
      if (random.chance(0.01)) await turn()
    }
    expect(contents(handle)).toEqual([...model].toSorted(([a], [b]) => a - b))
    for (const snapshot of held) snapshot.close()
    await db.vacuum()
    expect(db.stats().versions).toBe(model.size)
  })

  it('summarises a full graph, and still refuses what it must', async () => {
    const db = open({}, { firstSequence: first, graphCap: 3 })
    const handle = db.handle()
    await handle.set('x', 1)
    await handle.set('y', 1)
    const idle = handle.begin()
    idle.get('x')
    for (let i = 0; i < 20; i++) {
      const tx = handle.begin()
      tx.get('y')
      tx.set(i % 2 === 0 ? 'x' : `z${i}`, i)
      await tx.commit()
    }
    idle.set('y', 2)
    expect(await refusal(() => idle.commit())).toBe('SERIALIZATION_FAILURE')
    expect(db.stats().certifier.summarised).toBeGreaterThan(10)
    await collectGarbage()
    expect(db.stats().certifier.retained).toBe(0)
  })
})
