/** Small plain values written in one pass: the same bytes as the other way gives. Invariants of src/codecs/write.ts. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { copyIn } from '../../src/codecs/copy.ts'
import { encodeStored } from '../../src/codecs/wire.ts'
import { writePlain } from '../../src/codecs/write.ts'
import { fcParameters } from '../support/random.ts'
import { plainValue, structuredValue } from '../support/values.ts'

/** Writes a value and says whether that was possible; fails if the bytes are not what they have to be (I1). */
function writes(value: unknown): boolean {
  const stored = copyIn(value)
  const bytes = writePlain(stored)
  if (bytes === undefined) return false
  if (Buffer.compare(bytes, encodeStored(stored)) !== 0) expect.fail('other bytes')
  return true
}

const near = (middle: number): number[] => [middle - 1, middle, middle + 1]

describe('values written in one pass', () => {
  it('have the bytes that the other way gives (I1)', () => {
    let written = 0
    fc.assert(
      fc.property(fc.oneof(plainValue, structuredValue), (value) => {
        if (writes(value)) written++
      }),
      fcParameters(3000),
    )
    expect(written).toBeGreaterThan(fcParameters(3000).numRuns / 10)
  })

  it.each<[string, unknown[]]>([
    ['numbers', [0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 1.5, Number.NaN, -Infinity]],
    ['negative numbers', [-1, -32, -33, -128, -129, -32_768, -32_769, -(2 ** 31), -(2 ** 31) - 1]],
    ['primitives', [null, true, false, '']],
    ['strings', [...near(32), ...near(64), ...near(256), 1300].map((length) => 'x'.repeat(length))],
    ['strings of other scripts', [...near(16), ...near(32), ...near(128), 1300].map((length) => 'ä'.repeat(length))],
    ['strings that become wide', ['größe', `${'x'.repeat(31)}ä`, '👍', `${'x'.repeat(63)}名`]],
    ['arrays', [[], ...near(16).map((length) => new Array<number>(length).fill(1)), [[1, [2, ['three']]]]]],
    [
      'objects',
      [0, 1, 15, 16, 17, 300].map((count) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`n${i}`, i]))),
    ],
    ['names', [{ größe: 1, '': 2, ['long '.repeat(20)]: 3, 5: 'five', 1: 'one' }]],
  ])('are %s', (_, values) => {
    for (const value of values) for (let i = 0; i < 2; i++) expect(writes(value)).toBe(true)
  })

  it.each<[string, unknown]>([
    ['-0', -0],
    ['undefined within', [undefined]],
    ['a bigint', 1n],
    ['a lone surrogate', '\ud800'],
    ['a byte order mark', '\ufeffx'],
    ['a name with a lone surrogate', { '\ud800': 1 }],
    ['__proto__', JSON.parse('{"__proto__":1}')],
    ['toString', { toString: 1 }],
    ['an object without prototype', Object.assign(Object.create(null), { a: 1 })],
    ['a Date', { at: new Date(1) }],
    ['a Map', new Map()],
  ])('are not %s', (_, value) => {
    expect(writes(value)).toBe(false)
  })

  it('are small: what does not fit goes the other way (I2)', () => {
    let large = 0
    for (let length = 0; length < 4200; length += 7) {
      for (const value of [
        'x'.repeat(length),
        'ä'.repeat(length >> 1),
        [0.5, '名'.repeat(length >> 1)],
        ['a', 'b'].map((letter) => letter.repeat(length >> 1)),
        new Array(length >> 3).fill(0.5),
        Object.fromEntries(Array.from({ length: length >> 3 }, (_, i) => [`name${i}`, i])),
      ]) {
        if (!writes(value)) large++
      }
    }
    expect(large).toBeGreaterThan(0)
    expect(writes({ after: 'that' })).toBe(true)
  })

  it('may have any number of names, over time (I3)', () => {
    for (let i = 0; i < 5000; i++) if (!writes({ [`name ${i % 1500}`]: i, known: i })) expect.fail(`value ${i}`)
  })
})
