/** What the database says of itself while the clients are at work, a line now and then. */
import type { AnyDatabase, Stats } from 'varve'
import type { Output } from './progress.ts'

const INTERVAL_MS = 250
const MIB = 2 ** 20

export class LiveStats {
  readonly #db: AnyDatabase
  readonly #output: Output
  readonly #timer: ReturnType<typeof setInterval>
  #before: Stats

  constructor(db: AnyDatabase, output: Output) {
    this.#db = db
    this.#output = output
    this.#before = db.stats()
    output.write(`${HEADINGS.map((heading, i) => heading.padStart(WIDTHS[i] as number)).join('  ')}\n`)
    this.#timer = setInterval(() => this.#show(), INTERVAL_MS)
  }

  /** The last line, however short the work was. */
  end(): void {
    clearInterval(this.#timer)
    this.#show()
  }

  #show(): void {
    const now = this.#db.stats()
    const cells = statsCells(this.#before, now)
    this.#before = now
    this.#output.write(`${cells.map((cell, i) => cell.padStart(WIDTHS[i] as number)).join('  ')}\n`)
  }
}

const HEADINGS = ['s', 'commits/s', 'refused', 'open', 'versions', 'MiB', 'log MiB', 'sync p99', 'runs'] as const
const WIDTHS: readonly number[] = HEADINGS.map((heading) => Math.max(heading.length, 8))

/** One line of figures: rates since `before`, the rest as of `now`. */
function statsCells(before: Stats, now: Stats): string[] {
  const seconds = Math.max(now.uptimeMs - before.uptimeMs, 1) / 1000
  const { transactions, memory, disk } = now
  const log = disk?.log ?? null
  return [
    (now.uptimeMs / 1000).toFixed(1),
    Math.round((transactions.commits - before.transactions.commits) / seconds).toLocaleString('en'),
    String(transactions.conflicts - before.transactions.conflicts),
    String(transactions.open),
    now.versions.toLocaleString('en'),
    (memory.totalBytes / MIB).toFixed(1),
    log === null ? '-' : (log.bytesWritten / MIB).toFixed(1),
    log === null ? '-' : `${log.syncP99Ms.toFixed(1)} ms`,
    disk === null ? '-' : String(disk.runs.count),
  ]
}
