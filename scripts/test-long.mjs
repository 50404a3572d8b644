/**
 * The whole test suite with more and other randomness: npm run test:long -- [multiplier] [vitest arguments]
 *
 * The multiplier (default 20, or VARVE_RUNS) applies to the runs of every randomised test. The seed is a fresh one unless
 * VARVE_SEED is set; it is printed, and every failure prints the command that replays it.
 */
import { spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { fileURLToPath } from 'node:url'

const [first, ...rest] = process.argv.slice(2)
const isMultiplier = first !== undefined && first !== '' && Number(first) > 0
const multiplier = isMultiplier ? first : (process.env.VARVE_RUNS ?? '20')
const seed = process.env.VARVE_SEED ?? String(randomInt(2 ** 32))
const filters = isMultiplier || first === undefined ? rest : [first, ...rest]

const root = fileURLToPath(new URL('..', import.meta.url))
const env = { ...process.env, VARVE_RUNS: multiplier, VARVE_SEED: seed }
console.log(`VARVE_SEED=${seed} VARVE_RUNS=${multiplier}`)

/** @param {string[]} args */
function run(...args) {
  const { status, error } = spawnSync(process.execPath, args, { cwd: root, env, stdio: 'inherit' })
  if (error !== undefined) throw error
  if (status !== 0) process.exit(status ?? 1)
}

run('node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json')
run('node_modules/vitest/vitest.mjs', 'run', ...filters)
console.log(`VARVE_SEED=${seed} VARVE_RUNS=${multiplier}: passed`)
