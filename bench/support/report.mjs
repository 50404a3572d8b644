/** How results are shown: a line per row as they come, a Markdown table at the end. */

/** @import { Row } from './measure.mjs' */

/** @param {Row} row */
export function verdict(row) {
  if (row.target === undefined) return ''
  const value = row.against === undefined ? row.figure : /** @type {number} */ (row.ratio)
  const reached = row.sense === 'atMost' ? value <= row.target : value >= row.target
  return reached ? 'reached' : 'not reached'
}

/** @param {Row} row */
function target(row) {
  if (row.target === undefined) return ''
  const sign = row.sense === 'atMost' ? '<=' : '>='
  return row.against === undefined ? `${sign} ${row.target} ${row.unit}` : `${sign} ${row.target}`
}

/** @param {Row} row */
function ratio(row) {
  if (row.ratio === undefined) return ''
  const [low, high] = row.spread ?? [row.ratio, row.ratio]
  return `${row.ratio.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`
}

/** @param {Row} row */
function figure({ figure, unit }) {
  if (unit !== 'ops/s') return `${figure < 10 ? figure.toFixed(2) : figure.toFixed(1)} ${unit}`
  return figure >= 1e6
    ? `${(figure / 1e6).toFixed(2)} M/s`
    : figure >= 1e4
      ? `${(figure / 1e3).toFixed(0)} k/s`
      : `${(figure / 1e3).toFixed(2)} k/s`
}

/** @param {Row} row */
function perOperation({ figure, unit }) {
  if (unit !== 'ops/s') return ''
  const ns = 1e9 / figure
  return ns < 1e4 ? `${ns.toFixed(0)} ns` : `${(ns / 1e3).toFixed(1)} µs`
}

/**
 * @param {Row} row
 * @returns {string}
 */
export function line(row) {
  const parts = [row.contestant.padEnd(38), figure(row).padStart(12), perOperation(row).padStart(9)]
  if (row.against !== undefined) parts.push(` ${ratio(row)} of ${row.against}`)
  if (row.target !== undefined) parts.push(` target ${target(row)}: ${verdict(row)}`)
  if (row.note !== undefined) parts.push(` ${row.note}`)
  return `  ${parts.join(' ').trimEnd()}`
}

/**
 * @param {readonly Row[]} rows
 * @returns {string}
 */
export function markdown(rows) {
  const head = ['work', 'contestant', 'figure', 'each', 'ratio (range)', 'of', 'target', '']
  const body = rows.map((row) => [
    row.work,
    row.note === undefined ? row.contestant : `${row.contestant} (${row.note})`,
    figure(row),
    perOperation(row),
    ratio(row),
    row.against ?? '',
    target(row),
    verdict(row),
  ])
  const lines = [head, head.map((_, i) => (i === 2 || i === 3 ? '---:' : '---')), ...body]
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}
