/**
 * Benchmarks of varve beside its peers: npm run bench -- --only get,scan --n 100000 --reps 5
 *
 * Every workload runs in a fresh process, so that neither heap nor optimised code of one reaches another; within a
 * workload the contestants take turns (support/measure.mjs).
 */

import { fork } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { tellsWaits } from './support/clock.mjs'
import { machineFacts } from './support/machine.mjs'
import { line, markdown, verdict } from './support/report.mjs'
import { createScratch } from './support/scratch.mjs'
import { workloads } from './workloads/index.mjs'

const HEAP_MIB = 8192

const USAGE = `npm run bench -- [options]
  --only a,b      only these workloads, or groups of them:
${groups().join('\n')}
  --n N           entries in each store (default 1000000)
  --reps N        repetitions, of which the median counts (default 3)
  --large         data on disk of ten times as many entries as well, where the target says so (slow)
  --directory DIR where stores on disk are made, and removed at the end (default: where temporary files go)
  --json FILE     write machine, rows and notes to a file
  --profile DIR   write a CPU profile of each workload into a directory
  --help`

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string' },
    n: { type: 'string', default: '1000000' },
    reps: { type: 'string', default: '3' },
    large: { type: 'boolean', default: false },
    directory: { type: 'string' },
    json: { type: 'string' },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

/**
 * @param {string} name
 * @param {string} text
 */
function positive(name, text) {
  const number = Number(text)
  if (Number.isInteger(number) && number > 0) return number
  return fail(`--${name} takes a whole number above 0`)
}

/** @returns {never} */
function fail(message) {
  console.error(`${message}\n\n${USAGE}`)
  process.exit(2)
}

function selected() {
  if (flags.only === undefined) return workloads
  const wanted = flags.only.split(',')
  const unknown = wanted.filter((word) => !workloads.some(({ name, group }) => name === word || group === word))
  if (unknown.length > 0) fail(`no such workload: ${unknown.join(', ')}`)
  return workloads.filter(({ name, group }) => wanted.includes(name) || wanted.includes(group))
}

function groups() {
  const names = [...new Set(workloads.map(({ group }) => group))]
  return names.map((group) => {
    const members = workloads.filter((workload) => workload.group === group).map(({ name }) => name)
    return `                  ${group}: ${members.join(', ')}`
  })
}

/** @returns {Promise<{ rows: import('./support/measure.mjs').Row[], notes: string[] }>} */
function runInChild(name, count, repetitions) {
  const execArgv = ['--expose-gc', `--max-old-space-size=${HEAP_MIB}`]
  if (flags.profile !== undefined)
    execArgv.push('--cpu-prof', `--cpu-prof-dir=${flags.profile}`, `--cpu-prof-name=${name}.cpuprofile`)
  const child = fork(
    fileURLToPath(new URL('./child.mjs', import.meta.url)),
    [name, String(count), String(repetitions), String(flags.large)],
    { execArgv },
  )
  return new Promise((resolve, reject) => {
    let result
    child.on('message', (message) => {
      result = message
    })
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      if (code === 0 && result !== undefined) resolve(result)
      else reject(new Error(`workload '${name}' ended with ${signal ?? `code ${code}`}`))
    })
  })
}

async function main() {
  if (flags.help) {
    console.log(USAGE)
    return
  }
  const count = positive('n', flags.n)
  const repetitions = positive('reps', flags.reps)
  const chosen = selected()
  if (flags.profile !== undefined) mkdirSync(flags.profile, { recursive: true })
  const needsDisk = chosen.some(({ group }) => group === 'durable' || group === 'bounded')
  const scratch = needsDisk ? createScratch(flags.directory) : undefined
  const machine = machineFacts()
  for (const [name, fact] of Object.entries(machine)) console.log(`${name.padEnd(10)} ${fact}`)
  console.log(
    `${'data'.padEnd(10)} ${count} string keys of 16 to 24 characters, random order; values { id, owner, balance }`,
  )
  console.log(
    `${'reps'.padEnd(10)} ${repetitions}, contestants taking turns; ratios are medians of the ratios of single repetitions`,
  )
  if (scratch !== undefined)
    console.log(
      `${'disk'.padEnd(10)} ${scratch.directory}${scratch.isOnDisk ? '' : ' IS IN MEMORY: syncs cost nothing there'}`,
    )
  if (tellsWaits) console.log('clock      waits for a processor that others hold are subtracted\n')
  const rows = []
  const notes = []
  const failures = []
  for (const { name, title } of chosen) {
    console.log(`${name}: ${title}`)
    const started = performance.now()
    try {
      const result = await runInChild(name, count, repetitions)
      let work
      for (const row of result.rows) {
        if (row.work !== work) console.log(` ${(work = row.work)}`)
        console.log(line(row))
      }
      for (const note of result.notes) console.log(`  ${note}`)
      rows.push(...result.rows)
      notes.push(...result.notes)
    } catch (error) {
      failures.push(name)
      console.log(`  FAILED: ${error.message}`)
    }
    console.log(`  (${((performance.now() - started) / 1000).toFixed(0)} s)\n`)
  }
  console.log(markdown(rows))
  if (notes.length > 0) console.log(`\n${notes.map((note) => `- ${note}`).join('\n')}`)
  const judged = rows.filter(({ target }) => target !== undefined)
  const reached = judged.filter((row) => verdict(row) === 'reached')
  console.log(`\n${reached.length} of ${judged.length} targets reached`)
  if (flags.json !== undefined) {
    writeFileSync(flags.json, `${JSON.stringify({ machine, count, repetitions, rows, notes }, null, 2)}\n`)
  }
  if (failures.length > 0) {
    console.error(`failed: ${failures.join(', ')}`)
    process.exitCode = 1
  }
}

await main()
