import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import type { Key } from '../../src/keys/index.ts'
import { NONE, Operands, type Pending, SET, WriteSet } from '../../src/mvcc/write-set.ts'
import type { Leaf } from '../../src/skiplist/core.ts'
import { referenceCompare } from '../keys/reference.ts'
import { key } from '../support/keys.ts'
import { fcParameters } from '../support/random.ts'

describe('WriteSet', () => {
  it('I1: has one pending write for each key, in order of first need, however the key is written', () => {
    const writes = new WriteSet()
    const first = writes.need('a')
    expect(writes.need('a')).toBe(first)
    expect(writes.find('a')).toBe(first)
    expect(writes.find('b')).toBeUndefined()
    const bytes = writes.need(Uint8Array.of(1))
    expect(writes.find(Uint8Array.of(1))).toBe(bytes)
    expect(writes.need(['x', 1])).toBe(writes.need(['x', 1]))
    expect(writes.list.map((pending) => pending.key)).toEqual(['a', Uint8Array.of(1), ['x', 1]])
    expect([first.kind, first.entry]).toEqual([NONE, -1])
  })

  it('tells 1 from 1n, from "1" and from true, below and above the limit for looking at each', () => {
    for (const filler of [0, 20]) {
      const writes = new WriteSet()
      for (let i = 0; i < filler; i++) writes.need(`filler ${i}`)
      const keys: Key[] = [1, 1n, '1', true, [1], Uint8Array.of(1)]
      const pending = keys.map((each) => writes.need(each))
      expect(new Set(pending).size).toBe(keys.length)
      keys.forEach((each, i) => expect(writes.find(each)).toBe(pending[i]))
    }
  })

  it('tells a scan to look again whenever a key is added', () => {
    const writes = new WriteSet()
    const versions = [writes.version]
    writes.need('a')
    versions.push(writes.version)
    writes.need('a')
    versions.push(writes.version)
    writes.need('b')
    versions.push(writes.version)
    expect(new Set(versions).size).toBe(3)
  })

  it('I1, I2: list, map and ordered index hold the same, whenever they are built', () => {
    fc.assert(
      fc.property(fc.array(key, { maxLength: 40 }), fc.nat({ max: 40 }), (keys, sortAt) => {
        const writes = new WriteSet()
        const distinct: Key[] = []
        for (const [i, each] of keys.entries()) {
          if (i === sortAt) writes.sorted()
          const known = distinct.find((other) => referenceCompare(other, each) === 0)
          const pending = writes.need(each)
          pending.kind = SET
          if (known === undefined) distinct.push(each)
          expect(writes.find(each)).toBe(pending)
        }
        expect(writes.list.map((pending) => pending.key)).toEqual(distinct)
        const sorted: Key[] = []
        for (let leaf: Leaf<Key, Pending> | null = writes.sorted().first; leaf !== null; leaf = leaf.next) {
          for (const pending of leaf.values) {
            sorted.push(pending.key)
            expect(writes.list).toContain(pending)
          }
        }
        expect(sorted).toEqual(distinct.toSorted(referenceCompare))
        writes.sorted().check()
      }),
      fcParameters(100),
    )
  })
})

describe('Operands', () => {
  it('come out in the order they were given, and share what came before', () => {
    const first = new Operands(1, null)
    const second = new Operands(2, first)
    const [third, instead] = [new Operands(3, second), new Operands(30, second)]
    expect(first.toArray()).toEqual([1])
    expect(third.toArray()).toEqual([1, 2, 3])
    expect(instead.toArray()).toEqual([1, 2, 30])
    expect(new Operands(undefined, null).toArray()).toEqual([undefined])
  })

  it('may be very many', () => {
    let operands: Operands | null = null
    for (let i = 0; i < 200_000; i++) operands = new Operands(i, operands)
    const all = (operands as Operands).toArray()
    expect([all.length, all[0], all.at(-1)]).toEqual([200_000, 0, 199_999])
  })
})
