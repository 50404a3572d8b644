/**
 * The scalars that fields of structs and elements of their arrays are made of: what each takes, and its bytes, little-endian.
 *
 * They are read and written by DataView, so they mean the same on every host.
 */

export type FixedValue = number | bigint | boolean

/** A scalar of fixed width. */
export interface FixedScalar {
  /** In bytes; arrays of it are aligned to this. */
  readonly width: number
  /** What it takes, in words, for messages. */
  readonly wanted: string
  /** The value as it will be read, or undefined if it is not of this kind. */
  take(value: unknown): FixedValue | undefined
  write(view: DataView, at: number, value: FixedValue): void
  read(view: DataView, at: number): FixedValue
}

export type FixedName = 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'u64' | 'i64' | 'f32' | 'f64' | 'bool'
export type ScalarName = FixedName | 'string' | 'bytes'

/** -0 is taken as 0, which is what the bytes say. */
function whole(low: number, high: number): Pick<FixedScalar, 'wanted' | 'take'> {
  return {
    wanted: `whole numbers from ${low} to ${high}`,
    take: (value) =>
      typeof value === 'number' && value >= low && value <= high && Math.floor(value) === value ? value + 0 : undefined,
  }
}

/** NaN has many forms in memory and one in bytes, so that equal values have equal bytes. */
function canonical(value: number): number {
  return Number.isNaN(value) ? Number.NaN : value
}

const FIXED: Readonly<Record<FixedName, FixedScalar>> = {
  u8: {
    width: 1,
    ...whole(0, 0xff),
    write: (view, at, value) => view.setUint8(at, value as number),
    read: (view, at) => view.getUint8(at),
  },
  i8: {
    width: 1,
    ...whole(-0x80, 0x7f),
    write: (view, at, value) => view.setInt8(at, value as number),
    read: (view, at) => view.getInt8(at),
  },
  u16: {
    width: 2,
    ...whole(0, 0xffff),
    write: (view, at, value) => view.setUint16(at, value as number, true),
    read: (view, at) => view.getUint16(at, true),
  },
  i16: {
    width: 2,
    ...whole(-0x8000, 0x7fff),
    write: (view, at, value) => view.setInt16(at, value as number, true),
    read: (view, at) => view.getInt16(at, true),
  },
  u32: {
    width: 4,
    ...whole(0, 0xffff_ffff),
    write: (view, at, value) => view.setUint32(at, value as number, true),
    read: (view, at) => view.getUint32(at, true),
  },
  i32: {
    width: 4,
    ...whole(-0x8000_0000, 0x7fff_ffff),
    write: (view, at, value) => view.setInt32(at, value as number, true),
    read: (view, at) => view.getInt32(at, true),
  },
  u64: {
    width: 8,
    wanted: 'bigints from 0n to 2n ** 64n - 1n',
    take: (value) => (typeof value === 'bigint' && BigInt.asUintN(64, value) === value ? value : undefined),
    write: (view, at, value) => view.setBigUint64(at, value as bigint, true),
    read: (view, at) => view.getBigUint64(at, true),
  },
  i64: {
    width: 8,
    wanted: 'bigints from -(2n ** 63n) to 2n ** 63n - 1n',
    take: (value) => (typeof value === 'bigint' && BigInt.asIntN(64, value) === value ? value : undefined),
    write: (view, at, value) => view.setBigInt64(at, value as bigint, true),
    read: (view, at) => view.getBigInt64(at, true),
  },
  f32: {
    width: 4,
    wanted: 'numbers up to 3.4028234663852886e+38 either way, infinities and NaN',
    take: (value) => {
      if (typeof value !== 'number') return undefined
      const rounded = Math.fround(value)
      return Number.isFinite(value) && !Number.isFinite(rounded) ? undefined : rounded
    },
    write: (view, at, value) => view.setFloat32(at, canonical(value as number), true),
    read: (view, at) => canonical(view.getFloat32(at, true)),
  },
  f64: {
    width: 8,
    wanted: 'numbers',
    take: (value) => (typeof value === 'number' ? value : undefined),
    write: (view, at, value) => view.setFloat64(at, canonical(value as number), true),
    read: (view, at) => canonical(view.getFloat64(at, true)),
  },
  bool: {
    width: 1,
    wanted: 'true or false',
    take: (value) => (typeof value === 'boolean' ? value : undefined),
    write: (view, at, value) => view.setUint8(at, value === true ? 1 : 0),
    read: (view, at) => view.getUint8(at) !== 0,
  },
}

/** All scalars by name; those without a fixed width have null. */
export const SCALARS: ReadonlyMap<ScalarName, FixedScalar | null> = new Map<ScalarName, FixedScalar | null>([
  ...(Object.entries(FIXED) as [FixedName, FixedScalar][]),
  ['string', null],
  ['bytes', null],
])
