/**
 * A map over keys by value: two equal keys are one entry, be they the same object or not.
 *
 * It is a native Map for strings, numbers, bigints and booleans, which the language already compares by value, and a
 * second one for bytes and tuples, under their encoding as a string. It is not ordered: iteration gives the first kind
 * in order of insertion, then the second.
 *
 * Cost: empty, one object of two fields and no map at all. Strings, numbers, bigints, booleans: that of a Map. Bytes and tuples: one
 * encoding per call, and its string and a small object per entry beside the Map's own.
 *
 * I1  Every admitted key has exactly one place; a key is found by every key that compareKeys calls equal, and no other.
 * I2  Keys come out as they were first put in; values as last set.
 * I3  A key removed before an iteration reaches it is not visited; one added meanwhile may or may not be; none is visited
 *     twice unless it was removed and put in again.
 *
 * Callable with admitted keys only, and keeps the key it is given: pass private ones.
 */

import { encodeKey } from './encode.ts'
import type { Key } from './key.ts'
import { latin1 } from '../latin1.ts'

type PrimitiveKey = Exclude<Key, object>

class Compound<V> {
  readonly key: Key
  value: V

  constructor(key: Key, value: V) {
    this.key = key
    this.value = value
  }
}

export class KeyMap<V> {
  /** Made when first needed: most maps of a transaction hold one kind, many hold nothing. */
  private primitives: Map<PrimitiveKey, V> | undefined
  private compounds: Map<string, Compound<V>> | undefined

  constructor() {
    this.primitives = undefined
    this.compounds = undefined
  }

  get size(): number {
    const { primitives, compounds } = this
    return (primitives === undefined ? 0 : primitives.size) + (compounds === undefined ? 0 : compounds.size)
  }

  get(key: Key): V | undefined {
    if (typeof key !== 'object') return this.primitives === undefined ? undefined : this.primitives.get(key)
    return this.compounds === undefined ? undefined : this.compounds.get(identityOf(key))?.value
  }

  has(key: Key): boolean {
    if (typeof key !== 'object') return this.primitives !== undefined && this.primitives.has(key)
    return this.compounds !== undefined && this.compounds.has(identityOf(key))
  }

  set(key: Key, value: V): this {
    if (typeof key !== 'object') {
      this.primitives ??= new Map()
      this.primitives.set(key, value)
    } else {
      this.setCompound(key, value)
    }
    return this
  }

  /** Whether there was something to delete. */
  delete(key: Key): boolean {
    if (typeof key !== 'object') return this.primitives !== undefined && this.primitives.delete(key)
    return this.compounds !== undefined && this.compounds.delete(identityOf(key))
  }

  clear(): void {
    this.primitives?.clear()
    this.compounds?.clear()
  }

  *keys(): IterableIterator<Key> {
    if (this.primitives !== undefined) yield* this.primitives.keys()
    if (this.compounds !== undefined) for (const entry of this.compounds.values()) yield entry.key
  }

  *values(): IterableIterator<V> {
    if (this.primitives !== undefined) yield* this.primitives.values()
    if (this.compounds !== undefined) for (const entry of this.compounds.values()) yield entry.value
  }

  *entries(): IterableIterator<[Key, V]> {
    if (this.primitives !== undefined) yield* this.primitives
    if (this.compounds !== undefined) for (const entry of this.compounds.values()) yield [entry.key, entry.value]
  }

  /** Calls `visit` for each entry: the form of iteration that allocates nothing. */
  forEach(visit: (value: V, key: Key) => void): void {
    if (this.primitives !== undefined) this.primitives.forEach(visit)
    if (this.compounds !== undefined) for (const entry of this.compounds.values()) visit(entry.value, entry.key)
  }

  private setCompound(key: Key, value: V): void {
    this.compounds ??= new Map()
    const identity = identityOf(key)
    const entry = this.compounds.get(identity)
    if (entry === undefined) this.compounds.set(identity, new Compound(key, value))
    else entry.value = value
  }
}

/** Equal keys have equal encodings, so the encoding as a string stands for the key in a native Map. */
function identityOf(key: Key): string {
  const bytes = encodeKey(key)
  return latin1(bytes, 0, bytes.length)
}
