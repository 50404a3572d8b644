/**
 * The directory of a maplet: which segment holds the hashes that begin with given bits (extendible hashing: Fagin,
 * Nievergelt, Pippenger, Strong 1979). Segments differ in depth; one of depth d stands in 2^(D - d) adjacent places of
 * a directory of 2^D.
 *
 * The functions here change a directory in place. Lookups index `segments` themselves.
 *
 * I1  There are 2^(32 - shift) places, at least 2 and at most 2^16.
 * I2  A segment of depth d stands in all places whose upper d bits are its own, and nowhere else.
 */
import type { Segment } from './segment.ts'

/** Depth beyond which nothing is split: 32 hash bits are there to choose the segment and to tell its entries apart. */
export const MAX_DEPTH = 16

export interface Directory {
  /** One place for each value of the uppermost bits of a hash. */
  segments: Segment[]
  /** What a hash is shifted right by to give a place. At most 31, since a shift by 32 is none. */
  shift: number
}

/** Both places of a new directory hold one segment of depth 0. */
export function resetDirectory(directory: Directory, segment: Segment): void {
  directory.segments = [segment, segment]
  directory.shift = 31
}

/** First place of the segment in place `at`. */
function firstPlace(directory: Directory, at: number): number {
  const { depth } = directory.segments[at] as Segment
  const span = 1 << (32 - directory.shift - depth)
  return at & -span
}

/** Puts a segment in its places, of which `at` is one: in place of another of its depth, or of the two it was joined from. */
export function putSegment(directory: Directory, at: number, segment: Segment): void {
  const span = 1 << (32 - directory.shift - segment.depth)
  const first = at & -span
  for (let i = 0; i < span; i++) directory.segments[first + i] = segment
}

/** Puts two halves in the places of the segment that they replace, which there must be at least two of. */
export function putHalves(directory: Directory, at: number, zeros: Segment, ones: Segment): void {
  const first = firstPlace(directory, at)
  const half = 1 << (32 - directory.shift - zeros.depth)
  for (let i = 0; i < half; i++) {
    directory.segments[first + i] = zeros
    directory.segments[first + half + i] = ones
  }
}

/** Twice as many places. */
export function doubleDirectory(directory: Directory): void {
  const segments: Segment[] = []
  for (const segment of directory.segments) segments.push(segment, segment)
  directory.segments = segments
  directory.shift--
}

/** Half as many places, as often as no segment needs all of them. */
export function trimDirectory(directory: Directory): void {
  let deepest = 1
  for (const { depth } of directory.segments) deepest = Math.max(deepest, depth)
  for (let surplus = 32 - directory.shift - deepest; surplus > 0; surplus--) {
    directory.segments = directory.segments.filter((_, at) => at % 2 === 0)
    directory.shift++
  }
}

/** First place of the segment whose hashes differ in their last common bit, or -1 if that is split further. */
export function siblingPlace(directory: Directory, at: number): number {
  const { depth } = directory.segments[at] as Segment
  if (depth === 0) return -1
  const sibling = firstPlace(directory, at) ^ (1 << (32 - directory.shift - depth))
  return (directory.segments[sibling] as Segment).depth === depth ? sibling : -1
}

/** First place of each segment, in order of hash. */
export function places(directory: Directory): number[] {
  const result: number[] = []
  for (let at = 0; at < directory.segments.length;) {
    result.push(at)
    at += 1 << (32 - directory.shift - (directory.segments[at] as Segment).depth)
  }
  return result
}

export function checkDirectory(directory: Directory): void {
  const { segments, shift } = directory
  if (segments.length !== 2 ** (32 - shift)) throw new Error(`directory I1: ${segments.length} places, shift ${shift}`)
  for (const at of places(directory)) {
    const segment = segments[at] as Segment
    const span = 1 << (32 - shift - segment.depth)
    for (let i = at; i < at + span; i++) {
      if (segments[i] !== segment) throw new Error(`directory I2: place ${i} is not that of the segment at ${at}`)
    }
    if (segments.indexOf(segment) !== at) throw new Error(`directory I2: the segment at ${at} stands elsewhere too`)
  }
}
