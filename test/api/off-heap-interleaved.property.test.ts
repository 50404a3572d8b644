/** Many transactions at once over values outside of the heap: each sees its snapshot and its own writes, whoever wins. */
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Database, maps, type Transaction, VarveError } from '../../src/index.ts'
import { fcParameters } from '../support/random.ts'

const KEYS = 6
const blobs = maps.u64Bytes('blobs')

const act = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('begin' as const), isSnapshot: fc.boolean() }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('set' as const),
      who: fc.nat(),
      key: fc.nat({ max: KEYS - 1 }),
      length: fc.constantFrom(0, 1, 2, 12, 100, 1500),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('delete' as const), who: fc.nat(), key: fc.nat({ max: KEYS - 1 }) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('read' as const), who: fc.nat(), reverse: fc.boolean() }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('commit' as const), who: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('rollback' as const), who: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('compact' as const) }) },
)

type Model = Map<bigint, Uint8Array>

interface Open {
  readonly tx: Transaction<bigint, Uint8Array>
  readonly sees: Model
  readonly writes: Map<bigint, Uint8Array | undefined>
}

function write(model: Model, key: bigint, value: Uint8Array | undefined): void {
  if (value === undefined) model.delete(key)
  else model.set(key, value)
}

function sorted(model: Model, reverse: boolean): [bigint, Uint8Array][] {
  const entries = [...model].sort(([a], [b]) => Number(a - b))
  return reverse ? entries.reverse() : entries
}

describe('interleaved transactions', () => {
  it('see what they should, and leave no value behind that nobody has', async () => {
    let refused = 0
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 60 }), async (acts) => {
        await using db = await Database.open()
        const handle = db.handle(blobs)
        const model: Model = new Map()
        const open: Open[] = []
        let seed = 0
        for (const step of acts) {
          if (step.kind === 'begin') {
            const tx = handle.begin({ isolation: step.isSnapshot ? 'snapshot' : 'serializable' })
            open.push({ tx, sees: new Map(model), writes: new Map() })
            continue
          }
          if (step.kind === 'compact') {
            await db.compact()
            continue
          }
          const at = step.who % (open.length + 1)
          const one = open[at]
          if (one === undefined) {
            // Nobody in particular: a write of its own.
            if (step.kind !== 'set') continue
            const value = new Uint8Array(step.length).fill(++seed)
            await handle.set(BigInt(step.key), value)
            model.set(BigInt(step.key), value)
          } else if (step.kind === 'set' || step.kind === 'delete') {
            const key = BigInt(step.key)
            const value = step.kind === 'set' ? new Uint8Array(step.length).fill(++seed) : undefined
            if (value === undefined) one.tx.delete(key)
            else one.tx.set(key, value)
            one.writes.set(key, value)
            write(one.sees, key, value)
          } else if (step.kind === 'read') {
            const seen = [...one.tx.entries({ reverse: step.reverse })]
            expect(isDeepStrictEqual(seen, sorted(one.sees, step.reverse))).toBe(true)
            expect(one.tx.get(0n)).toEqual(one.sees.get(0n))
          } else {
            open.splice(at, 1)
            if (step.kind === 'rollback') one.tx.rollback()
            else {
              try {
                await one.tx.commit()
                for (const [key, value] of one.writes) write(model, key, value)
              } catch (error) {
                expect(error).toBeInstanceOf(VarveError)
                refused++
              }
            }
          }
          expect(isDeepStrictEqual([...handle.entries()], sorted(model, false))).toBe(true)
          expect((await db.check()).problems).toEqual([])
        }
        for (const { tx } of open) tx.rollback()
        await db.vacuum()
        await handle.clear()
        await db.vacuum()
        expect((await db.check()).problems).toEqual([])
      }),
      fcParameters(300),
    )
    expect(refused).toBeGreaterThan(0)
  })
})
