/** A cache around a policy or a model of one, for traces. */
import type { Driven } from './models.ts'

/** A 32-bit hash of a key of a trace: a bijection, so that no two keys meet. */
export function hashOf(key: number): number {
  let hash = Math.imul(key ^ 0x5bd1e995, 0x9e3779b1)
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b)
  return (hash ^ (hash >>> 13)) >>> 0
}

/** Bytes of a key of a trace, from 1 to 16. */
export function variedSize(key: number): number {
  return 1 + (hashOf(key) & 15)
}

/** Keeps the keys of a trace while a policy lets it; room is made before an insert. */
export class Cache<P extends Driven = Driven> {
  readonly policy: P
  limitBytes: number
  readonly sizeOf: (key: number) => number
  readonly ids: Map<number, number> = new Map()
  readonly #keys: number[] = []
  readonly #free: number[] = []

  constructor(policy: P, limitBytes: number, sizeOf: (key: number) => number = () => 1) {
    this.policy = policy
    this.limitBytes = limitBytes
    this.sizeOf = sizeOf
  }

  /** Whether it was there; if not, it is afterwards. */
  get(key: number): boolean {
    const found = this.ids.get(key)
    if (found !== undefined) {
      this.policy.access(found)
      return true
    }
    const bytes = this.sizeOf(key)
    while (this.policy.bytes + bytes > this.limitBytes) {
      const victim = this.policy.next()
      if (victim === -1) return false
      this.policy.evicted(victim)
      this.ids.delete(this.#keys[victim]!)
      this.#free.push(victim)
    }
    const id = this.#free.pop() ?? this.#keys.length
    this.#keys[id] = key
    this.ids.set(key, id)
    this.policy.insert(id, hashOf(key), bytes, 1 + (hashOf(key) % 1000))
    return false
  }

  /** For each request of a trace whether it was there: 1 or 0. */
  run(trace: Uint32Array): Uint8Array {
    return Uint8Array.from(trace, (key) => (this.get(key) ? 1 : 0))
  }
}

/** The part of ones, from an index on. */
export function ratio(hits: Uint8Array, from = 0, to: number = hits.length): number {
  let sum = 0
  for (let i = from; i < to; i++) sum += hits[i]!
  return sum / (to - from)
}
