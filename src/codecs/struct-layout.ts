/**
 * Where the fields of a struct lie in its bytes.
 *
 *   u32 length of the fixed part, itself included
 *   fixed part: for each field in order, without padding
 *     number              its bytes; booleans and "is present" of optional fields: one bit each, eight to a byte, which
 *                         lies where the first of them was needed
 *     anything else       u32 where its content begins, from the start of the struct; u32 how many bytes, or elements
 *   contents in the order of the fields, each aligned: arrays of numbers to the width of one, text and bytes to 1,
 *   arrays of those to 4 (ends of the elements as u32, then the elements), structs to 8
 *
 * Everything is little-endian. Adding a field behind the others changes the place of none: what was written without it has a
 * shorter fixed part, or a bit that is not set; what was written with fields unknown here has a longer one, and their contents
 * last.
 *
 * L1  A struct begins at a multiple of 8, so what is aligned in it is aligned in memory.
 * L2  `check` lets through only what every read stays in the bounds of, in which no two contents overlap: so a full copy of a
 *     value is no larger than a fixed multiple of its bytes.
 * L3  Equal values have equal bytes.
 */
import type { FieldSpec } from './struct-schema.ts'
import {
  BitField,
  BlobField,
  type Field,
  type FieldPlace,
  FixedArrayField,
  FixedField,
  type Problem,
  RaggedArrayField,
  type Struct,
  StructField,
} from './struct-fields.ts'
import { SCALARS } from './struct-scalars.ts'
import { structName } from './struct-schema.ts'
import { StructHandler, handlerOf, type Slab, structView } from './struct-view.ts'
import type { StructWriter } from './struct-writer.ts'

const HEAD_BYTES = 4
const REFERENCE_BYTES = 8
const STRUCT_ALIGNMENT = 8

/** Gives out places in the fixed part, in the order of the fields. */
class Places {
  end = HEAD_BYTES
  #bitByte = 0
  #bit = 8

  bit(): { readonly byte: number; readonly mask: number } {
    if (this.#bit === 8) {
      this.#bitByte = this.end++
      this.#bit = 0
    }
    return { byte: this.#bitByte, mask: 1 << this.#bit++ }
  }

  bytes(count: number): number {
    const at = this.end
    this.end += count
    return at
  }
}

export class StructLayout implements Struct {
  readonly name: string
  readonly fields: readonly Field[]
  readonly byName: ReadonlyMap<string, Field>
  readonly #fixedBytes: number
  /** Fixed parts are at least this long, whatever optional fields they lack. */
  readonly #leastBytes: number

  constructor(specs: readonly FieldSpec[]) {
    this.name = structName(specs)
    const places = new Places()
    let least = HEAD_BYTES
    this.fields = specs.map((spec) => {
      const field = fieldOf(spec, places)
      if (!spec.isOptional) least = places.end
      return field
    })
    this.byName = new Map(this.fields.map((field) => [field.name, field]))
    this.#fixedBytes = places.end
    this.#leastBytes = least
  }

  write(writer: StructWriter, value: unknown, depth: number): number {
    if (typeof value !== 'object' || value === null) return writer.refuseKind(depth, value, 'an object of fields')
    const handler = handlerOf(value)
    if (handler instanceof StructHandler && handler.shape.name === this.name) {
      return writer.copy(handler.slab.bytes.subarray(handler.start, handler.end), STRUCT_ALIGNMENT)
    }
    this.#refuseStrangers(writer, value, depth)
    const base = writer.claim(this.#fixedBytes, STRUCT_ALIGNMENT)
    writer.view.setUint32(base, this.#fixedBytes, true)
    for (let i = 0; i < this.fields.length; i++) {
      const field = this.fields[i] as Field
      const { name } = field
      const inner: unknown = Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined
      writer.trail[depth] = name
      if (inner !== undefined) field.write(writer, base, inner, depth + 1)
      else if (!field.isOptional) writer.refuse(depth + 1, 'is missing, and the schema does not say that it may be')
    }
    return base
  }

  /** What would be lost is refused: fields that the schema does not have, classes. */
  #refuseStrangers(writer: StructWriter, value: object, depth: number): void {
    const prototype = Object.getPrototypeOf(value) as object | null
    if (Array.isArray(value) || (prototype !== null && Object.getPrototypeOf(prototype) !== null)) {
      writer.refuseKind(depth, value, 'a plain object of fields')
    }
    for (const name of Reflect.ownKeys(value)) {
      if (this.byName.has(name as string)) continue
      writer.trail[depth] = String(name)
      writer.refuse(depth + 1, 'is no field of the schema')
    }
  }

  read(slab: Slab, start: number, end: number): object {
    return structView(this, slab, start, end)
  }

  check(slab: Slab, base: number, end: number): Problem {
    if (end - base < HEAD_BYTES) return 'a struct is cut short'
    const head = slab.view.getUint32(base, true)
    if (head < this.#leastBytes || head > end - base) return 'the fixed part of a struct has a wrong length'
    let cursor = base + head
    for (let i = 0; i < this.fields.length; i++) {
      const field = this.fields[i] as Field
      if (!field.isPresent(slab.view, base)) continue
      const next = field.check(slab, base, cursor, end)
      if (typeof next === 'string') return next
      cursor = next
    }
    // Behind what was written by a longer schema there may be what this one knows nothing of.
    return head === this.#fixedBytes && cursor !== end ? 'there are bytes behind the last field' : null
  }
}

function fieldOf(spec: FieldSpec, places: Places): Field {
  const { name, type, isArray, isOptional } = spec
  const presence = isOptional ? places.bit() : null
  const place = (at: number): FieldPlace => ({ name, at, presence, end: places.end })
  if (typeof type !== 'string') return new StructField(place(places.bytes(REFERENCE_BYTES)), new StructLayout(type))
  const scalar = SCALARS.get(type) ?? null
  if (isArray) {
    const reference = place(places.bytes(REFERENCE_BYTES))
    return scalar === null ? new RaggedArrayField(reference, type === 'string') : new FixedArrayField(reference, scalar)
  }
  if (scalar === null) return new BlobField(place(places.bytes(REFERENCE_BYTES)), type === 'string')
  if (type !== 'bool') return new FixedField(place(places.bytes(scalar.width)), scalar)
  const { byte, mask } = places.bit()
  return new BitField(place(byte), mask)
}
