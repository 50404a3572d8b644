/** Codecs of one type: their ranges, their bytes, their refusals. */
import { describe, expect, it } from 'vitest'

import { codecs, lastSize, residentOf, type ValueCodec } from '../../src/codecs/index.ts'

function bytesOf<V>(codec: ValueCodec<V>, value: V): string {
  return Buffer.from(codec.encode(value)).toString('hex')
}

function message(codec: ValueCodec<unknown>, value: unknown): string {
  try {
    residentOf(codec).admit(value)
  } catch (error) {
    expect(error).toMatchObject({ code: 'INVALID_VALUE', retryable: false })
    return (error as Error).message
  }
  throw new Error('the value was accepted')
}

describe('integers', () => {
  it.each([
    [codecs.int8(), -0x80, 0x7f, '80', '7f'],
    [codecs.int16(), -0x8000, 0x7fff, '0080', 'ff7f'],
    [codecs.int32(), -0x8000_0000, 0x7fff_ffff, '00000080', 'ffffff7f'],
    [codecs.uint8(), 0, 0xff, '00', 'ff'],
    [codecs.uint16(), 0, 0xffff, '0000', 'ffff'],
    [codecs.uint32(), 0, 0xffff_ffff, '00000000', 'ffffffff'],
  ])('$name: the whole range, and nothing beside it', (codec, low, high, lowBytes, highBytes) => {
    expect([codec.decode(codec.encode(low)), codec.decode(codec.encode(high))]).toEqual([low, high])
    expect([bytesOf(codec, low), bytesOf(codec, high)]).toEqual([lowBytes, highBytes])
    for (const value of [low - 1, high + 1, 0.5, Number.NaN, Infinity, -Infinity, 1n, '1', null, true, undefined]) {
      expect(message(codec, value)).toContain(`codec '${codec.name}' takes whole numbers from ${low} to ${high}`)
    }
    expect(residentOf(codec).release(residentOf(codec).admit(-0))).toBe(0)
    expect(message(codec, 0.5)).toContain('value is a fraction')
    expect(message(codec, 987_654_321_987)).not.toContain('987')
  })

  it.each([
    [codecs.bigint64(), -(2n ** 63n), 2n ** 63n - 1n, '0000000000000080', 'ffffffffffffff7f'],
    [codecs.biguint64(), 0n, 2n ** 64n - 1n, '0000000000000000', 'ffffffffffffffff'],
  ])('$name: the whole range, and nothing beside it', (codec, low, high, lowBytes, highBytes) => {
    expect([codec.decode(codec.encode(low)), codec.decode(codec.encode(high))]).toEqual([low, high])
    expect([bytesOf(codec, low), bytesOf(codec, high)]).toEqual([lowBytes, highBytes])
    for (const value of [low - 1n, high + 1n, 1, '1', null]) {
      expect(message(codec, value)).toContain(`codec '${codec.name}' takes bigints from`)
    }
  })
})

describe('fractions', () => {
  it('float64 keeps every number, NaN in one form', () => {
    for (const value of [-0, Number.NaN, Infinity, -Infinity, Number.MIN_VALUE, 0.1]) {
      expect(codecs.float64().decode(codecs.float64().encode(value))).toBe(value)
    }
    const odd = new Float64Array(new BigUint64Array([0xffff_dead_beef_0001n]).buffer)[0] as number
    expect(bytesOf(codecs.float64(), odd)).toBe('000000000000f87f')
    expect(message(codecs.float64(), 1n)).toContain('value is a bigint')
  })

  it('float32 rounds when the value is stored, so that memory and bytes agree', () => {
    const resident = residentOf(codecs.float32())
    expect(resident.release(resident.admit(0.1))).toBe(Math.fround(0.1))
    expect(resident.release(resident.admit(Infinity))).toBe(Infinity)
    expect(message(codecs.float32(), 1e39)).toContain("codec 'float32' takes numbers up to")
    expect(message(codecs.float32(), -Number.MAX_VALUE)).toContain('value is a whole number')
  })
})

describe('boolean', () => {
  it('is one byte, 0 or 1', () => {
    expect([bytesOf(codecs.boolean(), false), bytesOf(codecs.boolean(), true)]).toEqual(['00', '01'])
    expect(() => codecs.boolean().decode(new Uint8Array([2]))).toThrow(
      expect.objectContaining({ code: 'CODEC_MISMATCH' }),
    )
    expect(message(codecs.boolean(), 1)).toContain('value is a whole number')
  })
})

describe('bytes', () => {
  const value = Uint8Array.from({ length: 100 }, (_, i) => i)

  it('are copied in and copied out', () => {
    const resident = residentOf(codecs.bytes())
    for (const length of [0, 1, 48, 49, 64, 100]) {
      const stored = resident.admit(value.subarray(0, length))
      const first = resident.release(stored)
      expect(first).toEqual(value.slice(0, length))
      expect(Buffer.isBuffer(first)).toBe(false)
      expect(first.buffer.byteLength).toBe(length)
      first.fill(9)
      expect(resident.release(stored)).toEqual(value.slice(0, length))
    }
  })

  it('of every size and content survive', () => {
    const resident = residentOf(codecs.bytes())
    for (let length = 0; length < 1200; length += 7) {
      const bytes = Uint8Array.from({ length }, (_, i) => i * 31 + length)
      expect(Buffer.compare(resident.release(resident.admit(bytes)), bytes)).toBe(0)
    }
  })

  it('of a view are handed out without a copy, over a buffer that holds nothing else', () => {
    const resident = residentOf(codecs.bytesView())
    const given = Buffer.from(value).subarray(10, 20)
    const stored = resident.admit(given)
    given.fill(0)
    const read = resident.release(stored)
    expect(read).toBe(resident.release(stored))
    expect(read).toEqual(value.slice(10, 20))
    expect(read.buffer.byteLength).toBe(10)
    expect(resident.direct).toBe(true)
  })

  it('are refused if they are no Uint8Array, or one whose buffer was transferred', () => {
    const detached = new Uint8Array(8)
    structuredClone(detached, { transfer: [detached.buffer] })
    for (const codec of [codecs.bytes(), codecs.bytesView()]) {
      for (const wrong of [new ArrayBuffer(1), new Uint16Array(1), [1], 'x', null, undefined]) {
        expect(message(codec, wrong)).toContain(`codec '${codec.name}' takes Uint8Arrays and Buffers`)
      }
      expect(message(codec, detached)).toContain('value has lost its buffer')
      residentOf(codec).admit(new Uint8Array(0))
    }
  })

  it('that are many and small take little more memory than their content', () => {
    residentOf(codecs.bytes()).admit(value)
    expect(lastSize).toBeLessThan(value.length + 32)
  })
})

describe('string', () => {
  it('is UTF-8, and WTF-8 for lone surrogates', () => {
    expect(bytesOf(codecs.string(), 'é😀')).toBe('c3a9f09f9880')
    expect(bytesOf(codecs.string(), '\ud800x\udc00')).toBe('eda08078edb080')
    expect(bytesOf(codecs.string(), '\ufeffa')).toBe('efbbbf61')
    expect(message(codecs.string(), 5)).toContain('value is a whole number')
    expect(message(codecs.string(), Object('s'))).toContain('value is an instance of String')
  })
})
