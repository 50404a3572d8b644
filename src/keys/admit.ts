/**
 * The door for keys: what comes in is checked, normalised and made private; what goes out shares nothing mutable.
 *
 * Cost: a string of up to a third of MAX_KEY_BYTES and a number are returned after one or two comparisons. Bytes are
 * copied, tuples copied and frozen. Exact sizes are counted only where an upper bound does not settle the matter.
 *
 * I1  An admitted key holds no NaN, no -0, no hole, no Uint8Array or array that the caller can reach; its arrays are
 *     frozen, its bytes are plain Uint8Arrays; it is at most MAX_KEY_DEPTH deep and its encoding at most MAX_KEY_BYTES.
 * I2  Mutating what `releaseKey` returned changes no admitted key.
 * I3  The work done for a value that is refused is bounded by the limits, whatever the value: cyclic, shared a million
 *     times over, or with a length of 2^32.
 */

import { isUint8Array } from 'node:util/types'

import { VarveError } from '../errors.ts'
import { MAX_KEY_BYTES, MAX_KEY_DEPTH } from '../limits.ts'
import { encodedLength } from './encode.ts'
import { describeType } from './format.ts'
import type { Key } from './key.ts'

/**
 * Takes a value of the caller as a key: checks it, makes -0 of 0, and copies what is mutable.
 *
 * Strings, numbers, bigints and booleans are returned as they are. A Uint8Array (a subclass such as Buffer too) becomes
 * a plain private Uint8Array, an array a private frozen tuple of admitted keys.
 *
 * @throws VarveError `INVALID_KEY` for anything else, saying what it is and where: `key[1][0] is NaN`.
 */
export function admitKey(key: unknown): Key {
  if (typeof key === 'string' && key.length <= SHORT_CHARACTERS) return key
  if (typeof key === 'number' && key === key) return key + 0 // -0 + 0 is 0
  return admitAny(key, 'key')
}

/** As {@link admitKey}, with the name that messages give to the value: `range.gt is NaN`. */
export function admitKeyAs(key: unknown, name: string): Key {
  if (typeof key === 'string' && key.length <= SHORT_CHARACTERS) return key
  if (typeof key === 'number' && key === key) return key + 0
  return admitAny(key, name)
}

/** Strings up to here fit whatever they hold: a code unit takes at most three bytes, the key around it two. */
const SHORT_CHARACTERS = Math.floor((MAX_KEY_BYTES - 2) / 3)

/**
 * Makes a key of the database safe to hand to the caller: bytes are copied, alone or in a tuple; every other key is
 * returned as it is, a tuple without bytes included, for it is frozen through and through.
 */
export function releaseKey(key: Key): Key {
  return typeof key === 'object' ? releaseObject(key) : key
}

function releaseObject(key: Uint8Array | readonly Key[]): Key {
  if (!Array.isArray(key)) return (key as Uint8Array).slice()
  return holdsBytes(key) ? Object.freeze(key.map(releaseKey)) : key
}

function holdsBytes(tuple: readonly Key[]): boolean {
  for (let i = 0; i < tuple.length; i++) {
    const element = tuple[i] as Key
    if (typeof element === 'object' && (!Array.isArray(element) || holdsBytes(element))) return true
  }
  return false
}

function admitAny(value: unknown, name: string): Key {
  const admission = new Admission(name)
  const key = admission.admit(value)
  if (admission.most > MAX_KEY_BYTES && encodedLength(key) > MAX_KEY_BYTES) throw admission.tooLong()
  return key
}

/**
 * One key on its way in. The size of its encoding is kept between two bounds that cost nothing to find; only a key whose
 * bounds lie on both sides of the limit is measured.
 */
class Admission {
  readonly name: string
  /** Where in nested tuples the value at hand stands: one index for each tuple around it. */
  readonly path: number[]
  /** The encoding takes at least `least` and at most `most` bytes. */
  least: number
  most: number

  constructor(name: string) {
    this.name = name
    this.path = []
    this.least = 0
    this.most = 0
  }

  admit(value: unknown): Key {
    switch (typeof value) {
      case 'string':
        this.count(value.length + 2, 3 * value.length + 2)
        return value
      case 'number':
        if (Number.isNaN(value)) throw this.refuse(value)
        this.count(NUMERIC_LEAST_BYTES, NUMERIC_LEAST_BYTES)
        return value + 0
      case 'bigint':
        return this.admitBigint(value)
      case 'boolean':
        this.count(1, 1)
        return value
      default:
        if (Array.isArray(value)) return this.admitTuple(value)
        if (isUint8Array(value)) return this.admitBytes(value)
        throw this.refuse(value)
    }
  }

  /** A bigint of megabytes is refused without being read: only as many of its bits as may pass are looked at. */
  admitBigint(value: bigint): bigint {
    if (BigInt.asIntN(SMALL_BIGINT_BITS, value) === value) {
      this.count(NUMERIC_LEAST_BYTES, SMALL_BIGINT_BYTES)
    } else {
      if (BigInt.asIntN(8 * MAX_KEY_BYTES, value) !== value) throw this.tooLong()
      const bytes = encodedLength(value)
      this.count(bytes, bytes)
    }
    return value
  }

  admitBytes(value: Uint8Array): Uint8Array {
    if (value.length > MAX_KEY_BYTES) throw this.tooLong()
    const bytes = copyBytes(value)
    if (bytes === undefined) throw this.invalid(`${this.where()} is a Uint8Array whose buffer is detached`)
    this.count(bytes.length + 2, 2 * bytes.length + 2) // of the copy: a subclass may say what it likes of its length
    return bytes
  }

  admitTuple(value: readonly unknown[]): readonly Key[] {
    const { path } = this
    if (path.length === MAX_KEY_DEPTH) {
      throw this.invalid(`${this.name} is nested more than ${MAX_KEY_DEPTH} tuples deep, or cyclic`)
    }
    this.count(2, 2)
    const { length } = value
    const tuple: Key[] = []
    for (let i = 0; i < length; i++) {
      path.push(i)
      const element = value[i]
      if (element === undefined && !Object.hasOwn(value, i)) throw this.refuseHole()
      tuple.push(this.admit(element))
      path.pop()
    }
    return Object.freeze(tuple)
  }

  count(least: number, most: number): void {
    this.least += least
    this.most += most
    if (this.least > MAX_KEY_BYTES) throw this.tooLong()
  }

  refuse(value: unknown): VarveError {
    return this.invalid(`${this.where()} is ${describeType(value)}; ${WHAT_A_KEY_IS}`)
  }

  refuseHole(): VarveError {
    return this.invalid(`${this.where()} is missing: the array is sparse; ${WHAT_A_KEY_IS}`)
  }

  tooLong(): VarveError {
    return this.invalid(`${this.name} is too long: encoded, a key may take ${MAX_KEY_BYTES} bytes`)
  }

  invalid(message: string): VarveError {
    return new VarveError('INVALID_KEY', message)
  }

  where(): string {
    return this.name + this.path.map((index) => `[${index}]`).join('')
  }
}

/** A plain copy; undefined if the buffer has been transferred away, which nothing in Node 20 tells beforehand. */
function copyBytes(value: Uint8Array): Uint8Array | undefined {
  try {
    return new Uint8Array(value)
  } catch {
    return undefined
  }
}

const WHAT_A_KEY_IS = 'a key is a string, a number but not NaN, a bigint, a boolean, a Uint8Array, or an array of keys'

/** What any number takes, and any bigint at least. */
const NUMERIC_LEAST_BYTES = 10

/** Bigints up to here are not measured: beyond their floor they take a length and no more bytes than they have. */
const SMALL_BIGINT_BITS = 512
const SMALL_BIGINT_BYTES = NUMERIC_LEAST_BYTES + 1 + SMALL_BIGINT_BITS / 8
