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
import { type Manifest, readManifest } from '../runs/index.ts'
import type { Storage } from '../storage/index.ts'
import { type LogWriter, verifyLog } from '../wal/index.ts'
import { report } from './backup.ts'
import type { Checkpointer } from './checkpointer.ts'
import { takeInventory } from './files.ts'
import type { ProgressListener, VerifyReport } from './options.ts'
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
  check(): void
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
    this.problems.push(`${file} at byte ${offset}: ${message}`)
  }

  passed(bytes: number): void {
    this.bytes += bytes
    report(this.#listener, this.bytes, Math.max(this.bytes, this.totalBytes))
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
    version: job.sources.tier.acquire(),
  }))
  try {
    findings.totalBytes = manifest.runs.reduce((sum, run) => sum + run.bytes, 0)
    await verifyNames(job, findings)
    await verifyManifest(job, findings)
    await verifyRuns(job, manifest, findings)
  } finally {
    job.sources.tier.release(version)
  }
  if (job.checkpointer === null) await verifySegments(job, findings)
  else await job.checkpointer.withoutCheckpoints(async () => verifySegments(job, findings))
  const { problems, files, bytes, entries } = findings
  return { problems, files, bytes, entries }
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

async function verifyRuns({ sources, check }: Verification, manifest: Manifest, findings: Findings): Promise<void> {
  for (const reader of sources.readersOf(manifest)) {
    findings.files++
    findings.entries += reader.summary.entries
    try {
      const problems = await reader.verify((bytes) => {
        check()
        findings.passed(bytes)
      })
      for (const { file, offset, message } of problems) findings.add(file, offset, message)
    } catch (error) {
      findings.thrown(error)
    }
  }
}

async function verifySegments(job: Verification, findings: Findings): Promise<void> {
  const { storage, path, databaseId, root, log } = job
  const { segments } = root.value
  findings.files += segments.last - segments.first + 1
  try {
    const problems = await verifyLog(storage, path, { databaseId, ...segments }, log, (bytes) => {
      job.check()
      findings.passed(bytes)
    })
    for (const { file, offset, message } of problems) findings.add(file, offset, message)
  } catch (error) {
    findings.thrown(error)
  }
}
