/**
 * What an eviction policy is: who leaves memory next, when there is more in it than there may be.
 *
 * A policy knows entries by number and nothing else of them but their bytes, a hash of their key and when they expire. It
 * decides order, never whether: what may not leave yet is proposed, spared, and proposed again later. It holds no keys.
 *
 *   insert ──> resident, in the policy's order ──next()──> candidate ──> evicted(id)   gone; may be remembered by its hash
 *                  ^       access, write                       └───────> spared(id)    on the bench, tried again
 *                  └───────────────────────────────────────────────────────────────┘
 *              remove(id): gone for another reason (deleted, expired), and not remembered
 *
 * P1  An id is resident from `insert` until `evicted` or `remove`; the other calls are for resident ids only.
 * P2  A round begins with the first `next` after any call but `next` and `spared` (`access` counts where the policy heeds it),
 *     and after every -1. In one round `next` proposes no id twice, and -1 only after every resident id that may be evicted.
 *     It takes O(1) amortised, however many ids are spared; only to learn that none may leave takes a proposal of each.
 * P3  `access` and `write` take O(1) (`write` of `ttl`: O(log n)) and allocate nothing but columns that double. Memory is
 *     typed arrays sized by the largest id; ghosts are hashes, bounded by what is resident.
 * P4  The same calls in the same order (and the same chance) give the same proposals.
 *
 * What was spared waits on a bench, out of the order, so that many ids that may not leave are not met again by every search.
 * Each round first tries the one that has waited longest, then the order, then the rest of the bench; an access that moves an
 * id in the order takes it off the bench. So a proposal is paid for by the call that put the id into the order, or by its round.
 *
 * Make room before you insert: a policy that goes by frequency may otherwise propose the newcomer, which has none yet.
 */

/** Names of the policies; see {@link DatabaseOptions.eviction}. */
export type EvictionName = 'lru' | 'lfu' | 'random' | 'arc' | 's3fifo' | 'ttl' | 'manual'

export interface EvictionPolicy {
  readonly name: EvictionName
  /**
   * An entry has come into memory.
   * @param id its number, small and dense, used again after it has gone
   * @param hash 32 bits of a keyed hash of its key: how a policy with ghosts knows it again
   * @param bytes what it counts for: an integer; of more than 4 GiB, 4 GiB
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
  /**
   * The next candidate, or -1: there is none in this round. Must be answered by `evicted`, `spared` or `remove` before
   * anything else is called.
   */
  next(): number
  /** The candidate has been evicted; or any other resident id has, which the application wants gone. */
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
