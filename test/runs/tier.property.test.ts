import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Bounds,
  boundsOfKey,
  compareKeys,
  encodeKey,
  inBounds,
  type Key,
  KEY_MAX,
  resolveRange,
} from '../../src/keys/index.ts'
import { MemoryRun } from '../../src/runs/memory-run.ts'
import { ColdTier } from '../../src/runs/tier.ts'
import { bytesKey, key, stringKey } from '../support/keys.ts'
import { fcParameters } from '../support/random.ts'
import { FakeRun, seedOfTests } from './sources.ts'

/** One write: to which table, of which of the keys, the length of its value, or undefined for a removal. */
type Write = readonly [table: number, key: number, length: number | undefined]

const TABLES = [1, 2, 0xffff_fffe]

const writes: fc.Arbitrary<Write[]> = fc.array(
  fc.tuple(
    fc.constantFrom(...TABLES),
    fc.nat(),
    fc.oneof({ weight: 3, arbitrary: fc.nat({ max: 60 }) }, { weight: 1, arbitrary: fc.constant(undefined) }),
  ),
  { maxLength: 40 },
)

interface Stored {
  readonly key: Key
  readonly sequence: number
  readonly size: number
  readonly value: Uint8Array
}

interface World {
  readonly tier: ColdTier
  /** By table: what is live, in order of keys. */
  readonly live: ReadonlyMap<number, readonly Stored[]>
  readonly keys: readonly Key[]
}

function valueOf(sequence: number, length: number): Uint8Array {
  return new Uint8Array(length).fill(sequence % 251)
}

/** Sources in order of age, oldest first, each of one commit a write; the last of them is the tail if there is one. */
function makeWorld(keys: readonly Key[], stretches: readonly (readonly Write[])[], hasTail: boolean): World {
  const model = new Map<number, Map<string, Stored>>(TABLES.map((table) => [table, new Map<string, Stored>()]))
  const sources: FakeRun[] = []
  let tail: MemoryRun | null = null
  let sequence = 0
  stretches.forEach((stretch, number) => {
    const isTail = hasTail && number === stretches.length - 1
    const source = isTail ? new MemoryRun(seedOfTests) : new FakeRun(number)
    for (const [table, at, length] of stretch) {
      const key = keys[at % keys.length] as Key
      const encoded = encodeKey(key)
      const name = Buffer.from(encoded).toString('hex')
      source.commit(++sequence, sequence)
      if (length === undefined) {
        source.remove(table, encoded)
        model.get(table)?.delete(name)
      } else {
        source.put(table, encoded, length * 2, valueOf(sequence, length))
        model.get(table)?.set(name, { key, sequence, size: length * 2, value: valueOf(sequence, length) })
      }
    }
    if (isTail) tail = source
    else sources.unshift(source as FakeRun)
  })
  const live = new Map(
    [...model].map(([table, entries]) => [table, [...entries.values()].sort((a, b) => compareKeys(a.key, b.key))]),
  )
  return { tier: new ColdTier(tail, sources, sequence), live, keys }
}

const world: fc.Arbitrary<World> = fc
  .tuple(fc.array(key, { minLength: 1, maxLength: 12 }), fc.array(writes, { maxLength: 7 }), fc.boolean())
  .map(([keys, stretches, hasTail]) => makeWorld(keys, stretches, hasTail))

const bound = fc.option(fc.tuple(fc.boolean(), fc.nat()), { nil: undefined })

/** Bounds as callers make them: ends among the keys, prefixes (whose ends may hold KEY_MAX), single keys. */
const boundsMaker: fc.Arbitrary<(keys: readonly Key[]) => Bounds> = fc.oneof(
  fc.tuple(bound, bound, fc.boolean()).map(([lower, upper, reverse]) => (keys: readonly Key[]): Bounds => {
    const pick = (at: number): Key => keys[at % keys.length] as Key
    return resolveRange({
      ...(lower && { [lower[0] ? 'gt' : 'gte']: pick(lower[1]) }),
      ...(upper && { [upper[0] ? 'lt' : 'lte']: pick(upper[1]) }),
      reverse,
    })
  }),
  fc.tuple(fc.oneof(stringKey, bytesKey, key.filter(Array.isArray)), fc.boolean()).map(
    ([prefix, reverse]) =>
      (): Bounds =>
        resolveRange({ prefix, reverse }),
  ),
  fc.tuple(fc.nat(), fc.boolean()).map(([at, reverse]) => (keys: readonly Key[]): Bounds => {
    const picked = keys[at % keys.length] as Key
    return resolveRange({ prefix: Array.isArray(picked) ? picked.slice(0, 1) : [picked], reverse })
  }),
  fc.nat().map(
    (at) =>
      (keys: readonly Key[]): Bounds =>
        boundsOfKey(keys[at % keys.length] as Key),
  ),
  fc.boolean().map((open) => (): Bounds => ({ ...resolveRange({}), upper: KEY_MAX, upperOpen: open })),
)

describe('the cold tier', () => {
  it('finds what the newest source says of a key, and no tombstone (I1)', () => {
    fc.assert(
      fc.property(world, key, ({ tier, live, keys }, other) => {
        for (const id of TABLES) {
          const table = tier.table(id)
          expect(tier.table(id)).toBe(table)
          for (const sought of [...keys, other]) {
            const expected = live.get(id)?.find((entry) => compareKeys(entry.key, sought) === 0)
            expect(table.find(sought)).toBe(expected !== undefined)
            if (expected === undefined) continue
            expect(tier.has(id)).toBe(true)
            expect([table.sequence, table.size]).toEqual([expected.sequence, expected.size])
            expect(table.value).toStrictEqual(expected.value)
          }
        }
      }),
      fcParameters(300),
    )
  })

  it('scans the live entries within bounds, in both directions (scan I1, I2)', () => {
    fc.assert(
      fc.property(world, boundsMaker, ({ tier, live, keys }, makeBounds) => {
        const bounds = makeBounds(keys)
        for (const id of TABLES) {
          const expected = (live.get(id) ?? []).filter((entry) => inBounds(entry.key, bounds))
          if (bounds.reverse) expected.reverse()
          const version = tier.acquire()
          const scan = tier.table(id).scan(bounds, version)
          for (const entry of expected) {
            expect(scan.next()).toBe(true)
            expect(compareKeys(scan.key, entry.key)).toBe(0)
            expect([scan.sequence, scan.size]).toEqual([entry.sequence, entry.size])
            expect(scan.value).toStrictEqual(entry.value)
          }
          expect(scan.next()).toBe(false)
          expect(scan.next()).toBe(false)
          tier.release(version)
        }
      }),
      fcParameters(500),
    )
  })
})
