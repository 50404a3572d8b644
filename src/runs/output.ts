/**
 * A file that is written from front to back in large pieces: one piece is filled while the one before is on its way.
 *
 * O1  Bytes reach the file in the order in which they were appended, in writes of about 512 KiB (one longer append is one
 *     longer write); at most one write is in flight.
 * O2  After a failed write every later call fails with its error.
 *
 * Two pieces of memory, whatever the length of the file.
 */
import type { StorageFile } from '../storage/storage.ts'

const PIECE_BYTES: number = 512 * 1024

export class SequentialOutput {
  /** Bytes appended so far, which is where the next ones will lie in the file. */
  position = 0

  readonly #file: StorageFile
  #piece: Uint8Array = new Uint8Array(PIECE_BYTES)
  #used = 0
  #spare: Uint8Array = new Uint8Array(PIECE_BYTES)
  #written = 0
  #inFlight: Promise<void> | null = null
  #failure: { readonly error: unknown } | null = null

  constructor(file: StorageFile) {
    this.#file = file
  }

  /**
   * Appends bytes. If a promise is returned, they must not change and nothing may be appended until it has settled; otherwise they
   * have been copied.
   */
  append(bytes: Uint8Array): void | Promise<void> {
    if (this.#failure !== null) throw this.#failure.error
    if (this.#used + bytes.length <= PIECE_BYTES) {
      this.#copy(bytes)
      return
    }
    if (this.#inFlight !== null || bytes.length > PIECE_BYTES) return this.#appendLater(bytes)
    this.#send()
    this.#copy(bytes)
  }

  /** Resolves once everything that was appended has been written (not synced). */
  async drain(): Promise<void> {
    await this.#idle()
    if (this.#used > 0) this.#send()
    await this.#idle()
  }

  /** Resolves once no write is in flight, failed or not. */
  async settle(): Promise<void> {
    await this.#inFlight
  }

  async #appendLater(bytes: Uint8Array): Promise<void> {
    await this.#idle()
    if (this.#used > 0) this.#send()
    if (bytes.length <= PIECE_BYTES) {
      this.#copy(bytes)
      return
    }
    await this.#idle()
    this.position += bytes.length
    this.#start(bytes)
    await this.#idle()
  }

  #copy(bytes: Uint8Array): void {
    this.#piece.set(bytes, this.#used)
    this.#used += bytes.length
    this.position += bytes.length
  }

  /** Starts writing what was gathered. Nothing may be in flight. */
  #send(): void {
    const full = this.#piece
    this.#start(full.subarray(0, this.#used))
    this.#piece = this.#spare
    this.#spare = full
    this.#used = 0
  }

  #start(bytes: Uint8Array): void {
    const at = this.#written
    this.#written += bytes.length
    this.#inFlight = this.#file.write(bytes, at).then(
      () => {
        this.#inFlight = null
      },
      (error: unknown) => {
        this.#inFlight = null
        this.#failure ??= { error }
      },
    )
  }

  async #idle(): Promise<void> {
    await this.#inFlight
    if (this.#failure !== null) throw this.#failure.error
  }
}
