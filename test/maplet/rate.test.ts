/** False positives and bytes, through growth from 64 to a million entries. */
import { describe, expect, it } from 'vitest'
import { Filter, Maplet } from '../../src/maplet/index.ts'

const STEPS = [64, 1000, 3000, 10_000, 100_000, 316_000, 1_000_000]

/** Most hits that so many samples at a rate may have: six standard deviations above the mean, and some. */
function most(rate: number, samples: number): number {
  return rate * samples + 6 * Math.sqrt(rate * samples) + 6
}

/** Bytes of array buffers that are still in use: those that are not go some time after the collection that found them. */
async function arrayBuffers(): Promise<number> {
  let least = Infinity
  for (let turn = 0; turn < 5; turn++) {
    globalThis.gc?.()
    await new Promise((resolve) => setTimeout(resolve, 10))
    least = Math.min(least, process.memoryUsage().arrayBuffers)
  }
  return least
}

describe('false positives', () => {
  it('of a maplet stay far below 1 in 10,000 at every size', () => {
    const maplet = new Maplet({ seed: 1 })
    let size = 0
    for (const step of STEPS) {
      for (; size < step; size++) maplet.insert(`key ${size}`, size)
      const samples = 200_000
      const { expectedFalsePositiveRate, measuredFalsePositiveRate } = maplet.stats(samples)
      expect(expectedFalsePositiveRate).toBeLessThan(6e-5)
      expect(measuredFalsePositiveRate * samples).toBeLessThanOrEqual(most(expectedFalsePositiveRate, samples))
      let hits = 0
      for (let i = 0; i < 50_000; i++) if (maplet.has(`absent ${i}`)) hits++
      expect(hits).toBeLessThanOrEqual(most(expectedFalsePositiveRate, 50_000))
    }
  })

  it.each([
    [undefined, 0.01],
    [0.001, 0.001],
  ])('of a filter for rate %s stay within it, and are as expected', (falsePositiveRate, bound) => {
    const filter = new Filter({ seed: 1, falsePositiveRate })
    let size = 0
    for (const step of STEPS) {
      for (; size < step; size++) filter.insert(size)
      const samples = 100_000
      const { expectedFalsePositiveRate, measuredFalsePositiveRate } = filter.stats(samples)
      expect(expectedFalsePositiveRate).toBeLessThan(bound)
      expect(measuredFalsePositiveRate * samples).toBeLessThanOrEqual(most(expectedFalsePositiveRate, samples))
      let hits = 0
      for (let i = 0; i < 50_000; i++) if (filter.has(`absent ${i}`)) hits++
      expect(hits).toBeLessThanOrEqual(most(expectedFalsePositiveRate, 50_000))
      // The sampling is no sham: where there should be hits, there are.
      if (expectedFalsePositiveRate > 0.001)
        expect(measuredFalsePositiveRate).toBeGreaterThan(expectedFalsePositiveRate / 2)
    }
    for (let i = 0; i < size; i++) if (!filter.has(i)) expect.fail(`${i} is missing`)
  })

  it('of a filter with a capacity do not depend on how it grew', () => {
    const filter = new Filter({ seed: 1, capacity: 300_000 })
    for (let i = 0; i < 300_000; i++) filter.insert(i)
    expect(filter.stats(100_000).measuredFalsePositiveRate).toBeLessThan(0.002)
  })
})

describe('bytes', () => {
  it('of a filter are at most 3 a key from 3,000 keys on, at every step of growth', () => {
    const filter = new Filter({ seed: 2 })
    let worst = 0
    for (let size = 1; size <= 200_000; size++) {
      filter.insert(size)
      if (size >= 3000 && (size % 100 === 0 || size < 20_000)) worst = Math.max(worst, filter.bytes / size)
    }
    expect(worst).toBeLessThanOrEqual(3)
    expect(worst).toBeGreaterThan(2.5)
    expect(filter.stats().load).toBeGreaterThan(0.65)
  })

  it('of a maplet are what the process has more of', async () => {
    const before = await arrayBuffers()
    const maplet = new Maplet({ seed: 3 })
    for (let i = 0; i < 100_000; i++) maplet.insert(i, i)
    const taken = (await arrayBuffers()) - before
    expect(taken / maplet.bytes).toBeGreaterThan(0.9)
    expect(taken / maplet.bytes).toBeLessThan(1.1)
    expect(maplet.get(5)).toBe(5)
  })

  it('fall when entries are deleted, and everything goes with clear', () => {
    const filter = new Filter({ seed: 4 })
    for (let i = 0; i < 50_000; i++) filter.insert(i)
    const full = filter.bytes
    for (let i = 0; i < 45_000; i++) filter.delete(i)
    expect(filter.bytes).toBeLessThan(full / 4)
    for (let i = 45_000; i < 50_000; i++) expect(filter.has(i)).toBe(true)
    filter.check()
    filter.clear()
    expect([filter.size, filter.has(49_999)]).toEqual([0, false])
    expect(filter.bytes).toBeLessThan(2000)
  })
})
