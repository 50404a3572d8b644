import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareKeys, type Key, keys, type WordForm, wordFormOf, wordHigh, wordLow } from '../../src/keys/index.ts'
import { key } from '../support/keys.ts'
import { fcParameters } from '../support/random.ts'

const forms = [
  { name: 'u64', codec: keys.u64(), least: 0n, most: 2n ** 64n - 1n },
  { name: 'i64', codec: keys.i64(), least: -(2n ** 63n), most: 2n ** 63n - 1n },
] as const

function wordsOf(form: WordForm, each: Key): [high: number, low: number] | null {
  return form.split(each) ? [wordHigh, wordLow] : null
}

describe.each(forms)('the words of $name keys', ({ name, codec, least, most }) => {
  const form = wordFormOf(name)!
  const near = fc.constantFrom(0n, 1n << 31n, 1n << 32n, 1n << 53n, 1n << 63n, 1n << 64n)
  const edge = fc.tuple(near, fc.bigInt({ min: -2n, max: 2n })).map(([a, b]) => a + b)
  const taken = fc
    .oneof(
      fc.bigInt({ min: least, max: most }),
      edge,
      edge.map((each) => -each),
    )
    .filter((each) => each >= least && each <= most)

  it('sort as the keys do (W1)', () => {
    fc.assert(
      fc.property(taken, taken, (a, b) => {
        const [[aHigh, aLow], [bHigh, bLow]] = [wordsOf(form, a)!, wordsOf(form, b)!]
        expect(Math.sign(aHigh === bHigh ? aLow - bLow : aHigh - bHigh)).toBe(Math.sign(compareKeys(a, b)))
        for (const word of [aHigh, aLow]) expect(word | 0).toBe(word)
      }),
      fcParameters(2000),
    )
  })

  it('stand for one key, which they give back (W2)', () => {
    fc.assert(
      fc.property(taken, (each) => {
        const [high, low] = wordsOf(form, each)!
        expect(form.join(low, high)).toBe(each)
      }),
      fcParameters(1000),
    )
  })

  it('are those of all keys of the codec, and of no others (W2)', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          key,
          fc.bigInt(),
          edge,
          edge.map((each) => -each),
        ),
        (each) => {
          let isTaken = true
          try {
            codec.admit(each)
          } catch {
            isTaken = false
          }
          expect(form.split(each)).toBe(isTaken)
        },
      ),
      fcParameters(2000),
    )
    for (const each of [least, most]) expect(form.split(each)).toBe(true)
    for (const each of [least - 1n, most + 1n]) expect(form.split(each)).toBe(false)
  })
})

describe('wordFormOf', () => {
  it('knows no other codec', () => {
    for (const name of [null, undefined, '', 'string', 'float64', 'tuple(u64)', 'u64,u64'])
      expect(wordFormOf(name)).toBe(null)
  })
})
