/** Progress of a long piece of work: a bar that stays on one line of a terminal; elsewhere a line now and then. */

const REDRAW_INTERVAL_MS = 50
const BAR_WIDTH = 30
/** Elsewhere: this many lines in all. */
const LINES = 4

/** Where progress shows: `process.stdout`, for one. */
export interface Output {
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
  write(text: string): unknown
}

export class Progress {
  readonly #output: Output
  readonly #label: string
  readonly #total: number
  #done = 0
  #lines = 0
  #drawnAtMs = -Infinity

  constructor(output: Output, label: string, total: number) {
    this.#output = output
    this.#label = label
    this.#total = total
  }

  /** Cheap enough to be called for every single step. */
  show(done: number): void {
    this.#done = done
    if (this.#output.isTTY !== true) {
      const lines = Math.floor((LINES * done) / this.#total)
      if (lines > this.#lines) this.#output.write(`${this.#text()}\n`)
      this.#lines = lines
      return
    }
    const nowMs = performance.now()
    if (nowMs - this.#drawnAtMs < REDRAW_INTERVAL_MS) return
    this.#drawnAtMs = nowMs
    this.#draw()
  }

  /** Leaves the line clear for what comes next. */
  end(): void {
    if (this.#output.isTTY === true) this.#output.write('\r\u001B[K')
  }

  #draw(): void {
    const filled = Math.floor((BAR_WIDTH * this.#done) / this.#total)
    const bar = `[${'#'.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}] `
    const text = this.#text()
    // A line that wraps could not be drawn over.
    const width = (this.#output.columns || 80) - 1
    this.#output.write(`\r\u001B[K${(text.length + bar.length <= width ? bar + text : text).slice(0, width)}`)
  }

  #text(): string {
    const percent = Math.floor((100 * this.#done) / this.#total)
    const count = `${this.#done.toLocaleString('en')} of ${this.#total.toLocaleString('en')}`
    return `${this.#label} ${String(percent).padStart(3)} %  ${count}`
  }
}
