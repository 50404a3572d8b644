import { describe, expect, it } from 'vitest'
import { DeadlineHeap } from '../../src/eviction/index.ts'
import { leastCost } from '../support/patience.ts'
import { Random, runs } from '../support/random.ts'

/** The earliest of a plain map, the smaller id of two equal ones. */
function firstOf(model: ReadonlyMap<number, number>): [id: number, at: number] {
  return [...model].reduce((best, [id, at]) => (at < best[1] || (at === best[1] && id < best[0]) ? [id, at] : best), [
    -1,
    Infinity,
  ] as [number, number])
}

describe('DeadlineHeap', () => {
  it('knows the earliest deadline whatever is put in, moved and taken out (D1, D2)', () => {
    for (let round = 0; round < runs(12); round++) {
      const random = new Random(round)
      const heap = new DeadlineHeap()
      const model = new Map<number, number>()
      const ids = random.pick([3, 40, 500])
      const deadlines = random.pick([2, 50, 2 ** 45])
      for (let step = 0; step < 1500; step++) {
        const id = random.int(ids)
        if (random.chance(0.65)) {
          const at = random.int(deadlines)
          heap.set(id, at)
          model.set(id, at)
        } else {
          expect(heap.remove(id)).toBe(model.delete(id))
        }
        expect(heap.has(id)).toBe(model.has(id))
        expect(heap.size).toBe(model.size)
        if (step % 10 === 0)
          expect([heap.first, heap.firstAt]).toEqual(model.size === 0 ? [-1, Infinity] : firstOf(model))
        if (step % 100 === 0) heap.check()
      }
      for (; heap.size > 0; heap.remove(heap.first)) {
        expect([heap.first, heap.firstAt]).toEqual(firstOf(model))
        model.delete(heap.first)
      }
      heap.check()
      expect(model.size).toBe(0)
    }
  })

  it('takes about ten times as long for 10^5 ids put in, moved and taken out as for 10^4', async () => {
    const random = new Random('deadlines')
    const drive = (ids: number): DeadlineHeap => {
      const heap = new DeadlineHeap()
      for (let id = 0; id < ids; id++) heap.set(id, random.uint32())
      for (let id = 0; id < ids; id++) heap.set(id, random.uint32())
      let isOrdered = true
      for (let before = -1; heap.size > 0; heap.remove(heap.first)) {
        isOrdered &&= heap.firstAt >= before
        before = heap.firstAt
      }
      expect(isOrdered).toBe(true)
      return heap
    }
    const few = await leastCost(5, () => drive(10_000))
    const many = await leastCost(2, () => expect(drive(100_000).overheadBytes).toBe(131_072 * 16))
    // A hundred times if each looked at all others.
    expect(many / few).toBeLessThan(45)
  })

  it('does not know ids beyond the largest', () => {
    const heap = new DeadlineHeap()
    expect([heap.has(1_000_000), heap.remove(1_000_000), heap.first, heap.firstAt]).toEqual([
      false,
      false,
      -1,
      Infinity,
    ])
    heap.set(1_000_000, 5)
    expect([heap.has(1_000_000), heap.first, heap.firstAt]).toEqual([true, 1_000_000, 5])
  })
})
