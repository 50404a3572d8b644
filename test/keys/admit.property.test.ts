import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { VarveError } from '../../src/errors.ts'
import {
  admitKey,
  compareKeys,
  encodedLength,
  encodeKey,
  formatKey,
  type Key,
  releaseKey,
} from '../../src/keys/index.ts'
import { MAX_KEY_BYTES } from '../../src/limits.ts'
import { callerKey } from '../support/keys.ts'
import { fcParameters } from '../support/random.ts'

/** Ruins every array and every byte that can be reached from a value; what is frozen withstands. */
function ruin(value: unknown): void {
  if (value instanceof Uint8Array) value.fill(0xee)
  if (!Array.isArray(value)) return
  value.forEach(ruin)
  if (!Object.isFrozen(value)) value.fill('ruined')
}

function isPrivate(key: Key): boolean {
  if (Array.isArray(key)) return Object.isFrozen(key) && key.every(isPrivate)
  return typeof key !== 'object' || key.constructor === Uint8Array
}

describe('keys at the door', () => {
  it('are out of reach of what was put in and of what was handed out (I1, I2)', () => {
    fc.assert(
      fc.property(callerKey, (given) => {
        const held = admitKey(given)
        expect(isPrivate(held)).toBe(true)
        expect(compareKeys(held, given)).toBe(0)
        const before = encodeKey(held)
        ruin(given)
        const released = releaseKey(held)
        expect(encodeKey(released)).toStrictEqual(before)
        ruin(released)
        expect(encodeKey(held)).toStrictEqual(before)
      }),
      fcParameters(1000),
    )
  })

  it('are admitted again as they are', () => {
    fc.assert(
      fc.property(callerKey, (given) => {
        const key = admitKey(given)
        expect(admitKey(key)).toStrictEqual(key)
      }),
      fcParameters(500),
    )
  })

  it('are keys or give INVALID_KEY, whatever the value (I1)', () => {
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: true, withTypedArray: true, withSparseArray: true, withDate: true }),
        (value) => {
          let key
          try {
            key = admitKey(value)
          } catch (error) {
            if (!(error instanceof VarveError) || error.code !== 'INVALID_KEY') throw error
            return
          }
          expect(encodedLength(key)).toBeLessThanOrEqual(MAX_KEY_BYTES)
          expect(encodeKey(key)).toHaveLength(encodedLength(key))
        },
      ),
      fcParameters(2000),
    )
  })

  it('are short as text, and of their own type', () => {
    fc.assert(
      fc.property(callerKey, callerKey, (a, b) => {
        expect(formatKey(a).length).toBeLessThan(10_000)
        if (typeof a !== typeof b) expect(formatKey(a)).not.toBe(formatKey(b))
      }),
      fcParameters(500),
    )
  })
})
