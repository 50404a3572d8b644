/**
 * A made-up journal in the format that journal.ts reads: a year of movements, sorted by day, the same for the same seed.
 * A few accounts move far more often than the rest, as in life; that is where clients get into each other's way.
 */
import { type Cents, formatCents } from './money.ts'

const HEADER = '"trans_id";"account_id";"date";"type";"operation";"amount";"balance";"k_symbol";"bank";"account"'
const FIRST_DAY_MS = Date.UTC(1993, 0, 1)
const DAY_MS = 86_400_000
const DAYS = 365
const BANKS = ['AB', 'CD', 'EF', 'GH', 'IJ', 'KL', 'MN', 'OP', 'QR', 'ST', 'UV', 'WX', 'YZ']

/** What happens and how often in a hundred, as in the real journal of 1993. */
const EVENTS = [
  { share: 27, type: 'PRIJEM', operation: 'VKLAD', symbols: [''], most: 40_000 },
  { share: 10, type: 'PRIJEM', operation: 'PREVOD Z UCTU', symbols: ['', 'DUCHOD'], most: 20_000 },
  { share: 20, type: 'PRIJEM', operation: '', symbols: ['UROK'], most: 300 },
  { share: 30, type: 'VYDAJ', operation: 'VYBER', symbols: ['', '', '', 'SLUZBY'], most: 20_000 },
  { share: 1, type: 'VYBER', operation: 'VYBER', symbols: [''], most: 40_000 },
  {
    share: 12,
    type: 'VYDAJ',
    operation: 'PREVOD NA UCET',
    symbols: [' ', 'SIPO', 'SIPO', 'POJISTNE', 'UVER'],
    most: 9000,
  },
] as const
type Event = (typeof EVENTS)[number]

/** The lines of a journal of so many movements, its header first. */
export function* generateJournal(movements: number, seed: number): IterableIterator<string> {
  const random = randomFrom(seed)
  const below = (limit: number): number => Math.floor(random() * limit)
  const pick = (items: readonly string[]): string => items[below(items.length)] ?? ''
  const balances = new Map<number, Cents>()
  const accounts = Math.ceil(movements / 20)
  let id = 0
  yield HEADER
  for (let i = 0; i < movements; i++) {
    id += 1 + below(50)
    const account = 1 + Math.floor(accounts * random() * random())
    const dayMs = FIRST_DAY_MS + Math.floor((i * DAYS) / movements) * DAY_MS
    // An account begins with a deposit.
    const event: Event = balances.has(account) ? eventAt(below(100)) : EVENTS[0]
    const cents = 1 + below(event.most * 100)
    const balance = (balances.get(account) ?? 0) + (event.type === 'PRIJEM' ? cents : -cents)
    balances.set(account, balance)
    const isTransfer = event.operation.startsWith('PREVOD')
    const date = new Date(dayMs).toISOString().slice(2, 10).replaceAll('-', '')
    const what = `${date};"${event.type}";"${event.operation}";${decimal(cents)};${decimal(balance)};"${pick(event.symbols)}"`
    const partner = isTransfer ? `"${pick(BANKS)}";"${10_000 + below(90_000_000)}"` : ';'
    yield `${id};${account};${what};${partner}`
  }
}

function eventAt(percent: number): Event {
  let upTo = 0
  return EVENTS.find(({ share }) => (upTo += share) > percent) ?? EVENTS[0]
}

function decimal(cents: Cents): string {
  return formatCents(cents).replaceAll(',', '')
}

/** A linear congruential generator: good enough to make up amounts, and the same on every machine. */
function randomFrom(seed: number): () => number {
  let state = seed
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  // Seeds that differ in one bit begin alike.
  for (let i = 0; i < 8; i++) next()
  return next
}
