import { describe, expect, it } from 'vitest'
import { Arc } from '../../src/eviction/arc.ts'
import { createPolicy, type EvictionName } from '../../src/eviction/index.ts'
import { Random } from '../support/random.ts'
import { Cache, ratio, variedSize } from './cache.ts'
import { createModel, type ModelName } from './models.ts'
import { loop, scanPolluted, shifting, usedTimes, zipf } from './traces.ts'

const MODELLED: ModelName[] = ['lru', 'lfu', 'arc', 's3fifo', 'ttl']

/** Small enough for models that sort and filter. */
function traces(random: Random): [name: string, trace: Uint32Array][] {
  const next = (): number => random.next()
  return [
    ['Zipf 0.7', zipf(next, 6000, 1000, 0.7)],
    ['Zipf 0.99', zipf(next, 6000, 1000, 0.99)],
    ['a loop a little larger than the cache', loop(4000, 110)],
    ['Zipf 0.9 with scans', scanPolluted(next, 6000, 600, 0.9, 300, 150)],
    ['a hot set that shifts', shifting(next, 6000, 400, 0.99, 4)],
    ['each key used twice', usedTimes(4000, 40, 2)],
  ]
}

function hits(name: EvictionName, trace: Uint32Array, limitBytes: number): Uint8Array {
  const random = new Random(name)
  return new Cache(createPolicy(name, { random: () => random.next(), limitBytes }), limitBytes).run(trace)
}

describe.each(MODELLED)('%s', (name) => {
  it.each(traces(new Random(name)))('hits and misses as its definition does: %s', (_, trace) => {
    for (const [limitBytes, sizeOf] of [[100, () => 1] as const, [700, variedSize] as const]) {
      const random = new Random(name)
      const policy = createPolicy(name, { random: () => random.next(), limitBytes })
      const found = new Cache(policy, limitBytes, sizeOf).run(trace)
      const expected = new Cache(createModel(name, limitBytes), limitBytes, sizeOf).run(trace)
      const difference = found.findIndex((hit, i) => hit !== expected[i])
      expect(difference).toBe(-1)
      policy.check()
      expect(policy.bytes).toBeLessThanOrEqual(limitBytes)
    }
  })
})

describe('random', () => {
  it('hits as often as an even choice among all entries', () => {
    const random = new Random('random')
    for (const [, trace] of traces(random)) {
      const kept: number[] = []
      const expected = Uint8Array.from(trace, (key) => {
        if (kept.includes(key)) return 1
        if (kept.length === 100) kept.splice(random.int(100), 1)
        kept.push(key)
        return 0
      })
      expect(Math.abs(ratio(hits('random', trace, 100)) - ratio(expected))).toBeLessThan(0.04)
    }
  })
})

describe('what the policies are good at', () => {
  const random = new Random('strengths')
  const next = (): number => random.next()
  const skewed = zipf(next, 200_000, 20_000, 0.99)
  const scanned = scanPolluted(next, 200_000, 20_000, 0.9, 5000, 2000)

  it('s3fifo, arc and lfu hit more often than lru, and lru more often than random, on a skewed trace', () => {
    const [s3fifo, arc, lfu, lru, chance] = (['s3fifo', 'arc', 'lfu', 'lru', 'random'] as const).map((name) =>
      ratio(hits(name, skewed, 500)),
    )
    expect(Math.min(s3fifo!, arc!, lfu!)).toBeGreaterThan(lru! + 0.05)
    expect(lru).toBeGreaterThan(chance! + 0.02)
  })

  it('scans cost s3fifo, arc and lfu less than lru', () => {
    const lru = ratio(hits('lru', scanned, 500))
    for (const name of ['s3fifo', 'arc', 'lfu'] as const) {
      expect(ratio(hits(name, scanned, 500))).toBeGreaterThan(lru + 0.05)
    }
  })

  it('lfu recovers after a shift of the hot set, however hot the old one was', () => {
    const limitBytes = 200
    const old = Uint32Array.from({ length: 200_000 }, (_, i) => i % 180)
    const fresh = zipf(next, 60_000, 2000, 0.99).map((key) => key + 1000)
    const policy = createPolicy('lfu', { random: next, limitBytes })
    const cache = new Cache(policy, limitBytes)
    expect(ratio(cache.run(old), 1000)).toBe(1)
    const found = cache.run(fresh)
    const undisturbed = hits('lfu', fresh, limitBytes)
    // Before, it has to learn; from the second half on nothing is left of the old set.
    expect(ratio(found, 30_000)).toBeGreaterThan(ratio(undisturbed, 30_000) - 0.01)
    expect([...cache.ids.keys()].filter((key) => key < 1000)).toEqual([])
  })

  it('a shift does not leave any policy behind for long', () => {
    const trace = shifting(next, 200_000, 20_000, 0.99, 4)
    for (const name of ['lru', 'lfu', 'arc', 's3fifo', 'random'] as const) {
      const found = hits(name, trace, 500)
      for (let phase = 1; phase < 4; phase++) {
        const before = ratio(found, 25_000, 50_000)
        expect(ratio(found, phase * 50_000 + 25_000, (phase + 1) * 50_000)).toBeGreaterThan(before - 0.03)
      }
    }
  })

  it('s3fifo and arc hit at least as often as lru where what is hot moves on', () => {
    // As the trace of the benchmark, a tenth of its length.
    const phases = Array.from({ length: 5 }, (_, phase) =>
      zipf(next, 10_000, 10_000, 0.99).map((key) => (Math.imul(key, 7919) + phase * 792) % 10_000),
    )
    const trace = Uint32Array.from(phases.flatMap((phase) => [...phase]))
    const lru = ratio(hits('lru', trace, 1000))
    expect(ratio(hits('s3fifo', trace, 1000))).toBeGreaterThanOrEqual(lru)
    expect(ratio(hits('arc', trace, 1000))).toBeGreaterThanOrEqual(lru)
  })

  it('the target of arc moves up where recency pays and down where frequency does', () => {
    const limitBytes = 100
    const arc = new Arc(limitBytes)
    const cache = new Cache(arc, limitBytes)
    const targets = { least: Infinity, most: 0 }
    const drive = (trace: Uint32Array): void => {
      targets.least = Infinity
      targets.most = 0
      for (const key of trace) {
        cache.get(key)
        targets.least = Math.min(targets.least, arc.target)
        targets.most = Math.max(targets.most, arc.target)
      }
    }
    // Fills T2; then keys that return shortly after T1 gave them up: hits in B1.
    drive(usedTimes(1000, 50, 2))
    drive(usedTimes(6000, 70, 2).map((key) => key + 10_000))
    expect(targets.most).toBeGreaterThan(80)
    // A set that is used over and over, each key twice in a row, among keys that are used once: hits in B2.
    drive(Uint32Array.from({ length: 20_000 }, (_, i) => ((i & 3) < 2 ? 50_000 + ((i >> 2) % 90) : 100_000 + i)))
    expect(targets.least).toBeLessThan(20)
    arc.check()
  })
})
