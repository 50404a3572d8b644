/**
 * How many bytes memory holds that the disk does not: what may not leave yet.
 *
 * Bytes are summed over spans of commits, because a checkpoint settles a stretch of commits at once:
 *
 *   settled │ span: up to 812, 40 kB │ span: up to 977, 41 kB │ span: up to 1003, 12 kB, open
 *
 * D1  `bytes` is the sum over all spans: what is in memory and was written after `settled`.
 * D2  Spans ascend, and each but the last had at least `spanBytes` when the next one was begun.
 *
 * A span goes as a whole, so what is counted may be more than what is dirty, by less than a span. Counting costs a search among
 * as many spans as there are between two checkpoints, some dozens.
 */
export class DirtyLedger {
  /** D1. */
  bytes = 0
  /** Everything up to this commit is on disk. */
  settled: number
  private readonly spanBytes: number
  /** The last commit of each span, and its bytes. */
  private lasts: number[] = []
  private sums: number[] = []

  /** @param settled the newest commit that is on disk */
  constructor(settled: number, spanBytes: number) {
    this.settled = settled
    this.spanBytes = spanBytes
  }

  /** Bytes that commit `sequence` wrote have come into memory (or, if negative, have gone from it). */
  count(sequence: number, bytes: number): void {
    if (sequence <= this.settled) return
    const { lasts, sums } = this
    const newest = lasts.length - 1
    this.bytes += bytes
    if (newest < 0 || (sequence > (lasts[newest] as number) && (sums[newest] as number) >= this.spanBytes)) {
      lasts.push(sequence)
      sums.push(bytes)
      return
    }
    if (sequence > (lasts[newest] as number)) lasts[newest] = sequence
    let at = newest
    while (at > 0 && (lasts[at - 1] as number) >= sequence) at--
    sums[at] = (sums[at] as number) + bytes
  }

  /** Everything up to commit `sequence` is on disk. */
  settle(sequence: number): void {
    let gone = 0
    for (; gone < this.lasts.length && (this.lasts[gone] as number) <= sequence; gone++) {
      this.bytes -= this.sums[gone] as number
      this.settled = this.lasts[gone] as number
    }
    if (gone === 0) return
    this.lasts = this.lasts.slice(gone)
    this.sums = this.sums.slice(gone)
  }

  /** Throws on the first violated invariant. */
  check(): void {
    let bytes = 0
    for (let i = 0; i < this.sums.length; i++) {
      bytes += this.sums[i] as number
      if ((this.lasts[i] as number) <= (this.lasts[i - 1] ?? this.settled)) throw new Error('D2: spans out of order')
    }
    if (bytes !== this.bytes) throw new Error(`D1: ${this.bytes} dirty bytes, but the spans have ${bytes}`)
  }
}
