/** Many small histories over what is on disk, each on tables of its own, and what must be found after each session. */
import { tablesOf } from './history-database.ts'
import {
  DiskCounts,
  type DiskDurability,
  DiskEngine,
  type Ending,
  type MemoryLimit,
  type Preparation,
} from './history-disk.ts'
import { randomSchedule } from './history-generate.ts'
import { identityOf, same, show, type Value } from './history-model.ts'
import { Driver, type Program, type Result, Tally } from './history.ts'
import type { Random } from './random.ts'

/** How histories are spread over databases, and what goes on beside them. */
export interface SamplePlan {
  /** Histories in one database before it is made anew. Default 60. */
  readonly perDatabase?: number
  /** See {@link DiskEngine.create}. Default 0.06. */
  readonly workRate?: number
  /** What memory is kept within. Default: nothing. */
  readonly limit?: MemoryLimit
}

/** How sessions of histories end. */
export const ENDINGS: readonly Ending[] = ['close', 'kill', 'power', 'power']

/** Makes the programs of one history. */
export type Draw = (random: Random) => readonly Program[]

/**
 * Runs `histories` histories over `keys`, the first half of which exist; stops at the first one in which something is wrong.
 *
 * @throws Error if a session finds anything but what the last one left
 */
export async function sampleOnDisk(
  random: Random,
  histories: number,
  keys: readonly string[],
  draw: Draw,
  { perDatabase = 60, workRate = 0.06, limit = {} }: SamplePlan = {},
): Promise<{ readonly tally: Tally; readonly counts: DiskCounts }> {
  const tally = new Tally()
  const counts = new DiskCounts()
  for (let left = histories; left > 0 && tally.reports.length === 0; left -= perDatabase)
    await sampleOneDatabase(random, Math.min(left, perDatabase), keys, draw, workRate, limit, tally, counts)
  return { tally, counts }
}

async function sampleOneDatabase(
  random: Random,
  histories: number,
  keys: readonly string[],
  draw: Draw,
  workRate: number,
  limit: MemoryLimit,
  tally: Tally,
  counts: DiskCounts,
): Promise<void> {
  const durability = random.pick<DiskDurability>(['full', 'relaxed'])
  const engine = await DiskEngine.create(durability, random.fork(), workRate, counts, limit)
  const initial = keys.slice(0, keys.length >> 1)
  const preparations: Preparation[] = Array.from({ length: histories }, (_, at) => ({
    tables: tablesOf(` ${at}`),
    keys,
    initial,
  }))
  await engine.prepare(preparations)
  await engine.reopen(random.pick<Ending>(['close', 'close', 'kill', durability === 'full' ? 'power' : 'kill']))
  const results: Result[] = []
  for (const { tables } of preparations) {
    engine.tables = tables
    counts.cold += engine.coldKeys
    const programs = draw(random)
    results.push(await new Driver(engine, keys, initial, tally).run(programs, randomSchedule(programs, random)))
    if (tally.reports.length > 0) return
  }
  await engine.reopen(random.pick(ENDINGS))
  for (const [at, preparation] of preparations.entries()) compare(engine, preparation, results[at])
  await engine.reopen('close')
}

/** The tables of a history are as its model has them at the sequence that was found; before it began, as prepared. */
function compare(engine: DiskEngine, { tables, keys, initial }: Preparation, result: Result | undefined): void {
  const hasBegun = result !== undefined && result.committed[0]!.sequence <= engine.sequence
  const expected = keys.toSorted().flatMap((key): [string, Value][] => {
    const before = initial.includes(key) ? identityOf(key) : undefined
    const value = hasBegun ? result.model.read(key, engine.sequence) : before
    return value === undefined ? [] : [[key, value]]
  })
  for (const found of engine.contents(tables, keys))
    if (!same(found, expected))
      throw new Error(`the next session at ${engine.sequence} found ${show(found)}, expected ${show(expected)}`)
}
