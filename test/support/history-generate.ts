/** Where histories come from: alphabets of operations, every interleaving of given programs, random programs. */
import { type Level, type Op, type PointOp, tableOf, type TableName } from './history-model.ts'
import { type Program, stepsOf } from './history.ts'
import type { Random } from './random.ts'

const POINT_OPS: readonly PointOp[] = ['get', 'has', 'set', 'delete', 'merge']

/** Every one of these point operations on every key. */
export function pointOps(keys: readonly string[], ops: readonly PointOp[] = POINT_OPS): Op[] {
  return keys.flatMap((key) => ops.map((op) => ({ op, key })))
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
  /** What reads and what writes to choose from, weighed likewise. */
  readonly reads?: readonly OpKind[]
  readonly writes?: readonly OpKind[]
}

type OpKind = PointOp | 'scan' | 'clear' | 'pause'

const READS: readonly OpKind[] = ['get', 'get', 'get', 'has', 'pause', 'scan', 'scan', 'scan']
const WRITES: readonly OpKind[] = ['set', 'set', 'set', 'merge', 'merge', 'merge', 'delete', 'delete']
/** Calls that read and write at once. */
export const COMPOSITES: readonly OpKind[] = ['update', 'swap', 'take', 'getOrInsert', 'clear', 'delete']

export const SERIALIZABLE: Level = {}
export const SNAPSHOT: Level = { isolation: 'snapshot' }
export const TRACKED: Level = { readOnly: true }
export const SAFE: Level = { readOnly: 'safe' }
export const ITERATOR: Level = { iterator: true }

/** A random program, savepoints and slow scans included. */
function randomProgram(mix: Mix, random: Random): Program {
  const level = random.pick(mix.levels)
  if (level.iterator === true) return { ...level, ops: randomIteration(mix.keys, random) }
  const { reads = READS, writes = WRITES } = mix
  const kinds = level.readOnly === undefined ? [...reads, ...writes] : reads
  const ops = Array.from({ length: random.between(...mix.length) }, () =>
    randomOp(random.pick(kinds), mix.keys, random),
  )
  if (level.readOnly === undefined && random.chance(0.1)) addSavepoint(ops, random)
  if (random.chance(0.15)) addCursor(ops, mix.keys, random)
  return { ...level, ops, ...(random.chance(0.03) ? { end: 'rollback' as const } : {}) }
}

/** So many random programs. */
export function randomPrograms(count: number, mix: Mix, random: Random): Program[] {
  return Array.from({ length: count }, () => randomProgram(mix, random))
}

function randomIteration(keys: readonly string[], random: Random): Op[] {
  const pulls = Array.from({ length: random.between(1, 3) }, () => ({ op: 'next' }) as const)
  return [randomOpening(keys, random), ...pulls]
}

function randomOpening(keys: readonly string[], random: Random): Op {
  const scan = randomScan(random.pick(keys), random.pick(keys), random)
  return { op: 'open', over: scan.over, range: scan.range, level: scan.op === 'scan' ? scan.level : 'existence' }
}

/** A scan that is pulled from between the other steps. */
function addCursor(ops: Op[], keys: readonly string[], random: Random): void {
  const at = random.int(ops.length)
  for (let i = random.between(1, 3); i > 0; i--) ops.splice(random.between(at, ops.length), 0, { op: 'next' })
  ops.splice(at, 0, randomOpening(keys, random))
}

function addSavepoint(ops: Op[], random: Random): void {
  const from = random.int(ops.length)
  ops.splice(random.between(from + 1, ops.length), 0, { op: 'rollbackTo' })
  ops.splice(from, 0, { op: 'savepoint' })
}

function randomOp(kind: OpKind, keys: readonly string[], random: Random): Op {
  const key = random.pick(keys)
  if (kind === 'scan') return randomScan(key, random.pick(keys), random)
  if (kind === 'clear') return { op: kind, over: tableOf(key) }
  return kind === 'pause' ? { op: kind } : { op: kind, key }
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
