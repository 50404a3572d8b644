/** Tables that keep the words of keys against sorted arrays: also under codecs that take the name of one that has words, and any key. */
import { describe, expect, it } from 'vitest'
import { Database, type Key, type KeyCodec, keys, table } from '../../src/index.ts'
import { compareKeys } from '../../src/keys/index.ts'
import { Random, runs } from '../support/random.ts'
import { SortedArray } from '../skiplist/model.ts'

type Make = (random: Random, spread: number) => Key

const unsigned: Make = (random, spread) => {
  const least = random.pick([0n, 1n << 32n, (1n << 53n) - 50n, (1n << 64n) - BigInt(spread)])
  return least + BigInt(random.int(spread))
}
const signed: Make = (random, spread) => {
  const least = random.pick([-(1n << 63n), -BigInt(spread >> 1), (1n << 63n) - BigInt(spread)])
  return least + BigInt(random.int(spread))
}
/** What none of these codecs lets through. */
const others: readonly Key[] = ['a', 'b', 1, 0, -5, -1n << 70n, 1n << 64n, true, [1n], Uint8Array.of(1)]
const mostly = (make: Make, share: number): Make => {
  return (random, spread) => (random.chance(share) ? random.pick(others) : make(random, spread))
}
const impostor = (name: string): KeyCodec<Key> => ({ name, admit: (key) => key as Key })

const cases: readonly { name: string; codec: KeyCodec<Key>; make: Make }[] = [
  { name: 'u64', codec: keys.u64(), make: unsigned },
  { name: 'i64', codec: keys.i64(), make: signed },
  { name: 'another u64, rarely of another key', codec: impostor('u64'), make: mostly(unsigned, 0.001) },
  { name: 'another u64, of many other keys', codec: impostor('u64'), make: mostly(signed, 0.2) },
  { name: 'another i64', codec: impostor('i64'), make: mostly(signed, 0.01) },
]

/** Some chunks, so that some have words and others have not. */
const SPREAD = 3000
const CROWD = 15_000

describe.each(cases)('a table of $name', ({ name, codec, make }) => {
  it('is a sorted array, in every order of writes, through deletions and compaction', async () => {
    for (let round = 0; round < runs(3); round++) await live(new Random(`words ${name} ${round}`))
  })

  async function live(random: Random): Promise<void> {
    await using db = await Database.open()
    const things = table('things', { key: codec })
    const handle = db.handle(things)
    const model = new SortedArray<Key, unknown>(compareKeys)
    const verify = async (): Promise<void> => {
      expect([...handle.entries()]).toEqual(model.keys.map((key, i) => [key, model.values[i]]))
      expect((await db.check()).problems).toEqual([])
    }
    for (let phase = 0; phase < 5; phase++) {
      const growth = random.pick([0.2, 0.6, 0.95])
      const spread = random.pick([20, SPREAD, SPREAD])
      for (let step = 0; step < 2500; step++) {
        const key = make(random, spread)
        expect(handle.get(key)).toBe(model.has(key) ? model.values[model.lowerBound(key)] : undefined)
        if (random.chance(growth)) {
          model.set(key, step)
          if (random.chance(0.7)) void handle.set(key, step)
          else
            handle.transactionSync((tx) => {
              tx.get(key)
              tx.set(key, step)
            })
        } else {
          void handle.delete(key)
          model.delete(key)
        }
        if (step % 50 === 0) expectRange(model, handle, make(random, spread), make(random, spread), random.chance(0.5))
      }
      await verify()
      if (random.chance(0.5)) await db.compact()
      await verify()
    }
    // Several chunks, nearly empty.
    for (let step = 0; step < CROWD; step++) {
      const key = make(random, CROWD)
      void handle.set(key, step)
      model.set(key, step)
    }
    for (const key of [...model.keys]) {
      if (random.chance(0.1)) continue
      void handle.delete(key)
      model.delete(key)
    }
    await db.vacuum()
    const { columnBytes } = db.stats().memory
    await db.compact()
    expect(db.stats().memory.columnBytes).toBeLessThan(columnBytes)
    await verify()
    await using fork = db.fork()
    const key = make(random, SPREAD)
    await fork.handle(things).set(key, 'forked')
    expect(handle.get(key)).toBe(model.has(key) ? model.values[model.lowerBound(key)] : undefined)
    model.set(key, 'forked')
    expect([...fork.handle(things).keys()]).toEqual(model.keys)
  }
})

function expectRange(
  model: SortedArray<Key, unknown>,
  handle: { keys(range: { gte: Key; lt: Key; reverse: boolean }): Iterable<Key> },
  a: Key,
  b: Key,
  reverse: boolean,
): void {
  const [gte, lt] = compareKeys(a, b) <= 0 ? [a, b] : [b, a]
  const expected = model.keys.slice(model.lowerBound(gte), model.lowerBound(lt))
  expect([...handle.keys({ gte, lt, reverse })]).toEqual(reverse ? expected.reverse() : expected)
}
