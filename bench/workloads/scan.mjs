import { draw, makeKeys, makeValues } from '../support/data.mjs'
import { compare, measure } from '../support/measure.mjs'
import { loadBTree, loadLmdb, loadVarve } from '../support/stores.mjs'

const LENGTH = 100

/**
 * Each scan visits keys and values and reads one field of each value. A scan that starts close to the last key is shorter
 * for every contestant alike.
 */
const loops = {
  tree: (tree) => (starts) => {
    let sum = 0
    for (let i = 0; i < starts.length; i++) {
      let left = LENGTH
      for (const [key, value] of tree.entries(starts[i])) {
        sum += value.balance + key.length
        if (--left === 0) break
      }
    }
    return sum
  },
  handle: (handle) => (starts) => {
    let sum = 0
    for (let i = 0; i < starts.length; i++) {
      for (const [key, value] of handle.entries({ gte: starts[i], limit: LENGTH })) sum += value.balance + key.length
    }
    return sum
  },
  transaction: (handle) => async (starts) => {
    let sum = 0
    for (let i = 0; i < starts.length; i++) {
      await handle.transaction((tx) => {
        for (const [key, value] of tx.entries({ gte: starts[i], limit: LENGTH })) sum += value.balance + key.length
      })
    }
    return sum
  },
  lmdb:
    ({ db }) =>
    (starts) => {
      let sum = 0
      for (let i = 0; i < starts.length; i++) {
        for (const { key, value } of db.getRange({ start: starts[i], limit: LENGTH })) sum += value.balance + key.length
      }
      return sum
    },
}

/** @type {import('./index.mjs').Workload} */
export const scan = {
  name: 'scan',
  group: 'in-memory',
  title: 'Scan of 100 keys and values from a random key',
  async run({ count, repetitions, notes }) {
    const keys = makeKeys(count, 1)
    const values = makeValues(count)
    const tree = loadBTree(keys, values)
    const { db, handle } = await loadVarve(keys, values)
    const lmdb = await loadLmdb(keys, values, notes)
    const operations = 50_000
    const slow = 5_000
    const expected = new Map()
    const enter = (name, loop, own = operations) => ({
      name,
      operations: own,
      setup: (repetition) => ({ repetition, starts: draw(keys, own, 100 + repetition) }),
      run: async ({ repetition, starts }) => {
        const sum = await loop(starts)
        // All of them must have visited the same.
        const id = `${repetition} ${own}`
        if (!expected.has(id)) expected.set(id, sum)
        else if (expected.get(id) !== sum) throw new Error(`${name} visited something else than the first contestant`)
        return starts.length
      },
    })
    const entries = [
      enter('sorted-btree entries(key)', loops.tree(tree)),
      enter('varve handle.entries', loops.handle(handle)),
      enter('varve tx.entries', loops.transaction(handle)),
      lmdb && enter('lmdb getRange', loops.lmdb(lmdb), slow),
    ]
    const series = await measure(entries, { repetitions, operations })
    await lmdb?.close()
    await db.close()
    return compare('scan of 100', series, [
      { of: 'varve handle.entries', against: 'sorted-btree entries(key)', target: 1 },
      { of: 'varve tx.entries', against: 'sorted-btree entries(key)', target: 1 },
    ])
  },
}
