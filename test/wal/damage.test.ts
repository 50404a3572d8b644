/** Damage of any kind is refused with its place, or does not matter; never is a commit lost in silence or half there. */
import { describe, expect, it } from 'vitest'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { VarveError } from '../../src/errors.ts'
import { FrameMemory, sealHeaderFrame, seedOf } from '../../src/wal/frame.ts'
import { verifyLog } from '../../src/wal/index.ts'
import { encodeHeader, segmentPath, spareHeader } from '../../src/wal/segment.ts'
import { multiplier, Random } from '../support/random.ts'
import { CONFIG, DATABASE_ID, DIRECTORY, type Manifest, World } from './world.ts'

const SEGMENT_BYTES = 4096

/** What is on a disk, and what its log says. */
interface Image {
  readonly files: Map<string, Uint8Array>
  readonly manifest: Manifest
  readonly written: Map<number, string>
  /** Frames in use, by segment. */
  readonly ends: Map<number, number>
  /** Of the last group with records: its first frame, and the commits before it. */
  readonly lastGroup: number
  readonly beforeLast: number
}

async function freshWorld(config = {}): Promise<World> {
  const storage = new SimulatedStorage({ seed: 5, maxDelayTurns: 0 })
  await storage.makeDirectory(DIRECTORY)
  const world = new World(storage)
  world.config = { ...CONFIG, segmentBytes: SEGMENT_BYTES, idleMarkerMs: 100_000, ...config }
  await world.open()
  return world
}

/** A small log over three segments and a spare, closed or killed; the newest segment holds two groups. */
async function anImage(isClosed: boolean): Promise<Image> {
  const random = new Random('an image')
  const world = await freshWorld()
  const { log } = world
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  let groups = 0
  let last = { sequence: 0, frame: 0 }
  while (log.sealedSegments.length < 2 || groups !== 2) {
    const sealed = log.sealedSegments.length
    const { frame } = log.durableEnd
    const sequence = world.append(random, 200)
    await log.settledAt(sequence)
    while (log.stats().spareSegments === 0) await turn()
    groups = log.sealedSegments.length === sealed ? groups + 1 : log.activeBytes > 0 ? 1 : 0
    last = { sequence, frame }
  }
  const { segment, frame } = log.durableEnd
  const ends = new Map(log.sealedSegments.map(({ number, endFrame }) => [number, endFrame]))
  ends.set(segment, frame)
  if (isClosed) await log.close()
  world.kill()
  const files = new Map(world.storage.files(DIRECTORY).map((path) => [path, world.storage.contents(path)]))
  expect(ends.size).toBe(3)
  expect(files.size).toBe(4)
  const { manifest, written } = world
  return { files, manifest, written, ends, lastGroup: last.frame, beforeLast: last.sequence - 1 }
}

function worldOf(image: Image, change: (storage: SimulatedStorage) => void): World {
  const storage = new SimulatedStorage({ seed: 1, maxDelayTurns: 0 })
  storage.plant(DIRECTORY, 'directory')
  for (const [path, bytes] of image.files) storage.plant(path, bytes)
  change(storage)
  const world = new World(storage)
  world.config = { ...CONFIG, segmentBytes: SEGMENT_BYTES }
  world.manifest = { ...image.manifest }
  for (const [sequence, text] of image.written) world.written.set(sequence, text)
  return world
}

/** Opens a changed image; what is recovered, or the refusal. */
async function recover(image: Image, change: (storage: SimulatedStorage) => void): Promise<number | VarveError> {
  const world = worldOf(image, change)
  const before = new Map(world.storage.files(DIRECTORY).map((path) => [path, world.storage.contents(path)]))
  try {
    const sink = await world.open(true)
    return sink!.last
  } catch (error) {
    if (!(error instanceof VarveError)) throw error
    for (const [path, bytes] of before) expect(Buffer.compare(world.storage.contents(path), bytes)).toBe(0)
    return error
  }
}

function expectRefusal(outcome: number | VarveError, path: string, offset: number | RegExp): void {
  expect(outcome).toBeInstanceOf(VarveError)
  const { code, message } = outcome as VarveError
  expect(code).toBe('CORRUPTION')
  expect(message).toContain(path)
  if (typeof offset === 'number') expect(message).toContain(`byte ${offset}`)
  else expect(message).toMatch(offset)
}

/** Numbers from 0 to `end`, all of them in a long run. */
function sample(end: number, base: number): number[] {
  const step = Math.max(1, Math.round(base / multiplier))
  const first = new Random('sample').int(step)
  return Array.from({ length: Math.ceil((end - first) / step) }, (_, i) => first + i * step)
}

describe('a flipped bit', () => {
  it('is refused with its place wherever the log counts, and harmless elsewhere: closed log', async () => {
    const image = await anImage(true)
    const all = image.written.size
    for (const [path, bytes] of image.files) {
      const segment = Number(path.slice(-10, -4))
      for (const byte of sample(bytes.length, 11)) {
        const frame = Math.floor(byte / 512)
        const outcome = await recover(image, (storage) => storage.flip(path, byte, byte % 8))
        if (frame < (image.ends.get(segment) ?? 0)) expectRefusal(outcome, path, frame * 512)
        else expect(outcome).toBe(all)
      }
    }
  })

  it('loses at most the last group after a kill, which cannot be told from a torn one', async () => {
    const image = await anImage(false)
    const all = image.written.size
    const newest = image.ends.size
    for (const [path, bytes] of image.files) {
      const segment = Number(path.slice(-10, -4))
      for (const byte of sample(bytes.length, 11)) {
        const frame = Math.floor(byte / 512)
        const outcome = await recover(image, (storage) => storage.flip(path, byte, byte % 8))
        if (frame >= (image.ends.get(segment) ?? 0)) expect(outcome).toBe(all)
        else if (segment === newest && frame >= image.lastGroup) expect(outcome).toBe(image.beforeLast)
        else expectRefusal(outcome, path, frame * 512)
      }
    }
  })

  it('is found by verification', async () => {
    const image = await anImage(true)
    const { first, last } = image.manifest
    const log = { databaseId: DATABASE_ID, first, last }
    for (const [path, bytes] of image.files) {
      const end = (image.ends.get(Number(path.slice(-10, -4))) ?? 0) * 512
      // Of a spare nothing counts: a damaged header there may be a start that never finished.
      if (end === 0) continue
      for (const byte of [...sample(end, 97), end - 1]) {
        const { storage } = worldOf(image, (disk) => disk.flip(path, byte, byte % 8))
        const problems = await verifyLog(storage, DIRECTORY, log, null)
        expect(problems.map(({ file }) => file)).toContain(path)
        expect(problems[0]!.offset).toBeLessThanOrEqual(bytes.length)
      }
    }
    expect(await verifyLog(worldOf(image, () => {}).storage, DIRECTORY, log, null)).toEqual([])
    // A start that never finished is none.
    const torn = worldOf(image, (disk) => disk.flip(segmentPath(DIRECTORY, image.ends.size + 1), 40, 1))
    expect(await verifyLog(torn.storage, DIRECTORY, log, null)).toEqual([])
  })
})

describe('a file that was cut', () => {
  it('is refused at any length', async () => {
    for (const isClosed of [true, false]) {
      const image = await anImage(isClosed)
      for (const [path, bytes] of image.files) {
        for (const length of [0, 1, 511, 512, 513, ...sample(bytes.length, 61), bytes.length - 1]) {
          const outcome = await recover(image, (storage) => storage.plant(path, bytes.subarray(0, length)))
          expectRefusal(outcome, path, length)
        }
      }
    }
  })

  it('may be longer than it was', async () => {
    const image = await anImage(true)
    for (const [path, bytes] of image.files) {
      for (const tail of [new Uint8Array(700), new Uint8Array(700).fill(0xff)]) {
        const longer = new Uint8Array(Buffer.concat([bytes, tail]))
        expect(await recover(image, (storage) => storage.plant(path, longer))).toBe(image.written.size)
      }
    }
  })
})

describe('files in disorder', () => {
  const path = (segment: number): string => segmentPath(DIRECTORY, segment)
  const bytesOf = (image: Image, segment: number): Uint8Array => image.files.get(path(segment))!

  it('are refused: missing', async () => {
    const image = await anImage(true)
    for (const name of image.files.keys()) {
      expectRefusal(await recover(image, (storage) => storage.erase(name)), name, /missing/)
    }
  })

  it('are refused: empty, or all zeros', async () => {
    const image = await anImage(true)
    for (const name of image.files.keys()) {
      expectRefusal(await recover(image, (storage) => storage.plant(name, new Uint8Array(0))), name, 0)
    }
    for (let segment = 1; segment < image.ends.size; segment++) {
      const zeros = new Uint8Array(SEGMENT_BYTES)
      expectRefusal(await recover(image, (storage) => storage.plant(path(segment), zeros)), path(segment), 0)
    }
  })

  it('are refused: swapped, duplicated, renamed', async () => {
    const image = await anImage(true)
    const count = image.files.size
    for (let a = 1; a <= count; a++) {
      for (let b = 1; b <= count; b++) {
        if (a === b) continue
        const duplicated = await recover(image, (storage) => storage.plant(path(a), bytesOf(image, b)))
        expectRefusal(duplicated, path(a), /segment/)
        const swapped = await recover(image, (storage) => {
          storage.plant(path(a), bytesOf(image, b))
          storage.plant(path(b), bytesOf(image, a))
        })
        expectRefusal(swapped, path(Math.min(a, b)), /segment/)
      }
      const renamed = await recover(image, (storage) => {
        storage.erase(path(a))
        storage.plant(path(99), bytesOf(image, a))
      })
      expectRefusal(renamed, path(a), /missing/)
    }
  })

  it('are refused: a started segment that is not listed, under its own name or another', async () => {
    const image = await anImage(true)
    const header = { ...spareHeader(9, SEGMENT_BYTES), started: true, epoch: 1 }
    const started = new Uint8Array(SEGMENT_BYTES)
    started.set(encodeHeader(header, DATABASE_ID, seedOf(DATABASE_ID)))
    expectRefusal(await recover(image, (storage) => storage.plant(path(9), started)), path(9), /not listed/)
    expectRefusal(await recover(image, (storage) => storage.plant(path(10), started)), path(10), /segment 9/)
    expectRefusal(await recover(image, (storage) => storage.plant(path(10), 'directory')), path(10), /regular file/)
    expectRefusal(await recover(image, (storage) => storage.plant(path(10), 'other')), path(10), /regular file/)
  })

  it('are removed: left over, not listed and never started', async () => {
    const image = await anImage(true)
    for (const bytes of [new Uint8Array(0), new Uint8Array(100).fill(7), new Uint8Array(4096)]) {
      const world = worldOf(image, (storage) => storage.plant(path(77), bytes))
      await world.open(true)
      expect(world.storage.files(DIRECTORY)).toContain(path(77))
      expect((await world.open())!.last).toBe(image.written.size)
      expect(world.storage.files(DIRECTORY)).not.toContain(path(77))
      await world.log.close()
    }
  })

  it('are refused: of another database with the same numbers', async () => {
    const image = await anImage(true)
    const otherId = DATABASE_ID.map((byte) => byte ^ 0x55)
    for (const started of [true, false]) {
      for (let segment = 1; segment <= image.files.size; segment++) {
        const other = bytesOf(image, segment).slice()
        other.set(encodeHeader({ ...spareHeader(segment, SEGMENT_BYTES), started, epoch: 1 }, otherId, seedOf(otherId)))
        const outcome = await recover(image, (storage) => storage.plant(path(segment), other))
        expectRefusal(outcome, path(segment), /another database/)
      }
    }
  })

  it('are refused: of a newer format', async () => {
    const image = await anImage(true)
    for (let segment = 1; segment <= image.files.size; segment++) {
      const newer = bytesOf(image, segment).slice()
      const memory = new FrameMemory(512)
      memory.bytes.set(newer.subarray(0, 512))
      memory.view.setUint16(40, 2, true)
      const seed = seedOf(DATABASE_ID)
      sealHeaderFrame(memory, 64, { seed, segment, epoch: 1, frame: 0, syncedSegment: 0, syncedFrame: 0 })
      newer.set(memory.bytes)
      const outcome = await recover(image, (storage) => storage.plant(path(segment), newer))
      expectRefusal(outcome, path(segment), /version 2/)
    }
  })

  it('are refused: an older state of a segment that has a successor', async () => {
    const image = await anImage(true)
    for (let segment = 1; segment < image.ends.size; segment++) {
      const older = bytesOf(image, segment).slice()
      older.fill(0, (image.ends.get(segment)! - 1) * 512)
      const outcome = await recover(image, (storage) => storage.plant(path(segment), older))
      expectRefusal(outcome, path(segment), (image.ends.get(segment)! - 1) * 512)
    }
  })

  it('are refused: the header of a spare over a segment that was started', async () => {
    const image = await anImage(true)
    const newest = image.ends.size
    const spare = bytesOf(image, newest).slice()
    spare.set(encodeHeader(spareHeader(newest, spare.length), DATABASE_ID, seedOf(DATABASE_ID)))
    const outcome = await recover(image, (storage) => storage.plant(path(newest), spare))
    expectRefusal(outcome, path(newest), /written behind it/)
  })

  it('are kept: a segment whose only group is torn is not started again', async () => {
    const world = await freshWorld()
    const { log } = world
    await log.settledAt(world.append(new Random(1), 100))
    await log.rotate()
    log.begin(1)
    log.put(1, 'k', new Uint8Array(1000), 1)
    log.end(2)
    await log.settledAt(2)
    world.kill()
    const torn = world.storage.contents(path(2))
    torn.fill(0, 1024, 2048)
    world.storage.plant(path(2), torn)
    world.handedOver = 0
    world.promised = 1
    expect((await world.open())!.last).toBe(1)
    expect(Buffer.compare(world.storage.contents(path(2)), torn)).toBe(0)
    expect(world.log.sealedSegments.map(({ number, endFrame }) => [number, endFrame])).toContainEqual([2, 1])
    await world.log.close()
  })

  it('are refused: the runs are behind the log, or ahead of it', async () => {
    const image = await anImage(true)
    const behind = { ...image, manifest: { ...image.manifest, first: 2 } }
    expectRefusal(await recover(behind, () => {}), path(2), /begins behind commit/)
    const ahead = { ...image, manifest: { ...image.manifest, sequence: 1000 } }
    expectRefusal(await recover(ahead, () => {}), path(image.ends.size), /ends at commit/)
  })

  it('are refused: written in a session that has not come yet', async () => {
    const image = await anImage(true)
    const early = { ...image, manifest: { ...image.manifest, epoch: -1 } }
    expectRefusal(await recover(early, () => {}), path(1), /epoch/)
  })
})

describe('payload', () => {
  it('never poses as a frame, wherever it stands and whatever is torn before it', async () => {
    const random = new Random('payload')
    for (let shift = 0; shift < 512; shift += 8) {
      const world = await freshWorld({ segmentBytes: 16_384 })
      await world.log.settledAt(world.append(random))
      const early = world.storage.contents(segmentPath(DIRECTORY, 1))
      const { log } = world
      const frame = log.durableEnd.frame
      log.begin(0)
      const value = new Uint8Array(4096)
      for (let at = shift; at + 1024 <= value.length; at += 512) value.set(early.subarray(512, 1024), at)
      log.put(1, 'k', value, 1)
      log.end(2)
      await log.settledAt(2)
      const { manifest } = world
      world.kill()
      const { storage } = world
      const bytes = storage.contents(segmentPath(DIRECTORY, 1))
      bytes.fill(0, frame * 512, (frame + 1) * 512)
      storage.plant(segmentPath(DIRECTORY, 1), bytes)
      const after = new World(storage)
      after.manifest = manifest
      after.written.set(1, world.written.get(1)!)
      expect((await after.open(true))!.last).toBe(1)
    }
  })
})
