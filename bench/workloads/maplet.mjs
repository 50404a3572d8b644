import { Filter, Maplet } from '../../dist/maplet/index.js'
import { draw, makeKeys, STRINGS } from '../support/data.mjs'
import { bytesInUse, compare, measure } from '../support/measure.mjs'

const OPERATIONS = 500_000

/** Fills with numbers: number i under key i. */
const fill = {
  Map: (keys) => {
    const map = new Map()
    for (let i = 0; i < keys.length; i++) map.set(keys[i], i)
    return map
  },
  Maplet: (keys) => {
    const maplet = new Maplet()
    for (let i = 0; i < keys.length; i++) maplet.insert(keys[i], i)
    return maplet
  },
  Filter: (keys) => {
    const filter = new Filter()
    for (let i = 0; i < keys.length; i++) filter.insert(keys[i])
    return filter
  },
}

/** Lookups; each gives how many of the keys it found. */
const hits = {
  Map: (map) => (keys) => {
    let found = 0
    for (let i = 0; i < keys.length; i++) if (map.get(keys[i]) !== undefined) found++
    return found
  },
  Maplet: (maplet) => (keys) => {
    let found = 0
    for (let i = 0; i < keys.length; i++) if (maplet.get(keys[i]) !== undefined) found++
    return found
  },
  Filter: (filter) => (keys) => {
    let found = 0
    for (let i = 0; i < keys.length; i++) if (filter.has(keys[i])) found++
    return found
  },
}

const misses = {
  Map: (map) => (keys) => {
    let found = 0
    for (let i = 0; i < keys.length; i++) if (map.has(keys[i])) found++
    return found
  },
  Maplet: (maplet) => (keys) => {
    let found = 0
    for (let i = 0; i < keys.length; i++) if (maplet.has(keys[i])) found++
    return found
  },
  Filter: (filter) => (keys) => {
    let found = 0
    for (let i = 0; i < keys.length; i++) if (filter.has(keys[i])) found++
    return found
  },
}

const againstMap = (target) => [
  { of: 'Maplet', against: 'Map', target },
  { of: 'Filter', against: 'Map' },
]

/** Bytes per key, keys themselves aside: the array that holds them is there before and after. */
function memoryRows(keys) {
  const held = []
  const weigh = (make, some) => {
    const before = bytesInUse()
    held.push(make(some))
    const bytes = (bytesInUse() - before) / some.length
    held.pop()
    return bytes
  }
  const rows = Object.entries(fill).map(([contestant, make]) => {
    weigh(make, keys.slice(0, 10_000))
    return { work: 'maplet, bytes per key', contestant, figure: weigh(make, keys), unit: 'B' }
  })
  const targets = { Maplet: 11, Filter: 3 }
  return rows.map((row) =>
    row.contestant in targets ? { ...row, target: targets[row.contestant], sense: 'atMost' } : row,
  )
}

/** @type {import('./index.mjs').Workload} */
export const maplet = {
  name: 'maplet',
  group: 'in-memory',
  title: 'varve/maplet on its own: string to number',
  async run({ count, repetitions, notes }) {
    const keys = makeKeys(count, 1)
    const absent = makeKeys(OPERATIONS, 2)
    const rows = memoryRows(keys)
    for (const [strings, keysOf] of STRINGS) {
      const insertion = Object.entries(fill).map(([name, make]) => ({
        name,
        setup: () => keysOf(keys),
        run: (own, operations) => make(operations < count ? own.slice(0, operations) : own).size,
      }))
      const series = await measure(insertion, { repetitions, operations: count })
      rows.push(...compare(`maplet, insert, ${strings}`, series, againstMap(0.8)))
    }

    const stores = { Map: fill.Map(keys), Maplet: fill.Maplet(keys), Filter: fill.Filter(keys) }
    const falsePositives = { Map: 0, Maplet: 0, Filter: 0 }
    for (const [kind, loops, from, target] of /** @type {const} */ ([
      ['hit', hits, keys, 0.8],
      ['miss', misses, absent, 1.5],
    ])) {
      for (const [strings, keysOf] of STRINGS) {
        const entries = Object.entries(stores).map(([name, store]) => {
          const loop = loops[name](store)
          return {
            name,
            setup: (repetition) => keysOf(draw(from, OPERATIONS, 100 + repetition)),
            run: (wanted) => {
              const found = loop(wanted)
              if (kind === 'hit' && found !== wanted.length)
                throw new Error(`${name} lost ${wanted.length - found} keys`)
              if (kind === 'miss') falsePositives[name] = found / wanted.length
              return wanted.length
            },
          }
        })
        const series = await measure(entries, { repetitions, operations: OPERATIONS })
        rows.push(...compare(`maplet, ${kind}, ${strings}`, series, againstMap(target)))
      }
    }
    const rates = ['Maplet', 'Filter'].map((name) => `${name} ${falsePositives[name].toExponential(1)}`)
    notes.push(`maplet: false positives per absent key: ${rates.join(', ')}`)
    return rows
  },
}
