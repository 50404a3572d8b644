/**
 * The default codec: any nest of plain data. Stored is a deep-frozen copy, which reads hand out as it is; a value that
 * holds a Map, Set, Date or binary data is stored as a part (parts.ts), which makes a fresh one for each read.
 */

import { BuiltInCodec, noteSize, type Resident, type ValueCodec } from './codec.ts'
import { copyIn } from './copy.ts'
import { residentBytes } from './measure.ts'
import { Part } from './parts.ts'
import { UNREAD, readPlain } from './read.ts'
import { decodeStored, encodeStored } from './wire.ts'
import { writePlain } from './write.ts'

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
    return writePlain(stored) ?? encodeStored(stored)
  }

  decode(bytes: Uint8Array): unknown {
    return this.decodeAt(bytes, 0, bytes.length)
  }

  decodeAt(bytes: Uint8Array, start: number, end: number): unknown {
    const plain = readPlain(bytes, start, end)
    if (plain !== UNREAD) return plain
    const stored = decodeStored(bytes.subarray(start, end))
    noteSize(residentBytes(stored))
    return stored
  }
}

export const STRUCTURED: ValueCodec<unknown> = new StructuredResident().codec
