import { LRUCache } from 'lru-cache'
import { Database } from '../../dist/index.js'
import { makeKeys } from '../support/data.mjs'
import { compare, measure } from '../support/measure.mjs'
import { loop, scanned, shifting, zipf } from '../support/traces.mjs'

const POLICIES = /** @type {const} */ (['lru', 'lfu', 'random', 'arc', 's3fifo'])
const OPERATIONS = 500_000

/** What every entry counts for, so that a limit in bytes is one in entries. */
const ENTRY_BYTES = 100

/** Read-through: what is not there is set. Gives how often it was there. */
const loops = {
  'lru-cache': (cache) => (keys, wanted) => {
    let hits = 0
    for (let i = 0; i < wanted.length; i++) {
      const key = keys[wanted[i]]
      if (cache.get(key) === undefined) cache.set(key, { id: i })
      else hits++
    }
    return hits
  },
  varve: (handle) => (keys, wanted) => {
    let hits = 0
    for (let i = 0; i < wanted.length; i++) {
      const key = keys[wanted[i]]
      if (handle.get(key) === undefined) handle.set(key, { id: i })
      else hits++
    }
    return hits
  },
}

async function openBounded(policy, entries) {
  const db = await Database.open({
    maxMemoryBytes: entries * ENTRY_BYTES,
    eviction: policy,
    sizeOf: () => ENTRY_BYTES,
  })
  return { db, handle: db.handle() }
}

/** @type {import('./index.mjs').Workload} */
export const cache = {
  name: 'cache',
  group: 'bounded',
  title: 'Read-through cache with a bound, per policy',
  async run({ count, repetitions }) {
    const items = Math.min(count, 100_000)
    const room = items / 10
    const keys = makeKeys(items + 100_000, 1)
    const traces = {
      'zipf 0.99': (seed) => zipf(items, 0.99, OPERATIONS, seed),
      'zipf 0.7': (seed) => zipf(items, 0.7, OPERATIONS, seed),
      'zipf 0.99 with scans': (seed) => scanned(items, 0.99, OPERATIONS, seed, 0.2),
      'shifting zipf 0.99': (seed) => shifting(items, 0.99, OPERATIONS, seed),
      loop: () => loop(room * 2, OPERATIONS),
    }
    const rows = []
    for (const [trace, make] of Object.entries(traces)) {
      const ratios = new Map()
      const enter = (name, open, loopOf, close) => ({
        name,
        setup: async (repetition) => ({ store: await open(), wanted: make(100 + repetition) }),
        run: ({ store, wanted }) => {
          ratios.set(name, loopOf(store)(keys, wanted) / wanted.length)
          return wanted.length
        },
        teardown: ({ store }) => close(store),
      })
      const entries = [
        enter(
          'lru-cache',
          () => new LRUCache({ max: room }),
          loops['lru-cache'],
          () => {},
        ),
        ...POLICIES.map((policy) =>
          enter(
            `varve ${policy}`,
            () => openBounded(policy, room),
            ({ handle }) => loops.varve(handle),
            async ({ db }) => db.close(),
          ),
        ),
      ]
      const series = await measure(entries, { repetitions, operations: OPERATIONS })
      const target = trace === 'zipf 0.99' ? { target: 0.5 } : {}
      rows.push(
        ...compare(
          `cache, ${trace}`,
          series,
          POLICIES.map((policy) => ({ of: `varve ${policy}`, against: 'lru-cache', ...target })),
        ),
      )
      const peer = ratios.get('lru-cache')
      for (const [contestant, ratio] of ratios) {
        rows.push({
          work: `hit ratio, ${trace}`,
          contestant,
          figure: ratio * 100,
          unit: '%',
          ...(contestant === 'varve s3fifo' ? { target: peer * 100 } : {}),
        })
      }
    }
    return rows
  },
}

/** One policy a process, as an application has it: several would make one another's calls slower. */
const evictingWith = (policy) =>
  /** @type {import('./index.mjs').Workload} */ ({
    name: `hot-${policy}`,
    group: 'bounded',
    title: `Point get with a memory limit that is not reached, ${policy}, against none`,
    async run({ count, repetitions }) {
      const keys = makeKeys(count, 1)
      const open = async (limits) => {
        const db = await Database.open(limits)
        const handle = db.handle()
        for (let from = 0; from < count; from += 1000) {
          await handle.transaction((tx) => {
            for (let i = from; i < Math.min(from + 1000, count); i++) tx.set(keys[i], { id: i, balance: 0 })
          })
        }
        return { db, handle }
      }
      const enter = (name, { handle }) => ({
        name,
        setup: (repetition) => Array.from(zipf(count, 0.99, OPERATIONS, 200 + repetition), (at) => keys[at]),
        run: (wanted) => {
          let found = 0
          for (let i = 0; i < wanted.length; i++) if (handle.get(wanted[i]) !== undefined) found++
          return found
        },
      })
      const stores = [await open({}), await open({ maxMemoryBytes: 2 ** 40, eviction: policy })]
      const entries = [enter('varve without a limit', stores[0]), enter(`varve ${policy}`, stores[1])]
      const series = await measure(entries, { repetitions: Math.max(repetitions, 5), operations: OPERATIONS })
      for (const { db } of stores) await db.close()
      return compare('hot get', series, [{ of: `varve ${policy}`, against: 'varve without a limit', target: 0.85 }])
    },
  })

export const evicting = POLICIES.map(evictingWith)
