/**
 * Directories on a real disk, all below one that goes with the run: main.mjs makes it and names it in the environment, so
 * that workloads, which are processes of their own, may use what another has prepared.
 */

import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statfsSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const VARIABLE = 'VARVE_BENCH_DIRECTORY'
/** `f_type` of tmpfs and ramfs, where a sync costs nothing. */
const MEMORY_FILE_SYSTEMS = [0x01021994, 0x858458f6]

/** @param {string} directory */
function isOnDisk(directory) {
  return existsSync(directory) && !MEMORY_FILE_SYSTEMS.includes(statfsSync(directory).type)
}

/**
 * Makes the directory of a run; below the given one, else where temporary files go, unless that is memory.
 *
 * @param {string | undefined} wanted
 */
export function createScratch(wanted) {
  const here = fileURLToPath(new URL('..', import.meta.url))
  const parent = wanted ?? [tmpdir(), '/var/tmp', here].find(isOnDisk) ?? here
  mkdirSync(parent, { recursive: true })
  const directory = mkdtempSync(join(parent, 'varve-bench-'))
  process.env[VARIABLE] = directory
  const remove = () => rmSync(directory, { recursive: true, force: true })
  process.on('exit', remove)
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, () => process.exit(1))
  return { directory, isOnDisk: isOnDisk(directory) }
}

let created = 0

/**
 * A path that nothing is at yet.
 *
 * @param {string} name
 */
export function freshPath(name) {
  const directory = process.env[VARIABLE]
  if (directory === undefined) throw new Error('main.mjs makes the directory for this')
  return join(directory, `${name}-${process.pid}-${created++}`)
}

/**
 * A path at which `make` has put something, in this workload or an earlier one.
 *
 * @param {string} name of all that it depends on
 * @param {(path: string) => unknown} make
 */
export async function preparedPath(name, make) {
  const path = join(/** @type {string} */ (process.env[VARIABLE]), name)
  if (existsSync(path)) return path
  const unfinished = freshPath(name)
  await make(unfinished)
  renameSync(unfinished, path)
  return path
}

/** @param {string} path */
export function removePath(path) {
  rmSync(path, { recursive: true, force: true })
}

/**
 * Lengths of files, summed.
 *
 * @param {string} path a file, or a directory with all that is below it
 * @param {(name: string) => boolean} [counts]
 * @returns {number}
 */
export function bytesAt(path, counts = () => true) {
  if (!existsSync(path)) return 0
  if (!statSync(path).isDirectory()) return statSync(path).size
  return readdirSync(path, { withFileTypes: true }).reduce(
    (sum, entry) => (entry.isDirectory() || counts(entry.name) ? sum + bytesAt(join(path, entry.name), counts) : sum),
    0,
  )
}
