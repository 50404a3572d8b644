/** The merge policy, played out on sizes alone: what it writes, and how many runs there ever are. */
import { describe, expect, it } from 'vitest'
import type { RunSummary } from '../../src/runs/format.ts'
import { FEW_RUNS, MAX_RUNS, planMerge } from '../../src/runs/policy.ts'
import { Random, runs as rounds } from '../support/random.ts'

const CHECKPOINT_BYTES = 64 * 1024 * 1024
/** Key and value of an entry; what it takes in the log, frames included; what it takes in a run. */
const USER_BYTES = 117
const LOG_BYTES = 142
const RUN_BYTES = 141

interface Run extends RunSummary {
  /** How many updates it came out of; Infinity for one that has every entry. */
  readonly updates: number
}

function runOf(number: number, bytes: number, updates = 0): Run {
  return { number, id: '', bytes, entries: 1, tombstones: 0, firstSequence: 1, lastSequence: 1, updates }
}

interface Played {
  /** Bytes written, log included, for each byte of the changes, and for each byte logged. */
  readonly perByteChanged: number
  readonly perByteLogged: number
  readonly mostRuns: number
}

class Disk {
  /** Newest first. */
  runs: Run[] = []
  written = 0
  mostRuns = 0
  merges = 0
  private number = 1

  /** Adds a run, and merges whatever is then due; `sizeOf` says what updates come to in a run. */
  add(bytes: number, updates: number, sizeOf: (updates: number, inputs: readonly Run[]) => number): void {
    this.runs.unshift(runOf(this.number++, bytes, updates))
    this.written += bytes
    for (let plan = planMerge(this.runs); plan !== null; plan = planMerge(this.runs)) {
      this.mostRuns = Math.max(this.mostRuns, this.runs.length)
      const inputs = plan.inputs as readonly Run[]
      const at = this.runs.indexOf(inputs[0] as Run)
      expect(this.runs.slice(at, at + inputs.length)).toEqual(inputs)
      expect(inputs.length).toBeGreaterThan(1)
      expect(plan.dropTombstones).toBe(at + inputs.length === this.runs.length)
      const changes = inputs.reduce((sum, run) => sum + run.updates, 0)
      const merged = sizeOf(changes, inputs)
      this.runs.splice(at, inputs.length, runOf(this.number++, merged, changes))
      this.written += merged
      this.merges++
    }
    this.mostRuns = Math.max(this.mostRuns, this.runs.length)
  }
}

/** Updates of uniformly drawn keys, until everything has been written six times over. */
function playUniform(entries: number): Played {
  const updates = CHECKPOINT_BYTES / LOG_BYTES
  const sizeOf = (changes: number): number => Math.ceil(RUN_BYTES * entries * (1 - Math.exp(-changes / entries)))
  const disk = new Disk()
  disk.runs = [runOf(0, sizeOf(Infinity), Infinity)]
  const checkpoints = Math.max(200, Math.ceil((6 * entries) / updates))
  for (let i = 0; i < checkpoints; i++) disk.add(sizeOf(updates), updates, sizeOf)
  const written = disk.written + checkpoints * CHECKPOINT_BYTES
  const changes = checkpoints * updates
  return {
    perByteChanged: written / (changes * USER_BYTES),
    perByteLogged: written / (changes * LOG_BYTES),
    mostRuns: disk.mostRuns,
  }
}

const sum = (_: number, inputs: readonly Run[]): number => inputs.reduce((total, { bytes }) => total + bytes, 0)

describe('merging under uniform updates', () => {
  it.each([10 ** 5, 10 ** 6, 3 * 10 ** 6, 10 ** 7])(
    'writes at most 4 bytes for each byte changed, of %i entries',
    (entries) => {
      const { perByteChanged, mostRuns } = playUniform(entries)
      expect(perByteChanged).toBeLessThanOrEqual(4)
      expect(mostRuns).toBeLessThanOrEqual(FEW_RUNS)
    },
  )

  it.each([8, 9, 10])('writes at most 1 more for each further factor of 10, up to 10^%i entries', (power) => {
    const { perByteChanged, perByteLogged, mostRuns } = playUniform(10 ** power)
    expect(perByteChanged).toBeLessThanOrEqual(4 + power - 7)
    expect(perByteLogged).toBeLessThanOrEqual(3 + power - 7)
    expect(mostRuns).toBeLessThanOrEqual(MAX_RUNS)
  })
})

describe('merging what comes as it may', () => {
  it('writes each byte at most five times while a database is filled, up to a thousand checkpoints', () => {
    for (const checkpoints of [10, 100, 1000]) {
      const disk = new Disk()
      for (let i = 0; i < checkpoints; i++) disk.add(CHECKPOINT_BYTES, 1, sum)
      const perByteLogged = disk.written / (checkpoints * CHECKPOINT_BYTES) + 1
      expect(perByteLogged).toBeLessThanOrEqual(5)
      expect(disk.mostRuns).toBeLessThanOrEqual(2 * FEW_RUNS)
    }
  })

  it('never has more than the greatest number of runs, and no more out of date than is current', () => {
    for (let round = 0; round < rounds(20); round++) {
      const random = new Random(`policy ${round}`)
      const disk = new Disk()
      const spread = random.pick([1, 4, 12, 20])
      // Merging drops what was overwritten: by chance nothing, or nearly everything.
      const shrink = random.pick([0, 0.5, 0.95])
      const sizeOf = (changes: number, inputs: readonly Run[]): number => {
        const largest = Math.max(...inputs.map(({ bytes }) => bytes))
        return Math.ceil(largest + (sum(changes, inputs) - largest) * (1 - shrink))
      }
      for (let i = 0; i < 400; i++) {
        disk.add(Math.ceil(1000 * 2 ** (random.next() * spread)), 1, sizeOf)
        const newer = disk.runs.slice(0, -1).reduce((total, { bytes }) => total + bytes, 0)
        if (disk.runs.length > 1) expect(newer).toBeLessThan(disk.runs.at(-1)!.bytes)
        expect(disk.runs.length).toBeLessThanOrEqual(MAX_RUNS)
      }
    }
  })

  it('has an end to it where sizes rise and fall like a ruler, so that few neighbours are alike (P3)', () => {
    const disk = new Disk()
    disk.runs = [runOf(0, 2 ** 50, Infinity)]
    for (let i = 1; i < 3000; i++) disk.add(1000 * 2 ** Math.log2(i & -i), 1, sum)
    expect(disk.mostRuns).toBeLessThanOrEqual(MAX_RUNS + 1)
  })

  it('does nothing with one run or none, nor with few that are small beside the oldest', () => {
    expect(planMerge([])).toBeNull()
    expect(planMerge([runOf(1, 10)])).toBeNull()
    const few = [...Array.from({ length: FEW_RUNS - 1 }, (_, i) => runOf(FEW_RUNS - i, 10)), runOf(1, 1000)]
    expect(planMerge(few)).toBeNull()
    expect(planMerge([runOf(99, 10), ...few])?.inputs.at(-1)?.number).toBe(2)
    expect(planMerge([runOf(99, 1000), ...few])?.inputs).toHaveLength(FEW_RUNS + 1)
  })
})
