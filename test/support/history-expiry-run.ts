/** Runs histories with keys that expire in a database, and throws where no serial order explains them. */
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
} from './history-expiry.ts'
import type { Random } from './random.ts'

export interface Program {
  readonly ops: readonly ExpiryOp[]
  readonly options: TransactionOptions
}

/** What happens at one point of a history: a step of a program, time passing, a sweep, or a checkpoint. */
export type Event = { readonly program: number } | { readonly passMs: number } | 'sweep' | 'checkpoint'

export class Clock {
  /** ms since the epoch. */
  now = 1_000_000
  readonly read = (): number => this.now
}

export function openTimed(clock: Clock): Database<string, number> {
  return openWith<string, number>(
    { clock: clock.read, merge: merges.sum, ttl: { sweepIntervalMs: 0 } },
    { random: () => 0.5 },
  )
}

/** The same on a simulated disk. */
export function openOnDisk(clock: Clock): Promise<Database<string, number>> {
  return openWith<string, number>(
    { path: '/data', clock: clock.read, merge: merges.sum, ttl: { sweepIntervalMs: 0 }, maxMemoryBytes: 1e6 },
    { storage: new SimulatedStorage({ seed: 1 }), background: 'inline', random: () => 0.5 },
  )
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

export interface Outcome {
  readonly refused: number
  readonly committed: readonly Committed[]
}

/** Runs one history on what `initial` says and throws unless a serial order explains it. */
export async function run(
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

export function randomHistory(random: Random, count: number, onDisk = false): { programs: Program[]; events: Event[] } {
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

export function randomState(random: Random, now: number): Map<string, Held> {
  const state = new Map<string, Held>()
  for (const key of KEYS) {
    if (random.chance(0.25)) continue
    state.set(key, { value: random.between(10, 19), expiresAt: random.chance(0.6) ? now + random.pick(SPANS) : 0 })
  }
  return state
}
