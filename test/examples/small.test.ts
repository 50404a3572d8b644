/** The small examples: sessions, response cache, rate limiter, and the tour. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'

import { RateLimiter } from '../../examples/rate-limiter/rate-limiter.ts'
import { type CachedResponse, ResponseCache } from '../../examples/response-cache/response-cache.ts'
import { SessionStore } from '../../examples/sessions/sessions.ts'
import { stops } from '../../examples/tour/stops.ts'
import { Database } from '../../src/index.ts'

const MINUTE_MS = 60_000

/** A clock that stands still until it is moved. */
function handMade(): { readonly clock: () => number; move(ms: number): void } {
  let now = 1_700_000_000_000
  return { clock: () => now, move: (ms) => void (now += ms) }
}

describe('the session store', () => {
  it('keeps a session alive while it is used, in both tables alike', async () => {
    const { clock, move } = handMade()
    await using db = await Database.open({ clock, ttl: { sweepIntervalMs: 0 } })
    const store = new SessionStore(db, 30 * MINUTE_MS)
    const [used, idle] = [await store.start('alice'), await store.start('alice')]
    move(20 * MINUTE_MS)
    expect((await store.use(used))?.user).toBe('alice')
    move(15 * MINUTE_MS)
    expect(store.peek(used)).toBeDefined()
    expect(store.peek(idle)).toBeUndefined()
    expect(await store.use(idle)).toBeUndefined()
    expect(store.alive).toBe(1)
    expect(await store.endAll('alice')).toBe(1)
    expect(store.alive).toBe(0)
  })

  it('keeps the time to live when only its data change', async () => {
    const { clock, move } = handMade()
    await using db = await Database.open({ clock })
    const store = new SessionStore(db, MINUTE_MS)
    const id = await store.start('bob')
    move(MINUTE_MS / 2)
    expect(await store.put(id, 'theme', 'dark')).toBe(true)
    expect(store.peek(id)?.data['theme']).toBe('dark')
    move(MINUTE_MS / 2)
    expect(store.peek(id)).toBeUndefined()
    expect(await store.put(id, 'theme', 'light')).toBe(false)
  })

  it('ends what is started while everything is ended, or keeps all of it', async () => {
    await using db = await Database.open()
    const store = new SessionStore(db)
    for (let round = 0; round < 20; round++) {
      const [, ended] = await Promise.all([store.start('carol'), store.endAll('carol')])
      expect(store.alive + ended).toBe(1)
      expect(await store.endAll('carol')).toBe(1 - ended)
    }
  })

  it('survives a restart, expiry included', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'varve-')), 'sessions')
    const { clock, move } = handMade()
    let id: string
    {
      await using db = await Database.open({ path, clock })
      id = await new SessionStore(db, MINUTE_MS).start('dave')
    }
    move(MINUTE_MS / 2)
    {
      await using db = await Database.open({ path, clock })
      const store = new SessionStore(db, MINUTE_MS)
      expect(store.peek(id)?.user).toBe('dave')
      move(MINUTE_MS / 2)
      expect(store.peek(id)).toBeUndefined()
    }
    rmSync(path, { recursive: true })
  })
})

describe('the response cache', () => {
  const response = (body: string): CachedResponse => ({ status: 200, type: 'text', body })

  it('loads once for all who ask at once, and again when a response is no longer good', async () => {
    const cache = await ResponseCache.open({ maxBytes: 10_000, ttlMs: 50 })
    let loads = 0
    const load = async (address: string): Promise<CachedResponse> => {
      loads++
      await pause(5)
      return response(address)
    }
    const answers = await Promise.all(Array.from({ length: 10 }, async () => cache.fetch('/a', load)))
    expect(new Set(answers.map(({ body }) => body))).toEqual(new Set(['/a']))
    expect(loads).toBe(1)
    await pause(60)
    await cache.fetch('/a', load)
    expect(loads).toBe(2)
    await cache.close()
  })

  it('stays within its bytes, and serves what is larger than itself', async () => {
    const cache = await ResponseCache.open({ maxBytes: 10_000, ttlMs: 60_000 })
    for (let i = 0; i < 100; i++) {
      await cache.fetch(`/${i}`, async () => Promise.resolve(response('x'.repeat(200))))
      expect(cache.bytes).toBeLessThanOrEqual(10_000)
    }
    expect(cache.entries).toBeGreaterThan(15)
    const large = await cache.fetch('/large', async () => Promise.resolve(response('x'.repeat(20_000))))
    expect(large.body).toHaveLength(20_000)
    await cache.close()
  })

  it('does not keep failures, and forgets by prefix', async () => {
    const cache = await ResponseCache.open({ maxBytes: 10_000, ttlMs: 60_000 })
    await cache.fetch('/bad', async () => Promise.resolve({ status: 500, type: 'text', body: '' }))
    expect(cache.entries).toBe(0)
    for (const address of ['/a/1', '/a/2', '/b'])
      await cache.fetch(address, async () => Promise.resolve(response(address)))
    expect(await cache.forget('/a/')).toBe(2)
    expect(cache.entries).toBe(1)
    await cache.close()
  })
})

describe('the rate limiter', () => {
  it('lets through exactly the limit, however many ask at once', async () => {
    await using db = await Database.open()
    const limiter = new RateLimiter(db, 10, MINUTE_MS)
    const decisions = await Promise.all(Array.from({ length: 200 }, async () => limiter.take('client')))
    expect(decisions.filter(({ allowed }) => allowed)).toHaveLength(10)
    expect((await limiter.take('other')).left).toBe(9)
  })

  it('begins a new window when the old one ends, not when calls stop', async () => {
    const { clock, move } = handMade()
    await using db = await Database.open({ clock })
    const limiter = new RateLimiter(db, 2, MINUTE_MS)
    expect(await limiter.take('c')).toEqual({ allowed: true, left: 1, resetMs: MINUTE_MS })
    move(MINUTE_MS / 2)
    expect(await limiter.take('c')).toEqual({ allowed: true, left: 0, resetMs: MINUTE_MS / 2 })
    expect(await limiter.take('c')).toEqual({ allowed: false, left: 0, resetMs: MINUTE_MS / 2 })
    move(MINUTE_MS / 2)
    expect((await limiter.take('c')).allowed).toBe(true)
  })
})

describe('the tour', () => {
  it('stops everywhere and sees what it says', async () => {
    const told = Object.fromEntries(
      await Promise.all(Object.entries(stops).map(async ([name, stop]) => [name, await stop()] as const)),
    )
    expect(told).toEqual({
      autocommit: ['apples: 4, pears: 2, which were undefined before', 'took 2 pears, left: apples'],
      transfer: ['refused: alice lacks 40', 'alice 30, bob 70'],
      scans: ['/a was visited by visitor 0 and visitor 2', 'the last key is ["/b",1]'],
      'own types': ['42 bytes of at most 45: four,one,three are kept'],
      'typed maps': ['7n is seven, magic is cafe', 'p is at 1.5, -2, here, of 2 weights, the last 0.75'],
      entries: ['dog 1, lazy 1, quick 1, the 3'],
      counters: ['50 hits by 50 transactions at once, 0 conflicts'],
      layers: ['snapshot: hello, now: good day, fork: howdy', 'restored: hello'],
      changes: ['n: undefined -> 1', 'n: 1 -> 2', 'n: 2 -> undefined'],
    })
  })
})
