import { expect, it } from 'vitest'
import { open } from './fixtures.ts'
it('smoke', async () => {
  let now = 1000
  const db = open<string, number>({ clock: () => now })
  const h = db.handle()
  await h.set('a', 1, { ttlMs: 10 })
  expect(h.ttl('a')).toBe(10)
  now = 1009
  expect(h.get('a')).toBe(1)
  now = 1010
  expect(h.get('a')).toBeUndefined()
  expect(h.size).toBe(1)
  await db.vacuum()
  expect(h.size).toBe(0)
  expect([...h.keysWithTtl()]).toEqual([])
})
