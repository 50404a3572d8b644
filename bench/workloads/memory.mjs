import { Database } from '../../dist/index.js'
import { makeKeys, makeValue } from '../support/data.mjs'
import { bytesInUse } from '../support/measure.mjs'
import { BTree } from '../support/peers.mjs'
import { BATCH } from '../support/stores.mjs'

/** Bytes of the slot that an array of pointers spends on each element. */
const SLOT_BYTES = 8

/** Keys in chunks, so that nothing but the store under test keeps more than a chunk of them. */
function* data(count) {
  for (let from = 0; from < count; from += BATCH) {
    const keys = makeKeys(Math.min(BATCH, count - from), 1 + from)
    yield { from, keys }
  }
}

const fill = {
  'keys and values alone': async (count) => {
    const keys = new Array(count)
    const values = new Array(count)
    for (const { from, keys: chunk } of data(count)) {
      for (let i = 0; i < chunk.length; i++) {
        keys[from + i] = chunk[i]
        values[from + i] = makeValue(from + i)
      }
    }
    return { keys, values }
  },
  Map: async (count) => {
    const map = new Map()
    for (const { from, keys } of data(count))
      for (let i = 0; i < keys.length; i++) map.set(keys[i], makeValue(from + i))
    return map
  },
  'sorted-btree': async (count) => {
    const tree = new BTree()
    for (const { from, keys } of data(count))
      for (let i = 0; i < keys.length; i++) tree.set(keys[i], makeValue(from + i))
    return tree
  },
  varve: async (count) => {
    const db = await Database.open()
    const handle = db.handle()
    for (const { from, keys } of data(count)) {
      await handle.transaction((tx) => {
        for (let i = 0; i < keys.length; i++) tx.set(keys[i], makeValue(from + i))
      })
    }
    return db
  },
  'varve, autocommit': async (count) => {
    const db = await Database.open()
    const handle = db.handle()
    for (const { from, keys } of data(count)) {
      let last
      for (let i = 0; i < keys.length; i++) last = handle.set(keys[i], makeValue(from + i))
      await last
    }
    return db
  },
}

/**
 * @param {(count: number) => Promise<unknown>} make
 * @param {number} count
 */
async function bytesPerEntry(make, count) {
  const before = bytesInUse()
  holder.kept = await make(count)
  const after = bytesInUse()
  if (holder.kept instanceof Database) await holder.kept.close()
  holder.kept = undefined
  return (after - before) / count
}

/** What is being weighed; nothing else may hold it, and nobody may think that it is not needed. */
export const holder = { kept: /** @type {unknown} */ (undefined) }

/** @type {import('./index.mjs').Workload} */
export const memory = {
  name: 'memory',
  group: 'in-memory',
  title: 'Heap and external bytes per entry',
  async run({ count }) {
    const perEntry = {}
    for (const [name, make] of Object.entries(fill)) {
      // Once small, so that code and its feedback do not count.
      await bytesPerEntry(make, 10_000)
      perEntry[name] = await bytesPerEntry(make, count)
    }
    const alone = perEntry['keys and values alone'] - 2 * SLOT_BYTES
    return Object.entries(perEntry).flatMap(([contestant, figure]) => {
      if (contestant === 'keys and values alone') {
        return [{ work: 'memory', contestant, figure: alone, unit: 'B', note: 'without the two arrays that hold them' }]
      }
      const above = {
        work: 'memory',
        contestant: `${contestant} above keys and values`,
        figure: figure - alone,
        unit: 'B',
      }
      const row = { work: 'memory', contestant, figure, unit: 'B' }
      return contestant.startsWith('varve') ? [row, { ...above, target: 80, sense: 'atMost' }] : [row, above]
    })
  },
}
