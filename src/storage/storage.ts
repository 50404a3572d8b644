/**
 * The one way to the file system. Everything that is kept on disk goes through these few calls, so that a simulated disk
 * can stand in for the real one and lose, tear, reorder and fail whatever a real one may.
 *
 * It is not a virtual file system: paths are those of the platform, files are read and written at explicit positions,
 * there is no current position, no appending, no links, no attributes.
 *
 * What every implementation promises, and all that callers may rely on:
 *
 * S1  A write that returned is visible to every later read, also through another `StorageFile` of the same file.
 * S2  What was written before `sync()` was called is durable once it has returned; with `synced`, once the write has.
 *     A name that was created, renamed or removed is durable once `syncDirectory` of its directory has returned. Nothing
 *     else is durable, and what is not may reach the disk in any order and in parts; a sector of 512 bytes is not torn.
 * S3  After a failed `write` the bytes of its range may be the old or the new ones. After a failed `sync` the writes
 *     before it may be lost even if a later `sync` succeeds (the kernel marks the pages clean): they must be written
 *     again, or the file be given up. https://lwn.net/Articles/752063/ (PostgreSQL's fsync() surprise).
 * S4  Reads and writes may run at the same time; of two that overlap in time and range the order is not defined.
 * S5  Failures are `VarveError`s of code `IO` whose `cause` is the error of the operating system (`errnoOf` names it). Misuse, such as
 *     a call after `close()`, is reported in the same way.
 */
import { VarveError } from '../errors.ts'

/**
 * How a file is opened.
 * - `read`: it exists and is only read.
 * - `write`: it exists and is read and written.
 * - `create`: it must not exist yet (`EEXIST` otherwise); read and written; mode 0600 whatever the umask.
 */
export type OpenMode = 'read' | 'write' | 'create'

/** Settings of `Storage.open`. */
export interface OpenOptions {
  /** Asks that every write be durable when it returns. Whether the platform can is in `StorageFile.synced`. Default false. */
  readonly synced?: boolean
}

/** An open regular file. */
export interface StorageFile {
  /** The path it was opened by. */
  readonly path: string
  /** Whether every write is durable when it returns (`O_DSYNC`). If not, `sync` is needed after writing. */
  readonly synced: boolean
  /**
   * Fills `target` from `position` on.
   *
   * @returns the bytes read: fewer than asked for only at the end of the file.
   */
  read(target: Uint8Array, position: number): Promise<number>
  /** As `read`, on the calling thread. */
  readSync(target: Uint8Array, position: number): number
  /**
   * Writes all of `data` at `position`, extending the file if need be; what lies between its old end and `position` reads as
   * zeros. Throws unless everything was written; `data` must not change until it has settled.
   */
  write(data: Uint8Array, position: number): Promise<void>
  /** As `write`, on the calling thread. */
  writeSync(data: Uint8Array, position: number): void
  /** Makes all writes that have returned durable, with the size they need (`fdatasync`). After a failure see S3. */
  sync(): Promise<void>
  /** As `sync`, on the calling thread. */
  syncSync(): void
  /** The size in bytes. */
  size(): Promise<number>
  /** Cuts or extends (with zeros, which may take no room until written) the file to `bytes`. */
  truncate(bytes: number): Promise<void>
  /** Waits for the calls in flight, then closes. A second call gives the promise of the first. It does not sync. */
  close(): Promise<void>
}

/** One name in a directory. Symbolic links, FIFOs, devices and sockets are `other`. */
export interface DirectoryEntry {
  readonly name: string
  readonly kind: 'file' | 'directory' | 'other'
}

/** A directory that is ours alone until `release`. */
export interface DirectoryLock {
  /** What tells this lock from every other that the directory was or will be under, for `Storage.isHeld`, in any thread. */
  readonly token: string
  /** Gives it back. A second call does nothing. */
  release(): Promise<void>
}

/** A file system, real or simulated. */
export interface Storage {
  /**
   * Opens a regular file. A symbolic link is not followed, a FIFO does not block, and whatever is not a regular file is
   * refused.
   */
  open(path: string, mode: OpenMode, options?: OpenOptions): Promise<StorageFile>
  /** The names in a directory, in no particular order. */
  list(directory: string): Promise<DirectoryEntry[]>
  /**
   * Makes a directory of mode 0700, with those above it that are missing; each new name is durable on return. Does nothing
   * if it exists, also if that is the work of somebody who died before its name was durable.
   */
  makeDirectory(directory: string): Promise<void>
  /** Removes an empty directory. One that is missing is fine. */
  removeDirectory(directory: string): Promise<void>
  /** Renames within one file system, replacing a file at `to`. Atomic: at any time `to` is the old or the new file. */
  rename(from: string, to: string): Promise<void>
  /** Removes a file. One that is missing is fine. */
  remove(path: string): Promise<void>
  /** Makes creations, renames and removals in a directory durable. Does nothing where the platform cannot. */
  syncDirectory(directory: string): Promise<void>
  /** Takes a directory for this process and this opening alone. Throws `LOCKED`, naming the holder. */
  lock(directory: string): Promise<DirectoryLock>
  /**
   * Whether the path leads to the directory that was locked, and nobody has taken the lock away: false if directory or lock
   * file was removed, renamed or replaced.
   */
  isHeld(directory: string, token: string): Promise<boolean>
  /** Throws `LOCKED` if somebody alive holds the directory. Takes and writes nothing: for opening read-only. */
  probeLock(directory: string): Promise<void>
}

/**
 * A failure of the file system as a `VarveError` of code `IO`.
 *
 * @param action what was attempted, as in "cannot <action> <path>"
 * @param cause the error of the operating system; kept as `cause`. A `VarveError` is returned as it is.
 */
export function ioError(action: string, path: string, cause: unknown): VarveError {
  if (cause instanceof VarveError) return cause
  const errno = errnoOf(cause)
  const reason = errno ?? (cause instanceof Error ? cause.message : String(cause))
  const advice = errno === undefined ? undefined : ADVICE[errno]
  return new VarveError('IO', `cannot ${action} ${path}: ${reason}${advice === undefined ? '' : ` (${advice})`}`, {
    cause,
  })
}

/** What to do about the failures that people can do something about. */
const ADVICE: Readonly<Partial<Record<string, string>>> = {
  EACCES: 'permission denied: check owner and mode of the file and of its directory',
  EPERM: 'not permitted: check owner, mode and attributes of the file',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left on the device: free some',
  EDQUOT: 'the disk quota is used up: free some space',
  EFBIG: 'the file would become larger than the process or the file system allows: check ulimit -f',
  EMFILE: 'too many open files in this process: raise ulimit -n',
  ENFILE: 'too many open files in this system',
  EIO: 'the device failed: check its health and the system log',
  ELOOP: 'it is a symbolic link, which is not followed here',
  ENOENT: 'it does not exist',
  EEXIST: 'it exists already',
  EISDIR: 'it is a directory',
  ENOTDIR: 'it, or something on the way to it, is not a directory',
  ENXIO: 'it is a socket or a device, not a regular file',
  EBADF: 'it is closed, or was not opened for this',
}

/** The name of the operating system's error (`'ENOSPC'`) of an error or of what caused it, if there is one. */
export function errnoOf(error: unknown): string | undefined {
  const origin = error instanceof VarveError ? error.cause : error
  if (!(origin instanceof Error) || !('code' in origin)) return undefined
  return typeof origin.code === 'string' ? origin.code : undefined
}

/** Whether a call failed because there is no such file or directory. */
export function isMissing(error: unknown): boolean {
  return errnoOf(error) === 'ENOENT'
}
