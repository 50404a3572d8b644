/**
 * The file system of the operating system, through `node:fs`.
 *
 * Where platforms differ, what the platform can do decides, and only where that cannot be asked its name:
 *
 * | | Linux, BSD | macOS | Windows |
 * |---|---|---|---|
 * | durable writes | `O_DSYNC`, and past the page cache on Linux (direct.ts) | the flag is there but stops at the drive's cache: write, then `F_FULLFSYNC` (libuv's fdatasync) | no flag: write, then FlushFileBuffers (libuv's fdatasync) |
 * | names | fsync of the directory | fsync of the directory | nothing to call; NTFS logs names in order |
 * | symbolic links | `O_NOFOLLOW` | `O_NOFOLLOW` | looked for before opening |
 * | rename over an open file | fine | fine | refused while somebody, often a virus scanner, has it open: tried again for a second |
 * | modes | 0600, 0700 | 0600, 0700 | inherited from the directory above |
 */
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { VarveError } from '../errors.ts'
import { acquireLock, probeLock, tokenOf } from './lock.ts'
import { call, MAX_STANDARD_FD, type NodeSystem, thisSystem } from './node-calls.ts'
import { NodeFile } from './node-file.ts'
import {
  type DirectoryEntry,
  type DirectoryLock,
  errnoOf,
  ioError,
  isMissing,
  type OpenMode,
  type OpenOptions,
  type Storage,
  type StorageFile,
} from './storage.ts'

/** What fsync says of a directory on a file system (some FUSE and network ones) that has nothing to sync there. */
const CANNOT_SYNC: ReadonlySet<unknown> = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])

/** What opening and syncing a directory say on Windows. */
const CANNOT_SYNC_ON_WINDOWS: ReadonlySet<unknown> = new Set(['EPERM', 'EISDIR', 'EACCES', 'EINVAL', 'EBADF'])

/** What Windows says of a file that somebody else has open. */
const HELD_ON_WINDOWS: ReadonlySet<unknown> = new Set(['EPERM', 'EACCES', 'EBUSY'])

/** Pauses between attempts to rename or remove such a file; about a second in all. */
const HELD_PAUSES_MS: readonly number[] = [1, 2, 5, 10, 20, 50, 100, 200, 300, 300]

/** What takes a low number in place of a file. */
const NULL_DEVICE = process.platform === 'win32' ? '\\\\.\\nul' : '/dev/null'

/** See the head of the file. Costs nothing to make; all instances are alike. */
export class NodeStorage implements Storage {
  readonly #system: NodeSystem

  /** @param system what to call in place of `node:fs`, for tests */
  constructor(system: NodeSystem = thisSystem) {
    this.#system = system
  }

  async open(path: string, mode: OpenMode, options: OpenOptions = {}): Promise<StorageFile> {
    const { constants } = this.#system.calls
    const canSync = constants.O_DSYNC !== undefined && !['darwin', 'win32'].includes(this.#system.platform)
    const synced = options.synced === true && mode !== 'read' && canSync
    let flags = mode === 'read' ? constants.O_RDONLY : constants.O_RDWR
    if (mode === 'create') flags |= constants.O_CREAT | constants.O_EXCL
    if (synced) flags |= constants.O_DSYNC
    flags |= (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)
    try {
      const fd = await this.#openRegular(path, flags)
      return new NodeFile(this.#system, path, fd, synced)
    } catch (error) {
      throw ioError(mode === 'create' ? 'create' : 'open', path, error)
    }
  }

  async list(directory: string): Promise<DirectoryEntry[]> {
    const { calls } = this.#system
    try {
      const found = await call<import('node:fs').Dirent[]>((done) =>
        calls.readdir(directory, { withFileTypes: true }, done),
      )
      return found.map((entry) => ({
        name: entry.name,
        kind: entry.isFile() ? 'file' : entry.isDirectory() ? 'directory' : 'other',
      }))
    } catch (error) {
      throw ioError('list', directory, error)
    }
  }

  async makeDirectory(directory: string): Promise<void> {
    try {
      await this.#make(directory)
    } catch (error) {
      // What exists already and is a directory is no failure.
      if (errnoOf(error) !== 'EEXIST') throw ioError('make the directory', directory, error)
      throw new VarveError('IO', `cannot make the directory ${directory}: there is something else of that name`, {
        cause: error,
      })
    }
  }

  async removeDirectory(directory: string): Promise<void> {
    try {
      await this.#patiently((done) => this.#system.calls.rmdir(directory, done))
    } catch (error) {
      if (!isMissing(error)) throw ioError('remove the directory', directory, error)
    }
  }

  async rename(from: string, to: string): Promise<void> {
    try {
      await this.#patiently((done) => this.#system.calls.rename(from, to, done))
    } catch (error) {
      throw ioError('rename', `${from} to ${to}`, error)
    }
  }

  async remove(path: string): Promise<void> {
    try {
      await this.#patiently((done) => this.#system.calls.unlink(path, done))
    } catch (error) {
      if (!isMissing(error)) throw ioError('remove', path, error)
    }
  }

  async syncDirectory(directory: string): Promise<void> {
    const { calls, platform } = this.#system
    const isWindows = platform === 'win32'
    const flags = calls.constants.O_RDONLY | (calls.constants.O_DIRECTORY ?? 0)
    try {
      const fd = await call<number>((done) => calls.open(directory, flags, done))
      try {
        await call<void>((done) => calls.fsync(fd, done))
      } catch (error) {
        if (!CANNOT_SYNC.has(errnoOf(error))) throw error
      } finally {
        await this.#close(fd)
      }
    } catch (error) {
      if (isWindows && CANNOT_SYNC_ON_WINDOWS.has(errnoOf(error))) return
      throw ioError('sync the directory', directory, error)
    }
  }

  lock(directory: string): Promise<DirectoryLock> {
    return acquireLock(directory)
  }

  async isHeld(directory: string, token: string): Promise<boolean> {
    const path = join(directory, 'lock')
    try {
      const found = await call<import('node:fs').BigIntStats>((done) =>
        this.#system.calls.lstat(path, { bigint: true }, done),
      )
      return tokenOf(found) === token
    } catch (error) {
      if (isMissing(error) || errnoOf(error) === 'ENOTDIR') return false
      throw ioError('look at', path, error)
    }
  }

  probeLock(directory: string): Promise<void> {
    return probeLock(directory)
  }

  /** Opens what turns out to be a regular file, at a descriptor that nobody else writes to by habit. */
  async #openRegular(path: string, flags: number): Promise<number> {
    const { calls } = this.#system
    if (calls.constants.O_NOFOLLOW === undefined) await this.#refuseLink(path)
    let fd = await call<number>((done) => calls.open(path, flags, 0o600, done))
    try {
      const found = await this.#regular(fd)
      const onlyNew = calls.constants.O_CREAT | calls.constants.O_EXCL
      const isNew = (flags & onlyNew) === onlyNew
      if (isNew && this.#system.platform !== 'win32' && (found.mode & 0o777) !== 0o600) await this.#restrict(fd)
      while (fd <= MAX_STANDARD_FD) {
        // Its name stands now, so it is opened again, and the low number is taken for good by the null device.
        const { ino, dev } = found
        await this.#close(fd)
        fd = -1
        await call<number>((done) => calls.open(NULL_DEVICE, calls.constants.O_RDWR, done))
        fd = await call<number>((done) => calls.open(path, flags & ~onlyNew, done))
        const again = await this.#regular(fd)
        if (again.ino !== ino || again.dev !== dev) throw new Error('it was replaced while it was being opened')
      }
      return fd
    } catch (error) {
      if (fd >= 0) await this.#close(fd)
      throw error
    }
  }

  async #regular(fd: number): Promise<import('node:fs').Stats> {
    const found = await call<import('node:fs').Stats>((done) => this.#system.calls.fstat(fd, done))
    if (found.isFile()) return found
    const kind = found.isDirectory() ? 'a directory' : found.isFIFO() ? 'a FIFO' : 'a device or socket'
    throw new Error(`it is ${kind}, not a regular file`)
  }

  async #refuseLink(path: string): Promise<void> {
    try {
      const found = await call<import('node:fs').Stats>((done) => this.#system.calls.lstat(path, done))
      if (!found.isSymbolicLink()) return
    } catch (error) {
      if (isMissing(error)) return
      throw error
    }
    throw Object.assign(new Error('ELOOP: it is a symbolic link'), { code: 'ELOOP' })
  }

  /** Undoes what the umask took away from the owner of a new file. */
  async #restrict(fd: number): Promise<void> {
    try {
      await call<void>((done) => this.#system.calls.fchmod(fd, 0o600, done))
    } catch (error) {
      // The file is ours, so this is a file system without modes.
      if (errnoOf(error) !== 'EPERM' && !CANNOT_SYNC.has(errnoOf(error))) throw error
    }
  }

  /**
   * One level at a time, each durable before the next, so that at most the last can be missing from the disk when a process
   * died in between; therefore the level above the parent of one that was made is synced as well. Where nothing is made nothing
   * is synced: whoever relies on a directory that was found syncs what is above it before the first file that counts.
   */
  async #make(directory: string, hasParent = false): Promise<void> {
    const { calls } = this.#system
    const parent = dirname(directory)
    try {
      await call<void>((done) => calls.mkdir(directory, 0o700, done))
    } catch (error) {
      if (isMissing(error) && !hasParent && parent !== directory) {
        await this.#make(parent)
        await this.#make(directory, true)
      } else if (!(await this.#isDirectory(directory))) throw error
      return
    }
    if (this.#system.platform !== 'win32') {
      await call<void>((done) => calls.chmod(directory, 0o700, done))
    }
    await this.syncDirectory(parent)
    await this.#syncIfAllowed(dirname(parent))
  }

  async #isDirectory(path: string): Promise<boolean> {
    try {
      const found = await call<import('node:fs').Stats>((done) => this.#system.calls.stat(path, done))
      return found.isDirectory()
    } catch {
      return false
    }
  }

  /** Directories further up may be none of our business. */
  async #syncIfAllowed(directory: string): Promise<void> {
    try {
      await this.syncDirectory(directory)
    } catch (error) {
      if (!['EACCES', 'EPERM', 'EROFS', 'ENOENT'].includes(errnoOf(error) ?? '')) throw error
    }
  }

  async #patiently(start: (done: (error: NodeJS.ErrnoException | null) => void) => void): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        await call<void>((done) => start(done))
        return
      } catch (error) {
        const pauseMs = HELD_PAUSES_MS[attempt]
        const mayPass = this.#system.platform === 'win32' && HELD_ON_WINDOWS.has(errnoOf(error))
        if (!mayPass || pauseMs === undefined) throw error
        await sleep(pauseMs)
      }
    }
  }

  #close(fd: number): Promise<void> {
    return new Promise((resolve) => this.#system.calls.close(fd, () => resolve()))
  }
}
