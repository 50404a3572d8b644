import { describe, expectTypeOf, it } from 'vitest'

import { codecs, residentOf, type Resident, type ValueCodec } from '../../src/codecs/index.ts'

interface Account {
  readonly id: number
  readonly tags: ReadonlySet<string>
}

describe('codecs', () => {
  it('say what they carry', () => {
    expectTypeOf(codecs.structured()).toEqualTypeOf<ValueCodec<unknown>>()
    expectTypeOf(codecs.structured<Account>()).toEqualTypeOf<ValueCodec<Account>>()
    expectTypeOf(codecs.string()).toEqualTypeOf<ValueCodec<string>>()
    expectTypeOf(codecs.boolean()).toEqualTypeOf<ValueCodec<boolean>>()
    expectTypeOf(codecs.bytes()).toEqualTypeOf<ValueCodec<Uint8Array>>()
    expectTypeOf(codecs.bytesView()).toEqualTypeOf<ValueCodec<Uint8Array>>()
    expectTypeOf(codecs.int32()).toEqualTypeOf<ValueCodec<number>>()
    expectTypeOf(codecs.float64()).toEqualTypeOf<ValueCodec<number>>()
    expectTypeOf(codecs.bigint64()).toEqualTypeOf<ValueCodec<bigint>>()
    expectTypeOf(residentOf(codecs.string())).toEqualTypeOf<Resident<string>>()
  })

  it('take their type from where they are used', () => {
    const ofAccounts: ValueCodec<Account> = codecs.structured()
    expectTypeOf(ofAccounts.decode(new Uint8Array())).toEqualTypeOf<Account>()
    const infer = <V>(options: { value: ValueCodec<V> }): V => options.value.decode(new Uint8Array())
    expectTypeOf(infer<number>).returns.toEqualTypeOf<number>()
    expectTypeOf(infer({ value: codecs.bigint64() })).toEqualTypeOf<bigint>()
  })

  it('are not interchangeable', () => {
    expectTypeOf(codecs.int32()).not.toExtend<ValueCodec<bigint>>()
    expectTypeOf(codecs.string()).not.toExtend<ValueCodec<Uint8Array>>()
  })
})
