import { Database } from '../../dist/index.js'
import { CHUNK, makeKeys, makeValue, randomOf } from '../support/data.mjs'
import { collectGarbage } from '../support/measure.mjs'
import { freshPath, removePath } from '../support/scratch.mjs'
import { longestOf, turn, Turns, watchCollector } from '../support/turns.mjs'
import { rowsOf } from './stall.mjs'

const LIMIT_MS = 10
const CLIENTS = 8
/** Operations that one client may have under way at a time. */
const AHEAD = 32
const DURATION_MS = 12_000
const CHECKPOINT_EVERY_MS = 2_000
const COMPACT_EVERY_MS = 5_000
const LARGEST_COMMIT = 1000
const COMMIT_EVERY_TURNS = 1000
const NOTE = 'what the payer wrote on the slip, up to two lines of text'

const accountOf = (id) => ({ ...makeValue(id), note: NOTE })

/** @param {readonly string[]} keys */
async function fill(handle, keys) {
  for (let from = 0; from < keys.length; from += CHUNK) {
    const to = Math.min(from + CHUNK, keys.length)
    await handle.transaction((tx) => {
      for (let i = from; i < to; i++) tx.set(keys[i], accountOf(i))
    })
  }
}

/** What a client does, by weight; each gives a promise if there is something to wait for. */
function kindsOf(handle, keys, fresh, random) {
  const anyKey = () => keys[random(keys.length)]
  let created = 0
  const transfer = () => {
    const payer = anyKey()
    const payee = anyKey()
    return handle.transaction(async (tx) => {
      const from = tx.get(payer) ?? accountOf(0)
      const to = tx.get(payee) ?? accountOf(0)
      await turn()
      tx.set(payer, { ...from, balance: from.balance - 1 })
      await turn()
      tx.set(payee, { ...to, balance: to.balance + 1 })
    })
  }
  const scan = () => {
    let seen = 0
    for (const [key] of handle.entries({ gte: anyKey(), limit: 100 })) if (key !== '') seen++
    return seen
  }
  return [
    { kind: 'insert', weight: 300, run: () => handle.set(fresh[created++ % fresh.length], accountOf(created)) },
    { kind: 'update', weight: 250, run: () => handle.set(anyKey(), accountOf(created)) },
    { kind: 'delete', weight: 100, run: () => handle.delete(anyKey()) },
    { kind: 'get', weight: 150, run: () => handle.get(anyKey()) },
    { kind: 'transaction over turns', weight: 130, run: transfer },
    { kind: 'scan of 100', weight: 60, run: scan },
  ]
}

/**
 * Clients that do one thing each per turn, unless they wait for too much, while one checkpoint follows the other and
 * everything is merged into one run from time to time.
 *
 * @param {Database<string, object>} db
 * @param {readonly string[]} keys
 * @param {readonly string[]} fresh
 * @param {boolean} isOnDisk
 */
async function runLoad(db, keys, fresh, isOnDisk) {
  const handle = db.handle()
  const random = randomOf(9)
  const kinds = kindsOf(handle, keys, fresh, random)
  const weights = kinds.reduce((sum, { weight }) => sum + weight, 0)
  const turns = new Turns()
  const failures = []
  const counts = { operations: 0, checkpoints: 0, compactions: 0 }
  const all = new Set()
  const track = (promise, ended) => {
    all.add(promise)
    const settle = () => {
      all.delete(promise)
      ended()
    }
    promise.then(settle, (error) => {
      failures.push(error)
      settle()
    })
  }
  const ahead = new Uint32Array(CLIENTS)
  const step = (client) => {
    let ticket = random(weights)
    for (const { kind, weight, run } of kinds) {
      ticket -= weight
      if (ticket >= 0) continue
      turns.did(kind)
      counts.operations++
      const outcome = run()
      if (!(outcome instanceof Promise)) return
      ahead[client]++
      track(outcome, () => ahead[client]--)
      return
    }
  }
  const background = (kind, run) => {
    let isRunning = false
    return () => {
      if (isRunning || !isOnDisk) return
      isRunning = true
      turns.did(`${kind} asked for`)
      track(run(), () => {
        isRunning = false
        counts[`${kind}s`]++
        turns.did(`${kind} done`)
      })
    }
  }
  const checkpoint = background('checkpoint', () => db.checkpoint())
  const compact = background('compaction', () => db.compact())
  const start = performance.now()
  let checkpointAt = start + CHECKPOINT_EVERY_MS
  let compactAt = start + COMPACT_EVERY_MS
  for (let number = 1; performance.now() < start + DURATION_MS; number++) {
    for (let client = 0; client < CLIENTS; client++) if (ahead[client] < AHEAD) step(client)
    if (number % COMMIT_EVERY_TURNS === 0 && ahead[0] < AHEAD) {
      turns.did(`commit of ${LARGEST_COMMIT} keys`)
      const commit = handle.transaction((tx) => {
        for (let i = 0; i < LARGEST_COMMIT; i++) tx.set(keys[random(keys.length)], accountOf(number))
      })
      ahead[0]++
      track(commit, () => ahead[0]--)
    }
    const now = performance.now()
    if (now > checkpointAt) {
      checkpointAt = now + CHECKPOINT_EVERY_MS
      checkpoint()
    }
    if (now > compactAt) {
      compactAt = now + COMPACT_EVERY_MS
      compact()
    }
    await turns.end()
  }
  while (all.size > 0) await turns.end()
  if (failures.length > 0) throw failures[0]
  return { turns, counts }
}

/** @type {import('./index.mjs').Workload} */
export const diskStall = {
  name: 'disk-stall',
  group: 'durable',
  title: 'Length of the turns of the event loop while checkpoints and merges run under load',
  async run({ count, notes }) {
    const keys = makeKeys(count, 1)
    const fresh = makeKeys(count, 2)
    const rows = []
    for (const [contestant, options, limitMs] of /** @type {const} */ ([
      ['varve in memory', undefined, undefined],
      ['varve, full', { durability: 'full' }, LIMIT_MS],
      ['varve, relaxed', { durability: 'relaxed' }, LIMIT_MS],
    ])) {
      const path = freshPath('stall')
      const db = await Database.open(options === undefined ? {} : { path, ...options })
      await fill(db.handle(), keys)
      collectGarbage()
      const stopWatching = watchCollector()
      const { turns, counts } = await runLoad(db, keys, fresh, options !== undefined)
      const pauses = await stopWatching()
      const work = 'stall, checkpoints and merges under load'
      rows.push(...rowsOf(work, contestant, turns, limitMs), {
        work,
        contestant: `${contestant}, p99.9 without the collector`,
        figure: turns.quantileBesides(0.999, pauses),
        unit: 'ms',
      })
      const longest = [...turns.longest].sort(([, a], [, b]) => b - a).map(([kind, ms]) => `${kind} ${ms.toFixed(1)}`)
      const { checkpoints, merges } = db.stats().disk ?? {}
      notes.push(
        `stall, ${contestant}: longest turn by what was done in it (ms): ${longest.join(', ')}`,
        `stall, ${contestant}: longest pause of the garbage collector ${longestOf(pauses).toFixed(1)} ms; ${counts.operations} operations` +
          (checkpoints === undefined
            ? ''
            : `, ${checkpoints.done} checkpoints and ${merges.done} merges since it was opened`),
      )
      await db.close()
      removePath(path)
    }
    return rows
  },
}
