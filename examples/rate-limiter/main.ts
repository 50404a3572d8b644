/** A thousand calls at once, of which a hundred may pass: `node .examples/rate-limiter/main.js`. */
import { setTimeout as pause } from 'node:timers/promises'
import { Database } from 'varve'
import { RateLimiter } from './rate-limiter.ts'

const LIMIT = 100
const WINDOW_MS = 300

await using db = await Database.open()
const limiter = new RateLimiter(db, LIMIT, WINDOW_MS)

async function allowedOf(count: number): Promise<number> {
  const decisions = await Promise.all(Array.from({ length: count }, async () => limiter.take('10.0.0.1')))
  return decisions.filter(({ allowed }) => allowed).length
}

console.log(`${await allowedOf(1000)} of 1000 calls at once were allowed, the limit is ${LIMIT}`)
console.log(`${await allowedOf(10)} of 10 more were`)
await pause(WINDOW_MS)
console.log(`${await allowedOf(10)} of 10 were in the next window`)
