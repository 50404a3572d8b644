/** Commits and changes as they happen, for `db.changes()` and `handle.watch()`: from the engine's feed, and from what the log keeps. */
export { type ChangesOptions, type Commit, type CommitChange, openChanges } from './changes.ts'
export type { Cursor } from './cursor.ts'
export { historyOf } from './history.ts'
export { cursorAt, type FeedSource } from './subscription.ts'
export { type Change, openWatch, type WatchOptions } from './watch.ts'
