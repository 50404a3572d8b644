/**
 * Merge operators: how a new operand is combined with what is there. Of the maplet, where values of one key and of keys
 * that collide are merged, and of the database, where `merge(key, operand)` uses them.
 */
import { VarveError } from '../errors.ts'

/**
 * How values are merged. The first operand of a key meets `identity`. `merge` must be associative in the sense that
 * merging one by one, or merging what was merged before, makes no difference; it must not change its arguments.
 *
 * In a database, operands of an operator that is `commutative` never conflict with each other.
 */
export interface MergeOperator<V, Operand = V> {
  /** For messages and for telling operators apart. */
  readonly name?: string
  /** What an absent key counts as; a function if it must be made afresh each time. */
  readonly identity: V | (() => V)
  /** The value after the operand. */
  merge(current: V, operand: Operand): V
  /** Whether the order of operands makes no difference. Default false: they are applied in order. */
  readonly commutative?: boolean
}

/** The identity of an operator, made afresh if it is a function. */
export function identityOf<V>(operator: MergeOperator<V, never>): V {
  return typeof operator.identity === 'function' ? (operator.identity as () => V)() : operator.identity
}

/** `merges.sum`; see {@link merges}. */
export interface SumOperator {
  /** `sum` */
  readonly name: string
  /** 0, which stands for 0n where operands are bigints. */
  readonly identity: never
  /** True. */
  readonly commutative: true
  /** The sum of two numbers or of two bigints. */
  merge(current: bigint, operand: bigint): bigint
  merge(current: number, operand: number): number
}

/** `merges.min` and `merges.max`; see {@link merges}. */
export interface ExtremeOperator {
  /** `min` or `max` */
  readonly name: string
  /** An infinity, for bigints too. */
  readonly identity: never
  /** True. */
  readonly commutative: true
  /** The lower, or the higher, of two numbers or of two bigints. */
  merge(current: bigint, operand: bigint): bigint
  merge(current: number, operand: number): number
}

/** `merges.or` and `merges.and`; see {@link merges}. */
export interface LogicOperator {
  /** `or` or `and` */
  readonly name: string
  /** false or true, which change no operand of any kind. */
  readonly identity: never
  /** True. */
  readonly commutative: true
  /** Of booleans, of bigints bit by bit, or of the bits of unsigned 32-bit integers. */
  merge(current: bigint, operand: bigint): bigint
  merge(current: number, operand: number): number
  merge(current: boolean, operand: boolean): boolean
}

/** `merges.union`; see {@link merges}. */
export interface UnionOperator {
  /** `union` */
  readonly name: string
  /** An empty set. */
  readonly identity: () => never
  /** True. */
  readonly commutative: true
  /** A new set with the elements of both. */
  merge<T>(current: ReadonlySet<T>, operand: Iterable<T>): Set<T>
}

/** `merges.replace`; see {@link merges}. */
export interface ReplaceOperator {
  /** `replace` */
  readonly name: string
  /** undefined, which is never seen. */
  readonly identity: never
  /** False. */
  readonly commutative: false
  /** The operand. */
  merge<V>(current: V, operand: V): V
}

/** `merges.addVectors`; see {@link merges}. */
export interface AddVectorsOperator {
  /** `addVectors` */
  readonly name: string
  /** An empty vector. */
  readonly identity: () => never
  /** True. */
  readonly commutative: true
  /** The sums of the elements; the shorter vector counts as 0 where it has none. */
  merge(current: Float64Array, operand: Float64Array): Float64Array
  merge(current: readonly number[], operand: readonly number[]): number[]
}

/** `merges.concat`; see {@link merges}. */
export interface ConcatOperator {
  /** `concat` */
  readonly name: string
  /** The empty string, which stands for the empty array where operands are arrays. */
  readonly identity: never
  /** False. */
  readonly commutative: false
  /** The operand behind what is there. */
  merge(current: Uint8Array, operand: Uint8Array): Uint8Array
  merge<T>(current: readonly T[], operand: readonly T[]): T[]
  merge(current: string, operand: string): string
}

/** `merges.append`; see {@link merges}. */
export interface AppendOperator {
  /** `append` */
  readonly name: string
  /** An empty array. */
  readonly identity: () => never
  /** False. */
  readonly commutative: false
  /** A new array with the operand as its last element. */
  merge<T>(current: readonly T[], operand: T): T[]
}

/** The type of {@link merges}. */
export interface Merges {
  /** Adds numbers, or bigints. 0.1 + 0.2 is what it always is: sums of doubles depend on order in their last bits. */
  readonly sum: SumOperator
  /** Keeps the lowest number or bigint; NaN beats every number. */
  readonly min: ExtremeOperator
  /** Keeps the highest number or bigint; NaN beats every number. */
  readonly max: ExtremeOperator
  /** Adds the elements of a set, or of any iterable but a string, to a set. */
  readonly union: UnionOperator
  /** Keeps the last operand. Not commutative: of two concurrent ones the later commit counts. */
  readonly replace: ReplaceOperator
  /** Of booleans: whether any was true. Of bigints and of unsigned 32-bit integers: every bit that any had. */
  readonly or: LogicOperator
  /** Of booleans: whether all were true. Of bigints and of unsigned 32-bit integers: the bits that all had. */
  readonly and: LogicOperator
  /** Adds vectors element by element: arrays of numbers, or Float64Arrays. */
  readonly addVectors: AddVectorsOperator
  /** Joins strings, arrays or bytes, in order of operands. */
  readonly concat: ConcatOperator
  /** Adds an operand to an array, in order of operands. */
  readonly append: AppendOperator
}

function refuse(name: string, takes: string): never {
  throw new VarveError('INVALID_VALUE', `merges.${name} takes ${takes}, and all of one kind under one key`)
}

function sum(current: unknown, operand: unknown): number | bigint {
  if (typeof current === 'number' && typeof operand === 'number') return current + operand
  if (typeof operand === 'bigint') {
    if (typeof current === 'bigint') return current + operand
    if (current === 0) return operand
  }
  return refuse('sum', 'numbers or bigints')
}

function extreme(name: 'min' | 'max', identity: number): (current: unknown, operand: unknown) => number | bigint {
  const ofNumbers = Math[name]
  return (current, operand) => {
    if (typeof current === 'number' && typeof operand === 'number') return ofNumbers(current, operand)
    if (typeof operand === 'bigint') {
      if (typeof current === 'bigint') return (name === 'min') === current < operand ? current : operand
      if (current === identity) return operand
    }
    return refuse(name, 'numbers or bigints')
  }
}

function logic(name: 'or' | 'and'): (current: unknown, operand: unknown) => boolean | number | bigint {
  const isOr = name === 'or'
  return (current, operand) => {
    if (typeof operand === 'boolean' && typeof current === 'boolean')
      return isOr ? current || operand : current && operand
    // false for `or`, true for `and`: the identity, where operands are not booleans.
    const fresh = current === !isOr
    if (typeof operand === 'bigint' && (fresh || typeof current === 'bigint')) {
      return fresh ? operand : isOr ? (current as bigint) | operand : (current as bigint) & operand
    }
    if (isUint32(operand) && (fresh || isUint32(current))) {
      return fresh ? operand : (isOr ? (current as number) | operand : (current as number) & operand) >>> 0
    }
    return refuse(name, 'booleans, bigints or unsigned 32-bit integers')
  }
}

function isUint32(value: unknown): value is number {
  return typeof value === 'number' && value >>> 0 === value
}

function union(current: unknown, operand: unknown): Set<unknown> {
  if (!(current instanceof Set) || typeof operand !== 'object' || operand === null || !(Symbol.iterator in operand)) {
    return refuse('union', 'sets, or iterables to add to a set')
  }
  const result = new Set<unknown>(current)
  for (const element of operand as Iterable<unknown>) result.add(element)
  return result
}

function addVectors(current: unknown, operand: unknown): Float64Array | number[] {
  const fresh = Array.isArray(current) && current.length === 0
  if (operand instanceof Float64Array && (fresh || current instanceof Float64Array)) {
    return addInto(new Float64Array(Math.max(current.length, operand.length)), current, operand)
  }
  if (isNumbers(current) && isNumbers(operand)) {
    return addInto(new Array<number>(Math.max(current.length, operand.length)).fill(0), current, operand)
  }
  return refuse('addVectors', 'arrays of numbers or Float64Arrays')
}

function addInto<A extends Float64Array | number[]>(result: A, a: ArrayLike<number>, b: ArrayLike<number>): A {
  for (let i = 0; i < result.length; i++) result[i] = (a[i] ?? 0) + (b[i] ?? 0)
  return result
}

function isNumbers(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((element) => typeof element === 'number')
}

function concat(current: unknown, operand: unknown): string | unknown[] | Uint8Array {
  if (typeof current === 'string' && typeof operand === 'string') return current + operand
  const fresh = current === ''
  if (Array.isArray(operand) && (fresh || Array.isArray(current))) {
    return [...(fresh ? [] : (current as readonly unknown[])), ...(operand as readonly unknown[])]
  }
  if (operand instanceof Uint8Array && (fresh || current instanceof Uint8Array)) {
    const before = fresh ? new Uint8Array(0) : current
    const result = new Uint8Array(before.length + operand.length)
    result.set(before)
    result.set(operand, before.length)
    return result
  }
  return refuse('concat', 'strings, arrays or bytes')
}

function append(current: unknown, operand: unknown): unknown[] {
  if (!Array.isArray(current)) return refuse('append', 'elements to add to an array')
  return [...(current as readonly unknown[]), operand]
}

/** An operator over kinds of values that its type tells apart and its code looks at. */
function operator<O>(
  name: string,
  identity: unknown,
  commutative: boolean,
  merge: (current: never, operand: never) => unknown,
): O {
  return Object.freeze({ name, identity, commutative, merge }) as O
}

/**
 * Ready-made merge operators. Operands of the wrong kind, or of two kinds under one key, are refused with
 * `INVALID_VALUE`. None changes its arguments.
 *
 * `sum min max union or and addVectors` are commutative: in the database their operands never conflict with each other.
 * `replace concat append` are not: theirs apply in commit order.
 */
export const merges: Merges = Object.freeze({
  sum: operator('sum', 0, true, sum),
  min: operator('min', Infinity, true, extreme('min', Infinity)),
  max: operator('max', -Infinity, true, extreme('max', -Infinity)),
  union: operator('union', () => new Set(), true, union),
  replace: operator('replace', undefined, false, (_current, operand) => operand),
  or: operator('or', false, true, logic('or')),
  and: operator('and', true, true, logic('and')),
  addVectors: operator('addVectors', () => [], true, addVectors),
  concat: operator('concat', '', false, concat),
  append: operator('append', () => [], false, append),
} satisfies Merges)
