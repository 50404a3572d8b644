/** What the types of maplets and merge operators take and refuse. */
import { expectTypeOf } from 'vitest'
import { Maplet, type MergeOperator, merges } from '../../src/maplet/index.ts'

// Each ready-made operator serves every kind of value that it works on.
expectTypeOf(merges.sum).toExtend<MergeOperator<number>>()
expectTypeOf(merges.sum).toExtend<MergeOperator<bigint>>()
expectTypeOf(merges.min).toExtend<MergeOperator<bigint>>()
expectTypeOf(merges.max).toExtend<MergeOperator<number>>()
expectTypeOf(merges.or).toExtend<MergeOperator<boolean>>()
expectTypeOf(merges.or).toExtend<MergeOperator<number>>()
expectTypeOf(merges.and).toExtend<MergeOperator<bigint>>()
expectTypeOf(merges.union).toExtend<MergeOperator<Set<string>>>()
expectTypeOf(merges.union).toExtend<MergeOperator<Set<string>, string[]>>()
expectTypeOf(merges.replace).toExtend<MergeOperator<{ a: number }>>()
expectTypeOf(merges.addVectors).toExtend<MergeOperator<number[]>>()
expectTypeOf(merges.addVectors).toExtend<MergeOperator<Float64Array>>()
expectTypeOf(merges.concat).toExtend<MergeOperator<string>>()
expectTypeOf(merges.concat).toExtend<MergeOperator<number[]>>()
expectTypeOf(merges.concat).toExtend<MergeOperator<Uint8Array>>()
expectTypeOf(merges.append).toExtend<MergeOperator<string[], string>>()

// And no other.
expectTypeOf(merges.sum).not.toExtend<MergeOperator<string>>()
expectTypeOf(merges.or).not.toExtend<MergeOperator<string>>()
expectTypeOf(merges.union).not.toExtend<MergeOperator<string[]>>()
expectTypeOf(merges.addVectors).not.toExtend<MergeOperator<string[]>>()

expectTypeOf(merges.sum.merge(1, 2)).toEqualTypeOf<number>()
expectTypeOf(merges.sum.merge(1n, 2n)).toEqualTypeOf<bigint>()

// A maplet's values come from its operator, or are given.
expectTypeOf(new Maplet()).toEqualTypeOf<Maplet>()
expectTypeOf(new Maplet({ merge: merges.sum })).toEqualTypeOf<Maplet>()
const totals = new Maplet<bigint>({ merge: merges.sum })
expectTypeOf(totals.get('a')).toEqualTypeOf<bigint | undefined>()
expectTypeOf(totals.merge).parameter(0).toEqualTypeOf<Maplet<bigint>>()
const tags = new Maplet<Set<string>>({ merge: merges.union })
expectTypeOf(tags.getAll(['a', 1n])).toEqualTypeOf<Set<string>[]>()
expectTypeOf(tags.entries().next().value).toExtend<[number, Set<string>] | undefined>()

// @ts-expect-error no key
totals.get({})
// @ts-expect-error another kind of value
totals.insert('a', 1)
// @ts-expect-error an operator over operands that are not values
void new Maplet<string[]>({ merge: merges.append })
// @ts-expect-error a misspelt option
void new Maplet({ capcity: 1 })
