/**
 * Reading every byte of a directory and holding it against what the manifest says. Damage is listed, not thrown, so that
 * one report names all of it.
 *
 * Runs are pinned while they are read. Segments are read while no checkpoint runs, so that none is given back meanwhile;
 * the log itself goes on.
 */
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { VarveError } from '../errors.ts'
import { type Manifest, RunReader, readManifest } from '../runs/index.ts'
import type { Storage } from '../storage/index.ts'
import { type LogWriter, segmentName, verifyLog } from '../wal/index.ts'
import type { Checkpointer } from './checkpointer.ts'
import { takeInventory } from './files.ts'
import type { VerifyReport } from './options.ts'
import { type ProgressListener, report } from './progress.ts'
import type { Root } from './root.ts'
import type { Sources } from './sources.ts'

export interface Verification {
  readonly storage: Storage
  readonly path: string
  readonly databaseId: Uint8Array
  readonly root: Root
  readonly sources: Sources
  readonly log: LogWriter | null
  readonly checkpointer: Checkpointer | null
  readonly onProgress: ProgressListener | undefined
  /** Throws to stop. */
  readonly check: () => void
}

/** What a walk has found so far. */
class Findings {
  readonly problems: string[] = []
  files = 0
  bytes = 0
  entries = 0
  totalBytes = 0
  readonly #listener: ProgressListener | undefined

  constructor(listener: ProgressListener | undefined) {
    this.#listener = listener
  }

  add(file: string, offset: number, message: string): void {
    const place = message.startsWith('it is missing') ? '' : ` at byte ${offset}`
    this.problems.push(`${file}${place}: ${message}`)
  }

  /** A listener for the walk of one file or one group of files, which tells how far it has come in all. */
  counter(check: () => void): (bytes: number) => void {
    const before = this.bytes
    return (bytes) => {
      check()
      this.bytes = before + bytes
      report(this.#listener, Math.min(this.bytes, this.totalBytes), this.totalBytes)
    }
  }

  /** To be called when everything was walked: parts that hold nothing are not counted on the way. */
  finish(): VerifyReport {
    report(this.#listener, this.totalBytes, this.totalBytes)
    const { problems, files, bytes, entries } = this
    return { problems, files, bytes, entries }
  }

  /** Lists damage that was thrown; anything else is not damage and goes on its way. */
  thrown(error: unknown): void {
    if (!(error instanceof VarveError) || (error.code !== 'CORRUPTION' && error.code !== 'IO')) throw error
    this.problems.push(error.message)
  }
}

/** Walks everything. Throws what `check` throws. */
export async function verifyFiles(job: Verification): Promise<VerifyReport> {
  const findings = new Findings(job.onProgress)
  const { manifest, version } = await job.root.hold((value) => ({
    manifest: value,
    // It reads the files, and no commit through the tier.
    version: job.sources.tier.acquire(-1),
  }))
  try {
    findings.totalBytes = await bytesOf(job, manifest)
    await verifyNames(job, findings)
    await verifyManifest(job, findings)
    await verifyRuns(job, manifest, findings)
  } finally {
    job.sources.tier.release(version)
  }
  if (job.checkpointer === null) await verifySegments(job, findings)
  else await job.checkpointer.withoutCheckpoints(async () => verifySegments(job, findings))
  return findings.finish()
}

/** How much there is to read, for telling how far it has come; what cannot be asked for its size counts nothing. */
async function bytesOf({ storage, path }: Verification, { runs, segments }: Manifest): Promise<number> {
  let bytes = runs.reduce((sum, run) => sum + run.bytes, 0)
  for (let number = segments.first; number <= segments.last; number++) {
    try {
      const file = await storage.open(join(path, segmentName(number)), 'read')
      try {
        bytes += await file.size()
      } finally {
        await file.close()
      }
    } catch {
      // Its walk will say why.
    }
  }
  return bytes
}

/** Things of other kinds under names of ours. What is listed and missing shows when it is read. */
async function verifyNames({ storage, path }: Verification, findings: Findings): Promise<void> {
  try {
    takeInventory(path, await storage.list(path))
  } catch (error) {
    findings.thrown(error)
  }
}

/** The manifest on disk is the one in force. */
async function verifyManifest({ storage, path, root }: Verification, findings: Findings): Promise<void> {
  findings.files++
  try {
    await root.hold(async (value) => {
      const onDisk = await readManifest(storage, path)
      if (isDeepStrictEqual(onDisk, value)) return
      findings.add(join(path, 'manifest'), 0, onDisk === null ? 'it is missing' : 'it is not the one in force')
    })
  } catch (error) {
    findings.thrown(error)
  }
}

/** What is read of a run is the file that is open; that the same is there under its name is another matter. */
async function verifyRuns(
  { storage, path, sources, check }: Verification,
  manifest: Manifest,
  findings: Findings,
): Promise<void> {
  for (const reader of sources.readersOf(manifest)) {
    findings.files++
    findings.entries += reader.summary.entries
    try {
      const named = await RunReader.open(storage, path, reader.summary, sources.cache)
      await named.close()
    } catch (error) {
      findings.thrown(error)
    }
    try {
      const problems = await reader.verify(findings.counter(check))
      for (const { file, offset, message } of problems) findings.add(file, offset, message)
    } catch (error) {
      findings.thrown(error)
    }
  }
}

async function verifySegments(job: Verification, findings: Findings): Promise<void> {
  const { storage, path, databaseId, root, log, check } = job
  const { segments } = root.value
  findings.files += segments.last - segments.first + 1
  try {
    const passed = findings.counter(check)
    let walked = 0
    const problems = await verifyLog(storage, path, { databaseId, ...segments }, log, (bytes) => {
      walked += bytes
      passed(walked)
    })
    for (const { file, offset, message } of problems) findings.add(file, offset, message)
  } catch (error) {
    findings.thrown(error)
  }
}
