/**
 * A storage that changes nothing in one directory unless that is still the one that was locked.
 *
 * A path is only a name. Somebody may remove or rename the directory of an open database, or remove its lock file, and make a
 * new database of the same name; what this process then created, renamed or removed by path would ruin that one. So before
 * every such call the lock file is looked at, which takes one lstat. Files that are open are not affected: they are the old
 * ones, wherever they are now.
 *
 * O1  Between the look and the call lies an instant; only a new database made within it could be harmed.
 * O2  Once the directory was lost it stays lost: `lost` is called once, and every later change is refused.
 *
 * Reading, and changes elsewhere, pass.
 */
import { dirname } from 'node:path'
import { VarveError } from '../errors.ts'
import type { DirectoryEntry, DirectoryLock, OpenMode, OpenOptions, Storage, StorageFile } from './storage.ts'

/**
 * The storage through which a job writes to a directory that somebody else has locked under this token; the caller is told
 * only by the failure of the call.
 */
export function ownStorage(storage: Storage, directory: string, token: string | undefined): Storage {
  return token === undefined ? storage : new OwnDirectory(storage, directory, token, () => {})
}

/** See the head of the file. */
export class OwnDirectory implements Storage {
  readonly #storage: Storage
  readonly #directory: string
  readonly #token: string
  readonly #lost: (error: VarveError) => void
  #loss: VarveError | null = null

  /**
   * @param token of the lock by which the directory is held
   * @param lost called when it is found not to be held any more
   */
  constructor(storage: Storage, directory: string, token: string, lost: (error: VarveError) => void) {
    this.#storage = storage
    this.#directory = directory
    this.#token = token
    this.#lost = lost
  }

  /** Throws `IO` if the directory is not ours any more. */
  async check(): Promise<void> {
    if (this.#loss === null && !(await this.#storage.isHeld(this.#directory, this.#token))) {
      this.#loss ??= new VarveError(
        'IO',
        `${this.#directory}, or the lock file in it, was removed or replaced while the database was open: nothing more is ` +
          'written there; close the database, and never remove or replace the directory of one that is open',
      )
      this.#lost(this.#loss)
    }
    if (this.#loss !== null) throw this.#loss
  }

  async open(path: string, mode: OpenMode, options?: OpenOptions): Promise<StorageFile> {
    if (mode !== 'read') await this.#checkFor(path)
    return this.#storage.open(path, mode, options)
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#checkFor(to)
    await this.#storage.rename(from, to)
  }

  async remove(path: string): Promise<void> {
    await this.#checkFor(path)
    await this.#storage.remove(path)
  }

  list(directory: string): Promise<DirectoryEntry[]> {
    return this.#storage.list(directory)
  }

  makeDirectory(directory: string): Promise<void> {
    return this.#storage.makeDirectory(directory)
  }

  syncDirectory(directory: string): Promise<void> {
    return this.#storage.syncDirectory(directory)
  }

  removeDirectory(directory: string): Promise<void> {
    return this.#storage.removeDirectory(directory)
  }

  lock(directory: string): Promise<DirectoryLock> {
    return this.#storage.lock(directory)
  }

  isHeld(directory: string, token: string): Promise<boolean> {
    return this.#storage.isHeld(directory, token)
  }

  probeLock(directory: string): Promise<void> {
    return this.#storage.probeLock(directory)
  }

  async #checkFor(path: string): Promise<void> {
    if (dirname(path) === this.#directory) await this.check()
  }
}
