/**
 * The stored form of structured values that hold what cannot be frozen: Map, Set, Date, binary data.
 *
 * Such a value, and every object and array on the way to it, is stored as a part: a recipe that makes a fresh one for
 * each read. What is plain beside the way is deep-frozen and shared by all reads. So in
 * `{ at: Date, address: { city } }` the outer object is a part that makes the object and the Date anew, and every read
 * hands out the same `address`. The plain objects and arrays that parts make are frozen like those that are shared.
 *
 * I1  Parts appear only in stored forms. No value that users can make is an instance of a part.
 * I2  Nothing reachable from a part is handed out, but for deep-frozen plain values and primitives.
 */

import { type Octets, fetch } from './octets.ts'
import { type Plain, compactCopy } from './plain.ts'

/** Anything in a stored form that cannot be handed out as it is. */
export abstract class Part {
  /** Size of the whole stored form, set on its outermost part only. */
  bytes = 0

  /** A fresh value, which nothing else refers to. */
  abstract revive(): unknown
}

/** What to hand out for something stored. */
function revived(stored: unknown): unknown {
  return stored instanceof Part ? stored.revive() : stored
}

/** A plain object with parts among its properties. */
export class ObjectPart extends Part {
  /** All properties, with parts where parts are; with null prototype if the object has none. */
  readonly template: Plain
  /** The properties that are parts. */
  readonly names: readonly string[]

  constructor(template: Plain, names: readonly string[]) {
    super()
    this.template = template
    this.names = names
  }

  revive(): Plain {
    const copy = compactCopy(this.template)
    for (const name of this.names) copy[name] = (copy[name] as Part).revive()
    return Object.freeze(copy)
  }
}

/** An array with parts among its elements. */
export class ArrayPart extends Part {
  readonly template: readonly unknown[]
  /** The indices that are parts. */
  readonly indices: readonly number[]

  constructor(template: readonly unknown[], indices: readonly number[]) {
    super()
    this.template = template
    this.indices = indices
  }

  revive(): readonly unknown[] {
    const copy = this.template.slice()
    for (const index of this.indices) copy[index] = (copy[index] as Part).revive()
    return Object.freeze(copy)
  }
}

/** A Map; a list of keys and values takes a third of the memory of a Map. */
export class MapPart extends Part {
  /** Key, value, key, value, in order of insertion. */
  readonly entries: readonly unknown[]

  constructor(entries: readonly unknown[]) {
    super()
    this.entries = entries
  }

  revive(): Map<unknown, unknown> {
    const { entries } = this
    const map = new Map<unknown, unknown>()
    for (let i = 0; i < entries.length; i += 2) map.set(revived(entries[i]), revived(entries[i + 1]))
    return map
  }
}

/** A Set. */
export class SetPart extends Part {
  /** In order of insertion. */
  readonly members: readonly unknown[]

  constructor(members: readonly unknown[]) {
    super()
    this.members = members
  }

  revive(): Set<unknown> {
    const set = new Set<unknown>()
    for (const member of this.members) set.add(revived(member))
    return set
  }
}

/** A Date. */
export class DatePart extends Part {
  /** Milliseconds since the epoch; NaN for an invalid date. */
  readonly time: number

  constructor(time: number) {
    super()
    this.time = time
  }

  revive(): Date {
    return new Date(this.time)
  }
}

/** A typed array, an ArrayBuffer, a DataView or a Buffer. */
export class BinaryPart extends Part {
  readonly kind: BinaryKind
  readonly octets: Octets

  constructor(kind: BinaryKind, octets: Octets) {
    super()
    this.kind = kind
    this.octets = octets
  }

  revive(): unknown {
    const bytes = fetch(this.octets)
    return this.kind === BYTES ? bytes : this.kind.make(bytes.buffer)
  }
}

/** One kind of binary data. */
export interface BinaryKind {
  /** Name of the class. */
  readonly name: string
  /** Its number in bytes; never changes. */
  readonly code: number
  /** The length of its content is a multiple of this. */
  readonly elementBytes: number
  /** The prototype of its instances in this realm. */
  readonly prototype: object
  /** An instance over the whole of a buffer, in the byte order of the machine. */
  make(buffer: ArrayBuffer): unknown
}

interface ViewConstructor {
  new (buffer: ArrayBuffer): ArrayBufferView
  readonly name: string
  readonly prototype: object
  readonly BYTES_PER_ELEMENT: number
}

const VIEWS: readonly ViewConstructor[] = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
]

/** Every kind, at the index of its code. */
export const BINARY_KINDS: readonly BinaryKind[] = [
  ...VIEWS.map((View, code) => ({
    name: View.name,
    code,
    elementBytes: View.BYTES_PER_ELEMENT,
    prototype: View.prototype,
    make: (buffer: ArrayBuffer) => new View(buffer),
  })),
  ...[
    { name: 'DataView', prototype: DataView.prototype, make: (buffer: ArrayBuffer) => new DataView(buffer) },
    { name: 'ArrayBuffer', prototype: ArrayBuffer.prototype, make: (buffer: ArrayBuffer) => buffer },
    { name: 'Buffer', prototype: Buffer.prototype as object, make: (buffer: ArrayBuffer) => Buffer.from(buffer) },
  ].map((kind, i) => ({ ...kind, code: VIEWS.length + i, elementBytes: 1 })),
]

/** The kind of what is plain bytes already. */
const BYTES: BinaryKind = BINARY_KINDS[1] as BinaryKind
