import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Filter, Maplet, type MergeOperator, merges } from '../../src/maplet/index.ts'
import { fcParameters, Random, runs } from '../support/random.ts'

/** An operation: what, with which of few keys, with which value. */
const operation = fc.record({
  kind: fc.constantFrom('insert', 'insert', 'insert', 'delete', 'delete value', 'bulk', 'unbulk', 'merge'),
  key: fc.nat(8),
  value: fc.oneof(fc.nat(5), fc.constantFrom(2 ** 32 - 1, -1, 0.5)),
})

const operations = fc.array(operation, { maxLength: 60 })

/** Enough other keys for a segment to grow and split. */
const BULK = 4000

describe('a maplet', () => {
  it('without merge agrees with lists of values', () => {
    fc.assert(
      fc.property(operations, fc.nat(), fc.constantFrom('seeded' as const, 'keyed' as const), (history, seed, hash) => {
        let maplet = new Maplet({ seed, hash })
        const model = new Map<number, number[]>()
        let bulk = false
        for (const { kind, key, value } of history) {
          const values = model.get(key) ?? []
          model.set(key, values)
          if (kind === 'insert') {
            maplet.insert(key, value)
            values.push(value)
          } else if (kind === 'delete') {
            expect(maplet.delete(key)).toBe(values.pop() !== undefined)
          } else if (kind === 'delete value') {
            const at = values.lastIndexOf(value)
            expect(maplet.delete(key, value)).toBe(at >= 0)
            if (at >= 0) values.splice(at, 1)
          } else if (kind === 'bulk' && !bulk) {
            for (let i = 0; i < BULK; i++) maplet.insert(`bulk ${i}`, i)
            bulk = true
          } else if (kind === 'unbulk' && bulk) {
            for (let i = 0; i < BULK; i++) expect(maplet.delete(`bulk ${i}`, i)).toBe(true)
            bulk = false
          } else if (kind === 'merge') {
            maplet = maplet.merge(new Maplet({ seed, hash }))
          }
          expect([maplet.get(key), maplet.getAll(key), maplet.has(key)]).toEqual([
            values.at(-1),
            values,
            values.length > 0,
          ])
        }
        maplet.check()
        for (const [key, values] of model) expect(maplet.getAll(key)).toEqual(values)
        if (bulk) for (let i = 0; i < BULK; i++) expect(maplet.get(`bulk ${i}`)).toBe(i)
        const size = Array.from(model.values(), (values) => values.length).reduce((a, b) => a + b, bulk ? BULK : 0)
        expect([maplet.size, [...maplet].length]).toEqual([size, size])
      }),
      fcParameters(40),
    )
  })

  it.each([
    ['sum', merges.sum as MergeOperator<number>],
    ['min', merges.min as MergeOperator<number>],
    ['replace', merges.replace as MergeOperator<number>],
  ])('with merge %s agrees with a map, alone and merged from two', (_name, merge) => {
    const merged = (model: Map<string, number>, key: string, value: number): Map<string, number> => {
      const identity = merge.identity as number
      return model.set(key, merge.merge(model.get(key) ?? identity, value))
    }
    fc.assert(
      fc.property(
        fc.nat(),
        fc.constantFrom(10, 3000, 30_000),
        fc.integer({ min: 0, max: 8000 }),
        (seed, range, inserts) => {
          const random = new Random(seed)
          const both = [new Maplet<number>({ seed, merge }), new Maplet<number>({ seed, merge })] as const
          const histories = [new Map<string, number>(), new Map<string, number>()] as const
          for (let i = 0; i < inserts; i++) {
            const side = random.int(2)
            const key = `key ${random.int(range)}`
            const value = random.int(3) === 0 ? random.int(10) / 2 : random.int(100)
            if (random.int(8) === 0) {
              // With 31 bits and so few keys no two collide, so a key's entry is its own.
              expect(both[side]!.delete(key)).toBe(histories[side]!.delete(key))
            } else {
              both[side]!.insert(key, value)
              merged(histories[side]!, key, value)
            }
          }
          for (const side of [0, 1] as const) {
            both[side].check()
            expect(both[side].size).toBe(histories[side].size)
            for (const [key, value] of histories[side]) expect(both[side].get(key)).toBe(value)
          }
          const result = both[0].merge(both[1])
          result.check()
          for (const [key, value] of histories[1]) merged(histories[0], key, value)
          expect(result.size).toBe(histories[0].size)
          for (const [key, value] of histories[0]) expect(result.get(key)).toBe(value)
        },
      ),
      fcParameters(12),
    )
  })
})

describe('a filter', () => {
  it('never misses a key, whatever was deleted beside it, through growth and shrinking', () => {
    // Narrow cells, and so many keys that some hundred collide: what is taken out must be the right one of them.
    for (let round = 0; round < runs(3); round++) {
      const random = new Random(round)
      const filter = new Filter({ seed: round })
      const present: number[] = []
      let next = 0
      for (const [inserts, deletes] of [
        [40_000, 0],
        [0, 25_000],
        [30_000, 10_000],
        [0, 33_000],
      ] as const) {
        for (let i = 0; i < inserts; i++) {
          filter.insert(next)
          present.push(next++)
        }
        random.shuffle(present)
        for (const key of present.splice(0, deletes))
          if (!filter.delete(key)) expect.fail(`${key} is missing when it is to be deleted`)
        filter.check()
        expect(filter.size).toBe(present.length)
        for (const key of present) if (!filter.has(key)) expect.fail(`${key} is missing`)
      }
      expect(present).toHaveLength(2000)
      expect(filter.bytes).toBeLessThan(20_000)
    }
  })
})
