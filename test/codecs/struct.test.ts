/** Structs: what is taken, what reads hand out, how schemas grow. */
import { inspect, isDeepStrictEqual } from 'node:util'
import { describe, expect, it } from 'vitest'

import { codecs, joinedCodecName, residentOf, type ValueCodec } from '../../src/codecs/index.ts'
import { returnWriter, takeWriter } from '../../src/codecs/struct-writer.ts'

const orders = codecs.struct({
  id: 'u32',
  customer: 'string',
  amounts: 'f64[]',
  tags: 'string[]',
  total: 'i64',
  isPaid: 'bool',
  signature: 'bytes',
  address: { street: 'string', number: 'u16' },
  note: 'string?',
})
const order = {
  id: 7,
  customer: 'Grüße',
  amounts: [1.5, -0, Number.NaN, Infinity],
  tags: ['a', '', 'größer'],
  total: -5n,
  isPaid: true,
  signature: Uint8Array.of(1, 2, 3),
  address: { street: 'Main', number: 12 },
}

/** What a read hands out for a value. */
function read<V>(codec: unknown, value: unknown): V {
  const resident = residentOf(codec as never)
  return resident.release(resident.decode(resident.encode(resident.admit(value)))) as V
}

function attempt(act: () => unknown): { readonly code?: string; readonly message: string } {
  try {
    act()
  } catch (error) {
    return error as { readonly code: string; readonly message: string }
  }
  return { message: 'nothing was thrown' }
}

describe('a view', () => {
  const view = read<typeof order & { note?: string }>(orders, order)

  it('shows the value as a plain object would', () => {
    expect(view).toEqual(order)
    expect(isDeepStrictEqual(view, order) && isDeepStrictEqual(order, view)).toBe(true)
    expect(isDeepStrictEqual(view, { ...order, id: 8 })).toBe(false)
    expect(Object.keys(view)).toEqual(Object.keys(order))
    expect('id' in view && !('note' in view) && view.note === undefined).toBe(true)
    expect(inspect(view)).toBe(inspect(order))
    const { total: _, ...rest } = view
    expect(JSON.stringify(rest)).toBe(JSON.stringify({ ...order, total: undefined }))
  })

  it('can be spread, and stored again as it is or changed, in any table of such a schema', () => {
    expect(read(orders, { ...view, id: 8 })).toEqual({ ...order, id: 8 })
    expect(read(orders, view)).toEqual(order)
    const twin = codecs.struct({ ...shapeOf(), note: 'string?' })
    expect(read(twin, view)).toEqual(order)
    const longer = codecs.struct({ ...shapeOf(), note: 'string?', more: 'u8?' })
    expect(read(longer, view)).toEqual(order)
    expect(read(longer, { ...view, more: 1 })).toEqual({ ...order, more: 1 })
  })

  it('can be stored where the fields are others, or lie elsewhere, as any object of its fields can', () => {
    const pair = read<{ a: number; b: number }>(codecs.struct({ a: 'u8', b: 'f64' }), { a: 1, b: 2.5 })
    expect(read(codecs.struct({ b: 'f64', a: 'u8' }), pair)).toEqual({ b: 2.5, a: 1 })
    expect(read(codecs.struct({ a: 'f64', b: 'f32' }), pair)).toEqual({ a: 1, b: 2.5 })
    expect(attempt(() => read(codecs.struct({ a: 'u8', b: 'u8' }), pair)).message).toMatch(/value\.b is a fraction/)
    expect(attempt(() => read(codecs.struct({ a: 'u8', b: 'f64', c: 'u8' }), pair)).message).toMatch(
      /value\.c is missing/,
    )
    expect(attempt(() => read(codecs.struct({ a: 'u8' }), pair)).message).toMatch(/value\.b is no field/)
  })

  function shapeOf() {
    return {
      id: 'u32',
      customer: 'string',
      amounts: 'f64[]',
      tags: 'string[]',
      total: 'i64',
      isPaid: 'bool',
      signature: 'bytes',
      address: { street: 'string', number: 'u16' },
    } as const
  }

  it('gives arrays by index, length and iteration, and to what takes arrays', () => {
    const { amounts, tags } = view
    expect(Array.isArray(amounts)).toBe(true)
    expect([amounts.length, amounts[0], amounts[1], amounts[4], amounts.at(-1)]).toEqual([
      4,
      1.5,
      -0,
      undefined,
      Infinity,
    ])
    expect([...tags]).toEqual(['a', '', 'größer'])
    expect(Array.from(amounts)).toEqual(order.amounts)
    expect(tags.map((tag) => tag.length)).toEqual([1, 0, 6])
    expect(amounts.includes(Number.NaN) && tags.indexOf('größer') === 2).toBe(true)
    expect(JSON.stringify(tags)).toBe('["a","","größer"]')
    expect((amounts as unknown as Record<string, unknown>)['01']).toBeUndefined()
    expect([0, ...amounts].length).toBe(5)
  })

  it('refuses to be changed', () => {
    const changes: (() => unknown)[] = [
      () => ((view as { id: number }).id = 1),
      () => (view.amounts[0] = 1),
      () => (view.address.number = 1),
      () => view.tags.push('x'),
      () => view.tags.sort(),
      () => (view.tags.length = 0),
      () => delete (view as { id?: number }).id,
      () => Object.defineProperty(view, 'id', { value: 1 }),
      () => Object.setPrototypeOf(view, null),
      () => Object.assign(view, { id: 1 }),
    ]
    for (const change of changes) expect(change).toThrow(TypeError)
    view.signature.fill(9)
    expect(view).toEqual(order)
  })

  it('becomes a plain object when asked', () => {
    const plain = orders.toObject(view) as unknown as typeof order
    plain.id = 9
    plain.amounts[0] = 9
    plain.address.number = 9
    expect(plain).toEqual({
      ...order,
      id: 9,
      amounts: [9, -0, Number.NaN, Infinity],
      address: { street: 'Main', number: 9 },
    })
    expect((view as unknown as { toObject(): unknown }).toObject()).toEqual(order)
    expect(view).toEqual(order)
    expect(() => structuredClone(plain)).not.toThrow()
  })

  it('stands for the moment it was read, however many come after it', () => {
    const small = codecs.struct({ n: 'u32', text: 'string' })
    const resident = residentOf(small)
    const views = Array.from({ length: 5000 }, (_, n) =>
      resident.release(resident.admit({ n, text: 'x'.repeat(n % 700) })),
    )
    expect(views.every(({ n, text }, i) => n === i && text.length === i % 700)).toBe(true)
  })
})

describe('numbers', () => {
  it('of every width hold their bounds and nothing beyond', () => {
    const bounds = {
      u8: [0, 255, -1, 256],
      i8: [-128, 127, -129, 128],
      u16: [0, 65_535, -1, 65_536],
      i16: [-32_768, 32_767, -32_769, 32_768],
      u32: [0, 4_294_967_295, -1, 4_294_967_296],
      i32: [-2_147_483_648, 2_147_483_647, -2_147_483_649, 2_147_483_648],
      u64: [0n, 2n ** 64n - 1n, -1n, 2n ** 64n],
      i64: [-(2n ** 63n), 2n ** 63n - 1n, -(2n ** 63n) - 1n, 2n ** 63n],
      f32: [-3.4028234663852886e38, 3.4028234663852886e38, -3.5e38, 3.5e38],
    } as const
    for (const [type, [low, high, below, above]] of Object.entries(bounds)) {
      const codec = codecs.struct({ one: type as 'u8', many: `${type as 'u8'}[]` })
      expect(read(codec, { one: low, many: [low, high] })).toEqual({ one: low, many: [low, high] })
      for (const wrong of [below, above, 'text', null, type === 'u64' || type === 'i64' ? 1 : 1n]) {
        expect(attempt(() => read(codec, { one: wrong, many: [] })).code).toBe('INVALID_VALUE')
        expect(attempt(() => read(codec, { one: low, many: [low, wrong] })).message).toMatch(/^value\.many\[1\] is /)
      }
    }
  })

  it('are taken from typed arrays too', () => {
    const codec = codecs.struct({ f: 'f64[]', b: 'u64[]', u: 'u8[]' })
    const value = { f: Float64Array.of(1, 2), b: BigUint64Array.of(3n), u: Buffer.from([4, 5]) }
    expect(read(codec, value)).toEqual({ f: [1, 2], b: [3n], u: [4, 5] })
  })

  it('of arrays are aligned to their width in the bytes', () => {
    const codec = codecs.struct({ a: 'u8', b: 'u8[]', c: 'f64[]', d: { e: 'u8', f: 'u32[]' } })
    const bytes = codec.encode({ a: 1, b: [1, 2, 3], c: [1.5], d: { e: 1, f: [7] } })
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const [c, d] = [view.getUint32(13, true), view.getUint32(21, true)]
    expect([c % 8, d % 8, view.getFloat64(c, true)]).toEqual([0, 0, 1.5])
    expect(view.getUint32(d + 5, true) % 4).toBe(0)
  })
})

describe('a value', () => {
  it.each([
    [{ ...order, id: '7' }, 'value.id is a string, but the struct takes whole numbers from 0 to 4294967295 there'],
    [{ ...order, customer: undefined }, 'value.customer is missing, and the schema does not say that it may be'],
    [{ ...order, amounts: [1, undefined] }, 'value.amounts[1] is undefined, but the struct takes numbers there'],
    [{ ...order, amounts: 5 }, 'value.amounts is a whole number, but the struct takes arrays and typed arrays there'],
    [{ ...order, tags: ['a', 1] }, 'value.tags[1] is a whole number, but the struct takes strings there'],
    [{ ...order, isPaid: 1 }, 'value.isPaid is a whole number, but the struct takes true or false there'],
    [{ ...order, signature: 'x' }, 'value.signature is a string, but the struct takes Uint8Arrays and Buffers there'],
    [{ ...order, address: { street: 'Main' } }, 'value.address.number is missing'],
    [{ ...order, address: { ...order.address, zip: 1 } }, 'value.address.zip is no field of the schema'],
    [{ ...order, note: null }, 'value.note is null, but the struct takes strings there'],
    [{ ...order, [Symbol('s')]: 1 }, 'value["Symbol(s)"] is no field of the schema'],
    [
      Object.assign(new Date(), order),
      'value is an instance of Date, but the struct takes a plain object of fields there',
    ],
    ['text', "value is a string, but codec 'struct' takes objects of its fields"],
  ])('that does not fit is refused, with the place: %#', (value, message) => {
    expect(attempt(() => read(orders, value))).toMatchObject({
      code: 'INVALID_VALUE',
      message: expect.stringContaining(message),
    })
  })

  it('whose getter stores a struct itself is stored whole', () => {
    const codec = codecs.struct({ a: 'string', b: 'string' })
    const value = {
      a: 'first',
      get b(): string {
        codec.encode({ a: 'zzzzzzzzzzzz', b: 'zzzzzzzzzzzzzzz' })
        return 'second'
      },
    }
    expect(read(codec, value)).toEqual({ a: 'first', b: 'second' })
    const throwing = {
      a: '',
      get b(): string {
        throw new RangeError('no')
      },
    }
    expect(attempt(() => codec.encode(throwing))).toMatchObject({ code: 'INVALID_VALUE', cause: new RangeError('no') })
  })

  it('that is large goes through', () => {
    const codec = codecs.struct({ text: 'string', numbers: 'u32[]', inner: { raw: 'bytes' } })
    const value = {
      text: 'ä'.repeat(200_000),
      numbers: Array.from({ length: 100_000 }, (_, i) => i),
      inner: { raw: new Uint8Array(300_000).fill(5) },
    }
    expect(isDeepStrictEqual(read(codec, value), value)).toBe(true)
  })
})

describe('the memory for writing', () => {
  it('is kept for the next value, but not what a large one has taken', () => {
    const first = takeWriter()
    returnWriter(first)
    const again = takeWriter()
    expect(again).toBe(first)
    again.claim(1_000_000, 1)
    returnWriter(again)
    expect(takeWriter().bytes.length).toBeLessThan(100_000)
  })
})

describe('optional fields', () => {
  const before = codecs.struct({ id: 'u32', isOpen: 'bool' })
  const after = codecs.struct({
    id: 'u32',
    isOpen: 'bool',
    isOld: 'bool?',
    note: 'string?',
    at: codecs.struct({ x: 'f64' }).optional(),
    list: 'u16[]?',
  })

  it('added at the end are absent in what was written before', () => {
    const old = after.decode(before.encode({ id: 1, isOpen: true }))
    expect(old).toEqual({ id: 1, isOpen: true })
    expect([old.isOld, old.note, old.at, old.list]).toEqual([undefined, undefined, undefined, undefined])
    expect(after.decode(after.encode({ ...old, isOld: false, at: { x: 1 } }))).toEqual({
      id: 1,
      isOpen: true,
      isOld: false,
      at: { x: 1 },
    })
  })

  it('are passed over by those who do not know them', () => {
    const written = after.encode({ id: 2, isOpen: true, isOld: true, note: 'x', at: { x: 1 }, list: [1] })
    expect(before.decode(written)).toEqual({ id: 2, isOpen: true })
  })

  it('may be added inside too', () => {
    const shallow = codecs.struct({ at: { x: 'f64' }, name: 'string' })
    const deep = codecs.struct({ at: { x: 'f64', label: 'string?' }, name: 'string' })
    expect(deep.decode(shallow.encode({ at: { x: 1 }, name: 'n' }))).toEqual({ at: { x: 1 }, name: 'n' })
    expect(shallow.decode(deep.encode({ at: { x: 1, label: 'l' }, name: 'n' }))).toEqual({ at: { x: 1 }, name: 'n' })
  })
})

describe('bytes', () => {
  function u32(...words: number[]): Uint8Array {
    return new Uint8Array(Uint32Array.from(words).buffer)
  }

  const blobs = codecs.struct({ list: 'bytes[]' })
  const numbers = codecs.struct({ list: 'u32[]' })
  const hints = codecs.struct({ a: 'u32?', b: 'u32?' })
  const pair = codecs.struct({ a: 'bytes', b: 'bytes' })
  const inner = codecs.struct({ in: { a: 'bytes' } })
  const plain = codecs.struct({ a: 'u32', b: 'u32' })

  it('are laid out as they are documented', () => {
    expect(numbers.encode({ list: [7, 8] })).toEqual(u32(12, 12, 2, 7, 8))
    expect(blobs.encode({ list: [Uint8Array.of(1, 0, 0), Uint8Array.of(2)] })).toEqual(
      u32(12, 12, 2, 3, 4, 0x0200_0001),
    )
  })

  it('are equal for equal values: NaN has one form', () => {
    const codec = codecs.struct({ double: 'f64', doubles: 'f64[]', float: 'f32', floats: 'f32[]' })
    const [odd] = new Float64Array(BigUint64Array.of(0xfff8_0000_dead_beefn).buffer)
    const strange = { double: odd!, doubles: [odd!], float: odd!, floats: [odd!] }
    const plainNaN = { double: NaN, doubles: [NaN], float: NaN, floats: [NaN] }
    expect(codec.encode(strange)).toEqual(codec.encode(plainNaN))
  })

  it.each([
    ['with elements that lie over each other', blobs, u32(12, 12, 3, 8, 0, 8, 5, 5)],
    ['with an element that ends outside', blobs, u32(12, 12, 1, 5, 0)],
    ['with more elements than there is room for', numbers, u32(12, 12, 3, 1, 2)],
    ['with more elements than anything has room for', numbers, u32(12, 12, 0xffff_ffff, 1, 2)],
    ['with a gap before an array', numbers, u32(12, 16, 1, 0, 2)],
    ['with something behind', numbers, u32(12, 12, 1, 1, 2)],
    ['with contents that lie over each other', pair, u32(20, 20, 4, 20, 4, 5)],
    ['with a fixed part longer than they are', hints, u32(100, 3)],
    ['with a fixed part too short for itself', numbers, u32(3, 12, 0)],
    ['with a fixed part too short for what is required', numbers, u32(8, 0, 0)],
    ['with a fixed part too short for a number that is required', plain, u32(8, 1)],
    ['with content that ends outside, of a longer schema', pair, u32(24, 24, 0, 24, 9, 0, 1, 2)],
    ['with a struct inside that is longer than there is room for', inner, u32(12, 16, 24, 0, 12, 12, 4)],
    ['with a struct inside whose content lies outside', inner, u32(12, 16, 12, 0, 12, 12, 4, 1)],
    ['too short for anything', numbers, Uint8Array.of(4, 0, 0)],
    ['that are none', numbers, new Uint8Array(0)],
  ] as [string, ValueCodec<unknown>, Uint8Array][])('%s are refused', (_name, codec, bytes) => {
    // Not at the beginning of the memory that is shared, where some mistakes would not show.
    for (let i = 0; i < 3; i++) {
      codec.decode(
        codec === hints ? hints.encode({}) : codec === numbers ? numbers.encode({ list: [] }) : sample(codec),
      )
      expect(attempt(() => codec.decode(bytes)).code).toBe('CODEC_MISMATCH')
    }
  })

  function sample(codec: ValueCodec<unknown>): Uint8Array {
    if (codec === blobs) return blobs.encode({ list: [] })
    if (codec === plain) return plain.encode({ a: 1, b: 2 })
    if (codec === pair) return pair.encode({ a: new Uint8Array(200), b: new Uint8Array(0) })
    return inner.encode({ in: { a: new Uint8Array(200) } })
  }
})

describe('names of codecs', () => {
  const name = (schema: unknown): string => codecs.struct(schema as { id: 'u32' }).name
  const join = (a: unknown, b: unknown): string | undefined => joinedCodecName(name(a), name(b))

  it('say the schema, and join if one extends the other', () => {
    expect(name({ id: 'u32', 'full name': 'string?', at: { x: 'f64[]' } })).toBe(
      'struct:{id:u32,"full name":string?,at:{x:f64[]}}',
    )
    const short = { id: 'u32', at: { x: 'f64' } }
    const long = { id: 'u32', at: { x: 'f64', y: 'f64?' }, 'a ":,{}': 'bytes[]?' }
    for (const [a, b] of [
      [short, long],
      [long, short],
      [long, long],
    ] as const)
      expect(join(a, b)).toBe(name(long))
    expect(join({ ...short, more: 'u8?' }, { id: 'u32', at: long.at })).toBe(
      name({ id: 'u32', at: long.at, more: 'u8?' }),
    )
  })

  it('do not join if a field is changed, moved, renamed, dropped, or added but not optional', () => {
    const schema = { id: 'u32', at: { x: 'f64' }, note: 'string?' }
    for (const other of [
      { id: 'i32', at: { x: 'f64' }, note: 'string?' },
      { id: 'u32', at: { x: 'f64' }, note: 'string' },
      { id: 'u32', at: { x: 'f64', y: 'f64' }, note: 'string?' },
      { id: 'u32', at: { x: 'f32' }, note: 'string?' },
      { id: 'u32', at: 'f64', note: 'string?' },
      { at: { x: 'f64' }, id: 'u32', note: 'string?' },
      { id: 'u32', at: { x: 'f64' }, remark: 'string?' },
      { id: 'u32', at: { x: 'f64' }, note: 'string?', more: 'u8' },
      { id: 'u32[]', at: { x: 'f64' }, note: 'string?' },
    ]) {
      expect(join(schema, other)).toBeUndefined()
      expect(join(other, schema)).toBeUndefined()
    }
    expect(joinedCodecName('struct:{id:u32}', 'string')).toBeUndefined()
    const nested = (depth: number, innermost: string): string =>
      `struct:${'{at:'.repeat(depth - 1)}${innermost}${'}'.repeat(depth - 1)}`
    const [inner, wider] = ['{x:u8}', '{x:u8,y:u8?}']
    expect(joinedCodecName(nested(32, inner), nested(32, wider))).toBe(nested(32, wider))
    expect(joinedCodecName(nested(33, inner), nested(33, wider))).toBeUndefined()
    for (const broken of [
      'struct:',
      'struct:{',
      'struct:{id:u32',
      'struct:{id:u33}',
      'struct:{id:u32}x',
      'struct:{:u8}',
      'struct:{"id":u32}',
    ]) {
      expect(joinedCodecName(broken, 'struct:{id:u32}')).toBeUndefined()
      expect(joinedCodecName(broken, broken)).toBe(broken)
    }
  })
})

describe('a schema', () => {
  const cyclic: Record<string, unknown> = { id: 'u8' }
  cyclic['again'] = cyclic

  it.each([
    [{ id: 'u33' }, 'schema.id of codecs.struct is of no known type'],
    [{ id: 'u8', at: { x: 'number' } }, 'schema.at.x of codecs.struct is of no known type'],
    [{ id: 'u8?[]' }, 'schema.id of codecs.struct is of no known type'],
    [{ id: 5 }, 'schema.id of codecs.struct is neither the name of a type nor a struct'],
    [{ '': 'u8' }, 'schema."" of codecs.struct has a name that no field can have'],
    [JSON.parse('{"__proto__":"u8"}'), 'schema.__proto__ of codecs.struct has a name that no field can have'],
    [{ at: {} }, 'schema.at of codecs.struct has no fields'],
    [null, 'schema of codecs.struct is not an object of fields'],
    [['u8'], 'schema of codecs.struct is not an object of fields'],
    [cyclic, 'is more than 32 structs deep'],
  ])('that is none is refused, naming the field: %#', (schema, message) => {
    expect(attempt(() => codecs.struct(schema as never))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining(message),
    })
  })

  it('may use names that objects inherit', () => {
    const codec = codecs.struct({ constructor: 'u8', toString: 'string?', toJSON: 'bool?', length: 'u8' } as const)
    const value = { constructor: 1, length: 2 }
    expect(read(codec, value)).toEqual(value)
    expect(attempt(() => read(codec, { length: 2 })).message).toMatch(/value\.constructor is missing/)
  })

  it('may be used inside others', () => {
    const point = codecs.struct({ x: 'f64', y: 'f64' })
    const line = codecs.struct({ from: point, to: point.optional() })
    expect(line.name).toBe('struct:{from:{x:f64,y:f64},to:{x:f64,y:f64}?}')
    expect(read(line, { from: { x: 1, y: 2 } })).toEqual({ from: { x: 1, y: 2 } })
  })
})
