/** Ranges of the public list: what the caller writes, checked, and what a scan needs of it. */

import { VarveError } from '../errors.ts'

/**
 * Which keys to read, in which direction, and how many. Every property may be left out or be undefined; a range whose
 * bounds cross is empty.
 */
export interface SkipListRange<K> {
  /** Keys greater than this. Not together with `gte`. */
  gt?: K | undefined
  /** Keys greater than this, or it itself. Not together with `gt`. */
  gte?: K | undefined
  /** Keys less than this. Not together with `lte`. */
  lt?: K | undefined
  /** Keys less than this, or it itself. Not together with `lt`. */
  lte?: K | undefined
  /** From the greatest key to the least. Default false. */
  reverse?: boolean | undefined
  /** At most this many entries: a whole number from 0, or Infinity, the default. */
  limit?: number | undefined
}

/** A range as a scan walks it: from one end to the other, in one direction. */
export interface Scan<K> {
  readonly reverse: boolean
  readonly limit: number
  /** Where to begin; undefined for the end of the list. */
  readonly from: K | undefined
  readonly fromInclusive: boolean
  /** Where to stop; undefined for the other end of the list. */
  readonly to: K | undefined
  readonly toInclusive: boolean
}

const WHOLE: Scan<never> = {
  reverse: false,
  limit: Infinity,
  from: undefined,
  fromInclusive: true,
  to: undefined,
  toInclusive: true,
}

const PROPERTIES: ReadonlySet<string> = new Set(['gt', 'gte', 'lt', 'lte', 'reverse', 'limit'])

/**
 * Checks a range; its bounds pass through `admit`, as keys do.
 *
 * @throws VarveError `INVALID_ARGUMENT` that names everything wrong with the range; what `admit` throws for a bound.
 */
export function resolveScan<K>(range: SkipListRange<K> | undefined, admit: (key: K) => K): Scan<K> {
  if (range === undefined) return WHOLE
  const problems = problemsOf(range)
  if (problems.length > 0) throw new VarveError('INVALID_ARGUMENT', `invalid range: ${problems.join('; ')}`)
  const { gt, gte, lt, lte, reverse = false, limit = Infinity } = range
  const low = gte ?? gt
  const high = lte ?? lt
  const lower = low === undefined ? undefined : admit(low)
  const upper = high === undefined ? undefined : admit(high)
  const lowerInclusive = gt === undefined
  const upperInclusive = lt === undefined
  return {
    reverse,
    limit,
    from: reverse ? upper : lower,
    fromInclusive: reverse ? upperInclusive : lowerInclusive,
    to: reverse ? lower : upper,
    toInclusive: reverse ? lowerInclusive : upperInclusive,
  }
}

function problemsOf(range: unknown): string[] {
  if (typeof range !== 'object' || range === null || Array.isArray(range)) {
    return ['it must be an object such as { gte, lt, reverse, limit }']
  }
  const { gt, gte, lt, lte, reverse, limit } = range as SkipListRange<unknown>
  const problems: string[] = []
  for (const name of Object.keys(range)) {
    if (!PROPERTIES.has(name)) problems.push(`unknown property ${JSON.stringify(name)}`)
  }
  if (gt !== undefined && gte !== undefined) problems.push('both gt and gte are given')
  if (lt !== undefined && lte !== undefined) problems.push('both lt and lte are given')
  if (reverse !== undefined && typeof reverse !== 'boolean') problems.push('reverse is not a boolean')
  if (limit !== undefined && !isLimit(limit)) problems.push('limit is not a whole number from 0 or Infinity')
  return problems
}

function isLimit(limit: unknown): boolean {
  return limit === Infinity || (Number.isSafeInteger(limit) && (limit as number) >= 0)
}
