/**
 * Random transactions, and readers of everything, of ranges and of keys that go at their own pace, stop, and set out again from
 * their last cursor: what each was given, put together, is just what was committed and concerns it, once, in order.
 */
import { describe, expect, it } from 'vitest'

import { openWith } from '../../src/database.ts'
import {
  type Cursor,
  codecs,
  type Database,
  type Handle,
  keys,
  merges,
  type Range,
  table,
  VarveError,
} from '../../src/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { turn } from '../api/fixtures.ts'
import { until } from '../support/patience.ts'
import { Random, runs } from '../support/random.ts'
import { line } from './readers.ts'

const counters = table('counters', { key: keys.string(), value: codecs.float64(), merge: merges.sum })
const blobs = table('blobs', { key: keys.string(), value: codecs.bytes() })

/** What is known of each commit from the database itself: the state before and after, key by key. */
class Account {
  readonly lines: string[] = []
  readonly #state: Map<string, string> = new Map()
  readonly #db: Database<string, string>

  constructor(db: Database<string, string>) {
    this.#db = db
  }

  /** To be called right after a commit, in its own turn: notes the differences as one line, keys in order. */
  note(): void {
    const { sequence } = this.#db
    const now = new Map<string, string>()
    for (const [key, value] of this.#db.handle().entries()) now.set(key, value)
    for (const [key, value] of this.#db.handle(counters).entries()) now.set(`counters/${key}`, String(value))
    for (const [key, value] of this.#db.handle(blobs).entries()) now.set(`blobs/${key}`, String(value))
    const parts: string[] = []
    for (const [key, value] of now) if (this.#state.get(key) !== value) parts.push(`${key}=${value}`)
    for (const key of this.#state.keys()) if (!now.has(key)) parts.push(`-${key}`)
    this.#state.clear()
    for (const [key, value] of now) this.#state.set(key, value)
    if (parts.length > 0) this.lines.push(`${sequence}: ${parts.sort().join(' ')}`)
  }
}

function sorted(text: string): string {
  const [sequence, ...parts] = text.split(' ')
  return `${sequence} ${parts.sort().join(' ')}`
}

/** Values differ from commit to commit, so that every write shows in the state. */
async function commitSomething(db: Database<string, string>, random: Random, account: Account): Promise<void> {
  const main = db.handle()
  const key = (): string => `k${random.int(12)}`
  const value = (): string => `${db.sequence + 1}`.padEnd(random.int(300), '.')
  const kind = random.int(8)
  let done: Promise<unknown>
  if (kind === 0) done = main.delete(key())
  else if (kind === 1) done = db.handle(counters).merge(key(), random.between(1, 9))
  else if (kind === 2) done = db.handle(blobs).set(key(), new Uint8Array([db.sequence, 1, 2, random.int(99)]))
  else if (kind < 5) done = main.set(key(), value())
  else {
    done = Promise.resolve()
    main.transactionSync((tx) => {
      for (let i = random.int(5); i > 0; i--) tx.set(key(), value())
      if (random.chance(0.3)) tx.delete(key())
      const savepoint = tx.savepoint()
      tx.set(`undone${random.int(3)}`, 'x')
      tx.rollbackTo(savepoint)
      if (random.chance(0.3)) tx.table(counters).merge(key(), 1)
      if (random.chance(0.2)) tx.delete('nothing')
      if (random.chance(0.05)) tx.clear()
    })
  }
  account.note()
  if (random.chance(0.5)) await done
  else done.catch(() => undefined)
}

/** Reads everything at its own pace, stopping now and then and going on from its last cursor. */
async function readAll(
  db: Database<string, string>,
  random: Random,
  upTo: () => number,
  given: string[],
): Promise<void> {
  let from: Cursor = db.cursor
  const finished = until(() => from.sequence >= upTo()).then(() => null)
  const durable = random.chance(0.7)
  while (from.sequence < upTo()) {
    const commits = db.changes({
      from: JSON.parse(JSON.stringify(from)) as Cursor,
      durable,
      before: random.chance(0.3),
    })
    for (let steps = random.between(1, 40); steps > 0 && from.sequence < upTo(); steps--) {
      const step = await Promise.race([commits.next(), finished])
      if (step === null) return void (await commits.return?.())
      if (step.done === true) throw new Error('it ended')
      given.push(sorted(line(step.value)))
      from = step.value.cursor
      if (random.chance(0.2)) await turn()
    }
    const next = db.changes({ from })
    await commits.return?.()
    await next.return?.()
  }
}

/** The same for a range of the default table. */
async function readRange(
  handle: Handle<string, string>,
  what: Range<string> | { key: string },
  random: Random,
  upTo: () => number,
  first: Cursor,
  given: string[],
): Promise<void> {
  let from = first
  const finished = until(() => given.length >= upTo()).then(() => null)
  for (;;) {
    const changes = handle.watch(what, { from })
    for (let steps = random.between(1, 20); steps > 0; steps--) {
      const step = await Promise.race([changes.next(), finished])
      if (step === null) return void (await changes.return?.())
      if (step.done === true) throw new Error('it ended')
      const { sequence, kind, key, value } = step.value
      given.push(`${sequence} ${kind === 'set' ? `${key}=${value}` : `-${key}`}`)
      from = step.value.cursor
      if (random.chance(0.2)) await turn()
    }
    await changes.return?.()
  }
}

async function round(db: Database<string, string>, random: Random): Promise<void> {
  // Keeps the ring whole while others stop and start.
  const keeper = db.changes({ durable: false })
  db.handle(counters)
  db.handle(blobs)
  const account = new Account(db)
  const first = db.cursor
  let isDone = false
  const last = (): number => (isDone ? db.sequence : Infinity)
  const readers: { given: string[]; done: Promise<void> }[] = []
  for (let i = 0; i < 3; i++) {
    const given: string[] = []
    readers.push({ given, done: readAll(db, random.fork(), last, given) })
  }
  const ranges: { what: Range<string> | { key: string }; covers: (key: string) => boolean }[] = [
    { what: { prefix: 'k1' }, covers: (key) => key.startsWith('k1') },
    { what: { gt: 'k2', lte: 'k5' }, covers: (key) => key > 'k2' && key <= 'k5' },
    { what: { key: 'k7' }, covers: (key) => key === 'k7' },
    { what: {}, covers: () => true },
  ]
  const expectedOf = (covers: (key: string) => boolean): string[] =>
    account.lines.flatMap((text) => {
      const [sequence, ...parts] = text.split(' ')
      return parts
        .filter((part) => !part.includes('/') && covers(part.replace(/^-/, '').split('=')[0] as string))
        .map((part) => `${sequence?.slice(0, -1)} ${part}`)
    })
  const watchers = ranges.map(({ what, covers }) => {
    const given: string[] = []
    const upTo = (): number => (isDone ? expectedOf(covers).length : Infinity)
    return { given, covers, done: readRange(db.handle(), what, random.fork(), upTo, first, given) }
  })
  for (let i = random.between(5, 120); i > 0; i--) {
    await commitSomething(db, random, account)
    if (random.chance(0.2)) await turn()
    if (random.chance(0.05)) expect((await db.check()).problems).toEqual([])
  }
  await db.handle().set('k0', `last${db.sequence}`)
  account.note()
  await db.flush()
  isDone = true
  await Promise.all([...readers, ...watchers].map(({ done }) => done))
  for (const { given } of readers) expect(given).toEqual(account.lines.map(sorted))
  for (const { given, covers } of watchers) {
    const order = (text: string): string => `${text.split(' ')[0]?.padStart(9)} ${text}`
    expect(given.map(order).sort()).toEqual(expectedOf(covers).map(order).sort())
    expect(given.map((text) => Number(text.split(' ')[0]))).toEqual(
      given.map((text) => Number(text.split(' ')[0])).sort((a, b) => a - b),
    )
  }
  await keeper.return?.()
}

describe('readers that stop and go on', () => {
  it('miss nothing and are given nothing twice, in memory', async () => {
    for (let i = 0; i < runs(25); i++) {
      const db = openWith<string, string>({}, {})
      await round(db, new Random(`feed ${i}`))
      await db.close()
    }
  })

  it('miss nothing and are given nothing twice, on disk', async () => {
    for (let i = 0; i < runs(12); i++) {
      const random = new Random(`feed on disk ${i}`)
      const storage = new SimulatedStorage({ seed: random.uint32() })
      const durability = random.pick(['full', 'relaxed'] as const)
      const flush = { intervalMs: 2, commits: 10, bytes: 8192 }
      const db = await openWith<string, string>(
        { path: '/db', durability, wal: { segmentBytes: 2 ** 16 }, ...(durability === 'relaxed' ? { flush } : {}) },
        { storage, background: 'inline', checkpointBytes: 1 },
      )
      await round(db, random)
      await db.close()
    }
  })

  it('are given a prefix, and then told, where the ring is too small', async () => {
    for (let i = 0; i < runs(20); i++) {
      const random = new Random(`small ring ${i}`)
      const db = openWith<string, string>({}, { feedBytes: random.between(500, 5000) })
      const account = new Account(db)
      const given: string[] = []
      let error: unknown
      const reading = (async (): Promise<void> => {
        try {
          for await (const commit of db.changes()) {
            given.push(sorted(line(commit)))
            while (random.chance(0.4)) await turn()
          }
        } catch (thrown) {
          error = thrown
        }
      })()
      for (let n = 0; n < 100; n++) {
        await commitSomething(db, random, account)
        if (random.chance(0.3)) await turn()
      }
      await db.close()
      await reading
      expect(given).toEqual(account.lines.slice(0, given.length).map(sorted))
      expect(['SNAPSHOT_TOO_OLD', 'CLOSED']).toContain((error as VarveError).code)
      if ((error as VarveError).code === 'CLOSED') expect(given).toHaveLength(account.lines.length)
    }
  })
})
