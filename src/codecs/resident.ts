/** From a codec to its resident. */

import { VarveError } from '../errors.ts'
import { BUILT_IN_NAMES, BuiltInCodec, noteSize, type Resident, type ValueCodec } from './codec.ts'
import { type Octets, fetch, octetsBytes, stow } from './octets.ts'
import { mismatch, wrongKind } from './refusal.ts'
import { SLOT_BYTES } from './sizes.ts'
import { isStructName } from './struct-schema.ts'

/**
 * A codec of the user's own. Stored: what it encoded, copied; decoded afresh, from a copy, for every read, because
 * nothing is known of what it makes of the bytes.
 */
class EncodedResident<V> implements Resident<V> {
  readonly codec: ValueCodec<V>
  readonly direct = false

  constructor(codec: ValueCodec<V>) {
    this.codec = codec
  }

  admit(value: unknown): Octets {
    const { codec } = this
    if (value === undefined) throw wrongKind(codec.name, 'defined values', value)
    let bytes: Uint8Array
    try {
      bytes = codec.encode(value as V)
    } catch (cause) {
      throw new VarveError('INVALID_VALUE', `value is refused by codec '${codec.name}': its encode threw`, { cause })
    }
    if (!(bytes instanceof Uint8Array)) {
      throw new VarveError('INVALID_VALUE', `codec '${codec.name}' must encode to a Uint8Array`)
    }
    const octets = stow(bytes)
    noteSize(SLOT_BYTES + octetsBytes(octets))
    return octets
  }

  release(stored: unknown): V {
    try {
      return this.codec.decode(fetch(stored as Octets))
    } catch (cause) {
      throw mismatch(this.codec.name, 'its decode threw', { cause })
    }
  }

  sizeOf(stored: unknown): number {
    return SLOT_BYTES + octetsBytes(stored as Octets)
  }

  encode(stored: unknown): Uint8Array {
    return fetch(stored as Octets)
  }

  decode(bytes: Uint8Array): Octets {
    const octets = stow(bytes)
    noteSize(SLOT_BYTES + octetsBytes(octets))
    return octets
  }
}

/** Whether something has the shape of a value codec. */
export function isValueCodec(candidate: unknown): candidate is ValueCodec<unknown> {
  if (typeof candidate !== 'object' || candidate === null) return false
  const { name, encode, decode } = candidate as Partial<ValueCodec<unknown>>
  return typeof name === 'string' && name !== '' && typeof encode === 'function' && typeof decode === 'function'
}

/**
 * The resident of a codec, called once when a table is defined.
 * @throws VarveError `INVALID_ARGUMENT` if it is no codec, or a codec of the user's own under the name of a built-in one.
 */
export function residentOf<V>(codec: ValueCodec<V>): Resident<V> {
  if (codec instanceof BuiltInCodec) return (codec as BuiltInCodec<V>).resident
  if (!isValueCodec(codec)) {
    throw new VarveError('INVALID_ARGUMENT', 'a value codec is an object with a name, encode and decode')
  }
  if ((BUILT_IN_NAMES as readonly string[]).includes(codec.name) || isStructName(codec.name)) {
    throw new VarveError('INVALID_ARGUMENT', `'${codec.name}' is the name of a built-in codec: choose another`)
  }
  return new EncodedResident(codec)
}
