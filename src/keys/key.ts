/**
 * What a key is, and the one total order of all keys.
 *
 * The order is the same in memory (`compareKeys`), as bytes (`encodeKey`, compared by memcmp) and in ranges:
 *
 * | rank | kind             | order inside the kind                                                     |
 * |------|------------------|---------------------------------------------------------------------------|
 * | 1    | boolean          | false, true                                                               |
 * | 2    | number, bigint   | by exact mathematical value, -Infinity lowest, Infinity highest; where a  |
 * |      |                  | number and a bigint are equal they are two adjacent keys, number first    |
 * | 3    | string           | by UTF-16 code unit, as `<` compares strings; a prefix before the longer  |
 * | 4    | bytes            | by unsigned byte (memcmp); a prefix before the longer                     |
 * | 5    | tuple            | element by element in this same order; a prefix before the longer         |
 *
 * Every finite value has its own place: a string is a sequence of code units, so lone surrogates are distinct keys and
 * NUL is an ordinary character; the empty string, empty bytes and the empty tuple are three keys, each the lowest of
 * its kind. NaN has no place in a total order and is refused. -0 and 0 are one key, 0. Strings are not normalised:
 * two strings that look alike but differ in a code unit are two keys.
 */

/**
 * A key: a string, number (not NaN), bigint, boolean, bytes, or a tuple of keys.
 *
 * Keys of different types may stand in one table; all of them have one total order, booleans first, then numbers and
 * bigints together by value, then strings, bytes and tuples. `1` and `1n` are two keys, next to each other.
 */
export type Key = string | number | bigint | boolean | Uint8Array | readonly Key[]
