/**
 * Bytes that only grow: what a memory run keeps of keys and values, in chunks that never move, so that a view of what has
 * been written stays true and growth copies nothing.
 *
 * I1  What was reserved lies in one chunk, whatever its length, and keeps its place.
 * I2  Unused bytes are less than one chunk, plus what did not fit at the end of each earlier one.
 */

const FIRST_CHUNK_BYTES = 64 * 1024
const MAX_CHUNK_BYTES = 4 * 1024 * 1024

/** Below this a loop is quicker than a call to `set`, which needs a view of its source. */
const SHORT_BYTES = 48

export class Arena {
  readonly chunks: Uint8Array[] = []
  /** Where the reservation made last lies: the number of its chunk and the offset in it. */
  chunk = -1
  at = 0
  /** Bytes of all chunks. */
  bytes = 0
  private end = 0

  /** Makes room for `length` bytes at {@link chunk} and {@link at}, to be taken by {@link take}; returns the chunk. */
  reserve(length: number): Uint8Array {
    const current = this.chunks[this.chunks.length - 1]
    if (current !== undefined && this.end + length <= current.length) {
      this.chunk = this.chunks.length - 1
      this.at = this.end
      return current
    }
    const usual = Math.min(MAX_CHUNK_BYTES, FIRST_CHUNK_BYTES << Math.min(this.chunks.length, 6))
    const chunk = new Uint8Array(Math.max(usual, length))
    this.bytes += chunk.length
    this.chunk = this.chunks.push(chunk) - 1
    this.at = 0
    this.end = 0
    return chunk
  }

  /** Keeps the first `length` bytes of what was reserved last. */
  take(length: number): void {
    this.end = this.at + length
  }
}

/** Copies all of `source` to an offset of `target`. */
export function copyBytes(source: Uint8Array, target: Uint8Array, offset: number): void {
  const length = source.length
  if (length >= SHORT_BYTES) target.set(source, offset)
  else for (let i = 0; i < length; i++) target[offset + i] = source[i] as number
}
