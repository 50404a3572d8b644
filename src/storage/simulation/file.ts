/** An open file of a simulated process. */
import type { OpenMode, StorageFile } from '../storage.ts'
import type { Calls, Ending } from './calls.ts'
import { type Disk, systemError } from './disk.ts'
import type { FileInode } from './inode.ts'

/** What a process has of its files: the disk, its calls, and the count of what it moved. */
export interface FileHost {
  readonly disk: Disk
  readonly calls: Calls
  bytesRead: number
  bytesWritten: number
  syncs: number
  /** A file has been closed. */
  closed(file: SimulatedFile): void
}

/** See `StorageFile`. */
export class SimulatedFile implements StorageFile {
  readonly path: string
  readonly synced: boolean
  readonly inode: FileInode
  readonly #host: FileHost
  readonly #mode: OpenMode
  #busy = 0
  #idle: (() => void) | undefined
  #closing: Promise<void> | undefined

  constructor(host: FileHost, path: string, inode: FileInode, mode: OpenMode, synced: boolean) {
    this.#host = host
    this.path = path
    this.inode = inode
    this.#mode = mode
    this.synced = synced
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#start('read', position, target.length, (ending) => this.#read(target, position, ending))
  }

  readSync(target: Uint8Array, position: number): number {
    return this.#now('read', position, target.length, (ending) => this.#read(target, position, ending))
  }

  write(data: Uint8Array, position: number): Promise<void> {
    return this.#start('write', position, data.length, (ending) => this.#write(data, position, ending))
  }

  writeSync(data: Uint8Array, position: number): void {
    this.#now('write', position, data.length, (ending) => this.#write(data, position, ending))
  }

  sync(): Promise<void> {
    const { order } = this.#host.disk
    return this.#start('sync', 0, 0, (ending) => this.#sync(order, ending))
  }

  syncSync(): void {
    const { order } = this.#host.disk
    this.#now('sync', 0, 0, (ending) => this.#sync(order, ending))
  }

  size(): Promise<number> {
    return this.#start('size', 0, 0, (ending) => {
      this.#fail(ending, 'fstat')
      return this.inode.size
    })
  }

  truncate(bytes: number): Promise<void> {
    return this.#start('truncate', bytes, 0, (ending) => {
      const { disk, calls } = this.#host
      this.#needWritable('ftruncate')
      const mayHappen = ending === undefined || ending === 'crash'
      if (mayHappen || ((ending === 'kill' || ending === 'EIO') && calls.random.chance(0.5))) {
        disk.truncate(this.inode, bytes)
      }
      this.#fail(ending, 'ftruncate')
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#busy > 0) await new Promise<void>((resolve) => (this.#idle = resolve))
    await this.#host.calls.start('close', this.path, {}, (ending) => {
      if (ending === 'crash' || ending === 'kill') return
      this.#host.closed(this)
      this.#fail(ending, 'close')
    })
  }

  #start<T>(
    name: 'read' | 'write' | 'sync' | 'size' | 'truncate',
    position: number,
    bytes: number,
    effect: (ending: Ending) => T,
  ): Promise<T> {
    const { calls } = this.#host
    if (this.#closing !== undefined) return calls.refuse(name, this.path)
    this.#busy++
    return calls.start(name, this.path, { position, bytes }, (ending) => {
      try {
        return effect(ending)
      } finally {
        if (--this.#busy === 0) this.#idle?.()
      }
    })
  }

  #now<T>(name: 'read' | 'write' | 'sync', position: number, bytes: number, effect: (ending: Ending) => T): T {
    const { calls } = this.#host
    if (this.#closing !== undefined) throw calls.refusal(name, this.path)
    return calls.now(name, this.path, { position, bytes }, effect)
  }

  #read(target: Uint8Array, position: number, ending: Ending): number {
    if (ending === 'kill' || ending === 'crash') return 0
    if (ending !== 'flip') this.#fail(ending, 'read')
    const count = this.inode.read(target, position)
    this.#host.bytesRead += count
    if (ending === 'flip' && count > 0) flipOneBit(target.subarray(0, count), this.#host)
    return count
  }

  #write(data: Uint8Array, position: number, ending: Ending): void {
    this.#needWritable('write')
    if (ending === 'lost') return
    const { disk, calls } = this.#host
    let bytes = data
    if (ending === 'flip' && data.length > 0) {
      bytes = data.slice()
      flipOneBit(bytes, this.#host)
    } else if (ending !== undefined && ending !== 'crash') {
      bytes = data.subarray(0, partOf(data.length, ending, calls))
    }
    const written = disk.write(this.inode, bytes, position)
    const { order } = disk
    this.#host.bytesWritten += written
    if (ending === 'crash' || ending === 'kill') return
    if (this.synced && written > 0) {
      if (ending === 'EIO') this.inode.failSync(order, calls.random, order)
      else this.inode.syncWrite(order, position, written)
    }
    if (ending !== 'flip') this.#fail(ending === 'short' ? 'ENOSPC' : ending, 'write')
    if (written < data.length) throw systemError('ENOSPC', 'write', this.path)
  }

  #sync(order: number, ending: Ending): void {
    const { calls } = this.#host
    this.#host.syncs++
    if (ending === 'crash' || (ending === 'kill' && calls.random.chance(0.5))) return
    if (ending === undefined || ending === 'kill') {
      this.inode.sync(order)
      return
    }
    this.inode.failSync(order, calls.random)
    this.#fail(ending, 'fdatasync')
  }

  #needWritable(call: string): void {
    if (this.#mode === 'read') throw systemError('EBADF', call, this.path)
  }

  #fail(ending: Ending, call: string): void {
    if (ending !== undefined && ending !== 'kill' && ending !== 'crash') throw systemError(ending, call, this.path)
  }
}

/** How much of a write is done that does not end well. */
function partOf(bytes: number, ending: Ending, { random }: Calls): number {
  if (ending === 'short') return bytes <= 1 ? 0 : 1 + random.int(bytes - 1)
  if (random.chance(0.3)) return 0
  if (ending === 'kill' && random.chance(0.4)) return bytes
  return random.int(bytes)
}

function flipOneBit(bytes: Uint8Array, { calls }: FileHost): void {
  const at = calls.random.int(bytes.length)
  bytes[at] = (bytes[at] as number) ^ (1 << calls.random.int(8))
}
