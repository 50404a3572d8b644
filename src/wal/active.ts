/**
 * The segment that is being written: where the next group goes, how far it is durable, and groups made into frames for it.
 *
 * I1  Everything before `syncedFrame` is durable; each frame made says so as of its making.
 * I2  Frames are handed out once, in order.
 */

import type { StorageFile } from '../storage/storage.ts'
import { FRAME_BYTES, sealFrames } from './frame.ts'
import type { TakenSegment } from './pool.ts'
import type { RecordBuffer } from './record.ts'

/** A group as it goes to the file. */
export interface SealedGroup {
  readonly bytes: Uint8Array
  readonly position: number
  readonly endFrame: number
}

export class ActiveSegment {
  readonly number: number
  readonly file: StorageFile
  readonly fileBytes: number
  readonly epoch: number
  /** Where the next group goes. */
  next: number
  syncedFrame: number
  /** What the last frame said was durable, and where the last group with records ends. */
  #promisedFrame: number
  #contentFrame: number

  /** Everything before `next` is durable. */
  constructor({ number, file, fileBytes }: TakenSegment, epoch: number, next: number) {
    this.number = number
    this.file = file
    this.fileBytes = fileBytes
    this.epoch = epoch
    this.next = next
    this.syncedFrame = next
    this.#promisedFrame = 0
    this.#contentFrame = next > 1 ? next : 0
  }

  get isEmpty(): boolean {
    return this.next === 1
  }

  /** Room is left for a marker behind it. */
  fits(frames: number): boolean {
    return this.next + frames < this.fileBytes / FRAME_BYTES
  }

  get isSynced(): boolean {
    return this.syncedFrame === this.next
  }

  /** The last group cannot be told from a torn one, for no frame behind it says that it was durable; and one fits. */
  get needsMarker(): boolean {
    return this.#contentFrame > this.#promisedFrame && this.next < this.fileBytes / FRAME_BYTES
  }

  /** Makes frames of the records, in their memory. */
  seal(records: RecordBuffer, seed: number, flags: number): SealedGroup {
    const { number: segment, next: frame, syncedFrame, epoch } = this
    const place = { seed, segment, epoch, frame, syncedSegment: segment, syncedFrame }
    const frames = sealFrames(records.memory, records.payloadBytes, place, flags)
    const bytes = records.memory.bytes.subarray(0, frames * FRAME_BYTES)
    this.next = frame + frames
    this.#promisedFrame = syncedFrame
    if (records.payloadBytes > 0) this.#contentFrame = this.next
    return { bytes, position: frame * FRAME_BYTES, endFrame: this.next }
  }
}
