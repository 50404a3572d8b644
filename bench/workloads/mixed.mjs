import { freshCopies, makeKeys, makeValues, randomOf } from '../support/data.mjs'
import { compare, measure, settled } from '../support/measure.mjs'
import { loadMap, loadVarve } from '../support/stores.mjs'

const SETS_PERCENT = 20

/** What to do: the key, an equal copy of the stored one, and whether to set it. */
function planMix(keys, operations, seed) {
  const random = randomOf(seed)
  const wanted = new Array(operations)
  const writes = new Uint8Array(operations)
  for (let i = 0; i < operations; i++) {
    wanted[i] = keys[random(keys.length)]
    writes[i] = random(100) < SETS_PERCENT ? 1 : 0
  }
  return { wanted: freshCopies(wanted), writes }
}

/** Each client awaits every operation of its own, reads too, so that the others run in between. */
async function share(clients, operations, client) {
  await Promise.all(Array.from({ length: clients }, (_, first) => client(first, clients)))
  return operations
}

/** @type {import('./index.mjs').Workload} */
export const mixed = {
  name: 'mixed',
  group: 'in-memory',
  title: `${100 - SETS_PERCENT} % gets and ${SETS_PERCENT} % sets, each awaited`,
  async run({ count, repetitions }) {
    const keys = makeKeys(count, 1)
    const values = makeValues(count)
    const map = loadMap(keys, values)
    const { db, handle } = await loadVarve(keys, values)
    const operations = 500_000
    const setup = (repetition) => planMix(keys, operations, 100 + repetition)
    const rows = []
    for (const clients of [1, 32]) {
      const entries = [
        {
          name: 'Map',
          setup,
          run: ({ wanted, writes }, operations) =>
            share(clients, operations, async (first, step) => {
              let sum = 0
              for (let i = first; i < operations; i += step) {
                if (writes[i] === 1) map.set(wanted[i], { id: i, owner: 'nobody', balance: i })
                else sum += map.get(wanted[i]).balance
                await settled
              }
              return sum
            }),
        },
        {
          name: 'varve handle',
          setup,
          run: ({ wanted, writes }, operations) =>
            share(clients, operations, async (first, step) => {
              let sum = 0
              for (let i = first; i < operations; i += step) {
                if (writes[i] === 1) {
                  await handle.set(wanted[i], { id: i, owner: 'nobody', balance: i })
                } else {
                  sum += handle.get(wanted[i]).balance
                  await settled
                }
              }
              return sum
            }),
        },
      ]
      const work = `${100 - SETS_PERCENT} % gets, ${SETS_PERCENT} % sets, ${clients === 1 ? '1 client' : `${clients} clients`}`
      const series = await measure(entries, { repetitions, operations })
      rows.push(...compare(work, series, [{ of: 'varve handle', against: 'Map' }]))
    }
    await db.close()
    return rows
  },
}
