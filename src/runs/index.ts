/** What other rooms use of the runs and of what keeps them: the manifest, the cold tier, checkpoints and merges. */

export { type Background, inlineBackground } from './background.ts'
export { BlockCache } from './cache.ts'
export type { TableChanges } from './checkpoint.ts'
export type { ColdScan } from './cold-scan.ts'
export { RUN_LEFTOVER_NAME, RUN_NAME, runFileName, type RunSummary } from './format.ts'
export { type Manifest, readManifest, writeManifest } from './manifest.ts'
export { MemoryRun } from './memory-run.ts'
export { planMerge } from './policy.ts'
export { RunReader } from './reader.ts'
export { hashSeedOf } from './stored-key.ts'
export { type ColdTable, ColdTier, type ColdVersion } from './tier.ts'
export { workerBackground } from './worker-background.ts'
