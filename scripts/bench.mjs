/**
 * Benchmarks: npm run bench -- [arguments of bench/main.mjs]
 *
 * Peers to compare with are in bench/package.json only; they are installed on first use, and again when its lock file is newer.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/**
 * @param {string} command
 * @param {string[]} args
 */
function run(command, ...args) {
  const options = {
    cwd: root,
    stdio: /** @type {const} */ ('inherit'),
    shell: process.platform === 'win32' && command === 'npm',
  }
  const { status, error } = spawnSync(command, args, options)
  if (error !== undefined) throw error
  if (status !== 0) process.exit(status ?? 1)
}

const lock = join(root, 'bench/package-lock.json')
const installed = join(root, 'bench/node_modules/.package-lock.json')
const isCurrent = existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs
if (!isCurrent) run('npm', 'ci', '--prefix', 'bench', '--no-audit', '--no-fund')
run(process.execPath, 'node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json')
run(process.execPath, '--expose-gc', 'bench/main.mjs', ...process.argv.slice(2))
