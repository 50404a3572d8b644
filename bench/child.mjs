/** Runs one workload in a process of its own and sends its rows to the parent. */

import { workloads } from './workloads/index.mjs'

const [name, count, repetitions, isLarge] = process.argv.slice(2)
const workload = workloads.find((candidate) => candidate.name === name)
if (workload === undefined || process.send === undefined) throw new Error('child.mjs is started by main.mjs')

/** @type {string[]} */
const notes = []
const rows = await workload.run({
  count: Number(count),
  repetitions: Number(repetitions),
  isLarge: isLarge === 'true',
  notes,
})
process.send({ rows, notes }, () => process.exit(0))
