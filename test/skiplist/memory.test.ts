/** What an entry costs beside its key and value. */
import { describe, expect, it } from 'vitest'
import { compareKeys, type Key } from '../../src/keys/index.ts'
import { type KeySource, OrderedIndex } from '../../src/skiplist/core.ts'
import { Random } from '../support/random.ts'

const COUNT = 400_000

function usedBytes(): number {
  globalThis.gc!()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

function filled(keys: readonly Key[], source: KeySource<Key, number> | null = null): OrderedIndex<Key, number> {
  const index = new OrderedIndex<Key, number>(compareKeys, null, source)
  for (let i = 0; i < keys.length; i++) index.insert(keys[i]!, i)
  return index
}

/** Heap and external bytes per entry; keys exist before, values are small integers. */
function bytesPerEntry(keys: readonly Key[], source: KeySource<Key, number> | null = null): number {
  filled(keys.slice(0, 20_000), source) // compiles what is measured
  const before = usedBytes()
  const index = filled(keys, source)
  return (usedBytes() - before) / index.size
}

describe('memory', () => {
  it('takes about 26 bytes per entry for random strings, 22 for ascending ones, 23 for numbers', () => {
    const random = new Random('memory')
    const strings = Array.from({ length: COUNT }, (_, i) => Buffer.from(`key-${i * 7919}-${i}`).toString('latin1'))
    const ascending = [...strings].sort()
    expect(bytesPerEntry(random.shuffle(strings))).toBeLessThan(27)
    expect(bytesPerEntry(ascending)).toBeLessThan(23)
    expect(bytesPerEntry(random.shuffle(Array.from({ length: COUNT }, (_, i) => i)))).toBeLessThan(24)
  })

  it('takes about 14 bytes per entry, in any order 11 to 15, where keys are found by their values', () => {
    const keys = Array.from({ length: COUNT }, (_, i) => i)
    const source: KeySource<Key, number> = {
      keyOf: (value) => keys[value]!,
      compareTo: (value, key) => compareKeys(keys[value]!, key),
      locate(values, key) {
        const at = values.findIndex((value) => compareKeys(keys[value]!, key) >= 0)
        return at < 0 ? ~values.length : compareKeys(keys[values[at]!]!, key) === 0 ? at : ~at
      },
    }
    expect(bytesPerEntry(keys, source)).toBeLessThan(12)
    new Random('memory').shuffle(keys)
    expect(bytesPerEntry(keys, source)).toBeLessThan(15)
  })

  it('shrinks with the leaves', () => {
    const keys = Array.from({ length: COUNT }, (_, i) => i)
    filled(keys.slice(0, 20_000))
    const before = usedBytes()
    const index = filled(keys)
    // From 64 entries per leaf to 22, which is too many to merge.
    for (const key of keys) if (key % 3 !== 0) index.remove(key)
    expect(index.last.id).toBe(COUNT / 64 - 1)
    expect((usedBytes() - before) / index.size).toBeLessThan(32)
  })

  it('is given back when entries are removed', () => {
    const keys = Array.from({ length: COUNT }, (_, i) => `key-${i}`)
    filled(keys.slice(0, 20_000))
    const before = usedBytes()
    const index = filled(keys)
    expect(usedBytes() - before).toBeGreaterThan(COUNT * 15)
    for (const key of keys) index.remove(key)
    expect(usedBytes() - before).toBeLessThan(COUNT)
    expect(index.size).toBe(0)
  })
})
