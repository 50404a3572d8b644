/**
 * A process in which everything goes on at once: node --expose-gc soak.mjs ENTRY DIRECTORY LIMIT_BYTES DURATION_MS SEED
 *
 * Transfers between accounts, a cache of pages many times larger than the limit, sessions that expire, snapshots and forks held
 * for long, scans, prefetching, watchers, checkpoints and merges. Each checks what it sees; the first that is wrong ends the
 * process. What memory, descriptors and files came to is printed as JSON at the end.
 */
import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'

const [entry, directory, limitText, durationText, seedText] = process.argv.slice(2)
const { Database, codecs, keys, merges, table, VarveError } = await import(pathToFileURL(entry).href)

const limitBytes = Number(limitText)
const endsAt = Date.now() + Number(durationText)
const isOver = () => Date.now() >= endsAt

const ACCOUNTS = 500
const BALANCE = 1000
/** On average a page has 1 kB, so they are six times the limit. */
const PAGES = Math.floor((limitBytes * 6) / 1000)
const SESSIONS = 20_000

const accounts = table('accounts', { value: codecs.float64() })
const pages = table('pages', { key: keys.float64(), value: codecs.bytes() })
const sessions = table('sessions', { value: codecs.struct({ user: 'u32', until: 'f64', token: 'string' }) })
const counters = table('counters', { value: codecs.float64(), merge: merges.sum })

/** mulberry32: chance from one seed. */
function generator(start) {
  let state = start | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
const chance = generator(Number(seedText))
const int = (limit) => Math.floor(chance() * limit)

function demand(holds, what) {
  if (!holds) throw new Error(what)
}

const db = await Database.open({
  path: directory,
  durability: 'relaxed',
  maxMemoryBytes: limitBytes,
  eviction: ['lru', 'lfu', 's3fifo', 'arc', 'random'][int(5)],
  ttl: { sweepIntervalMs: 100 },
  wal: { retain: { bytes: 16 * 2 ** 20 } },
})
const counts = {
  transfers: 0,
  refused: 0,
  reads: 0,
  writes: 0,
  sessions: 0,
  snapshots: 0,
  forks: 0,
  scans: 0,
  watched: 0,
}

/** Where a snapshot holds more old versions than there is room for, writers are refused before anything has happened. */
async function patiently(write) {
  for (;;) {
    try {
      return await write()
    } catch (error) {
      if (!(error instanceof VarveError) || !['MEMORY_LIMIT', 'RETRIES_EXHAUSTED'].includes(error.code)) throw error
      counts.refused++
      await sleep(20)
      if (isOver()) return undefined
    }
  }
}

// --- pages: the newest version of each is known --------------------------------------------------------------------------

const issued = new Uint32Array(PAGES)
const applied = new Uint32Array(PAGES)

function pageOf(key, version) {
  const bytes = new Uint8Array(16 + ((key * 7919 + version * 31) % 2000)).fill(version & 255)
  const view = new DataView(bytes.buffer)
  view.setFloat64(0, key)
  view.setUint32(8, version)
  return bytes
}

/** The version that a page says it is of. */
function checkPage(key, bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const version = view.getUint32(8)
  demand(view.getFloat64(0) === key, `page ${key} says it is ${view.getFloat64(0)}`)
  const wanted = pageOf(key, version)
  demand(Buffer.compare(bytes, wanted) === 0, `page ${key} of version ${version} is damaged`)
  return version
}

/** Nine of ten times one of a tenth. */
const somePage = () => (chance() < 0.9 ? int(PAGES / 10) : int(PAGES))

async function writePages() {
  const handle = db.handle(pages)
  while (!isOver()) {
    const batch = []
    for (let i = 0; i < 20; i++) {
      const key = somePage()
      batch.push(
        patiently(async () => {
          // In the order of the calls: what comes later is newer.
          const version = ++issued[key]
          await handle.set(key, pageOf(key, version))
          applied[key] = Math.max(applied[key], version)
          counts.writes++
        }),
      )
    }
    await Promise.all(batch)
    await sleep(int(3))
  }
}

async function readPages() {
  const handle = db.handle(pages)
  while (!isOver()) {
    for (let i = 0; i < 50; i++) {
      const key = somePage()
      const least = applied[key]
      const bytes = handle.get(key)
      counts.reads++
      const version = bytes === undefined ? 0 : checkPage(key, bytes)
      demand(version >= least && version <= issued[key], `page ${key}: read ${version} of ${least} to ${issued[key]}`)
    }
    await sleep(1)
  }
}

async function scanPages() {
  const handle = db.handle(pages)
  while (!isOver()) {
    const from = int(PAGES)
    let last = from - 1
    const range = { gte: from, limit: 500 }
    if (chance() < 0.3) await handle.prefetch(range)
    for await (const [key, bytes] of handle.stream(range)) {
      demand(key > last, `a scan gave ${key} after ${last}`)
      checkPage(key, bytes)
      last = key
    }
    counts.scans++
    await sleep(20)
  }
}

// --- accounts: their sum never changes -------------------------------------------------------------------------------------

const name = (i) => `account ${String(i).padStart(4, '0')}`

async function transfer(client) {
  const handle = db.handle(accounts)
  while (!isOver()) {
    const [from, to] = [name(int(ACCOUNTS)), name(int(ACCOUNTS))]
    const amount = 1 + int(10)
    await patiently(async () => {
      await handle.transaction(async (tx) => {
        const balance = tx.get(from)
        if (chance() < 0.1) await sleep(1)
        tx.set(from, balance - amount)
        tx.set(to, tx.get(to) + amount)
        tx.table(counters).merge(`client ${client}`, 1)
      })
      counts.transfers++
    })
    await sleep(int(4))
  }
}

function audit(reader, what) {
  let sum = 0
  let count = 0
  for (const balance of reader.values()) {
    sum += balance
    count++
  }
  demand(sum === ACCOUNTS * BALANCE && count === ACCOUNTS, `${what}: ${sum} in ${count} accounts`)
}

async function auditNow() {
  while (!isOver()) {
    audit(db.handle(accounts), 'now')
    await sleep(50)
  }
}

// --- sessions: none outlives its time --------------------------------------------------------------------------------------

async function keepSessions() {
  const handle = db.handle(sessions)
  while (!isOver()) {
    const batch = []
    for (let i = 0; i < 20; i++) {
      const id = `session ${int(SESSIONS)}`
      const ttlMs = 20 + int(3000)
      const [user, token] = [int(2 ** 31), 't'.repeat(20 + int(60))]
      batch.push(patiently(() => handle.set(id, { user, until: Date.now() + ttlMs, token }, { ttlMs })))
      counts.sessions++
      const seen = handle.get(`session ${int(SESSIONS)}`)
      // The clock of the database is the monotonic one, and a write may have waited for room.
      demand(seen === undefined || seen.until > Date.now() - 5000, `a session outlived its time`)
    }
    await Promise.all(batch)
    await sleep(5)
  }
}

// --- what is held for long --------------------------------------------------------------------------------------------------

async function holdSnapshots() {
  while (!isOver()) {
    const snapshot = db.snapshot()
    const view = snapshot.table(pages)
    const seen = Array.from({ length: 50 }, () => {
      const key = somePage()
      const bytes = view.get(key)
      return [key, bytes === undefined ? 0 : checkPage(key, bytes)]
    })
    for (let i = 0; i < 10 && !isOver(); i++) {
      await sleep(int(300))
      audit(snapshot.table(accounts), 'in a snapshot')
      for (const [key, version] of seen) {
        const bytes = view.get(key)
        const again = bytes === undefined ? 0 : checkPage(key, bytes)
        demand(again === version, `page ${key} of a snapshot was ${version}, is ${again}`)
      }
    }
    snapshot.close()
    counts.snapshots++
    await sleep(100)
  }
}

async function fork() {
  while (!isOver()) {
    const copy = db.fork()
    audit(copy.handle(accounts), 'in a fork')
    await copy.handle(accounts).set(name(0), -1)
    const key = somePage()
    const bytes = copy.handle(pages).get(key)
    if (bytes !== undefined) checkPage(key, bytes)
    const second = copy.fork()
    demand(second.handle(accounts).get(name(0)) === -1, 'a fork of a fork has another value')
    await sleep(int(400))
    demand(db.handle(accounts).get(name(0)) !== -1, 'a fork wrote into its parent')
    await second.close()
    await copy.close()
    counts.forks++
    await sleep(200)
  }
}

/** Follows the accounts by their changes alone. */
const followed = new Map()
const stop = new AbortController()

async function follow(from) {
  try {
    let last = 0
    for await (const { sequence, key, value } of db.handle(accounts).watch({}, { from, signal: stop.signal })) {
      demand(sequence >= last, `change ${sequence} after ${last}`)
      last = sequence
      followed.set(key, value)
      counts.watched++
    }
  } catch (error) {
    if (!(error instanceof VarveError) || error.code !== 'ABORTED') throw error
  }
}

async function maintain() {
  while (!isOver()) {
    await sleep(700)
    if (chance() < 0.8) await db.checkpoint()
    else await db.compact()
  }
}

// --- what it costs ------------------------------------------------------------------------------------------------------------

const most = { usage: 0, used: 0, live: 0, rss: 0, descriptors: 0, files: 0 }
/** What memory was made of when it was most. */
let parts = {}
/** What V8 holds, on its heap and outside of it. */
const live = () => process.memoryUsage().heapUsed + process.memoryUsage().external
const descriptors = () => readdirSync('/proc/self/fd').length

async function measure() {
  for (let round = 0; !isOver(); round++) {
    await sleep(100)
    const { memory, feed, fragmentation, garbage } = db.stats()
    // What is kept for those who watch has a bound of its own.
    const usage = db.memoryUsage() - feed.bytes
    if (usage > most.usage) {
      most.usage = usage
      parts = { ...memory, feedBytes: feed.bytes, fragmentation: fragmentation.memory, chained: garbage.chained }
    }
    most.used = Math.max(most.used, db.stats().memory.usedBytes)
    most.descriptors = Math.max(most.descriptors, descriptors())
    most.files = Math.max(most.files, readdirSync(directory).length)
    if (round % 20 !== 0) continue
    // What V8 has not collected yet says nothing of the database; buffers that it has are given back on another thread.
    globalThis.gc()
    await sleep(20)
    globalThis.gc()
    most.live = Math.max(most.live, live())
    most.rss = Math.max(most.rss, process.memoryUsage.rss())
  }
}

await db.handle(accounts).transaction((tx) => {
  for (let i = 0; i < ACCOUNTS; i++) tx.set(name(i), BALANCE)
})
for (let i = 0; i < ACCOUNTS; i++) followed.set(name(i), BALANCE)
const fixed = db.memoryUsage() - db.stats().memory.usedBytes
globalThis.gc()
const base = { live: live(), rss: process.memoryUsage.rss(), descriptors: descriptors() }

const following = follow(db.cursor)
await Promise.all([
  ...[0, 1, 2, 3].map(transfer),
  ...[writePages(), writePages(), readPages(), scanPages(), auditNow(), keepSessions()],
  ...[holdSnapshots(), fork(), maintain(), measure()],
])

await db.flush()
const counted = [...db.handle(counters).values()].reduce((sum, count) => sum + count, 0)
demand(counted === counts.transfers, `${counted} transfers were counted, ${counts.transfers} acknowledged`)
for (let i = 0; i < 200 && [...db.handle(accounts).entries()].some(([key, value]) => followed.get(key) !== value); i++)
  await sleep(10)
for (const [key, value] of db.handle(accounts).entries())
  demand(followed.get(key) === value, `${key} was followed to ${followed.get(key)}, is ${value}`)
stop.abort()
await following
for (const [key, bytes] of db.handle(pages).entries()) {
  const version = checkPage(key, bytes)
  demand(version === applied[key], `page ${key} is of version ${version}, not ${applied[key]} of ${issued[key]}`)
}
const written = applied.reduce((sum, version) => sum + (version > 0 ? 1 : 0), 0)
demand(db.handle(pages).size === written, `${db.handle(pages).size} pages of ${written}`)
await sleep(3200)
await db.vacuum()
demand(db.handle(sessions).size === 0, `${db.handle(sessions).size} sessions are left`)
const { problems } = await db.check()
demand(problems.length === 0, problems.join('\n'))
const { cache, expiry, disk, transactions } = db.stats()
await db.compact()
await db.close()
await sleep(100)

const again = await Database.open({ path: directory, maxMemoryBytes: limitBytes })
audit(again.handle(accounts), 'after reopening')
demand(again.handle(pages).size === written, 'pages are missing after reopening')
let wrong = 0
for (const [key, bytes] of again.handle(pages).entries()) if (checkPage(key, bytes) !== applied[key]) wrong++
demand(wrong === 0, `${wrong} pages are of another version after reopening`)
await again.close()
await sleep(100)

const end = { descriptors: descriptors(), files: readdirSync(directory).length, open: transactions.open }
const { checkpoints, merges: merged } = disk
const work = { checkpoints: checkpoints.done, merges: merged.done, failed: checkpoints.failed + merged.failed }
console.log(JSON.stringify({ pages: written, counts, fixed, base, most, parts, end, cache, expiry, work }))
