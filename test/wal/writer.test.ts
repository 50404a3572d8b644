/** The writer: groups, settling, markers, and settling without waiting (I1 to I6 of writer.ts). */
import { describe, expect, it } from 'vitest'
import { VarveError } from '../../src/errors.ts'
import { SimulatedStorage, type SimulationOptions } from '../../src/storage/simulated.ts'
import { type LogConfig, readSegments } from '../../src/wal/index.ts'
import { segmentPath } from '../../src/wal/segment.ts'
import { Random } from '../support/random.ts'
import { Collector, CONFIG, DATABASE_ID, DIRECTORY, World } from './world.ts'

async function openWorld(config: Partial<LogConfig> = {}, options: SimulationOptions = {}): Promise<World> {
  const storage = new SimulatedStorage({ seed: 3, maxDelayTurns: 1, ...options })
  await storage.makeDirectory(DIRECTORY)
  const world = new World(storage)
  world.config = { ...CONFIG, segmentBytes: 64 << 10, idleMarkerMs: 100_000, ...config }
  await world.open()
  return world
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const random = new Random('writer')

/** Writes to segments since call `from`, as `segment@position+bytes`. */
function writes(world: World, from = 0): string[] {
  return world.storage.log
    .filter(({ name, number }) => name === 'write' && number > from)
    .map(({ path, position, bytes }) => `${Number(path.slice(-10, -4))}@${position}+${bytes}`)
}

function isPending(promise: Promise<unknown> | null): Promise<boolean> {
  return Promise.race([Promise.resolve(promise).then(() => false), turn().then(() => true)])
}

function poisonedBy(errno: string): unknown {
  return expect.objectContaining({
    code: 'POISONED',
    retryable: false,
    message: expect.stringContaining('unknown until the database is reopened'),
    cause: expect.objectContaining({ code: 'IO', message: expect.stringContaining(errno) }),
  })
}

/** The disk after a power failure that leaves nothing that was not synced, opened. */
async function afterCrash(world: World): Promise<Collector> {
  world.session = null
  world.storage = world.storage.crash({ survival: 'none', seed: 1 })
  const sink = await world.open(true)
  return sink!
}

describe('a group', () => {
  it('is what was gathered in one turn, and starts its write in that turn', async () => {
    const world = await openWorld()
    const { log, storage } = world
    const before = storage.operations
    const one = log.settledAt(world.append(random, 50))
    const two = log.settledAt(world.append(random, 50))
    await Promise.resolve()
    const three = log.settledAt(world.append(random, 50))
    expect(one).toBe(two)
    expect(one).toBe(three)
    await new Promise<void>((resolve) => process.nextTick(resolve))
    expect(writes(world, before)).toHaveLength(1)
    expect(log.settled).toBe(0)
    await one
    expect(log.settled).toBe(3)
    expect(log.settledAt(3)).toBeNull()
    expect(log.stats()).toMatchObject({ groups: 1, commits: 3 })
  })

  it('is durable when it settles, all at once and in order (I1)', async () => {
    for (const synced of [true, false]) {
      const world = await openWorld({}, { synced })
      const settled: number[] = []
      for (let i = 0; i < 20; i++) {
        const sequence = world.append(random)
        void world.log.settledAt(sequence)!.then(() => settled.push(sequence))
        if (i % 3 === 0) await turn()
      }
      await world.log.settledAt(15)
      world.promised = Math.max(...settled)
      expect(world.promised).toBeGreaterThanOrEqual(15)
      expect(settled).toEqual(settled.map((_, i) => i + 1))
      expect((await afterCrash(world)).last).toBeGreaterThanOrEqual(world.promised)
    }
  })

  it('waits for the one before; what is appended meanwhile is one group', async () => {
    const world = await openWorld()
    const { log, storage } = world
    storage.fail({ kind: 'stall', operation: 'write' })
    const first = log.settledAt(world.append(random, 50))
    await turn()
    const before = storage.operations
    for (let i = 0; i < 10; i++) {
      world.append(random, 50)
      await turn()
    }
    const last = log.settledAt(log.appended)
    expect(last).not.toBe(first)
    expect(log.settledAt(5)).toBe(last)
    expect(writes(world, before)).toEqual([])
    storage.heal()
    await last
    expect(writes(world, before)).toHaveLength(1)
    expect(log.stats()).toMatchObject({ groups: 2, commits: 11 })
  })

  it('starts the next segment if it does not fit, and grows it if it fits none (I2)', async () => {
    const world = await openWorld({ segmentBytes: 8 << 10, maxPoolSegments: 100 })
    const { log } = world
    for (const bytes of [100, 7000, 3000, 5000, 200_000, 100, 1_500_000, 100]) {
      const sequence = log.appended + 1
      log.begin(1)
      log.put(1, 'k', new Uint8Array(bytes).fill(bytes), 1)
      log.end(sequence)
      world.written.set(sequence, `@1; put 1 306b00 1 ${Buffer.alloc(bytes, bytes & 0xff).toString('hex')}`)
      await log.settledAt(sequence)
      world.promised = sequence
    }
    expect(log.sealedSegments.length).toBeGreaterThan(4)
    expect(log.sealedSegments.every(({ number, bytes }, i) => number === i + 1 && bytes > 512)).toBe(true)
    expect(log.sealedBytes).toBe(log.sealedSegments.reduce((sum, { bytes }) => sum + bytes, 0))
    expect((await afterCrash(world)).last).toBe(8)
  })

  it('is closed when it is large, so that others need not wait for all of it', async () => {
    const world = await openWorld({ segmentBytes: 4 << 20 })
    for (let i = 0; i < 20; i++) {
      world.log.begin(1)
      world.log.put(1, i, new Uint8Array(100_000), 1)
      world.log.end(i + 1)
    }
    await world.log.settledAt(20)
    expect(world.log.stats().groups).toBe(4)
  })

  it('may consist of definitions alone; flush waits for them', async () => {
    const world = await openWorld()
    world.log.define({ id: 1, name: 'accounts', key: 'string', value: 'json' })
    await world.log.flush()
    expect((await afterCrash(world)).tables).toEqual([{ id: 1, name: 'accounts', key: 'string', value: 'json' }])
  })

  it('never holds a record that was begun and not ended', async () => {
    const world = await openWorld()
    const { log } = world
    const first = log.settledAt(world.append(random))
    log.begin(1)
    log.put(1, 'never ended', new Uint8Array(2000), 1)
    await first
    expect(log.stats().queuedBytes).toBe(0)
    const second = log.settledAt(world.append(random))
    log.begin(1)
    log.flushSync()
    await second
    world.promised = 2
    expect((await afterCrash(world)).last).toBe(2)
  })

  it('takes no number that could not be read again', async () => {
    const { log } = await openWorld()
    expect(() => log.begin(NaN)).toThrow('finite')
    expect(() => log.begin(Infinity)).toThrow('finite')
    log.begin(1)
    expect(() => log.put(1, 'k', new Uint8Array(1), -1)).toThrow('not negative')
    expect(() => log.put(1, 'k', new Uint8Array(1), NaN)).toThrow('not negative')
    expect(() => log.resized(1, NaN, 0)).toThrow('not negative')
    log.cancel()
    log.begin(1)
    log.end(1)
    await log.flush()
  })

  it('holds commits without a gap', async () => {
    const { log } = await openWorld()
    log.begin(1)
    expect(() => log.end(2)).toThrow('without a gap')
    log.cancel()
    expect(() => log.end(1)).toThrow('not begun')
    log.begin(1)
    log.begin(2)
    log.end(1)
    await log.flush()
    expect(log.settled).toBe(1)
  })
})

describe('flushSync', () => {
  it('settles at once what is appended', async () => {
    for (const synced of [true, false]) {
      const world = await openWorld({}, { synced })
      const { log } = world
      const settled = log.settledAt(world.append(random))
      world.append(random)
      log.flushSync()
      expect(log.settled).toBe(2)
      expect(log.settledAt(2)).toBeNull()
      world.promised = 2
      await settled
      log.flushSync()
      expect((await afterCrash(world)).last).toBe(2)
    }
  })

  it('writes what is under way again, the same bytes at the same place, and does not wait for it', async () => {
    for (const synced of [true, false]) {
      const world = await openWorld({}, { synced })
      const { log, storage } = world
      storage.fail({ kind: 'stall', operation: ['write', 'sync'] })
      const first = log.settledAt(world.append(random))
      await turn()
      const before = storage.operations
      const [underWay] = writes(world).slice(-1)
      world.append(random)
      log.flushSync()
      expect(log.settled).toBe(2)
      await first
      expect(writes(world, before)[0]).toBe(underWay)
      expect(writes(world, before)).toHaveLength(2)
      world.append(random)
      log.flushSync()
      expect(log.settled).toBe(3)
      world.promised = 3
      const image = new World(storage.crash({ survival: 'none', seed: 1 }))
      image.manifest = world.manifest
      for (const [sequence, text] of world.written) image.written.set(sequence, text)
      image.promised = 3
      expect((await image.open())!.last).toBe(3)
    }
  })

  it('leaves the memory alone that is being written, and lets the rest go on when that has ended (I6)', async () => {
    const world = await openWorld()
    const { log, storage } = world
    storage.fail({ kind: 'stall', operation: 'write' })
    for (let i = 0; i < 5; i++) {
      world.append(random)
      await turn()
      log.flushSync()
    }
    const last = log.settledAt(world.append(random))
    expect(await isPending(last)).toBe(true)
    storage.heal()
    await last
    world.promised = 6
    expect((await afterCrash(world)).last).toBe(6)
  })

  it('poisons if the older write fails after all', async () => {
    const world = await openWorld()
    const { log, storage } = world
    storage.fail({ kind: 'EIO', operation: 'write' })
    const settled = log.settledAt(world.append(random))!
    await new Promise<void>((resolve) => process.nextTick(resolve))
    log.flushSync()
    await settled
    expect(log.settled).toBe(1)
    while (log.poisoned === null) await turn()
    expect(log.poisoned).toEqual(poisonedBy('EIO'))
    expect(() => log.flushSync()).toThrow(log.poisoned)
    world.promised = 1
    expect((await afterCrash(world)).last).toBe(1)
  })

  it('grows the segment when there is no other to be had, and finishes a header that is being written', async () => {
    for (const stalled of ['open', 'write'] as const) {
      const world = await openWorld({ segmentBytes: 4096 })
      const { log, storage } = world
      for (let i = 0; i < 3; i++) await log.settledAt(world.append(random, 100))
      storage.fail({ kind: 'stall', operation: stalled, ...(stalled === 'write' ? { path: /2\.log/ } : {}) })
      const rotated = log.rotate()
      for (let i = 0; i < 5; i++) await turn()
      for (let i = 0; i < 30; i++) {
        world.append(random, 500)
        log.flushSync()
      }
      expect(log.settled).toBe(33)
      const image = new World(storage.crash({ survival: 'none', seed: 1 }))
      image.manifest = { ...world.manifest }
      for (const [sequence, text] of world.written) image.written.set(sequence, text)
      image.promised = 33
      expect((await image.open())!.last).toBe(33)
      void rotated
    }
  })

  it('throws POISONED and settles nothing when the disk fails', async () => {
    const world = await openWorld()
    const { log, storage } = world
    const settled = log.settledAt(world.append(random))!
    storage.fail({ kind: 'EIO', operation: 'write' })
    expect(() => log.flushSync()).toThrow(poisonedBy('EIO'))
    await expect(settled).rejects.toBe(log.poisoned)
    await expect(log.settledAt(1)).rejects.toBe(log.poisoned)
    expect(log.settled).toBe(0)
  })
})

describe('relaxed', () => {
  const relaxed = { durability: 'relaxed', flush: { intervalMs: 100_000, commits: 1000, bytes: 1 << 20 } } as const

  it('settles at the end of the turn, without waiting for the disk; a killed process loses nothing', async () => {
    const world = await openWorld(relaxed)
    const { log, storage } = world
    const { syncs } = storage.traffic
    const settled = log.settledAt(world.append(random))
    world.append(random)
    expect(log.settled).toBe(0)
    await new Promise<void>((resolve) => process.nextTick(resolve))
    expect(log.settled).toBe(2)
    await settled
    expect(storage.traffic.syncs).toBe(syncs)
    expect(log.synced).toBe(0)
    world.kill()
    expect((await world.open(true))!.last).toBe(2)
  })

  it('syncs at the first of interval, commits and bytes', async () => {
    for (const flush of [
      { intervalMs: 2, commits: 1000, bytes: 1 << 20 },
      { intervalMs: 100_000, commits: 5, bytes: 1 << 20 },
      { intervalMs: 100_000, commits: 1000, bytes: 2000 },
    ]) {
      const world = await openWorld({ ...relaxed, flush })
      for (let i = 0; i < 6; i++) await world.log.settledAt(world.append(random, 600))
      while (world.log.synced < 5) await turn()
      expect((await afterCrash(world)).last).toBeGreaterThanOrEqual(5)
    }
  })

  it('syncs at flush and before the next segment is started', async () => {
    const world = await openWorld(relaxed)
    const { log } = world
    for (let i = 0; i < 5; i++) world.append(random)
    await log.flush()
    expect(log.synced).toBe(5)
    world.append(random)
    await log.rotate()
    expect(log.synced).toBe(6)
    expect(log.sealedSegments).toMatchObject([{ number: 1, lastSequence: 6 }])
    world.promised = 6
    expect((await afterCrash(world)).last).toBe(6)
  })

  it('sets no timer for an interval without end', async () => {
    const world = await openWorld({ ...relaxed, flush: { ...relaxed.flush, intervalMs: Infinity } })
    const long = await openWorld({ ...relaxed, flush: { ...relaxed.flush, intervalMs: 2 ** 40 } })
    for (const { log } of [world, long]) {
      log.begin(1)
      log.end(1)
      await log.settledAt(1)
      await new Promise((resolve) => setTimeout(resolve, 10))
      expect(log.synced).toBe(0)
    }
  })

  it('rejects the commits whose write fails', async () => {
    const world = await openWorld(relaxed)
    world.storage.fail({ kind: 'short', operation: 'write' })
    const settled = world.log.settledAt(world.append(random))
    await expect(settled).rejects.toEqual(poisonedBy('ENOSPC'))
    expect(world.log.settled).toBe(0)
  })

  it('poisons when a sync in the background fails', async () => {
    const world = await openWorld({ ...relaxed, flush: { ...relaxed.flush, commits: 2 } })
    world.storage.fail({ kind: 'EIO', operation: 'sync' })
    world.append(random)
    world.append(random)
    while (world.log.poisoned === null) await turn()
    expect(world.poisoned).toEqual(poisonedBy('EIO'))
    await expect(world.log.flush()).rejects.toBe(world.poisoned)
  })
})

describe('markers', () => {
  it('tell, after a while without commits, that the last group was durable', async () => {
    for (const durability of ['full', 'relaxed'] as const) {
      const world = await openWorld({ durability, idleMarkerMs: 3 })
      const { log } = world
      await log.settledAt(world.append(random))
      while (log.stats().groups < 2) await turn()
      await new Promise((resolve) => setTimeout(resolve, 15))
      expect(log.stats().groups).toBe(2)
      const end = log.durableEnd.frame
      world.promised = 1
      world.kill()
      world.storage.flip(segmentPath(DIRECTORY, 1), 600, 1)
      await expect(world.open(true)).rejects.toThrow(/damaged at byte 512/)
      expect(end).toBeGreaterThanOrEqual(2)
    }
  })

  it('tell that the log was closed; each session starts a segment, one without commits none', async () => {
    const world = await openWorld()
    await world.log.settledAt(world.append(random))
    await world.log.close()
    for (let i = 0; i < 20; i++) {
      world.storage = world.storage.peer()
      expect((await world.open())!.last).toBe(1)
      expect(world.log.sealedSegments).toHaveLength(1)
      await world.log.close()
    }
    expect(world.manifest.last).toBeLessThan(5)
  })
})

describe('opening after a clean end', () => {
  it('reads no more than the log, whatever the size of its segments', async () => {
    const world = await openWorld({ segmentBytes: 4 << 20 })
    const { log } = world
    await log.settledAt(world.append(random))
    log.begin(1)
    log.put(1, 'large', new Uint8Array(150_000), 1)
    log.end(2)
    world.written.set(2, `@1; put 1 30${Buffer.from('large').toString('hex')}00 1 ${'00'.repeat(150_000)}`)
    await log.rotate()
    await log.close()
    for (let session = 0; session < 4; session++) {
      world.storage = world.storage.peer()
      expect((await world.open())!.last).toBe(2)
      expect(world.storage.traffic.bytesRead).toBeLessThan(400_000)
      expect(world.log.sealedSegments).toHaveLength(1)
      await world.log.close()
    }
  })
})

describe('rotate', () => {
  it('seals what was appended; a segment without groups is left', async () => {
    const world = await openWorld()
    const { log } = world
    await log.rotate()
    expect(log.sealedSegments).toEqual([])
    world.append(random)
    await Promise.all([log.rotate(), log.rotate()])
    expect(log.sealedSegments).toMatchObject([{ number: 1, fromFrame: 1, lastSequence: 1 }])
    expect(log.activeBytes).toBe(0)
    for (let i = 0; i < 5; i++) {
      world.append(random)
      void log.settledAt(log.appended)
      world.append(random)
      await log.rotate()
    }
    expect(log.sealedSegments).toHaveLength(6)
    const sink = new Collector()
    let calls = 0
    const read = readSegments(world.storage, DIRECTORY, DATABASE_ID, log.sealedSegments, sink, () => void calls++)
    await read
    expect([...sink.commits]).toEqual([...world.written])
    expect(calls).toBe(0)
  })

  it('is told of in the header, and read in slices', async () => {
    const world = await openWorld({ segmentBytes: 4 << 20 })
    for (let i = 0; i < 10; i++) {
      world.log.begin(1)
      world.log.put(1, i, new Uint8Array(100_000), 1)
      world.log.end(i + 1)
      await world.log.settledAt(i + 1)
    }
    await world.log.rotate()
    let calls = 0
    const sink = new Collector()
    await readSegments(world.storage, DIRECTORY, DATABASE_ID, world.log.sealedSegments, sink, async () => {
      calls++
      await turn()
    })
    expect(calls).toBeGreaterThan(1)
    expect(sink.commits.size).toBe(10)
  })
})

describe('back-pressure', () => {
  it('begins when too much waits for the disk and ends when it does not', async () => {
    const world = await openWorld({ maxQueueBytes: 10_000 })
    const { log, storage } = world
    storage.fail({ kind: 'stall', operation: 'write' })
    await log.room()
    let count = 0
    while (!log.crowded) {
      log.begin(1)
      log.put(1, ++count, new Uint8Array(200), 1)
      log.end(count)
      if (count % 7 === 0) await turn()
    }
    expect(count).toBeGreaterThan(35)
    const room = log.room()
    expect(await isPending(room)).toBe(true)
    storage.heal()
    await room
    expect(log.crowded).toBe(false)
    await log.flush()
    expect(log.settled).toBe(count)
  })

  it('ends with POISONED for those who wait', async () => {
    const world = await openWorld({ maxQueueBytes: 100 })
    world.append(random)
    const room = world.log.room()
    world.log.poison(new VarveError('POISONED', 'the manifest could not be replaced'))
    await expect(room).rejects.toThrow('the manifest could not be replaced')
    expect(world.poisoned).toBe(world.log.poisoned)
    await expect(world.log.rotate()).rejects.toBe(world.poisoned)
    await expect(world.log.flush()).rejects.toBe(world.poisoned)
    await expect(world.log.room()).rejects.toBe(world.poisoned)
    await expect(world.log.close()).resolves.toBeUndefined()
    expect(world.storage.openFiles).toEqual([])
  })
})

describe('close', () => {
  it('settles what waits, then twice is once', async () => {
    const world = await openWorld({ segmentBytes: 4096 })
    const { log } = world
    for (let i = 0; i < 50; i++) world.append(random)
    const settled = log.settledAt(50)
    const closing = log.close()
    expect(log.close()).toBe(closing)
    await closing
    await settled
    world.promised = 50
    expect(world.storage.openFiles).toEqual([])
    await expect(log.rotate()).rejects.toThrow('closed')
    expect((await afterCrash(world)).last).toBe(50)
  })

  it('waits for a slow disk and rejects if it fails', async () => {
    const world = await openWorld()
    const { log, storage } = world
    storage.fail({ kind: 'stall', operation: 'write' })
    const settled = log.settledAt(world.append(random))
    await turn()
    const closing = log.close()
    expect(await isPending(closing)).toBe(true)
    storage.heal()
    await closing
    await settled

    const other = await openWorld()
    other.storage.fail({ kind: 'EIO', operation: 'write' })
    const lost = other.log.settledAt(other.append(random))
    await expect(other.log.close()).rejects.toEqual(poisonedBy('EIO'))
    await expect(lost).rejects.toBe(other.log.poisoned)
    expect(other.storage.openFiles).toEqual([])
  })
})

describe('numbers', () => {
  it.each([2 ** 32 - 5, 2 ** 40, Number.MAX_SAFE_INTEGER - 10])('sequences go on from %i', async (sequence) => {
    const world = await openWorld({ segmentBytes: 4096 })
    await world.log.close()
    world.storage = world.storage.peer()
    world.manifest = { first: 1, last: 0, epoch: 5, sequence }
    world.storage.files(DIRECTORY).forEach((path) => world.storage.erase(path))
    await world.open()
    for (let i = 0; i < 10; i++) await world.log.settledAt(world.append(random))
    expect(world.log.settled).toBe(sequence + 10)
    world.promised = sequence + 10
    expect((await afterCrash(world)).last).toBe(sequence + 10)
  })

  it.each([9, 999_999, 2 ** 31 - 2, 2 ** 32 - 6])('segments go on from %i', async (segment) => {
    const world = await openWorld({ segmentBytes: 4096 })
    await world.log.close()
    world.storage = world.storage.peer()
    world.storage.files(DIRECTORY).forEach((path) => world.storage.erase(path))
    world.manifest = { first: segment, last: segment - 1, epoch: 2 ** 32 - 10, sequence: 0 }
    await world.open()
    for (let i = 0; i < 12; i++) await world.log.settledAt(world.append(random, 500))
    expect(world.log.sealedSegments[0]!.number).toBe(segment)
    world.promised = 12
    expect((await afterCrash(world)).last).toBe(12)
  })
})
