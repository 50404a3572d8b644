/** Codecs that users write, and how a codec is told from what is none. */
import { describe, expect, it } from 'vitest'

import { codecs, isValueCodec, lastSize, residentOf, type ValueCodec } from '../../src/codecs/index.ts'
import { BUILT_IN_NAMES } from '../../src/codecs/codec.ts'
import { userCodec } from './laws.ts'

class Point {
  readonly x: number

  constructor(x: number) {
    this.x = x
  }
}

const points: ValueCodec<Point> = {
  name: 'point',
  encode: (point) => {
    if (!(point instanceof Point)) throw new TypeError('not a point')
    return new Uint8Array([point.x])
  },
  decode: (bytes) => {
    if (bytes.length !== 1) throw new RangeError('wrong length')
    return new Point(bytes[0] as number)
  },
}

describe('a codec of the user', () => {
  it('may carry what no other does, decoded afresh at every read', () => {
    const resident = residentOf(points)
    const stored = resident.admit(new Point(7))
    expect(resident.codec).toBe(points)
    expect(resident.direct).toBe(false)
    expect(resident.release(stored)).toEqual(new Point(7))
    expect(resident.release(stored)).not.toBe(resident.release(stored))
    expect(lastSize).toBe(resident.sizeOf(stored))
  })

  it('may use its buffer again, and hand out views on what it decodes', () => {
    const resident = residentOf(userCodec)
    const first = resident.admit({ raw: new Uint8Array([1, 2]) })
    const second = resident.admit({ raw: new Uint8Array(60).fill(3) })
    resident.release(first).raw.fill(9)
    resident.release(second).raw.fill(9)
    expect(resident.release(first).raw).toEqual(new Uint8Array([1, 2]))
    expect(resident.release(second).raw).toEqual(new Uint8Array(60).fill(3))
  })

  it('refuses by throwing', () => {
    const resident = residentOf(points)
    expect(() => resident.admit({ x: 1 })).toThrow(
      expect.objectContaining({ code: 'INVALID_VALUE', cause: new TypeError('not a point') }),
    )
    expect(() => resident.release(resident.decode(new Uint8Array(2)))).toThrow(
      expect.objectContaining({ code: 'CODEC_MISMATCH', cause: new RangeError('wrong length') }),
    )
    const lenient = residentOf({ ...points, encode: () => new Uint8Array(1) })
    expect(() => lenient.admit(undefined)).toThrow(expect.objectContaining({ code: 'INVALID_VALUE' }))
  })

  it('must encode to bytes', () => {
    const broken = { ...points, encode: () => 'text' as never }
    expect(() => residentOf(broken).admit(new Point(1))).toThrow(/codec 'point' must encode to a Uint8Array/)
  })
})

describe('residentOf', () => {
  it('knows the built-in codecs, each under its own name', () => {
    const { struct, ...plain } = codecs
    expect(Object.entries(plain).map(([name, make]) => [name, (make as () => ValueCodec<unknown>)().name])).toEqual(
      BUILT_IN_NAMES.map((name) => [name, name]),
    )
    expect(struct({ id: 'u32' }).name).toBe('struct:{id:u32}')
    expect(residentOf(codecs.int8())).toBe(residentOf(codecs.int8()))
  })

  it('refuses what is no codec, and the names of the built-in ones', () => {
    for (const wrong of [null, {}, 'string', { ...points, name: '' }, { ...points, decode: undefined }]) {
      expect(isValueCodec(wrong)).toBe(false)
      expect(() => residentOf(wrong as never)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    }
    expect(isValueCodec(points) && isValueCodec(codecs.string())).toBe(true)
    expect(() => residentOf({ ...points, name: 'string' })).toThrow(/name of a built-in codec/)
    expect(() => residentOf({ ...points, name: 'struct:{x:u8}' })).toThrow(/name of a built-in codec/)
  })
})
