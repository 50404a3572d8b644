/** Checkpoints and merges as background work: inline and on a worker thread, cancelled, failing, ended. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { VarveError } from '../../src/errors.ts'
import { type Background, inlineBackground } from '../../src/runs/background.ts'
import { BlockCache } from '../../src/runs/cache.ts'
import type { CheckpointJob } from '../../src/runs/checkpoint.ts'
import type { RunSummary } from '../../src/runs/format.ts'
import type { MergeJob } from '../../src/runs/merge.ts'
import { RunReader } from '../../src/runs/reader.ts'
import { WorkerBackground } from '../../src/runs/worker-background.ts'
import { packError, unpackError } from '../../src/runs/worker-messages.ts'
import { errnoOf, NodeStorage, type Storage } from '../../src/storage/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import type { SealedSegment } from '../../src/wal/index.ts'
import { type Compiled, compile } from '../support/compile.ts'
import { until } from '../support/patience.ts'
import { seed } from '../support/random.ts'
import { databaseId, TestLog } from './log.ts'
import { codeOf } from './run-files.ts'

const falsePositiveRate = 0.01

function checkpointJob(segments: readonly SealedSegment[], run: number, afterSequence = 0): CheckpointJob {
  return { databaseId, segments, run, afterSequence, falsePositiveRate, dropTombstones: false }
}

function mergeJob(inputs: readonly RunSummary[], run: number): MergeJob {
  return { databaseId, inputs, run, falsePositiveRate, dropTombstones: true }
}

/** A log of two stretches, the second of which writes half of the keys again and removes some. */
async function twoStretches(
  storage: Storage,
  directory: string,
  count: number,
): Promise<{ first: SealedSegment[]; second: SealedSegment[]; between: number }> {
  const log = await TestLog.open(storage, directory, 256 * 1024)
  log.define(1, 'accounts')
  for (let i = 0; i < count; i++) {
    log.commit([{ table: 1, key: `account ${i}`, size: 10, value: new Uint8Array(40).fill(i) }], [[1, 1, 10]])
  }
  const first = await log.seal()
  const between = log.sequence
  for (let i = 0; i < count; i += 2) {
    const value = i % 10 === 0 ? undefined : new Uint8Array(30).fill(i)
    log.commit([{ table: 1, key: `account ${i}`, size: 9, value }], [[1, value === undefined ? -1 : 0, -1]])
  }
  const second = (await log.seal()).slice(first.length)
  await log.close()
  return { first, second, between }
}

/** All entries of a run as text. */
async function contentOf(storage: Storage, directory: string, summary: RunSummary): Promise<string[]> {
  const reader = await RunReader.open(storage, directory, summary, new BlockCache(1 << 20))
  const scan = reader.scan()
  const lines: string[] = []
  while (scan.next() || ((await scan.load()) && scan.next())) {
    const key = Buffer.from(scan.key.subarray(0, scan.keyLength)).toString('hex')
    const value = scan.tombstone ? 'removed' : Buffer.from(scan.value).toString('hex')
    lines.push(`${key} ${scan.sequence} ${scan.size} ${value}`)
  }
  await reader.close()
  return lines
}

describe('inline', () => {
  const directory = '/db'

  async function disk(
    count = 300,
    maxDelayTurns = 1,
  ): Promise<{ storage: SimulatedStorage } & Awaited<ReturnType<typeof twoStretches>>> {
    const storage = new SimulatedStorage({ seed, maxDelayTurns })
    await storage.makeDirectory(directory)
    return { storage, ...(await twoStretches(storage, directory, count)) }
  }

  const runFiles = (storage: SimulatedStorage): string[] =>
    storage.files(directory).filter((path) => path.includes('run-'))

  it('leaves no file and no open one after a failure of any call, and then works', async () => {
    for (const kind of ['EIO', 'ENOSPC', 'short', 'EMFILE'] as const) {
      const { storage, first } = await disk()
      const background = inlineBackground(storage, directory)
      const job = checkpointJob(first, 1)
      const before = storage.operations
      const { run } = await background.checkpoint(job)
      const calls = storage.operations - before
      await storage.remove(join(directory, 'run-000000000001.run'))
      for (let at = 1; at <= calls; at++) {
        const injected = storage.faultsInjected
        storage.failAt(storage.operations + at, kind)
        const outcome = await background.checkpoint(job).then(
          ({ run }) => run,
          (error: unknown) => error,
        )
        const hasFailed = storage.faultsInjected > injected
        expect(outcome).toMatchObject(hasFailed ? { code: 'IO' } : { number: 1 })
        storage.heal()
        expect(storage.openFiles).toEqual([])
        for (const path of runFiles(storage)) {
          // Only a creation or a rename of which it is not known whether it happened may leave a name.
          if (hasFailed) expect(kind).toBe('EIO')
          await storage.remove(path)
        }
      }
      expect((await background.checkpoint(job)).run).toMatchObject({ entries: run?.entries })
    }
  })

  it('leaves no file when it is cancelled, at any point, and takes later jobs', async () => {
    const { storage, first, second, between } = await disk(2000)
    const background = inlineBackground(storage, directory)
    const older = await background.checkpoint(checkpointJob(first, 1))
    const newer = await background.checkpoint(checkpointJob(second, 2, between))
    const inputs = [newer.run as RunSummary, older.run as RunSummary]
    let cancelled = 0
    for (let turns = 0; cancelled === turns; turns++) {
      const job = background.merge(mergeJob(inputs, 3))
      const outcome = codeOf(() => job)
      for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve))
      background.cancel('checkpoint')
      background.cancel('merge')
      if ((await outcome) !== 'ABORTED') break
      cancelled++
      expect(runFiles(storage)).toHaveLength(2)
    }
    expect(cancelled).toBeGreaterThan(3)
    const { run } = await background.checkpoint(checkpointJob(first, 4))
    expect(run?.entries).toBe(older.run?.entries)
  })

  it('lets others have a turn every few milliseconds', async () => {
    // A disk that answers within the turn: every turn that ends is ended by the work itself.
    const { storage, first } = await disk(20_000, 0)
    let turns = 0
    let isDone = false
    const count = (): void => {
      turns++
      if (!isDone) setImmediate(count)
    }
    setImmediate(count)
    await inlineBackground(storage, directory).checkpoint(checkpointJob(first, 1))
    isDone = true
    expect(turns).toBeGreaterThan(20_000 / 1024)
  })

  it('does nothing more once it is closed, and close waits for what was under way', async () => {
    const { storage, first } = await disk()
    const background = inlineBackground(storage, directory)
    const outcome = codeOf(() => background.checkpoint(checkpointJob(first, 1)))
    await background.close()
    expect(storage.openFiles).toEqual([])
    expect(await outcome).toBe('ABORTED')
    expect(await codeOf(() => background.checkpoint(checkpointJob(first, 1)))).toBe('CLOSED')
  })

  it('tells the definitions, sizes, last commit and its time; null where nothing is left', async () => {
    const { storage, first, second, between } = await disk(100)
    const background = inlineBackground(storage, directory)
    expect(await background.checkpoint(checkpointJob([...first, ...second], 1, between))).toMatchObject({
      run: { number: 1, entries: 50, tombstones: 10, firstSequence: between + 1, lastSequence: 150 },
      tables: {
        definitions: [{ id: 1, name: 'accounts', key: null, value: 'bytes' }],
        deltas: [{ id: 1, entries: -10, bytes: -50 }],
      },
      lastSequence: 150,
      timeMs: 1149,
    })
    const nothing = await background.checkpoint(checkpointJob([...first, ...second], 2, 150))
    expect(nothing).toMatchObject({ run: null, lastSequence: 150 })
    expect(runFiles(storage)).toHaveLength(1)
  })

  it('refuses an input that is damaged or missing, and says which', async () => {
    const { storage, first } = await disk()
    const background = inlineBackground(storage, directory)
    const { run } = await background.checkpoint(checkpointJob(first, 1))
    storage.flip('/db/run-000000000001.run', 100, 3)
    await expect(background.merge(mergeJob([run as RunSummary], 2))).rejects.toMatchObject({
      code: 'CORRUPTION',
      message: expect.stringContaining('/db/run-000000000001.run is damaged at byte') as unknown,
    })
    expect(storage.openFiles).toEqual([])
    expect(runFiles(storage)).toHaveLength(1)
  })
})

describe('on a worker thread', () => {
  let compiled: Compiled
  const directories: string[] = []
  const backgrounds: Background[] = []

  beforeAll(() => {
    compiled = compile('runs-worker', ['runs/varve-runs-worker.ts', 'runs/worker-background.ts'])
  })

  afterEach(async () => {
    for (const background of backgrounds.splice(0)) await background.close()
    for (const directory of directories.splice(0)) rmSync(directory, { recursive: true })
  })

  afterAll(() => compiled.dispose())

  function newDirectory(): string {
    const directory = mkdtempSync(join(tmpdir(), 'varve-worker-'))
    directories.push(directory)
    return directory
  }

  function background(
    directory: string,
    module: string = compiled.path('runs/varve-runs-worker.ts'),
  ): WorkerBackground {
    const made = new WorkerBackground(directory, pathToFileURL(module))
    // A busy machine may take its time to start a thread.
    made.readyMs = 120_000
    backgrounds.push(made)
    return made
  }

  /** A module that tells it is ready and then does what `code` says. */
  function moduleOf(code: string): string {
    const directory = newDirectory()
    mkdirSync(directory, { recursive: true })
    const path = join(directory, 'worker.mjs')
    writeFileSync(path, `import { parentPort } from 'node:worker_threads'\n${code}`)
    return path
  }

  const READY = "parentPort.postMessage({ type: 'ready' })\n"

  it('makes the runs that are made inline', async () => {
    const directory = newDirectory()
    const storage = new NodeStorage()
    const { first, second, between } = await twoStretches(storage, directory, 5000)
    const made: unknown[][] = []
    for (const [at, each] of [inlineBackground(storage, directory), background(directory)].entries()) {
      const number = at * 10
      const older = await each.checkpoint(checkpointJob(first, number + 1))
      const newer = await each.checkpoint(checkpointJob(second, number + 2, between))
      const merged = await each.merge(mergeJob([newer.run as RunSummary, older.run as RunSummary], number + 3))
      const results = []
      for (const run of [older.run, newer.run, merged] as RunSummary[]) {
        results.push({ ...run, id: '', number: 0 }, await contentOf(storage, directory, run))
      }
      made.push([...results, older.tables, newer.tables, newer.lastSequence, newer.timeMs])
    }
    expect(made[1]).toStrictEqual(made[0])
    expect((backgrounds[0] as WorkerBackground).isInline).toBe(false)
  })

  it('takes a checkpoint while a merge is under way, and cancels the one without the other', async () => {
    const directory = newDirectory()
    const { first, second, between } = await twoStretches(new NodeStorage(), directory, 30_000)
    const worker = background(directory)
    const older = await worker.checkpoint(checkpointJob(first, 1))
    const merge = codeOf(() => worker.merge(mergeJob([older.run as RunSummary], 2)))
    const checkpoint = worker.checkpoint(checkpointJob(second, 3, between))
    worker.cancel('merge')
    expect(await merge).toBe('ABORTED')
    expect((await checkpoint).run?.entries).toBe(15_000)
    const files = readdirSync(directory).filter((name) => name.startsWith('run-'))
    expect(files.sort()).toEqual(['run-000000000001.run', 'run-000000000003.run'])
  })

  it('passes errors on with code, message and cause', async () => {
    const directory = newDirectory()
    const worker = background(directory)
    const missing = { number: 9, fromFrame: 1, endFrame: 5, lastSequence: 1, bytes: 100 }
    const error = await worker.checkpoint(checkpointJob([missing], 1)).catch((error: unknown) => error)
    const inline = await inlineBackground(new NodeStorage(), directory)
      .checkpoint(checkpointJob([missing], 1))
      .catch((error: unknown) => error)
    expect(error).toBeInstanceOf(VarveError)
    const { code, message } = inline as VarveError
    expect(error).toMatchObject({ code, message })
    expect(errnoOf(error)).toBe(errnoOf(inline))
  })

  it('works inline where no worker can be started, for good', async () => {
    const directory = newDirectory()
    const { first } = await twoStretches(new NodeStorage(), directory, 50)
    for (const module of [join(directory, 'none.js'), moduleOf('throw new Error("no")'), moduleOf('process.exit(3)')]) {
      const each = background(directory, module)
      const number = 1 + backgrounds.length
      expect((await each.checkpoint(checkpointJob(first, number))).run?.entries).toBe(50)
      expect(each.isInline).toBe(true)
      const outcome = codeOf(() => each.checkpoint(checkpointJob(first, number + 10)))
      each.cancel()
      expect(await outcome).toBe('ABORTED')
    }
  })

  it('works inline beside a file of the name of the worker that is something else and never ends (I2)', async () => {
    const directory = newDirectory()
    const { first } = await twoStretches(new NodeStorage(), directory, 50)
    const stranger = background(directory, moduleOf(`parentPort.on('message', () => undefined)`))
    stranger.readyMs = 200
    expect((await stranger.checkpoint(checkpointJob(first, 1))).run?.entries).toBe(50)
    expect(stranger.isInline).toBe(true)
  })

  it('rejects what a dying worker was given, and starts another (I3)', async () => {
    const directory = newDirectory()
    const { first } = await twoStretches(new NodeStorage(), directory, 10)
    for (const death of ['process.exit(7)', 'throw new Error("heart")']) {
      const marker = join(newDirectory(), 'died')
      const module = moduleOf(`
        import { existsSync, writeFileSync } from 'node:fs'
        if (existsSync(${JSON.stringify(marker)})) await import(${JSON.stringify(compiled.path('runs/varve-runs-worker.ts'))})
        else {
          parentPort.on('message', () => { writeFileSync(${JSON.stringify(marker)}, ''); ${death} })
          ${READY}
        }`)
      const worker = background(directory, module)
      const dying = [worker.checkpoint(checkpointJob(first, 1)), worker.checkpoint(checkpointJob(first, 2))]
      for (const each of dying) expect(await codeOf(() => each)).toBe('IO')
      const number = 10 + backgrounds.length
      expect((await worker.checkpoint(checkpointJob(first, number))).run?.entries).toBe(10)
      expect(worker.isInline).toBe(false)
    }
  })

  it('is closed also before it has started, and while a job is under way (I4)', async () => {
    const directory = newDirectory()
    const { first } = await twoStretches(new NodeStorage(), directory, 20_000)
    await background(directory).close()
    const worker = background(directory)
    const outcome = codeOf(() => worker.checkpoint(checkpointJob(first, 1)))
    await worker.close()
    expect(await outcome).toBe('ABORTED')
    expect(await codeOf(() => worker.merge(mergeJob([], 1)))).toBe('CLOSED')
    expect(readdirSync(directory).filter((name) => name.startsWith('run-'))).toEqual([])
    const heard = join(directory, 'heard')
    const ear = `import { writeFileSync } from 'node:fs'
      parentPort.on('message', () => writeFileSync(${JSON.stringify(heard)}, ''))`
    const deaf = background(directory, moduleOf(READY + ear))
    deaf.graceMs = 50
    const unheard = codeOf(() => deaf.checkpoint(checkpointJob(first, 2)))
    await until(() => existsSync(heard))
    await deaf.close()
    expect(await unheard).toBe('IO')
  })

  it('lets the process end when no job is under way, and not before (I1)', async () => {
    const directory = newDirectory()
    const { first } = await twoStretches(new NodeStorage(), directory, 5000)
    const script = join(directory, 'script.mjs')
    const job = { ...checkpointJob(first, 1), databaseId: [...databaseId] }
    writeFileSync(
      script,
      `import { workerBackground } from ${JSON.stringify(compiled.path('runs/worker-background.ts'))}
      const job = ${JSON.stringify(job)}
      const background = workerBackground(${JSON.stringify(directory)})
      for (const number of [1, 2]) {
        const { run } = await background.checkpoint({ ...job, run: number, databaseId: Uint8Array.from(job.databaseId) })
        console.log(run.entries, background.isInline)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }`,
    )
    const { status, stdout, stderr } = spawnSync(process.execPath, [script], { encoding: 'utf8', timeout: 120_000 })
    expect([stdout, stderr, status]).toEqual(['5000 false\n5000 false\n', '', 0])
  })

  it('keeps errors apart when they are packed', () => {
    const cause = Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' })
    const packed = structuredClone(packError(new VarveError('IO', 'cannot write', { cause })))
    expect(unpackError(packed)).toMatchObject({ code: 'IO', message: 'cannot write', name: 'VarveError' })
    expect(errnoOf(unpackError(packed))).toBe('ENOSPC')
    expect(unpackError(packError('text'))).toMatchObject({ message: 'text' })
    const endless = new Error('a')
    endless.cause = endless
    expect(unpackError(packError(endless)).message).toBe('a')
  })
})
