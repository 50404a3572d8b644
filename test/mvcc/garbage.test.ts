import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { GarbageQueue } from '../../src/mvcc/garbage.ts'
import { RangeRead } from '../../src/mvcc/predicates.ts'
import { SnapshotSet, type SnapshotSlot } from '../../src/mvcc/snapshots.ts'
import { TableStore } from '../../src/mvcc/store.ts'
import { Summary } from '../../src/mvcc/summary.ts'
import { fcParameters } from '../support/random.ts'
import { makeStore, nodeAt, write } from './fixtures.ts'

interface Place {
  store: TableStore
  snapshots: SnapshotSet
  queue: GarbageQueue
}

function place(): Place {
  const snapshots = new SnapshotSet()
  return { store: makeStore(), snapshots, queue: new GarbageQueue(snapshots, null) }
}

/** Deletes a key as commit `sequence` and queues its tombstone, as the engine does. */
function remove({ store, snapshots, queue }: Place, key: string | number, sequence: number): void {
  const id = write(store, snapshots, key, undefined, sequence)
  queue.addTombstone(store, id, sequence)
}

function close({ snapshots, queue }: Place, slot: SnapshotSlot): void {
  if (snapshots.release(slot)) queue.takeSlot(slot)
}

describe('GarbageQueue: versions', () => {
  it('I1: go when the last snapshot that sees them closes, and not before', () => {
    const at = place()
    const { store, snapshots, queue } = at
    write(store, snapshots, 'k', 1, 1)
    const [first, second] = [snapshots.acquire(1), snapshots.acquire(1)]
    write(store, snapshots, 'k', 2, 2)
    expect(queue.drain(Infinity, 2)).toBe(0)
    close(at, first)
    queue.drain(Infinity, 2)
    expect(store.versions).toBe(1)
    close(at, second)
    expect(queue.pending(2)).toBe(1)
    queue.drain(Infinity, 2)
    expect([store.versions, queue.counters.versions, queue.pending(2)]).toEqual([0, 1, 0])
    expect(store.metaOf(store.find('k'))).toBeUndefined()
  })

  it('I1: move on to an older snapshot that sees them too', () => {
    const at = place()
    const { store, snapshots, queue } = at
    write(store, snapshots, 'k', 1, 1)
    const old = snapshots.acquire(3)
    const newer = snapshots.acquire(7)
    write(store, snapshots, 'k', 2, 9)
    close(at, newer)
    queue.drain(Infinity, 9)
    expect(store.valueAt(store.find('k'), 3)).toBe(1)
    close(at, old)
    queue.drain(Infinity, 9)
    expect(store.versions).toBe(0)
  })

  it('I1, I2: whatever is written, opened, closed and drained, every open snapshot sees its state and nothing more is kept', () => {
    const step = fc.record({
      op: fc.constantFrom('set', 'set', 'delete', 'open', 'close', 'drain'),
      key: fc.nat({ max: 4 }),
      n: fc.nat({ max: 30 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 90, size: 'max' }), (steps) => {
        const at = place()
        const { store, snapshots, queue } = at
        let now = new Map<number, number>()
        const held: { slot: SnapshotSlot; state: Map<number, number> }[] = []
        let clock = 0
        for (const { op, key, n } of steps) {
          if (op === 'set') {
            write(store, snapshots, key, n, ++clock)
            now = new Map(now).set(key, n)
          } else if (op === 'delete' && now.has(key)) {
            remove(at, key, ++clock)
            now = new Map(now)
            now.delete(key)
          } else if (op === 'open') held.push({ slot: snapshots.acquire(clock), state: now })
          else if (op === 'close' && held.length > 0)
            close(at, (held.splice(n % held.length, 1)[0] as (typeof held)[number]).slot)
          else queue.drain(n % 4, clock)
          for (const { slot, state } of held) {
            for (let k = 0; k <= 4; k++) {
              const id = store.find(k)
              expect(id < 0 ? undefined : store.valueAt(id, slot.sequence)).toBe(state.get(k))
            }
          }
          store.check(clock, snapshots)
        }
        for (const { slot } of held) close(at, slot)
        queue.drain(Infinity, clock)
        expect([store.versions, store.entries, queue.pending(clock)]).toEqual([0, now.size, 0])
      }),
      fcParameters(60),
    )
  })
})

describe('GarbageQueue: tombstones', () => {
  it('I2: wait for the safe point', () => {
    const at = place()
    write(at.store, at.snapshots, 'k', 1, 1)
    remove(at, 'k', 5)
    expect(at.queue.pending(4)).toBe(0)
    expect(at.queue.drain(Infinity, 4)).toBe(0)
    expect(at.store.find('k')).toBeGreaterThanOrEqual(0)
    expect(at.queue.pending(5)).toBe(1)
    at.queue.drain(Infinity, 5)
    expect([at.store.find('k'), at.queue.counters.keys]).toEqual([-1, 1])
  })

  it('I2: wait for their chain', () => {
    const at = place()
    write(at.store, at.snapshots, 'k', 1, 1)
    const slot = at.snapshots.acquire(1)
    remove(at, 'k', 2)
    at.queue.drain(Infinity, 2)
    expect(at.store.valueAt(at.store.find('k'), 1)).toBe(1)
    close(at, slot)
    at.queue.drain(Infinity, 2)
    expect(at.store.find('k')).toBe(-1)
  })

  it('are left alone when the key has come back', () => {
    const at = place()
    write(at.store, at.snapshots, 'k', 1, 1)
    remove(at, 'k', 2)
    write(at.store, at.snapshots, 'k', 3, 3)
    at.queue.drain(Infinity, 3)
    expect(at.store.get('k')).toBe(3)
    remove(at, 'k', 4)
    write(at.store, at.snapshots, 'k', 5, 5)
    remove(at, 'k', 6)
    at.queue.drain(Infinity, 5)
    expect(at.store.find('k')).toBeGreaterThanOrEqual(0)
    at.queue.drain(Infinity, 6)
    expect(at.store.find('k')).toBe(-1)
  })

  it('do not take away an entry that now belongs to another key', () => {
    const at = place()
    write(at.store, at.snapshots, 'old', 1, 1)
    remove(at, 'old', 2)
    at.queue.addTombstone(at.store, at.store.find('old'), 2)
    at.queue.drain(1, 2)
    write(at.store, at.snapshots, 'new', 3, 3)
    remove(at, 'new', 4)
    write(at.store, at.snapshots, 'new', 5, 5)
    at.queue.drain(Infinity, 5)
    expect(at.store.get('new')).toBe(5)
    at.store.check(5, at.snapshots)
  })
})

describe('GarbageQueue: draining', () => {
  it('I3: looks at as many items as it is told, and goes on where it stopped', () => {
    const at = place()
    for (let i = 0; i < 5000; i++) write(at.store, at.snapshots, i, i, i + 1)
    for (let i = 0; i < 5000; i++) remove(at, i, 5001 + i)
    expect(at.queue.pending(10_000)).toBe(5000)
    expect(at.queue.drain(7, 10_000)).toBe(7)
    expect([at.queue.pending(10_000), at.store.entries]).toEqual([4993, 4993])
    let drains = 0
    while (at.queue.drain(100, 10_000) > 0) drains++
    expect(drains).toBe(50)
    expect(at.store.entries).toBe(0)
  })

  it('I3: stops at the first tombstone that is not ripe: they wait in commit order', () => {
    const at = place()
    for (let i = 0; i < 10; i++) write(at.store, at.snapshots, i, i, i + 1)
    for (let i = 0; i < 10; i++) remove(at, i, 11 + i)
    expect(at.queue.drain(Infinity, 14)).toBe(4)
    expect(at.store.entries).toBe(6)
  })
})

describe('GarbageQueue: what dropped nodes leave behind', () => {
  it('is tidied: marks on values, on existence, on absence, of ranges', () => {
    const { store, snapshots, queue } = place()
    const [gone, stays] = [nodeAt(3), nodeAt(4)]
    const id = write(store, snapshots, 'k', 1, 1)
    const meta = store.needMeta(id)
    meta.readers = [gone, stays]
    meta.existenceReaders = [gone]
    gone.metas.push(meta)
    store.absentReaders.set('a', [gone, stays]).set('b', [gone])
    gone.absentMarks = [
      { store, key: 'a' },
      { store, key: 'b' },
    ]
    const range = new RangeRead(store, 'value', undefined, false, undefined, false)
    store.rangeMarks = [
      { node: gone, range },
      { node: stays, range },
    ]
    gone.ranges = [range]
    gone.dropped = true
    queue.addDropped([gone])
    expect(queue.pending(9)).toBe(1)
    queue.drain(Infinity, 9)
    expect(meta.readers).toEqual([stays])
    expect(meta.existenceReaders).toBeNull()
    expect(store.metaOf(id)).toBe(meta)
    expect(store.absentReaders.get('a')).toEqual([stays])
    expect(store.absentReaders.has('b')).toBe(false)
    expect(store.rangeMarks.map(({ node }) => node)).toEqual([stays])
    stays.metas.push(meta)
    stays.absentMarks = [{ store, key: 'a' }]
    stays.ranges = [range]
    stays.dropped = true
    queue.addDropped([stays])
    queue.drain(Infinity, 9)
    expect(store.metaOf(id)).toBeUndefined()
    expect([store.absentReaders.size, store.rangeMarks.length]).toEqual([0, 0])
  })

  it('lets a tombstone go that a deleter of nothing held', () => {
    const { store, snapshots, queue } = place()
    const deleter = nodeAt(2)
    const id = store.create('k')
    const meta = store.needMeta(id)
    meta.idleDeleters = [deleter]
    deleter.metas.push(meta)
    queue.addTombstone(store, id, 0)
    queue.drain(Infinity, 9)
    expect(store.find('k')).toBe(id)
    deleter.dropped = true
    queue.addDropped([deleter])
    queue.drain(Infinity, 9)
    expect(store.find('k')).toBe(-1)
    store.check(9, snapshots)
  })
})

describe('Summary', () => {
  it('I1: turns every mark of a node into a stamp that is not below its commit', () => {
    const { store, snapshots, queue } = place()
    const summary = new Summary()
    const [early, late] = [nodeAt(3), nodeAt(5)]
    const id = write(store, snapshots, 'k', 1, 1)
    const meta = store.needMeta(id)
    meta.readers = [early, late]
    meta.existenceReaders = [late]
    const deleted = store.needMeta(store.create('d'))
    deleted.idleDeleters = [late]
    early.metas.push(meta)
    late.metas.push(meta, deleted)
    store.absentReaders.set('a', [late])
    late.absentMarks = [{ store, key: 'a' }]
    for (const node of [early, late]) {
      node.summarised = true
      summary.absorb(node)
      expect(meta.readStamp).toBe(node.commit)
    }
    expect([meta.readers, meta.existenceReaders, deleted.idleDeleters]).toEqual([null, null, null])
    expect([meta.existenceReadStamp, deleted.readStamp, store.coverStamp]).toEqual([5, 5, 5])
    expect(store.absentReaders.size).toBe(0)
    queue.addStamped(summary.clear(), 5)
    expect(store.coverStamp).toBe(0)
    queue.drain(Infinity, 9)
    expect([meta.readStamp, meta.existenceReadStamp, deleted.readStamp]).toEqual([0, 0, 0])
    expect(store.metaOf(id)).toBeUndefined()
    expect(store.find('d')).toBe(-1)
    expect(queue.pending(9)).toBe(0)
  })
})
