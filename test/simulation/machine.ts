/**
 * The machine on which a simulated life runs: a simulated disk with a count of the calls made to it, which dies at a call
 * chosen beforehand. Death is power loss (the disk keeps what was synced, and of the rest whatever chance leaves) or the end
 * of the process (the disk keeps what was written).
 *
 * M1  Nothing that is called on a dead machine has an effect; asynchronous calls never settle, synchronous ones throw
 *     {@link MachineDead}: what is left of the old process cannot change the disk of the next.
 * M2  The calls are numbered from 1, so that a death at call n of a deterministic script is the same death every time.
 */
import type { SimulatedStorage } from '../../src/storage/simulated.ts'
import type {
  DirectoryEntry,
  DirectoryLock,
  OpenMode,
  OpenOptions,
  Storage,
  StorageFile,
} from '../../src/storage/storage.ts'

/** How the machine dies. */
export interface Death {
  readonly kind: 'power' | 'kill'
  /** Number of the call at which it dies, from 1. */
  readonly at: number
  /** Before the call has any effect, while it is under way, or when it has just ended and nobody knows yet. */
  readonly when: 'before' | 'during' | 'after'
}

/** Thrown by synchronous calls on a dead machine. */
class MachineDead extends Error {
  constructor() {
    super('the machine is dead')
  }
}

function never(): Promise<never> {
  return new Promise<never>(() => undefined)
}

export class Machine implements Storage {
  readonly disk: SimulatedStorage
  /** Calls made so far. */
  operations = 0
  /** Names and paths of the calls, for the report of a failure; only kept when asked for. */
  readonly trace: string[] | null
  /** What is left after death. */
  remains: SimulatedStorage | null = null
  /** Called at the moment of death, before anything is lost. */
  atDeath: (() => void) | null = null
  /** Resolves at death. */
  readonly died: Promise<void>
  readonly #death: Death | null
  #resolve: () => void = () => undefined

  constructor(disk: SimulatedStorage, death: Death | null, traced = false) {
    this.disk = disk
    this.#death = death
    this.trace = traced ? [] : null
    this.died = new Promise((resolve) => (this.#resolve = resolve))
  }

  /** How it died. */
  kind: Death['kind'] | null = null

  get dead(): boolean {
    return this.remains !== null
  }

  /** Dies now, whatever was planned. */
  die(kind: Death['kind']): SimulatedStorage {
    if (this.remains !== null) return this.remains
    this.atDeath?.()
    this.kind = kind
    this.remains = kind === 'power' ? this.disk.crash() : this.disk.kill()
    this.#resolve()
    return this.remains
  }

  async call<T>(name: string, path: string, act: () => Promise<T>): Promise<T> {
    if (this.dead) return never()
    const hit = this.#count(name, path)
    if (hit === 'before') {
      this.die(this.#death!.kind)
      return never()
    }
    const running = act()
    if (hit === 'during') {
      running.catch(() => undefined)
      this.die(this.#death!.kind)
      return never()
    }
    try {
      return await running
    } finally {
      if (hit === 'after') this.die(this.#death!.kind)
      if (this.dead) await never()
    }
  }

  callSync<T>(name: string, path: string, act: () => T): T {
    if (this.dead) throw new MachineDead()
    const hit = this.#count(name, path)
    if (hit === 'before') {
      this.die(this.#death!.kind)
      throw new MachineDead()
    }
    const result = act()
    if (hit !== null) {
      this.die(this.#death!.kind)
      throw new MachineDead()
    }
    return result
  }

  #count(name: string, path: string): Death['when'] | null {
    this.operations++
    this.trace?.push(`${this.operations} ${name} ${path}`)
    return this.#death !== null && this.operations === this.#death.at ? this.#death.when : null
  }

  open(path: string, mode: OpenMode, options?: OpenOptions): Promise<StorageFile> {
    return this.call(
      `open(${mode})`,
      path,
      async () => new MachineFile(this, await this.disk.open(path, mode, options)),
    )
  }

  list(directory: string): Promise<DirectoryEntry[]> {
    return this.call('list', directory, () => this.disk.list(directory))
  }

  makeDirectory(directory: string): Promise<void> {
    return this.call('makeDirectory', directory, () => this.disk.makeDirectory(directory))
  }

  removeDirectory(directory: string): Promise<void> {
    return this.call('removeDirectory', directory, () => this.disk.removeDirectory(directory))
  }

  rename(from: string, to: string): Promise<void> {
    return this.call('rename', `${from} -> ${to}`, () => this.disk.rename(from, to))
  }

  remove(path: string): Promise<void> {
    return this.call('remove', path, () => this.disk.remove(path))
  }

  syncDirectory(directory: string): Promise<void> {
    return this.call('syncDirectory', directory, () => this.disk.syncDirectory(directory))
  }

  lock(directory: string): Promise<DirectoryLock> {
    return this.call('lock', directory, async () => {
      const lock = await this.disk.lock(directory)
      return { token: lock.token, release: () => this.call('release', directory, () => lock.release()) }
    })
  }

  isHeld(directory: string, token: string): Promise<boolean> {
    return this.dead ? never() : this.disk.isHeld(directory, token)
  }

  probeLock(directory: string): Promise<void> {
    return this.call('probeLock', directory, () => this.disk.probeLock(directory))
  }
}

class MachineFile implements StorageFile {
  readonly path: string
  readonly synced: boolean
  readonly #machine: Machine
  readonly #file: StorageFile

  constructor(machine: Machine, file: StorageFile) {
    this.#machine = machine
    this.#file = file
    this.path = file.path
    this.synced = file.synced
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#machine.call('read', this.path, () => this.#file.read(target, position))
  }

  readSync(target: Uint8Array, position: number): number {
    return this.#machine.callSync('readSync', this.path, () => this.#file.readSync(target, position))
  }

  write(data: Uint8Array, position: number): Promise<void> {
    return this.#machine.call('write', this.path, () => this.#file.write(data, position))
  }

  writeSync(data: Uint8Array, position: number): void {
    this.#machine.callSync('writeSync', this.path, () => this.#file.writeSync(data, position))
  }

  sync(): Promise<void> {
    return this.#machine.call('sync', this.path, () => this.#file.sync())
  }

  syncSync(): void {
    this.#machine.callSync('syncSync', this.path, () => this.#file.syncSync())
  }

  size(): Promise<number> {
    return this.#machine.call('size', this.path, () => this.#file.size())
  }

  truncate(bytes: number): Promise<void> {
    return this.#machine.call('truncate', this.path, () => this.#file.truncate(bytes))
  }

  close(): Promise<void> {
    return this.#machine.call('close', this.path, () => this.#file.close())
  }
}
