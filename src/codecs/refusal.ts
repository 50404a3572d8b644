/** The errors of codecs: how a value, a class and a place inside a value are described without showing any data. */

import { VarveError } from '../errors.ts'

/** A step into a Map or Set, whose members have no names: the position in order of insertion. */
export interface EntryStep {
  readonly index: number
  readonly part: 'key' | 'value' | 'member'
}

/** One step from a value to a value inside it: a property name, an index of an array, an entry of a Map or Set. */
export type PathStep = string | number | EntryStep

const PLAIN_NAME = /^[A-Za-z_$][\w$]*$/
/** Longest path and longest name that a message shows, in characters. */
const MAX_PATH_LENGTH = 200
const MAX_NAME_LENGTH = 60

/** The first `length` steps as they would be written in a program: `value.items[3].price`. */
export function formatPath(steps: readonly PathStep[], length: number): string {
  let path = 'value'
  for (let i = 0; i < length; i++) {
    if (path.length > MAX_PATH_LENGTH) return `${path}... (${length - i} levels further down)`
    path += formatStep(steps[i] as PathStep)
  }
  return path
}

function formatStep(step: PathStep): string {
  if (typeof step === 'number') return `[${step}]`
  if (typeof step === 'object') return `.<${step.part} ${step.index}>`
  if (step.length <= MAX_NAME_LENGTH && PLAIN_NAME.test(step)) return `.${step}`
  return `[${JSON.stringify(shorten(step))}]`
}

function shorten(name: string): string {
  return name.length <= MAX_NAME_LENGTH ? name : `${name.slice(0, MAX_NAME_LENGTH)}...`
}

/** What kind of thing a value is: "a string", "a fraction", "an array", "an instance of Point". */
export function describeKind(value: unknown): string {
  if (value === undefined || value === null) return String(value)
  if (typeof value === 'number') return describeNumber(value)
  if (typeof value === 'object') return Array.isArray(value) ? 'an array' : describeClass(value)
  return `a ${typeof value}`
}

function describeNumber(value: number): string {
  if (Number.isInteger(value)) return 'a whole number'
  if (Number.isFinite(value)) return 'a fraction'
  return Number.isNaN(value) ? 'NaN' : 'infinite'
}

/** Which class an object is of. Looks at data properties only, so that no code of the value's runs but a Proxy's traps. */
export function describeClass(value: object): string {
  const prototype = Object.getPrototypeOf(value) as object | null
  if (prototype === null) return 'an object'
  const make: unknown = Object.getOwnPropertyDescriptor(prototype, 'constructor')?.value
  const name: unknown = typeof make === 'function' ? Object.getOwnPropertyDescriptor(make, 'name')?.value : undefined
  if (typeof name !== 'string') return 'an object with a prototype of its own'
  if (name === 'Object') return 'an object'
  return name === '' ? 'an instance of an unnamed class' : `an instance of ${shorten(name)}`
}

/** A value that a codec of one type does not take. */
export function wrongKind(codec: string, wanted: string, value: unknown): VarveError {
  return new VarveError('INVALID_VALUE', `value is ${describeKind(value)}, but codec '${codec}' takes ${wanted}`)
}

/** Bytes that a codec does not understand. */
export function mismatch(codec: string, problem: string, details: { readonly cause?: unknown } = {}): VarveError {
  return new VarveError(
    'CODEC_MISMATCH',
    `the stored bytes are not a value of codec '${codec}': ${problem}. Open the table with the codec it was written with`,
    details,
  )
}
