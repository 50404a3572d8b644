/**
 * Serializability where keys expire: small interleavings with times to live that lapse between operations, each judged by the
 * definition (support/history-expiry.ts), with what has expired reclaimed between any two steps.
 */
import { describe, expect, it, onTestFinished } from 'vitest'

import { openWith } from '../../src/database.ts'
import { type Database, type Handle, merges, type TransactionOptions, VarveError } from '../../src/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import {
  type Committed,
  describeOp,
  type ExpiryOp,
  type Held,
  perform,
  serialOrder,
  type State,
} from '../support/history-expiry.ts'
import { Random, runs } from '../support/random.ts'

interface Program {
  readonly ops: readonly ExpiryOp[]
  readonly options: TransactionOptions
}

/** What happens at one point of a history: a step of a program, time passing, a sweep, or a checkpoint. */
type Event = { readonly program: number } | { readonly passMs: number } | 'sweep' | 'checkpoint'

class Clock {
  now = 1_000_000
  readonly read = (): number => this.now
}

function openTimed(clock: Clock): Database<string, number> {
  const db = openWith<string, number>(
    { clock: clock.read, merge: merges.sum, ttl: { sweepIntervalMs: 0 } },
    { random: () => 0.5 },
  )
  onTestFinished(async () => {
    expect((await db.check()).problems).toEqual([])
    await db.close()
  })
  return db
}

/** The same on a simulated disk. */
async function openOnDisk(clock: Clock): Promise<Database<string, number>> {
  const db = await openWith<string, number>(
    { path: '/data', clock: clock.read, merge: merges.sum, ttl: { sweepIntervalMs: 0 }, maxMemoryBytes: 1e6 },
    { storage: new SimulatedStorage({ seed: 1 }), background: 'inline', random: () => 0.5 },
  )
  onTestFinished(async () => {
    expect((await db.check()).problems).toEqual([])
    await db.close()
  })
  return db
}

function stateOf(handle: Handle<string, number>, now: number): Map<string, Held> {
  const state = new Map<string, Held>()
  for (const [key, value] of handle.entries()) {
    const left = handle.ttl(key)
    state.set(key, { value, expiresAt: left === undefined ? 0 : now + left })
  }
  return state
}

/** Has memory let go of whatever it may, so that it is read from disk. */
async function spill(db: Database<string, number>): Promise<void> {
  await db.checkpoint()
  for (const key of KEYS) db.handle().evict(key)
}

interface Outcome {
  readonly refused: number
  readonly committed: readonly Committed[]
}

/** Runs one history on what `initial` says and throws unless a serial order explains it. */
async function run(
  db: Database<string, number>,
  clock: Clock,
  initial: State,
  programs: readonly Program[],
  events: readonly Event[],
): Promise<Outcome> {
  const handle = db.handle()
  await handle.clear()
  for (const [key, { value, expiresAt }] of initial)
    await handle.set(key, value, expiresAt === 0 ? {} : { ttlMs: expiresAt - clock.now })
  if (events.includes('checkpoint')) await spill(db)
  const open = programs.map(() => undefined as ReturnType<typeof handle.begin> | undefined)
  const instants: number[] = []
  const observed = programs.map((): unknown[] => [])
  const done = programs.map(() => 0)
  const committed: Committed[] = []
  const log: string[] = []
  let refused = 0
  for (const event of events) {
    if (event === 'sweep' || event === 'checkpoint') {
      log.push(event)
      await (event === 'sweep' ? db.vacuum() : spill(db))
      continue
    }
    if ('passMs' in event) {
      log.push(`pass ${event.passMs}`)
      clock.now += event.passMs
      continue
    }
    const index = event.program
    const { ops, options } = programs[index]!
    const name = `T${index + 1}`
    if (open[index] === undefined) {
      open[index] = handle.begin(options)
      instants[index] = clock.now
    }
    const step = done[index]!++
    const op = ops[step]
    try {
      if (op !== undefined) {
        const saw = perform(open[index], op)
        observed[index]!.push(saw)
        log.push(`${name} ${describeOp(op)} -> ${JSON.stringify(saw)}`)
        continue
      }
      await open[index].commit()
      log.push(`${name} commits`)
      committed.push({ name, instant: instants[index]!, ops, observed: observed[index]! })
    } catch (error) {
      if (!(error instanceof VarveError) || !error.retryable) throw error
      log.push(`${name} refused`)
      refused++
    }
  }
  const final = stateOf(handle, clock.now)
  if (serialOrder(initial, committed, final, clock.now) === undefined) {
    const start = [...initial].map(([key, held]) => `${key}: ${JSON.stringify(held)}`)
    const end = [...final].map(([key, held]) => `${key}: ${JSON.stringify(held)}`)
    throw new Error(`anomaly\nat first ${start.join(', ')}\n${log.join('\n')}\nin the end ${end.join(', ')}`)
  }
  return { refused, committed }
}

const KEYS = ['x', 'y']
const SPANS = [5, 10, 20]

function randomOp(random: Random, writes: boolean): ExpiryOp {
  const key = random.pick(KEYS)
  const value = random.between(1, 9)
  const ttl = random.chance(0.5) ? { ttlMs: random.pick(SPANS) } : {}
  if (!writes || random.chance(0.5)) {
    const op = random.pick(['get', 'get', 'has', 'has', 'ttl', 'keys', 'entries', 'count', 'keysWithTtl'] as const)
    return op === 'get' || op === 'has' || op === 'ttl' ? { op, key } : { op }
  }
  const op = random.pick([
    'set',
    'set',
    'set',
    'merge',
    'merge',
    'update',
    'swap',
    'getOrInsert',
    'delete',
    'take',
    'expire',
    'persist',
    'clear',
  ] as const)
  if (op === 'clear') return { op }
  if (op === 'delete' || op === 'take' || op === 'persist') return { op, key }
  return op === 'expire' ? { op, key, ttlMs: random.pick(SPANS) } : { op, key, value, ...ttl }
}

function randomHistory(random: Random, count: number, onDisk = false): { programs: Program[]; events: Event[] } {
  const programs = Array.from({ length: count }, (): Program => {
    const readOnly = random.chance(0.2)
    const length = random.between(1, 3)
    return { ops: Array.from({ length }, () => randomOp(random, !readOnly)), options: readOnly ? { readOnly } : {} }
  })
  const steps = random.shuffle(programs.flatMap(({ ops }, program) => [...ops, null].map(() => ({ program }))))
  const events: Event[] = []
  for (const step of steps) {
    if (random.chance(0.4)) events.push({ passMs: random.pick([3, 5, 10]) })
    if (random.chance(0.15)) events.push('sweep')
    if (onDisk && random.chance(0.15)) events.push('checkpoint')
    events.push(step)
  }
  return { programs, events }
}

function randomState(random: Random, now: number): Map<string, Held> {
  const state = new Map<string, Held>()
  for (const key of KEYS) {
    if (random.chance(0.25)) continue
    state.set(key, { value: random.between(10, 19), expiresAt: random.chance(0.6) ? now + random.pick(SPANS) : 0 })
  }
  return state
}

describe('sampled interleavings with keys that expire', () => {
  it.each([
    [2, 6000],
    [3, 8000],
    [4, 3000],
  ])('of %i transactions have a serial order', { timeout: 300_000 }, async (count, histories) => {
    const random = new Random(`expiry ${count}`)
    const clock = new Clock()
    const db = openTimed(clock)
    let refused = 0
    let committed = 0
    for (let i = 0; i < runs(histories); i++) {
      const { programs, events } = randomHistory(random, count)
      const outcome = await run(db, clock, randomState(random, clock.now), programs, events)
      refused += outcome.refused
      committed += outcome.committed.length
    }
    console.log(`${count} transactions: ${committed} committed, ${refused} refused`)
    expect(refused).toBeGreaterThan(runs(histories) / 50)
    expect(committed).toBeGreaterThan(refused * 3)
  })
})

describe('sampled interleavings on disk', () => {
  it('have a serial order, though what is read is cold and swept', { timeout: 300_000 }, async () => {
    const random = new Random('expiry on disk')
    const clock = new Clock()
    const db = await openOnDisk(clock)
    let refused = 0
    for (let i = 0; i < runs(1000); i++) {
      const { programs, events } = randomHistory(random, random.between(2, 4), true)
      refused += (await run(db, clock, randomState(random, clock.now), programs, events)).refused
    }
    const { expiry, disk } = db.stats()
    console.log(
      `on disk: ${refused} refused, ${expiry.expired} swept, ${disk!.cache.hits + disk!.cache.misses} cold reads`,
    )
    expect(refused).toBeGreaterThan(runs(1000) / 50)
    expect(expiry.expired).toBeGreaterThan(runs(1000) / 10)
    expect(disk!.cache.hits + disk!.cache.misses).toBeGreaterThan(runs(1000))
  })
})

describe('where a key expires', () => {
  const clocked = (): { clock: Clock; db: Database<string, number>; handle: Handle<string, number> } => {
    const clock = new Clock()
    const db = openTimed(clock)
    return { clock, db, handle: db.handle() }
  }
  const isRefused = async (commit: Promise<void>): Promise<boolean> =>
    commit.then(
      () => false,
      (error: unknown) => (error as VarveError).code === 'SERIALIZATION_FAILURE',
    )

  it('one transaction sees one instant, however long it takes', async () => {
    const { clock, handle } = clocked()
    await handle.set('k', 1, { ttlMs: 10 })
    const tx = handle.begin()
    clock.now += 100
    expect([tx.get('k'), tx.has('k'), tx.ttl('k'), tx.count(), [...tx.keys()]]).toEqual([1, true, 10, 1, ['k']])
    expect([handle.get('k'), handle.has('k'), handle.ttl('k'), handle.count()]).toEqual([
      undefined,
      false,
      undefined,
      0,
    ])
    tx.rollback()
  })

  it('an overwrite that keeps the expiry does not conflict with who asked whether the key is there', async () => {
    const { handle } = clocked()
    await handle.set('k', 1, { ttlMs: 10 })
    const one = handle.begin()
    const other = handle.begin()
    one.has('k')
    one.set('a', 1)
    other.get('a')
    other.update('k', (value) => value! + 1)
    await one.commit()
    expect(await isRefused(other.commit())).toBe(false)
  })

  it.each([
    ['persist', (tx: ReturnType<Handle<string, number>['begin']>) => void tx.persist('k')],
    ['expire', (tx: ReturnType<Handle<string, number>['begin']>) => void tx.expire('k', 50)],
    ['set', (tx: ReturnType<Handle<string, number>['begin']>) => tx.set('k', 1)],
    ['merge', (tx: ReturnType<Handle<string, number>['begin']>) => tx.merge('k', 1, { ttlMs: 50 })],
  ])('%s changes what who asked for it was told: how long the key lives', async (_, change) => {
    const { handle } = clocked()
    await handle.set('k', 1, { ttlMs: 10 })
    const one = handle.begin()
    const other = handle.begin()
    one.ttl('k')
    one.set('a', 1)
    other.get('a')
    change(other)
    await one.commit()
    expect(await isRefused(other.commit())).toBe(true)
  })

  it('who saw a value as expired conflicts with who writes the key anew', async () => {
    const { clock, handle } = clocked()
    await handle.set('k', 1, { ttlMs: 10 })
    clock.now += 10
    const one = handle.begin()
    const other = handle.begin()
    one.get('k')
    one.set('a', 1)
    other.get('a')
    other.set('k', 2)
    await one.commit()
    expect(await isRefused(other.commit())).toBe(true)
  })

  it('what was reclaimed meanwhile hides nobody who saw it before it expired', async () => {
    const { clock, db, handle } = clocked()
    await handle.set('x', 1, { ttlMs: 10 })
    await handle.set('y', 1)
    const early = handle.begin()
    expect([...early.values()]).toEqual([1, 1])
    early.set('y', 2)
    clock.now += 10
    const late = handle.begin()
    late.set('x', 5)
    await early.commit()
    await db.vacuum()
    // It sees y as it was, so it comes first; but what it deletes has been seen.
    expect(late.get('y')).toBe(1)
    late.delete('x')
    expect(await isRefused(late.commit())).toBe(true)
  })

  it('merges on an expired value begin anew, and two of them add up', async () => {
    const { clock, handle } = clocked()
    await handle.set('k', 100, { ttlMs: 10 })
    clock.now += 10
    const one = handle.begin()
    const other = handle.begin()
    one.merge('k', 1, { ttlMs: 10 })
    other.merge('k', 2)
    await one.commit()
    await other.commit()
    expect([handle.get('k'), handle.ttl('k')]).toEqual([3, 10])
  })

  it('a sweep refuses nobody, whatever the isolation', async () => {
    const { clock, db, handle } = clocked()
    await handle.set('k', 1, { ttlMs: 10 })
    clock.now += 10
    for (const isolation of ['serializable', 'snapshot'] as const) {
      const tx = handle.begin({ isolation })
      expect(tx.get('k')).toBeUndefined()
      await db.vacuum()
      expect(handle.size).toBe(0)
      tx.set('k', 2, { ttlMs: 1 })
      await tx.commit()
      clock.now += 1
    }
  })
})
