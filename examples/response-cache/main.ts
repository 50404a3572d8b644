/** Serves pages through the cache: `node .examples/response-cache/main.js`. */
import { type CachedResponse, ResponseCache } from './response-cache.ts'

const PAGES = 200
const REQUESTS = 20_000
const PAGE_BYTES = 2000

let loads = 0

async function loadPage(address: string): Promise<CachedResponse> {
  loads++
  await Promise.resolve()
  return { status: 200, type: 'text/html', body: `<h1>${address}</h1>`.padEnd(PAGE_BYTES / 2) }
}

/** Few pages are asked for often, many rarely. */
function someAddress(): string {
  return `/page/${Math.floor(PAGES * Math.random() ** 3)}`
}

const cache = await ResponseCache.open({ maxBytes: (PAGES / 4) * PAGE_BYTES, ttlMs: 60_000 })
for (let i = 0; i < REQUESTS; i += 100) {
  await Promise.all(Array.from({ length: 100 }, async () => cache.fetch(someAddress(), loadPage)))
}
const share = Math.round(100 * (1 - loads / REQUESTS))
console.log(`${REQUESTS} requests for ${PAGES} pages, ${loads} loads: ${share} % came from the cache`)
console.log(`${cache.entries} pages are kept, ${cache.bytes} bytes`)
console.log(`${await cache.forget('/page/1')} of them begin with /page/1 and were forgotten`)
await cache.close()
