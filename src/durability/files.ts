/**
 * Which files of a directory are ours, and which of ours are needed.
 *
 * A name is ours only if it has exactly one of our patterns; everything else in the directory belongs to somebody else
 * and is neither read, removed nor counted. What has one of our names must be a regular file: a directory, a FIFO or a
 * symbolic link there is refused before anything opens it.
 */
import { VarveError } from '../errors.ts'
import type { DirectoryEntry } from '../storage/index.ts'

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

const NUMBERED = /^(?:wal-(\d{12})\.log|run-(\d{12})\.run)$/
// The lock clears its own temporary files away: another process may be using one right now.
const TEMPORARY = /^(?:manifest|wal-\d{12}\.log|run-\d{12}\.run)\.tmp-[0-9a-f]{16}$/

/** Name of segment `number`. */
export function segmentName(number: number): string {
  return `wal-${String(number).padStart(12, '0')}.log`
}

/**
 * Sorts what was found in `directory`. Throws `CORRUPTION` if something that is not a regular file has one of our names.
 */
export function takeInventory(directory: string, entries: readonly DirectoryEntry[]): Inventory {
  let manifest = false
  const segments: number[] = []
  const runs: number[] = []
  const temporary: string[] = []
  for (const { name, kind } of entries) {
    const match = NUMBERED.exec(name)
    const isTemporary = match === null && TEMPORARY.test(name)
    if (match === null && !isTemporary && name !== 'manifest') continue
    if (kind !== 'file') {
      const what = kind === 'directory' ? 'a directory' : 'not a regular file'
      throw new VarveError(
        'CORRUPTION',
        `${directory}/${name} is ${what}, where a database keeps a file of its own: move it away, or restore the file`,
      )
    }
    if (match === null) {
      if (isTemporary) temporary.push(name)
      else manifest = true
    } else if (match[1] !== undefined) segments.push(Number(match[1]))
    else runs.push(Number(match[2]))
  }
  segments.sort((a, b) => a - b)
  runs.sort((a, b) => a - b)
  return { manifest, segments, runs, temporary }
}
