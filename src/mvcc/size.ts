/** Estimated bytes that a key holds in memory, its slot included. */
import { bigintBytes, numberBytes, SLOT_BYTES, stringBytes } from '../codecs/index.ts'
import type { Key } from '../keys/index.ts'

/** What a key takes that is kept as words (keys/words.ts). */
export const WORDS_BYTES = 8
const BYTES_HEADER = 96
const TUPLE_HEADER = 48

export function sizeOfKey(key: Key): number {
  switch (typeof key) {
    case 'string':
      return SLOT_BYTES + stringBytes(key)
    case 'number':
      return SLOT_BYTES + numberBytes(key)
    case 'boolean':
      return SLOT_BYTES
    case 'bigint':
      return SLOT_BYTES + bigintBytes(key)
    default: {
      if (key instanceof Uint8Array) return SLOT_BYTES + BYTES_HEADER + key.length
      let bytes = SLOT_BYTES + TUPLE_HEADER
      for (let i = 0; i < key.length; i++) bytes += sizeOfKey(key[i] as Key)
      return bytes
    }
  }
}
