/**
 * Schemas of structs: checked, as text, and compared.
 *
 * The text of a schema is the name of its codec, which is kept with the data: `struct:{id:u32,scores:f64[]?,at:{x:f64}}`. Two
 * schemas go together if one is the other with optional fields added behind, at any level; then each reads what the other
 * wrote. Which bytes a field has depends on the fields before it only, which is why no other change is possible.
 *
 * I1  Equal texts mean equal layouts. The text of a schema is read back to the same schema.
 * I2  `joined(a, b)` is a schema that extends both, or undefined: it never lets a type change through.
 */
import { VarveError } from '../errors.ts'
import { SCALARS, type ScalarName } from './struct-scalars.ts'

/** One field, checked. */
export interface FieldSpec {
  readonly name: string
  /** A scalar, or the fields of a struct inside. */
  readonly type: ScalarName | readonly FieldSpec[]
  readonly isArray: boolean
  readonly isOptional: boolean
}

/** What schema objects may hold beside text and schemas: something that has been checked already. */
export interface CheckedStruct {
  readonly fields: readonly FieldSpec[]
  readonly isOptional: boolean
}

/** Structs inside structs; bounds the recursion of everything that walks them. */
const MAX_STRUCT_DEPTH = 32
/** Fields of one struct. */
const MAX_FIELDS = 1000
const PREFIX = 'struct:'
const TYPE = /^([a-z]+\d*)(\[\])?(\?)?$/
const PLAIN_NAME = /^[A-Za-z_$][\w$]*$/

/**
 * The fields of a schema.
 * @throws VarveError `INVALID_ARGUMENT`, naming the field.
 */
export function checkSchema(
  schema: unknown,
  checked: (field: object) => CheckedStruct | undefined,
): readonly FieldSpec[] {
  return checkFields(schema, 'schema', 1, checked)
}

function checkFields(
  schema: unknown,
  path: string,
  depth: number,
  checked: (field: object) => CheckedStruct | undefined,
): readonly FieldSpec[] {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
    throw refused(path, 'is not an object of fields, such as { id: "u32" }')
  }
  if (depth > MAX_STRUCT_DEPTH) throw refused(path, `is more than ${MAX_STRUCT_DEPTH} structs deep`)
  const entries = Object.entries(schema)
  if (entries.length === 0) throw refused(path, 'has no fields')
  if (entries.length > MAX_FIELDS) throw refused(path, `has more than ${MAX_FIELDS} fields`)
  return entries.map(([name, field]: [string, unknown]): FieldSpec => {
    const at = `${path}.${PLAIN_NAME.test(name) ? name : JSON.stringify(name)}`
    if (name === '' || name === '__proto__') throw refused(at, 'has a name that no field can have')
    if (typeof field === 'string') return checkText(name, field, at)
    if (Array.isArray(field)) throw refused(at, 'is an array: arrays of scalars are written as "u8[]"')
    if (typeof field !== 'object' || field === null) throw refused(at, 'is neither the name of a type nor a struct')
    const known = checked(field)
    if (known !== undefined) return { name, type: known.fields, isArray: false, isOptional: known.isOptional }
    return { name, type: checkFields(field, at, depth + 1, checked), isArray: false, isOptional: false }
  })
}

function checkText(name: string, text: string, at: string): FieldSpec {
  const [, scalar, array, optional] = TYPE.exec(text) ?? []
  if (scalar === undefined || !SCALARS.has(scalar as ScalarName)) {
    const known = [...SCALARS.keys()].join(', ')
    throw refused(at, `is of no known type; there are ${known}, each with [] behind it for an array and ? if optional`)
  }
  return { name, type: scalar as ScalarName, isArray: array !== undefined, isOptional: optional !== undefined }
}

function refused(path: string, problem: string): VarveError {
  return new VarveError('INVALID_ARGUMENT', `${path} of codecs.struct ${problem}`)
}

/** The name of the codec of such fields (I1). */
export function structName(fields: readonly FieldSpec[]): `struct:${string}` {
  return `${PREFIX}${textOf(fields)}`
}

/** Whether a codec name is that of a struct, by its look. */
export function isStructName(name: string): boolean {
  return name.startsWith(PREFIX)
}

function textOf(fields: readonly FieldSpec[]): string {
  const parts = fields.map(({ name, type, isArray, isOptional }) => {
    const label = PLAIN_NAME.test(name) ? name : JSON.stringify(name)
    return `${label}:${typeof type === 'string' ? type : textOf(type)}${isArray ? '[]' : ''}${isOptional ? '?' : ''}`
  })
  return `{${parts.join(',')}}`
}

/** The fields behind a codec name, or undefined if it is none of a struct. */
export function parseName(name: string): readonly FieldSpec[] | undefined {
  if (!isStructName(name)) return undefined
  const reader = new NameReader(name.slice(PREFIX.length))
  const fields = reader.fields(1)
  return fields !== undefined && reader.isAtEnd && structName(fields) === name ? fields : undefined
}

const TOKEN = /[{},:?]|\[\]|[\w$]+|"(?:[^"\\]|\\.)*"/y

class NameReader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  get isAtEnd(): boolean {
    return this.#at === this.#text.length
  }

  fields(depth: number): readonly FieldSpec[] | undefined {
    if (depth > MAX_STRUCT_DEPTH || !this.#takes('{')) return undefined
    const fields: FieldSpec[] = []
    do {
      const field = this.#field(depth)
      if (field === undefined) return undefined
      fields.push(field)
    } while (this.#takes(','))
    return this.#takes('}') ? fields : undefined
  }

  #field(depth: number): FieldSpec | undefined {
    const name = this.#name(this.#next())
    if (name === undefined || !this.#takes(':')) return undefined
    const type = this.#text[this.#at] === '{' ? this.fields(depth + 1) : this.#scalar()
    if (type === undefined) return undefined
    const isArray = this.#takes('[]')
    return { name, type, isArray, isOptional: this.#takes('?') }
  }

  #name(token: string): string | undefined {
    if (!token.startsWith('"')) return PLAIN_NAME.test(token) ? token : undefined
    try {
      return JSON.parse(token) as string
    } catch {
      return undefined
    }
  }

  #scalar(): ScalarName | undefined {
    const token = this.#next() as ScalarName
    return SCALARS.has(token) ? token : undefined
  }

  #peek(): string {
    TOKEN.lastIndex = this.#at
    return TOKEN.exec(this.#text)?.[0] ?? ''
  }

  #next(): string {
    const token = this.#peek()
    this.#at += token.length
    return token
  }

  #takes(wanted: string): boolean {
    if (this.#peek() !== wanted) return false
    this.#at += wanted.length
    return true
  }
}

/**
 * The name of a codec that reads what codecs of both names wrote (I2): for equal names that name, for structs of which one
 * extends the other the longer one; undefined if there is none, so that a table of one may not be opened with the other.
 */
export function joinedCodecName(a: string, b: string): string | undefined {
  if (a === b) return a
  const fieldsA = parseName(a)
  const fieldsB = parseName(b)
  if (fieldsA === undefined || fieldsB === undefined) return undefined
  const joined = joinedFields(fieldsA, fieldsB)
  return joined === undefined ? undefined : structName(joined)
}

function joinedFields(a: readonly FieldSpec[], b: readonly FieldSpec[]): readonly FieldSpec[] | undefined {
  const [shorter, longer] = a.length <= b.length ? [a, b] : [b, a]
  const fields: FieldSpec[] = []
  for (const [i, field] of longer.entries()) {
    const other = shorter[i]
    const joined = other === undefined ? (field.isOptional ? field : undefined) : joinedField(field, other)
    if (joined === undefined) return undefined
    fields.push(joined)
  }
  return fields
}

function joinedField(a: FieldSpec, b: FieldSpec): FieldSpec | undefined {
  if (a.name !== b.name || a.isArray !== b.isArray || a.isOptional !== b.isOptional) return undefined
  if (typeof a.type === 'string' || typeof b.type === 'string') return a.type === b.type ? a : undefined
  const type = joinedFields(a.type, b.type)
  return type === undefined ? undefined : { ...a, type }
}
