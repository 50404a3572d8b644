import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import type { Key } from '../../src/keys/index.ts'
import { SnapshotSet, type SnapshotSlot } from '../../src/mvcc/snapshots.ts'
import { Chunk, CHUNK_BITS, CHUNK_MASK, CHUNK_SIZE } from '../../src/mvcc/chunk.ts'
import type { TableStore } from '../../src/mvcc/store.ts'
import { Meta, Version } from '../../src/mvcc/version.ts'
import { Pending } from '../../src/mvcc/write-set.ts'
import { HashSeed } from '../../src/maplet/hash.ts'
import { collidingStrings } from '../maplet/colliding-strings.ts'
import { fcParameters, Random } from '../support/random.ts'
import { makeStore, write } from './fixtures.ts'

const nobody = new SnapshotSet()

describe('TableStore', () => {
  it('I1: finds what it created, under every kind of key, and nothing else', () => {
    const store = makeStore()
    const keys: Key[] = ['a', 1, 1n, true, Uint8Array.of(1), ['a', 1], '1', '']
    const ids = keys.map((key, i) => write(store, nobody, key, i, i + 1))
    expect(new Set(ids).size).toBe(keys.length)
    keys.forEach((key, i) => {
      expect(store.find(key)).toBe(ids[i])
      expect(store.keyOf(ids[i] as number)).toEqual(key)
      expect(store.get(key)).toBe(i)
    })
    for (const absent of ['b', 2, 2n, false, Uint8Array.of(2), ['a'], [1, 'a']]) {
      expect(store.find(absent)).toBe(-1)
      expect(store.get(absent)).toBeUndefined()
    }
    store.check(keys.length, nobody)
  })

  it('I1: gives ids out again once they are free, through every size of chunk', () => {
    const store = makeStore()
    const count = CHUNK_SIZE + 200
    for (let i = 0; i < count; i++) write(store, nobody, i, i, i + 1)
    expect([store.entries, store.chunks.length]).toEqual([count, 2])
    store.check(count, nobody)
    for (let i = 0; i < count; i += 2) {
      const id = store.find(i)
      write(store, nobody, i, undefined, count + i)
      store.unlink(id)
      expect(store.find(i)).toBe(-1)
    }
    expect(store.entries).toBe(count / 2)
    store.check(count * 2, nobody)
    for (let i = 0; i < count; i += 2) write(store, nobody, -1 - i, i, count * 2 + i)
    expect([store.entries, store.chunks.length]).toEqual([count, 2])
    for (let i = 0; i < count; i++) expect(store.get(i % 2 === 0 ? -1 - i : i)).toBe(i)
    store.check(count * 4, nobody)
  })

  it('I1: creates entries by the hashes that writes have found them absent with, also when the hash changes in between', () => {
    const seed = 5
    const keys = collidingStrings(256, 8, HashSeed.fromNumber(seed))
    const store = makeStore(seed)
    const pendings = keys.map((key) => new Pending(key))
    for (const pending of pendings) expect(store.findFor(pending)).toBe(-1)
    expect(store.maplet.keyed).toBe(false)
    const ids = pendings.map((pending) => store.createFor(pending))
    expect(store.maplet.keyed).toBe(true)
    expect(keys.map((key) => store.find(key))).toEqual(ids)
  })

  it('I1: a key that was read in vain is found once it has an entry, whoever made it', () => {
    const store = makeStore()
    for (const [i, key] of ['a', 'b', 'c'].entries()) {
      const first = new Pending(key)
      const second = new Pending(key)
      expect(store.get(key)).toBeUndefined()
      expect([store.findFor(first), store.findFor(second)]).toEqual([-1, -1])
      const id = i === 0 ? store.create(key) : store.createFor(first)
      expect([store.findFor(second), store.find(key)]).toEqual([id, id])
    }
    expect(store.get('d')).toBeUndefined()
    const other = new Pending('e')
    const late = new Pending('d')
    expect([store.findFor(other), store.findFor(late), store.find('d')]).toEqual([-1, -1, -1])
    expect(store.createFor(late)).toBe(store.find('d'))
    expect(store.createFor(other)).toBe(store.find('e'))
  })

  it('I2: shows each snapshot its version', () => {
    const store = makeStore()
    const snapshots = new SnapshotSet()
    const id = write(store, snapshots, 'k', 'one', 1)
    snapshots.acquire(1)
    write(store, snapshots, 'k', 'two', 2)
    snapshots.acquire(2)
    write(store, snapshots, 'k', undefined, 3)
    snapshots.acquire(3)
    write(store, snapshots, 'k', 'four', 4)
    expect([0, 1, 2, 3, 4, 9].map((sequence) => store.valueAt(id, sequence))).toEqual([
      undefined,
      'one',
      'two',
      undefined,
      'four',
      'four',
    ])
    expect(store.versions).toBe(3)
    store.check(4, snapshots)
  })

  it('I2: keeps no version that nobody can see', () => {
    const store = makeStore()
    const snapshots = new SnapshotSet()
    for (let sequence = 1; sequence <= 100; sequence++) write(store, snapshots, 'k', sequence, sequence)
    expect(store.versions).toBe(0)
    expect(store.metaOf(store.find('k'))).toBeUndefined()
    snapshots.acquire(100)
    for (let sequence = 101; sequence <= 200; sequence++) write(store, snapshots, 'k', sequence, sequence)
    expect(store.versions).toBe(1)
    expect(store.valueAt(store.find('k'), 100)).toBe(100)
  })

  it('I3: counts live keys and their bytes, now and at every open snapshot', () => {
    const random = new Random('sizes')
    const store = makeStore()
    const snapshots = new SnapshotSet()
    const held: { slot: SnapshotSlot; size: number; bytes: number }[] = []
    const model = new Map<number, number>()
    for (let sequence = 1; sequence <= 2000; sequence++) {
      const writes = random.between(1, 3)
      for (let n = 0; n < writes; n++) {
        const key = random.int(20)
        if (random.chance(0.6)) {
          write(store, snapshots, key, sequence, sequence)
          model.set(key, 8)
        } else if (model.delete(key)) write(store, snapshots, key, undefined, sequence)
      }
      expect([store.size, store.bytes]).toEqual([model.size, model.size * 8])
      if (random.chance(0.2)) held.push({ slot: snapshots.acquire(sequence), size: model.size, bytes: model.size * 8 })
      if (random.chance(0.2) && held.length > 0)
        snapshots.release((held.splice(random.int(held.length), 1)[0] as (typeof held)[number]).slot)
      if (random.chance(0.1)) store.sizes.prune(snapshots)
      for (const { slot, size, bytes } of held) expect(store.sizeAt(slot.sequence)).toMatchObject({ size, bytes })
    }
  })

  it('I4: stamps a leaf with the newest commit that was written while a snapshot was open', () => {
    const store = makeStore()
    const snapshots = new SnapshotSet()
    write(store, snapshots, 'a', 1, 1)
    expect(store.index.stamps[store.index.first.id]).toBe(0)
    snapshots.acquire(1)
    write(store, snapshots, 'b', 1, 2)
    expect(store.index.stamps[store.index.first.id]).toBe(2)
    write(store, snapshots, 'a', 2, 3)
    expect(store.index.stamps[store.index.first.id]).toBe(3)
    store.check(3, snapshots)
  })

  it('I4: keeps the stamps of leaves that split and merge', () => {
    const store = makeStore()
    const snapshots = new SnapshotSet()
    for (let i = 0; i < 100; i++) write(store, snapshots, i * 10, 0, i + 1)
    snapshots.acquire(100)
    for (let i = 0; i < 100; i++) write(store, snapshots, i * 10, 1, 101 + i)
    for (let i = 0; i < 500; i++) write(store, snapshots, 2 * i + 1, 0, 201 + i)
    store.check(701, snapshots)
    for (let i = 0; i < 100; i++) expect(store.valueAt(store.find(i * 10), 100)).toBe(0)
  })

  it('holds sequences up to the largest safe integer', () => {
    for (const sequence of [1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 40 + 7, 2 ** 53 - 1]) {
      const store = makeStore()
      const id = write(store, nobody, 'k', 1, sequence)
      expect(store.sequenceOf(id)).toBe(sequence)
      expect(store.valueAt(id, sequence)).toBe(1)
      expect(store.valueAt(id, sequence - 1)).toBeUndefined()
      store.check(sequence, nobody)
    }
  })

  const tampering: Record<string, { spoil: (store: TableStore, id: number) => void; found: RegExp }> = {
    'I1: a key that its hash does not find': { spoil: (store, id) => store.chunks[0]?.setKey(id, 'other'), found: /./ },
    'I1: an entry that does not know its leaf': {
      spoil: (store, id) => store.chunks[0]?.setLeaf(id, 77),
      found: /I1.*leaf/,
    },
    'I1: an entry that is not in the index': { spoil: (store) => store.index.remove('k'), found: /I1/ },
    'P1: a place that is free though it is in use': { spoil: (store, id) => store.places.give(id), found: /^P1/ },
    'P3: a free place that is not blank': {
      spoil: (store, id) => {
        store.unlink(id)
        store.chunks[id >>> CHUNK_BITS]!.setSize(id & CHUNK_MASK, 1)
      },
      found: /^P3/,
    },
    'P2: a free place of another table': { spoil: (store) => store.places.give(1 << 12), found: /^P2/ },
    'I2: a chain above its head': {
      spoil: (store, id) => {
        const meta = store.needMeta(id)
        meta.older = new Version(meta, 9, 10, 0, 0, 0, null)
        store.versions++
      },
      found: /I2/,
    },
    'I3: a wrong count of keys': { spoil: (store) => store.size++, found: /I3/ },
    'I3: a wrong count of bytes': { spoil: (store) => (store.bytes += 1), found: /I3/ },
    'a wrong count of versions': { spoil: (store) => store.versions++, found: /versions/ },
    'a head above the clock': { spoil: (store, id) => store.chunks[0]?.setSequence(id, 1000), found: /clock/ },
  }

  it.each(Object.keys(tampering))('check() finds %s', (name) => {
    const { spoil, found } = tampering[name] as (typeof tampering)[string]
    const store = makeStore()
    const id = write(store, nobody, 'k', 1, 5)
    store.check(5, nobody)
    spoil(store, id)
    expect(() => store.check(5, nobody)).toThrow(found)
  })

  it('check() finds I4: a leaf whose stamp is too low', () => {
    const store = makeStore()
    const snapshots = new SnapshotSet()
    write(store, snapshots, 'k', 1, 1)
    snapshots.acquire(1)
    write(store, snapshots, 'k', 2, 2)
    store.check(2, snapshots)
    store.index.stamps[store.index.first.id] = 1
    expect(() => store.check(2, snapshots)).toThrow(/I4/)
  })
})

describe('Chunk', () => {
  it('keeps everything when it grows', () => {
    const chunk = new Chunk(makeStore(), 16)
    for (let i = 0; i < 16; i++) {
      chunk.setKey(i, `k${i}`)
      chunk.setValue(i, i)
      chunk.setSequence(i, 2 ** 40 + i)
      chunk.setSize(i, i * 3)
      chunk.setLeaf(i, i * 5)
    }
    const sizes = [chunk.capacity]
    while (chunk.capacity < CHUNK_SIZE) {
      chunk.grow()
      sizes.push(chunk.capacity)
    }
    expect(sizes).toEqual([16, 64, 256, 1024, 4096])
    for (let i = 0; i < 16; i++) {
      const row = [
        chunk.keyAt(i),
        chunk.valueAt(i),
        chunk.sequenceAt(i),
        chunk.sizeAt(i),
        chunk.leafAt(i),
        chunk.metaAt(i),
      ]
      expect(row).toEqual([`k${i}`, i, 2 ** 40 + i, i * 3, i * 5, undefined])
    }
    expect([chunk.keyAt(16), chunk.valueAt(16), chunk.sequenceAt(16)]).toEqual([undefined, undefined, 0])
  })

  it('tells the key of an entry from what a free place has left of one, where keys are words', () => {
    const chunk = new Chunk(makeStore(undefined, 'i64'), 16)
    const state = (key: Key): boolean[] => [chunk.isFree(3), chunk.holds(3, key)]
    // Its words are zeros.
    expect(state(chunk.keyAt(3))).toEqual([true, false])
    chunk.setKey(3, -7n)
    chunk.setLeaf(3, 0)
    expect([...state(-7n), chunk.keyAt(3)]).toEqual([false, true, -7n])
    for (const other of [7n, -8n, 2n ** 32n - 7n, 2n ** 64n - 7n, -7, '-7n']) expect(chunk.holds(3, other)).toBe(false)
    chunk.clearKey(3)
    expect(state(-7n)).toEqual([true, false])
  })

  it('refers to keys as soon as one has no words', () => {
    const chunk = new Chunk(makeStore(undefined, 'u64'), 16)
    for (let i = 0; i < 10; i++) {
      chunk.setKey(i, 2n ** 63n + BigInt(i))
      chunk.setValue(i, `v${i}`)
      chunk.setLeaf(i, i)
    }
    chunk.clearKey(5)
    chunk.setValue(5, undefined)
    const words = chunk.bytes
    chunk.setKey(12, 'a')
    expect([chunk.words, chunk.bytes]).toEqual([null, words])
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 16; i++) {
        const expected = i < 10 && i !== 5 ? [2n ** 63n + BigInt(i), `v${i}`] : [i === 12 ? 'a' : undefined, undefined]
        expect([chunk.keyAt(i), chunk.valueAt(i)]).toEqual(expected)
        expect(chunk.isFree(i)).toBe(expected[0] === undefined)
      }
      chunk.grow()
    }
  })

  it('keeps neighbours apart', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 15 }),
        fc.maxSafeInteger().map(Math.abs),
        fc.nat({ max: 2 ** 32 - 1 }),
        (i, sequence, size) => {
          const chunk = new Chunk(makeStore(), 16)
          chunk.setSequence(i, sequence)
          chunk.setSize(i, size)
          chunk.setValue(i, 'v')
          for (let j = 0; j < 16; j++) {
            const expected = j === i ? [sequence, size, 'v'] : [0, 0, undefined]
            expect([chunk.sequenceAt(j), chunk.sizeAt(j), chunk.valueAt(j)]).toEqual(expected)
          }
        },
      ),
      fcParameters(50),
    )
  })

  it('takes a lower sequence in the place of one above 2 ** 32', () => {
    const chunk = new Chunk(makeStore(), 16)
    for (const sequence of [2 ** 32 - 1, 2 ** 32, 7, 2 ** 40 + 5, 0]) {
      chunk.setSequence(3, sequence)
      expect(chunk.sequenceAt(3)).toBe(sequence)
    }
  })

  it('has a column of histories only while one of its entries has one', () => {
    const store = makeStore()
    const chunk = new Chunk(store, 16)
    const { bytes } = chunk
    expect(bytes).toBe(16 * 28)
    const metas = [new Meta(store, 2), new Meta(store, 5)]
    chunk.setMeta(2, metas[0])
    chunk.setMeta(2, metas[0])
    chunk.setMeta(5, metas[1])
    expect(chunk.bytes).toBe(16 * 36)
    chunk.grow()
    chunk.setMeta(2, undefined)
    chunk.setMeta(2, undefined)
    chunk.shed()
    expect([chunk.metaAt(2), chunk.metaAt(5), chunk.metaAt(6)]).toEqual([undefined, metas[1], undefined])
    chunk.check()
    chunk.setMeta(5, undefined)
    chunk.check()
    chunk.shed()
    expect([chunk.metaAt(5), chunk.bytes]).toEqual([undefined, 64 * 28])
  })
})
