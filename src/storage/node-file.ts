/**
 * An open file of the operating system.
 *
 * Node reports what the kernel did, not what was asked: on a full disk, or at a limit of file size, `write` succeeds with a
 * part of the bytes and no error. So every count is checked, and what is missing is asked for again; the error comes with
 * the next attempt.
 */
import { errnoOf, ioError, type StorageFile } from './storage.ts'
import { DirectWriter } from './direct.ts'
import { call, callSync, isInterruption, MAX_INTERRUPTIONS, type NodeSystem, pause } from './node-calls.ts'

/**
 * Most bytes of one call: the kernel would not move more than 2 GiB at once (Linux), or would refuse to (macOS). Smaller
 * ones would only cost time.
 */
const MAX_CALL_BYTES = 2 ** 30

function noSpace(): Error {
  return Object.assign(new Error('ENOSPC: a write made no progress'), { code: 'ENOSPC', syscall: 'write' })
}

/** See `StorageFile`. Positions are numbers up to 2^53: no arithmetic here is of 32 bits. */
export class NodeFile implements StorageFile {
  readonly path: string
  readonly synced: boolean
  readonly #fd: number
  readonly #system: NodeSystem
  /** Of a synced file. */
  readonly #direct: DirectWriter | undefined
  #busy = 0
  #idle: (() => void) | undefined
  #closing: Promise<void> | undefined

  constructor(system: NodeSystem, path: string, fd: number, synced: boolean) {
    this.#system = system
    this.path = path
    this.#fd = fd
    this.synced = synced
    this.#direct = synced ? new DirectWriter(system, fd) : undefined
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#move('read', target, position)
  }

  /** As {@link writeSync}, but for closures: every cold read comes by here. */
  readSync(target: Uint8Array, position: number): number {
    this.#refuseIfClosed('read')
    const { calls } = this.#system
    let filled = 0
    let interruptions = 0
    while (filled < target.length) {
      const length = Math.min(target.length - filled, MAX_CALL_BYTES)
      try {
        const count = calls.readSync(this.#fd, target, filled, length, position + filled)
        if (count === 0) break
        filled += count
        interruptions = 0
      } catch (error) {
        if (!isInterruption(error) || ++interruptions > MAX_INTERRUPTIONS) throw ioError('read', this.path, error)
      }
    }
    return filled
  }

  write(data: Uint8Array, position: number): Promise<void> {
    return this.#move('write', data, position)
  }

  writeSync(data: Uint8Array, position: number): void {
    this.#runSync('write', () => {
      let written = 0
      while (written < data.length) {
        const length = Math.min(data.length - written, MAX_CALL_BYTES)
        const from = written
        const count = callSync(() => this.#system.calls.writeSync(this.#fd, data, from, length, position + from))
        if (count === 0) throw noSpace()
        written += count
      }
    })
  }

  // On macOS libuv's fdatasync is fcntl(F_FULLFSYNC), which reaches the medium and not only the drive's cache.
  sync(): Promise<void> {
    return this.#run('sync', () => call<void>((done) => this.#system.calls.fdatasync(this.#fd, done)))
  }

  syncSync(): void {
    this.#runSync('sync', () => callSync(() => this.#system.calls.fdatasyncSync(this.#fd)))
  }

  size(): Promise<number> {
    return this.#run('stat', async () => {
      const { size } = await call<{ readonly size: number }>((done) => this.#system.calls.fstat(this.#fd, done))
      return size
    })
  }

  truncate(bytes: number): Promise<void> {
    return this.#run('truncate', () => call<void>((done) => this.#system.calls.ftruncate(this.#fd, bytes, done)))
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#busy > 0) await new Promise<void>((resolve) => (this.#idle = resolve))
    this.#direct?.close()
    await new Promise<void>((resolve, reject) => {
      this.#system.calls.close(this.#fd, (error) => {
        // After EINTR the descriptor is gone, and its number may be somebody else's already: never a second attempt.
        if (error === null || error === undefined || error.code === 'EINTR') resolve()
        else reject(ioError('close', this.path, error))
      })
    })
  }

  /** Reads or writes all of it: one promise and one closure however often, because each group of commits waits for one. */
  #move<T extends number | void>(action: 'read' | 'write', bytes: Uint8Array, position: number): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#refuseIfClosed(action)
      let moved = 0
      let interruptions = 0
      let isDirect = false
      const finish = (error?: Error): void => {
        if (--this.#busy === 0) this.#idle?.()
        if (error === undefined) resolve(moved as T)
        else reject(ioError(action, this.path, error))
      }
      const next = (): void => {
        const length = Math.min(bytes.length - moved, MAX_CALL_BYTES)
        const { calls } = this.#system
        try {
          isDirect = action === 'write' && moved === 0 && this.#direct?.takes(bytes, position) === true
          if (isDirect) this.#direct!.write(bytes, position, ended)
          else if (action === 'read') calls.read(this.#fd, bytes, moved, length, position + moved, ended)
          else calls.write(this.#fd, bytes, moved, length, position + moved, ended)
        } catch (error) {
          // Node itself refuses, as it does a position that is no integer.
          finish(error as Error)
        }
      }
      const ended = (error: Error | null, count: number): void => {
        if (error !== null) {
          if (isDirect && errnoOf(error) === 'EINVAL') {
            this.#direct!.refuse()
            next()
          } else if (isInterruption(error) && ++interruptions <= MAX_INTERRUPTIONS) pause(interruptions, next)
          else finish(error)
          return
        }
        moved += count
        if (moved < bytes.length && count > 0) next()
        else finish(moved < bytes.length && action === 'write' ? noSpace() : undefined)
      }
      this.#busy++
      if (bytes.length === 0) finish()
      else next()
    })
  }

  async #run<T>(action: string, work: () => Promise<T>): Promise<T> {
    this.#refuseIfClosed(action)
    this.#busy++
    try {
      return await work()
    } catch (error) {
      throw ioError(action, this.path, error)
    } finally {
      if (--this.#busy === 0) this.#idle?.()
    }
  }

  #runSync<T>(action: string, work: () => T): T {
    this.#refuseIfClosed(action)
    try {
      return work()
    } catch (error) {
      throw ioError(action, this.path, error)
    }
  }

  #refuseIfClosed(action: string): void {
    if (this.#closing === undefined) return
    throw ioError(action, this.path, Object.assign(new Error('EBADF: the file is closed'), { code: 'EBADF' }))
  }
}
