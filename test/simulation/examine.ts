/** Compares an open database with the model: the state must be that after a prefix of the commits that holds all it must. */
import { isDeepStrictEqual } from 'node:util'
import type { AnyDatabase, Key, Reader } from '../../src/index.ts'
import type { Random } from '../support/random.ts'
import { type Floor, type Session, type Stroke, type TableName, tableNames, tableOf, tables, World } from './model.ts'

/** A promise of the database that it did not keep. */
export class Violation extends Error {}

export function demand(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Violation(message)
}

/**
 * Finds the prefix of a session's commits that a database holds, checks that it holds exactly that, and returns the state.
 *
 * @param floor what must at least be there
 * @param order the commits in order as far as they got, if known: no other order is right
 */
export function examine(
  db: AnyDatabase,
  session: Session,
  floor: Floor,
  order: readonly string[] | null,
  random: Random,
): World {
  const found = db.handle(tables.orders).get(session.number) ?? []
  const world = session.base.clone()
  checkOrder(session, found, order)
  demand(
    found.length >= floor.transactions,
    `session ${session.number}: ${found.length} transactions are there, ${floor.transactions} must be: ${found.at(-1)} is the last`,
  )
  for (const id of found) {
    world.applyAll(session.commits.get(id)!.effects)
    world.apply({ table: 'orders', kind: 'merge', key: session.number, value: id })
  }
  const kept = keptStrokes(db, session, found.length)
  session.strokes.forEach((strokes, client) => {
    const count = kept[client] ?? 0
    const least = floor.strokes[client] ?? 0
    demand(count >= least, `client ${client}: ${count} of its calls are there, ${least} must be`)
    for (const stroke of strokes.slice(0, count)) world.applyAll(stroke.effects)
  })
  compare(db, world, random)
  return world
}

function checkOrder(session: Session, found: readonly string[], order: readonly string[] | null): void {
  demand(new Set(found).size === found.length, `a transaction took effect twice: ${found.join(' ')}`)
  found.forEach((id, i) => {
    const commit = session.commits.get(id)
    demand(commit !== undefined, `transaction ${id} is there and was never begun in session ${session.number}`)
    demand(!commit.refused, `transaction ${id} was refused and is there`)
    demand(order === null || order[i] === id, `transaction ${i} is ${id}, but was ${order?.[i] ?? 'none'} in memory`)
  })
}

/** How many strokes of each client a database holds: by their sequences if all are known, else by what their keys hold. */
function keptStrokes(db: AnyDatabase, session: Session, transactions: number): number[] {
  if (!session.exact) return session.strokes.map((strokes) => matchingStrokes(db, session, strokes))
  const last = db.sequence
  const counts = session.strokes.map(
    (strokes) => strokes.findLastIndex(({ sequence }) => sequence !== undefined && sequence <= last) + 1,
  )
  const effective = session.strokes.flat().filter(({ sequence }) => sequence !== undefined && sequence <= last).length
  demand(
    last - session.firstSequence === transactions + effective,
    `at sequence ${last} there are ${transactions} transactions and ${effective} calls since ${session.firstSequence}: not a prefix`,
  )
  return counts
}

/** The most strokes of one client after which its keys would hold what they hold. */
function matchingStrokes(db: AnyDatabase, session: Session, strokes: readonly Stroke[]): number {
  const touched = strokes.flatMap(({ effects }) => effects)
  const agrees = (count: number): boolean => {
    const world = session.base.clone()
    for (const { effects } of strokes.slice(0, count)) world.applyAll(effects)
    return touched.every(({ table, key }) => same(db.handle(tableOf(table)).get(key), world.get(table, key)))
  }
  for (let count = strokes.length; count >= 0; count--) if (agrees(count)) return count
  throw new Violation('the keys of a client hold what they never held together')
}

const same = (a: unknown, b: unknown): boolean => isDeepStrictEqual(a, b)

const show = (key: Key): string =>
  JSON.stringify(key, (_name, part: unknown) => (typeof part === 'bigint' ? `${part}n` : part))

/** Everything that can be read of every table, point reads first: a scan brings what it meets into memory. */
export function compare(db: { handle: AnyDatabase['handle'] }, world: World, random: Random): void {
  for (const name of random.shuffle([...tableNames])) {
    compareTable(name, db.handle(tableOf(name)), world, random, true)
  }
}

/** As {@link compare}, for one table and any reader of it. `sized`: whether size and bytes are those of the model too. */
export function compareTable(
  name: TableName,
  reader: Reader<Key, unknown>,
  world: World,
  random: Random,
  sized: boolean,
): void {
  const expected = world.sorted(name)
  for (let i = 0; i < 5 && expected.length > 0; i++) {
    const { key, value } = random.pick(expected)
    demand(same(reader.get(key), value), `${name} ${show(key)}: another value than the committed one`)
    demand(reader.has(key), `${name} ${show(key)}: is not there`)
  }
  if (sized) compareSizes(name, reader, world, expected.length)
  compareScans(name, reader, expected, random)
}

function compareSizes(name: TableName, reader: Reader<Key, unknown>, world: World, count: number): void {
  demand(reader.size === count, `${name}: size is ${reader.size}, not ${count}`)
  const { sizeOf } = tables[name].options
  if (sizeOf === undefined) return
  const weigh = sizeOf as (key: Key, value: unknown) => number
  const bytes = world.sorted(name).reduce((sum, { key, value }) => sum + Math.ceil(weigh(key, value)), 0)
  demand(reader.sizeBytes === bytes, `${name}: sizeBytes is ${reader.sizeBytes}, not ${bytes}`)
}

type Sorted = ReturnType<World['sorted']>

function compareScans(name: TableName, reader: Reader<Key, unknown>, expected: Sorted, random: Random): void {
  if (random.chance(0.5) && expected.length > 0) {
    const [low, high] = [random.int(expected.length), random.int(expected.length)].sort((a, b) => a - b) as [
      number,
      number,
    ]
    const reverse = random.chance(0.5)
    const limit = random.between(1, 10)
    const slice = expected.slice(low, high + 1)
    if (reverse) slice.reverse()
    const range = { gte: expected[low]!.key, lte: expected[high]!.key, reverse, limit }
    compareEntries(`${name} (a range)`, [...reader.entries(range)], slice.slice(0, limit))
  }
  const reverse = random.chance(0.3)
  const entries = [...reader.entries(reverse ? { reverse } : undefined)]
  compareEntries(name, reverse ? entries.reverse() : entries, expected)
  demand(reader.count() === expected.length, `${name}: count() is ${reader.count()}, not ${expected.length}`)
}

function compareEntries(name: string, found: readonly [Key, unknown][], expected: Sorted): void {
  for (let i = 0; i < Math.max(found.length, expected.length); i++) {
    const [key, value] = found[i] ?? []
    const wanted = expected[i]
    demand(wanted !== undefined, `${name}: ${show(key!)} is there and should not be`)
    demand(key !== undefined, `${name}: ${show(wanted.key)} is missing`)
    demand(same(key, wanted.key), `${name}: ${show(key)} stands where ${show(wanted.key)} should`)
    demand(same(value, wanted.value), `${name} ${show(key)}: another value than the committed one`)
  }
}
