/** Codecs whose values are text or bytes and nothing else. */

import { VarveError } from '../errors.ts'
import { BuiltInCodec, noteSize, type Resident, type ValueCodec } from './codec.ts'
import { type Octets, copyOf, fetch, octetsBytes, stow } from './octets.ts'
import { mismatch, wrongKind } from './refusal.ts'
import { BUFFER_BYTES, SLOT_BYTES, stringBytes } from './sizes.ts'
import { decodeText, encodeText } from './text.ts'

/** Stored: the string itself, which nobody can change. */
class StringResident implements Resident<string> {
  readonly codec: ValueCodec<string> = new BuiltInCodec('string', this)
  readonly direct = true

  admit(value: unknown): string {
    if (typeof value !== 'string') throw wrongKind('string', 'strings', value)
    noteSize(SLOT_BYTES + stringBytes(value))
    return value
  }

  release(stored: unknown): string {
    return stored as string
  }

  sizeOf(stored: unknown): number {
    return SLOT_BYTES + stringBytes(stored as string)
  }

  encode(stored: unknown): Uint8Array {
    return encodeText(stored as string)
  }

  decode(bytes: Uint8Array): string {
    const text = decodeText(bytes)
    if (text === undefined) throw mismatch('string', 'they are neither UTF-8 nor WTF-8')
    noteSize(this.sizeOf(text))
    return text
  }
}

/** Stored: octets at rest; every read gets a fresh array. */
class BytesResident implements Resident<Uint8Array> {
  readonly codec: ValueCodec<Uint8Array> = new BuiltInCodec('bytes', this)
  readonly direct = false

  admit(value: unknown): Octets {
    const octets = stow(bytesOf('bytes', value))
    noteSize(SLOT_BYTES + octetsBytes(octets))
    return octets
  }

  release(stored: unknown): Uint8Array {
    return fetch(stored as Octets)
  }

  sizeOf(stored: unknown): number {
    return SLOT_BYTES + octetsBytes(stored as Octets)
  }

  encode(stored: unknown): Uint8Array {
    return fetch(stored as Octets)
  }

  decode(bytes: Uint8Array): Octets {
    return this.admit(bytes)
  }

  releaseFrom(bytes: Uint8Array, _words: Int32Array, start: number, length: number): Uint8Array {
    return bytes.slice(start, start + length)
  }
}

/** Stored: a private Uint8Array, which every read hands out. */
class BytesViewResident implements Resident<Uint8Array> {
  readonly codec: ValueCodec<Uint8Array> = new BuiltInCodec('bytesView', this)
  readonly direct = true

  admit(value: unknown): Uint8Array {
    const copy = copyOf(bytesOf('bytesView', value))
    noteSize(this.sizeOf(copy))
    return copy
  }

  release(stored: unknown): Uint8Array {
    return stored as Uint8Array
  }

  sizeOf(stored: unknown): number {
    return SLOT_BYTES + BUFFER_BYTES + (stored as Uint8Array).length
  }

  encode(stored: unknown): Uint8Array {
    return copyOf(stored as Uint8Array)
  }

  decode(bytes: Uint8Array): Uint8Array {
    return this.admit(bytes)
  }
}

function bytesOf(codec: string, value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw wrongKind(codec, 'Uint8Arrays and Buffers', value)
  // V8 shows a transferred buffer as an empty one; only making a view of it fails.
  if (value.length === 0) {
    try {
      copyOf(value)
    } catch (cause) {
      throw new VarveError('INVALID_VALUE', 'value has lost its buffer: it was transferred elsewhere', { cause })
    }
  }
  return value
}

export const STRING: ValueCodec<string> = new StringResident().codec
export const BYTES: ValueCodec<Uint8Array> = new BytesResident().codec
export const BYTES_VIEW: ValueCodec<Uint8Array> = new BytesViewResident().codec
