/** Tasks in processes of their own: nothing is open, loaded into memory or optimised when they begin. */

import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const file = fileURLToPath(new URL('../task.mjs', import.meta.url))

/**
 * @param {string} name of tasks/index.mjs
 * @param {object} given what it is given, as JSON
 * @param {{ kill?: boolean }} [options] kill: as soon as it has answered (SIGKILL)
 * @returns {Promise<any>} what it answers
 */
export function runTask(name, given, { kill = false } = {}) {
  const child = fork(file, [name, JSON.stringify(given)], { execArgv: ['--expose-gc', '--max-old-space-size=8192'] })
  return new Promise((resolve, reject) => {
    let result
    child.on('message', (message) => {
      result = message
      if (kill) child.kill('SIGKILL')
    })
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      const ended = kill ? signal === 'SIGKILL' : code === 0
      if (ended && result !== undefined) resolve(result)
      else reject(new Error(`${name} ${JSON.stringify(given)} ended with ${signal ?? `code ${code}`}`))
    })
  })
}
