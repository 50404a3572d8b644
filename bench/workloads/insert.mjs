import { Database } from '../../dist/index.js'
import { makeKeys, makeValues } from '../support/data.mjs'
import { compare, measure } from '../support/measure.mjs'
import { BTree } from '../support/peers.mjs'
import { BATCH } from '../support/stores.mjs'

/** Opens an empty database for each repetition and closes it after. */
const openEmpty = async () => {
  const db = await Database.open()
  return { db, handle: db.handle() }
}

/** @type {import('./index.mjs').Workload} */
export const insert = {
  name: 'insert',
  group: 'in-memory',
  title: 'Insert of new keys in random order into an empty store',
  async run({ count, repetitions }) {
    const keys = makeKeys(count, 1)
    const values = makeValues(count)
    const varve = {
      setup: openEmpty,
      verify: ({ handle }) => requireSize(handle.size),
      teardown: ({ db }) => db.close(),
    }
    let expected = 0
    const requireSize = (size) => {
      if (size !== expected) throw new Error(`${size} keys after inserting ${expected}`)
    }
    const sized = { verify: ({ size }) => requireSize(size) }
    const entries = [
      {
        ...varve,
        name: 'varve handle.set, await per 1000',
        async run({ handle }, operations) {
          expected = operations
          for (let from = 0; from < operations; from += BATCH) {
            const to = Math.min(from + BATCH, operations)
            let last
            for (let i = from; i < to; i++) last = handle.set(keys[i], values[i])
            await last
          }
          return operations
        },
      },
      {
        ...varve,
        name: 'varve transactions of 1000',
        async run({ handle }, operations) {
          expected = operations
          for (let from = 0; from < operations; from += BATCH) {
            const to = Math.min(from + BATCH, operations)
            await handle.transaction((tx) => {
              for (let i = from; i < to; i++) tx.set(keys[i], values[i])
            })
          }
          return operations
        },
      },
      {
        ...sized,
        name: 'sorted-btree set',
        setup: () => new BTree(),
        run(tree, operations) {
          expected = operations
          for (let i = 0; i < operations; i++) tree.set(keys[i], values[i])
          return operations
        },
      },
      {
        ...sized,
        name: 'sorted-btree set, frozen copies',
        setup: () => new BTree(),
        run(tree, operations) {
          expected = operations
          for (let i = 0; i < operations; i++) {
            const { id, owner, balance } = values[i]
            tree.set(keys[i], Object.freeze({ id, owner, balance }))
          }
          return operations
        },
      },
      {
        ...sized,
        name: 'Map.set',
        setup: () => new Map(),
        run(map, operations) {
          expected = operations
          for (let i = 0; i < operations; i++) map.set(keys[i], values[i])
          return operations
        },
      },
    ]
    const series = await measure(entries, { repetitions, operations: count })
    return compare('insert', series, [
      { of: 'varve handle.set, await per 1000', against: 'sorted-btree set', target: 1 },
      { of: 'varve handle.set, await per 1000', against: 'Map.set' },
      { of: 'varve transactions of 1000', against: 'sorted-btree set', target: 1 },
      { of: 'varve transactions of 1000', against: 'Map.set' },
    ])
  },
}
