import { codecs, Database, keys as keyCodecs, table } from '../../dist/index.js'
import { runningMs } from '../support/clock.mjs'
import { makeKeys, makeValues } from '../support/data.mjs'
import { bytesInUse, compare, measure, median } from '../support/measure.mjs'
import { loadVarve } from '../support/stores.mjs'
import { holder } from './memory.mjs'

const ROUNDS = 400
const VALUE_BYTES = 32

async function timed(work) {
  const start = runningMs()
  const result = await work()
  return { ms: runningMs() - start, result }
}

/** Median of the times that `work` takes, ms; `work` gives what is to be closed. */
async function medianMs(rounds, work) {
  const times = []
  for (let i = 0; i < rounds; i++) times.push(await work(i))
  return median(times)
}

/** @type {import('./index.mjs').Workload} */
export const state = {
  name: 'state',
  group: 'bounded',
  title: 'Snapshots, forks, restore and compaction',
  async run({ count }) {
    const rows = []
    for (const size of [count / 100, count]) {
      const { db, handle } = await loadVarve(makeKeys(size, 1), makeValues(size))
      const snapshotMs = await medianMs(ROUNDS, () => {
        const start = performance.now()
        const snapshot = db.snapshot()
        const ms = performance.now() - start
        snapshot[Symbol.dispose]()
        return ms
      })
      rows.push({ work: `snapshot(), ${size} entries`, contestant: 'varve', figure: snapshotMs * 1000, unit: 'us' })
      const writes = []
      const forkMs = await medianMs(ROUNDS, async (i) => {
        const start = performance.now()
        const fork = db.fork()
        const ms = performance.now() - start
        const forked = fork.handle()
        const before = performance.now()
        const pending = forked.set(`new ${i}`, { id: i, owner: '', balance: 0 })
        writes.push(performance.now() - before)
        await pending
        await fork.close()
        return ms
      })
      rows.push(
        {
          work: `fork(), ${size} entries`,
          contestant: 'varve',
          figure: forkMs * 1000,
          unit: 'us',
          target: 100,
          sense: 'atMost',
        },
        {
          work: `first write on a fork, ${size} entries`,
          contestant: 'varve',
          figure: median(writes) * 1000,
          unit: 'us',
          target: 10,
          sense: 'atMost',
        },
      )
      {
        const snapshot = db.snapshot()
        await handle.clear()
        const { ms } = await timed(() => db.restore(snapshot))
        snapshot[Symbol.dispose]()
        if (handle.size !== size) throw new Error('not everything was restored')
        rows.push({
          work: `restore, ${size} entries`,
          contestant: 'varve',
          figure: size / (ms / 1000),
          unit: 'keys/s',
          target: 500_000,
        })
        await handle.transaction((tx) => {
          let i = 0
          for (const key of tx.keys()) if (i++ % 10 !== 0) tx.delete(key)
        })
        await db.vacuum()
        const before = db.memoryUsage()
        const compacted = await timed(() => db.compact())
        rows.push(
          {
            work: `compact after deleting 9 of 10, ${size} entries`,
            contestant: 'varve',
            figure: size / (compacted.ms / 1000),
            unit: 'keys/s',
            target: 2_000_000,
          },
          {
            work: `memoryUsage() after compact, ${size} entries`,
            contestant: 'varve',
            figure: db.memoryUsage() / before,
            unit: 'x',
          },
        )
      }
      await db.close()
    }
    return rows
  },
}

/** @type {import('./index.mjs').Workload} */
export const watchers = {
  name: 'watchers',
  group: 'bounded',
  title: 'Commits with and without 1,000 idle watchers',
  async run({ repetitions }) {
    const operations = 200_000
    const keys = makeKeys(1000, 1)
    const ways = {
      'set()': async (handle, i) => handle.set(keys[i % keys.length], i),
      'transaction()': (handle, i) =>
        handle.transaction((tx) => {
          const key = keys[i % keys.length]
          tx.set(key, (tx.get(key) ?? 0) + 1)
        }),
    }
    const enter = (name, count, write) => ({
      name,
      setup: async () => {
        const db = await Database.open()
        const watching = Array.from({ length: count }, (_, i) => db.handle().watch({ key: `idle ${i}` }))
        for (const changes of watching) changes.next().catch(() => {})
        return { db, watching, handle: db.handle() }
      },
      run: async ({ handle }, wanted) => {
        for (let i = 0; i < wanted; i++) await write(handle, i)
        return wanted
      },
      teardown: async ({ db, watching }) => {
        for (const changes of watching) void changes.return()
        await db.close()
      },
    })
    const rows = []
    for (const [way, write] of Object.entries(ways)) {
      const series = await measure(
        [enter('varve without watchers', 0, write), enter('varve with 1,000 idle watchers', 1000, write)],
        { repetitions: Math.max(repetitions, 7), operations },
      )
      const against = 'varve without watchers'
      rows.push(
        ...compare(`commit by ${way}`, series, [{ of: 'varve with 1,000 idle watchers', against, target: 0.9 }]),
      )
    }
    return rows
  },
}

/** @type {import('./index.mjs').Workload} */
export const struct = {
  name: 'struct',
  group: 'bounded',
  title: 'Reading one field of a struct, and what values in the arena take',
  async run({ count, repetitions }) {
    const rows = []
    const schema = codecs.struct({ id: 'u32', owner: 'string', balance: 'f64', scores: 'f64[]' })
    const db = await Database.open()
    const structs = db.handle(table('structs', { key: keyCodecs.string(), value: schema }))
    const objects = db.handle(table('objects', { key: keyCodecs.string() }))
    const keys = makeKeys(1000, 1)
    for (let i = 0; i < keys.length; i++) {
      const value = { id: i, owner: `owner ${i}`, balance: i, scores: [1, 2, 3] }
      await structs.set(keys[i], value)
      await objects.set(keys[i], value)
    }
    const operations = 1_000_000
    const enter = (name, run) => ({ name, operations, run })
    const series = await measure(
      [
        enter('get of a struct', (_state, wanted) => {
          let found = 0
          for (let i = 0; i < wanted; i++) if (structs.get(keys[i % 1000]) !== undefined) found++
          return found
        }),
        enter('get of a struct and one field', (_state, wanted) => {
          let sum = 0
          for (let i = 0; i < wanted; i++) sum += structs.get(keys[i % 1000]).balance
          return sum === 0 ? 0 : wanted
        }),
        enter('get of an object and one property', (_state, wanted) => {
          let sum = 0
          for (let i = 0; i < wanted; i++) sum += objects.get(keys[i % 1000]).balance
          return sum === 0 ? 0 : wanted
        }),
      ],
      { repetitions, operations },
    )
    const ns = series.map(({ rates }) => 1e9 / median(rates))
    rows.push(
      ...['get of a struct', 'get of a struct and one field', 'get of an object and one property'].map(
        (contestant, i) => ({
          work: 'struct',
          contestant,
          figure: ns[i],
          unit: 'ns',
        }),
      ),
      {
        work: 'struct',
        contestant: 'a field beyond the lookup',
        figure: ns[1] - ns[0],
        unit: 'ns',
        target: 100,
        sense: 'atMost',
      },
      { work: 'struct', contestant: 'lookup and field beyond those of an object', figure: ns[1] - ns[2], unit: 'ns' },
    )
    await db.close()
    rows.push(...(await residentBytes(count)))
    return rows
  },
}

/** Bytes per entry of u64 keys and values of 32 bytes. */
async function residentBytes(count) {
  const value = (i) => new Uint8Array(VALUE_BYTES).fill(i)
  const before = bytesInUse()
  const map = new Map()
  holder.kept = map
  for (let i = 0; i < count; i++) map.set(BigInt(i), Buffer.from(value(i)))
  const ofMap = (bytesInUse() - before) / count
  holder.kept = undefined
  map.clear()
  const empty = bytesInUse()
  const db = await Database.open()
  const handle = db.handle(table('values', { key: keyCodecs.u64(), value: codecs.bytes() }))
  for (let from = 0; from < count; from += 1000) {
    await handle.transaction((tx) => {
      for (let i = from; i < Math.min(from + 1000, count); i++) tx.set(BigInt(i), value(i))
    })
  }
  const own = (bytesInUse() - empty) / count
  await db.close()
  return [
    { work: 'u64 -> 32 bytes', contestant: 'Map of Buffers', figure: ofMap, unit: 'B' },
    {
      work: 'u64 -> 32 bytes',
      contestant: 'varve',
      figure: own,
      unit: 'B',
      against: 'Map of Buffers',
      ratio: own / ofMap,
      target: 0.5,
      sense: 'atMost',
    },
  ]
}
