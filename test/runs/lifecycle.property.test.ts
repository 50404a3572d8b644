/**
 * The whole life of cold data: transactions become log, segments become runs, runs become fewer runs, versions of the tier
 * come and go; and at every point each version that is held says what a plain map says of the same transactions.
 */
import { describe, expect, it } from 'vitest'
import { compareKeys, encodeKey, type Key, resolveRange } from '../../src/keys/index.ts'
import { BlockCache } from '../../src/runs/cache.ts'
import { checkpoint } from '../../src/runs/checkpoint.ts'
import type { RunSummary } from '../../src/runs/format.ts'
import { mergeRuns } from '../../src/runs/merge.ts'
import { RunReader } from '../../src/runs/reader.ts'
import { ColdScan } from '../../src/runs/cold-scan.ts'
import { ColdTier, type ColdVersion } from '../../src/runs/tier.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Random, runs, seed } from '../support/random.ts'
import { databaseId, randomValue, TestLog, type Write } from './log.ts'

const DIRECTORY = '/db'
const FALSE_POSITIVE_RATE = 0.01

interface Stored extends Write {
  readonly sequence: number
}

/** Live entries by table, then by encoded key. */
type Model = ReadonlyMap<number, ReadonlyMap<string, Stored>>

function spelled(key: Key): string {
  return Buffer.from(encodeKey(key)).toString('latin1')
}

function copyOf(model: Model): Map<number, Map<string, Stored>> {
  return new Map([...model].map(([table, entries]) => [table, new Map(entries)]))
}

function expectSame(
  found: { sequence: number; size: number; expiresAt: number; value: Uint8Array },
  stored: Stored,
): void {
  const isSame =
    found.sequence === stored.sequence &&
    found.size === stored.size &&
    found.expiresAt === (stored.expiresAt ?? 0) &&
    Buffer.compare(found.value, stored.value as Uint8Array) === 0
  if (!isSame) expect.fail(`${spelled(stored.key)} has another value, size or sequence than it should`)
}

const control = { cancelled: (): boolean => false }

class World {
  readonly random: Random
  readonly keys: Key[]
  readonly tables = [0, 1, 7]
  readonly cache = new BlockCache(1 << 20)
  /** As of the last commit, and as of what the tier covers. */
  private model: Map<number, Map<string, Stored>> = new Map(this.tables.map((table) => [table, new Map()]))
  private covered: Model = copyOf(this.model)
  private coveredSequence = 0
  private run = 1
  /** Newest first. */
  private readers: RunReader[] = []
  readonly retired: number[] = []
  readonly tier = new ColdTier(null, [], 0, (run) => this.retired.push(run.summary.number))
  readonly versions: { version: ColdVersion; model: Model; numbers: number[] }[] = []

  private readonly storage: SimulatedStorage
  private readonly log: TestLog

  constructor(storage: SimulatedStorage, log: TestLog, round: number) {
    this.storage = storage
    this.log = log
    this.random = new Random(`lifecycle ${round}`)
    const { random } = this
    this.keys = Array.from({ length: random.between(5, 80) }, (_, i) =>
      random.pick<Key>([`key ${i}`, i, ['tuple', i % 7, `part ${i}`], BigInt(i)]),
    )
  }

  commit(): void {
    const { random } = this
    const sequence = this.log.sequence + 1
    const writes = Array.from({ length: random.between(0, 8) }, (): Write => {
      const value = random.chance(0.3) ? undefined : randomValue(random, sequence)
      const expiry = value !== undefined && random.chance(0.3) ? { expiresAt: 1 + random.int(1000) } : {}
      return { table: random.pick(this.tables), key: random.pick(this.keys), size: random.int(1000), value, ...expiry }
    })
    this.log.commit(writes)
    for (const write of writes) {
      const table = this.model.get(write.table) as Map<string, Stored>
      if (write.value === undefined) table.delete(spelled(write.key))
      else table.set(spelled(write.key), { ...write, sequence })
    }
  }

  async checkpoint(): Promise<void> {
    const segments = await this.log.seal()
    if (segments.length === 0) return
    const run = this.run++
    const dropTombstones = this.readers.length === 0
    const job = { databaseId, segments, run, afterSequence: this.coveredSequence, dropTombstones }
    const result = await checkpoint(
      this.storage,
      DIRECTORY,
      { ...job, falsePositiveRate: FALSE_POSITIVE_RATE },
      control,
    )
    expect(result.lastSequence).toBe(this.log.sequence)
    if (dropTombstones) expect(result.run?.tombstones ?? 0).toBe(0)
    await this.log.release(segments)
    const added = result.run === null ? [] : [await this.open(result.run)]
    this.covered = copyOf(this.model)
    this.coveredSequence = this.log.sequence
    this.publish([...added, ...this.readers])
  }

  async merge(): Promise<void> {
    const { random, readers } = this
    if (readers.length === 0) return
    const from = random.int(readers.length)
    const to = random.between(from + 1, readers.length)
    const inputs = readers.slice(from, to).map(({ summary }) => summary)
    const dropTombstones = to === readers.length && random.chance(0.8)
    const job = { databaseId, inputs, run: this.run++, dropTombstones, falsePositiveRate: FALSE_POSITIVE_RATE }
    const result = await mergeRuns(this.storage, DIRECTORY, job, control)
    if (dropTombstones) expect(result?.tombstones ?? 0).toBe(0)
    const merged = result === null ? [] : [await this.open(result)]
    this.publish([...readers.slice(0, from), ...merged, ...readers.slice(to)])
  }

  hold(): void {
    this.versions.push({
      version: this.tier.acquire(),
      model: this.covered,
      numbers: this.readers.map(({ summary }) => summary.number),
    })
  }

  release(): void {
    const [held] = this.versions.splice(this.random.int(this.versions.length), 1)
    if (held !== undefined) this.tier.release(held.version)
  }

  /** Every table of every version that is held, by a scan; and of the current one by finds too. */
  check(): void {
    const { random } = this
    for (const { version, model } of this.versions) {
      for (const id of this.tables) {
        const range = { gte: random.pick(this.keys), reverse: random.chance(0.5) }
        this.checkScan(new ColdScan(id, resolveRange(random.chance(0.5) ? {} : range), version.sources), model.get(id)!)
      }
    }
    for (const id of this.tables) {
      const table = this.tier.table(id)
      const expected = this.covered.get(id)!
      for (const key of this.keys) {
        const stored = expected.get(spelled(key))
        if (table.find(key) !== (stored !== undefined)) expect.fail(`${spelled(key)} is ${stored ? 'not ' : ''}found`)
        if (stored !== undefined) expectSame(table, stored)
      }
      const whole = { ...resolveRange({}), reverse: random.chance(0.5) }
      this.checkScan(table.scan(whole, this.tier.current), expected, expected.size)
    }
    const floors = [this.coveredSequence, ...this.versions.map(({ version }) => version.coveredSequence)]
    expect(this.tier.floor).toBe(Math.min(...floors))
  }

  /** Runs are retired exactly once, and none that a version has. */
  checkRetired(): void {
    expect(new Set(this.retired).size).toBe(this.retired.length)
    const needed = new Set([
      ...this.versions.flatMap(({ numbers }) => numbers),
      ...this.readers.map((r) => r.summary.number),
    ])
    for (const number of this.retired) expect(needed.has(number)).toBe(false)
    const open = this.storage.openFiles.filter((path) => path.endsWith('.run'))
    expect(open).toHaveLength(needed.size)
  }

  private checkScan(scan: ColdScan, expected: ReadonlyMap<string, Stored>, count?: number): void {
    let last: Key | undefined
    let seen = 0
    let sign = 0
    for (; scan.next(); seen++) {
      const stored = expected.get(spelled(scan.key))
      if (stored === undefined) expect.fail(`${spelled(scan.key)} is given out`)
      expectSame(scan, stored)
      if (last !== undefined) {
        const order = Math.sign(compareKeys(last, scan.key))
        if (order === 0 || (sign !== 0 && order !== sign)) expect.fail('keys are out of order')
        sign = order
      }
      last = scan.key
    }
    if (count !== undefined) expect(seen).toBe(count)
  }

  private async open(summary: RunSummary): Promise<RunReader> {
    return RunReader.open(this.storage, DIRECTORY, summary, this.cache)
  }

  private publish(readers: RunReader[]): void {
    this.readers = readers
    this.tier.publish(readers, null, this.coveredSequence)
  }
}

describe('cold data', () => {
  it('is what was committed, through checkpoints, merges and versions held meanwhile (tier I1 to I3)', async () => {
    for (let round = 0; round < runs(12); round++) {
      const storage = new SimulatedStorage({ seed: seed + round, maxDelayTurns: 1 })
      await storage.makeDirectory(DIRECTORY)
      const log = await TestLog.open(storage, DIRECTORY)
      const world = new World(storage, log, round)
      for (let step = 0; step < 25; step++) {
        const commits = world.random.int(12)
        for (let i = 0; i < commits; i++) world.commit()
        const choice = world.random.next()
        if (choice < 0.4) await world.checkpoint()
        else if (choice < 0.6) await world.merge()
        else if (choice < 0.8) world.hold()
        else world.release()
        world.check()
      }
      while (world.versions.length > 0) world.release()
      for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
      world.checkRetired()
      await world.tier.close()
      expect(storage.openFiles.filter((path) => path.endsWith('.run'))).toEqual([])
      await log.close()
    }
  })
})
