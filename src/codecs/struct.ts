/**
 * Structs: values of a fixed schema, read field by field from their bytes.
 *
 * Stored: the bytes, at rest. A read copies them once and hands out a view of the copy (struct-view.ts), which decodes what
 * it is asked for. The bytes are described in struct-layout.ts.
 */
import { VarveError } from '../errors.ts'
import { BuiltInCodec, noteSize, type Resident, type ValueCodec } from './codec.ts'
import { type Octets, fetch, octetsBytes, stow } from './octets.ts'
import { mismatch, wrongKind } from './refusal.ts'
import { SLOT_BYTES } from './sizes.ts'
import { type CheckedStruct, checkSchema, type FieldSpec, parseName } from './struct-schema.ts'
import { StructLayout } from './struct-layout.ts'
import type { OptionalStruct, StructCodec, StructSchema, StructValue } from './struct-types.ts'
import { plainCopy, type Slab, slabFor, structView } from './struct-view.ts'
import { returnWriter, takeWriter } from './struct-writer.ts'

/** What every layout starts at a multiple of. */
const ALIGNMENT = 8
/** Up to here a loop over words beats the call into native code. */
const MAX_LOOP_BYTES = 256

class StructResident<V> implements Resident<V> {
  readonly codec: ValueCodec<V>
  readonly direct = false
  readonly #layout: StructLayout

  constructor(fields: readonly FieldSpec[]) {
    this.#layout = new StructLayout(fields)
    this.codec = new BuiltStructCodec<V>(this.#layout.name as `struct:${string}`, this, fields)
  }

  admit(value: unknown): Octets {
    if (typeof value !== 'object' || value === null) throw wrongKind('struct', 'objects of its fields', value)
    const writer = takeWriter()
    try {
      this.#layout.write(writer, value, 0)
      const octets = stow(writer.bytes.subarray(0, writer.end))
      noteSize(SLOT_BYTES + octetsBytes(octets))
      return octets
    } catch (error) {
      if (error instanceof VarveError) throw error
      throw new VarveError('INVALID_VALUE', 'value could not be read, because a getter threw', { cause: error })
    } finally {
      returnWriter(writer)
    }
  }

  release(stored: unknown): V {
    const octets = stored as Octets
    const { length } = octets
    const slab = slabFor(length)
    const start = slab.end
    if (typeof octets !== 'string') slab.bytes.set(octets, start)
    else for (let i = 0; i < length; i++) slab.bytes[start + i] = octets.charCodeAt(i)
    return this.#hand(slab, length)
  }

  releaseFrom(bytes: Uint8Array, words: Int32Array, start: number, length: number): V {
    const slab = slabFor(length)
    if (length <= MAX_LOOP_BYTES) {
      const from = start >>> 2
      const to = slab.end >>> 2
      const count = (length + 3) >>> 2
      for (let i = 0; i < count; i++) slab.words[to + i] = words[from + i] as number
    } else slab.bytes.set(bytes.subarray(start, start + length), slab.end)
    return this.#hand(slab, length)
  }

  /** A view of what was put at the end of a slab, which is then taken. */
  #hand(slab: Slab, length: number): V {
    const start = slab.end
    slab.end = (start + length + ALIGNMENT - 1) & -ALIGNMENT
    return structView(this.#layout, slab, start, start + length) as V
  }

  sizeOf(stored: unknown): number {
    return SLOT_BYTES + octetsBytes(stored as Octets)
  }

  encode(stored: unknown): Uint8Array {
    return fetch(stored as Octets)
  }

  decode(bytes: Uint8Array): Octets {
    const slab = slabFor(bytes.length)
    slab.bytes.set(bytes, slab.end)
    const problem = this.#layout.check(slab, slab.end, slab.end + bytes.length)
    if (problem !== null) throw mismatch('struct', problem)
    const octets = stow(bytes)
    noteSize(SLOT_BYTES + octetsBytes(octets))
    return octets
  }
}

class BuiltStructCodec<V> extends BuiltInCodec<V> implements StructCodec<V> {
  readonly fields: readonly FieldSpec[]

  constructor(name: `struct:${string}`, resident: Resident<V>, fields: readonly FieldSpec[]) {
    super(name, resident)
    this.fields = fields
  }

  optional(): OptionalStruct<V> {
    return Object.freeze(new OptionalPart<V>(this))
  }

  toObject(value: V): V {
    return plainCopy(this.resident.release(this.resident.admit(value))) as V
  }
}

class OptionalPart<V> implements OptionalStruct<V> {
  readonly struct: BuiltStructCodec<V>

  constructor(struct: BuiltStructCodec<V>) {
    this.struct = struct
  }
}

function checkedStruct(field: object): CheckedStruct | undefined {
  if (field instanceof BuiltStructCodec) return { fields: field.fields, isOptional: false }
  if (field instanceof OptionalPart)
    return { fields: (field.struct as BuiltStructCodec<unknown>).fields, isOptional: true }
  return undefined
}

/** The codec of a schema. Throws `INVALID_ARGUMENT`. */
export function structCodec<const S extends StructSchema>(schema: S): StructCodec<StructValue<S>> {
  const resident = new StructResident<StructValue<S>>(checkSchema(schema, checkedStruct))
  return resident.codec as BuiltStructCodec<StructValue<S>>
}

/** The codec that has such a name, or undefined if it is none of a struct. */
export function structCodecNamed(name: string): ValueCodec<unknown> | undefined {
  const fields = parseName(name)
  return fields === undefined ? undefined : new StructResident<unknown>(fields).codec
}
