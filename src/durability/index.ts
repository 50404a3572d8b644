/** A database directory: its files, the order in which they change, and what is done about them in the background. */
export { Directory } from './directory.ts'
export type { BackgroundStats, CheckpointReport, DirectoryHooks, DirectoryOptions, DirectoryStats } from './options.ts'
export type { ProgressListener } from './progress.ts'
