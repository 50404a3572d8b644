import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MapletCore } from '../../src/maplet/core.ts'
import { hashKey, hashLow } from '../../src/maplet/hash.ts'
import { entriesOf } from '../../src/maplet/inspect.ts'
import { mergeCores } from '../../src/maplet/merge-cores.ts'
import type { ValueMerge } from '../../src/maplet/reshape.ts'
import { fcParameters, Random, runs } from '../support/random.ts'
import { Owner, SMALL } from './model.ts'

/** A phase of a history: how many operations, and how many in a hundred of them add an entry. */
const phase = fc.record({ operations: fc.integer({ min: 1, max: 1500 }), adds: fc.constantFrom(0, 10, 50, 90, 100) })

const history = fc.record({
  seed: fc.nat(),
  hash: fc.constantFrom('seeded' as const, 'keyed' as const),
  phases: fc.array(phase, { minLength: 1, maxLength: 6 }),
  /** Keys come from a set of this size: small ones repeat. */
  keys: fc.constantFrom(40, 2000, 1_000_000),
  capacity: fc.constantFrom(undefined, 10, 5000),
})

/** Runs a history beside a map from keys to the numbers of their entries, and looks at both all along. */
function replay({
  seed,
  hash,
  phases,
  keys,
  capacity,
}: typeof history extends fc.Arbitrary<infer T> ? T : never): void {
  const random = new Random(seed)
  const owner = new Owner({ seed, hash, capacity })
  const model = new Map<string, Set<number>>()
  const live: number[] = []
  let step = 0
  for (const { operations, adds } of phases) {
    for (let i = 0; i < operations; i++, step++) {
      if (live.length === 0 || random.int(100) < adds) {
        const key = `key ${random.int(keys)}`
        const value = owner.add(key)
        live.push(value)
        model.set(key, (model.get(key) ?? new Set()).add(value))
      } else {
        const at = random.int(live.length)
        const value = live[at]!
        live[at] = live.at(-1)!
        live.pop()
        const key = owner.keys[value] as string
        expect(owner.remove(value)).toBe(true)
        model.get(key)!.delete(value)
        if (model.get(key)!.size === 0) model.delete(key)
      }
      if (step % 61 === 0) {
        const key = `key ${random.int(keys)}`
        const found = owner.find(key)
        expect(found < 0 ? model.has(key) : !model.get(key)!.has(found)).toBe(false)
      }
      if (step % 997 === 0) owner.core.check()
    }
  }
  owner.core.check()
  expect(owner.core.size).toBe(live.length)
  for (const [key, values] of model) {
    expect(values.has(owner.find(key))).toBe(true)
    const count = owner.core.candidates(hashKey(key, owner.core), hashLow)
    const found = new Set(owner.core.found.subarray(0, count))
    for (const value of values) expect(found.has(value)).toBe(true)
  }
  expect(Array.from(entriesOf(owner.core), ({ value }) => value).sort((p, q) => p - q)).toEqual(
    [...live].sort((p, q) => p - q),
  )
  for (let i = 0; i < 50; i++) expect(owner.find(`absent ${i}`)).toBe(-1)
}

describe('the core', () => {
  it('agrees with a model through growth, splits, shrinking and joins (I1, I2, I3)', () => {
    fc.assert(fc.property(history, replay), fcParameters(25))
  })

  it('comes back to one small segment when all is taken out, and grows again', () => {
    for (let round = 0; round < runs(3); round++) {
      const owner = new Owner({ seed: round })
      for (let again = 0; again < 2; again++) {
        const values = Array.from({ length: 5000 }, (_, i) => owner.add(i))
        expect(owner.core.stats().segments).toBeGreaterThanOrEqual(16)
        new Random(round).shuffle(values)
        for (const [i, value] of values.entries()) {
          expect(owner.remove(value)).toBe(true)
          if (i % 500 === 0) owner.core.check()
        }
        expect(owner.core.stats()).toMatchObject({ entries: 0, segments: 1, slots: 256 })
        expect(owner.core.segments).toHaveLength(2)
      }
    }
  })

  it('removes, of entries with one key, the one with that value', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(5), { minLength: 1, maxLength: 90 }), fc.nat(), (names, seed) => {
        const owner = new Owner({ seed })
        const random = new Random(seed)
        for (let i = 0; i < 300; i++) owner.add(`other ${i}`)
        const mine = random.shuffle(names.map((name) => owner.add(name)))
        while (mine.length > 0) {
          const value = mine.pop()!
          const key = owner.keyOf(value)
          expect(owner.remove(value)).toBe(true)
          const high = hashKey(key, owner.core)
          expect(owner.core.remove(high, hashLow, value)).toBe(false)
          owner.core.check()
          for (const left of mine) {
            const count = owner.core.candidates(hashKey(owner.keyOf(left), owner.core), hashLow)
            expect(owner.core.found.subarray(0, count)).toContain(left)
          }
        }
        expect(owner.core.size).toBe(300)
      }),
      fcParameters(20),
    )
  })

  it('lists candidates oldest first, also when older entries have fewer bits', () => {
    fc.assert(
      fc.property(fc.nat(), fc.array(fc.nat(7), { minLength: 1, maxLength: 60 }), (seed, names) => {
        const core = new MapletCore(null, { seed }, SMALL)
        const inserted = new Map<number, number[]>()
        let others = 0
        for (const [i, name] of names.entries()) {
          core.insert(hashKey(name, core), hashLow, i)
          inserted.set(name, [...(inserted.get(name) ?? []), i])
          // Splits in between take bits from what is there.
          for (let k = 0; k < 60; k++) core.insert(hashKey(`other ${others++}`, core), hashLow, 1_000_000)
        }
        for (const [name, order] of inserted) {
          const count = core.candidates(hashKey(name, core), hashLow)
          expect([...core.found.subarray(0, count)].filter((value) => value < 1_000_000)).toEqual(order)
        }
      }),
      fcParameters(20),
    )
  })
})

describe('two cores', () => {
  const keep: ValueMerge = { first: (value) => value, second: (value) => value, both: null }

  function coreOf(
    keys: readonly number[],
    from: number,
    seed: number,
    hash: 'seeded' | 'keyed' = 'seeded',
  ): MapletCore {
    const core = new MapletCore(null, { seed, hash }, SMALL)
    for (const [i, key] of keys.entries()) expect(core.insert(hashKey(key, core), hashLow, from + i)).toBe(true)
    return core
  }

  const keys = fc
    .tuple(fc.constantFrom(0, 3, 200, 3000), fc.nat(), fc.constantFrom(1500, 1_000_000))
    .map(([length, stream, range]) => {
      const random = new Random(stream)
      return Array.from({ length }, () => random.int(range))
    })

  it('make one with the entries of both, in which each is found, and stay as they were', () => {
    fc.assert(
      fc.property(
        keys,
        keys,
        fc.nat(),
        fc.constantFrom('seeded' as const, 'keyed' as const),
        (some, more, seed, hash) => {
          const [one, two] = [coreOf(some, 0, seed, hash), coreOf(more, 10_000, seed, hash)]
          const before = [[...entriesOf(one)], [...entriesOf(two)]]
          const merged = mergeCores(one, two, keep)!
          merged.check()
          expect(merged.size).toBe(some.length + more.length)
          for (const [from, given] of [[0, some] as const, [10_000, more] as const]) {
            for (const [i, key] of given.entries()) {
              const count = merged.candidates(hashKey(key, merged), hashLow)
              expect(merged.found.subarray(0, count).includes(from + i)).toBe(true)
            }
          }
          expect([[...entriesOf(one)], [...entriesOf(two)]]).toEqual(before)
          // It goes on growing and shrinking.
          for (let i = 0; i < 500; i++) merged.insert(hashKey(`new ${i}`, merged), hashLow, 20_000 + i)
          for (const [i, key] of some.entries()) expect(merged.remove(hashKey(key, merged), hashLow, i)).toBe(true)
          merged.check()
        },
      ),
      fcParameters(25),
    )
  })

  it('make one entry of two with the same fingerprint if their values are merged', () => {
    const values: ValueMerge = { ...keep, both: (first, second) => first * 100_000 + second }
    const distinct = Array.from({ length: 2000 }, (_, i) => i)
    const merged = mergeCores(coreOf(distinct, 0, 3), coreOf(distinct.slice(500), 10_000, 3), values)!
    merged.check()
    expect(merged.size).toBe(2000)
    for (const key of distinct) {
      expect(merged.candidates(hashKey(key, merged), hashLow)).toBe(1)
      expect(merged.found[0]).toBe(key < 500 ? key : key * 100_000 + 10_000 + key - 500)
    }
  })

  it('have no common core if too many entries crowd', () => {
    const one = coreOf(
      Array.from({ length: 100 }, () => 7),
      0,
      3,
    )
    const two = coreOf(
      Array.from({ length: 100 }, () => 7),
      100,
      3,
    )
    expect(mergeCores(one, two, keep)).toBeNull()
    expect(mergeCores(one, coreOf([], 0, 3), keep)?.size).toBe(100)
  })
})
