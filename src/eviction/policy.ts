/**
 * What an eviction policy is: who leaves memory next, when there is more in it than there may be.
 *
 * A policy knows entries by number and nothing else of them but their bytes, a hash of their key and when they expire. It
 * decides order, never whether: what may not leave yet is proposed, spared, and proposed again later. It holds no keys.
 *
 *   insert ──> resident, in the policy's order ──next()──> candidate ──> evicted(id)   gone; may be remembered by its hash
 *                  ^       access, write                       └───────> spared(id)    back in the order
 *                  └───────────────────────────────────────────────────────────────┘
 *              remove(id): gone for another reason (deleted, expired), and not remembered
 *
 * P1  An id is resident from `insert` until `evicted` or `remove`; the other calls are for resident ids only.
 * P2  `next` proposes each resident id that may be evicted before it proposes one for the second time, as long as nothing but
 *     `spared` happens between; after that many proposals it returns -1 until something else happens. It never fails to
 *     propose an evictable id, and it takes O(1) amortised.
 * P3  `access` and `write` take O(1) and allocate nothing. Memory is typed arrays sized by the largest id.
 * P4  The same calls in the same order (and the same chance) give the same proposals.
 */

/** Names of the policies; see {@link DatabaseOptions.eviction}. */
export type EvictionName = 'lru' | 'lfu' | 'random' | 'arc' | 's3fifo' | 'ttl' | 'manual'

export interface EvictionPolicy {
  readonly name: EvictionName
  /**
   * An entry has come into memory.
   * @param id its number, small and dense, used again after it has gone
   * @param hash 32 bits of a keyed hash of its key: how a policy with ghosts knows it again
   * @param bytes what it counts for
   * @param expiresAt ms since the epoch; 0: never
   */
  insert(id: number, hash: number, bytes: number, expiresAt: number): void
  /** It was read by its key. */
  access(id: number): void
  /** It was written: an access, and what it counts for and when it expires may have changed. */
  write(id: number, bytes: number, expiresAt: number): void
  /** It counts for something else now, without having been used. */
  resize(id: number, bytes: number): void
  /** It has gone for another reason than eviction. */
  remove(id: number): void
  /** The next candidate, or -1: there is none. Must be answered by `evicted` or `spared` before anything else is called. */
  next(): number
  /** The candidate has been evicted. */
  evicted(id: number): void
  /** The candidate may not leave yet. */
  spared(id: number): void
  /** The bytes that there is room for changed; adaptive policies size their parts by it. */
  limit(bytes: number): void
  /** Ids that are resident, and the bytes they count for. */
  readonly entries: number
  readonly bytes: number
  /** Bytes that the policy itself takes. */
  readonly overheadBytes: number
  /** Accesses of an id since it became resident, as far as the policy counts them (capped); undefined if it does not. */
  accesses(id: number): number | undefined
  /** Throws on the first violated invariant. Walks everything. */
  check(): void
}
