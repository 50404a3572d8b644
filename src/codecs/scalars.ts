/** Codecs of fixed width: booleans, numbers and bigints of a stated range, little-endian. The value itself is resident. */

import { BuiltInCodec, type BuiltInName, noteSize, type Resident, type ValueCodec } from './codec.ts'
import { mismatch, wrongKind } from './refusal.ts'
import { SLOT_BYTES, bigintBytes, numberBytes } from './sizes.ts'

type Scalar = boolean | number | bigint

/** What one scalar codec takes and how it is laid out. */
interface Format<V extends Scalar> {
  readonly name: BuiltInName
  /** What it takes, in words, for messages. */
  readonly wanted: string
  readonly width: number
  /** The value as it is kept, or undefined if it is not of this format. */
  take(value: unknown): V | undefined
  write(view: DataView, value: V): void
  /** Undefined if the bytes are of no value. */
  read(view: DataView): V | undefined
}

class ScalarResident<V extends Scalar> implements Resident<V> {
  readonly codec: ValueCodec<V>
  readonly direct = true
  readonly #format: Format<V>

  constructor(format: Format<V>) {
    this.#format = format
    this.codec = new BuiltInCodec(format.name, this)
  }

  admit(value: unknown): V {
    const taken = this.#format.take(value)
    if (taken === undefined) throw wrongKind(this.#format.name, this.#format.wanted, value)
    noteSize(this.sizeOf(taken))
    return taken
  }

  release(stored: unknown): V {
    return stored as V
  }

  sizeOf(stored: unknown): number {
    if (typeof stored === 'number') return SLOT_BYTES + numberBytes(stored)
    return typeof stored === 'bigint' ? SLOT_BYTES + bigintBytes(stored) : SLOT_BYTES
  }

  encode(stored: unknown): Uint8Array {
    const bytes = new Uint8Array(this.#format.width)
    this.#format.write(new DataView(bytes.buffer), stored as V)
    return bytes
  }

  decode(bytes: Uint8Array): V {
    const { name, width } = this.#format
    if (bytes.length !== width) throw mismatch(name, `they are ${bytes.length} bytes, not ${width}`)
    const value = this.#format.read(new DataView(bytes.buffer, bytes.byteOffset, width))
    if (value === undefined) throw mismatch(name, 'no value has these bytes')
    noteSize(this.sizeOf(value))
    return value
  }
}

function codecOf<V extends Scalar>(format: Format<V>): ValueCodec<V> {
  return new ScalarResident(format).codec
}

/** An integer format; -0 is kept as 0, which is what its bytes say. */
function integer(
  name: BuiltInName,
  width: number,
  low: number,
  high: number,
  write: (view: DataView, value: number) => void,
  read: (view: DataView) => number,
): ValueCodec<number> {
  const take = (value: unknown): number | undefined =>
    typeof value === 'number' && value >= low && value <= high && Math.floor(value) === value ? value + 0 : undefined
  return codecOf({ name, wanted: `whole numbers from ${low} to ${high}`, width, take, write, read })
}

/** NaN has many forms in memory and one in bytes, so that equal values have equal bytes. */
function canonical(value: number): number {
  return Number.isNaN(value) ? Number.NaN : value
}

export const BOOLEAN: ValueCodec<boolean> = codecOf<boolean>({
  name: 'boolean',
  wanted: 'true or false',
  width: 1,
  take: (value) => (typeof value === 'boolean' ? value : undefined),
  write: (view, value) => view.setUint8(0, value ? 1 : 0),
  read: (view) => [false, true][view.getUint8(0)],
})

export const FLOAT64: ValueCodec<number> = codecOf<number>({
  name: 'float64',
  wanted: 'numbers',
  width: 8,
  take: (value) => (typeof value === 'number' ? value : undefined),
  write: (view, value) => view.setFloat64(0, canonical(value), true),
  read: (view) => canonical(view.getFloat64(0, true)),
})

export const FLOAT32: ValueCodec<number> = codecOf<number>({
  name: 'float32',
  wanted: 'numbers up to 3.4028234663852886e+38 either way, infinities and NaN',
  width: 4,
  take: (value) => {
    if (typeof value !== 'number') return undefined
    const rounded = Math.fround(value)
    return Number.isFinite(value) && !Number.isFinite(rounded) ? undefined : rounded
  },
  write: (view, value) => view.setFloat32(0, canonical(value), true),
  read: (view) => canonical(view.getFloat32(0, true)),
})

export const INT8: ValueCodec<number> = integer(
  'int8',
  1,
  -0x80,
  0x7f,
  (view, value) => view.setInt8(0, value),
  (view) => view.getInt8(0),
)

export const INT16: ValueCodec<number> = integer(
  'int16',
  2,
  -0x8000,
  0x7fff,
  (view, value) => view.setInt16(0, value, true),
  (view) => view.getInt16(0, true),
)

export const INT32: ValueCodec<number> = integer(
  'int32',
  4,
  -0x8000_0000,
  0x7fff_ffff,
  (view, value) => view.setInt32(0, value, true),
  (view) => view.getInt32(0, true),
)

export const UINT8: ValueCodec<number> = integer(
  'uint8',
  1,
  0,
  0xff,
  (view, value) => view.setUint8(0, value),
  (view) => view.getUint8(0),
)

export const UINT16: ValueCodec<number> = integer(
  'uint16',
  2,
  0,
  0xffff,
  (view, value) => view.setUint16(0, value, true),
  (view) => view.getUint16(0, true),
)

export const UINT32: ValueCodec<number> = integer(
  'uint32',
  4,
  0,
  0xffff_ffff,
  (view, value) => view.setUint32(0, value, true),
  (view) => view.getUint32(0, true),
)

export const BIGINT64: ValueCodec<bigint> = codecOf<bigint>({
  name: 'bigint64',
  wanted: 'bigints from -(2n ** 63n) to 2n ** 63n - 1n',
  width: 8,
  take: (value) => (typeof value === 'bigint' && BigInt.asIntN(64, value) === value ? value : undefined),
  write: (view, value) => view.setBigInt64(0, value, true),
  read: (view) => view.getBigInt64(0, true),
})

export const BIGUINT64: ValueCodec<bigint> = codecOf<bigint>({
  name: 'biguint64',
  wanted: 'bigints from 0n to 2n ** 64n - 1n',
  width: 8,
  take: (value) => (typeof value === 'bigint' && BigInt.asUintN(64, value) === value ? value : undefined),
  write: (view, value) => view.setBigUint64(0, value, true),
  read: (view) => view.getBigUint64(0, true),
})
