/**
 * A position in a block: moves over its entries in both directions, searches it, and reads the entry that it is on.
 *
 * It is not safe against changes of the block, which has none. The key is put together in `key`, a buffer of the cursor's
 * own that any move may change or replace; `value` is a view of the block and stays valid.
 *
 * E1  On an entry: `index` is its number, `key[0, keyLength)`, `sequence`, `size`, `expiresAt`, `tombstone`, `valueStart`
 *     and `valueEnd` are its own, `next` is where the entry behind it begins.
 * E2  Whatever the bytes of the block are, nothing outside its entries is taken for data: every entry is held against
 *     the end before it is used, CORRUPTION otherwise. No move takes longer than one pass over the block.
 *
 * Forwards an entry costs the bytes that its key does not share. Backwards the 16 entries of a restart are decoded once, into
 * a buffer of their keys, and then taken one by one: about twice the time of forwards.
 */
import {
  BLOCK_HEADER_BYTES,
  EXPIRY_BYTES,
  KIND_EXPIRING,
  KIND_TOMBSTONE,
  RESTART_INTERVAL,
  type Block,
} from './block.ts'
import { compareBytes, compareBytesAt, enlarged } from './compare.ts'
import { isExpiry } from './expiries.ts'
import { corruption, readFloat64, readUint32 } from './format.ts'

const NO_BYTES: Uint8Array = new Uint8Array(0)

/** What the seventh byte of a number counts: signed numbers of 48 bits are the longest that are written. */
const LAST_SCALE: number = 2 ** 42

export class BlockEntries {
  key: Uint8Array = new Uint8Array(64)
  keyLength = 0
  sequence = 0
  /** The accounting size that was given when it was written. */
  size = 0
  /** In ms since 1970; 0: it does not expire. */
  expiresAt = 0
  tombstone = false

  /** Number of the entry in its block; -1 before the first, the count of entries behind the last. */
  protected index = -1
  protected block: Block | null = null
  #bytes: Uint8Array = NO_BYTES
  #end = 0
  #next = 0
  #valueStart = 0
  #valueEnd = 0

  /** What {@link #readHeader} found. */
  #shared = 0
  #unshared = 0
  #keyStart = 0

  /** The restart whose entries lie in the three arrays, or -1. */
  #group = -1
  #groupKeys: Uint8Array = NO_BYTES
  readonly #groupKeyEnds: Int32Array = new Int32Array(RESTART_INTERVAL)
  readonly #groupStarts: Float64Array = new Float64Array(RESTART_INTERVAL)

  /** The stored value, a view that stays valid and keeps its block in memory; empty for a tombstone. */
  get value(): Uint8Array {
    return this.#bytes.subarray(this.#valueStart, this.#valueEnd)
  }

  /** Where the stored value lies: `valueStart` to `valueEnd` of these bytes. */
  get valueBytes(): Uint8Array {
    return this.#bytes
  }

  get valueStart(): number {
    return this.#valueStart
  }

  get valueEnd(): number {
    return this.#valueEnd
  }

  get valueLength(): number {
    return this.#valueEnd - this.#valueStart
  }

  /** Goes before the first entry of a block. */
  protected enter(block: Block): void {
    this.block = block
    this.#bytes = block.bytes
    this.#end = block.end
    this.#group = -1
    this.index = -1
    this.keyLength = 0
    this.#next = BLOCK_HEADER_BYTES
  }

  /** Lets go of the block. */
  protected leave(): void {
    this.block = null
    this.#bytes = NO_BYTES
    this.keyLength = 0
    this.#valueStart = 0
    this.#valueEnd = 0
    this.index = -1
  }

  protected nextInBlock(): boolean {
    const { entries } = this.block as Block
    if (this.index + 1 >= entries) {
      this.index = entries
      return false
    }
    this.index++
    this.#readHeader(this.#next)
    const shared = this.#shared
    if (shared > this.keyLength || (shared > 0 && this.index % RESTART_INTERVAL === 0)) throw this.#damage()
    const length = shared + this.#unshared
    if (length > this.key.length) this.key = enlarged(this.key, shared, length)
    const { key } = this
    const bytes = this.#bytes
    for (let to = shared, from = this.#keyStart; to < length; to++, from++) key[to] = bytes[from] as number
    this.keyLength = length
    return true
  }

  protected prevInBlock(): boolean {
    if (this.index <= 0) {
      this.index = -1
      return false
    }
    const index = this.index - 1
    const group = Math.floor(index / RESTART_INTERVAL)
    if (group !== this.#group) this.#decodeGroup(group)
    const at = index % RESTART_INTERVAL
    const from = at === 0 ? 0 : (this.#groupKeyEnds[at - 1] as number)
    const length = (this.#groupKeyEnds[at] as number) - from
    if (length > this.key.length) this.key = enlarged(this.key, 0, length)
    const { key } = this
    const keys = this.#groupKeys
    for (let i = 0; i < length; i++) key[i] = keys[from + i] as number
    this.keyLength = length
    this.#readHeader(this.#groupStarts[at] as number)
    this.index = index
    return true
  }

  /** Behind the last entry, from where {@link prevInBlock} goes to it. */
  protected passInBlock(): void {
    this.index = (this.block as Block).entries
  }

  /** Goes to the first entry that is not before the key, or behind the last and returns false. */
  protected seekInBlock(key: Uint8Array, length: number): boolean {
    this.#goToRestart(this.#restartBefore(key, length))
    while (this.nextInBlock()) {
      if (compareBytes(this.key, this.keyLength, key, length) >= 0) return true
    }
    return false
  }

  /**
   * Looks for one key, without putting keys together: `matched` is how many bytes of the key sought the entry before, which
   * sorts before it, begins with. Afterwards, if found, the entry's fields but for `key` are set; moves need a new start.
   */
  protected findInBlock(key: Uint8Array, length: number): boolean {
    const { entries } = this.block as Block
    const group = this.#restartBefore(key, length)
    const bytes = this.#bytes
    let matched = 0
    let at = this.#restart(group)
    const last = Math.min(entries, (group + 1) * RESTART_INTERVAL)
    for (let i = group * RESTART_INTERVAL; i < last; i++) {
      this.#readHeader(at)
      at = this.#next
      const shared = this.#shared
      if (shared > matched) continue
      if (shared < matched) return false
      const unshared = this.#unshared
      const most = length - matched < unshared ? length - matched : unshared
      let from = this.#keyStart
      const stop = from + most
      while (from < stop && bytes[from] === key[matched]) {
        from++
        matched++
      }
      if (from < stop) {
        if ((bytes[from] as number) > (key[matched] as number)) return false
      } else if (matched === length) {
        return unshared === most
      }
    }
    return false
  }

  /** Where in the block the entry ends. */
  protected get entryEnd(): number {
    return this.#next
  }

  /** @throws CORRUPTION if a restart is due behind this entry and the block says that it is elsewhere. */
  protected checkRestart(): void {
    const next = this.index + 1
    const { entries, end, path, offset } = this.block as Block
    if (next === entries || next % RESTART_INTERVAL !== 0) return
    const group = next / RESTART_INTERVAL
    if (this.#restart(group) !== this.#next) {
      throw corruption(path, offset + end + group * 4, 'a restart leads elsewhere than to its entry')
    }
  }

  #goToRestart(group: number): void {
    this.index = group * RESTART_INTERVAL - 1
    this.keyLength = 0
    this.#next = this.#restart(group)
  }

  /** Where the entries of a restart begin. */
  #restart(group: number): number {
    const { end, path, offset } = this.block as Block
    const at = readUint32(this.#bytes, end + group * 4)
    if (at < BLOCK_HEADER_BYTES || at >= end)
      throw corruption(path, offset + end + group * 4, 'a restart leads nowhere')
    return at
  }

  /** The last restart whose key is not behind the one given, or the first. */
  #restartBefore(key: Uint8Array, length: number): number {
    let low = 0
    let high = Math.ceil((this.block as Block).entries / RESTART_INTERVAL) - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      this.#readHeader(this.#restart(middle))
      if (compareBytesAt(this.#bytes, this.#keyStart, this.#unshared, key, length) <= 0) low = middle
      else high = middle - 1
    }
    return low
  }

  #decodeGroup(group: number): void {
    this.#group = -1
    this.#goToRestart(group)
    let used = 0
    for (let i = 0; i < RESTART_INTERVAL; i++) {
      this.#groupStarts[i] = this.#next
      if (!this.nextInBlock()) break
      const end = used + this.keyLength
      if (end > this.#groupKeys.length) this.#groupKeys = enlarged(this.#groupKeys, used, Math.max(512, end))
      const { key } = this
      const keys = this.#groupKeys
      for (let from = 0; used < end; from++, used++) keys[used] = key[from] as number
      this.#groupKeyEnds[i] = end
    }
    this.#group = group
  }

  /** Reads everything of the entry at an offset but its key, which begins at `#keyStart`. */
  #readHeader(at: number): void {
    const bytes = this.#bytes
    this.#next = at
    const first = bytes[at] as number
    const second = bytes[at + 1] as number
    let unsharedAndKind: number
    if ((first | second) < 0x80) {
      this.#shared = first
      unsharedAndKind = second
      this.#next = at + 2
    } else {
      this.#shared = this.#varint()
      unsharedAndKind = this.#varint()
    }
    const kind = unsharedAndKind & 3
    this.tombstone = kind === KIND_TOMBSTONE
    const unshared = (unsharedAndKind - kind) / 4
    const valueLength = kind === KIND_TOMBSTONE ? 0 : this.#varint()
    this.size = valueLength + unzigzag(this.#varint())
    this.sequence = (this.block as Block).base + unzigzag(this.#varint())
    this.expiresAt = 0
    if (kind === KIND_EXPIRING) {
      this.expiresAt = readFloat64(bytes, this.#next)
      this.#next += EXPIRY_BYTES
      if (!isExpiry(this.expiresAt)) throw this.#damage(at)
    }
    this.#unshared = unshared
    const keyStart = this.#next
    const valueStart = keyStart + unshared
    const valueEnd = valueStart + valueLength
    this.#keyStart = keyStart
    this.#valueStart = valueStart
    this.#valueEnd = valueEnd
    this.#next = valueEnd
    // In this sense, so that a NaN, which is what a bad number reads as, is refused too.
    if (!(valueEnd <= this.#end && this.size >= 0 && this.sequence >= 0 && kind <= KIND_EXPIRING)) {
      throw this.#damage(at)
    }
  }

  /** A LEB128 number at `#next`, which moves behind it. NaN if the bytes end, or if it is longer than any that is written. */
  #varint(): number {
    const bytes = this.#bytes
    let at = this.#next
    const first = bytes[at++] as number
    if (first < 0x80) {
      this.#next = at
      return first
    }
    const second = bytes[at++] as number
    if (second < 0x80) {
      this.#next = at
      return (first & 0x7f) | (second << 7)
    }
    let number = (first & 0x7f) | ((second & 0x7f) << 7)
    let scale = 2 ** 14
    for (;;) {
      const byte = bytes[at++] as number
      number += (byte & 0x7f) * scale
      if (byte < 0x80) {
        this.#next = at
        return number
      }
      if (scale === LAST_SCALE) return Number.NaN
      scale *= 0x80
    }
  }

  #damage(at = this.#next): Error {
    const { path, offset } = this.block as Block
    return corruption(path, offset + at, 'an entry is not well-formed')
  }
}

function unzigzag(number: number): number {
  return number % 2 === 0 ? number / 2 : -(number + 1) / 2
}
