/** Does one thing on disk in a process of its own and sends what came of it to the parent (support/children.mjs). */

import { tasks } from './tasks/index.mjs'

const [name, given] = process.argv.slice(2)
const task = tasks[name]
if (task === undefined || process.send === undefined) throw new Error('task.mjs is started by a workload')

const result = await task(JSON.parse(given))
process.send(result, () => {
  // A task whose process is to be killed keeps its files open, and itself alive.
  if (!result.staysOpen) process.exit(0)
})
