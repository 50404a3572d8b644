/** The bytes of the codec `structured`: what is plain MessagePack, what is escaped, and bytes that mean harm. */
import { addExtension, decode as decodeMessagePack, Packr } from 'msgpackr'
import { describe, expect, it } from 'vitest'

import { codecs, residentOf } from '../../src/codecs/index.ts'
import { VarveError } from '../../src/errors.ts'
import { leastCost } from '../support/patience.ts'

const codec = codecs.structured()
const resident = residentOf(codec)

function hex(value: unknown): string {
  return Buffer.from(codec.encode(value)).toString('hex')
}

function decodeHex(text: string): unknown {
  return codec.decode(Buffer.from(text.replaceAll(' ', ''), 'hex'))
}

function problem(bytes: Uint8Array): string {
  try {
    codec.decode(bytes)
  } catch (error) {
    expect(error).toBeInstanceOf(VarveError)
    expect((error as VarveError).code).toBe('CODEC_MISMATCH')
    return (error as VarveError).message
  }
  throw new Error('the bytes were accepted')
}

describe('plain values', () => {
  it('are MessagePack that any tool can read', () => {
    const value = { id: 1, name: 'größe', list: [1.5, -3, true, null, { deep: 'x' }], big: 2n ** 60n }
    expect(decodeMessagePack(codec.encode(value))).toEqual(value)
    expect(hex({ a: [1, 'b'] })).toBe('81a1619201a162')
  })

  it('decode from a slice of a larger buffer, which is left as it was', () => {
    const bytes = codec.encode({ a: 1 })
    const block = Buffer.concat([Buffer.from('xx'), bytes, Buffer.from('yy')])
    const slice = new Uint8Array(block.buffer, block.byteOffset + 2, bytes.length)
    expect(codec.decode(slice)).toEqual({ a: 1 })
    expect(Object.keys(block)).toHaveLength(block.length)
    expect(Reflect.ownKeys(slice)).toHaveLength(slice.length)
  })

  it('encode into an array of their own', () => {
    const first = codec.encode({ a: 'first' })
    const copy = Buffer.from(first)
    codec.encode({ b: 'second' })
    codec.encode('x'.repeat(100_000))
    expect(copy.equals(first)).toBe(true)
    expect(first.buffer.byteLength).toBe(first.length)
  })
})

describe('escapes', () => {
  it.each<[string, unknown, string]>([
    ['undefined', [undefined], '91 92c100'],
    ['-0', -0, '92c101'],
    ['a large bigint', 2n ** 64n, '93c102c409010000000000000000'],
    ['a large negative bigint', -(2n ** 64n), '93c103c409010000000000000000'],
    ['a lone surrogate', '\ud800', '93c104c403eda080'],
    ['a byte order mark', '\ufeff', '93c104c403efbbbf'],
    ['__proto__', JSON.parse('{"__proto__":1}'), '94c105a95f5f70726f746f5f5f01'],
    ['no prototype', Object.create(null), '92c106'],
    ['a Map', new Map([[1, 'a']]), '94c10701a161'],
    ['a Set', new Set([1, 2]), '94c1080102'],
    ['a Date', new Date(1.5e12), '93c109cb4275d3ef79800000'],
    ['a Uint8Array', new Uint8Array([1, 2]), '94c10a01c4020102'],
    ['a Float32Array', new Float32Array([1]), '94c10a07c4040000803f'],
    ['an ArrayBuffer', new Uint8Array([7]).buffer, '94c10a0cc40107'],
    ['a Buffer', Buffer.from([7]), '94c10a0dc40107'],
  ])('%s', (_, value, bytes) => {
    expect(hex(value)).toBe(bytes.replaceAll(' ', ''))
    expect(decodeHex(bytes)).toEqual(value)
  })
})

describe('the library', () => {
  it('is not the one whose extensions a program changes', () => {
    class Money {
      cents = 1
    }
    const before = hex({ bytes: new Uint8Array([1]), none: undefined, at: new Date(1) })
    addExtension({ Class: Uint8Array, type: 1, pack: () => Buffer.from('x'), unpack: () => 'changed' })
    addExtension({ Class: Money, type: 2, pack: () => Buffer.from('x'), unpack: () => new Money() })
    addExtension({ type: 0, unpack: () => 'changed' })
    expect(hex({ bytes: new Uint8Array([1]), none: undefined, at: new Date(1) })).toBe(before)
    expect(codec.decode(Buffer.from(before, 'hex'))).toEqual({
      bytes: new Uint8Array([1]),
      none: undefined,
      at: new Date(1),
    })
  })

  it('lets go of the buffer of a large value', async () => {
    const before = process.memoryUsage().arrayBuffers
    const large = codec.encode('x'.repeat(30_000_000))
    expect(large.length).toBe(30_000_005)
    codec.encode(1)
    const held = (): number => process.memoryUsage().arrayBuffers - before
    // The memory is given back by another thread, some time after the collection.
    for (let i = 0; i < 100 && held() > 35_000_000; i++) {
      globalThis.gc?.()
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    expect(held()).toBeLessThan(35_000_000)
    expect(large.length).toBe(30_000_005)
  })
})

describe('bytes that this codec never writes', () => {
  const other = new Packr({ structuredClone: true, moreTypes: true })

  it.each<[string, Uint8Array]>([
    ['none at all', new Uint8Array(0)],
    ['a byte too many', Buffer.from('0101', 'hex')],
    ['undefined', Buffer.from('92c100', 'hex')],
    ['the mark of an escape alone', Buffer.from('c1', 'hex')],
    ['an escape without a tag', Buffer.from('91c1', 'hex')],
    ['an escape with an unknown tag', Buffer.from('92c10b', 'hex')],
    ['an escape whose tag is an object', Buffer.from('93c181a8746f537472696e670100', 'hex')],
    ['an escape whose tag is a name', Buffer.from('92c1a95f5f70726f746f5f5f', 'hex')],
    ['an escape that is too long', Buffer.from('93c10000', 'hex')],
    ['a Map with half an entry', Buffer.from('93c10701', 'hex')],
    ['an object with half a property', Buffer.from('93c105a161', 'hex')],
    ['an object with a number as name', Buffer.from('94c1050101', 'hex')],
    ['a bigint without digits', Buffer.from('93c102c400', 'hex')],
    ['a bigint of text', Buffer.from('93c102a0', 'hex')],
    ['a string of broken bytes', Buffer.from('93c104c402c0af', 'hex')],
    ['a pair of surrogates as two characters', Buffer.from('93c104c406eda080edb080', 'hex')],
    ['a Date out of range', Buffer.from('93c109cb4360000000000000', 'hex')],
    ['a Date of text', Buffer.from('93c109a161', 'hex')],
    ['binary data of an unknown kind', Buffer.from('94c10a0ec400', 'hex')],
    ['binary data of half an element', Buffer.from('94c10a03c40101', 'hex')],
    ['bare binary data', Buffer.from('c40101', 'hex')],
    ['a RegExp', other.pack(/(a+)+$/)],
    ['an Error', other.pack(new Error('x'))],
    ['a Set of the library', other.pack(new Set([1]))],
    ['a Date of the library', other.pack(new Date(1))],
    ['a typed array of the library', other.pack(new Float64Array(2))],
    ['a record', Buffer.from('9391d47240 91a161 01'.replaceAll(' ', ''), 'hex')],
    ['an array of 33 million', Buffer.from('dd01ffffffc0', 'hex')],
    ['eight of them', Buffer.from('dd01ffffff'.repeat(8), 'hex')],
    ['a map of 4 billion', Buffer.from('dfffffffff', 'hex')],
    ['a string of 4 GB', Buffer.from('dbffffffff', 'hex')],
    ['an extension of 4 GB', Buffer.from('c9ffffffff74', 'hex')],
    ['a million levels', Buffer.alloc(1_000_000, 0x91)],
    ['a million levels of escapes', Buffer.from('92c1'.repeat(500_000), 'hex')],
    ['a million levels of names', Buffer.from('94c105'.repeat(300_000), 'hex')],
    ['501 levels', Buffer.from(`${'91'.repeat(501)}90`, 'hex')],
    ['3000 levels of objects', Buffer.from(`${'81a161'.repeat(3000)}01`, 'hex')],
    ['24,000 arrays in arrays', Buffer.from('dc7fff'.repeat(24_000), 'hex')],
  ])('are refused: %s', async (_, bytes) => {
    const before = process.memoryUsage()
    expect(await leastCost(1, () => problem(bytes))).toBeLessThan(2000)
    const after = process.memoryUsage()
    expect(after.heapUsed + after.external - before.heapUsed - before.external).toBeLessThan(150_000_000)
    expect(codec.decode(codec.encode({ still: ['works', undefined] }))).toEqual({ still: ['works', undefined] })
  })

  it('cannot make a cycle', () => {
    const cyclic: Record<string, unknown> = {}
    cyclic['self'] = cyclic
    problem(other.pack(cyclic))
  })

  it('change no prototype', () => {
    const maps = Buffer.from('81a95f5f70726f746f5f5f81a8706f6c6c7574656401', 'hex')
    const read = codec.decode(maps) as object
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype)
    expect((read as { polluted?: unknown }).polluted).toBeUndefined()
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
  })

  it('are not shown in the message', () => {
    const bytes = Buffer.concat([codec.encode({ password: 'hunter2' }), Buffer.from([1])])
    expect(problem(bytes)).not.toContain('hunter2')
    try {
      codec.decode(bytes)
    } catch (error) {
      expect(String((error as VarveError).cause)).not.toContain('hunter2')
    }
  })

  it('leave the resident able to decode', () => {
    problem(Buffer.from('dd01ffffffc0', 'hex'))
    expect(resident.release(resident.decode(codec.encode([1])))).toEqual([1])
  })
})
