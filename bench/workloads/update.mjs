import { draw, makeKeys, makeValues, STRINGS } from '../support/data.mjs'
import { compare, measure } from '../support/measure.mjs'
import { BATCH, loadBTree, loadMap, loadVarve } from '../support/stores.mjs'

/** @type {import('./index.mjs').Workload} */
export const update = {
  name: 'update',
  group: 'in-memory',
  title: 'Set of a key that is there, with a new object each time',
  async run({ count, repetitions }) {
    const keys = makeKeys(count, 1)
    const values = makeValues(count)
    const map = loadMap(keys, values)
    const tree = loadBTree(keys, values)
    const { db, handle } = await loadVarve(keys, values)
    const operations = 500_000
    const race = (keysOf) => {
      const setup = (repetition) => keysOf(draw(keys, operations, 100 + repetition))
      const entries = [
        {
          name: 'Map.set',
          setup,
          run(wanted, operations) {
            for (let i = 0; i < operations; i++) map.set(wanted[i], { id: i, owner: 'nobody', balance: i })
            return operations
          },
        },
        {
          name: 'varve handle.set, await per 1000',
          setup,
          async run(wanted, operations) {
            for (let from = 0; from < operations; from += BATCH) {
              const to = Math.min(from + BATCH, operations)
              let last
              for (let i = from; i < to; i++) last = handle.set(wanted[i], { id: i, owner: 'nobody', balance: i })
              await last
            }
            return operations
          },
        },
        {
          name: 'varve transactions of 1000',
          setup,
          async run(wanted, operations) {
            for (let from = 0; from < operations; from += BATCH) {
              const to = Math.min(from + BATCH, operations)
              await handle.transaction((tx) => {
                for (let i = from; i < to; i++) tx.set(wanted[i], { id: i, owner: 'nobody', balance: i })
              })
            }
            return operations
          },
        },
        {
          name: 'Map.set, frozen copies',
          setup,
          run(wanted, operations) {
            for (let i = 0; i < operations; i++) {
              const given = { id: i, owner: 'nobody', balance: i }
              map.set(wanted[i], Object.freeze({ ...given }))
            }
            return operations
          },
        },
        {
          name: 'sorted-btree set',
          setup,
          run(wanted, operations) {
            for (let i = 0; i < operations; i++) tree.set(wanted[i], { id: i, owner: 'nobody', balance: i })
            return operations
          },
        },
      ]
      return measure(entries, { repetitions, operations })
    }
    const comparisons = [
      { of: 'varve handle.set, await per 1000', against: 'Map.set', target: 0.6 },
      { of: 'varve handle.set, await per 1000', against: 'Map.set, frozen copies' },
      { of: 'varve transactions of 1000', against: 'Map.set' },
    ]
    const rows = []
    for (const [strings, keysOf] of STRINGS)
      rows.push(...compare(`update, ${strings}`, await race(keysOf), comparisons))
    await db.close()
    return rows
  },
}
