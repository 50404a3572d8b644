/**
 * What an index knows about the types of its keys. While every key is a string, or every key is a number, or every key
 * is a bigint, and the order is the natural one, searches compare inline and upper nodes keep a numeric cache; the first
 * key of another type sends the whole index to its comparator, until it is empty again.
 */

/** No keys yet: the first one decides. */
export const KIND_EMPTY = 0
/** Strings only, ordered by UTF-16 code unit, as `<` does. */
export const KIND_STRINGS = 1
/** Numbers only, without NaN. */
export const KIND_NUMBERS = 2
/** Bigints only. */
export const KIND_BIGINTS = 3
/** Anything else: ask the comparator. */
export const KIND_MIXED = 4

export type Kind = 0 | 1 | 2 | 3 | 4

/** The kind an index of natural order would have if `key` were its only key. */
export function kindOf(key: unknown): Kind {
  if (typeof key === 'string') return KIND_STRINGS
  if (typeof key === 'number') return KIND_NUMBERS
  return typeof key === 'bigint' ? KIND_BIGINTS : KIND_MIXED
}
