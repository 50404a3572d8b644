import { describe, expect, it } from 'vitest'
import { Arc } from '../../src/eviction/arc.ts'
import { Ghosts } from '../../src/eviction/ghosts.ts'
import { S3Fifo } from '../../src/eviction/s3fifo.ts'
import { Random, runs } from '../support/random.ts'
import { hashOf } from './cache.ts'

describe('Ghosts', () => {
  it('are a queue from which any can be taken (G1 to G3)', () => {
    for (let round = 0; round < runs(30); round++) {
      const random = new Random(round)
      const ghosts = new Ghosts()
      const hashes = random.pick([10, 300, 2 ** 32])
      const most = random.pick([5, 70, 700])
      let model: [hash: number, bytes: number][] = []
      for (let step = 0; step < 3000; step++) {
        const hash = random.chance(0.3) && model.length > 0 ? random.pick(model)[0] : random.int(hashes)
        if (random.chance(0.7)) {
          const bytes = random.pick([0, random.int(100), 2 ** 32 - 1])
          ghosts.add(hash, bytes)
          model = [...model.filter(([other]) => other !== hash), [hash, Math.min(bytes, 2 ** 32 - 2)]]
        } else {
          expect(ghosts.take(hash)).toBe(model.some(([other]) => other === hash))
          model = model.filter(([other]) => other !== hash)
        }
        while (model.length > most) {
          ghosts.dropOldest()
          model.shift()
        }
        if (step % 100 === 0) {
          ghosts.check()
          expect(ghosts.bytes).toBe(model.reduce((sum, [, bytes]) => sum + bytes, 0))
        }
      }
      for (; model.length > 0; model.shift()) {
        expect(ghosts.entries).toBe(model.length)
        ghosts.dropOldest()
        expect(ghosts.take(model[0]![0])).toBe(false)
      }
      ghosts.check()
    }
  })

  it('take as much room as there are of them, and give it back', () => {
    const ghosts = new Ghosts()
    for (let i = 0; i < 200_000; i++) {
      ghosts.add(hashOf(i), 1)
      if (ghosts.entries > 50_000) ghosts.dropOldest()
    }
    expect(ghosts.overheadBytes).toBeLessThanOrEqual(131_072 * 16)
    while (ghosts.entries > 100) ghosts.dropOldest()
    for (let i = 0; i < 200_000; i++) {
      ghosts.add(hashOf(i), 1)
      if (ghosts.entries > 100) ghosts.dropOldest()
    }
    expect(ghosts.overheadBytes).toBeLessThanOrEqual(512 * 16)
  })
})

describe.each([
  ['arc', (): Arc | S3Fifo => new Arc(100_000), 100_000],
  ['s3fifo', (): Arc | S3Fifo => new S3Fifo(100_000), 75_000],
] as const)('the ghosts of %s', (_, create, mostBytes) => {
  it('are at most as many bytes as the definition allows, and 2 per resident entry and 64', () => {
    const random = new Random('bounds')
    const policy = create()
    let fresh = 0
    const free: number[] = []
    let ids = 0
    let most = 0
    const evict = (bytes: number): void => {
      while (policy.bytes > bytes) {
        const id = policy.next()
        policy.evicted(id)
        free.push(id)
        most = Math.max(most, policy.ghosts)
        if (policy.ghosts > 2 * policy.entries + 64) throw new Error('too many ghosts')
      }
    }
    for (let i = 0; i < 50_000; i++) {
      // Long runs of small entries, then of large ones: few residents, to many of which small ghosts are left.
      const bytes = (i >> 12) % 2 === 0 ? 10 : 5000
      evict(100_000 - bytes)
      const id = free.pop() ?? ids++
      policy.insert(id, hashOf(fresh++), bytes, 0)
      if (random.chance(0.3)) policy.access(id)
    }
    expect(most * 10).toBeLessThanOrEqual(2 * mostBytes)
    expect(most).toBeGreaterThan(1000)
    policy.limit(1000)
    evict(1000)
    expect(policy.ghosts).toBeLessThanOrEqual(200)
    policy.check()
  })
})
