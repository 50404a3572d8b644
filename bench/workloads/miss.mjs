import { draw, makeKeys, makeValues, STRINGS } from '../support/data.mjs'
import { compare, measure } from '../support/measure.mjs'
import { loadBTree, loadMap, loadVarve } from '../support/stores.mjs'

const READS_PER_TRANSACTION = 100

const loops = {
  map: (map) => (keys) => {
    let found = 0
    for (let i = 0; i < keys.length; i++) if (map.has(keys[i])) found++
    return found
  },
  get: (handle) => (keys) => {
    let found = 0
    for (let i = 0; i < keys.length; i++) if (handle.get(keys[i]) !== undefined) found++
    return found
  },
  has: (handle) => (keys) => {
    let found = 0
    for (let i = 0; i < keys.length; i++) if (handle.has(keys[i])) found++
    return found
  },
  transaction: (handle) => async (keys) => {
    let found = 0
    for (let from = 0; from < keys.length; from += READS_PER_TRANSACTION) {
      const to = Math.min(from + READS_PER_TRANSACTION, keys.length)
      await handle.transaction((tx) => {
        for (let i = from; i < to; i++) if (tx.get(keys[i]) !== undefined) found++
      })
    }
    return found
  },
  tree: (tree) => (keys) => {
    let found = 0
    for (let i = 0; i < keys.length; i++) if (tree.has(keys[i])) found++
    return found
  },
}

/** @type {import('./index.mjs').Workload} */
export const miss = {
  name: 'miss',
  group: 'in-memory',
  title: 'Point get of a key that is not there',
  async run({ count, repetitions }) {
    const keys = makeKeys(count, 1)
    const values = makeValues(count)
    const operations = 500_000
    const absent = makeKeys(operations, 2)
    const map = loadMap(keys, values)
    const tree = loadBTree(keys, values)
    const { db, handle } = await loadVarve(keys, values)

    const race = (keysOf) => {
      const enter = (name, loop) => ({
        name,
        setup: (repetition) => keysOf(draw(absent, operations, 100 + repetition)),
        run: async (wanted) => {
          const found = await loop(wanted)
          if (found !== 0) throw new Error(`${name} found ${found} keys that are not there`)
          return wanted.length
        },
      })
      const entries = [
        enter('Map.has', loops.map(map)),
        enter('varve handle.get', loops.get(handle)),
        enter('varve handle.has', loops.has(handle)),
        enter('varve tx.get', loops.transaction(handle)),
        enter('sorted-btree has', loops.tree(tree)),
      ]
      return measure(entries, { repetitions, operations })
    }

    const comparisons = [
      { of: 'varve handle.get', against: 'Map.has', target: 1.5 },
      { of: 'varve handle.has', against: 'Map.has', target: 1.5 },
      { of: 'varve tx.get', against: 'Map.has', target: 1.5 },
    ]
    const rows = []
    for (const [strings, keysOf] of STRINGS)
      rows.push(...compare(`get, miss, ${strings}`, await race(keysOf), comparisons))
    await db.close()
    return rows
  },
}
