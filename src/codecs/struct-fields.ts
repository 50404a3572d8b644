/** The kinds of fields of a struct: how each is written, read in place, and checked. The layout is in struct-layout.ts. */
import { types } from 'node:util'

import type { FixedScalar } from './struct-scalars.ts'
import {
  ArrayHandler,
  arrayView,
  handlerOf,
  type Slab,
  type ViewElements,
  type ViewField,
  type ViewShape,
} from './struct-view.ts'
import type { StructWriter } from './struct-writer.ts'
import { decodeText } from './text.ts'

/** What is wrong with bytes; null if nothing is. */
export type Problem = string | null

/** The layout of a struct, as seen from a field that holds one. */
export interface Struct extends ViewShape {
  /** Writes a value; returns where it begins. Throws `INVALID_VALUE`. */
  write(writer: StructWriter, value: unknown, depth: number): number
  read(slab: Slab, start: number, end: number): object
  check(slab: Slab, base: number, end: number): Problem
}

export interface FieldPlace {
  readonly name: string
  /** Offset in the fixed part. */
  readonly at: number
  /** The bit that says whether it is there; null: it always is. */
  readonly presence: { readonly byte: number; readonly mask: number } | null
  /** The fixed part reaches to here if it knows of the field. */
  readonly end: number
}

export abstract class Field implements ViewField {
  readonly name: string
  readonly isOptional: boolean
  protected readonly at: number
  readonly #presenceByte: number
  readonly #presenceMask: number
  readonly #end: number

  constructor({ name, at, presence, end }: FieldPlace) {
    this.name = name
    this.at = at
    this.isOptional = presence !== null
    this.#presenceByte = presence?.byte ?? 0
    this.#presenceMask = presence?.mask ?? 0
    this.#end = end
  }

  isPresent(view: DataView, base: number): boolean {
    if (!this.isOptional) return true
    if (view.getUint32(base, true) < this.#end) return false
    return (view.getUint8(base + this.#presenceByte) & this.#presenceMask) !== 0
  }

  read(slab: Slab, base: number): unknown {
    return this.isOptional && !this.isPresent(slab.view, base) ? undefined : this.readPresent(slab, base)
  }

  write(writer: StructWriter, base: number, value: unknown, depth: number): void {
    this.writePresent(writer, base, value, depth)
    if (!this.isOptional) return
    const at = base + this.#presenceByte
    writer.view.setUint8(at, writer.view.getUint8(at) | this.#presenceMask)
  }

  protected abstract readPresent(slab: Slab, base: number): unknown
  protected abstract writePresent(writer: StructWriter, base: number, value: unknown, depth: number): void

  /** Where its content ends, given that the contents before it end at `cursor`; or what is wrong. It is present. */
  check(_slab: Slab, _base: number, cursor: number, _end: number): number | string {
    return cursor
  }
}

/** A number. */
export class FixedField extends Field {
  readonly #scalar: FixedScalar

  constructor(place: FieldPlace, scalar: FixedScalar) {
    super(place)
    this.#scalar = scalar
  }

  protected override readPresent(slab: Slab, base: number): unknown {
    return this.#scalar.read(slab.view, base + this.at)
  }

  protected override writePresent(writer: StructWriter, base: number, value: unknown, depth: number): void {
    const taken = this.#scalar.take(value)
    if (taken === undefined) return writer.refuseKind(depth, value, this.#scalar.wanted)
    this.#scalar.write(writer.view, base + this.at, taken)
  }
}

/** A boolean: one bit. */
export class BitField extends Field {
  readonly #mask: number

  constructor(place: FieldPlace, mask: number) {
    super(place)
    this.#mask = mask
  }

  protected override readPresent(slab: Slab, base: number): unknown {
    return (slab.view.getUint8(base + this.at) & this.#mask) !== 0
  }

  protected override writePresent(writer: StructWriter, base: number, value: unknown, depth: number): void {
    if (typeof value !== 'boolean') return writer.refuseKind(depth, value, 'true or false')
    if (value) writer.view.setUint8(base + this.at, writer.view.getUint8(base + this.at) | this.#mask)
  }
}

/** What has its content behind the fixed part. */
abstract class ReferenceField extends Field {
  protected start(slab: Slab, base: number): number {
    return base + slab.view.getUint32(base + this.at, true)
  }

  protected count(slab: Slab, base: number): number {
    return slab.view.getUint32(base + this.at + 4, true)
  }

  protected refer(writer: StructWriter, base: number, start: number, count: number): void {
    writer.view.setUint32(base + this.at, start - base, true)
    writer.view.setUint32(base + this.at + 4, count, true)
  }

  /** Whether the content begins where the one before it ends, but for alignment, and is that long. */
  protected fits(slab: Slab, base: number, cursor: number, end: number, alignment: number, length: number): boolean {
    const start = (cursor + alignment - 1) & -alignment
    return this.start(slab, base) === start && start + length <= end
  }
}

function readBlob(slab: Slab, start: number, end: number, isText: boolean): unknown {
  return isText ? readText(slab.bytes, start, end) : slab.bytes.slice(start, end)
}

/** Up to here a loop over the characters beats the call into native code. */
const SHORT_TEXT = 24

function readText(bytes: Uint8Array, start: number, end: number): string {
  if (end - start <= SHORT_TEXT) {
    let text = ''
    let i = start
    for (; i < end; i++) {
      const byte = bytes[i] as number
      if (byte >= 0x80) break
      text += String.fromCharCode(byte)
    }
    if (i === end) return text
  }
  return decodeText(bytes.subarray(start, end)) as string
}

function writeBlob(writer: StructWriter, value: unknown, depth: number, isText: boolean): void {
  if (isText) {
    if (typeof value !== 'string') return writer.refuseKind(depth, value, 'strings')
    writer.text(value)
  } else {
    if (!(value instanceof Uint8Array)) return writer.refuseKind(depth, value, 'Uint8Arrays and Buffers')
    writer.copy(value, 1)
  }
}

function isBlob(slab: Slab, start: number, end: number, isText: boolean): boolean {
  return !isText || decodeText(slab.bytes.subarray(start, end)) !== undefined
}

const NO_TEXT = 'a string is neither UTF-8 nor WTF-8'

/** Text or bytes. */
export class BlobField extends ReferenceField {
  readonly #isText: boolean

  constructor(place: FieldPlace, isText: boolean) {
    super(place)
    this.#isText = isText
  }

  protected override readPresent(slab: Slab, base: number): unknown {
    const start = this.start(slab, base)
    return readBlob(slab, start, start + this.count(slab, base), this.#isText)
  }

  protected override writePresent(writer: StructWriter, base: number, value: unknown, depth: number): void {
    const start = writer.end
    writeBlob(writer, value, depth, this.#isText)
    this.refer(writer, base, start, writer.end - start)
  }

  override check(slab: Slab, base: number, cursor: number, end: number): number | string {
    const count = this.count(slab, base)
    if (!this.fits(slab, base, cursor, end, 1, count)) return 'text or bytes lie outside of their struct'
    return isBlob(slab, cursor, cursor + count, this.#isText) ? cursor + count : NO_TEXT
  }
}

/** What is taken as an array: arrays and typed arrays. */
function arrayOf(writer: StructWriter, value: unknown, depth: number): ArrayLike<unknown> {
  if (Array.isArray(value) || types.isTypedArray(value)) return value as ArrayLike<unknown>
  return writer.refuseKind(depth, value, 'arrays and typed arrays')
}

/** An array, which is read in place. */
abstract class ArrayField extends ReferenceField {
  readonly #elements: ViewElements

  constructor(place: FieldPlace, elements: ViewElements) {
    super(place)
    this.#elements = elements
  }

  protected override readPresent(slab: Slab, base: number): unknown {
    return arrayView(this.#elements, slab, this.start(slab, base), this.count(slab, base))
  }
}

class FixedElements implements ViewElements {
  readonly scalar: FixedScalar

  constructor(scalar: FixedScalar) {
    this.scalar = scalar
  }

  read(slab: Slab, start: number, _count: number, index: number): unknown {
    return this.scalar.read(slab.view, start + index * this.scalar.width)
  }
}

/** An array of numbers or booleans, side by side. */
export class FixedArrayField extends ArrayField {
  readonly #scalar: FixedScalar

  constructor(place: FieldPlace, scalar: FixedScalar) {
    super(place, new FixedElements(scalar))
    this.#scalar = scalar
  }

  protected override writePresent(writer: StructWriter, base: number, value: unknown, depth: number): void {
    const scalar = this.#scalar
    const { width } = scalar
    const array = arrayOf(writer, value, depth)
    const handler = handlerOf(array)
    if (
      handler instanceof ArrayHandler &&
      handler.elements instanceof FixedElements &&
      handler.elements.scalar === scalar
    ) {
      const { slab, start, count } = handler
      this.refer(writer, base, writer.copy(slab.bytes.subarray(start, start + count * width), width), count)
      return
    }
    const { length } = array
    const start = writer.claim(length * width, width)
    this.refer(writer, base, start, length)
    for (let i = 0; i < length; i++) {
      const element = array[i]
      const taken = scalar.take(element)
      if (taken === undefined) {
        writer.trail[depth] = i
        writer.refuseKind(depth + 1, element, scalar.wanted)
      } else scalar.write(writer.view, start + i * width, taken)
    }
  }

  override check(slab: Slab, base: number, cursor: number, end: number): number | string {
    const { width } = this.#scalar
    const length = this.count(slab, base) * width
    if (!this.fits(slab, base, cursor, end, width, length)) return 'an array lies outside of its struct'
    return this.start(slab, base) + length
  }
}

const END_BYTES = 4

class RaggedElements implements ViewElements {
  readonly #isText: boolean

  constructor(isText: boolean) {
    this.#isText = isText
  }

  read(slab: Slab, start: number, count: number, index: number): unknown {
    const data = start + count * END_BYTES
    const from = index === 0 ? 0 : slab.view.getUint32(start + (index - 1) * END_BYTES, true)
    return readBlob(slab, data + from, data + slab.view.getUint32(start + index * END_BYTES, true), this.#isText)
  }
}

/** An array of texts or bytes: where each ends, then all of them. */
export class RaggedArrayField extends ArrayField {
  readonly #isText: boolean

  constructor(place: FieldPlace, isText: boolean) {
    super(place, new RaggedElements(isText))
    this.#isText = isText
  }

  protected override writePresent(writer: StructWriter, base: number, value: unknown, depth: number): void {
    const array = arrayOf(writer, value, depth)
    const { length } = array
    const start = writer.claim(length * END_BYTES, END_BYTES)
    const data = writer.end
    this.refer(writer, base, start, length)
    for (let i = 0; i < length; i++) {
      writer.trail[depth] = i
      writeBlob(writer, array[i], depth + 1, this.#isText)
      writer.view.setUint32(start + i * END_BYTES, writer.end - data, true)
    }
  }

  override check(slab: Slab, base: number, cursor: number, end: number): number | string {
    const count = this.count(slab, base)
    if (!this.fits(slab, base, cursor, end, END_BYTES, count * END_BYTES)) return 'an array lies outside of its struct'
    const start = this.start(slab, base)
    const data = start + count * END_BYTES
    let from = 0
    for (let i = 0; i < count; i++) {
      const to = slab.view.getUint32(start + i * END_BYTES, true)
      if (to < from || data + to > end) return 'an element of an array lies outside of its struct'
      if (!isBlob(slab, data + from, data + to, this.#isText)) return NO_TEXT
      from = to
    }
    return data + from
  }
}

/** A struct inside. */
export class StructField extends ReferenceField {
  readonly #struct: Struct

  constructor(place: FieldPlace, struct: Struct) {
    super(place)
    this.#struct = struct
  }

  protected override readPresent(slab: Slab, base: number): unknown {
    const start = this.start(slab, base)
    return this.#struct.read(slab, start, start + this.count(slab, base))
  }

  protected override writePresent(writer: StructWriter, base: number, value: unknown, depth: number): void {
    const start = this.#struct.write(writer, value, depth)
    this.refer(writer, base, start, writer.end - start)
  }

  override check(slab: Slab, base: number, cursor: number, end: number): number | string {
    const length = this.count(slab, base)
    if (!this.fits(slab, base, cursor, end, 8, length)) return 'a struct lies outside of the one that holds it'
    const start = this.start(slab, base)
    return this.#struct.check(slab, start, start + length) ?? start + length
  }
}
