/** Nobody goes unless the application says so: proposes nothing, counts what is there. 4 bytes per id. */

import type { EvictionPolicy } from './policy.ts'
import { Residents } from './residents.ts'

/** See the head of this file. */
export class Manual extends Residents implements EvictionPolicy {
  readonly name = 'manual'

  get overheadBytes(): number {
    return this.weights.byteLength
  }

  insert(id: number, _hash: number, bytes: number, _expiresAt: number): void {
    this.enter(id, bytes)
  }

  access(_id: number): void {}

  write(id: number, bytes: number, _expiresAt: number): void {
    this.reweigh(id, bytes)
  }

  remove(id: number): void {
    this.leave(id)
  }

  next(): number {
    return -1
  }

  evicted(id: number): void {
    this.leave(id)
  }

  /** Nothing is proposed, so nothing can be spared. */
  spared(_id: number): void {}

  check(): void {
    this.checkSums()
  }
}
