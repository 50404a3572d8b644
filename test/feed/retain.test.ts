/** `wal.retain`: the past that the log keeps, for readers that set out from an old cursor or have fallen behind. */
import { describe, expect, it, onTestFinished } from 'vitest'

import { type Injected, openWith } from '../../src/database.ts'
import { codecs, type Cursor, type Database, type DatabaseOptions, keys, merges, table } from '../../src/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { failure, refusal, thrown, turn } from '../api/fixtures.ts'
import { Random, runs } from '../support/random.ts'
import { drain, line, take } from './readers.ts'

const PATH = '/data/db'
const counters = table('counters', { key: keys.string(), value: codecs.float64(), merge: merges.sum })

async function open(
  storage: SimulatedStorage,
  retain: { bytes?: number; ms?: number } | undefined,
  options: DatabaseOptions<string, string> = {},
  injected: Injected = {},
): Promise<Database<string, string>> {
  const db = await openWith<string, string>(
    {
      ...options,
      path: PATH,
      wal: { segmentBytes: 2 ** 16, poolSize: 1, ...(retain === undefined ? {} : { retain }) },
    },
    { storage, background: 'inline', tailBytes: 0, ...injected },
  )
  onTestFinished(() => {
    void db.close().catch(() => undefined)
  })
  return db
}

function past(storage: SimulatedStorage): string[] {
  return storage.files(PATH).filter((name) => name.includes('past-'))
}

async function fill(db: Database<string, string>, count: number, length = 1000): Promise<void> {
  for (let i = 0; i < count; i++) await db.handle().set(`k${i % 50}`, `${db.sequence + 1}`.padEnd(length, '.'))
}

async function sequences(db: Database<string, string>, from: Cursor): Promise<number[]> {
  const commits = db.changes({ from })
  const wanted = db.sequence - from.sequence
  const taken = await take(commits, wanted)
  await commits.return?.()
  return taken.map(({ sequence }) => sequence)
}

const upTo = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i)

describe('from an old cursor', () => {
  it('goes through segments that runs have taken over, sealed ones, and the one being written, into the present', async () => {
    const disk = new SimulatedStorage({ seed: 1 })
    const db = await open(disk, { bytes: 1e9 })
    const start = db.cursor
    await fill(db, 150)
    await db.checkpoint()
    expect(past(disk).length).toBeGreaterThan(1)
    await fill(db, 100)
    const commits = db.changes({ from: start })
    expect((await take(commits, 250)).map(({ sequence }) => sequence)).toEqual(upTo(1, 250))
    await fill(db, 5)
    expect((await take(commits, 5)).map(({ sequence }) => sequence)).toEqual(upTo(251, 255))
    expect(await sequences(db, { ...start, sequence: 120 })).toEqual(upTo(121, 255))
  })

  it('survives reopening, checkpoints and compaction', async () => {
    const disk = new SimulatedStorage({ seed: 2 })
    let db = await open(disk, { bytes: 1e9 })
    const start = db.cursor
    for (let session = 0; session < 5; session++) {
      await fill(db, 80)
      if (session % 2 === 0) await db.compact()
      await db.close()
      db = await open(disk, { bytes: 1e9 })
      expect(await sequences(db, start)).toEqual(upTo(1, db.sequence))
    }
    expect((await db.check()).problems).toEqual([])
  })

  it('is refused if its commit was lost before it was on disk, or is of a life that this copy has not seen', async () => {
    const disk = new SimulatedStorage({ seed: 16 })
    let db = await open(disk, { bytes: 1e9 })
    await fill(db, 10)
    const { cursor } = db
    await db.close()
    db = await open(disk, { bytes: 1e9 })
    await fill(db, 10)
    expect(await sequences(db, cursor)).toEqual(upTo(11, 20))
    const { epoch } = db.cursor
    // The commit of that number is another one now.
    expect(thrown(() => db.changes({ from: { ...cursor, sequence: 11 } }))).toBe('INVALID_ARGUMENT')
    expect(thrown(() => db.changes({ from: { ...cursor, epoch: epoch + 1 } }))).toBe('INVALID_ARGUMENT')
  })

  it('gives merged values, deletions, expiry and tables that nobody has opened in this session', async () => {
    const disk = new SimulatedStorage({ seed: 3 })
    let db = await open(disk, { bytes: 1e9 })
    const start = db.cursor
    const live = db.changes()
    await db.handle(counters).merge('n', 2)
    await db.handle(counters).merge('n', 3)
    await db.handle().set('a', 'x', { ttlMs: 1e6 })
    await db.handle().delete('a')
    await db.handle().transaction((tx) => {
      tx.set('b', 'y')
      tx.delete('nothing')
      tx.table(counters).merge('m', 1)
    })
    const told = await take(live, 5)
    await db.close()
    db = await open(disk, { bytes: 1e9 })
    const again = await take(db.changes({ from: start }), 5)
    expect(again.map(line)).toEqual(told.map(line))
    const plain = (items: typeof told): unknown[] => items.map(({ cursor: _, ...rest }) => rest)
    expect(plain(again)).toEqual(plain(told))
    expect(db.handle(counters).get('n')).toBe(5)
    await db.handle(counters).merge('n', 1)
    expect(db.handle(counters).get('n')).toBe(6)
  })

  it('works for watchers, in the middle of a commit too', async () => {
    const disk = new SimulatedStorage({ seed: 4 })
    let db = await open(disk, { bytes: 1e9 })
    const changes = db.handle().watch({ prefix: 'a' })
    await db.handle().transaction((tx) => {
      for (const key of ['a1', 'b', 'a2', 'a3']) tx.set(key, key)
    })
    await db.handle().set('c', 'c')
    await db.handle().set('a4', 'a4')
    const [first] = await take(changes, 1)
    await db.close()
    db = await open(disk, { bytes: 1e9 })
    const rest = db.handle().watch({ prefix: 'a' }, { from: first?.cursor })
    expect((await take(rest, 3)).map(({ key }) => key)).toEqual(['a2', 'a3', 'a4'])
    await db.handle().set('a5', 'a5')
    expect((await take(rest, 1)).map(({ key }) => key)).toEqual(['a5'])
  })

  it('refuses values of codecs that this session has not been given, and says which', async () => {
    const disk = new SimulatedStorage({ seed: 5 })
    const own = table('own', {
      value: {
        name: 'mine',
        encode: (value: number) => new Uint8Array([value]),
        decode: (bytes) => bytes[0] as number,
      },
    })
    let db = await open(disk, { bytes: 1e9 })
    const start = db.cursor
    await db.handle(own).set('a', 7)
    await db.close()
    db = await open(disk, { bytes: 1e9 })
    const error = await failure(() => db.changes({ from: start }).next())
    expect(error).toMatchObject({ code: 'CODEC_MISMATCH' })
    expect(error.message).toContain('mine')
    db.handle(own)
    expect((await take(db.changes({ from: start }), 1)).map(line)).toEqual(['1: own/a=7'])
  })
})

describe('bounds', () => {
  it('of bytes hold, and a cursor beyond them is told where the past begins', async () => {
    const disk = new SimulatedStorage({ seed: 6 })
    const db = await open(disk, { bytes: 3 * 2 ** 16 })
    const start = db.cursor
    for (let i = 0; i < 6; i++) {
      await fill(db, 100)
      await db.checkpoint()
      expect(past(disk).length).toBeLessThanOrEqual(3)
    }
    expect(past(disk).length).toBeGreaterThan(0)
    const error = await failure(() => db.changes({ from: start }).next())
    expect(error).toMatchObject({ code: 'SNAPSHOT_TOO_OLD' })
    const oldest = Number(/that of commit (\d+)/.exec(error.message)?.[1])
    expect(await sequences(db, { ...start, sequence: oldest })).toEqual(upTo(oldest + 1, db.sequence))
    expect(await refusal(() => db.changes({ from: { ...start, sequence: oldest - 1 } }).next())).toBe(
      'SNAPSHOT_TOO_OLD',
    )
  })

  it('of age hold', async () => {
    const disk = new SimulatedStorage({ seed: 7 })
    let time = 1_000_000
    const db = await open(disk, { ms: 5000 }, { clock: () => time })
    const start = db.cursor
    await fill(db, 100)
    await db.checkpoint()
    expect(await sequences(db, start)).toHaveLength(100)
    time += 4000
    await fill(db, 100)
    await db.checkpoint()
    expect(await sequences(db, start)).toHaveLength(200)
    time += 4000
    await fill(db, 100)
    await db.checkpoint()
    expect(await refusal(() => db.changes({ from: start }).next())).toBe('SNAPSHOT_TOO_OLD')
    expect(await sequences(db, { ...start, sequence: 110 })).toEqual(upTo(111, 300))
  })

  it('that are given up with the option remove what was kept', async () => {
    const disk = new SimulatedStorage({ seed: 8 })
    let db = await open(disk, { bytes: 1e9 })
    await fill(db, 150)
    await db.close()
    expect(past(disk).length).toBeGreaterThan(0)
    db = await open(disk, undefined)
    expect(past(disk)).toEqual([])
    await db.close()
  })
})

describe('whatever is found', () => {
  it('a segment that a checkpoint did not live to give up is kept all the same', async () => {
    const disk = new SimulatedStorage({ seed: 12 })
    let db = await open(disk, { bytes: 1e9 })
    const start = db.cursor
    await fill(db, 200)
    await db.close()
    const newest = past(disk).sort().at(-1) as string
    const before = newest.replace(/past-(\d{12})-\d+/, 'wal-$1')
    disk.plant(before, disk.contents(newest))
    disk.erase(newest)
    db = await open(disk, { bytes: 1e9 })
    expect(disk.files(PATH)).not.toContain(before)
    expect(await sequences(db, start)).toEqual(upTo(1, 200))
  })

  it('files of the past that are missing or damaged end it, and nothing else', async () => {
    const disk = new SimulatedStorage({ seed: 13 })
    let db = await open(disk, { bytes: 1e9 })
    const start = db.cursor
    await fill(db, 400)
    await db.close()
    const [first, second, third] = past(disk).sort() as [string, string, string]
    disk.erase(second)
    disk.plant(`${PATH}/past-000000000001-x.log`, new Uint8Array([1]))
    db = await open(disk, { bytes: 1e9 })
    const error = await failure(() => db.changes({ from: start }).next())
    expect(error).toMatchObject({ code: 'SNAPSHOT_TOO_OLD' })
    const oldest = Number(/that of commit (\d+)/.exec(error.message)?.[1])
    expect(await sequences(db, { ...start, sequence: oldest })).toEqual(upTo(oldest + 1, 400))
    expect((await db.check()).problems).toEqual([])
    expect(disk.files(PATH)).toContain(first)
    await db.close()
    disk.plant(third, new Uint8Array(5000))
    db = await open(disk, { bytes: 1e9 })
    expect(await refusal(() => db.changes({ from: { ...start, sequence: oldest } }).next())).toBe('SNAPSHOT_TOO_OLD')
    expect(db.handle().size).toBe(50)
  })
})

/** A disk with what another one has, but for its lock. */
function copyOf(disk: SimulatedStorage): SimulatedStorage {
  const copy = new SimulatedStorage({ seed: 15 })
  for (const directory of ['/data', PATH]) copy.plant(directory, 'directory')
  for (const path of disk.files(PATH)) if (!path.includes('lock')) copy.plant(path, disk.contents(path))
  return copy
}

describe('a file of the past of another life of the same database', () => {
  it('is not taken for that of this one: both went on from one copy, with the same numbers', async () => {
    const disk = new SimulatedStorage({ seed: 14 })
    let db = await open(disk, { bytes: 1e9 })
    const start = db.cursor
    await fill(db, 100)
    await db.close()
    const other = copyOf(disk)
    // One of them is opened once more, so that they are told apart by their epochs.
    await (await open(other, { bytes: 1e9 })).close()
    for (const storage of [disk, other]) {
      db = await open(storage, { bytes: 1e9 })
      await fill(db, 400)
      await db.close()
    }
    const number = (path: string): string | undefined => /past-(\d+)-/.exec(path)?.[1]
    const own = past(other).sort().at(-3) as string
    const strange = past(disk).find((path) => number(path) === number(own)) as string
    other.plant(own, disk.contents(strange))
    db = await open(other, { bytes: 1e9 })
    const error = await failure(() => db.changes({ from: start }).next())
    expect(error).toMatchObject({ code: 'SNAPSHOT_TOO_OLD' })
    const oldest = Number(/that of commit (\d+)/.exec(error.message)?.[1])
    expect(await sequences(db, { ...start, sequence: oldest })).toEqual(upTo(oldest + 1, 500))
  })
})

describe('a reader that falls behind the ring', () => {
  it('goes on from the log, misses nothing, and comes back to the ring', async () => {
    const disk = new SimulatedStorage({ seed: 9 })
    const db = await open(disk, { bytes: 1e9 }, {}, { feedBytes: 20_000, checkpointBytes: 2 ** 17 })
    const commits = db.changes()
    const some = db.handle().watch({ key: 'k7' })
    await take(commits, 0)
    await fill(db, 400)
    expect((await take(commits, 400)).map(({ sequence }) => sequence)).toEqual(upTo(1, 400))
    expect((await take(some, 8)).map(({ sequence }) => sequence % 50)).toEqual(Array.from({ length: 8 }, () => 8))
    await fill(db, 3)
    expect((await take(commits, 3)).map(({ sequence }) => sequence)).toEqual([401, 402, 403])
    expect(db.stats().feed).toMatchObject({ readers: 2, lagged: 0 })
  })

  it('in relaxed too, where it waits until what it wants is durable', async () => {
    const disk = new SimulatedStorage({ seed: 10 })
    const flush = { intervalMs: Infinity, commits: Infinity, bytes: Infinity }
    const db = await open(disk, { bytes: 1e9 }, { durability: 'relaxed', flush }, { feedBytes: 2000 })
    const commits = db.changes({ durable: false })
    await fill(db, 100)
    expect((await take(commits, 100)).map(({ sequence }) => sequence)).toEqual(upTo(1, 100))
  })
})

describe('anything may happen', () => {
  it('kills and power failures, checkpoints and restarts: from its last cursor a reader goes on without a gap', async () => {
    for (let round = 0; round < runs(25); round++) {
      const random = new Random(`retain ${round}`)
      let disk = new SimulatedStorage({ seed: random.uint32() })
      const known: string[] = []
      let from: Cursor | undefined
      for (let session = 0; session < 5; session++) {
        const durability = random.pick(['full', 'relaxed'] as const)
        const flush = { intervalMs: 1, commits: 20, bytes: 8192 }
        const injected = { feedBytes: random.pick([1000, 1e6]), checkpointBytes: random.pick([1, 1e6]) }
        const options = durability === 'relaxed' ? { durability, flush } : { durability }
        const db = await open(disk, { bytes: 1e9 }, options, injected)
        from ??= db.cursor
        expect(db.sequence).toBeGreaterThanOrEqual(from.sequence)
        let isOver = false
        const reading = (async (): Promise<void> => {
          for await (const commit of db.changes({ from })) {
            if (isOver) return
            known.push(line(commit))
            from = commit.cursor
            if (random.chance(0.1)) await turn()
          }
        })().catch((error: unknown) => error)
        const ends = random.chance(0.6)
        if (ends) disk.stopAt(disk.operations + random.between(1, 400))
        const work = (async (): Promise<void> => {
          for (let i = random.between(0, 200); i > 0; i--) {
            const write = db.handle().set(`k${random.int(9)}`, `${db.sequence + 1}`.padEnd(random.int(3000), '.'))
            write.catch(() => undefined)
            if (random.chance(0.3)) await write.catch(() => undefined)
            if (random.chance(0.02)) await db.checkpoint().catch(() => undefined)
          }
          if (disk.halted) return
          await db.close()
          const error = await reading
          if (!disk.halted) expect(error).toMatchObject({ code: 'CLOSED' })
        })()
        // On a machine that has died anything may fail.
        await Promise.race([
          work.catch((error: unknown) => void (disk.halted || expect.unreachable(String(error)))),
          disk.stopped,
        ])
        isOver = true
        disk = disk.halted ? disk.crash() : disk.peer()
      }
      expect(known.map((text) => Number(text.split(':')[0]))).toEqual(upTo(1, known.length))
      for (const text of known) expect(text.split('=')[1]?.replace(/\.*$/, '')).toBe(text.split(':')[0])
    }
  })
})

describe('the end of a reader of the past', () => {
  it('comes with the close of the database, and it goes on from there later', async () => {
    const disk = new SimulatedStorage({ seed: 11 })
    let db = await open(disk, { bytes: 1e9 })
    const start = db.cursor
    await fill(db, 600)
    const commits = db.changes({ from: start })
    const [first] = await take(commits, 1)
    await db.close()
    const { items, error } = await drain(commits)
    expect(error).toMatchObject({ code: 'CLOSED' })
    expect(items.map(({ sequence }) => sequence)).toEqual(upTo(2, items.length + 1))
    db = await open(disk, { bytes: 1e9 })
    expect(await sequences(db, first?.cursor as Cursor)).toEqual(upTo(2, 600))
  })
})
