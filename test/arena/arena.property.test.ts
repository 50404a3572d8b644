/** The arena against a Map: any order of puts, frees and compactions (I1 to I5). */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Arena } from '../../src/arena/index.ts'
import { fcParameters } from '../support/random.ts'

const length = fc.oneof(
  { weight: 6, arbitrary: fc.nat({ max: 200 }) },
  { weight: 2, arbitrary: fc.constantFrom(0, 1, 2, 8, 12, 128, 129, 144, 256) },
  { weight: 1, arbitrary: fc.constantFrom(4096, 70_000, 131_072, 131_073) },
)

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('put' as const), length, times: fc.integer({ min: 1, max: 60 }) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('free' as const), at: fc.nat(), times: fc.integer({ min: 1, max: 80 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('begin' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('relocate' as const), share: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('end' as const) }) },
)

function content(seed: number, bytes: number): Uint8Array {
  return new Uint8Array(bytes).fill(seed & 0xff)
}

describe('an arena', () => {
  it('holds what a Map holds', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const arena = new Arena()
        const model = new Map<number, Uint8Array>()
        let seed = 0
        for (const act of steps) {
          if (act.kind === 'put') {
            for (let i = 0; i < act.times; i++) {
              const bytes = content(++seed, act.length)
              const handle = arena.put(bytes, 0, bytes.length)
              expect(model.has(handle)).toBe(false)
              model.set(handle, bytes)
            }
          } else if (act.kind === 'free') {
            for (const handle of [...model.keys()].slice(act.at % (model.size + 1)).slice(0, act.times)) {
              arena.free(handle)
              model.delete(handle)
              expect(() => arena.free(handle)).toThrow(/freed twice/)
            }
          } else if (act.kind === 'begin') arena.beginCompaction()
          else if (act.kind === 'relocate') {
            for (const [handle, bytes] of [...model].filter((_, i) => i % act.share === 0)) {
              model.delete(handle)
              model.set(arena.relocate(handle), bytes)
            }
          } else arena.endCompaction()
          arena.check()
        }
        expect(arena.count).toBe(model.size)
        expect(arena.usedBytes).toBe([...model.values()].reduce((sum, bytes) => sum + bytes.length, 0))
        for (const [handle, bytes] of model) expect(Buffer.compare(arena.copyOut(handle), bytes)).toBe(0)
      }),
      fcParameters(150),
    )
  })
})
