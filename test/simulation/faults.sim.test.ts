/**
 * Simulated lives on a failing disk: errors of every kind at random calls, of the log, of runs and manifest, in opening too,
 * and disks that are full. What was acknowledged stays, nothing is acknowledged after the log has failed, reads and closing
 * go on, and once the trouble is over the database opens with everything it owes.
 */
import { describe, expect, it } from 'vitest'
import type { FaultKind } from '../../src/storage/simulated.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { type Random, runs, seed } from '../support/random.ts'
import { live, type LifePlan } from './life.ts'
import type { Machine } from './machine.ts'

const FILE = 'test/simulation/faults.sim.test.ts'

const disk = (random: Random): SimulatedStorage =>
  new SimulatedStorage({ seed: random.uint32(), synced: random.chance(0.6), maxDelayTurns: random.pick([0, 1, 3]) })

const KINDS: readonly FaultKind[] = [
  'EIO',
  'EIO',
  'EIO',
  'ENOSPC',
  'EMFILE',
  'EDQUOT',
  'EFBIG',
  'EROFS',
  'short',
  'EINTR',
]

/** A few calls fail, somewhere, each `times` times. */
function failures(times: readonly number[]): (machine: Machine, random: Random) => void {
  return (machine, random) => {
    for (let i = random.between(1, 3); i > 0; i--) {
      const path = random.pick([/wal-/, /wal-/, /run-/, /manifest/, /data/, /./])
      const skip = random.int(random.pick([3, 20, 100]))
      machine.disk.fail({ kind: random.pick(KINDS), path, skip, times: random.pick(times) })
    }
  }
}

/** The disk is full, soon. */
function full(machine: Machine, random: Random): void {
  machine.disk.capacityBytes = machine.disk.usedBytes + random.int(random.pick([1000, 100_000, 1_000_000]))
}

/** Some calls take very long. */
function stalls(machine: Machine, random: Random): void {
  for (let i = 0; i < 3; i++)
    machine.disk.fail({ kind: 'stall', skip: random.int(100), turns: random.between(50, 2000) })
}

const base = { sessions: 4, clients: 3, steps: 25, disk, tolerated: ['IO', 'ABORTED'] } as const

const PLANS: Readonly<Record<string, LifePlan>> = {
  'calls that fail once': { ...base, trouble: failures([1]) },
  'calls that fail again and again': { ...base, trouble: failures([3, 1000]), hurried: true },
  'a full disk': { ...base, trouble: full, hurried: true },
  'calls that take long': { ...base, tolerated: [], trouble: stalls },
}

describe('simulated lives with', () => {
  for (const [name, plan] of Object.entries(PLANS)) {
    it(
      name,
      async () => {
        let poisoned = 0
        const count = runs(50)
        for (let i = 0; i < count; i++) poisoned += (await live((seed + i) % 2 ** 32, plan, FILE)).poisoned
        if (count >= 50 && plan.trouble !== stalls) expect(poisoned).toBeGreaterThan(0)
      },
      300_000 * Math.max(1, runs(100) / 100),
    )
  }
})
