/**
 * Frames: what a segment of the log is made of. All numbers little endian.
 *
 *   offset  bytes
 *        0  4    CRC-32 of bytes 4 to 512, seeded with that of the database id
 *        4  4    number of the segment
 *        8  4    number of the frame: it stands at 512 times that
 *       12  4    epoch: that of the session that wrote the segment
 *       16  1    flags: 1 first of a group, 2 last of a group, 4 header of the segment, 8 the log was closed here
 *       17  1    0
 *       18  2    bytes of payload in use
 *       20  4    segment and
 *       24  4    frame of the promise: everything before that place was durable when this was written
 *       28  4    0
 *       32  480  payload; what is not in use is 0
 *
 * A group is what is written in one go: whole frames, in one segment, full but for the last. Its payload is that of its
 * frames, one after the other: records, from record.ts.
 *
 * I1  A frame is valid only at its place: the checksum covers segment, frame and epoch, and is seeded with the database.
 *     So neither what a recycled file held before, nor a copy in the wrong place, nor another database's passes for it.
 * I2  Frames stand at multiples of 512 only, and payload never does: nothing that is stored can pose as a frame.
 * I3  A frame is never changed; the same bytes may be written again at the same place.
 *
 * Cost: 32 bytes in 512; one CRC and one move of 480 bytes per frame. A sector of a disk is at least as large as a frame
 * and starts at one, so a torn write leaves each frame old or new.
 */

import { crc32 } from 'node:zlib'

export const FRAME_BYTES = 512
export const FRAME_HEADER_BYTES = 32
export const PAYLOAD_BYTES: number = FRAME_BYTES - FRAME_HEADER_BYTES

export const FIRST_OF_GROUP = 1
export const LAST_OF_GROUP = 2
export const SEGMENT_HEADER = 4
export const CLOSED = 8
const KNOWN_FLAGS = FIRST_OF_GROUP | LAST_OF_GROUP | SEGMENT_HEADER | CLOSED

/** What is the same in every frame of a group, and where its first one goes. */
export interface FramePlace {
  readonly seed: number
  readonly segment: number
  readonly epoch: number
  readonly frame: number
  /** The promise. */
  readonly syncedSegment: number
  readonly syncedFrame: number
}

/** Frames in memory, with views of what each checksum covers, made once where the memory is used again and again. */
export class FrameMemory {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly #covered: Uint8Array[]

  constructor(bytes: number) {
    this.bytes = new Uint8Array(bytes)
    this.view = new DataView(this.bytes.buffer)
    this.#covered = []
  }

  /** The checksum that the frame with this index should have. */
  checksum(index: number, seed: number): number {
    const views = this.#covered
    if (index < views.length) return crc32(views[index] as Uint8Array, seed)
    const covered = this.bytes.subarray(index * FRAME_BYTES + 4, (index + 1) * FRAME_BYTES)
    if (index === views.length && index < CACHED_VIEWS) views.push(covered)
    return crc32(covered, seed)
  }
}

/** Enough for the memory that is kept; larger pieces are used once. */
const CACHED_VIEWS = 4096

/** What the checksums of a database start from. */
export function seedOf(databaseId: Uint8Array): number {
  return crc32(databaseId)
}

/** How many frames a payload takes; a marker has none and takes one. */
export function framesFor(payloadBytes: number): number {
  return payloadBytes <= PAYLOAD_BYTES ? 1 : Math.ceil(payloadBytes / PAYLOAD_BYTES)
}

/**
 * Makes frames of a payload that stands in one piece behind the room of the first frame's header, in place, and returns
 * how many there are. The memory must be as long as they are.
 */
export function sealFrames(memory: FrameMemory, payloadBytes: number, place: FramePlace, flags: number): number {
  const { bytes, view } = memory
  const frames = framesFor(payloadBytes)
  const last = frames - 1
  const used = payloadBytes - last * PAYLOAD_BYTES
  // Back to front: what a frame gives way to has been moved before.
  for (let i = last; i > 0; i--) {
    const from = FRAME_HEADER_BYTES + i * PAYLOAD_BYTES
    bytes.copyWithin(i * FRAME_BYTES + FRAME_HEADER_BYTES, from, from + (i === last ? used : PAYLOAD_BYTES))
  }
  bytes.fill(0, last * FRAME_BYTES + FRAME_HEADER_BYTES + used, frames * FRAME_BYTES)
  for (let i = 0; i < frames; i++) {
    const at = i * FRAME_BYTES
    let frameFlags = flags
    if (i === 0) frameFlags |= FIRST_OF_GROUP
    if (i === last) frameFlags |= LAST_OF_GROUP
    sealFrame(memory, i, place.frame + i, place, frameFlags, i === last ? used : PAYLOAD_BYTES)
    view.setUint32(at, memory.checksum(i, place.seed), true)
  }
  return frames
}

function sealFrame(
  memory: FrameMemory,
  index: number,
  frame: number,
  place: FramePlace,
  flags: number,
  used: number,
): void {
  const { view } = memory
  const at = index * FRAME_BYTES
  view.setUint32(at + 4, place.segment, true)
  view.setUint32(at + 8, frame, true)
  view.setUint32(at + 12, place.epoch, true)
  view.setUint32(at + 16, flags | (used << 16), true)
  view.setUint32(at + 20, place.syncedSegment, true)
  view.setUint32(at + 24, place.syncedFrame, true)
  view.setUint32(at + 28, 0, true)
}

/** Makes the header frame of a segment of a payload that stands in its place. */
export function sealHeaderFrame(memory: FrameMemory, usedBytes: number, place: FramePlace): void {
  memory.bytes.fill(0, FRAME_HEADER_BYTES + usedBytes, FRAME_BYTES)
  sealFrame(memory, 0, 0, place, SEGMENT_HEADER, usedBytes)
  memory.view.setUint32(0, memory.checksum(0, place.seed), true)
}

/** Whether the frame at `index` of the memory is the one with number `frame` of this segment. */
export function isFrame(
  memory: FrameMemory,
  index: number,
  seed: number,
  segment: number,
  frame: number,
  epoch: number,
): boolean {
  const { view } = memory
  const at = index * FRAME_BYTES
  return (
    view.getUint32(at + 4, true) === segment &&
    view.getUint32(at + 8, true) === frame &&
    view.getUint32(at + 12, true) === epoch &&
    view.getUint32(at, true) === memory.checksum(index, seed)
  )
}

/** As {@link isFrame}, in whichever session it was written. */
export function isFrameOfAnyEpoch(
  memory: FrameMemory,
  index: number,
  seed: number,
  segment: number,
  frame: number,
): boolean {
  return isFrame(memory, index, seed, segment, frame, memory.view.getUint32(index * FRAME_BYTES + 12, true))
}

/** What a valid frame says of itself besides its payload. */
export function flagsOf(memory: FrameMemory, index: number): number {
  return memory.bytes[index * FRAME_BYTES + 16] as number
}

export function usedBytesOf(memory: FrameMemory, index: number): number {
  return memory.view.getUint16(index * FRAME_BYTES + 18, true)
}

/** The frame up to which segment `segment` was durable when this frame was written; 0 if that is not said. */
export function promiseOf(memory: FrameMemory, index: number, segment: number): number {
  const at = index * FRAME_BYTES
  return memory.view.getUint32(at + 20, true) === segment ? memory.view.getUint32(at + 24, true) : 0
}

/** Whether a valid frame uses nothing that this version does not know. */
export function isKnown(memory: FrameMemory, index: number): boolean {
  const at = index * FRAME_BYTES
  return (
    ((memory.bytes[at + 16] as number) & ~KNOWN_FLAGS) === 0 &&
    memory.bytes[at + 17] === 0 &&
    memory.view.getUint32(at + 28, true) === 0 &&
    usedBytesOf(memory, index) <= PAYLOAD_BYTES
  )
}
