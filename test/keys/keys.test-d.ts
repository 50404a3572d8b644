import { describe, expectTypeOf, it } from 'vitest'

import { admitKey, type Key, type KeyCodec, keys, type KeyPrefix, type Range } from '../../src/keys/index.ts'

describe('Key', () => {
  it('takes keys and nothing else', () => {
    expectTypeOf<string | number | bigint | boolean | Uint8Array>().toExtend<Key>()
    expectTypeOf<readonly [account: string, at: readonly [number, bigint]]>().toExtend<Key>()
    expectTypeOf<Buffer>().toExtend<Key>()
    expectTypeOf<undefined>().not.toExtend<Key>()
    expectTypeOf<null>().not.toExtend<Key>()
    expectTypeOf<Date>().not.toExtend<Key>()
    expectTypeOf<symbol>().not.toExtend<Key>()
    expectTypeOf<[string, undefined]>().not.toExtend<Key>()
    expectTypeOf(admitKey).returns.toEqualTypeOf<Key>()
  })
})

describe('key codecs', () => {
  it('infer the type of the keys', () => {
    expectTypeOf(keys.string()).toEqualTypeOf<KeyCodec<string>>()
    expectTypeOf(keys.u64()).toEqualTypeOf<KeyCodec<bigint>>()
    expectTypeOf(keys.float64()).toEqualTypeOf<KeyCodec<number>>()
    expectTypeOf(keys.bytes()).toEqualTypeOf<KeyCodec<Uint8Array>>()
    expectTypeOf(keys.tuple(keys.string(), keys.float64())).toEqualTypeOf<KeyCodec<readonly [string, number]>>()
    expectTypeOf(keys.tuple(keys.string(), keys.tuple(keys.i64(), keys.bytes()))).toEqualTypeOf<
      KeyCodec<readonly [string, readonly [bigint, Uint8Array]]>
    >()
    expectTypeOf(keys.tuple()).toEqualTypeOf<KeyCodec<readonly []>>()
  })

  it('refuse what is no codec', () => {
    // @ts-expect-error a codec, not its factory
    keys.tuple(keys.string)
    // @ts-expect-error codecs, not types
    keys.tuple('string')
  })
})

describe('Range', () => {
  it('takes bounds of the type of the keys', () => {
    expectTypeOf<{ gt: 'a'; limit: 5 }>().toExtend<Range<string>>()
    expectTypeOf<{ gt: undefined; reverse: undefined }>().toExtend<Range<string>>()
    expectTypeOf<{ gt: number }>().not.toExtend<Range<string>>()
    const range: Range<string> = {}
    range.gte = 'a'
    // @ts-expect-error misspelt
    range.greaterThan = 'a'
  })

  it('takes as a prefix what its keys can start with', () => {
    expectTypeOf<KeyPrefix<string>>().toEqualTypeOf<string>()
    expectTypeOf<KeyPrefix<`user:${string}`>>().toEqualTypeOf<string>()
    expectTypeOf<KeyPrefix<Uint8Array>>().toEqualTypeOf<Uint8Array>()
    expectTypeOf<KeyPrefix<number>>().toEqualTypeOf<never>()
    expectTypeOf<KeyPrefix<unknown>>().toEqualTypeOf<unknown>()
    expectTypeOf<KeyPrefix<[account: string, at: number]>>().toEqualTypeOf<
      readonly [] | readonly [string] | readonly [string, number]
    >()
    expectTypeOf<readonly [string]>().toExtend<KeyPrefix<readonly [string, number]>>()
    expectTypeOf<readonly [string, number]>().toExtend<KeyPrefix<readonly [string, number]>>()
    expectTypeOf<readonly [number]>().not.toExtend<KeyPrefix<readonly [string, number]>>()
    expectTypeOf<readonly [string, number, boolean]>().not.toExtend<KeyPrefix<readonly [string, number]>>()
    expectTypeOf<readonly Key[]>().toExtend<KeyPrefix<Key>>()
    expectTypeOf<string>().toExtend<KeyPrefix<Key>>()
  })
})
