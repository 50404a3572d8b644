import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

import { compare } from '../support/measure.mjs'
import { installedPeers } from '../support/peers.mjs'
import { inTurns } from './reopen.mjs'

/** Short: more rounds than elsewhere cost little. */
const LEAST_ROUNDS = 15

const bench = fileURLToPath(new URL('..', import.meta.url))
const VARVE = new URL('../../dist/index.js', import.meta.url).href

/** How long a new process takes to load a module, ms. */
function importMs(specifier) {
  const program = `const start = performance.now()
    await import(${JSON.stringify(specifier)})
    console.log(performance.now() - start)`
  const options = /** @type {const} */ ({ cwd: bench, encoding: 'utf8' })
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], options)
  if (status !== 0) throw new Error(`cannot import ${specifier}: ${stderr}`)
  return Number(stdout)
}

/** @type {import('./index.mjs').Workload} */
export const importing = {
  name: 'import',
  group: 'durable',
  title: 'Load the code of the package, in a new process',
  async run({ repetitions, notes }) {
    const { sqlite, lmdb, level } = await installedPeers(notes)
    const modules = new Map([['varve', VARVE]])
    for (const [name, peer] of Object.entries({ lmdb, 'better-sqlite3': sqlite, 'classic-level': level })) {
      if (peer) modules.set(name, name)
    }
    const names = [...modules.keys()]
    const rounds = Math.max(repetitions, LEAST_ROUNDS)
    const series = await inTurns(names, rounds, async (name) => importMs(modules.get(name)))
    const comparisons = names.slice(1).map((against) => ({ of: 'varve', against }))
    return compare('import', series, comparisons, 'ms')
  },
}
