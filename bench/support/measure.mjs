/**
 * Side by side: every repetition runs all contestants one after the other (A B C, A B C, ...), so that whatever slows the
 * machine down meets all of them. A ratio is the median over repetitions of the ratio within one repetition. Waits for a
 * processor that other processes hold are not counted (clock.mjs).
 */

import { runningMs } from './clock.mjs'

/**
 * @typedef {object} Contestant
 * @property {string} name
 * @property {(repetition: number) => unknown} [setup] makes what `run` needs; not timed
 * @property {(state: any, operations: number) => number | Promise<number>} run gives the number of operations done
 * @property {(state: any) => unknown} [verify] throws if the outcome is wrong; not timed
 * @property {(state: any) => unknown} [teardown] not timed
 * @property {number} [operations] if it cannot bear as many as the others
 *
 * @typedef {object} Series
 * @property {string} name
 * @property {number[]} rates operations per second, one for each repetition
 */

/** For clients to await where they have nothing to wait for: all the others get their turn of the microtask queue. */
export const settled = Promise.resolve()

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >>> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Leaves as little as possible of the last contestant's garbage to the next one. */
export function collectGarbage() {
  globalThis.gc?.()
}

/** Bytes of the heap and outside it that are in use after a thorough collection. */
export function bytesInUse() {
  // The first collection may only make weak things ready for the next one.
  for (let i = 0; i < 3; i++) collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/**
 * @param {readonly (Contestant | null)[]} entries null: not installed
 * @param {{ repetitions: number, operations: number, warmUp?: number }} options `warmUp`: operations of the untimed first run
 * @returns {Promise<Series[]>}
 */
export async function measure(entries, { repetitions, operations, warmUp = Math.ceil(operations / 5) }) {
  const contestants = entries.filter((entry) => entry !== null)
  for (const contestant of contestants) await timed(contestant, -1, Math.min(warmUp, contestant.operations ?? warmUp))
  const series = contestants.map(({ name }) => ({ name, rates: [] }))
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (const [i, contestant] of contestants.entries()) {
      series[i].rates.push(await timed(contestant, repetition, contestant.operations ?? operations))
    }
  }
  return series
}

/**
 * @param {Contestant} contestant
 * @param {number} repetition
 * @param {number} operations
 */
async function timed(contestant, repetition, operations) {
  const state = await contestant.setup?.(repetition)
  collectGarbage()
  const start = runningMs()
  const pending = contestant.run(state, operations)
  const done = typeof pending === 'number' ? pending : await pending
  const seconds = (runningMs() - start) / 1000
  await contestant.verify?.(state)
  await contestant.teardown?.(state)
  return done / seconds
}

/**
 * One line of the report.
 *
 * @typedef {object} Row
 * @property {string} work
 * @property {string} contestant
 * @property {number} figure
 * @property {string} unit
 * @property {string} [against] what it is compared with
 * @property {number} [ratio]
 * @property {[number, number]} [spread] lowest and highest ratio of a repetition
 * @property {number} [target] ratio, or figure if `against` is missing
 * @property {'atLeast' | 'atMost'} [sense] default atLeast
 * @property {string} [note]
 */

/**
 * Rows for a set of series, each compared with those that `comparisons` name, or with nothing but a target if that has no
 * `against`.
 *
 * @param {string} work
 * @param {readonly Series[]} series
 * @param {readonly { of: string, against?: string, target?: number, sense?: 'atLeast' | 'atMost' }[]} comparisons
 * @param {string} [unit] anything else than operations per second may be in the series as well
 * @returns {Row[]}
 */
export function compare(work, series, comparisons, unit = 'ops/s') {
  return series.flatMap(({ name, rates }) => {
    const own = comparisons.filter(({ of }) => of === name)
    const plain = { work, contestant: name, figure: median(rates), unit, ...range(rates, unit) }
    const rows = own.flatMap(({ against, target, sense }) => {
      const judged = { ...(target === undefined ? {} : { target }), ...(sense === undefined ? {} : { sense }) }
      if (against === undefined) return [{ ...plain, ...judged }]
      const other = series.find((candidate) => candidate.name === against)
      if (other === undefined) return []
      const ratios = rates.map((rate, i) => rate / other.rates[i])
      const spread = /** @type {[number, number]} */ ([Math.min(...ratios), Math.max(...ratios)])
      return [{ ...plain, against, ratio: median(ratios), spread, ...judged }]
    })
    return rows.length === 0 ? [plain] : rows
  })
}

/** What is no rate has its range in the row: often there is nothing to take a ratio with. */
function range(figures, unit) {
  if (unit === 'ops/s' || figures.length < 2) return {}
  const text = (figure) => (figure < 10 ? figure.toFixed(2) : figure.toFixed(1))
  return { note: `${text(Math.min(...figures))}–${text(Math.max(...figures))}` }
}
