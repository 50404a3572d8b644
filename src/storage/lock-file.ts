/**
 * One lock file: how it is written, looked at and removed. What is done with it, and why that is right, is in lock.ts;
 * what stands in it, in lock-holder.ts.
 *
 * F1  Nothing that is not a regular file is opened, followed or waited for.
 * F2  A file of ours stays open, and under flock, until its name is gone: who finds the name finds us alive.
 * F3  Only a file of ours is removed, told by device and inode, which nobody reuses while we have it open.
 * F4  Those who look ask for a shared flock and let go of it at once: only a holder is ever in the way.
 */
import { createHash, randomBytes } from 'node:crypto'
import {
  type Stats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { VarveError } from '../errors.ts'
import type { Flock } from './flock.ts'
import { MAX_RECORD_BYTES, decodeRecord, encodeRecord, type HolderRecord, type ProcessIdentity } from './lock-holder.ts'
import { errnoOf, ioError, isMissing } from './storage.ts'

/** Attempts at an exclusive flock on a file that somebody is just looking at. */
const MAX_FLOCK_ATTEMPTS = 100

/** What opening and reading say of a file that is there but not for us; the last of a file under flock on Windows. */
const NOT_FOR_US: ReadonlySet<unknown> = new Set(['EACCES', 'EPERM', 'EBUSY'])

// Neither follow a symbolic link nor wait for the other end of a FIFO. Not every platform has these flags.
const CAREFULLY = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)

/** Whoever writes a lock file. */
export interface Writer {
  readonly self: ProcessIdentity
  /** Null: there is none. */
  readonly flock: Flock | null
  /** Milliseconds since the epoch, for people to read. */
  readonly wallClock: () => number
}

/** A lock file that is ours. */
export interface HeldFile {
  readonly path: string
  readonly fd: number
  readonly device: bigint
  readonly inode: bigint
}

/** A lock file as it was found. */
export interface FoundFile {
  readonly device: bigint
  readonly inode: bigint
  readonly record: HolderRecord | 'newer' | 'foreign' | undefined
  /** What tells this lock from every other: the nonce; of a file without one, a hash of what and where it is. */
  readonly key: string
  readonly flock: 'busy' | 'free' | 'unsupported'
}

/** A lock file that is there but may not be read. */
export interface UnreadableFile {
  readonly errno: string
  readonly cause: unknown
}

/**
 * Creates a lock file of ours, which must not exist: under flock where there is flock, and with the record of it.
 *
 * @throws VarveError `IO`; errno EEXIST if it exists
 */
export function writeLockFile(path: string, nonce: string, { self, flock, wallClock }: Writer): HeldFile {
  const fd = createFile(path)
  const { dev, ino } = fstatSync(fd, { bigint: true })
  const held: HeldFile = { path, fd, device: dev, inode: ino }
  try {
    // Nobody can have it under an exclusive flock before us, but where it is created in place somebody may be looking.
    let flocked = flock?.(fd, 'exclusive')
    for (let again = 0; flocked === 'busy' && again < MAX_FLOCK_ATTEMPTS; again++) flocked = flock?.(fd, 'exclusive')
    const record = encodeRecord(self, nonce, flocked === 'locked', wallClock())
    let done = 0
    while (done < record.length) {
      const count = writeSync(fd, record, done, record.length - done, done)
      if (count === 0) throw Object.assign(new Error('ENOSPC: nothing was written'), { code: 'ENOSPC' })
      done += count
    }
    return held
  } catch (error) {
    discard(held)
    throw ioError('write', path, error)
  }
}

function createFile(path: string): number {
  try {
    return openSync(path, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR | CAREFULLY, 0o600)
  } catch (error) {
    throw ioError('create', path, error)
  }
}

/**
 * Looks at a lock file. Undefined if there is none.
 *
 * @throws VarveError `IO` if it is not a regular file, reading fails, or the directory does not let us look
 */
export function examine(path: string, flock: Flock | null): FoundFile | UnreadableFile | undefined {
  let fd: number
  try {
    requireFile(path, lookAt(path))
    fd = openSync(path, constants.O_RDONLY | CAREFULLY)
  } catch (error) {
    if (isMissing(error)) return undefined
    return unreadable(path, error)
  }
  try {
    const stat = fstatSync(fd, { bigint: true })
    requireFile(path, stat)
    const flocked = flock?.(fd, 'shared') ?? 'unsupported'
    const bytes = new Uint8Array(MAX_RECORD_BYTES + 1)
    const content = bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0))
    const record = content.length > MAX_RECORD_BYTES ? 'foreign' : decodeRecord(content)
    const { dev: device, ino: inode } = stat
    const key = typeof record === 'object' ? record.nonce : fingerprint(content, device, inode)
    return { device, inode, record, key, flock: flocked === 'locked' ? 'free' : flocked }
  } catch (error) {
    return unreadable(path, error)
  } finally {
    closeQuietly(fd)
  }
}

/** Who may not search the directory cannot say that it is locked. */
function lookAt(path: string): Stats {
  try {
    return lstatSync(path)
  } catch (error) {
    throw errnoOf(error) === 'EACCES' ? ioError('look at', path, error) : error
  }
}

function requireFile(
  path: string,
  stat: { isFile(): boolean; isSymbolicLink(): boolean; isDirectory(): boolean },
): void {
  if (stat.isFile()) return
  const kind = stat.isSymbolicLink() ? 'a symbolic link' : stat.isDirectory() ? 'a directory' : 'not a regular file'
  throw new VarveError('IO', `cannot use ${path} as the lock file: it is ${kind}; varve never makes one, so remove it`)
}

function unreadable(path: string, error: unknown): UnreadableFile {
  if (error instanceof VarveError) throw error
  const errno = errnoOf(error)
  if (errno === undefined || !NOT_FOR_US.has(errno)) throw ioError('read', path, error)
  return { errno, cause: error }
}

function fingerprint(content: Uint8Array, device: bigint, inode: bigint): string {
  return createHash('sha256').update(`${device}:${inode}:`).update(content).digest('hex').slice(0, 16)
}

/** Whether the name of a lock file still leads to ours. */
export function isStill(held: HeldFile): boolean {
  try {
    const { dev, ino } = lstatSync(held.path, { bigint: true })
    return dev === held.device && ino === held.inode
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

/** Removes a file of ours while its holder still counts as alive, then lets go of it. */
export function giveBack(held: HeldFile): void {
  try {
    if (isStill(held)) unlinkSync(held.path)
  } catch (error) {
    if (!isMissing(error)) throw ioError('remove', held.path, error)
  } finally {
    closeQuietly(held.fd)
  }
}

/** Gives a temporary file or a claim back; what cannot be removed is left to whoever has the lock (L4). */
export function discard(held: HeldFile): void {
  try {
    giveBack(held)
  } catch {
    // It names a live process, but nothing it protects is there any more.
  }
}

export function removeQuietly(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // Swept away by another, or left to the next.
  }
}

/** Whatever close says, the descriptor is gone and its flock with it; nothing that matters was written through it. */
export function closeQuietly(fd: number): void {
  try {
    closeSync(fd)
  } catch {
    // See above.
  }
}

export function randomNonce(): string {
  return randomBytes(8).toString('hex')
}
