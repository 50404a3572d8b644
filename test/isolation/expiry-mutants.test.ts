/**
 * The judge of histories with expiry must bite: with any one part broken of what keeps them serializable, something goes
 * wrong.
 */
import { describe, expect, it } from 'vitest'

import { Certifier } from '../../src/mvcc/certifier.ts'
import { Sweeper } from '../../src/mvcc/sweeper.ts'
import { TableStore } from '../../src/mvcc/store.ts'
import { TableView } from '../../src/mvcc/transaction.ts'
import { breakMethod, type Breakable, type Method } from '../support/break.ts'
import { Clock, openOnDisk, openTimed, randomHistory, randomState, run } from '../support/history-expiry-run.ts'
import { Random, runs } from '../support/random.ts'

interface Mutant {
  readonly name: string
  readonly of: Breakable
  readonly method: string
  readonly broken: (original: Method) => Method
  readonly onDisk?: boolean
}

const mutants: readonly Mutant[] = [
  {
    name: 'what somebody sees still is swept',
    of: Sweeper,
    method: 'earliestInstant',
    broken: () => () => Infinity,
  },
  {
    name: 'what has a history is swept',
    of: Sweeper,
    method: 'isFree',
    broken: () =>
      function (this: { storeOf(id: number): TableStore; earliestInstant(sequence: number): number }, id: number) {
        const store = this.storeOf(id)
        return store.expiryOf(id) <= this.earliestInstant(store.sequenceOf(id))
      },
  },
  {
    name: 'a swept tombstone is as young as its sweep',
    of: TableStore,
    method: 'sweep',
    broken: (original) =>
      function (this: TableStore, id: number, sequence: number, snapshots: never) {
        const left = (original as TableStore['sweep']).call(this, id, sequence, snapshots)
        if (left) this.chunks[id >>> 12]!.setSequence(id & 4095, sequence)
        return left
      },
    onDisk: true,
  },
  {
    name: 'ttl is not recorded as a read',
    of: TableView,
    method: 'expiry',
    broken: () =>
      function (this: TableView, key: string) {
        return this.keptExpiry(key)
      },
  },
  {
    name: 'readers of existence come before nobody',
    of: Certifier,
    method: 'existenceSuccessors',
    broken: () => () => undefined,
  },
  {
    name: 'nobody comes before a reader of existence',
    of: Certifier,
    method: 'existenceCreators',
    broken: () => () => undefined,
  },
]

/** The first anomaly in so many histories, or what else goes wrong. What is broken is a fault even where it crashes. */
async function firstFault(onDisk: boolean): Promise<string | undefined> {
  const random = new Random('expiry mutants')
  const clock = new Clock()
  const db = onDisk ? await openOnDisk(clock) : openTimed(clock)
  try {
    for (let i = 0; i < runs(onDisk ? 3000 : 40_000); i++) {
      const { programs, events } = randomHistory(random, random.between(2, 4), onDisk)
      await run(db, clock, randomState(random, clock.now), programs, events)
    }
  } catch (error) {
    return (error as Error).message
  } finally {
    await db.close()
  }
  return undefined
}

describe('is found out', () => {
  it.each(mutants)('$name', async ({ of, method, broken, onDisk = false }) => {
    breakMethod(of, method, broken)
    expect(await firstFault(onDisk)).toBeDefined()
  })
})
