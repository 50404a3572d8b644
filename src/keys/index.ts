/** What other rooms use of keys: the order, the bytes, admission, ranges, codecs, and a map by value. */

export { admitKey, admitKeyAs, releaseKey } from './admit.ts'
export { keys, type KeyCodec } from './codecs.ts'
export { decodeKey } from './decode.ts'
export { encodedLength, encodeKey, writeKey } from './encode.ts'
export { formatKey } from './format.ts'
export { KeyMap } from './key-map.ts'
export type { Key } from './key.ts'
export { compareBytes, compareKeys, equalKeys, KEY_MAX } from './order.ts'
export {
  ALL,
  type Bounds,
  boundsOfKey,
  boundsOverlap,
  inBounds,
  isAboveLower,
  isBelowUpper,
  type KeyPrefix,
  type Range,
  boundsBeyond,
  resolveRange,
} from './range.ts'
export { WordForm, wordFormOf, wordHigh, wordLow } from './words.ts'
