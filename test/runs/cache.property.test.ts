import { describe, expect, it } from 'vitest'
import { BlockCache, type CachedPart, type Shelf, type SlotTable, emptySlots } from '../../src/runs/cache.ts'
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
      const shelfOf = (which: number): Shelf => (which === 1 ? cache.pages : cache.blocks)
      let misses = 0
      let hits = 0
      for (let step = 0; step < 2000; step++) {
        const which = random.int(owners.length)
        const owner = owners[which]!
        const place = random.int(owner.length)
        if (owner[place]! >= 0) {
          hits++
          expect((shelfOf(which).hit(owner[place]!) as Part).name).toBe(`${which} ${place}`)
        } else if (random.chance(0.9)) {
          misses++
          cache.insert(new Part(`${which} ${place}`, 1 + random.int(150)), shelfOf(which), owner, place)
        } else if (random.chance(0.05)) {
          shelfOf(which).drop(owner)
          expect(owner.every((slot) => slot === -1)).toBe(true)
        }
        expect(cache.bytes).toBeLessThanOrEqual(maxBytes)
      }
      const slots = owners.map((owner) => [...owner].filter((slot) => slot >= 0))
      const ofBlocks = [...slots[0]!, ...slots[2]!]
      expect(new Set(ofBlocks).size).toBe(ofBlocks.length)
      expect(new Set(slots[1]).size).toBe(slots[1]!.length)
      expect([cache.pages.parts, cache.blocks.parts]).toEqual([slots[1]!.length, ofBlocks.length])
      expect(cache.parts).toBe(slots.flat().length)
      expect([cache.hits, cache.misses]).toEqual([hits, misses])
      let bytes = 0
      for (const [which, of] of slots.entries()) for (const slot of of) bytes += shelfOf(which).hit(slot).memoryBytes
      expect(cache.bytes).toBe(bytes)
      for (const [which, owner] of owners.entries()) shelfOf(which).drop(owner)
      expect([cache.bytes, cache.parts]).toEqual([0, 0])
    }
  })

  it('keeps what is asked for again while a scan passes through', () => {
    for (const kind of ['pages', 'blocks'] as const) {
      const cache = new BlockCache(1000)
      const hot = emptySlots(5)
      const cold = emptySlots(10_000)
      for (let i = 0; i < 5; i++) cache.insert(new Part(`hot ${i}`, 100), cache[kind], hot, i)
      for (let i = 0; i < cold.length; i++) {
        for (const slot of hot) cache[kind].hit(slot)
        cache.insert(new Part(`cold ${i}`, 100), cache[kind], cold, i)
      }
      expect([...hot].every((slot) => slot >= 0)).toBe(true)
      expect(cache.evictions).toBe(cold.length - 5)
    }
  })

  it('makes room for pages of blocks, and leaves a little to these (C4)', () => {
    const cache = new BlockCache(10_000)
    const pages = emptySlots(1000)
    const blocks = emptySlots(1000)
    const fill = (shelf: Shelf, owner: SlotTable): void => {
      for (let i = 0; i < owner.length; i++) if (owner[i] === -1) cache.insert(new Part(`${i}`, 100), shelf, owner, i)
    }
    fill(cache.blocks, blocks)
    expect([cache.pages.parts, cache.blocks.parts]).toEqual([0, 100])
    fill(cache.pages, pages)
    expect([cache.pages.parts, cache.blocks.parts]).toEqual([75, 25])
    const kept = pages.slice()
    fill(cache.blocks, blocks)
    expect([cache.pages.parts, cache.blocks.parts, pages]).toEqual([75, 25, kept])
    // What pages have not taken is theirs too.
    cache.pages.drop(pages)
    fill(cache.blocks, blocks)
    expect([cache.pages.parts, cache.blocks.parts]).toEqual([0, 100])
  })

  it('leaves a thirty-second to blocks where that is much', () => {
    const cache = new BlockCache(32 << 20)
    const pages = emptySlots(10_000)
    const blocks = emptySlots(10_000)
    for (let i = 0; i < 10_000; i++) cache.insert(new Part(`block ${i}`, 4096), cache.blocks, blocks, i)
    for (let i = 0; i < 10_000; i++) cache.insert(new Part(`page ${i}`, 4096), cache.pages, pages, i)
    expect([cache.pages.bytes, cache.blocks.bytes]).toEqual([31 << 20, 1 << 20])
  })

  it('knows strangers in proportion to the room for blocks', () => {
    const cache = new BlockCache(32 << 20)
    expect(cache.overheadBytes).toBe(2 ** 14 * 4)
    const pages = emptySlots(10_000)
    const fill = (): number => {
      for (let i = 0; i < 10_000; i++)
        if (pages[i] === -1) cache.insert(new Part(`page ${i}`, 4096), cache.pages, pages, i)
      return cache.overheadBytes - cache.pages.overheadBytes
    }
    expect(fill()).toBe(2 ** 10 * 4)
    cache.pages.drop(pages)
    cache.insert(new Part('page', 4096), cache.pages, pages, 0)
    expect(cache.overheadBytes - cache.pages.overheadBytes).toBe(2 ** 14 * 4)
    expect(fill()).toBe(2 ** 10 * 4)
  })

  it('does not keep a part that is larger than an eighth of it', () => {
    const cache = new BlockCache(800)
    const owner = emptySlots(2)
    cache.insert(new Part('large', 101), cache.blocks, owner, 0)
    cache.insert(new Part('just right', 100), cache.blocks, owner, 1)
    expect([...owner]).toEqual([-1, 0])
  })

  it('tells what it takes beside the parts', () => {
    const cache = new BlockCache(1 << 20)
    const door = cache.overheadBytes
    expect(door).toBe(512 * 4)
    expect([cache.scratch(100).length, cache.scratch(50).length, cache.overheadBytes]).toEqual([100, 50, door + 100])
    // What is this long does not stay.
    expect([cache.scratch(100_000).length, cache.overheadBytes]).toEqual([100_000, door + 100])
    cache.insert(new Part('one', 100), cache.pages, emptySlots(1), 0)
    expect([cache.bytes, cache.overheadBytes]).toEqual([100, door + 100 + 21])
  })
})
