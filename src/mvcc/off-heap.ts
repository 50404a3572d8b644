/**
 * Values outside of the JavaScript heap: what stands in the columns of a table is a handle into its arena, a small integer.
 *
 * Values are bytes there, so only codecs whose stored forms are octets take part: `struct` and `bytes`. Everything on the way
 * in and out of a table, write sets above all, still has octets: they are placed by the commit, just before it is certified,
 * because placing may fail for want of memory and installing may not.
 *
 * O1  Every version of such a table, head or chained, has a handle of its own; whoever drops the version gives it up.
 * O2  A handle is read within the tick and the commit in which it was found, or its arena's `epoch` is compared first. What is
 *     kept for longer is octets: {@link OffHeap.detach}.
 */
import { type Arena, arenaBytes } from '../arena/index.ts'
import {
  noteSize,
  type Octets,
  type Resident,
  SLOT_BYTES,
  stow,
  type ValueCodec,
  writeOctets,
} from '../codecs/index.ts'

/** A resident whose stored forms are octets. */
export type OctetsResident = Resident<unknown> & Required<Pick<Resident<unknown>, 'releaseFrom'>>

function isOctetsResident(resident: Resident<unknown>): resident is OctetsResident {
  return resident.releaseFrom !== undefined
}

/** The resident of a table whose values go into an arena; null if its codec does not allow that. */
export function offHeapOf(resident: Resident<unknown>, arena: Arena): OffHeap | null {
  return isOctetsResident(resident) ? new OffHeap(resident, arena) : null
}

/** The resident of a table whose values are outside of the heap: takes handles as well as octets. */
export class OffHeap implements Resident<unknown> {
  readonly codec: ValueCodec<unknown>
  readonly direct = false
  readonly arena: Arena
  private readonly inner: OctetsResident

  constructor(inner: OctetsResident, arena: Arena) {
    this.inner = inner
    this.arena = arena
    this.codec = inner.codec
  }

  admit(value: unknown): unknown {
    const octets = this.inner.admit(value) as Octets
    noteSize(SLOT_BYTES + arenaBytes(octets.length))
    return octets
  }

  release(stored: unknown): unknown {
    if (typeof stored !== 'number') return this.inner.release(stored)
    const { arena } = this
    const { bytes, words } = arena.seek(stored)
    return this.inner.releaseFrom(bytes, words, arena.foundStart, arena.foundLength)
  }

  sizeOf(stored: unknown): number {
    return SLOT_BYTES + arenaBytes(typeof stored === 'number' ? this.arena.lengthOf(stored) : (stored as Octets).length)
  }

  encode(stored: unknown): Uint8Array {
    return typeof stored === 'number' ? this.arena.copyOut(stored) : this.inner.encode(stored)
  }

  decode(bytes: Uint8Array): unknown {
    const octets = this.inner.decode(bytes) as Octets
    noteSize(SLOT_BYTES + arenaBytes(octets.length))
    return octets
  }

  /**
   * Puts octets into the arena; returns the handle.
   * @throws VarveError `MEMORY_LIMIT`.
   */
  place(stored: unknown): number {
    const { arena } = this
    const octets = stored as Octets
    const handle = arena.allocate(octets.length)
    writeOctets(octets, arena.bytesOf(handle), arena.startOf(handle))
    return handle
  }

  /** Octets of a stored form in either shape. */
  detach(stored: unknown): unknown {
    return typeof stored === 'number' ? stow(this.arena.copyOut(stored)) : stored
  }

  /** Throws unless these stored forms, of all versions of the table, are just what the arena holds (O1). Walks everything. */
  check(stored: Iterable<unknown>): void {
    this.arena.check()
    const seen = new Set<number>()
    for (const form of stored) {
      if (typeof form !== 'number') {
        if (typeof form === 'string' || form instanceof Uint8Array)
          throw new Error('O1: a version has octets, no handle')
        continue
      }
      if (!this.arena.holds(form)) throw new Error('O1: a version has a handle that names nothing')
      if (seen.has(form)) throw new Error('O1: two versions have one handle')
      seen.add(form)
    }
    if (seen.size !== this.arena.count) {
      throw new Error(`O1: the arena holds ${this.arena.count} values, versions have ${seen.size}`)
    }
  }

  /** Gives up the handle of a version that goes. */
  discard(stored: unknown): void {
    if (typeof stored === 'number') this.arena.free(stored)
  }
}
