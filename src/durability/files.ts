/**
 * Which files of a directory are ours, and which of ours are needed.
 *
 * A name is ours only if it has exactly one of our patterns; everything else in the directory belongs to somebody else
 * and is neither read, removed nor counted. What has one of our names must be a regular file: a directory, a FIFO or a
 * symbolic link there is refused before anything opens it.
 */
import { dirname, resolve } from 'node:path'
import { VarveError } from '../errors.ts'
import { RUN_LEFTOVER_NAME, RUN_NAME } from '../runs/index.ts'
import { type DirectoryEntry, type Storage, errnoOf } from '../storage/index.ts'
import { segmentOfName } from '../wal/index.ts'

/** What is in a directory under names of ours. */
export interface Inventory {
  readonly manifest: boolean
  /** Numbers of segments, ascending. */
  readonly segments: readonly number[]
  /** Numbers of runs, ascending. */
  readonly runs: readonly number[]
  /** Names of files that a crash left half written. */
  readonly temporary: readonly string[]
}

const MANIFEST = 'manifest'
// The log makes its files under their own names; the lock clears its temporary ones away: another process may be using one.
const MANIFEST_LEFTOVER = /^manifest\.tmp-[0-9a-f]{16}$/

/**
 * Sorts what was found in `directory`. Throws `CORRUPTION` if something that is not a regular file has one of our names.
 */
export function takeInventory(directory: string, entries: readonly DirectoryEntry[]): Inventory {
  let manifest = false
  const segments: number[] = []
  const runs: number[] = []
  const temporary: string[] = []
  for (const { name, kind } of entries) {
    const segment = segmentOfName(name)
    const run = RUN_NAME.exec(name)?.[1]
    const isTemporary = MANIFEST_LEFTOVER.test(name) || RUN_LEFTOVER_NAME.test(name)
    if (segment === null && run === undefined && !isTemporary && name !== MANIFEST) continue
    if (kind !== 'file') {
      const what = kind === 'directory' ? 'a directory' : 'not a regular file'
      throw new VarveError(
        'CORRUPTION',
        `${directory}/${name} is ${what}, where a database keeps a file of its own: move it away, or restore the file`,
      )
    }
    if (segment !== null) segments.push(segment)
    else if (run !== undefined) runs.push(Number(run))
    else if (isTemporary) temporary.push(name)
    else manifest = true
  }
  segments.sort((a, b) => a - b)
  runs.sort((a, b) => a - b)
  return { manifest, segments, runs, temporary }
}

/**
 * Makes the names of all directories above `directory` durable. An earlier attempt may have made them and been killed
 * before it had synced; those that we may not read were not made by us.
 */
export async function syncAncestors(storage: Storage, directory: string): Promise<void> {
  for (let path = resolve(directory); dirname(path) !== path; path = dirname(path)) {
    try {
      await storage.syncDirectory(dirname(path))
    } catch (error) {
      const errno = errnoOf(error)
      if (errno !== 'EACCES' && errno !== 'EPERM') throw error
    }
  }
}
