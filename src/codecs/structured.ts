/**
 * The default codec: any nest of plain data. Stored is a deep-frozen copy, which reads hand out as it is; a value that
 * holds a Map, Set, Date or binary data is stored as a part (parts.ts), which makes a fresh one for each read.
 */

import { BuiltInCodec, noteSize, type Resident, type ValueCodec } from './codec.ts'
import { copyIn } from './copy.ts'
import { residentBytes } from './measure.ts'
import { Part } from './parts.ts'
import { decodeStored, encodeStored } from './wire.ts'

class StructuredResident implements Resident<unknown> {
  readonly codec: ValueCodec<unknown> = new BuiltInCodec('structured', this)
  readonly direct = false

  handsOut(stored: unknown): boolean {
    return !(stored instanceof Part)
  }

  admit(value: unknown): unknown {
    return copyIn(value)
  }

  release(stored: unknown): unknown {
    return stored instanceof Part ? stored.revive() : stored
  }

  sizeOf(stored: unknown): number {
    return residentBytes(stored)
  }

  encode(stored: unknown): Uint8Array {
    return encodeStored(stored)
  }

  decode(bytes: Uint8Array): unknown {
    const stored = decodeStored(bytes)
    noteSize(residentBytes(stored))
    return stored
  }
}

export const STRUCTURED: ValueCodec<unknown> = new StructuredResident().codec
