/** The index of watchers against asking each of them, and the feed against a list. */
import { describe, expect, it } from 'vitest'

import { admitKey, boundsOfKey, type Key, resolveRange } from '../../src/keys/index.ts'
import { Feed, type FeedReader } from '../../src/mvcc/feed.ts'
import { Watched, WatchIndex } from '../../src/mvcc/watch-index.ts'
import { makeEngine, makeStore } from '../mvcc/fixtures.ts'
import { Random, runs } from '../support/random.ts'

const keysOf = (random: Random): Key =>
  admitKey(random.pick([random.int(30), `k${random.int(30)}`, [`k${random.int(4)}`, random.int(4)], true]))

function rangeOf(random: Random): object {
  if (random.chance(0.3)) return { prefix: random.pick(['k', 'k1', ['k1'], ['k2', 1]]) }
  const range: Record<string, unknown> = {}
  if (random.chance(0.7)) range[random.pick(['gt', 'gte'])] = keysOf(random)
  if (random.chance(0.7)) range[random.pick(['lt', 'lte'])] = keysOf(random)
  return range
}

describe('the index of watchers', () => {
  it('tells exactly those that a key concerns, each once, while they come and go (I1)', () => {
    const store = makeStore()
    const { engine } = makeEngine()
    for (let round = 0; round < runs(20); round++) {
      const random = new Random(`watch index ${round}`)
      const index = new WatchIndex()
      const feed = new Feed(engine, 1000)
      let told: FeedReader[] = []
      feed.concern = (reader): void => void told.push(reader)
      const watching = new Map<FeedReader, Watched>()
      let version = index.version
      for (let step = 0; step < 300; step++) {
        if (random.chance(0.15)) {
          const key = keysOf(random)
          const watched = random.chance(0.5)
            ? new Watched(store, key, boundsOfKey(key))
            : new Watched(store, undefined, resolveRange(rangeOf(random)))
          const reader = feed.open({ watched: null, durable: false, safe: false, before: false })
          index.add(reader, watched)
          watching.set(reader, watched)
          expect(index.version).not.toBe(version)
        } else if (random.chance(0.1) && watching.size > 0) {
          const [reader, watched] = random.pick([...watching])
          index.remove(reader, watched)
          watching.delete(reader)
          expect(index.version).not.toBe(version)
        }
        version = index.version
        const key = keysOf(random)
        told = []
        const concerns = index.stab(key, feed)
        const expected = [...watching].filter(([, watched]) => watched.covers(key)).map(([reader]) => reader)
        expect(told).toHaveLength(expected.length)
        expect(new Set(told)).toEqual(new Set(expected))
        expect(concerns).toBe(expected.length > 0)
      }
      for (const [reader, watched] of watching) index.remove(reader, watched)
      // Ranges in which no key can lie are never added.
      expect(index.isEmpty).toBe(true)
    }
  })
})
