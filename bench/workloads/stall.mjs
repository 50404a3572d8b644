import { Database } from '../../dist/index.js'
import { makeKeys, makeValue, randomOf } from '../support/data.mjs'
import { collectGarbage } from '../support/measure.mjs'
import { longestOf, turn, Turns, watchCollector } from '../support/turns.mjs'

const LIMIT_MS = 5
/** New keys per turn while loading. */
const LOAD_PER_TURN = 50
const CLIENTS = 8
const TURNS = 200_000
/** Turns for which a snapshot stays open. */
const SNAPSHOT_TURNS = 5_000
const LARGEST_COMMIT = 1000

/** What the contestants do under load; `every` is called once a turn, for what is done from time to time. */
function mapStore() {
  const map = new Map()
  return {
    size: () => map.size,
    set: (key, value) => map.set(key, value),
    remove: (key) => map.delete(key),
    get: (key) => map.get(key),
    async transfer(payer, payee) {
      const from = map.get(payer) ?? makeValue(0)
      const to = map.get(payee) ?? makeValue(0)
      await turn()
      map.set(payer, { ...from, balance: from.balance - 1 })
      await turn()
      map.set(payee, { ...to, balance: to.balance + 1 })
    },
    every() {},
    close() {},
  }
}

async function varveStore() {
  const db = await Database.open()
  const handle = db.handle()
  const snapshots = []
  return {
    size: () => handle.size,
    set: (key, value) => handle.set(key, value),
    remove: (key) => handle.delete(key),
    get: (key) => handle.get(key),
    scan(from) {
      let seen = 0
      for (const [key] of handle.entries({ gte: from, limit: 100 })) if (key !== '') seen++
      return seen
    },
    transfer: (payer, payee) =>
      handle.transaction(async (tx) => {
        const from = tx.get(payer) ?? makeValue(0)
        const to = tx.get(payee) ?? makeValue(0)
        await turn()
        tx.set(payer, { ...from, balance: from.balance - 1 })
        await turn()
        tx.set(payee, { ...to, balance: to.balance + 1 })
      }),
    every(number, anyKey, did, start) {
      if (number % 1000 === 0) {
        did('snapshot opened')
        snapshots.push({ snapshot: db.snapshot(), until: number + SNAPSHOT_TURNS })
      }
      if (snapshots.length > 0 && snapshots[0].until <= number) {
        did('snapshot closed')
        snapshots.shift().snapshot[Symbol.dispose]()
      }
      if (number % 500 === 250) {
        did(`commit of ${LARGEST_COMMIT} keys`)
        const batch = Array.from({ length: LARGEST_COMMIT }, anyKey)
        const commit = handle.transaction((tx) => {
          for (const key of batch) tx.set(key, makeValue(number))
        })
        start(commit)
      }
      if (number % 10_000 === 5_000) {
        did('vacuum')
        start(db.vacuum())
      }
      if (number % 10_000 === 7_500) {
        did('stats')
        db.stats()
        db.memoryUsage()
      }
    },
    async close() {
      for (const { snapshot } of snapshots) snapshot[Symbol.dispose]()
      await db.close()
    },
  }
}

/** Fills a store at a steady pace, which passes every growth of its parts. */
async function load(store, keys) {
  const turns = new Turns()
  for (let from = 0; from < keys.length; from += LOAD_PER_TURN) {
    const to = Math.min(from + LOAD_PER_TURN, keys.length)
    for (let i = from; i < to; i++) void store.set(keys[i], makeValue(i))
    await turns.end()
  }
  return turns
}

/** Eight clients, one operation each per turn; transactions stay open over several turns. */
async function mixedLoad(store, keys, fresh) {
  const random = randomOf(9)
  const turns = new Turns()
  const pending = new Set()
  const failures = []
  let created = 0
  const start = (promise) => {
    pending.add(promise)
    promise.then(
      () => pending.delete(promise),
      (error) => {
        pending.delete(promise)
        failures.push(error)
      },
    )
  }
  const did = (kind) => turns.did(kind)
  const anyKey = () => keys[random(keys.length)]
  const kinds = [
    { kind: 'insert', weight: 300, run: () => store.set(fresh[created++], makeValue(created)) },
    { kind: 'update', weight: 250, run: () => store.set(anyKey(), makeValue(created)) },
    { kind: 'delete', weight: 100, run: () => store.remove(anyKey()) },
    { kind: 'get', weight: 150, run: () => store.get(anyKey()) },
    { kind: 'transaction over turns', weight: 130, run: () => start(store.transfer(anyKey(), anyKey())) },
    { kind: 'scan of 100', weight: 60, run: () => store.scan?.(anyKey()) },
  ]
  const weights = kinds.reduce((sum, { weight }) => sum + weight, 0)
  const step = () => {
    let ticket = random(weights)
    for (const { kind, weight, run } of kinds) {
      ticket -= weight
      if (ticket >= 0) continue
      did(kind)
      void run()
      return
    }
  }
  for (let number = 0; number < TURNS; number++) {
    for (let client = 0; client < CLIENTS; client++) step()
    store.every(number, anyKey, did, start)
    await turns.end()
  }
  await Promise.allSettled(pending)
  if (failures.length > 0) throw failures[0]
  return turns
}

/**
 * What is judged is what the process itself causes; the clock's own figure stands beside it.
 *
 * @param {string} work
 * @param {string} contestant
 * @param {Turns} turns
 * @param {number} [limitMs] of the 99.9th percentile
 * @returns {import('../support/measure.mjs').Row[]}
 */
export function rowsOf(work, contestant, turns, limitMs) {
  const figures = [
    ['median', turns.quantileRunning(0.5)],
    ['p99', turns.quantileRunning(0.99)],
    ['p99.9', turns.quantileRunning(0.999)],
    ['maximum', turns.quantileRunning(1)],
    ['p99.9 with waits for a processor', turns.quantile(0.999)],
    ['maximum with waits for a processor', turns.quantile(1)],
  ]
  return figures.map(([name, figure]) => ({
    work,
    contestant: `${contestant}, ${name}`,
    figure,
    unit: 'ms',
    ...(limitMs !== undefined && name.startsWith('p99.9') ? { target: limitMs, sense: 'atMost' } : {}),
  }))
}

/** @type {import('./index.mjs').Workload} */
export const stall = {
  name: 'stall',
  group: 'in-memory',
  title: 'Length of the turns of the event loop',
  async run({ count, notes }) {
    const keys = makeKeys(count, 1)
    const fresh = makeKeys(TURNS * CLIENTS, 2)
    const loading = []
    const working = []
    for (const [contestant, open, limitMs] of /** @type {const} */ ([
      ['Map', mapStore, undefined],
      ['varve', varveStore, LIMIT_MS],
    ])) {
      const store = await open()
      collectGarbage()
      let stopWatching = watchCollector()
      loading.push(...rowsOf(`stall, ${LOAD_PER_TURN} inserts a turn`, contestant, await load(store, keys), limitMs))
      const whileLoading = await stopWatching()
      stopWatching = watchCollector()
      const turns = await mixedLoad(store, keys, fresh)
      working.push(...rowsOf('stall, mixed load', contestant, turns, limitMs))
      const whileWorking = await stopWatching()
      const longest = [...turns.longest].sort(([, a], [, b]) => b - a).map(([kind, ms]) => `${kind} ${ms.toFixed(1)}`)
      notes.push(
        `stall, ${contestant}: longest turn by what was done in it (ms): ${longest.join(', ')}`,
        `stall, ${contestant}: longest pause of the garbage collector ${longestOf(whileLoading).toFixed(1)} ms while loading, ${longestOf(whileWorking).toFixed(1)} ms under mixed load; ${store.size()} keys at the end`,
      )
      await store.close()
    }
    return [...loading, ...working]
  },
}
