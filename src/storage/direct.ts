/**
 * Writes of a synced file that pass the page cache by (`O_DIRECT`): one command to the device that is durable when it
 * returns, where a write by way of the cache is the same and the writing back of its pages.
 *
 * The device takes whole sectors at places that are multiples of them, from memory that is aligned as it asks. What does not
 * fit goes by way of the cache; so does everything once the system has refused one such write, or a second descriptor. A
 * refusal (`EINVAL`) comes before anything is written. Both ways may be taken of one file, one after the other: the kernel
 * keeps the cache and the device the same.
 *
 * Linux alone: the descriptor is opened by way of /proc, which gives the very file that is open, whatever its name is by now.
 */
import { type Done, MAX_STANDARD_FD, type NodeSystem } from './node-calls.ts'

const SECTOR_BYTES = 512

/** Longest write: what is to be written is copied into aligned memory first. */
const MAX_BYTES = 64 << 10

/** What cannot be had, or not any more, is not tried again. */
type State = 'unopened' | 'opening' | 'open' | 'refused'

export class DirectWriter {
  readonly #system: NodeSystem
  readonly #fd: number
  #state: State
  #directFd = -1
  #memory: Uint8Array | undefined
  #isWriting = false

  /** @param fd a synced file, open for writing, that stays open until `close` has returned */
  constructor(system: NodeSystem, fd: number) {
    this.#system = system
    this.#fd = fd
    const { O_DIRECT } = system.calls.constants
    this.#state = system.platform === 'linux' && O_DIRECT !== undefined ? 'unopened' : 'refused'
  }

  /** Whether `write` can have these bytes. The first that it could have starts the opening, and is not waited for. */
  takes(bytes: Uint8Array, position: number): boolean {
    if (this.#state === 'refused') return false
    if (bytes.length > MAX_BYTES || bytes.length % SECTOR_BYTES !== 0 || position % SECTOR_BYTES !== 0) return false
    if (this.#state === 'unopened') this.#open()
    return this.#state === 'open' && !this.#isWriting
  }

  write(bytes: Uint8Array, position: number, done: Done<number>): void {
    const memory = (this.#memory ??= alignedMemory())
    memory.set(bytes)
    this.#isWriting = true
    this.#system.calls.write(this.#directFd, memory, 0, bytes.length, position, (error, count) => {
      this.#isWriting = false
      done(error, count)
    })
  }

  /** The system has refused a write. */
  refuse(): void {
    this.#state = 'refused'
  }

  /** No call is under way or made after. */
  close(): void {
    this.#state = 'refused'
    if (this.#directFd >= 0) this.#system.calls.close(this.#directFd, nothing)
    this.#directFd = -1
  }

  #open(): void {
    this.#state = 'opening'
    const { calls } = this.#system
    const { O_RDWR, O_DSYNC, O_DIRECT } = calls.constants
    calls.open(`/proc/self/fd/${this.#fd}`, O_RDWR | O_DSYNC | O_DIRECT, (error, fd) => {
      // A number of standard output is nothing to keep a log at.
      const isWanted = this.#state === 'opening' && fd > MAX_STANDARD_FD
      this.#state = error === null && isWanted ? 'open' : 'refused'
      if (error !== null) return
      if (isWanted) this.#directFd = fd
      else calls.close(fd, nothing)
    })
  }
}

/** V8 takes the memory of buffers that can be resized in whole pages. If it were otherwise, the first write would be refused. */
function alignedMemory(): Uint8Array {
  return new Uint8Array(new ArrayBuffer(MAX_BYTES, { maxByteLength: MAX_BYTES }))
}

function nothing(): void {}
