import { describe, expect, it } from 'vitest'
import { Random, fcParameters, multiplier, runs, seed } from './random.ts'

const sample = (random: Random): number[] => Array.from({ length: 8 }, () => random.uint32())

describe('Random', () => {
  it('replays: equal seed and stream give equal numbers', () => {
    expect(sample(new Random('a'))).toEqual(sample(new Random('a')))
    expect(sample(new Random(7, 1))).toEqual(sample(new Random(7, 1)))
  })

  it('differs by stream, by seed and by fork', () => {
    const streams = [
      new Random('a'),
      new Random('b'),
      new Random(0),
      new Random(1),
      new Random(2 ** 40),
      new Random('a').fork(),
    ]
    const seeds = [new Random('a', seed + 1), new Random(0, seed + 1)]
    const samples = [...streams, ...seeds].map((random) => sample(random).join())
    expect(new Set(samples).size).toBe(samples.length)
  })

  it('spreads int() evenly and stays in range', () => {
    const random = new Random('evenness')
    const counts = new Array<number>(10).fill(0)
    for (let i = 0; i < 100_000; i++) counts[random.int(10)]!++
    expect(counts).toHaveLength(10)
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(600)
    for (let i = 0; i < 1000; i++) {
      expect(random.next()).toBeLessThan(1)
      expect([3, 4, 5]).toContain(random.between(3, 5))
    }
  })

  it('shuffles without losing anything', () => {
    const items = Array.from({ length: 100 }, (_, i) => i)
    const shuffled = new Random('shuffle').shuffle([...items])
    expect(shuffled).not.toEqual(items)
    expect(shuffled.sort((a, b) => a - b)).toEqual(items)
  })
})

describe('runs', () => {
  it('multiplies, rounds and never gives zero', () => {
    expect(runs(1000)).toBe(Math.max(1, Math.round(1000 * multiplier)))
    expect(runs(0)).toBe(1)
    expect(fcParameters(200)).toEqual({ seed: seed | 0, numRuns: runs(200) })
  })
})
