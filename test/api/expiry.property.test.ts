/** Every call that knows of expiry against a plain map, with clocks, sweeps, transactions and snapshots that stay open. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { openWith } from '../../src/database.ts'
import { type Database, merges, type Snapshot, table, type Transaction } from '../../src/index.ts'
import {
  type ExpiryOp,
  type ExpirySession,
  type Held,
  liveAt,
  perform,
  PlainSession,
  type State,
} from '../support/history-expiry.ts'
import { fcParameters } from '../support/random.ts'

type Step =
  | { readonly step: 'autocommit'; readonly op: ExpiryOp }
  | {
      readonly step: 'transaction'
      readonly ops: readonly ExpiryOp[]
      readonly passMs: number
      readonly rollsBack: boolean
    }
  | { readonly step: 'pass'; readonly ms: number }
  | { readonly step: 'open' | 'close' | 'sweep' }

const key = fc.constantFrom('a', 'b', 'c', 'd')
const ttlMs = fc.constantFrom(1, 2, 10, 100, 2 ** 31 + 7)
const value = fc.integer({ min: 1, max: 99 })
const given = fc.oneof(fc.constant({}), fc.record({ ttlMs }), fc.record({ ttlMs: fc.constant(Infinity) }))

const op: fc.Arbitrary<ExpiryOp> = fc.oneof(
  fc.record({ op: fc.constantFrom('get', 'has', 'ttl', 'delete', 'take', 'persist'), key }),
  fc
    .tuple(fc.record({ op: fc.constantFrom('set', 'merge', 'update', 'swap', 'getOrInsert'), key, value }), given)
    .map(([written, options]) => ({ ...written, ...options })),
  fc.record({ op: fc.constant('expire'), key, ttlMs }),
  fc.record({ op: fc.constantFrom('keys', 'entries', 'count', 'keysWithTtl') }),
  fc.record({ op: fc.constant('clear') }),
)

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ step: fc.constant('autocommit'), op }) },
  {
    weight: 3,
    arbitrary: fc.record({
      step: fc.constant('transaction'),
      ops: fc.array(op, { minLength: 1, maxLength: 6 }),
      passMs: fc.constantFrom(0, 0, 5, 50),
      rollsBack: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ step: fc.constant('pass'), ms: fc.constantFrom(1, 5, 10, 90, 2 ** 31, -20) }) },
  { weight: 2, arbitrary: fc.record({ step: fc.constantFrom('open', 'close', 'sweep') }) },
)

interface Shown {
  readonly snapshot: Snapshot<string, number>
  readonly state: State
  readonly instant: number
}

class World {
  readonly #db: Database<string, number>
  readonly #defaultMs: number
  readonly #shown: Shown[] = []
  #clock = 1_700_000_000_000
  /** What the database has seen of the clock. */
  #time = this.#clock
  #state: State = new Map<string, Held>()

  constructor(defaultMs: number) {
    this.#defaultMs = defaultMs
    this.#db = openWith<string, number>(
      {
        clock: () => this.#clock,
        merge: merges.sum,
        ttl: { sweepIntervalMs: 0, ...(defaultMs === Infinity ? {} : { defaultMs }) },
      },
      { random: () => 0.5 },
    )
    // While nothing at all expires, the instant of a transaction is when it first asks for it.
    void this.#db.handle(table<string, number>('other')).set('far', 1, { ttlMs: 8e15 })
  }

  #plain(): PlainSession {
    return new PlainSession(this.#state, this.#time, this.#defaultMs)
  }

  async run(given: Step): Promise<void> {
    if (given.step === 'autocommit') await this.#autocommit(given.op)
    else if (given.step === 'transaction') await this.#transact(given)
    else if (given.step === 'pass') this.#pass(given.ms)
    else if (given.step === 'open') this.#open()
    else if (given.step === 'close') this.#shown.shift()?.snapshot.close()
    else await this.#db.vacuum()
    this.#look()
  }

  /** Time is what has been seen of the clock, so what is not seen is no time that has passed. */
  #pass(ms: number): void {
    this.#clock += ms
    this.#time = Math.max(this.#time, this.#clock)
    if (this.#clock < this.#time) this.#clock = this.#time
  }

  async #autocommit(given: ExpiryOp): Promise<void> {
    const plain = this.#plain()
    const handle = this.#db.handle() as unknown as ExpirySession
    const expected = perform(plain, given)
    const got: unknown = await perform(handle, given)
    expect(got).toEqual(expected)
    this.#state = plain.state
  }

  async #transact({ ops, passMs, rollsBack }: Extract<Step, { step: 'transaction' }>): Promise<void> {
    const plain = this.#plain()
    const tx: Transaction<string, number> = this.#db.handle().begin()
    this.#pass(passMs)
    for (const each of ops) expect(perform(tx, each)).toEqual(perform(plain, each))
    if (rollsBack) return tx.rollback()
    await tx.commit()
    this.#state = plain.state
  }

  #open(): void {
    this.#shown.push({ snapshot: this.#db.snapshot(), state: this.#state, instant: this.#time })
  }

  #look(): void {
    const handle = this.#db.handle()
    compare(handle, this.#state, this.#time)
    expect(handle.size).toBeGreaterThanOrEqual(handle.count())
    for (const { snapshot, state, instant } of this.#shown) compare(snapshot, state, instant)
  }

  async end(): Promise<void> {
    for (const { snapshot } of this.#shown.splice(0)) snapshot.close()
    await this.#db.vacuum()
    expect(this.#db.handle().size).toBe(liveAt(this.#state, this.#time).size)
    expect((await this.#db.check()).problems).toEqual([])
    await this.#db.close()
  }
}

type Shows = Pick<Snapshot<string, number>, 'entries' | 'keysWithTtl' | 'ttl' | 'get' | 'count'>

function compare(reader: Shows, state: State, instant: number): void {
  const live = liveAt(state, instant)
  expect([...reader.entries()]).toEqual([...live].map(([name, held]) => [name, held.value]))
  expect(reader.count()).toBe(live.size)
  for (const name of ['a', 'b', 'c', 'd']) {
    const expiresAt = live.get(name)?.expiresAt ?? 0
    expect(reader.get(name)).toBe(live.get(name)?.value)
    expect(reader.ttl(name)).toBe(expiresAt === 0 ? undefined : expiresAt - instant)
  }
  const expiring = [...live].filter(([, { expiresAt }]) => expiresAt !== 0).map(([name]) => name)
  expect([...reader.keysWithTtl()]).toEqual(expiring)
}

describe('expiry', () => {
  it.each([Infinity, 20])('is what it is in a plain map, with a default of %d ms', async (defaultMs) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async (steps) => {
        const world = new World(defaultMs)
        try {
          for (const each of steps) await world.run(each)
        } finally {
          await world.end()
        }
      }),
      fcParameters(300),
    )
  })
})
