/**
 * The names of a simulated disk, as processes see them and as a power failure may leave them.
 *
 * Every creation, removal and rename is one operation that changes one or two names. It is visible at once and durable
 * when its directory is synced; until then it may be lost or kept on its own.
 *
 * D1  An operation is atomic: a rename that survives has taken the old name away and put the new one there.
 * D2  Operations that touch the same name survive in order: one that survives implies all earlier ones of its names.
 *     Otherwise any subset of those pending may survive, later ones without earlier ones.
 * D3  A durable name leads to whatever of its file is durable: syncing a directory makes no content durable, and syncing
 *     a file makes no name durable.
 *
 * Paths are split at `/` (and at `\` where the platform does so) and always begin at the root; there are no symbolic links.
 */
import { sep } from 'node:path'
import { FileInode, PAGE_BYTES, type Pages } from './inode.ts'

/** Something that is neither a file nor a directory: a FIFO, a symbolic link, a device. */
export class OtherInode {
  readonly kind = 'other' as const
}

/** A directory. */
export class DirectoryInode {
  readonly kind = 'directory' as const
  readonly entries: Map<string, Inode> = new Map()
  readonly durable: Map<string, Inode> = new Map()
}

/** Whatever a name may lead to. */
export type Inode = FileInode | DirectoryInode | OtherInode

/** One name that an operation changes. */
interface NameChange {
  readonly directory: DirectoryInode
  readonly name: string
  /** What the name leads to afterwards. */
  readonly to: Inode | undefined
}

/** A creation, removal or rename that is not durable yet. */
export interface NameOperation {
  readonly order: number
  readonly changes: readonly NameChange[]
}

/** Where a path leads. */
interface Place {
  readonly directory: DirectoryInode
  readonly name: string
  readonly inode: Inode | undefined
}

/** An error as Node would give it. */
export function systemError(code: string, call: string, path: string): Error {
  return Object.assign(new Error(`${code}: simulated, ${call} '${path}'`), { code, syscall: call, path })
}

function namesOf(path: string): string[] {
  const names: string[] = []
  for (const name of (sep === '/' ? path : path.replaceAll(sep, '/')).split('/')) {
    if (name === '..') names.pop()
    else if (name !== '' && name !== '.') names.push(name)
  }
  return names
}

/** Whether two operations change a name in common. */
export function sharesName(one: NameOperation, other: NameOperation): boolean {
  return one.changes.some(({ directory, name }) =>
    other.changes.some((change) => change.directory === directory && change.name === name),
  )
}

/** Lets the operations be what is durable. */
export function applyDurably(operation: NameOperation): void {
  for (const { directory, name, to } of operation.changes) {
    if (to === undefined) directory.durable.delete(name)
    else directory.durable.set(name, to)
  }
}

/** A disk and everything on it. */
export class Disk {
  readonly root: DirectoryInode = new DirectoryInode()
  /** Operations on names that are not durable yet, in order. */
  pending: NameOperation[] = []
  /** Number of the newest change of anything. */
  order = 0
  /** Room taken, in bytes: every page that is not a hole, of files that have a name or are open. */
  usedBytes = 0
  capacityBytes: number
  /** Whether names have to be synced; if not, each change of one is durable at once. */
  readonly syncsNames: boolean
  /** Who holds which directory: a number per process. */
  readonly locks: Map<DirectoryInode, number> = new Map()

  constructor(capacityBytes: number, syncsNames: boolean) {
    this.capacityBytes = capacityBytes
    this.syncsNames = syncsNames
  }

  /** Where the path leads; its directory must exist. */
  locate(path: string, call: string): Place {
    const names = namesOf(path)
    const name = names.pop()
    if (name === undefined) return { directory: this.root, name: '.', inode: this.root }
    let directory = this.root
    for (const step of names) {
      const next = directory.entries.get(step)
      if (next === undefined) throw systemError('ENOENT', call, path)
      if (next.kind !== 'directory') throw systemError('ENOTDIR', call, path)
      directory = next
    }
    return { directory, name, inode: directory.entries.get(name) }
  }

  /** The directory at the path. */
  directoryAt(path: string, call: string): DirectoryInode {
    const { inode } = this.locate(path, call)
    if (inode === undefined) throw systemError('ENOENT', call, path)
    if (inode.kind !== 'directory') throw systemError('ENOTDIR', call, path)
    return inode
  }

  /** The regular file at the path. */
  fileAt(path: string, call: string): FileInode {
    const { inode } = this.locate(path, call)
    if (inode === undefined) throw systemError('ENOENT', call, path)
    if (inode.kind === 'directory') throw systemError('EISDIR', call, path)
    if (inode.kind === 'other') throw systemError('ELOOP', call, path)
    return inode
  }

  /** Makes a new, empty file. */
  create(path: string, call: string): FileInode {
    const { directory, name, inode } = this.locate(path, call)
    if (inode !== undefined) throw systemError('EEXIST', call, path)
    const file = new FileInode()
    this.change([{ directory, name, to: file }])
    return file
  }

  /** Makes a directory and all that are missing above it; durable at once. */
  makeDirectories(path: string, call: string): void {
    let directory = this.root
    for (const name of namesOf(path)) {
      const next = directory.entries.get(name)
      if (next === undefined) this.change([{ directory, name, to: new DirectoryInode() }])
      this.syncDirectory(directory, this.order)
      const made = directory.entries.get(name) as Inode
      if (made.kind !== 'directory') throw systemError('ENOTDIR', call, path)
      directory = made
    }
  }

  /** Gives a file another name, in place of what has it. */
  rename(from: string, to: string, call: string): void {
    const source = this.locate(from, call)
    const target = this.locate(to, call)
    if (source.inode === undefined) throw systemError('ENOENT', call, from)
    if (source.inode.kind === 'file' && target.inode?.kind === 'directory') throw systemError('EISDIR', call, to)
    if (source.inode.kind === 'directory' && target.inode !== undefined) throw systemError('ENOTDIR', call, to)
    if (source.inode === target.inode) return
    this.change([
      { directory: source.directory, name: source.name, to: undefined },
      { directory: target.directory, name: target.name, to: source.inode },
    ])
  }

  /** Takes a name away. */
  remove(path: string, call: string): void {
    const { directory, name, inode } = this.locate(path, call)
    if (inode === undefined) throw systemError('ENOENT', call, path)
    if (inode.kind === 'directory') throw systemError('EISDIR', call, path)
    this.change([{ directory, name, to: undefined }])
  }

  /** Takes an empty directory away. */
  removeDirectory(path: string, call: string): void {
    const { directory, name } = this.locate(path, call)
    if (this.directoryAt(path, call).entries.size > 0) throw systemError('ENOTEMPTY', call, path)
    this.change([{ directory, name, to: undefined }])
  }

  /** Makes the changes of a directory's names up to `order` durable, and whatever they depend on in others. */
  syncDirectory(directory: DirectoryInode, order: number): void {
    for (const operation of this.take(directory, order)) applyDurably(operation)
  }

  /** Takes the operations up to `order` that are pending in a directory, with all they depend on, from the queue. */
  take(directory: DirectoryInode, order: number): NameOperation[] {
    const taken: NameOperation[] = []
    const left: NameOperation[] = []
    for (let i = this.pending.length - 1; i >= 0; i--) {
      const operation = this.pending[i] as NameOperation
      const isWanted =
        operation.order <= order &&
        (operation.changes.some((change) => change.directory === directory) ||
          taken.some((later) => sharesName(operation, later)))
      if (isWanted) taken.push(operation)
      else left.push(operation)
    }
    this.pending = left.reverse()
    return taken.reverse()
  }

  /** Writes what there is room for; how many bytes that was. */
  write(file: FileInode, data: Uint8Array, position: number): number {
    const freePages = Math.floor((this.capacityBytes - this.usedBytes) / PAGE_BYTES)
    const before = file.allocated
    const written = file.write(data, position, ++this.order, Math.max(0, freePages))
    this.usedBytes += (file.allocated - before) * PAGE_BYTES
    return written
  }

  /** Changes the size of a file. */
  truncate(file: FileInode, size: number): void {
    const before = file.allocated
    file.truncate(size, ++this.order)
    this.usedBytes += (file.allocated - before) * PAGE_BYTES
  }

  /** One open file less. */
  closeHandle(file: FileInode): void {
    file.handles--
    this.reclaim(file)
  }

  /** Puts something durable at a path, in place of what is there, without any of the care of an ordinary write. */
  plant(path: string, inode: Inode | undefined): void {
    const { directory, name } = this.locate(path, 'plant')
    for (const operation of this.take(directory, this.order)) applyDurably(operation)
    if (inode?.kind === 'file') this.usedBytes += inode.allocated * PAGE_BYTES
    this.change([{ directory, name, to: inode }])
    this.syncDirectory(directory, this.order)
  }

  /** Calls `visit` with every name below a directory, parents first. */
  walk(visit: (path: string, inode: Inode) => void, directory: DirectoryInode = this.root, prefix = ''): void {
    for (const [name, inode] of directory.entries) {
      visit(`${prefix}/${name}`, inode)
      if (inode.kind === 'directory') this.walk(visit, inode, `${prefix}/${name}`)
    }
  }

  private change(changes: readonly NameChange[]): void {
    const operation: NameOperation = { order: ++this.order, changes }
    const replaced: FileInode[] = []
    for (const { directory, name, to } of changes) {
      const old = directory.entries.get(name)
      if (to === undefined) directory.entries.delete(name)
      else directory.entries.set(name, to)
      if (to?.kind === 'file') to.links++
      if (old?.kind !== 'file') continue
      old.links--
      replaced.push(old)
    }
    for (const file of replaced) this.reclaim(file)
    if (this.syncsNames) this.pending.push(operation)
    else applyDurably(operation)
  }

  private reclaim(file: FileInode): void {
    if (file.links > 0 || file.handles > 0 || file.allocated === 0) return
    this.usedBytes -= file.allocated * PAGE_BYTES
    file.allocated = 0
  }
}

/** Bytes as pages. */
export function pagesOf(content: Uint8Array): Pages {
  const pages: Pages = []
  for (let at = 0; at < content.length; at += PAGE_BYTES) {
    const page = new Uint8Array(PAGE_BYTES)
    page.set(content.subarray(at, at + PAGE_BYTES))
    pages.push(page)
  }
  return pages
}
