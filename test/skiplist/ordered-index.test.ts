/** The index at its limits: where leaves and nodes split, share and merge, and what owners rely on meanwhile. */
import { describe, expect, it } from 'vitest'
import { compareKeys, type Key } from '../../src/keys/index.ts'
import { type Leaf, OrderedIndex } from '../../src/skiplist/core.ts'
import { LEAF_MIN, MERGE_MAX } from '../../src/skiplist/leaf.ts'

const name = (i: number): string => `k${String(i).padStart(6, '0')}`

function filled(from: number, to: number, step = 1): OrderedIndex<Key, number> {
  const index = new OrderedIndex<Key, number>(compareKeys)
  for (let i = from; i < to; i += step) index.insert(name(i), i)
  return index
}

function leavesOf<K, V>(index: OrderedIndex<K, V>): Leaf<K, V>[] {
  const leaves: Leaf<K, V>[] = []
  for (let leaf: Leaf<K, V> | null = index.first; leaf !== null; leaf = leaf.next) leaves.push(leaf)
  return leaves
}

/** The share of entries whose hint does not tell them from the one before. */
function alikeHints(index: OrderedIndex<Key, number>): number {
  let alike = 0
  for (const { id, keys } of leavesOf(index)) {
    for (let i = 1; i < keys.length; i++) if (index.hints.at(id, i) === index.hints.at(id, i - 1)) alike++
  }
  return alike / index.size
}

const sizes = (index: OrderedIndex<Key, number>): number[] => leavesOf(index).map(({ keys }) => keys.length)

describe('splits', () => {
  it('holds 64 entries in one leaf and needs a second for the 65th', () => {
    const index = filled(0, 64)
    expect([sizes(index), index.height]).toEqual([[64], 0])
    index.insert(name(64), 64)
    expect([sizes(index), index.height]).toEqual([[64, 1], 1])
    index.check()
  })

  it('halves a leaf for a key in its middle', () => {
    const index = filled(0, 128, 2)
    index.insert(name(63), 63)
    expect(sizes(index)).toEqual([33, 32])
    index.check()
  })

  it('leaves full leaves behind an ascending load, of whatever type', () => {
    for (const make of [name, (i: number): Key => i, (i: number): Key => [i, 'a'], (i: number): Key => BigInt(i)]) {
      const index = new OrderedIndex<Key, number>(compareKeys)
      for (let i = 0; i < 10_000; i++) index.insert(make(i), i)
      index.check()
      expect(new Set(sizes(index).slice(0, -1))).toEqual(new Set([64]))
    }
  })

  it('leaves three quarters behind loads that ascend elsewhere, or descend', () => {
    const middle = filled(0, 200, 100)
    for (let i = 1; i < 5000; i++) middle.insert(name(0) + name(i), i)
    middle.check()
    expect(middle.size / leavesOf(middle).length).toBeGreaterThan(45)
    const descending = new OrderedIndex<Key, number>(compareKeys)
    for (let i = 5000; i > 0; i--) descending.insert(name(i), i)
    descending.check()
    expect(descending.size / leavesOf(descending).length).toBeGreaterThan(45)
  })
})

describe('merges', () => {
  it('merges a leaf that falls below 16 with a neighbour, if both fit well into one', () => {
    const index = filled(0, 128, 2)
    index.insert(name(63), 63)
    const [left, right] = leavesOf(index)
    expect(right!.keys).toHaveLength(32)
    for (let i = 0; i < 33 - LEAF_MIN; i++) index.remove(left!.keys[0]!)
    expect(sizes(index)).toEqual([LEAF_MIN, 32])
    index.remove(left!.keys[0]!)
    expect([sizes(index), index.height]).toEqual([[LEAF_MIN - 1 + 32], 0])
    expect(index.leaves[right!.id]).toBe(undefined)
    index.check()
  })

  it('borrows if they would not', () => {
    const index = filled(0, 128)
    const total = LEAF_MIN - 1 + 64
    expect(total).toBeGreaterThan(MERGE_MAX)
    for (let i = 0; i < 64 - LEAF_MIN + 1; i++) index.remove(name(i))
    expect(sizes(index)).toEqual([total >> 1, total - (total >> 1)])
    index.check()
    expect(index.get(name(90))).toBe(90)
    index.check()
  })

  it('works as a queue and as a stack at the end of a long list', () => {
    const index = filled(0, 6400)
    for (let i = 6400; i < 20_000; i++) {
      index.insert(name(i), i)
      index.remove(name(i - 6400))
    }
    index.check()
    for (let round = 0; round < 1000; round++) {
      index.insert(name(20_000), 0)
      index.insert(name(20_001), 0)
      index.remove(name(20_001))
      index.remove(name(20_000))
    }
    index.check()
    expect(index.size).toBe(6400)
  })
})

describe('what owners rely on', () => {
  it('tells of every entry that moves, once the index is consistent, and of no other', () => {
    const moves: [number, number][] = []
    const index: OrderedIndex<Key, number> = new OrderedIndex<Key, number>(compareKeys, (value, leaf) => {
      index.check()
      expect(leaf.values).toContain(value)
      moves.push([value, leaf.id])
    })
    for (let i = 0; i < 128; i += 2) index.insert(name(i), i)
    expect(moves).toEqual([])
    index.insert(name(63), 63)
    const moved = [...index.last.values]
    expect(moves).toEqual(moved.map((value) => [value, index.last.id]))
    moves.length = 0
    for (let i = 0; index.height > 0; i += 2) index.remove(name(i))
    expect(moves).toEqual(moved.map((value) => [value, index.first.id]))
  })

  it('keeps stamps: halves of a split inherit, a merge and a borrow keep the maximum (I6)', () => {
    const split = filled(0, 128, 2)
    split.stamps[split.first.id] = 7
    split.insert(name(63), 63)
    expect(leavesOf(split).map(({ id }) => split.stamps[id])).toEqual([7, 7])
    split.stamps[split.last.id] = 2 ** 40
    for (let i = 0; split.height > 0; i += 2) split.remove(name(i))
    expect(split.stamps[split.first.id]).toBe(2 ** 40)

    const borrowing = filled(0, 128)
    borrowing.stamps[borrowing.first.id] = 3
    borrowing.stamps[borrowing.last.id] = 9
    for (let i = 0; sizes(borrowing)[1] === 64; i++) borrowing.remove(name(i))
    expect(leavesOf(borrowing).map(({ id }) => borrowing.stamps[id])).toEqual([9, 9])

    const cleared = filled(0, 300)
    cleared.stamps[cleared.last.id] = 11
    cleared.clear()
    expect(cleared.stamps[cleared.first.id]).toBe(11)
  })

  it('changes the version of every leaf it touches, dying ones included', () => {
    const index = filled(0, 128)
    const [left, right] = leavesOf(index) as [Leaf<Key, number>, Leaf<Key, number>]
    const changed = (leaf: Leaf<Key, number>, action: () => unknown): boolean => {
      const { version } = leaf
      action()
      return leaf.version !== version
    }
    expect(changed(right, () => index.remove(name(5)))).toBe(false)
    expect(changed(left, () => index.remove(name(6)))).toBe(true)
    expect(changed(right, () => index.remove(name(1000)))).toBe(false)
    expect(changed(right, () => index.insert(name(128), 0))).toBe(true)
    expect(
      changed(left, () => {
        for (let i = 64; i < 128; i++) index.remove(name(i))
      }),
    ).toBe(true)
    const merged = filled(0, 128)
    const dead = merged.last
    expect(
      changed(dead, () => {
        for (let i = 0; i < 100; i++) merged.remove(name(i))
      }),
    ).toBe(true)
    expect(leavesOf(merged)).not.toContain(dead)
    const other = filled(0, 128)
    const last = other.last
    expect(changed(last, () => other.clear())).toBe(true)
  })

  it('gives ids of dead leaves out again and keeps them dense', () => {
    const index = filled(0, 6400)
    expect(index.leaves).toHaveLength(100)
    for (let i = 0; i < 6300; i++) index.remove(name(i))
    index.check()
    for (let i = 0; i < 4000; i++) index.insert(name(i), i)
    index.check()
    expect(index.leaves).toHaveLength(100)
    index.clear()
    index.check()
    expect(index.leaves).toEqual([index.first])
  })

  it('lets go of dead leaves, whatever still points at one', () => {
    const index = filled(0, 640)
    const [, second, third] = leavesOf(index)
    for (let i = 0; i < 400; i++) index.remove(name(i))
    for (const dead of [second!, third!]) {
      expect(index.leaves[dead.id]).not.toBe(dead)
      expect([dead.keys, dead.values, dead.next, dead.prev]).toEqual([[], [], null, null])
    }
    index.clear()
    expect(index.trail).toEqual([])
  })

  it('refuses a key that is there, and changes nothing', () => {
    const index = filled(0, 100)
    expect(() => index.insert(name(50), 1)).toThrow('is there already')
    expect(index.size).toBe(100)
    expect(index.get(name(50))).toBe(50)
    index.check()
  })

  it('says no to the removal of what is not there', () => {
    const index = filled(0, 100)
    expect(index.remove(name(100))).toBe(false)
    expect(index.remove(5)).toBe(false)
    index.check()
  })

  it('is unchanged by a comparator that throws', () => {
    let broken = false
    const index = new OrderedIndex<number, number>((a, b) => {
      if (broken) throw new RangeError('no')
      return a - b
    })
    for (let i = 0; i < 1000; i++) index.insert(i * 2, i)
    broken = true
    for (const key of [3, 500, 501, 5000]) {
      expect(() => index.insert(key, 0)).toThrow(RangeError)
      expect(() => index.remove(key)).toThrow(RangeError)
    }
    broken = false
    index.check()
    expect(index.size).toBe(1000)
  })
})

describe('kinds of keys', () => {
  it('takes keys of other types into an index of strings, and finds them among each other', () => {
    const index = filled(0, 5000)
    for (const key of [5, 5n, true, new Uint8Array([1]), ['a', 1], -0.5] as Key[]) {
      expect(index.get(key)).toBe(undefined)
      index.insert(key, 1)
      expect(index.get(key)).toBe(1)
      index.check()
    }
    expect(index.get(name(4321))).toBe(4321)
    for (let i = 0; i < 5000; i++) index.remove(name(i))
    index.check()
    expect(index.size).toBe(6)
    for (const key of leavesOf(index).flatMap(({ keys }) => [...keys])) index.remove(key)
    for (let i = 0; i < 500; i++) index.insert(i, i)
    index.check()
    expect(index.get(250)).toBe(250)
  })

  it('gives the hints back with the first key of another type, and has them again once empty', () => {
    const index = filled(0, 5000)
    expect(index.hints.chunks).not.toEqual([])
    index.insert(5, 5)
    expect(index.hints.chunks).toEqual([])
    index.clear()
    index.insert('a', 1)
    expect(index.hints.chunks).toHaveLength(1)
  })

  it.each([
    ['numbered keys', (i: number) => `user:${String(i).padStart(12, '0')}`],
    ['words of letters', (i: number) => `/home/${((i * 48_271) % 999_983).toString(36)}`],
    ['upper case', (i: number) => `01HV${((i * 48_271) % 999_983).toString(36).toUpperCase()}ZZ`],
    ['another script', (i: number) => `имя-${String.fromCharCode(0x4e00 + i)}${i}`],
  ])('has hints that tell most neighbours apart: %s', (_, make) => {
    const index = new OrderedIndex<Key, number>(compareKeys)
    for (let i = 0; i < 20_000; i++) index.insert(make((i * 7919) % 20_000), i)
    expect(alikeHints(index)).toBeLessThan(0.1)
  })

  it('has such hints before anything is split, too', () => {
    const index = new OrderedIndex<Key, number>(compareKeys)
    for (let i = 0; i < 60; i++) index.insert(String.fromCharCode(0x4e00 + 59 - i), i)
    expect(alikeHints(index)).toBe(0)
  })

  it('compares strings by code unit, whatever their script', () => {
    const keys = [
      '',
      '\0',
      'a',
      'a\0',
      'a\u00ff',
      'a\u0100',
      'b',
      '\u00ff',
      '\u0100',
      '\ud800',
      '\ud83d\ude00',
      '\udfff',
      '\uffff',
    ]
    const index = new OrderedIndex<Key, number>(compareKeys)
    for (let i = 0; i < 300; i++) for (const key of keys) index.insert(`${key}${String.fromCharCode(i)}`, i)
    index.check()
    const all = leavesOf(index).flatMap(({ keys: some }) => some as string[])
    expect(all).toEqual([...all].sort())
    expect(all).toHaveLength(300 * keys.length)
  })
})
