/** That stored objects are as small as the objects they copy, and of as few hidden classes. */
import { setFlagsFromString } from 'node:v8'
import { runInThisContext } from 'node:vm'
import { describe, expect, it } from 'vitest'

import { codecs, lastSize, residentOf } from '../../src/codecs/index.ts'

const resident = residentOf(codecs.structured())

setFlagsFromString('--allow-natives-syntax')
/** V8's own answer; nothing else shows a hidden class. */
const sameHiddenClass = runInThisContext('(a, b) => %HaveSameMap(a, b)') as (a: object, b: object) => boolean

/** Heap bytes of each of what `make` gives. */
function heapBytes(make: (i: number) => unknown): number {
  const count = 50_000
  const kept: unknown[] = new Array(count).fill(0)
  for (let i = 0; i < 1000; i++) kept[i] = make(i)
  kept.fill(0)
  globalThis.gc?.()
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < count; i++) kept[i] = make(i)
  globalThis.gc?.()
  const after = process.memoryUsage().heapUsed
  // Used once more, so that it lives until here.
  if (kept.includes(0)) throw new Error('nothing was made')
  return (after - before) / count
}

/** The heap of a test process is never quite still, and small objects are a few words. */
function expectCountedAs(taken: number, value: unknown): void {
  resident.admit(value)
  // Counted with its slot, which is not part of what was weighed.
  expect(Math.abs(lastSize - 8 - taken)).toBeLessThan(taken * 0.25 + 16)
}

const shapes: Record<string, (i: number) => object> = {
  'three properties': (i) => ({ id: i, name: `x${i}`, balance: 2 }),
  'one property': (i) => ({ only: i }),
  'eight properties': (i) => ({ a: i, b: i, c: i, d: i, e: i, f: i, g: i, h: i }),
  'sixteen properties': (i) => ({
    a: i,
    b: i,
    c: i,
    d: i,
    e: i,
    f: i,
    g: i,
    h: i,
    i,
    j: i,
    k: i,
    l: i,
    m: i,
    n: i,
    o: i,
    p: i,
  }),
  fractions: (i) => ({ x: i + 0.5, y: i + 0.25, z: i + 0.125, w: (i + 1) / 7 }),
  'nested objects': (i) => ({ id: i, inner: { a: i, deep: { b: i } } }),
  'an array of ten': (i) => ({ items: [i, 2, 3, 4, 5, 6, 7, 8, 9, 10] }),
}

describe.each(Object.entries(shapes))('an object of %s', (_, make) => {
  it('shares its hidden class with the others once stored', () => {
    const first = resident.admit(make(0)) as object
    for (let i = 1; i < 1000; i++) {
      const other = resident.admit(make(i)) as object
      if (!sameHiddenClass(first, other)) expect.fail(`copy ${i} has a hidden class of its own`)
      expect(Object.isFrozen(other)).toBe(true)
    }
  })

  it('takes as little memory as what was stored, and about as much as is counted', () => {
    const source = heapBytes(make)
    const copy = heapBytes((i) => resident.admit(make(i)))
    expect(copy).toBeLessThan(source * 1.1 + 8)
    expectCountedAs(copy, make(40_000))
  })
})

describe('what is counted', () => {
  it.each<[string, (i: number) => unknown]>([
    ['strings', (i) => `some string of ordinary length ${i}`.padEnd(40).split('').join('')],
    [
      'a Map of five',
      (i) =>
        new Map([
          [i, 1],
          [2, 2],
          [3, 3],
          [4, 4],
          [5, 5],
        ]),
    ],
    ['a Date in an object', (i) => ({ id: i, at: new Date(i + 1e12) })],
    ['40 bytes', (i) => new Uint8Array(40).fill(i)],
  ])('is near what is taken: %s', (_, make) => {
    const taken = heapBytes((i) => resident.admit(make(i)))
    expectCountedAs(taken, make(40_000))
  })
})
