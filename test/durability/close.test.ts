import { describe, expect, it, vi } from 'vitest'
import { type CheckpointReport, Directory } from '../../src/durability/index.ts'
import type { VarveError } from '../../src/errors.ts'
import { type Background, inlineBackground } from '../../src/runs/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { until } from '../support/patience.ts'
import { Random } from '../support/random.ts'
import { imageOf } from './images.ts'
import { Ledger, PATH, optionsFor, someChanges } from './sessions.ts'

async function write(directory: Directory, ledger: Ledger, commits: number, random: Random): Promise<void> {
  for (let i = 0; i < commits; i++) await ledger.commit(directory, someChanges(random, 10, 600))
}

async function expectKept(storage: SimulatedStorage, ledger: Ledger): Promise<void> {
  const directory = await Directory.open(optionsFor(storage))
  ledger.expectFound(directory, ledger.history.length)
  await directory.close()
}

describe('close', () => {
  it('is the same promise twice, gives the lock back last, and leaves no file open', async () => {
    const storage = new SimulatedStorage()
    const directory = await Directory.open(optionsFor(storage))
    const ledger = new Ledger()
    await write(directory, ledger, 5, new Random('close'))
    await Promise.all([directory.close(), directory.close()])
    await directory.close()
    expect(storage.openFiles).toEqual([])
    expect(storage.log.at(-1)?.name).toBe('unlock')
    await expect(directory.checkpoint()).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(directory.backup('/data/x')).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(directory.verify()).rejects.toMatchObject({ code: 'CLOSED' })
    await expectKept(storage, ledger)
  })

  it('makes a checkpoint only if much of the log is in no run', async () => {
    for (const [tailBytes, runs] of [
      [1024 * 1024, 0],
      [0, 1],
    ] as const) {
      const storage = new SimulatedStorage()
      const directory = await Directory.open(optionsFor(storage, { tailBytes }))
      const ledger = new Ledger()
      await write(directory, ledger, 8, new Random('tail'))
      await directory.close()
      expect([...imageOf(storage).keys()].filter((path) => path.endsWith('.run'))).toHaveLength(runs)
      await expectKept(storage, ledger)
    }
  })

  it('rejects if its own checkpoint fails half way, as what was relaxed is not on disk then', async () => {
    const storage = new SimulatedStorage({ seed: 3 })
    const directory = await Directory.open(optionsFor(storage, { durability: 'relaxed', tailBytes: 0 }))
    await write(directory, new Ledger(), 5, new Random('half'))
    storage.fail({ kind: 'EROFS', operation: 'rename', path: /manifest$/, times: 100 })
    await expect(directory.close()).rejects.toMatchObject({ code: 'POISONED' })
    expect(storage.openFiles).toEqual([])
    expect(storage.log.at(-1)?.name).toBe('unlock')
  })

  it('keeps everything over ten sessions, and makes a run of many small logs', async () => {
    const storage = new SimulatedStorage()
    const ledger = new Ledger()
    const random = new Random('sessions')
    for (let session = 0; session < 12; session++) {
      const directory = await Directory.open(optionsFor(storage, { tailBytes: Infinity }))
      ledger.expectFound(directory, ledger.history.length)
      await write(directory, ledger, 3, random)
      await directory.close()
    }
    const names = [...imageOf(storage).keys()]
    expect(names.filter((path) => path.endsWith('.run')).length).toBeGreaterThan(0)
    expect(names.length).toBeLessThan(12)
  })

  it('ends a backup and a verification that are under way', async () => {
    const storage = new SimulatedStorage()
    const directory = await Directory.open(optionsFor(storage))
    const ledger = new Ledger()
    await write(directory, ledger, 8, new Random('walks'))
    let closing: Promise<void> | undefined
    const backup = directory.backup('/data/copy', () => {
      closing ??= directory.close()
    })
    await expect(backup).rejects.toMatchObject({ code: 'CLOSED' })
    await closing
    expect(imageOf(storage, '/data/copy').size).toBe(0)
    await expectKept(storage, ledger)
  })

  it('cancels a merge that would never end, and says so to whoever waits for it', async () => {
    const storage = new SimulatedStorage()
    const inner = inlineBackground(storage, PATH)
    let cancel: ((error: Error) => void) | undefined
    const background: Background = {
      checkpoint: async (job) => inner.checkpoint(job),
      merge: async () => new Promise((_resolve, reject) => (cancel = reject)),
      cancel: (kind) => {
        inner.cancel(kind)
        cancel?.(new Error('cancelled'))
      },
      close: async () => inner.close(),
    }
    const directory = await Directory.open(optionsFor(storage, { background }))
    const ledger = new Ledger()
    const random = new Random('stuck')
    await write(directory, ledger, 5, random)
    await directory.checkpoint()
    await write(directory, ledger, 5, random)
    const compaction = directory.compact()
    compaction.catch(() => undefined)
    await until(() => cancel !== undefined)
    await directory.close()
    await expect(compaction).rejects.toBeInstanceOf(Error)
    expect(storage.openFiles).toEqual([])
    await expectKept(storage, ledger)
  })

  it('loses patience with a checkpoint that would never end', async () => {
    const storage = new SimulatedStorage()
    const inner = inlineBackground(storage, PATH)
    const cancelled: (string | undefined)[] = []
    let cancel: (error: Error) => void = () => undefined
    const background: Background = {
      checkpoint: async () => new Promise((_resolve, reject) => (cancel = reject)),
      merge: async (job) => inner.merge(job),
      cancel: (kind) => {
        cancelled.push(kind)
        if (kind !== 'merge') cancel(new Error('cancelled'))
      },
      close: async () => inner.close(),
    }
    const directory = await Directory.open(optionsFor(storage, { background, tailBytes: 0 }))
    const ledger = new Ledger()
    await write(directory, ledger, 5, new Random('patience'))
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const closing = directory.close()
      let isClosed = false
      void closing.then(() => (isClosed = true))
      for (let i = 0; i < 500; i++) await new Promise((resolve) => setImmediate(resolve))
      expect([isClosed, cancelled]).toEqual([false, ['merge']])
      vi.advanceTimersByTime(60_000)
      await closing
      expect(cancelled).toEqual(['merge', undefined])
    } finally {
      vi.useRealTimers()
    }
    expect(storage.openFiles).toEqual([])
    await expectKept(storage, ledger)
  })

  it.each([
    ['full', true],
    ['full', false],
    ['relaxed', true],
    ['relaxed', false],
  ] as const)('leaves nothing that a power failure could take (%s, O_DSYNC: %s)', async (durability, synced) => {
    const storage = new SimulatedStorage({ seed: 4, synced })
    const directory = await Directory.open(optionsFor(storage, { durability, tailBytes: Infinity }))
    await write(directory, new Ledger(), 5, new Random('closed'))
    await directory.close()
    // But for the lock, whose removal needs no sync: what is left of it is that of a dead process.
    const durable = imageOf(storage.crash({ survival: 'none' }))
    for (const [path, bytes] of imageOf(storage)) expect([path, durable.get(path)]).toEqual([path, bytes])
  })

  it('returns after poisoning, without another word', async () => {
    const storage = new SimulatedStorage({ seed: 2 })
    const poisoned: VarveError[] = []
    const hooks = { poisoned: (error: VarveError) => poisoned.push(error), checkpointed: () => undefined }
    const directory = await Directory.open(optionsFor(storage, { hooks, tailBytes: 0 }))
    const ledger = new Ledger()
    await write(directory, ledger, 4, new Random('poison'))
    storage.fail({ kind: 'EIO', path: /wal-/ })
    await expect(ledger.commit(directory, [{ key: 'k', value: 'v' }])).rejects.toMatchObject({ code: 'POISONED' })
    expect(poisoned).toHaveLength(1)
    await directory.close()
    expect(storage.openFiles).toEqual([])
    expect(storage.log.at(-1)?.name).toBe('unlock')
    const again = await Directory.open(optionsFor(storage.kill()))
    ledger.expectFound(again, 4)
    await again.close()
  })

  it('rejects if what relaxed has acknowledged cannot be synced, after giving everything back', async () => {
    const storage = new SimulatedStorage({ seed: 2, synced: false })
    const flush = { intervalMs: Infinity, commits: Infinity, bytes: Infinity }
    const directory = await Directory.open(optionsFor(storage, { durability: 'relaxed', flush }))
    const ledger = new Ledger()
    await write(directory, ledger, 4, new Random('relaxed'))
    storage.fail({ kind: 'EIO', operation: 'sync', path: /wal-/ })
    await expect(directory.close()).rejects.toMatchObject({ code: 'POISONED' })
    expect(storage.openFiles).toEqual([])
    expect(storage.log.at(-1)?.name).toBe('unlock')
  })
})

describe('close in relaxed', () => {
  it.each([false, true])(
    'rejects if a manifest fails on the way, before anybody was told (checkpoint under way: %s)',
    async (underWay) => {
      const storage = new SimulatedStorage({ seed: 2, synced: false })
      const flush = { intervalMs: Infinity, commits: Infinity, bytes: Infinity }
      const directory = await Directory.open(optionsFor(storage, { durability: 'relaxed', flush, tailBytes: 0 }))
      const ledger = new Ledger()
      await write(directory, ledger, 4, new Random('relaxed'))
      storage.fail({ kind: 'EROFS', operation: 'rename', path: /manifest/, times: 1000 })
      const checkpoint = underWay ? directory.checkpoint().catch(() => undefined) : null
      await expect(directory.close()).rejects.toMatchObject({ code: 'POISONED' })
      await checkpoint
      expect(storage.openFiles).toEqual([])
    },
  )
})

describe('checkpoints in the background', () => {
  it('come by themselves, keep the log and the number of runs small, and give their files back', async () => {
    const storage = new SimulatedStorage({ maxDelayTurns: 0 })
    const reports: CheckpointReport[] = []
    const hooks = { poisoned: () => undefined, checkpointed: (report: CheckpointReport) => reports.push(report) }
    const directory = await Directory.open(optionsFor(storage, { hooks, checkpointBytes: 16 * 1024 }))
    const ledger = new Ledger()
    const random = new Random('many')
    await write(directory, ledger, 400, random)
    await directory.checkpoint()
    expect(reports.filter(({ kind }) => kind === 'checkpoint').length).toBeGreaterThan(10)
    expect(reports.filter(({ kind }) => kind === 'merge').length).toBeGreaterThan(0)
    expect(reports.filter(({ error }) => error !== null)).toEqual([])
    expect(directory.stats().runs.count).toBeLessThan(14)
    await directory.close()
    const names = [...imageOf(storage).keys()]
    expect(names.filter((path) => path.endsWith('.run'))).toHaveLength(directory.stats().runs.count)
    expect(names.filter((path) => path.endsWith('.log')).length).toBeLessThan(12)
    await expectKept(storage, ledger)
  })

  it('leave a version that is held alone: its runs stay until it is let go', async () => {
    const storage = new SimulatedStorage()
    const directory = await Directory.open(optionsFor(storage))
    const ledger = new Ledger()
    const random = new Random('held')
    await write(directory, ledger, 6, random)
    await directory.checkpoint()
    const version = directory.tier.acquire()
    const before = storage.files(PATH).filter((path) => path.endsWith('.run'))
    await write(directory, ledger, 6, random)
    await directory.compact()
    expect(storage.files(PATH)).toEqual(expect.arrayContaining(before))
    directory.tier.release(version)
    await directory.close()
    const after = storage.files(PATH).filter((path) => path.endsWith('.run'))
    expect(after).toHaveLength(1)
    expect(before).not.toEqual(after)
    await expectKept(storage, ledger)
  })

  it('leave after compaction one run and the spares that are always kept, but what somebody reads', async () => {
    const storage = new SimulatedStorage()
    const directory = await Directory.open(optionsFor(storage))
    const ledger = new Ledger()
    const random = new Random('compaction')
    const names = (kind: string): string[] => storage.files(PATH).filter((path) => path.endsWith(kind))
    for (let i = 0; i < 2; i++) {
      await write(directory, ledger, 60, random)
      await directory.checkpoint()
    }
    expect(names('.run')).toHaveLength(2)
    await directory.compact()
    expect(names('.run')).toHaveLength(1)
    expect(names('.log')).toHaveLength(2)
    const version = directory.tier.acquire()
    await write(directory, ledger, 5, random)
    await directory.compact()
    expect(names('.run')).toHaveLength(2)
    directory.tier.release(version)
    await directory.compact()
    expect(names('.run')).toHaveLength(1)
    await directory.close()
    await expectKept(storage, ledger)
  })

  it('keep what was deleted deleted, when runs are merged that hide older ones', async () => {
    const storage = new SimulatedStorage({ maxDelayTurns: 0 })
    const merges: CheckpointReport[] = []
    const checkpointed = (report: CheckpointReport): void => {
      if (report.kind === 'merge') merges.push(report)
    }
    const hooks = { poisoned: () => undefined, checkpointed }
    const directory = await Directory.open(optionsFor(storage, { hooks }))
    const ledger = new Ledger()
    const keys = Array.from({ length: 300 }, (_, i) => `key ${i}`)
    await ledger.commit(
      directory,
      keys.map((key) => ({ key, value: 'v'.repeat(1500) })),
    )
    await directory.checkpoint()
    for (const key of keys.slice(0, 40)) {
      // What every run has says which of them is taken for the newest.
      await ledger.commit(directory, [
        { key, value: undefined },
        { key: 'newest', value: key },
      ])
      await directory.checkpoint()
    }
    while (merges.length === 0) await new Promise((resolve) => setImmediate(resolve))
    await directory.close()
    expect(merges[0]).toMatchObject({ error: null })
    // The oldest run was none of theirs.
    expect(Math.max(...merges.map(({ bytes }) => bytes))).toBeLessThan(300 * 1500)
    expect(directory.stats().runs.count).toBeLessThan(30)
    await expectKept(storage, ledger)
  })

  it('leave the replayed tail readable until they cover all of it', async () => {
    const storage = new SimulatedStorage()
    const directory = await Directory.open(optionsFor(storage))
    const ledger = new Ledger()
    await write(directory, ledger, 20, new Random('tail'))
    const reports: CheckpointReport[] = []
    const hooks = { poisoned: () => undefined, checkpointed: (report: CheckpointReport) => reports.push(report) }
    // What was not proven durable was written again, into the segment that is in use now: no checkpoint covers that yet.
    const again = await Directory.open(optionsFor(storage.kill(), { hooks, checkpointBytes: 1 }))
    while (reports.length === 0) await new Promise((resolve) => setImmediate(resolve))
    expect(reports[0]?.error).toBeNull()
    expect(reports[0]?.sequence).toBeLessThan(20)
    ledger.expectFound(again)
    await again.checkpoint()
    ledger.expectFound(again)
    expect(again.tier.current.sources).toEqual(again.tier.current.runs)
    await again.close()
  })

  it('drop what was deleted when everything becomes one run', async () => {
    const storage = new SimulatedStorage()
    const directory = await Directory.open(optionsFor(storage))
    const ledger = new Ledger()
    for (let i = 0; i < 10; i++) await ledger.commit(directory, [{ key: `k${i}`, value: 'v' }])
    await directory.checkpoint()
    for (let i = 0; i < 9; i++) await ledger.commit(directory, [{ key: `k${i}`, value: undefined }])
    await directory.compact()
    expect(directory.stats().runs).toMatchObject({ count: 1, entries: 1, tombstones: 0 })
    await ledger.commit(directory, [{ key: 'k9', value: undefined }])
    await directory.compact()
    expect(directory.stats().runs).toMatchObject({ count: 0, entries: 0 })
    await directory.close()
    await expectKept(storage, ledger)
  })

  it('are made again after a failure, by themselves, and nothing is poisoned', async () => {
    const storage = new SimulatedStorage()
    const inner = inlineBackground(storage, PATH)
    const reports: CheckpointReport[] = []
    const hooks = { poisoned: () => undefined, checkpointed: (report: CheckpointReport) => reports.push(report) }
    let deaths = 1
    const background: Background = {
      checkpoint: async (job) => {
        if (deaths-- > 0) throw new Error('the worker has died')
        return inner.checkpoint(job)
      },
      merge: async (job) => inner.merge(job),
      cancel: (kind) => inner.cancel(kind),
      close: async () => inner.close(),
    }
    const directory = await Directory.open(optionsFor(storage, { background, hooks, checkpointBytes: 4096 }))
    const ledger = new Ledger()
    await write(directory, ledger, 20, new Random('death'))
    while (reports.length < 2) await new Promise((resolve) => setTimeout(resolve, 20))
    expect(reports[0]).toMatchObject({
      error: { code: 'IO', message: expect.stringMatching(/the worker has died/) },
      bytes: 0,
    })
    expect(reports[1]).toMatchObject({ error: null })
    expect(directory.stats().checkpoints).toMatchObject({ failed: 1, error: null })
    expect(directory.log?.poisoned).toBeNull()
    await directory.close()
    await expectKept(storage, ledger)
  })

  it('poison when the log cannot be read back, found twice: nothing more is acknowledged into it', async () => {
    const storage = new SimulatedStorage()
    const directory = await Directory.open(optionsFor(storage))
    const ledger = new Ledger()
    await write(directory, ledger, 5, new Random('unreadable'))
    storage.flip(`${PATH}/wal-000000000001.log`, 600, 1)
    await expect(directory.checkpoint()).rejects.toMatchObject({
      code: 'CORRUPTION',
      message: expect.stringMatching(/wal-000000000001\.log/),
    })
    await write(directory, ledger, 1, new Random('still'))
    await expect(directory.checkpoint()).rejects.toMatchObject({ code: 'CORRUPTION' })
    expect(directory.log?.poisoned).toMatchObject({ code: 'POISONED', cause: { code: 'CORRUPTION' } })
    await directory.close()
    await expect(Directory.open(optionsFor(storage))).rejects.toMatchObject({ code: 'CORRUPTION' })
  })
})
