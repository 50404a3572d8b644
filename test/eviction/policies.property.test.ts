import { describe, expect, it } from 'vitest'
import { createPolicy, type EvictionName, type EvictionPolicy } from '../../src/eviction/index.ts'
import { leastCost } from '../support/patience.ts'
import { Random, runs } from '../support/random.ts'
import { createModel, type Driven, type ModelName } from './models.ts'

const NAMES: EvictionName[] = ['lru', 'lfu', 'random', 'arc', 's3fifo', 'ttl', 'manual']
const MODELLED: ModelName[] = ['lru', 'lfu', 'arc', 's3fifo', 'ttl']

/** The calls of one step, for all policies that are to be driven alike. Knows what is resident, and with which expiry. */
class Driver {
  readonly random: Random
  readonly policies: Driven[]
  readonly resident = new Map<number, number>()
  readonly free: number[] = []
  readonly hashes: number
  limitBytes: number
  ids = 0

  constructor(random: Random, policies: Driven[], limitBytes: number) {
    this.random = random
    this.policies = policies
    this.limitBytes = limitBytes
    this.hashes = random.pick([20, 200, 2 ** 32])
  }

  any(): number {
    return this.random.pick([...this.resident.keys()])
  }

  bytes(): number {
    return this.random.pick([0, 1, this.random.int(20), this.random.int(200)])
  }

  expiry(): number {
    return this.random.chance(0.3) ? 0 : 1 + this.random.int(50)
  }

  insert(): void {
    const id = this.free.pop() ?? this.ids++
    const expiresAt = this.expiry()
    const hash = this.random.int(this.hashes)
    const bytes = this.bytes()
    this.resident.set(id, expiresAt)
    for (const policy of this.policies) policy.insert(id, hash, bytes, expiresAt)
  }

  gone(id: number): void {
    this.resident.delete(id)
    this.free.push(id)
  }

  write(): void {
    const id = this.any()
    const expiresAt = this.expiry()
    const bytes = this.bytes()
    this.resident.set(id, expiresAt)
    for (const policy of this.policies) policy.write(id, bytes, expiresAt)
  }

  leave(call: 'remove' | 'evicted'): void {
    const id = this.any()
    for (const policy of this.policies) policy[call](id)
    this.gone(id)
  }

  /** Searches for a victim; a good part of what is proposed may not leave. Returns what was proposed. */
  search(): number {
    const proposed = this.policies.map((policy) => policy.next())
    if (proposed.some((id) => id !== proposed[0])) throw new Error(`different candidates: ${proposed.join(' ')}`)
    const id = proposed[0]!
    if (id === -1) return id
    expect(this.resident.has(id)).toBe(true)
    if (this.random.chance(0.5)) {
      for (const policy of this.policies) policy.spared(id)
      return this.random.chance(0.8) ? this.search() : id
    }
    const call = this.random.chance(0.9) ? 'evicted' : 'remove'
    for (const policy of this.policies) policy[call](id)
    this.gone(id)
    return id
  }

  step(): void {
    const { random, resident, policies } = this
    if (resident.size === 0 || random.chance(0.25)) return this.insert()
    const kind = random.int(100)
    if (kind < 55) {
      const id = this.any()
      for (const policy of policies) policy.access(id)
    } else if (kind < 65) this.write()
    else if (kind < 68) {
      const [id, bytes] = [this.any(), this.bytes()]
      for (const policy of policies) policy.resize(id, bytes)
    } else if (kind < 73) this.leave('remove')
    else if (kind < 75) this.leave('evicted')
    else if (kind < 76) {
      this.limitBytes = random.pick([0, 50, 400, 3000])
      for (const policy of policies) policy.limit(this.limitBytes)
    } else this.search()
  }
}

/** The ids that `next` proposes in one round in which all are spared. */
function wholeRound(policy: EvictionPolicy): number[] {
  const proposed: number[] = []
  for (let id = policy.next(); id !== -1; id = policy.next()) {
    proposed.push(id)
    policy.spared(id)
    if (proposed.length > 10_000) throw new Error('no end')
  }
  return proposed
}

function create(name: EvictionName, limitBytes: number, seed: number): EvictionPolicy {
  const random = new Random(seed)
  return createPolicy(name, { random: () => random.next(), limitBytes })
}

describe.each(MODELLED)('%s', (name) => {
  it('proposes what its definition proposes, whatever is called (P1, P4)', () => {
    for (let round = 0; round < runs(60); round++) {
      const random = new Random(round)
      const limitBytes = random.pick([0, 50, 400, 3000])
      const policy = create(name, limitBytes, round)
      const model = createModel(name, limitBytes)
      const driver = new Driver(random, [policy, model], limitBytes)
      for (let step = 0; step < 800; step++) {
        driver.step()
        if (policy.bytes !== model.bytes || policy.entries !== model.entries) {
          expect([policy.bytes, policy.entries]).toEqual([model.bytes, model.entries])
        }
        if (step % 50 === 0) policy.check()
      }
      policy.check()
    }
  })
})

describe.each(NAMES)('%s', (name) => {
  it('proposes each id that may be evicted once per round, and never one that is gone (P1, P2)', () => {
    for (let round = 0; round < runs(40); round++) {
      const random = new Random(round)
      const policy = create(name, 500, round)
      const driver = new Driver(random, [policy], 500)
      for (let part = 0; part < 8; part++) {
        const steps = random.pick([1, 10, 150])
        for (let step = 0; step < steps; step++) driver.step()
        // A search that was given up leaves a round open; an insert ends it.
        driver.insert()
        const evictable = [...driver.resident]
          .filter(([, expiresAt]) => name !== 'manual' && (name !== 'ttl' || expiresAt !== 0))
          .map(([id]) => id)
          .sort((a, b) => a - b)
        for (let i = 0; i < 2; i++) expect(wholeRound(policy).sort((a, b) => a - b)).toEqual(evictable)
        policy.check()
      }
      expect(policy.entries).toBe(driver.resident.size)
    }
  })

  it('proposes the same after the same calls and the same chance (P4)', () => {
    const random = new Random(name)
    const policies = [create(name, 400, 1), create(name, 400, 1)]
    const driver = new Driver(random, policies, 400)
    for (let step = 0; step < 5000; step++) driver.step()
    expect(policies[0]!.bytes).toBe(policies[1]!.bytes)
  })

  it('takes reads without allocating, and writes without growing (P3)', () => {
    const random = new Random(name)
    const policy = create(name, 1e6, 1)
    for (let id = 0; id < 1000; id++) policy.insert(id, random.uint32(), 100, 1 + id)
    const read = (times: number): void => {
      for (let i = 0; i < times; i++) policy.access((i * 7919) % 1000)
    }
    read(300_000)
    const before = policy.overheadBytes
    globalThis.gc!()
    const heap = process.memoryUsage().heapUsed
    read(200_000)
    // A number on the heap per read would be 2.4 MB.
    expect(process.memoryUsage().heapUsed - heap).toBeLessThan(500_000)
    for (let i = 0; i < 100_000; i++) policy.write((i * 104_729) % 1000, 100 + (i & 7), 1 + (i & 1023))
    expect(policy.overheadBytes).toBe(before)
  })

  it('has columns of at most 40 bytes for an id up to the largest, doubled (P3)', () => {
    const policy = create(name, 1e9, 1)
    for (let id = 0; id < 100_000; id++) policy.insert(id, id * 0x9e3779b1, 100, 1 + id)
    expect(policy.overheadBytes).toBeLessThan(131_072 * 40)
    policy.insert(1_000_000, 5, 100, 1)
    expect(policy.entries).toBe(100_001)
    expect(policy.bytes).toBe(100_001 * 100)
    policy.check()
  })

  it('takes about as long for an insert with evictions, of which some are refused, at 20,000 entries as at 1000', async () => {
    const random = new Random(name)
    const few = await leastCost(5, () => evictions(random, 1000))
    const many = await leastCost(3, () => evictions(random, 20_000))
    // Twenty times if each looked at all others.
    expect(many / few).toBeLessThan(8)
  })

  /** 10^5 inserts into a policy that holds so many. */
  function evictions(random: Random, held: number): void {
    const policy = create(name, held * 50, 1)
    const free: number[] = []
    let ids = 0
    for (let i = 0; i < 100_000; i++) {
      while (policy.bytes >= held * 50) {
        const id = policy.next()
        if (id === -1) break
        // One in four may not leave, some of them for long.
        if ((id & 3) === 0 && random.chance(0.9)) {
          policy.spared(id)
          continue
        }
        policy.evicted(id)
        free.push(id)
      }
      const id = free.pop() ?? ids++
      policy.insert(id, random.uint32(), 50, 1 + random.int(1000))
      policy.access(id)
    }
    policy.check()
  }

  it('counts what is beyond 4 GiB as 4 GiB, and nothing as nothing', () => {
    const policy = create(name, 1e12, 1)
    policy.insert(0, 1, 2 ** 40, 1)
    expect(policy.bytes).toBe(2 ** 32 - 1)
    policy.insert(1, 2, 0, 1)
    policy.resize(0, 10)
    expect([policy.bytes, policy.entries]).toEqual([10, 2])
    policy.remove(1)
    policy.remove(0)
    expect([policy.bytes, policy.entries, policy.next()]).toEqual([0, 0, -1])
    policy.check()
  })
})
