/** Where histories come from: alphabets of operations, every interleaving of given programs, random programs. */
import { type Level, type Op, tableOf, type TableName } from './history-model.ts'
import { type Program, stepsOf } from './history.ts'
import type { Random } from './random.ts'

/** Every point operation on every key. */
export function pointOps(keys: readonly string[]): Op[] {
  return keys.flatMap((key) => (['get', 'has', 'set', 'delete', 'merge'] as const).map((op) => ({ op, key })))
}

/** Scans of the whole table at both levels: complete, abandoned after one entry, backwards, and counted. */
export function scanOps(over: TableName): Op[] {
  const whole = over === 'sums' ? { gte: 'a' } : { lt: 'a' }
  return [
    { op: 'scan', over, range: whole, take: Infinity, level: 'value' },
    { op: 'scan', over, range: whole, take: 1, level: 'value' },
    { op: 'scan', over, range: whole, take: Infinity, level: 'existence' },
    { op: 'scan', over, range: { ...whole, reverse: true }, take: 1, level: 'existence' },
    { op: 'count', over, range: whole },
  ]
}

/** Every sequence of 1 to `length` operations. */
export function sequences(alphabet: readonly Op[], length: number): Op[][] {
  let last: Op[][] = [[]]
  const all: Op[][] = []
  for (let i = 0; i < length; i++) {
    last = last.flatMap((ops) => alphabet.map((op) => [...ops, op]))
    all.push(...last)
  }
  return all
}

/** Every order in which `counts[i]` steps of program i can be taken. */
export function interleavings(counts: readonly number[]): number[][] {
  if (counts.every((count) => count === 0)) return [[]]
  return counts.flatMap((count, index) =>
    count === 0 ? [] : interleavings(counts.with(index, count - 1)).map((rest) => [index, ...rest]),
  )
}

/** One random order of all steps. */
export function randomSchedule(programs: readonly Program[], random: Random): number[] {
  return random.shuffle(programs.flatMap((program, index) => Array.from({ length: stepsOf(program) }, () => index)))
}

/** What random programs are made of. */
export interface Mix {
  readonly keys: readonly string[]
  readonly length: readonly [shortest: number, longest: number]
  /** Levels to choose from; repeat one to weigh it. */
  readonly levels: readonly Level[]
}

export const SERIALIZABLE: Level = {}
export const SNAPSHOT: Level = { isolation: 'snapshot' }
export const TRACKED: Level = { readOnly: true }
export const SAFE: Level = { readOnly: 'safe' }

/** A random program, savepoints included. */
export function randomProgram(mix: Mix, random: Random): Program {
  const level = random.pick(mix.levels)
  const length = random.between(...mix.length)
  const ops = Array.from({ length }, () => randomOp(mix.keys, random, level.readOnly !== undefined))
  if (level.readOnly === undefined && random.chance(0.1)) addSavepoint(ops, random)
  if (random.chance(0.15)) addCursor(ops, mix.keys, random)
  return { ...level, ops, ...(random.chance(0.03) ? { end: 'rollback' as const } : {}) }
}

/** A scan that is pulled from between the other steps. */
function addCursor(ops: Op[], keys: readonly string[], random: Random): void {
  const scan = randomScan(random.pick(keys), random.pick(keys), random)
  const at = random.int(ops.length)
  for (let i = random.between(1, 3); i > 0; i--) ops.splice(random.between(at, ops.length), 0, { op: 'next' })
  const level = scan.op === 'scan' ? scan.level : 'existence'
  ops.splice(at, 0, { op: 'open', over: scan.over, range: scan.range, level })
}

function addSavepoint(ops: Op[], random: Random): void {
  const from = random.int(ops.length)
  ops.splice(random.between(from + 1, ops.length), 0, { op: 'rollbackTo' })
  ops.splice(from, 0, { op: 'savepoint' })
}

function randomOp(keys: readonly string[], random: Random, readOnly: boolean): Op {
  const key = random.pick(keys)
  const kind = random.int(readOnly ? 8 : 16)
  if (kind < 3) return { op: 'get', key }
  if (kind < 4) return { op: 'has', key }
  if (kind < 5) return { op: 'pause' }
  if (kind < 8) return randomScan(key, random.pick(keys), random)
  if (kind < 11) return { op: 'set', key }
  if (kind < 14) return { op: 'merge', key }
  return { op: 'delete', key }
}

function randomScan(one: string, other: string, random: Random): Extract<Op, { op: 'scan' | 'count' }> {
  const over = tableOf(one)
  const [low, high] = one < other ? [one, other] : [other, one]
  const level = random.chance(0.5) ? 'value' : 'existence'
  const range = {
    ...(random.chance(0.5) ? { gte: low } : { gt: low }),
    ...(random.chance(0.3) ? {} : random.chance(0.5) ? { lte: high } : { lt: high }),
    ...(random.chance(0.3) ? { reverse: true } : {}),
    ...(random.chance(0.2) ? { limit: random.between(0, 2) } : {}),
  }
  if (level === 'existence' && random.chance(0.3)) return { op: 'count', over, range }
  return { op: 'scan', over, range, take: random.chance(0.5) ? Infinity : random.between(0, 2), level }
}
