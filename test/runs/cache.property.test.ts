import { describe, expect, it } from 'vitest'
import { BlockCache, type CachedPart, type SlotTable, emptySlots } from '../../src/runs/cache.ts'
import { Random, runs } from '../support/random.ts'

class Part implements CachedPart {
  readonly memoryBytes: number
  readonly name: string

  constructor(name: string, memoryBytes: number) {
    this.name = name
    this.memoryBytes = memoryBytes
  }
}

describe('BlockCache', () => {
  it('holds what its owners say it holds, within its bytes (C1, C2)', () => {
    for (let round = 0; round < runs(60); round++) {
      const random = new Random(round)
      const maxBytes = random.pick([0, 100, 1000, 20_000])
      const cache = new BlockCache(maxBytes)
      const owners: SlotTable[] = [emptySlots(40), emptySlots(3), emptySlots(200)]
      let misses = 0
      let hits = 0
      for (let step = 0; step < 2000; step++) {
        const which = random.int(owners.length)
        const owner = owners[which]!
        const place = random.int(owner.length)
        if (owner[place]! >= 0) {
          hits++
          expect((cache.hit(owner[place]!) as Part).name).toBe(`${which} ${place}`)
        } else if (random.chance(0.9)) {
          misses++
          cache.insert(new Part(`${which} ${place}`, 1 + random.int(150)), owner, place)
        } else if (random.chance(0.05)) {
          cache.drop(owner)
          expect(owner.every((slot) => slot === -1)).toBe(true)
        }
        expect(cache.bytes).toBeLessThanOrEqual(maxBytes)
      }
      const slots = owners.flatMap((owner) => [...owner].filter((slot) => slot >= 0))
      expect(new Set(slots).size).toBe(slots.length)
      expect(cache.parts).toBe(slots.length)
      expect([cache.hits, cache.misses]).toEqual([hits, misses])
      let bytes = 0
      for (const slot of slots) bytes += cache.hit(slot).memoryBytes
      expect(cache.bytes).toBe(bytes)
      for (const owner of owners) cache.drop(owner)
      expect([cache.bytes, cache.parts]).toEqual([0, 0])
    }
  })

  it('keeps what is asked for again while a scan passes through', () => {
    const cache = new BlockCache(1000)
    const hot = emptySlots(5)
    const cold = emptySlots(10_000)
    for (let i = 0; i < 5; i++) cache.insert(new Part(`hot ${i}`, 100), hot, i)
    for (let i = 0; i < cold.length; i++) {
      for (const slot of hot) cache.hit(slot)
      cache.insert(new Part(`cold ${i}`, 100), cold, i)
    }
    expect([...hot].every((slot) => slot >= 0)).toBe(true)
    expect(cache.evictions).toBe(cold.length - 5)
  })

  it('does not keep a part that is larger than an eighth of it', () => {
    const cache = new BlockCache(800)
    const owner = emptySlots(2)
    cache.insert(new Part('large', 101), owner, 0)
    cache.insert(new Part('just right', 100), owner, 1)
    expect([...owner]).toEqual([-1, 0])
  })

  it('tells what it takes beside the parts', () => {
    const cache = new BlockCache(1 << 20)
    const door = cache.overheadBytes
    expect(door).toBe(512 * 4)
    expect([cache.scratch(100).length, cache.scratch(50).length, cache.overheadBytes]).toEqual([100, 50, door + 100])
    // What is this long does not stay.
    expect([cache.scratch(100_000).length, cache.overheadBytes]).toEqual([100_000, door + 100])
    cache.insert(new Part('one', 100), emptySlots(1), 0)
    expect([cache.bytes, cache.overheadBytes]).toEqual([100, door + 100 + 21])
  })
})
