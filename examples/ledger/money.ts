/**
 * Money as whole cents. 0.1 + 0.2 is not 0.3 in binary fractions, and a ledger that is a little wrong is wrong; integers
 * are exact up to 2^53, which is 90 trillion.
 */
export type Cents = number

/** Reads `700`, `12.6` or `5123.00`; undefined for anything else. Digits only: no float is ever made of the text. */
export function parseCents(text: string): Cents | undefined {
  const match = /^(\d+)(?:\.(\d{1,2}))?$/.exec(text)
  if (match === null) return undefined
  const [, whole = '', fraction = ''] = match
  const cents = Number(whole + fraction.padEnd(2, '0'))
  return Number.isSafeInteger(cents) ? cents : undefined
}

/** `-1234567` is `-12,345.67`. */
export function formatCents(cents: Cents): string {
  const digits = String(Math.abs(cents)).padStart(3, '0')
  const whole = digits.slice(0, -2).replaceAll(/\B(?=(?:\d{3})+$)/g, ',')
  return `${cents < 0 ? '-' : ''}${whole}.${digits.slice(-2)}`
}
