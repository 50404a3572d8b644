/** What the other rooms may use of the file system. The simulated one is in simulated.ts, for tests. */
export { NodeStorage } from './node.ts'
export { OwnDirectory } from './own-directory.ts'
export {
  type DirectoryEntry,
  type DirectoryLock,
  errnoOf,
  ioError,
  isMissing,
  type Storage,
  type StorageFile,
} from './storage.ts'
