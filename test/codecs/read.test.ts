/** Invariants of src/codecs/read.ts, case by case: what it has to read by itself, and what it must not. */
import { setFlagsFromString } from 'node:v8'
import { runInThisContext } from 'node:vm'
import { afterEach, describe, expect, it } from 'vitest'

import { codecs, lastSize, residentOf } from '../../src/codecs/index.ts'
import { UNREAD, readPlain } from '../../src/codecs/read.ts'
import { sameValue } from '../support/values.ts'

const codec = codecs.structured()
const resident = residentOf(codec)

setFlagsFromString('--allow-natives-syntax')
const sameHiddenClass = runInThisContext('(a, b) => %HaveSameMap(a, b)') as (a: object, b: object) => boolean

function read(bytes: Uint8Array): unknown {
  return readPlain(bytes, 0, bytes.length)
}

function readHex(text: string): unknown {
  return read(Buffer.from(text.replaceAll(' ', ''), 'hex'))
}

describe('plain values', () => {
  it.each<[string, unknown]>([
    ['null', null],
    ['true', true],
    ['false', false],
    ...[0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, -1, -32, -33, -128, -129].map(
      (value): [string, unknown] => [String(value), value],
    ),
    ...[-32_768, -32_769, -(2 ** 31), -(2 ** 31) - 1, 1.5, Number.NaN, Infinity, Number.MIN_VALUE].map(
      (value): [string, unknown] => [String(value), value],
    ),
    ...[0, 1, 7, 8, 9, 11, 12, 13, 16, 31, 32, 63, 64, 65, 255, 256, 65_535, 65_536].map(
      (length): [string, unknown] => [
        `a string of ${length}`,
        'abcdefghijklmnopqrstuvwxyz0123456789'.repeat(2000).slice(0, length),
      ],
    ),
    ['umlauts', 'größe'],
    ['a long text of two scripts', 'дом house '.repeat(30)],
    ['emoji', '👍'.repeat(3)],
    ['an empty array', []],
    ['an array of 20', Array.from({ length: 20 }, (_, i) => i * 1.5)],
    ['an array of 70,000', Array.from({ length: 70_000 }, (_, i) => i)],
    ['an empty object', {}],
    ['a record', { id: 1, owner: 'somebody', balance: 2.5, note: 'some text that makes it longer, xyz' }],
    ['names that are indices', { b: 1, 2: 'two', a: 3, 1: 'one' }],
    ['names that are not ASCII', { größe: 1, 名前: 'x' }],
    ['a dictionary of 65', Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`name ${i}`, i]))],
    ['a dictionary of 1000', Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`name ${i}`, i]))],
    ['undefined and -0 within', { a: undefined, list: [undefined, -0], minus: -0 }],
    ['Dates', [new Date(0), new Date(1.7e12), new Date(-1), new Date(Number.NaN)]],
    ['a Date', new Date(1.7e12)],
    ['Dates within', { at: new Date(1.7e12), list: [1, { at: new Date(7) }], plain: { a: 1 }, last: new Date(8) }],
    [
      'a dictionary with a Date',
      Object.fromEntries(Array.from({ length: 70 }, (_, i) => [`name ${i}`, i === 50 ? new Date(i) : i])),
    ],
    ...[0, 1, 16, 17, 48, 64, 65, 255, 256, 1024, 1025, 65_536].map((length): [string, unknown] => [
      `${length} bytes`,
      Uint8Array.from({ length }, (_, i) => i * 37),
    ]),
    [
      'binary data of other kinds',
      [Float64Array.of(1.5, -0), Int16Array.of(-1, 2), Buffer.from('x'), new ArrayBuffer(3)],
    ],
    ['bytes within', { id: 1, hash: Uint8Array.of(1, 2, 255), list: [new Uint8Array(0)] }],
    ['nested ones', { list: [{ a: [[{ b: null }]] }, { a: [] }], inner: { list: 'x', a: { list: 1 } } }],
  ])('%s', (_, value) => {
    const stored = resident.admit(value)
    const size = lastSize
    const restored = read(resident.encode(stored))
    expect(lastSize).toBe(size)
    expect(resident.sizeOf(restored)).toBe(size)
    expect(restored).not.toBe(UNREAD)
    const again = resident.release(restored)
    expect(again).toStrictEqual(value)
    if (typeof value !== 'object' || value === null) return
    expect(Object.keys(again as object)).toEqual(Object.keys(value))
    if (!(value instanceof Date) && !ArrayBuffer.isView(value)) expect(Object.isFrozen(again)).toBe(true)
  })

  it('of 500 levels are read, and no deeper ones', () => {
    const deep = (levels: number): Uint8Array => Buffer.from(`${'91'.repeat(levels - 1)}90`, 'hex')
    expect(read(deep(500))).not.toBe(UNREAD)
    expect(read(deep(502))).toBe(UNREAD)
    expect(read(Buffer.from(`${'81a161'.repeat(600)}01`, 'hex'))).toBe(UNREAD)
  })

  it('have the hidden classes of values that were admitted', () => {
    for (const value of [{ id: 1, owner: 'x', balance: 0.5 }, { inner: { a: [] } }, { one: 1 }]) {
      const stored = resident.admit(value) as object
      expect(sameHiddenClass(resident.decode(resident.encode(stored)) as object, stored)).toBe(true)
    }
  })
})

describe('left to the other way', () => {
  it.each<[string, string]>([
    ['nothing', ''],
    ['undefined', '92c100'],
    ['a large bigint', '93c102c409010000000000000000'],
    ['a Map', '94c10701a161'],
    ['a Map within', '81a161 94c10701a161'],
    ['undefined with more', '93c10000'],
    ['a Date without a time', '92c109'],
    ['a Date of text', '93c109a161'],
    ['a Date of a Date', '93c109 93c10900'],
    ['a Date out of range', '93c109cb4360000000000000'],
    ['a Date at -0', '93c109cb8000000000000000'],
    ['bytes', 'c40101'],
    ['binary data of no kind', '94c10a0ec40101'],
    ['binary data of a kind in another spelling', '94c10acc01c40101'],
    ['binary data that is no bytes', '94c10a01a101'],
    ['binary data cut short', '94c10a01c40201'],
    ['binary data without a length', '94c10a01c6'],
    ['binary data that does not fill its elements', '94c10a03c40101'],
    ['binary data with more', '94c10a01c4010101'],
    ['a bigint', 'cf 0000000000000001'],
    ['a float of 32 bits', 'ca 3f800000'],
    ['an extension', 'd40001'],
    ['a record', '93 91 d47240 91a161 01'],
    ['a byte too many', '0101'],
    ['a number cut short', 'ce 000000'],
    ['a string cut short', 'a3 6162'],
    ['a byte order mark', 'a3 efbbbf'],
    ['bytes that are no UTF-8', 'a2 c0af'],
    ['a surrogate', 'a3 eda080'],
    ['the character for what is no UTF-8', 'a3 efbfbd'],
    ['a name twice', '82 a161 01 a161 02'],
    ['a name twice in two spellings', '82 a161 01 d90161 02'],
    ['a name that is a number', '81 01 01'],
    ['__proto__', '81 a95f5f70726f746f5f5f 01'],
    ['__proto__ in another spelling', '81 d9095f5f70726f746f5f5f 01'],
    ['toString', '81 a8746f537472696e67 01'],
    ['an array longer than its bytes', 'dd00ffffff 01'],
    ['a map longer than its bytes', 'df00ffffff a161 01'],
  ])('%s', (_, hex) => {
    expect(readHex(hex)).toBe(UNREAD)
  })

  it('a dictionary with a name twice', () => {
    const names = Array.from({ length: 80 }, (_, i) => `a2${(0x3030 + (i % 79)).toString(16)}01`)
    expect(readHex(`de0050 ${names.join('')}`)).toBe(UNREAD)
    expect(readHex(`de004f ${names.slice(0, 79).join('')}`)).not.toBe(UNREAD)
  })

  it('bytes whose lengths promise more than there is over all levels: nothing is made of them (I3)', () => {
    const before = process.memoryUsage().heapUsed
    for (let i = 0; i < 50; i++) expect(read(Buffer.from('dc7000'.repeat(10_000), 'hex'))).toBe(UNREAD)
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(50_000_000)
  })

  describe('what cannot be assigned', () => {
    afterEach(() => {
      delete (Object.prototype as Record<string, unknown>)['polluted']
    })

    it('because Object.prototype has it, read-only', () => {
      const bytes = codec.encode({ before: 1, polluted: 2 })
      expect(read(bytes)).toEqual({ before: 1, polluted: 2 })
      Reflect.defineProperty(Object.prototype, 'polluted', { value: 1, configurable: true })
      expect(read(bytes)).toBe(UNREAD)
    })
  })
})

describe('the tree of names', () => {
  it('keeps apart objects that begin alike, and finds its way among many', () => {
    const values = Array.from({ length: 400 }, (_, i) =>
      Object.fromEntries(Array.from({ length: (i % 7) + 1 }, (_entry, j) => [`n${(i * j) % 23}x${j}`, i + j])),
    )
    const encoded = values.map((value) => codec.encode(value))
    for (let round = 0; round < 3; round++)
      encoded.forEach((bytes, i) => expect(codec.decode(bytes)).toEqual(values[i]))
  })

  it('is bounded: names that never come again are forgotten, and nothing goes wrong meanwhile (I3)', () => {
    const make = (i: number): object => ({ [`first ${i}`]: { [`second ${i}`]: i, known: 'x' }, [`third ${i}`]: i })
    let unread = 0
    const round = (from: number): void => {
      for (let i = from; i < from + 30_000; i++) {
        const bytes = codec.encode(make(i))
        if (read(bytes) === UNREAD) unread++
        if (!sameValue(codec.decode(bytes), make(i))) expect.fail(`value ${i} is another one`)
      }
    }
    round(0)
    globalThis.gc?.()
    const before = process.memoryUsage().heapUsed
    round(30_000)
    globalThis.gc?.()
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(8_000_000)
    expect(unread).toBeGreaterThan(10)
    expect(unread).toBeLessThan(1000)
  })
})
