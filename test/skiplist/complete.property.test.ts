/** A leaf is complete only if whatever its interval was part of was so: I7, against keys that are known not to be there. */
import { describe, expect, it } from 'vitest'
import { compareKeys, type Key } from '../../src/keys/index.ts'
import { OrderedIndex } from '../../src/skiplist/core.ts'
import { Random, runs } from '../support/random.ts'

const SPREAD = 3000

class Subject {
  readonly index = new OrderedIndex<Key, number>(compareKeys)
  readonly random: Random
  /** Keys that are elsewhere: whoever knew of them would not call their leaf complete. */
  readonly elsewhere: number[] = []
  readonly toKey: (number: number) => Key

  constructor(random: Random, toKey: (number: number) => Key) {
    this.random = random
    this.toKey = toKey
    for (let i = 0; i < 12; i++) this.elsewhere.push(random.int(SPREAD))
  }

  /** Tells the truth about every leaf. */
  tell(): void {
    for (const leaf of this.index.leaves) if (leaf !== undefined) leaf.complete = true
    for (const number of this.elsewhere) this.index.seekLeaf(this.toKey(number)).complete = false
  }

  /** Inserts or removes neighbours. */
  step(insertions: number): void {
    const { index, random } = this
    const from = random.int(SPREAD)
    const count = random.pick([1, 1, 10, 60])
    const inserts = random.chance(insertions)
    for (let i = 0; i < count; i++) {
      const number = (from + i) % SPREAD
      const key = this.toKey(number)
      if (this.elsewhere.includes(number)) continue
      if (!inserts) index.remove(key)
      else if (index.get(key) === undefined) index.insert(key, number)
    }
    if (random.chance(0.002)) index.clear()
  }

  verify(): void {
    const { index, elsewhere, toKey } = this
    const wrong = elsewhere.filter((number) => index.seekLeaf(toKey(number)).complete)
    expect(wrong).toEqual([])
  }
}

describe('complete leaves of an index', () => {
  it.each([
    ['numbers', (number: number): Key => number],
    ['strings', (number: number): Key => `key ${String(number).padStart(6, '0')}`],
    ['mixed', (number: number): Key => (number % 2 === 0 ? [number] : [number, 'a'])],
  ])('stay so only as long as that is true (I7), %s', (_, toKey) => {
    let complete = 0
    for (let run = 0; run < runs(15); run++) {
      const random = new Random(`complete leaves ${run}`)
      const subject = new Subject(random, toKey)
      for (let phase = 0; phase < 8; phase++) {
        const insertions = random.pick([0.3, 0.5, 0.8])
        for (let step = 0; step < 60; step++) {
          subject.step(insertions)
          subject.verify()
        }
        complete += subject.index.leaves.filter((leaf) => leaf !== undefined && leaf.complete).length
        subject.index.check()
        subject.tell()
      }
    }
    // Otherwise nothing would be.
    expect(complete).toBeGreaterThan(0)
  })
})
