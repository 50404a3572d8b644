/** Any schema: values survive, and whatever prefix of it wrote them or reads them, fields have their own values or none. */
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { codecs, joinedCodecName, type StructSchema, type ValueCodec } from '../../src/codecs/index.ts'
import { VarveError } from '../../src/errors.ts'
import { fcParameters } from '../support/random.ts'
import { bigintValue, numberValue, textValue } from '../support/values.ts'

interface Kind {
  readonly type: string
  readonly value: fc.Arbitrary<unknown>
}

const scalars: readonly Kind[] = [
  { type: 'u8', value: fc.nat({ max: 255 }) },
  { type: 'i16', value: fc.integer({ min: -32_768, max: 32_767 }) },
  { type: 'u32', value: fc.nat() },
  { type: 'f32', value: numberValue.map(Math.fround).filter((value) => Number.isFinite(value)) },
  { type: 'f64', value: numberValue },
  { type: 'i64', value: bigintValue.map((value) => BigInt.asIntN(64, value)) },
  { type: 'bool', value: fc.boolean() },
  { type: 'string', value: textValue },
  { type: 'bytes', value: fc.uint8Array({ maxLength: 20 }).map((bytes) => Uint8Array.from(bytes)) },
]
const kind: fc.Arbitrary<Kind> = fc
  .record({ scalar: fc.constantFrom(...scalars), isArray: fc.boolean() })
  .map(({ scalar, isArray }) =>
    isArray ? { type: `${scalar.type}[]`, value: fc.array(scalar.value, { maxLength: 4 }) } : scalar,
  )

/** A schema whose fields from `required` on are optional, and a value for each field. */
const fields = fc.array(kind, { minLength: 1, maxLength: 12 }).chain((kinds) =>
  fc.record({
    kinds: fc.constant(kinds),
    required: fc.integer({ min: 0, max: kinds.length }),
    values: fc.tuple(...kinds.map(({ value }) => fc.option(value, { nil: undefined }))),
    fallback: fc.tuple(...kinds.map(({ value }) => value)),
    cut: fc.nat({ max: kinds.length }),
    isNested: fc.boolean(),
  }),
)

type Fields = typeof fields extends fc.Arbitrary<infer F> ? F : never

const nameOf = (i: number): string => `f${i}`

function codecOf({ kinds, required, isNested }: Fields, count: number): ValueCodec<unknown> {
  const schema: Record<string, string> = {}
  for (let i = 0; i < count; i++) schema[nameOf(i)] = `${kinds[i]?.type}${i < required ? '' : '?'}`
  const typed = schema as StructSchema
  return codecs.struct(isNested ? { inner: typed, last: 'string' } : typed) as ValueCodec<unknown>
}

function valueOf({ values, fallback, required, isNested }: Fields, count: number): unknown {
  const value: Record<string, unknown> = {}
  for (let i = 0; i < count; i++) {
    const own = values[i] ?? (i < required ? fallback[i] : undefined)
    if (own !== undefined) value[nameOf(i)] = own
  }
  return isNested ? { inner: value, last: 'behind' } : value
}

describe('a struct of any schema', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(fields, (given) => {
        const all = given.kinds.length
        const codec = codecOf(given, all)
        const read = codec.decode(codec.encode(valueOf(given, all)))
        return (
          isDeepStrictEqual(read, valueOf(given, all)) &&
          isDeepStrictEqual(codec.encode(read), codec.encode(valueOf(given, all)))
        )
      }),
      fcParameters(500),
    )
  })

  it('is read by the schema without its last optional fields, and the other way round', () => {
    fc.assert(
      fc.property(fields, (given) => {
        const all = given.kinds.length
        const few = Math.max(given.required, all - given.cut, 1)
        const [short, long] = [codecOf(given, few), codecOf(given, all)]
        expect(joinedCodecName(short.name, long.name)).toBe(long.name)
        return (
          isDeepStrictEqual(short.decode(long.encode(valueOf(given, all))), valueOf(given, few)) &&
          isDeepStrictEqual(long.decode(short.encode(valueOf(given, few))), valueOf(given, few))
        )
      }),
      fcParameters(1000),
    )
  })

  it('is never read beyond its bytes, nor larger than a fixed multiple of them, whatever they are', () => {
    fc.assert(
      fc.property(
        fields,
        fc.array(fc.record({ at: fc.nat(), byte: fc.nat({ max: 255 }) }), { maxLength: 6 }),
        fc.nat({ max: 9 }),
        (given, blows, cut) => {
          const codec = codecOf(given, given.kinds.length)
          const bytes = Uint8Array.from(codec.encode(valueOf(given, given.kinds.length)))
          for (const { at, byte } of blows) bytes[at % bytes.length] = byte
          const left = bytes.subarray(0, bytes.length - Math.min(cut, bytes.length))
          try {
            const size = JSON.stringify(codec.decode(left), (_, value: unknown) =>
              typeof value === 'bigint' ? String(value) : value,
            )
            expect(size.length).toBeLessThan(200 + 60 * given.kinds.length + left.length * 40)
          } catch (error) {
            expect(error).toBeInstanceOf(VarveError)
            expect((error as VarveError).code).toBe('CODEC_MISMATCH')
          }
        },
      ),
      fcParameters(1500),
    )
  })
})
