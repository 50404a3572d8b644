import { cpSync } from 'node:fs'

import { accountKey } from '../support/data.mjs'
import { runTask } from '../support/children.mjs'
import { compare, median } from '../support/measure.mjs'
import { installedPeers } from '../support/peers.mjs'
import { freshPath, preparedPath, removePath } from '../support/scratch.mjs'

const OPEN_LIMIT_MS = 15
/** How much longer opening may take with ten times as many entries and still be called flat. */
const FLAT = 1.5
/** Opening is short: more rounds than elsewhere cost little. */
const LEAST_ROUNDS = 7
/** Fits below what starts a checkpoint, so that all of it is log. */
const KILLED_RECORDS = 400_000
const RECORDS_PER_SECOND = 400_000
/** Rounds that are not counted: the first one finds files outside the page cache. */
const WARM_UPS = 1

/** @param {string[]} notes */
async function contestantsOn(notes) {
  const { sqlite, lmdb, level } = await installedPeers(notes)
  return ['varve', lmdb && 'lmdb', sqlite && 'better-sqlite3', level && 'classic-level'].filter(
    (name) => name !== false,
  )
}

/**
 * The path of a store with so many entries, closed properly; made once for all workloads.
 *
 * @param {string} contestant
 * @param {number} count
 */
export function closedStore(contestant, count) {
  return preparedPath(`closed-${contestant}-${count}`, (path) => runTask('load', { contestant, path, count }))
}

/**
 * Contestants take turns, each time in a new process.
 *
 * @param {readonly string[]} contestants
 * @param {number} rounds
 * @param {(contestant: string, round: number) => Promise<number>} measureOne
 * @returns {Promise<import('../support/measure.mjs').Series[]>}
 */
export async function inTurns(contestants, rounds, measureOne) {
  const series = contestants.map((name) => ({ name, rates: /** @type {number[]} */ ([]) }))
  for (let round = -WARM_UPS; round < rounds; round++) {
    for (const { name, rates } of series) {
      const figure = await measureOne(name, round)
      if (round >= 0) rates.push(figure)
    }
  }
  return series
}

/** @type {import('./index.mjs').Workload} */
export const reopen = {
  name: 'reopen',
  group: 'durable',
  title: 'Open after a clean close, to the first read, in a new process',
  async run({ count, repetitions, isLarge, notes }) {
    const contestants = await contestantsOn(notes)
    const rounds = Math.max(repetitions, LEAST_ROUNDS)
    const rows = []
    const medians = new Map()
    for (const size of [count / 10, count, ...(isLarge ? [count * 10] : [])]) {
      // Filling the peers takes longer than all the rest, and the target asks nothing of them there.
      const present = size > count ? contestants.slice(0, 1) : contestants
      const paths = new Map()
      for (const contestant of present) paths.set(contestant, await closedStore(contestant, size))
      const series = await inTurns(present, rounds, async (contestant, round) => {
        const key = accountKey(size, ((round + WARM_UPS + 1) * 9973) % size)
        const { ms } = await runTask('openAndGet', { contestant, path: paths.get(contestant), key })
        return ms
      })
      medians.set(size, median(series[0].rates))
      const comparisons = [
        { of: 'varve', target: OPEN_LIMIT_MS, sense: /** @type {const} */ ('atMost') },
        ...present.slice(1).map((against) => ({ of: 'varve', against })),
      ]
      rows.push(...compare(`reopen, ${size} entries`, series, comparisons, 'ms'))
    }
    const [smallest, largest] = [Math.min(...medians.keys()), Math.max(...medians.keys())]
    rows.push({
      work: `reopen, ${largest} against ${smallest} entries`,
      contestant: 'varve, how much longer',
      figure: medians.get(largest) / medians.get(smallest),
      unit: 'x',
      target: FLAT,
      sense: 'atMost',
    })
    return rows
  },
}

/** @type {import('./index.mjs').Workload} */
export const crash = {
  name: 'crash',
  group: 'durable',
  title: 'Open after the process was killed, to the first read, in a new process',
  async run({ count, repetitions, notes }) {
    const contestants = await contestantsOn(notes)
    const size = Math.min(count, KILLED_RECORDS)
    const killed = new Map()
    for (const contestant of contestants) {
      const path = freshPath('killed')
      const { records } = await runTask('fillForKill', { contestant, path, count: size }, { kill: true })
      killed.set(contestant, { path, records })
    }
    const key = accountKey(size, size - 1)
    const series = await inTurns(contestants, repetitions, async (contestant) => {
      // Recovery changes what it finds.
      const path = freshPath('killed-copy')
      cpSync(killed.get(contestant).path, path, { recursive: true })
      const { ms } = await runTask('openAndGet', { contestant, path, key, size })
      removePath(path)
      return ms
    })
    for (const { path } of killed.values()) removePath(path)
    const { records } = killed.get('varve')
    const replayed = {
      name: 'varve, records of the log replayed',
      rates: series[0].rates.map((ms) => records / (ms / 1000)),
    }
    const work = `reopen after a kill, ${size} entries`
    notes.push(
      `${work}: ${records} records of varve's log were replayed, one entry each; the peers have checkpointed while they wrote`,
    )
    return [
      ...compare(work, [replayed], [{ of: replayed.name, target: RECORDS_PER_SECOND }]),
      ...compare(
        work,
        series,
        contestants.slice(1).map((against) => ({ of: 'varve', against })),
        'ms',
      ),
    ]
  },
}

/** @type {import('./index.mjs').Workload} */
export const cold = {
  name: 'cold',
  group: 'durable',
  title: 'Open and read every key and value, decoded, in a new process',
  async run({ count, repetitions, notes }) {
    const contestants = await contestantsOn(notes)
    const paths = new Map()
    for (const contestant of contestants) paths.set(contestant, await closedStore(contestant, count))
    const ways = contestants.flatMap((contestant) =>
      contestant === 'varve' ? ['varve', 'varve, stream()'] : [contestant],
    )
    const sums = new Set()
    const series = await inTurns(ways, repetitions, async (way) => {
      const [contestant] = way.split(',')
      const isAsync = way !== contestant || contestant === 'classic-level'
      const { ms, sum } = await runTask('readAll', { contestant, path: paths.get(contestant), isAsync, count })
      sums.add(sum)
      return ms
    })
    if (sums.size !== 1) throw new Error('contestants have read different things')
    const comparisons = [
      { of: 'varve', against: 'lmdb', target: 1, sense: /** @type {const} */ ('atMost') },
      { of: 'varve, stream()', against: 'lmdb' },
      { of: 'varve', against: 'better-sqlite3' },
      { of: 'varve', against: 'classic-level' },
    ]
    return compare(`read all ${count} entries, cold`, series, comparisons, 'ms')
  },
}
