import { describe, expect, it } from 'vitest'
import { createPolicy, type EvictionName, type EvictionPolicy } from '../../src/eviction/index.ts'
import { RECORDED_ACCESSES } from '../../src/eviction/recorder.ts'
import { Random } from '../support/random.ts'

const PROPOSING: EvictionName[] = ['lru', 'lfu', 'random', 'arc', 's3fifo', 'ttl']

function create(name: EvictionName, limitBytes = 1000): EvictionPolicy {
  const random = new Random(name)
  return createPolicy(name, { random: () => random.next(), limitBytes })
}

/** A policy with the ids 0 to n - 1, of 10 bytes each; id i expires at 1 + i. */
function filled(name: EvictionName, n: number, limitBytes = 1000): EvictionPolicy {
  const policy = create(name, limitBytes)
  for (let id = 0; id < n; id++) policy.insert(id, id, 10, 1 + id)
  return policy
}

/** Evicts all, in the order of the policy. */
function drain(policy: EvictionPolicy): number[] {
  const order: number[] = []
  for (let id = policy.next(); id !== -1; id = policy.next()) {
    policy.evicted(id)
    order.push(id)
  }
  return order
}

describe.each(PROPOSING)('%s', (name) => {
  it('proposes the same id again where the first proposal has not been answered, unless it draws', () => {
    const policy = filled(name, 10)
    const id = policy.next()
    if (name !== 'random') expect(policy.next()).toBe(id)
    policy.remove(id)
    expect(drain(policy)).not.toContain(id)
  })

  it('proposes an id that was spared again, after the others', () => {
    const policy = filled(name, 5)
    const spared = policy.next()
    policy.spared(spared)
    const others = new Set<number>()
    for (let i = 0; i < 4; i++) {
      const id = policy.next()
      others.add(id)
      policy.spared(id)
    }
    expect(others.has(spared)).toBe(false)
    expect(others.size).toBe(4)
    expect([policy.next(), policy.next()]).toEqual([-1, name === 'random' ? expect.any(Number) : spared])
    expect(drain(policy).sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4])
  })

  it('does not meet ids that may not leave in every search', () => {
    const policy = filled(name, 20_000, 400_000)
    let proposals = 0
    for (let id = 20_000; id < 30_000; id++) {
      for (;;) {
        const candidate = policy.next()
        proposals++
        if (candidate >= 20_000 || (candidate & 1) === 1) {
          policy.evicted(candidate)
          break
        }
        policy.spared(candidate)
      }
      policy.insert(id, id, 10, 1 + id)
    }
    // At most one of the bench per search, and each of the 10,000 that may not leave once.
    expect(proposals).toBeLessThan(30_001)
  })

  it('knows nothing of an id from before it went', () => {
    const policy = filled(name, 3)
    for (let i = 0; i < 10; i++) policy.access(1)
    policy.spared(policy.next())
    policy.remove(1)
    policy.insert(1, 77, 30, 1000)
    expect(policy.accesses(1) ?? 0).toBe(0)
    expect(policy.bytes).toBe(50)
    policy.check()
    expect(drain(policy).sort((a, b) => a - b)).toEqual([0, 1, 2])
    policy.check()
  })
})

describe('lru', () => {
  it('keeps the exact order of use over removals and numbers used again, whenever the record is applied', () => {
    for (const fillers of [0, 1, 5, RECORDED_ACCESSES - 12, RECORDED_ACCESSES - 8, RECORDED_ACCESSES]) {
      const policy = filled('lru', 6)
      for (let i = 0; i < fillers; i++) policy.access(5)
      policy.access(0)
      policy.access(2)
      policy.remove(2)
      policy.access(1)
      policy.insert(2, 2, 10, 0)
      policy.access(3)
      policy.remove(3)
      policy.write(4, 20, 0)
      expect(drain(policy)).toEqual([5, 0, 1, 2, 4])
    }
  })
})

describe('lfu', () => {
  it('evicts what was used least, and counts to 255', () => {
    const policy = filled('lfu', 4)
    const uses = [3, 1, 300, 2]
    for (const [id, times] of uses.entries()) for (let i = 0; i < times; i++) policy.access(id)
    expect([0, 1, 2, 3].map((id) => policy.accesses(id))).toEqual([3, 1, 255, 2])
    expect(drain(policy)).toEqual([1, 3, 0, 2])
  })

  it('goes on when the age has run through all numbers that it has', () => {
    const policy = create('lfu')
    // An id with 7 accesses takes the age 57 further when it goes.
    let age = 0
    for (; age < 2 ** 24 - 200; age += 57) {
      policy.insert(0, 0, 1, 0)
      for (let n = 0; n < 7; n++) policy.access(0)
      policy.evicted(policy.next())
    }
    for (; age < 2 ** 24 + 200; age += 25) {
      for (let id = 1; id <= 4; id++) policy.insert(id, id, 1, 0)
      for (let id = 1; id <= 4; id++) for (let n = id; n < 4; n++) policy.access(id)
      policy.check()
      expect(drain(policy)).toEqual([4, 3, 2, 1])
    }
  })
})

describe('arc', () => {
  it('keeps what was used twice while there is more of what was used once than its target', () => {
    const policy = filled('arc', 6)
    policy.access(0)
    policy.access(2)
    expect(drain(policy)).toEqual([1, 3, 4, 0, 2, 5])
  })

  it('takes what it remembers straight among what was used again', () => {
    const policy = filled('arc', 10, 100)
    const victim = policy.next()
    policy.evicted(victim)
    policy.insert(victim, victim, 10, 0)
    for (let i = 0; i < 7; i++) policy.evicted(policy.next())
    policy.check()
    expect(drain(policy)).toContain(victim)
  })
})

describe('s3fifo', () => {
  it('lets pass through what was not used, and keeps what was', () => {
    const policy = filled('s3fifo', 10, 100)
    policy.access(3)
    for (let i = 0; i < 2; i++) policy.access(5)
    expect(drain(policy)).toEqual([0, 1, 2, 4, 6, 7, 3, 5, 8, 9])
  })

  it('has what was used in the main queue pass through it once more, however often it was', () => {
    const policy = filled('s3fifo', 10, 100)
    for (let id = 0; id < 10; id++) policy.access(id)
    const victims = [policy.next()]
    policy.evicted(victims[0] as number)
    for (let i = 0; i < 5; i++) policy.access(3)
    expect([...victims, ...drain(policy)]).toEqual([0, 1, 2, 4, 5, 6, 7, 3, 8, 9])
  })

  it('takes what it remembers straight into the main queue', () => {
    const policy = filled('s3fifo', 10, 100)
    policy.evicted(policy.next())
    policy.insert(0, 0, 10, 0)
    expect(drain(policy).slice(-3)).toEqual([0, 8, 9])
  })
})

describe('ttl', () => {
  it('evicts the soonest to expire, and never what does not expire', () => {
    const policy = create('ttl')
    for (const [id, expiresAt] of [50, 0, 20, 40, 20].entries()) policy.insert(id, id, 10, expiresAt)
    policy.write(3, 10, 10)
    policy.write(0, 10, 0)
    policy.write(1, 10, 30)
    expect(drain(policy)).toEqual([3, 2, 4, 1])
    expect([policy.entries, policy.bytes, policy.next()]).toEqual([1, 10, -1])
  })
})

describe('random', () => {
  it('draws evenly', () => {
    const random = new Random('even')
    const policy = createPolicy('random', { random: () => random.next(), limitBytes: 100 })
    const counts = new Float64Array(20)
    for (let id = 0; id < 20; id++) policy.insert(id, id, 1, 0)
    for (let i = 0; i < 20_000; i++) {
      const id = policy.next()
      counts[id]!++
      policy.evicted(id)
      policy.insert(id, id, 1, 0)
    }
    // Chi-squared with 19 degrees of freedom: beyond 60 once in 4 million runs.
    expect(counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0)).toBeLessThan(60)
  })
})

describe('manual', () => {
  it('proposes nothing and counts what is there', () => {
    const policy = filled('manual', 3)
    policy.evicted(1)
    policy.write(2, 25, 0)
    expect([policy.next(), policy.entries, policy.bytes]).toEqual([-1, 2, 35])
  })
})
