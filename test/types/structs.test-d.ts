/** What struct codecs and the tables over them say in types. */
import { describe, expectTypeOf, it } from 'vitest'
import { codecs, type Handle, type StructArray, table } from 'varve'

const point = codecs.struct({ x: 'f64', y: 'f32' })
const accounts = codecs.struct({
  id: 'u32',
  owner: 'string',
  balance: 'i64',
  isOpen: 'bool',
  scores: 'f64[]',
  tags: 'string[]?',
  raw: 'bytes',
  note: 'string?',
  at: { x: 'f64' },
  from: point,
  to: point.optional(),
})
type Account = ReturnType<typeof accounts.decode>
declare const handle: Handle<string, Account>

describe('codecs.struct', () => {
  it('infers the type of values', () => {
    expectTypeOf<Account>().toEqualTypeOf<{
      readonly id: number
      readonly owner: string
      readonly balance: bigint
      readonly isOpen: boolean
      readonly scores: StructArray<number>
      readonly tags?: StructArray<string> | undefined
      readonly raw: Uint8Array
      readonly note?: string | undefined
      readonly at: { readonly x: number }
      readonly from: { readonly x: number; readonly y: number }
      readonly to?: { readonly x: number; readonly y: number } | undefined
    }>()
  })

  it('gives tables their type', () => {
    const orders = table('orders', { value: codecs.struct({ id: 'u32', lines: 'u64[]' }) })
    expectTypeOf(orders.options.value).not.toBeAny()
    expectTypeOf<NonNullable<typeof orders.options.value>['decode']>().returns.toEqualTypeOf<{
      readonly id: number
      readonly lines: StructArray<bigint>
    }>()
  })

  it('takes plain objects, spreads of what was read, arrays and typed arrays', () => {
    const given = {
      id: 1,
      owner: '',
      balance: 1n,
      isOpen: true,
      raw: new Uint8Array(),
      at: { x: 1 },
      from: { x: 1, y: 2 },
    }
    expectTypeOf(handle.set).toBeCallableWith('a', { ...given, scores: [1] })
    expectTypeOf(handle.set).toBeCallableWith('a', { ...given, scores: new Float64Array(3), note: 'n' })
    void handle.update('a', (current) => current && { ...current, balance: current.balance + 1n })
  })

  it('refuses assignment, missing fields and unknown types', () => {
    const view = handle.get('a') as Account
    // @ts-expect-error: fields are read-only
    view.id = 5
    // @ts-expect-error: so are elements
    view.scores[0] = 1
    // @ts-expect-error: a field is missing
    void handle.set('a', { id: 1 })
    // @ts-expect-error: no such type
    codecs.struct({ id: 'u33' })
    // @ts-expect-error: an optional array ends in ?
    codecs.struct({ id: 'u32?[]' })
  })
})
