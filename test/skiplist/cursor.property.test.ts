/** Cursors against a sorted array that changes between their steps. */
import { describe, expect, it } from 'vitest'
import type { Key } from '../../src/keys/index.ts'
import { Cursor, OrderedIndex } from '../../src/skiplist/core.ts'
import { Random, runs } from '../support/random.ts'
import { families, SortedArray } from './model.ts'

/** A cursor beside what it should do: a position is a key and whether it is at, before or after it, or an end. */
class Follower {
  readonly cursor: Cursor<Key, number>
  readonly model: SortedArray<Key, number>
  side: 'start' | 'end' | 'before' | 'at' | 'after' = 'start'
  key: Key = ''

  constructor(index: OrderedIndex<Key, number>, model: SortedArray<Key, number>) {
    this.cursor = new Cursor(index)
    this.model = model
  }

  /** Index in the model of what next() should give. */
  ahead(): number {
    if (this.side === 'start') return 0
    if (this.side === 'end') return this.model.keys.length
    return this.side === 'before' ? this.model.lowerBound(this.key) : this.model.upperBound(this.key)
  }

  /** Index in the model of what prev() should give. */
  behind(): number {
    if (this.side === 'start') return -1
    if (this.side === 'end') return this.model.keys.length - 1
    return (this.side === 'after' ? this.model.upperBound(this.key) : this.model.lowerBound(this.key)) - 1
  }

  seek(random: Random, key: Key): void {
    const inclusive = random.chance(0.5)
    switch (random.int(4)) {
      case 0:
        this.cursor.seek(key, inclusive)
        this.side = inclusive ? 'before' : 'after'
        break
      case 1:
        this.cursor.seekReverse(key, inclusive)
        this.side = inclusive ? 'after' : 'before'
        break
      case 2:
        this.cursor.seekFirst()
        this.side = 'start'
        break
      default:
        this.cursor.seekLast()
        this.side = 'end'
    }
    this.key = key
  }

  step(forward: boolean): void {
    const at = forward ? this.ahead() : this.behind()
    this.arrived(forward ? this.cursor.next() : this.cursor.prev(), at)
  }

  /** Over the rest of the leaf ahead, whatever its size: it must hold exactly what follows in the model. */
  skip(): void {
    const leaf = this.cursor.peekLeaf()
    const at = this.ahead()
    if (leaf === null) {
      expect(this.model.keys[at]).toBe(undefined)
      expect(this.cursor.skipLeaf()).toBe(false)
      return
    }
    expect(leaf.values).toContain(this.model.values[at])
    this.arrived(this.cursor.skipLeaf(), this.model.values.indexOf(leaf.values.at(-1)!))
  }

  private arrived(moved: boolean, at: number): void {
    expect(moved).toBe(at in this.model.keys)
    if (!moved) return
    expect(this.cursor.key).toEqual(this.model.keys[at])
    expect(this.cursor.value).toBe(this.model.values[at])
    expect(this.cursor.leaf.values).toContain(this.cursor.value)
    this.key = this.cursor.key
    this.side = 'at'
  }
}

describe.each(families)('cursors over $name keys', (family) => {
  it('step to the nearest key in the index as it then is, in both directions (C1)', () => {
    for (let round = 0; round < runs(2); round++) {
      const random = new Random(`cursor ${family.name} ${round}`)
      const index = new OrderedIndex<Key, number>(family.compare)
      const model = new SortedArray<Key, number>(family.compare)
      const followers = Array.from({ length: 4 }, () => new Follower(index, model))
      const spread = random.pick([60, 600, 6000])
      for (let i = 0; i < 3000; i++) {
        const key = family.make(random, spread)
        // Phases of growth and of decay, so that leaves split and merge under the cursors.
        const growing = i % 1500 < 900
        if (random.chance(0.6)) {
          if (model.has(key)) {
            if (!growing || random.chance(0.2)) expect(index.remove(key)).toBe(model.delete(key))
          } else if (growing || random.chance(0.2)) {
            index.insert(key, i)
            model.set(key, i)
          }
          if (!growing && model.keys.length > 0) {
            const doomed = random.pick(model.keys)
            index.remove(doomed)
            model.delete(doomed)
          }
        } else if (random.chance(0.001)) {
          index.clear()
          model.clear()
        }
        const follower = random.pick(followers)
        if (random.chance(0.02)) follower.seek(random, key)
        else if (random.chance(0.05)) follower.skip()
        else follower.step(random.chance(0.7))
      }
      index.check()
    }
  })
})
