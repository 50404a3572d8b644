/** Frames: their bytes, and that a frame is valid only at its place (I1 to I3 of frame.ts). */
import { crc32 } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import {
  CLOSED,
  FIRST_OF_GROUP,
  FRAME_BYTES,
  FrameMemory,
  flagsOf,
  framesFor,
  isFrame,
  isKnown,
  LAST_OF_GROUP,
  PAYLOAD_BYTES,
  promiseOf,
  sealFrames,
  seedOf,
  usedBytesOf,
} from '../../src/wal/frame.ts'

const seed = seedOf(Uint8Array.from({ length: 16 }, (_, i) => i))
const place = { seed, segment: 0xfedcba98, epoch: 7, frame: 1000, syncedSegment: 0xfedcba98, syncedFrame: 999 }

function sealed(payload: Uint8Array, flags = 0): { memory: FrameMemory; frames: number } {
  const memory = new FrameMemory(framesFor(payload.length) * FRAME_BYTES)
  memory.bytes.fill(0xee)
  memory.bytes.set(payload, 32)
  return { memory, frames: sealFrames(memory, payload.length, place, flags) }
}

function payloadOf(memory: FrameMemory, frames: number): Uint8Array {
  const parts = Array.from({ length: frames }, (_, i) =>
    memory.bytes.subarray(i * FRAME_BYTES + 32, i * FRAME_BYTES + 32 + usedBytesOf(memory, i)),
  )
  return new Uint8Array(Buffer.concat(parts))
}

describe('frames', () => {
  it('have the bytes that the format says', () => {
    const { memory, frames } = sealed(Uint8Array.of(1, 2, 3), CLOSED)
    const { view, bytes } = memory
    expect(frames).toBe(1)
    expect(view.getUint32(0, true)).toBe(crc32(bytes.subarray(4, 512), seed))
    expect(view.getUint32(4, true)).toBe(0xfedcba98)
    expect(view.getUint32(8, true)).toBe(1000)
    expect(view.getUint32(12, true)).toBe(7)
    expect(bytes[16]).toBe(FIRST_OF_GROUP | LAST_OF_GROUP | CLOSED)
    expect(bytes[17]).toBe(0)
    expect(view.getUint16(18, true)).toBe(3)
    expect(view.getUint32(20, true)).toBe(0xfedcba98)
    expect(view.getUint32(24, true)).toBe(999)
    expect(view.getUint32(28, true)).toBe(0)
    expect([...bytes.subarray(32)]).toEqual([1, 2, 3, ...new Array<number>(477).fill(0)])
  })

  it.each([0, 1, 479, 480, 481, 960, 961, 5000, 40_000])('hold a payload of %i bytes', (length) => {
    const payload = Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff)
    const { memory, frames } = sealed(payload)
    expect(frames).toBe(Math.max(1, Math.ceil(length / PAYLOAD_BYTES)))
    expect(payloadOf(memory, frames)).toEqual(payload)
    for (let i = 0; i < frames; i++) {
      expect(isFrame(memory, i, seed, place.segment, 1000 + i, 7) && isKnown(memory, i)).toBe(true)
      const flags = (i === 0 ? FIRST_OF_GROUP : 0) | (i === frames - 1 ? LAST_OF_GROUP : 0)
      expect(flagsOf(memory, i)).toBe(flags)
      expect(promiseOf(memory, i, place.segment)).toBe(999)
      expect(promiseOf(memory, i, place.segment - 1)).toBe(0)
    }
  })

  it('are valid at their place only (I1)', () => {
    const { memory } = sealed(Uint8Array.of(1, 2, 3))
    expect(isFrame(memory, 0, seed, place.segment, 1000, 7)).toBe(true)
    expect(isFrame(memory, 0, seed, place.segment - 1, 1000, 7)).toBe(false)
    expect(isFrame(memory, 0, seed, place.segment, 1001, 7)).toBe(false)
    expect(isFrame(memory, 0, seed, place.segment, 1000, 8)).toBe(false)
    expect(isFrame(memory, 0, (seed ^ 1) >>> 0, place.segment, 1000, 7)).toBe(false)
  })

  it('are invalid with any bit changed', () => {
    const { memory } = sealed(Uint8Array.of(1, 2, 3))
    for (let bit = 0; bit < 8 * FRAME_BYTES; bit++) {
      memory.bytes[bit >> 3]! ^= 1 << (bit & 7)
      expect(isFrame(memory, 0, seed, place.segment, 1000, 7)).toBe(false)
      memory.bytes[bit >> 3]! ^= 1 << (bit & 7)
    }
    expect(isFrame(memory, 0, seed, place.segment, 1000, 7)).toBe(true)
  })

  it('are not zeros', () => {
    const memory = new FrameMemory(FRAME_BYTES)
    expect(isFrame(memory, 0, seed, 0, 0, 0)).toBe(false)
  })
})
