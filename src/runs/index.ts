/** What other rooms use of the runs and of what keeps them: the cold tier. */

export { ColdScan } from './cold-scan.ts'
export { MemoryRun, type TableDelta } from './memory-run.ts'
export { ColdTable, ColdTier, ColdVersion } from './tier.ts'
