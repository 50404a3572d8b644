/**
 * Accesses on their way into an order: those of the last few reads are written down and applied together, so that a read
 * costs one store into a line that is in the cache, and the cache misses of moving the ids overlap instead of adding up
 * (after Ding, Jiang & Zhang, "BP-Wrapper", ICDE 2009, who batch accesses to spare a lock).
 *
 * The order stays exact: whatever depends on it applies what is recorded first.
 */

/** Accesses that are applied together: 1 KiB, which stays in the first-level cache. */
export const RECORDED_ACCESSES = 256
