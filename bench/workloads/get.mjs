import { draw, makeKeys, makeValues, STRINGS } from '../support/data.mjs'
import { compare, measure } from '../support/measure.mjs'
import { loadBTree, loadLmdb, loadMap, loadSqliteAccounts, loadVarve } from '../support/stores.mjs'

const READS_PER_TRANSACTION = 100

/** Every contestant has a loop of its own, so that none runs through code that was optimised for another. */
const loops = {
  map: (map) => (keys) => {
    let found = 0
    for (let i = 0; i < keys.length; i++) if (map.get(keys[i]) !== undefined) found++
    return found
  },
  handle: (handle) => (keys) => {
    let found = 0
    for (let i = 0; i < keys.length; i++) if (handle.get(keys[i]) !== undefined) found++
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
    for (let i = 0; i < keys.length; i++) if (tree.get(keys[i]) !== undefined) found++
    return found
  },
  sqlite:
    ({ get }) =>
    (keys) => {
      let found = 0
      for (let i = 0; i < keys.length; i++) if (get.get(keys[i]) !== undefined) found++
      return found
    },
  lmdb:
    ({ db }) =>
    (keys) => {
      let found = 0
      for (let i = 0; i < keys.length; i++) if (db.get(keys[i]) !== undefined) found++
      return found
    },
}

/** @type {import('./index.mjs').Workload} */
export const get = {
  name: 'get',
  group: 'in-memory',
  title: 'Point get of a key that is there',
  async run({ count, repetitions, notes }) {
    const keys = makeKeys(count, 1)
    const values = makeValues(count)
    const map = loadMap(keys, values)
    const { db, handle } = await loadVarve(keys, values)
    const tree = loadBTree(keys, values)
    const sqlite = await loadSqliteAccounts(keys, values, notes, 'WITHOUT ROWID')
    const lmdb = await loadLmdb(keys, values, notes)
    const operations = 500_000
    const slow = 100_000

    /** @param {(keys: readonly string[]) => string[]} keysOf how a contestant gets the keys it asks for */
    const race = (keysOf) => {
      const enter = (name, loop, own = operations) => ({
        name,
        operations: own,
        setup: (repetition) => keysOf(draw(keys, own, 100 + repetition)),
        run: async (wanted) => {
          const found = await loop(wanted)
          if (found !== wanted.length) throw new Error(`${name} found ${found} of ${wanted.length} keys`)
          return found
        },
      })
      const entries = [
        enter('Map.get', loops.map(map)),
        enter('varve handle.get', loops.handle(handle)),
        enter('varve tx.get', loops.transaction(handle)),
        enter('sorted-btree get', loops.tree(tree)),
        sqlite && enter('better-sqlite3 get, in memory', loops.sqlite(sqlite), slow),
        lmdb && enter('lmdb get', loops.lmdb(lmdb), slow),
      ]
      return measure(entries, { repetitions, operations })
    }

    const comparisons = [
      { of: 'varve handle.get', against: 'Map.get', target: 0.75 },
      { of: 'varve tx.get', against: 'Map.get', target: 0.75 },
    ]
    const rows = []
    for (const [strings, keysOf] of STRINGS)
      rows.push(...compare(`get, hit, ${strings}`, await race(keysOf), comparisons))
    await lmdb?.close()
    await db.close()
    return rows
  },
}
