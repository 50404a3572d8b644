/** What every codec promises: I1 to I5 of src/codecs/codec.ts. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { lastSize, residentOf } from '../../src/codecs/index.ts'
import { VarveError } from '../../src/errors.ts'
import { fcParameters } from '../support/random.ts'
import { cloneValue, sameValue, vandalise } from '../support/values.ts'
import { all } from './laws.ts'

/** Damages bytes: overwrites, cuts, inserts, doubles. */
const damage = fc.array(
  fc.record({ kind: fc.constantFrom('set', 'cut', 'insert', 'double'), at: fc.nat(), byte: fc.nat({ max: 255 }) }),
  { minLength: 1, maxLength: 4 },
)

function damaged(bytes: Uint8Array, blows: readonly { kind: string; at: number; byte: number }[]): Uint8Array {
  let list = [...bytes]
  for (const { kind, at, byte } of blows) {
    const index = list.length === 0 ? 0 : at % list.length
    if (kind === 'set') list[index] = byte
    else if (kind === 'cut') list.splice(index, 1 + (byte % 4))
    else if (kind === 'insert') list.splice(index, 0, byte)
    else list = [...list.slice(0, index), ...list]
  }
  return Uint8Array.from(list.slice(0, 20_000))
}

describe.each(all)('codec $name', ({ name, codec, values, expected }) => {
  const resident = residentOf(codec)
  const base = name === 'structured' ? 1500 : 150

  it('gives back what it took, from memory and from bytes (I2)', () => {
    fc.assert(
      fc.property(values, (value) => {
        const wanted = expected(cloneValue(value))
        const stored = resident.admit(value)
        const decoded = resident.decode(resident.encode(stored))
        return (
          sameValue(resident.release(stored), wanted) &&
          sameValue(resident.release(decoded), wanted) &&
          sameValue(codec.decode(Uint8Array.from(codec.encode(value))), wanted)
        )
      }),
      fcParameters(base),
    )
  })

  it('keeps nothing of what it took (I1)', () => {
    fc.assert(
      fc.property(values, (value) => {
        const wanted = expected(cloneValue(value))
        const given = cloneValue(value)
        const stored = resident.admit(given)
        vandalise(given)
        return sameValue(resident.release(stored), wanted)
      }),
      fcParameters(base),
    )
  })

  it('keeps nothing of the bytes it decoded, nor of those it gave (I1)', () => {
    fc.assert(
      fc.property(values, (value) => {
        const wanted = expected(cloneValue(value))
        const bytes = resident.encode(resident.admit(value))
        const decoded = resident.decode(bytes)
        bytes.fill(0xaa)
        resident.encode(decoded).fill(0xaa)
        return sameValue(resident.release(decoded), wanted)
      }),
      fcParameters(base),
    )
  })

  it('gives nothing out through which what it keeps could change, unless it says so (I1)', () => {
    fc.assert(
      fc.property(values, (value) => {
        const wanted = expected(cloneValue(value))
        const stored = resident.admit(value)
        const decoded = resident.decode(resident.encode(stored))
        vandalise(resident.release(stored))
        vandalise(resident.release(decoded))
        const unharmed = sameValue(resident.release(stored), wanted) && sameValue(resident.release(decoded), wanted)
        return unharmed || name === 'bytesView'
      }),
      fcParameters(base),
    )
  })

  it('gives equal bytes for equal values (I5)', () => {
    fc.assert(
      fc.property(values, (value) => {
        const bytes = Buffer.from(resident.encode(resident.admit(value)))
        const again = resident.encode(resident.admit(cloneValue(value)))
        const decoded = resident.encode(resident.decode(bytes))
        return bytes.equals(again) && bytes.equals(decoded)
      }),
      fcParameters(base),
    )
  })

  it('says the size in passing as when asked', () => {
    fc.assert(
      fc.property(values, (value) => {
        const stored = resident.admit(value)
        const admitted = lastSize
        const decoded = resident.decode(resident.encode(stored))
        expect(admitted).toBe(resident.sizeOf(stored))
        expect(lastSize).toBe(resident.sizeOf(decoded))
        expect(lastSize).toBe(admitted)
        expect(Number.isInteger(admitted) && admitted >= 8).toBe(true)
      }),
      fcParameters(base),
    )
  })

  it('hands out what is stored, if it says that it does', () => {
    fc.assert(
      fc.property(values, (value) => {
        const stored = resident.admit(value)
        return !resident.direct || Object.is(resident.release(stored), stored)
      }),
      fcParameters(50),
    )
  })

  /** A value that can be stored again, or CODEC_MISMATCH. */
  function survives(bytes: Uint8Array): boolean {
    const before = Object.getOwnPropertyNames(Object.prototype).length
    try {
      const value = resident.release(resident.decode(bytes))
      return sameValue(resident.release(resident.admit(value)), value)
    } catch (error) {
      return error instanceof VarveError && error.code === 'CODEC_MISMATCH'
    } finally {
      expect(Object.getOwnPropertyNames(Object.prototype)).toHaveLength(before)
      expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
    }
  }

  it('survives bytes of any origin (I4)', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), survives), fcParameters(base * 2))
  })

  it('survives damaged bytes (I4)', () => {
    fc.assert(
      fc.property(values, damage, (value, blows) => {
        return survives(damaged(resident.encode(resident.admit(value)), blows))
      }),
      fcParameters(base * 2),
    )
  })

  it('decodes after any failure (I3)', () => {
    fc.assert(
      fc.property(values, damage, (value, blows) => {
        const wanted = expected(cloneValue(value))
        const bytes = resident.encode(resident.admit(value))
        survives(damaged(bytes, blows))
        return sameValue(resident.release(resident.decode(bytes)), wanted)
      }),
      fcParameters(base),
    )
  })

  it('refuses undefined, and what it does not take, with INVALID_VALUE', () => {
    const refused = [
      undefined,
      ...(name === 'raw'
        ? []
        : [
            Symbol('s'),
            () => 0,
            new (class Point {
              x = 1
            })(),
          ]),
    ]
    for (const value of refused) {
      expect(() => resident.admit(value)).toThrow(expect.objectContaining({ code: 'INVALID_VALUE' }))
    }
  })
})
