/** Values outside of the heap: who has which handle, when it is given up, and that nobody reads what is not his (O1, O2). */
import { describe, expect, it } from 'vitest'
import { codecs, residentOf } from '../../src/codecs/index.ts'
import { admitKey, ALL } from '../../src/keys/index.ts'
import { type MergeOperator } from '../../src/maplet/index.ts'
import { Conflict } from '../../src/mvcc/conflict.ts'
import { Engine } from '../../src/mvcc/engine.ts'
import type { TableStore } from '../../src/mvcc/store.ts'
import type { Txn } from '../../src/mvcc/transaction.ts'
import { DELETE, SET } from '../../src/mvcc/write-set.ts'
import { makeEngine, specOf } from './fixtures.ts'

const append: MergeOperator<Uint8Array, Uint8Array> = {
  identity: new Uint8Array(0),
  merge: (value, operand) => Uint8Array.of(...value, ...operand),
  commutative: false,
}

class World {
  readonly engine: Engine = makeEngine().engine
  readonly store: TableStore = this.engine.addTable(
    { ...specOf('blobs', append, 2), resident: residentOf(codecs.bytes()) as never },
    null,
  )

  get arena(): NonNullable<TableStore['offHeap']>['arena'] {
    return this.store.offHeap!.arena
  }

  set(key: string, ...bytes: number[]): void {
    const value = this.store.admit(Uint8Array.from(bytes))
    this.engine.writeOne(this.store, admitKey(key), SET, value, 10)
  }

  delete(key: string): void {
    this.engine.writeOne(this.store, admitKey(key), DELETE, undefined, 0)
  }

  show(stored: unknown): readonly number[] | undefined {
    return stored === undefined ? undefined : [...(this.store.spec.resident.release(stored) as Uint8Array)]
  }

  get(key: string): readonly number[] | undefined {
    return this.show(this.store.get(admitKey(key)))
  }

  seen(txn: Txn, key: string): readonly number[] | undefined {
    return this.show(txn.view(this.store).get(admitKey(key)))
  }

  async drain(): Promise<void> {
    await this.engine.vacuum()
    this.check()
  }

  check(): void {
    expect(this.engine.check()).toEqual([])
  }
}

describe('a table of bytes', () => {
  it('has a handle in its columns, and gives it up when the value is overwritten or deleted', async () => {
    const world = new World()
    world.set('a', 1, 2)
    expect(typeof world.store.headOf(world.store.find('a'))).toBe('number')
    world.set('a', 3)
    world.set('b')
    world.check()
    expect([world.get('a'), world.get('b'), world.arena.count]).toEqual([[3], [], 2])
    world.delete('a')
    world.delete('b')
    await world.drain()
    expect([world.get('a'), world.arena.count, world.arena.usedBytes]).toEqual([undefined, 0, 0])
  })

  it('keeps old versions for snapshots, and no longer', async () => {
    const world = new World()
    world.set('a', 1)
    const early = world.engine.beginSnapshot()
    world.set('a', 2)
    const late = world.engine.beginSnapshot()
    world.set('a', 3)
    world.delete('a')
    world.check()
    expect([world.seen(early, 'a'), world.seen(late, 'a'), world.get('a')]).toEqual([[1], [2], undefined])
    expect(world.arena.count).toBe(2)
    world.engine.rollback(early)
    await world.drain()
    expect([world.seen(late, 'a'), world.arena.count]).toEqual([[2], 1])
    world.engine.rollback(late)
    await world.drain()
    expect(world.arena.count).toBe(0)
  })

  it('takes nothing for transactions that are rolled back or refused', async () => {
    const world = new World()
    world.set('a', 1)
    const dropped = world.engine.begin(true, false)
    dropped.view(world.store).set(admitKey('a'), world.store.admit(Uint8Array.of(9)), 10)
    expect(world.seen(dropped, 'a')).toEqual([9])
    world.engine.rollback(dropped)
    const [first, second] = [world.engine.begin(true, false), world.engine.begin(true, false)]
    for (const txn of [first, second]) {
      const view = txn.view(world.store)
      view.get(admitKey('a'))
      view.set(admitKey('a'), world.store.admit(Uint8Array.of(7, 7)), 10)
    }
    expect(world.engine.commit(first)).toBeNull()
    expect(world.engine.commit(second)).toBeInstanceOf(Conflict)
    world.check()
    await world.drain()
    expect([world.get('a'), world.arena.count]).toEqual([[7, 7], 1])
  })

  it('merges', () => {
    const world = new World()
    world.set('a', 1)
    const txn = world.engine.begin(true, false)
    txn.view(world.store).merge(admitKey('a'), Uint8Array.of(2))
    txn.view(world.store).merge(admitKey('b'), Uint8Array.of(3))
    expect(world.engine.commit(txn)).toBeNull()
    world.check()
    expect([world.get('a'), world.get('b')]).toEqual([[1, 2], [3]])
  })

  it('refuses a commit for which there is no memory, before anything has changed', () => {
    const world = new World()
    world.set('a', 1)
    const { clock } = world.engine
    const refuse = (): never => {
      throw new RangeError('Array buffer allocation failed')
    }
    const { offHeap } = world.store
    const place = offHeap!.place.bind(offHeap)
    let calls = 0
    offHeap!.place = (stored): number => (++calls === 2 ? refuse() : place(stored))
    const txn = world.engine.begin(true, false)
    for (const key of ['a', 'b', 'c']) {
      txn.view(world.store).set(admitKey(key), world.store.admit(Uint8Array.of(9)), 10)
    }
    expect(() => world.engine.commit(txn)).toThrow(RangeError)
    world.engine.rollback(txn)
    offHeap!.place = refuse
    expect(() => world.set('a', 5)).toThrow(RangeError)
    world.check()
    expect([world.get('a'), world.arena.count, world.engine.clock]).toEqual([[1], 1, clock])
  })

  it('shows scans what they looked ahead at, whatever is overwritten, deleted or moved meanwhile (O2)', async () => {
    const world = new World()
    const keys = Array.from({ length: 4000 }, (_, i) => String(i).padStart(4, '0'))
    const bytesOf = (i: number): number[] => [i & 0xff, i >> 8, ...Array.from({ length: 40 }, () => i & 0x7f)]
    for (const [i, key] of keys.entries()) world.set(key, ...bytesOf(i))
    for (const [i, key] of keys.entries()) if (i % 8 !== 0) world.delete(key)
    await world.drain()
    const kept = keys.filter((_, i) => i % 8 === 0)
    const txn = world.engine.beginSnapshot()
    const cursor = txn.view(world.store).scan(ALL, 'value')
    let moves = 0
    for (const [i, key] of kept.entries()) {
      expect(cursor.next()).toBe(true)
      expect([cursor.key, world.show(cursor.value)]).toEqual([key, bytesOf(i * 8)])
      if (i % 50 === 7) for (const later of kept.slice(i, i + 40)) world.set(later, 99, i & 0xff, 3)
      if (i % 60 === 9) world.delete(kept[i + 5] ?? key)
      if (i % 100 === 15) {
        for (let n = 0; n < 300; n++) world.set(`x${n}`, ...bytesOf(n))
        for (let n = 0; n < 300; n++) if (n % 9 !== 0) world.delete(`x${n}`)
        const { epoch } = world.arena
        await world.engine.compactMemory()
        moves += world.arena.epoch - epoch
        world.check()
      }
    }
    // Behind the kept keys come those that were made after the snapshot, which it does not see.
    expect(cursor.next()).toBe(false)
    expect(moves).toBeGreaterThan(100)
    world.engine.rollback(txn)
    await world.drain()
  })

  it('can be told in its own words what does not hold (O1)', () => {
    const world = new World()
    world.set('a', 1)
    const handle = world.store.headOf(world.store.find('a')) as number
    world.arena.free(handle)
    expect(world.engine.check()).toEqual([expect.stringContaining('O1: a version has a handle that names nothing')])
    world.arena.put(new Uint8Array(1), 0, 1)
    world.arena.put(new Uint8Array(1), 0, 1)
    expect(world.engine.check()).toEqual([expect.stringContaining('O1: the arena holds 2 values, versions have 1')])
  })
})

describe('compactMemory', () => {
  it('gives back what a mass deletion left, in slices beside commits, with snapshots open', async () => {
    const world = new World()
    for (let i = 0; i < 30_000; i++)
      world.set(String(i), i & 0xff, (i >> 8) & 0xff, ...Array.from({ length: i % 30 }, () => 5))
    const pinned = world.engine.beginSnapshot()
    for (let i = 0; i < 30_000; i++) if (i % 20 !== 0) world.delete(String(i))
    world.engine.rollback(pinned)
    const still = world.engine.beginSnapshot()
    for (let i = 0; i < 30_000; i += 40) world.set(String(i), 1)
    await world.drain()
    const before = world.arena.reservedBytes
    const fragmentation = world.arena.fragmentation
    const compaction = world.engine.compactMemory()
    let writes = 0
    const writer = setInterval(() => {
      for (let i = 0; i < 200; i++) world.set(`new ${writes++}`, 1, 2, 3)
    }, 0)
    const given = await compaction
    clearInterval(writer)
    world.check()
    expect(given).toBeGreaterThan(0)
    expect(world.arena.reservedBytes).toBeLessThan(before * 0.7 + writes * 12)
    expect(world.arena.fragmentation).toBeLessThan(fragmentation)
    for (let i = 0; i < 30_000; i += 20) {
      const old = [i & 0xff, (i >> 8) & 0xff, ...Array.from({ length: i % 30 }, () => 5)]
      expect(world.seen(still, String(i))).toEqual(old)
      expect(world.get(String(i))).toEqual(i % 40 === 0 ? [1] : old)
    }
    world.engine.rollback(still)
    await world.drain()
  })
})
