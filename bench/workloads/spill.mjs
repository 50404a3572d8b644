import { Database } from '../../dist/index.js'
import { entryChunks, entryKeys, CHUNK, ENTRY_BYTES } from '../support/data.mjs'
import { compare, measure, median } from '../support/measure.mjs'
import { freshPath, removePath } from '../support/scratch.mjs'
import { zipf } from '../support/traces.mjs'

const OPERATIONS = 200_000
const WARM_READS = 5000
const COLD_READS = 20_000

async function openBounded(path, maxMemoryBytes) {
  const db = await Database.open({ path, durability: 'relaxed', maxMemoryBytes, eviction: 's3fifo' })
  return { db, handle: db.handle() }
}

async function loadBounded(path, count, maxMemoryBytes) {
  const { db, handle } = await openBounded(path, maxMemoryBytes)
  for (const { keys, values } of entryChunks(count)) {
    await handle.transaction((tx) => {
      for (let i = 0; i < keys.length; i++) tx.set(keys[i], values[i])
    })
  }
  await db.checkpoint()
  return { db, handle }
}

/** @param {string[]} notes */
async function loadPeer(path, count, notes) {
  try {
    const { open } = await import('lmdb')
    const db = open({ path, noSync: true, encoding: 'binary', cache: false })
    for (const { keys, values } of entryChunks(count)) {
      await db.transaction(() => {
        for (let i = 0; i < keys.length; i++) void db.put(keys[i], Buffer.from(values[i]))
      })
    }
    return db
  } catch (error) {
    notes.push(`lmdb is left out: ${String(error).split('\n')[0]}`)
    return null
  }
}

function allKeys(count) {
  const keys = []
  for (let from = 0; from < count; from += CHUNK) keys.push(...entryKeys(Math.min(CHUNK, count - from), from))
  return keys
}

/** @type {import('./index.mjs').Workload} */
export const spill = {
  name: 'spill',
  group: 'bounded',
  title: 'Data larger than the memory limit, on disk',
  async run({ count, repetitions, isLarge, notes }) {
    const rows = []
    const keys = allKeys(count)
    const path = freshPath('spill')
    const limit = Math.round((count * ENTRY_BYTES) / 10)
    const loaded = await loadBounded(path, count, limit)
    // Opened anew, nothing is in memory.
    await loaded.db.close()
    const { db, handle } = await openBounded(path, limit)
    const peerPath = freshPath('spill-lmdb')
    const peer = await loadPeer(peerPath, count, notes)

    const times = []
    for (let i = 0; i < WARM_READS; i++) handle.get(keys[(i * 104_729 + 1) % keys.length])
    for (let i = 0; i < COLD_READS; i++) {
      const key = keys[(i * 7919) % keys.length]
      const start = performance.now()
      handle.get(key)
      times.push((performance.now() - start) * 1000)
    }
    rows.push({
      work: 'get of keys at random, nearly all cold, p50',
      contestant: 'varve',
      figure: median(times),
      unit: 'us',
      target: 20,
      sense: 'atMost',
    })

    const series = await measure(
      [
        {
          name: 'varve',
          setup: (repetition) => zipf(count, 0.99, OPERATIONS, 300 + repetition),
          run: (wanted) => {
            let found = 0
            for (let i = 0; i < wanted.length; i++) if (handle.get(keys[wanted[i]]) !== undefined) found++
            return found
          },
        },
        peer && {
          name: 'lmdb',
          setup: (repetition) => zipf(count, 0.99, OPERATIONS, 300 + repetition),
          run: (wanted) => {
            let found = 0
            for (let i = 0; i < wanted.length; i++) if (peer.get(keys[wanted[i]]) !== undefined) found++
            return found
          },
        },
      ],
      { repetitions, operations: OPERATIONS },
    )
    rows.push(...compare('zipf 0.99, data 10 x the limit', series, [{ of: 'varve', against: 'lmdb', target: 0.5 }]))
    await db.close()
    await peer?.close()
    removePath(path)
    removePath(peerPath)
    if (isLarge) rows.push(...(await tenMillion()))
    return rows
  },
}

/** 10^7 entries under 64 MB. */
async function tenMillion() {
  const count = 10_000_000
  const limit = 64 * 2 ** 20
  const path = freshPath('spill-large')
  const rssBefore = process.memoryUsage().rss
  const start = performance.now()
  const { db, handle } = await loadBounded(path, count, limit)
  const seconds = (performance.now() - start) / 1000
  if (handle.size !== count) throw new Error(`${handle.size} of ${count} entries are there`)
  const wanted = zipf(count / CHUNK, 0.99, 50_000, 1)
  let found = 0
  const reading = performance.now()
  for (const chunk of wanted) if (handle.get(entryKeys(1, chunk * CHUNK)[0]) !== undefined) found++
  const readSeconds = (performance.now() - reading) / 1000
  const grown = (process.memoryUsage().rss - rssBefore) / 2 ** 20
  const counted = db.memoryUsage() / 2 ** 20
  await db.close()
  removePath(path)
  const work = '10^7 entries, limit 64 MiB'
  return [
    { work, contestant: 'loaded', figure: count / seconds, unit: 'keys/s' },
    { work, contestant: 'read, Zipf over chunks', figure: found / readSeconds, unit: 'ops/s' },
    { work, contestant: 'memoryUsage()', figure: counted, unit: 'MiB', target: 64 * 1.15, sense: 'atMost' },
    { work, contestant: 'resident set grown by', figure: grown, unit: 'MiB' },
  ]
}
