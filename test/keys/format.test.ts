import { describe, expect, it } from 'vitest'

import { formatKey, type Key, KEY_MAX } from '../../src/keys/index.ts'

describe('formatKey', () => {
  it.each<[Key, string]>([
    ['alice', '"alice"'],
    ['a"\0\ud800', String.raw`"a\"\u0000\ud800"`],
    [1, '1'],
    [1n, '1n'],
    [-0.5, '-0.5'],
    [Infinity, 'Infinity'],
    [true, 'true'],
    [Uint8Array.of(10, 11, 12), 'bytes(3) 0x0a0b0c'],
    [[], '[]'],
    [['alice', [1n, KEY_MAX]], '["alice", [1n, the end]]'],
  ])('shows a key, case %#', (key, text) => {
    expect(formatKey(key)).toBe(text)
  })

  it('cuts what is long and says how long it was', () => {
    expect(formatKey('x'.repeat(70))).toBe(`"${'x'.repeat(64)}"… (70 characters)`)
    expect(formatKey(new Uint8Array(17))).toBe(`bytes(17) 0x${'00'.repeat(16)}…`)
    expect(formatKey([1, 2, 3, 4, 5, 6, 7, 8, 9])).toBe('[1, 2, 3, 4, 5, 6, 7, 8, … 9 elements]')
    expect(formatKey([[[[[1]]]]])).toBe('[[[[[…]]]]]')
    expect(formatKey(2n ** 300n)).toBe('a bigint of over 256 bits')
    expect(formatKey(-(2n ** 300n))).toBe('a negative bigint of over 256 bits')
  })
})
