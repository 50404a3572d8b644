/**
 * The keys of a table of which the columns have words (chunk.ts), for the index: it has none of its own.
 *
 * What an entry of an index holds of a key is its id. A search compares words, and makes no bigint.
 */
import { compareKeys, type Key, type WordForm, wordHigh, wordLow } from '../keys/index.ts'
import type { KeySource } from '../skiplist/core.ts'
import { CHUNK_BITS, CHUNK_MASK, type Chunk } from './chunk.ts'

export class ColumnKeys implements KeySource<Key, number> {
  private readonly chunks: Chunk[]
  private readonly form: WordForm

  constructor(chunks: Chunk[], form: WordForm) {
    this.chunks = chunks
    this.form = form
  }

  keyOf(id: number): Key {
    return (this.chunks[id >>> CHUNK_BITS] as Chunk).keyAt(id & CHUNK_MASK)
  }

  compareTo(id: number, key: Key): number {
    const { words } = this.chunks[id >>> CHUNK_BITS] as Chunk
    if (words === null || !this.form.split(key)) return compareKeys(this.keyOf(id), key)
    const at = (id & CHUNK_MASK) * 2
    const high = words[at + 1] as number
    if (high !== wordHigh) return high < wordHigh ? -1 : 1
    return (words[at] as number) - wordLow
  }

  locate(ids: readonly number[], key: Key): number {
    if (!this.form.split(key)) return this.locateAny(ids, key)
    const { chunks } = this
    const soughtHigh = wordHigh
    const soughtLow = wordLow
    let from = 0
    let to = ids.length
    let found = false
    while (from < to) {
      const middle = (from + to) >>> 1
      const id = ids[middle] as number
      const { words } = chunks[id >>> CHUNK_BITS] as Chunk
      if (words === null) return this.locateAny(ids, key)
      const at = (id & CHUNK_MASK) * 2
      const high = words[at + 1] as number
      const low = words[at] as number
      if (high < soughtHigh || (high === soughtHigh && low < soughtLow)) from = middle + 1
      else {
        to = middle
        // The last one that is not below is the one to stop at.
        found = high === soughtHigh && low === soughtLow
      }
    }
    return found ? from : ~from
  }

  private locateAny(ids: readonly number[], key: Key): number {
    let from = 0
    let to = ids.length
    while (from < to) {
      const middle = (from + to) >>> 1
      if (compareKeys(this.keyOf(ids[middle] as number), key) < 0) from = middle + 1
      else to = middle
    }
    return from < ids.length && compareKeys(this.keyOf(ids[from] as number), key) === 0 ? from : ~from
  }
}
