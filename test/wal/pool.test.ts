/** The files of the log: made before they are used, used again, bounded, and waited for (I1 to I4 of pool.ts). */
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { NodeStorage } from '../../src/storage/index.ts'
import { SimulatedStorage, type SimulationOptions } from '../../src/storage/simulated.ts'
import { type LogConfig, openLog } from '../../src/wal/index.ts'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random } from '../support/random.ts'
import { Collector, CONFIG, DATABASE_ID, DIRECTORY, World } from './world.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const random = new Random('pool')

async function openWorld(config: Partial<LogConfig> = {}, options: SimulationOptions = {}): Promise<World> {
  const storage = new SimulatedStorage({ seed: 4, maxDelayTurns: 1, ...options })
  await storage.makeDirectory(DIRECTORY)
  const world = new World(storage)
  world.config = { ...CONFIG, segmentBytes: 4096, idleMarkerMs: 100_000, ...config }
  await world.open()
  return world
}

async function rest(world: World): Promise<void> {
  while (world.log.stats().spareSegments < world.config.poolSize) await turn()
}

/** Fills at least one segment, waiting for each commit. */
async function fillSegment({ log }: World): Promise<void> {
  const sealed = log.sealedSegments.length
  while (log.sealedSegments.length === sealed) {
    const sequence = log.appended + 1
    log.begin(1)
    log.put(1, sequence, new Uint8Array(400), 1)
    log.end(sequence)
    await log.settledAt(sequence)
  }
}

async function isPending(promise: Promise<unknown> | null): Promise<boolean> {
  for (let i = 0; i < 20; i++) await turn()
  return Promise.race([Promise.resolve(promise).then(() => false), turn().then(() => true)])
}

describe('the pool', () => {
  it('keeps spares ready, listed before they are used', async () => {
    for (const poolSize of [0, 1, 3]) {
      const world = await openWorld({ poolSize })
      for (let i = 0; i < 4; i++) {
        await fillSegment(world)
        await rest(world)
        const { first, last } = world.manifest
        const listed = Array.from({ length: last - first + 1 }, (_, j) => first + j)
        expect(world.storage.files(DIRECTORY).map((path) => Number(path.slice(-10, -4)))).toEqual(listed)
        expect(world.log.stats().spareSegments).toBe(poolSize)
      }
    }
  })

  it('uses segments again that a checkpoint has freed: under steady load none is made; then it shrinks', async () => {
    const world = await openWorld({ poolSize: 2 })
    const { log, storage } = world
    const made = (): number => storage.log.filter(({ name }) => name === 'create').length
    const release = async (): Promise<void> => {
      const through = log.sealedSegments.at(-1)!
      world.manifest = { ...world.manifest, sequence: through.lastSequence }
      await log.release(through.number)
      expect(log.sealedSegments).toEqual([])
      expect(log.sealedBytes).toBe(0)
      expect(world.manifest.last - world.manifest.first + 1).toBe(storage.files(DIRECTORY).length)
    }
    let before = 0
    for (let round = 0; round < 6; round++) {
      if (round === 2) before = made()
      for (let i = 0; i < 4; i++) await fillSegment(world)
      await release()
      await rest(world)
      expect(storage.files(DIRECTORY).length).toBeLessThanOrEqual(1 + 2 + 4)
    }
    expect(made()).toBe(before)
    await fillSegment(world)
    await release()
    expect(storage.files(DIRECTORY)).toHaveLength(1 + 2 + 1)
    await log.close()
    expect(storage.files(DIRECTORY)).toHaveLength(1 + 2)
    expect(world.manifest.last - world.manifest.first + 1).toBe(3)
  })

  it('makes a spare of a freed segment when there are not enough', async () => {
    const world = await openWorld({ poolSize: 1, maxPoolSegments: 3 })
    const { log, storage } = world
    await fillSegment(world)
    await rest(world)
    for (let round = 0; round < 20; round++) {
      while (log.stats().spareSegments > 0) await fillSegment(world)
      const { number, lastSequence } = log.sealedSegments.at(-1)!
      world.manifest = { ...world.manifest, sequence: lastSequence }
      await log.release(number)
      expect(storage.files(DIRECTORY).length).toBeLessThanOrEqual(3)
    }
    expect(storage.log.filter(({ name }) => name === 'rename').length).toBeGreaterThan(10)
    const last = world.append(random)
    await log.settledAt(last)
    world.promised = last
    for (let number = world.manifest.sequence + 1; number < last; number++) {
      world.written.set(number, '')
    }
    world.kill()
    const sink = new Collector()
    const { first: firstSegment, last: lastSegment, sequence } = world.manifest
    const start = { databaseId: DATABASE_ID, epoch: 9, firstSegment, lastSegment, sequence, logged: 0, readOnly: true }
    await openLog(world.storage, DIRECTORY, start, world.config, world.hooks(), sink)
    expect(sink.last).toBe(last)
  })

  it('cuts a segment that grew before it is used again', async () => {
    const world = await openWorld({ poolSize: 1, maxPoolSegments: 2, segmentBytes: 8192 })
    const { log, storage } = world
    for (let i = 0; i < 8; i++) {
      const sequence = log.appended + 1
      log.begin(1)
      log.put(1, 'k', new Uint8Array(30_000), 1)
      log.end(sequence)
      await log.settledAt(sequence)
      const sealed = log.sealedSegments.at(-1)
      if (sealed !== undefined) await log.release(sealed.number)
    }
    await rest(world)
    const sizes = storage.files(DIRECTORY).map((path) => storage.contents(path).length)
    expect(Math.min(...sizes)).toBe(8192)
    expect(storage.log.some(({ name }) => name === 'truncate')).toBe(true)
  })

  it('has a bound: then commits wait for a checkpoint, but a rotation by name does not (I3)', async () => {
    const world = await openWorld({ poolSize: 1, maxPoolSegments: 3 })
    const { log } = world
    const filling = (async () => {
      for (let i = 0; i < 3; i++) await fillSegment(world)
    })()
    expect(world.stalls).toBe(0)
    while (!log.crowded) await turn()
    expect(world.stalls).toBe(1)
    expect(await isPending(filling)).toBe(true)
    expect(world.storage.files(DIRECTORY)).toHaveLength(3)
    const room = log.room()
    expect(await isPending(room)).toBe(true)
    await log.rotate()
    // One for what was waiting, one to seal that too.
    expect(world.storage.files(DIRECTORY)).toHaveLength(5)
    await filling
    const { number } = log.sealedSegments.at(-1)!
    await log.release(number)
    await room
    expect(log.crowded).toBe(false)
    await rest(world)
    expect(world.storage.files(DIRECTORY).length).toBeLessThanOrEqual(3)
  })
})

describe('the zeros of a new segment', () => {
  it('are written in pieces as small as a group of commits, and synced often enough', async () => {
    const segmentBytes = (2 << 20) + 4096
    const world = await openWorld({ poolSize: 0, segmentBytes })
    const { log, storage } = world
    log.begin(1)
    log.put(1, 'k', new Uint8Array(300_000), 1)
    log.end(1)
    await log.settledAt(1)
    await log.rotate()
    const path = storage.files(DIRECTORY).at(-1)
    expect(storage.contents(path!)).toHaveLength(segmentBytes)
    const calls = storage.log.filter((call) => call.path === path)
    const filling = calls.slice(0, calls.findLastIndex(({ position, name }) => name === 'write' && position > 0) + 2)
    const syncs = filling.filter(({ name }) => name === 'sync')
    const pieces = filling.filter(({ name }) => name === 'write')
    expect(pieces.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(segmentBytes)
    expect(Math.max(...pieces.map(({ bytes }) => bytes))).toBe(16 << 10)
    expect(syncs).toHaveLength(3)
    expect(filling.at(-1)?.name).toBe('sync')
    await log.close()
  })
})

describe('a session that writes little', () => {
  it('makes no spare, and leaves no more files than it needs', async () => {
    const world = await openWorld({ poolSize: 2, segmentBytes: 1 << 20 })
    expect(world.storage.files(DIRECTORY)).toHaveLength(1)
    await world.log.settledAt(world.append(random))
    for (let i = 0; i < 50; i++) await turn()
    expect(world.storage.files(DIRECTORY)).toHaveLength(1)
    await world.log.close()
    expect(world.storage.traffic.bytesWritten).toBeLessThan(300_000)
  })
})

describe('a full disk', () => {
  it('stops nothing while there is room in the segments; then commits wait, and go on when there is room again', async () => {
    // The next attempt by itself, seconds away by then, never comes.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const world = await openWorld({ poolSize: 0 })
    const { log, storage } = world
    storage.capacityBytes = storage.usedBytes
    log.begin(1)
    log.put(1, 'k', new Uint8Array(400), 1)
    log.end(1)
    await log.settledAt(1)
    const filling = fillSegment(world)
    while (!log.crowded) await turn()
    expect(await isPending(filling)).toBe(true)
    const full = { code: 'IO', message: expect.stringContaining('ENOSPC') }
    expect(log.obstacle).toMatchObject(full)
    for (let i = 0; i < 10; i++) await expect(log.room()).rejects.toMatchObject(full)
    expect(log.poisoned).toBeNull()
    expect(log.stats().creationFailures).toBeGreaterThan(0)
    expect(log.stats().creationError).toMatchObject({ code: 'IO', message: expect.stringContaining('ENOSPC') })
    storage.capacityBytes += 100_000
    // Whoever comes now does not have to wait for the next attempt, nor is refused for the last.
    await log.room()
    expect(log.obstacle).toBeNull()
    await filling
    expect(log.crowded).toBe(false)
    expect(log.poisoned).toBeNull()
  })

  it('makes close reject, with the cause, if what waits cannot be written', async () => {
    const world = await openWorld({ poolSize: 0 })
    const { log, storage } = world
    storage.capacityBytes = storage.usedBytes
    const filling = fillSegment(world)
    while (!log.crowded) await turn()
    const wanted = expect.objectContaining({ code: 'POISONED', message: expect.stringContaining('ENOSPC') })
    await Promise.all([expect(log.close()).rejects.toEqual(wanted), expect(filling).rejects.toEqual(wanted)])
    const promised = log.settled
    world.kill()
    const sink = new Collector()
    const { first: firstSegment, last: lastSegment, sequence } = world.manifest
    const start = { databaseId: DATABASE_ID, epoch: 9, firstSegment, lastSegment, sequence, logged: 0, readOnly: true }
    await openLog(world.storage, DIRECTORY, start, world.config, world.hooks(), sink)
    expect(sink.last).toBeGreaterThanOrEqual(promised)
  })

  it.each(['EMFILE', 'EIO'] as const)(
    'is no different from %s: close writes what waits into the last segment',
    async (kind) => {
      const world = await openWorld({ poolSize: 0 })
      const { log, storage } = world
      storage.fail({ kind, operation: 'create', every: 1 })
      while (!log.crowded) {
        const sequence = log.appended + 1
        log.begin(1)
        log.put(1, sequence, new Uint8Array(400), 1)
        log.end(sequence)
        await turn()
      }
      const { appended } = log
      await log.close()
      expect(log.settled).toBe(appended)
      expect(storage.openFiles).toEqual([])
    },
  )

  it('may come up at any call of making and using again a segment; nothing is poisoned (I4)', async () => {
    for (const kind of ['ENOSPC', 'EIO', 'EMFILE'] as const) {
      for (let nth = 1; nth < 40; nth += 3) {
        const world = await openWorld({ poolSize: 1, maxPoolSegments: 3 })
        const { log, storage } = world
        await fillSegment(world)
        await rest(world)
        const operation = ['create', 'open', 'rename', 'remove', 'truncate', 'syncDirectory'] as const
        storage.fail({ kind, operation, skip: nth % 10, times: 2 })
        for (let i = 0; i < 4; i++) {
          await fillSegment(world)
          await log.release(log.sealedSegments.at(-1)!.number).catch(() => {})
        }
        expect(log.poisoned).toBeNull()
        const settled = log.settled
        world.kill()
        world.storage.heal()
        const sink = new Collector()
        const { first: firstSegment, last: lastSegment } = world.manifest
        const start = { databaseId: DATABASE_ID, epoch: 9, firstSegment, lastSegment, logged: 0, readOnly: false }
        const sequence = settled
        const again = await openLog(world.storage, DIRECTORY, { ...start, sequence }, world.config, world.hooks(), sink)
        expect(again!.settled).toBe(settled)
        await again!.close()
      }
    }
  })
})

describe('a release that fails half way', () => {
  it('has released all the same: what it could not remove is not listed', async () => {
    for (const operation of ['syncDirectory', 'rename', 'write'] as const) {
      const world = await openWorld({ poolSize: 1 })
      const { log, storage } = world
      for (let i = 0; i < 3; i++) await fillSegment(world)
      const { length } = log.sealedSegments
      storage.fail({ kind: 'EIO', operation, path: operation === 'syncDirectory' ? DIRECTORY : /wal-000000000001/ })
      await log.release(2)
      expect(storage.faultsInjected).toBe(1)
      expect(log.sealedSegments).toHaveLength(length - 2)
      expect(world.manifest.first).toBe(3)
      expect(log.poisoned).toBeNull()
      await log.close()
    }
  })
})

describe('a directory that is gone', () => {
  it('poisons: what is written into it would not be found again', async () => {
    const world = await openWorld({ poolSize: 0 })
    const { log, storage } = world
    const room = (async () => {
      while (!log.crowded) await turn()
      await log.room()
    })()
    storage.rename(DIRECTORY, '/elsewhere').catch(() => {})
    const missing = expect.objectContaining({ code: 'POISONED', message: expect.stringContaining('ENOENT') })
    room.catch(() => {})
    await expect(fillSegment(world)).rejects.toEqual(missing)
    expect(log.poisoned).toEqual(missing)
    await log.close()
  })
})

describe('a manifest that cannot be changed', () => {
  it('keeps segments from being made and released, for as long as it cannot', async () => {
    const world = await openWorld({ poolSize: 0 })
    const { log } = world
    await fillSegment(world)
    world.reserveFails = true
    await expect(log.release(1)).rejects.toThrow('manifest')
    expect(log.sealedSegments).toHaveLength(1)
    const filling = fillSegment(world)
    while (!log.crowded) await turn()
    world.reserveFails = false
    await filling
    await log.release(1)
    expect(world.manifest.first).toBe(2)
    expect(log.poisoned).toBeNull()
  })
})

describe('on a real disk', () => {
  it('a log is written, closed, recovered and used again', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'varve-wal-'))
    try {
      const storage = new NodeStorage()
      const range = { first: 1, last: 0 }
      const hooks = {
        reserve: async (first: number, last: number): Promise<void> => void Object.assign(range, { first, last }),
        sealed: (): void => {},
        poisoned: (): void => {},
        now: (): number => performance.now(),
      }
      for (const durability of ['full', 'relaxed', 'full'] as const) {
        for (let session = 0; session < 3; session++) {
          const sink = new Collector()
          const { first: firstSegment, last: lastSegment } = range
          const epoch = lastSegment + 1
          const start = {
            databaseId: DATABASE_ID,
            epoch,
            firstSegment,
            lastSegment,
            sequence: 0,
            logged: 0,
            readOnly: false,
          }
          const config = { ...CONFIG, durability, segmentBytes: 256 << 10, maxPoolSegments: 100 }
          const log = (await openLog(storage, directory, start, config, hooks, sink))!
          expect(sink.commits.size).toBe(log.appended)
          const before = log.appended
          for (let i = 1; i <= 300; i++) {
            log.begin(i)
            log.put(1, `key ${i}`, new Uint8Array(1000), 1000)
            log.end(before + i)
            if (i % 10 === 0) await log.settledAt(before + i)
            if (i % 25 === 0) log.flushSync()
          }
          await log.flush()
          expect(log.synced).toBe(before + 300)
          expect(log.stats().syncP50Ms).toBeGreaterThan(0)
          await log.close()
        }
      }
      const files = readdirSync(directory)
      expect(files.length).toBe(range.last - range.first + 1)
      for (const name of files) expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})
