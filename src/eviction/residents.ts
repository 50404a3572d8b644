/** What all policies keep: how much each resident entry counts for, the sums, and how far a round has come. */

import { invariant } from '../errors.ts'
import { grownLength, grownUint32, INITIAL_IDS } from './columns.ts'

const MAX_WEIGHT = 2 ** 32 - 1

/** The common part of the policies; 4 bytes per id. */
export abstract class Residents {
  entries = 0
  bytes = 0
  /** Bytes by id; 0 where nothing is resident. */
  protected weights: Uint32Array = new Uint32Array(INITIAL_IDS)
  /** Ids that were spared in this round (P2); 0 until one is. */
  protected spares = 0

  resize(id: number, bytes: number): void {
    this.reweigh(id, bytes)
  }

  /** Most policies have no parts to size. */
  limit(_bytes: number): void {}

  /** Most policies do not count. */
  accesses(_id: number): number | undefined {
    return undefined
  }

  /** Counts an id in; ends the round. */
  protected enter(id: number, bytes: number): void {
    if (id >= this.weights.length) this.weights = grownUint32(this.weights, grownLength(this.weights.length, id))
    this.entries++
    this.reweigh(id, bytes)
  }

  /** Gives an id another weight, ends the round and returns by how much the weight grew. */
  protected reweigh(id: number, bytes: number): number {
    const before = this.weights[id] as number
    const weight = (bytes < MAX_WEIGHT ? bytes : MAX_WEIGHT) >>> 0
    this.weights[id] = weight
    const grown = weight - before
    this.bytes += grown
    this.spares = 0
    return grown
  }

  /** Counts an id out; ends the round and returns its weight. */
  protected leave(id: number): number {
    this.entries--
    return -this.reweigh(id, 0)
  }

  /** Whether every one of `count` ids was spared in this round, which ends it. */
  protected isExhausted(count: number): boolean {
    if (this.spares < count) return false
    this.spares = 0
    return true
  }

  /** Throws unless the sums are those of the columns. */
  protected checkSums(): void {
    let bytes = 0
    let entries = 0
    for (const weight of this.weights) {
      bytes += weight
      if (weight > 0) entries++
    }
    invariant(bytes === this.bytes, `${this.bytes} bytes, but the entries count for ${bytes}`)
    invariant(entries <= this.entries, `${this.entries} entries, but ${entries} count for something`)
    invariant(this.spares <= this.entries, 'more spared than there are')
  }
}
