/**
 * Entries for which a segment has no room near their home: more than a hundred under one fingerprint, that is, one key
 * put in a hundred times over. With a keyed hash nothing else gets here.
 *
 * It holds 53 bits of the hash for each entry, in a native Map, so it never runs out of bits and takes no part in splits.
 *
 * Cost: 8 bytes an entry and some 100 for each distinct hash.
 *
 * I1  `entries` values are held, no list is empty.
 * I2  The values under a hash stand in order of insertion.
 */
export class Spill {
  entries = 0
  readonly lists: Map<number, number[]> = new Map()

  has(high: number, low: number): boolean {
    return this.lists.has(pack(high, low))
  }

  add(high: number, low: number, value: number): void {
    this.addAt(pack(high, low), value)
  }

  /** Adds under a packed hash, as `lists` has them. */
  addAt(hash: number, value: number): void {
    const list = this.lists.get(hash)
    if (list === undefined) this.lists.set(hash, [value])
    else list.push(value)
    this.entries++
  }

  /** The values under a hash, oldest first. */
  under(high: number, low: number): readonly number[] {
    return this.lists.get(pack(high, low)) ?? []
  }

  /** Takes out the newest entry with that hash and value. */
  remove(high: number, low: number, value: number): boolean {
    const list = this.lists.get(pack(high, low))
    const at = list === undefined ? -1 : list.lastIndexOf(value)
    if (at < 0) return false
    this.removeAt(high, low, at)
    return true
  }

  /** Puts another value in the place of the newest equal to `value`. */
  replace(high: number, low: number, value: number, next: number): boolean {
    const list = this.lists.get(pack(high, low))
    const at = list === undefined ? -1 : list.lastIndexOf(value)
    if (list === undefined || at < 0) return false
    list[at] = next
    return true
  }

  private removeAt(high: number, low: number, at: number): void {
    const hash = pack(high, low)
    const list = this.lists.get(hash) as number[]
    list.splice(at, 1)
    this.entries--
    if (list.length === 0) this.lists.delete(hash)
  }

  get bytes(): number {
    return this.lists.size * 100 + this.entries * 8
  }

  check(): void {
    let entries = 0
    for (const list of this.lists.values()) {
      if (list.length === 0) throw new Error('spill I1: an empty list')
      entries += list.length
    }
    if (entries !== this.entries) throw new Error(`spill I1: ${entries} entries, but ${this.entries} are counted`)
  }
}

/** The upper 53 bits of a hash as a number. */
function pack(high: number, low: number): number {
  return (high >>> 0) * 2 ** 21 + (low >>> 11)
}
