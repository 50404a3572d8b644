import { describe, expect, it } from 'vitest'
import { Door } from '../../src/eviction/index.ts'
import { Random } from '../support/random.ts'

function hashes(count: number, seed: number): number[] {
  const random = new Random(seed)
  return Array.from({ length: count }, () => 1 + random.int(2 ** 32 - 1))
}

describe('Door', () => {
  it('lets in at the second knock, and then not at the next (D1)', () => {
    const door = new Door(1000)
    const [hash] = hashes(1, 1) as [number]
    expect([door.knock(hash), door.knock(hash), door.knock(hash), door.knock(hash)]).toEqual([false, true, false, true])
  })

  it('takes hashes with a sign for those without', () => {
    const door = new Door(10)
    expect([door.knock(-5), door.knock(2 ** 32 - 5)]).toEqual([false, true])
  })

  it('keeps strangers out (D2), and knows most of its latest visitors (D1)', () => {
    const door = new Door(1024)
    const strangers = hashes(100_000, 2)
    expect(strangers.filter((hash) => door.knock(hash))).toEqual([])
    const latest = strangers.slice(-256).filter((hash) => door.knock(hash)).length
    expect(latest).toBeGreaterThan(100)
    const former = strangers.slice(0, 50_000).filter((hash) => door.knock(hash)).length
    expect(former).toBeLessThan(50)
  })

  it('lets everybody in who comes again and again, however many come by turns (D3)', () => {
    for (const [places, visitors] of [
      [1, 5],
      [64, 64],
      [64, 200],
    ] as const) {
      const door = new Door(places)
      const outside = new Set(hashes(visitors, 3))
      let rounds = 0
      while (outside.size > 0 && rounds++ < 1000) for (const hash of outside) if (door.knock(hash)) outside.delete(hash)
      expect([...outside]).toEqual([])
    }
  })

  it('has room for at least as many as it is told', () => {
    expect([0, 1, 2, 3, 1000, 1024, 1025].map((places) => new Door(places).overheadBytes / 4)).toEqual([
      2, 2, 2, 4, 1024, 1024, 2048,
    ])
  })

  it('has 16 MiB of them at most, and works like any other', () => {
    for (const places of [2 ** 22 + 1, 2 ** 32, 2 ** 40, Number.MAX_SAFE_INTEGER, Infinity]) {
      const door = new Door(places)
      expect([door.overheadBytes, door.knock(12_345), door.knock(12_345)]).toEqual([2 ** 24, false, true])
    }
  })
})
