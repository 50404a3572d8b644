/** What all samples of random histories have in common: how one is made, and what is expected of them. */
import { expect } from 'vitest'

import { type Mix, randomPrograms, randomSchedule } from './history-generate.ts'
import { type Driver, type Result, Tally } from './history.ts'
import type { Random } from './random.ts'

/** One history of so many random programs. */
export async function runRandom(driver: Driver, count: number, mix: Mix, random: Random): Promise<Result> {
  const programs = randomPrograms(count, mix, random)
  return driver.run(programs, randomSchedule(programs, random))
}

/** Expects that nothing was wrong in any history. */
export function expectFlawless(what: string, tally: Tally, beside = ''): void {
  console.log(`${what}: ${tally.summary()}${beside}`)
  expect(tally.reports.join('\n\n')).toBe('')
  expect(tally.faults).toEqual(new Tally().faults)
}

/** The same where transactions may be refused for want of room in the dependency graph. */
export function expectNoAnomaly(what: string, tally: Tally): void {
  console.log(`${what}: ${tally.summary()}`)
  expect({ ...tally.faults, 'needless abort': 0 }).toEqual(new Tally().faults)
}
