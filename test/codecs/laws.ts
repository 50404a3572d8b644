/** The codecs, each with the values it takes and what comes out for them. */

import fc from 'fast-check'

import { codecs, type ValueCodec } from '../../src/codecs/index.ts'
import { bigintValue, numberValue, structuredValue, textValue } from '../support/values.ts'

export interface CodecUnderTest {
  readonly name: string
  readonly codec: ValueCodec<unknown>
  readonly values: fc.Arbitrary<unknown>
  /** What a read gives for a value, where it is not the value itself. */
  readonly expected: (value: unknown) => unknown
}

function entry<V>(
  codec: ValueCodec<V>,
  values: fc.Arbitrary<V>,
  expected: (value: V) => unknown = (value) => value,
): CodecUnderTest {
  return {
    name: codec.name,
    codec,
    values,
    expected: expected as (value: unknown) => unknown,
  }
}

const bytes: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 100 }),
  fc.uint8Array({ maxLength: 100 }).map((content) => Buffer.from(content).subarray(content.length >> 1)),
  fc.integer({ min: 1000, max: 1100 }).map((length) => new Uint8Array(length).fill(length)),
)

const plainBytes = (value: Uint8Array): Uint8Array => Uint8Array.from(value)

function integers(low: number, high: number): fc.Arbitrary<number> {
  return fc.oneof(fc.integer({ min: low, max: high }), fc.constantFrom(low, high, 0, -0))
}

const withoutSign = (value: number): number => value + 0

const structValue = fc.record(
  {
    id: fc.nat(),
    name: textValue,
    scores: fc.array(numberValue, { maxLength: 5 }),
    isOpen: fc.boolean(),
    raw: bytes,
    flags: fc.array(fc.boolean(), { maxLength: 5 }),
    at: fc.record({ x: numberValue, label: textValue }, { requiredKeys: ['x'], noNullPrototype: true }),
    tags: fc.array(textValue, { maxLength: 4 }),
    parts: fc.array(bytes, { maxLength: 3 }),
    total: bigintValue.map((value) => BigInt.asUintN(64, value)),
    isPaid: fc.boolean(),
  },
  {
    requiredKeys: ['id', 'name', 'scores', 'isOpen', 'raw', 'at', 'tags', 'parts'],
    noNullPrototype: true,
  },
)

function plainParts<V extends { readonly raw: Uint8Array; readonly parts: Iterable<Uint8Array> }>(value: V): unknown {
  return { ...value, raw: plainBytes(value.raw), parts: Array.from(value.parts, plainBytes) }
}

/** A codec as users write them: decodes to views on what it is given, encodes into one buffer that it uses again. */
export const userCodec: ValueCodec<{ readonly raw: Uint8Array }> = {
  name: 'raw',
  encode: (value) => {
    scratch.set(value.raw)
    return scratch.subarray(0, value.raw.length)
  },
  decode: (stored) => ({ raw: stored }),
}
const scratch = new Uint8Array(256)

export const all: readonly CodecUnderTest[] = [
  entry(codecs.structured(), structuredValue),
  entry(codecs.string(), textValue),
  entry(codecs.bytes(), bytes, plainBytes),
  entry(codecs.bytesView(), bytes, plainBytes),
  entry(codecs.boolean(), fc.boolean()),
  entry(codecs.float32(), fc.oneof(fc.float(), fc.constantFrom(-0, 0.1, Number.NaN, Infinity, 1e-50)), Math.fround),
  entry(codecs.float64(), numberValue),
  entry(codecs.int8(), integers(-0x80, 0x7f), withoutSign),
  entry(codecs.int16(), integers(-0x8000, 0x7fff), withoutSign),
  entry(codecs.int32(), integers(-0x8000_0000, 0x7fff_ffff), withoutSign),
  entry(codecs.uint8(), integers(0, 0xff), withoutSign),
  entry(codecs.uint16(), integers(0, 0xffff), withoutSign),
  entry(codecs.uint32(), integers(0, 0xffff_ffff), withoutSign),
  entry(
    codecs.bigint64(),
    bigintValue.map((value) => BigInt.asIntN(64, value)),
  ),
  entry(
    codecs.biguint64(),
    bigintValue.map((value) => BigInt.asUintN(64, value)),
  ),
  entry(
    codecs.struct({
      id: 'u32',
      name: 'string',
      scores: 'f64[]',
      isOpen: 'bool',
      raw: 'bytes',
      flags: 'bool[]?',
      at: { x: 'f64', label: 'string?' },
      tags: 'string[]',
      parts: 'bytes[]',
      total: 'u64?',
      isPaid: 'bool?',
    }),
    structValue,
    plainParts,
  ),
  entry(
    userCodec,
    fc.uint8Array({ maxLength: 100 }).map((raw) => ({ raw })),
  ),
]
