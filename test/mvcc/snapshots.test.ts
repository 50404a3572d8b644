import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { SnapshotSet, type SnapshotSlot } from '../../src/mvcc/snapshots.ts'
import { Version } from '../../src/mvcc/version.ts'
import { fcParameters } from '../support/random.ts'
import { makeStore } from './fixtures.ts'

describe('SnapshotSet', () => {
  it('is empty at first', () => {
    const set = new SnapshotSet()
    expect([set.size, set.newest(), set.oldest()]).toEqual([0, -1, Infinity])
    expect(set.newestWithin(0, Infinity)).toBeNull()
  })

  it('I1: one slot for one sequence, however many hold it', () => {
    const set = new SnapshotSet()
    const slot = set.acquire(5)
    expect(set.acquire(5)).toBe(slot)
    expect([set.size, slot.holders]).toEqual([1, 2])
    expect(set.release(slot)).toBe(false)
    expect(set.size).toBe(1)
    expect(set.release(slot)).toBe(true)
    expect(set.size).toBe(0)
  })

  it('opens in the past only what is open', () => {
    const set = new SnapshotSet()
    const old = set.acquire(3)
    set.acquire(7)
    expect(set.acquire(3)).toBe(old)
    expect(() => set.acquire(5)).toThrow(/past/)
    set.release(old)
    set.release(old)
    expect(() => set.acquire(3)).toThrow(/past/)
    expect(set.acquire(9).sequence).toBe(9)
  })

  it('newestWithin tells whether anybody reads in [from, to)', () => {
    const set = new SnapshotSet()
    for (const sequence of [2, 5, 9]) set.acquire(sequence)
    const within = (from: number, to: number): number | undefined => set.newestWithin(from, to)?.sequence
    expect(within(2, 3)).toBe(2)
    expect(within(3, 5)).toBeUndefined()
    expect(within(3, 6)).toBe(5)
    expect(within(0, 100)).toBe(9)
    expect(within(9, 9)).toBeUndefined()
    expect(within(10, 100)).toBeUndefined()
    expect(within(0, 2)).toBeUndefined()
  })

  it('I1: agrees with a multiset of numbers, at any height of the clock', () => {
    const step = fc.record({
      open: fc.boolean(),
      ahead: fc.nat({ max: 2 }),
      which: fc.nat(),
      from: fc.nat({ max: 40 }),
      width: fc.nat({ max: 10 }),
    })
    fc.assert(
      fc.property(
        fc.constantFrom(0, 2 ** 31 - 20, 2 ** 53 - 10_000),
        fc.array(step, { maxLength: 120 }),
        (first, steps) => {
          const set = new SnapshotSet()
          const held: SnapshotSlot[] = []
          let clock = first
          for (const { open, ahead, which, from, width } of steps) {
            clock += ahead
            if (open || held.length === 0)
              held.push(
                set.acquire(
                  which % 4 === 0 && held.length > 0 ? (held[which % held.length] as SnapshotSlot).sequence : clock,
                ),
              )
            else {
              const [slot] = held.splice(which % held.length, 1) as [SnapshotSlot]
              const last = !held.includes(slot)
              expect(set.release(slot)).toBe(last)
            }
            set.check()
            const sequences = [...new Set(held.map(({ sequence }) => sequence))].sort((a, b) => a - b)
            expect(set.slots.map(({ sequence }) => sequence)).toEqual(sequences)
            expect(set.newest()).toBe(sequences.at(-1) ?? -1)
            expect(set.oldest()).toBe(sequences[0] ?? Infinity)
            const [low, high] = [first + from, first + from + width]
            const expected = sequences.filter((sequence) => sequence >= low && sequence < high).at(-1)
            expect(set.newestWithin(low, high)?.sequence).toBe(expected)
          }
        },
      ),
      fcParameters(100),
    )
  })

  it('I1: check() finds slots out of order and slots that nobody holds', () => {
    const set = new SnapshotSet()
    const [first, second] = [set.acquire(1), set.acquire(2)]
    second.holders = 0
    expect(() => set.check()).toThrow(/I1/)
    second.holders = 1
    set.slots.reverse()
    expect(() => set.check()).toThrow(/I1/)
    set.slots.reverse()
    set.check()
    expect(first.holders).toBe(1)
  })

  it('I2: a slot keeps the versions filed under it, in order', () => {
    const store = makeStore()
    const slot = new SnapshotSet().acquire(5)
    expect(slot.garbage).toBeNull()
    const meta = store.needMeta(store.create('k'))
    const versions = [new Version(meta, 1, 2, 'a', 1, 0, null), new Version(meta, 2, 6, 'b', 1, 0, null)]
    for (const version of versions) slot.file(version)
    expect(slot.garbage).toEqual(versions)
  })

  it('looks at no clock for what is open for a tick, and tells the age of the oldest of the others', () => {
    let [now, looks] = [100, 0]
    const set = new SnapshotSet(() => {
      looks++
      return now
    })
    expect([set.ageMs(), looks]).toEqual([0, 0])
    const brief = set.acquire(1, true)
    expect([set.ageMs(), looks]).toEqual([0, 0])
    set.acquire(2)
    now = 130
    expect(set.ageMs()).toBe(30)
    // Whoever stays at the sequence of one that does not gives it an age.
    expect(set.acquire(1)).toBe(brief)
    now = 150
    expect(set.ageMs()).toBe(20)
  })
})
