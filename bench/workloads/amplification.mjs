import { runTask } from '../support/children.mjs'
import { freshPath, removePath } from '../support/scratch.mjs'

const LIMIT = 4
/** How much more may be written with ten times as many entries. */
const GROWTH_LIMIT = 1
/** So many updates that there are several checkpoints, and every entry is overwritten a few times. */
const LEAST_UPDATES = 2_000_000
const UPDATES_PER_ENTRY = 3

/** @type {import('./index.mjs').Workload} */
export const amplification = {
  name: 'amplification',
  group: 'durable',
  title:
    'Bytes written to disk for each byte of key and value that the user writes; updates of random entries, relaxed',
  async run({ count, isLarge, notes }) {
    const rows = []
    const totals = []
    for (const size of [count / 10, count, ...(isLarge ? [count * 10] : [])]) {
      const path = freshPath('amplification')
      const updates = Math.max(LEAST_UPDATES, size * UPDATES_PER_ENTRY)
      const outcome = await runTask('keepUpdating', { path, count: size, updates })
      removePath(path)
      const { total, log, checkpoints, merges, mostRuns, done, rate } = outcome
      const work = `write amplification, ${size} entries`
      const byStats = log + checkpoints + merges
      totals.push({ size, factor: total ?? byStats })
      const judged = { target: LIMIT, sense: /** @type {const} */ ('atMost') }
      if (total !== null)
        rows.push({ work, contestant: 'varve, as the system counts', figure: total, unit: 'x', ...judged })
      rows.push(
        {
          work,
          contestant: 'varve, as it counts itself',
          figure: byStats,
          unit: 'x',
          ...(total === null ? judged : {}),
        },
        { work, contestant: 'of which log', figure: log, unit: 'x' },
        { work, contestant: 'of which checkpoints', figure: checkpoints, unit: 'x' },
        { work, contestant: 'of which merges', figure: merges, unit: 'x' },
        { work, contestant: 'varve, updates meanwhile', figure: rate, unit: 'ops/s' },
      )
      notes.push(
        `${work}: ${updates} updates, ${done.checkpoints} checkpoints, ${done.merges} merges, at most ${mostRuns} runs; counted once`,
      )
    }
    for (let i = 1; i < totals.length; i++) {
      rows.push({
        work: `write amplification, ${totals[i].size} entries`,
        contestant: `varve, more than with ${totals[i - 1].size}`,
        figure: totals[i].factor - totals[i - 1].factor,
        unit: 'x',
        target: GROWTH_LIMIT,
        sense: 'atMost',
      })
    }
    notes.push(
      "write amplification: the system's count is write_bytes of /proc/self/io, whole pages when they are first dirtied; the database's is what stats() says",
    )
    return rows
  },
}
