/**
 * A growing buffer into which one struct is written, and the path to where in the value the writing is.
 *
 * I1  What is claimed is zero, padding too: equal values give equal bytes.
 * I2  Reading a value may run code of its own (getters), which may store another struct: each writing has a writer to itself.
 */
import { VarveError } from '../errors.ts'
import { describeKind, formatPath, type PathStep } from './refusal.ts'
import { encodeText } from './text.ts'

const FIRST_BYTES = 1024
/** A writer that has grown beyond this is not kept. */
const KEPT_BYTES = 65_536
/** Offsets are 32 bits, and buffers of V8 are not much larger. */
const MAX_BYTES = 0x7fff_fff8
/** Text up to this length is written by a loop, which stops at the first character that is not ASCII. */
const SHORT_TEXT = 64

export class StructWriter {
  bytes: Uint8Array<ArrayBuffer> = new Uint8Array(FIRST_BYTES)
  view: DataView<ArrayBuffer> = new DataView(this.bytes.buffer)
  end = 0
  /** Steps from the value to where the writing is; each writer of a part sets its own. */
  readonly trail: PathStep[] = []

  /** Takes so many bytes, zero (I1), at the next multiple of `alignment`, a power of two; returns where. */
  claim(length: number, alignment: number): number {
    const at = (this.end + alignment - 1) & -alignment
    this.#need(at + length)
    this.bytes.fill(0, this.end, at + length)
    this.end = at + length
    return at
  }

  /** Takes over bytes; returns where they begin. */
  copy(source: Uint8Array, alignment: number): number {
    const at = this.claim(source.length, alignment)
    this.bytes.set(source, at)
    return at
  }

  /** Writes text; `end` tells how long it has become. */
  text(text: string): void {
    const { length } = text
    if (length <= SHORT_TEXT) {
      this.#need(this.end + length)
      const { bytes, end } = this
      let i = 0
      for (; i < length; i++) {
        const code = text.charCodeAt(i)
        if (code >= 0x80) break
        bytes[end + i] = code
      }
      if (i === length) {
        this.end += length
        return
      }
    }
    this.copy(encodeText(text), 1)
  }

  #need(length: number): void {
    if (length <= this.bytes.length) return
    if (length > MAX_BYTES) {
      throw new VarveError('INVALID_VALUE', `value takes more than ${MAX_BYTES} bytes as a struct`)
    }
    const bytes = new Uint8Array(Math.min(Math.max(length, this.bytes.length * 2), MAX_BYTES))
    bytes.set(this.bytes.subarray(0, this.end))
    this.bytes = bytes
    this.view = new DataView(bytes.buffer)
  }

  /** Refuses what stands `depth` steps down the trail. */
  refuse(depth: number, problem: string): never {
    throw new VarveError('INVALID_VALUE', `${formatPath(this.trail, depth)} ${problem}`)
  }

  refuseKind(depth: number, value: unknown, wanted: string): never {
    return this.refuse(depth, `is ${describeKind(value)}, but the struct takes ${wanted} there`)
  }
}

let spare: StructWriter | null = null

/** A writer of one's own (I2); give it back with {@link returnWriter}, whatever happened. */
export function takeWriter(): StructWriter {
  const writer = spare ?? new StructWriter()
  spare = null
  writer.end = 0
  return writer
}

export function returnWriter(writer: StructWriter): void {
  if (writer.bytes.length <= KEPT_BYTES) spare = writer
}
