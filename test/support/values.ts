/**
 * Arbitrary values for property tests of whatever stores them, biased to where codecs break: -0, NaN, lone surrogates, a
 * leading U+FEFF, bigints around 64 bits, properties named `__proto__`, `constructor` or `toJSON`, undefined inside,
 * objects without prototype, views into the middle of a buffer.
 */

import fc from 'fast-check'

export const textValue: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.string({ maxLength: 80 }),
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 8 }).map((units) => String.fromCharCode(...units)),
  fc
    .array(fc.constantFrom(0x61, 0xfeff, 0xfffd, 0xd800, 0xdbff, 0xdc00, 0xdfff, 0x7f, 0x80, 0x7ff, 0x800), {
      maxLength: 6,
    })
    .map((units) => String.fromCharCode(...units)),
  fc.constantFrom('', '\ufeff', `\ufeff${'long enough to be decoded natively '.repeat(3)}`, `${'x'.repeat(70)}\ud800`),
)

export const numberValue: fc.Arbitrary<number> = fc.oneof(
  fc.double(),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.constantFrom(-0, 0, Number.NaN, Infinity, -Infinity, 127, 128, 255, 256, 65_535, 65_536, -32, -33, -129, 2 ** 31),
  fc.constantFrom(2 ** 32, 2 ** 32 - 1, -(2 ** 31), -(2 ** 31) - 1, 2 ** 53, 1.5, Number.MIN_VALUE, Number.MAX_VALUE),
)

export const bigintValue: fc.Arbitrary<bigint> = fc.oneof(
  fc.bigInt({ min: -300n, max: 300n }),
  fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }),
  fc
    .constantFrom(63n, 64n, 65n, 128n, 4096n)
    .chain((bits) =>
      fc.bigInt({ min: -2n, max: 2n }).chain((near) => fc.constantFrom(2n ** bits + near, near - 2n ** bits)),
    ),
)

const primitiveValue: fc.Arbitrary<unknown> = fc.oneof(
  textValue,
  numberValue,
  bigintValue,
  fc.boolean(),
  fc.constant(null),
)

const dateValue: fc.Arbitrary<Date> = fc.oneof(
  fc.date({ noInvalidDate: false }),
  fc.constantFrom(-1, 0, 999, -999, 8.64e15, -8.64e15, Number.NaN).map((time) => new Date(time)),
)

const VIEWS = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
] as const

/** Binary data of every kind; views lie somewhere inside a larger buffer. */
const binaryValue: fc.Arbitrary<ArrayBufferView | ArrayBuffer> = fc
  .tuple(
    fc.nat({ max: VIEWS.length + 1 }),
    fc.uint8Array({ minLength: 24, maxLength: 64 }),
    fc.nat({ max: 1 }),
    fc.nat({ max: 2 }),
    fc.constantFrom(0, 0, 0, 1_100),
  )
  .map(([kind, content, skip, count, more]) => {
    const bytes = new Uint8Array(content.length + more)
    bytes.set(content)
    if (kind === VIEWS.length) return bytes.buffer
    if (kind > VIEWS.length) return Buffer.from(bytes).subarray(skip, bytes.length - count)
    const View = VIEWS[kind] as new (buffer: ArrayBuffer, start: number, length: number) => ArrayBufferView
    return new View(bytes.buffer, skip * 8, more > 0 ? more / 8 : count)
  })

const nameValue: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('id', 'name', 'items', 'x', 'y', '0', '17') },
  { weight: 2, arbitrary: textValue },
  {
    weight: 1,
    arbitrary: fc.constantFrom('__proto__', 'constructor', 'toJSON', 'hasOwnProperty', 'length', 'then', '__keys__'),
  },
)

/** Makes an object by definition of properties, so that no name has an effect. */
export function objectOf(entries: readonly (readonly [string, unknown])[], prototype: object | null): object {
  const object = Object.create(prototype) as object
  for (const [name, value] of entries) {
    Object.defineProperty(object, name, { value, configurable: true, enumerable: true, writable: true })
  }
  return object
}

function nested(leaf: fc.Arbitrary<unknown>, withUnfreezable: boolean): fc.Arbitrary<unknown> {
  return fc.letrec<{ inner: unknown; container: unknown }>((tie) => {
    const entries = fc.array(fc.tuple(nameValue, tie('inner')), { maxLength: 5 })
    const pairs = fc.array(fc.tuple(tie('inner'), tie('inner')), { maxLength: 4 })
    return {
      inner: fc.oneof(
        { maxDepth: 4, depthSize: 'small' },
        { weight: 5, arbitrary: leaf },
        { weight: 1, arbitrary: fc.constant(undefined) },
        { weight: 4, arbitrary: tie('container') },
      ),
      container: fc.oneof(
        { weight: 5, arbitrary: entries.map((list) => objectOf(list, Object.prototype)) },
        { weight: 3, arbitrary: fc.array(tie('inner'), { maxLength: 6 }) },
        { weight: 1, arbitrary: entries.map((list) => objectOf(list, null)) },
        ...(withUnfreezable
          ? [
              { weight: 2, arbitrary: pairs.map((list) => new Map(list)) },
              { weight: 1, arbitrary: fc.array(tie('inner'), { maxLength: 4 }).map((members) => new Set(members)) },
            ]
          : []),
      ),
    }
  }).container
}

/** Objects and arrays of primitives: what can be deep-frozen. */
export const plainValue: fc.Arbitrary<unknown> = fc.oneof(primitiveValue, nested(primitiveValue, false))

/** Everything that the codec `structured` takes. */
export const structuredValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 1, arbitrary: primitiveValue },
  { weight: 1, arbitrary: dateValue },
  { weight: 1, arbitrary: binaryValue },
  { weight: 2, arbitrary: nested(primitiveValue, false) },
  { weight: 4, arbitrary: nested(fc.oneof(primitiveValue, dateValue, binaryValue), true) },
)

function sameList(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((item, i) => sameValue(item, b[i]))
}

function bytesOf(binary: ArrayBufferView | ArrayBuffer): readonly number[] {
  return [
    ...(ArrayBuffer.isView(binary)
      ? new Uint8Array(binary.buffer, binary.byteOffset, binary.byteLength)
      : new Uint8Array(binary)),
  ]
}

/**
 * Whether nobody could tell two values apart but by identity: `Object.is` for primitives, equal classes, equal content
 * in equal order, bytes for binary data. Stricter than any deep equality of the test libraries.
 */
export function sameValue(a: unknown, b: unknown): boolean {
  if (a === b && typeof a === 'object') return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return Object.is(a, b)
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false
  if (a instanceof Date) return Object.is(a.getTime(), (b as Date).getTime())
  if (a instanceof Map) return sameList([...a].flat(1), [...(b as Map<unknown, unknown>)].flat(1))
  if (a instanceof Set) return sameList([...a], [...(b as Set<unknown>)])
  if (ArrayBuffer.isView(a)) return sameList(bytesOf(a), bytesOf(b as ArrayBufferView))
  if (a instanceof ArrayBuffer) return sameList(bytesOf(a), bytesOf(b as ArrayBuffer))
  const names = Reflect.ownKeys(a)
  return (
    sameList(names, Reflect.ownKeys(b)) &&
    names.every((name) =>
      sameValue((a as Record<PropertyKey, unknown>)[name], (b as Record<PropertyKey, unknown>)[name]),
    )
  )
}

/** A value that is the same and shares nothing, made by other means than the code under test. */
export function cloneValue(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(cloneValue)
  if (value instanceof Date) return new Date(value.getTime())
  if (value instanceof Map) return new Map([...value].map(([k, v]) => [cloneValue(k), cloneValue(v)]))
  if (value instanceof Set) return new Set([...value].map(cloneValue))
  if (Buffer.isBuffer(value)) return Buffer.from(value)
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return structuredClone(value)
  return objectOf(
    Object.entries(value).map(([name, inner]) => [name, cloneValue(inner)] as const),
    Object.getPrototypeOf(value) as object | null,
  )
}

/** Does all the harm that can be done to what is reachable from a value; what is frozen resists. */
export function vandalise(value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  if (value instanceof Date) value.setTime(1)
  else if (value instanceof ArrayBuffer) new Uint8Array(value).fill(0xaa)
  else if (ArrayBuffer.isView(value)) new Uint8Array(value.buffer, value.byteOffset, value.byteLength).fill(0xaa)
  else if (value instanceof Map) {
    for (const [key, inner] of value) {
      vandalise(key)
      vandalise(inner)
    }
    value.clear()
    value.set('vandalised', true)
  } else if (value instanceof Set) {
    for (const member of value) vandalise(member)
    value.clear()
    value.add('vandalised')
  } else {
    const object = value as Record<string, unknown>
    for (const name of Object.keys(object)) {
      vandalise(object[name])
      Reflect.defineProperty(object, name, { value: 'vandalised' })
      Reflect.deleteProperty(object, name)
    }
    Reflect.defineProperty(object, 'vandalised', { value: true, enumerable: true })
    if (Array.isArray(value)) Reflect.defineProperty(value, 'length', { value: 0 })
  }
}
