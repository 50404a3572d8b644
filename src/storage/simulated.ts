/**
 * A disk that is only simulated, to show what becomes of a database when the real one fails.
 *
 * It behaves like a file system of the meanest kind that keeps the promises of storage.ts: what was not synced is lost,
 * kept or torn at a power failure, names are lost or appear out of order, any call can fail in the middle or take long.
 * Everything it leaves to chance comes from one seed, so that every failure replays.
 *
 * A `SimulatedStorage` is one process on one machine. `crash()` and `kill()` end it and give the next one:
 *
 * ```ts
 * const disk = new SimulatedStorage({ seed })
 * disk.stopAt(disk.operations + 17)                          // power fails in the middle of the 17th call from now
 * await Promise.race([transfer(disk), disk.stopped])
 * const after = disk.crash()                                 // the disk as it may be found then
 * ```
 *
 * A call costs a few microseconds; a crash image costs a reference for each page of 4 KiB.
 *
 * The idea: FoundationDB's deterministic simulation (Zhou et al., SIGMOD 2021); crash images: ALICE (Pillai et al., OSDI 2014).
 */
import { VarveError } from '../errors.ts'
import { type CallDetails, Calls, type Effect } from './simulation/calls.ts'
import { failDirectorySync, imageAfterCrash, type Survival } from './simulation/crash.ts'
import { DirectoryInode, Disk, OtherInode, pagesOf, systemError } from './simulation/disk.ts'
import type { FaultKind, FaultRule, Operation, OperationName } from './simulation/faults.ts'
import { type FileHost, SimulatedFile } from './simulation/file.ts'
import { FileInode, PAGE_BYTES } from './simulation/inode.ts'
import { SeededRandom } from './simulation/random.ts'
import type { DirectoryEntry, DirectoryLock, OpenMode, OpenOptions, Storage, StorageFile } from './storage.ts'

export type { Survival } from './simulation/crash.ts'
export type { FaultKind, FaultRule, Operation, OperationName } from './simulation/faults.ts'

/** Settings of a simulated machine. */
export interface SimulationOptions {
  /** What all chance comes from. Default 0. */
  readonly seed?: number
  /** Whether files can be opened so that every write is durable when it returns (`O_DSYNC`). Default true. */
  readonly synced?: boolean
  /**
   * Whether directories have to be synced, and can be. Without, `syncDirectory` does nothing, and creations, renames and
   * removals are durable in order as soon as they have happened. Default true.
   */
  readonly directorySync?: boolean
  /** Room on the disk; content beyond it meets `ENOSPC`. Default without end. */
  readonly capacityBytes?: number
  /** Longest time an asynchronous call takes by itself, in turns of the event loop; 0 is a microtask. Default 2. */
  readonly maxDelayTurns?: number
}

/** What becomes of the disk at a power failure. */
export interface CrashOptions {
  /** Chooses among all that may be found. The same seed finds the same; without one, each call finds something else. */
  readonly seed?: number
  /** What becomes of that which was not synced. Default `any`. */
  readonly survival?: Survival
  /** Room on the disk that is found. Default: as before. */
  readonly capacityBytes?: number
}

/** What the processes of one simulated computer share. */
interface Machine {
  readonly options: SimulationOptions
  readonly disk: Disk
  readonly processes: SimulatedStorage[]
  crashes: number
}

/** See the head of the file. */
export class SimulatedStorage implements Storage {
  readonly #machine: Machine
  readonly #calls: Calls
  readonly #host: FileHost
  readonly #open = new Set<SimulatedFile>()
  readonly #process: number
  /** The directories that were locked, by token. */
  readonly #locked = new Map<string, DirectoryInode>()

  /**
   * A process on a machine of its own with an empty disk.
   *
   * @param machine the machine, if there is one already; for this class alone
   */
  constructor(options: SimulationOptions = {}, machine?: Machine) {
    this.#machine = machine ?? {
      options,
      disk: new Disk(options.capacityBytes ?? Infinity, options.directorySync ?? true),
      processes: [],
      crashes: 0,
    }
    this.#machine.processes.push(this)
    this.#process = this.#machine.processes.length
    this.#calls = new Calls(new SeededRandom(options.seed ?? 0, this.#process), options.maxDelayTurns ?? 2)
    this.#host = {
      disk: this.#machine.disk,
      calls: this.#calls,
      bytesRead: 0,
      bytesWritten: 0,
      syncs: 0,
      closed: (file) => {
        if (this.#open.delete(file)) this.#host.disk.closeHandle(file.inode)
      },
    }
  }

  // ---------------------------------------------------------------- what a storage does

  open(path: string, mode: OpenMode, options: OpenOptions = {}): Promise<StorageFile> {
    const name = mode === 'create' ? 'create' : 'open'
    return this.#start(name, path, {}, (ending) => {
      const { disk } = this.#host
      if (mode === 'create') this.#mayHappen(ending, () => disk.create(path, 'open'))
      fail(ending, 'open', path)
      const inode = disk.fileAt(path, 'open')
      const isSynced = (options.synced ?? false) && (this.#machine.options.synced ?? true) && mode !== 'read'
      const file = new SimulatedFile(this.#host, path, inode, mode, isSynced)
      inode.handles++
      this.#open.add(file)
      return file
    })
  }

  list(directory: string): Promise<DirectoryEntry[]> {
    return this.#start('list', directory, {}, (ending) => {
      fail(ending, 'scandir', directory)
      const { entries } = this.#host.disk.directoryAt(directory, 'scandir')
      return this.#calls.random.shuffle([...entries].map(([name, { kind }]) => ({ name, kind })))
    })
  }

  makeDirectory(directory: string): Promise<void> {
    return this.#start('makeDirectory', directory, {}, (ending) => {
      // Unlike other changes of names it is durable when it has happened, so chance decides here and not in the image.
      const happens = ending !== 'crash' || this.#calls.random.chance(0.5)
      if (happens) this.#mayHappen(ending, () => this.#host.disk.makeDirectories(directory, 'mkdir'))
      fail(ending, 'mkdir', directory)
    })
  }

  removeDirectory(directory: string): Promise<void> {
    return this.#start('removeDirectory', directory, {}, (ending) => {
      const { disk } = this.#host
      if (disk.locate(directory, 'rmdir').inode === undefined) return
      this.#mayHappen(ending, () => disk.removeDirectory(directory, 'rmdir'))
      fail(ending, 'rmdir', directory)
    })
  }

  rename(from: string, to: string): Promise<void> {
    return this.#start('rename', from, { to }, (ending) => {
      this.#mayHappen(ending, () => this.#host.disk.rename(from, to, 'rename'))
      fail(ending, 'rename', from)
    })
  }

  remove(path: string): Promise<void> {
    return this.#start('remove', path, {}, (ending) => {
      const { disk } = this.#host
      if (disk.locate(path, 'unlink').inode === undefined) return
      this.#mayHappen(ending, () => disk.remove(path, 'unlink'))
      fail(ending, 'unlink', path)
    })
  }

  syncDirectory(directory: string): Promise<void> {
    const { disk } = this.#host
    const { order } = disk
    return this.#start('syncDirectory', directory, {}, (ending) => {
      this.#host.syncs++
      if (ending === 'crash' || (ending === 'kill' && this.#calls.random.chance(0.5))) return
      const inode = disk.directoryAt(directory, 'open')
      if (ending === 'EIO') failDirectorySync(disk, inode, order, this.#calls.random)
      fail(ending, 'fsync', directory)
      disk.syncDirectory(inode, order)
    })
  }

  lock(directory: string): Promise<DirectoryLock> {
    return this.#start('lock', directory, {}, (ending) => {
      fail(ending, 'lock', directory)
      const inode = this.#refuseHeld(directory)
      this.#host.disk.locks.set(inode, this.#process)
      let isHeld = true
      const token = `${this.#process}:${this.#locked.size}`
      this.#locked.set(token, inode)
      return {
        token,
        release: async () => {
          if (!isHeld) return
          isHeld = false
          await this.#start('unlock', directory, {}, (ending) => {
            this.#host.disk.locks.delete(inode)
            fail(ending, 'unlock', directory)
          })
        },
      }
    })
  }

  /** Cannot fail and is not counted. Taking the directory away, as with `erase`, takes the lock away. */
  isHeld(directory: string, token: string): Promise<boolean> {
    if (this.halted) return new Promise(() => {})
    const { disk } = this.#host
    const inode = this.#locked.get(token)
    try {
      const isThere = inode !== undefined && disk.directoryAt(directory, 'lstat') === inode
      return Promise.resolve(isThere && disk.locks.get(inode) === this.#process)
    } catch {
      return Promise.resolve(false)
    }
  }

  probeLock(directory: string): Promise<void> {
    return this.#start('probeLock', directory, {}, (ending) => {
      fail(ending, 'probeLock', directory)
      this.#refuseHeld(directory)
    })
  }

  // ---------------------------------------------------------------- what a test does to it

  /** How many calls this process has made, of every kind, those on its files included. The first is number 1. */
  get operations(): number {
    return this.#calls.count
  }

  /** The calls, oldest first; at least the last 20,000. */
  get log(): readonly Operation[] {
    return this.#calls.log
  }

  /** How many calls have met a fault. */
  get faultsInjected(): number {
    return this.#calls.faults.injected
  }

  /** What this process has moved, in bytes, and how many syncs it has asked for. */
  get traffic(): { readonly bytesRead: number; readonly bytesWritten: number; readonly syncs: number } {
    const { bytesRead, bytesWritten, syncs } = this.#host
    return { bytesRead, bytesWritten, syncs }
  }

  /** Paths of the files that this process has open. */
  get openFiles(): string[] {
    return [...this.#open].map(({ path }) => path)
  }

  /** Room on the disk, in bytes. May be changed at any time, also to less than is used. */
  get capacityBytes(): number {
    return this.#host.disk.capacityBytes
  }

  set capacityBytes(bytes: number) {
    this.#host.disk.capacityBytes = bytes
  }

  /** Room taken on the disk, in bytes. */
  get usedBytes(): number {
    return this.#host.disk.usedBytes
  }

  /** Adds a rule by which calls of this process fail. */
  fail(rule: FaultRule): void {
    this.#calls.faults.add(rule)
  }

  /** Lets the call of this number fail, if it is one that can fail so. */
  failAt(number: number, kind: FaultKind): void {
    this.fail({ kind, at: number })
  }

  /** Lets every n-th call fail, of those that can fail so. */
  failEvery(every: number, kind: FaultKind): void {
    this.fail({ kind, every })
  }

  /** Ends all faults; calls that stall go on. */
  heal(): void {
    this.#calls.faults.clear()
    this.#calls.release()
  }

  /** The process halts in the middle of the call of this number. */
  stopAt(number: number): void {
    this.#calls.stopAt = number
  }

  /** Resolves when the process has halted, for whatever reason. */
  get stopped(): Promise<void> {
    return this.#calls.stopped
  }

  /** Whether the process has halted. */
  get halted(): boolean {
    return this.#calls.halted
  }

  /** Ends the process where it is: no call of it has any effect from now on, nor settles; synchronous ones throw. */
  halt(): void {
    this.#calls.halt()
  }

  /** Another process on the same machine, at the same time. */
  peer(options: Pick<SimulationOptions, 'seed' | 'maxDelayTurns'> = {}): SimulatedStorage {
    return new SimulatedStorage({ ...this.#machine.options, ...options }, this.#machine)
  }

  /**
   * The process is killed; the machine goes on. What was written is there (but no more durable than before), a call in
   * flight is done, half done or not done, locks and files are let go. What failed syncs have lost may be seen or not.
   *
   * @returns the next process
   */
  kill(): SimulatedStorage {
    this.halt()
    this.#calls.settle('kill')
    const { disk } = this.#host
    for (const file of this.#open) disk.closeHandle(file.inode)
    this.#open.clear()
    disk.walk((_, inode) => {
      if (inode.kind === 'file' && inode.hasLost && this.#calls.random.chance(0.5)) inode.evictLost()
    })
    for (const [directory, holder] of disk.locks) if (holder === this.#process) disk.locks.delete(directory)
    return this.peer()
  }

  /**
   * Power fails: all processes of the machine halt, and what was not synced is lost, kept or torn.
   *
   * The halted machine stays as it is, so that further calls give other disks that may be found after the same failure.
   *
   * @returns the first process on the machine as it is found afterwards
   */
  crash(options: CrashOptions = {}): SimulatedStorage {
    const machine = this.#machine
    for (const process of machine.processes) process.#calls.halt()
    for (const process of machine.processes) process.#calls.settle('crash')
    const seed = options.seed ?? Math.imul((machine.options.seed ?? 0) + 1, 0x9e3779b1) + ++machine.crashes
    const random = new SeededRandom(seed, 0x63726173)
    const disk = imageAfterCrash(machine.disk, options.survival ?? 'any', random)
    if (options.capacityBytes !== undefined) disk.capacityBytes = options.capacityBytes
    const next: SimulationOptions = { ...machine.options, seed: random.uint32() }
    return new SimulatedStorage(next, { options: next, disk, processes: [], crashes: 0 })
  }

  // ---------------------------------------------------------------- the disk, past all calls

  /** Paths of all files, below a directory if one is given, sorted. */
  files(directory = ''): string[] {
    const paths: string[] = []
    this.#host.disk.walk((path, inode) => {
      if (inode.kind === 'file' && (directory === '' || path.startsWith(`${directory}/`))) paths.push(path)
    })
    return paths.sort()
  }

  /** What a process would read from a file; a copy. */
  contents(path: string): Uint8Array<ArrayBuffer> {
    const inode = this.#host.disk.fileAt(path, 'read')
    const bytes = new Uint8Array(inode.size)
    inode.read(bytes, 0)
    return bytes
  }

  /** Puts a durable file with these bytes at a path, or an empty directory, or something that is neither. */
  plant(path: string, content: Uint8Array | 'directory' | 'other'): void {
    const { disk } = this.#host
    if (content === 'directory') disk.plant(path, new DirectoryInode())
    else if (content === 'other') disk.plant(path, new OtherInode())
    else disk.plant(path, FileInode.of(pagesOf(content), content.length))
  }

  /** Takes whatever is at a path away, durably. */
  erase(path: string): void {
    this.#host.disk.plant(path, undefined)
  }

  /** Turns one bit of a file, as a failing medium does: at once and durably. */
  flip(path: string, byte: number, bit: number): void {
    const inode = this.#host.disk.fileAt(path, 'flip')
    const index = Math.floor(byte / PAGE_BYTES)
    for (const pages of [inode.pages, inode.durable]) {
      const page = (pages[index] ?? new Uint8Array(PAGE_BYTES)).slice()
      page[byte % PAGE_BYTES] = (page[byte % PAGE_BYTES] as number) ^ (1 << bit)
      pages[index] = page
    }
  }

  #start<T>(name: OperationName, path: string, details: CallDetails, effect: Effect<T>): Promise<T> {
    return this.#calls.start(name, path, details, effect)
  }

  /** A change of a name that does not end well may have happened or not, unless there was no room or no right for it. */
  #mayHappen(ending: Parameters<Effect<void>>[0], change: () => void): void {
    const isCertain = ending === undefined || (ending === 'crash' && this.#host.disk.syncsNames)
    const isPossible = ending === 'crash' || ending === 'kill' || ending === 'EIO'
    if (isCertain || (isPossible && this.#calls.random.chance(0.5))) change()
  }

  #refuseHeld(directory: string): DirectoryInode {
    const { disk } = this.#host
    const inode = disk.directoryAt(directory, 'lock')
    const holder = disk.locks.get(inode)
    if (holder === undefined) return inode
    const who = holder === this.#process ? 'this process' : `process ${holder}`
    throw new VarveError('LOCKED', `${directory} is in use by ${who} of the simulated machine: close it there first`)
  }
}

function fail(ending: Parameters<Effect<void>>[0], call: string, path: string): void {
  if (ending !== undefined && ending !== 'kill' && ending !== 'crash') throw systemError(ending, call, path)
}
