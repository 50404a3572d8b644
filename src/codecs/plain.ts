/**
 * Copies of plain objects that take no more memory than an object literal and can be frozen without harm.
 *
 * How V8 lays out an object depends on how it came to be, and the obvious ways lose. Measured on Node 20, an object of
 * three small properties, frozen:
 *
 *   Object.freeze({ ...source })                 216 bytes, a hidden class for each copy, which ruins every reader
 *   Object.freeze(Object.assign({}, source))      56 bytes (five properties: 95), one hidden class
 *   as below                                      48 bytes (five properties: 64), one hidden class: as the literal
 *
 * An object made by a constructor gets as many slots inside as earlier objects of that constructor have used. So there
 * is a constructor for each number of properties, and all of them have `Object.prototype` as the prototype of what they
 * make. On any other engine the objects are the same and only the figures differ.
 */

import { PROPERTIES_INSIDE } from './sizes.ts'

/** A plain object, seen as its properties. */
export type Plain = Record<string, unknown>

/** Names that cannot be given to an object by assignment everywhere. A fixed list: bytes depend on the value alone. */
export const INHERITED_NAMES: ReadonlySet<string> = new Set([
  '__defineGetter__',
  '__defineSetter__',
  '__lookupGetter__',
  '__lookupSetter__',
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'isPrototypeOf',
  'propertyIsEnumerable',
  'toLocaleString',
  'toString',
  'valueOf',
])

type Shell = new () => Plain

/** Code that never runs: V8 counts such assignments when it decides how many slots the first objects get. */
function makeShell(): Shell {
  function Shell(this: Plain, never?: boolean): void {
    if (!never) return
    this['a'] = this['b'] = this['c'] = this['d'] = 0
    this['e'] = this['f'] = this['g'] = this['h'] = 0
  }
  Shell.prototype = Object.prototype
  return Shell as unknown as Shell
}

const SHELLS: readonly Shell[] = Array.from({ length: PROPERTIES_INSIDE + 1 }, makeShell)

/** An empty object with room for so many properties. */
export function emptyObject(count: number): Plain {
  return count <= PROPERTIES_INSIDE ? new (SHELLS[count] as Shell)() : {}
}

/** A copy of the enumerable properties, symbols included, by definition: proof against `__proto__` and inherited setters. */
export function definedCopy(source: object): Plain {
  // Literals that begin with a prototype do not fall under the first line of the table above.
  return { __proto__: Object.prototype, ...source }
}

/** A copy of an object that is known to hold data only and to have Object.prototype or null as its prototype. */
export function compactCopy(source: Plain): Plain {
  if (Object.getPrototypeOf(source) === null) return { __proto__: null, ...source }
  const count = Object.getOwnPropertyNames(source).length
  try {
    const copy = Object.assign(emptyObject(count), source)
    if (Object.getOwnPropertyNames(copy).length === count) return copy
  } catch {
    // An inherited property is read-only: that of a frozen Object.prototype, or of what `__proto__` made the prototype.
  }
  return definedCopy(source)
}
