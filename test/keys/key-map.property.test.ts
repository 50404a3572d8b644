import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { type Key, KeyMap } from '../../src/keys/index.ts'
import { key } from '../support/keys.ts'
import { fcParameters } from '../support/random.ts'
import { referenceCompare } from './reference.ts'

/** A list of entries searched from the front: slow and plain. */
class Model {
  entries: [Key, number][] = []

  find(key: Key): [Key, number] | undefined {
    return this.entries.find(([held]) => referenceCompare(held, key) === 0)
  }

  set(key: Key, value: number): void {
    const entry = this.find(key)
    if (entry === undefined) this.entries.push([key, value])
    else entry[1] = value
  }

  delete(key: Key): boolean {
    const entry = this.find(key)
    this.entries = this.entries.filter((each) => each !== entry)
    return entry !== undefined
  }

  /** Strings, numbers, bigints and booleans first. */
  ordered(): [Key, number][] {
    const isPlain = ([held]: [Key, number]): boolean => typeof held !== 'object'
    return [...this.entries.filter(isPlain), ...this.entries.filter((entry) => !isPlain(entry))]
  }
}

const step = fc.record({
  operation: fc.constantFrom('set', 'set', 'delete', 'clear'),
  index: fc.nat({ max: 11 }),
  value: fc.nat(),
})

describe('KeyMap', () => {
  it('is the model, step by step (I1, I2)', () => {
    fc.assert(
      fc.property(fc.array(key, { minLength: 12, maxLength: 12 }), fc.array(step, { maxLength: 30 }), (keys, steps) => {
        const map = new KeyMap<number>()
        const model = new Model()
        for (const { operation, index, value } of steps) {
          const at = keys[index]!
          if (operation === 'set') {
            map.set(at, value)
            model.set(at, value)
          } else if (operation === 'delete') {
            expect(map.delete(at)).toBe(model.delete(at))
          } else if (value % 8 === 0) {
            map.clear()
            model.entries = []
          }
          expect(map.size).toBe(model.entries.length)
        }
        for (const each of keys) {
          expect(map.get(each)).toBe(model.find(each)?.[1])
          expect(map.has(each)).toBe(model.find(each) !== undefined)
        }
        const expected = model.ordered()
        const visited: [Key, number][] = []
        map.forEach((value, held) => visited.push([held, value]))
        expect(visited).toStrictEqual(expected)
        expect([...map.entries()]).toStrictEqual(expected)
        expect([...map.keys()]).toStrictEqual(expected.map(([held]) => held))
        expect([...map.values()]).toStrictEqual(expected.map(([, value]) => value))
      }),
      fcParameters(400),
    )
  })
})
