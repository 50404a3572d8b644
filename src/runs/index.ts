/** What other rooms use of the runs and of what keeps them: the manifest, the cold tier, checkpoints and merges. */

export { type Background, inlineBackground, type JobKind } from './background.ts'
export { BlockCache } from './cache.ts'
export type { CheckpointJob, CheckpointResult, TableChanges } from './checkpoint.ts'
export type { ColdScan } from './cold-scan.ts'
export { type RunSummary, RUN_LEFTOVER_NAME, RUN_NAME, runFileName } from './format.ts'
export {
  type Manifest,
  MANIFEST_LEFTOVER_NAME,
  MANIFEST_NAME,
  readManifest,
  type TableEntry,
  writeManifest,
} from './manifest.ts'
export { MemoryRun, type TableDelta } from './memory-run.ts'
export type { MergeJob } from './merge.ts'
export { type MergePlan, planMerge } from './policy.ts'
export { RunReader } from './reader.ts'
export { hashSeedOf } from './stored-key.ts'
export { type ColdTable, ColdTier, type ColdVersion } from './tier.ts'
export { workerBackground } from './worker-background.ts'
