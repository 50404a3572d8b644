/**
 * Histories over keys that expire, judged by the definition of serializability itself: there is an order in which the committed
 * transactions, run one after the other on a plain map, each at its own instant, see what they saw and leave what they left.
 *
 * It knows no graph, no edges and no versions, so it cannot share a misunderstanding with the certifier. It tries every order,
 * which is why histories are small.
 */

/** One step of a program. Times to live are in ms; merges add. */
export type ExpiryOp =
  | { readonly op: 'get' | 'has' | 'delete' | 'take' | 'ttl' | 'persist'; readonly key: string }
  | {
      readonly op: 'set' | 'merge' | 'update' | 'swap' | 'getOrInsert'
      readonly key: string
      readonly value: number
      readonly ttlMs?: number
    }
  | { readonly op: 'expire'; readonly key: string; readonly ttlMs: number }
  | { readonly op: 'keys' | 'entries' | 'count' | 'keysWithTtl' | 'clear' }

/** What a transaction offers of what histories use: the engine's, or the one on a plain map. */
export interface ExpirySession {
  get(key: string): number | undefined
  has(key: string): boolean
  ttl(key: string): number | undefined
  keys(): Iterable<string>
  entries(): Iterable<[string, number]>
  keysWithTtl(): Iterable<string>
  count(): number
  set(key: string, value: number, options?: { ttlMs?: number }): void
  merge(key: string, operand: number, options?: { ttlMs?: number }): void
  update(key: string, fn: (value: number | undefined) => number, options?: { ttlMs?: number }): number | undefined
  swap(key: string, value: number, options?: { ttlMs?: number }): number | undefined
  getOrInsert(key: string, value: number, options?: { ttlMs?: number }): number
  delete(key: string): boolean
  take(key: string): number | undefined
  expire(key: string, ttlMs: number): boolean
  persist(key: string): boolean
  clear(): void
}

/** Performs one step; what it told. */
export function perform(session: ExpirySession, op: ExpiryOp): unknown {
  switch (op.op) {
    case 'keys':
    case 'entries':
    case 'keysWithTtl':
      return [...session[op.op]()]
    case 'count':
      return session.count()
    case 'clear':
      return session.clear()
    case 'expire':
      return session.expire(op.key, op.ttlMs)
    case 'update':
      return session.update(op.key, (value) => (value ?? 0) * 2 + op.value, optionsOf(op))
    case 'set':
    case 'merge':
    case 'swap':
    case 'getOrInsert':
      return session[op.op](op.key, op.value, optionsOf(op))
    default:
      return session[op.op](op.key)
  }
}

function optionsOf({ ttlMs }: { readonly ttlMs?: number }): { ttlMs: number } | undefined {
  return ttlMs === undefined ? undefined : { ttlMs }
}

/** What a key has; `expiresAt` 0: it does not expire. */
export interface Held {
  readonly value: number
  readonly expiresAt: number
}

export type State = ReadonlyMap<string, Held>

/** What is there at an instant. */
export function liveAt(state: State, instant: number): Map<string, Held> {
  return new Map([...state].filter(([, { expiresAt }]) => expiresAt === 0 || expiresAt > instant).sort(byKey))
}

function byKey([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : 1
}

/** A transaction on a plain map, at one instant. */
export class PlainSession implements ExpirySession {
  readonly state: Map<string, Held>
  readonly #instant: number
  /** When what is made without a time to live expires. */
  readonly #fresh: number

  /** `defaultMs`: how long what is made without a time to live lives. */
  constructor(state: State, instant: number, defaultMs: number = Infinity) {
    this.state = new Map(state)
    this.#instant = instant
    this.#fresh = defaultMs === Infinity ? 0 : instant + defaultMs
  }

  #held(key: string): Held | undefined {
    const held = this.state.get(key)
    return held === undefined || (held.expiresAt !== 0 && held.expiresAt <= this.#instant) ? undefined : held
  }

  #put(key: string, value: number, ttlMs: number | undefined, kept: number): void {
    const expiresAt = ttlMs === undefined ? kept : ttlMs === Infinity ? 0 : this.#instant + ttlMs
    this.state.set(key, { value, expiresAt })
  }

  get(key: string): number | undefined {
    return this.#held(key)?.value
  }

  has(key: string): boolean {
    return this.#held(key) !== undefined
  }

  ttl(key: string): number | undefined {
    const expiresAt = this.#held(key)?.expiresAt ?? 0
    return expiresAt === 0 ? undefined : expiresAt - this.#instant
  }

  keys(): string[] {
    return [...liveAt(this.state, this.#instant).keys()]
  }

  entries(): [string, number][] {
    return [...liveAt(this.state, this.#instant)].map(([key, { value }]) => [key, value])
  }

  keysWithTtl(): string[] {
    return this.keys().filter((key) => this.ttl(key) !== undefined)
  }

  count(): number {
    return this.keys().length
  }

  set(key: string, value: number, { ttlMs }: { ttlMs?: number } = {}): void {
    this.#put(key, value, ttlMs, this.#fresh)
  }

  merge(key: string, operand: number, { ttlMs }: { ttlMs?: number } = {}): void {
    const held = this.#held(key)
    this.#put(key, (held?.value ?? 0) + operand, ttlMs, held?.expiresAt ?? this.#fresh)
  }

  update(key: string, fn: (value: number | undefined) => number, { ttlMs }: { ttlMs?: number } = {}): number {
    const held = this.#held(key)
    const value = fn(held?.value)
    this.#put(key, value, ttlMs, held?.expiresAt ?? this.#fresh)
    return value
  }

  swap(key: string, value: number, options?: { ttlMs?: number }): number | undefined {
    const before = this.get(key)
    this.set(key, value, options)
    return before
  }

  getOrInsert(key: string, value: number, options?: { ttlMs?: number }): number {
    if (!this.has(key)) this.set(key, value, options)
    return this.get(key)!
  }

  delete(key: string): boolean {
    return this.take(key) !== undefined
  }

  take(key: string): number | undefined {
    const before = this.get(key)
    if (before !== undefined) this.state.delete(key)
    return before
  }

  expire(key: string, ttlMs: number): boolean {
    const held = this.#held(key)
    if (held !== undefined) this.#put(key, held.value, ttlMs, 0)
    return held !== undefined
  }

  persist(key: string): boolean {
    const held = this.#held(key)
    if (held === undefined || held.expiresAt === 0) return false
    this.#put(key, held.value, undefined, 0)
    return true
  }

  clear(): void {
    for (const key of this.keys()) this.state.delete(key)
  }
}

/** A transaction that has committed. */
export interface Committed {
  readonly name: string
  readonly instant: number
  readonly ops: readonly ExpiryOp[]
  readonly observed: readonly unknown[]
}

/** An order that explains everything, or undefined: there is none. `final` is what is there at the instant `at`. */
export function serialOrder(
  initial: State,
  committed: readonly Committed[],
  final: State,
  at: number,
): readonly Committed[] | undefined {
  if (committed.length === 0) return isSame([...liveAt(initial, at)], [...liveAt(final, at)]) ? [] : undefined
  for (const first of committed) {
    const session = new PlainSession(initial, first.instant)
    const agrees = first.ops.every((op, step) => isSame(perform(session, op), first.observed[step]))
    if (!agrees) continue
    const others = committed.filter((other) => other !== first)
    const rest = serialOrder(session.state, others, final, at)
    if (rest !== undefined) return [first, ...rest]
  }
  return undefined
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

export function describeOp(op: ExpiryOp): string {
  const { op: name, ...rest } = op
  return `${name}(${Object.values(rest).join(', ')})`
}
