/**
 * What history keeps of one key.
 *
 * The newest version of an entry sits in place in the columns of its table (store.ts). Everything else hangs off one
 * {@link Meta}, which exists only while it says something: older versions that an open snapshot still needs, marks of
 * committed readers, and the registers of existence and of merge groups.
 *
 *   column:  key | value (newest or undefined) | sequence | size | leaf | meta ──┐
 *                                                                             v
 *   Meta { older ─> Version ─> Version …   readers   existence   group }
 *
 * I1  A chain is sorted by sequence, newest first, and every member is older than the head in the columns.
 * I2  A chained version is visible to exactly the snapshots in [sequence, end); it is kept only while one of them is open.
 * I3  `successor` of a chained version is the transaction that overwrote it, whatever was pruned since: the edge survives
 *     the loss of the versions in between.
 * I4  All versions written by merges since the last plain write share one {@link MergeGroup}; all versions since the last
 *     creation, deletion or change of the expiry share one {@link Existence}. Plain heads without history have neither: null means "long ago".
 * I5  Where a key has no value (a tombstone, the state before the first insert) the value is `undefined`, which is no stored
 *     form. It is compared with the literal: against anything that is imported, V8 would look into the value, a cache miss.
 */
import type { Node } from './node.ts'
import type { TableStore } from './store.ts'

/**
 * The versions that commutative merges made on top of one base. There is no order between two members of a group, so a
 * reader of any of them precedes every operand it did not see, and whoever ends the group follows all of them.
 */
export class MergeGroup {
  /** Sequence of the base write; 0 when the base is the absence before the first insert. */
  readonly baseSequence: number
  /** Whether the group starts from absence, so that each of its operands could have been the creating one. */
  readonly fromAbsence: boolean
  /** Committed transactions that merged into this group and are still in the graph, in commit order. */
  operands: Node[] = []
  /** The transaction whose plain write ended the group. */
  successor: Node | null = null

  constructor(baseSequence: number, fromAbsence: boolean) {
    this.baseSequence = baseSequence
    this.fromAbsence = fromAbsence
  }
}

/**
 * One life of a key: from its creation to its deletion, or to where its expiry changes. Overwriting does not end it. Whether a
 * reader sees the key follows from its life and the reader's instant alone.
 */
export class Existence {
  /** Sequence of the creation; 0 when it was before anything in flight can tell. */
  readonly sequence: number
  readonly creator: Node | null
  /** The transaction that deleted the key or changed its expiry. */
  successor: Node | null = null

  constructor(sequence: number, creator: Node | null) {
    this.sequence = sequence
    this.creator = creator
  }
}

/** Stands for the value of an old version that eviction took away. That it was there is known, and nothing else. */
export const EVICTED: unique symbol = Symbol('evicted')

/** A version that is not the newest any more but that an open snapshot still reads. */
export class Version {
  readonly meta: Meta
  readonly sequence: number
  /** Sequence of the commit that overwrote it. */
  readonly end: number
  /** Its stored form, or {@link EVICTED}. */
  value: unknown
  readonly size: number
  /** ms since the epoch; 0: never. */
  readonly expiresAt: number
  older: Version | null
  newer: Version | null = null
  /** Who overwrote it with a plain write (null: nobody that still matters, or a merge: see {@link group}). */
  successor: Node | null = null
  group: MergeGroup | null = null
  existence: Existence | null = null

  constructor(
    meta: Meta,
    sequence: number,
    end: number,
    value: unknown,
    size: number,
    expiresAt: number,
    older: Version | null,
  ) {
    this.meta = meta
    this.sequence = sequence
    this.end = end
    this.value = value
    this.size = size
    this.expiresAt = expiresAt
    this.older = older
    if (older !== null) older.newer = this
  }
}

/** History of one entry. Made on demand, dropped as soon as it says nothing. */
export class Meta {
  readonly store: TableStore
  /** Entry id in the store. */
  readonly id: number
  older: Version | null = null
  /** Committed transactions that read the value of the current head or of an earlier member of its merge group. */
  readers: Node[] | null = null
  /** Committed transactions that read that the key exists in its current life. */
  existenceReaders: Node[] | null = null
  existence: Existence | null = null
  group: MergeGroup | null = null
  /**
   * Committed transactions that deleted the key while it was absent. They follow the deletion that they lie on and precede the
   * next write (every merge, if that is a group), which they would otherwise have taken away; readers of the absence see no difference and have no edge to them.
   */
  idleDeleters: Node[] | null = null
  /** Newest value reader whose node was summarised away (certifier at its cap); 0 = none. */
  readStamp = 0
  /** The same for readers of existence. */
  existenceReadStamp = 0
  /** The last sweep that tidied this object, so that one sweep does it once however many nodes point here. */
  sweep = 0

  constructor(store: TableStore, id: number) {
    this.store = store
    this.id = id
  }
}
