/**
 * A copy of a database in another directory, made while writing goes on.
 *
 * The runs of one manifest are copied byte by byte, then a manifest of the copy's own is written: new database id, epoch
 * 0, no log. The caller has made a checkpoint and holds a version of the tier, so that the runs stay.
 *
 * B1  The manifest is written last, after every run was synced and checked. Before that the directory holds runs without
 *     a manifest, which an open refuses.
 * B2  The directory was missing or empty, and is locked while it is written: nothing of anybody else's is touched.
 * B3  A backup that fails removes the files that it made, and the directory, if it made that.
 */
import { join, sep } from 'node:path'
import { VarveError } from '../errors.ts'
import { BlockCache, type Manifest, RunReader, type RunSummary, runFileName, writeManifest } from '../runs/index.ts'
import { type Storage, type StorageFile, isMissing } from '../storage/index.ts'
import { syncAncestors } from './files.ts'
import { type ProgressListener, report } from './progress.ts'

const CHUNK_BYTES = 1024 * 1024
// Checking a copy reads each of its blocks once, so that keeping them is of no use.
const CHECK_CACHE_BYTES = 1024 * 1024

export interface BackupJob {
  readonly storage: Storage
  readonly source: string
  readonly target: string
  /** The manifest whose runs are copied; they must stay until the backup has settled. */
  readonly manifest: Manifest
  readonly random: (target: Uint8Array) => void
  readonly onProgress: ProgressListener | undefined
  /** Throws to stop. */
  readonly check: () => void
}

/** Copies. Throws `INVALID_ARGUMENT` if the target is not empty or in the database, `CORRUPTION` if a run is damaged, `IO`. */
export async function writeBackup(job: BackupJob): Promise<void> {
  const { storage, target, source } = job
  if (`${target}${sep}`.startsWith(`${source}${sep}`)) {
    throw new VarveError('INVALID_ARGUMENT', `${target} is in the database itself: make the backup somewhere else`)
  }
  const isNew = !(await exists(storage, target))
  await storage.makeDirectory(target)
  refuseUnlessEmpty(target, await storage.list(target).then((entries) => entries.map(({ name }) => name)))
  const lock = await storage.lock(target)
  const made: string[] = []
  let isWhole = false
  try {
    const names = (await storage.list(target)).map(({ name }) => name)
    refuseUnlessEmpty(
      target,
      names.filter((name) => !name.startsWith('lock')),
    )
    await fill(job, made)
    isWhole = true
  } catch (error) {
    for (const path of made) await storage.remove(path).catch(() => undefined)
    await storage.syncDirectory(target).catch(() => undefined)
    throw error
  } finally {
    await lock.release().catch(() => undefined)
    if (isNew && !isWhole) await storage.removeDirectory(target).catch(() => undefined)
  }
}

async function exists(storage: Storage, directory: string): Promise<boolean> {
  try {
    await storage.list(directory)
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

function refuseUnlessEmpty(target: string, names: readonly string[]): void {
  if (names.length === 0) return
  throw new VarveError(
    'INVALID_ARGUMENT',
    `a backup goes into a directory that is missing or empty; ${target} holds '${names[0]}'${names.length > 1 ? ` and ${names.length - 1} more` : ''}`,
  )
}

async function fill(job: BackupJob, made: string[]): Promise<void> {
  const { storage, target, manifest } = job
  const progress = progressOf(job)
  const buffer = new Uint8Array(CHUNK_BYTES)
  for (const run of manifest.runs) {
    const path = join(target, runFileName(run.number))
    made.push(path)
    await copyRun(job, run, buffer, progress)
    // From now on even a power loss leaves something that is refused, not an empty directory.
    if (run === manifest.runs[0]) await storage.syncDirectory(target)
    await checkRun(job, run, progress)
  }
  await storage.syncDirectory(target)
  await syncAncestors(storage, target)
  job.check()
  made.push(join(target, 'manifest'))
  const databaseId = new Uint8Array(16)
  job.random(databaseId)
  await writeManifest(storage, target, {
    ...manifest,
    databaseId: Buffer.from(databaseId).toString('hex'),
    epoch: 0,
    logged: manifest.sequence,
    segments: { first: 1, last: 0 },
  })
}

async function copyRun(job: BackupJob, run: RunSummary, buffer: Uint8Array, progress: Progress): Promise<void> {
  const { storage } = job
  const name = runFileName(run.number)
  const from = await storage.open(join(job.source, name), 'read')
  try {
    const to = await storage.open(join(job.target, name), 'create')
    try {
      await copyBytes(job, from, to, run.bytes, buffer, progress)
      await to.sync()
    } finally {
      await to.close()
    }
  } finally {
    await from.close()
  }
}

async function copyBytes(
  job: BackupJob,
  from: StorageFile,
  to: StorageFile,
  bytes: number,
  buffer: Uint8Array,
  progress: Progress,
): Promise<void> {
  for (let position = 0; position < bytes;) {
    job.check()
    const wanted = Math.min(buffer.length, bytes - position)
    const count = await from.read(buffer.subarray(0, wanted), position)
    if (count < wanted) {
      throw new VarveError('CORRUPTION', `${from.path} ends at byte ${position + count} instead of ${bytes}`)
    }
    await to.write(buffer.subarray(0, count), position)
    position += count
    progress.add(count)
  }
}

/** Reads the copy and checks every block: a backup that cannot be read is none. */
async function checkRun(job: BackupJob, run: RunSummary, progress: Progress): Promise<void> {
  const reader = await RunReader.open(job.storage, job.target, run, new BlockCache(CHECK_CACHE_BYTES))
  try {
    let checked = 0
    const problems = await reader.verify((bytes) => {
      job.check()
      progress.add(bytes - checked)
      checked = bytes
    })
    const [first] = problems
    if (first === undefined) return
    const name = runFileName(run.number)
    throw new VarveError(
      'CORRUPTION',
      `${join(job.source, name)} or its copy is damaged at byte ${first.offset}: ${first.message}`,
    )
  } finally {
    await reader.close()
  }
}

interface Progress {
  add(bytes: number): void
}

/** Counts what was copied and what was checked, each for half. */
function progressOf({ manifest, onProgress }: BackupJob): Progress {
  const totalBytes = manifest.runs.reduce((sum, run) => sum + run.bytes, 0)
  let passed = 0
  return {
    add(bytes) {
      passed += bytes
      report(onProgress, Math.min(totalBytes, Math.floor(passed / 2)), totalBytes)
    },
  }
}
