/**
 * The places of a table in the columns: which chunks are its own, which places in them are free, and how they are given back.
 *
 * P1  A place is in use, free, or shut; only free ones are given out. Places are shut while their chunk is being emptied.
 * P2  An entry id names one place as long as that is in use. A chunk that is given back leaves a gap in the list of all chunks,
 *     which the next new chunk takes, of whatever table.
 * P3  In a free place there is no key, value or history, and the numbers are 0, but for the leaf's id and the words of a key:
 *     whoever takes it need not clear it.
 */
import { CHUNK_BITS, CHUNK_MASK, CHUNK_SIZE, Chunk, FIRST_CHUNK_CAPACITY } from './chunk.ts'
import type { TableStore } from './store.ts'

/** A chunk with a larger part in use than this is not worth emptying. */
const DENSE = 3 / 4

export class Places {
  private readonly store: TableStore
  /** Of all tables of the engine; with gaps (P2). */
  private readonly chunks: (Chunk | undefined)[]
  /** Places in `chunks` of the chunks that are this table's. */
  private readonly owned: number[] = []
  /** Places that have been given out at least once; all of the last chunk but its end. */
  private reached = 0
  private free: number[] = []
  /** Free places that are shut, and their chunks; null while none is. */
  private shut = 0
  private shutChunks: Set<number> | null = null

  constructor(store: TableStore, chunks: Chunk[]) {
    this.store = store
    this.chunks = chunks
  }

  /** How many are in use. */
  get used(): number {
    return this.reached - this.free.length - this.shut
  }

  /** Bytes of the columns. */
  get bytes(): number {
    let bytes = 0
    for (const at of this.owned) bytes += (this.chunks[at] as Chunk).bytes
    return bytes
  }

  /** Bytes of the chunks that would go if the entries were close together. One stays. */
  get freeBytes(): number {
    const { owned, used } = this
    const needed = Math.max(1, Math.ceil(used / CHUNK_SIZE))
    return owned.length <= needed ? 0 : Math.round((this.bytes * (owned.length - needed)) / owned.length)
  }

  /** Gives back columns that say nothing any more. */
  shed(): void {
    for (const at of this.owned) (this.chunks[at] as Chunk).shed()
  }

  /** A place for an entry: its id. */
  take(): number {
    return this.free.length > 0 ? (this.free.pop() as number) : this.reach()
  }

  give(id: number): void {
    if (this.shutChunks !== null && this.shutChunks.has(id >>> CHUNK_BITS)) this.shut++
    else this.free.push(id)
  }

  private reach(): number {
    const n = this.reached++
    const i = n & CHUNK_MASK
    const at = this.owned[n >>> CHUNK_BITS]
    if (at === undefined) {
      const gap = this.chunks.indexOf(undefined)
      const fresh = gap < 0 ? this.chunks.length : gap
      this.chunks[fresh] = new Chunk(this.store, this.owned.length === 0 ? FIRST_CHUNK_CAPACITY : CHUNK_SIZE)
      this.owned.push(fresh)
      return (fresh << CHUNK_BITS) | i
    }
    const chunk = this.chunks[at] as Chunk
    if (i >= chunk.capacity) chunk.grow()
    return (at << CHUNK_BITS) | i
  }

  /**
   * Shuts the emptiest chunks whose entries all have room in free places of the others, and tells which they are. Whatever is
   * left in them when {@link reopen} is called stays.
   */
  shutSparse(): number[] {
    const last = this.owned[this.owned.length - 1]
    const freeIn = new Map<number, number>()
    for (const id of this.free) freeIn.set(id >>> CHUNK_BITS, (freeIn.get(id >>> CHUNK_BITS) ?? 0) + 1)
    const sparse = [...freeIn]
      .filter(([at, free]) => at !== last && CHUNK_SIZE - free < CHUNK_SIZE * DENSE)
      .sort((a, b) => b[1] - a[1])
    let room = this.free.length
    let moving = 0
    const chosen = new Set<number>()
    for (const [at, free] of sparse) {
      if (moving + CHUNK_SIZE - free > room - free) break
      moving += CHUNK_SIZE - free
      room -= free
      chosen.add(at)
    }
    const open = this.free.filter((id) => !chosen.has(id >>> CHUNK_BITS))
    this.shut = this.free.length - open.length
    this.free = open
    this.shutChunks = chosen
    return [...chosen]
  }

  /** Gives back those of the shut chunks that are empty now, and opens the free places of the others. */
  reopen(shut: readonly number[]): void {
    this.shut = 0
    this.shutChunks = null
    for (const at of shut) {
      const chunk = this.chunks[at] as Chunk
      const free: number[] = []
      for (let i = 0; i < CHUNK_SIZE; i++) if (chunk.isFree(i)) free.push((at << CHUNK_BITS) | i)
      if (free.length < CHUNK_SIZE) this.free = this.free.concat(free)
      else this.release(at)
    }
  }

  /** Throws on the first violated invariant. Walks all places. */
  check(): void {
    for (const at of this.owned) (this.chunks[at] as Chunk).check()
    const free = new Set(this.free)
    if (free.size !== this.free.length) throw new Error('P1: a place is free twice')
    for (const id of free) {
      const chunk = this.chunks[id >>> CHUNK_BITS]
      if (chunk?.store !== this.store) throw new Error('P2: a free place is not one of this table')
      const i = id & CHUNK_MASK
      if (!chunk.isFree(i)) throw new Error('P1: a free place is in use')
      const isBlank = chunk.valueAt(i) === undefined && chunk.metaAt(i) === undefined && chunk.sequenceAt(i) === 0
      if (!isBlank || chunk.sizeAt(i) !== 0 || chunk.expiryAt(i) !== 0) throw new Error('P3: a free place is not blank')
    }
  }

  private release(at: number): void {
    this.owned.splice(this.owned.indexOf(at), 1)
    this.reached -= CHUNK_SIZE
    this.chunks[at] = undefined
  }
}
