/** The maps from strings to numbers: they must never sort two strings the other way round. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { commonLength, compareHead, hintOf, prefixOf, wantsWide } from '../../src/skiplist/prefix.ts'
import { fcParameters } from '../support/random.ts'

/** The first and last units of the classes that hints know. */
const EDGES = '\0-./09:@AMNZ[_`amnz{~\u007f\u0080\u00fe\u00ff\u0100\ud800\uffff'

const unit = fc.oneof(
  fc.integer({ min: 0, max: 0xffff }),
  fc.integer({ min: 0, max: 0xff }),
  fc.constantFrom(...Array.from(EDGES, (edge) => edge.charCodeAt(0))),
)
const text = fc.array(unit, { maxLength: 8 }).map((units) => String.fromCharCode(...units))
/** Two strings that part late, if at all. */
const pair = fc.tuple(text, text, text).map(([head, a, b]): [string, string] => [head + a, head + b])

describe.each([
  ['prefixOf', prefixOf, 2 ** 48],
  ['hintOf', hintOf, 2 ** 16],
] as const)('%s', (_, map, limit) => {
  it.each([false, true])('is monotone over all strings (wide: %s)', (wide) => {
    fc.assert(
      fc.property(pair, ([a, b]) => {
        const [x, y] = [map(a, 0, wide), map(b, 0, wide)]
        expect(Number.isInteger(x) && x >= 0 && x < limit).toBe(true)
        if (a < b) expect(x).toBeLessThanOrEqual(y)
        if (a > b) expect(x).toBeGreaterThanOrEqual(y)
      }),
      fcParameters(5000),
    )
  })

  it('looks at nothing before its start', () => {
    fc.assert(
      fc.property(text, text, fc.boolean(), (head, tail, wide) => {
        expect(map(head + tail, head.length, wide)).toBe(map(tail, 0, wide))
      }),
      fcParameters(1000),
    )
  })
})

describe('what the caches can tell apart', () => {
  it('six Latin-1 units, or three of any script', () => {
    expect(prefixOf('abcdef', 0, false)).toBeLessThan(prefixOf('abcdeg', 0, false))
    expect(prefixOf('abc', 0, true)).toBeLessThan(prefixOf('abd', 0, true))
    expect(prefixOf('ключ', 0, false)).toBe(prefixOf('ключ2', 0, false))
    expect(prefixOf('клю', 0, true)).toBeLessThan(prefixOf('клѐ', 0, true))
  })

  it('two letters or digits and a digit, or one unit of any script', () => {
    expect(hintOf('ab1', 0, false)).toBeLessThan(hintOf('ab2', 0, false))
    expect(hintOf('ab', 0, false)).toBeLessThan(hintOf('ac', 0, false))
    expect(hintOf('Aa', 0, false)).toBeLessThan(hintOf('Ba', 0, false))
    expect(hintOf('к', 0, true)).toBeLessThan(hintOf('л', 0, true))
  })
})

describe('common prefixes', () => {
  it('are as long as two strings agree', () => {
    fc.assert(
      fc.property(pair, ([a, b]) => {
        const length = commonLength(a, b)
        expect(a.slice(0, length)).toBe(b.slice(0, length))
        if (length < Math.min(a.length, b.length)) expect(a[length]).not.toBe(b[length])
      }),
      fcParameters(1000),
    )
  })

  it('compareHead() compares that many units and no more', () => {
    fc.assert(
      fc.property(pair, fc.nat({ max: 8 }), ([a, b], upTo) => {
        const length = Math.min(upTo, b.length)
        const [head, probe] = [a.slice(0, length), b.slice(0, length)]
        expect(Math.sign(compareHead(a, b, length))).toBe(head < probe ? -1 : head > probe ? 1 : 0)
      }),
      fcParameters(2000),
    )
  })

  it('wantsWide() looks at the given units', () => {
    expect(wantsWide('abcя', 0, 3)).toBe(false)
    expect(wantsWide('abcя', 1, 3)).toBe(true)
    expect(wantsWide('abÿ', 0, 3)).toBe(false)
    expect(wantsWide('', 0, 3)).toBe(false)
  })
})
