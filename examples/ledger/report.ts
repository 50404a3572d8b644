/** What is told at the end, as text. */
import type { Isolation } from 'varve'
import type { Audit } from './audit.ts'
import type { Outcome } from './clients.ts'
import type { Killed, Survivors } from './crash.ts'
import type { BadRow } from './journal.ts'
import { formatCents } from './money.ts'
import type { WriteSkew } from './write-skew.ts'

/** This many are told in full; of the rest only how many there are. */
const SHOWN_IN_FULL = 10

/** `20,000` */
function formatCount(count: number): string {
  return count.toLocaleString('en')
}

/** `1 movement`, `20,000 movements` */
export function countOf(count: number, what: string): string {
  return `${formatCount(count)} ${what}${count === 1 ? '' : 's'}`
}

export function badRowsReport(badRows: readonly BadRow[], name: string): string {
  if (badRows.length === 0) return ''
  const rows = badRows.map(({ line, reason }) => `line ${line}: ${reason}`)
  return `${countOf(badRows.length, 'bad row')} of ${name} skipped\n${firstOf(rows, 'bad rows')}`
}

export function outcomeTable({ posted, wallMs, latenciesMs, commits, conflicts, retries }: Outcome): string {
  const perSecond = wallMs === 0 ? 0 : Math.round((posted.length / wallMs) * 1000)
  const rows: readonly (readonly [string, string])[] = [
    ['movements posted', formatCount(posted.length)],
    ['wall time', `${(wallMs / 1000).toFixed(3)} s`],
    ['transactions/s', formatCount(perSecond)],
    ['commits', formatCount(commits)],
    ['conflicts', formatCount(conflicts)],
    ['retries', formatCount(retries)],
    ['latency p50', formatMs(percentile(latenciesMs, 0.5))],
    ['latency p99', formatMs(percentile(latenciesMs, 0.99))],
  ]
  const width = Math.max(...rows.map(([, value]) => value.length))
  return rows.map(([label, value]) => `  ${label.padEnd(18)}${value.padStart(width)}\n`).join('')
}

/** The least value that at least this share of all values does not exceed; undefined if there are none. */
export function percentile(ascending: Float64Array, share: number): number | undefined {
  return ascending[Math.max(0, Math.ceil(ascending.length * share) - 1)]
}

function formatMs(ms: number | undefined): string {
  return ms === undefined ? '-' : `${ms.toFixed(2)} ms`
}

export function auditReport(audit: Audit, { posted, spotChecks }: Pick<Outcome, 'posted' | 'spotChecks'>): string {
  const problems = [...audit.problems]
  if (spotChecks.failed > 0) {
    problems.push(
      `${spotChecks.failed} of ${spotChecks.done} times, balances did not sum to zero while clients were posting`,
    )
  }
  if (problems.length > 0) return `audit: THE BOOKS DO NOT BALANCE\n${firstOf(problems, 'problems')}`
  return [
    'audit: the books balance',
    `  ${countOf(audit.accounts, 'account')}, each balance the sum of its entries; ${formatCount(audit.entries)} entries in all`,
    `  ${countOf(posted.length, 'movement')} posted, ${formatCount(audit.movements)} found: nothing missing, nothing twice`,
    `  customers hold ${formatCents(audit.customersHold)}, the bank ${formatCents(audit.bankHolds)}: together 0.00`,
    ...(spotChecks.done === 0
      ? []
      : [`  ${countOf(spotChecks.done, 'spot check')} while clients were posting: 0.00 each`]),
    '',
  ].join('\n')
}

export function crashReport({ acknowledged, wasKilled }: Killed, survivors: Survivors, reopenMs: number): string {
  const { found, lost, books } = survivors
  const told = countOf(acknowledged.length, 'acknowledged movement')
  const lines = [
    wasKilled ? `a process that was posting was killed (SIGKILL) after ${told}` : `a process posted ${told} and ended`,
    `  reopened in ${formatMs(reopenMs)}: ${formatCount(acknowledged.length - lost.length)} of them found, and ${formatCount(found.length - acknowledged.length + lost.length)} whose acknowledgement was under way`,
    books.problems.length === 0
      ? '  none is half there: every balance is the sum of its entries'
      : `  SOME ARE HALF THERE\n${firstOf(books.problems, 'problems')}`,
  ]
  if (lost.length > 0) lines.push(`  LOST: ${lost.slice(0, SHOWN_IN_FULL).join(', ')}`)
  return `${lines.join('\n')}\n\n`
}

export function reopenedReport(reopenMs: number, found: number, problems: readonly string[]): string {
  const what = `closed, and reopened in ${formatMs(reopenMs)}: ${countOf(found, 'movement')}`
  if (problems.length > 0) return `${what}, THE BOOKS DO NOT BALANCE\n${firstOf(problems, 'problems')}`
  return `${what}, the books balance, every byte on disk checked\n`
}

export function writeSkewReport(isolation: Isolation, { rounds, broken, refused }: WriteSkew): string {
  return [
    `write skew, ${isolation}: two withdrawals at once that only together overdraw a customer, ${formatCount(rounds)} times\n`,
    `  the customer was overdrawn ${formatCount(broken)} times; ${formatCount(refused)} commits were refused and run again\n`,
  ].join('')
}

/** The first lines in full, indented, and how many more there are. */
function firstOf(lines: readonly string[], what: string): string {
  const more = lines.length - SHOWN_IN_FULL
  const shown = lines.slice(0, SHOWN_IN_FULL).map((line) => `  ${line}\n`)
  return shown.join('') + (more > 0 ? `  and ${formatCount(more)} more ${what}\n` : '')
}
