/** The arena: values of every size by name, freeing, giving back, compaction. */
import { describe, expect, it } from 'vitest'
import { Arena, arenaBytes } from '../../src/arena/index.ts'
import { MAX_PLACE_BYTES } from '../../src/arena/size-classes.ts'

function filled(length: number, seed = length): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 0xff)
}

function put(arena: Arena, bytes: Uint8Array): number {
  return arena.put(bytes, 0, bytes.length)
}

describe('a value', () => {
  it.each([
    ['empty', 0],
    ['of 1 byte', 1],
    ['of 2 bytes', 2],
    ['of 12 bytes', 12],
    ['of exactly a size class', 144],
    ['one byte beyond a size class', 145],
    ['of 65,535 bytes', 65_535],
    ['of exactly the largest size class', MAX_PLACE_BYTES],
    ['beyond the largest size class', MAX_PLACE_BYTES + 1],
    ['of a megabyte and a bit', 1_000_001],
  ])('%s comes back as it was', (_name, length) => {
    const arena = new Arena()
    const handles = [0, 1, 2].map((seed) => put(arena, filled(length, seed)))
    arena.check()
    for (const [seed, handle] of handles.entries()) {
      expect(arena.lengthOf(handle)).toBe(length)
      expect(Buffer.compare(arena.copyOut(handle), filled(length, seed))).toBe(0)
      expect(arena.startOf(handle) % 8).toBe(0)
    }
    expect([arena.count, arena.usedBytes]).toEqual([3, 3 * length])
    for (const handle of handles) arena.free(handle)
    arena.check()
    expect([arena.count, arena.usedBytes]).toEqual([0, 0])
    if (length > MAX_PLACE_BYTES) expect([arena.reservedBytes, arena.fragmentation]).toEqual([0, 0])
  })

  it('is taken from where the caller says', () => {
    const arena = new Arena()
    const handle = arena.put(filled(100), 10, 22)
    expect([...arena.copyOut(handle)]).toEqual([...filled(100).subarray(10, 22)])
  })

  it('does not change with what it was copied from, nor with copies of it', () => {
    const arena = new Arena()
    const bytes = filled(20)
    const handle = put(arena, bytes)
    bytes.fill(0)
    arena.copyOut(handle).fill(0)
    expect([...arena.copyOut(handle)]).toEqual([...filled(20)])
  })
})

describe('a handle', () => {
  it('is a small integer that is not negative', () => {
    const arena = new Arena()
    for (let i = 0; i < 10_000; i++) {
      const handle = put(arena, filled(i % 300))
      expect(handle === (handle | 0) && handle >= 0).toBe(true)
    }
  })

  it('cannot be freed twice, nor read once it was freed, nor made up (I1)', () => {
    const arena = new Arena()
    const kept = put(arena, filled(12))
    const handle = put(arena, filled(12))
    const large = put(arena, filled(200_000))
    arena.free(handle)
    arena.free(large)
    for (const stale of [handle, large, -1, kept + 5, 2 ** 31 - 1]) {
      expect(() => arena.free(stale)).toThrow(/freed twice/)
      expect(() => arena.lengthOf(stale)).toThrow(/freed/)
      expect(() => arena.copyOut(stale)).toThrow(/freed/)
      expect(arena.holds(stale)).toBe(false)
    }
    expect(arena.holds(kept)).toBe(true)
    arena.check()
  })

  it('is told to be doubtful by the epoch (I3)', () => {
    const arena = new Arena()
    const handle = put(arena, filled(12))
    const { epoch } = arena
    put(arena, filled(12))
    expect(arena.epoch).toBe(epoch)
    arena.free(handle)
    expect(arena.epoch).not.toBe(epoch)
  })
})

describe('memory', () => {
  it('is little for few values of many sizes, and near the bytes for many', () => {
    const small = new Arena()
    for (let length = 1; length <= 1024; length *= 2) put(small, filled(length))
    expect(small.reservedBytes).toBeLessThan(60_000)
    const large = new Arena()
    for (let i = 0; i < 100_000; i++) put(large, filled(32))
    expect(large.reservedBytes / 100_000).toBeLessThan(37)
    expect(large.fragmentation).toBeLessThan(0.12)
    expect(large.reservedBytes / 100_000).toBeGreaterThanOrEqual(arenaBytes(32))
  })

  it('goes back once nothing is in it, and does not come and go with one value (I5)', () => {
    const arena = new Arena()
    const handles = Array.from({ length: 50_000 }, () => put(arena, filled(64)))
    const full = arena.reservedBytes
    for (const handle of handles) arena.free(handle)
    arena.check()
    expect(arena.reservedBytes).toBeLessThan(full / 8)
    const left = arena.reservedBytes
    for (let i = 0; i < 100; i++) arena.free(put(arena, filled(64)))
    expect(arena.reservedBytes).toBe(left)
  })

  it('is taken in larger and larger pieces, so that there are handles for gigabytes', () => {
    const arena = new Arena()
    let blocks = 0
    for (let i = 0; i < 200_000; i++) blocks = Math.max(blocks, (arena.allocate(64) >>> 15) + 1)
    expect(blocks).toBeLessThan(1.5 * (arena.reservedBytes / (256 * 1024)))
  })

  it('that no system can give refuses the value and changes nothing', () => {
    const arena = new Arena()
    put(arena, filled(10))
    expect(() => arena.allocate(2 ** 52)).toThrow(expect.objectContaining({ code: 'MEMORY_LIMIT' }))
    arena.check()
    expect(arena.count).toBe(1)
  })
})

describe('compaction', () => {
  function sparse(): { arena: Arena; kept: Map<number, number> } {
    const arena = new Arena()
    const kept = new Map<number, number>()
    for (let i = 0; i < 60_000; i++) {
      const handle = put(arena, filled(20 + (i % 40), i))
      if (i % 10 === 0) kept.set(i, handle)
      else if (i > 0) kept.set(-i, handle)
    }
    for (const [i, handle] of kept) {
      if (i >= 0) continue
      arena.free(handle)
      kept.delete(i)
    }
    return { arena, kept }
  }

  it('gives back what sparsely used blocks took, and every value stays what it was', () => {
    const { arena, kept } = sparse()
    const before = arena.reservedBytes
    expect(arena.fragmentation).toBeGreaterThan(0.7)
    expect(arena.beginCompaction()).toBeGreaterThan(0)
    for (const [i, handle] of kept) kept.set(i, arena.relocate(handle))
    arena.endCompaction()
    arena.check()
    expect(arena.reservedBytes).toBeLessThan(before / 3)
    for (const [i, handle] of kept) expect([...arena.copyOut(handle)]).toEqual([...filled(20 + (i % 40), i)])
    expect(arena.beginCompaction()).toBe(0)
  })

  it('may be left off at any point, with puts and frees in between', () => {
    const { arena, kept } = sparse()
    arena.beginCompaction()
    let steps = 0
    for (const [i, handle] of kept) {
      if (++steps > 3000) break
      if (steps % 3 === 0) {
        arena.free(handle)
        kept.delete(i)
      } else kept.set(i, arena.relocate(handle))
      if (steps % 5 === 0) kept.set(100_000 + steps, put(arena, filled(20 + (steps % 40), 100_000 + steps)))
      if (steps % 500 === 0) arena.check()
    }
    arena.endCompaction()
    arena.check()
    expect(arena.count).toBe(kept.size)
  })
})

describe('an arena that knows how much to expect', () => {
  it('takes fewer and larger blocks, and limits nothing', () => {
    const [plain, told] = [new Arena(), new Arena(1 << 20)]
    const bytes = new Uint8Array(100)
    for (const arena of [plain, told]) arena.put(bytes, 0, 100)
    expect(told.reservedBytes).toBeGreaterThan(8 * plain.reservedBytes)
    for (let i = 0; i < 20_000; i++) told.put(bytes, 0, 100)
    expect(told.count).toBe(20_001)
    told.check()
  })
})
