/**
 * The fixed limits of varve, each with its unit and its reason. They are part of what is promised: raising one is a
 * minor change, lowering one is a breaking one, because data that was once accepted must stay readable.
 */

/**
 * Longest key, in bytes of its order-preserving encoding: 65,535, so that a length fits in 16 bits wherever keys are
 * stored. An ASCII string of n characters takes n + 2 bytes. A longer key is refused with `INVALID_KEY`.
 */
export const MAX_KEY_BYTES = 65_535

/**
 * Deepest nesting of tuples in a key: `[]` has depth 1, `[[]]` has depth 2. It bounds the recursion of comparison and
 * decoding, and makes a cyclic array end in `INVALID_KEY` instead of a stack overflow.
 */
export const MAX_KEY_DEPTH = 32

/**
 * Deepest nesting of a structured value: `[]` has depth 1, `[{}]` has depth 2. It bounds the recursion of everything that
 * walks values, and makes a cycle end in `INVALID_VALUE` instead of a stack overflow.
 */
export const MAX_VALUE_DEPTH = 500
