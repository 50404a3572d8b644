/**
 * Reads a journal of bank movements: text of fields separated by `;`, quoted or not, after a row that names the columns.
 *
 *   "trans_id";"account_id";"date";"type";"operation";"amount";"balance";"k_symbol";"bank";"account"
 *   637742;2177;930105;"PRIJEM";"PREVOD Z UCTU";5123.00;5923.00;"DUCHOD";"YZ";"62457513"
 *
 * This is the format of the PKDD'99 financial data, of a Czech bank. The bank's own `balance` is not looked at: it is
 * rounded, and a ledger should come to its balances by itself.
 */
import { InputError } from './input-error.ts'
import { type Cents, parseCents } from './money.ts'
import type { Movement } from './tables.ts'

/** A row that could not be read, and was skipped. */
export interface BadRow {
  readonly line: number
  readonly reason: string
}

export interface Journal {
  readonly movements: readonly Movement[]
  readonly badRows: readonly BadRow[]
}

const COLUMNS = ['trans_id', 'account_id', 'date', 'type', 'operation', 'amount', 'k_symbol'] as const
type Row = Record<(typeof COLUMNS)[number], string>

/** What a movement is for. The k_symbol says it best; most movements have none. */
const KINDS = new Map([
  ['UROK', 'interest'],
  ['SANKC. UROK', 'penalty interest'],
  ['SLUZBY', 'fee'],
  ['DUCHOD', 'pension'],
  ['SIPO', 'household'],
  ['POJISTNE', 'insurance'],
  ['UVER', 'loan'],
])
const OPERATIONS = new Map([
  ['VKLAD', 'cash deposit'],
  ['VYBER', 'cash withdrawal'],
  ['VYBER KARTOU', 'card withdrawal'],
  ['PREVOD Z UCTU', 'transfer in'],
  ['PREVOD NA UCET', 'transfer out'],
])

const LONGEST_SHOWN = 40

class RowError extends Error {}

/** Reads all lines. Bad rows are noted and skipped; without a usable header nothing can be read, and it throws. */
export async function readJournal(lines: AsyncIterable<string> | Iterable<string>, name: string): Promise<Journal> {
  const movements: Movement[] = []
  const badRows: BadRow[] = []
  const seenOnLine = new Map<number, number>()
  let columns: readonly string[] | undefined
  let turnover: Cents = 0
  let line = 0
  for await (const text of lines) {
    line++
    if (text === '') continue
    if (columns === undefined) {
      columns = readHeader(text, name, line)
      continue
    }
    try {
      const movement = readMovement(toRow(text, columns))
      const earlier = seenOnLine.get(movement.id)
      if (earlier !== undefined) throw new RowError(`trans_id ${movement.id} was already on line ${earlier}`)
      // No balance and no total can get larger than this, so all of them stay exact.
      if (turnover + Math.abs(movement.cents) > Number.MAX_SAFE_INTEGER) {
        throw new RowError('with this amount the journal is worth more than can be counted in cents')
      }
      turnover += Math.abs(movement.cents)
      seenOnLine.set(movement.id, line)
      movements.push(movement)
    } catch (error) {
      if (!(error instanceof RowError)) throw error
      badRows.push({ line, reason: error.message })
    }
  }
  if (columns === undefined) throw new InputError(`${name} is empty; it should begin with a row that names the columns`)
  return { movements, badRows }
}

function readHeader(text: string, name: string, line: number): readonly string[] {
  const columns = text
    .replace(/^\uFEFF/, '')
    .replaceAll('"', '')
    .split(';')
  const missing = COLUMNS.filter((column) => !columns.includes(column))
  if (missing.length === 0) return columns
  throw new InputError(`${name}: line ${line} should name the columns of a journal, but lacks ${missing.join(', ')}`)
}

function toRow(text: string, columns: readonly string[]): Row {
  const fields = splitFields(text)
  if (fields.length !== columns.length) {
    throw new RowError(`${fields.length} fields instead of ${columns.length}`)
  }
  return Object.fromEntries(columns.map((column, i) => [column, fields[i]])) as Row
}

/** One field and what ends it: quoted, with doubled quotes inside, or plain. */
const FIELD = /(?:"([^"]*(?:""[^"]*)*)"|([^";]*))(;|$)/y

/** Splits at the semicolons outside quotes. */
export function splitFields(text: string): string[] {
  const fields: string[] = []
  FIELD.lastIndex = 0
  for (;;) {
    const match = FIELD.exec(text)
    if (match === null) throw new RowError(`the quotes of field ${fields.length + 1} do not enclose it`)
    const [, quoted, plain = '', end] = match
    fields.push(quoted?.replaceAll('""', '"') ?? plain)
    if (end === '') return fields
  }
}

function readMovement(row: Row): Movement {
  const amount = parseCents(row.amount)
  if (amount === undefined) throw new RowError(`amount ${shown(row.amount)} is not an amount such as 5123.00`)
  return {
    id: readNumber('trans_id', row.trans_id),
    day: readDay(row.date),
    account: String(readNumber('account_id', row.account_id)),
    // 0 - amount rather than -amount, which would make -0 of 0.
    cents: readIsCredit(row.type) ? amount : 0 - amount,
    kind: KINDS.get(row.k_symbol) ?? OPERATIONS.get(row.operation) ?? 'other',
  }
}

function readNumber(column: string, text: string): number {
  const number = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(number)) return number
  throw new RowError(`${column} ${shown(text)} is not a whole number`)
}

/** `930131` is 31 January 1993. */
function readDay(text: string): string {
  const match = /^(\d\d)(\d\d)(\d\d)$/.exec(text)
  const day = match === null ? '' : `19${match[1]}-${match[2]}-${match[3]}`
  const time = Date.parse(`${day}T00:00:00Z`)
  // Some engines take 31 February for 3 March; a date that exists reads back as it was written.
  if (Number.isNaN(time) || !new Date(time).toISOString().startsWith(day)) {
    throw new RowError(`date ${shown(text)} is not a day as YYMMDD`)
  }
  return day
}

/** Credits are PRIJEM; debits VYDAJ, and in some rows VYBER. */
function readIsCredit(type: string): boolean {
  if (type === 'PRIJEM') return true
  if (type === 'VYDAJ' || type === 'VYBER') return false
  throw new RowError(`type ${shown(type)} is none of PRIJEM, VYDAJ, VYBER`)
}

/** Text of a file as it may go to a terminal. */
function shown(text: string): string {
  return JSON.stringify(text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text)
}
