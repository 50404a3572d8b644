/** Strings as bytes, against Node's own UTF-8 where that applies. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { decodeText, encodeText, isWellFormed } from '../../src/codecs/text.ts'
import { fcParameters } from '../support/random.ts'
import { textValue } from '../support/values.ts'

describe('text', () => {
  it('round-trips every string', () => {
    fc.assert(
      fc.property(textValue, (text) => decodeText(encodeText(text)) === text),
      fcParameters(2000),
    )
  })

  it('is what Node encodes wherever Node keeps the string', () => {
    fc.assert(
      fc.property(textValue, (text) => {
        const node = Buffer.from(text, 'utf8')
        return (
          isWellFormed(text) === (node.toString('utf8') === text) &&
          (!isWellFormed(text) || node.equals(encodeText(text)))
        )
      }),
      fcParameters(1000),
    )
  })

  it('has one spelling for each string: bytes that decode are those it encodes to', () => {
    const lead = fc.constantFrom(
      0x00,
      0x41,
      0x7f,
      0x80,
      0xa0,
      0xb0,
      0xbf,
      0xc0,
      0xc2,
      0xe0,
      0xed,
      0xef,
      0xf0,
      0xf4,
      0xf5,
    )
    fc.assert(
      fc.property(fc.array(fc.oneof(lead, fc.nat({ max: 255 })), { maxLength: 8 }), (list) => {
        const bytes = Uint8Array.from(list)
        const text = decodeText(bytes)
        return text === undefined || Buffer.from(bytes).equals(encodeText(text))
      }),
      fcParameters(5000),
    )
  })

  it('refuses what is no string', () => {
    for (const hex of [
      '80',
      'c080',
      'c1bf',
      'c2',
      'e08080',
      'e0a0',
      'eda080edb080',
      'f0808080',
      'f4908080',
      'f5808080',
      'ff',
      'eda080c3',
    ]) {
      expect(decodeText(Buffer.from(hex, 'hex'))).toBeUndefined()
    }
  })

  it('is not confused by long strings', () => {
    const long = `${'é'.repeat(5000)}\ud800${'😀'.repeat(5000)}`
    expect(decodeText(encodeText(long))).toBe(long)
  })
})
