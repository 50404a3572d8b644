/** Whose objects are whose: I1 of src/codecs/codec.ts, looked at object by object. */
import fc from 'fast-check'
import { describe, it } from 'vitest'

import { codecs, residentOf } from '../../src/codecs/index.ts'
import { fcParameters } from '../support/random.ts'
import { cloneValue, plainValue, sameValue, structuredValue } from '../support/values.ts'

const resident = residentOf(codecs.structured())

/** Every object reachable from a value, buffers of views included. */
function objectsOf(value: unknown, found: Set<object> = new Set()): Set<object> {
  if (typeof value !== 'object' || value === null || found.has(value)) return found
  found.add(value)
  if (ArrayBuffer.isView(value)) return found.add(value.buffer)
  const inner = value instanceof Map ? [...value].flat(1) : value instanceof Set ? [...value] : Object.values(value)
  for (const one of inner) objectsOf(one, found)
  return found
}

const isPlain = (object: object): boolean =>
  Array.isArray(object) || [Object.prototype, null].includes(Object.getPrototypeOf(object) as object | null)

describe('structured', () => {
  it('hands out one deep-frozen copy of a value without Map, Set, Date and binary data', () => {
    fc.assert(
      fc.property(plainValue, (value) => {
        const stored = resident.admit(value)
        const read = resident.release(stored)
        const again = resident.release(stored)
        return (
          Object.is(read, again) && sameValue(read, value) && [...objectsOf(read)].every((one) => Object.isFrozen(one))
        )
      }),
      fcParameters(400),
    )
  })

  it('shares frozen plain objects among reads and nothing else with anybody', () => {
    fc.assert(
      fc.property(structuredValue, (value) => {
        const stored = resident.admit(value)
        const decoded = resident.decode(resident.encode(stored))
        const given = objectsOf(value)
        for (const [read, again] of [
          [resident.release(stored), resident.release(stored)],
          [resident.release(decoded), resident.release(decoded)],
        ]) {
          const first = objectsOf(read)
          const second = objectsOf(again)
          for (const one of first) {
            if (given.has(one)) return false
            if (isPlain(one) !== Object.isFrozen(one) && Reflect.ownKeys(one).length > 0) return false
            if (second.has(one) && !isPlain(one)) return false
          }
        }
        return true
      }),
      fcParameters(600),
    )
  })

  it('takes what it handed out, in whole and in part', () => {
    fc.assert(
      fc.property(structuredValue, (value) => {
        const read = resident.release(resident.admit(value))
        const stored = resident.admit({ read, list: [read] })
        const wanted = cloneValue({ read: value, list: [value] })
        return sameValue(resident.release(stored), wanted)
      }),
      fcParameters(200),
    )
  })
})
