/** Cursors where the leaf under them goes away, and at the ends. */
import { describe, expect, it } from 'vitest'
import { compareKeys, type Key } from '../../src/keys/index.ts'
import { Cursor, OrderedIndex } from '../../src/skiplist/core.ts'

const name = (i: number): string => `k${String(i).padStart(5, '0')}`

function indexOf(count: number): OrderedIndex<Key, number> {
  const index = new OrderedIndex<Key, number>(compareKeys)
  for (let i = 0; i < count; i++) index.insert(name(i), i)
  return index
}

describe('a cursor', () => {
  it('gives everything in order, forward and back', () => {
    const cursor = new Cursor(indexOf(1000))
    const forward: number[] = []
    while (cursor.next()) forward.push(cursor.value)
    expect(forward).toEqual(Array.from({ length: 1000 }, (_, i) => i))
    const back: number[] = []
    while (cursor.prev()) back.push(cursor.value)
    expect(back).toEqual(Array.from({ length: 999 }, (_, i) => 998 - i))
  })

  it('finds nothing in an empty index, and does not move for it', () => {
    const index = indexOf(0)
    const cursor = new Cursor(index)
    expect([cursor.next(), cursor.prev(), cursor.peekLeaf(), cursor.skipLeaf()]).toEqual([false, false, null, false])
    index.insert('b', 1)
    expect(cursor.next()).toBe(true)
    expect(cursor.next()).toBe(false)
    index.insert('c', 2)
    index.insert('a', 0)
    expect(cursor.next()).toBe(true)
    expect(cursor.key).toBe('c')
  })

  it('at the end goes on with keys that are appended into a new leaf', () => {
    const index = indexOf(64)
    const back = new Cursor(index)
    back.seekLast()
    const forward = new Cursor(index)
    forward.seek(name(63), false)
    expect(forward.next()).toBe(false)
    index.insert(name(64), 64)
    expect(index.last).not.toBe(index.first)
    expect(forward.next()).toBe(true)
    expect(forward.value).toBe(64)
    expect(back.prev()).toBe(true)
    expect(back.value).toBe(64)
  })

  it('does not give the key it stands at again when that is removed and put back', () => {
    const index = indexOf(10)
    const cursor = new Cursor(index)
    cursor.seek(name(5), true)
    cursor.next()
    index.remove(name(5))
    index.insert(name(5), 55)
    expect(cursor.next()).toBe(true)
    expect(cursor.value).toBe(6)
    cursor.prev()
    expect(cursor.value).toBe(55)
    cursor.prev()
    expect(cursor.value).toBe(4)
  })

  it('outlives the leaf under it, even if another leaf gets its id', () => {
    const index = indexOf(128)
    const cursor = new Cursor(index)
    cursor.seek(name(64), true)
    cursor.next()
    const { leaf } = cursor
    expect(leaf).toBe(index.last)
    for (let i = 30; i < 128; i++) index.remove(name(i))
    expect(index.leaves[leaf.id]).not.toBe(leaf)
    for (let i = 200; i < 400; i++) index.insert(name(i), i)
    expect(index.leaves[leaf.id]).toBeDefined()
    expect(cursor.next()).toBe(true)
    expect(cursor.value).toBe(200)
    index.clear()
    expect(cursor.next()).toBe(false)
    expect(cursor.prev()).toBe(false)
    index.insert(name(0), 0)
    expect(cursor.prev()).toBe(true)
  })

  it('passes over whole leaves', () => {
    const index = indexOf(640)
    const cursor = new Cursor(index)
    cursor.seek(name(100), true)
    const firsts: number[] = []
    for (let leaf = cursor.peekLeaf(); leaf !== null; leaf = cursor.peekLeaf()) {
      firsts.push(leaf.values[0]!)
      cursor.skipLeaf()
      expect(cursor.value).toBe(leaf.values.at(-1))
    }
    expect(firsts).toEqual([64, 128, 192, 256, 320, 384, 448, 512, 576])
    expect(cursor.value).toBe(639)
  })
})
